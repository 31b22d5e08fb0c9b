"""Collectives on one level of a network: closed forms of latency and transfer time.

Symbols: m bytes of the whole buffer, p members, a latency of one hop, b bytes/s one chip sends in one
direction (on a fully-connected level: to one peer). Each algorithm returns the two parts apart,
(latency, transfer), because a calibration treats them differently.

Sources: Thakur, Rabenseifner, Gropp, "Optimization of Collective Communication Operations in MPICH"
(2005) for ring, halving-doubling and their costs; Sanders, Speck, Traeff, "Two-tree algorithms"
(2009) for the double tree; the simulated closed forms agree with ASTRA-sim's analytical network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from genzcli.numeric import ceil, corner, log2, maximum, where
from genzcli.spec.profile import CollectiveFit

if TYPE_CHECKING:
    from genzcli.numeric import Flag, Number

#: Hops between two members: a switch is entered and left.
HOPS = {"ring": 1, "fully-connected": 1, "switch": 2}


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
    m p / (4 b) with b both directions' links together (m p / (8 b) for one link each way)."""
    p = wire.members
    return Cost(maximum(p / 2, 1) * wire.hop_s, m * p / (4 * wire.bytes_per_s))


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
    if wire.topology == "ring":
        return _RING
    names = [name for name in _JOINED if name in ALGORITHMS[collective] and name != "ring"]
    if collective == "all-reduce" and wire.reduces:
        names.append("in-switch")
    return tuple(name for name in names if collective != "all-to-all" or name == "direct")


def fastest(
    collective: str, wire: Wire, m: Number, fit: CollectiveFit
) -> tuple[Cost, Number, tuple[str, ...]]:
    """The cost of the fastest physical algorithm, its index, and the names that the index points into.

    Fastest by the time that the calibration makes of its two parts.
    """
    names = physical(collective, wire)
    table = ALGORITHMS[collective]
    best = table[names[0]](wire, m)
    index: Number = 0
    for position, name in enumerate(names[1:], start=1):
        cost = table[name](wire, m)
        better = cost.fitted_s(fit) < best.fitted_s(fit)
        best = Cost(
            where(better, cost.latency_s, best.latency_s), where(better, cost.transfer_s, best.transfer_s)
        )
        index = where(better, position, index)
    return best, index, names
