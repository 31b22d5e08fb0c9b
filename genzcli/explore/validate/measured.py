"""Collectives as measured on real machines: `collectives_measured.csv`.

A row names the chip as its driver or its owner does, the fabric in words, and the library; the profile of
that library says what it makes of the wires. `message_bytes` is the whole buffer, as nccl-tests counts it,
but for all-gathers of oneCCL and XLA, which count what one rank gives. Bus bandwidth is that of nccl-tests:
bytes over time, times (p - 1) / p, twice that for an all-reduce.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from genzcli.engine.machine.network import Group, collective, extended, hops
from genzcli.errors import GenzError, UnknownNameError, shortened
from genzcli.explore.validate.kind import Kind, Predicted, Row, Setting, guarded
from genzcli.spec.hardware import Chip, Level, Platform
from genzcli.spec.profile import Profile

_COLLECTIVES = {
    "allreduce": "all-reduce",
    "allgather": "all-gather",
    "reducescatter": "reduce-scatter",
    "alltoall": "all-to-all",
    "sendrecv": "send-recv",
}
#: Words in a library's name and the stack of its profile; the first that is found counts.
_STACKS = (
    ("oneccl", "oneccl"),
    ("vllm", "vllm-all-reduce"),
    ("trtllm", "tensorrt-llm-all-reduce"),
    ("tensorrt", "tensorrt-llm-all-reduce"),
    ("custom all-reduce", "vllm-all-reduce"),
    ("xla", "xla"),
    ("torch", "torch-nccl"),
    ("nccl", "nccl"),
    ("rccl", "nccl"),
)
_ADAPTER = re.compile(r"(\d+(?:\.\d+)?)\s*gb(?:it/s|ps|/s)(/node)?")
_NODE = 8  # chips that share the adapters of a node
_BRIDGE = 300e9  # bytes/s each way over the three NVLink bridges of a pair (A100 and H100 PCIe datasheets)


#: What a place depends on.
_WHERE = ("hardware", "fabric", "library", "num_chips", "nodes")


class Place(NamedTuple):
    """Where a row was measured: its chips, joined as the fabric says."""

    platform: Platform
    profile: Profile
    flags: tuple[str, ...]


def _predict(rows: Sequence[Row], setting: Setting) -> Iterator[Predicted]:
    """Rows one by one; what was looked up for one is kept for those that follow."""
    chips: dict[str, tuple[Platform, bool] | GenzError] = {}
    places: dict[tuple[str, ...], Place] = {}
    for row in rows:
        yield guarded(lambda row=row: _kept(row, setting, places, chips))  # type: ignore[misc]


def _kept(
    row: Row,
    setting: Setting,
    places: dict[tuple[str, ...], Place],
    chips: dict[str, tuple[Platform, bool] | GenzError],
) -> Predicted:
    where = tuple(row.cells.get(name, "") for name in _WHERE)
    if where not in places:
        places[where] = _place(row, setting, chips)
    return _one(row, places[where])


def _one(row: Row, place: Place) -> Predicted:
    word = re.sub(r"[^a-z]", "", row.text("collective").lower())
    if word not in _COLLECTIVES:
        raise GenzError(f"collective {shortened(row.text('collective'))} is not modelled")
    kind, members = _COLLECTIVES[word], row.count("num_chips")
    sent = row.number("message_bytes")
    whole = sent * members if kind == "all-gather" and place.profile.stack in ("oneccl", "xla") else sent
    if kind == "send-recv":
        stride = members - 1 if place.platform.chips >= members else 1
        time = hops(sent, range(1), stride, place.platform, place.profile).time_s
    else:
        time = collective(kind, whole, Group(size=members), place.platform, place.profile).time_s
    seconds = float(time)
    values = {"latency_us": seconds * 1e6, "time_us": seconds * 1e6}
    if seconds:
        values["busbw_GBps"] = whole / seconds * _bus(kind, members) * 1e-9
    return Predicted(values, flags=place.flags)


def _bus(kind: str, members: int) -> float:
    """Bytes on the busiest link over the bytes of the buffer."""
    if kind == "send-recv":
        return 1.0
    return (2 if kind == "all-reduce" else 1) * (members - 1) / members


def _place(row: Row, setting: Setting, kept: dict[str, tuple[Platform, bool] | GenzError]) -> Place:
    name = row.text("hardware")
    if name not in kept:
        kept[name] = _found(name, setting)
    found = kept[name]
    if isinstance(found, GenzError):
        raise found
    home, exact = found
    stack, known = _stack(row.text("library"))
    flags: tuple[str, ...] = () if exact else (f"{shortened(name)} is taken for {home.chip.name}",)
    flags += () if known else (f"library {shortened(row.text('library'))} is taken for NCCL",)
    members, nodes = row.count("num_chips"), row.count("nodes", 1)
    platform = _joined(home, row.cells.get("fabric", "").lower(), members, nodes)
    profile, said = _profile(stack, home.chip, setting)
    return Place(platform, profile, flags + said)


def _profile(stack: str, chip: Chip, setting: Setting) -> tuple[Profile, tuple[str, ...]]:
    """The library's profile for the chip, or the generic one and a word about it."""
    try:
        profile = setting.profile(stack, chip)
    except UnknownNameError:
        profile = setting.profile("generic", chip)
    if profile.stack != "generic" or stack == "generic":
        return profile, ()
    return profile, (f"{stack} on {chip.name} is in no profile: {profile.name}",)


