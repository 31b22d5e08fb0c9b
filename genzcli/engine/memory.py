"""What has to fit on a chip, where it lies, and what that costs a byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from genzcli.engine import blocks
from genzcli.engine.mixers import held_bytes
from genzcli.engine.ops import Bytes, Shard
from genzcli.engine.result import Memory
from genzcli.engine.stages import Stage, stages
from genzcli.numeric import ceil, floor, maximum, minimum, where
from genzcli.spec.dtype import Precision
from genzcli.spec.hardware import Chip
from genzcli.spec.model import Model
from genzcli.spec.noun import Noun, count, flag, noun, ratio

if TYPE_CHECKING:
    from genzcli.numeric import Number


class Demand(Noun):
    """How many requests of which length a chip has to hold, and how the software holds them."""

    requests: Number = ratio("requests of one attention group")
    input_tokens: Number = ratio("prompt tokens of each")
    output_tokens: Number = ratio("output tokens of each")
    beams: Number = ratio("beams of each")
    keep: Number = ratio("share of the cache's tokens that pruning keeps", default=1.0)
    groups: Number = ratio("attention groups the batch is spread over")
    pp: int = count("pipeline stages, so micro-batches")
    together: bool = flag("all prompts are in flight at once; else one at a time")
    page_tokens: Number = ratio("tokens a page of cache holds")
    activation_tokens: Number | None = ratio("most tokens in a layer at once; None for the whole pass")
    reserve: Number = ratio("share of every tier kept free")
    shard: Shard = noun(Shard, "how layers are cut")


class Slope(NamedTuple):
    """Bytes of one stage as a function of requests b: fixed + kv b + activations(b)."""

    weights: Number
    kv_per_request: Number
    act_per_token: Number
    act_per_request: Number  # logits


class Need(NamedTuple):
    """Bytes that one chip of a stage has to hold beside the reserve."""

    weights: Number
    kv: Number
    activations: Number

    @property
    def total(self) -> Number:
        return self.weights + self.kv + self.activations


class Streams(NamedTuple):
    """Seconds a byte of each kind of tensor, from where it is placed."""

    weights: Number
    kv: Number
    activations: Number


def weights_bytes(model: Model, stage: Stage, shard: Shard) -> Number:
    """Weights one chip of a stage stores: all experts of its ranks, idle or not.

    A tied head is stored with the embedding, once more when they are on different stages.
    """
    table = model.vocab * model.d_model / shard.tp
    total: Number = 0
    if stage.first:
        total = total + table + model.positions * model.d_model
    if stage.last:
        shared = model.tied_embeddings and stage.first
        total = total + model.d_model + (0 if shared else table)
    total = total * shard.size.weights
    for name, repeat in stage.layers.items():
        total = total + repeat * blocks.weight_bytes(model.blocks[name], model.d_model, shard)
    return total


def weights_of(model: Model, precision: Precision) -> Number:
    """Weights of the whole model, every expert, stored once."""
    return weights_bytes(model, stages(model, 1)[0], Shard(size=Bytes.of(precision)))


def kv_bytes_per_request(model: Model, stage: Stage, demand: Demand) -> Number:
    """Cache and state of one finished request on one chip of a stage; caches in whole pages."""
    page = demand.page_tokens
    prompt = ceil(demand.input_tokens / page) * page
    output = ceil(demand.output_tokens / page) * page
    total: Number = 0
    for name, repeat in stage.layers.items():
        mixer = model.blocks[name].mixer
        if mixer is not None:
            kept = prompt * demand.keep, output * demand.keep
            total = total + repeat * held_bytes(mixer, *kept, demand.beams, demand.shard)
    return total


def slope(model: Model, stage: Stage, demand: Demand) -> Slope:
    """The stage's bytes, ready for any number of requests."""
    shard = demand.shard
    width: Number = 0
    for name in stage.layers:
        width = maximum(width, blocks.peak_width(model.blocks[name], model.d_model, shard))
    logits = demand.beams * model.vocab if stage.last else 0
    return Slope(
        weights=weights_bytes(model, stage, shard),
        kv_per_request=kv_bytes_per_request(model, stage, demand),
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
    tokens = maximum(prompts * demand.input_tokens, inflight * demand.beams)
    if demand.activation_tokens is not None:
        tokens = minimum(tokens, demand.activation_tokens)
    return tokens * line.act_per_token + inflight * line.act_per_request


def largest_batch(line: Slope, room: Number, demand: Demand) -> Number:
    """Most requests of one group whose cache and activations fit in `room` bytes beside the weights.

    The bytes are kv b + logits b / pp + width min(cap, max(prompts, beams b / pp)): each piece is
    linear in b, so each gives a limit. Below pp requests a micro-batch is one request.
    """
    # A stage of feed-forward layers alone holds nothing for a request.
    per_request = maximum(line.kv_per_request + line.act_per_request / demand.pp, 1e-30)
    by_beams = room / (per_request + demand.beams * line.act_per_token / demand.pp)
    if demand.together:
        by_prompts = room / (per_request + demand.input_tokens * line.act_per_token / demand.pp)
    else:
        by_prompts = (room - demand.input_tokens * line.act_per_token) / per_request
    most = minimum(by_prompts, by_beams)
    if demand.activation_tokens is not None:
        most = maximum(most, (room - demand.activation_tokens * line.act_per_token) / per_request)
    single = (room - activations_bytes(line, 1, demand)) / maximum(line.kv_per_request, 1e-30)
    most = where(most >= demand.pp, most, minimum(single, demand.pp))
    most = maximum(0, floor(most))
    over = line.kv_per_request * most + activations_bytes(line, most, demand) > room
    return maximum(0, where(over, most - 1, most))


def storage(chip: Chip) -> tuple[tuple[str, Number, Number], ...]:
    """(name, capacity, bandwidth) of the tiers that hold things, fastest first."""
    return tuple(
        (name, tier.capacity_bytes, tier.bandwidth_bytes_per_s)
        for name, tier in chip.memory.items()
        if tier.role == "storage"
    )


def capacity_bytes(chip: Chip) -> Number:
    """Bytes of all storage tiers."""
    total: Number = 0
    for _, capacity, _ in storage(chip):
        total = total + capacity
    return total


def need(line: Slope, demand: Demand) -> Need:
    """What the demanded requests take."""
    requests = demand.requests
    return Need(line.weights, line.kv_per_request * requests, activations_bytes(line, requests, demand))


def heaviest(model: Model, pipeline: tuple[Stage, ...], demand: Demand) -> Slope:
    """A draft model's bytes beside the target's: its heaviest stage, on every chip."""
    lines = [slope(model, stage, demand) for stage in pipeline]
    worst = lines[0]
    for line in lines[1:]:
        worst = Slope(*(maximum(a, b) for a, b in zip(worst, line, strict=True)))
    return worst


def fit(
    model: Model, chip: Chip, pipeline: tuple[Stage, ...], demand: Demand, beside: Slope | None = None
) -> tuple[Memory, list[Need]]:
    """Memory of the busiest stage, the one with the most bytes in use, and what each stage needs.

    `beside` is what a draft model adds to every stage.
    """
    capacity = capacity_bytes(chip)
    reserved = capacity * demand.reserve
    lines = [_with(slope(model, stage, demand), beside) for stage in pipeline]
    needs = [need(line, demand) for line in lines]
    worst, most = needs[0], _largest(lines[0], capacity - reserved, demand)
    for line, here in zip(lines[1:], needs[1:], strict=True):
        more = here.total > worst.total
        worst = Need(*(where(more, new, old) for new, old in zip(here, worst, strict=True)))
        most = minimum(most, _largest(line, capacity - reserved, demand))
    held = Memory(
        weights_bytes=worst.weights,
        kv_bytes=worst.kv,
        activations_bytes=worst.activations,
        reserved_bytes=reserved,
        used_bytes=worst.total + reserved,
        capacity_bytes=capacity,
        max_batch=most * demand.groups,
        tiers=place(worst, chip, demand.reserve)[0],
    )
    return held, needs


def _with(line: Slope, draft: Slope | None) -> Slope:
    """Both models' bytes; they take turns, so activations are the larger."""
    if draft is None:
        return line
    return Slope(
        weights=line.weights + draft.weights,
        kv_per_request=line.kv_per_request + draft.kv_per_request,
        act_per_token=maximum(line.act_per_token, draft.act_per_token),
        act_per_request=maximum(line.act_per_request, draft.act_per_request),
    )


def _largest(line: Slope, usable: Number, demand: Demand) -> Number:
    room = usable - line.weights
    return where(room > 0, largest_batch(line, room, demand), 0)


def place(held: Need, chip: Chip, reserve: Number) -> tuple[dict[str, Number], Streams]:
    """Fill the tiers fastest first with activations, then weights, then the cache.

    Activations go first since every layer reuses them. The reserve shrinks each tier. Returns the
    bytes in use of each tier, and the seconds a byte of each kind: sum over tiers of share / bandwidth
    (one tier after the other). What is too much for all tiers is booked on the last.
    """
    tiers = storage(chip)
    kinds = (held.activations, held.weights, held.kv)
    used: dict[str, Number] = {name: capacity * reserve for name, capacity, _ in tiers}
    seconds: list[Number] = [0.0, 0.0, 0.0]
    below: Number = 0.0  # capacity of the faster tiers
    for index, (name, capacity, bandwidth) in enumerate(tiers):
        above = below + capacity * (1 - reserve) if index < len(tiers) - 1 else held.total
        start: Number = 0.0  # where this kind begins in the one long row of bytes
        for kind, size in enumerate(kinds):
            here = maximum(0, minimum(start + size, above) - maximum(start, below))
            used[name] = used[name] + here
            seconds[kind] = seconds[kind] + here / maximum(size, 1e-30) / bandwidth
            start = start + size
        below = above
    return used, Streams(weights=seconds[1], kv=seconds[2], activations=seconds[0])
