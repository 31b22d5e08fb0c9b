"""Cycles on systolic arrays: by hand, against SCALE-Sim's own counts, and where they bound a GEMM."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genzcli.engine.counts.ops import Bytes, linear
from genzcli.engine.machine import roofline
from genzcli.engine.machine.roofline import Rates
from genzcli.engine.machine.systolic import cycles, simulated_cycles
from genzcli.spec.hardware import Systolic
from genzcli.spec.profile import OperatorFit, Profile

DATA = os.environ.get("GENZ_DATA")
SIZES = st.integers(1, 3000)


class TestByHand:
    def test_one_full_tile(self) -> None:
        """4 x 4 cells, [4, 4] x [4, 4]: 4 cycles of load, 4 rows stream, skewed over 4 + 4 - 2; from 0."""
        assert simulated_cycles("ws", 4, 4, 4, 4, 4) == 4 + 4 + 4 + 4 - 2 - 1 == 13
        assert simulated_cycles("is", 4, 4, 4, 4, 4) == 13
        assert simulated_cycles("os", 4, 4, 4, 4, 4) == 4 + 4 + 4 - 2 - 1 == 9

    def test_ragged_tiles_cost_whole_ones(self) -> None:
        """100 x 200 x 300 on 128 x 128: k 300 is 3 tiles, n 200 is 2, m 100 is 1."""
        assert simulated_cycles("ws", 128, 128, 100, 200, 300) == 3 * 2 * (2 * 128 + 128 + 100 - 2) - 1
        assert simulated_cycles("os", 128, 128, 100, 200, 300) == 1 * 2 * (128 + 128 + 300 - 2) - 1
        assert simulated_cycles("is", 128, 128, 100, 200, 300) == 3 * 1 * (2 * 128 + 128 + 200 - 2) - 1

    def test_loads_in_the_shadow(self) -> None:
        """[16, 256] x [256, 256] on two arrays of 128 x 128: 2 tiles an array: a load, a load, a stream."""
        array = Systolic(rows=128, columns=128, cores=2, clock_hz=1e9)
        assert cycles(array, 16, 256, 256) == 128 + 128 + 16 + 254
        quick = array.replace(load_cycles=64)
        assert cycles(quick, 16, 256, 256) == 64 + 64 + 16 + 254
        assert cycles(quick, 1000, 256, 256) == 64 + 2 * 1000 + 254

    def test_outputs_that_stay_are_not_loaded(self) -> None:
        array = Systolic(rows=128, columns=128, cores=2, clock_hz=1e9, dataflow="os")
        assert cycles(array, 256, 256, 1000) == 2 * 1000 + 254

    def test_a_single_tile_is_shared_by_its_rows(self) -> None:
        array = Systolic(rows=128, columns=128, cores=4, clock_hz=1e9)
        assert cycles(array, 4000, 128, 128) == 128 + 4000 / 4 + 254

    def test_groups_are_tiles_of_their_own(self) -> None:
        """8 experts of [4, 128] x [128, 128] on 4 arrays: two tiles an array."""
        array = Systolic(rows=128, columns=128, cores=4, clock_hz=1e9)
        assert cycles(array, 4, 128, 128, 8) == 128 + 128 + 4 + 254


@pytest.mark.skipif(not DATA, reason="GENZ_DATA does not name the folder of simulations")
def test_every_simulated_count() -> None:
    with open(Path(str(DATA)) / "systolic_simulated.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 61
    for row in rows:
        shape = (int(row[key]) for key in ("array_rows", "array_cols", "M", "N", "K"))
        assert simulated_cycles(row["dataflow"], *shape) == int(row["compute_cycles"]), row


def rates(array: Systolic | None, peak: float, fit: OperatorFit) -> Rates:
    profile = Profile(name="p", stack="s", operators={"default": fit})
    return Rates(
        dtype="bf16",
        flop_per_s=peak,
        weights=1e-12,
        kv=1e-12,
        activations=1e-12,
        profile=profile,
        array=array,
    )


SIZE = Bytes(weights=2, experts=2, kv=2, activations=2)
V5E = Systolic(rows=128, columns=128, cores=4, clock_hz=1.5e9)
PEAK = 2 * 128 * 128 * 4 * 1.5e9


class TestBound:
    def test_seconds_are_cycles_over_the_clock(self) -> None:
        operator = linear("g", 16, 256, 256, SIZE)
        assert roofline.array_s(operator, V5E, PEAK) == pytest.approx(cycles(V5E, 16, 256, 256) / 1.5e9)
        # int8 at twice the rate takes half the cycles.
        assert roofline.array_s(operator, V5E, 2 * PEAK) == pytest.approx(cycles(V5E, 16, 256, 256) / 3e9)

    def test_a_ragged_product_pays_for_whole_tiles(self) -> None:
        """k = n = 129 on cells of 128: nearly four times the FLOP."""
        operator = linear("g", 100_000, 129, 129, SIZE)
        there = rates(V5E, PEAK, OperatorFit()).replace(weights=0.0, activations=0.0)
        plain = roofline.time(operator, there.replace(array=None)).time
        got = roofline.time(operator, there).time
        assert got / plain == pytest.approx(4 * 128**2 / 129**2, rel=0.01)

    @pytest.mark.parametrize("tokens", [1, 8, 64])
    def test_decode_stays_with_memory(self, tokens: int) -> None:
        """Few tokens of a 4096 x 14336 matrix on a TPU v5e (819 GB/s): loads keep up with memory."""
        slow = rates(V5E, PEAK, OperatorFit()).replace(weights=1 / 819e9, activations=1 / 819e9)
        operator = linear("up", tokens, 4096, 14336, SIZE)
        assert roofline.time(operator, slow).time == roofline.time(operator, slow.replace(array=None)).time

    @given(m=SIZES, n=SIZES, k=SIZES)
    def test_never_faster_than_the_peak_nor_slower_than_the_simulator(self, m: int, n: int, k: int) -> None:
        array = V5E.replace(cores=1)
        got = cycles(array, m, n, k)
        assert got * 128 * 128 >= m * n * k
        assert got <= simulated_cycles("ws", 128, 128, m, n, k) + 1

    def test_grid_equals_scalar(self) -> None:
        tokens = np.array([1.0, 7, 128, 4097])
        there = rates(V5E, PEAK, OperatorFit(corner=2))
        got = roofline.time(linear("g", tokens, 1000, 3000, SIZE), there).time
        assert [*got] == [
            roofline.time(linear("g", t, 1000, 3000, SIZE), there).time for t in tokens.tolist()
        ]
