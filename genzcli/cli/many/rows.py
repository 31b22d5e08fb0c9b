"""The rows of a sweep: kept, ordered, and written as they come."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain, islice
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from genzcli.cli.many.parts import Workers, elsewhere, here, parts
from genzcli.cli.many.sweeping import AXES, Sweep
from genzcli.cli.streams import Undivided, emit, say
from genzcli.errors import PlanError, nearest
from genzcli.explore.sweep import pareto
from genzcli.report import rows as report

Row = dict[str, Any]
T = TypeVar("T")
#: Columns, and what they hold: numbers (float), text (str) or truth (bool).
Kinds = dict[str, type]

_TABLE_ROWS = 60
_PATIENCE_S = 1.0
_HERE = Workers()


class Kept(NamedTuple):
    """What is kept of a sweep, and in which order."""

    where: tuple[str, ...] = ()
    sort: str | None = None
    top: int | None = None
    pareto: str | None = None
    columns: str | None = None

    def names(self, sweep: Sweep) -> tuple[str, ...]:
        """The columns asked for; none means all."""
        asked = (self.columns or "").split(",") if self.columns is not None else ()
        names = tuple(_column(name.strip(), _known(sweep), "--columns") for name in asked)
        twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
        if twice is not None:
            raise PlanError(f"{twice} is given twice", where="--columns", cure="keep one")
        return names


def write(
    sweep: Sweep, kept: Kept, kind: str, quiet: bool, workers: Workers = _HERE, out: str | None = None
) -> None:
    """All rows, in the format asked for; Parquet goes to the file `out`."""
    if (kind == "parquet") != (out is not None):
        what = "is for --format parquet" if out is not None else "is missing"
        cure = "redirect stdout" if out is not None else "name the file, as --out rows.parquet"
        raise PlanError(what, where="--out", cure=cure)
    names = kept.names(sweep)
    # Rows that nothing compares with others are written down where they are computed.
    alone = (kept.sort, kept.top, kept.pareto) == (None, None, None)
    if workers.elsewhere and alone and kind in ("csv", "ndjson"):
        with closing(elsewhere(sweep, workers, _lines, kept, kind)) as found:
            written = _joined(_told(found, sweep, quiet))
        if kind == "csv" and not written:
            _csv((), sweep, names)
        return
    with closing(parts(sweep, workers)) as source:  # workers end with it, whoever reads no further
        rows = _wanted(_told(source, sweep, quiet), sweep, kept, kind)
        return _written(rows, sweep, kind, out, names)


def _wanted(found: Iterable[Iterable[Row]], sweep: Sweep, kept: Kept, kind: str) -> Iterator[Row]:
    """The rows that are kept, with the columns asked for; a table needs the others too."""
    rows, names = _reduced(chain.from_iterable(found), sweep, kept), kept.names(sweep)
    if names and kind in ("csv", "ndjson", "json", "parquet"):
        return ({name: row[name] for name in names} for row in rows)
    return rows


def _lines(sweep: Sweep, first: int, last: int, kept: Kept, kind: str) -> tuple[str, str]:
    """The head and the lines of a span of points, both empty where no row is kept."""
    from genzcli.report.csv import lines

    rows = list(_wanted((rows for rows, _ in here(sweep, first, last)), sweep, kept, kind))
    if not rows:
        return "", ""
    names = list(rows[0])
    if kind == "csv":
        return lines([names]), _cells(names, rows)
    return "", "\n".join(map(_dumper(), rows)) + "\n"


def _joined(found: Iterable[tuple[str, str]]) -> bool:
    """Lines of one part after the other under the first head; whether there was one."""
    written = False
    for head, lines in found:
        _emit(lines if written else head + lines)
        written = written or bool(head)
    return written


def _written(found: Iterator[Row], sweep: Sweep, kind: str, out: str | None, names: tuple[str, ...]) -> None:
    match kind:
        case "parquet":
            _parquet(found, sweep, out or "", names)
        case "csv":
            _csv(found, sweep, names)
        case "ndjson":
            _ndjson(found)
        case "json":
            _json(found)
        case _:
            _page(found, sweep, kind, names)


def _told(source: Iterable[tuple[T, int]], sweep: Sweep, quiet: bool) -> Iterator[T]:
    """What there is of each part, with the share of the points that is done on a terminal's stderr."""
    first, last = sweep.span
    done, began, shown = 0, time.monotonic(), False
    talk = sys.stderr.isatty() and not quiet
    for found, points in source:
        yield found
        done += points
        if talk and time.monotonic() - began > _PATIENCE_S:
            shown = True
            share = done / (last - first)
            print(f"\r{done} of {last - first} points ({share:.0%})", end="", file=sys.stderr)
    if shown:
        say("")


