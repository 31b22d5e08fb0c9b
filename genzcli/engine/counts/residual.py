"""What stands around the parts of a layer, as counts: several residual streams, a layer's own embedding of
the token, a low-rank branch beside the mixer.

Sources: hyper-connections, arXiv 2409.19606 and 2512.24880; AltUp, 2301.13310; LAuReL, 2411.07501; embeddings
of each layer, Gemma 3n (2025).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine.counts.ops import Elements, Operator, Shard, elementwise, gather, linear
from genzcli.numeric import maximum
from genzcli.spec.model import Block, LayerEmbedding, Model, Streams

if TYPE_CHECKING:
    from genzcli.numeric import Number

#: Parts of a layer, each behind hyper-connections of its own: mixer and feed-forward part.
_SITES = 2


def operators(block: Block, d_model: Number, tokens: Number, shard: Shard) -> tuple[Operator, ...]:
    """Everything of a layer that is neither norm, mixer nor feed-forward part."""
    found: list[Operator] = []
    if block.streams is not None:
        found += _streams(block.streams, d_model, tokens, shard)
    if block.branch_rank is not None:
        found.append(linear("branch down", tokens, d_model, block.branch_rank, shard.size))
        found.append(linear("branch up", tokens, block.branch_rank, d_model, shard.size))
    if block.layer_embedding is not None:
        found += _own_embedding(block.layer_embedding, d_model, tokens, shard)
    return tuple(found)


def _streams(streams: Streams, d_model: Number, tokens: Number, shard: Shard) -> list[Operator]:
    """The mapping of n streams to their mixing weights, and what n streams move beside one.

    Hyper-connections, for each of two parts: n D -> n (n + 2) weights; n streams read to collapse them, n
    read and n written to expand, 3 (n - 1) D more than one stream. AltUp, once a layer: D -> n, n D read and
    written to predict and again to correct.
    """
    n = streams.count
    share = shard.tp if shard.sp else 1
    if streams.rule == "altup":
        moved = 4 * (n - 1) * tokens * d_model / share
        return [
            linear("streams map", tokens, d_model, n, shard.size),
            elementwise("streams", moved, shard.size, work=Elements(moved, 2)),  # a multiply-add each
        ]
    mapped = linear("streams map", _SITES * tokens, n * d_model, n * (n + 2), shard.size)
    moved = _SITES * 3 * (n - 1) * tokens * d_model / share
    return [
        mapped.replace(weight_bytes=_SITES * mapped.weight_bytes),
        elementwise("streams", moved, shard.size, work=Elements(moved, 2)),
    ]


def _own_embedding(own: LayerEmbedding, d_model: Number, tokens: Number, shard: Shard) -> list[Operator]:
    """A row of the table, the stream's start projected and added to it, a gate from the stream, and back."""
    return [
        gather("layer embedding", tokens, own.width, shard.size.of_tables),
        linear("layer embedding in", tokens, d_model, own.width, shard.size),
        linear("layer embedding gate", tokens, d_model, own.width, shard.size),
        linear("layer embedding out", tokens, own.width, d_model, shard.size),
    ]


def embedding_elements(block: Block) -> Number:
    """Elements of the layer's own table."""
    own = block.layer_embedding
    return 0 if own is None else own.vocab * own.width


def elements(block: Block, d_model: Number) -> Number:
    """Weights beside norms, mixer, feed-forward part and table, on every chip alike."""
    total: Number = 0
    if block.streams is not None:
        n = block.streams.count
        if block.streams.rule == "altup":  # router; prediction n^3, correction n^2
            total = total + n * d_model + n * n * (n + 1)
        else:
            total = total + _SITES * n * d_model * n * (n + 2)
    if block.branch_rank is not None:
        total = total + 2 * d_model * block.branch_rank
    if block.layer_embedding is not None:
        total = total + 3 * d_model * block.layer_embedding.width
    return total


def end_elements(model: Model) -> Number:
    """Weights at each end of AltUp's streams: one D x D matrix to make, one to join, each stream but one."""
    for block in model.blocks.values():
        if block.streams is not None and block.streams.rule == "altup":
            return (block.streams.count - 1) * model.d_model * model.d_model
    return 0


def ends(model: Model, tokens: Number, shard: Shard) -> Operator | None:
    """The work of one end of AltUp's streams."""
    weights = end_elements(model)
    if not any(b.streams is not None and b.streams.rule == "altup" for b in model.blocks.values()):
        return None
    return linear("streams ends", tokens, model.d_model, weights / model.d_model, shard.size)


def count(model: Model) -> Number:
    """Residual streams that go from layer to layer."""
    most: Number = 1
    for block in model.blocks.values():
        if block.streams is not None:
            most = maximum(most, block.streams.count)
    return most


def looked_up(model: Model) -> Number:
    """Width of all embeddings a token has: the model's, and those of its layers."""
    total = model.d_model
    for name, repeat in model.stack:
        own = model.blocks[name].layer_embedding
        if own is not None:
            total = total + repeat * own.width
    return total
