"""Comma-separated values: plain numbers under the names of the JSON contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from genzcli.report import json
from genzcli.report.answer import Answer


def run_csv(answer: Answer, explain: bool = False) -> str:
    """One line of scenario and metrics, or the operator table."""
    return table(operator_records(answer)) if explain else table([record(answer)])


def record(answer: Answer) -> dict[str, Any]:
    """Scenario, verdict, metrics and memory, flat."""
    document = json.run_document(answer._replace(cures=()))
    flat: dict[str, Any] = {}
    for key, value in document["scenario"].items():
        inner = value.items() if isinstance(value, dict) else ()
        flat |= {f"{key}_{part}": word for part, word in inner} or {key: value}
    flat |= {key: document[key] for key in ("fits", "verdict", "bound", "why")}
    flat |= document["metrics"]
    flat |= {key: value for key, value in document["memory"].items() if key not in ("tiers", "contents")}
    return flat


def operator_records(answer: Answer) -> list[dict[str, Any]]:
    """The operators of every phase."""
    return [
        {"phase": name, **json.operator(row, phase)}
        for name, phase in answer.estimate.phases.items()
        for row in phase.operators
    ]


def table(records: Iterable[Mapping[str, Any]]) -> str:
    """A header and one line a record; the columns are those of all records, in order of appearance."""
    import csv
    import io

    rows = list(records)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(key)) for key in columns] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Empty for what is not there, the JSON words for truth."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


def lines(rows: Iterable[Iterable[Any]]) -> str:
    """One line a row, of texts, numbers and None."""
    import csv
    import io

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
