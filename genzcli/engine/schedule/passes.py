"""One pass of the model over one micro-batch: operators timed, summed by layer, stage and pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from genzcli.engine.counts import blocks, lora, mixers, residual
from genzcli.engine.counts.blocks import Options
from genzcli.engine.counts.cross import Look
from genzcli.engine.counts.ops import Collective, Operator, Shard
from genzcli.engine.counts.spans import DecodeStep, Prefill
from genzcli.engine.counts.stages import Stage
from genzcli.engine.machine import network, roofline
from genzcli.engine.machine.exchange import exchange
from genzcli.engine.machine.network import Group, Route
from genzcli.engine.machine.roofline import Parts, Rates, joined
from genzcli.engine.result import OperatorTime
from genzcli.numeric import both, is_array, maximum, minimum, same, where
from genzcli.spec.hardware import Platform
from genzcli.spec.model import Block, Model
from genzcli.spec.noun import Noun, flag, noun, other, ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genzcli.numeric import Number


class Away(Noun):
    """Where attention runs when it does not run on the chip."""

    rates: Rates = noun(Rates, "of the processor, and of the link for what is sent there and back")
    latency_s: Number = ratio("seconds one way over the link")


class Speed(NamedTuple):
    """How fast the matrix products of one part of the weights run, and how the weights are stored."""

    dtype: str
    flop_per_s: Number
    stored: str  # format of the weights, where a calibration tells it apart


class Setting(Noun):
    """What stays the same over the passes of a scenario."""

    model: Model = noun(Model, "what runs")
    platform: Platform = noun(Platform, "on what")
    shard: Shard = noun(Shard, "how layers are cut")
    rates: Rates = noun(Rates, "seconds a FLOP and a byte")
    options: Options = noun(Options, "techniques")
    speeds: Mapping[str, Speed] = other("parts that compute otherwise than `rates` say", default={})
    overlap: Number = ratio("share of a collective that compute may hide", default=0.0)
    away: Away | None = noun(Away, "attention runs elsewhere", default=None)
    explain: bool = flag("keep the operator rows", default=False)
    routes: dict[tuple[str, str], list[tuple[Number, Route]]] = other("collectives timed so far")

    def route(self, collective: Collective) -> Route:
        """A collective's time; equal ones are timed once."""
        known = self.routes.setdefault((collective.kind, collective.group), [])
        for payload, route in known:
            if same(payload, collective.bytes):
                return route
        group, platform, profile = self.group(collective.group), self.platform, self.rates.profile
        if collective.copies is not None:
            route = exchange(collective.copies, collective.bytes, group, platform, profile)
        else:
            route = network.collective(collective.kind, collective.bytes, group, platform, profile)
        known.append((collective.bytes, route))
        return route

    def rates_of(self, operator: Operator) -> Rates:
        """The rates at which an operator runs."""
        own = self.speeds.get(operator.part) if self.speeds else None
        return self.rates if own is None else self.rates.replace(**own._asdict())

    def group(self, name: str) -> Group:
        """Members and stride of a group, in the order TP (or expert-TP), EP, PP."""
        shard = self.shard
        match name:
            case "tp":
                return Group(size=shard.tp)
            case "expert-tp":
                # Below one only where a grid holds an illegal plan, which is masked.
                return Group(size=maximum(shard.expert_tp, 1))
            case "ep":
                return Group(size=where(shard.dp > 1, shard.ep, 1), stride=maximum(shard.expert_tp, 1))
        raise ValueError(name)


class Tokens(Noun):
    """What one micro-batch brings into a pass."""

    tokens: Number = ratio("tokens of one attention group")
    sequences: Number = ratio("sequences of one attention group")
    heads: Number = ratio("positions the LM head computes")


def run_operator(setting: Setting, operator: Operator, block: str, rows: list[OperatorTime]) -> Parts:
    """An operator and the collectives behind it."""
    rates = setting.rates_of(operator)
    parts = roofline.time(operator, rates)
    if setting.explain:
        rows.append(_row(operator, parts, block, rates.dtype))
    return _sent(setting, operator, parts, block, rows) if operator.sends else parts


