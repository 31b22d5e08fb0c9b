"""The answer: a scenario to memory, phases and metrics. The engine's one entrance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine import energy, legal
from genzcli.engine.case import Case, prepare, running, storage_of
from genzcli.engine.metrics import metrics
from genzcli.engine.result import Estimate, Memory, Metrics, Phase
from genzcli.engine.roofline import Parts
from genzcli.engine.timing import Timing, time_decode, time_prefill
from genzcli.numeric import both, is_array, where
from genzcli.spec.workload import Scenario
from genzcli.units import show

if TYPE_CHECKING:
    from genzcli.numeric import Flag, Number


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


def _unfit(case: Case) -> Estimate:
    held = case.memory
    return Estimate(
        scenario=case.scenario,
        fits=False,
        why=shortage(case.scenario, held),
        memory=held,
        metrics=Metrics(),
        phases={},
        concurrency=0,
        assumptions=(),
    )


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
