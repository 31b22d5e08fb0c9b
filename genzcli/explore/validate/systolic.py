"""Cycles of matrix products on systolic arrays: `systolic_simulated.csv`.

The simulator numbers cycles from 0 and prints the last one, so its count is one less than the cycles.
"""

from __future__ import annotations

from genzcli.engine.systolic import DATAFLOWS, cycles
from genzcli.errors import GenzError
from genzcli.explore.validate.kind import Kind, Predicted, Row, Setting, one_by_one


def _predict(row: Row, setting: Setting) -> Predicted:
    dataflow = row.text("dataflow").lower()
    if dataflow not in DATAFLOWS:
        raise GenzError(f"unknown dataflow {dataflow!r}", cure=f"known are {', '.join(DATAFLOWS)}")
    shape = (row.count(name) for name in ("M", "N", "K", "array_rows", "array_cols"))
    return Predicted({"compute_cycles": int(cycles(dataflow, *shape)) - 1})


def _group(row: Row) -> tuple[str, ...]:
    cells = row.cells
    return cells.get("dataflow", ""), f"{cells.get('array_rows', '')} × {cells.get('array_cols', '')}"


KIND = Kind(
    name="systolic array cycles",
    needs=("array_rows", "array_cols", "dataflow", "M", "N", "K"),
    targets=("compute_cycles",),
    by=("dataflow", "array"),
    group=_group,
    predict=one_by_one(_predict),
)
