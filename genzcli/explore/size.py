"""The smallest platform that fits a model and meets the objectives."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from genzcli.engine.estimate import estimate
from genzcli.engine.machine.energy import chip_power_w, chip_price_usd_per_hour
from genzcli.engine.machine.memory import weights_of
from genzcli.engine.machine.placement import storage
from genzcli.engine.result import Estimate
from genzcli.errors import PlanError
from genzcli.explore import bounds
from genzcli.explore.plan import candidates, choose, simplicity
from genzcli.numeric import is_array
from genzcli.slo import Judged, judge
from genzcli.spec.metric import METRICS
from genzcli.spec.workload import Plan, Scenario
from genzcli.units import show

if TYPE_CHECKING:
    from genzcli.numeric import Number

#: What a size may be the least of: a metric, or the number of chips.
AIMS = {
    "chips": None,
    "cost": "usd_per_million_output_tokens",
    "joules": "joules_per_output_token",
    "power": "average_w",
}


#: Bounds carry the rounding of other sums than answers do.
_ROUNDING = 1 + 1e-9


class Fit(NamedTuple):
    """A plan that fits, and its brief answer."""

    scenario: Scenario
    answer: Estimate

    @property
    def chips(self) -> int:
        return int(self.scenario.plan.chips)

    @property
    def judged(self) -> tuple[Judged, ...]:
        """Each objective and what it comes to."""
        return judge(self.answer, self.scenario.usecase.slo)

    @property
    def misses(self) -> dict[str, float]:
        """Objectives that are missed: the value over the limit."""
        return {
            item.metric: float(item.actual) / float(item.limit)
            for item in self.judged
            if not item.passed and item.actual is not None
        }

    @property
    def shortfall(self) -> float:
        """How many times its limit the worst objective takes."""
        return float(bounds.shortfall(self.answer.metrics, self.scenario.usecase.slo))

    def worth(self, aim: str) -> float | None:
        """What is to be least."""
        field = AIMS[aim]
        value = self.chips if field is None else getattr(self.answer.metrics, field)
        return None if value is None else float(value)


class Search(NamedTuple):
    """The best size found, the plans of that size that it beat, plans compared, and why there is none.

    Where the best has no value of the aim (no price is known), `why` says so: it is no match for the others.
    Where there is none, `closest` is the plan whose worst objective is nearest to its limit.
    """

    best: Fit | None
    beaten: tuple[Fit, ...]
    tried: int
    why: str = ""
    closest: Fit | None = None


class _Hope(NamedTuple):
    """A plan that is not computed yet: its shortfall and the aim, at the least."""

    plan: Plan
    shortfall: float
    worth: float

    @property
    def chips(self) -> int:
        return int(self.plan.chips)


class _Trials:
    """The plans computed so far, each once, and the trouble with those that do not serve at all."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.known: dict[tuple[Number, ...], Fit | None] = {}
        self.trouble = ""
        self.least_short: Number = math.inf  # bytes of what comes closest to fitting

    def fit(self, plan: Plan) -> Fit | None:
        """The plan's answer, where it exists and fits."""
        key = (plan.tp, plan.pp, plan.dp, plan.ep)
        if key not in self.known:
            self.known[key] = self._computed(self.scenario.replace(plan=plan))
        return self.known[key]

    def _computed(self, case: Scenario) -> Fit | None:
        try:
            answer = estimate(case, brief=True)
        except PlanError as error:
            self.trouble = self.trouble or str(error)
            return None
        if answer.fits:
            return Fit(case, answer)
        if answer.memory.deficit_bytes < self.least_short:
            self.least_short, self.trouble = answer.memory.deficit_bytes, str(answer.why)
        return None


