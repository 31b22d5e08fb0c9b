"""Measured kernels asked of the engine: each row becomes the engine's own operators under a profile.

The kernels were run over and over, so what fits the last-level cache was found there. GEMMs went round six
copies of their weights, as the sizes at which their bandwidth leaves the cache's show (aiconfigurator's
collector does so on purpose); attention and MoE kernels had one set.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from genzcli.catalog.load import Catalog
from genzcli.engine.counts import attention, feedforward
from genzcli.engine.counts.ops import Bytes, Operator, Shard, linear
from genzcli.engine.counts.routing import Routing
from genzcli.engine.counts.spans import DecodeStep, Prefill
from genzcli.engine.machine import roofline
from genzcli.engine.machine.roofline import Rates
from genzcli.spec.dtype import bytes_per_element
from genzcli.spec.hardware import Chip
from genzcli.spec.model import Attention, Moe
from genzcli.spec.profile import Profile

DATA = os.environ.get("GENZ_DATA")
CHIPS = {"h100_sxm": "h100-sxm", "a100_sxm": "a100-sxm-80gb", "l40s": "l40s"}
#: What the files call a format: how weights are stored, and what products are computed in.
FORMATS = {
    "bfloat16": ("bf16", "bf16"),
    "fp8": ("fp8", "fp8"),
    "fp8_block": ("fp8", "fp8"),
    "int4_wo": ("int4", "bf16"),
    "w4a16_mxfp4": ("mxfp4", "bf16"),
}
Row = dict[str, str]


@cache
def chip(name: str) -> Chip:
    return Catalog().hardware(CHIPS[name])[0].chip


@cache
def profile(stack: str, name: str) -> Profile:
    return Catalog().profile(stack, chip(name))


@cache
def rows(kind: str, name: str) -> tuple[Row, ...]:
    with open(Path(str(DATA)) / "kernels" / f"{kind}_{name}.csv", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


def rates(
    name: str, fitted: Profile, dtype: str, phase: str, between_bytes: float | None, stored: str = ""
) -> Rates:
    """A chip that runs one kernel, from its last storage tier and its cache."""
    part = chip(name)
    memory = [tier for tier in part.memory.values() if tier.role == "storage"][-1]
    byte = 1 / memory.bandwidth_bytes_per_s
    return Rates(
        dtype=dtype,
        stored="" if stored == dtype else stored,
        flop_per_s=part.peaks[dtype],
        weights=byte,
        kv=byte,
        activations=byte,
        profile=fitted,
        phase=phase,
        cache=roofline.cache_of(part, between_bytes),
        array=part.array,
        vector=part.vector,
    )


def size(weights: str = "bf16", kv: str = "bf16") -> Bytes:
    stored = bytes_per_element(weights)
    return Bytes(weights=stored, experts=stored, kv=bytes_per_element(kv), activations=2.0)


def seconds(operators: tuple[Operator, ...], there: Rates) -> float:
    return float(sum(roofline.time(operator, there).time for operator in operators))


def gemm(row: Row, name: str, fitted: Profile) -> float:
    stored, computed = FORMATS[row["dtype"]]
    operator = linear("gemm", int(row["m"]), int(row["k"]), int(row["n"]), size(stored))
    there = rates(name, fitted, computed, "prefill", 6 * float(operator.weight_bytes))
    return seconds((operator,), there)


def _mixer(row: Row) -> tuple[Attention, Shard]:
    mixer = Attention(heads=int(row["heads"]), kv_heads=int(row["kv_heads"]), head_dim=int(row["head_dim"]))
    return mixer, Shard(size=size(kv=_kv(row)))


def _kv(row: Row) -> str:
    """The cache's format, which names the precision that a user would ask for."""
    return "fp8" if row["kv_cache_dtype"] == "fp8" else "bf16"


def prefill(row: Row, name: str, fitted: Profile) -> float:
    mixer, shard = _mixer(row)
    visit = Prefill(sequences=int(row["batch_size"]), new=int(row["seq"]))
    operator = attention.kernels(mixer, visit, shard, flash=True)[0]
    return seconds((operator,), rates(name, fitted, _kv(row), "prefill", None))


def decode(row: Row, name: str, fitted: Profile) -> float:
    mixer, shard = _mixer(row)
    visit = DecodeStep(sequences=int(row["batch_size"]), beams=1, prompt=int(row["seq"]) - 1, step=1)
    operator = attention.kernels(mixer, visit, shard, flash=True)[0]
    return seconds((operator,), rates(name, fitted, _kv(row), "decode", None))


def experts(row: Row, name: str, fitted: Profile) -> float:
    """The grouped GEMMs and the activation between them, on the rank the others wait for.

    The power law of the measurements touches as many experts as popularity rank^-0.6.
    """
    stored, computed = FORMATS[row["dtype"]]
    part = Moe(
        experts=int(row["num_experts"]),
        experts_per_token=int(row["topk"]),
        d_expert=int(row["inter_size"]),
    )
    # tp chips share attention, so that an expert group of ep has tp / ep chips on each expert.
    ep, tp = int(row["moe_ep_size"]), int(row["moe_tp_size"])
    shard = Shard(tp=ep * tp, ep=ep, size=size(stored))
    tokens = int(row["num_tokens"])
    even = row["distribution"] == "balanced"
    routing = Routing(rule="balanced") if even else Routing(rule="power-law", alpha=0.6)
    found = feedforward.experts(part, int(row["hidden_size"]), tokens, tokens, shard, routing)
    kernels = tuple(item for item in found if item.name.startswith("experts"))
    weights = sum(float(item.weight_bytes) for item in kernels)
    return seconds(kernels, rates(name, fitted, computed, "prefill", weights, stored))


PREDICT: dict[str, Callable[[Row, str, Profile], float]] = {
    "gemm": gemm,
    "attn_context": prefill,
    "attn_generation": decode,
    "moe": experts,
}


def logs(kind: str, name: str, fitted: Profile, keep: Callable[[Row], bool]) -> Iterator[float]:
    """ln(predicted / measured) of each row kept."""
    for row in rows(kind, name):
        if keep(row):
            yield math.log(PREDICT[kind](row, name, fitted) * 1e6 / float(row["latency_us"]))


def error(found: list[float]) -> float:
    """Geometric-mean error, exp(mean |ln(predicted / measured)|) - 1."""
    return math.exp(sum(map(abs, found)) / len(found)) - 1
