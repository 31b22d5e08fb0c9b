"""Speculative decoding in words: what drafts, where, what is said about it, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Genz = Callable[..., Any]

RUNS = [
    "deepseek-v3 hgx-h200 --tp 8 --ep 8 -b 16 --draft mtp --accept 0.85",
    "mimo-v2-flash hgx-h200 --tp 4 --dp 2 --ep 8 --concurrency 32 --chunk 2048 --draft mtp --draft-tokens 5",
    "llama-3.1-70b hgx-h100 --tp 8 --draft ngram --draft-tokens 3 --expectation genz",
    "llama-3.1-70b hgx-h100 --tp 8 --draft llama-3.1-8b "
    "--draft-hardware l40s --draft-chips 2 --draft-latency 50us",
    "qwen3.5-27b h100-sxm --draft mtp -o 1",
]


@pytest.mark.parametrize("words", RUNS)
def test_what_is_saved_is_answered_alike(genz: Genz, words: str, tmp_path: Path) -> None:
    told = genz("run", *words.split(), "--json", "--save", "a.yaml").json
    [again] = genz("check", "a.yaml", "--json").json["results"]
    for key in ("scenario", "metrics", "memory", "draft_memory", "phases"):
        assert told[key] == again[key], key


def test_modules_draft_a_token_each_unless_told_otherwise(genz: Genz) -> None:
    def drafts(words: str) -> Any:
        return genz("run", *words.split(), "--json").json["scenario"]["draft_tokens"]

    assert drafts("deepseek-v3 hgx-h200 --tp 8 --ep 8 --draft mtp") == 1
    assert drafts("mimo-v2-flash hgx-h200 --tp 8 --ep 8 --draft mtp") == 3
    assert drafts("llama-3.1-8b h100-sxm --draft ngram") == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (RUNS[0], "1 MTP module drafts 1 token, each accepted with chance 0.85: 1.85 tokens a verification"),
        (RUNS[2], "n-grams of the prompt draft 3 tokens at no cost"),
        (RUNS[3], "the draft runs on 2 l40s"),
        (RUNS[3], "its tokens take 50 µs one way"),
    ],
)
def test_who_drafts_stands_under_the_answer(genz: Genz, words: str, said: str) -> None:
    assert said in "; ".join(genz("run", *words.split(), "--json").json["assumptions"])


def test_json_says_what_drafts_and_where(genz: Genz) -> None:
    here, there = (genz("run", *words.split(), "--json").json for words in (RUNS[0], RUNS[3]))
    assert here["scenario"]["draft"] == "mtp"
    assert here["scenario"]["draft_hardware"] is here["draft_memory"] is None
    asked = there["scenario"]
    assert asked["draft"] == "llama-3.1-8b"
    assert (asked["draft_chips"], asked["draft_latency_ms"]) == (2, 0.05)
    assert 7e9 < there["draft_memory"]["weights_bytes"] < 9e9  # half of 16 GB in bf16
    assert there["draft_memory"]["capacity_bytes"] < there["memory"]["capacity_bytes"]


def test_a_scenario_file_has_the_same_words(genz: Genz, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "model: llama-3.1-70b\nhardware: hgx-h100\ndraft: llama-3.1-8b\ndraft_hardware: l40s\n"
        "draft_chips: 2\ndraft_latency: 50 us\n"
    )
    [got] = genz("check", "a.yaml", "--json").json["results"]
    assert got["metrics"] == genz("run", *RUNS[3].split(), "--json").json["metrics"]


@pytest.mark.parametrize(
    ("words", "place", "message"),
    [
        ("--draft mtp", "--draft", "llama-3.1-70b has no multi-token-prediction modules"),
        ("--draft-tokens 3", "--draft-tokens", "nothing drafts"),
        ("--draft-hardware l40s", "--draft-hardware", "nothing drafts"),
        ("--draft ngram --draft-chips 2", "--draft-chips", "no chips of its own"),
        ("--draft ngram --draft-hardware l40s", "--draft-hardware", "the chips of the model itself"),
        ("--draft llama-3.1-8b --draft-hardware nosuch", "--draft-hardware", "nosuch"),
        (
            "--draft llama-3.1-8b --draft-hardware l40s --draft-chips 3",
            "--draft-chips",
            "tp 3 does not divide",
        ),
        ("--draft llama-3.1-8b --draft-hardware l40s --draft-chips 0", "--draft-chips", "at least 1"),
        ("--draft llama-3.1-8b --draft-hardware l40s --draft-latency fast", "--draft-latency", "fast"),
        ("--draft nosuch", "--draft", "nosuch"),
        ("--draft ngram --accept 0 --expectation genz", "--accept", "yields no token"),
    ],
)
def test_what_cannot_draft_is_one_line_with_the_place(
    genz: Genz, words: str, place: str, message: str
) -> None:
    ended = genz("run", "llama-3.1-70b", "hgx-h100", "--tp", "8", *words.split())
    assert ended.code == 2
    assert ended.err.startswith(f"genz: error: {place}: ")
    assert message in ended.err
    assert ended.err.count("\n") == 1


def test_a_draft_that_does_not_fit_says_which_chips_are_full(genz: Genz) -> None:
    words = "llama-3.1-8b h100-sxm --draft llama-3.1-70b --draft-hardware l40s"
    ended = genz("run", *words.split(), "--json")
    assert ended.code == 3
    assert ended.json["why"].startswith("the draft needs")
    assert "each l40s" in ended.json["why"]
    assert ended.json["cures"][0]["change"] == "--draft-chips 4"  # 141 GB of weights, 43 each


def test_the_table_names_the_drafts_and_their_chips(genz: Genz) -> None:
    said = " ".join(genz("run", *RUNS[3].split()).out.split())
    assert "4 drafts of llama-3.1-8b on 2 × l40s" in said
    assert "Memory per chip of the draft" in said


def test_show_has_the_modules_beside_the_total(genz: Genz) -> None:
    said = genz("show", "deepseek-v3").out
    assert "1 × MTP module" in said
    assert "MTP, held when it drafts" in said


def test_a_sweep_says_that_the_draft_is_short_of_room(genz: Genz) -> None:
    words = "llama-3.1-8b h100-sxm --draft llama-3.1-70b --draft-hardware l40s --over draft_tokens=1,2"
    assert genz("sweep", *words.split(), "--format", "csv").out.count("the draft needs") == 2
