"""Multi-head latent attention as counts: one cached latent for all heads, sparse where an indexer picks keys.

Source: DeepSeek-V2, arXiv 2405.04434.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine.counts import indexer
from genzcli.engine.counts.ops import (
    Collective,
    Operator,
    Shard,
    activated,
    elementwise,
    linear,
    off_chip,
    softmax,
)
from genzcli.engine.counts.spans import DecodeStep, Prefill
from genzcli.numeric import ceil, minimum
from genzcli.spec.model import LatentAttention

if TYPE_CHECKING:
    from genzcli.numeric import Number


def heads(mixer: LatentAttention, shard: Shard) -> Number:
    """Query heads a chip computes."""
    return ceil(mixer.heads / shard.tp)


def cached_width(mixer: LatentAttention) -> Number:
    """Elements a token caches: the latent and the key with position. Every TP rank holds all of it."""
    return mixer.kv_rank + mixer.rope_dim


def kv_bytes_per_token(mixer: LatentAttention, shard: Shard) -> Number:
    """(r + d_rope) b_kv, and the index key in FP8 with its scale where there is an indexer."""
    index = 0 if mixer.index is None else indexer.key_bytes(mixer.index, shard)
    return cached_width(mixer) * shard.size.kv + index


def held_bytes(mixer: LatentAttention, prompt: Number, output: Number, beams: Number, shard: Shard) -> Number:
    """Cache bytes of a finished request in one layer on one chip."""
    return (prompt + beams * output) * kv_bytes_per_token(mixer, shard)


def down_width(mixer: LatentAttention, shard: Shard) -> Number:
    """Columns of the projection every rank repeats: the query's latent, the cached latent, the shared key."""
    query = heads(mixer, shard) * (mixer.nope_dim + mixer.rope_dim) if mixer.q_rank is None else mixer.q_rank
    return query + cached_width(mixer)


def before(
    mixer: LatentAttention, d_model: Number, tokens: Number, shard: Shard, *, decode: bool
) -> tuple[Operator, ...]:
    """Down-projections, the query's up-projection, the latent's (absorbed in decode)."""
    local = heads(mixer, shard)
    operators = [linear("qkv down", tokens, d_model, down_width(mixer, shard), shard.size)]
    if mixer.q_rank is not None:
        width = local * (mixer.nope_dim + mixer.rope_dim)
        operators.append(linear("q up", tokens, mixer.q_rank, width, shard.size))
    operators.append(expand(mixer, tokens, shard, decode=decode))
    if mixer.output_gate:
        operators.append(linear("gate", tokens, d_model, local * mixer.value_dim, shard.size))
    if mixer.index is not None:
        operators += indexer.projections(mixer.index, query_from(mixer, d_model), d_model, tokens, shard)
    return tuple(operators)


def expand(mixer: LatentAttention, tokens: Number, shard: Shard, *, decode: bool) -> Operator:
    """The latent's up-projection to keys and values: 2 t r H (d_nope + d_v) FLOP.

    In decode the same matrices are applied to Q and to the kernel's output instead ("absorbed"), with the
    same FLOP and weights; only what moves differs.
    """
    local, inner = heads(mixer, shard), mixer.nope_dim + mixer.value_dim
    operator = linear(
        "absorbed kv up" if decode else "kv up", tokens, mixer.kv_rank, local * inner, shard.size
    )
    if not decode:
        return operator
    moved = tokens * local * (inner + 2 * mixer.kv_rank)
    return operator.replace(activation_bytes=moved * shard.size.activations)


def query_from(mixer: LatentAttention, d_model: Number) -> Number:
    """Width that queries are projected from."""
    return d_model if mixer.q_rank is None else mixer.q_rank


def kernels(
    mixer: LatentAttention, visit: Prefill | DecodeStep, shard: Shard, *, flash: bool
) -> tuple[Operator, ...]:
    """The indexer over all keys, and attention over the best of them (over all without an indexer)."""
    best = attend(mixer, visit, shard, flash=flash)
    if mixer.index is None:
        return (best,)
    return *indexer.score(mixer.index, visit.span(), visit.sequences, shard), best


def attend(mixer: LatentAttention, visit: Prefill | DecodeStep, shard: Shard, *, flash: bool) -> Operator:
    """Decode in the latent space, 2 t ctx H (2 r + d_rope) FLOP; prefill expanded, 2 t ctx H (d_nope +
    d_rope + d_v), cached latents expanded once more. Over an indexer's best keys every token has keys of its
    own: absorbed, or dense where that is cheaper. The latent of each sequence is read once. Scores stay on
    chip, or 4 t ctx H elements move."""
    span = visit.span(None if mixer.index is None else mixer.index.top_k)
    local = heads(mixer, shard)
    scores = span.tokens * span.context * local
    absorbed = 2 * mixer.kv_rank + mixer.rope_dim
    flop = span.tokens * span.context * (2 * local * absorbed)
    width: Number = absorbed
    if not isinstance(visit, DecodeStep):
        width = mixer.nope_dim + mixer.rope_dim + mixer.value_dim
        dense = visit.span()
        again = (dense.kv_read - dense.kv_written) * mixer.kv_rank * (mixer.nope_dim + mixer.value_dim)
        whole = 2 * local * (dense.tokens * dense.context * width + again)
        flop = whole if mixer.index is None else minimum(flop, whole)
    return Operator(
        name="attention",
        kind="attention",
        flop=flop,
        elements=softmax(scores),
        kv_bytes=(span.kv_read + span.kv_written) * (cached_width(mixer) * shard.size.kv),
        kv_written_bytes=span.kv_written * (cached_width(mixer) * shard.size.kv),
        activation_bytes=(span.tokens * (local * width) + off_chip(scores, flash=flash))
        * shard.size.activations,
        groups=visit.sequences,
        rows=span.tokens * local,
        keys=span.context,
    )


def after(
    mixer: LatentAttention, d_model: Number, tokens: Number, shard: Shard, sends: tuple[Collective, ...]
) -> tuple[Operator, ...]:
    """Gate and output projection."""
    width = heads(mixer, shard) * mixer.value_dim
    operators = [linear("out", tokens, width, d_model, shard.size).replace(sends=sends)]
    if mixer.output_gate:
        operators.insert(
            0, elementwise("output gate", 3 * tokens * width, shard.size, work=activated(tokens * width))
        )
    return tuple(operators)


def weight_bytes(mixer: LatentAttention, d_model: Number, shard: Shard) -> Number:
    """Projections stored on one chip; the down-projections and the indexer are whole on every rank."""
    local = heads(mixer, shard)
    elements = d_model * down_width(mixer, shard)
    if mixer.q_rank is not None:
        elements = elements + mixer.q_rank * local * (mixer.nope_dim + mixer.rope_dim)
    elements = elements + mixer.kv_rank * local * (mixer.nope_dim + mixer.value_dim)
    elements = elements + (2 if mixer.output_gate else 1) * local * mixer.value_dim * d_model
    if mixer.index is not None:
        elements = elements + indexer.elements(mixer.index, query_from(mixer, d_model), d_model, shard)
    return elements * shard.size.weights


def peak_width(mixer: LatentAttention, shard: Shard) -> Number:
    """Elements a token holds at the widest point: expanded Q, K, V and the output."""
    local = heads(mixer, shard)
    return local * (2 * (mixer.nope_dim + mixer.rope_dim) + 2 * mixer.value_dim) + cached_width(mixer)
