"""Vector units: what is no matrix product, by hand, beside measured kernels, and on grids."""

from __future__ import annotations

from statistics import mean
from typing import Any

import numpy as np
import pytest
from engine_samples import attention, scenario
from hypothesis import given
from hypothesis import strategies as st
from kernel_samples import DATA, logs, profile

from genzcli.catalog.load import Catalog
from genzcli.engine.counts import attention as softmax
from genzcli.engine.counts import recurrent
from genzcli.engine.counts.ops import WHOLE, Bytes, Elements, Operator, Shard, elementwise
from genzcli.engine.counts.spans import DecodeStep, Prefill
from genzcli.engine.estimate import estimate
from genzcli.engine.machine import roofline
from genzcli.engine.machine.roofline import Rates
from genzcli.spec.hardware import Vector
from genzcli.spec.model import Mamba, Mamba2
from genzcli.spec.profile import OperatorFit, Profile

SIZE = Bytes(weights=2, experts=2, kv=2, activations=2)
SLOW = Vector(peak_flop_per_s=1e12, functions_flop_per_s=1e11)


def rates(vector: Vector | None, **fit: Any) -> Rates:
    profile = Profile(name="p", stack="s", operators={"default": OperatorFit(**fit)})
    byte = 1e-12
    return Rates(
        dtype="bf16",
        flop_per_s=1e14,
        weights=byte,
        kv=byte,
        activations=byte,
        profile=profile,
        vector=vector,
    )


#: 8 us of products; a million scores through a softmax, 4 us of arithmetic and 10 of exponentials.
KERNEL = Operator(name="a", kind="attention", flop=8e8, kv_bytes=1e6, elements=Elements(1e6, 4, 1))


class TestBound:
    def test_arithmetic_and_functions_have_pipes_of_their_own(self) -> None:
        assert roofline.vector_s(KERNEL, SLOW) == pytest.approx(10e-6)
        assert roofline.vector_s(KERNEL, SLOW.replace(functions_flop_per_s=None)) == pytest.approx(4e-6)

    def test_a_kernel_takes_no_less(self) -> None:
        """Products alone take 8 us, at half of the peak 16; the exponentials hide behind them, or do not."""
        assert roofline.time(KERNEL, rates(None)).time == pytest.approx(8e-6)
        slowed = roofline.time(KERNEL, rates(SLOW))
        assert slowed.time == slowed.compute == slowed.busy_compute == pytest.approx(10e-6)
        assert roofline.time(KERNEL, rates(SLOW, compute_efficiency=0.5)).time == pytest.approx(16e-6)

    def test_or_after_the_products_where_a_profile_says_so(self) -> None:
        """8 us, and 10 us at 80 %."""
        assert roofline.time(KERNEL, rates(SLOW, vector_efficiency=0.8)).time == pytest.approx(20.5e-6)
        assert roofline.time(KERNEL, rates(None, vector_efficiency=0.8)).time == pytest.approx(8e-6)

    def test_memory_still_bounds_what_moves_more(self) -> None:
        """A norm over 1e6 values: 5 FLOP each in 5 us, 8 MB in 8 us."""
        norm = elementwise("norms", 4e6, SIZE, work=Elements(1e6, 5))
        there = roofline.time(norm, rates(SLOW))
        assert (there.memory, there.compute) == (pytest.approx(8e-6), 0.0)
        assert roofline.time(norm, rates(SLOW.replace(peak_flop_per_s=5e11))).compute == pytest.approx(10e-6)

    @given(peak=st.floats(1e9, 1e15), functions=st.floats(1e9, 1e15), share=st.floats(0.05, 1))
    def test_grids_are_what_scalars_are(self, peak: float, functions: float, share: float) -> None:
        fit = {"vector_efficiency": share, "corner": 2.0}
        column = np.array([peak, 2 * peak])
        there = rates(Vector(peak_flop_per_s=column, functions_flop_per_s=functions), **fit)
        alone = [
            rates(Vector(peak_flop_per_s=float(one), functions_flop_per_s=functions), **fit) for one in column
        ]
        together = roofline.time(KERNEL, there)
        for index, one in enumerate(alone):
            assert together.time[index] == roofline.time(KERNEL, one).time  # type: ignore[index]
            assert together.busy_compute[index] == roofline.time(KERNEL, one).busy_compute  # type: ignore[index]