def _stack(library: str) -> tuple[str, bool]:
    """The stack of a library, and whether its name is known."""
    word = library.lower()
    found = next((stack for part, stack in _STACKS if part in word), None)
    return found or "nccl", found is not None


def _found(name: str, setting: Setting) -> tuple[Platform, bool] | GenzError:
    """The home platform of the chip that a name stands for, and whether the whole name said so."""
    for position, word in enumerate(_names(name)):
        try:
            return setting.library.hardware(word)[0], position < len(_whole(name))
        except GenzError:
            continue
    return GenzError(f"hardware {shortened(name)} is in no catalog", cure="add it, or an alias, by --catalog")


def _whole(name: str) -> list[str]:
    """The name as it stands, without what stands in brackets, and without the maker's."""
    plain = re.sub(r"\s*[(\[].*?[)\]]", "", name).strip()
    short = re.sub(r"^(nvidia|amd|intel|google)\s+", "", plain, flags=re.I)
    slim = re.sub(r"sxm\d", "sxm", short, flags=re.I)
    return list(dict.fromkeys(word for word in (name, plain, short, slim) if word))


def _names(name: str) -> Iterator[str]:
    """What a chip may be called in the catalog: the whole name, then less and less of it."""
    yield from _whole(name)
    if "pairwise" in name.lower():  # bridges join cards in pairs
        yield f"{_whole(name)[-1].split()[0]}-pcie"
    words = re.split(r"[\s/-]+", _whole(name)[-1])
    for length in range(len(words) - 1, 0, -1):
        yield "-".join(words[:length])
    inside = re.findall(r"[(\[](.*?)[)\]]", name)
    yield from inside


def _joined(home: Platform, fabric: str, members: int, nodes: int) -> Platform:
    """The chips of a row: so many a node, on the node's own level or levels, nodes on what joins them."""
    inside = max(1, members // nodes)
    levels = _inner(home, fabric, inside)
    if nodes == 1:
        return extended(home.replace(levels=levels), members)
    levels = tuple(_cut(levels, inside))
    outer = _outer(home, fabric)
    if outer is None:
        raise GenzError(f"nothing joins nodes of {home.name}", cure="give the platform a scale_out")
    return home.replace(levels=(*levels, outer.replace(size=nodes)), scale_out=None)


def _cut(levels: tuple[Level, ...], inside: int) -> Iterator[Level]:
    """The levels of a node of which only `inside` chips take part."""
    for level in levels:
        size = min(int(level.size), inside)
        yield level.replace(size=size)
        inside = -(-inside // size)


def _inner(home: Platform, fabric: str, inside: int) -> tuple[Level, ...]:
    """The levels in a node; a pair bridged by NVLink has its own, more than a pair the bus between them."""
    if "nvlink pair" not in fabric:
        return home.levels if inside > 1 else tuple(level.replace(size=1) for level in home.levels)
    bridge = Level(name="bridge", size=2, topology="switch", bandwidth_bytes_per_s=_BRIDGE, latency_s=0.5e-6)
    if inside <= 2:
        return (bridge.replace(size=inside),)
    host = next((level for level in home.levels if level.name == "pcie"), None)
    if host is None:
        host = Level(name="pcie", size=2, topology="switch", bandwidth_bytes_per_s=32e9, latency_s=1e-6)
    # One ring goes round all cards: what the bridges carry fast, the bus between pairs does not.
    return (host.replace(size=inside),)


def _outer(home: Platform, fabric: str) -> Level | None:
    """What joins the nodes, at the bandwidth that the fabric names."""
    outer = home.scale_out
    if outer is None:
        return None
    if "efa" in fabric:
        outer = outer.replace(name="efa")
    stated = _ADAPTER.search(fabric)
    if stated:
        share = float(stated[1]) * 1e9 / 8 / (_NODE if stated[2] else 1)
        if not 1 <= share <= 1e18:
            raise GenzError(f"fabric {shortened(fabric)} has no plausible bandwidth")
        outer = outer.replace(bandwidth_bytes_per_s=share, links=1)
    return outer


def _group(row: Row) -> tuple[str, ...]:
    return row.cells.get("hardware", ""), row.cells.get("library", "")


KIND = Kind(
    name="measured collectives",
    needs=("hardware", "library", "collective", "num_chips", "message_bytes"),
    targets=("latency_us", "busbw_GBps"),
    by=("hardware", "library"),
    group=_group,
    predict=_predict,
    extra=("time_us",),
)
