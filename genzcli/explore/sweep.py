"""Sweeps: the points of a grid in blocks, what is kept of them, and how a point becomes a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from genzcli.engine.estimate import estimate, shortage
from genzcli.engine.result import Memory
from genzcli.errors import PlanError
from genzcli.explore import grid
from genzcli.explore.plan import as_given, choose
from genzcli.explore.stack import Structures, stacked
from genzcli.spec.workload import Scenario

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Points of a grid computed together: few enough for the arrays to stay in the cache.
BLOCK = 32768


class Numbers(NamedTuple):
    """An axis of numbers: the values, and how they are put into a scenario."""

    name: str
    values: NDArray[np.float64]
    put: Callable[[Scenario, Any], Scenario]


class Frame(NamedTuple):
    """One structure: a scenario, the number of its chips, the degrees that are given, and its labels."""

    scenario: Scenario
    chips: int
    fixed: Mapping[str, int]
    labels: Mapping[str, Any]
    problem: str = ""  # why no plan of this structure can exist


class Block(NamedTuple):
    """Some points of a frame: `columns` of equal length, NaN where a value does not exist."""

    frame: Frame
    axes: Sequence[Numbers]
    size: int
    columns: Mapping[str, Any]
    tiers: Mapping[str, Any]

    def part(self, first: int, last: int) -> Block:
        """The points from `first` up to `last`."""
        if first == 0 and last == self.size:
            return self
        return self.at(slice(first, last), last - first)

    def at(self, index: Any, size: int) -> Block:
        """The points at some positions."""
        columns = {key: value[index] for key, value in self.columns.items()}
        held = {key: value[index] for key, value in self.tiers.items()}
        return self._replace(size=size, columns=columns, tiers=held)

    def scenario(self, index: int) -> Scenario:
        """The scenario of one point, its plan not chosen."""
        scenario = self.frame.scenario
        for axis in self.axes:
            scenario = axis.put(scenario, plain(self.columns[axis.name][index]))
        return scenario


def plain(value: Any) -> Any:
    """A Python number; whole ones as int."""
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def count(axes: Sequence[Numbers]) -> int:
    """Points of one frame."""
    total = 1
    for axis in axes:
        total *= len(axis.values)
    return total


def blocks(frame: Frame, axes: Sequence[Numbers], first: int = 0, last: int | None = None) -> Iterator[Block]:
    """The points `first` up to `last` of a frame, its last axis fastest, in blocks of about BLOCK."""
    last = count(axes) if last is None else last
    sizes = [len(axis.values) for axis in axes]
    # Axes before `cut` go one value at a time, the one at `cut` in slices, those behind it whole.
    cut = max(len(sizes) - 1, 0)
    while cut > 0 and count(axes[cut:]) <= BLOCK:
        cut -= 1
    behind = count(axes[cut + 1 :])
    step = max(BLOCK // behind, 1)
    slices = [slice(at, at + step) for at in range(0, sizes[cut], step)] if sizes else [slice(0, 1)]
    start = 0
    for outer in product(*(range(size) for size in sizes[:cut])):
        for part in slices:
            size = len(axes[cut].values[part]) * behind if sizes else 1
            if start < last and start + size > first:
                cuts = [*(slice(at, at + 1) for at in outer), part, *[slice(None)] * len(sizes[cut + 1 :])]
                values = [axis.values[at] for axis, at in zip(axes, cuts, strict=False)]
                block = _block(_Cut(frame, axes, _open(values), tuple(map(len, values)) or (1,)))
                yield block.part(max(first - start, 0), min(last - start, size))
            start += size


def listed(frame: Frame, axes: Sequence[Numbers], first: int = 0, last: int | None = None) -> Iterator[Block]:
    """Points `first` up to `last` of a list: the n-th one has the n-th value of every axis."""
    last = len(axes[0].values) if last is None else last
    step = max(BLOCK // 4, 1)  # no array stays small
    for start in range(first, last, step):
        size = min(step, last - start)
        values = [axis.values[start : start + size] for axis in axes]
        yield _block(_Cut(frame, axes, values, (size,)))


def _open(values: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Every axis along a dimension of its own, so that what does not depend on the others stays small."""
    shapes = [[-1 if at == position else 1 for at in range(len(values))] for position in range(len(values))]
    return [value.reshape(shape) for value, shape in zip(values, shapes, strict=True)]


class _Cut(NamedTuple):
    """Points of a frame that are computed together: open arrays, an axis each, that broadcast to `shape`."""

    frame: Frame
    axes: Sequence[Numbers]
    values: Sequence[NDArray[np.float64]]
    shape: tuple[int, ...]

    def cases(self) -> list[Scenario]:
        """The frame's scenario with these numbers, under every plan that may be taken."""
        scenario, alone = self.frame.scenario, math.prod(self.shape) == 1
        for axis, value in zip(self.axes, self.values, strict=True):
            scenario = axis.put(scenario, plain(value.item()) if alone else value)  # floats are faster
        return grid.tried(scenario, self.frame.chips, self.frame.fixed)

    def block(self, found: Mapping[str, Any], tiers: Mapping[str, Any]) -> Block:
        """Columns of the points in a row, the axes among them."""
        import numpy as np

        spread = {
            axis.name: np.broadcast_to(value, self.shape).ravel()
            for axis, value in zip(self.axes, self.values, strict=True)
        }
        columns = {key: value.ravel() for key, value in found.items()} | spread
        held = {key: value.ravel() for key, value in tiers.items()}
        return Block(self.frame, self.axes, math.prod(self.shape), columns, held)


