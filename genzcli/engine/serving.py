"""A server in steady state: how long a request waits, and for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from genzcli.engine.counts.prompts import seen_across
from genzcli.engine.counts.speculation import round_tokens
from genzcli.engine.result import Serving
from genzcli.engine.schedule import beside, passes
from genzcli.engine.schedule.case import Case, running
from genzcli.engine.schedule.timing import Timing
from genzcli.numeric import clip, maximum, minimum, where

if TYPE_CHECKING:
    from genzcli.numeric import Number


def served(case: Case, prefill: Timing, decode: Timing | None) -> Serving:
    """The parts of a request's TTFT and TPOT.

    The host adds request + launch x operators of a prefill to TTFT: it runs ahead of the chip, so this
    delays the first token and no pass of others. Requests beyond those that memory holds wait, by
    Little's law, so that each takes B / running times as long.
    """
    scenario, step = case.scenario, None if decode is None else decode.mean.time
    profile, plan, usecase = scenario.profile, scenario.plan, scenario.usecase
    each = round_tokens(plan, usecase)
    queue = Queue(case.requests, usecase.output_tokens, profile.burst, each, plan.pp)
    law = interleaved if plan.chunk is None else chunked
    seen = seen_across(scenario.model, usecase)
    operators = passes.launches(case.setting, case.stages, seen) + beside.launches(case)
    found = law(prefill, step, queue).replace(host_s=profile.request_s + profile.launch_s * operators)
    runs = found.ttft_s if found.tpot_s is None else found.ttft_s + (usecase.output_tokens - 1) * found.tpot_s
    active = running(case)
    return found.replace(full_s=runs * ((plan.batch - active) / active))


class Queue(NamedTuple):
    """Who else is there."""

    requests: Number  # running in a group
    outputs: Number  # tokens of each
    burst: Number = 0.0  # share of the others whose prompts come together with one's own
    each: Number = 1  # tokens that a pass yields: 1, or those of a round with drafts
    stages: Number = 1  # of the pipeline


def interleaved(prefill: Timing, step: Number | None, queue: Queue) -> Serving:
    """A server with C requests a group, one prompt at a time between decode steps.

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
    own, slot, others = prefill.mean.time, prefill.slot_s, queue.requests - 1
    if step is None:
        return Serving(prefill_s=own, ahead_s=others * slot)
    several, steps = queue.outputs > 1, maximum(queue.outputs - 1, 1)
    share = others * slot / (own + others * slot + steps * step)
    ahead = queue.burst * others / 2 + (1 - queue.burst) * share / (2 * (1 - share))
    ahead = minimum(ahead, others)
    return Serving(
        prefill_s=own,
        ahead_s=where(several, ahead, others) * slot,
        running_s=where(several, step * queue.each / 2 * others / queue.requests, 0.0),
        step_s=step,
        between_s=(others - ahead) / steps * slot,
    )


def chunked(prefill: Timing, step: Number | None, queue: Queue) -> Serving:
    """A server with chunked prefill: n mixed passes a prompt, the others decode along.

    A request needs R = (td - 1) / `each` passes behind its first token. Over a pipeline passes follow one
    another a slot apart, the slowest stage's share; a token takes a turn, max(pass, pp slots), and meanwhile
    P = turn / slot passes carry somebody's prompt, one at pp = 1. So of its R, min((C - 1) n / P, R) are
    mixed, the rest plain. Where (C - 1) n is more than R P, prompts set the pace: every pass is mixed, a
    cycle is C n slots, and a new prompt waits for what its own passes leave of them; else half a slot, the
    rest of the one that runs. Of a burst, half of the others' passes are ahead of its own: as much of their
    time moves from between its tokens, so the cycle is the same whatever the burst. A mixed turn is no
    shorter than the plain step, and where there is no plain step, no longer.
    """
    requests, others, n, slot = queue.requests, queue.requests - 1, prefill.passes, prefill.slot_s
    turn = maximum(prefill.pass_s, slot * queue.stages)
    under_way = turn / slot
    rounds = (queue.outputs - 1) / queue.each
    own = maximum(n, 1) - 1 + prefill.pass_s / slot + rounds * under_way
    cycle = requests * n * (1 - 1e-12)  # n may carry the rounding of a division
    waiting = maximum(cycle - own, 0.0) * slot
    if step is None:
        return Serving(prefill_s=prefill.mean.time, ahead_s=waiting)
    steps = maximum(queue.outputs - 1, 1)
    rounds = steps / queue.each
    along = minimum(others * n / under_way, rounds)
    step = where(along >= rounds, minimum(step, turn / queue.each), step)
    between = along * maximum(turn - step * queue.each, 0.0)
    moved = clip(queue.burst * others / 2 * n * slot - waiting, 0.0, between)
    half = maximum(slot / 2 * others / requests - waiting, 0.0)
    return Serving(
        prefill_s=prefill.mean.time,
        ahead_s=waiting + moved,
        running_s=where(along < rounds, half, 0.0),
        step_s=step,
        between_s=(between - moved) / steps,
    )
