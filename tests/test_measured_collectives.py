"""Measured collectives: what no model could do better, and that docs/accuracy.md has the table of now."""

from __future__ import annotations

import importlib.util
import math
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("GENZ_DATA", "")) / "collectives_measured.csv"


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("collectives", ROOT / "benchmarks" / "collectives.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


bench = _loaded()


def grid(*rows: list[float]) -> list[list[tuple[float, float]]]:
    """Values at sizes 1, 2, 3, ..."""
    return [[(float(size), value) for size, value in enumerate(row, start=1)] for row in rows]


def test_what_is_out_of_order_by_hand() -> None:
    assert bench.disorder(grid([1, 2, 3])) == 0
    assert bench.disorder(grid([3, 1, 2])) == 2  # 1, 1, 2 or 2, 2, 2
    assert bench.disorder(grid([5, 5], [1, 5])) == 4  # more ranks, less time
    assert bench.disorder(grid([1, 5], [2, 4])) == 1
    assert bench.disorder([[(1.0, 5.0)], [(2.0, 1.0)]]) == 4  # two ranks at one size, four at a larger one


def test_a_launch_and_a_bandwidth_are_a_line() -> None:
    exact = [(size, math.log(10e-6 + size / 1e9)) for size in (1e3, 1e4, 1e5, 1e6)]
    assert bench.off_line([exact]) < 0.05  # the search is coarse
    bent = [*exact[:-1], (1e6, exact[-1][1] + 1)]
    assert bench.off_line([bent]) > 0.5


@pytest.mark.skipif(not DATA.is_file(), reason="GENZ_DATA has no collectives_measured.csv")
class TestMeasured:
    def test_eager_launches_on_a100_are_out_of_order_by_more_than_the_target(self) -> None:
        points = bench.points_of(bench.read(DATA))
        eager = points["A100 SXM 80GB (DGX)", "torch.distributed NCCL"]
        assert 10 < float(bench.floor(eager, bench.disorder)) < 11
        assert float(bench.floor(eager, bench.off_line)) > 20
        steady = points["NVIDIA A100-SXM4-80GB", "NCCL (nccl-tests, out-of-place)"]
        assert float(bench.floor(steady, bench.disorder)) < 2

    def test_the_page_has_the_table_as_it_comes_out(self) -> None:
        page = (ROOT / "docs" / "accuracy.md").read_text(encoding="utf-8")
        assert "".join(bench.section(bench.read(DATA))).strip() in page
