"""Elasticities against derivatives on paper and Euler's theorem; bottleneck changes against brute force."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from engine_samples import IDEAL, PEAK, calibrated, chip, dense, level, moe, plan, platform, usecase
from engine_samples import scenario as scenario_of

from genzcli.engine.estimate import estimate
from genzcli.engine.result import BOUNDS
from genzcli.explore.levers import levers
from genzcli.explore.sensitivity import STEP, Effect, Turn, helps, ranked, sensitivity
from genzcli.spec.hardware import Tier
from genzcli.spec.profile import CollectiveFit, OperatorFit
from genzcli.spec.workload import Scenario

ENDLESS = 1e30


def effects(case: Scenario) -> dict[str, Effect]:
    return {item.lever.name: item for item in sensitivity(case).effects}


def fast_compute(**changes: Any) -> Any:
    return platform(level(), chip=chip(peaks={"bf16": ENDLESS}, **changes))


def test_memory_bound_decode_is_inverse_in_bandwidth() -> None:
    found = effects(scenario_of(on=fast_compute()))
    bandwidth = found["memory.hbm.bandwidth"].elasticities
    assert bandwidth["tpot"] == pytest.approx(-1, abs=1e-9)
    assert bandwidth["user_throughput"] == pytest.approx(1, abs=1e-9)
    assert bandwidth["ttft"] == pytest.approx(-1, abs=1e-9)
    assert "peaks.bf16" not in found


def test_compute_bound_prefill_is_inverse_in_the_peak_that_is_used() -> None:
    memory = {"hbm": Tier(capacity_bytes=100e9, bandwidth_bytes_per_s=ENDLESS)}
    found = effects(scenario_of(on=platform(level(), chip=chip(memory=memory))))
    assert found["peaks.bf16"].elasticities["ttft"] == pytest.approx(-1, abs=1e-9)
    assert found["peaks.bf16"].elasticities["throughput"] == pytest.approx(1, abs=1e-9)
    assert "peaks.fp8" not in found and "memory.hbm.bandwidth" not in found


def test_a_sum_of_two_times_by_hand() -> None:
    """TPOT = s + m / x: the elasticities are s / TPOT to s, and -(m / x) / TPOT to x."""
    case = scenario_of(on=fast_compute(), profile=calibrated(operators={}, step_s=1e-4))
    phase = estimate(case).phases["decode"]
    share = float(phase.memory_s / phase.time_s)
    assert 0.3 < share < 0.9 and phase.overhead_s == pytest.approx(1e-4)
    found = effects(case)
    assert found["profile.step"].elasticities["tpot"] == pytest.approx(1 - share, rel=2e-4)
    assert found["memory.hbm.bandwidth"].elasticities["tpot"] == pytest.approx(-share, rel=2e-4)


def test_batch_goes_to_the_next_whole_request() -> None:
    """Weights are read once and the rest once a request: at batch 1, ln((w + 2 r) / (w + r)) / ln 2."""
    case = scenario_of(on=fast_compute())
    rows = estimate(case, explain=True).phases["decode"].operators
    whole = sum(float(row.bytes) for row in rows)
    weights = sum(float(row.weight_bytes) for row in rows if row.kind != "gather")  # rows of an embedding
    rest = whole - weights
    expected = math.log((weights + 2 * rest) / (weights + rest)) / math.log(2)
    assert effects(case)["batch"].elasticities["tpot"] == pytest.approx(expected, rel=1e-9)


def test_power_and_price_are_factors() -> None:
    found = effects(scenario_of())
    assert found["power"].elasticities["joules"] == pytest.approx(1, abs=1e-9)
    assert found["power"].elasticities["power"] == pytest.approx(1, abs=1e-9)
    assert found["price"].elasticities["cost"] == pytest.approx(1, abs=1e-9)
    assert found["price"].elasticities["e2e"] == found["power"].elasticities["tpot"] == 0
    unknown = effects(scenario_of(on=platform(level(), chip=chip(power_w=None, price_usd_per_hour=None))))
    assert unknown["batch"].elasticities["joules"] is None
    assert unknown["batch"].elasticities["cost"] is None and "price" not in unknown


SMOOTH = OperatorFit(compute_efficiency=0.5, memory_efficiency=0.8, corner=2)
CASES = {
    "ideal": scenario_of(profile=IDEAL, tp=2),
    "smooth": scenario_of(profile=calibrated(operators={"default": SMOOTH}), tp=4, batch=3),
    "pipeline": scenario_of(profile=calibrated(operators={"default": SMOOTH}), pp=2, batch=4),
    "experts": scenario_of(moe(), profile=calibrated(operators={"default": SMOOTH}), tp=2, ep=2, batch=7),
    "costs": scenario_of(
        profile=calibrated(
            step_s=1e-4,
            per_sequence_s=1e-6,
            per_chip_s=2e-5,
            collectives={"default": CollectiveFit(base_s=3e-6, efficiency=0.7)},
        ),
        tp=4,
        batch=3,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_euler(name: str) -> None:
    """Time is homogeneous: all rates f times as high and all waits 1 / f as long take 1 / f of it."""
    found = sensitivity(CASES[name]).effects
    for metric in ("ttft", "tpot", "e2e"):
        rates = sum(item.of(metric) for item in found if item.lever.field.unit in ("bytes/s", "flop/s"))
        waits = sum(item.of(metric) for item in found if item.lever.field.unit == "s")
        assert rates - waits == pytest.approx(-1, abs=1e-3), metric
    if name == "ideal":
        assert sum(item.of("tpot") for item in found if item.lever.field.unit == "s") > 0  # of the wires


def test_without_latencies_the_rates_alone_sum_to_one() -> None:
    nearby = level(latency_s=0.0)
    case = scenario_of(on=platform(nearby), profile=calibrated(operators={"default": SMOOTH}), tp=4, batch=3)
    found = sensitivity(case).effects
    assert not [item for item in found if item.lever.field.unit == "s"]
    for metric, sign in (("ttft", -1), ("tpot", -1), ("e2e", -1), ("throughput", 1)):
        rates = [item for item in found if item.lever.field.unit in ("bytes/s", "flop/s")]
        assert {item.lever.name for item in rates} == {
            "peaks.bf16", "memory.hbm.bandwidth", "levels.switch.bandwidth",
        }  # fmt: skip
        assert sum(item.of(metric) for item in rates) == pytest.approx(sign, abs=1e-3)


def test_efficiencies_and_what_they_apply_to_are_alike() -> None:
    """A peak and its efficiency stand in one product."""
    case = scenario_of(profile=calibrated(operators={"default": SMOOTH}), tp=2, on=platform(level()))
    found = effects(case)
    assert found["profile.operators.default.memory_efficiency"].elasticities == pytest.approx(
        found["memory.hbm.bandwidth"].elasticities
    )


def test_what_changes_nothing_is_left_out_and_the_rest_is_ranked() -> None:
    case = CASES["costs"]
    found = sensitivity(case).effects
    known = {lever.name for lever in levers(case)}
    assert {"memory.hbm.capacity", "peaks.fp8"} <= known - {item.lever.name for item in found}
    for item in found:
        assert any(abs(value or 0) > 0 for value in item.elasticities.values())
    order = [abs(item.of("tpot")) for item in ranked(found, "tpot")]
    assert order == sorted(order, reverse=True) and order[0] > 0.3


def test_helping_is_less_time_and_more_tokens() -> None:
    assert helps("ttft", -0.5) is True and helps("ttft", 0.5) is False
    assert helps("throughput", 0.5) is True and helps("cost", 0.5) is False
    assert helps("e2e", 0.0) is None and helps("joules", None) is None


def test_a_ratio_at_its_limit_is_stepped_one_way() -> None:
    """kv_keep is at most 1: the derivative from below is that of the cache bytes."""
    case = scenario_of(on=fast_compute(), use=usecase(100000, 2))
    [lever] = [item for item in levers(case) if item.path == "plan.kv_keep"]
    less = estimate(lever.put(case, 1 - STEP)).metrics.tpot_s
    now = estimate(case).metrics.tpot_s
    assert less is not None and now is not None
    expected = math.log(float(now) / float(less)) / math.log(1 / (1 - STEP))
    assert effects(case)["plan.kv_keep"].elasticities["tpot"] == pytest.approx(expected, rel=1e-12)
    assert expected > 0.5


def test_a_lever_puts_exactly_its_own_number() -> None:
    case = scenario_of(
        on=platform(level(), level("ring", 4), scale_out=level(name="out")), profile=calibrated()
    )
    found = levers(case)
    assert len({item.path for item in found}) == len(found)
    for lever in found:
        other = {item.path: item.value for item in levers(lever.put(case, lever.value * 0.5))}
        assert other == {item.path: item.value for item in found} | {lever.path: lever.value * 0.5}


# --- where the bottleneck changes ---


def turns(case: Scenario) -> dict[tuple[str, str], Turn]:
    return {(item.phase, item.lever.name): item for item in sensitivity(case).turns}


def bound_at(case: Scenario, lever: Any, value: float, phase: str) -> str:
    answer = estimate(lever.put(case, int(value) if lever.whole else value))
    return BOUNDS[int(answer.phases[phase].bound)]


def roomy(**changes: Any) -> Any:
    """A chip that holds anything, so that every single query has an answer."""
    return chip(memory={"hbm": Tier(capacity_bytes=1e18, bandwidth_bytes_per_s=1e12)}, **changes)


@pytest.mark.parametrize("start", [1, 20, 150])
def test_decode_becomes_compute_bound_where_brute_force_says(start: int) -> None:
    case = scenario_of(on=platform(level(), chip=roomy()), use=usecase(1, 2), batch=start)
    now = BOUNDS[int(estimate(case).phases["decode"].bound)]
    turn = turns(case)["decode", "batch"]
    others = [
        batch
        for batch in range(1, 600)
        if bound_at(case.replace(plan=case.plan.replace(batch=batch)), turn.lever, batch, "decode") != now
    ]
    nearest = min(others, key=lambda batch: abs(math.log(batch / start)))
    assert (turn.before, turn.value, turn.factor) == (now, nearest, nearest / start)
    assert turn.after == bound_at(case, turn.lever, nearest, "decode")


def test_the_ridge_of_one_gemm_by_hand() -> None:
    """Without attention, decode of B tokens turns where the FLOP of all GEMMs take as long as their bytes.

    One up projection [B, k] x [k, n] alone: 2 B k n / P = 2 (k n + B (k + n)) / W, so
    B = k n P / (k n W - P (k + n)); the whole pass, of GEMMs of several shapes, turns nearby.
    """
    peak, bandwidth, k, n = PEAK, 1e12, 1024, 4096
    alone = k * n * peak / (k * n * bandwidth - peak * (k + n))
    case = scenario_of(dense(16, vocab=10), on=platform(level(), chip=roomy()), use=usecase(1, 2))
    turn = turns(case)["decode", "batch"]
    assert (turn.before, turn.after) == ("memory", "compute")
    assert alone < turn.value < 2 * alone


@pytest.mark.parametrize("name", ["costs", "experts", "smooth"])
def test_no_change_is_nearer_than_the_one_reported(name: str) -> None:
    case = CASES[name].replace(platform=CASES[name].platform.replace(chip=roomy()), usecase=usecase(300, 5))
    found = turns(case)
    assert len(found) > 6
    dice = random.Random(1)
    for (phase, _), turn in found.items():
        lever = turn.lever
        assert bound_at(case, lever, turn.value, phase) == turn.after != turn.before
        for _ in range(40):
            value = lever.value * math.exp(dice.uniform(-1, 1) * turn.distance * (1 - 1e-6))
            value = round(value) if lever.whole else value
            if lever.least <= value <= lever.most and abs(math.log(value / lever.value)) < turn.distance:
                assert bound_at(case, lever, value, phase) == turn.before, (phase, lever.name, value)


def test_a_change_that_does_not_fit_says_so() -> None:
    small = chip(memory={"hbm": Tier(capacity_bytes=1.78e8, bandwidth_bytes_per_s=1e12)})
    case = scenario_of(on=platform(level(), chip=small), use=usecase(1, 2))
    turn = turns(case)["decode", "batch"]
    most = float(estimate(case).memory.max_batch)
    assert turn.value > most and not turn.fits


def test_a_batch_below_its_groups_is_no_point() -> None:
    """dp 4 has no plan below batch 4: the change is looked for above only, and the step goes up."""
    case = scenario_of(moe(), on=platform(level(), chip=roomy()), dp=4, batch=4)
    assert case.plan.chips == 4 and plan().batch == 1
    found = sensitivity(case)
    assert all(turn.value >= 4 for turn in found.turns if turn.lever.name == "batch")
    [batch] = [item for item in found.effects if item.lever.name == "batch"]
    at = {n: estimate(case.replace(plan=case.plan.replace(batch=n))).metrics.e2e_s for n in (4, 5)}
    expected = math.log(float(at[5] or 0) / float(at[4] or 0)) / math.log(5 / 4)
    assert batch.elasticities["e2e"] == pytest.approx(expected, rel=1e-12)
