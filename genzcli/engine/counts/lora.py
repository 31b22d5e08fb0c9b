"""LoRA adapters as counts: y = W x + B (A x), many adapters resident, each request using one of them.

A is [k, r] and B [r, n] beside a matrix [k, n]. Sources: Hu et al., arXiv 2106.09685; batches that mix
adapters, Punica (2310.18547) and S-LoRA (2311.03285).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from genzcli.engine.counts import attention, compressed, latent, recurrent
from genzcli.engine.counts.ops import WHOLE, Operator, Shard
from genzcli.engine.counts.stages import Stage
from genzcli.numeric import minimum
from genzcli.spec.model import (
    Attention,
    Block,
    CompressedAttention,
    FeedForward,
    LatentAttention,
    Mamba,
    Mixer,
    Mlp,
    Model,
    SideBySide,
)
from genzcli.spec.noun import Noun, count, text

if TYPE_CHECKING:
    from genzcli.numeric import Number

#: Adapters are trained, stored and computed in 16 bits, whatever the base model is stored in.
ADAPTER_BYTES = 2


class Adapters(Noun):
    """The adapters that requests of a batch use."""

    rank: Number = count("rank of every adapter", least=0)
    count: Number = count("adapters resident on the chips")
    on: str = text("all-linear, attention or qv")


class Slot(NamedTuple):
    """Matrices [k, .] that read one input, n columns together, each with an A of its own."""

    name: str
    matrices: int
    k: Number
    n: Number

    @property
    def width(self) -> Number:
        """Elements a unit of rank: k of every A, n of the Bs together."""
        return self.matrices * self.k + self.n


def slots(block: Block, d_model: Number, shard: Shard, on: str) -> Iterator[Slot]:
    """What an adapter of a layer stands beside, on one chip.

    A matrix cut over its columns has A whole on every chip and B cut, one cut over its rows the other way
    round; so no collective is added (vLLM's default). `all-linear` is every projection, dense MLP and shared
    expert; routed experts, routers, indexers, embedding and head have none. `qv` is the query's and the
    value's projection of softmax attention, the choice of Hu et al.
    """
    if block.mixer is not None:
        yield from _mixer(block.mixer, d_model, shard, on)
    if on == "all-linear" and block.feedforward is not None:
        yield from _feedforward(block.feedforward, d_model, shard)


def _mixer(mixer: Mixer, d_model: Number, shard: Shard, on: str) -> Iterator[Slot]:
    match mixer:
        case Attention():
            yield from _attention(mixer, d_model, shard, on)
        case SideBySide():
            for part in (mixer.attention, mixer.mamba2):
                yield from _mixer(part, d_model, shard, on)
        case _ if on == "qv":
            return
        case LatentAttention():
            yield from _latent(mixer, d_model, shard)
        case CompressedAttention():
            yield from _compressed(mixer, d_model, shard)
        case _:
            width = recurrent.widths(mixer, shard)
            yield Slot("in", 1, d_model, width.projected)
            if isinstance(mixer, Mamba):
                yield Slot("x", 1, width.out, mixer.dt_rank + 2 * mixer.d_state)
                yield Slot("dt", 1, mixer.dt_rank, width.out)
            yield Slot("out", 1, width.out, d_model)


def _attention(mixer: Attention, d_model: Number, shard: Shard, on: str) -> Iterator[Slot]:
    heads, kv_heads = shard.heads(mixer), shard.kv_heads(mixer)
    width = attention.read_width(mixer, d_model)
    query = heads * mixer.head_dim if mixer.q_rank is None else mixer.q_rank
    query = query + (heads * mixer.d_value if mixer.output_gate else 0)
    if on == "qv":
        value = 0 if mixer.shares_kv else kv_heads * mixer.d_value
        yield Slot("q" if mixer.shares_kv else "qv", 1 if mixer.shares_kv else 2, width, query + value)
    else:
        matrices = 1 if mixer.shares_kv else 2 if mixer.k_is_v else 3
        keys = kv_heads * (mixer.head_dim if mixer.k_is_v else attention.head_width(mixer))
        yield Slot("qkv", matrices, width, query + (0 if mixer.shares_kv else keys))
    if mixer.q_rank is not None:
        yield Slot("q up", 1, mixer.q_rank, heads * mixer.head_dim)
    if on != "qv":
        yield Slot("out", 1, heads * mixer.d_value, d_model)


def _compressed(mixer: CompressedAttention, d_model: Number, shard: Shard) -> Iterator[Slot]:
    """Query, the one key and the last projection; what is pooled and the grouped projection have none."""
    yield Slot("qkv down", 2, d_model, mixer.q_rank + mixer.head_dim)
    yield Slot("q up", 1, mixer.q_rank, compressed.heads(mixer, shard) * mixer.head_dim)
    yield Slot("out", 1, compressed.out_groups(mixer, shard) * mixer.out_rank, d_model)


def _latent(mixer: LatentAttention, d_model: Number, shard: Shard) -> Iterator[Slot]:
    heads = latent.heads(mixer, shard)
    yield Slot("qkv down", 2, d_model, latent.down_width(mixer, shard))
    if mixer.q_rank is not None:
        yield Slot("q up", 1, mixer.q_rank, heads * (mixer.nope_dim + mixer.rope_dim))
    yield Slot("kv up", 1, mixer.kv_rank, heads * (mixer.nope_dim + mixer.value_dim))
    if mixer.output_gate:
        yield Slot("gate", 1, d_model, heads * mixer.value_dim)
    yield Slot("out", 1, heads * mixer.value_dim, d_model)


def _feedforward(part: FeedForward, d_model: Number, shard: Shard) -> Iterator[Slot]:
    inner = (part.d_ff if isinstance(part, Mlp) else part.d_shared) / shard.tp
    if not isinstance(part, Mlp) and not part.d_shared:
        return
    front = 2 if part.gated else 1
    yield Slot("up", front, d_model, front * inner)
    yield Slot("down", 1, inner, d_model)


def adaptable(model: Model, on: str) -> bool:
    """Some layer has a place for these adapters."""
    whole = WHOLE
    return any(True for block in model.blocks.values() for _ in slots(block, model.d_model, whole, on))


def elements(model: Model, stage: Stage, on: str, shard: Shard) -> Number:
    """Elements of one adapter of rank 1 on one chip of a stage: sum of k + n over its matrices."""
    total: Number = 0
    for name, repeat in stage.layers.items():
        block = model.blocks[name]
        for slot in slots(block, model.d_model, shard, on):  # one adapter beside weights that layers share
            total = total + (1 if block.reuse is not None else repeat) * slot.width
    return total


def stored_bytes(model: Model, stage: Stage, adapters: Adapters | None, shard: Shard) -> Number:
    """All resident adapters on one chip of a stage: 2 n r sum (k + n)."""
    if adapters is None:
        return 0
    width = elements(model, stage, adapters.on, shard)
    return ADAPTER_BYTES * adapters.count * adapters.rank * width


def operators(
    block: Block, d_model: Number, tokens: Number, sequences: Number, shard: Shard, adapters: Adapters
) -> tuple[Operator, ...]:
    """Shrink (A) and expand (B) behind each group of matrices: 2 t r (k + n) FLOP.

    `sequences` requests use min(n, sequences) adapters: they are spread evenly over them. Each of these is
    read once. The input is read, r elements a token go out and come back, the output is read and written.
    """
    used = minimum(adapters.count, sequences)
    rank, size = adapters.rank, shard.size
    found = []
    for slot in slots(block, d_model, shard, adapters.on):
        inner = slot.matrices * rank
        shrink = Operator(
            name=f"lora {slot.name} shrink",
            kind="gemm",
            flop=2 * tokens * slot.k * inner,
            weight_bytes=used * slot.k * inner * ADAPTER_BYTES,
            activation_bytes=tokens * (slot.k + inner) * size.activations,
            reduction=slot.k,
            part="lora",
        )
        expand = Operator(
            name=f"lora {slot.name} expand",
            kind="gemm",
            flop=2 * tokens * rank * slot.n,
            weight_bytes=used * rank * slot.n * ADAPTER_BYTES,
            activation_bytes=tokens * (inner + 2 * slot.n) * size.activations,
            reduction=rank,
            part="lora",
        )
        found += [shrink, expand]
    return tuple(found)