def _sent(setting: Setting, operator: Operator, parts: Parts, block: str, rows: list[OperatorTime]) -> Parts:
    """An operator with its collectives: of each, min(overlap T, the compute left beside it) is hidden."""
    exposed: Number = 0.0
    busy: Number = 0.0
    hides = is_array(setting.overlap) or setting.overlap > 0
    left = parts.time if hides else 0.0
    for collective in operator.sends:
        route = setting.route(collective)
        seen = route.time_s
        if hides:
            hidden = minimum(setting.overlap * seen, left)
            seen, left = seen - hidden, left - hidden
        exposed, busy = exposed + seen, busy + route.transfer_s
        if setting.explain:
            rows.append(_network_row(collective, seen, block, route.detail))
    return parts.sending(exposed, busy)


def run_before(setting: Setting, name: str, tokens: Number, rows: list[OperatorTime]) -> Parts:
    """A layer up to its mixer's kernel."""
    decode = setting.rates.phase == "decode"
    operators = blocks.before_kernel(
        setting.model.blocks[name],
        setting.model.d_model,
        tokens,
        setting.shard,
        setting.options,
        decode=decode,
    )
    return run_all(setting, operators, name, rows)


def run_kernels(setting: Setting, name: str, visit: Prefill | DecodeStep, rows: list[OperatorTime]) -> Parts:
    """A layer's attention kernel or recurrence."""
    block = setting.model.blocks[name]
    operators = blocks.kernels(block, visit, setting.shard, setting.options)
    if setting.away is not None and mixers.has_cache(block.mixer):
        there = tuple(operator for operator in operators if operator.kind != "scan")
        here = tuple(operator for operator in operators if operator.kind == "scan")  # states stay
        new_kv = blocks.new_kv_bytes(block, visit, setting.shard)
        return _run_away(setting, setting.away, there, new_kv, name, rows) + run_all(
            setting, here, name, rows
        )
    return run_all(setting, operators, name, rows)


def _run_away(
    setting: Setting,
    away: Away,
    operators: tuple[Operator, ...],
    new_kv: Number,
    block: str,
    rows: list[OperatorTime],
) -> Parts:
    """Attention where its cache lies: queries and new keys and values go there, outputs come back.

    The chip waits meanwhile, and its units are not busy.
    """
    first = operators[0]
    sent = (first.replace(activation_bytes=first.activation_bytes + new_kv), *operators[1:])
    there = run_all(setting.replace(rates=away.rates, speeds={}), sent, block, rows)
    crossing = Parts(network=2 * away.latency_s)
    if setting.explain and away.latency_s > 0:
        rows.append(OperatorTime(name="link", kind="step", block=block, network_s=crossing.network))
    return Parts(there.compute, there.memory, there.network, there.overhead, flop=there.flop) + crossing


def run_after(setting: Setting, name: str, tokens: Number, rows: list[OperatorTime]) -> Parts:
    """A layer behind its mixer's kernel."""
    operators = blocks.after_kernel(
        setting.model.blocks[name], setting.model.d_model, tokens, setting.shard, setting.options
    )
    return run_all(setting, operators, name, rows)


def run_adapters(setting: Setting, name: str, work: Tokens, rows: list[OperatorTime]) -> Parts:
    """A layer's LoRA adapters, beside the layers they belong to."""
    adapters = setting.options.adapters
    assert adapters is not None
    block, model = setting.model.blocks[name], setting.model
    operators = lora.operators(block, model.d_model, work.tokens, work.sequences, setting.shard, adapters)
    return run_all(setting, operators, name, rows) * where(adapters.rank > 0, 1.0, 0.0)


def present(number: Number) -> Number:
    """1 where there is any, else 0."""
    return minimum(number, 1)


