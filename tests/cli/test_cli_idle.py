"""Words that change nothing: each is named, with the reason, in every output; none that does anything is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genzcli.cli.asking.request import Request

Genz = Callable[..., Any]
RUN = ("run", "llama-3.1-8b", "h100-sxm")

#: A value of each word that is not its default; what has none here decides what is asked.
VALUES = {
    "beams": "2",
    "images": "2",
    "image_tokens": "100",
    "prefix_hit": "0.5",
    "sp": None,
    "uneven": "pad",
    "overlap": "0.5",
    "routing": "worst",
    "redundant_experts": "8",
    "imbalance": "1.5",
    "draft": "ngram",
    "kv_keep": "0.5",
    "offload": "host",
    "placement": "kv-first",
    "place": "kv=host",
    "attention_on": "host",
    "reserve": "0.3",
    "sparsity": "2:4",
    "weight_density": "0.5",
    "lora_rank": "8",
    "chunk": "256",
    "flash": False,
    "fused": False,
}
BASES = {
    "dense": RUN,
    "tensor-parallel": ("run", "llama-3.1-70b", "8xh100"),
    "experts": ("run", "mixtral-8x7b", "hgx-h100", "-b", "16"),
    "latent": ("run", "deepseek-v3", "hgx-h200", "--concurrency", "64"),
    "recurrent": ("run", "mamba-2.8b", "h100-sxm"),
    "sram": ("run", "llama-3.1-8b", "groq-lpu", "-n", "128"),
    "vision": ("run", "qwen2.5-vl-7b", "h100-sxm", "--images", "1"),
    "too-large": ("run", "llama-3.1-405b", "h100-sxm"),
}
SHOWN = ("fits", "draft_memory", "metrics", "verdict")


def _flag(word: str, value: Any) -> tuple[str, ...]:
    name = word.replace("_", "-")
    if isinstance(value, bool):
        return (f"--{'' if value else 'no-'}{name}",)
    return (f"--{name}",) if value is None else (f"--{name}", value)


def _seen(answer: dict[str, Any]) -> list[Any]:
    """What a reader sees of an answer, but for how it was asked for."""
    memory = {key: value for key, value in answer["memory"].items() if key != "tiers"}
    phases = {name: phase and phase["time_ms"] for name, phase in answer["phases"].items()}
    return [memory, phases, *(answer[key] for key in SHOWN)]


@pytest.mark.parametrize("base", BASES)
def test_a_word_changes_the_answer_or_is_said_to_have_no_effect(genz: Genz, base: str) -> None:
    plain = genz(*BASES[base], "--json").json
    held = [part for axis in ("tp", "pp", "dp", "ep") for part in (f"--{axis}", str(plain["scenario"][axis]))]
    silent, wrong = [], []
    for word, value in VALUES.items():
        ended = genz(*BASES[base], *held, *_flag(word, value), "--json")
        if ended.code == 2:  # refused, with a cure
            continue
        said = [text for text in ended.json["no_effect"] if text.startswith(word.replace("_", "-"))]
        same = _seen(ended.json) == _seen(plain)
        if same and not said and plain["fits"]:
            silent.append(word)
        if said and not same:
            wrong.append(word)
    assert (silent, wrong) == ([], [])
    assert plain["no_effect"] == []


def test_every_word_is_tried_or_needs_another_or_is_the_question() -> None:
    basics = {"model", "hardware", "name", "usecase", "input", "output", "batch", "concurrency", "batching"}
    basics |= {
        "chips",
        "tp",
        "pp",
        "dp",
        "ep",
        "precision",
        "stack",
        "slo",
        "set",
        "catalog",
        "places",
        "price",
    }
    refused = {"alpha", "draft_hardware", "draft_chips", "draft_latency", "draft_tokens", "accept"}
    refused |= {"expectation", "lora_adapters", "lora_on", "image_size"}
    assert set(Request._fields) == {*VALUES} | basics | refused


def test_what_has_no_effect_is_said_once_with_the_reason(genz: Genz) -> None:
    words = ("--routing", "worst", "--imbalance", "2", "--sp", "--precision", "experts=fp8")
    found = genz(*RUN, *words, "--json").json["no_effect"]
    assert found == [
        "sp (a chip that holds the whole model sends nothing)",
        "routing, imbalance, the precision of experts (llama-3.1-8b has no experts)",
    ]
    assert "No effect: sp (a chip" in genz(*RUN, *words).out
    assert "*No effect:* sp (a chip" in genz(*RUN, *words, "--format", "markdown").out
    for quiet in (("-q",), ("--format", "csv")):
        ended = genz(*RUN, *words, *quiet)
        assert ended.err.count("genz: note: no effect: ") == 2 and "no effect" not in ended.out


def test_one_rank_of_experts_has_the_mean(genz: Genz) -> None:
    words = ("mixtral-8x7b", "h200", "--imbalance")
    [said] = genz("run", *words, "2", "--json").json["no_effect"]
    assert said == "imbalance (experts are on one rank, which has the mean)"
    many = ("run", "mixtral-8x7b", "hgx-h100", "--tp", "2", "--ep", "2", "-b", "64", "--imbalance")
    at_most, beyond = (genz(*many, value, "--json").json for value in ("2", "9"))
    assert at_most["metrics"] == beyond["metrics"] and beyond["no_effect"] == []
    [worst] = genz(*many, "2", "--routing", "worst", "--json").json["no_effect"]
    assert worst == "imbalance (routing worst sends every token to one rank as it is)"


def test_a_field_that_does_not_count_is_said_to(genz: Genz) -> None:
    found = genz(*RUN, "--set", "peaks.fp8=*2", "--set", "peaks.bf16=*2", "--json").json["no_effect"]
    assert found == ["--set peaks.fp8=*2 (this answer does not depend on it)"]


def test_a_default_that_is_written_down_is_no_word_without_effect(genz: Genz) -> None:
    assert genz(*RUN, "--uneven", "error", "--overlap", "0", "--beams", "1", "--json").json["no_effect"] == []
    assert genz("run", "mixtral-8x7b", "hgx-h100", "--routing", "uniform", "--json").json["no_effect"] == []


def test_scenarios_and_columns_say_so_too(genz: Genz, tmp_path: Path) -> None:
    text = "model: llama-3.1-8b\nhardware: h100-sxm\nscenarios:\n  - {sp: true}\n  - {name: plain}\n"
    (tmp_path / "a.yaml").write_text(text)
    assert "No effect: sp (a chip that holds the whole model sends nothing) (1 of 2)" in " ".join(
        genz("check", "a.yaml").out.split()
    )
    assert genz("check", "a.yaml", "-q").err == ""  # the table and JSON say so of single scenarios
    (tmp_path / "b.yaml").write_text(f"sp: true\n{text}")
    quiet = genz("check", "b.yaml", "-q").err
    assert quiet.startswith("genz: note: b.yaml: no effect: sp (") and quiet.count("\n") == 1
    compared = genz("compare", "llama-3.1-8b", "h100", "--change", "sp=true", "--format", "markdown").out
    assert "*No effect for sp=true:* sp" in compared
