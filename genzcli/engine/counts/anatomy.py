"""A model taken apart: parameters by part, and what a token or a sequence leaves in each kind of layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine.counts import compressed, cross, feedforward, mixers, residual, reuse
from genzcli.engine.counts.ops import WHOLE, Bytes, Shard
from genzcli.engine.counts.parameters import Parameters, layer_counts, parameters
from genzcli.spec.dtype import bytes_per_element
from genzcli.spec.model import Attention, Block, CompressedAttention, Mixer, Mlp, Model, Moe
from genzcli.spec.noun import Noun, count, ratio, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genzcli.numeric import Number

#: In the order of a pass.
_PARTS = (
    *("vision", "encoder", "embedding", "layer_embeddings", "attention", "recurrent", "residual"),
    *("experts", "shared_experts", "router", "expert_projections", "mlp", "reuse", "norms", "head"),
)


def parts(model: Model, counted: Parameters | None = None) -> dict[str, Number]:
    """Parameters by part, in the order of the model; they add up to its total. Shared layers count once.

    `residual` is what stands around the parts of a layer (mappings of several streams, branches, projections
    of its own embedding), `reuse` what each use of shared layers has for itself. `expert_projections` lead
    into the width that experts work in, and back.
    """
    counted = counted or parameters(model)
    sums: dict[str, Number] = dict.fromkeys(_PARTS, 0)
    sums["residual"] = 2 * residual.end_elements(model)
    for name, repeat in layer_counts(model):
        block = model.blocks[name]
        stored = repeat if block.reuse is None else 1
        for part, elements in _of_block(block, model.d_model).items():
            sums[part] = sums[part] + stored * elements
        sums["reuse"] = sums["reuse"] + repeat * reuse.own_elements(block, model.d_model, WHOLE)
    sums |= {"vision": counted.vision, "encoder": counted.encoder, "head": counted.head}
    sums |= {"embedding": counted.embedding - sums["layer_embeddings"], "norms": counted.norms}
    return sums


def _of_block(block: Block, d_model: Number) -> dict[str, Number]:
    """Weights of one layer by part, norms and what each use has for itself left out."""
    found: dict[str, Number] = dict.fromkeys(_PARTS, 0)
    for mixer in () if block.mixer is None else mixers.parts(block.mixer):
        kind = "attention" if mixers.has_cache(mixer) else "recurrent"
        found[kind] = found[kind] + mixers.weight_bytes(mixer, d_model, WHOLE)
    if block.cross_attention is not None:
        found["attention"] = found["attention"] + cross.weight_bytes(block.cross_attention, d_model, WHOLE)
    joins = 0 if block.joins is None else block.joins * d_model * d_model
    found["residual"] = residual.elements(block, d_model) + joins
    found["layer_embeddings"] = residual.embedding_elements(block)
    match block.feedforward:
        case Mlp() as part:
            found["mlp"] = feedforward.weight_bytes(part, d_model, WHOLE)
        case Moe() as part:
            matrices = feedforward.matrices(part) + 1
            width = feedforward.expert_input(part, d_model)
            found["experts"] = part.experts * matrices * part.d_expert * width
            found["shared_experts"] = matrices * part.d_shared * d_model
            found["router"] = d_model * part.experts
            found["expert_projections"] = feedforward.latent_elements(part, d_model)
    return found


class Kept(Noun):
    """What one kind of layer keeps of a sequence."""

    block: str = text("the kind of layer")
    layers: int = count("layers of this kind")
    token_bytes: Number = ratio("cache of one more token, one layer")
    limit: Number | None = ratio("tokens after which the cache grows no more", default=None)
    across_bytes: Number = ratio("cache of a token under cross-attention, one layer", default=0)
    state_bytes: Number = ratio("state of a sequence, one layer, whatever its length", default=0)


def kept(model: Model, kv: str) -> tuple[Kept, ...]:
    """Every kind of layer that keeps something, with the cache in the format `kv`.

    One that keeps several things has one of these for each: a window and compressed entries, a cache and a
    state side by side.
    """
    size = Shard(size=Bytes(weights=1, experts=1, kv=bytes_per_element(kv), activations=2))
    found = (
        item for name, repeat in layer_counts(model) for item in _kept(model.blocks[name], size, name, repeat)
    )
    return tuple(item for item in found if item.token_bytes + item.across_bytes + item.state_bytes > 0)


def _kept(block: Block, size: Shard, name: str, layers: int) -> Iterator[Kept]:
    for mixer in () if block.mixer is None else mixers.parts(block.mixer):
        for token, limit in _caches(mixer, size):
            yield Kept(block=name, layers=layers, token_bytes=token, limit=limit)
        state = mixers.held_bytes(mixer, 0, 0, 1, size)
        yield Kept(block=name, layers=layers, token_bytes=0, state_bytes=state)
    if block.cross_attention is not None:
        across = cross.kv_bytes_per_token(block.cross_attention, size)
        yield Kept(block=name, layers=layers, token_bytes=0, across_bytes=across)


def _caches(mixer: Mixer, size: Shard) -> tuple[tuple[Number, Number | None], ...]:
    """(bytes a token, tokens after which they grow no more) of each cache of a mixer."""
    match mixer:
        case Attention():
            token = mixers.kv_bytes_per_token(mixer, size)
            return ((token, mixer.window if mixer.chunk is None else mixer.chunk),)
        case CompressedAttention():
            return (
                (compressed.row_bytes(mixer, size), mixer.window),
                (compressed.share_bytes(mixer, size), None),
            )
    return ((mixers.kv_bytes_per_token(mixer, size), None),)


def sequence_bytes(model: Model, tokens: Number, kv: str) -> Number:
    """Cache and state of one sequence of `tokens`, windows let go; of an encoder, of an input that long."""
    size = Shard(size=Bytes(weights=1, experts=1, kv=bytes_per_element(kv), activations=2))
    total: Number = 0
    for name, repeat in model.stack:
        block = model.blocks[name]
        if block.mixer is not None:
            own = 1 if model.encoder is not None else tokens
            total = total + repeat * mixers.held_bytes(block.mixer, own, 0, 1, size)
        if block.cross_attention is not None and model.encoder is not None:
            total = total + repeat * tokens * cross.kv_bytes_per_token(block.cross_attention, size)
    return total


def elements(block: Block, d_model: Number) -> tuple[Number, Number, Number]:
    """Weights of one layer's mixer, cross-attention and feed-forward part."""
    mixing = 0 if block.mixer is None else mixers.weight_bytes(block.mixer, d_model, WHOLE)
    looks = block.cross_attention
    looking = 0 if looks is None else cross.weight_bytes(looks, d_model, WHOLE)
    part = block.feedforward
    return mixing, looking, 0 if part is None else feedforward.weight_bytes(part, d_model, WHOLE)


def around(block: Block, d_model: Number) -> dict[str, Number]:
    """Weights of one layer beside norms, mixers and feed-forward part, by what they are for."""
    return {
        "streams": residual.elements(Block(streams=block.streams), d_model),
        "branch": residual.elements(Block(branch_rank=block.branch_rank), d_model),
        "layer_embedding": residual.elements(Block(layer_embedding=block.layer_embedding), d_model)
        + residual.embedding_elements(block),
        "reuse": reuse.own_elements(block, d_model, WHOLE),
    }
