"""Attention over a window and over entries compressed in time, as counts.

Source: DeepSeek-V4 (2026): compressed sparse attention (an indexer picks entries of a few tokens) and
heavily compressed attention (all entries of many tokens).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine.counts import indexer
from genzcli.engine.counts.ops import Collective, Operator, Shard, linear, off_chip, softmax
from genzcli.engine.counts.spans import DecodeStep, Prefill, Span
from genzcli.numeric import ceil, maximum, minimum
from genzcli.spec.model import CompressedAttention, Indexer

if TYPE_CHECKING:
    from genzcli.numeric import Number

#: What waits to be pooled is kept in FP32.
_PENDING_BYTES = 4


def heads(mixer: CompressedAttention, shard: Shard) -> Number:
    """Query heads a chip computes."""
    return ceil(mixer.heads / shard.tp)


def series(mixer: CompressedAttention) -> int:
    """Projections pooled into an entry: of its own window, and of the one before where they overlap."""
    return 2 if mixer.overlap else 1


def pooled_columns(mixer: CompressedAttention) -> Number:
    """Columns the stream is projected to for pooling, values and weights: every rank repeats them."""
    if mixer.ratio is None:
        return 0
    index = 0 if mixer.index is None else mixer.index.head_dim
    return 2 * series(mixer) * (mixer.head_dim + index)


def out_groups(mixer: CompressedAttention, shard: Shard) -> Number:
    """Groups of the output projection a chip has part in."""
    return maximum(1, ceil(mixer.out_groups / shard.tp))


def entry_bytes(mixer: CompressedAttention, shard: Shard) -> Number:
    """Bytes of one compressed entry, its index key included; every rank holds it."""
    index = 0 if mixer.index is None else indexer.key_bytes(mixer.index, shard)
    return mixer.head_dim * shard.size.kv + index


def row_bytes(mixer: CompressedAttention, shard: Shard) -> Number:
    """Bytes of a token as it is, in the window."""
    return mixer.head_dim * shard.size.kv


def share_bytes(mixer: CompressedAttention, shard: Shard) -> Number:
    """A token's share of a compressed entry."""
    return 0 if mixer.ratio is None else entry_bytes(mixer, shard) / mixer.ratio


def kv_bytes_per_token(mixer: CompressedAttention, shard: Shard) -> Number:
    """A row of the window, not yet full, and the token's share of an entry."""
    return row_bytes(mixer, shard) + share_bytes(mixer, shard)


def pending_bytes(mixer: CompressedAttention) -> Number:
    """What a sequence keeps of the tokens not yet pooled, values and weights in FP32."""
    if mixer.ratio is None:
        return 0
    return series(mixer) * mixer.ratio * pooled_columns(mixer) * _PENDING_BYTES


def held_bytes(
    mixer: CompressedAttention, prompt: Number, output: Number, beams: Number, shard: Shard
) -> Number:
    """Cache bytes of a finished request in one layer on one chip: window, entries, what waits."""
    whole = prompt + beams * output
    window = minimum(whole, beams * mixer.window) * row_bytes(mixer, shard)
    if mixer.ratio is None:
        return window
    return window + whole / mixer.ratio * entry_bytes(mixer, shard) + beams * pending_bytes(mixer)


def before(mixer: CompressedAttention, d_model: Number, tokens: Number, shard: Shard) -> tuple[Operator, ...]:
    """Query down and up, the one key, the projections that are pooled, the indexer's queries."""
    size = shard.size
    columns = mixer.q_rank + mixer.head_dim + pooled_columns(mixer)
    operators = [
        linear("qkv down", tokens, d_model, columns, size),
        linear("q up", tokens, mixer.q_rank, heads(mixer, shard) * mixer.head_dim, size),
    ]
    if mixer.index is not None:
        query = indexer.heads(mixer.index, shard) * mixer.index.head_dim
        operators.append(linear("index q", tokens, mixer.q_rank, query, size))
        operators.append(linear("index weights", tokens, d_model, mixer.index.heads, size))
    return tuple(operators)


