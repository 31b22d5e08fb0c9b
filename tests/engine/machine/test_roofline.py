"""Tiles, fill and cache of a kernel's time: by hand, as laws, and on grids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_samples import attention, moe
from hypothesis import given
from hypothesis import strategies as st

from genzcli.engine.counts import attention as softmax
from genzcli.engine.counts import feedforward
from genzcli.engine.counts.ops import Bytes, Operator, Shard, linear
from genzcli.engine.counts.routing import Routing, busiest_rank
from genzcli.engine.counts.spans import DecodeStep
from genzcli.engine.machine import roofline
from genzcli.engine.machine.roofline import Cache, Rates
from genzcli.spec.profile import OperatorFit, Profile

SIZE = Bytes(weights=2, experts=2, kv=2, activations=2)


def rates(fit: OperatorFit, cache: Cache | None = None) -> Rates:
    profile = Profile(name="p", stack="s", operators={"default": fit})
    return Rates(
        dtype="bf16",
        flop_per_s=1e14,
        weights=1e-12,
        kv=1e-12,
        activations=1e-12,
        profile=profile,
        cache=cache,
        phase="decode",
    )


def seconds(operator: Operator, cache: Cache | None = None, **fit: Any) -> Any:
    return roofline.time(operator, rates(OperatorFit(**fit), cache)).time


#: 4 sequences with 2 KV heads, 3 query heads each, that see 100 keys: 8 groups of 3 rows.
KERNEL = Operator(name="a", kind="attention", flop=8e6, kv_bytes=1e6, groups=8, rows=24, keys=100)


class TestTiles:
    def test_keys_round_up_in_flop_and_bytes(self) -> None:
        """100 keys in tiles of 64 are 128: 1 MB of cache becomes 1.28 MB."""
        assert seconds(KERNEL) == pytest.approx(1e-6)
        assert seconds(KERNEL, tile_keys=64) == pytest.approx(1.28e-6)
        assert seconds(KERNEL.replace(flop=8e8), tile_keys=64) == pytest.approx(1.28 * 8e-6)

    def test_rows_round_up_in_flop_alone(self) -> None:
        """3 rows of each group in tiles of 16: 16/3 of the FLOP, the same bytes."""
        assert seconds(KERNEL, tile_rows=16) == pytest.approx(1e-6)
        assert seconds(KERNEL.replace(flop=8e8), tile_rows=16) == pytest.approx(16 / 3 * 8e-6)

    def test_an_experts_tokens_round_up(self) -> None:
        """32 tokens with 2 of 8 experts each: 8 tokens an expert, a half of a tile of 16."""
        part = moe(experts=8, experts_per_token=2).blocks["layer"].feedforward
        found = feedforward.experts(part, 1024, 32, 32, Shard(size=SIZE), Routing(rule="balanced"))
        up = next(item for item in found if item.name == "experts up")
        assert (up.groups, up.rows) == (8, 64)
        slow = rates(OperatorFit(tile_rows=16)).replace(weights=0.0, activations=0.0)
        plain = rates(OperatorFit()).replace(weights=0.0, activations=0.0)
        assert roofline.time(up, slow).time == pytest.approx(2 * roofline.time(up, plain).time)

    @given(rows=st.integers(1, 10_000), tile=st.integers(1, 300))
    def test_full_tiles_cost_nothing_more(self, rows: int, tile: int) -> None:
        whole = linear("g", rows * tile, 64, 64, SIZE)
        assert seconds(whole, tile_rows=tile) == pytest.approx(seconds(whole))
        ragged = linear("g", rows, 64, 64, SIZE)
        assert seconds(ragged, tile_rows=tile) >= seconds(ragged)

    def test_a_division_that_rounds_takes_no_tile_more(self) -> None:
        """3 experts of 49/3 tokens in tiles of 49/3 are three tiles, whatever the last bit says."""
        operator = linear("g", 49 / 3 * 3, 64, 64, SIZE).replace(groups=3, weight_bytes=0, activation_bytes=0)
        assert seconds(operator, tile_rows=49 / 3) == pytest.approx(seconds(operator))


class TestExpertsOnTheirOwn:
    """What a grouped GEMM pays for each expert, and the format its weights are stored in."""

    def test_each_expert_that_is_touched_costs(self) -> None:
        """8 of 8 experts at 0.1 us: 0.8 us more; a reduction of 1024 at 1 ns: 1.024 us more."""
        part = moe(experts=8, experts_per_token=2).blocks["layer"].feedforward
        found = feedforward.experts(part, 1024, 32, 32, Shard(size=SIZE), Routing(rule="balanced"))
        up = next(item for item in found if item.name == "experts up")
        assert seconds(up, per_group_s=1e-7) == pytest.approx(seconds(up) + 0.8e-6)
        assert seconds(up, per_k_s=1e-9) == pytest.approx(seconds(up) + 1.024e-6)

    def test_no_problem_costs_nothing(self) -> None:
        assert seconds(Operator(name="e", kind="elementwise", activation_bytes=1e6), per_group_s=1.0) < 1e-5

    def test_int4_experts_in_bf16_have_constants_of_their_own(self) -> None:
        """Four-bit experts at half the bandwidth: 1 MB takes 2 us instead of 1; others keep theirs."""
        fits = {"moe": OperatorFit(), "moe.int4.bf16": OperatorFit(memory_efficiency=0.5)}
        profile = Profile(name="p", stack="s", operators=fits)
        assert profile.storages == {("int4", "bf16")}
        kernel = Operator(name="m", kind="moe", weight_bytes=1e6, groups=1)
        plain = rates(OperatorFit()).replace(profile=profile)
        for stored, dtype, expected in (("", "bf16", 1), ("int4", "bf16", 2), ("int4", "fp8", 1)):
            here = plain.replace(stored=stored, dtype=dtype)
            assert roofline.time(kernel, here).time == pytest.approx(expected * 1e-6)


class TestFill:
    def test_few_pieces_leave_the_chip_idle(self) -> None:
        """8 groups of 100 keys, 32 lanes: a quarter of the chip. Pieces of 25 keys fill it."""
        assert seconds(KERNEL, lanes=32) == pytest.approx(4e-6)
        assert seconds(KERNEL, lanes=32, split_keys=50) == pytest.approx(2e-6)
        assert seconds(KERNEL, lanes=32, split_keys=25) == pytest.approx(1e-6)
        assert seconds(KERNEL, lanes=8) == pytest.approx(1e-6)

    def test_tiles_of_rows_are_pieces_too(self) -> None:
        assert seconds(KERNEL, lanes=16, tile_rows=2) == pytest.approx(1e-6)

    def test_the_fixed_cost_is_paid_once(self) -> None:
        assert seconds(KERNEL, lanes=32, fixed_s=1e-5) == pytest.approx(1.4e-5)

    @given(batch=st.integers(1, 300), context=st.integers(1, 100_000))
    def test_more_sequences_never_take_less(self, batch: int, context: int) -> None:
        mixer, shard = attention(), Shard(size=SIZE)
        fit = {"lanes": 50, "split_keys": 512, "tile_keys": 64, "corner": 2}

        def of(sequences: int) -> Any:
            visit = DecodeStep(sequences=sequences, beams=1, prompt=context, step=1)
            return seconds(softmax.kernels(mixer, visit, shard, flash=True)[0], **fit)

        assert of(batch) <= of(batch + 1) * (1 + 1e-12)

    @given(batch=st.integers(1, 100), context=st.integers(1, 20_000))
    def test_more_context_never_takes_less(self, batch: int, context: int) -> None:
        """Within 1 %: queries and outputs, which do not grow, share in the better fill."""
        mixer, shard = attention(), Shard(size=SIZE)
        fit = {"lanes": 50, "split_keys": 512, "tile_keys": 128, "corner": 2}

        def of(keys: int) -> Any:
            visit = DecodeStep(sequences=batch, beams=1, prompt=keys, step=1)
            return seconds(softmax.kernels(mixer, visit, shard, flash=True)[0], **fit)

        for step in (1, 7, 128):
            assert of(context) <= of(context + step) * 1.01

    def test_the_groups_of_attention(self) -> None:
        """Sequences times KV heads of a chip, with the query heads of each."""
        visit = DecodeStep(sequences=3, beams=2, prompt=10, step=5)
        operator = softmax.kernels(attention(), visit, Shard(tp=2, size=SIZE), flash=True)[0]
        heads, kv_heads = attention().heads / 2, max(1, attention().kv_heads / 2)
        assert (operator.groups, operator.rows) == (3 * kv_heads, 3 * 2 * heads)


class TestCache:
    """10 MB at ten times the speed of memory."""

    near = Cache(capacity_bytes=1e7, s_per_byte=1e-13)

    def test_what_fits_is_read_from_it(self) -> None:
        assert seconds(KERNEL, self.near, cache_efficiency=0.5) == pytest.approx(1e6 * 1e-13 / 0.5)
        assert seconds(KERNEL, self.near) == pytest.approx(1e-6)

    def test_it_fades_out(self) -> None:
        """All of 7.5 MB stays in 10 MB, half of 11.25 MB, nothing of 15 MB."""
        for size, share in ((7.5e6, 1.0), (11.25e6, 0.5), (15e6, 0.0)):
            got = seconds(KERNEL.replace(kv_bytes=size), self.near, cache_efficiency=1.0)
            assert got == pytest.approx(size * (share * 1e-13 + (1 - share) * 1e-12))

    def test_other_layers_drive_it_out(self) -> None:
        """Weights wait for the rest of the model; activations were written by the kernel before."""
        passing = self.near.replace(between_bytes=1e9)
        operator = linear("g", 100, 1000, 1000, SIZE)
        got = seconds(operator, passing, cache_efficiency=1.0)
        assert got == pytest.approx(2e6 * 1e-12 + 4e5 * 1e-13)

    def test_it_never_slows_down(self) -> None:
        slow = self.near.replace(s_per_byte=5e-12)
        assert seconds(KERNEL, slow, cache_efficiency=0.5) == pytest.approx(1e-6)


def test_rows_of_other_ranks_move_where_nothing_is_dispatched() -> None:
    """EP 4 with one attention group: a chip holds all 32 x 2 pairs and computes 16; the rest is idle."""
    part = moe(experts=8, experts_per_token=2).blocks["layer"].feedforward
    shard = Shard(tp=4, ep=4, size=SIZE)
    found = feedforward.experts(part, 1024, 32, 32, shard, Routing(rule="balanced"))
    up = next(item for item in found if item.name == "experts up")
    assert up.idle_bytes == pytest.approx(3 * up.activation_bytes)
    moved = up.weight_bytes + up.activation_bytes
    assert seconds(up.replace(flop=0.0)) == pytest.approx(moved * 1e-12)
    half = seconds(up.replace(flop=0.0), idle_rows=0.5)
    assert half == pytest.approx((moved + up.idle_bytes / 2) * 1e-12)
    spread = shard.replace(tp=1, dp=4)
    load = busiest_rank(part, 32, spread, Routing(rule="balanced"))
    assert feedforward.idle_pairs(part, 32, load, spread) == 0


def test_grid_equals_scalar() -> None:
    fit = OperatorFit(
        corner=2, tile_rows=16, tile_keys=64, split_keys=512, lanes=50, cache_efficiency=0.5, fixed_s=1e-6
    )
    there = rates(fit, Cache(capacity_bytes=1e7, s_per_byte=1e-13))
    mixer, shard = attention(), Shard(size=SIZE)

    def of(sequences: Any) -> Any:
        visit = DecodeStep(sequences=sequences, beams=1, prompt=1000, step=3)
        return roofline.time(softmax.kernels(mixer, visit, shard, flash=True)[0], there).time

    batches = np.array([1.0, 2, 5, 17, 64, 300])
    assert [*of(batches)] == [of(batch) for batch in batches.tolist()]


class TestRate:
    def test_a_rate_of_the_software_holds_whatever_the_peak(self) -> None:
        """8 GFLOP at 40 TFLOP/s: 0.2 ms, where the chip could do 50 of its 100; at 80 it is the chip's 50."""
        heavy = KERNEL.replace(flop=8e9, kv_bytes=0.0)
        assert seconds(heavy, compute_efficiency=0.5, rate_flop_per_s=4e13) == pytest.approx(2e-4)
        assert seconds(heavy, compute_efficiency=0.5, rate_flop_per_s=8e13) == pytest.approx(1.6e-4)
        assert seconds(heavy, compute_efficiency=0.5) == pytest.approx(1.6e-4)


class TestFormats:
    PROFILE = Profile(
        name="p",
        stack="s",
        operators={
            name: OperatorFit(fixed_s=place * 1e-6)
            for place, name in enumerate(("default", "moe", "moe.bf16", "moe.int4.bf16", "moe.decode"))
        },
    )

    @pytest.mark.parametrize(
        ("kind", "phase", "dtype", "stored", "place"),
        [
            ("gemm", "prefill", "bf16", "int4", 0),
            ("moe", "prefill", "fp8", "", 1),
            ("moe", "prefill", "bf16", "", 2),
            ("moe", "prefill", "bf16", "mxfp4", 2),
            ("moe", "prefill", "bf16", "int4", 3),
            ("moe", "prefill", "int4", "", 1),
            ("moe", "decode", "bf16", "mxfp4", 4),
            ("moe", "decode", "bf16", "int4", 3),
        ],
    )
    def test_the_most_specific_one(self, kind: str, phase: str, dtype: str, stored: str, place: int) -> None:
        found = roofline.fit_for(self.PROFILE, kind, phase, dtype, stored)
        assert found.fixed_s == place * 1e-6
