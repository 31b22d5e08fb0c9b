"""Simulated collectives: closed forms against a simulation that sends every message along its links.

The simulation here knows no closed form: it builds the graph of each topology, lets every rank send what the
algorithm says to whom it says, finds hops by breadth-first search, checks that everybody ends with what the
collective promises, and adds up the slowest message of each step.
"""

from __future__ import annotations

import csv
import os
from collections import deque
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genzcli.explore.validate.kind import Row
from genzcli.explore.validate.simulated import KIND, Dimension, dimensions, seconds

DATA = Path(os.environ.get("GENZ_DATA", "")) / "collectives_simulated.csv"

#: One message: from, to, and which parts of the buffer (fractions of it) travel.
Message = tuple[int, int, frozenset[int]]


def links(topology: str, p: int) -> dict[object, list[object]]:
    """Neighbours in the graph; a switch is a node of its own."""
    if topology == "switch":
        return {**{rank: ["switch"] for rank in range(p)}, "switch": list(range(p))}
    if topology == "ring":
        return {rank: [(rank + 1) % p, (rank - 1) % p] for rank in range(p)}
    return {rank: [other for other in range(p) if other != rank] for rank in range(p)}


@cache
def distance(topology: str, p: int, start: int, end: int) -> int:
    graph, seen, queue = links(topology, p), {start}, deque([(start, 0)])
    while queue:
        node, far = queue.popleft()
        if node == end:
            return far
        for other in graph[node]:
            if other not in seen:
                seen.add(other)  # type: ignore[arg-type]
                queue.append((other, far + 1))  # type: ignore[arg-type]
    raise AssertionError("not connected")


def everyone(p: int) -> frozenset[int]:
    return frozenset(range(p))


def scatter_steps(algorithm: str, p: int) -> list[list[Message]]:
    """Reduce-scatter: part i ends, summed over all ranks, at the rank that owns it."""
    ranks = range(p)
    if algorithm == "ring":
        return [[(r, (r + 1) % p, frozenset({(r - step) % p})) for r in ranks] for step in range(p - 1)]
    if algorithm == "direct":
        return [[(r, other, frozenset({other})) for r in ranks for other in ranks if r != other]]
    bits = p.bit_length() - 1
    found = []
    for bit in range(bits):
        step = []
        for r in ranks:
            partner = r ^ (1 << bit)
            # what differs from me in this bit and agrees with me in the earlier ones goes to my partner
            low = (1 << (bit + 1)) - 1
            step.append((r, partner, frozenset(i for i in ranks if i & low == partner & low)))
        found.append(step)
    return found


def reduced(p: int, steps: list[list[Message]]) -> dict[tuple[int, int], frozenset[int]]:
    """Which ranks' contributions each (rank, part) holds after the steps; none is added twice."""
    held = {(r, part): frozenset({r}) for r in range(p) for part in range(p)}
    for step in steps:
        arriving = [(to, part, held[frm, part]) for frm, to, parts in step for part in parts]
        for to, part, contributions in arriving:
            assert not held[to, part] & contributions, "added twice"
            held[to, part] |= contributions
    return held


def gathered(p: int, steps: list[list[Message]], owner: dict[int, int]) -> None:
    """Everybody has every part after the steps, and nobody sends what it has not."""
    held = {r: {part for part in range(p) if owner[part] == r} for r in range(p)}
    for step in steps:
        for frm, _, parts in step:
            assert parts <= held[frm]
        arriving = [(to, parts) for _, to, parts in step]
        for to, parts in arriving:
            held[to] |= parts
    assert all(parts == set(range(p)) for parts in held.values())


def checked_steps(collective: str, algorithm: str, p: int) -> list[list[Message]]:
    """The messages of a collective, after a look at what they bring about."""
    scatter = scatter_steps(algorithm, p)
    held = reduced(p, scatter)
    owner = {part: rank for (rank, part), of in held.items() if of == everyone(p)}
    assert sorted(owner) == list(range(p))
    # backwards, with senders and receivers exchanged, a reduce-scatter is an all-gather
    gather = [[(to, frm, parts) for frm, to, parts in step] for step in reversed(scatter)]
    gathered(p, gather, owner)
    return {"reduce-scatter": scatter, "all-gather": gather, "all-reduce": scatter + gather}[collective]


