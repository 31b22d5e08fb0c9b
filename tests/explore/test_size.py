"""Sizes against brute force over every plan; loads against every value; needs against hand calculations."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from engine_samples import IDEAL, calibrated, chip, close, dense, level, moe, platform, usecase
from engine_samples import scenario as scenario_of

from genzcli.engine.estimate import estimate
from genzcli.errors import PlanError
from genzcli.explore.bounds import best_case
from genzcli.explore.largest import largest
from genzcli.explore.needs import requirements
from genzcli.explore.size import AIMS, least_chips, smallest
from genzcli.slo import judge
from genzcli.spec.hardware import Tier
from genzcli.spec.workload import Scenario, Slo

MOST = 12


def passes(case: Scenario) -> Any:
    """The answer where the plan exists, fits and meets every objective."""
    try:
        answer = estimate(case)
    except PlanError:
        return None
    met = all(item.passed for item in judge(answer, case.usecase.slo))
    return answer if answer.fits and met else None


def degrees(most: int) -> Iterator[dict[str, int]]:
    """All combinations, with no cleverness at all."""
    for tp in range(1, most + 1):
        for pp in range(1, most // tp + 1):
            for dp in range(1, most // (tp * pp) + 1):
                for ep in range(1, tp * dp + 1):
                    yield {"tp": tp, "pp": pp, "dp": dp, "ep": ep}


def every_plan(case: Scenario, most: int) -> list[tuple[int, Any]]:
    """Chips and answer of every plan that passes."""
    tried = (case.replace(plan=case.plan.replace(**each)) for each in degrees(most))
    answers = ((int(each.plan.chips), passes(each)) for each in tried)
    return [(chips, answer) for chips, answer in answers if answer is not None]


def problem(seed: int) -> Scenario:
    """A small random question: some too large for a chip, some with objectives, some that nothing serves."""
    dice = random.Random(seed)
    layers = dice.choice((2, 3, 4))
    model = moe(layers) if dice.random() < 0.4 else dense(layers, kv_heads=dice.choice((2, 8)))
    room = dice.choice((4e7, 8e7, 1.5e8, 1e9))
    hardware = chip(memory={"hbm": Tier(capacity_bytes=room, bandwidth_bytes_per_s=1e12)})
    nearby = dice.choice((None, level(), level("ring", 4)))
    outer = level(name="outer", size=1, bandwidth_bytes_per_s=1e10)
    on = platform(*([nearby] if nearby else []), chip=hardware, scale_out=outer)
    limits = []
    if dice.random() < 0.7:
        limits.append(Slo(metric="tpot", limit=10 ** dice.uniform(-4.5, -3)))
    if dice.random() < 0.5:
        limits.append(Slo(metric="ttft", limit=10 ** dice.uniform(-4, -2)))
    if dice.random() < 0.3:
        limits.append(Slo(metric="throughput", limit=10 ** dice.uniform(2, 5)))
    asked = usecase(dice.choice((10, 200, 1000)), dice.choice((1, 5, 50))).replace(slo=tuple(limits))
    profile = dice.choice((IDEAL, calibrated(), calibrated(step_s=1e-4)))
    return scenario_of(model, on, asked, profile, batch=dice.choice((1, 2, 6)))


@pytest.mark.parametrize("seed", range(200))
def test_smallest_is_what_brute_force_finds(seed: int) -> None:
    case = problem(seed)
    found = smallest(case, {}, "chips", MOST)
    counts = [chips for chips, _ in every_plan(case, MOST)]
    assert (found.best.chips if found.best else None) == (min(counts) if counts else None)
    assert found.best is not None or found.why
    assert not counts or len(found.beaten) == counts.count(min(counts)) - 1


@pytest.mark.parametrize("seed", range(0, 200, 10))
@pytest.mark.parametrize("aim", ["cost", "joules", "power"])
def test_cheapest_is_what_brute_force_finds(seed: int, aim: str) -> None:
    case = problem(seed)
    found = smallest(case, {}, aim, MOST)
    worths = [float(getattr(answer.metrics, AIMS[aim] or "")) for _, answer in every_plan(case, MOST)]
    if not worths:
        assert found.best is None
        return
    assert found.best is not None
    worth = found.best.worth(aim)
    assert worth is not None and close(worth, min(worths))


@pytest.mark.parametrize("seed", range(60))
def test_the_closest_miss_is_what_brute_force_finds(seed: int) -> None:
    """Where no plan serves, the one whose worst objective is nearest to its limit, of those that fit."""
    case = problem(seed)
    limits = (Slo(metric="ttft", limit=1e-6), Slo(metric="throughput", limit=1e7))
    case = case.replace(usecase=case.usecase.replace(slo=limits))
    found = smallest(case, {}, "chips", MOST)
    misses = []
    for each in degrees(MOST):
        try:
            answer = estimate(case.replace(plan=case.plan.replace(**each)), brief=True)
        except PlanError:
            continue
        if answer.fits:
            ttft, rate = answer.metrics.ttft_s, answer.metrics.output_tokens_per_s
            assert ttft is not None and rate is not None
            misses.append(max(float(ttft) / 1e-6, 1e7 / float(rate)))
    assert found.best is None and (found.closest is None) == (not misses)
    if found.closest is not None:
        assert close(found.closest.shortfall, min(misses)) and found.why
        assert found.closest.misses["ttft"] > 1 > found.closest.misses["throughput"]


def test_fewer_chips_than_the_weights_need_are_not_tried() -> None:
    small = chip(memory={"hbm": Tier(capacity_bytes=5e7, bandwidth_bytes_per_s=1e12)})
    # 175.2 MB of weights on chips of 50 MB
    assert least_chips(scenario_of(on=platform(level(), chip=small))) == 4


@pytest.mark.parametrize("limit", [2e-4, 3e-4, 5e-4, 2e-3])
def test_largest_batch_is_the_last_that_passes(limit: float) -> None:
    case = scenario_of(use=usecase(100, 11).replace(slo=(Slo(metric="tpot", limit=limit),)))

    def put(scenario: Scenario, value: Any) -> Scenario:
        return scenario.replace(plan=scenario.plan.replace(batch=value))

    found = largest(case, put, 3000, 1, {"tp": 1, "pp": 1, "dp": 1})
    passing = [batch for batch in range(1, 3001) if passes(put(case, batch)) is not None]
    assert found.value == (max(passing) if passing else None)
    if found.value is not None and found.fails_at is not None:
        assert found.fails_at == found.value + 1


def test_largest_batch_without_objectives_is_what_memory_holds() -> None:
    case = scenario_of()

    def put(scenario: Scenario, value: Any) -> Scenario:
        return scenario.replace(plan=scenario.plan.replace(batch=value))

    found = largest(case, put, 10**6, 1, {"tp": 1, "pp": 1, "dp": 1})
    assert found.value == estimate(case).memory.max_batch


def test_needs_by_hand() -> None:
    """Under the pure roofline bandwidth alone sets TPOT and compute alone TTFT."""
    limits = (Slo(metric="ttft", limit=1e-3), Slo(metric="tpot", limit=1e-4))
    case = scenario_of(use=usecase(1000, 11).replace(slo=limits))
    found = {item.resource: item for item in requirements(case)}
    whole = estimate(case, explain=True)
    flop = float(whole.phases["prefill"].flop)
    moved = sum(float(row.bytes) for row in whole.phases["decode"].operators)
    assert close(found["compute"].need, flop / 1e-3, 1e-3)
    assert close(found["memory bandwidth"].need, moved / 1e-4, 1e-3)
    assert close(found["memory capacity"].need, float(whole.memory.used_bytes), 1e-3)
    # Together each is needed at least as much as alone
    for name in ("compute", "memory bandwidth", "memory capacity"):
        together, alone = found[f"together: {name}"].need, found[name].need
        assert together is not None and alone is not None and together >= alone


def test_what_no_amount_of_hardware_meets_is_said() -> None:
    slow = calibrated(step_s=1.0)
    case = scenario_of(use=usecase().replace(slo=(Slo(metric="tpot", limit=1e-3),)), profile=slow)
    assert {item.factor for item in requirements(case)} == {None}
    search = smallest(case, {}, "chips", 64)
    assert search.best is None and "no number of chips" in search.why
    assert search.closest is not None and search.closest.misses["tpot"] > 1000


def test_no_slice_of_a_torus_beats_the_bound_of_its_plan() -> None:
    """More stages are a larger slice: 3 chips are part of 2 x 2, of 6 they are one closed ring of a 3 x 2."""
    slow = {"bandwidth_bytes_per_s": 1e9, "links": 2, "latency_s": 0.0}
    axes = (level("ring", 3, name="x", **slow), level("ring", 8, name="y", **slow))
    case = scenario_of(dense(48, heads=24, kv_heads=24), platform(*axes), usecase(), batch=16)
    tried = (each for each in degrees(24) if each["ep"] in (1, each["tp"] * each["dp"]))
    plans = [case.plan.replace(**each) for each in tried]
    bound, legal = best_case(case, plans), []
    assert bound.tpot_s is not None
    for plan, ttft, tpot in zip(plans, bound.ttft_s, bound.tpot_s, strict=True):  # type: ignore[arg-type]
        try:
            found = estimate(case.replace(plan=plan)).metrics
        except PlanError:
            continue
        legal.append((plan.tp, plan.pp))
        assert found.ttft_s >= ttft * (1 - 1e-9)
        assert found.tpot_s is not None
        assert found.tpot_s >= tpot * (1 - 1e-9)
    assert (3, 2) in legal
