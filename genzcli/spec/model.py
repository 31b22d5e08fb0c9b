"""A model: a stack of blocks, each a mixer (attention) and a feed-forward part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from genzcli.spec.dtype import Precision
from genzcli.spec.noun import Noun, choice, count, flag, noun, nouns, other, ratio, text, texts
from genzcli.spec.source import Source

if TYPE_CHECKING:
    from genzcli.numeric import Number


class Indexer(Noun):
    """Indexer of sparse attention: scores all keys cheaply, attention reads the best `top_k`.

    DeepSeek-V3.2 (DSA, 2025) sums its heads' scores by learned weights and picks keys for all heads.
    MiniMax-M3 (2026) has an index head a KV head, and each picks whole blocks of keys for its own group.
    """

    heads: Number = count("index heads, one key shared by all")
    head_dim: Number = count("width of an index head")
    top_k: Number = count("keys a token attends to")
    grouped: bool = flag("each head picks for its own KV heads; else learned weights sum them", default=False)
    fp8: bool = flag("index keys are cached in FP8 with a scale; else as the cache is", default=True)
    reuses: bool = flag("takes the keys an earlier layer picked: nothing of its own", default=False)


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
    q_rank: Number | None = count(
        "width the queries of all heads are projected from (multi-matrix factorisation)", default=None
    )
    d_input: Number | None = count("width of what it reads; that of the stream if left out", default=None)
    index: Indexer | None = noun(Indexer, "sparse attention over the best keys", default=None)

    @property
    def d_value(self) -> Number:
        return self.head_dim if self.value_dim is None else self.value_dim


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


class CompressedAttention(Noun):
    """Attention over the last tokens as they are and over older ones compressed in time.

    One head of `head_dim` is key and value at once for all query heads. Each `ratio` tokens leave one
    entry, pooled from projections of their own; an indexer may pick the best entries. The output is
    projected by groups of heads to `out_rank` each, then to the stream. Source: DeepSeek-V4 (2026), CSA
    and HCA.
    """

    heads: Number = count("query heads")
    head_dim: Number = count("width of a head, and of an entry of the cache")
    q_rank: Number = count("width the query is compressed to")
    window: Number = count("last tokens that are seen uncompressed")
    ratio: Number | None = count("tokens an entry stands for; the window alone if left out", default=None)
    overlap: bool = flag(
        "an entry is pooled from two windows of `ratio` tokens, by twice the columns", default=False
    )
    out_groups: Number = count("groups of heads the output is projected by")
    out_rank: Number = count("width each group is projected to")
    index: Indexer | None = noun(Indexer, "sparse attention over the best entries", default=None)


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
    gate_rank: Number | None = count("width the gate is projected through; none if left out", default=None)
    decay_rank: Number | None = count(
        "width that decays of each key channel are projected through; one decay a head if left out",
        default=None,
    )
    chunk: Number = count("tokens a chunk of the prefill", default=64)


class ShortConvolution(Noun):
    """Gated short convolution: two gates and the channels projected, convolved, projected back (LFM2)."""

    channels: Number = count("channels of the convolution")
    d_conv: Number = count("taps", default=3)


class SideBySide(Noun):
    """Attention and Mamba-2 on the same input, their outputs summed. Source: Falcon-H1, arXiv 2507.22448."""

    attention: Attention = noun(Attention, "the one")
    mamba2: Mamba2 = noun(Mamba2, "the other")


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
    groups: Number = count("equal groups of experts that a router chooses among first", default=1)
    groups_per_token: Number = count("groups that may take a token", default=1)

    @property
    def limited(self) -> bool:
        """Whether a token may go to experts of some groups only."""
        return bool(self.groups_per_token < self.groups)


Recurrent: TypeAlias = Mamba | Mamba2 | LinearAttention | ShortConvolution
Mixer: TypeAlias = Attention | LatentAttention | CompressedAttention | Recurrent | SideBySide
FeedForward: TypeAlias = Mlp | Moe


class Streams(Noun):
    """Several residual streams in place of one: a layer reads a mix of them and writes to all.

    Hyper-connections map all streams to the mixing weights before each part of a layer (arXiv 2409.19606;
    manifold-constrained in DeepSeek-V4, arXiv 2512.24880). AltUp predicts and corrects them once a layer
    (arXiv 2301.13310; Gemma 3n).
    """

    count: Number = count("residual streams side by side")
    rule: str = choice("how they are mixed", "hyper-connections", "altup", default="hyper-connections")


class LayerEmbedding(Noun):
    """An embedding of the token for one layer, gated by the stream and added to it (Gemma 3n, Gemma 4)."""

    vocab: Number = count("rows of the table")
    width: Number = count("width of a row")


class Reuse(Noun):
    """Layers that are one set of weights, stored once and run where each of them stands (Zamba).

    Each use may have low-rank adapters of its own (Zamba2, arXiv 2411.15242) and a matrix behind it.
    """

    number: Number = count("which set of weights, where a model has several that are alike", default=1)
    attention_rank: Number | None = count("rank of each use's adapters of Q, K and V", default=None)
    mlp_rank: Number | None = count("rank of each use's adapters of the MLP's up and gate", default=None)
    link: bool = flag("each use has a D x D projection of its own behind it", default=False)


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
    joins: Number | None = count(
        "streams that are joined and projected to one ahead of the layer", default=None, least=2
    )
    parallel: bool = flag(
        "attention and MLP read the same input, one all-reduce for both (GPT-J)", default=False
    )
    streams: Streams | None = noun(Streams, "several residual streams", default=None)
    layer_embedding: LayerEmbedding | None = noun(
        LayerEmbedding, "its own embedding of the token", default=None
    )
    branch_rank: Number | None = count(
        "rank of a low-rank branch beside the mixer (LAuReL, arXiv 2411.07501)", default=None
    )
    reuse: Reuse | None = noun(Reuse, "its layers share one set of weights", default=None)


class Mtp(Noun):
    """Multi-token prediction: modules that draft, each with one layer of its own.

    A module joins the stream with the embedding of the next token, projects 2 D to D, runs one layer, and
    drafts a token through the model's own embedding and head. Source: DeepSeek-V3, arXiv 2412.19437, 2.2.
    """

    modules: Number = count("distinct modules; a token further ahead reuses the last one", default=1)
    block: str = text("the kind of layer in a module, one of the model's blocks", default="layer")


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
    mtp: Mtp | None = noun(Mtp, "multi-token-prediction modules, beside the layers", default=None)
    published: Published | None = noun(Published, "parameter counts the authors state", default=None)
    aliases: tuple[str, ...] = texts("other names that mean exactly this model", default=())
    sources: Mapping[str, Source] = other("citation of each number, by its path", default={})
    origin: str = other("the file it was read from; empty for one that is built in", default="")
    hides: bool = other("a built-in entry has this name too", default=False)

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
