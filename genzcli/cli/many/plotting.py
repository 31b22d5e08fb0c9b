"""Rows of a file as a chart: which columns stand along the axes, and what makes a series."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from genzcli.errors import GenzError, nearest
from genzcli.report.chart import Axis, Chart, Point, Series, axis
from genzcli.report.rows import MORE, TEXTS

Row = Mapping[str, Any]

#: What a trade-off is drawn of: how fast one user is served, and how many a chip serves.
SPEED, LOAD = "tokens_per_s_per_user", "output_tokens_per_s_per_chip"
#: Inputs that a plan chooses: they make no series unless asked to.
_CHOSEN = ("chip", "tp", "pp", "dp", "ep")
_MOST = 16  # series
_HUGE = 1e300  # beyond it, spans and squares are no numbers
_WORDS = {
    "ttft_ms": "TTFT, ms",
    "tpot_ms": "TPOT, ms",
    "e2e_ms": "E2E, ms",
    "output_tokens_per_s": "output tokens/s",
    "output_tokens_per_s_per_chip": "output tokens/s a chip",
    "tokens_per_s_per_user": "tokens/s a user",
    "joules_per_output_token": "J an output token",
    "usd_per_million_output_tokens": "$ a million output tokens",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
}


def rows(file: str) -> list[Row]:
    """The rows of a file, of stdin for `-`, or of the sweep that a scenario file describes."""
    from genzcli.cli.asking.scenarios import answered_by
    from genzcli.cli.measurements import content

    if answered_by(file) == "sweep":
        from genzcli.cli.many.parts import Workers, parts
        from genzcli.cli.many.sweeping import plan_of

        sweep = plan_of(file, None, (), {}, None)
        return [row for found, _ in parts(sweep, Workers()) for row in found]
    if file != "-" and not os.path.exists(file):
        cure = "name the rows of `genz sweep --format csv`, or a scenario file that sweeps"
        raise GenzError("there is no such file", where=file, cure=cure)
    if file.endswith((".yaml", ".yml")):
        cure = "add `over:`, as over: {batch: 1..64}, or name the rows of a sweep"
        raise GenzError("sweeps nothing", where=file, cure=cure)
    name, text = content(file)
    return parsed(text, name)


def parsed(content: str, name: str) -> list[Row]:
    """Rows of CSV, of NDJSON, or of JSON with `rows` or `results`."""
    head = content.lstrip()[:1]
    if head not in ("{", "["):
        from genzcli.cli.measurements import parse

        return [row.cells for row in parse(content, name).rows]
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError):
        whole = _lines(content, name)
    if isinstance(whole, dict):
        whole = next((whole[key] for key in ("rows", "results") if key in whole), [whole])
    if not isinstance(whole, list) or not all(isinstance(row, dict) for row in whole) or not whole:
        raise GenzError("has no rows", where=name, cure="give what `genz sweep` writes")
    return [{key: _cell(value) for key, value in row.items()} for row in whole]


def _cell(value: Any) -> Any:
    """A word or a number; what has parts of its own is neither."""
    return None if isinstance(value, (list, dict)) else value


def _lines(content: str, name: str) -> list[Any]:
    found = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            found += [json.loads(line)] if line.strip() else []
        except (ValueError, RecursionError):
            cure = "give CSV with a header, NDJSON or JSON, as `genz sweep` writes them"
            raise GenzError("is no JSON", where=f"{name}:{number}", cure=cure) from None
    return found


class Wanted(NamedTuple):
    """What is to be drawn: columns, a title, which axes are logarithmic, whether only what nothing beats."""

    x: str | None = None
    y: str | None = None
    by: str | None = None
    log: str | None = None
    title: str | None = None
    front: bool = False


def chart(rows: Sequence[Row], wanted: Wanted) -> tuple[Chart, int]:
    """The chart, and how many rows have no point in it."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    across, up = _axes(rows, columns, wanted)
    groups = _groups(rows, columns, across) if wanted.by is None else _named(wanted.by, columns)
    points = _points(rows, across, up, groups)
    count = sum(map(len, points.values()))
    if wanted.front:
        signs = [1 if column in MORE else -1 for column in (across, up)]
        points = {name: _front(items, signs) for name, items in points.items()}
    series = tuple(Series(_shown(name), tuple(sorted(items))) for name, items in points.items())
    drawn = [point for item in series for point in item.points]
    x, y = (
        _axis(column, [point[place] for point in drawn], scale)
        for place, (column, scale) in enumerate(zip((across, up), _scales(wanted.log), strict=True))
    )
    return Chart(_shown(wanted.title or _title(rows, groups)), x, y, series), len(rows) - count


def _axis(column: str, values: Sequence[float], log: bool | None) -> Axis:
    """The axis of a column; a logarithmic one has no nought."""
    if log and min(values) <= 0:
        message = f"{column} has values of 0 and below, which have no logarithm"
        raise GenzError(message, where="--log", cure="use --log none")
    return axis(_WORDS.get(column) or _shown(column), values, log)


