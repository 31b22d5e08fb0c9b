"""Where weights, cache and activations lie among the memories, and what that costs a byte."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from genzcli.numeric import maximum, minimum
from genzcli.spec.hardware import Chip, Platform
from genzcli.spec.noun import Noun, choice, other, ratio
from genzcli.spec.workload import Plan

if TYPE_CHECKING:
    from genzcli.numeric import Number

#: What lies in memory, in the order in which the fastest is given away unless a plan says otherwise.
KINDS = ("activations", "weights", "kv", "states")

_ORDERS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "weights-first": (("activations",), ("weights",), ("kv", "states")),
    "kv-first": (("activations",), ("kv", "states"), ("weights",)),
    "by-layer": (("activations",), ("weights", "kv", "states")),
}


class Need(NamedTuple):
    """Bytes that one chip of a stage has to hold beside the reserve."""

    weights: Number
    kv: Number  # caches of keys and values
    activations: Number
    states: Number = 0.0  # of recurrent mixers

    @property
    def held(self) -> Number:
        """What requests keep from pass to pass."""
        return self.kv + self.states

    @property
    def total(self) -> Number:
        return self.weights + self.held + self.activations


class Streams(NamedTuple):
    """Seconds a byte of each kind of tensor, from where it is placed."""

    weights: Number
    kv: Number
    activations: Number
    states: Number


class Shelf(NamedTuple):
    """One memory as a plan uses it."""

    name: str
    capacity: Number
    bandwidth: Number
    parallel: bool  # streams together with the next
    open: bool  # takes what has no stated place


class Limit(NamedTuple):
    """What may lie in one memory, or in all open ones together: `shares . need <= room`."""

    weights: Number
    kv: Number
    activations: Number
    states: Number
    room: Number

    def of(self, need: Need) -> Number:
        """Bytes of a need that fall under this limit."""
        held = need.kv * self.kv + need.states * self.states
        return need.weights * self.weights + held + need.activations * self.activations


class Storage(Noun):
    """The memories of one chip under a plan, fastest first."""

    shelves: tuple[Shelf, ...] = other("memories in use")
    reserve: Number = ratio("share of each kept free", default=0.0)
    policy: str = choice("who goes first where nothing is stated", *_ORDERS, default="weights-first")
    stated: Mapping[str, Mapping[str, Number]] = other("kind to memory to share", default={})

    @property
    def capacity(self) -> Number:
        """Bytes of all memories in use."""
        total: Number = 0
        for shelf in self.shelves:
            total = total + shelf.capacity
        return total


def storage(platform: Platform, plan: Plan, reserve: Number) -> Storage:
    """The chip's own storage tiers, what the plan offloads to, and what it places things in by name."""
    stated = dict(plan.place)
    if plan.attention_on:
        stated["kv"] = {plan.attention_on: 1.0}
    named = {name for shares in stated.values() for name in shares}
    shelves = [
        Shelf(name, tier.capacity_bytes, tier.bandwidth_bytes_per_s, tier.parallel, True)
        for name, tier in platform.chip.memory.items()
        if tier.role == "storage"
    ]
    shelves += [
        Shelf(name, tier.capacity_bytes, tier.bandwidth_bytes_per_s, tier.parallel, name in plan.offload)
        for name, tier in platform.memory.items()
        if name in plan.offload or name in named
    ]
    return Storage(shelves=tuple(shelves), reserve=reserve, policy=plan.placement, stated=stated)


def own_capacity(chip: Chip) -> Number:
    """Bytes of the chip's own storage tiers."""
    total: Number = 0
    for tier in chip.memory.values():
        if tier.role == "storage":
            total = total + tier.capacity_bytes
    return total


def limits(storage: Storage) -> Iterator[Limit]:
    """What has to hold for everything to find room: the open memories together, and each stated one."""
    everything: Number = 0
    inside: dict[str, Number] = {kind: 0.0 if kind in storage.stated else 1.0 for kind in KINDS}
    for shelf in storage.shelves:
        if shelf.open:
            everything = everything + shelf.capacity
            for kind, shares in storage.stated.items():
                inside[kind] = inside[kind] + shares.get(shelf.name, 0.0)
    yield Limit(**inside, room=everything - everything * storage.reserve)
    for shelf in storage.shelves:
        shares = {kind: storage.stated.get(kind, {}).get(shelf.name, 0.0) for kind in KINDS}
        if any(share > 0 for share in shares.values()):
            yield Limit(**shares, room=shelf.capacity - shelf.capacity * storage.reserve)


