"""Latencies, rates, energy and cost of a request, from the timings of its phases."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from genzcli.engine.counts.prompts import read_tokens, seen_across
from genzcli.engine.counts.speculation import round_tokens
from genzcli.engine.machine import energy
from genzcli.engine.result import Metrics
from genzcli.engine.schedule import beside, passes
from genzcli.engine.schedule.case import Case, running
from genzcli.engine.schedule.timing import Timing
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
    read = read_tokens(case.scenario.model, usecase)
    busy = ttft if tpot is None else ttft + (outputs - 1) * tpot
    active = running(case)
    e2e = busy * plan.batch / active  # a queue behind a full memory, by Little's law
    ttft = ttft + (e2e - busy)
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


def _served(case: Case, prefill: Timing, step: Number | None) -> tuple[Number, Number | None]:
    """TTFT and TPOT of a server in steady state.

    The host adds request + launch x operators of a prefill to TTFT: it runs ahead of the chip, so this
    delays the first token and no pass of others.
    """
    profile = case.scenario.profile
    plan, usecase = case.scenario.plan, case.scenario.usecase
    queue = Queue(case.requests, usecase.output_tokens, profile.burst, round_tokens(plan, usecase))
    if plan.chunk is None:
        ttft, tpot = interleaved(prefill.mean.time, prefill.slot_s, step, queue)
    else:
        ttft, tpot = chunked(prefill, step, queue)
    seen = seen_across(case.scenario.model, usecase)
    operators = passes.launches(case.setting, case.stages, seen) + beside.launches(case)
    host = profile.request_s + profile.launch_s * operators
    return ttft + host, tpot


class Queue(NamedTuple):
    """Who else is there."""

    requests: Number  # running in a group
    outputs: Number  # tokens of each
    burst: Number = 0.0  # share of the others whose prompts come together with one's own
    each: Number = 1  # tokens that a pass yields: 1, or those of a round with drafts


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
    With drafts a pass yields `each` tokens, and its time is that of as many steps.
    """
    others = queue.requests - 1
    alone = prefill + others * slot
    if step is None:
        return alone, None
    steps = maximum(queue.outputs - 1, 1)
    share = others * slot / (alone + steps * step)
    ahead = queue.burst * others / 2 + (1 - queue.burst) * share / (2 * (1 - share))
    ahead = minimum(ahead, others)
    wait = ahead * slot + step * queue.each / 2 * others / queue.requests
    return where(queue.outputs > 1, prefill + wait, alone), step + (others - ahead) / steps * slot


def chunked(prefill: Timing, step: Number | None, queue: Queue) -> tuple[Number, Number | None]:
    """TTFT and TPOT of a server with chunked prefill: n mixed passes a prompt, the others decode along.

    A request needs R = (td - 1) / `each` passes behind its first token. Of these, min((C - 1) n, R) carry
    somebody's prompt, the rest are plain. Where (C - 1) n is more than R, prompts set the pace: every pass is
    mixed, and a new prompt waits (C - 1) n - R passes for its turn; else half a pass. Of a burst, half of
    the others' passes are ahead of its own, and give it no tokens. Over a pipeline a token takes a whole
    pass, a prompt's further chunks the slowest stage's share.
    """
    requests, others, n = queue.requests, queue.requests - 1, prefill.passes
    ahead = queue.burst * others / 2 * n
    rounds = (queue.outputs - 1) / queue.each
    waiting = maximum(requests * n - maximum(n, 1) - rounds, ahead) * prefill.slot_s
    ttft = prefill.mean.time + waiting
    if step is None:
        return ttft, None
    steps = maximum(queue.outputs - 1, 1)
    rounds, plain = steps / queue.each, step * queue.each
    along = minimum(others * n - ahead, rounds)
    half = where(waiting > 0, 0.0, prefill.pass_s / 2 * others / requests)
    tpot = (along * prefill.pass_s + (rounds - along) * plain) / steps
    return ttft + where(queue.outputs > 1, half, 0.0), tpot


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
            # Passes that carry a prompt do a step's work as well.
            rounds = (case.requests - 1) * prefill.passes
            steps = maximum(steps - rounds * round_tokens(plan, scenario.usecase), 0)
        work, away = work + decode.work * steps, away + decode.away * steps
    total = energy.energy_j(scenario, busy, work, away)
    return None if total is None else total / (active * outputs)


def _defined(value: Number, outputs: Number) -> Number:
    """NaN at one output token, where an array holds that beside others."""
    return where(outputs > 1, value, float("nan")) if is_array(outputs) else value
