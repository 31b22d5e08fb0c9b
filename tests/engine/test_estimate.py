"""What the one entrance promises: parts that add up, honest refusals, phases without the usual mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_samples import IDEAL, answer, calibrated, chip, close, dense, level, moe, platform, usecase

from genzcli.engine.result import BOUNDS, Metrics
from genzcli.spec.hardware import Tier

SMALL = chip(memory={"hbm": Tier(capacity_bytes=0.2e9, bandwidth_bytes_per_s=1e12)})
HOST = calibrated(step_s=1e-3, per_sequence_s=1e-4, per_chip_s=2e-4)

PLANS: dict[str, dict[str, Any]] = {
    "one chip": {},
    "tp": {"tp": 4, "batch": 3},
    "tp and pp": {"tp": 2, "pp": 2},
    "sequence parallel": {"tp": 4, "sp": True},
    "overlap": {"tp": 4, "overlap": 0.5, "batch": 2},
    "experts": {"model": moe(), "tp": 2, "dp": 2, "ep": 4, "batch": 4},
    "shared experts": {"model": moe(d_shared=1024), "tp": 2, "ep": 2, "batch": 4},
    "window": {"model": dense(window=105)},
    "beams": {"use": usecase(beams=4), "tp": 2},
    "not fused, no flash": {"fused": False, "flash": False},
}


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("profile", [IDEAL, calibrated(), HOST], ids=["ideal", "fit", "host"])
def test_rows_add_up_to_the_phase(name: str, profile: Any) -> None:
    got = answer(**PLANS[name], profile=profile, explain=True)
    for phase in got.phases.values():
        assert close(sum(row.time_s for row in phase.operators), phase.time_s)
        assert close(phase.compute_s + phase.memory_s + phase.network_s + phase.overhead_s, phase.time_s)
        assert all(row.time_s >= 0 for row in phase.operators)


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"pp": 2, "batch": 8}, id="several micro-batches"),
        pytest.param({"batching": "continuous", "batch": 8}, id="continuous"),
    ],
)
def test_host_rows_add_up(how: dict[str, Any]) -> None:
    got = answer(**how, profile=HOST, explain=True)
    for phase in got.phases.values():
        assert close(sum(row.time_s for row in phase.operators), phase.time_s)
        assert all(row.time_s >= 0 for row in phase.operators)


def test_several_micro_batches_add_up() -> None:
    got = answer(pp=3, tp=2, batch=7, explain=True)
    for phase in got.phases.values():
        assert close(sum(row.time_s for row in phase.operators), phase.time_s)


@pytest.mark.parametrize("name", PLANS)
def test_first_mean_last(name: str) -> None:
    decode = answer(**PLANS[name]).phases["decode"]
    assert decode.first_s <= decode.time_s * (1 + 1e-12)
    assert decode.time_s <= decode.last_s * (1 + 1e-12)


def test_the_bound_is_the_largest_part() -> None:
    # 1 prompt of 100 on one chip reads 175 MB of weights for 13.5 GFLOP: compute and memory are near;
    # a decode step is memory, tp 8 of a tiny model is network, a second of host work is overhead.
    assert BOUNDS[int(answer().phases["decode"].bound)] == "memory"
    assert BOUNDS[int(answer(batch=50).phases["prefill"].bound)] == "compute"
    assert BOUNDS[int(answer(dense(1), tp=8).phases["decode"].bound)] == "network"
    slow = IDEAL.replace(step_s=1.0)
    assert BOUNDS[int(answer(profile=slow).phases["decode"].bound)] == "overhead"


def test_one_output_token_has_no_tpot() -> None:
    got = answer(use=usecase(100, 1))
    assert got.metrics.tpot_s is None
    assert got.metrics.tokens_per_s_per_user is None
    assert got.metrics.decode_tokens_per_s is None
    assert "decode" not in got.phases
    assert got.metrics.e2e_s == got.metrics.ttft_s


def test_a_misfit_is_a_result_with_the_deficit() -> None:
    # weights 175,196,160 + KV 64 x 111 x 16,384 + activations of 6400 tokens x 28,672 B and 64 x 20,000 B
    got = answer(on=platform(chip=SMALL), batch=64)
    need = 175_196_160 + 64 * 111 * 16_384 + 6400 * 28_672 + 64 * 20_000
    assert got.fits is False
    assert all(getattr(got.metrics, name) is None for name in Metrics.fields)
    assert got.memory.deficit_bytes == need - 0.2e9
    assert got.why is not None and f"{(need - 0.2e9) / 1e6:.0f} MB short" in got.why
    assert got.phases == {}


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"tp": 2},
        {"pp": 2},
        {"pp": 4},
        {"dp": 2},
        {"profile": calibrated(page_tokens=16, activation_tokens=500, reserve=0.05)},
        {"profile": calibrated(activation_tokens=150), "pp": 2},
        {"use": usecase(100, 20, 4)},
    ],
)
def test_max_batch_is_the_largest_that_fits(how: dict[str, Any]) -> None:
    small = platform(level(), chip=SMALL)
    most = int(answer(on=small, **{"batch": how.get("dp", 1), **how}).memory.max_batch)
    assert most >= 1
    assert answer(on=small, **{**how, "batch": most}).fits
    assert not answer(on=small, **{**how, "batch": most + 1}).fits


def test_max_batch_is_zero_when_the_weights_alone_do_not_fit() -> None:
    tiny = chip(memory={"hbm": Tier(capacity_bytes=0.1e9, bandwidth_bytes_per_s=1e12)})
    assert answer(on=platform(chip=tiny)).memory.max_batch == 0


class TestTrapPhases:
    """traps: TPOT at the final context; prefill rates; pipeline latency that is one micro-batch's."""

    def test_tpot_is_not_the_last_step(self) -> None:
        decode = answer(batch=64, use=usecase(1000, 1001)).phases["decode"]
        assert decode.first_s < 0.99 * decode.time_s < 0.99 * decode.last_s

    def test_tpot_is_the_mean_of_all_steps(self) -> None:
        # the mean over a run of 40 steps is the mean of the first and the last: attention is linear here
        decode = answer(batch=16, use=usecase(1000, 41)).phases["decode"]
        assert close(decode.time_s, (decode.first_s + decode.last_s) / 2)

    def test_requests_and_tokens_are_not_mixed_up(self) -> None:
        got = answer(batch=5).metrics
        assert close(got.output_tokens_per_s, 11 * got.requests_per_s)
        assert close(got.total_tokens_per_s, 111 * got.requests_per_s)
        assert close(got.requests_per_s, 5 / got.e2e_s)

    def test_a_pipelines_prefill_waits_for_all_micro_batches(self) -> None:
        one = answer(dense(8), pp=4, batch=1).metrics.ttft_s
        four = answer(dense(8), pp=4, batch=4).metrics.ttft_s
        assert four > 1.5 * one

    def test_asking_changes_nothing(self) -> None:
        first = answer(on=platform(chip=SMALL), batch=64).memory
        answer(batch=2, tp=8)
        assert answer(on=platform(chip=SMALL), batch=64).memory == first

    def test_beams_are_one_unless_said(self) -> None:
        assert usecase().beams == 1