def place(need: Need, storage: Storage) -> tuple[dict[str, Number], Streams]:
    """Bytes in use of each memory, and the seconds a byte of each kind of tensor.

    What is stated lies where it was put. The rest fills the open memories fastest first, activations
    ahead (every layer reuses them), then by the policy; by layer, weights and cache are cut alike. The
    reserve shrinks each memory. What is too much for all is booked on the last.
    """
    if len(storage.shelves) == 1 and not storage.stated:
        return _alone(need, storage)
    used, spreads = _laid(need, storage)
    return used, Streams(
        **{kind: _seconds_a_byte(spread, storage.shelves) for kind, spread in spreads.items()}
    )


def contents(need: Need, storage: Storage) -> dict[str, Need]:
    """What lies in each memory, fastest first, under the same placement; the reserve is not among it."""
    if len(storage.shelves) == 1 and not storage.stated:
        return {storage.shelves[0].name: need}
    _, spreads = _laid(need, storage)
    return {
        shelf.name: Need(**{kind: getattr(need, kind) * spread[index] for kind, spread in spreads.items()})
        for index, shelf in enumerate(storage.shelves)
    }


def _laid(need: Need, storage: Storage) -> tuple[dict[str, Number], dict[str, list[Number]]]:
    """Bytes in use of each memory, and the share of each kind of tensor that lies in each."""
    room = [shelf.capacity * (1 - storage.reserve) for shelf in storage.shelves]
    used = {shelf.name: shelf.capacity * storage.reserve for shelf in storage.shelves}
    spreads: dict[str, list[Number]] = {}
    for kind, shares in storage.stated.items():
        spreads[kind] = [shares.get(shelf.name, 0.0) for shelf in storage.shelves]
        for index, (shelf, share) in enumerate(zip(storage.shelves, spreads[kind], strict=True)):
            here = getattr(need, kind) * share
            room[index] = maximum(room[index] - here, 0)
            used[shelf.name] = used[shelf.name] + here
    _pour(need, storage, room, used, spreads)
    return used, spreads


def _alone(need: Need, storage: Storage) -> tuple[dict[str, Number], Streams]:
    """All in the only memory there is: seconds a byte know nothing of what is in it, so they stay small."""
    shelf = storage.shelves[0]
    each = 1 / shelf.bandwidth
    return {shelf.name: shelf.capacity * storage.reserve + need.total}, Streams(each, each, each, each)


def _pour(
    need: Need,
    storage: Storage,
    room: list[Number],
    used: dict[str, Number],
    laid: dict[str, list[Number]],
) -> None:
    """What has no stated place, laid end to end over the rooms of the open memories."""
    rows = [[kind for kind in row if kind not in storage.stated] for row in _ORDERS[storage.policy]]
    sizes = [sum((getattr(need, kind) for kind in row), 0.0) for row in rows]
    total = sum(sizes, 0.0)
    spreads: list[list[Number]] = [[] for _ in rows]
    last = max(index for index, shelf in enumerate(storage.shelves) if shelf.open)
    below: Number = 0.0  # room of the faster memories
    for index, shelf in enumerate(storage.shelves):
        above = below
        if shelf.open:
            above = below + room[index] if index < last else maximum(total, below)
        start: Number = 0.0  # where this row begins in the one long row of bytes
        for row, size in enumerate(sizes):
            here = maximum(0, minimum(start + size, above) - maximum(start, below))
            used[shelf.name] = used[shelf.name] + here
            spreads[row].append(here / maximum(size, 1e-30))
            start = start + size
        below = above
    for kinds, spread in zip(rows, spreads, strict=True):
        laid.update(dict.fromkeys(kinds, spread))


def _seconds_a_byte(shares: list[Number], shelves: tuple[Shelf, ...]) -> Number:
    """Sum over memories of share / bandwidth; those that stream together take as long as the slowest."""
    total: Number = 0.0
    together: Number = 0.0
    for share, shelf in zip(shares, shelves, strict=True):
        together = maximum(together, share / shelf.bandwidth)
        if not shelf.parallel:
            total, together = total + together, 0.0
    return total + together