def kernels(
    mixer: CompressedAttention, visit: Prefill | DecodeStep, shard: Shard, *, flash: bool
) -> tuple[Operator, ...]:
    """The indexer over all entries, where there is one, and attention."""
    rows = attend(mixer, visit, shard, flash=flash)
    if mixer.index is None or mixer.ratio is None:
        return (rows,)
    return *indexer.score(mixer.index, entries(visit.span(), mixer.ratio), visit.sequences, shard), rows


def entries(span: Span, ratio: Number) -> Span:
    """A span of tokens as a span of the entries they leave."""
    return span.replace(
        context=span.context / ratio, kv_read=span.kv_read / ratio, kv_written=span.kv_written / ratio
    )


def attend(mixer: CompressedAttention, visit: Prefill | DecodeStep, shard: Shard, *, flash: bool) -> Operator:
    """Attention over the window and the entries: 4 t keys H d FLOP, keys and values the same row.

    An indexer's best k entries stand for k ratio tokens, so they are all there are until then. Scores stay
    on chip, or 4 t keys H elements move.
    """
    near, local = visit.span(mixer.window), heads(mixer, shard)
    keys, moved, written = near.context, near.kv_read + near.kv_written, near.kv_written
    if mixer.ratio is not None:
        reach = None if mixer.index is None else mixer.index.top_k * mixer.ratio
        far = entries(visit.span(reach), mixer.ratio)
        keys, moved = keys + far.context, moved + far.kv_read + far.kv_written
        written = written + far.kv_written
    scores = near.tokens * keys * local
    passed = 2 * near.tokens * local * mixer.head_dim + off_chip(scores, flash=flash)
    return Operator(
        name="attention",
        kind="attention",
        flop=4 * near.tokens * keys * local * mixer.head_dim,
        elements=softmax(scores),
        kv_bytes=moved * mixer.head_dim * shard.size.kv,
        kv_written_bytes=written * mixer.head_dim * shard.size.kv,
        activation_bytes=passed * shard.size.activations,
        groups=visit.sequences,
        rows=near.tokens * local,
        keys=keys,
    )


def after(
    mixer: CompressedAttention, d_model: Number, tokens: Number, shard: Shard, sends: tuple[Collective, ...]
) -> tuple[Operator, ...]:
    """The output by groups of heads, [H d / g] x [., r] each, then all groups to the stream."""
    groups, local = out_groups(mixer, shard), heads(mixer, shard)
    width = local * mixer.head_dim
    grouped = linear("out groups", tokens, width / groups, groups * mixer.out_rank, shard.size)
    moved = tokens * (width + groups * mixer.out_rank) * shard.size.activations
    return (
        grouped.replace(activation_bytes=moved),
        linear("out", tokens, groups * mixer.out_rank, d_model, shard.size).replace(sends=sends),
    )


def weight_bytes(mixer: CompressedAttention, d_model: Number, shard: Shard) -> Number:
    """D (q_rank + d + pooled) + q_rank H d + H d r + g r D, and the indexer's; biases of positions too."""
    local = heads(mixer, shard)
    elements = d_model * (mixer.q_rank + mixer.head_dim + pooled_columns(mixer))
    elements = elements + mixer.q_rank * local * mixer.head_dim
    elements = elements + local * mixer.head_dim * mixer.out_rank
    elements = elements + out_groups(mixer, shard) * mixer.out_rank * d_model
    if mixer.ratio is not None:
        elements = elements + mixer.ratio * pooled_columns(mixer) / 2
    if mixer.index is not None:
        elements = elements + _index_elements(mixer.index, mixer.q_rank, d_model, shard)
    return elements * shard.size.weights


def _index_elements(index: Indexer, q_rank: Number, d_model: Number, shard: Shard) -> Number:
    """Queries and weights of the index heads; the keys are pooled."""
    return q_rank * indexer.heads(index, shard) * index.head_dim + d_model * index.heads


def peak_width(mixer: CompressedAttention, shard: Shard) -> Number:
    """Elements a token holds at the widest point: queries, outputs, and what is pooled."""
    return 2 * heads(mixer, shard) * mixer.head_dim + mixer.head_dim + pooled_columns(mixer)


def bend(mixer: CompressedAttention) -> Number:
    """Context at which a decode step stops growing, or grows by entries alone."""
    if mixer.index is None or mixer.ratio is None:
        return mixer.window
    return mixer.index.top_k * mixer.ratio