def awake(block: Block, seen: Number) -> Number:
    """0 for a layer that sees nothing but images where there are none: it is left out; else 1."""
    return 1 if block.cross_attention is None or block.mixer is not None else present(seen)


def run_across(setting: Setting, name: str, look: Look, rows: list[OperatorTime]) -> Parts:
    """A layer's cross-attention."""
    model = setting.model
    found = blocks.across(model.blocks[name], model.d_model, look, setting.shard, setting.options)
    return run_all(setting, found, name, rows)


def run_all(setting: Setting, operators: tuple[Operator, ...], block: str, rows: list[OperatorTime]) -> Parts:
    """Operators one after the other."""
    return joined(run_operator(setting, operator, block, rows) for operator in operators)


def run_ends(first: Setting, last: Setting, work: Tokens, rows: list[OperatorTime]) -> tuple[Parts, Parts]:
    """The embedding on the first stage and the head on the last."""
    embedding = run_operator(first, blocks.embed(first.model, work.tokens, first.shard), "embedding", rows)
    head = run_operator(last, blocks.head(last.model, work.heads, last.shard), "head", rows)
    made = residual.ends(first.model, work.tokens, first.shard)
    if made is not None:
        joined = residual.ends(last.model, work.tokens, last.shard)
        embedding = embedding + run_operator(first, made, "embedding", rows)
        head = head if joined is None else head + run_operator(last, joined, "head", rows)
    return embedding, head


def step_parts(setting: Setting, sequences: Number) -> Parts:
    """Host work once a pass: step + per_sequence B + per_chip where more than one chip works together."""
    profile = setting.rates.profile
    together = where(setting.shard.tp * setting.shard.dp > 1, profile.per_chip_s, 0.0)
    return Parts(overhead=profile.step_s + profile.per_sequence_s * sequences + together)


def launches(setting: Setting, stages: tuple[Stage, ...], seen: Number = 0) -> Number:
    """Operators and collectives of a prefill through all stages, embedding and head included: what a host
    launches.

    `seen` tokens are under cross-attention.
    """
    model, shard, options = setting.model, setting.shard, setting.options
    token, look = Prefill(sequences=1, new=1, past=0), Look(tokens=1, sequences=1, seen=1, fresh=1)
    total = _kernels(setting, blocks.embed(model, 1, shard)) + _kernels(setting, blocks.head(model, 1, shard))
    for stage in stages:
        for name, repeat in stage.layers.items():
            block = model.blocks[name]
            before = blocks.before_kernel(block, model.d_model, 1, shard, options, decode=False)
            after = blocks.after_kernel(block, model.d_model, 1, shard, options)
            inside = blocks.kernels(block, token, shard, options)
            across = blocks.across(block, model.d_model, look, shard, options)
            each = sum((_kernels(setting, item) for item in (*before, *inside, *across, *after)), 0)
            total = total + each * repeat * stage.repeat * awake(block, seen)
    return total


def _kernels(setting: Setting, operator: Operator) -> Number:
    """The operator's own kernel, and one for each collective that sends something."""
    total: Number = 1
    for sent in operator.sends:
        total = total + where(both(sent.bytes > 0, setting.group(sent.group).size > 1), 1, 0)
    return total


class Pipeline(Noun):
    """The sum over stages and hops, and the slowest stage."""

    through: Parts = noun(Parts, "one micro-batch through all stages and hops")
    slowest: Parts = noun(Parts, "the stage the others wait for")


class Base(NamedTuple):
    """A stage without the kernels that see the context."""

    whole: Parts
    layers_s: Number  # of it, its layers; the rest is an encoder, embedding, head, host
    launched_s: Number  # what the host takes to launch the layers


