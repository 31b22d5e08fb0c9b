"""Rows of DeepEP: bytes and copies by hand, and how near the two profiles come to what was published."""

from __future__ import annotations

import csv
import math
import os
from pathlib import Path

import pytest

from genzcli.catalog.load import Catalog
from genzcli.explore.validate.kind import Predicted, Row, Setting
from genzcli.explore.validate.measured import KIND

DATA = Path(os.environ.get("GENZ_DATA", "")) / "collectives_measured.csv"
CELLS = {
    "hardware": "H800 SXM",
    "fabric": "NVLink + CX7 IB 400Gb/s",
    "library": "DeepEP V1",
    "collective": "moe_dispatch",
    "dtype": "fp8 dispatch / bf16 combine",
    "num_chips": "32",
    "nodes": "4",
    "message_bytes": "",
}
#: FP8 with an FP32 scale for 128 values, and BF16: bytes of a token of 7168 values.
FP8, BF16 = 7168 * (1 + 1 / 32), 7168 * 2.0
#: Low-latency kernels of DeepEP V1 on 8 to 64 H800 (docs/legacy.md of deepseek-ai/DeepEP), to which none
#: of its constants was fitted: chips, microseconds of dispatch and of combine.
LOW_LATENCY = ((8, 77, 114), (16, 118, 195), (32, 155, 273), (64, 173, 314))


def predict(**changes: str) -> Predicted:
    (found,) = KIND.predict([Row(2, {**CELLS, **changes})], Setting(Catalog(), None))
    return found


def touched(groups: int, experts: int = 256, chosen: int = 8) -> float:
    """Groups that hold at least one of the experts: 1 less the chance of none, times all."""
    missed = math.comb(experts - experts // groups, chosen) / math.comb(experts, chosen)
    return groups * (1 - missed)


def test_between_nodes_a_copy_a_node_over_infiniband() -> None:
    # 4096 tokens, 3.6 copies of which a quarter stays, 50 GB/s x 0.9; 2 x 0.5 us, 2 x 5 us and 100 us ahead
    sent = 4096 * FP8 * touched(4)
    seconds = 111e-6 + sent * 3 / 4 / 45e9
    found = predict()
    assert found.values["latency_us"] == pytest.approx(seconds * 1e6)
    assert found.values["busbw_GBps"] == pytest.approx(sent / seconds * 1e-9)  # its own node's copy counts


def test_eight_nodes_take_tokens_for_four() -> None:
    # group-limited routing: the experts are among the 128 of four nodes, seven in eight copies leave
    sent = 4096 * FP8 * touched(4, experts=128)
    found = predict(num_chips="64", nodes="8")
    assert found.values["latency_us"] == pytest.approx(111 + sent * 7 / 8 / 45e9 * 1e6)


def test_within_a_node_a_copy_a_chip_over_nvlink() -> None:
    # H800: 8 links of 25 GB/s, 0.68 of them; combine goes back in BF16
    sent = 4096 * BF16 * touched(8)
    found = predict(collective="moe_combine", fabric="NVLink ~160GB/s", num_chips="8", nodes="1")
    assert found.values["latency_us"] == pytest.approx(101 + sent * 7 / 8 / (200e9 * 0.68) * 1e6)


def test_low_latency_kernels_send_a_copy_an_expert() -> None:
    # 128 tokens x 8 copies, 15 of 16 nodes' worth, 50 GB/s x 0.9 x 0.9
    sent = 128 * 8 * FP8
    found = predict(fabric="CX7 IB 400Gb/s pure RDMA", num_chips="128", nodes="16")
    assert found.values["latency_us"] == pytest.approx(16 + sent * 15 / 16 / 40.5e9 * 1e6)


def test_low_latency_kernels_on_fewer_chips_than_were_fitted() -> None:
    errors = []
    for chips, dispatch, combine in LOW_LATENCY:
        for way, measured in (("moe_dispatch", dispatch), ("moe_combine", combine)):
            fabric = {"fabric": "CX7 IB 400Gb/s pure RDMA", "collective": way}
            found = predict(num_chips=str(chips), nodes=str(chips // 8), **fabric).values["latency_us"]
            errors.append(abs(math.log(found / measured)))
    assert math.expm1(sum(errors) / len(errors)) < 0.08
    assert math.expm1(max(errors)) < 0.3  # 8 chips, where NVLink carries all


def test_bytes_that_are_stated_are_what_is_counted() -> None:
    usual = predict().values
    counted = usual["busbw_GBps"] * usual["latency_us"] * 1e3
    twice = predict(message_bytes=str(2 * counted)).values
    assert twice["latency_us"] - 111 == pytest.approx(2 * (usual["latency_us"] - 111))


def test_an_architecture_stands_for_its_chip() -> None:
    found = predict(hardware="SM100 (Blackwell)", library="DeepEP V2", fabric="CX7 RDMA")
    assert found.reason is None and "taken for b200" in found.flags[0]
    named = predict(hardware="b200", library="DeepEP V2", fabric="CX7 RDMA")
    assert named.values == found.values and not named.flags


@pytest.mark.parametrize("library", ["DeepEP V1", "DeepEP V2", "pplx-kernels", "NCCL"])
@pytest.mark.parametrize("chips", ["1", "2", "8", "12", "72"])
def test_any_library_and_count_has_a_time_or_a_reason(library: str, chips: str) -> None:
    for hardware in ("H800 SXM", "gb200", "mi300x", "tpu-v7", "l40s"):
        found = predict(hardware=hardware, library=library, num_chips=chips, nodes="1")
        assert found.reason or found.values["latency_us"] >= 0


@pytest.mark.skipif(not DATA.is_file(), reason="GENZ_DATA has no collectives_measured.csv")
@pytest.mark.parametrize(("library", "rows", "most"), [("DeepEP V1", 12, 0.04), ("DeepEP V2", 8, 0.03)])
def test_published_bandwidths(library: str, rows: int, most: float) -> None:
    with DATA.open(encoding="utf-8") as file:
        given = [
            Row(line, cells)
            for line, cells in enumerate(csv.DictReader(file), start=2)
            if cells["library"] == library
        ]
    assert len(given) == rows
    errors = []
    for row, found in zip(given, KIND.predict(given, Setting(Catalog(), None)), strict=True):
        assert found.reason is None
        errors.append(abs(math.log(found.values["busbw_GBps"] / float(row.cells["busbw_GBps"]))))
    assert math.expm1(sum(errors) / rows) < most