def ring_exchange(p: int) -> list[list[Message]]:
    """All-to-all round a ring, a message at a time: what is for the one d further on is passed on d times."""
    return [[(r, (r + 1) % p, frozenset({0})) for r in range(p)] for d in range(1, p) for _hop in range(d)]


def sent(collective: str, algorithm: str, p: int) -> list[list[Message]]:
    if collective == "all-to-all":
        return ring_exchange(p) if algorithm == "ring" else scatter_steps("direct", p)
    return checked_steps(collective, algorithm, p)


def simulate(collective: str, dimension: Dimension, buffer: float) -> tuple[float, int]:
    """Seconds of one collective on one dimension, and how many steps it has."""
    p = dimension.size
    steps = sent(collective, dimension.algorithm, p)
    total = 0.0
    for step in steps:
        total += max(
            distance(dimension.topology, p, frm, to) * dimension.latency_s
            + len(parts) * buffer / p / dimension.bytes_per_s
            for frm, to, parts in step
        )
    return total, len(steps)


def simulate_all(collective: str, dims: list[Dimension], buffer: float) -> tuple[float, int]:
    """Over several dimensions: out and back for an all-reduce, in turn for the others."""
    total, steps = 0.0, 0
    plan: list[tuple[str, Dimension, float]] = []
    left = buffer
    for dimension in dims:
        if collective == "all-reduce" and dimension is not dims[-1]:
            plan += [("reduce-scatter", dimension, left), ("all-gather", dimension, left)]
        else:
            plan.append((collective, dimension, left))
        left = left if collective == "all-to-all" else left / dimension.size
    for name, dimension, size in plan:
        time, count = simulate(name, dimension, size)
        total, steps = total + time, steps + count + 1
    return total, steps


TOPOLOGIES = ("ring", "switch", "fully-connected")
sizes = st.one_of(
    st.tuples(st.sampled_from(["ring", "direct"]), st.integers(2, 13)),
    st.tuples(st.just("halving-doubling"), st.sampled_from([2, 4, 8, 16])),
)


@st.composite
def networks(draw: st.DrawFn) -> list[Dimension]:
    found = []
    for _ in range(draw(st.integers(1, 3))):
        algorithm, size = draw(sizes)
        bandwidth = draw(st.sampled_from([1e9, 53687091200.0, 483183820800.0]))
        latency = draw(st.sampled_from([0.0, 300e-9, 936.25e-9, 10e-6]))
        found.append(Dimension(draw(st.sampled_from(TOPOLOGIES)), size, algorithm, bandwidth, latency))
    return found


@given(
    networks(),
    st.sampled_from(["all-reduce", "reduce-scatter", "all-gather", "all-to-all"]),
    st.sampled_from([1024.0, 1e6, 2.0**28]),
)
def test_closed_forms_are_what_sending_every_message_takes(
    dims: list[Dimension], collective: str, buffer: float
) -> None:
    if collective == "all-to-all":
        dims = [
            item._replace(algorithm="direct") if item.algorithm == "halving-doubling" else item
            for item in dims
        ]
    expected, steps = simulate_all(collective, dims, buffer)
    got = seconds(collective, dims, buffer)
    # the simulated clock cuts a message to whole nanoseconds and bytes, and counts one more for each;
    # adding up three times m / (1 PB/s)
    slack = steps * (2e-9 + 1 / min(item.bytes_per_s for item in dims)) + 6 * len(dims) * buffer / 1e15
    assert abs(got - expected) <= slack


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("p", [2, 4, 8, 16])
def test_a_double_binary_tree_goes_up_and_down(topology: str, p: int) -> None:
    """The tree in rank order with the last rank as root; every edge carries the whole buffer twice."""
    m, b, a = 1e6, 1e9, 1e-6

    def subtree(low: int, high: int) -> tuple[int, float]:
        """Root of ranks low … high - 1, and when it has the sum of them."""
        if high - low == 1:
            return low, 0.0
        middle = (low + high - 1) // 2
        ready = 0.0
        for part in (subtree(low, middle), subtree(middle + 1, high)):
            ready = max(ready, part[1] + distance(topology, p, part[0], middle) * a + m / b)
        return middle, ready

    root, summed = subtree(0, p - 1)
    up = summed + distance(topology, p, root, p - 1) * a + m / b
    got = seconds("all-reduce", [Dimension(topology, p, "double-binary-tree", b, a)], m)
    assert abs(got - 2 * up) <= 4 * 2e-9 * p.bit_length()