def _block(cut: _Cut) -> Block:
    """The points of one cut, by themselves."""
    import numpy as np

    if cut.frame.problem:
        return cut.block({"legal": np.zeros(cut.shape)}, {})
    with np.errstate(all="ignore"):  # illegal points are computed along and masked
        return cut.block(*grid.best(cut.cases(), cut.shape))


#: A frame, its axes, and the first and the last point of it that is asked for.
Asked = tuple[Frame, Sequence[Numbers], int, int]
#: Frames, and points of them, that are looked at together for some of one structure.
_FRAMES, _POINTS = 256, 4 * BLOCK


def together(asked: Iterable[Asked]) -> Iterator[Block]:
    """The points of many frames in order; small frames of one structure are answered by one array call."""
    waiting: list[Asked] = []
    points = 0
    for item in asked:
        size = count(item[1])
        if size > BLOCK // 4:
            yield from _answered(waiting)
            yield from blocks(*item)
            waiting, points = [], 0
            continue
        if points + size > _POINTS or len(waiting) == _FRAMES:
            yield from _answered(waiting)
            waiting, points = [], 0
        waiting.append(item)
        points += size
    yield from _answered(waiting)


def _answered(asked: Sequence[Asked]) -> Iterator[Block]:
    """Frames that are not many points each, those of one structure at once."""
    cuts = []
    for frame, axes, _, _ in asked:
        values = [axis.values for axis in axes]
        cuts.append(_Cut(frame, axes, _open(values), tuple(map(len, values)) or (1,)))
    found: dict[int, Block] = {}
    for alike in _groups(cuts):
        stack = [_block(cuts[at]) for at in alike] if len(alike) == 1 else _stack(cuts, alike)
        found |= zip(alike, stack, strict=True)
    for at, (_, _, first, last) in enumerate(asked):
        yield found[at].part(first, last)


#: Positions of cuts, and the scenarios that each is tried under.
_Group = dict[int, list[Scenario]]


def _groups(cuts: Sequence[_Cut]) -> Iterator[_Group]:
    """Cuts that differ in numbers alone, no more than a block of points together."""
    structures, groups = Structures(), dict[Hashable, _Group]()
    for at, cut in enumerate(cuts):
        cases = [] if cut.frame.problem or len(cuts) == 1 else list(map(structures.essential, cut.cases()))
        key: Hashable = (cut.shape, *map(structures.of, cases)) if cases else at
        alike = groups.setdefault(key, {})
        alike[at] = cases
        if (len(alike) + 1) * math.prod(cut.shape) > BLOCK:
            yield groups.pop(key)
    yield from groups.values()


def _stack(cuts: Sequence[_Cut], alike: _Group) -> Iterator[Block]:
    """Cuts of one structure: each has its place along a dimension ahead of its own."""
    import numpy as np

    shape = cuts[next(iter(alike))].shape
    cases = [stacked(each, len(shape)) for each in zip(*alike.values(), strict=True)]
    with np.errstate(all="ignore"):
        found, tiers = grid.best(cases, (len(alike), *shape))
    for place, at in enumerate(alike):
        held = {key: value[place] for key, value in tiers.items()}
        yield cuts[at].block({key: value[place] for key, value in found.items()}, held)


def why(block: Block, index: int) -> str | None:
    """Why a point has no answer: its plan cannot exist, or memory is short."""
    if block.columns["legal"][index] <= 0:
        return _illegal(block.frame, block.scenario(index))
    if block.columns["fits"][index] > 0:
        return None
    numbers: dict[str, Any] = {name: float(block.columns[name][index]) for name in grid.MEMORY}
    held = Memory(
        **numbers,
        tiers={name: float(size[index]) for name, size in block.tiers.items()},
    )
    if held.deficit_bytes <= 0:  # what is short is a draft's own chips, which the columns do not have
        return estimate(block.scenario(index)).why
    return shortage(block.scenario(index), held)


def _illegal(frame: Frame, scenario: Scenario) -> str:
    """The error that a single question gets."""
    if frame.problem:
        return frame.problem
    try:
        whole = as_given(scenario, frame.fixed)
        if whole is not None:
            estimate(whole, brief=True)
        else:
            choose(scenario, frame.chips, frame.fixed)
    except PlanError as error:
        return str(error)
    return "no legal plan"


def pareto(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Positions of the rows that no other beats in every column; smaller is better, NaN is never kept.

    Of equal rows the first is kept.
    """
    import numpy as np

    alive = np.flatnonzero(~np.isnan(points).any(axis=1))
    order = alive[np.lexsort(points[alive].T[::-1])]
    kept: list[int] = []
    for position in order:
        row = points[position]
        if not any((points[other] <= row).all() for other in kept):
            kept.append(int(position))
    return np.array(sorted(kept), dtype=np.intp)
