"""What the words of a command line come to: defaults, choices, overrides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Genz = Callable[..., Any]


def scenario(genz: Genz, *words: str) -> Any:
    ended = genz("run", *words, "--json")
    assert ended.out, ended.err
    return ended.json["scenario"]


def test_defaults(genz: Genz) -> None:
    found = scenario(genz, "llama-3.1-8b", "h100-sxm")
    expected = {
        "chips": 1,
        "input_tokens": 1000,
        "output_tokens": 200,
        "batch": 1,
        "beams": 1,
        "stack": "generic",
    }
    assert {key: found[key] for key in expected} == expected


def test_a_platform_means_all_of_it_and_a_chip_one(genz: Genz) -> None:
    assert scenario(genz, "llama-3.1-8b", "hgx-h100")["chips"] == 8
    assert scenario(genz, "llama-3.1-8b", "h100-sxm")["hardware"] == "h100-sxm"
    assert scenario(genz, "llama-3.1-8b", "hgx-h100")["hardware"] == "hgx-h100"


def test_degrees_make_the_chips(genz: Genz) -> None:
    found = scenario(genz, "llama-3.1-8b", "h100-sxm", "--tp", "2", "--pp", "2")
    assert (found["chips"], found["dp"]) == (4, 1)
    found = scenario(genz, "llama-3.1-8b", "h100-sxm", "-n", "8", "--tp", "2", "-b", "16")
    assert found["pp"] * found["dp"] == 4 and found["tp"] == 2


def test_a_use_case_gives_tokens_and_flags_override_it(genz: Genz) -> None:
    found = scenario(genz, "llama-3.1-8b", "h100-sxm", "-u", "chat", "-o", "50", "--beams", "1")
    assert (found["input_tokens"], found["output_tokens"], found["beams"]) == (3000, 50, 1)


def test_a_use_case_s_own_batch_counts_unless_given(genz: Genz) -> None:
    assert scenario(genz, "llama-3.1-8b", "h100-sxm", "-u", "batch-offline")["batch"] == 64
    assert scenario(genz, "llama-3.1-8b", "h100-sxm", "-u", "batch-offline", "-b", "2")["batch"] == 2


def test_concurrency_means_continuous_batching(genz: Genz) -> None:
    found = scenario(genz, "llama-3.1-8b", "h100-sxm", "--concurrency", "32")
    assert (found["batch"], found["batching"]) == (32, "continuous")


@pytest.mark.parametrize(
    ("word", "weights", "kv", "activations", "compute"),
    [
        ("fp8", "fp8", "fp8", "bf16", "fp8"),
        ("weights=int4,kv=fp8", "int4", "fp8", "bf16", "bf16"),
        ("fp8,kv=bf16", "fp8", "bf16", "bf16", "fp8"),
        ("compute=fp8", "bf16", "bf16", "bf16", "fp8"),
    ],
)
def test_precision(genz: Genz, word: str, weights: str, kv: str, activations: str, compute: str) -> None:
    found = scenario(genz, "llama-3.1-8b", "h100-sxm", "--precision", word)["precision"]
    assert (found["weights"], found["kv"], found["activations"], found["compute"]) == (
        weights,
        kv,
        activations,
        compute,
    )


def test_a_format_without_a_peak_computes_wider_and_says_so(genz: Genz) -> None:
    answer = genz("run", "llama-3.1-8b", "a100-sxm-80gb", "--precision", "fp8", "--json").json
    assert answer["scenario"]["compute_dtype"] == "bf16"
    assert answer["scenario"]["precision"]["compute"] == "bf16"
    assert answer["scenario"]["precision"]["compute_asked"] == "fp8"
    assert any("no peak for fp8" in said for said in answer["assumptions"])


def test_set_reaches_any_field_with_factors(genz: Genz) -> None:
    def tpot(*words: str) -> float:
        answer = genz("run", "llama-3.1-8b", "h100-sxm", "--stack", "ideal", "--json", *words).json
        return float(answer["metrics"]["tpot_ms"])

    assert tpot("--set", "memory.hbm.bandwidth=*2") == pytest.approx(tpot() / 2, rel=1e-3)
    assert tpot("--set", "memory.hbm.bandwidth=6.7TB/s") == pytest.approx(tpot() / 2, rel=1e-3)
    assert tpot("--set", "plan.batch=4") == tpot("-b", "4")
    assert tpot("--set", "usecase.input_tokens=4000") == tpot("-i", "4000")


def test_set_of_a_degree_is_as_good_as_its_flag(genz: Genz) -> None:
    assert scenario(genz, "llama-3.1-8b", "h100-sxm", "--set", "plan.tp=2")["chips"] == 2


def test_everything_chosen_is_said(genz: Genz) -> None:
    said = " ".join(genz("run", "llama-3.1-70b", "hgx-h100", "--json").json["assumptions"])
    for words in ("1000 input tokens", "parallelism chosen: tp 8", "precision bf16", "generic"):
        assert words in said
    said = " ".join(genz("run", "llama-3.1-8b", "sohu", "--precision", "fp8", "--json").json["assumptions"])
    assert "sohu is announced" in said


def test_price_replaces_the_catalog_s(genz: Genz) -> None:
    def cost(price: str) -> float:
        answer = genz("run", "llama-3.1-8b", "h100-sxm", "--price", price, "--json").json
        return float(answer["metrics"]["usd_per_million_output_tokens"])

    assert cost("4") == pytest.approx(2 * cost("$2/h"))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("-n", "8", "--slo", "tpot=1s"), 0),
        (("-n", "8", "--slo", "tpot=1ms"), 1),
        (("-n", "1", "--slo", "tpot=1s"), 3),
        (("-n", "8", "--slo", "tpot=1ms", "--exit-zero"), 0),
        (("-n", "1", "--exit-zero"), 0),
        (("-n", "8", "--tp", "3", "--exit-zero"), 2),
    ],
)
def test_the_verdict_is_the_exit_code(genz: Genz, words: tuple[str, ...], code: int) -> None:
    ended = genz("run", "llama-3.1-70b", "h100-sxm", *words)
    assert ended.code == code
    assert bool(ended.out) is (code != 2)


@pytest.mark.parametrize(
    ("model", "size", "tokens"),
    [
        ("qwen3-vl-2b", "1024x1024", 32 * 32),  # 16 pixels a patch, 2 x 2 patches a token
        ("qwen3-vl-2b", "1920x1080", 60 * 34),  # 33.75 rows round to 34
        ("qwen2.5-vl-7b", "1024x768", 37 * 27),  # 28 pixels a token: 36.6 and 27.4
        ("qwen2.5-vl-7b", "8x8", 1),
    ],
)
def test_the_size_of_an_image_in_tokens(genz: Genz, model: str, size: str, tokens: int) -> None:
    asked = genz("run", model, "h100-sxm", "--images", "3", "-i", "100", "--image-size", size, "--json").json
    assert asked["scenario"]["image_tokens"] == tokens
    assert asked["scenario"]["prompt_tokens"] == 100 + 3 * tokens


def test_part_of_a_torus_is_a_slice_that_is_said(genz: Genz) -> None:
    asked = ("run", "llama-3-8b", "--json", "--tp", "8")
    assumed = genz(*asked, "tpu-v5p-16x16x24", "-n", "8").json["assumptions"]
    assert "8 chips of tpu-v5p-16x16x24 are a slice of 2 x 2 x 2" in assumed
    whole = genz(*asked, "tpu-v5p-4x4x4", "-n", "64", "--dp", "8", "-b", "8").json["assumptions"]
    assert "slice" not in " ".join(whole)
