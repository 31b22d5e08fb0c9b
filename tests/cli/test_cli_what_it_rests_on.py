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


def test_a_server_under_constants_of_static_batches_gets_the_wider_band(genz: Genz) -> None:
    words = ("run", "llama-3.1-8b", "mi300x", "--stack", "vllm", "--json")
    ended = genz(*words, "--concurrency", "8")
    assert "vllm as of 2024, fitted to static batches, since no servers were measured" in assumed(ended)
    generic = genz(*words[:3], "--json", "--concurrency", "8")
    assert band(ended) == max(band(generic), band(genz(*words, "-b", "8")))


def test_a_comparison_of_software_of_two_years_warns(genz: Genz) -> None:
    words = ("--stack", "vllm", "-b", "32", "--format", "markdown")
    said = genz("compare", "llama-3.1-70b", "8xh100", "8xb200", *words).out
    assert "8xh100 under vllm of 2024, 8xb200 under that of later servers" in said
    assert "vllm of 2024, " not in genz("compare", "llama-3.1-70b", "8xh100", "8xa100", *words).out


def test_a_format_of_llama_cpp_names_its_stack(genz: Genz) -> None:
    words = ("run", "llama-3.1-8b", "rtx-4090", "--precision", "q4_k_m", "--json")
    hint = "q4_k_m is a format of llama.cpp, whose kernels are those of --stack llama-cpp"
    assert hint in assumed(genz(*words))
    assert hint not in assumed(genz(*words, "--stack", "llama-cpp"))
    assert "is a format of llama.cpp" not in assumed(genz(*words[:3], "--precision", "w4a16", "--json"))


@pytest.mark.parametrize(
    ("said", "meant"), [("trtllm", "tensorrt-llm"), ("TRT-LLM", "tensorrt-llm"), ("llama.cpp", "llama-cpp")]
)
def test_a_stack_by_what_people_call_it(genz: Genz, said: str, meant: str) -> None:
    profiles = [
        genz("run", "llama-3.1-8b", "h100-sxm", "--stack", word, "--json").json["scenario"]["profile"]
        for word in (said, meant)
    ]
    assert profiles[0] == profiles[1] and profiles[0].startswith(meant)


def test_a_swept_concurrency_is_called_so(genz: Genz) -> None:
    said = genz("sweep", "llama-3.1-8b", "h100-sxm", "--over", "concurrency=1,2").out
    assert said.splitlines()[2].split()[0] == "concurrency" and "batch" not in said
    said = genz("sweep", "llama-3.1-8b", "h100-sxm", "--over", "batch=1,2").out
    assert said.splitlines()[2].split()[0] == "batch"


def test_phones_are_found(genz: Genz) -> None:
    phones = genz("list", "chips", "phone", "-q").out.split()
    assert {"a18-pro", "snapdragon-8-elite", "dimensity-9400"} <= set(phones)
    assert genz("list", "chips", "phones", "-q").out.split() == phones
    assert {"iphone-16-pro", "galaxy-s24"} <= set(genz("list", "phones", "-q").out.split())
    assert genz("list", "chips", "h100", "-q").out.split() == ["h100-nvl", "h100-pcie", "h100-sxm"]


def test_a_server_says_what_its_requests_hold_and_what_the_host_stands_for(genz: Genz) -> None:
    words = ("run", "llama-3.1-8b", "h100-sxm", "--stack", "sglang", "--json")
    ended = genz(*words, "--concurrency", "1")
    said = assumed(ended)
    assert "a request holds cache for 50% of its output" in said
    whole = "a request has cache set aside for all of its output"
    assert whole not in said and whole in assumed(genz(*words[:3], "--json", "--concurrency", "1"))
    assert "starts all users at once; an idle server's may be far less" in said
    host = "a server's host work ahead of the first token"
    assert host not in ended.json["not_modelled"]
    assert ended.json["not_modelled"] == genz(*words, "-b", "1").json["not_modelled"][1:]
    assert genz(*words, "-b", "1").json["not_modelled"][0] == host