def row(**changes: str) -> Row:
    cells = {
        "collective": "all_reduce",
        "topology": "Ring(4) x Switch(8)",
        "algorithm_per_dim": "ring|halvingDoubling",
        "bandwidth_bytes_per_s_per_dim": "1e9|2e9",
        "latency_ns_per_dim": "500|700",
        "buffer_bytes": "1048576",
    }
    return Row(2, {**cells, **changes})


@pytest.mark.parametrize(
    "text",
    ["Ring(4) x Switch(8)", "ring(4)xswitch(8)", "Ring(4)×Switch(8)", "Ring (4)_Switch (8)"],
)
def test_topologies_are_read_however_they_are_spaced(text: str) -> None:
    assert [(item.topology, item.size) for item in dimensions(row(topology=text))] == [
        ("ring", 4),
        ("switch", 8),
    ]


def test_all_of_the_words() -> None:
    text = "FullyConnected(3) x Fully-Connected(5) x fc(7) x Ring(11)"
    words = {"algorithm_per_dim": "direct", "bandwidth_bytes_per_s_per_dim": "1e9", "latency_ns_per_dim": "1"}
    found = dimensions(row(topology=text, **words))
    assert [item.size for item in found] == [3, 5, 7, 11]
    assert {item.topology for item in found[:3]} == {"fully-connected"}
    assert {item.algorithm for item in found} == {"direct"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"topology": "Hypercube(8)"}, "unknown topology"),
        ({"topology": "Ring4"}, "is not read"),
        ({"topology": "Ring(0)"}, "no members"),
        ({"topology": ""}, "topology is empty"),
        ({"algorithm_per_dim": "ring|ring|ring"}, "3 parts for 2 dimensions"),
        ({"algorithm_per_dim": "quantum"}, "unknown algorithm"),
        ({"collective": "all_to_none"}, "unknown collective"),
        ({"collective": "all_to_all"}, "halving-doubling has no all-to-all"),
        ({"bandwidth_bytes_per_s_per_dim": "0"}, "is 0"),
        ({"latency_ns_per_dim": "fast"}, "not a number"),
        ({"buffer_bytes": "-1"}, "must not be negative"),
        ({"latency_ns_per_dim": "1e308"}, "not a plausible number"),
        ({"bandwidth_bytes_per_s_per_dim": "5e-324"}, "not a plausible number"),
        ({"npus": "7"}, "npus is 7, and topology"),
    ],
)
def test_what_cannot_be_read_has_a_reason(changes: dict[str, str], why: str) -> None:
    (found,) = KIND.predict([row(**changes)], None)  # type: ignore[arg-type]
    assert found.values == {} and found.reason is not None and why in found.reason


def test_a_size_beyond_a_power_of_two_is_folded_and_flagged() -> None:
    # Switch(6), 2 hops of 700 ns: m to a neighbour and back, then 4 of them by halves: 2 (m + 3/4 m) / b
    (found,) = KIND.predict([row(topology="Switch(6)", algorithm_per_dim="halvingDoubling",
        bandwidth_bytes_per_s_per_dim="1e9", latency_ns_per_dim="700", buffer_bytes="4000000")], None)  # type: ignore[arg-type]  # fmt: skip
    assert found.flags and "6 members" in found.flags[0]
    assert found.values["time_us"] == pytest.approx(2 * 3 * 1.4 + 2 * 7000, rel=1e-3)


def simulated() -> Iterator[Row]:
    with DATA.open(encoding="utf-8") as file:
        yield from (Row(line, cells) for line, cells in enumerate(csv.DictReader(file), start=2))


@pytest.mark.skipif(not DATA.is_file(), reason="GENZ_DATA has no collectives_simulated.csv")
def test_every_simulated_time_to_the_nanosecond() -> None:
    rows = list(simulated())
    assert len(rows) > 300
    for item, found in zip(rows, KIND.predict(rows, None), strict=True):  # type: ignore[arg-type]
        assert abs(found.values["time_us"] - float(item.cells["time_us"])) < 1e-3, item.cells
