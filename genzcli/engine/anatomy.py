"""A model taken apart: parameters by part, and what a token or a sequence leaves in each kind of layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine import cross, feedforward, mixers
from genzcli.engine.ops import WHOLE, Bytes, Shard
from genzcli.engine.parameters import Parameters, parameters
from genzcli.spec.dtype import bytes_per_element
from genzcli.spec.model import Attention, Block, LatentAttention, Model, Moe
from genzcli.spec.noun import Noun, count, ratio, text

if TYPE_CHECKING:
    from genzcli.numeric import Number


def parts(model: Model, counted: Parameters | None = None) -> dict[str, Number]:
    """Parameters by part, in the order of the model; they add up to its total."""
    counted = counted or parameters(model)
    experts: Number = 0
    shared: Number = 0
    router: Number = 0
    recurrent: Number = 0
    for name, repeat in model.stack:
        mixer, part = model.blocks[name].mixer, model.blocks[name].feedforward
        if mixer is not None and not isinstance(mixer, Attention | LatentAttention):
            recurrent = recurrent + repeat * mixers.weight_bytes(mixer, model.d_model, WHOLE)
        if not isinstance(part, Moe):
            continue
        width = feedforward.expert_input(part, model.d_model)
        each = (feedforward.matrices(part) + 1) * part.d_expert * width
        experts = experts + repeat * part.experts * each
        shared = shared + repeat * (feedforward.matrices(part) + 1) * part.d_shared * model.d_model
        router = router + repeat * model.d_model * part.experts
    return {
        "vision": counted.vision,
        "encoder": counted.encoder,
        "embedding": counted.embedding,
        "attention": counted.attention - recurrent,
        "recurrent": recurrent,
        "experts": experts,
        "shared_experts": shared,
        "router": router,
        "mlp": counted.feedforward - experts - shared - router,
        "norms": counted.norms,
        "head": counted.head,
    }


class Kept(Noun):
    """What one kind of layer keeps of a sequence."""

    block: str = text("the kind of layer")
    layers: int = count("layers of this kind")
    token_bytes: Number = ratio("cache of one more token, one layer")
    limit: Number | None = ratio("tokens after which the cache grows no more", default=None)
    across_bytes: Number = ratio("cache of a token under cross-attention, one layer", default=0)
    state_bytes: Number = ratio("state of a sequence, one layer, whatever its length", default=0)


def kept(model: Model, kv: str) -> tuple[Kept, ...]:
    """Every kind of layer that keeps something, with the cache in the format `kv`."""
    size = Shard(size=Bytes(weights=1, experts=1, kv=bytes_per_element(kv), activations=2))
    totals: dict[str, int] = {}
    for name, repeat in model.stack:
        totals[name] = totals.get(name, 0) + int(repeat)
    found = (_kept(name, repeat, model.blocks[name], size) for name, repeat in totals.items())
    return tuple(item for item in found if item.token_bytes + item.across_bytes + item.state_bytes > 0)


def _kept(name: str, layers: int, block: Block, size: Shard) -> Kept:
    looks, mixer = block.cross_attention, block.mixer
    across = 0 if looks is None else cross.kv_bytes_per_token(looks, size)
    if mixer is None:
        return Kept(block=name, layers=layers, token_bytes=0, across_bytes=across)
    token = mixers.kv_bytes_per_token(mixer, size)
    limit = None
    if isinstance(mixer, Attention):
        limit = mixer.window if mixer.chunk is None else mixer.chunk
    recurrent = not isinstance(mixer, Attention | LatentAttention)
    state = mixers.held_bytes(mixer, 0, 0, 1, size) if recurrent else 0
    return Kept(
        block=name,
        layers=layers,
        token_bytes=token,
        limit=limit,
        across_bytes=across,
        state_bytes=state,
    )


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