def bases(
    setting: Setting,
    stages: tuple[Stage, ...],
    work: Tokens,
    layers: list[dict[str, Parts]],
    ends: tuple[Parts, Parts],
    beside: Sequence[Parts] | None = None,
) -> list[Base]:
    """What each stage is beside the kernels: `layers` has the parts of one layer of each kind without them,
    under that stage's placement; `beside` what the stage has of an encoder or a vision tower.
    """
    found = []
    for index, (stage, layer) in enumerate(zip(stages, layers, strict=True)):
        around = [] if beside is None else [beside[index]]
        if stage.first:
            around += [ends[0], step_parts(setting, work.sequences)]
        if stage.last:
            around.append(ends[1])
        inside = joined(layer[name] * repeat for name, repeat in stage.layers.items())
        launched = setting.rates.profile.layer_s * sum(stage.layers.values())
        found.append(Base(joined([inside, *around]), inside.time, launched))
    return found


def pipeline(
    stages: tuple[Stage, ...], bases: list[Base], kernels: list[dict[str, Parts]], hops: Parts | None
) -> Pipeline:
    """Stages from what is the same at every step and the kernels of a layer of each kind.

    The chip waits where the host needs longer to launch the layers than the chip to run them.
    """
    whole, slowest = [], None
    for stage, base, kernel in zip(stages, bases, kernels, strict=True):
        inside = joined(kernel[name] * repeat for name, repeat in stage.layers.items())
        here = inside + base.whole
        if is_array(base.launched_s) or base.launched_s > 0:
            here = here + Parts(overhead=maximum(base.launched_s - (inside.time + base.layers_s), 0.0))
        whole.append(here * stage.repeat)
        slowest = here if slowest is None else here.where(here.time > slowest.time, slowest)
    assert slowest is not None
    return Pipeline(through=joined(whole if hops is None else [*whole, hops]), slowest=slowest)


def all_hops(setting: Setting, tokens: Number, pp: int) -> Parts | None:
    """Sending a micro-batch's residual streams over the pp - 1 boundaries between stages, if any."""
    if pp == 1:
        return None
    shard = setting.shard
    payload = tokens * residual.count(setting.model) * setting.model.d_model * shard.size.activations
    stride, profile = shard.tp * shard.dp, setting.rates.profile
    route = network.hops(payload, range(pp - 1), stride, setting.platform, profile)
    return Parts(network=route.time_s, busy_network=route.transfer_s)


def prefill_parts(line: Pipeline, microbatches: Number) -> Parts:
    """Sum of stages and hops for the first micro-batch, the slowest stage for each one behind it."""
    if _is_one(microbatches):
        return line.through
    return line.through + line.slowest * (microbatches - 1)


def decode_parts(line: Pipeline, microbatches: Number) -> Parts:
    """Interval of a token: max(sum of stages and hops, micro-batches x slowest stage)."""
    if _is_one(microbatches):
        return line.through
    full = line.slowest * microbatches
    return full.where(full.time > line.through.time, line.through)


def _is_one(x: Number) -> bool:
    return not is_array(x) and x == 1


def work_parts(line: Pipeline, microbatches: Number) -> Parts:
    """Everything the chips do for all micro-batches, wherever it stands in the schedule."""
    return line.through * microbatches


def _row(operator: Operator, parts: Parts, block: str, dtype: str) -> OperatorTime:
    matmul = operator.kind in ("gemm", "moe", "attention", "scan")
    return OperatorTime(
        name=operator.name,
        kind=operator.kind,
        block=block,
        dtype=dtype if matmul else "",
        flop=operator.flop,
        weight_bytes=operator.weight_bytes,
        kv_bytes=operator.kv_bytes,
        activation_bytes=operator.activation_bytes,
        compute_s=parts.compute,
        memory_s=parts.memory,
        overhead_s=parts.overhead,
    )


def _network_row(collective: Collective, seconds: Number, block: str, detail: str) -> OperatorTime:
    return OperatorTime(
        name=collective.kind,
        kind="collective",
        block=block,
        detail=detail or collective.group,
        network_bytes=where(seconds > 0, collective.bytes, 0.0),
        network_s=seconds,
    )
