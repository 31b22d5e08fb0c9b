"""The answer: a scenario to memory, phases and metrics. The engine's one entrance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine import energy, legal, memory, network, passes
from genzcli.engine.attention import Span, decode_span, prefill_span
from genzcli.engine.blocks import Options
from genzcli.engine.feedforward import Routing
from genzcli.engine.memory import Demand
from genzcli.engine.ops import Bytes, Shard
from genzcli.engine.passes import Pipeline, Setting, Tokens
from genzcli.engine.result import Estimate, Memory, Metrics, OperatorTime, Phase
from genzcli.engine.roofline import Parts, Rates
from genzcli.engine.stages import Stage, stages
from genzcli.numeric import both, ceil, clip, is_array, maximum, minimum, sqrt, where
from genzcli.spec.noun import Noun, noun, other
from genzcli.spec.workload import Scenario

if TYPE_CHECKING:
    from genzcli.numeric import Flag, Number

# Three-point Gauss-Legendre on [-1, 1], weights halved so that they add to one.
_NODES = ((-(0.6**0.5), 5 / 18), (0.0, 8 / 18), (0.6**0.5, 5 / 18))


class Timing(Noun):
    """A phase before it is reported: the schedule's parts, all work done, and the operator rows."""

    mean: Parts = noun(Parts, "of the pass, or of the mean decode step")
    first_s: Number = other("first decode step, or the pass")
    last_s: Number = other("last decode step, or the pass")
    work: Parts = noun(Parts, "busy seconds of one chip of every stage, all micro-batches")
    rows: tuple[OperatorTime, ...] = other("operator rows", default=())


class Case(Noun):
    """A scenario made ready: what is shared by its passes."""

    scenario: Scenario = noun(Scenario, "the question")
    setting: Setting = noun(Setting, "model, platform, shard, rates of prefill")
    stages: tuple[Stage, ...] = other("pipeline stages")
    memory: Memory = noun(Memory, "what fits")
    requests: Number = other("running requests of one attention group")
    fits: Flag = other("it fits")


def estimate(scenario: Scenario, *, explain: bool = False) -> Estimate:
    """Memory fit, prefill, decode and metrics of one scenario, or of an array of them.

    Raises PlanError for a plan that cannot exist (tp that does not divide, a format the chip lacks).
    What does not fit in memory is a result: `fits` is False and the metrics are None.
    """
    ok = legal.check(scenario)
    case = prepare(scenario, explain)
    fits = both(case.fits, ok)
    if not is_array(fits) and not fits:
        return _unfit(case)
    prefill = time_prefill(case)
    decode = time_decode(case)
    return _answer(case, fits, prefill, decode)


def prepare(scenario: Scenario, explain: bool) -> Case:
    """Shard, memory, placement and rates."""
    plan, model, chip = scenario.plan, scenario.model, scenario.platform.chip
    shard = Shard(
        tp=plan.tp,
        dp=plan.dp if model.has_experts else 1,
        ep=plan.ep,
        sp=plan.sp,
        size=Bytes.of(plan.precision),
    )
    pipeline = stages(model, plan.pp)
    wanted = demand(scenario, shard)
    held = memory.fit(model, chip, pipeline, wanted)
    fits, requests = held.used_bytes <= held.capacity_bytes, wanted.requests
    if plan.batching == "continuous":
        requests = minimum(requests, maximum(1, held.max_batch / plan.dp))
        fits = held.max_batch >= plan.dp
        held = memory.fit(model, chip, pipeline, wanted.replace(requests=requests)).replace(
            max_batch=held.max_batch
        )
    used, streams = memory.place(held, chip, wanted.reserve)
    dtype = legal.compute_dtype(plan, chip)
    rates = Rates(
        dtype=dtype,
        flop_per_s=chip.peaks[dtype],
        weights_s_per_byte=streams.weights,
        kv_s_per_byte=streams.kv,
        activations_s_per_byte=streams.activations,
        profile=scenario.profile,
    )
    options = Options(
        routing=Routing(rule=plan.routing, imbalance=plan.imbalance),
        evenness=minimum(plan.batch / (plan.dp * requests), 1),
        flash=plan.flash,
        fused=plan.fused,
    )
    setting = Setting(
        model=model,
        platform=network.extended(scenario.platform, plan.chips),
        shard=shard,
        rates=rates,
        options=options,
        overlap=plan.overlap,
        explain=explain,
    )
    return Case(
        scenario=scenario,
        setting=setting,
        stages=pipeline,
        memory=held.replace(tiers=used),
        requests=requests,
        fits=fits,
    )