# --- what is kept ---

_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "=": lambda a, b: a == b,
}


def _reduced(found: Iterable[Row], sweep: Sweep, kept: Kept) -> Iterator[Row]:
    known = _known(sweep)
    for text in kept.where:
        test = _test(text, known)
        found = filter(test, found)
    if kept.pareto is not None:
        found = _front(found, _directions(kept.pareto, known))
    if kept.sort is not None:
        found = _sorted(found, kept.sort, known, kept.top)
    return islice(found, kept.top)


def _known(sweep: Sweep) -> Kinds:
    names = (*report.NAMES, *(axis.column for axis in (*sweep.slow, *sweep.fast)))
    known: Kinds = dict.fromkeys(names, float)
    known |= {axis.column: str for axis in sweep.slow if axis.column not in AXES}
    return known | dict.fromkeys(report.TEXTS, str) | dict.fromkeys(report.TRUTHS, bool)


def _column(name: str, known: Kinds, where: str) -> str:
    if name in known:
        return name
    near = ", ".join(nearest(name, known))
    cure = f"did you mean {near}?" if near else f"columns: {', '.join(known)}"
    raise PlanError(f"there is no column {name!r}", where=where, cure=cure)


def _test(text: str, known: Kinds) -> Callable[[Row], bool]:
    """`ttft_ms<200`: what is not there passes no test."""
    for sign, holds in _SIGNS.items():
        name, found, value = (piece.strip() for piece in text.partition(sign))
        if found and name and value:
            column = _column(name, known, "--where")
            wanted = _compared(value, column, sign, known[column])
            return lambda row: row[column] is not None and holds(row[column], wanted)
    raise PlanError(f"{text!r} is no test", where="--where", cure="write it as ttft_ms<200 or fits=true")


def _compared(text: str, column: str, sign: str, kind: type) -> Any:
    """What a test compares with: of the kind that its column holds."""
    if kind is not float and sign not in ("=", "==", "!="):
        what = "text" if kind is str else "true or false"
        raise PlanError(f"{column} is {what}, not a number", where="--where", cure="compare it by = or !=")
    if kind is str:
        return text
    if kind is bool:
        if text.lower() not in ("true", "false"):
            cure = f"write {column}=true or {column}=false"
            raise PlanError(f"{text!r} is neither true nor false", where="--where", cure=cure)
        return text.lower() == "true"
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        cure = f"{column} is a number, in the unit of its name"
        raise PlanError(f"{text!r} is no number", where="--where", cure=cure)
    return number


def _sorted(found: Iterable[Row], text: str, known: Kinds, top: int | None) -> Iterator[Row]:
    """In order of a column, what lacks it last; with `top` only that many are held."""
    import heapq

    backwards = text.startswith("-")
    column = _column(text.removeprefix("-"), known, "--sort")

    def key(row: Row) -> tuple[bool, bool, Any]:
        value = row[column]
        if isinstance(value, str):
            return False, True, (*(-ord(letter) for letter in value), 1) if backwards else value
        return value is None, False, 0 if value is None else -value if backwards else value

    yield from sorted(found, key=key) if top is None else heapq.nsmallest(top, found, key=key)


