"""The indexer of sparse attention as counts: its projections, its cache of keys, the scores.

Source: DeepSeek-V3.2 (2025); with one index head a group of KV heads, MiniMax-M3 (2026).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine.counts.ops import Elements, Operator, Shard, linear
from genzcli.engine.counts.spans import Span
from genzcli.numeric import ceil
from genzcli.spec.model import Indexer

if TYPE_CHECKING:
    from genzcli.numeric import Number

#: Bytes of an index key beside its FP8 elements: one FP32 scale.
_SCALE_BYTES = 4


def heads(index: Indexer, shard: Shard) -> Number:
    """Index heads a chip computes: all of them where they pick for every head, else those of its KV heads."""
    return ceil(index.heads / shard.tp) if index.grouped else index.heads


def key_bytes(index: Indexer, shard: Shard) -> Number:
    """Bytes of one index key; every rank holds it."""
    if index.reuses:
        return 0
    return index.head_dim + _SCALE_BYTES if index.fp8 else index.head_dim * shard.size.kv


def key_columns(index: Indexer, shard: Shard) -> Number:
    """Columns projected from the stream: the one key, and where heads are summed their weights."""
    return index.head_dim + (0 if index.grouped else heads(index, shard))


def projections(
    index: Indexer, query_from: Number, d_model: Number, tokens: Number, shard: Shard
) -> list[Operator]:
    """The indexer's queries, its one key and the weights of its heads; nothing where it reuses a choice."""
    if index.reuses:
        return []
    query = heads(index, shard) * index.head_dim
    return [
        linear("index q", tokens, query_from, query, shard.size),
        linear("index k", tokens, d_model, key_columns(index, shard), shard.size),
    ]


def elements(index: Indexer, query_from: Number, d_model: Number, shard: Shard) -> Number:
    """Weights of those projections on one chip."""
    if index.reuses:
        return 0
    return query_from * heads(index, shard) * index.head_dim + d_model * key_columns(index, shard)


def score(index: Indexer, span: Span, sequences: Number, shard: Shard) -> tuple[Operator, ...]:
    """Index scores of every key: 2 t ctx Hi di FLOP, the index keys of each sequence read once."""
    if index.reuses:
        return ()
    local = heads(index, shard)
    return (
        Operator(
            name="indexer",
            kind="attention",
            part="indexer" if index.fp8 else "kernel",
            flop=2 * span.tokens * span.context * local * index.head_dim,
            elements=Elements(span.tokens * span.context * local, 3),  # ReLU, weight, sum over heads
            kv_bytes=(span.kv_read + span.kv_written) * key_bytes(index, shard),
            kv_written_bytes=span.kv_written * key_bytes(index, shard),
            activation_bytes=span.tokens * local * index.head_dim * shard.size.activations,
            groups=sequences,
            rows=span.tokens * local,
            keys=span.context,
        ),
    )