class TestCounts:
    def test_a_score_is_one_exponential(self) -> None:
        """100 tokens see 50.5 keys in the mean: 5050 scores a head."""
        mixer = attention(heads=8, kv_heads=2, head_dim=64)
        kernel = softmax.kernels(mixer, Prefill(sequences=1, new=100), WHOLE, flash=True)[0]
        assert kernel.elements == Elements(5050 * 8, 4, 1)
        assert kernel.flop == 5050 * 8 * 4 * 64

    def test_a_selective_scan_is_no_matrix_product(self) -> None:
        """Mamba: 9 FLOP, one an exponential, a channel and state element, in prefill as in decode."""
        mixer = Mamba(d_inner=64, d_state=16, dt_rank=4)
        for visit in (
            Prefill(sequences=2, new=10),
            DecodeStep(sequences=20, beams=1, prompt=5, step=1),
        ):
            scan = recurrent.kernel(mixer, visit, WHOLE)
            assert not scan.products
            assert scan.flop == 20 * 9 * 64 * 16
            assert scan.elements == Elements(20, 9 * 64 * 16, 64 * 16)

    def test_a_scan_in_chunks_is(self) -> None:
        """Mamba-2 prefills by products, with a decay for each earlier token of a chunk, 128 in the mean."""
        mixer = Mamba2(heads=4, head_dim=64, d_state=128, chunk=256)
        scan = recurrent.kernel(mixer, Prefill(sequences=1, new=10), WHOLE)
        assert scan.products
        assert scan.elements == Elements(10 * 4 * 128, 2, 1)
        step = recurrent.kernel(mixer, DecodeStep(sequences=10, beams=1, prompt=5, step=1), WHOLE)
        assert not step.products
        assert step.flop == 10 * 6 * 4 * 64 * 128

    def test_norms_are_cut_as_their_tokens_are(self) -> None:
        found = {
            sp: estimate(scenario(tp=2, sp=sp), explain=True).phases["prefill"].operators
            for sp in (False, True)
        }
        norms = [next(row for row in rows if row.name == "norms") for rows in found.values()]
        assert norms[0].activation_bytes == 2 * norms[1].activation_bytes


class TestPublished:
    def test_mamba_on_an_h100_waits_for_its_exponentials(self) -> None:
        """mamba-2.8b: 5120 channels x 16 states x 64 layers = 5.24e6 exponentials a token; of 65536 tokens
        3.436e11, at 3.9e12 a second 88.1 ms. Memory alone would take less."""
        chip = Catalog().chip("h100-sxm")
        assert chip.vector is not None
        mixer = Mamba(d_inner=5120, d_state=16, dt_rank=160)
        scan = recurrent.kernel(mixer, Prefill(sequences=8, new=8192), Shard(size=SIZE))
        assert 64 * roofline.vector_s(scan, chip.vector) == pytest.approx(88.1e-3, rel=1e-3)
        assert 64 * scan.activation_bytes / 3.35e12 < 60e-3

    @pytest.mark.parametrize(
        ("name", "head", "slower"), [("b200", 64, 1.758), ("b200", 128, 1), ("b300", 64, 1)]
    )
    def test_narrow_heads_wait_for_exponentials_on_blackwell(
        self, name: str, head: int, slower: float
    ) -> None:
        """2.25e15 / (4 x 64) = 8.79e12 scores a second by products; 5e12 exponentials, 10.7e12 on
        Blackwell Ultra (NVIDIA, 2025)."""
        chip = Catalog().chip(name)
        kernel = softmax.kernels(
            attention(heads=64, kv_heads=8, head_dim=head),
            Prefill(sequences=1, new=8192),
            Shard(size=SIZE),
            flash=True,
        )[0]
        there = rates(chip.vector).replace(flop_per_s=chip.peaks["bf16"])
        alone = roofline.time(kernel, there.replace(vector=None)).time
        assert roofline.time(kernel, there).time / alone == pytest.approx(slower, rel=1e-3)


@pytest.mark.skipif(not DATA, reason="GENZ_DATA does not name the folder of measurements")
@pytest.mark.parametrize("cache", ["bfloat16", "fp8"])
def test_heads_of_64_and_128_on_one_set_of_constants(cache: str) -> None:
    """H100, prompts beyond 4096 tokens: by products alone, heads of 64 are a fifth too fast, with what
    fits heads of 128; behind the exponentials both are near."""
    fitted = profile("kernels", "h100_sxm")
    for head in ("64", "128"):
        found = logs(
            "attn_context",
            "h100_sxm",
            fitted,
            lambda row, head=head: (  # type: ignore[misc]
                row["head_dim"] == head and row["kv_cache_dtype"] == cache and int(row["seq"]) > 4096
            ),
        )
        assert abs(mean(found)) < (0.12 if head == "64" else 0.05)
