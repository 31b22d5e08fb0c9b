"""The chips of a measured row: so many, joined as the row's fabric says."""

from __future__ import annotations

import re
from collections.abc import Iterator

from genzcli.engine.machine.network import compact, extended, is_torus
from genzcli.errors import GenzError, shortened
from genzcli.spec.hardware import Level, Platform

_ADAPTER = re.compile(r"(\d+(?:\.\d+)?)\s*gb(?:it/s|ps|/s)(/node)?")
_NODE = 8  # chips that share the adapters of a node
_BRIDGE = 300e9  # bytes/s each way over the three NVLink bridges of a pair (A100 and H100 PCIe datasheets)


def joined(home: Platform, fabric: str, members: int, nodes: int) -> Platform:
    """The chips of a row: so many a node, on the node's own level or levels, nodes on what joins them."""
    fabric = fabric.lower()
    if is_torus(home.levels) and "dcn" not in fabric:  # its hosts are no nodes
        return _slice(home, members)
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


def _slice(home: Platform, members: int) -> Platform:
    """So many chips of a torus, as square as it goes: 2 x 2 x 1, 2 x 2 x 2, 2 x 2 x 4, ...

    Only the rings of whole cubes are closed (Google Cloud documentation, TPU slices): an axis that is shorter
    than the platform's is a line.
    """
    levels = (
        level.replace(size=size, topology=level.topology if size >= level.size else "mesh")
        for level, size in zip(home.levels, compact(members, (members,) * len(home.levels)), strict=True)
    )
    return home.replace(levels=tuple(levels), scale_out=None)
