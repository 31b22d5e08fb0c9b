"""Errors of predictions: the JSON document, and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genzcli.explore.validate.kind import Kind
from genzcli.explore.validate.score import Group, Scored, record
from genzcli.report.page import Page, Table
from genzcli.units import NONE

VALIDATE_SCHEMA = "genz.validate/1"
_HEADINGS = ("n", "mean", "median", "p90", "worst", "bias", "geom.")


def document(kind: Kind, rows: Sequence[Mapping[str, Any]], groups: Sequence[Group]) -> dict[str, Any]:
    """Rows with their predictions, and the errors of the groups."""
    return {
        "schema": VALIDATE_SCHEMA,
        "kind": kind.name,
        "rows": list(rows),
        "groups": [record(group) for group in groups],
    }


def page(kind: Kind, name: str, scored: Sequence[Scored], groups: Sequence[Group]) -> Page:
    """A table of errors for each target, then what could not be predicted and what was flagged."""
    targets = list(dict.fromkeys(group.target for group in groups))
    tables = [_errors(target, [group for group in groups if group.target == target]) for target in targets]
    tables += [*_unpredicted(scored), *_flags(scored)]
    whole = [group for group in groups if group.target == targets[0]][-1]
    said = (f"{len(scored)} rows of {kind.name}", f"{_error(whole.mean)} off on average in {targets[0]}")
    note = "predicted / measured − 1: absolute values, but for the bias; geom. is the mean ratio, less 1"
    return Page("", said, (name,), tuple(tables), (("Errors", note),))


def _errors(target: str, groups: Sequence[Group]) -> Table:
    names = list(dict.fromkeys(name for group in groups for name in group.key))
    rows = tuple((*(group.key.get(name, "") for name in names), *_numbers(group)) for group in groups)
    return Table(
        f"Errors in {target}, %", (*names, *_HEADINGS), "l" * len(names) + "r" * len(_HEADINGS), rows
    )


def _numbers(group: Group) -> tuple[str, ...]:
    errors = (group.mean, group.median, group.p90, group.worst, group.bias, group.geometric)
    n = str(group.n) if group.n == group.rows else f"{group.n} of {group.rows}"
    return (n, *map(_percent, errors))


def _percent(share: float | None) -> str:
    """A share in percent, without the sign; rounding errors are none."""
    if share is None:
        return NONE
    value = share * 100
    if abs(value) < 1e-9:
        return "0"
    return f"{value:.0f}" if abs(value) >= 9.95 else f"{value:.2g}"


def _error(share: float | None) -> str:
    return NONE if share is None else f"{_percent(share)} %"


def _unpredicted(scored: Sequence[Scored]) -> list[Table]:
    """Why rows have no prediction, or nothing to compare it with, and where the first of each is."""
    found: dict[str, list[int]] = {}
    for item in scored:
        if item.predicted.reason is not None:
            found.setdefault(item.predicted.reason, []).append(item.row.line)
    rows = tuple((reason, str(len(lines)), str(lines[0])) for reason, lines in found.items())
    return [Table("Not scored", ("why", "rows", "first line"), "lrr", rows)] if rows else []


def _flags(scored: Sequence[Scored]) -> list[Table]:
    """What was remarked of rows that are predicted."""
    found: dict[str, list[int]] = {}
    for item in scored:
        for flag in item.predicted.flags:
            found.setdefault(flag, []).append(item.row.line)
    rows = tuple((flag, str(len(lines)), str(lines[0])) for flag, lines in found.items())
    return [Table("Flagged", ("what", "rows", "first line"), "lrr", rows)] if rows else []
