"""Choosing the parallelism that the user left out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from genzcli.engine.counts import mixers
from genzcli.engine.estimate import estimate
from genzcli.engine.result import Estimate
from genzcli.errors import PlanError
from genzcli.numeric import largest
from genzcli.slo import judge
from genzcli.spec.model import Model, Moe
from genzcli.spec.workload import Plan, Scenario

_AXES = ("tp", "pp", "dp", "ep")
#: Among plans this close to the fastest, the simplest is taken.
NEAR = 1.05
#: How far above the chips that were asked for another number of them is worth saying.
_LOOKED = 64


class Choice(NamedTuple):
    """The plan taken and its brief answer, how many were compared, and whether any fits."""

    scenario: Scenario
    answer: Estimate
    compared: int
    fits: bool
    note: str


def as_given(scenario: Scenario, fixed: Mapping[str, int]) -> Scenario | None:
    """The scenario with the degrees of the user where they leave nothing to choose; legal or not."""
    if fixed.keys() >= set(_AXES) or (fixed.keys() >= set(_AXES[:3]) and not scenario.model.has_experts):
        return scenario.replace(plan=scenario.plan.replace(**fixed))
    return None


class _Tried(NamedTuple):
    """One legal plan and its brief answer."""

    scenario: Scenario
    answer: Estimate
    failed: int  # objectives


def choose(scenario: Scenario, chips: int, fixed: Mapping[str, int]) -> Choice:
    """The legal plan of exactly `chips` chips that fits, meets most objectives, and has the lowest E2E.

    Of those within 5 % of it the simplest is taken.
    `fixed` holds the degrees the user gave. When none fits, the plan that comes closest is taken,
    so that the answer can say what is short. Raises PlanError when no legal plan uses all chips.
    """
    tried, trouble = [], None
    for plan in candidates(scenario.model, scenario.plan, chips, fixed):
        case = scenario.replace(plan=plan)
        try:
            answer = estimate(case, brief=True)
        except PlanError as error:
            trouble = trouble or error
            continue
        failed = sum(not item.passed for item in judge(answer, scenario.usecase.slo))
        tried.append(_Tried(case, answer, failed))
    if not tried:
        raise trouble or _no_plan(scenario, chips, fixed)
    best = _best(tried)
    fits = bool(best.answer.fits)
    return Choice(best.scenario, best.answer, len(tried), fits, _note(best, fixed, len(tried)))


def _best(tried: list[_Tried]) -> _Tried:
    fitting = [item for item in tried if item.answer.fits]
    if not fitting:
        return min(tried, key=lambda item: (float(item.answer.memory.deficit_bytes), _simplicity(item)))
    least = min(item.failed for item in fitting)
    passing = [item for item in fitting if item.failed == least]
    fastest = min(_e2e(item) for item in passing)
    return min(
        (item for item in passing if _e2e(item) <= NEAR * fastest),
        key=lambda item: (_simplicity(item), _e2e(item)),
    )


def _e2e(item: _Tried) -> float:
    assert item.answer.metrics.e2e_s is not None
    return float(item.answer.metrics.e2e_s)


def _simplicity(item: _Tried) -> tuple[float, ...]:
    return simplicity(item.scenario)


def simplicity(scenario: Scenario) -> tuple[float, ...]:
    """Fewer stages, fewer groups; experts cut over TP alone, spread as soon as attention is not."""
    plan = scenario.plan
    unusual = (plan.ep > 1) != (plan.dp > 1) and scenario.model.has_experts
    return float(plan.pp), float(plan.dp), float(unusual), float(plan.ep)


def candidates(
    model: Model, plan: Plan, chips: int, fixed: Mapping[str, int], *, every: bool = False
) -> Iterator[Plan]:
    """Plans with tp x pp x dp = chips that honour what is fixed; legality is the engine's to judge.

    Experts are cut like everything else, or spread as far as they go; with `every`, any way between too.
    """
    most = largest(plan.batch)
    for tp in _given_or(fixed.get("tp"), _tensor_degrees(model, plan, chips)):
        if chips % tp:
            continue
        for pp in _given_or(fixed.get("pp"), _divisors(chips // tp)):
            dp, rest = divmod(chips, tp * pp)
            if rest or pp > model.layers or dp != fixed.get("dp", dp) or dp > most:
                continue
            for ep in _given_or(fixed.get("ep"), _expert_degrees(model, plan, tp, dp, every)):
                yield plan.replace(tp=tp, pp=pp, dp=dp, ep=ep)


def _given_or(value: int | None, others: list[int]) -> list[int]:
    return others if value is None else [value]


def _divisors(n: int) -> list[int]:
    small = [i for i in range(1, math.isqrt(n) + 1) if n % i == 0]
    return small + [n // i for i in reversed(small) if i * i != n]


def _tensor_degrees(model: Model, plan: Plan, chips: int) -> list[int]:
    """Divisors of the chips that also divide the heads (all of them with padding)."""
    degrees = _divisors(chips)
    if plan.uneven == "pad":
        return degrees
    heads = _heads(model)
    return [tp for tp in degrees if all(count % tp == 0 for count in heads)]


def _heads(model: Model) -> list[int]:
    """The heads of every mixer: tp divides all of them."""
    mixed = [block.mixer for block in model.blocks.values() if block.mixer is not None]
    return sorted({int(pair[0]) for mixer in mixed for pair in mixers.heads(mixer)})


def _expert_degrees(model: Model, plan: Plan, tp: int, dp: int, every: bool) -> list[int]:
    """For a MoE: experts cut like everything else (ep 1), or spread over all chips of a stage."""
    routed = [b.feedforward.experts for b in model.blocks.values() if isinstance(b.feedforward, Moe)]
    experts = [count + plan.redundant_experts for count in routed]
    if not experts:
        return [1]
    degrees = [n for n in _divisors(tp * dp) if all(count % n == 0 for count in experts)]
    return degrees if every else sorted({1, degrees[-1]})


def _no_plan(scenario: Scenario, chips: int, fixed: Mapping[str, int]) -> PlanError:
    """Why no plan uses exactly these chips, and the nearest numbers that one does use."""
    model, plan = scenario.model, scenario.plan
    if fixed.get("dp", 1) > plan.batch:
        return PlanError(
            f"dp {fixed['dp']} is more than the batch {plan.batch:g}",
            where="--dp",
            cure="give every data-parallel group at least one request: a larger --batch or a smaller --dp",
        )
    given = ", ".join(f"{key} {value}" for key, value in fixed.items())
    heads = _heads(model)
    near = _nearest_counts(model, plan, chips, fixed)
    tries = f"use {' or '.join(f'--chips {n}' for n in near)}, " if near else ""
    return PlanError(
        f"no legal plan of {model.name} uses exactly {chips} chips" + (f" with {given}" if given else ""),
        where="--chips",
        cure=f"{tries}or --uneven pad: tp must divide {' and '.join(map(str, heads))} heads, pp is at most "
        f"{model.layers} layers, dp at most the batch of {plan.batch:g}, and tp x pp x dp = chips",
    )


def _nearest_counts(model: Model, plan: Plan, chips: int, fixed: Mapping[str, int]) -> list[int]:
    """The next smaller number of chips that some plan uses, and the next larger one that is not far."""
    units = list(_units(model, plan, fixed))
    smaller = [unit * min(most, (chips - 1) // unit) for unit, most in units if unit < chips]
    larger = [unit * (chips // unit + 1) for unit, most in units if chips // unit + 1 <= most]
    found = [int(max(smaller, default=0)), int(min(larger, default=0))]
    return [n for n in found if 0 < n < min(2 * chips, chips + _LOOKED)]


def _units(model: Model, plan: Plan, fixed: Mapping[str, int]) -> Iterator[tuple[int, float]]:
    """Chips that stand together, and how many times a plan can have them: tp x pp, and dp up to the batch.

    Where any tp will do they are pp x dp, as many times as one likes.
    """
    heads = _heads(model)
    any_tp = "tp" not in fixed and (plan.uneven == "pad" or not heads)
    tps = [1] if any_tp else _given_or(fixed.get("tp"), _divisors(math.gcd(*heads)))
    for tp in tps:
        for pp in _given_or(fixed.get("pp"), list(range(1, int(model.layers) + 1))):
            dp = fixed.get("dp", 1)
            if pp > model.layers or dp > largest(plan.batch):
                continue
            yield tp * pp * dp, math.inf if any_tp else 1 if "dp" in fixed else largest(plan.batch)


def _note(best: _Tried, fixed: Mapping[str, int], compared: int) -> str:
    """How the plan came about, by the rule of `choose`."""
    plan, fits = best.scenario.plan, bool(best.answer.fits)
    chosen = [
        f"{axis} {getattr(plan, axis)}" for axis in _AXES if axis not in fixed and getattr(plan, axis) > 1
    ]
    if fixed and not chosen:
        return ""
    what = ", ".join(chosen) or "no parallelism"
    if compared == 1:
        return f"parallelism chosen: {what} (the only legal plan)"
    reason = f"lowest E2E of {compared} legal plans"
    if best.failed:
        reason = f"of {compared} legal plans those that miss fewest objectives, of these the lowest E2E"
    if not fits:
        reason = f"closest to fitting of {compared} legal plans"
    return f"parallelism chosen: {what} ({reason})"