class TestContinuous:
    """A server in steady state."""

    def test_the_rest_waits_when_memory_is_full(self) -> None:
        small = platform(chip=SMALL)
        most = int(answer(on=small, batching="continuous", batch=1).memory.max_batch)
        full = answer(on=small, batching="continuous", batch=most)
        more = answer(on=small, batching="continuous", batch=10 * most)
        assert more.fits and more.concurrency == most
        assert close(more.metrics.output_tokens_per_s, full.metrics.output_tokens_per_s)
        assert close(more.metrics.e2e_s, 10 * full.metrics.e2e_s)  # Little's law
        assert close(more.metrics.tpot_s, full.metrics.tpot_s)

    def test_cache_that_grows_with_the_answer_holds_more_requests(self) -> None:
        # 100 + 1000 tokens set aside for each, or 100 + 500 held in the mean of all ages: near 11 : 6
        use, half = usecase(100, 1000), calibrated(held_output=0.5)
        ahead = answer(batching="continuous", use=use, profile=calibrated()).memory
        grows = answer(batching="continuous", use=use, profile=half).memory
        static = answer(use=use, profile=half).memory
        assert grows.max_batch / ahead.max_batch == pytest.approx(11 / 6, rel=0.02)
        assert static.kv_bytes == ahead.kv_bytes

    def test_one_request_alone_is_a_static_batch_of_one(self) -> None:
        alone, static = answer(batching="continuous").metrics, answer().metrics
        assert close(alone.ttft_s, static.ttft_s)
        assert close(alone.e2e_s, static.e2e_s)

    def test_prefill_only_serves_one_prompt_at_a_time(self) -> None:
        # C prompts of 100 one after the other: C / (C prefills)
        alone = answer(use=usecase(100, 1)).metrics
        eight = answer(use=usecase(100, 1), batch=8, batching="continuous").metrics
        assert close(eight.output_tokens_per_s, alone.output_tokens_per_s)

    def test_static_power_runs_all_the_time(self) -> None:
        # a second of host work a step, the chip idle: 0.3 x 1000 W at the least
        idle = IDEAL.replace(step_s=1.0)
        got = answer(use=usecase(100, 2), batch=8, batching="continuous", profile=idle).metrics
        assert got.average_w is not None and got.average_w >= 300

    def test_one_prompts_activations_at_a_time(self) -> None:
        # 100e9 B: weights 175,196,160; one prompt of 8000 tokens x 28,672 B in flight; a request holds
        # 8100 x 16,384 B of KV and 20,000 B of logits: (1e11 - 1.752e8 - 2.294e8) / 132,730,400 = 750.3
        got = answer(batch=10_000, batching="continuous", use=usecase(8000, 100)).memory
        assert got.max_batch >= 700


