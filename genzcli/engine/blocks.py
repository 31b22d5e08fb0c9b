"""A layer as a list of operators: the mixer and the feed-forward part, with what stands between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine import cross, feedforward, mixers
from genzcli.engine.cross import Look
from genzcli.engine.lora import Adapters
from genzcli.engine.ops import Collective, Operator, Shard, elementwise, gather, linear, reduce_over_tp
from genzcli.engine.routing import Routing
from genzcli.engine.spans import DecodeStep, Prefill
from genzcli.numeric import maximum
from genzcli.spec.model import Block, Mlp, Model, Moe
from genzcli.spec.noun import Noun, flag, noun, ratio

if TYPE_CHECKING:
    from genzcli.numeric import Number


class Options(Noun):
    """Techniques that change what a layer counts."""

    routing: Routing = noun(Routing, "how tokens spread over experts")
    evenness: Number = ratio("tokens of the mean attention group over those of the busiest", default=1.0)
    adapters: Adapters | None = noun(Adapters, "LoRA adapters that requests use", default=None)
    flash: bool = flag("scores stay on chip", default=True)
    fused: bool = flag("norms fused with residual adds, rotary with the cache write", default=True)


def norms(block: Block, d_model: Number, tokens: Number, shard: Shard, options: Options) -> Operator:
    """Norms and residual adds of a layer.

    Fused, one kernel a norm reads the stream and the residual and writes both: 4 D a token. Apart,
    the norm moves 2 D and the add 3 D. Sequence parallelism gives each chip 1/tp of the tokens.
    """
    moved = (4 if options.fused else 5) * block.norms * tokens * d_model
    return elementwise("norms", moved / shard.tp if shard.sp else moved, shard.size)


def before_kernel(
    block: Block, d_model: Number, tokens: Number, shard: Shard, options: Options, *, decode: bool
) -> tuple[Operator, ...]:
    """The operators of a layer up to its mixer's kernel."""
    ahead = norms(block, d_model, tokens, shard, options)
    if block.mixer is None:
        return (ahead,)
    mixer = mixers.before(block.mixer, d_model, tokens, shard, decode=decode, fused=options.fused)
    return (ahead, *mixer)


def kernels(
    block: Block, visit: Prefill | DecodeStep, shard: Shard, options: Options
) -> tuple[Operator, ...]:
    """The operators of a layer that see more than one token; attention's cost grows with the context."""
    if block.mixer is None:
        return ()
    return mixers.kernels(block.mixer, visit, shard, flash=options.flash)


def new_kv_bytes(block: Block, visit: Prefill | DecodeStep, shard: Shard) -> Number:
    """Keys and values that a pass adds to the cache of one layer on one chip."""
    return 0 if block.mixer is None else visit.tokens * mixers.kv_bytes_per_token(block.mixer, shard)


def after_kernel(
    block: Block, d_model: Number, tokens: Number, shard: Shard, options: Options
) -> tuple[Operator, ...]:
    """The operators of a layer behind its mixer's kernel: output projection, feed-forward part."""
    after: tuple[Operator, ...] = ()
    if block.mixer is not None:
        # In parallel, one all-reduce behind the feed-forward part sums both.
        alone = not block.parallel or block.feedforward is None
        sends = reduce_over_tp(tokens * d_model, shard) if alone else ()
        after = mixers.after(block.mixer, d_model, tokens, shard, sends)
    match block.feedforward:
        case Mlp() as part:
            return (*after, *feedforward.dense(part, d_model, tokens, shard))
        case Moe() as part:
            everybody = tokens * shard.dp * options.evenness
            rest = feedforward.experts(part, d_model, tokens, everybody, shard, options.routing)
            return (*after, *rest)
    return after


def across(block: Block, d_model: Number, look: Look, shard: Shard) -> tuple[Operator, ...]:
    """The cross-attention of a layer; its cost does not depend on the step."""
    if block.cross_attention is None:
        return ()
    sends = reduce_over_tp(look.tokens * d_model, shard)
    found = cross.operators(block.cross_attention, d_model, look, shard.mixing, sends)
    parts = {"cross attention": "kernel"}
    return tuple(operator.replace(part=parts.get(operator.name, "attention")) for operator in found)


def embed(model: Model, tokens: Number, shard: Shard) -> Operator:
    """The embedding: a look-up in a table cut over the vocabulary, so its rows are summed over TP."""
    return gather("embedding", tokens, model.d_model, shard.size.of_tables).replace(
        sends=reduce_over_tp(tokens * model.d_model, shard)
    )


def head(model: Model, positions: Number, shard: Shard) -> Operator:
    """Final projection on `positions` tokens: the last one of each sequence, not the whole prompt.

    Each chip has V/tp rows; the logits are gathered over TP.
    """
    payload = positions * model.vocab * shard.size.activations
    size = shard.size.of_tables
    return linear("head", positions, model.d_model, model.vocab / shard.tp, size).replace(
        part="embeddings", sends=(Collective(kind="all-gather", group="tp", bytes=payload),)
    )


def weight_bytes(block: Block, d_model: Number, shard: Shard) -> Number:
    """Weights of one layer stored on one chip, norms included, biases left out."""
    total = block.norms * d_model * shard.size.weights
    if block.mixer is not None:
        total = total + mixers.weight_bytes(block.mixer, d_model, shard)
    if block.cross_attention is not None:
        total = total + cross.weight_bytes(block.cross_attention, d_model, shard.mixing)
    if block.feedforward is not None:
        total = total + feedforward.weight_bytes(block.feedforward, d_model, shard)
    return total


def peak_width(block: Block, d_model: Number, shard: Shard) -> Number:
    """Elements a token holds while this layer runs: the stream, its residual, and the widest inner tensor."""
    inner: Number = 0
    if block.mixer is not None:
        inner = mixers.peak_width(block.mixer, shard)
    if block.feedforward is not None:
        inner = maximum(inner, feedforward.peak_width(block.feedforward, d_model, shard))
    return 2 * d_model + inner