def smallest(scenario: Scenario, fixed: Mapping[str, int], aim: str, most: int) -> Search:
    """The size of at most `most` chips with the least `aim` that fits and meets every objective.

    All plans of all sizes from what could hold the weights. Those whose bounds (`explore.bounds`) miss an
    objective are not computed; the others are, from the least that the aim can be upwards, until that is
    more than the best that was found. Of equals the one with fewest chips, then the fastest, the simplest.
    """
    said = unknown(scenario, [item.metric for item in scenario.usecase.slo])
    if said:
        return Search(None, (), 0, said)
    apart = unknown(scenario, [aim])
    if apart:
        found = smallest(scenario, fixed, "chips", most)
        return found if found.best is None else found._replace(why=f"not compared: {apart}")
    if said := _out_of_reach(scenario, fixed, most):
        return Search(None, (), 0, said)
    trials, hopes = _Trials(scenario), _hopes(scenario, fixed, aim, most)
    best = _best(trials, [hope for hope in hopes if hope.shortfall <= _ROUNDING], aim)
    if best is not None:
        return Search(best, _beaten(trials, hopes, best, aim), len(hopes))
    closest = _closest(trials, hopes)
    if closest is None:
        return Search(None, (), len(hopes), trials.trouble or _no_plan(scenario, fixed, most))
    return Search(None, (), len(hopes), _never(scenario) or _missed(closest, most), closest)


def _hopes(scenario: Scenario, fixed: Mapping[str, int], aim: str, most: int) -> list[_Hope]:
    """Every plan of every size, with its bounds."""
    sizes = range(least_chips(scenario), most + 1)
    plans = [
        plan
        for chips in sizes
        for plan in candidates(scenario.model, scenario.plan, chips, fixed, every=True)
    ]
    if not plans:
        return []
    ideal = bounds.best_case(scenario, plans)
    short = bounds.shortfall(ideal, scenario.usecase.slo)
    field = AIMS[aim]
    worth = [float(plan.chips) for plan in plans] if field is None else getattr(ideal, field).tolist()
    over = [0.0] * len(plans) if not is_array(short) else short.tolist()  # type: ignore[union-attr]
    return [_Hope(*item) for item in zip(plans, over, worth, strict=True)]


def _best(trials: _Trials, hopes: list[_Hope], aim: str) -> Fit | None:
    """The first by rank of the plans that serve."""
    best: Fit | None = None
    for hope in sorted(hopes, key=lambda hope: (hope.worth, hope.chips)):
        if best is not None and hope.worth > _of(best, aim) * _ROUNDING:
            break
        found = trials.fit(hope.plan)
        if found is not None and _serves(found) and (best is None or _rank(found, aim) < _rank(best, aim)):
            best = found
    return best


def _beaten(trials: _Trials, hopes: list[_Hope], best: Fit, aim: str) -> tuple[Fit, ...]:
    """The other plans of as many chips that serve, the best first."""
    alike = [hope for hope in hopes if hope.chips == best.chips and hope.shortfall <= _ROUNDING]
    found = [item for item in (trials.fit(hope.plan) for hope in alike) if item is not None and item != best]
    return tuple(sorted(filter(_serves, found), key=lambda item: _rank(item, aim)))


def _closest(trials: _Trials, hopes: list[_Hope]) -> Fit | None:
    """Of the plans that fit the one with the least shortfall, the smallest of equals."""
    best: Fit | None = None
    for hope in sorted(hopes, key=lambda hope: (hope.shortfall, hope.chips)):
        if best is not None and hope.shortfall > best.shortfall:
            break
        found = trials.fit(hope.plan)
        if found is not None and (best is None or found.shortfall < best.shortfall):
            best = found
    return best


def _serves(item: Fit) -> bool:
    return all(judged.passed for judged in item.judged)


def _rank(item: Fit, aim: str) -> tuple[Any, ...]:
    return _of(item, aim), item.chips, _e2e(item), simplicity(item.scenario)


def unknown(scenario: Scenario, metrics: Iterable[str]) -> str:
    """Why one of these metrics has no value on this platform: no price is known, or no power."""
    platform, name = scenario.platform, scenario.platform.chip.name
    priced = scenario.plan.price_usd_per_hour is not None or chip_price_usd_per_hour(platform) is not None
    for metric in metrics:
        if metric == "cost" and not priced:
            return f"no price of {name} is known; give --price"
        if metric in ("joules", "power") and chip_power_w(platform) is None:
            return f"no power of {name} is known; give --set power"
    return ""


