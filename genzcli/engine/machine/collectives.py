"""Collectives on one level of a network: closed forms of latency and transfer time.

Symbols: m bytes of the whole buffer, p members, a latency of one hop, b bytes/s one chip sends in one
direction (on a fully-connected level: to one peer). Each algorithm returns the two parts apart,
(latency, transfer), because a calibration treats them differently.

Sources: Thakur, Rabenseifner, Gropp, "Optimization of Collective Communication Operations in MPICH"
(2005) for ring, halving-doubling and their costs; Sanders, Speck, Traeff, "Two-tree algorithms"
(2009) for the double tree; the simulated closed forms agree with ASTRA-sim's analytical network.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, cast

from genzcli.numeric import ceil, corner, log2, maximum, minimum, sqrt, where
from genzcli.spec.profile import CollectiveFit, Way

if TYPE_CHECKING:
    from genzcli.numeric import Flag, Number

#: Hops between two members: a switch is entered and left.
HOPS = {"ring": 1, "mesh": 1, "fully-connected": 1, "switch": 2}

#: Topologies in which a chip has neighbours only, so that rings are all they run.
LINES = ("ring", "mesh")


class Cost(NamedTuple):
    """Seconds of a collective in its two parts."""

    latency_s: Number
    transfer_s: Number

    @property
    def total_s(self) -> Number:
        return self.latency_s + self.transfer_s

    def fitted_s(self, fit: CollectiveFit) -> Number:
        """`corner(latency + base, transfer)`, what a stack makes of the two parts."""
        return corner(self.latency_s + fit.base_s, self.transfer_s, fit.corner)

    def __add__(self, other: object) -> Cost:
        if not isinstance(other, Cost):
            return NotImplemented
        return Cost(self.latency_s + other.latency_s, self.transfer_s + other.transfer_s)

    def when(self, condition: Flag) -> Cost:
        """The cost where the condition holds, nothing elsewhere."""
        return Cost(where(condition, self.latency_s, 0.0), where(condition, self.transfer_s, 0.0))


class Wire(NamedTuple):
    """One level as `members` of it use it."""

    topology: str
    members: Number
    hop_s: Number  # from one member to the next, through a switch where there is one
    bytes_per_s: Number  # what one chip sends in one direction, over all its links of this level
    peer_bytes_per_s: Number  # what reaches one other member at once
    reduces: bool  # the switch adds up

    @property
    def pair_bytes_per_s(self) -> Number:
        """What a chip sends when it talks to one partner at a time: on a mesh that is one pair's links."""
        return self.peer_bytes_per_s if self.topology == "fully-connected" else self.bytes_per_s


NOTHING = Cost(0.0, 0.0)


# All-reduce of a buffer of m bytes that every member holds.


def ring_all_reduce(wire: Wire, m: Number) -> Cost:
    """2 (p - 1) a + 2 m (p - 1) / (p b): reduce-scatter then all-gather round a ring."""
    p = wire.members
    return Cost(2 * (p - 1) * wire.hop_s, 2 * m * (p - 1) / (p * wire.pair_bytes_per_s))


def direct_all_reduce(wire: Wire, m: Number) -> Cost:
    """Two steps, each member to every other at once: 2 a + 2 m / (p b_peer) fully connected,
    2 a + 2 m (p - 1) / (p b) through a switch."""
    return Cost(2 * wire.hop_s, 2 * _scatter(wire, m))


def halving_doubling_all_reduce(wire: Wire, m: Number) -> Cost:
    """2 ceil(log2 p) a + 2 m (p - 1) / (p b)."""
    p = wire.members
    return Cost(2 * ceil(log2(maximum(p, 1))) * wire.hop_s, 2 * m * (p - 1) / (p * wire.pair_bytes_per_s))


def tree_all_reduce(wire: Wire, m: Number) -> Cost:
    """Pipelined double binary tree: 2 ceil(log2 p) a + 2 m / b."""
    return Cost(2 * ceil(log2(maximum(wire.members, 1))) * wire.hop_s, 2 * m / wire.pair_bytes_per_s)


def switch_all_reduce(wire: Wire, m: Number) -> Cost:
    """The switch adds up and multicasts: a + m / b."""
    return Cost(wire.hop_s, m / wire.bytes_per_s)


