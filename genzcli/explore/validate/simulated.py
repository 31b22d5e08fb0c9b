"""Collectives as a simulator of an uncongested network times them: `collectives_simulated.csv`.

A row names its topology (`Ring(4) x Switch(8)`, innermost first) and the algorithm on each dimension. The
simulated network knows no congestion: a message takes hops * latency + bytes / bandwidth of one link,
whatever else is on the way, so a collective is its steps, each as long as its farthest message. That is not
how wires behave (`engine/collectives.py` is), so nothing of it is ever chosen by `auto`.

Over several dimensions an all-reduce scatters outwards, reduces on the last dimension and gathers back, the
buffer shrinking by each size; an all-to-all sends the whole buffer on each dimension in turn. Its clock has
whole nanoseconds: a message is cut down to one and is handled in the next, and so is a phase, that is one
collective on one dimension. Adding up reads twice and writes once, at a petabyte a second.

Source: ASTRA-sim (Won et al., ISPASS 2023), its analytical network, congestion-unaware, and the collectives
of its system layer; Thakur, Rabenseifner, Gropp (2005) for what folds sizes that are no power of two.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from genzcli.errors import GenzError, nearest, shortened
from genzcli.explore.validate.kind import Kind, Predicted, Row, Setting, one_by_one

_COLLECTIVES = ("all-reduce", "reduce-scatter", "all-gather", "all-to-all")
_TOPOLOGIES = ("ring", "switch", "fully-connected")
_ALGORITHMS = ("ring", "direct", "halving-doubling", "double-binary-tree")
_SHAPE = re.compile(r"([a-z][a-z -]*?)\s*\(\s*(\d{1,7})\s*\)")
_ACROSS = re.compile(r"(?<=\))\s*[xX×_*,|]\s*")
_NANO = 1e-9
_MEMORY = 1e15  # bytes/s of the simulated chips: of no account, as such simulations want it


class Dimension(NamedTuple):
    """One dimension of the simulated network."""

    topology: str
    size: int
    algorithm: str
    bytes_per_s: float  # of one link, one direction
    latency_s: float  # of one hop

    def hops(self, distance: int) -> int:
        """Hops to a member `distance` away: through a switch, straight, or the short way round a ring."""
        if self.topology == "ring":
            return min(distance, self.size - distance)
        return 2 if self.topology == "switch" else 1


class Step(NamedTuple):
    """Messages that are sent together, `times` in a row: the farthest one and its share of the buffer."""

    times: int
    hops: int
    share: float
    sums: int = 0  # how many of them are added to what is there


def steps(collective: str, dimension: Dimension) -> Iterator[Step]:
    """What one collective on one dimension sends; nothing among less than two members.

    Ring: p - 1 times m/p to the neighbour, twice that for an all-reduce; its all-to-all passes every message
    on from member to member, p (p - 1) / 2 times. Direct: m/p to everybody at once. Halving-doubling: m/2 to
    the neighbour, m/4 two further, and so on. Double binary tree of one piece: all of m up log2 p edges and
    down again, an edge as long as a distance of halving-doubling.
    """
    p = dimension.size
    if p < 2:
        return
    rounds = 2 if collective == "all-reduce" else 1
    adds = collective in ("all-reduce", "reduce-scatter")
    match dimension.algorithm:
        case "ring":
            times = p * (p - 1) // 2 if collective == "all-to-all" else rounds * (p - 1)
            yield Step(times, dimension.hops(1), 1 / p, (p - 1) * adds)
        case "direct":
            yield Step(rounds, dimension.hops(p // 2), 1 / p, int(adds))
        case "halving-doubling" if collective != "all-to-all":
            yield from _doubled(dimension, rounds, adds, halved=True)
        case "double-binary-tree" if collective == "all-reduce":
            yield from _doubled(dimension, rounds, adds=False, halved=False)
        case other:
            raise GenzError(f"{other} has no {collective}")


def _doubled(dimension: Dimension, rounds: int, adds: bool, *, halved: bool) -> Iterator[Step]:
    """Messages to members 1, 2, 4, … away, half as large each time or not.

    Members beyond the largest power of two hand all they have to a neighbour and get it back. What comes of
    the first exchange is added up for free.
    """
    inner = dimension.size.bit_length() - 1
    if dimension.size != 1 << inner:
        yield Step(rounds, dimension.hops(1), 1.0)
    for power in range(inner):
        share = 1 / (2 << power) if halved else 1.0
        yield Step(rounds, dimension.hops(1 << power), share, int(adds and power > 0))


def seconds(collective: str, dimensions: list[Dimension], buffer: float) -> float:
    """A collective of `buffer` bytes, the whole of it, over all dimensions."""
    busy = [dimension for dimension in dimensions if dimension.size > 1]
    total = 0.0
    for dimension in busy[:-1] if collective == "all-reduce" else ():
        total += _phase("reduce-scatter", dimension, buffer) + _phase("all-gather", dimension, buffer)
        buffer = buffer // dimension.size
    for dimension in busy[-1:] if collective == "all-reduce" else busy:
        total += _phase(collective, dimension, buffer)
        if collective != "all-to-all":
            buffer = buffer // dimension.size
    return total


def _phase(collective: str, dimension: Dimension, buffer: float) -> float:
    """One collective on one dimension, in ticks of the simulator's clock."""
    ticks = 1
    for step in steps(collective, dimension):
        size = buffer * step.share // 1
        ticks += step.times * (_ticks(step.hops * dimension.latency_s + size / dimension.bytes_per_s) + 1)
        ticks += step.sums * 3 * _ticks(size / _MEMORY)
    return ticks * _NANO


