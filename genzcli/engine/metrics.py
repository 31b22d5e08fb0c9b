"""Latencies, rates, energy and cost of a request, from the timings of its phases."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from genzcli.engine import energy, passes
from genzcli.engine.case import Case, running
from genzcli.engine.result import Metrics
from genzcli.engine.timing import Timing
from genzcli.numeric import is_array, maximum, minimum, where

if TYPE_CHECKING:
    from genzcli.numeric import Number


def metrics(case: Case, prefill: Timing, decode: Timing | None) -> Metrics:
    """Latencies, rates, energy and cost.

    Static: TTFT is the prefill of the batch, TPOT the mean decode step, E2E = TTFT + (td - 1) TPOT.
    """
    plan, usecase = case.scenario.plan, case.scenario.usecase
    outputs = usecase.output_tokens
    ttft, tpot = prefill.mean.time, None if decode is None else decode.mean.time
    if plan.batching == "continuous":
        ttft, tpot = _served(case, prefill, tpot)
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


def _served(case: Case, prefill: Timing, step: Number | None) -> tuple[Number, Number | None]:
    """TTFT and TPOT of a server in steady state.

    The host adds request + launch x operators of a prefill to TTFT: it runs ahead of the chip, so this
    delays the first token and no pass of others.
    """
    profile = case.scenario.profile
    queue = Queue(case.requests, case.scenario.usecase.output_tokens, profile.burst)
    if case.scenario.plan.chunk is None:
        ttft, tpot = interleaved(prefill.mean.time, prefill.slot_s, step, queue)
    else:
        ttft, tpot = chunked(prefill, step, queue)
    host = profile.request_s + profile.launch_s * passes.launches(case.setting, case.stages)
    return ttft + host, tpot


class Queue(NamedTuple):
    """Who else is there."""

    requests: Number  # running in a group
    outputs: Number  # tokens of each
    burst: Number = 0.0  # share of the others whose prompts come together with one's own


def interleaved(
    prefill: Number, slot: Number, step: Number | None, queue: Queue
) -> tuple[Number, Number | None]:
    """TTFT and TPOT of a server with C requests a group in steady state.

    A request's cycle holds its own prefill, td - 1 steps, and a slot for each of the C - 1 other prefills;
    over a pipeline they follow one another, so a slot is the slowest stage's share. A of the others' prefills
    are ahead of its own, the rest stand between its steps:

        TTFT = prefill + A slot + step (C - 1) / 2 C,    TPOT = step + (C - 1 - A) / (td - 1) slot.

    A request that comes alone finds rho / (2 (1 - rho)) prefills ahead, as in an M/D/1 queue, rho being the
    share of the cycle that the others' prefills take; of a burst of all C, half of the others:
    A = burst (C - 1) / 2 + (1 - burst) rho / (2 (1 - rho)), at most C - 1. So the cycle is the same whatever
    the burst. With one output token there are no steps, and the others' prefills stand before the own.
    """
    others = queue.requests - 1
    alone = prefill + others * slot
    if step is None:
        return alone, None
    steps = maximum(queue.outputs - 1, 1)
    share = others * slot / (alone + steps * step)
    ahead = queue.burst * others / 2 + (1 - queue.burst) * share / (2 * (1 - share))
    ahead = minimum(ahead, others)
    wait = ahead * slot + step / 2 * others / queue.requests
    return where(queue.outputs > 1, prefill + wait, alone), step + (others - ahead) / steps * slot


def chunked(prefill: Timing, step: Number | None, queue: Queue) -> tuple[Number, Number | None]:
    """TTFT and TPOT of a server with chunked prefill: n mixed passes a prompt, the others decode along.

    Of the T = td - 1 tokens of a request, min((C - 1) n, T) come out of passes that carry somebody's
    prompt, the rest out of plain steps. Where (C - 1) n is more than T, prompts set the pace: every pass is
    mixed, and a new prompt waits (C - 1) n - T passes for its turn; else half a pass. Of a burst, half of
    the others' passes are ahead of its own, and give it no tokens. Over a pipeline a token takes a whole
    pass, a prompt's further chunks the slowest stage's share.
    """
    requests, others, n = queue.requests, queue.requests - 1, prefill.passes
    ahead = queue.burst * others / 2 * n
    waiting = maximum(requests * n - maximum(n, 1) - (queue.outputs - 1), ahead) * prefill.slot_s
    ttft = prefill.mean.time + waiting
    if step is None:
        return ttft, None
    steps = maximum(queue.outputs - 1, 1)
    along = minimum(others * n - ahead, steps)
    half = where(waiting > 0, 0.0, prefill.pass_s / 2 * others / requests)
    tpot = (along * prefill.pass_s + (steps - along) * step) / steps
    return ttft + where(queue.outputs > 1, half, 0.0), tpot


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
        steps = outputs - 1
        if plan.batching == "continuous" and plan.chunk is not None:
            # Passes that carry a prompt do a step's work as well.
            steps = maximum(steps - (case.requests - 1) * prefill.passes, 0)
        work = work + decode.work * steps
    total = energy.static_w(power, split, plan.chips) * busy
    return (total + energy.dynamic_j(power, split, work, plan.tp * plan.dp)) / (active * outputs)


def _defined(value: Number, outputs: Number) -> Number:
    """NaN at one output token, where an array holds that beside others."""
    return where(outputs > 1, value, float("nan")) if is_array(outputs) else value
