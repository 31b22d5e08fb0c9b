"""The points of a sweep in parts: one after the other, or many at once elsewhere; the same rows in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import Any, NamedTuple

from genzcli.cli.many.engines import Engine, engine
from genzcli.cli.many.sweeping import Sweep, frames_in
from genzcli.errors import GenzError
from genzcli.explore.sweep import together
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

    @property
    def elsewhere(self) -> bool:
        """Whether an engine computes."""
        return self.executor is not None or self.jobs is not None


#: Rows of a part with equal columns: the names once, the values row by row.
Packed = tuple[tuple[str, ...], list[tuple[Any, ...]]]


def parts(sweep: Sweep, workers: Workers) -> Generator[Part, None, None]:
    """Rows of the sweep's shard with the number of points they are of, in order."""
    if not workers.elsewhere:
        yield from here(sweep, *sweep.span)
        return
    with closing(elsewhere(sweep, workers, _packed)) as found:
        for packed, points in found:
            yield (dict(zip(names, row, strict=True)) for names, rows in packed for row in rows), points


def here(sweep: Sweep, first: int, last: int) -> Generator[Part, None, None]:
    """Rows of a span of points, block by block."""
    for block in together(frames_in(sweep, first, last)):
        yield report.rows(block), block.size


def elsewhere(
    sweep: Sweep, workers: Workers, task: Callable[..., Any], *words: Any
) -> Generator[tuple[Any, int], None, None]:
    """What workers make of the shard: `task(sweep, first, last, *words)` span by span, and the points."""
    first, last = sweep.span
    with engine(workers.executor or "processes", workers.jobs, last - first) as found:
        size = max(1, min(_POINTS, -(-(last - first) // found.jobs)))
        started: deque[tuple[Any, int]] = deque()
        for start in range(first, last, size):
            stop = min(start + size, last)
            started.append((found.submit(_guarded, task, sweep, start, stop, *words), stop - start))
            if len(started) >= _AHEAD * found.jobs:
                yield _answered(found, *started.popleft())
        while started:
            yield _answered(found, *started.popleft())


def _answered(found: Engine, task: Any, points: int) -> tuple[Any, int]:
    answer = found.result(task)
    if isinstance(answer, GenzError):
        raise answer
    return answer, points


def _guarded(task: Callable[..., Any], *words: Any) -> Any:
    """What a worker does. Bad input is an answer: engines wrap what is raised."""
    try:
        return task(*words)
    except GenzError as error:
        return error


def _packed(sweep: Sweep, first: int, last: int) -> list[Packed]:
    found: list[Packed] = []
    for rows, _ in here(sweep, first, last):
        listed = list(rows)
        found.append((tuple(listed[0]), [tuple(row.values()) for row in listed]))
    return found
