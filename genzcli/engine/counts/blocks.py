"""A layer as a list of operators: the mixer and the feed-forward part, with what stands between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine.counts import cross, feedforward, mixers, residual, reuse
from genzcli.engine.counts.cross import Look
from genzcli.engine.counts.lora import Adapters
from genzcli.engine.counts.ops import (
    Collective,
    Elements,
    Operator,
    Shard,
    elementwise,
    gather,
    linear,
    reduce_over_tp,
)
from genzcli.engine.counts.routing import Routing
from genzcli.engine.counts.spans import DecodeStep, Prefill
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
    values = tokens * (block.norms * d_model)
    if shard.sp:
        values = values / shard.tp
    # Sum with the residual, square and sum, scale by the norm and by a weight.
    return elementwise("norms", (4 if options.fused else 5) * values, shard.size, work=Elements(values, 5))


def before_kernel(
    block: Block, d_model: Number, tokens: Number, shard: Shard, options: Options, *, decode: bool
) -> tuple[Operator, ...]:
    """The operators of a layer up to its mixer's kernel."""
    ahead: tuple[Operator, ...] = (
        norms(block, d_model, tokens, shard, options),
        *residual.operators(block, d_model, tokens, shard),
        *reuse.before(block, d_model, tokens, shard),
    )
    if block.joins is not None:  # every rank repeats it, as servers do
        ahead = (*ahead, linear("join", tokens, block.joins * d_model, d_model, shard.size))
    if block.mixer is None:
        return ahead
    mixer = mixers.before(block.mixer, d_model, tokens, shard, decode=decode, fused=options.fused)
    return (*ahead, *mixer)


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
    behind = reuse.after(block, d_model, tokens, shard)
    match block.feedforward:
        case Mlp() as part:
            return (*after, *feedforward.dense(part, d_model, tokens, shard), *behind)
        case Moe() as part:
            everybody = tokens * shard.dp * options.evenness
            rest = feedforward.experts(part, d_model, tokens, everybody, shard, options.routing)
            return (*after, *rest, *behind)
    return (*after, *behind)


def across(block: Block, d_model: Number, look: Look, shard: Shard, options: Options) -> tuple[Operator, ...]:
    """The cross-attention of a layer; its cost does not depend on the step."""
    if block.cross_attention is None:
        return ()
    sends = reduce_over_tp(look.tokens * d_model, shard)
    part, flash = block.cross_attention, options.flash
    found = cross.operators(part, d_model, look, shard.mixing, sends, flash=flash)
    parts = {"cross attention": "kernel"}
    return tuple(operator.replace(part=parts.get(operator.name, "attention")) for operator in found)


def embed(model: Model, tokens: Number, shard: Shard) -> Operator:
    """The embedding: a look-up in a table cut over the vocabulary, so its rows are summed over TP.

    Rows of the layers' own tables are summed with it.
    """
    return gather("embedding", tokens, model.d_model, shard.size.of_tables).replace(
        sends=reduce_over_tp(tokens * residual.looked_up(model), shard)
    )


def head(model: Model, positions: Number, shard: Shard) -> Operator:
    """Final projection on `positions` tokens: the last one of each sequence, not the whole prompt.

    Each chip has V/tp rows; the logits are gathered over TP.
    """
    payload = positions * model.vocab * shard.size.activations
    size = shard.size.of_head
    return linear("head", positions, model.d_model, model.vocab / shard.tp, size).replace(
        part="embeddings", sends=(Collective(kind="all-gather", group="tp", bytes=payload),)
    )


def weight_bytes(block: Block, d_model: Number, shard: Shard) -> Number:
    """Weights that one layer reads on one chip, norms included, biases left out."""
    return stored_bytes(block, d_model, shard, 1)


def stored_bytes(block: Block, d_model: Number, shard: Shard, layers: Number) -> Number:
    """Weights of `layers` equal layers stored on one chip: shared ones once, what each has for itself
    each time."""
    each = (block.norms * d_model + residual.elements(block, d_model)) * shard.size.weights
    each = each + residual.embedding_elements(block) / shard.tp * shard.size.of_tables.weights
    if block.joins is not None:
        each = each + block.joins * d_model * d_model * shard.size.weights
    if block.mixer is not None:
        each = each + mixers.weight_bytes(block.mixer, d_model, shard)
    if block.cross_attention is not None:
        each = each + cross.weight_bytes(block.cross_attention, d_model, shard.mixing)
    if block.feedforward is not None:
        each = each + feedforward.weight_bytes(block.feedforward, d_model, shard)
    if block.reuse is None:
        return layers * each
    return each + layers * reuse.own_elements(block, d_model, shard) * shard.size.weights


def peak_width(block: Block, d_model: Number, shard: Shard) -> Number:
    """Elements a token holds while this layer runs: the stream, its residual, and the widest inner tensor."""
    inner: Number = 0
    if block.mixer is not None:
        inner = mixers.peak_width(block.mixer, shard)
    if block.feedforward is not None:
        inner = maximum(inner, feedforward.peak_width(block.feedforward, d_model, shard))
    streams = 1 if block.streams is None else block.streams.count
    return (streams + 1) * d_model + inner