def demand(scenario: Scenario, shard: Shard) -> Demand:
    """What the batch asks of one chip: the busiest attention group has ceil(batch / dp) requests."""
    plan, usecase, profile = scenario.plan, scenario.usecase, scenario.profile
    return Demand(
        requests=ceil(plan.batch / plan.dp),
        input_tokens=usecase.input_tokens,
        output_tokens=usecase.output_tokens,
        beams=usecase.beams,
        groups=plan.dp,
        pp=plan.pp,
        together=plan.batching == "static",
        page_tokens=profile.page_tokens,
        activation_tokens=profile.activation_tokens,
        reserve=profile.reserve if plan.reserve is None else plan.reserve,
        shard=shard,
    )


def time_prefill(case: Case) -> Timing:
    """The pass over the prompts: of the whole batch when it arrives together, of one request otherwise."""
    scenario, setting = case.scenario, case.setting
    together = case.requests if scenario.plan.batching == "static" else 1
    micro = minimum(together, scenario.plan.pp)
    each = together / micro
    work = Tokens(tokens=each * scenario.usecase.input_tokens, sequences=each, heads=each)
    rows: list[OperatorTime] = []
    layer = {}
    for name, block in setting.model.blocks.items():
        span = prefill_span(each, scenario.usecase.input_tokens, 0, block.attention.window)
        layer[name] = passes.run_layer(setting, name, work.tokens, rows) + passes.run_context(
            setting, name, span, rows
        )
    line = _line(case, setting, work, layer, rows)
    parts = passes.prefill_parts(line, micro)
    return Timing(
        mean=parts,
        first_s=parts.time,
        last_s=parts.time,
        work=passes.work_parts(line, micro),
        rows=_report(case, rows, line, parts, each),
    )


def time_decode(case: Case) -> Timing | None:
    """Mean, first and last decode step; None when one token is all that is asked for."""
    scenario = case.scenario
    setting = case.setting.replace(rates=case.setting.rates.replace(phase="decode"))
    steps = scenario.usecase.output_tokens - 1
    if not is_array(steps) and steps < 1:
        return None
    steps = maximum(steps, 1)
    micro = minimum(case.requests, scenario.plan.pp)
    each = case.requests / micro
    tokens = each * scenario.usecase.beams
    work = Tokens(tokens=tokens, sequences=each, heads=tokens)
    rows: list[OperatorTime] = []
    ends = passes.run_ends(setting, work, rows)
    hops = passes.all_hops(setting, tokens, scenario.plan.pp)
    fixed = {name: passes.run_layer(setting, name, tokens, rows) for name in setting.model.blocks}
    quiet = setting.replace(explain=False)

    def line_at(attention: dict[str, Parts]) -> Pipeline:
        layer = {name: parts + attention[name] for name, parts in fixed.items()}
        return passes.pipeline(setting, case.stages, work, layer, ends, hops)

    mean = line_at({name: _mean_attention(case, setting, name, each, steps, rows) for name in fixed})
    first = line_at({name: _attention_at(case, quiet, name, each, 1, []) for name in fixed})
    last = line_at({name: _attention_at(case, quiet, name, each, steps, []) for name in fixed})
    parts = passes.decode_parts(mean, micro)
    return Timing(
        mean=parts,
        first_s=passes.decode_parts(first, micro).time,
        last_s=passes.decode_parts(last, micro).time,
        work=passes.work_parts(mean, micro),
        rows=_report(case, rows, mean, parts, each),
    )


