"""Closed forms of collectives, on paper and against simulated ones.

p members, hop a, chip bandwidth b each way, buffer m. GENZ_DATA names a folder with
collectives_simulated.csv: times of an analytical network simulator, rounded to a nanosecond.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_samples import close
from hypothesis import given
from hypothesis import strategies as st

from genzcli.engine.machine.collectives import ALGORITHMS, HOPS, Wire, fastest, physical, point_to_point, send
from genzcli.spec.profile import CollectiveFit, Way

P, A, B, M = 8, 1e-6, 1e11, 1e8  # m / b is a millisecond


def wire(topology: str = "switch", p: float = P, *, reduces: bool = False) -> Wire:
    peer = B / (p - 1) if topology == "fully-connected" else B
    return Wire(topology, p, HOPS[topology] * A, B, peer, reduces)


@pytest.mark.parametrize(
    ("algorithm", "topology", "seconds"),
    [
        ("ring", "ring", 2 * 7 * 1e-6 + 2 * 7 / 8 * 1e-3),
        ("direct", "fully-connected", 2 * 1e-6 + 2 / 8 * 7e-3),  # a peer gets b / 7
        ("direct", "switch", 2 * 2e-6 + 2 * 7 / 8 * 1e-3),
        ("halving-doubling", "switch", 2 * 3 * 2e-6 + 2 * 7 / 8 * 1e-3),
        ("tree", "switch", 2 * 3 * 2e-6 + 2e-3),
        ("in-switch", "switch", 2e-6 + 1e-3),
        ("one-shot", "switch", 2e-6 + 7e-3),
        ("one-shot", "fully-connected", 1e-6 + 7e-3),
    ],
)
def test_all_reduce(algorithm: str, topology: str, seconds: float) -> None:
    assert close(ALGORITHMS["all-reduce"][algorithm](wire(topology), M).total_s, seconds)


@pytest.mark.parametrize("kind", ["reduce-scatter", "all-gather"])
@pytest.mark.parametrize("algorithm", ["ring", "direct", "halving-doubling"])
def test_the_halves_are_half_an_all_reduce(kind: str, algorithm: str) -> None:
    whole = ALGORITHMS["all-reduce"][algorithm](wire(), M).total_s
    assert close(ALGORITHMS[kind][algorithm](wire(), M).total_s, whole / 2)


def test_all_to_all() -> None:
    assert close(ALGORITHMS["all-to-all"]["direct"](wire(), M).total_s, 2e-6 + 7 / 8 * 1e-3)
    # m p / (8 beta) with beta one of the two links that b adds up: beta = b / 2; half way round at most
    assert close(ALGORITHMS["all-to-all"]["ring"](wire("ring"), M).total_s, 4 * 1e-6 + 8 / 8 * 2e-3)


def test_send() -> None:
    assert close(send(wire(), M).total_s, 2e-6 + 1e-3)


def test_auto_takes_the_fastest_and_names_it() -> None:
    for m, name in ((1e3, "one-shot"), (1e8, "direct")):
        cost, index, names = fastest("all-reduce", wire(), m, CollectiveFit())
        assert names[int(index)] == name
        assert cost.total_s == min(ALGORITHMS["all-reduce"][n](wire(), m).total_s for n in names)


def test_a_ring_runs_rings_only_and_only_a_reducing_switch_reduces() -> None:
    assert physical("all-reduce", wire("ring")) == ("ring",)
    assert "in-switch" not in physical("all-reduce", wire())
    assert "in-switch" in physical("all-reduce", wire(reduces=True))
    assert "in-switch" not in physical("all-gather", wire(reduces=True))


class TestWays:
    """What a library makes of the wires: base + latency, bytes / efficiency, the fastest way."""

    def best(self, kind: str, m: float, where: Wire, **ways: Way) -> tuple[float, str]:
        fit = CollectiveFit(ways=ways)
        cost, index, names = fastest(kind, where, m, fit)
        return float(cost.fitted_s(fit)), names[int(index)]

    quick = Way(algorithm="ring", base_s=5e-6, latency=0.5, efficiency=0.25)
    bulk = Way(algorithm="ring", base_s=50e-6, latency=0, efficiency=0.8)

    def test_protocols_by_size(self) -> None:
        # 14 steps of 2 us through a switch, halved; 2 m 7/8 / 100 GB/s over 0.25 or 0.8
        small = self.best("all-reduce", 1e3, wire(), ll=self.quick, simple=self.bulk)
        assert small[1] == "ring ll" and close(small[0], 5e-6 + 14e-6 + 1.75e-8 / 0.25)
        large = self.best("all-reduce", M, wire(), ll=self.quick, simple=self.bulk)
        assert large[1] == "ring simple" and close(large[0], 50e-6 + 1.75e-3 / 0.8)

    def test_a_way_ends_at_its_largest_message(self) -> None:
        custom = Way(algorithm="one-shot", base_s=1e-6, most_bytes=5e5)
        assert self.best("all-reduce", 5e5, wire(), own=custom, nccl=self.bulk)[1] == "one-shot own"
        assert self.best("all-reduce", 5.1e5, wire(), own=custom, nccl=self.bulk)[1] == "ring nccl"

    @pytest.mark.parametrize(("crowding", "slower"), [(0, 1), (0.5, 2), (1, 4), (1.5, 8), (2, 16)])
    def test_crowding_goes_with_a_power_of_the_pairs(self, crowding: float, slower: float) -> None:
        # eight members are four pairs
        way = Way(algorithm="ring", latency=0, crowding=crowding)
        assert close(self.best("all-gather", M, wire(), only=way)[0], slower * 7 / 8 * 1e-3)
        assert close(self.best("all-gather", M, wire(p=2), only=way)[0], 1 / 2 * 1e-3)

    def test_what_the_wires_cannot_run_is_left_out(self) -> None:
        sharp = Way(algorithm="in-switch")
        assert self.best("all-reduce", M, wire(reduces=True), nvls=sharp)[1] == "in-switch nvls"
        assert self.best("all-reduce", M, wire(), nvls=sharp, simple=self.bulk)[1] == "ring simple"
        direct = Way(algorithm="direct")
        assert self.best("all-reduce", M, wire("ring"), only=direct)[1] == "ring"  # as the wires have it

    def test_an_all_to_all_passes_nothing_on_where_chips_are_joined(self) -> None:
        got, name = self.best("all-to-all", M, wire(), simple=self.bulk)
        assert name == "direct simple" and close(got, 50e-6 + 7 / 8 * 1e-3 / 0.8)

    def test_auto_is_every_algorithm_of_the_wires(self) -> None:
        plain = fastest("all-reduce", wire(), M, CollectiveFit())[0].total_s
        assert close(self.best("all-reduce", M, wire(), any=Way())[0], float(plain))

    def test_point_to_point(self) -> None:
        fit = CollectiveFit(ways={"ll": self.quick, "simple": self.bulk})
        assert close(point_to_point(wire(), 1e3, fit).total_s, 5e-6 + 1e-6 + 1e-8 / 0.25)
        assert close(point_to_point(wire(), M, fit).total_s, 50e-6 + 1e-3 / 0.8)

    @pytest.mark.parametrize("crowding", [0, 0.5, 1, 1.5, 2.5])
    def test_an_array_of_members_and_sizes_is_the_numbers(self, crowding: float) -> None:
        import numpy as np

        fit = CollectiveFit(
            ways={
                "ll": self.quick,
                "simple": self.bulk.replace(crowding=crowding),
                "own": Way(algorithm="one-shot", base_s=2e-6, most_bytes=5e5),
            }
        )
        p, m = np.array([[2.0], [3.0], [8.0]]), np.array([[1e2, 5e5, 1e6, 1e9]])
        got = fastest("all-reduce", wire()._replace(members=p), m, fit)[0].total_s
        for i, j in np.ndindex(3, 4):
            alone = wire()._replace(members=float(p[i, 0]))
            assert got[i, j] == fastest("all-reduce", alone, float(m[0, j]), fit)[0].total_s  # type: ignore[index]


def test_all_to_all_on_a_line_goes_through_its_middle() -> None:
    # 8 in a line: 4 chips send half of what they have, m / 2, over one link; the ends are 7 hops apart
    line = wire("mesh")
    assert physical("all-to-all", line) == ("ring",)
    assert close(ALGORITHMS["all-to-all"]["ring"](line, M).total_s, 7e-6 + 4 * M / 2 / B)


kinds = st.sampled_from(["all-reduce", "reduce-scatter", "all-gather", "all-to-all"])
wires = st.builds(
    lambda topology, p, reduces: wire(topology, p, reduces=reduces),
    st.sampled_from(["ring", "mesh", "switch", "fully-connected"]),
    st.integers(2, 64),
    st.booleans(),
)
fits = st.sampled_from(
    [
        CollectiveFit(),
        CollectiveFit(ways={"ll": TestWays.quick, "simple": TestWays.bulk}),
        CollectiveFit(ways={"any": Way(efficiency=0.7, crowding=0.5)}),
    ]
)


@given(kinds, wires, fits, st.floats(1, 1e10), st.floats(1, 10))
def test_more_bandwidth_is_never_slower_and_more_bytes_never_faster(
    kind: str, where: Wire, fit: CollectiveFit, m: float, factor: float
) -> None:
    took = fastest(kind, where, m, fit)[0].total_s
    wider = where._replace(
        bytes_per_s=where.bytes_per_s * factor, peer_bytes_per_s=where.peer_bytes_per_s * factor
    )
    assert fastest(kind, wider, m, fit)[0].total_s <= took * (1 + 1e-12)
    assert fastest(kind, where, m * factor, fit)[0].total_s >= took * (1 - 1e-12)
    assert fastest(kind, where._replace(hop_s=where.hop_s * factor), m, fit)[0].total_s >= took * (1 - 1e-12)


@given(kinds, wires, st.floats(1, 1e10))
def test_auto_is_no_slower_than_any_algorithm_of_the_wires(kind: str, where: Wire, m: float) -> None:
    best = fastest(kind, where, m, CollectiveFit())[0].total_s
    for name in physical(kind, where):
        assert best <= ALGORITHMS[kind][name](where, m).total_s


# Replay of simulated times, at wires that are not crowded: rings, trees and pairs of partners.

TOPOLOGIES = {"Ring": "ring", "Switch": "switch", "FullyConnected": "fully-connected"}
RENAMED = {"halvingDoubling": "halving-doubling"}
DATA = Path(os.environ.get("GENZ_DATA", "")) / "collectives_simulated.csv"


def simulated(collective: str) -> Iterator[dict[str, str]]:
    with DATA.open(encoding="utf-8") as file:
        yield from (row for row in csv.DictReader(file) if row["collective"] == collective)


def dimensions(row: dict[str, str]) -> list[tuple[Wire, str]]:
    """One wire a dimension with the algorithm that the row names; bandwidth is that of one link."""
    result = []
    parts = zip(
        row["topology"].split(" x "),
        row["bandwidth_bytes_per_s_per_dim"].split("|"),
        row["latency_ns_per_dim"].split("|"),
        row["algorithm_per_dim"].split("|"),
        strict=True,
    )
    for shape, bandwidth, latency, algorithm in parts:
        name, _, size = shape.strip().rstrip(")").partition("(")
        topology, b = TOPOLOGIES[name], float(bandwidth)
        hop = HOPS[topology] * float(latency) * 1e-9
        result.append((Wire(topology, int(size), hop, b, b, False), RENAMED.get(algorithm, algorithm)))
    return result


def seconds(kind: str, row: dict[str, str]) -> float:
    """Reduce-scatter outwards with a shrinking buffer, all-reduce on the last dimension, all-gather back."""
    wires, buffer, total = dimensions(row), float(row["buffer_bytes"]), 0.0
    for position, (one, algorithm) in enumerate(wires):
        if kind == "all-reduce" and position < len(wires) - 1:
            total += 2 * float(ALGORITHMS["reduce-scatter"][algorithm](one, buffer).total_s)
        else:
            total += float(ALGORITHMS[kind][algorithm](one, buffer).total_s)
        buffer /= int(one.members)
    return total


@pytest.mark.skipif(
    not DATA.is_file(), reason="GENZ_DATA does not name a folder with collectives_simulated.csv"
)
@pytest.mark.parametrize("collective", ["all_reduce", "all_gather", "reduce_scatter"])
def test_replays_the_simulated_times(collective: str) -> None:
    errors = []
    for row in simulated(collective):
        expected = float(row["time_us"]) * 1e-6
        off = max(0.0, abs(seconds(collective.replace("_", "-"), row) - expected) - 0.5e-9)  # printed to 1 ns
        errors.append(off / expected)
    assert len(errors) > 50
    assert sum(errors) / len(errors) <= 0.005
    assert max(errors) <= 0.01
