"""What has to fit on a chip, and how many requests do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from genzcli.engine.counts import blocks, cross, lora, mixers, residual, towers
from genzcli.engine.counts.lora import Adapters
from genzcli.engine.counts.ops import Bytes, Shard
from genzcli.engine.counts.stages import Stage, stages
from genzcli.engine.machine.placement import Limit, Need, Storage, contents, limits, place
from genzcli.engine.result import Content, Memory
from genzcli.numeric import ceil, floor, maximum, minimum, where
from genzcli.spec.dtype import Precision
from genzcli.spec.model import Model
from genzcli.spec.noun import Noun, count, flag, noun, ratio

if TYPE_CHECKING:
    from genzcli.numeric import Number


class Demand(Noun):
    """How many requests of which length a chip has to hold, and how the software holds them."""

    requests: Number = ratio("requests of one attention group")
    input_tokens: Number = ratio("prompt tokens of each, images among them")
    cached_tokens: Number | None = ratio(
        "tokens of each in the decoder's cache before the first output; input_tokens if None", default=None
    )
    seen_tokens: Number = ratio("tokens of each under cross-attention", default=0)
    patches: Number = ratio("patches of images a prompt token", default=0)
    output_tokens: Number = ratio("output tokens of each")
    beams: Number = ratio("beams of each")
    width: Number = ratio("tokens of a beam in a decode pass: with drafts, one more than those", default=1)
    keep: Number = ratio("share of the cache's tokens that pruning keeps", default=1.0)
    adapters: Adapters | None = noun(Adapters, "LoRA adapters beside the weights", default=None)
    groups: Number = ratio("attention groups the batch is spread over")
    pp: int = count("pipeline stages, so micro-batches")
    together: bool = flag("all prompts are in flight at once; else one at a time")
    page_tokens: Number = ratio("tokens a page of cache holds")
    activation_tokens: Number | None = ratio("most tokens in a layer at once; None for the whole pass")
    shard: Shard = noun(Shard, "how layers are cut")


class Slope(NamedTuple):
    """Bytes of one stage as a function of requests b: fixed + kv b + activations(b)."""

    weights: Number
    kv_per_request: Number
    states_per_request: Number
    act_per_token: Number
    act_per_request: Number  # logits

    @property
    def per_request(self) -> Number:
        """What a request keeps from pass to pass."""
        return self.kv_per_request + self.states_per_request


def weights_bytes(model: Model, stage: Stage, shard: Shard) -> Number:
    """Weights one chip of a stage stores: all experts of its ranks, idle or not.

    A tied head is stored with the embedding, once more when they are on different stages. A vision tower
    stands on the first stage; an encoder's layers are spread over all, as the decoder's are.
    """
    table = model.vocab * model.d_model / shard.tp
    look_up, head = shard.size.of_tables.weights, shard.size.of_head.weights
    total: Number = 0
    if stage.first:
        each = head if model.tied_embeddings else look_up
        total = total + table * each + model.positions * model.d_model * look_up
    if stage.last:
        shared = model.tied_embeddings and stage.first
        total = total + model.d_model * look_up + (0 if shared else table * head)
    ends = residual.end_elements(model) * shard.size.weights
    total = total + (ends if stage.first else 0) + (ends if stage.last else 0)
    for name, repeat in stage.layers.items():
        total = total + blocks.stored_bytes(model.blocks[name], model.d_model, shard, repeat)
    if model.encoder is not None:
        for name, repeat in stage.encoder.items():
            block = model.encoder.blocks[name]
            total = total + repeat * blocks.weight_bytes(block, model.d_model, shard)
        if stage.first:
            total = total + towers.encoder_elements(model.encoder, model.d_model) * shard.size.weights
    if stage.first and model.vision is not None:
        total = total + towers.layers_bytes(model.vision, model.vision.d_model, shard)
        total = total + towers.vision_elements(model.vision) * shard.size.weights
    return total


def weights_of(model: Model, precision: Precision) -> Number:
    """Weights of the whole model, every expert, stored once."""
    return weights_bytes(model, stages(model, 1)[0], Shard(size=Bytes.of(precision)))


def kv_bytes_per_request(model: Model, stage: Stage, demand: Demand) -> Number:
    """Cache of one finished request on one chip of a stage, in whole pages."""
    page = demand.page_tokens
    cached = demand.input_tokens if demand.cached_tokens is None else demand.cached_tokens
    prompt, seen = ceil(cached / page) * page, ceil(demand.seen_tokens / page) * page
    output = ceil(demand.output_tokens / page) * page
    total: Number = 0
    for name, repeat in stage.layers.items():
        looks = model.blocks[name].cross_attention
        if looks is not None:
            each = cross.kv_bytes_per_token(looks, demand.shard)
            total = total + repeat * seen * demand.keep * each
        for part in mixers.parts(model.blocks[name].mixer):
            if mixers.has_cache(part):
                kept = prompt * demand.keep, output * demand.keep
                total = total + repeat * mixers.held_bytes(part, *kept, demand.beams, demand.shard)
    return total


def state_bytes_per_request(model: Model, stage: Stage, demand: Demand) -> Number:
    """States of one request on one chip of a stage: one a beam, and one for each token it verifies.

    A cache forgets rejected drafts by itself; a state has to be kept behind every draft.
    """
    total: Number = 0
    for name, repeat in stage.layers.items():
        for part in mixers.parts(model.blocks[name].mixer):
            if not mixers.has_cache(part):
                states = demand.beams * demand.width
                total = total + repeat * mixers.held_bytes(part, 0, 0, states, demand.shard)
    return total


def slope(model: Model, stage: Stage, demand: Demand) -> Slope:
    """The stage's bytes, ready for any number of requests."""
    shard = demand.shard
    width: Number = 0
    for name in stage.layers:
        width = maximum(width, blocks.peak_width(model.blocks[name], model.d_model, shard))
    if model.encoder is not None:
        width = maximum(width, towers.peak_width(model.encoder, model.d_model, shard))
    if stage.first and model.vision is not None:
        inside = towers.peak_width(model.vision, model.vision.d_model, shard)
        width = maximum(width, demand.patches * inside)
    logits = demand.beams * demand.width * model.vocab if stage.last else 0
    return Slope(
        weights=weights_bytes(model, stage, shard) + lora.stored_bytes(model, stage, demand.adapters, shard),
        kv_per_request=kv_bytes_per_request(model, stage, demand),
        states_per_request=state_bytes_per_request(model, stage, demand),
        act_per_token=width * shard.size.activations,
        act_per_request=logits * shard.size.activations,
    )


