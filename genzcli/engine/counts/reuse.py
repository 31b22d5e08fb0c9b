"""Layers that are one set of weights: stored once, read at each use, with adapters of each use (Zamba).

Source: Zamba, arXiv 2405.16712; Zamba2, arXiv 2411.15242.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine.counts import attention
from genzcli.engine.counts.feedforward import matrices
from genzcli.engine.counts.ops import Collective, Operator, Shard, linear
from genzcli.spec.model import Attention, Block, Mlp

if TYPE_CHECKING:
    from genzcli.numeric import Number


def _query_adapter(block: Block, d_model: Number, shard: Shard) -> tuple[Number, Number, Number]:
    """(input width, rank of all three, columns on this chip) of the adapters of Q, K and V."""
    mixer, reuse = block.mixer, block.reuse
    if reuse is None or reuse.attention_rank is None or not isinstance(mixer, Attention):
        return 0, 0, 0
    columns = shard.heads(mixer) * mixer.head_dim + shard.kv_heads(mixer) * attention.head_width(mixer)
    return attention.read_width(mixer, d_model), reuse.attention_rank, columns


def _mlp_adapter(block: Block, shard: Shard) -> tuple[Number, Number]:
    """(rank, columns on this chip) of the adapter of the MLP's up and gate."""
    part, reuse = block.feedforward, block.reuse
    if reuse is None or reuse.mlp_rank is None or not isinstance(part, Mlp):
        return 0, 0
    return reuse.mlp_rank, matrices(part) * part.d_ff / shard.tp


def before(block: Block, d_model: Number, tokens: Number, shard: Shard) -> tuple[Operator, ...]:
    """The adapters of this use beside the projection of Q, K and V."""
    if block.reuse is None or block.reuse.attention_rank is None:
        return ()
    width, rank, columns = _query_adapter(block, d_model, shard)
    return (
        linear("qkv adapter down", tokens, width, 3 * rank, shard.size),
        linear("qkv adapter up", tokens, rank, columns, shard.size),
    )


def after(block: Block, d_model: Number, tokens: Number, shard: Shard) -> tuple[Operator, ...]:
    """The adapter of this use beside the MLP, and the matrix behind it, cut by columns and gathered."""
    found: list[Operator] = []
    reuse = block.reuse
    if reuse is None:
        return ()
    if reuse.mlp_rank is not None:
        rank, columns = _mlp_adapter(block, shard)
        found.append(linear("mlp adapter down", tokens, d_model, rank, shard.size))
        found.append(linear("mlp adapter up", tokens, rank, columns, shard.size))
    if reuse.link:
        payload = tokens * d_model * shard.size.activations
        sends = (Collective(kind="all-gather", group="tp", bytes=payload),)
        found.append(linear("link", tokens, d_model, d_model / shard.tp, shard.size).replace(sends=sends))
    return tuple(found)


def own_elements(block: Block, d_model: Number, shard: Shard) -> Number:
    """Weights that each use has for itself, on one chip."""
    if block.reuse is None:
        return 0
    width, rank, columns = _query_adapter(block, d_model, shard)
    narrow, inner = _mlp_adapter(block, shard)
    link = d_model * d_model / shard.tp if block.reuse.link else 0
    return 3 * rank * width + rank * columns + narrow * (d_model + inner) + link
