"""Choosing the parallelism that the user left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from genzcli.engine.estimate import estimate
from genzcli.engine.result import Estimate
from genzcli.errors import PlanError
from genzcli.spec.model import Model, Moe
from genzcli.spec.workload import Plan, Scenario

#: Deepest pipeline tried unasked where a shallower one exists; beyond, latency only grows.
_AXES = ("tp", "pp", "dp", "ep")


class Choice(NamedTuple):
    """The plan taken, how many were compared, and whether any fits."""

    scenario: Scenario
    compared: int
    fits: bool
    note: str


def choose(scenario: Scenario, chips: int, fixed: Mapping[str, int]) -> Choice:
    """The legal plan of exactly `chips` chips with the lowest E2E among those that fit.

    `fixed` holds the degrees the user gave. When none fits, the plan that comes closest is taken,
    so that the answer can say what is short. Raises PlanError when no legal plan uses all chips.
    """
    best: tuple[tuple[float, ...], Scenario] | None = None
    compared, trouble = 0, None
    for plan in candidates(scenario.model, scenario.plan, chips, fixed):
        case = scenario.replace(plan=plan)
        try:
            answer = estimate(case)
        except PlanError as error:
            trouble = trouble or error
            continue
        compared += 1
        rank = _rank(answer, plan)
        if best is None or rank < best[0]:
            best = (rank, case)
    if best is None:
        raise trouble or _no_plan(scenario, chips, fixed)
    fits = best[0][0] == 0
    return Choice(best[1], compared, fits, _note(best[1].plan, fixed, compared, fits))


def candidates(model: Model, plan: Plan, chips: int, fixed: Mapping[str, int]) -> Iterator[Plan]:
    """Plans with tp x pp x dp = chips that honour what is fixed; legality is the engine's to judge."""
    for tp in _given_or(fixed.get("tp"), _tensor_degrees(model, plan, chips)):
        if chips % tp:
            continue
        for pp in _given_or(fixed.get("pp"), _divisors(chips // tp)):
            dp, rest = divmod(chips, tp * pp)
            if rest or pp > model.layers or dp != fixed.get("dp", dp) or dp > plan.batch:
                continue
            for ep in _given_or(fixed.get("ep"), _expert_degrees(model, tp, dp)):
                yield plan.replace(tp=tp, pp=pp, dp=dp, ep=ep)


def _given_or(value: int | None, others: list[int]) -> list[int]:
    return others if value is None else [value]


def _divisors(n: int) -> list[int]:
    return [i for i in range(1, n + 1) if n % i == 0]


def _tensor_degrees(model: Model, plan: Plan, chips: int) -> list[int]:
    """Divisors of the chips that also divide the heads (all of them with padding)."""
    degrees = _divisors(chips)
    if plan.uneven == "pad":
        return degrees
    heads = [block.attention.heads for block in model.blocks.values()]
    return [tp for tp in degrees if all(count % tp == 0 for count in heads)]


def _expert_degrees(model: Model, tp: int, dp: int) -> list[int]:
    """For a MoE: experts cut like everything else (ep 1), or spread over all chips of a stage."""
    experts = [b.feedforward.experts for b in model.blocks.values() if isinstance(b.feedforward, Moe)]
    if not experts:
        return [1]
    widest = max(n for n in _divisors(tp * dp) if all(count % n == 0 for count in experts))
    return sorted({1, widest})


def _rank(answer: Estimate, plan: Plan) -> tuple[float, ...]:
    """Order of preference: fits, then fast, then simple."""
    simple = (float(plan.pp), float(plan.dp), float(plan.ep))
    if not answer.fits:
        return (1.0, float(answer.memory.deficit_bytes), *simple)
    assert answer.metrics.e2e_s is not None
    return (0.0, float(f"{answer.metrics.e2e_s:.12g}"), *simple)


def _no_plan(scenario: Scenario, chips: int, fixed: Mapping[str, int]) -> PlanError:
    given = ", ".join(f"{key} {value}" for key, value in fixed.items())
    heads = sorted({int(block.attention.heads) for block in scenario.model.blocks.values()})
    return PlanError(
        f"no legal plan of {scenario.model.name} uses exactly {chips} chips"
        + (f" with {given}" if given else ""),
        where="--chips",
        cure=f"tp must divide {' and '.join(map(str, heads))} heads, pp at most {scenario.model.layers} "
        f"layers, dp at most the batch of {scenario.plan.batch:g}, and tp x pp x dp = chips",
    )


def _note(plan: Plan, fixed: Mapping[str, int], compared: int, fits: bool) -> str:
    chosen = [
        f"{axis} {getattr(plan, axis)}" for axis in _AXES if axis not in fixed and getattr(plan, axis) > 1
    ]
    what = ", ".join(chosen) or "no parallelism"
    if compared == 1:
        return f"parallelism chosen: {what} (the only legal plan)"
    reason = (
        f"lowest E2E of {compared} legal plans" if fits else f"closest to fitting of {compared} legal plans"
    )
    return f"parallelism chosen: {what} ({reason})"
