"""What would help: every cure that is offered does what it says."""

from __future__ import annotations

import pytest
from engine_samples import chip, level, platform, scenario, usecase

from genzcli.engine.estimate import estimate
from genzcli.explore.cure import cures, smallest_chips
from genzcli.slo import judge, verdict
from genzcli.spec.hardware import Tier
from genzcli.spec.workload import Slo
from genzcli.units import show

SMALL = chip(memory={"hbm": Tier(capacity_bytes=0.1e9, bandwidth_bytes_per_s=1e12)})
BENCH = platform(level(), chip=SMALL, scale_out=level(name="out", size=1))


def test_the_fewest_chips_that_hold_the_model() -> None:
    """trap: 128 chips proposed where 4 do."""
    base = scenario(on=BENCH)
    found = smallest_chips(base, {})
    assert found is not None
    # 175.2 MB of weights in bf16 and some MB of KV and activations: two chips of 100 MB at least
    assert found.plan.chips == 2
    assert estimate(found).fits


def test_a_misfit_gets_cures_that_cure() -> None:
    found = cures(estimate(scenario(on=BENCH)), (), {})
    assert any(cure.change.startswith("--chips 2") and cure.cures for cure in found)
    assert any(cure.change == "--precision fp8" and cure.cures for cure in found)


def test_a_smaller_batch_is_the_largest_that_fits() -> None:
    base = scenario(on=platform(level()), batch=30_000)
    most = int(estimate(base).memory.max_batch)
    assert any(cure.change == f"--batch {most}" for cure in cures(estimate(base), (), {}))


def test_an_objective_that_fails_gets_a_batch_that_passes() -> None:
    base = scenario(batch=256)
    alone = estimate(base.replace(plan=base.plan.replace(batch=1))).metrics.tpot_s
    slos = (Slo(metric="tpot", limit=1.5 * float(alone or 0)),)
    assert verdict(judge(estimate(base), slos)) == "fail"
    change = next(
        cure.change for cure in cures(estimate(base), slos, {}) if cure.change.startswith("--batch")
    )
    batch = int(change.split()[1])

    def passes(size: int) -> bool:
        return verdict(judge(estimate(base.replace(plan=base.plan.replace(batch=size))), slos)) == "pass"

    assert passes(batch) and not passes(batch + 1)


def test_a_host_beside_the_chip_is_offered_with_what_it_costs() -> None:
    """75 MB of 175 come over 50 GB/s: 1.5 ms a step, beside the rest less the embedding's 20 MB."""
    host = {"host": Tier(capacity_bytes=50e9, bandwidth_bytes_per_s=5e10)}
    base = scenario(on=platform(level(), chip=SMALL, memory=host))
    found = next(cure for cure in cures(estimate(base), (), {}) if cure.change.startswith("--offload"))
    assert (found.change, found.cures) == ("--offload host", True)
    after = estimate(base.replace(plan=base.plan.replace(offload=("host",))))
    assert after.metrics.tpot_s == pytest.approx(1.5e-3, rel=0.05)
    assert found.effect == f"fits, TPOT {show(after.metrics.tpot_s, 's')}"
    assert not any("--offload" in cure.change for cure in cures(estimate(scenario(on=BENCH)), (), {}))


def test_a_pipeline_is_offered_chunks_that_fill_its_stages() -> None:
    """One prompt in chunks has several stages at work at once, so four stages come near a quarter."""
    long = usecase(8192, 2)
    base = scenario(use=long, pp=4)
    whole = float(estimate(base).metrics.ttft_s or 0)
    slos = (Slo(metric="ttft", limit=0.6 * whole),)
    found = [cure for cure in cures(estimate(base), slos, {}) if cure.change.startswith("--chunk")]
    assert len(found) == 1 and found[0].cures
    tokens = int(found[0].change.split()[1])
    chunked = base.replace(plan=base.plan.replace(chunk=tokens))
    assert float(estimate(chunked).metrics.ttft_s or 0) <= 0.6 * whole
    assert not any(
        cure.change.startswith("--chunk") for cure in cures(estimate(scenario(use=long)), slos, {})
    )
