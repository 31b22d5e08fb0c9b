"""Operators as counts: FLOP and bytes on one chip after sharding. Knows no hardware."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from genzcli.numeric import ceil, maximum, minimum, where
from genzcli.spec.dtype import Precision, bytes_per_element, pattern_bytes
from genzcli.spec.model import Attention, Moe
from genzcli.spec.noun import Noun, count, flag, noun, other, ratio, text

if TYPE_CHECKING:
    from genzcli.numeric import Number


class Copies(NamedTuple):
    """Bytes of the tokens that a chip sends to experts, by who gets a copy of one."""

    members: Callable[[Number], Number]  # each of so many groups of chips that holds one of its experts
    experts: Number  # each of its experts


class Collective(Noun):
    """What an operator sends when it is done: the whole, unsharded buffer and the group it goes round."""

    kind: str = text("all-reduce, all-gather, reduce-scatter, all-to-all, send-recv")
    group: str = text("tp, ep, expert-tp or pp")
    bytes: Number = ratio("whole buffer of one member (an all-gather's shard is bytes / size)")
    copies: Copies | None = other("tokens to experts: bytes if others got the copies", default=None)


class Elements(NamedTuple):
    """What vector units do: so many elements, with so much arithmetic and so many functions (exp, …) each."""

    number: Number
    flop: Number
    functions: Number = 0


#: Of an attention score: scaled and less the row's maximum (a multiply-add), that maximum, the sum.
_SOFTMAX_FLOP = 4
#: Of an activation function x f(x), times the other half where it is gated, beside one exponential.
_ACTIVATION_FLOP = 4


def softmax(scores: Number) -> Elements:
    """The softmax over attention scores, as FlashAttention runs it (arXiv 2205.14135)."""
    return Elements(scores, _SOFTMAX_FLOP, 1)


def off_chip(scores: Number, *, flash: bool) -> Number:
    """Elements of attention scores that move: without FlashAttention S and P are each written and read."""
    return 0 if flash else 4 * scores


def activated(values: Number) -> Elements:
    """SiLU, GELU or a sigmoid gate on each of the values."""
    return Elements(values, _ACTIVATION_FLOP, 1)


class Operator(Noun):
    """One kernel on one chip: counts only.

    reduction is the length of the dot products of a GEMM, which some kernels pay for. groups, rows and keys
    are the kernel's shape: independent problems in it (one of a GEMM, experts, (sequence, KV head) pairs),
    rows of all of them (tokens, query rows), keys a row sees. Kernels work in tiles of rows and keys.
    """

    name: str = text("what a profile of the kernel would call it")
    kind: str = text("gemm, attention, moe, elementwise, gather")
    flop: Number = ratio(
        "floating-point operations of matrix products and recurrences; 1 MAC = 2 FLOP", default=0.0
    )
    products: bool = flag("its FLOP are matrix products; no: vector units do them", default=True)
    elements: Elements | None = other("what vector units do, whether or not `flop` counts it", default=None)
    weight_bytes: Number = ratio("weights read", default=0.0)
    kv_bytes: Number = ratio("KV cache read and written", default=0.0)
    kv_written_bytes: Number = ratio("what of them is written", default=0.0)
    activation_bytes: Number = ratio("activations read and written", default=0.0)
    sharing: Number = ratio("query heads that share a KV head and may each read it", default=1.0)
    idle_bytes: Number = ratio("activations of rows that are other ranks' work", default=0.0)
    reduction: Number = ratio("length of the dot products", default=0.0)
    part: str = text(
        "whose format it computes in: weights, experts, attention, embeddings; kernel, indexer: no weights",
        default="weights",
    )
    groups: Number | None = ratio("independent problems; none where the kernel has no tiles", default=None)
    rows: Number = ratio("rows of all groups together", default=1.0)
    keys: Number = ratio("keys a row sees", default=1.0)
    sends: tuple[Collective, ...] = other("collectives that follow", default=())


class Bytes(Noun):
    """Bytes an element of each kind of tensor takes."""

    weights: Number = ratio("weights")
    experts: Number = ratio("weights of the routed experts")
    kv: float = ratio("KV cache")
    activations: float = ratio("activations and messages")
    attention: Number | None = ratio("weights of the mixers; like the others if left out", default=None)
    embeddings: Number | None = ratio("embedding and head; like the others if left out", default=None)
    head: Number | None = ratio(
        "head, and an embedding tied to it; like the embedding if left out", default=None
    )

    @classmethod
    def of(cls, precision: Precision, density: Number = 1.0, pattern: str = "") -> Bytes:
        """Unstructured sparsity keeps `density` of the weights and a bit a place that says which.

        An N:M `pattern` keeps N of M weights of the layers (see `spec.dtype.pattern_bytes`); embedding and
        head stay whole.
        """

        def weight(part: str) -> Number:
            name = precision.stored(part)
            if pattern and part not in ("embeddings", "head"):
                return pattern_bytes(name, pattern)
            whole = bytes_per_element(name)
            # Who stores it takes whichever is smaller.
            return where(density < 1, minimum(density * whole + 1 / 8, whole), whole)

        return cls(
            weights=weight("weights"),
            experts=weight("experts"),
            kv=bytes_per_element(precision.kv),
            activations=bytes_per_element(precision.activations),
            attention=weight("attention") if precision.attention else None,
            embeddings=weight("embeddings") if precision.embeddings or pattern else None,
            head=weight("head") if precision.stored("head") != precision.stored("embeddings") else None,
        )

    @property
    def of_mixers(self) -> Bytes:
        """With the mixers' weights for weights."""
        return self if self.attention is None else self.replace(weights=self.attention)

    @property
    def of_tables(self) -> Bytes:
        """With the embedding's weights for weights."""
        return self if self.embeddings is None else self.replace(weights=self.embeddings)

    @property
    def of_head(self) -> Bytes:
        """With the head's weights for weights."""
        return self.of_tables if self.head is None else self.replace(weights=self.head)


