"""Groups of chips on a multi-level network: which levels a group spans and what a collective costs there."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from genzcli.engine.machine.collectives import HOPS, LINES, NOTHING, Cost, Wire, fastest, point_to_point
from genzcli.numeric import both, ceil, each, floor, is_array, maximum, minimum, where
from genzcli.spec.hardware import Level, Platform
from genzcli.spec.noun import Noun, count
from genzcli.spec.profile import CollectiveFit, Profile

if TYPE_CHECKING:
    from genzcli.numeric import Flag, Number

_NEUTRAL = CollectiveFit()


class Group(Noun):
    """Chips that talk: `size` of them, `stride` apart in the order TP, expert, PP, DP."""

    size: Number = count("members")
    stride: Number = count("chips from one member to the next", default=1)


class Route(NamedTuple):
    """A collective's time, and how it went, for the operator table."""

    time_s: Number
    transfer_s: Number  # the part in which links are busy
    detail: str  # algorithm per level, when there is one scenario

    def when(self, condition: Flag, other: Route | None = None) -> Route:
        """This one where the condition holds, elsewhere the other, or nothing."""
        time, transfer, detail = other or (0.0, 0.0, self.detail)
        if is_array(condition):
            detail = ""
        return Route(
            where(condition, self.time_s, time),
            where(condition, self.transfer_s, transfer),
            self.detail if not is_array(condition) and condition else detail,
        )


def extended(platform: Platform, chips: Number) -> Platform:
    """The platform as `chips` chips need it: a slice of a torus, or what joins several as outermost level."""
    levels, outer = _sliced(platform.levels, chips), platform.scale_out
    if outer is None:
        return platform if levels is platform.levels else platform.replace(levels=levels)
    several = outer.replace(size=maximum(1, ceil(chips / platform.chips)))
    return platform.replace(levels=(*levels, several), scale_out=None)


def is_torus(levels: tuple[Level, ...]) -> bool:
    """Whether chips have neighbours only, along more than one axis."""
    return len(levels) > 1 and all(level.topology in LINES for level in levels)


def _sliced(levels: tuple[Level, ...], chips: Number) -> tuple[Level, ...]:
    """So many chips of a torus or mesh, as square as it goes; all of it where they are as many or more.

    A ring that is cut is open, unless the level says at which sizes switches close it.
    """
    if not is_torus(levels):
        return levels
    whole = [level.size for level in levels]
    if not any(map(is_array, (chips, *whole))) and chips >= math.prod(whole):
        return levels

    def along(axis: int) -> Number:
        return each(lambda many, *room: compact(int(many), room)[axis], chips, *whole)

    return tuple(
        level.replace(size=along(axis), closes=level.size if level.closes is None else level.closes)
        for axis, level in enumerate(levels)
    )


