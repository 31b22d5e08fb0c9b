"""Collectives as measured on real machines: `collectives_measured.csv`."""

from __future__ import annotations

from genzcli.errors import GenzError
from genzcli.explore.validate.kind import Kind, Predicted, Row, Setting, one_by_one


def _predict(row: Row, setting: Setting) -> Predicted:
    raise GenzError("measured collectives are not predicted yet")


def _group(row: Row) -> tuple[str, ...]:
    return row.cells.get("hardware", ""), row.cells.get("library", "")


KIND = Kind(
    name="measured collectives",
    needs=("hardware", "library", "collective", "num_chips", "message_bytes"),
    targets=("latency_us",),
    by=("hardware", "library"),
    group=_group,
    predict=one_by_one(_predict),
)
