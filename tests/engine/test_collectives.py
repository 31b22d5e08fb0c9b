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

from genzcli.engine.collectives import ALGORITHMS, HOPS, Wire, fastest, physical, send
from genzcli.spec.profile import CollectiveFit

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


# Replay of simulated times.

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
