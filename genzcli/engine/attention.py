"""Softmax attention as counts: projections, the fused attention kernel, and what the cache holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine.ops import Collective, Operator, Shard, elementwise, linear, reduce_over_tp
from genzcli.numeric import clip, maximum, minimum
from genzcli.spec.model import Attention
from genzcli.spec.noun import Noun, ratio

if TYPE_CHECKING:
    from genzcli.numeric import Number


class Span(Noun):
    """What attention sees in one pass of one attention group."""

    tokens: Number = ratio("query tokens")
    context: Number = ratio("keys a query token sees, mean over the tokens")
    kv_read: Number = ratio("tokens of cache read, each sequence's once")
    kv_written: Number = ratio("tokens of cache written")


def mean_context(past: Number, new: Number, window: Number | None) -> Number:
    """Mean over i = 1..new of `min(past + i, window)`: the keys causal token i sees.

    Without a window this is past + (new + 1) / 2, so a prefill costs S (S + 1) / 2, not S^2.
    With one, the first k = clip(window - past, 0, new) tokens see everything before them.
    """
    if window is None:
        return past + (new + 1) / 2
    whole = clip(window - past, 0, new)
    return (whole * (past + (whole + 1) / 2) + (new - whole) * window) / new


def prefill_span(sequences: Number, new: Number, past: Number, window: Number | None) -> Span:
    """`sequences` prompts of `new` tokens each, behind `past` cached ones."""
    cached = past if window is None else minimum(past, window - 1)
    return Span(
        tokens=sequences * new,
        context=mean_context(past, new, window),
        kv_read=sequences * (cached + new),
        kv_written=sequences * new,
    )


def decode_span(
    sequences: Number, beams: Number, prompt: Number, step: Number, window: Number | None
) -> Span:
    """Output step `step` (1-based): each token sees prompt + step keys.

    Beams share the prompt's cache: `prompt + beams * step` tokens are read a sequence, but every
    beam computes its own scores. A window forgets the prompt first.
    """
    if window is None:
        context, shared, own = prompt + step, prompt, step
    else:
        own = minimum(step, window)
        shared = clip(window - step, 0, prompt)
        context = own + shared
    return Span(
        tokens=sequences * beams,
        context=context,
        kv_read=sequences * (shared + beams * own),
        kv_written=sequences * beams,
    )


def head_width(attention: Attention) -> Number:
    """Elements of K and V one KV head stores a token."""
    return attention.head_dim + attention.d_value


def kv_bytes_per_token(attention: Attention, shard: Shard) -> Number:
    """Cache bytes one token takes in one layer on one chip: max(1, Hkv / tp) (d_qk + d_v) b_kv."""
    return shard.kv_heads(attention) * head_width(attention) * shard.size.kv


def cached_tokens(attention: Attention, prompt: Number, output: Number, beams: Number) -> Number:
    """Tokens of cache a finished request holds: prompt + beams x output (GenZ section VI-A), less what a
    window lets go."""
    whole = prompt + beams * output
    return whole if attention.window is None else minimum(whole, beams * attention.window)


def project(attention: Attention, d_model: Number, tokens: Number, shard: Shard) -> Operator:
    """QKV in one GEMM, n = H/tp d_qk + max(1, Hkv/tp) (d_qk + d_v), and the output gate's H/tp d_v."""
    gates = shard.heads(attention) * attention.d_value if attention.output_gate else 0
    width = shard.heads(attention) * attention.head_dim + shard.kv_heads(attention) * head_width(attention)
    return linear("qkv", tokens, d_model, width + gates, shard.size)


def attend(attention: Attention, span: Span, shard: Shard, *, flash: bool) -> Operator:
    """Logits, softmax and weighted sum in one kernel: 2 t ctx H (d_qk + d_v) FLOP.

    Reads each sequence's cache once, writes the new tokens' K and V. Scores stay on chip
    (FlashAttention, arXiv 2205.14135); without it S and P are each written and read: 4 t ctx H
    elements.
    """
    heads = shard.heads(attention)
    pairs = span.tokens * span.context * heads
    moved = span.tokens * heads * head_width(attention) + (0 if flash else 4 * pairs)
    return Operator(
        name="attention",
        kind="attention",
        flop=2 * pairs * head_width(attention),
        kv_bytes=(span.kv_read + span.kv_written) * kv_bytes_per_token(attention, shard),
        activation_bytes=moved * shard.size.activations,
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
    return (elementwise("rotary", 2 * tokens * width, shard.size),)


def gate(attention: Attention, tokens: Number, shard: Shard) -> tuple[Operator, ...]:
    """Output gate: the gate and the output read, their product written."""
    if not attention.output_gate:
        return ()
    return (elementwise("output gate", 3 * tokens * shard.heads(attention) * attention.d_value, shard.size),)


def mixer_sends(tokens: Number, d_model: Number, shard: Shard) -> tuple[Collective, ...]:
    """The all-reduce after the output projection: t D elements over the TP group."""
    return reduce_over_tp(tokens * d_model, shard)


def weight_bytes(attention: Attention, d_model: Number, shard: Shard) -> Number:
    """Projections stored on one chip: D (H d_qk + Hkv (d_qk + d_v)) + H d_v D elements, biases left out."""
    heads, kv_heads = shard.heads(attention), shard.kv_heads(attention)
    into = heads * attention.head_dim + kv_heads * head_width(attention)
    gates = heads * attention.d_value if attention.output_gate else 0
    return d_model * (into + gates + heads * attention.d_value) * shard.size.weights


def peak_width(attention: Attention, shard: Shard) -> Number:
    """Elements a token holds at the widest point of the mixer: Q, K, V and the output."""
    heads = shard.heads(attention)
    width = heads * head_width(attention) + shard.kv_heads(attention) * head_width(attention)
    return maximum(width, 1)
