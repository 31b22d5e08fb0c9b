"""A layer as a list of operators: the mixer and the feed-forward part, with what stands between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine import attention, feedforward
from genzcli.engine.attention import Span
from genzcli.engine.feedforward import Routing
from genzcli.engine.ops import Collective, Operator, Shard, elementwise, gather, linear, reduce_over_tp
from genzcli.numeric import maximum
from genzcli.spec.model import Block, Mlp, Model
from genzcli.spec.noun import Noun, flag, noun, ratio

if TYPE_CHECKING:
    from genzcli.numeric import Number


class Options(Noun):
    """Techniques that change what a layer counts."""

    routing: Routing = noun(Routing, "how tokens spread over experts")
    evenness: Number = ratio("tokens of the mean attention group over those of the busiest", default=1.0)
    flash: bool = flag("scores stay on chip", default=True)
    fused: bool = flag("norms fused with residual adds, rotary with the cache write", default=True)


def norms(block: Block, d_model: Number, tokens: Number, shard: Shard, options: Options) -> Operator:
    """Norms and residual adds of a layer.

    Fused, one kernel a norm reads the stream and the residual and writes both: 4 D a token. Apart,
    the norm moves 2 D and the add 3 D. Sequence parallelism gives each chip 1/tp of the tokens.
    """
    moved = (4 if options.fused else 5) * block.norms * tokens * d_model
    return elementwise("norms", moved / shard.tp if shard.sp else moved, shard.size)


def independent_operators(
    block: Block, d_model: Number, tokens: Number, shard: Shard, options: Options
) -> tuple[Operator, ...]:
    """All operators of a layer that do not depend on the context, in the order they run."""
    mixer = block.attention
    sends: tuple[Collective, ...] = ()
    if not block.parallel:
        sends = attention.mixer_sends(tokens, d_model, shard)
    part = block.feedforward
    if isinstance(part, Mlp):
        after = feedforward.dense(part, d_model, tokens, shard)
    else:
        everybody = tokens * shard.dp * options.evenness
        after = feedforward.experts(part, d_model, tokens, everybody, shard, options.routing)
    return (
        norms(block, d_model, tokens, shard, options),
        attention.project(mixer, d_model, tokens, shard),
        *attention.rotate(mixer, tokens, shard, fused=options.fused),
        *attention.gate(mixer, tokens, shard),
        attention.output(mixer, d_model, tokens, shard, sends),
        *after,
    )


def context_operator(block: Block, span: Span, shard: Shard, options: Options) -> Operator:
    """The one operator of a layer whose cost grows with the context."""
    return attention.attend(block.attention, span, shard, flash=options.flash)


def embed(model: Model, tokens: Number, shard: Shard) -> Operator:
    """The embedding: a look-up in a table cut over the vocabulary, so its rows are summed over TP."""
    return gather("embedding", tokens, model.d_model, shard.size).replace(
        sends=reduce_over_tp(tokens * model.d_model, shard)
    )


def head(model: Model, positions: Number, shard: Shard) -> Operator:
    """Final projection on `positions` tokens: the last one of each sequence, not the whole prompt.

    Each chip has V/tp rows; the logits are gathered over TP.
    """
    payload = positions * model.vocab * shard.size.activations
    return linear("head", positions, model.d_model, model.vocab / shard.tp, shard.size).replace(
        sends=(Collective(kind="all-gather", group="tp", bytes=payload),)
    )


def weight_bytes(block: Block, d_model: Number, shard: Shard) -> Number:
    """Weights of one layer stored on one chip, norms included, biases left out."""
    return (
        attention.weight_bytes(block.attention, d_model, shard)
        + feedforward.weight_bytes(block.feedforward, d_model, shard)
        + block.norms * d_model * shard.size.weights
    )


def peak_width(block: Block, d_model: Number, shard: Shard) -> Number:
    """Elements a token holds while this layer runs: the stream, its residual, and the widest inner tensor."""
    inner = maximum(
        attention.peak_width(block.attention, shard),
        feedforward.peak_width(block.feedforward, d_model, shard),
    )
    return 2 * d_model + inner
