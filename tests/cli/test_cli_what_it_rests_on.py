"""What an answer says of the constants it rests on: whose they are, how far they hold, for which software."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Genz = Callable[..., Any]


def assumed(ended: Any) -> str:
    """Everything the answer takes for granted, as one text."""
    return "; ".join(ended.json["assumptions"])


def band(ended: Any) -> float:
    return float(ended.json["error"]["tpot_ms"])


def test_a_chip_unlike_those_measured_is_told_and_gets_the_wider_band(genz: Genz) -> None:
    # Fitted to A100, H100 and GH200: HBM, Ampere and Hopper. An RTX 4090 is neither.
    ended = genz("run", "llama-3.1-8b", "rtx-4090", "--stack", "vllm", "--json")
    said = assumed(ended)
    assert "fitted to a100-sxm-40gb, gh200, h100-sxm, not measured on rtx-4090" in said
    assert "(measured)" not in said
    assert band(ended) == band(genz("run", "llama-3.1-8b", "rtx-4090", "--json"))
    assert ended.json["scenario"]["measured_on_chip"] is False


@pytest.mark.parametrize(("chip", "stated"), [("h200", 0.081), ("mi325x", 0.239)])
def test_kin_of_a_measured_chip_keep_the_band_of_a_chip_left_out(
    genz: Genz, chip: str, stated: float
) -> None:
    ended = genz("run", "llama-3.1-8b", chip, "--stack", "vllm", "--json")
    assert f"not measured on {chip}; its error band is that of a chip left out" in assumed(ended)
    assert band(ended) == stated


def test_a_measured_chip_is_measured(genz: Genz) -> None:
    ended = genz("run", "llama-3.1-8b", "h100-sxm", "--stack", "vllm", "--json")
    assert "vllm-2024-h100-sxm (measured)" in assumed(ended)
    assert band(ended) == 0.05 and ended.json["scenario"]["measured_on_chip"] is True


def test_a_profile_of_one_s_own_on_another_chip_says_so(genz: Genz, tmp_path: Path) -> None:
    text = genz("show", "vllm-2024-h100-sxm", "--yaml").out
    (tmp_path / "mine.yaml").write_text(text)
    words = ("run", "llama-3.1-8b", "mi300x", "--stack", "./mine.yaml", "--json")
    ended = genz(*words)
    said = assumed(ended)
    assert "which applies to h100-sxm, fitted to h100-sxm, not measured on mi300x" in said
    assert "widened to that of generic-gpu-amd" in said
    assert band(ended) >= band(genz(*words[:3], "--json")) > 0.05


def test_a_static_batch_is_software_of_2024_and_says_so(genz: Genz) -> None:
    words = ("run", "llama-3.1-8b", "h100-sxm", "--stack", "vllm", "--json")
    said = assumed(genz(*words, "-b", "8"))
    assert "vllm as of 2024, which static batches were measured under; --concurrency asks for" in said
    assert "as of 2024" not in assumed(genz(*words, "--concurrency", "8"))
    # Where servers were measured and no static batches, theirs stand in.
    said = assumed(genz("run", "llama-3.1-8b", "b200", "--stack", "vllm", "--json"))
    assert "as of 2024" not in said


def test_a_comparison_of_software_of_two_years_warns(genz: Genz) -> None:
    words = ("--stack", "vllm", "-b", "32", "--format", "markdown")
    said = genz("compare", "llama-3.1-70b", "8xh100", "8xb200", *words).out
    assert "8xh100 under vllm of 2024, 8xb200 under that of later servers" in said
    assert "vllm of 2024, " not in genz("compare", "llama-3.1-70b", "8xh100", "8xa100", *words).out
