"""Whether redundant experts would pay: where experts do not divide by the chips, or some are far busier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import inf

from genzcli.engine.result import Estimate
from genzcli.errors import PlanError
from genzcli.explore.cure import Cure
from genzcli.explore.plan import Choice, choose
from genzcli.slo import judge, verdict
from genzcli.spec.model import Moe
from genzcli.spec.workload import Scenario
from genzcli.units import show

#: A gain in E2E worth a line.
_WORTH = 0.05


def replicas(before: Estimate, fixed: Mapping[str, int]) -> Cure | None:
    """The redundant experts that spread the load over more chips, or evenly, with what they bring.

    None where they bring less than 5 % of E2E, where some are in use, and for a model without experts.
    """
    scenario = before.scenario
    if scenario.plan.redundant_experts:
        return None
    tried = [item for item in _tried(scenario, fixed) if _e2e(item[1].answer) < (1 - _WORTH) * _e2e(before)]
    if not tried:
        return None
    effect, choice = min(tried, key=lambda item: _e2e(item[1].answer))
    times = {"TTFT": choice.answer.metrics.ttft_s, "TPOT": choice.answer.metrics.tpot_s}
    said = ", ".join(f"{name} {show(float(time), 's')}" for name, time in times.items() if time is not None)
    passes = verdict(judge(choice.answer, scenario.usecase.slo)) in (None, "pass")
    plan = choice.scenario.plan
    change = f"--redundant-experts {plan.redundant_experts:g}"
    return Cure(change, f"ep {plan.ep:g} ({effect}): {said}" + ("" if passes else ", still fails"), passes)


def _tried(scenario: Scenario, fixed: Mapping[str, int]) -> Iterator[tuple[str, Choice]]:
    for extra, why in _worth_trying(scenario):
        more = scenario.replace(plan=scenario.plan.replace(redundant_experts=extra))
        with suppress(PlanError):
            yield why, choose(more, int(scenario.plan.chips), fixed)


def _e2e(answer: Estimate) -> float:
    return inf if answer.metrics.e2e_s is None else float(answer.metrics.e2e_s)


def _worth_trying(scenario: Scenario) -> Iterator[tuple[int, str]]:
    """Numbers of replicas, with what speaks for each."""
    plan, blocks = scenario.plan, scenario.model.blocks.values()
    counts = {int(block.feedforward.experts) for block in blocks if isinstance(block.feedforward, Moe)}
    if len(counts) != 1:
        return
    [experts] = counts
    chips, ranks = int(plan.chips), int(plan.ep)
    uneven = -experts % chips
    if uneven and experts > chips:
        yield uneven, f"{experts} experts do not divide by {chips} chips, {experts + uneven} do"
    if plan.routing == "power-law" and ranks > 1:
        yield -experts % ranks or ranks, "popular experts lie on several ranks"
