"""A chart of a few series of points, and its drawing in characters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from genzcli.units import show_count

MARKS = "ox+*#@%&"
#: An axis whose numbers, all above nought, span more than this factor is logarithmic unless told otherwise.
WIDE = 30
_TICKS = 5
_LONG = 1e15
_ROOM = 8  # columns for the numbers of the y axis

Point = tuple[float, float]


class Series(NamedTuple):
    """Points under one name, in the order of x."""

    name: str
    points: tuple[Point, ...]

    @property
    def is_line(self) -> bool:
        """Whether the points make a line: one y for each x."""
        return len(self.points) > 1 and all(
            a[0] < b[0] for a, b in zip(self.points, self.points[1:], strict=False)
        )


class Axis(NamedTuple):
    """What stands along an axis, its ends, and whether equal factors are equally far apart."""

    label: str
    low: float
    high: float
    log: bool

    def share(self, value: float) -> float:
        """Where a value lies between the ends, 0 to 1."""
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return (at - low) / (high - low) if high > low else 0.5


class Chart(NamedTuple):
    """Series over two axes."""

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]


def axis(label: str, values: Sequence[float], log: bool | None) -> Axis:
    """An axis that has all values; a scale that was not asked for follows from their span.

    A linear one of numbers that are not negative begins at nought.
    """
    low, high = min(values), max(values)
    if log is None:
        log = low > 0 and high > WIDE * low
    if not log and 0 <= low < high:
        low = 0.0
    if low == high:
        room = max(1.0, abs(low) / 1000)
        low, high = (low / 2, high * 2) if log else (low - room, high + room)
    return Axis(label, low, high, log)


def ticks(scale: Axis) -> list[float]:
    """Round numbers between the ends: 1, 2 and 5 times powers of ten, decades where these are many."""
    if scale.log:
        first, last = math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high))
        steps = (1, 2, 5) if last - first <= 2 else (1, 3) if last - first <= 3 else (1,)
        found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    else:
        raw = (scale.high - scale.low) / _TICKS
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
        first = math.ceil(scale.low / step)
        found = [index * step for index in range(first, math.floor(scale.high / step) + 1)]
    return [value for value in found if scale.low * (1 - 1e-9) <= value <= scale.high * (1 + 1e-9)]


# --- in characters ---


def text(chart: Chart, width: int, height: int = 20) -> str:
    """The chart as lines of text, with a legend where there are several series."""
    across = max(width - _ROOM - 2, 16)
    cells = [[" "] * across for _ in range(height)]
    for series, mark in _marked(chart):
        _draw(chart, series, mark, cells)
    lines = [chart.title, "", f"{chart.y.label}{_scale(chart.y)}"]
    labels = {_row(chart.y, value, height): _said(value) for value in ticks(chart.y)}
    lines += [f"{labels.get(row, ''):>{_ROOM}} │{''.join(line).rstrip()}" for row, line in enumerate(cells)]
    lines += [f"{'':{_ROOM}} └{'─' * across}", f"{'':{_ROOM}}  {_numbers(chart.x, across)}"]
    lines.append(f"{chart.x.label}{_scale(chart.x)}".rjust(_ROOM + 2 + across))
    if len(chart.series) > 1:
        lines += ["", *(f"  {mark} {series.name}" for series, mark in _marked(chart))]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _said(value: float) -> str:
    """A number along an axis; one that no letter makes short is written by its power of ten."""
    return show_count(value) if abs(value) < _LONG else f"{value:.2g}"


def _marked(chart: Chart) -> Iterator[tuple[Series, str]]:
    for position, series in enumerate(chart.series):
        yield series, MARKS[position % len(MARKS)]


def _scale(along: Axis) -> str:
    return " (log)" if along.log else ""


def _draw(chart: Chart, series: Series, mark: str, cells: list[list[str]]) -> None:
    """Dots along a line, then the points over them."""
    height, across = len(cells), len(cells[0])
    places = [(_column(chart.x, x, across), _row(chart.y, y, height)) for x, y in series.points]
    if series.is_line:
        for (left, up), (right, down) in pairwise(places):
            for column in range(left + 1, right):
                row = round(up + (down - up) * (column - left) / (right - left))
                if cells[row][column] == " ":
                    cells[row][column] = "·"
    for column, row in places:
        cells[row][column] = mark


def _column(scale: Axis, value: float, across: int) -> int:
    return round(scale.share(value) * (across - 1))


def _row(scale: Axis, value: float, height: int) -> int:
    return round((1 - scale.share(value)) * (height - 1))


def _numbers(scale: Axis, across: int) -> str:
    """Tick numbers under the x axis, as far as there is room."""
    line = [" "] * across
    free = 0
    for value in ticks(scale):
        word = _said(value)
        start = min(max(_column(scale, value, across) - len(word) // 2, 0), across - len(word))
        if start >= free:
            line[start : start + len(word)] = word
            free = start + len(word) + 2
    return "".join(line)
