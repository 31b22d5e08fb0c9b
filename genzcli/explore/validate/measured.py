"""Collectives as measured on real machines: `collectives_measured.csv`.

A row names the chip as its driver or its owner does, the fabric in words, and the library; the profile of
that library says what it makes of the wires. `message_bytes` is the whole buffer, as nccl-tests counts it,
but for all-gathers of oneCCL, which count what one rank gives, and for XLA, whose microbenchmarks count
what a chip takes in for both of its cores. Bus bandwidth is that of nccl-tests: bytes over time, times
(p - 1) / p, twice that for an all-reduce. Rows of tokens on their way to experts are in `tokens.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from genzcli.engine.machine.network import Group, collective, hops
from genzcli.errors import GenzError, UnknownNameError, shortened
from genzcli.explore.validate import tokens
from genzcli.explore.validate.fabrics import joined
from genzcli.explore.validate.kind import Kind, Predicted, Row, Setting, guarded
from genzcli.spec.hardware import Chip, Platform
from genzcli.spec.profile import Profile

_COLLECTIVES = {
    "allreduce": "all-reduce",
    "allgather": "all-gather",
    "reducescatter": "reduce-scatter",
    "alltoall": "all-to-all",
    "allall": "all-to-all",  # all2all
    "sendrecv": "send-recv",
}
#: Words in a library's name and the stack of its profile; the first that is found counts.
_STACKS = (
    ("oneccl", "oneccl"),
    ("vllm", "vllm-all-reduce"),
    ("trtllm", "tensorrt-llm-all-reduce"),
    ("tensorrt", "tensorrt-llm-all-reduce"),
    ("custom all-reduce", "vllm-all-reduce"),
    ("deepep v2", "deepep-v2"),
    ("deepep", "deepep"),
    ("xla", "xla"),
    ("torch", "torch-nccl"),
    ("nccl", "nccl"),
    ("rccl", "nccl"),
)
#: What an architecture is taken for where no chip is named.
_ARCHITECTURES = {"SM90": "h100-sxm", "SM100": "b200", "SM80": "a100-sxm-80gb"}
_PLANE = 4  # chips of one TPU host, 2 x 2
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
    if word in tokens.WAYS:
        return tokens.predicted(row, tokens.WAYS[word], place.platform, place.profile, place.flags)
    if word not in _COLLECTIVES:
        raise GenzError(f"collective {shortened(row.text('collective'))} is not modelled")
    kind, members = _COLLECTIVES[word], row.count("num_chips")
    flags = place.flags
    if kind == "all-gather" and place.profile.stack == "xla" and members > _PLANE:
        members = _PLANE
        flags += (f"all-gathers of XLA's published table go round {_PLANE} chips of a larger slice",)
    whole = _whole_buffer(row.number("message_bytes"), kind, members, place.profile.stack)
    if kind == "send-recv":
        stride = members - 1 if place.platform.chips >= members else 1
        time = hops(whole, range(1), stride, place.platform, place.profile).time_s
    else:
        time = collective(kind, whole, Group(size=members), place.platform, place.profile).time_s
    seconds = float(time)
    values = {"latency_us": seconds * 1e6, "time_us": seconds * 1e6}
    if seconds:
        values["busbw_GBps"] = whole / seconds * _bus(kind, members) * 1e-9
    return Predicted(values, flags=flags)


def _whole_buffer(message: float, kind: str, members: int, stack: str) -> float:
    """The whole buffer behind `message_bytes`."""
    if stack == "xla" and members > 1:
        return message / _bus(kind, members)
    if stack == "oneccl" and kind == "all-gather":
        return message * members
    return message


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
    platform = joined(home, row.cells.get("fabric", ""), members, nodes)
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
    if words[0].upper() in _ARCHITECTURES:
        yield _ARCHITECTURES[words[0].upper()]
    for length in range(len(words) - 1, 0, -1):
        yield "-".join(words[:length])
    inside = re.findall(r"[(\[](.*?)[)\]]", name)
    yield from inside


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
