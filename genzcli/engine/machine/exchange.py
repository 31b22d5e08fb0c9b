"""Tokens on their way to experts on several levels of a network, and back.

An all-to-all sends each chip its own part. Tokens differ: one whose experts lie on several chips of a node
may cross to that node once and be passed on inside (DeepEP's normal kernels), or go straight to each chip or
each expert, which needs no counts ahead (its low-latency ones). A profile says which kernels a library has
and what they cost; the fastest is taken.

Source: DeepEP (deepseek-ai/DeepEP), whose bandwidths count the copies a node gets, its own included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from genzcli.engine.counts.ops import Copies
from genzcli.engine.machine.collectives import ALGORITHMS, Cost, Wire, physical
from genzcli.engine.machine.network import (
    Group,
    Route,
    beyond,
    chips_within,
    collective,
    fit_of,
    spans,
    wire_of,
)
from genzcli.numeric import both, is_array, maximum
from genzcli.spec.hardware import Platform
from genzcli.spec.profile import Exchange, Profile

if TYPE_CHECKING:
    from genzcli.numeric import Number

KIND = "all-to-all"


def exchange(copies: Copies, payload: Number, group: Group, platform: Platform, profile: Profile) -> Route:
    """Seconds in which a group's tokens reach their experts.

    A plain all-to-all of `payload` bytes where the profile has no exchanges for the group's outermost level.
    """
    shares = spans(group, platform.levels)
    route: Route | None = None
    for position, level in enumerate(platform.levels):
        known = fit_of(profile, level.name, KIND).exchanges
        outermost = both(shares[position][0] > 1, beyond(shares[position + 1 :]) <= 1)
        if not known or (not is_array(outermost) and not outermost):
            continue
        best = _fastest(known, copies, group, platform, profile)
        if not is_array(outermost):
            return best.when(payload > 0)
        if route is None:
            route = collective(KIND, payload, group, platform, profile)
        route = best.when(both(outermost, payload > 0), route)
    return collective(KIND, payload, group, platform, profile) if route is None else route


def _fastest(
    known: Mapping[str, Exchange], copies: Copies, group: Group, platform: Platform, profile: Profile
) -> Route:
    """The exchange that takes the least time, element by element."""
    options = [
        _run(name, kernel, _through(kernel, copies, group, platform, profile))
        for name, kernel in known.items()
    ]
    best = options[0]
    for option in options[1:]:
        best = option.when(option.time_s < best.time_s, best)
    return best


def _run(name: str, kernel: Exchange, cost: Cost) -> Route:
    return Route(kernel.base_s + cost.total_s, cost.transfer_s, f"{name}: a copy per {kernel.copies}")


def _through(kernel: Exchange, copies: Copies, group: Group, platform: Platform, profile: Profile) -> Cost:
    """Hops of all levels after one another; bytes on all levels at once."""
    latency: Number = 0.0
    transfer: Number = 0.0
    levels = platform.levels
    shares, chips = spans(group, levels), chips_within(levels)
    for position, level in enumerate(levels):
        members, stride = shares[position]
        outside = beyond(shares[position + 1 :])
        wire = wire_of(level, members, stride, fit_of(profile, level.name, KIND), chips[position])
        cost = _on(wire, _bytes(kernel, copies, group.size, members, outside)).when(members > 1)
        latency = latency + cost.latency_s
        transfer = maximum(transfer, cost.transfer_s / kernel.efficiency)
    return Cost(latency, transfer)


def _bytes(kernel: Exchange, copies: Copies, chips: Number, members: Number, outside: Number) -> Number:
    """The buffer of a level's all-to-all, of which (members - 1) / members cross it.

    Passed on, all that reaches members of the level or beyond is shared out by it. Sent straight, only what
    stays within one member of the levels further out is its own.
    """
    match kernel.copies:
        case "member":
            return copies.members(members * outside)
        case "chip":
            return copies.members(chips) / outside
        case _:
            return copies.experts / outside


def _on(wire: Wire, m: Number) -> Cost:
    """The all-to-all that the wires of a level run."""
    return ALGORITHMS[KIND][physical(KIND, wire)[0]](wire, m)