def _shown(text: str) -> str:
    """A text of a file without what a terminal would obey."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def _axes(rows: Sequence[Row], columns: Sequence[str], wanted: Wanted) -> tuple[str, str]:
    """The columns along both axes: as named, or what a line or a trade-off is usually drawn of."""
    up = _column(wanted.y or (LOAD if wanted.front else "output_tokens_per_s"), columns, "--y")
    if wanted.x or wanted.front:
        return _column(wanted.x or SPEED, columns, "--x"), up
    return _first_axis(rows, [name for name in columns if name != up]), up


def _points(rows: Sequence[Row], across: str, up: str, groups: Sequence[str]) -> dict[str, list[Point]]:
    """The points of each series, under its name."""
    found: dict[str, list[Point]] = {}
    for row in rows:
        x, y = number(row.get(across)), number(row.get(up))
        if x is not None and y is not None:
            name = ", ".join(_said(column, row.get(column)) for column in groups)
            found.setdefault(name, []).append((x, y))
    if not found:
        cure = "name columns of numbers with --x and --y"
        raise GenzError(f"no row has both {across} and {up}", where="--x", cure=cure)
    if len(found) > _MOST:
        cure = f"keep fewer rows, or name the columns that tell series apart, as --by {groups[0]}"
        raise GenzError(f"{len(found)} series are too many to tell apart", where="--by", cure=cure)
    return found


def number(value: Any) -> float | None:
    """A number that can be drawn; truth, words, and what is beyond all measure are none."""
    if isinstance(value, bool) or value is None or value == "":
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if abs(found) < 1 / _HUGE:
        return 0.0
    return found if abs(found) < _HUGE else None


def _column(name: str, columns: Sequence[str], where: str) -> str:
    if name in columns:
        return name
    near = ", ".join(nearest(name, columns))
    cure = f"did you mean {near}?" if near else f"columns: {', '.join(columns)}"
    raise GenzError(f"there is no column {name!r}", where=where, cure=cure)


def _named(by: str, columns: Sequence[str]) -> list[str]:
    return [_column(name.strip(), columns, "--by") for name in by.split(",") if name.strip()]


def _inputs(columns: Sequence[str]) -> list[str]:
    """The columns that say what was asked, in a row of a sweep those before `fits`."""
    return list(columns[: columns.index("fits")]) if "fits" in columns else list(columns)


def _first_axis(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """The number that varies fastest: the first input that differs between two rows in turn."""
    asked = [name for name in _inputs(columns) if name not in _CHOSEN]
    for before, after in pairwise(rows):
        for name in asked:
            pair = number(before.get(name)), number(after.get(name))
            if None not in pair and pair[0] != pair[1]:
                return name
    raise GenzError("no number varies from row to row", where="--x", cure="name the column along the x axis")


def _groups(rows: Sequence[Row], columns: Sequence[str], across: str) -> list[str]:
    """The inputs that tell lines apart: each splits the rows further than those before it.

    Along a trade-off (no input), and in rows of something else, only names tell lines apart.
    """
    asked = _inputs(columns)
    names_alone = across not in asked or "fits" not in columns
    found: list[str] = []
    parts = 1
    for name in asked:
        if name in (*_CHOSEN, across) or (names_alone and name not in TEXTS):
            continue
        split = len({tuple(row.get(key) for key in (*found, name)) for row in rows})
        if split > parts:
            found, parts = [*found, name], split
    return found


def _said(column: str, value: Any) -> str:
    return str(value) if column in TEXTS else f"{column} {value}"


def _title(rows: Sequence[Row], groups: Sequence[str]) -> str:
    """What all rows have in common."""

    def shared(name: str) -> bool:
        return name not in groups and len({row.get(name) for row in rows}) == 1 and bool(rows[0].get(name))

    same = [str(rows[0][name]) for name in ("model", "hardware", "precision") if shared(name)]
    if shared("input_tokens") and shared("output_tokens"):
        same.append(f"{rows[0]['input_tokens']} + {rows[0]['output_tokens']} tokens")
    return " · ".join(same) or f"{len(rows)} row{'s' * (len(rows) != 1)}"


def _scales(log: str | None) -> tuple[bool | None, bool | None]:
    """Which axes are logarithmic; None leaves it to the numbers."""
    if log is None:
        return None, None
    if log not in ("x", "y", "xy", "none"):
        raise GenzError(f"unknown axes {log!r}", where="--log", cure="choose from x, y, xy, none")
    return "x" in log, "y" in log and log != "none"


def _front(points: Sequence[Point], signs: Sequence[int]) -> list[Point]:
    """The points that no other beats in both; a sign of 1 where more is better, of -1 where less is."""
    best: list[Point] = []
    for point in sorted(points, key=lambda item: (-signs[0] * item[0], -signs[1] * item[1])):
        if not best or signs[1] * point[1] > signs[1] * best[-1][1]:
            best.append(point)
    return best
