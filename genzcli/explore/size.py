"""The smallest platform that fits a model and meets the objectives."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from genzcli.engine.estimate import estimate
from genzcli.engine.machine.energy import chip_power_w, chip_price_usd_per_hour, static_w
from genzcli.engine.machine.memory import weights_of
from genzcli.engine.machine.placement import storage
from genzcli.engine.result import Estimate
from genzcli.errors import PlanError
from genzcli.explore.plan import candidates, choose, simplicity
from genzcli.slo import Judged, judge
from genzcli.spec.metric import METRICS
from genzcli.spec.workload import Scenario
from genzcli.units import show

#: What a size may be the least of: a metric, or the number of chips.
AIMS = {
    "chips": None,
    "cost": "usd_per_million_output_tokens",
    "joules": "joules_per_output_token",
    "power": "average_w",
}


class Fit(NamedTuple):
    """A plan that fits and meets every objective, and its brief answer."""

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
    """The best size found, the plans of that size that it beat, what was tried, and why there is none.

    Where the best has no value of the aim (no price is known), `why` says so: it is no match for the others.
    """

    best: Fit | None
    beaten: tuple[Fit, ...]
    tried: int  # plans computed
    why: str = ""


class Tried(NamedTuple):
    """Plans that serve, how many were computed, why others do not fit, and what those that fit miss."""

    found: list[Fit]
    computed: int
    why: str
    missed: list[tuple[Judged, ...]]


def plans(scenario: Scenario, chips: int, fixed: Mapping[str, int]) -> Tried:
    """Plans of exactly `chips` chips that fit and meet the objectives, and what is wrong with the others."""
    found, tried, why, missed = [], 0, "", []
    for plan in candidates(scenario.model, scenario.plan, chips, fixed, every=True):
        case = scenario.replace(plan=plan)
        try:
            answer = estimate(case, brief=True)
        except PlanError as error:
            why = why or str(error)
            continue
        tried += 1
        judged = judge(answer, scenario.usecase.slo)
        if not answer.fits:
            why = why or str(answer.why)
        elif all(item.passed for item in judged):
            found.append(Fit(case, answer))
        else:
            missed.append(judged)
    return Tried(found, tried, why, missed)


def smallest(scenario: Scenario, fixed: Mapping[str, int], aim: str, most: int) -> Search:
    """The size of at most `most` chips with the least `aim` that fits and meets every objective.

    Counts are tried upwards from what could hold the weights. The search ends where a proven bound says
    that more chips cannot be better: fewest chips is the first that does; cost, joules and power of n chips
    are at least n times rent or static power over the time that no number of chips takes away.
    """
    least = floors(scenario)
    broken = [item.metric for item in scenario.usecase.slo if least.get(item.metric, 0.0) > item.limit]
    if broken:
        took = show(least[broken[0]], "s")
        said = f"no number of chips meets {broken[0]}: launches and host work alone take {took}"
        return Search(None, (), 0, said)
    said = unknown(scenario, [item.metric for item in scenario.usecase.slo])
    if said:
        return Search(None, (), 0, said)
    apart = unknown(scenario, [aim])
    if apart:
        return smallest(scenario, fixed, "chips", most)._replace(why=f"not compared: {apart}")
    if said := _out_of_reach(scenario, fixed, most):
        return Search(None, (), 0, said)
    best: Fit | None = None
    beaten: tuple[Fit, ...] = ()
    tried, why, missed = 0, "", list[tuple[Judged, ...]]()
    for chips in range(least_chips(scenario), most + 1):
        if best is not None and (aim == "chips" or _bound(scenario, aim, chips, least) > _of(best, aim)):
            break
        found, computed, trouble, failed = plans(scenario, chips, fixed)
        tried, why, missed = tried + computed, trouble or why, missed + failed
        ranked = sorted(found, key=lambda item: (_of(item, aim), _e2e(item), simplicity(item.scenario)))
        if ranked and (best is None or _of(ranked[0], aim) < _of(best, aim)):
            best, beaten = ranked[0], tuple(ranked[1:])
    if best is None:
        why = _missed(missed, most) if missed else why or _no_plan(scenario, fixed, most)
    return Search(best, beaten, tried, "" if best is not None else why)


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


def _missed(missed: list[tuple[Judged, ...]], most: int) -> str:
    """The objectives that no plan meets, with the best that was seen; or that all meet one at a time."""
    never = []
    for items in zip(*missed, strict=True):
        if not any(item.passed for item in items):
            best = max(items, key=lambda item: -math.inf if item.margin is None else item.margin)
            reached = "" if best.actual is None else f" (the best: {_of_metric(best)})"
            never.append(f"{best.metric}{reached}")
    chips = "1 chip" if most == 1 else f"at most {most} chips"
    if never:
        return f"no plan of {chips} meets {' nor '.join(never)}"
    return f"no plan of {chips} meets all objectives at once"


def _of_metric(item: Judged) -> str:
    scaled = METRICS[item.metric]
    value = float(item.actual or 0.0) / scaled.scale
    return show(value, "s") if scaled.unit == "s" else f"{show(value * scaled.scale, '')} {item.unit}"


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
    plan, profile = scenario.plan, scenario.profile
    reserve = profile.reserve if plan.reserve is None else plan.reserve
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


def _bound(scenario: Scenario, aim: str, chips: int, least: Mapping[str, float]) -> float:
    """The least that `aim` can be with this many chips: rent or static power over the fixed time."""
    floor = least.get("e2e", 0.0)
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
