"""Cycles of matrix products on systolic arrays: `systolic_simulated.csv`."""

from __future__ import annotations

from genzcli.engine.machine.systolic import simulated_cycles
from genzcli.errors import GenzError, shortened
from genzcli.explore.validate.kind import Kind, Predicted, Row, Setting, one_by_one

_DATAFLOWS = ("ws", "os", "is")


def _predict(row: Row, setting: Setting) -> Predicted:
    dataflow = row.text("dataflow").lower()
    if dataflow not in _DATAFLOWS:
        raise GenzError(f"unknown dataflow {shortened(dataflow)}", cure=f"known are {', '.join(_DATAFLOWS)}")
    shape = (row.count(name) for name in ("array_rows", "array_cols", "M", "N", "K"))
    return Predicted({"compute_cycles": int(simulated_cycles(dataflow, *shape))})


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
    calibrated=False,
)