def _attention_at(
    case: Case, setting: Setting, name: str, each: Number, step: Number, rows: list[OperatorTime]
) -> Parts:
    usecase = case.scenario.usecase
    window = setting.model.blocks[name].attention.window
    span: Span = decode_span(each, usecase.beams, usecase.input_tokens, step, window)
    return passes.run_context(setting, name, span, rows)


def _mean_attention(
    case: Case, setting: Setting, name: str, each: Number, steps: Number, rows: list[OperatorTime]
) -> Parts:
    """Mean over the steps 1..n of the attention kernel's time.

    Three Gauss nodes scaled to the variance of n whole steps, (n^2 - 1) / 12, so that sums of cubics
    are exact. A window bends the curve twice: where the context fills it, and where a beam's own
    tokens do. The nodes cover the steps before; between and behind the bends the kernel's counts are
    straight lines, and one node each is enough.
    """
    window, prompt = setting.model.blocks[name].attention.window, case.scenario.usecase.input_tokens
    total, mixed = Parts(), _Mix()

    def add(step: Number, share: Number) -> None:
        nonlocal total
        own: list[OperatorTime] = []
        total = total + _attention_at(case, setting, name, each, step, own) * share
        mixed.add(own, share)

    bend = steps if window is None else clip(window - prompt, 0, steps)
    inside = maximum(bend, 1)
    middle, half = (inside + 1) / 2, sqrt(inside * inside - 1) / 2
    for node, weight in _NODES:
        add(middle + node * half, weight * bend / steps)
    if window is not None:
        own_fill = clip(window, bend, steps)
        add(maximum((bend + 1 + own_fill) / 2, 1), (own_fill - bend) / steps)
        add(steps, (steps - own_fill) / steps)
    rows.extend(mixed.rows)
    return total


class _Mix:
    """Weighted sum of operator rows that differ in numbers only."""

    _SUMS = ("flop", "weight_bytes", "kv_bytes", "activation_bytes", "compute_s", "memory_s", "overhead_s")

    def __init__(self) -> None:
        self.rows: list[OperatorTime] = []

    def add(self, rows: list[OperatorTime], weight: Number) -> None:
        scaled = [row.replace(**{key: getattr(row, key) * weight for key in self._SUMS}) for row in rows]
        if not self.rows:
            self.rows = scaled
            return
        self.rows = [
            old.replace(**{key: getattr(old, key) + getattr(new, key) for key in self._SUMS})
            for old, new in zip(self.rows, scaled, strict=True)
        ]


def _line(
    case: Case, setting: Setting, work: Tokens, layer: dict[str, Parts], rows: list[OperatorTime]
) -> Pipeline:
    ends = passes.run_ends(setting, work, rows)
    hops = passes.all_hops(setting, work.tokens, case.scenario.plan.pp)
    return passes.pipeline(setting, case.stages, work, layer, ends, hops)


def _report(
    case: Case, rows: list[OperatorTime], line: Pipeline, parts: Parts, sequences: Number
) -> tuple[OperatorTime, ...]:
    """Rows times their number in the stack, and what is not an operator, so that the table adds up."""
    if not case.setting.explain:
        return ()
    uses = {
        name: sum(stage.layers.get(name, 0) * stage.repeat for stage in case.stages)
        for name in case.setting.model.blocks
    }
    table = [_times(row, uses.get(row.block, 1)) for row in _in_running_order(rows) if row.time_s > 0]
    listed = sum((row.time_s for row in table), 0.0)
    host = passes.step_parts(case.setting, sequences).overhead
    if host > 0:
        table.append(OperatorTime(name="host", kind="step", block="step", overhead_s=host))
    between = line.through.time - listed - host
    if case.scenario.plan.pp > 1:
        table.append(OperatorTime(name="send-recv", kind="collective", block="stages", network_s=between))
        waits = parts + line.through * -1.0
        table.append(
            OperatorTime(
                name="other micro-batches",
                kind="pipeline",
                block="stages",
                compute_s=waits.compute,
                memory_s=waits.memory,
                network_s=waits.network,
                overhead_s=waits.overhead,
            )
        )
    return tuple(table)


