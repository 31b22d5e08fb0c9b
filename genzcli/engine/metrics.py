"""Latencies, rates, energy and cost of a request, from the timings of its phases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine import energy
from genzcli.engine.case import Case, running
from genzcli.engine.prompts import read_tokens
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
    if plan.batching == "continuous" and plan.chunk is not None:
        ttft, tpot = chunked(prefill, tpot, outputs, case.requests)
    elif plan.batching == "continuous":
        ttft, tpot = interleaved(ttft, prefill.slot_s, tpot, outputs, case.requests)
    read = read_tokens(case.scenario.model, usecase)
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
        total_tokens_per_s=rate * (read + outputs) / outputs,
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
    prefill: Number, slot: Number, step: Number | None, outputs: Number, requests: Number
) -> tuple[Number, Number | None]:
    """TTFT and TPOT of a server with `requests` requests a group in steady state.

    A request's cycle holds its own prefill, td - 1 steps, and between them a slot for each of the
    C - 1 other prefills; over a pipeline they follow one another, so a slot is the slowest stage's
    share: TPOT = step + (C - 1) / (td - 1) slot. While others decode, a new request waits half a
    step, and for the prefills ahead of it as in an M/D/1 queue, rho slot / (2 (1 - rho)), rho being the
    share of the cycle that the others' prefills take. With one output token there are no steps, and
    the others' prefills stand before the own.
    """
    others = requests - 1
    alone = prefill + others * slot
    if step is None:
        return alone, None
    steps = maximum(outputs - 1, 1)
    cycle = alone + steps * step
    share = others * slot / cycle
    wait = step / 2 * others / requests + share * slot / (2 * (1 - share))
    return where(outputs > 1, prefill + wait, alone), step + others / steps * slot


def chunked(
    prefill: Timing, step: Number | None, outputs: Number, requests: Number
) -> tuple[Number, Number | None]:
    """TTFT and TPOT of a server with chunked prefill: n mixed passes a prompt, the others decode along.

    Of the T = td - 1 tokens of a request, min((C - 1) n, T) come out of passes that carry somebody's
    prompt, the rest out of plain steps. Where (C - 1) n is more than T, prompts set the pace: every pass is
    mixed, and a new prompt waits (C - 1) n - T passes for its turn; else half a pass. Over a pipeline a
    token takes a whole pass, a prompt's further chunks the slowest stage's share.
    """
    others, n = requests - 1, prefill.passes
    waiting = maximum(requests * n - maximum(n, 1) - (outputs - 1), 0) * prefill.slot_s
    ttft = prefill.mean.time + waiting
    if step is None:
        return ttft, None
    steps = maximum(outputs - 1, 1)
    along = minimum(others * n, steps)
    half = where(waiting > 0, 0.0, prefill.pass_s / 2 * others / requests)
    return ttft + where(outputs > 1, half, 0.0), (along * prefill.pass_s + (steps - along) * step) / steps


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
