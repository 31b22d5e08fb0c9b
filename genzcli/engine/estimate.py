"""The answer: a scenario to memory, phases and metrics. The engine's one entrance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine import legal
from genzcli.engine.machine import energy
from genzcli.engine.machine.roofline import Parts
from genzcli.engine.metrics import metrics
from genzcli.engine.result import Estimate, Memory, Metrics, Phase
from genzcli.engine.schedule.case import Case, prepare, running, storage_of
from genzcli.engine.schedule.rounds import time_decode, time_prefill
from genzcli.engine.schedule.timing import Timing
from genzcli.engine.serving import served
from genzcli.numeric import both, is_array, where
from genzcli.spec.workload import Scenario
from genzcli.units import show

if TYPE_CHECKING:
    from genzcli.numeric import Flag, Number


def estimate(scenario: Scenario, *, explain: bool = False, brief: bool = False) -> Estimate:
    """Memory fit, prefill, decode and metrics of one scenario, or of an array of them.

    `explain` adds the operator rows; `brief` leaves the phases out, for those who compare many.
    Raises PlanError for a plan that cannot exist (tp that does not divide, a format the chip lacks).
    What does not fit in memory is a result: `fits` is False and the metrics are None.
    """
    ok = legal.check(scenario)
    case = prepare(scenario, explain, brief)
    fits = both(case.fits, ok)
    if not is_array(fits) and not fits:
        return _unfit(case)
    prefill = time_prefill(case)
    decode = time_decode(case)
    return _answer(case, fits, ok, prefill, decode)


def _unfit(case: Case) -> Estimate:
    held = case.memory
    return Estimate(
        scenario=case.scenario,
        fits=False,
        why=_why(case),
        memory=held,
        draft_memory=_draft_memory(case),
        metrics=Metrics(),
        phases={},
        concurrency=0,
        assumptions=(),
    )


def _draft_memory(case: Case) -> Memory | None:
    """What a draft's own chips hold; on the same chips it is in the target's."""
    if case.draft is None or case.scenario.plan.draft_on is None:
        return None
    return case.draft.memory


def _why(case: Case) -> str:
    """What is short: on the plan's chips, or where these hold all, on the draft's own."""
    held, site = case.memory, case.scenario.plan.draft_on
    own_fits = not is_array(held.deficit_bytes) and held.deficit_bytes <= 0
    if case.draft is not None and site is not None and own_fits:
        why = shortage(case.draft.scenario, case.draft.memory)
        return f"the draft {why.replace('each chip', f'each {site.platform.chip.name}')}"
    if is_array(held.deficit_bytes):  # of many points each has its own words
        return "needs more memory than a chip has"
    return shortage(case.scenario, held)


def shortage(scenario: Scenario, held: Memory) -> str:
    """What is too much for memory, where, and by how much."""
    keys = ("used", "capacity", "weights", "kv", "activations", "reserved")
    used, capacity, *parts = (show(float(getattr(held, f"{key}_bytes")), "bytes") for key in keys)
    weights, kv, activations, reserved = parts
    needs = f"needs {used} on each chip and has {capacity}"
    full = _overfull(scenario, held)
    if full is not None:
        name, size, room = full
        needs = f"places {show(size, 'bytes')} in {name} and that has {show(room, 'bytes')}"
    return (
        f"{needs}: {show(float(held.deficit_bytes), 'bytes')} short "
        f"(weights {weights}, KV {kv}, activations {activations}, reserved {reserved})"
    )


def _overfull(scenario: Scenario, held: Memory) -> tuple[str, float, float] | None:
    """The memory that a stated placement asks too much of: its name, what is in it, what it has."""
    if not scenario.plan.place and not scenario.plan.attention_on:
        return None
    rooms = {shelf.name: float(shelf.capacity) for shelf in storage_of(scenario).shelves}
    over = {name: float(size) - rooms[name] for name, size in held.tiers.items()}
    name = max(over, key=lambda name: over[name])
    return (name, float(held.tiers[name]), rooms[name]) if over[name] > 0 else None


def _answer(case: Case, fits: Flag, legal: Flag, prefill: Timing, decode: Timing | None) -> Estimate:
    scenario = case.scenario
    timings = {"prefill": prefill} | ({} if decode is None else {"decode": decode})
    serving = served(case, prefill, decode) if scenario.plan.batching == "continuous" else None
    return Estimate(
        scenario=scenario,
        legal=legal,
        fits=fits,
        why=None,
        memory=case.memory,
        draft_memory=_draft_memory(case),
        metrics=metrics(case, prefill, decode, serving),
        serving=serving,
        phases={} if case.brief else {name: _phase(case, timing) for name, timing in timings.items()},
        bound=_largest(_whole(prefill, decode, scenario.usecase.output_tokens - 1)),
        concurrency=running(case),
        assumptions=(),
    )


def _phase(case: Case, timing: Timing) -> Phase:
    plan, parts, site = case.scenario.plan, timing.mean, case.scenario.plan.draft_on
    flop = timing.work.flop * (plan.tp * plan.dp)
    if site is not None:
        flop = flop + timing.away.flop * site.chips
    return Phase(
        time_s=parts.time,
        first_s=timing.first_s,
        last_s=timing.last_s,
        compute_s=parts.compute,
        memory_s=parts.memory,
        network_s=parts.network,
        overhead_s=parts.overhead,
        bound=_largest(parts),
        flop=flop,
        energy_j=energy.energy_j(case.scenario, parts.time, timing.work, timing.away),
        operators=timing.rows,
    )


def _whole(prefill: Timing, decode: Timing | None, steps: Number) -> Parts:
    """Prefill and all decode steps, by what bounds them."""
    first = prefill.mean
    if decode is None:
        return first
    step = decode.mean
    return Parts(
        first.compute + step.compute * steps,
        first.memory + step.memory * steps,
        first.network + step.network * steps,
        first.overhead + step.overhead * steps,
    )


def _largest(parts: Parts) -> Number:
    """Index into BOUNDS of the largest part; the first of equals."""
    best, index = parts.compute, 0
    for position, value in enumerate((parts.memory, parts.network, parts.overhead), start=1):
        more = value > best
        index = where(more, position, index)  # type: ignore[assignment]
        best = where(more, value, best)
    return index
