"""What the objectives take: the compute, bandwidth, capacity and links that a platform would need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from genzcli.engine.machine.formats import compute_dtype
from genzcli.explore import grid
from genzcli.spec.hardware import Vector
from genzcli.spec.workload import Scenario

UNLIMITED = 1e9
#: Where the search for a factor begins.
_LEAST = 1e-6
RESOURCES = ("compute", "memory bandwidth", "memory capacity", "network")


class Requirement(NamedTuple):
    """How much of a resource it takes, as a multiple of what there is; None where no amount is enough.

    0 where less than a millionth of it is: the objectives do not ask for it.
    """

    resource: str
    factor: float | None
    need: float | None
    has: float
    unit: str


def requirements(scenario: Scenario) -> tuple[Requirement, ...]:
    """The least of each resource that meets every objective, all others being unlimited; then of all.

    GenZ section VI: compute from TTFT, bandwidth from TPOT, capacity from what has to be held. The last entry
    scales everything that the single ones ask for by one factor until they meet the objectives together.
    """
    alone = []
    for resource in RESOURCES:
        factor = _least_factor(partial(_only, scenario, resource))
        alone.append(_requirement(scenario, resource, factor))
    if any(item.factor is None for item in alone):
        return tuple(alone)
    single = {item.resource: item.factor for item in alone}
    together = _least_factor(partial(_in_step, scenario, single), 1.0)
    both = [
        _requirement(scenario, name, None if together is None else together * (own or 1.0), "together: ")
        for name, own in single.items()
    ]
    return tuple(
        item._replace(factor=0.0, need=0.0)
        if (single[item.resource.removeprefix("together: ")] or 1) <= _LEAST
        else item
        for item in (*alone, *both)
    )


def _only(scenario: Scenario, resource: str, factor: Any) -> Scenario:
    """One resource scaled, the others without limit."""
    return _scaled(scenario, {resource: factor}, UNLIMITED)


def _in_step(scenario: Scenario, single: Mapping[str, float | None], factor: Any) -> Scenario:
    """Every resource scaled to what it needs alone, times one factor."""
    return _scaled(scenario, {name: factor * (own or 1.0) for name, own in single.items()}, 1.0)


def _least_factor(make: Callable[[Any], Scenario], low: float = _LEAST) -> float | None:
    """The least factor with which the scenario passes, to 1e-6 of it; times fall as the factor rises."""
    import numpy as np

    high = 1e6
    for _ in range(6):
        factors = np.geomspace(low, high, 65)
        scenario = make(factors)
        fixed = {axis: int(getattr(scenario.plan, axis)) for axis in grid.AXES}
        with np.errstate(all="ignore"):
            columns, _ = grid.answers(scenario, factors.shape, int(scenario.plan.chips), fixed)
        if "fits" not in columns:
            return None
        passed = np.flatnonzero((columns["fits"] > 0) & (columns["missed"] == 0))
        if not len(passed):
            return None
        first = int(passed[0])
        if first == 0:
            return float(factors[0])
        low, high = float(factors[first - 1]), float(factors[first])
    return high


def _scaled(scenario: Scenario, factors: Mapping[str, Any], others: float) -> Scenario:
    """The platform with some resources scaled, and the others too, by `others`."""
    by = {resource: factors.get(resource, others) for resource in RESOURCES}
    platform = scenario.platform
    chip = platform.chip
    memory = {
        name: tier.replace(
            capacity_bytes=tier.capacity_bytes * by["memory capacity"],
            bandwidth_bytes_per_s=tier.bandwidth_bytes_per_s * by["memory bandwidth"],
        )
        for name, tier in chip.memory.items()
    }
    peaks = {name: peak * by["compute"] for name, peak in chip.peaks.items()}
    vector = None if chip.vector is None else _faster(chip.vector, by["compute"])
    scale = scenario.platform.scale_out

    def wider(level: Any) -> Any:
        return level.replace(bandwidth_bytes_per_s=level.bandwidth_bytes_per_s * by["network"])

    return scenario.replace(
        platform=platform.replace(
            chip=chip.replace(peaks=peaks, vector=vector, memory=memory),
            levels=tuple(wider(level) for level in platform.levels),
            scale_out=None if scale is None else wider(scale),
        )
    )


def _faster(vector: Vector, factor: Any) -> Vector:
    """Vector units are part of compute."""
    functions = vector.functions_flop_per_s
    return vector.replace(
        peak_flop_per_s=vector.peak_flop_per_s * factor,
        functions_flop_per_s=None if functions is None else functions * factor,
    )


def _requirement(scenario: Scenario, resource: str, factor: float | None, label: str = "") -> Requirement:
    has, unit = _has(scenario, resource)
    need = None if factor is None else factor * has
    return Requirement(label + resource, factor, need, has, unit)


def _has(scenario: Scenario, resource: str) -> tuple[float, str]:
    """What all chips of the plan have together; of a network, what one chip sends at the innermost level."""
    platform, chips = scenario.platform, float(scenario.plan.chips)
    chip = platform.chip
    tiers = [tier for tier in chip.memory.values() if tier.role == "storage"]
    match resource:
        case "compute":
            return float(chip.peaks[compute_dtype(scenario.plan, chip)]) * chips, "flop/s"
        case "memory bandwidth":
            return float(tiers[0].bandwidth_bytes_per_s) * chips, "bytes/s"
        case "memory capacity":
            return float(sum(float(tier.capacity_bytes) for tier in tiers)) * chips, "bytes"
    levels = (*platform.levels, *([platform.scale_out] if platform.scale_out is not None else []))
    return float(levels[0].chip_bandwidth_bytes_per_s) if levels else 0.0, "bytes/s"
