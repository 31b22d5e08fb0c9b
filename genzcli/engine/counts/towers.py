"""Layers beside the decoder as counts: a text encoder, a vision tower. Every token sees its whole input."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from genzcli.engine.counts import attention, blocks
from genzcli.engine.counts.blocks import Options
from genzcli.engine.counts.ops import Operator, Shard, elementwise, gather, linear, reduce_over_tp
from genzcli.engine.counts.spans import Span
from genzcli.numeric import maximum, minimum
from genzcli.spec.model import Attention, Block, Encoder, Vision
from genzcli.spec.noun import Noun, ratio

if TYPE_CHECKING:
    from genzcli.numeric import Number


class Inputs(Noun):
    """What a tower reads in one pass of one attention group."""

    inputs: Number = ratio("texts, or images")
    tokens: Number = ratio("tokens, or patches, of each")


def layer(
    block: Block, d_model: Number, work: Inputs, shard: Shard, options: Options
) -> tuple[Operator, ...]:
    """The operators of one layer of a tower."""
    tokens = work.inputs * work.tokens
    before = blocks.before_kernel(block, d_model, tokens, shard, options, decode=False)
    after = blocks.after_kernel(block, d_model, tokens, shard, options)
    if not isinstance(block.mixer, Attention):
        return (*before, *after)
    return (*before, attend(block.mixer, work, shard, flash=options.flash), *after)


def attend(part: Attention, work: Inputs, shard: Shard, *, flash: bool) -> Operator:
    """Attention in both directions: a token sees all of its input, or of its window or tile.

    2 t n H (d_qk + d_v) FLOP, n tokens seen by each of t: the square, where a causal prompt costs half of
    it. K and V are activations, read once; no cache is left behind.
    """
    seen = work.tokens
    for limit in (part.window, part.chunk):
        seen = seen if limit is None else minimum(seen, limit)
    tokens = work.inputs * work.tokens
    span = Span(tokens=tokens, context=seen, kv_read=0, kv_written=0)
    apart = work.inputs if part.chunk is None else work.inputs * maximum(work.tokens / part.chunk, 1)
    kernel = attention.attend(part, span, shard, flash=flash, sequences=apart)
    keys = tokens * shard.kv_heads(part) * attention.head_width(part) * shard.size.activations
    return kernel.replace(activation_bytes=kernel.activation_bytes + keys, part="kernel")


# --- a text encoder ---


def embed(d_model: Number, tokens: Number, shard: Shard) -> Operator:
    """The encoder's look-up in the embedding it shares with the decoder."""
    return gather("embedding", tokens, d_model, shard.size.of_tables).replace(
        sends=reduce_over_tp(tokens * d_model, shard)
    )


# --- a vision tower ---


def vision_ends(
    vision: Vision, d_text: Number, work: Inputs, shard: Shard
) -> tuple[tuple[Operator, ...], tuple[Operator, ...]]:
    """The patch embedding ahead of the layers, and the projectors behind them.

    A patch of P values is projected to the tower's width. `merge` patches are one token, which goes through
    the projector's matrices, [t, w_i] x [w_i, w_(i+1)]. Both are held by every chip and cut by tokens.
    """
    share = work.inputs * work.tokens / shard.tp
    patched = linear("patches", share, vision.patch, vision.d_model, shard.size)
    widths = vision.projector
    through = tuple(
        linear("projector", vision.projectors * share / vision.merge, k, n, shard.size).replace(
            weight_bytes=vision.projectors * k * n * shard.size.weights
        )
        for k, n in pairwise(widths)
    )
    placed = elementwise("image tokens", 2 * share / vision.merge * d_text, shard.size)
    return (patched,), (*through, placed)


# --- what they hold ---


def encoder_elements(encoder: Encoder, d_model: Number) -> Number:
    """Weights beside its layers: positions and the last norm."""
    return (encoder.positions + 1) * d_model


def vision_elements(vision: Vision) -> Number:
    """Weights beside its layers, whole on every chip: patch embedding, positions, last norm, projectors."""
    through: Number = 0
    for k, n in pairwise(vision.projector):
        through = through + k * n
    return (vision.patch + vision.positions + 1) * vision.d_model + vision.projectors * through


def layers_bytes(tower: Encoder | Vision, d_model: Number, shard: Shard) -> Number:
    """Weights of all its layers on one chip."""
    total: Number = 0
    for name, repeat in tower.stack:
        total = total + repeat * blocks.weight_bytes(tower.blocks[name], d_model, shard)
    return total


def peak_width(tower: Encoder | Vision, d_model: Number, shard: Shard) -> Number:
    """Elements a token holds while its widest layer runs."""
    width: Number = 0
    for block in tower.blocks.values():
        width = maximum(width, blocks.peak_width(block, d_model, shard))
    return width
