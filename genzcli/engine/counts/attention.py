"""Softmax attention as counts: projections, the fused attention kernel, and what the cache holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine.counts import indexer
from genzcli.engine.counts.ops import (
    Collective,
    Elements,
    Operator,
    Shard,
    activated,
    elementwise,
    linear,
    off_chip,
    softmax,
)
from genzcli.engine.counts.spans import DecodeStep, Prefill, Span
from genzcli.numeric import maximum, minimum
from genzcli.spec.model import Attention

if TYPE_CHECKING:
    from genzcli.numeric import Number


def head_width(attention: Attention) -> Number:
    """Elements of K and V one KV head stores a token."""
    return attention.head_dim + attention.d_value


def kv_bytes_per_token(attention: Attention, shard: Shard) -> Number:
    """Cache bytes one token takes in one layer on one chip: max(1, Hkv / tp) (d_qk + d_v) b_kv, and an
    index key where there is an indexer."""
    index = 0 if attention.index is None else indexer.key_bytes(attention.index, shard)
    return row_bytes(attention, shard) + index


def row_bytes(attention: Attention, shard: Shard) -> Number:
    """Bytes of a token's keys and values on one chip."""
    return shard.kv_heads(attention) * head_width(attention) * shard.size.kv


def cached_tokens(attention: Attention, prompt: Number, output: Number, beams: Number) -> Number:
    """Tokens of cache a finished request holds: prompt + beams x output (GenZ section VI-A), less what a
    window or a chunk lets go. A layer that reads another's cache holds none."""
    if attention.shares_kv:
        return 0
    whole = prompt + beams * output
    limit = attention.window if attention.chunk is None else attention.chunk
    return whole if limit is None else minimum(whole, beams * limit)


def held_bytes(attention: Attention, prompt: Number, output: Number, beams: Number, shard: Shard) -> Number:
    """Cache bytes of a finished request in one layer on one chip."""
    return cached_tokens(attention, prompt, output, beams) * kv_bytes_per_token(attention, shard)


def projected(attention: Attention, shard: Shard) -> Number:
    """Columns of the QKV projection on one chip: H/tp d_qk + max(1, Hkv/tp) (d_qk + d_v), and a gate's.

    Queries that come through a narrow width take that many, on every rank.
    """
    heads, kv_heads = shard.heads(attention), shard.kv_heads(attention)
    query = heads * attention.head_dim if attention.q_rank is None else attention.q_rank
    keys = kv_heads * (attention.head_dim if attention.k_is_v else head_width(attention))
    gates = heads * attention.d_value if attention.output_gate else 0
    return query + (0 if attention.shares_kv else keys) + gates


def read_width(attention: Attention, d_model: Number) -> Number:
    """Width of what Q, K and V are projected from."""
    return d_model if attention.d_input is None else attention.d_input


def project(attention: Attention, d_model: Number, tokens: Number, shard: Shard) -> Operator:
    """Q, K and V (and the output gate's rows) in one GEMM."""
    return linear("qkv", tokens, read_width(attention, d_model), projected(attention, shard), shard.size)


def before(
    attention: Attention, d_model: Number, tokens: Number, shard: Shard, *, fused: bool
) -> tuple[Operator, ...]:
    """What runs ahead of the kernel."""
    operators = [project(attention, d_model, tokens, shard)]
    if attention.q_rank is not None:
        width = shard.heads(attention) * attention.head_dim
        operators.append(linear("q up", tokens, attention.q_rank, width, shard.size))
    operators += rotate(attention, tokens, shard, fused=fused)
    if attention.index is not None:
        operators += indexer.projections(attention.index, d_model, d_model, tokens, shard)
    return tuple(operators)