def activations_bytes(line: Slope, requests: Number, demand: Demand) -> Number:
    """Working set of one micro-batch: tokens in flight x widest layer, and the logits.

    In flight are the prompts of the micro-batch when they arrive together, else one prompt, or the
    beams of all where those are more.
    """
    inflight = maximum(requests / demand.pp, minimum(requests, 1))
    prompts = inflight if demand.together else minimum(inflight, 1)
    tokens = maximum(prompts * demand.input_tokens, inflight * demand.beams * demand.width)
    if demand.activation_tokens is not None:
        tokens = minimum(tokens, demand.activation_tokens)
    return tokens * line.act_per_token + inflight * line.act_per_request


def largest_batch(line: Slope, room: Number, demand: Demand) -> Number:
    """Most requests of one group whose cache and activations fit in `room` bytes beside the weights.

    The bytes are kv b + logits b / pp + width min(cap, max(prompts, beams b / pp)): each piece is
    linear in b, so each gives a limit. Below pp requests a micro-batch is one request.
    """
    # A stage of feed-forward layers alone holds nothing for a request.
    per_request = maximum(line.per_request + line.act_per_request / demand.pp, 1e-30)
    by_beams = room / (per_request + demand.beams * demand.width * line.act_per_token / demand.pp)
    if demand.together:
        by_prompts = room / (per_request + demand.input_tokens * line.act_per_token / demand.pp)
    else:
        by_prompts = (room - demand.input_tokens * line.act_per_token) / per_request
    most = minimum(by_prompts, by_beams)
    if demand.activation_tokens is not None:
        most = maximum(most, (room - demand.activation_tokens * line.act_per_token) / per_request)
    single = (room - activations_bytes(line, 1, demand)) / maximum(line.per_request, 1e-30)
    most = where(most >= demand.pp, most, minimum(single, demand.pp))
    most = maximum(0, floor(most))
    over = line.per_request * most + activations_bytes(line, most, demand) > room
    return maximum(0, where(over, most - 1, most))


