"""Token ids on their way between a draft's chips and the target's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine.machine.collectives import HOPS
from genzcli.numeric import maximum, minimum
from genzcli.spec.hardware import Level, Platform
from genzcli.spec.workload import DraftSite, Scenario

if TYPE_CHECKING:
    from genzcli.numeric import Number

#: Bytes of a token's id on its way between draft and target; greedy drafts send nothing else.
_ID_BYTES = 4
#: InfiniBand of the GenZ paper's Table IX, where neither side of a link says anything: 10 us, 256 GB/s.
_UNKNOWN_S, _UNKNOWN_BYTES_PER_S = 10e-6, 256e9


def crossing(scenario: Scenario, site: DraftSite, sequences: Number) -> tuple[Number, Number]:
    """(seconds, of these on the wire) of one round: N ids of each beam over, N + 1 back."""
    latency, bandwidth = link(scenario.platform, site)
    ids = sequences * scenario.usecase.beams * (2 * scenario.plan.draft_tokens + 1)
    wire = ids * _ID_BYTES / bandwidth
    return 2 * latency + wire, wire


def link(platform: Platform, site: DraftSite) -> tuple[Number, Number]:
    """(latency one way, bytes a second): the slower of the two platforms' outermost networks."""
    found = [level for level in map(_outermost, (platform, site.platform)) if level is not None]
    latency: Number = 0.0 if found else _UNKNOWN_S
    bandwidth: Number = _UNKNOWN_BYTES_PER_S
    for position, level in enumerate(found):
        latency = maximum(latency, HOPS[level.topology] * level.latency_s)
        own = level.chip_bandwidth_bytes_per_s
        bandwidth = minimum(bandwidth, own) if position else own
    return (latency if site.latency_s is None else site.latency_s), bandwidth


def _outermost(platform: Platform) -> Level | None:
    if platform.scale_out is not None:
        return platform.scale_out
    return platform.levels[-1] if platform.levels else None
