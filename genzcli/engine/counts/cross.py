"""Cross-attention as counts: K and V of what is looked at, made once and read at every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine.counts.ops import Collective, Operator, Shard, linear, off_chip, softmax
from genzcli.numeric import ceil, maximum
from genzcli.spec.model import CrossAttention
from genzcli.spec.noun import Noun, ratio

if TYPE_CHECKING:
    from genzcli.numeric import Number


class Look(Noun):
    """What one pass of one attention group sees across."""

    tokens: Number = ratio("query tokens")
    sequences: Number = ratio("sequences; beams of one share what they look at")
    seen: Number = ratio("tokens that each looks at")
    fresh: Number | None = ratio("sequences whose K and V this pass makes; none in decode", default=None)


def _heads(cross: CrossAttention, shard: Shard) -> Number:
    return ceil(cross.heads / shard.tp)


def _kv_heads(cross: CrossAttention, shard: Shard) -> Number:
    return maximum(1, ceil(cross.kv_heads / shard.tp))


def kv_bytes_per_token(cross: CrossAttention, shard: Shard) -> Number:
    """Bytes one token that is looked at takes in one layer on one chip: max(1, Hkv / tp) 2 d b_kv."""
    return _kv_heads(cross, shard) * 2 * cross.head_dim * shard.size.kv


def operators(
    cross: CrossAttention,
    d_model: Number,
    look: Look,
    shard: Shard,
    sends: tuple[Collective, ...],
    *,
    flash: bool,
) -> tuple[Operator, ...]:
    """Query, K and V where they are new, the kernel and the output projection.

    With t query tokens and M tokens looked at by each of s sequences: 4 t M H d FLOP; a pass reads s M
    tokens of cache and writes those it makes. Scores stay on chip, or 4 t M H elements move. Nothing grows
    with the step.
    """
    heads, width = _heads(cross, shard), cross.head_dim
    token_bytes = kv_bytes_per_token(cross, shard)
    made = 0 if look.fresh is None else look.fresh * look.seen
    scores = look.tokens * look.seen * heads
    moved = 2 * look.tokens * heads * width + off_chip(scores, flash=flash)
    kernel = Operator(
        name="cross attention",
        kind="attention",
        flop=4 * look.tokens * look.seen * heads * width,
        elements=softmax(scores),
        kv_bytes=(look.sequences * look.seen + made) * token_bytes,
        kv_written_bytes=made * token_bytes,
        activation_bytes=moved * shard.size.activations,
        groups=look.sequences * _kv_heads(cross, shard),
        rows=look.tokens * heads,
        keys=look.seen,
    )
    query = linear("cross query", look.tokens, d_model, heads * width, shard.size)
    out = linear("cross out", look.tokens, heads * width, d_model, shard.size).replace(sends=sends)
    if look.fresh is None:
        return query, kernel, out
    keys = _kv_heads(cross, shard) * 2 * width
    return query, linear("cross keys, values", made, d_model, keys, shard.size), kernel, out


def weight_bytes(cross: CrossAttention, d_model: Number, shard: Shard) -> Number:
    """Projections stored on one chip: D (2 H d + 2 Hkv d) elements."""
    keys = _kv_heads(cross, shard) * 2 * cross.head_dim
    return d_model * (2 * _heads(cross, shard) * cross.head_dim + keys) * shard.size.weights