def kernels(
    attention: Attention, visit: Prefill | DecodeStep, shard: Shard, *, flash: bool
) -> tuple[Operator, ...]:
    """The attention kernel of a pass, behind an indexer over all keys where there is one."""
    if attention.index is None:
        span = visit.span(attention.window, attention.chunk)
        return (attend(attention, span, shard, flash=flash, sequences=visit.sequences),)
    seen = visit.span(attention.index.top_k)
    best = attend(attention, seen, shard, flash=flash, sequences=visit.sequences)
    return *indexer.score(attention.index, visit.span(), visit.sequences, shard), best


def after(
    attention: Attention, d_model: Number, tokens: Number, shard: Shard, sends: tuple[Collective, ...]
) -> tuple[Operator, ...]:
    """What runs behind the kernel."""
    return (
        *gate(attention, tokens, shard),
        output(attention, d_model, tokens, shard, sends),
    )


def attend(attention: Attention, span: Span, shard: Shard, *, flash: bool, sequences: Number = 1) -> Operator:
    """Logits, softmax and weighted sum in one kernel: 2 t ctx H (d_qk + d_v) FLOP.

    Reads each sequence's cache once, writes the new tokens' K and V. Scores stay on chip
    (FlashAttention, arXiv 2205.14135); without it 4 t ctx H elements move. A KV head of a sequence is a
    group; its rows are its query heads times the query tokens.
    """
    heads, width = shard.heads(attention), head_width(attention)
    groups = sequences * shard.kv_heads(attention)
    pairs = span.tokens * span.context
    written = 0 if attention.shares_kv else span.kv_written
    token_bytes = row_bytes(attention, shard)
    moved = span.tokens * (heads * width) + off_chip(pairs * heads, flash=flash)
    return Operator(
        name="attention",
        kind="attention",
        flop=pairs * (2 * heads * width),
        elements=softmax(pairs * heads),
        kv_bytes=(span.kv_read + written) * token_bytes,
        kv_written_bytes=written * token_bytes,
        activation_bytes=moved * shard.size.activations,
        groups=groups,
        rows=span.tokens * heads,
        sharing=heads / shard.kv_heads(attention),
        keys=span.context,
    )


def output(
    attention: Attention, d_model: Number, tokens: Number, shard: Shard, sends: tuple[Collective, ...]
) -> Operator:
    """The output projection, [t, H/tp d_v] x [., D]."""
    operator = linear("out", tokens, shard.heads(attention) * attention.d_value, d_model, shard.size)
    return operator.replace(sends=sends)


def rotate(attention: Attention, tokens: Number, shard: Shard, *, fused: bool) -> tuple[Operator, ...]:
    """Rotary embedding of Q and K, read and written; nothing when fused into the cache write."""
    if fused:
        return ()
    width = (shard.heads(attention) + shard.kv_heads(attention)) * attention.head_dim
    turned = Elements(tokens * width, 3)  # two products and a sum
    return (elementwise("rotary", 2 * tokens * width, shard.size, work=turned),)


def gate(attention: Attention, tokens: Number, shard: Shard) -> tuple[Operator, ...]:
    """Output gate: the gate and the output read, their product written."""
    if not attention.output_gate:
        return ()
    values = tokens * shard.heads(attention) * attention.d_value
    return (elementwise("output gate", 3 * values, shard.size, work=activated(values)),)


def weight_bytes(attention: Attention, d_model: Number, shard: Shard) -> Number:
    """Projections stored on one chip: D (H d_qk + Hkv (d_qk + d_v)) + H d_v D elements, biases left out."""
    heads = shard.heads(attention)
    elements = read_width(attention, d_model) * projected(attention, shard)
    elements = elements + heads * attention.d_value * d_model
    if attention.q_rank is not None:
        elements = elements + attention.q_rank * heads * attention.head_dim
    if attention.index is not None:
        elements = elements + indexer.elements(attention.index, d_model, d_model, shard)
    return elements * shard.size.weights


def peak_width(attention: Attention, shard: Shard) -> Number:
    """Elements a token holds at the widest point of the mixer: Q, K, V and the output."""
    heads = shard.heads(attention)
    width = heads * head_width(attention) + shard.kv_heads(attention) * head_width(attention)
    return maximum(width, 1)
