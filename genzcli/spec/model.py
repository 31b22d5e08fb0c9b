"""A model: a stack of blocks, each a mixer (attention) and a feed-forward part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from genzcli.spec.dtype import Precision
from genzcli.spec.noun import Noun, choice, count, flag, noun, nouns, other, ratio, text, texts
from genzcli.spec.source import Source

if TYPE_CHECKING:
    from genzcli.numeric import Number


class Attention(Noun):
    """Softmax attention with `heads` query heads and `kv_heads` key and value heads.

    MHA has kv_heads = heads, MQA has kv_heads = 1, GQA is in between.
    """

    heads: Number = count("query heads")
    kv_heads: Number = count("key and value heads")
    head_dim: Number = count("width of a query and key head")
    value_dim: Number | None = count("width of a value head; head_dim if left out", default=None)
    window: Number | None = count("sliding window: keys a token sees, itself included", default=None)
    chunk: Number | None = count("chunk-local: a token sees its own chunk of this many", default=None)
    output_gate: bool = flag("the output is gated by a projection of its own", default=False)
    shares_kv: bool = flag("reads an earlier layer's cache: projects and stores no K and V", default=False)
    k_is_v: bool = flag("keys and values come from one projection", default=False)

    @property
    def d_value(self) -> Number:
        return self.head_dim if self.value_dim is None else self.value_dim


class Indexer(Noun):
    """Lightning indexer of sparse attention: scores all keys cheaply, attention reads the best `top_k`.

    Source: DeepSeek-V3.2 (DSA), 2025.
    """

    heads: Number = count("index heads, one key shared by all")
    head_dim: Number = count("width of an index head")
    top_k: Number = count("keys a token attends to")


class LatentAttention(Noun):
    """Multi-head latent attention: keys and values of all heads come from one cached latent.

    The cache of a token is kv_rank + rope_dim elements. Source: DeepSeek-V2, arXiv 2405.04434.
    """

    heads: Number = count("query heads")
    q_rank: Number | None = count("width the query is compressed to; none if left out", default=None)
    kv_rank: Number = count("width of the cached latent")
    nope_dim: Number = count("width of a head's key without position")
    rope_dim: Number = count("width of the key with position, one for all heads")
    value_dim: Number = count("width of a value head")
    output_gate: bool = flag("the output is gated by a projection of its own", default=False)
    index: Indexer | None = noun(Indexer, "sparse attention over the best keys", default=None)


class Mamba(Noun):
    """Selective state space, first version. Source: arXiv 2312.00752."""

    d_inner: Number = count("channels of the scan")
    d_state: Number = count("state elements a channel")
    d_conv: Number = count("taps of the short convolution", default=4)
    dt_rank: Number = count("width the time step is projected from")


class Mamba2(Noun):
    """Selective state space with heads (SSD). Source: arXiv 2405.21060."""

    heads: Number = count("heads")
    head_dim: Number = count("channels a head")
    d_state: Number = count("state elements a channel")
    groups: Number = count("groups that share B and C", default=1)
    d_conv: Number = count("taps of the short convolution", default=4)
    chunk: Number = count("tokens a chunk of the prefill scan", default=256)


class LinearAttention(Noun):
    """Gated linear attention: a state of key_dim x value_dim a head in place of a cache.

    Gated DeltaNet (arXiv 2412.06464), KDA (Kimi Linear), lightning attention (MiniMax-01).
    """

    key_heads: Number = count("query and key heads")
    value_heads: Number = count("value heads, each with a state")
    key_dim: Number = count("width of a key head")
    value_dim: Number = count("width of a value head")
    d_conv: Number = count("taps of the short convolution; 0 if none", least=0, default=4)
    output_gate: bool = flag("the output is gated by a projection of its own", default=True)
    chunk: Number = count("tokens a chunk of the prefill", default=64)


class Mlp(Noun):
    """Dense feed-forward part: two matrices, three when gated (SwiGLU, GeGLU)."""

    d_ff: Number = count("inner width")
    gated: bool = flag("has a gate matrix beside the up matrix", default=True)


class Moe(Noun):
    """Mixture of experts: a router sends each token to `experts_per_token` of `experts` MLPs."""

    experts: Number = count("routed experts")
    experts_per_token: Number = count("routed experts a token visits")
    d_expert: Number = count("inner width of one routed expert")
    gated: bool = flag("experts have a gate matrix", default=True)
    d_shared: Number = count("inner width of the shared experts together; 0 if none", least=0, default=0)
    d_latent: Number | None = count(
        "width the routed experts work in, where tokens are projected down to it and back", default=None
    )


Recurrent: TypeAlias = Mamba | Mamba2 | LinearAttention
Mixer: TypeAlias = Attention | LatentAttention | Recurrent
FeedForward: TypeAlias = Mlp | Moe


class CrossAttention(Noun):
    """Attention of a decoder's tokens over an encoder's output, or over the tokens of images.

    Keys and values of what is looked at are projected once, in prefill, and read at every step.
    Source: arXiv 1706.03762, section 3.2.3.
    """

    heads: Number = count("query heads")
    kv_heads: Number = count("key and value heads")
    head_dim: Number = count("width of a head")


class Block(Noun):
    """One layer: a mixer and a feed-forward part, one after the other or in parallel; or one of them."""

    mixer: Mixer | None = other("how tokens see each other", default=None)
    cross_attention: CrossAttention | None = noun(
        CrossAttention, "attention over the encoder's output, or over images", default=None
    )
    feedforward: FeedForward | None = other("an `mlp` or a `moe`", default=None)
    norms: Number = count("normalisations a layer", default=2, least=0)
    parallel: bool = flag(
        "attention and MLP read the same input, one all-reduce for both (GPT-J)", default=False
    )


class Encoder(Noun):
    """Layers that read the whole input before the decoder starts: every token sees all others.

    As wide as the decoder, with its embedding. Source: T5, arXiv 1910.10683.
    """

    blocks: Mapping[str, Block] = nouns(Block, "the kinds of layer, by name")
    stack: tuple[tuple[str, int], ...] = other("the layers in order, as runs (name of block, repeat)")
    positions: Number = count("rows of a learned position embedding; 0 if none", least=0, default=0)

    @property
    def layers(self) -> int:
        return sum(repeat for _, repeat in self.stack)


class Vision(Noun):
    """A vision tower: patches of an image through layers of their own, some merged into one token each.

    `tokens` of an image reach the language model: in its prompt, or under its cross-attention where it has
    some. The tower itself works on `merge` patches a token. Source: ViT, arXiv 2010.11929.
    """

    d_model: Number = count("width of the tower")
    blocks: Mapping[str, Block] = nouns(Block, "the kinds of layer, by name")
    stack: tuple[tuple[str, int], ...] = other("the layers in order, as runs (name of block, repeat)")
    patch: Number = count("values of a patch: channels x height x width, x frames where two share one")
    merge: Number = count("patches that become one token", default=1)
    tokens: Number = count("tokens an image becomes, unless the use case says otherwise", most=1e6)
    token_side: Number | None = count(
        "pixels on a side of a token, where images of any size go in; none where the size is fixed",
        default=None,
    )
    projector: tuple[int, ...] = other("widths from a merged patch to the language model", default=())
    projectors: Number = count("projectors: one, and one a layer that reaches the decoder early", default=1)
    positions: Number = count("rows of a learned position embedding; 0 if none", least=0, default=0)

    @property
    def layers(self) -> int:
        return sum(repeat for _, repeat in self.stack)


class Published(Noun):
    """What the authors say the model has, to check the computed numbers against."""

    parameters: Number = ratio("parameters in all", above=0)
    active_parameters: Number | None = ratio("parameters a token uses, in a MoE", above=0, default=None)
    active_leaves_out: str = choice(
        "what the authors leave out of the active count",
        "nothing",
        "embedding",
        "embedding-and-head",
        default="nothing",
    )


class Model(Noun):
    """A language model. Layers are kept as runs of equal blocks; equal blocks are counted once."""

    name: str = text("catalog id")
    d_model: Number = count("width of the residual stream")
    vocab: Number = count("rows of the embedding")
    blocks: Mapping[str, Block] = nouns(Block, "the kinds of layer, by name")
    stack: tuple[tuple[str, int], ...] = other("the layers in order, as runs (name of block, repeat)")
    encoder: Encoder | None = noun(Encoder, "layers that read the input ahead of the decoder", default=None)
    vision: Vision | None = noun(Vision, "the tower that turns images into tokens", default=None)
    tied_embeddings: bool = flag("the LM head is the embedding, stored once", default=False)
    positions: Number = count("rows of a learned position embedding; 0 if none", least=0, default=0)
    max_context: Number | None = count("longest context the authors trained for", default=None)
    precision: Precision = other("the published storage format", default=Precision.of("bf16"))
    published: Published | None = noun(Published, "parameter counts the authors state", default=None)
    aliases: tuple[str, ...] = texts("other names that mean exactly this model", default=())
    sources: Mapping[str, Source] = other("citation of each number, by its path", default={})

    @property
    def layers(self) -> int:
        return sum(repeat for _, repeat in self.stack)

    @property
    def has_experts(self) -> bool:
        return any(isinstance(block.feedforward, Moe) for block in self.blocks.values())

    @property
    def looks_across(self) -> bool:
        """Some layers attend to an encoder's output or to images, not to the prompt."""
        return any(block.cross_attention is not None for block in self.blocks.values())