def need(line: Slope, demand: Demand) -> Need:
    """What the demanded requests take."""
    requests = demand.requests
    return Need(
        weights=line.weights,
        kv=line.kv_per_request * requests,
        activations=activations_bytes(line, requests, demand),
        states=line.states_per_request * requests,
    )


def heaviest(model: Model, pipeline: tuple[Stage, ...], demand: Demand) -> Slope:
    """A draft model's bytes beside the target's: its heaviest stage, as every chip holds it."""
    lines = [slope(model, stage, demand) for stage in pipeline]
    worst = lines[0]
    for line in lines[1:]:
        worst = Slope(*(maximum(a, b) for a, b in zip(worst, line, strict=True)))
    return worst


def fit(
    model: Model,
    storage: Storage,
    pipeline: tuple[Stage, ...],
    demand: Demand,
    beside: Mapping[int, Slope] | None = None,
) -> tuple[Memory, list[Need]]:
    """Memory of the busiest stage, the one with the most bytes in use, and what each stage needs.

    `beside` is what drafts, by the position of the stage that holds it too.
    """
    capacity = storage.capacity
    reserved = capacity * storage.reserve
    bounds = tuple(limits(storage))
    drafts = beside or {}
    lines = [_with(slope(model, stage, demand), drafts.get(i)) for i, stage in enumerate(pipeline)]
    needs = [need(line, demand) for line in lines]
    worst, most = needs[0], _largest(lines[0], bounds, demand)
    short = _short(needs[0], bounds)
    for line, here in zip(lines[1:], needs[1:], strict=True):
        more = here.total > worst.total
        worst = Need(*(where(more, new, old) for new, old in zip(here, worst, strict=True)))
        most = minimum(most, _largest(line, bounds, demand))
        short = maximum(short, _short(here, bounds))
    held = Memory(
        weights_bytes=worst.weights,
        kv_bytes=worst.held,
        activations_bytes=worst.activations,
        reserved_bytes=reserved,
        used_bytes=worst.total + reserved,
        capacity_bytes=capacity,
        deficit_bytes=short,
        max_batch=most * demand.groups,
        tiers=place(worst, storage)[0],
        contents=_contents(worst, storage),
    )
    return held, needs


def _contents(worst: Need, storage: Storage) -> dict[str, Content]:
    """What lies where, with what each memory offers."""
    inside = contents(worst, storage)
    return {
        shelf.name: Content(
            weights_bytes=inside[shelf.name].weights,
            kv_bytes=inside[shelf.name].held,
            activations_bytes=inside[shelf.name].activations,
            capacity_bytes=shelf.capacity,
            bandwidth_bytes_per_s=shelf.bandwidth,
        )
        for shelf in storage.shelves
    }


def _with(line: Slope, draft: Slope | None) -> Slope:
    """Both models' bytes; they take turns, so activations are the larger."""
    if draft is None:
        return line
    return Slope(
        weights=line.weights + draft.weights,
        kv_per_request=line.kv_per_request + draft.kv_per_request,
        states_per_request=line.states_per_request + draft.states_per_request,
        act_per_token=maximum(line.act_per_token, draft.act_per_token),
        act_per_request=maximum(line.act_per_request, draft.act_per_request),
    )


def _short(held: Need, bounds: tuple[Limit, ...]) -> Number:
    """Bytes too many under the limit that is broken most; negative where all hold."""
    short = bounds[0].of(held) - bounds[0].room
    for bound in bounds[1:]:
        short = maximum(short, bound.of(held) - bound.room)
    return short


def _largest(line: Slope, bounds: tuple[Limit, ...], demand: Demand) -> Number:
    """Most requests of one group under every limit."""
    most = _largest_under(line, bounds[0], demand)
    for bound in bounds[1:]:
        most = minimum(most, _largest_under(line, bound, demand))
    return most


def _largest_under(line: Slope, bound: Limit, demand: Demand) -> Number:
    part = Slope(
        weights=line.weights * bound.weights,
        kv_per_request=line.kv_per_request * bound.kv,
        states_per_request=line.states_per_request * bound.states,
        act_per_token=line.act_per_token * bound.activations,
        act_per_request=line.act_per_request * bound.activations,
    )
    room = bound.room - part.weights
    return where(room >= 0 if bound.weights == 0 else room > 0, largest_batch(part, room, demand), 0)
