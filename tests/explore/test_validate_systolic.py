"""Cycles of systolic arrays: on paper, as laws, and against a simulator's counts."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genzcli.engine.machine.systolic import simulated_cycles
from genzcli.explore.validate.kind import Row
from genzcli.explore.validate.systolic import KIND

DATA = Path(os.environ.get("GENZ_DATA", "")) / "systolic_simulated.csv"


@pytest.mark.parametrize(
    ("dataflow", "folds", "each"),
    [
        ("ws", 3 * 2, 4 + 5 + 4 + 3 - 2),  # K 10 on 4 rows, N 6 on 3 columns; 5 rows of input stream
        ("is", 3 * 2, 4 + 6 + 4 + 3 - 2),  # K on rows, M 5 on 3 columns; 6 columns of weights stream
        ("os", 2 * 2, 10 + 4 + 3 - 2),  # M 5 on 4 rows, N 6 on 3 columns; 10 products a cell
    ],
)
def test_on_paper(dataflow: str, folds: int, each: int) -> None:
    assert simulated_cycles(dataflow, 4, 3, 5, 6, 10) == folds * each - 1


DATAFLOWS = ("ws", "os", "is")
whole = st.integers(1, 300)


@given(st.sampled_from(DATAFLOWS), whole, whole, whole, st.integers(1, 64), st.integers(1, 64))
def test_no_array_does_more_than_all_its_cells(
    dataflow: str, m: int, n: int, k: int, rows: int, columns: int
) -> None:
    assert (simulated_cycles(dataflow, rows, columns, m, n, k) + 1) * rows * columns >= m * n * k


@given(st.sampled_from(DATAFLOWS), whole, whole, whole)
def test_an_array_of_numbers_is_the_numbers(dataflow: str, m: int, n: int, k: int) -> None:
    import numpy as np

    several = np.array([m, 2 * m, 7])
    got = simulated_cycles(dataflow, 16, 8, several, n, k)
    assert list(got) == [simulated_cycles(dataflow, 16, 8, int(one), n, k) for one in several]


def test_an_unknown_dataflow_is_refused() -> None:
    with pytest.raises(ValueError, match="rs"):
        simulated_cycles("rs", 1, 1, 1, 1, 1)


def test_rows_that_make_no_sense_have_a_reason() -> None:
    cells = {"array_rows": "8", "array_cols": "8", "dataflow": "ws", "M": "4", "N": "4", "K": "4"}
    bad = ({"dataflow": "rs"}, {"M": "0"}, {"K": "1.5"}, {"N": ""}, {"array_rows": "-8"})
    found = list(KIND.predict([Row(2, {**cells, **change}) for change in bad], None))  # type: ignore[arg-type]
    assert all(item.reason and not item.values for item in found)


@pytest.mark.skipif(not DATA.is_file(), reason="GENZ_DATA has no systolic_simulated.csv")
def test_every_simulated_count_is_exact() -> None:
    with DATA.open(encoding="utf-8") as file:
        rows = [Row(line, cells) for line, cells in enumerate(csv.DictReader(file), start=2)]
    assert len(rows) > 50
    for row, found in zip(rows, KIND.predict(rows, None), strict=True):  # type: ignore[arg-type]
        assert found.values["compute_cycles"] == int(row.cells["compute_cycles"])
