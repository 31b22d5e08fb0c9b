"""The servers' profiles against measured servers: the errors that the README states.

Mean TTFT and TPOT under steady concurrency, as published with aiconfigurator-core 0.12: H100 and B200,
vLLM, SGLang and TensorRT-LLM, 1331 rows, none left out; and InferenceMAX for H200, MI300X and MI355X.
"""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from genzcli.catalog.load import Catalog
from genzcli.engine.estimate import estimate
from genzcli.spec.dtype import Precision
from genzcli.spec.workload import Plan, Scenario, UseCase

DATA = os.environ.get("GENZ_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="GENZ_DATA does not name the folder of measurements")

DENSE = ("llama-3.1-8b", "llama-3.1-70b", "qwen3-32b")
CATALOG = Catalog()


class Row(NamedTuple):
    """One measured server."""

    hardware: str
    stack: str
    model: str
    precision: str
    tp: int
    ep: int
    dp: int
    tokens: tuple[float, float]
    concurrency: float
    ttft_s: float
    tpot_s: float


def degrees(row: dict[str, str]) -> tuple[int, int, int]:
    """tp, ep and attention-DP. Where more than the eight chips of a node are named beside expert
    parallelism, a degree was recorded times ep: the rows' names and their like on 8 chips say so."""
    tp, ep, dp = int(row["tp"]), int(row["ep"]), int(row["attention_dp"])
    if int(row["chips"]) <= 8:
        return tp, ep, dp
    if dp == 1:
        return tp // ep, ep, 1
    return (1, ep, dp // ep) if tp == 1 else (tp, ep // dp, 1)


def table(name: str) -> list[dict[str, str]]:
    with open(Path(str(DATA)) / "e2e" / name, encoding="utf-8") as file:
        return list(csv.DictReader(file))


@cache
def servers() -> tuple[Row, ...]:
    return tuple(
        Row(
            row["hardware"],
            row["stack"],
            row["model"],
            row["precision"],
            *degrees(row),
            (float(row["input_tokens"]), float(row["output_tokens"])),
            float(row["concurrency"]),
            float(row["ttft_ms"]) / 1e3,
            float(row["tpot_ms"]) / 1e3,
        )
        for row in table("nvidia_agg.csv")
    )


@cache
def other_chips() -> tuple[Row, ...]:
    """DeepSeek-R1 under SGLang on one node each, without speculation."""
    chips = {"H200 SXM": "h200", "MI300X": "mi300x", "MI355X": "mi355x"}
    return tuple(
        Row(
            chips[row["hardware"]],
            "sglang",
            "deepseek-r1",
            row["precision"],
            int(row["tp"]),
            int(row["ep"]),
            1,
            (float(row["isl_mean_est"]), float(row["osl_mean_est"])),
            float(row["concurrency"]),
            float(row["ttft_mean_s"]),
            float(row["tpot_mean_s"]),
        )
        for row in table("inferencemax.csv")
        if row["hardware"] in chips and row["framework"] == "sglang"
    )


def precision(row: Row) -> Precision:
    """fp8 and fp4 checkpoints keep an fp8 cache, except vLLM on H100; gpt-oss and Kimi quantise experts."""
    wide = row.precision == "bf16" or (row.precision, row.hardware, row.stack) == ("fp8", "h100-sxm", "vllm")
    experts = {("gpt-oss-120b", "fp4"): "mxfp4", ("kimi-k2.5", "int4"): "int4g32"}
    own = experts.get((row.model, row.precision), "")
    return Precision(
        weights="bf16" if own else row.precision,
        experts=own,
        kv="bf16" if wide else "fp8",
        activations="bf16",
        compute="bf16" if row.precision == "int4" else row.precision,
    )


class Errors(NamedTuple):
    """Relative errors of the rows asked for."""

    tpot: Any
    ttft: Any

    def mean(self) -> tuple[float, float]:
        return float(np.mean(np.abs(self.tpot))), float(np.mean(np.abs(self.ttft)))


def errors(rows: Iterable[Row], stack: str | None = None) -> Errors:
    """Rows of one model, chip, stack and precision are one grid; predicted with another stack if named."""
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[:4]].append(row)
    tpot, ttft = [], []
    for group in groups.values():
        metrics = estimate(scenario(group, stack)).metrics
        tpot.append(metrics.tpot_s / np.array([row.tpot_s for row in group]) - 1)
        ttft.append(metrics.ttft_s / np.array([row.ttft_s for row in group]) - 1)
    return Errors(np.concatenate(tpot), np.concatenate(ttft))


def scenario(group: list[Row], stack: str | None = None) -> Scenario:
    first = group[0]
    platform, _ = CATALOG.hardware(first.hardware)
    prompt, answer = np.array([row.tokens for row in group]).T
    plan = Plan(
        precision=precision(first),
        batch=np.array([row.concurrency for row in group]),
        tp=np.array([row.tp for row in group]),
        dp=np.array([row.dp for row in group]),
        ep=np.array([1 if row.model in DENSE else row.ep for row in group]),
        batching="continuous",
        uneven="pad",
    )
    return Scenario(
        model=CATALOG.model(first.model),
        platform=platform,
        usecase=UseCase(input_tokens=prompt, output_tokens=answer),
        plan=plan,
        profile=CATALOG.profile(stack or first.stack, platform.chip),
    )


def test_every_server_is_predicted() -> None:
    found = errors(servers())
    assert len(found.tpot) == len(found.ttft) == 1331
    assert np.isfinite(found.tpot).all() and np.isfinite(found.ttft).all()
    tpot, ttft = found.mean()
    assert tpot < 0.133 and ttft < 0.35
    assert np.median(np.abs(found.ttft)) < 0.19


def test_the_generic_profile_which_saw_few_of_them() -> None:
    found = errors(servers(), "generic")
    assert found.mean()[0] < 0.185
    assert np.median(np.abs(found.tpot)) < 0.125


def test_dense_models_and_mixtures_of_experts() -> None:
    dense = errors(row for row in servers() if row.model in DENSE)
    experts = errors(row for row in servers() if row.model not in DENSE)
    assert (len(dense.tpot), len(experts.tpot)) == (493, 838)
    assert dense.mean()[0] < 0.09
    assert experts.mean()[0] < 0.158 and experts.mean()[1] < 0.265


@pytest.mark.parametrize(
    ("hardware", "stack", "most_tpot", "most_ttft"),
    [
        ("h100-sxm", "vllm", 0.21, 0.23),
        ("h100-sxm", "sglang", 0.065, 0.13),
        ("h100-sxm", "tensorrt-llm", 0.087, 0.245),
        ("b200", "vllm", 0.071, 0.135),
        ("b200", "sglang", 0.11, 0.335),
        ("b200", "tensorrt-llm", 0.217, 0.685),
    ],
)
def test_each_stack_of_a_chip(hardware: str, stack: str, most_tpot: float, most_ttft: float) -> None:
    tpot, ttft = errors(row for row in servers() if row[:2] == (hardware, stack)).mean()
    assert tpot < most_tpot
    assert ttft < most_ttft


@pytest.mark.parametrize(
    ("hardware", "rows", "most_tpot"), [("h200", 15, 0.04), ("mi300x", 10, 0.032), ("mi355x", 25, 0.08)]
)
def test_chips_of_one_measured_model(hardware: str, rows: int, most_tpot: float) -> None:
    found = errors(row for row in other_chips() if row.hardware == hardware)
    assert len(found.tpot) == rows
    assert found.mean()[0] < most_tpot


def test_a_grid_of_servers_is_its_scalars() -> None:
    row = servers()[0]
    grid = estimate(scenario([row, row])).metrics
    one = scenario([row])
    plan = one.plan.replace(batch=int(row.concurrency), tp=row.tp, dp=row.dp, ep=row.ep)
    use = UseCase(input_tokens=int(row.tokens[0]), output_tokens=int(row.tokens[1]))
    alone = estimate(one.replace(plan=plan, usecase=use)).metrics
    assert alone.ttft_s == grid.ttft_s[1] and alone.tpot_s == grid.tpot_s[1]  # type: ignore[index]