@lru_cache(maxsize=4096)
def compact(chips: int, room: tuple[float, ...]) -> tuple[int, ...]:
    """Sizes of the most square box of at least so many chips: 2 x 2 x 1, 2 x 2 x 2, 4 x 2 x 2, ..."""
    sizes = [1] * len(room)
    while (within := math.prod(sizes)) < chips:
        open_ = [axis for axis, size in enumerate(sizes) if size < room[axis]]
        if not open_:
            break
        axis = min(open_, key=sizes.__getitem__)
        sizes[axis] = min(2 * sizes[axis], int(room[axis]), -(-chips * sizes[axis] // within))
    return tuple(sizes)


def spans(group: Group, levels: tuple[Level, ...]) -> tuple[tuple[Number, Number], ...]:
    """(members, stride) of a group on each level: whole inner levels first, outer ones as needed."""
    left, stride = group.size, group.stride
    result = []
    for level in levels:
        room = maximum(1, floor(level.size / stride))
        members = minimum(left, room)
        result.append((members, stride))
        left = ceil(left / members)
        stride = maximum(1, ceil(stride / level.size))
    return tuple(result)


def wire_of(level: Level, members: Number, stride: Number, fit: CollectiveFit, within: Number = 1) -> Wire:
    """The level as this group uses it; each of its members holds `within` chips.

    A ring that the group does not close is a chain, as a mesh is: one direction carries the way back. Members
    `stride` apart on a ring share its links with the groups between them. Calibration takes its
    share of the bandwidth here.
    """
    chip = level.chip_bandwidth_bytes_per_s * fit.efficiency
    if fit.shared:
        chip = chip / within
    hop: Number = HOPS[level.topology] * level.latency_s
    peer = chip
    if level.topology == "fully-connected":
        peer = chip / maximum(level.size - 1, 1)
    if level.topology in LINES:
        closed = both(level.topology == "ring", members * stride >= level.size)
        if level.closes is not None:
            closed = both(closed, floor(level.size / level.closes) * level.closes == level.size)
        one_way = chip / minimum(level.links, 2)
        peer = one_way / stride
        chip = where(closed, chip, one_way) / stride
        hop = hop * stride
    return Wire(
        topology=level.topology,
        members=members,
        hop_s=hop,
        bytes_per_s=chip,
        peer_bytes_per_s=peer,
        reduces=level.reduces,
    )


def collective(kind: str, payload: Number, group: Group, platform: Platform, profile: Profile) -> Route:
    """Seconds of one collective of `payload` bytes (the whole buffer) round a group.

    Hierarchical: reduce-scatter outwards over the levels, all-reduce on the outermost one that the
    group spans, all-gather back; each level's buffer is the one inside divided by its members. An all-to-all
    sends the whole buffer on each level. Per level the fastest physical algorithm is taken. A group of one,
    and an empty message, cost nothing.
    """
    if not is_array(group.size) and group.size == 1:
        return Route(0.0, 0.0, "")
    levels = platform.levels
    total, names = NOTHING, []
    axes = NOTHING  # of a torus, on which an all-to-all is under way at once
    at_once = kind == "all-to-all" and not fit_of(profile, "", kind).ways
    buffer = payload
    shares = spans(group, levels)
    chips = chips_within(levels)
    for position, (level, (members, stride)) in enumerate(zip(levels, shares, strict=True)):
        if not is_array(members) and members == 1:
            continue  # nothing to do on this level, whatever the sizes
        fit = fit_of(profile, level.name, kind)
        wire = wire_of(level, members, stride, fit, chips[position])
        outer = beyond(shares[position + 1 :])
        cost, name = _on_level(kind, wire, buffer, outer, fit)
        cost = cost.when(members > 1)
        if at_once and level.topology in LINES:
            axes = _beside(axes, cost)
        else:
            total = _joined(total, cost, fit_of(profile, "", kind))
        if not is_array(members) and members > 1:
            names.append(f"{level.name} {name} x{members:g}")
        if kind != "all-to-all":
            buffer = buffer / members
    if kind == "all-to-all":
        total = _joined(axes, total, fit_of(profile, "", kind))
    else:
        total = _over_all_axes(kind, total, payload, shares, platform, profile)
    return _fitted(kind, total, payload, group, profile, ", ".join(names))


def _joined(inner: Cost, outer: Cost, fit: CollectiveFit) -> Cost:
    """Two levels one after the other; where a library pipelines, bytes take as long as on the slower one."""
    return _beside(inner, outer) if fit.pipelined else inner + outer


def _beside(one: Cost, other: Cost) -> Cost:
    """Hops one after the other, bytes on both at once: an all-to-all on the axes of a torus.

    Messages that each go along one axis after another load an axis with m p / (4 b), in whatever order the
    axes are taken. Cut so that parts start on different axes, they keep all busy until the slowest is done.
    """
    return Cost(one.latency_s + other.latency_s, maximum(one.transfer_s, other.transfer_s))


def _over_all_axes(
    kind: str,
    axis_by_axis: Cost,
    payload: Number,
    shares: tuple[tuple[Number, Number], ...],
    platform: Platform,
    profile: Profile,
) -> Cost:
    """On a torus or mesh, levels that are all lines, the buffer is cut so that every axis works all the time.

    Each part goes round the axes in another order: m (P - 1) / P over the sum of the axes' bandwidths
    (twice for an all-reduce), P being all members, where one axis after the other would leave the rest idle.
    """
    if sum(level.topology in LINES for level in platform.levels) < 2 or fit_of(profile, "", kind).ways:
        return axis_by_axis  # no torus, or a library whose ways say how long an axis takes
    together: Number = 0.0  # bandwidth of all axes in use
    everybody: Number = 1
    torus: Flag = True
    chips = chips_within(platform.levels)
    for level, (members, stride), within in zip(platform.levels, shares, chips, strict=True):
        wire = wire_of(level, members, stride, fit_of(profile, level.name, kind), within)
        together = together + where(members > 1, wire.bytes_per_s, 0.0)
        everybody = everybody * members
        if level.topology not in LINES:
            torus = both(torus, members <= 1)
    rounds = 2 if kind == "all-reduce" else 1
    transfer = rounds * payload * (everybody - 1) / everybody / maximum(together, 1e-30)
    better = both(torus, transfer < axis_by_axis.transfer_s)
    return Cost(axis_by_axis.latency_s, where(better, transfer, axis_by_axis.transfer_s))


def hops(payload: Number, boundaries: range, stride: Number, platform: Platform, profile: Profile) -> Route:
    """Point to point over pipeline boundaries, together: from every chip of stage b to its like in the
    next, `stride` chips on.

    A boundary crosses the innermost level that holds both ends, for the first chip of the stage and
    for the last. Boundaries that cross the same level cost the same.
    """
    time: Number = 0.0
    transfer: Number = 0.0
    names = []
    within: Number = 1  # chips in one member of the level
    inner: list[Number] = [0] * len(boundaries)  # 1 where a level further in holds the boundary
    for level in platform.levels:
        reach = within * level.size
        held = [_holds(reach, boundary, stride) for boundary in boundaries]
        crossing: Number = 0
        for here, before in zip(held, inner, strict=True):
            crossing = crossing + here - before
        fit = fit_of(profile, level.name, "send-recv")
        wire = wire_of(level, 2, maximum(1, ceil(stride / within)), fit, minimum(stride, within))
        cost = point_to_point(wire, payload, fit)
        route = _fitted("send-recv", cost, payload, Group(size=2), profile, level.name)
        time, transfer = time + route.time_s * crossing, transfer + route.transfer_s * crossing
        if not is_array(crossing) and crossing:
            names.append(f"{level.name} x{crossing:g}")
        within, inner = reach, held
    return Route(time, transfer, ", ".join(names))


def _holds(reach: Number, boundary: int, stride: Number) -> Number:
    """1 where both stages of a boundary lie in one group of `reach` chips."""
    start, end = boundary * stride, (boundary + 2) * stride - 1
    return where(floor(start / reach) == floor(end / reach), 1, 0)


def chips_within(levels: tuple[Level, ...]) -> list[Number]:
    """Chips in one member of each level."""
    chips: list[Number] = [1]
    for level in levels:
        chips.append(chips[-1] * level.size)
    return chips[:-1]


def beyond(shares: tuple[tuple[Number, Number], ...]) -> Number:
    """Members on the levels further out: 1 when this one is the group's outermost."""
    product: Number = 1
    for members, _ in shares:
        product = product * members
    return product


def _on_level(kind: str, wire: Wire, buffer: Number, outer: Number, fit: CollectiveFit) -> tuple[Cost, str]:
    """One level's cost; an all-reduce is its two halves unless this is the outermost level."""
    if kind != "all-reduce":
        cost, index, names = fastest(kind, wire, buffer, fit)
        return cost, "" if is_array(index) else names[int(index)]
    whole, index, names = fastest("all-reduce", wire, buffer, fit)
    if not is_array(outer) and outer <= 1:
        return whole, "" if is_array(index) else names[int(index)]
    half, half_index, half_names = fastest("reduce-scatter", wire, buffer, fit)
    inner = outer > 1
    both_halves = half + half
    if fit.pipelined and wire.reduces:  # one half sends while the other receives, as when it ends here
        faster = whole.total_s < both_halves.total_s
        both_halves = Cost(
            where(faster, whole.latency_s, both_halves.latency_s),
            where(faster, whole.transfer_s, both_halves.transfer_s),
        )
    cost = whole.when(outer <= 1) + both_halves.when(inner)
    if is_array(inner) or is_array(index) or is_array(half_index):
        return cost, ""
    return cost, half_names[int(half_index)] if inner else names[int(index)]


def fit_of(profile: Profile, level: str, kind: str) -> CollectiveFit:
    """The calibration of a collective on a level: of both, the level, the collective, or the default."""
    fits = profile.collectives
    names = (f"{level}.{kind}", level, kind, "default")
    return next((fits[name] for name in names if name in fits), _NEUTRAL)


def _fitted(kind: str, cost: Cost, payload: Number, group: Group, profile: Profile, detail: str) -> Route:
    """Apply the stack's base latency and corner; nothing is sent by a group of one or without payload."""
    fit = fit_of(profile, "", kind)
    time = cost.fitted_s(fit)
    something = where(group.size > 1, payload, 0.0) > 0
    return Route(where(something, time, 0.0), where(something, cost.transfer_s, 0.0), detail)
