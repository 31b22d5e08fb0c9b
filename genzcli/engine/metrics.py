"""Latencies, rates, energy and cost of a request, from the timings of its phases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine.counts.prompts import read_tokens
from genzcli.engine.counts.speculation import round_tokens
from genzcli.engine.machine import energy
from genzcli.engine.result import Metrics, Serving
from genzcli.engine.schedule.case import Case, running
from genzcli.engine.schedule.timing import Timing
from genzcli.numeric import is_array, maximum, where

if TYPE_CHECKING:
    from genzcli.numeric import Number


def metrics(case: Case, prefill: Timing, decode: Timing | None, serving: Serving | None) -> Metrics:
    """Latencies, rates, energy and cost.

    Static: TTFT is the prefill of the batch, TPOT the mean decode step, E2E = TTFT + (td - 1) TPOT. Of a
    server, both are those of `serving`, and a request that waits for room in memory takes part in no pass.
    """
    usecase = case.scenario.usecase
    outputs = usecase.output_tokens
    ttft, tpot = prefill.mean.time, None if decode is None else decode.mean.time
    if serving is not None:
        ttft, tpot = serving.ttft_s, serving.tpot_s
    read = read_tokens(case.scenario.model, usecase)
    e2e = ttft if tpot is None else ttft + (outputs - 1) * tpot
    busy = e2e if serving is None else e2e - serving.full_s
    active = running(case)
    rate = active * outputs / busy
    joules = _joules_per_token(case, prefill, decode, busy, active)
    usd = energy.rent_usd_per_hour(case.scenario)
    return Metrics(
        ttft_s=ttft,
        tpot_s=None if tpot is None else _defined(tpot, outputs),
        e2e_s=e2e,
        output_tokens_per_s=rate,
        total_tokens_per_s=rate * (read + outputs) / outputs,
        requests_per_s=rate / outputs,
        decode_tokens_per_s=None if tpot is None else _defined(active / tpot, outputs),
        tokens_per_s_per_user=None if tpot is None else _defined(1 / tpot, outputs),
        output_tokens_per_s_per_chip=rate / energy.all_chips(case.scenario),
        average_w=None if joules is None else joules * rate,
        joules_per_output_token=joules,
        tokens_per_kwh=None if joules is None else 3.6e6 / joules,
        usd_per_million_output_tokens=None if usd is None else usd / 3600 / rate * 1e6,
    )


def _joules_per_token(
    case: Case, prefill: Timing, decode: Timing | None, busy: Number, active: Number
) -> Number | None:
    """Energy of all requests in flight over their output tokens.

    Static power runs the whole time. The batch's work is one prefill pass, or one a request where they
    do not arrive together, and td - 1 steps.
    """
    scenario, outputs = case.scenario, case.scenario.usecase.output_tokens
    plan, times = scenario.plan, 1 if scenario.plan.batching == "static" else case.requests
    work, away = prefill.work * times, prefill.away * times
    if decode is not None:
        steps = outputs - 1
        if plan.batching == "continuous" and plan.chunk is not None:
            # Passes that carry a prompt do a step's work as well, of one micro-batch in a pipeline.
            rounds = (case.requests - 1) * prefill.passes / plan.pp
            steps = maximum(steps - rounds * round_tokens(plan, scenario.usecase), 0)
        work, away = work + decode.work * steps, away + decode.away * steps
    total = energy.energy_j(scenario, busy, work, away)
    return None if total is None else total / (active * outputs)


def _defined(value: Number, outputs: Number) -> Number:
    """NaN at one output token, where an array holds that beside others."""
    return where(outputs > 1, value, float("nan")) if is_array(outputs) else value
