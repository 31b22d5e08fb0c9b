"""The points of a sweep in parts: one after the other, or many at once elsewhere; the same rows in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from typing import Any, NamedTuple

from genzcli.cli.engines import Engine, engine
from genzcli.cli.sweeping import Sweep, frames_in
from genzcli.errors import GenzError
from genzcli.explore.sweep import blocks
from genzcli.report import rows as report

Row = dict[str, Any]
#: Rows, and the number of points they are of.
Part = tuple[Iterable[Row], int]
#: Points of a part that goes elsewhere: enough to outweigh the way, few enough to hold several.
_POINTS = 16384
#: Parts in the works for each worker: the next one is there when one is done.
_AHEAD = 2


class Workers(NamedTuple):
    """Who computes: this process, or an engine with so many workers."""

    executor: str | None = None
    jobs: int | None = None


#: Rows of a part with equal columns: the names once, the values row by row.
Packed = tuple[tuple[str, ...], list[tuple[Any, ...]]]


def parts(sweep: Sweep, workers: Workers) -> Generator[Part, None, None]:
    """Rows of the sweep's shard with the number of points they are of, in order."""
    if workers.executor is None and workers.jobs is None:
        for frame, axes, start, stop in frames_in(sweep, *sweep.span):
            for block in blocks(frame, axes, start, stop):
                yield report.rows(block), block.size
        return
    with engine(workers.executor or "processes", workers.jobs) as found:
        yield from _elsewhere(sweep, found)


def _elsewhere(sweep: Sweep, found: Engine) -> Generator[Part, None, None]:
    first, last = sweep.span
    size = max(1, min(_POINTS, -(-(last - first) // found.jobs)))
    started: deque[tuple[Any, int]] = deque()
    for start in range(first, last, size):
        stop = min(start + size, last)
        started.append((found.submit(_packed, sweep, start, stop), stop - start))
        if len(started) >= _AHEAD * found.jobs:
            yield _opened(found, *started.popleft())
    while started:
        yield _opened(found, *started.popleft())


def _opened(found: Engine, task: Any, points: int) -> Part:
    answer = found.result(task)
    if isinstance(answer, GenzError):
        raise answer
    return (dict(zip(names, values, strict=True)) for names, rows in answer for values in rows), points


def _packed(sweep: Sweep, first: int, last: int) -> list[Packed] | GenzError:
    """What a worker does: the rows of some points. Bad input is an answer; engines wrap what is raised."""
    found: list[Packed] = []
    try:
        for frame, axes, start, stop in frames_in(sweep, first, last):
            for block in blocks(frame, axes, start, stop):
                rows = list(report.rows(block))
                found.append((tuple(rows[0]), [tuple(row.values()) for row in rows]))
    except GenzError as error:
        return error
    return found