def one_shot_all_reduce(wire: Wire, m: Number) -> Cost:
    """Everybody sends everything to everybody and adds up alone: a + (p - 1) m / b, for small messages."""
    return Cost(wire.hop_s, _broadcast(wire, m))


# Reduce-scatter, and all-gather, which is the same run backwards: half an all-reduce.


def ring_reduce_scatter(wire: Wire, m: Number) -> Cost:
    """(p - 1) a + m (p - 1) / (p b)."""
    p = wire.members
    return Cost((p - 1) * wire.hop_s, m * (p - 1) / (p * wire.pair_bytes_per_s))


def direct_reduce_scatter(wire: Wire, m: Number) -> Cost:
    """One step: a + m / (p b_peer) fully connected, a + m (p - 1) / (p b) through a switch."""
    return Cost(wire.hop_s, _scatter(wire, m))


def halving_reduce_scatter(wire: Wire, m: Number) -> Cost:
    """ceil(log2 p) a + m (p - 1) / (p b)."""
    p = wire.members
    return Cost(ceil(log2(maximum(p, 1))) * wire.hop_s, m * (p - 1) / (p * wire.pair_bytes_per_s))


# All-to-all: each member has m bytes, 1/p of them for every member (itself included).


def direct_all_to_all(wire: Wire, m: Number) -> Cost:
    """a + m (p - 1) / (p b) through a switch, a + m / (p b_peer) fully connected."""
    return Cost(wire.hop_s, _scatter(wire, m))


def ring_all_to_all(wire: Wire, m: Number) -> Cost:
    """Shortest way round a ring with both directions in use: p/2 hops at most, p/4 on average, so
    m p / (4 b) with b both directions' links together (m p / (8 b) for one link each way).

    On a mesh, a line, the farthest is p - 1 hops away, and half of the chips send half of what they have
    over the link in the middle: m p / (4 b) with b one link's."""
    p = wire.members
    far = p - 1 if wire.topology == "mesh" else p / 2
    return Cost(maximum(far, 1) * wire.hop_s, m * p / (4 * wire.bytes_per_s))


def send(wire: Wire, m: Number) -> Cost:
    """Point to point: a + m / b to one peer."""
    return Cost(wire.hop_s, m / wire.peer_bytes_per_s)


def _scatter(wire: Wire, m: Number) -> Number:
    """Seconds to send a different m/p to each of the others at once."""
    p = wire.members
    if wire.topology == "fully-connected":
        return m / (p * wire.peer_bytes_per_s)
    return m * (p - 1) / (p * wire.bytes_per_s)


def _broadcast(wire: Wire, m: Number) -> Number:
    """Seconds to send the same m to each of the others at once."""
    if wire.topology == "fully-connected":
        return m / wire.peer_bytes_per_s
    return (wire.members - 1) * m / wire.bytes_per_s


_RING = ("ring",)
_JOINED = ("direct", "ring", "halving-doubling", "tree", "one-shot")

#: By collective and algorithm. Reduce-scatter serves all-gather too.
ALGORITHMS = {
    "all-reduce": {
        "ring": ring_all_reduce,
        "direct": direct_all_reduce,
        "halving-doubling": halving_doubling_all_reduce,
        "tree": tree_all_reduce,
        "in-switch": switch_all_reduce,
        "one-shot": one_shot_all_reduce,
    },
    "reduce-scatter": {
        "ring": ring_reduce_scatter,
        "direct": direct_reduce_scatter,
        "halving-doubling": halving_reduce_scatter,
    },
    "all-to-all": {"ring": ring_all_to_all, "direct": direct_all_to_all},
}
ALGORITHMS["all-gather"] = ALGORITHMS["reduce-scatter"]


def physical(collective: str, wire: Wire) -> tuple[str, ...]:
    """The algorithms that the wires of a level can run, for `auto` to choose from."""
    if wire.topology in LINES:
        return _RING
    names = [name for name in _JOINED if name in ALGORITHMS[collective] and name != "ring"]
    if collective == "all-reduce" and wire.reduces:
        names.append("in-switch")
    return tuple(name for name in names if collective != "all-to-all" or name == "direct")