def _out_of_reach(scenario: Scenario, fixed: Mapping[str, int], most: int) -> str:
    """Why no number of chips in reach can hold the weights, or make the degrees that are given."""
    least, platform = least_chips(scenario), scenario.platform
    product = math.prod(fixed.get(axis, 1) for axis in ("tp", "pp", "dp"))
    above = {axis: fixed[axis] for axis in ("tp", "pp", "dp") if fixed.get(axis, 1) > 1}
    degrees = " x ".join(f"{axis} {degree}" for axis, degree in (above or fixed).items())
    given = f"{degrees} = {product} chip{'s' * (product > 1)}"
    bounded = platform.scale_out is None and most >= platform.chips
    room = f"{platform.name} has {most}" if bounded else f"--most is {most}"
    if least > most:
        return f"the weights alone need at least {least} chips, and {room}"
    if product > most:
        return f"{given}, and {room}"
    if fixed.keys() >= {"tp", "pp", "dp"} and product < least:
        return f"{given}, and the weights alone need at least {least}"
    return ""


def _never(scenario: Scenario) -> str:
    """The objective that no number of chips can meet."""
    least = floors(scenario)
    for item in scenario.usecase.slo:
        took = least.get(item.metric, 0.0)
        if took > item.limit:
            said = f"launches and host work alone take {show(took, 's')}"
            return f"no number of chips meets {item.metric}: {said}"
    return ""


def _missed(closest: Fit, most: int) -> str:
    """What the closest plan misses, and by how much."""
    chips = "1 chip" if most == 1 else f"at most {most} chips"
    said = " nor ".join(
        f"{item.metric} ({_value(item)}, {closest.misses[item.metric]:.3g} × the limit)"
        for item in closest.judged
        if item.metric in closest.misses
    )
    return f"no plan of {chips} meets all objectives; the closest, of {closest.chips}, does not meet {said}"


def _value(item: Judged) -> str:
    actual, metric = float(item.actual or 0.0), METRICS[item.metric]
    return show(actual / metric.scale, "s") if metric.unit == "s" else f"{show(actual, '')} {item.unit}"


def _no_plan(scenario: Scenario, fixed: Mapping[str, int], most: int) -> str:
    """The error of the number of chips that the given degrees ask for."""
    product = math.prod(fixed.get(axis, 1) for axis in ("tp", "pp", "dp"))
    try:
        choose(scenario, min(max(product, least_chips(scenario)), most), fixed)
    except PlanError as error:
        return str(error)
    return f"no legal plan of at most {most} chips"


def least_chips(scenario: Scenario) -> int:
    """Chips below which not even the weights, stored once, find room."""
    plan, reserve = scenario.plan, scenario.reserve
    room = storage(scenario.platform, plan, reserve).capacity * (1 - reserve)
    held = weights_of(scenario.model, plan.precision) * plan.weight_density
    return max(1, int(-(-held // room)))


def floors(scenario: Scenario) -> dict[str, float]:
    """Seconds of TTFT, TPOT and E2E that no number of chips takes away: launches and host work a pass.

    They are those of one chip with room for everything: other plans have the same kernels and more. Host
    work a sequence is left out, since replicas share it.
    """
    platform, plan = scenario.platform, scenario.plan
    tiers = {
        name: tier.replace(capacity_bytes=tier.capacity_bytes * _ROOMY)
        for name, tier in platform.chip.memory.items()
    }
    alone = scenario.replace(
        platform=platform.replace(chip=platform.chip.replace(memory=tiers)),
        plan=plan.replace(tp=1, pp=1, dp=1, ep=1),
        profile=scenario.profile.replace(per_sequence_s=0.0),
    )
    try:
        phases = estimate(alone).phases
    except PlanError:
        return {}
    if not phases:
        return {}
    decode = phases.get("decode")
    step = 0.0 if decode is None else float(decode.overhead_s)
    first = float(phases["prefill"].overhead_s)
    return {"ttft": first, "tpot": step, "e2e": first + (float(scenario.usecase.output_tokens) - 1) * step}


#: A capacity that nothing fills.
_ROOMY = 1e6


def _of(item: Fit, aim: str) -> float:
    worth = item.worth(aim)
    return float("inf") if worth is None else worth


def _e2e(item: Fit) -> float:
    return float(item.answer.metrics.e2e_s or 0.0)
