"""A part of docs/accuracy.md: how far off measured collectives are, and any model of a form would be.

    GENZ_DATA=folder python benchmarks/collectives.py

The folder holds `collectives_measured.csv`, with the columns that `genz validate` reads.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genzcli.catalog.load import Catalog
from genzcli.explore.validate.kind import Row, Setting
from genzcli.explore.validate.measured import KIND

HEAD = """
## Measured collectives

Times, or bandwidths where no time is published, of a (chip, library) under its one shipped profile: the
geometric mean of how far predicted / measured is from 1, in percent. Beside it what no model can do better:
"in order", where neither more bytes nor more ranks of the same machine take less time; and "line", where each
series of sizes has a launch and a bandwidth of its own, ten to twenty numbers where a profile has five.

| chip | library | rows | off | in order | line |
|---|---|---|---|---|---|
"""
TAIL = """
Eager launches of torch.distributed are two kinds of number: a ring's own time, 7 to 13 us, where ranks happen
to start together, and that of the slowest rank's launch, 25 to 70 us, where they do not. Which of them a size
got is chance: on A100 nothing that grows with size and ranks comes within 10 %. All ranks of an A100 node
share one way to the other node, at 5 GB/s. DeepEP's eight low-latency times on 8 to 64 H800, to which no
constant was fitted, are 7 % off.
"""

SERVING = """
Serving stacks have two constants for all their collectives, a launch and a share of the bandwidth, fitted
with the rest to runs of whole servers. What these say of an all-reduce of 16 KiB to 64 MiB, beside what the
stack's own kernel takes alone on 4 and 8 chips: the same mean, and the bias.

| profile | kernel | rows | off | bias |
|---|---|---|---|---|
"""
#: Stacks, and the libraries whose all-reduces they run.
STACKS = (("vllm", "vllm custom all-reduce"), ("tensorrt-llm", "trtllm custom all-reduce"))

#: What makes a series of sizes and counts: everything but those two.
SERIES = ("fabric", "collective", "dtype", "version", "nodes")


#: (bytes, log time) of one machine: a row a count of ranks, fewest first, sizes upwards.
Grid = list[list[tuple[float, float]]]


class Point(NamedTuple):
    """A measured row and what is said of it, as logarithms."""

    row: Row
    measured: float
    predicted: float


def main() -> None:
    """Print the section."""
    print("".join(section(read(Path(os.environ["GENZ_DATA"]) / "collectives_measured.csv"))))


def read(path: Path) -> list[Row]:
    """Rows of a file of measurements."""
    with path.open(encoding="utf-8") as file:
        return [Row(number, cells) for number, cells in enumerate(csv.DictReader(file), start=2)]


def section(rows: Sequence[Row]) -> Iterator[str]:
    """The table and what stands round it."""
    yield HEAD
    for (hardware, library), points in points_of(rows).items():
        error = percent([abs(point.predicted - point.measured) for point in points])
        timed = [point for point in points if point.row.cells["latency_us"]]
        floors = (
            f"{floor(timed, disorder)} | {floor(timed, off_line)}" if len(timed) == len(points) else "– | –"
        )
        yield f"| {hardware} | {library} | {len(points)} | {error} | {floors} |\n"
    yield TAIL
    yield SERVING
    for stack, library in STACKS:
        for name in ("NVIDIA H100 80GB HBM3", "NVIDIA B200"):
            yield serving(rows, stack, library, name)


def serving(rows: Sequence[Row], stack: str, library: str, hardware: str) -> str:
    """The line of a serving stack's profile on one chip."""
    catalog = Catalog()
    chip = catalog.hardware(hardware.split()[1].lower())[0].chip
    profile = catalog.profile(stack, chip, "continuous")
    kept = [
        row
        for row in rows
        if (row.cells["hardware"], row.cells["library"]) == (hardware, library)
        and row.count("num_chips") > 2
        and 2**14 <= row.number("message_bytes") <= 2**26
    ]
    said = KIND.predict(kept, Setting(catalog, profiles=(profile,)))
    ratios = [
        math.log(found.values["latency_us"] / row.number("latency_us"))
        for row, found in zip(kept, said, strict=True)
    ]
    bias = math.expm1(sum(ratios) / len(ratios)) * 100
    error = percent([abs(ratio) for ratio in ratios])
    return f"| {profile.name} | {library} | {len(kept)} | {error} | {bias:+.0f} |\n"


def points_of(rows: Sequence[Row]) -> dict[tuple[str, str], list[Point]]:
    """What was measured and predicted by chip and library; times before bandwidths."""
    found: dict[tuple[str, str], list[Point]] = {}
    for row, said in zip(rows, KIND.predict(rows, Setting(Catalog())), strict=True):
        target = next(name for name in KIND.targets if row.cells[name])
        point = Point(row, math.log(float(row.cells[target])), math.log(said.values[target]))
        found.setdefault((row.cells["hardware"], row.cells["library"]), []).append(point)
    return found


def floor(points: Sequence[Point], least: Callable[[Grid], float]) -> str:
    """The least mean error of a form, in percent; `least` sums that of one machine's counts and sizes."""
    return percent_of(sum(map(least, grids(points))) / len(points))


def grids(points: Sequence[Point]) -> list[Grid]:
    """What each machine was measured at."""
    found: dict[tuple[str, ...], dict[int, list[tuple[float, float]]]] = {}
    for point in points:
        key = tuple(point.row.cells[name] for name in SERIES)
        size = point.row.number("message_bytes")
        found.setdefault(key, {}).setdefault(point.row.count("num_chips"), []).append((size, point.measured))
    return [[sorted(one[ranks]) for ranks in sorted(one)] for one in found.values()]


def disorder(grid: Grid) -> float:
    """Least sum of |error| of any function that falls neither with the size nor with the ranks.

    One threshold after the other: what lies above it is a staircase, and the best one a minimum over paths.
    """
    levels = sorted({value for row in grid for _, value in row})
    total = 0.0
    for low, high in pairwise(levels):
        best: dict[float, float] = {}  # errors so far, by the size that a row's steps start at
        starts = [*sorted({size for row in grid for size, _ in row}), math.inf]
        for row in grid:
            wrong = {s: sum((size >= s) != (value > low) for size, value in row) for s in starts}
            reach = math.inf
            for start in reversed(starts):  # a step starts no later than that of the row before
                reach = min(reach, best.get(start, 0.0))
                wrong[start] += reach
            best = wrong
        total += (high - low) * min(best.values())
    return total


def off_line(grid: Grid) -> float:
    """Least sum of |log error| of a launch and a bandwidth for each count of ranks, by search."""
    return sum(_line(row) for row in grid)


def _line(row: Sequence[tuple[float, float]]) -> float:
    sizes, times = (np.array(values) for values in zip(*row, strict=True))
    base, slope = np.exp(times.min()), np.exp(times.max()) / sizes.max()
    scales = np.geomspace(0.05, 20, 240)
    launch, per_byte = base * scales[:, None, None], slope * scales[None, :, None]
    return float(abs(np.log(launch + per_byte * sizes) - times).sum(-1).min())


def percent(errors: Sequence[float]) -> str:
    """exp(mean) - 1 of errors in logarithms."""
    return percent_of(sum(errors) / len(errors))


def percent_of(mean: float) -> str:
    """exp(mean) - 1, in percent."""
    return f"{math.expm1(mean) * 100:.1f}"


if __name__ == "__main__":
    main()