def fastest(
    collective: str, wire: Wire, m: Number, fit: CollectiveFit
) -> tuple[Cost, Number, tuple[str, ...]]:
    """The cost of the fastest algorithm, its index, and the names that the index points into.

    Fastest by the time that the calibration makes of its two parts; among the ways of the library where the
    calibration knows them, else among the physical algorithms.
    """
    return _least(_ways(collective, wire, m, fit) or _plain(collective, wire, m), fit)


def _least(options: list[tuple[str, Cost]], fit: CollectiveFit) -> tuple[Cost, Number, tuple[str, ...]]:
    """The option that takes the least time, element by element, its index, and the names of all."""
    best, index = options[0][1], cast("Number", 0)
    least = best.fitted_s(fit) if options[1:] else 0.0
    for position, (_, cost) in enumerate(options[1:], start=1):
        seconds = cost.fitted_s(fit)
        better = seconds < least
        best = Cost(
            where(better, cost.latency_s, best.latency_s), where(better, cost.transfer_s, best.transfer_s)
        )
        least, index = minimum(seconds, least), where(better, position, index)
    return best, index, tuple(name for name, _ in options)


def _plain(collective: str, wire: Wire, m: Number) -> list[tuple[str, Cost]]:
    """The physical algorithms."""
    return [(name, ALGORITHMS[collective][name](wire, m)) for name in physical(collective, wire)]


def _ways(collective: str, wire: Wire, m: Number, fit: CollectiveFit) -> list[tuple[str, Cost]]:
    """What a library has for this collective on these wires."""
    found = [
        (f"{algorithm} {name}", along(way, wire, m, ALGORITHMS[collective][algorithm]), way)
        for name, way in fit.ways.items()
        for algorithm in _runnable(way.algorithm, collective, wire)
    ]
    return _allowed(found, m)


def _allowed(found: list[tuple[str, Cost, Way]], m: Number) -> list[tuple[str, Cost]]:
    """The ways that take a buffer of m bytes, the ones without a limit first; none if all have one."""
    always = [(name, cost) for name, cost, way in found if way.most_bytes is None]
    limited = [
        (name, Cost(where(m <= way.most_bytes, cost.latency_s, math.inf), cost.transfer_s))
        for name, cost, way in found
        if way.most_bytes is not None
    ]
    return [*always, *limited] if always else []


def _runnable(algorithm: str, collective: str, wire: Wire) -> tuple[str, ...]:
    """The algorithms a way stands for on these wires: rings run rings, and only some switches add up.

    An all-to-all passes nothing on where chips are joined, whatever else the way runs.
    """
    names = physical(collective, wire)
    if algorithm == "auto" or collective == "all-to-all":
        return names
    joined = wire.topology not in LINES and algorithm != "in-switch" and algorithm in ALGORITHMS[collective]
    return (algorithm,) if joined or algorithm in names else ()


def along(way: Way, wire: Wire, m: Number, algorithm: Callable[[Wire, Number], Cost]) -> Cost:
    """The cost of an algorithm run in one way: its launch, its share of latency and bandwidth."""
    share = way.efficiency / _crowd(maximum(wire.members / 2, 1), way.crowding)
    slower = wire._replace(
        hop_s=wire.hop_s * way.latency,
        bytes_per_s=wire.bytes_per_s * share,
        peer_bytes_per_s=wire.peer_bytes_per_s * share,
    )
    cost = algorithm(slower, m)
    return Cost(cost.latency_s + way.base_s, cost.transfer_s)


def _crowd(pairs: Number, exponent: float) -> Number:
    """`pairs ** exponent` for halves, by products and a root: a float and an array's element agree."""
    power: Number = sqrt(pairs) if exponent % 1 else 1.0
    for _ in range(int(exponent)):
        power = power * pairs
    return power


def point_to_point(wire: Wire, m: Number, fit: CollectiveFit) -> Cost:
    """From one chip to another, in the fastest way that the calibration knows for that many bytes."""
    options = _allowed([(name, along(way, wire, m, send), way) for name, way in fit.ways.items()], m)
    return _least(options or [("", send(wire, m))], fit)[0]