def _ticks(seconds: float) -> int:
    """Whole nanoseconds; what is one but for rounding counts as one."""
    return int(seconds / _NANO + 1e-6)


# From words.


def dimensions(row: Row) -> list[Dimension]:
    """The network of a row."""
    shapes = [_shape(text) for text in _ACROSS.split(row.text("topology").strip())]
    n = len(shapes)
    algorithms = [_known(word, _ALGORITHMS, "algorithm") for word in _each(row, "algorithm_per_dim", n)]
    bandwidths = [_positive(row, "bandwidth_bytes_per_s_per_dim", n, position) for position in range(n)]
    latencies = [_magnitude(row, "latency_ns_per_dim", n, position) for position in range(n)]
    return [
        Dimension(topology, size, algorithm, bandwidth, latency * _NANO)
        for (topology, size), algorithm, bandwidth, latency in zip(
            shapes, algorithms, bandwidths, latencies, strict=True
        )
    ]


def _shape(text: str) -> tuple[str, int]:
    found = _SHAPE.fullmatch(_spaced(text))
    if not found:
        raise GenzError(f"topology {shortened(text)} is not read", cure="write Ring(4) x Switch(8)")
    size = int(found[2])
    if size < 1:
        raise GenzError(f"topology {shortened(text)} has no members")
    return _known(text.partition("(")[0], _TOPOLOGIES, "topology"), size


def _spaced(word: str) -> str:
    """halvingDoubling and all_reduce as `halving-doubling` and `all-reduce`."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", word.strip())
    return re.sub(r"[\s_-]+", "-", parted).lower()


#: Other names of the same thing; a ring, direct or halving-doubling over one dimension is its `one…` form.
_SAME = {
    "fullyconnected": "fully-connected",
    "fc": "fully-connected",
    "alltoall": "all-to-all",
    "allreduce": "all-reduce",
    "allgather": "all-gather",
    "reducescatter": "reduce-scatter",
    "halvingdoubling": "halving-doubling",
    "doublebinarytree": "double-binary-tree",
    "dbt": "double-binary-tree",
}


def _known(word: str, words: tuple[str, ...], what: str) -> str:
    name = _spaced(word).strip("-")
    name = _SAME.get(name, name)
    if name in words:
        return name
    near = ", ".join(nearest(name, words)) or ", ".join(words)
    raise GenzError(f"unknown {what} {shortened(word.strip())}", cure=f"known are {near}")


def _each(row: Row, column: str, n: int) -> list[str]:
    """One word a dimension; a single word serves all."""
    words = [word.strip() for word in row.text(column).split("|")]
    if len(words) not in (1, n):
        raise GenzError(f"{column} has {len(words)} parts for {n} dimensions")
    return words * n if len(words) == 1 else words


def _magnitude(row: Row, column: str, n: int, position: int) -> float:
    return Row(row.line, {column: _each(row, column, n)[position]}).number(column)


def _positive(row: Row, column: str, n: int, position: int) -> float:
    value = _magnitude(row, column, n, position)
    if not value:
        raise GenzError(f"{column} is 0, must be above 0")
    return value


def _members(row: Row, found: list[Dimension]) -> None:
    """The number of chips, where the file has it, is that of the topology."""
    if row.cells.get("npus"):
        members = math.prod(dimension.size for dimension in found)
        if row.count("npus") != members:
            said = (
                f"npus is {row.count('npus')}, and topology {shortened(row.text('topology'))} has {members}"
            )
            raise GenzError(said)


def _predict(row: Row, setting: Setting) -> Predicted:
    collective = _known(row.text("collective"), _COLLECTIVES, "collective")
    found = dimensions(row)
    _members(row, found)
    time = seconds(collective, found, row.number("buffer_bytes"))
    flags = tuple(
        f"{item.algorithm} on {item.size} members folds what is beyond a power of two"
        for item in found
        if item.algorithm in ("halving-doubling", "double-binary-tree") and item.size & (item.size - 1)
    )
    return Predicted({"time_us": time * 1e6}, flags=flags)


def _group(row: Row) -> tuple[str, ...]:
    """The collective, and over how many levels it goes."""
    shapes = len(_ACROSS.split(row.cells.get("topology", "")))
    return row.cells.get("collective", ""), f"{shapes} level{'s' * (shapes > 1)}"


KIND = Kind(
    name="simulated collectives",
    needs=(
        "collective",
        "topology",
        "algorithm_per_dim",
        "bandwidth_bytes_per_s_per_dim",
        "latency_ns_per_dim",
        "buffer_bytes",
    ),
    targets=("time_us",),
    by=("collective", "network"),
    group=_group,
    predict=one_by_one(_predict),
    calibrated=False,
)
