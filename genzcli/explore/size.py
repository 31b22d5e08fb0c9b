"""Questions asked backwards: how few chips, how large a batch, how much of what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from genzcli.engine.energy import chip_power_w, chip_price_usd_per_hour, static_w
from genzcli.engine.estimate import estimate
from genzcli.engine.memory import weights_of
from genzcli.engine.placement import storage
from genzcli.engine.result import Estimate
from genzcli.errors import PlanError
from genzcli.explore import grid
from genzcli.explore.plan import candidates, simplicity
from genzcli.slo import judge
from genzcli.spec.workload import Scenario

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: What a size may be the least of: a metric, or the number of chips.
AIMS = {
    "chips": None,
    "cost": "usd_per_million_output_tokens",
    "joules": "joules_per_output_token",
    "power": "average_w",
}


class Fit(NamedTuple):
    """A plan that fits and meets every objective, and its answer."""

    scenario: Scenario
    answer: Estimate

    @property
    def chips(self) -> int:
        return int(self.scenario.plan.chips)

    def worth(self, aim: str) -> float | None:
        """What is to be least."""
        field = AIMS[aim]
        value = self.chips if field is None else getattr(self.answer.metrics, field)
        return None if value is None else float(value)


class Search(NamedTuple):
    """The best size found, the plans of that size that it beat, what was tried, and why there is none."""

    best: Fit | None
    beaten: tuple[Fit, ...]
    tried: int  # plans computed
    why: str = ""


def plans(scenario: Scenario, chips: int, fixed: Mapping[str, int]) -> tuple[list[Fit], int, str]:
    """Plans of exactly `chips` chips that fit and meet the objectives; how many were computed; why not."""
    found, tried, why = [], 0, ""
    for plan in candidates(scenario.model, scenario.plan, chips, fixed, every=True):
        case = scenario.replace(plan=plan)
        try:
            answer = estimate(case)
        except PlanError as error:
            why = why or str(error)
            continue
        tried += 1
        failed = [item for item in judge(answer, scenario.usecase.slo) if not item.passed]
        if answer.fits and not failed:
            found.append(Fit(case, answer))
        elif not answer.fits:
            why = why or str(answer.why)
    return found, tried, why


def smallest(scenario: Scenario, fixed: Mapping[str, int], aim: str, most: int) -> Search:
    """The size of at most `most` chips with the least `aim` that fits and meets every objective.

    Counts are tried upwards from what could hold the weights. The search ends where a proven bound says
    that more chips cannot be better: fewest chips is the first that does; cost, joules and power of n chips
    are at least n times rent or static power over the time that no number of chips takes away.
    """
    best: Fit | None = None
    beaten: tuple[Fit, ...] = ()
    tried, why = 0, ""
    floor: float | None = None
    for chips in range(least_chips(scenario), most + 1):
        if best is not None and (
            aim == "chips" or _bound(best.scenario, aim, chips, floor or 0.0) > _of(best, aim)
        ):
            break
        found, computed, trouble = plans(scenario, chips, fixed)
        tried, why = tried + computed, trouble or why
        ranked = sorted(found, key=lambda item: (_of(item, aim), _e2e(item), simplicity(item.scenario)))
        if ranked and (best is None or _of(ranked[0], aim) < _of(best, aim)):
            best, beaten = ranked[0], tuple(ranked[1:])
            floor = fixed_s(best.answer)
        if computed and best is None and hopeless(scenario, fixed, chips):
            return Search(
                None,
                (),
                tried,
                "no number of chips meets the objectives: launches and host work alone take longer",
            )
    if best is None and not why:
        why = "no plan of so few chips meets the objectives" if tried else "no legal plan"
    return Search(best, beaten, tried, "" if best is not None else why)


def least_chips(scenario: Scenario) -> int:
    """Chips below which not even the weights, stored once, find room."""
    plan, profile = scenario.plan, scenario.profile
    reserve = profile.reserve if plan.reserve is None else plan.reserve
    room = storage(scenario.platform, plan, reserve).capacity * (1 - reserve)
    held = weights_of(scenario.model, plan.precision) * plan.weight_density
    return max(1, int(-(-held // room)))


def fixed_s(answer: Estimate) -> float:
    """Seconds of a request that no chip, memory or link takes away: launches and host work."""
    steps = {"prefill": 1, "decode": answer.scenario.usecase.output_tokens - 1}
    return float(sum(phase.overhead_s * steps[name] for name, phase in answer.phases.items()))


def hopeless(scenario: Scenario, fixed: Mapping[str, int], chips: int) -> bool:
    """Whether overhead alone breaks a limit on TTFT, TPOT or E2E with any number of chips.

    One stage has every layer's launches and one host step; several stages have those and more, so the
    overhead of a plan without a pipeline is the least there is.
    """
    flat = {**fixed, "pp": 1}
    for plan in candidates(scenario.model, scenario.plan, chips, flat):
        try:
            answer = estimate(scenario.replace(plan=plan, platform=scenario.platform))
        except PlanError:
            continue
        if not answer.fits:
            continue
        limits = {item.metric: float(item.limit) for item in scenario.usecase.slo}
        decode = answer.phases.get("decode")
        spent = {"ttft": answer.phases["prefill"].overhead_s, "e2e": fixed_s(answer)}
        spent |= {"tpot": decode.overhead_s} if decode is not None else {}
        if scenario.plan.batching == "static" and scenario.plan.batch == 1:
            return any(float(value) > limits.get(name, float("inf")) for name, value in spent.items())
    return False


def _of(item: Fit, aim: str) -> float:
    worth = item.worth(aim)
    return float("inf") if worth is None else worth


def _e2e(item: Fit) -> float:
    return float(item.answer.metrics.e2e_s or 0.0)


def _bound(scenario: Scenario, aim: str, chips: int, floor: float) -> float:
    """The least that `aim` can be with this many chips: rent or static power over the fixed time."""
    platform, plan, usecase = scenario.platform, scenario.plan, scenario.usecase
    tokens = float(plan.batch * usecase.output_tokens)
    watts = chip_power_w(platform)
    static = 0.0 if watts is None else float(static_w(watts, platform.chip.power_split, chips))
    rent = plan.price_usd_per_hour
    rent = chip_price_usd_per_hour(platform) if rent is None else rent
    match aim:
        case "cost":
            return float(rent or 0.0) * chips / 3600 * floor / tokens * 1e6
        case "joules":
            return static * floor / tokens
        case "power":
            return static
    return float(chips)


# --- how large ---


class Largest(NamedTuple):
    """The largest value that passes, the next one that was seen to fail, and the answer there."""

    value: int | None
    fails_at: int | None
    columns: Mapping[str, Any]


def largest(
    scenario: Scenario,
    put: Callable[[Scenario, Any], Scenario],
    most: int,
    chips: int,
    fixed: Mapping[str, int],
) -> Largest:
    """The largest whole number up to `most` with which the scenario fits and meets every objective.

    A geometric grid of values at once, then all between the last that passes and the next that fails: exact
    where the numbers that pass are one interval at the grid's pitch.
    """
    import numpy as np

    values = np.unique(np.round(np.geomspace(1, most, _PITCH)))
    while True:
        columns, passed = _passing(scenario, put, values, chips, fixed)
        if not passed.any():
            return Largest(None, int(values[0]), {})
        last = int(np.flatnonzero(passed)[-1])
        if last == len(values) - 1:
            return Largest(int(values[last]), None, {key: value[last] for key, value in columns.items()})
        low, high = int(values[last]), int(values[last + 1])
        if high - low == 1:
            return Largest(low, high, {key: value[last] for key, value in columns.items()})
        values = np.unique(np.round(np.linspace(low, high, min(high - low + 1, _PITCH))))


_PITCH = 513


def _passing(
    scenario: Scenario,
    put: Callable[[Scenario, Any], Scenario],
    values: NDArray[np.float64],
    chips: int,
    fixed: Mapping[str, int],
) -> tuple[Mapping[str, Any], NDArray[np.bool_]]:
    import numpy as np

    with np.errstate(all="ignore"):
        columns, _ = grid.answers(put(scenario, values), values.shape, chips, fixed)
    if "fits" not in columns:
        return columns, np.zeros(values.shape, dtype=bool)
    good = (columns["legal"] > 0) & (columns["fits"] > 0) & (columns["missed"] == 0)
    return columns, good


# --- how much of what ---

UNLIMITED = 1e9
RESOURCES = ("compute", "memory bandwidth", "memory capacity", "network")


class Requirement(NamedTuple):
    """How much of a resource it takes, as a multiple of what there is; None where no amount is enough."""

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
    return (*alone, *both)


def _only(scenario: Scenario, resource: str, factor: Any) -> Scenario:
    """One resource scaled, the others without limit."""
    return _scaled(scenario, {resource: factor}, UNLIMITED)


def _in_step(scenario: Scenario, single: Mapping[str, float | None], factor: Any) -> Scenario:
    """Every resource scaled to what it needs alone, times one factor."""
    return _scaled(scenario, {name: factor * (own or 1.0) for name, own in single.items()}, 1.0)


def _least_factor(make: Callable[[Any], Scenario], low: float = 1e-6) -> float | None:
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
    scale = scenario.platform.scale_out

    def wider(level: Any) -> Any:
        return level.replace(bandwidth_bytes_per_s=level.bandwidth_bytes_per_s * by["network"])

    return scenario.replace(
        platform=platform.replace(
            chip=chip.replace(peaks=peaks, memory=memory),
            levels=tuple(wider(level) for level in platform.levels),
            scale_out=None if scale is None else wider(scale),
        )
    )


def _requirement(scenario: Scenario, resource: str, factor: float | None, label: str = "") -> Requirement:
    has, unit = _has(scenario, resource)
    need = None if factor is None else factor * has
    return Requirement(label + resource, factor, need, has, unit)


def _has(scenario: Scenario, resource: str) -> tuple[float, str]:
    """What all chips of the plan have together; of a network, what one chip sends at the innermost level."""
    from genzcli.engine.legal import compute_dtype

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


def sizes(
    scenarios: Iterator[tuple[str, Scenario]], fixed: Mapping[str, int], aim: str, most: int
) -> Iterator[tuple[str, Search]]:
    """The smallest of each platform; one that cannot serve never ends the search."""
    for name, scenario in scenarios:
        try:
            yield name, smallest(scenario, fixed, aim, most)
        except PlanError as error:
            yield name, Search(None, (), 0, str(error))
