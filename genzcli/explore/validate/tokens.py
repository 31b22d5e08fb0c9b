"""Measured rows of tokens on their way to experts and back: DeepEP's dispatch and combine.

Such rows say no size but how fast the busiest links were. Bytes and copies are those of the benchmark that
DeepEP publishes: so many tokens a chip of 7168 values, 8 of 256 experts each. Its bandwidth counts copies, a
chip's own included: one a chip within a node, one a node between nodes, one an expert in its low-latency
kernels (tests/test_intranode.py, test_internode.py and test_low_latency.py of deepseek-ai/DeepEP).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from genzcli.engine.counts.ops import WHOLE, Copies
from genzcli.engine.counts.routing import Routing, copies
from genzcli.engine.machine.exchange import exchange
from genzcli.engine.machine.network import Group
from genzcli.explore.validate.kind import Predicted, Row
from genzcli.spec.hardware import Platform
from genzcli.spec.model import Moe
from genzcli.spec.profile import CollectiveFit, Profile

if TYPE_CHECKING:
    from genzcli.numeric import Number

#: The word of a row without its punctuation, and the way that the tokens go.
WAYS = {"moedispatch": "dispatch", "moecombine": "combine"}
_HIDDEN = 7168
_EXPERTS = Moe(experts=256, experts_per_token=8, d_expert=2048)
#: Bytes a value: FP8 goes with an FP32 scale for 128 values.
_BYTES = {"fp8": 1 + 4 / 128, "bf16": 2.0, "fp16": 2.0}
_USUAL = {"dispatch": "fp8", "combine": "bf16"}


class Benchmark(NamedTuple):
    """What a row's library was timed with."""

    tokens: int  # a chip
    nodes: int | None  # at most so many nodes take a token: group-limited routing
    experts: bool  # bandwidth counts a copy an expert


_LOW_LATENCY = Benchmark(tokens=128, nodes=None, experts=True)
_V1 = Benchmark(tokens=4096, nodes=4, experts=False)
_V2 = Benchmark(tokens=8192, nodes=None, experts=False)


def predicted(row: Row, way: str, platform: Platform, profile: Profile, flags: tuple[str, ...]) -> Predicted:
    """Seconds of one dispatch or combine, and the bandwidth that DeepEP would print."""
    chips, nodes = row.count("num_chips"), row.count("nodes", 1)
    benchmark = _benchmark(row)
    sent = _copies(benchmark, benchmark.tokens * _HIDDEN * _bytes(row, way), nodes)
    counted = float(sent.experts if benchmark.experts else sent.members(nodes if nodes > 1 else chips))
    stated = row.number("message_bytes", counted)
    sent, counted = _scaled(sent, stated / counted), stated
    if benchmark.experts:
        profile = _low_latency(profile)
    seconds = float(exchange(sent, sent.members(chips), Group(size=chips), platform, profile).time_s)
    values = {"latency_us": seconds * 1e6, "time_us": seconds * 1e6}
    if seconds:
        values["busbw_GBps"] = counted / seconds * 1e-9
    return Predicted(values, flags=flags)


def _low_latency(profile: Profile) -> Profile:
    """The profile without the kernels that pass copies on."""

    def straight(fit: CollectiveFit) -> CollectiveFit:
        left = {name: item for name, item in fit.exchanges.items() if item.copies == "expert"}
        return fit.replace(exchanges=left or fit.exchanges)

    return profile.replace(collectives={name: straight(fit) for name, fit in profile.collectives.items()})


def _benchmark(row: Row) -> Benchmark:
    if "pure rdma" in row.cells.get("fabric", "").lower():
        return _LOW_LATENCY
    return _V2 if "v2" in row.text("library").lower() else _V1


def _bytes(row: Row, way: str) -> float:
    """Bytes of a value, as the row's formats say: "fp8 dispatch / bf16 combine"."""
    found = re.search(rf"(\w+) {way}", row.cells.get("dtype", "").lower())
    return _BYTES.get(found[1] if found else "", _BYTES[_USUAL[way]])


def _copies(benchmark: Benchmark, owned: float, nodes: int) -> Copies:
    """Tokens drawn at random; where only some nodes may take one, a node is a group of experts."""
    most = min(nodes, benchmark.nodes or nodes)
    experts = _EXPERTS.replace(groups=nodes, groups_per_token=most)

    def members(groups: Number) -> Number:
        return owned * copies(experts, WHOLE.replace(ep=groups), Routing(rule="uniform"))

    return Copies(members=members, experts=owned * _EXPERTS.experts_per_token)


def _scaled(sent: Copies, factor: float) -> Copies:
    """As many times the bytes."""
    return Copies(members=lambda groups: sent.members(groups) * factor, experts=sent.experts * factor)
