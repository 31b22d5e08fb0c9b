"""What has to fit, and where it lies."""

from __future__ import annotations

import numpy as np
from engine_samples import answer, chip, close, dense, level, moe, platform, usecase

from genzcli.spec.hardware import Tier

MB = 1e6


def tiers(*sizes: float) -> dict[str, Tier]:
    return {
        f"t{i}": Tier(capacity_bytes=size, bandwidth_bytes_per_s=1e14 / 10**i) for i, size in enumerate(sizes)
    }


def test_tiers_fill_fastest_first() -> None:
    # 175,196,160 weights, 1,818,624 KV, 2,867,200 + 20,000 activations
    held = answer(on=platform(chip=chip(memory=tiers(100 * MB, 50 * MB, 900 * MB)))).memory
    assert close(held.tiers["t0"], 100 * MB)
    assert close(held.tiers["t1"], 50 * MB)
    assert close(held.tiers["t2"], 175_196_160 + 1_818_624 + 2_887_200 - 150 * MB)


def test_a_cache_holds_nothing() -> None:
    memory = {"l2": Tier(capacity_bytes=1e12, bandwidth_bytes_per_s=1e15, role="cache"), **tiers(1000 * MB)}
    held = answer(on=platform(chip=chip(memory=memory))).memory
    assert held.capacity_bytes == 1000 * MB
    assert "l2" not in held.tiers


def test_a_faster_tier_in_front_never_slows() -> None:
    plain = chip(memory={"hbm": Tier(capacity_bytes=1e11, bandwidth_bytes_per_s=1e12)})
    fronted = chip(
        memory={
            "sram": Tier(capacity_bytes=5e7, bandwidth_bytes_per_s=1e14),
            "hbm": Tier(capacity_bytes=1e11, bandwidth_bytes_per_s=1e12),
        }
    )
    assert answer(on=platform(chip=fronted)).metrics.tpot_s < answer(on=platform(chip=plain)).metrics.tpot_s


def test_reserve_of_the_plan_wins() -> None:
    assert answer(reserve=0.2).memory.reserved_bytes == 0.2 * 100e9


def test_trap_pipeline_memory_holds_every_micro_batchs_kv() -> None:
    one, four = answer(pp=4, batch=1).memory, answer(pp=4, batch=8).memory
    assert four.kv_bytes == 8 * one.kv_bytes


def test_idle_experts_are_stored() -> None:
    few, many = answer(moe(experts=4)).memory, answer(moe(experts=8)).memory
    assert many.weights_bytes - few.weights_bytes == 2 * 4 * (4 * 3 * 1024 * 2048 + 4 * 1024)


def test_experts_are_shared_out_over_ep_and_expert_tp() -> None:
    def stored(**how: int) -> float:
        return float(answer(moe(), batch=8, **how).memory.weights_bytes)

    routed = 4 * 8 * 3 * 1024 * 2048 * 2
    assert stored() - stored(dp=8, ep=8) == routed * 7 / 8
    assert stored(dp=8, ep=8) == stored(dp=8, ep=1)  # cut instead of spread
    assert stored(tp=8, ep=8) == stored(tp=8, ep=2)


def test_a_grid_finds_the_same_max_batch() -> None:
    inputs = np.array([10.0, 1000, 50_000])
    grid = answer(use=usecase(inputs, 100)).memory.max_batch
    for value, most in zip(inputs, np.broadcast_to(grid, 3), strict=True):
        assert answer(use=usecase(int(value), 100)).memory.max_batch == most


def test_kv_in_half_the_bytes() -> None:
    assert answer(precision="fp8").memory.kv_bytes * 2 == answer().memory.kv_bytes
    assert answer(dense(kv_heads=1)).memory.kv_bytes * 8 == answer().memory.kv_bytes


def test_each_stage_has_tiers_of_its_own() -> None:
    # Five layers on four chips of 60 MB SRAM (1e14 B/s) and far memory (1e12): 2, 1, 1, 1. The first, two
    # layers of 33,558,528 B and the embedding of 20,480,000, spills: 87,597,056 + KV 2 x 102 x 4096
    # + activations 100 x 28,672 - 60e6 = 31,299,840 B at most. The others (33.6, 33.6 and 54.0 MB of weights,
    # 0.4 MB of KV and 2.9 MB of activations) fit. So far memory costs 31.3 us at most.
    near_memory = Tier(capacity_bytes=60 * MB, bandwidth_bytes_per_s=1e14)
    far_memory = Tier(capacity_bytes=1e11, bandwidth_bytes_per_s=1e12)
    fast = chip(memory={"near": near_memory, "far": far_memory})
    got = answer(dense(5), on=platform(level(), chip=fast), use=usecase(100, 2), pp=4, explain=True)
    decode = got.phases["decode"]
    near = sum(row.bytes for row in decode.operators) / 1e14
    assert decode.memory_s <= 31_299_840 / 1e12 + near