class Shard(Noun):
    """How a layer is cut. Attention runs on tp chips in each of dp groups, experts on all tp x dp."""

    tp: Number = count("tensor-parallel chips", default=1)
    dp: Number = count("attention-DP groups that share the experts; 1 for a dense model", default=1)
    ep: Number = count("groups the experts are spread over", default=1)
    sp: bool = flag("sequence parallel", default=False)
    redundant: Number = count("routed experts held more than once, a layer", least=0, default=0)
    size: Bytes = noun(Bytes, "bytes an element")

    @property
    def mixing(self) -> Shard:
        """As a mixer sees it: its own format of weights."""
        return self if self.size.attention is None else self.replace(size=self.size.of_mixers)

    @property
    def expert_tp(self) -> Number:
        """Chips that share one expert."""
        return self.tp * self.dp / self.ep

    def heads(self, attention: Attention) -> Number:
        """Query heads a chip computes; padded up when tp does not divide them."""
        return ceil(attention.heads / self.tp)

    def kv_heads(self, attention: Attention) -> Number:
        """KV heads a chip stores: never split below one, so copies appear when tp > kv_heads."""
        return maximum(1, ceil(attention.kv_heads / self.tp))

    def experts(self, moe: Moe) -> Number:
        """Routed experts whose weights (or a slice of them) a chip stores, redundant ones included."""
        return ceil((moe.experts + self.redundant) / self.ep)


#: One chip, one byte an element: counts of elements come out of the byte formulas.
WHOLE = Shard(size=Bytes(weights=1.0, experts=1.0, kv=1.0, activations=1.0))


def linear(name: str, tokens: Number, k: Number, n: Number, size: Bytes, *, kind: str = "gemm") -> Operator:
    """`[tokens, k] x [k, n]`: 2 t k n FLOP, k n weights read once, t (k + n) activations moved.

    Source: the usual GEMM count; GenZ section III-A.
    """
    return Operator(
        name=name,
        kind=kind,
        flop=tokens * (2 * k * n),
        weight_bytes=k * n * size.weights,
        activation_bytes=tokens * ((k + n) * size.activations),
        reduction=k,
        groups=1,
        rows=tokens,
    )


def gather(name: str, tokens: Number, width: Number, size: Bytes) -> Operator:
    """A table look-up: `tokens` rows of `width` read and written, no FLOP. So an embedding."""
    return Operator(
        name=name,
        kind="gather",
        weight_bytes=tokens * width * size.weights,
        activation_bytes=tokens * width * size.activations,
    )


def elementwise(
    name: str, values: Number, size: Bytes, idle: Number = 0.0, *, work: Elements | None = None
) -> Operator:
    """Norms, residual adds, rotary, activation functions: `values` elements read or written.

    `idle` are elements of rows that are other ranks' work.
    """
    return Operator(
        name=name,
        kind="elementwise",
        activation_bytes=values * size.activations,
        idle_bytes=idle * size.activations,
        elements=work,
    )


def reduce_over_tp(values: Number, shard: Shard) -> tuple[Collective, ...]:
    """Sum `values` elements over the TP group: all-reduce, or its two halves with sequence parallelism."""
    payload = values * shard.size.activations
    kinds = ("reduce-scatter", "all-gather") if shard.sp else ("all-reduce",)
    return tuple(Collective(kind=kind, group="tp", bytes=payload) for kind in kinds)