def test_an_operators_time_hides_collectives_once() -> None:
    # overlap 1, sequence parallel: `out` (1.05 us) is followed by a reduce-scatter and an all-gather of
    # m = 100 x 2048 B on 4 chips of a switch, 2 + m 3/4 / 1e5 = 3.536 us each: 7.072 - 1.05 stay exposed.
    how: dict[str, Any] = {"on": platform(level("switch", 4)), "tp": 4, "sp": True, "explain": True}
    rows = answer(**how, overlap=1.0).phases["prefill"].operators
    place = next(i for i, row in enumerate(rows) if row.name == "out")
    work, sent = rows[place].time_s, sum(row.network_s for row in rows[place + 1 : place + 3])
    assert sent >= 4 * 7.072e-6 - work - 1e-12


class TestBusiestGroup:
    """dp that does not divide the batch."""

    def test_the_busiest_group_sets_time_and_memory(self) -> None:
        uneven, even = answer(batch=5, dp=4), answer(batch=8, dp=4)
        assert close(uneven.metrics.tpot_s, even.metrics.tpot_s)
        assert uneven.memory.kv_bytes == even.memory.kv_bytes
        assert close(uneven.metrics.output_tokens_per_s, 5 / 8 * even.metrics.output_tokens_per_s)

    def test_experts_see_the_batch(self) -> None:
        # 5 tokens x 2 experts over 4 ranks: 2.5 pairs a rank, 2 x 2.5 x 1024 x 4096 FLOP in each of 4 layers
        got = answer(moe(), batch=5, dp=4, ep=4, routing="balanced", explain=True)
        row = next(r for r in got.phases["decode"].operators if r.name == "experts up")
        assert close(row.flop, 4 * 2 * 2.5 * 1024 * 4096)


def test_a_window_shared_by_beams_fills_twice() -> None:
    # window 128, prompt 1000, 4 beams: step i reads (128 - i) + 4 i up to i = 128, then 512, and writes 4:
    # (sum over 128 steps of 128 + 3 i = 16,384 + 24,768; 872 x 512 = 446,464) / 1000 = 487.616
    got = answer(dense(window=128), use=usecase(1000, 1001, 4), explain=True)
    row = next(r for r in got.phases["decode"].operators if r.kind == "attention")
    assert close(row.kv_bytes, 4 * (487.616 + 4) * 4096, 1e-6)


def test_any_number_may_be_an_array_price_too() -> None:
    got = answer(price_usd_per_hour=np.array([1.0, 2.0])).metrics.usd_per_million_output_tokens
    assert close(got[1] / got[0], 2)  # type: ignore[index]


def test_price_replaces_the_catalogs() -> None:
    base, dear = answer().metrics, answer(price_usd_per_hour=7.2).metrics
    assert close(dear.usd_per_million_output_tokens, 2 * base.usd_per_million_output_tokens)


def test_without_power_or_price_there_is_no_energy_or_cost() -> None:
    got = answer(on=platform(chip=chip(power_w=None, price_usd_per_hour=None))).metrics
    assert got.joules_per_output_token is got.tokens_per_kwh is got.average_w is None
    assert got.usd_per_million_output_tokens is None
    assert got.tpot_s is not None


class TestServerOverAPipeline:
    """Prefills of different requests follow one another through the stages."""

    def test_another_prefill_holds_up_one_stage(self) -> None:
        # C requests, td 101: TPOT = step + (C - 1) / 100 x the slowest stage's prefill
        got = answer(pp=4, batch=8, batching="continuous", use=usecase(400, 101))
        one = answer(pp=4, use=usecase(400, 1)).phases["prefill"].time_s
        slot = (got.metrics.tpot_s - got.phases["decode"].time_s) * 100 / 7
        assert one / 4 <= slot <= one / 2

    def test_a_server_is_no_slower_than_its_batch(self) -> None:
        for pp in (1, 2, 4):
            server = answer(pp=pp, batch=16, batching="continuous", use=usecase(2000, 200)).metrics
            static = answer(pp=pp, batch=16, use=usecase(2000, 200)).metrics
            assert server.output_tokens_per_s > 0.9 * static.output_tokens_per_s