def _in_running_order(rows: list[OperatorTime]) -> list[OperatorTime]:
    """Embedding, layers, head; in a layer the attention kernel stands before the output projection."""

    def place(row: OperatorTime) -> tuple[int, str, int]:
        end = {"embedding": -1, "head": 1}.get(row.block, 0)
        before_output = row.name in ("norms", "qkv", "rotary")
        return end, row.block if end == 0 else "", 0 if before_output else 1 if row.kind == "attention" else 2

    return sorted(rows, key=place)


def _times(row: OperatorTime, uses: int) -> OperatorTime:
    sums = (*_Mix._SUMS, "network_bytes", "network_s")
    return row.replace(count=uses, **{key: getattr(row, key) * uses for key in sums})


def _unfit(case: Case) -> Estimate:
    held = case.memory
    return Estimate(
        scenario=case.scenario,
        fits=False,
        why=_why(case),
        memory=held,
        metrics=Metrics(),
        phases={},
        concurrency=0,
        assumptions=(),
    )


def _why(case: Case) -> str:
    held, gb = case.memory, 1e9
    if is_array(held.deficit_bytes):
        return "needs more memory than a chip has"
    return (
        f"needs {held.used_bytes / gb:.1f} GB on each chip and has {held.capacity_bytes / gb:.1f} GB: "
        f"{held.deficit_bytes / gb:.1f} GB short (weights {held.weights_bytes / gb:.1f}, "
        f"KV {held.kv_bytes / gb:.1f}, activations {held.activations_bytes / gb:.1f}, "
        f"reserved {held.reserved_bytes / gb:.1f})"
    )


def _answer(case: Case, fits: Flag, prefill: Timing, decode: Timing | None) -> Estimate:
    scenario = case.scenario
    phases = {"prefill": _phase(case, prefill)}
    if decode is not None:
        phases["decode"] = _phase(case, decode)
    return Estimate(
        scenario=scenario,
        fits=fits,
        why=None,
        memory=case.memory,
        metrics=metrics(case, prefill, decode),
        phases=phases,
        concurrency=running(case),
        assumptions=(),
    )


def running(case: Case) -> Number:
    """Requests in flight over the platform: the batch, or what memory holds of it."""
    plan = case.scenario.plan
    return plan.batch if plan.batching == "static" else minimum(plan.batch, case.requests * plan.dp)


def _phase(case: Case, timing: Timing) -> Phase:
    plan, platform = case.scenario.plan, case.scenario.platform
    parts, power = timing.mean, energy.chip_power_w(platform)
    columns = plan.tp * plan.dp
    joules = None
    if power is not None:
        split = platform.chip.power_split
        joules = energy.static_w(power, split, plan.chips) * parts.time
        joules = joules + energy.dynamic_j(power, split, timing.work, columns)
    return Phase(
        time_s=parts.time,
        first_s=timing.first_s,
        last_s=timing.last_s,
        compute_s=parts.compute,
        memory_s=parts.memory,
        network_s=parts.network,
        overhead_s=parts.overhead,
        bound=_largest(parts),
        flop=timing.work.flop * columns,
        energy_j=joules,
        operators=timing.rows,
    )


