"""The JSON of `run`: keys, types, order, bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

QUESTION = ("run", "llama-3.1-70b", "h100-sxm", "-n", "8", "-u", "chat", "--json")
UNFIT = ("run", "llama-3.1-70b", "h100-sxm", "--json")

SCENARIO = {
    "model": str, "hardware": str, "chips": int, "tp": int, "pp": int, "ep": int, "dp": int, "batch": int,
    "beams": int, "input_tokens": int, "output_tokens": int, "precision": dict, "stack": str,
}  # fmt: skip
MEMORY = (
    "weights_bytes", "kv_bytes", "activations_bytes", "reserved_bytes", "used_bytes", "capacity_bytes",
    "max_batch",
)  # fmt: skip
METRICS = (
    "ttft_ms", "tpot_ms", "e2e_ms", "output_tokens_per_s", "total_tokens_per_s", "requests_per_s",
    "tokens_per_s_per_user", "joules_per_output_token", "tokens_per_kwh", "usd_per_million_output_tokens",
)  # fmt: skip
PHASE = ("time_ms", "bound", "compute_ms", "memory_ms", "network_ms", "overhead_ms", "operators")


def test_every_key_is_there_and_of_its_type(genz: Callable[..., Any]) -> None:
    answer = genz(*QUESTION).json
    assert answer["schema"] == "genz.run/1"
    for key, kind in SCENARIO.items():
        assert type(answer["scenario"][key]) is kind, key
    assert set(answer["scenario"]["precision"]) >= {"weights", "kv", "activations", "compute"}
    assert answer["fits"] is True and answer["why"] is None
    assert all(answer["memory"][key] > 0 for key in MEMORY)
    assert all(answer["metrics"][key] > 0 for key in METRICS)
    for name in ("prefill", "decode"):
        assert set(PHASE) <= set(answer["phases"][name])
        assert answer["phases"][name]["bound"] in ("compute", "memory", "network", "overhead")
    assert [item["metric"] for item in answer["slos"]] == ["ttft", "tpot"]
    for item in answer["slos"]:
        assert set(item) == {"metric", "unit", "limit", "actual", "passed", "margin"}
    assert answer["verdict"] in ("pass", "fail")


def test_parts_add_up(genz: Callable[..., Any]) -> None:
    answer = genz(*QUESTION).json
    for phase in answer["phases"].values():
        parts = sum(phase[f"{part}_ms"] for part in ("compute", "memory", "network", "overhead"))
        assert parts == pytest.approx(phase["time_ms"], rel=1e-12)
        assert sum(row["time_ms"] for row in phase["operators"]) == pytest.approx(phase["time_ms"], rel=1e-9)
        assert sum(row["share"] for row in phase["operators"]) == pytest.approx(1, rel=1e-9)
    memory = answer["memory"]
    parts = sum(memory[f"{part}_bytes"] for part in ("weights", "kv", "activations", "reserved"))
    assert parts == pytest.approx(memory["used_bytes"], rel=1e-12)
    metrics, scenario = answer["metrics"], answer["scenario"]
    e2e = metrics["ttft_ms"] + (scenario["output_tokens"] - 1) * metrics["tpot_ms"]
    assert e2e == pytest.approx(metrics["e2e_ms"], rel=1e-12)


def test_what_does_not_fit_has_no_throughput_but_a_reason_and_a_cure(genz: Callable[..., Any]) -> None:
    ended = genz(*UNFIT)
    answer = ended.json
    assert ended.code == 3
    assert answer["fits"] is False and "short" in answer["why"]
    assert set(answer["metrics"]) >= set(METRICS)
    assert all(value is None for value in answer["metrics"].values())
    assert answer["phases"] == {"prefill": None, "decode": None}
    assert answer["memory"]["used_bytes"] > answer["memory"]["capacity_bytes"]
    assert answer["memory"]["max_batch"] == 0
    assert any(cure["cures"] and "--chips" in cure["change"] for cure in answer["cures"])


def test_the_cure_cures(genz: Callable[..., Any]) -> None:
    """What is proposed, taken at its word, fits."""
    for cure in genz(*UNFIT).json["cures"]:
        assert genz("run", "llama-3.1-70b", "h100-sxm", *cure["change"].split(), "--quiet").code == 0, cure


def test_keys_keep_their_order_and_bytes_their_value(genz: Callable[..., Any]) -> None:
    first, second = genz(*QUESTION), genz(*QUESTION)
    assert first.out == second.out
    assert list(first.json) == list(genz(*UNFIT).json)


def test_one_output_token_has_no_tpot(genz: Callable[..., Any]) -> None:
    answer = genz("run", "llama-3.1-8b", "h100-sxm", "-o", "1", "--json").json
    assert answer["metrics"]["tpot_ms"] is None and answer["phases"]["decode"] is None
    assert answer["metrics"]["e2e_ms"] == answer["metrics"]["ttft_ms"]


def test_a_given_slo_replaces_the_use_case_s_for_that_metric_only(genz: Callable[..., Any]) -> None:
    slos = genz(*QUESTION, "--slo", "ttft=5s", "--slo", "throughput>1").json["slos"]
    limits = {item["metric"]: item["limit"] for item in slos}
    assert limits == {"ttft": 5000, "tpot": 10, "throughput": 1}


def test_csv_has_one_line_and_the_same_numbers(genz: Callable[..., Any]) -> None:
    import csv

    rows = list(csv.DictReader(genz(*QUESTION[:-1], "--format", "csv").out.splitlines()))
    answer = genz(*QUESTION).json
    assert len(rows) == 1
    assert float(rows[0]["tpot_ms"]) == answer["metrics"]["tpot_ms"]
    assert rows[0]["precision_weights"] == "bf16"
    table = list(csv.DictReader(genz(*QUESTION[:-1], "--format", "csv", "--explain").out.splitlines()))
    assert {row["phase"] for row in table} == {"prefill", "decode"}


def test_markdown_is_a_table(genz: Callable[..., Any]) -> None:
    lines = genz(*QUESTION[:-1], "--format", "markdown").out.splitlines()
    assert any(line.startswith("| TTFT | ") for line in lines)
    assert lines[0].startswith("**FAIL**") or lines[0].startswith("**PASS**")
    rows = [line for line in lines if line.startswith("|")]
    assert all(line.endswith("|") for line in rows)
