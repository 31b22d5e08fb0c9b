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
    output_gate: bool = flag("the output is gated by a projection of its own", default=False)

    @property
    def d_value(self) -> Number:
        return self.head_dim if self.value_dim is None else self.value_dim


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


Mixer: TypeAlias = Attention
FeedForward: TypeAlias = Mlp | Moe


class Block(Noun):
    """One layer: a mixer and a feed-forward part, one after the other or in parallel."""

    attention: Mixer = noun(Attention, "how tokens see each other")
    feedforward: FeedForward = other("an `mlp` or a `moe`")
    norms: Number = count("normalisations a layer", default=2, least=0)
    parallel: bool = flag(
        "attention and MLP read the same input, one all-reduce for both (GPT-J)", default=False
    )


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
