"""Prefill and decode of a case with what drafts: passes of both, one after the other or side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine.counts.speculation import Passes, draft_passes, round_tokens, verified
from genzcli.engine.machine.crossing import crossing
from genzcli.engine.machine.roofline import Parts
from genzcli.engine.result import OperatorTime
from genzcli.engine.schedule.case import Case
from genzcli.engine.schedule.table import scaled
from genzcli.engine.schedule.timing import (
    Timing,
    chunk_pass,
    decode_of,
    decode_together,
    prefill_of,
    server_chunk,
    step_between,
)
from genzcli.numeric import is_array, maximum, minimum

if TYPE_CHECKING:
    from genzcli.numeric import Number


def time_prefill(case: Case) -> Timing:
    """The passes over the prompts; what drafts reads them too, behind the target or beside it.

    On a server with chunks the other requests' rounds stand in the same passes.
    """
    plan = case.scenario.plan
    if plan.batching == "continuous" and plan.chunk is not None:
        return _mixed(case, plan.chunk)
    timed, draft = prefill_of(case), case.draft
    if draft is None:
        return timed
    if plan.draft_on is not None:
        return _beside(timed, prefill_of(draft, plan.dp))
    first, _ = draft_passes(case.scenario)
    return _behind(timed, prefill_of(draft), first.times)


def time_decode(case: Case) -> Timing | None:
    """Mean, first and last decode step, over the tokens that it yields; None for a single token.

    With drafts, a round of them and one verification. On a server with chunks, of those who decode together.
    """
    plan = case.scenario.plan
    if plan.batching == "continuous" and plan.chunk is not None:
        case = _together(case, plan.chunk)
    timed = decode_of(case, verified(plan))
    if timed is None or plan.draft is None:
        return timed
    if case.draft is not None:
        for passes in _merged(*draft_passes(case.scenario)):
            step = decode_of(case.draft, passes.width, 1)
            assert step is not None
            timed = _behind(timed, step, passes.times, away=plan.draft_on is not None)
        timed = _linked(case, timed, case.draft.requests)
    return _shared(timed, 1 / round_tokens(plan, case.scenario.usecase))


def _together(case: Case, chunk: Number) -> Case:
    """The case with the requests that decode together, and what drafts with its share of them."""
    requests = decode_together(case, chunk)
    if case.draft is not None:
        share = requests / case.requests
        case = case.replace(draft=case.draft.replace(requests=case.draft.requests * share))
    return case.replace(requests=requests)


def _merged(first: Passes, further: Passes) -> tuple[Passes, ...]:
    """Equal passes once; none where there are none."""
    if not is_array(first.width) and first.width == 1:
        return (Passes(first.times + further.times, 1),)
    if not is_array(further.times) and further.times == 0:
        return (first,)
    return first, further


def _mixed(case: Case, chunk: Number) -> Timing:
    """A server's passes over a prompt, and in each a round of those who decode: drafts, then verification.

    The first passes of what drafts take its share of the prompt along. On chips of its own that share is
    read beside the target's pass, and all drafts stand alone.
    """
    scenario, held = case.scenario, server_chunk(case, chunk)
    timed = chunk_pass(case, held)
    if case.draft is None:
        return timed
    first, further = draft_passes(scenario)
    away = scenario.plan.draft_on is not None
    groups = scenario.plan.dp if away else 1  # all attention groups draft on the one site
    prompt = held.replace(tokens=held.tokens * groups, width=first.width, scored=1)
    if away:
        timed = _beside(timed, chunk_pass(case.draft, prompt.replace(decoding=0)))
        alone = first.times + further.times
    else:
        timed, alone = _behind(timed, chunk_pass(case.draft, prompt), first.times), further.times
    if is_array(alone) or alone > 0:
        # Below one request on average, some passes have none.
        decoding = held.decoding * groups
        step = step_between(case.draft, maximum(decoding, 1), held.passes)
        timed = _behind(timed, step, alone * minimum(decoding, 1), away=away)
        if away:
            timed = _linked(case, timed, decoding, held.passes, minimum(decoding, 1))
    return timed.replace(passes=held.passes)


# --- joining timings ---


def _shared(timed: Timing, share: Number) -> Timing:
    """The timing times a factor."""
    return Timing(
        mean=timed.mean * share,
        first_s=timed.first_s * share,
        last_s=timed.last_s * share,
        work=timed.work * share,
        away=timed.away * share,
        rows=tuple(scaled(row, share) for row in timed.rows),
        slot_s=timed.slot_s * share,
        pass_s=timed.pass_s * share,
        passes=timed.passes,
    )


def _behind(timed: Timing, draft: Timing, times: Number, away: bool = False) -> Timing:
    """The target's passes, and `times` those of the draft ahead of them."""
    drafted = tuple(_named(scaled(row, times)) for row in draft.rows)
    return timed.replace(
        mean=timed.mean + draft.mean * times,
        first_s=timed.first_s + draft.first_s * times,
        last_s=timed.last_s + draft.last_s * times,
        work=timed.work if away else timed.work + draft.work * times,
        away=timed.away + draft.work * times if away else timed.away,
        rows=(*drafted, *timed.rows),
        slot_s=timed.slot_s + draft.slot_s * times,
        pass_s=timed.pass_s + draft.pass_s * times,
    )


def _beside(timed: Timing, draft: Timing) -> Timing:
    """The target's passes, and those of a draft on its own chips at the same time: the longer ones count.

    What the target waits is booked as the draft's time is.
    """
    over = maximum(draft.mean.time - timed.mean.time, 0.0)
    waits = draft.mean * (over / draft.mean.time)
    rows = timed.rows
    if rows and (is_array(over) or over > 0):
        rows = (*rows, _row("waits for the draft", waits))
    seconds = timed.mean.time + over
    return timed.replace(
        mean=_only_time(timed.mean, waits),
        first_s=seconds,
        last_s=seconds,
        away=draft.work,
        rows=rows,
        slot_s=maximum(timed.slot_s, draft.slot_s),
        pass_s=maximum(timed.pass_s, draft.pass_s),
    )


def _linked(case: Case, timed: Timing, sequences: Number, rounds: Number = 1, share: Number = 1) -> Timing:
    """The ids on their way between two platforms, in each of `rounds` rounds of which `share` has any."""
    site = case.scenario.plan.draft_on
    if site is None:
        return timed
    each, wire = crossing(case.scenario, site, sequences)
    seconds, once = each * share * rounds, each * share
    parts = Parts(network=seconds, busy_network=wire * share * rounds)
    rows = (_row("ids to and from the draft", parts), *timed.rows) if timed.rows else ()
    return timed.replace(
        mean=_only_time(timed.mean, parts),
        first_s=timed.first_s + seconds,
        last_s=timed.last_s + seconds,
        work=timed.work + Parts(busy_network=parts.busy_network),
        rows=rows,
        slot_s=timed.slot_s + once,
        pass_s=timed.pass_s + once,
    )


def _only_time(mean: Parts, more: Parts) -> Parts:
    """Time added by what bounds it; the work is booked elsewhere."""
    return mean + Parts(more.compute, more.memory, more.network, more.overhead)


def _named(row: OperatorTime) -> OperatorTime:
    return row.replace(block=f"draft {row.block}")


def _row(name: str, parts: Parts) -> OperatorTime:
    return OperatorTime(
        name=name,
        kind="draft",
        block="draft",
        compute_s=parts.compute,
        memory_s=parts.memory,
        network_s=parts.network,
        overhead_s=parts.overhead,
    )