def _largest(parts: Parts) -> Number:
    """Index into BOUNDS of the largest part; the first of equals."""
    best, index = parts.compute, 0
    for position, value in enumerate((parts.memory, parts.network, parts.overhead), start=1):
        more = value > best
        index = where(more, position, index)  # type: ignore[assignment]
        best = where(more, value, best)
    return index


def metrics(case: Case, prefill: Timing, decode: Timing | None) -> Metrics:
    """Latencies, rates, energy and cost.

    Static: TTFT is the prefill of the batch, TPOT the mean decode step, E2E = TTFT + (td - 1) TPOT.
    """
    plan, usecase = case.scenario.plan, case.scenario.usecase
    outputs = usecase.output_tokens
    ttft, tpot = prefill.mean.time, None if decode is None else decode.mean.time
    if plan.batching == "continuous":
        ttft, tpot = interleaved(ttft, tpot, outputs, case.requests)
    busy = ttft if tpot is None else ttft + (outputs - 1) * tpot
    active = running(case)
    e2e = busy * plan.batch / active  # a queue behind a full memory, by Little's law
    ttft = ttft + (e2e - busy)
    rate = active * outputs / busy
    joules = _joules_per_token(case, prefill, decode, busy, active)
    usd = plan.price_usd_per_hour
    if usd is None:
        usd = energy.chip_price_usd_per_hour(case.scenario.platform)
    return Metrics(
        ttft_s=ttft,
        tpot_s=None if tpot is None else _defined(tpot, outputs),
        e2e_s=e2e,
        output_tokens_per_s=rate,
        total_tokens_per_s=rate * (usecase.input_tokens + outputs) / outputs,
        requests_per_s=rate / outputs,
        decode_tokens_per_s=None if tpot is None else _defined(active / tpot, outputs),
        tokens_per_s_per_user=None if tpot is None else _defined(1 / tpot, outputs),
        output_tokens_per_s_per_chip=rate / plan.chips,
        average_w=None if joules is None else joules * rate,
        joules_per_output_token=joules,
        tokens_per_kwh=None if joules is None else 3.6e6 / joules,
        usd_per_million_output_tokens=None if usd is None else usd * plan.chips / 3600 / rate * 1e6,
    )


def interleaved(
    prefill: Number, step: Number | None, outputs: Number, requests: Number
) -> tuple[Number, Number | None]:
    """TTFT and TPOT of a server with `requests` requests a group in steady state.

    A request's cycle holds its own prefill, td - 1 steps, and the prefills of the C - 1 others between
    them: TPOT = step + (C - 1) / (td - 1) prefill. While others decode, a new request waits half
    a step on average. With one output token there are no steps, and the others' prefills stand before
    the own.
    """
    alone = prefill * requests
    if step is None:
        return alone, None
    wait = step / 2 * (requests - 1) / requests
    spread = (requests - 1) / maximum(outputs - 1, 1) * prefill
    return where(outputs > 1, prefill + wait, alone), step + spread


def _joules_per_token(
    case: Case, prefill: Timing, decode: Timing | None, busy: Number, active: Number
) -> Number | None:
    """Energy of all requests in flight over their output tokens.

    Static power runs the whole time. The batch's work is one prefill pass, or one a request where they
    do not arrive together, and td - 1 steps.
    """
    scenario, outputs = case.scenario, case.scenario.usecase.output_tokens
    plan, split = scenario.plan, scenario.platform.chip.power_split
    power = energy.chip_power_w(scenario.platform)
    if power is None:
        return None
    work = prefill.work if plan.batching == "static" else prefill.work * case.requests
    if decode is not None:
        work = work + decode.work * (outputs - 1)
    total = energy.static_w(power, split, plan.chips) * busy
    return (total + energy.dynamic_j(power, split, work, plan.tp * plan.dp)) / (active * outputs)


def _defined(value: Number, outputs: Number) -> Number:
    """NaN at one output token, where an array holds that beside others."""
    return where(outputs > 1, value, float("nan")) if is_array(outputs) else value
