"""Techniques in words: what they say is assumed, how they are saved and read again, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Genz = Callable[..., Any]

MOE = ("run", "mixtral-8x7b", "hgx-h100", "-b", "64", "--tp", "1", "--dp", "8", "--ep", "8")
DENSE = ("run", "llama-2-7b", "h100-sxm", "-b", "16")

WORDS = [
    (*MOE, "--routing", "power-law", "--alpha", "0.8", "--redundant-experts", "8"),
    (*MOE, "--precision", "fp8,attention=bf16,embeddings=bf16,experts=int4-g32"),
    (*DENSE, "--sparsity", "2:4", "--lora-rank", "16", "--lora-adapters", "32", "--lora-on", "qv"),
]


@pytest.mark.parametrize("words", WORDS)
def test_a_saved_scenario_has_the_same_answer(genz: Genz, tmp_path: Path, words: tuple[str, ...]) -> None:
    file = tmp_path / "scenario.yaml"
    told = genz(*words, "--save", str(file), "--json").json
    again = genz("check", str(file), "--json").json["results"][0]
    for key in ("metrics", "memory"):
        assert again[key] == told[key]
    same = ("routing", "alpha", "redundant_experts", "precision", "sparsity")
    for key in (*same, "lora_rank", "lora_adapters", "lora_on"):
        assert again["scenario"][key] == told["scenario"][key]


def test_a_scenario_file_has_the_words(genz: Genz, tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(
        "model: llama-2-7b\nhardware: h100-sxm\nbatch: 16\nsparsity: 2:4\nlora_rank: 8\nlora_adapters: 4\n"
        "precision: {weights: int8, attention: bf16, embeddings: bf16, kv: bf16}\n"
    )
    found = genz("check", str(file), "--json").json["results"][0]["scenario"]
    assert (found["sparsity"], found["lora_rank"], found["lora_on"]) == ("2:4", 8, "all-linear")
    assert found["precision"]["attention"] == found["precision"]["embeddings"] == "bf16"


def said(genz: Genz, *words: str) -> str:
    return "; ".join(genz(*words, "--json").json["assumptions"])


def test_what_a_technique_takes_for_granted_is_said(genz: Genz) -> None:
    blind = said(genz, *MOE, "--routing", "power-law")
    assert "the r-th most popular expert draws r^-0.6 of the tokens" in blind
    assert "experts lie on ranks in any order" in blind
    packed = said(genz, *WORDS[0])
    assert "8 redundant experts, each where it relieves most" in packed
    assert "experts lie on ranks in any order" not in packed
    mixed = said(genz, *WORDS[1])
    assert "attention in bf16 and embeddings in bf16, the rest in fp8" in mixed
    adapted = said(genz, *WORDS[2])
    assert "32 LoRA adapters of rank 16 on query and value projections" in adapted
    assert "h100-sxm computes 2 times as fast with it" in adapted
    slow = said(genz, "run", "llama-3.1-8b", "tpu-v5e", "-n", "4", "--sparsity", "2:4")
    assert "tpu-v5e computes with it as with dense weights" in slow
    [idle] = genz(*DENSE, "--redundant-experts", "8", "--json").json["no_effect"]
    assert idle.startswith("redundant-experts (")


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("--alpha", "1.2"), "--alpha"),
        (("--lora-adapters", "4"), "--lora-rank"),
        (("--lora-rank", "8", "--lora-on", "everything"), "--lora-on"),
        (("--sparsity", "4:2"), "--sparsity"),
        (("--sparsity", "2:4", "--weight-density", "0.5"), "--weight-density"),
        (("--lora-rank", "-1"), "--lora-rank"),
        (("--precision", "int4-g33"), "--precision"),
    ],
)
def test_what_cannot_be_is_one_line(genz: Genz, words: tuple[str, ...], place: str) -> None:
    found = genz(*DENSE, *words)
    assert found.code == 2
    assert place in found.err
    assert len(found.err.strip().splitlines()) == 1


def test_wide_expert_parallelism_on_a_rack_answers(genz: Genz) -> None:
    """256 + 32 experts, four a GPU, on the 72 GPUs of a rack, attention in parallel over requests."""
    words = ("run", "deepseek-r1", "gb200-nvl72", "--tp", "1", "--dp", "72", "--ep", "72", "-b", "4608")
    found = genz(*words, "--redundant-experts", "32", "--routing", "power-law", "--json").json
    assert found["fits"]
    blind = genz(*words[:-4], "--ep", "8", "-b", "4608", "--routing", "power-law", "--json").json
    assert blind["fits"]


def test_the_planner_spreads_redundant_experts(genz: Genz) -> None:
    """8 + 8 experts go on 16 chips, where 8 go on 8 only."""
    words = ("run", "mixtral-8x7b", "hgx-h100", "-n", "16", "--dp", "16", "--tp", "1", "-b", "64", "--json")
    assert genz(*words, "--redundant-experts", "8").json["scenario"]["ep"] == 16


@pytest.mark.parametrize(
    ("words", "axis", "values"),
    [
        ((*DENSE[1:], "--lora-adapters", "4"), "lora_rank", ("0", "8", "64")),
        ((*DENSE[1:], "--lora-rank", "8"), "lora_adapters", ("1", "4", "64")),
        ((*MOE[1:], "--routing", "power-law"), "alpha", ("0", "0.6", "1.2")),
        (MOE[1:], "redundant_experts", ("0", "8")),
        (DENSE[1:], "sparsity", ("2:4", "1:4")),
    ],
)
def test_a_row_of_a_sweep_is_the_run(
    genz: Genz, words: tuple[str, ...], axis: str, values: tuple[str, ...]
) -> None:
    rows = genz("sweep", *words, "--over", f"{axis}={','.join(values)}", "--json").json["rows"]
    for row, value in zip(rows, values, strict=True):
        alone = genz("run", *words, f"--{axis.replace('_', '-')}", value, "--json").json
        assert row["tpot_ms"] == pytest.approx(alone["metrics"]["tpot_ms"], rel=1e-12)


WIDE = ("run", "deepseek-v3", "gb200-nvl72", "--concurrency", "2048", "--precision", "fp8")


def test_redundant_experts_are_offered_where_experts_do_not_divide(genz: Genz) -> None:
    """256 experts cannot be spread over 72 chips, 288 can: what is offered is what comes of it."""
    plain = genz(*WIDE, "--json").json
    [offer] = plain["cures"]
    assert offer["change"] == "--redundant-experts 32" and offer["cures"]
    assert offer["effect"].startswith("ep 72 (256 experts do not divide by 72 chips, 288 do): TTFT ")
    taken = genz(*WIDE, *offer["change"].split(), "--json").json
    assert taken["scenario"]["ep"] == 72 and taken["cures"] == []
    assert taken["metrics"]["e2e_ms"] < 0.95 * plain["metrics"]["e2e_ms"]
    assert taken["metrics"]["tpot_ms"] == pytest.approx(float(offer["effect"].split()[-2]), rel=5e-3)


def test_redundant_experts_are_offered_where_popular_ones_bind(genz: Genz) -> None:
    words = ("run", "deepseek-v3", "gb200-nvl72", "-n", "64", "--concurrency", "2048", "--precision", "fp8")
    assert genz(*words, "--json").json["cures"] == []
    skewed = genz(*words, "--routing", "power-law", "--alpha", "1", "--json").json
    [offer] = skewed["cures"]
    assert "popular experts lie on several ranks" in offer["effect"]
    taken = genz(*words, "--routing", "power-law", "--alpha", "1", *offer["change"].split(), "--json").json
    assert taken["metrics"]["e2e_ms"] < 0.95 * skewed["metrics"]["e2e_ms"]


@pytest.mark.parametrize(
    "words", ["mixtral-8x7b hgx-h100 -b 64", "llama-3.1-70b 8xh100", "qwen3-30b-a3b h200"]
)
def test_they_are_not_offered_where_they_bring_little(genz: Genz, words: str) -> None:
    assert genz("run", *words.split(), "--json").json["cures"] == []