def _directions(text: str, known: Kinds) -> dict[str, int]:
    """Column to sign: +1 where less is better."""
    found = {}
    for part in text.split(","):
        way, sign, name = part.strip().rpartition(":")
        column = _column(name, known, "--pareto")
        if sign and way not in ("min", "max"):
            raise PlanError(
                f"{way!r} is no direction", where="--pareto", cure="write min:COLUMN or max:COLUMN"
            )
        if column in found:
            raise PlanError(f"{column} is given twice", where="--pareto", cure="keep one")
        if known[column] is str:
            cure = "name columns of which less or more is better, as e2e_ms,output_tokens_per_s"
            raise PlanError(f"{column} is text: no row beats another in it", where="--pareto", cure=cure)
        found[column] = -1 if way == "max" or (not sign and column in report.MORE) else 1
    return found


def _front(found: Iterable[Row], directions: dict[str, int]) -> Iterator[Row]:
    """The rows that no other beats in all columns; held are the best so far and one batch."""
    import numpy as np

    best: list[Row] = []
    source = iter(found)
    while batch := list(islice(source, 4096)):
        best += batch
        points = np.array(
            [[_beaten_by(row[name], sign) for name, sign in directions.items()] for row in best]
        )
        best = [best[int(position)] for position in pareto(points)]
    yield from best


def _beaten_by(value: Any, sign: int) -> float:
    return float("nan") if value is None or isinstance(value, str) else value * sign


# --- how they are written ---


def _csv(found: Iterable[Row], sweep: Sweep, chosen: tuple[str, ...]) -> None:
    from genzcli.report.csv import lines

    names: list[str] = []
    for batch in _batches(found):
        if not names:
            names = list(batch[0])
            _emit(lines([names]))
        _emit(_cells(names, batch))
    if not names:
        _emit(lines([chosen or _first_row(sweep)]))


def _cells(names: list[str], batch: list[Row]) -> str:
    """Rows as lines of comma-separated values."""
    from genzcli.report.csv import lines

    # Cell by cell in Python would take longer than the answers; of all columns one is a flag.
    for row in batch if "fits" in names else ():
        row["fits"] = "true" if row["fits"] else "false"
    cells = map(itemgetter(*names), batch)
    return lines(cells if len(names) > 1 else ((cell,) for cell in cells))


def _first_row(sweep: Sweep) -> Row:
    """The first row of all, for the names of the columns where no row is left."""
    return next(row for rows, _ in here(sweep, 0, 1) for row in rows)


def _ndjson(found: Iterable[Row]) -> None:
    for batch in _batches(found):
        _emit("\n".join(map(_dumper(), batch)))


def _batches(found: Iterable[Row], size: int = 1024) -> Iterator[list[Row]]:
    source = iter(found)
    while batch := list(islice(source, size)):
        yield batch


def _dumper() -> Callable[[Row], str]:
    """A row as one line of JSON."""
    import json

    return json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def _emit(text: str) -> None:
    """Rows are written whole or not at all."""
    with Undivided():
        emit(text)


def _parquet(found: Iterable[Row], sweep: Sweep, out: str, chosen: tuple[str, ...]) -> None:
    from genzcli.cli.many import parquet

    axes = tuple(axis.column for axis in (*sweep.slow, *sweep.fast))
    names = chosen or tuple(dict.fromkeys((*axes, *report.NAMES)))
    parquet.write(found, out, names, [axis.column for axis in sweep.slow])


def _json(found: Iterable[Row]) -> None:
    """One document, written row by row."""
    emit(f'{{\n  "schema": "{report.SCHEMA}",\n  "rows": [')
    separator = ""
    try:
        for batch in _batches(found):
            _emit(separator + "\n,".join(map(_dumper(), batch)))
            separator = ","
    except KeyboardInterrupt:
        emit('  ],\n  "interrupted": true\n}')
        raise
    emit("  ]\n}")


def _page(found: Iterable[Row], sweep: Sweep, kind: str, names: tuple[str, ...]) -> None:
    shown: list[Row] = []
    more = 0
    for row in found:
        if len(shown) < _TABLE_ROWS:
            shown.append(row)
        else:
            more += 1
    first, last = sweep.span
    served = sweep.trial.parts.plan.batching == "continuous"
    page = report.page(shown, sweep.units, last - first, more, names, served)
    if kind == "markdown":
        from genzcli.report.markdown import markdown

        return emit(markdown(page, False))
    from genzcli.report.table import render

    return emit(render(page))
