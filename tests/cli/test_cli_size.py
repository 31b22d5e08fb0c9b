"""`genz size`: the counts a person would find, and what they rest on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Genz = Callable[..., Any]


def best(genz: Genz, *words: str) -> Any:
    return genz("size", *words, "--json").json["results"]


def test_known_counts(genz: Genz) -> None:
    """405B in BF16 is 810 GB: twelve chips of 80 GB as tp 4 x pp 3. Mixtral-8x22B is 281 GB: four, barely."""
    [large] = best(genz, "llama-3.1-405b", "h100-sxm")
    assert (large["chips"], large["tp"], large["pp"]) == (12, 4, 3)
    [mixture] = best(genz, "mixtral-8x22b", "h100-sxm")
    assert mixture["chips"] == 4
    held = genz("run", "mixtral-8x22b", "h100-sxm", "-n", "4", "--json").json["memory"]
    assert 0.9 < held["used_bytes"] / held["capacity_bytes"] <= 1


def test_a_degree_that_is_given_leaves_the_others_open(genz: Genz) -> None:
    [found] = best(genz, "llama-3.1-405b", "h100-sxm", "--tp", "4")
    assert (found["chips"], found["tp"], found["pp"]) == (12, 4, 3)
    [deep] = best(genz, "llama-3.1-405b", "h100-sxm", "--pp", "7")
    assert deep["pp"] == 7 and deep["chips"] % 7 == 0


def test_a_chip_that_cannot_be_asked_does_not_end_the_search(genz: Genz) -> None:
    found = best(genz, "llama-3.1-8b", "--set", "memory.gddr6.bandwidth=*2", "--most", "1")  # A100 has none
    assert any(item["found"] for item in found)


def test_the_smallest_passes_and_one_less_does_not(genz: Genz) -> None:
    words = ("llama-3.1-70b", "h100-sxm", "-u", "chat", "--precision", "fp8")
    [found] = best(genz, *words)
    chips = found["chips"]
    asked = genz(
        "run", *words, "-n", str(chips), "--tp", str(found["tp"]), "--pp", str(found["pp"]), "--json"
    )
    assert asked.code == 0 and asked.json["metrics"]["tpot_ms"] == found["tpot_ms"]
    for fewer in range(1, chips):
        assert genz("run", *words, "-n", str(fewer), "-q").code != 0


def test_platforms_are_ranked_and_the_rest_has_reasons(genz: Genz) -> None:
    found = best(
        genz,
        *("llama-3.1-70b", "mi300x", "h100-sxm", "l4", "-u", "chat", "--most", "16", "--by", "cost"),
        *("--precision", "fp8"),
    )
    able = [item for item in found if item["found"]]
    costs = [item["usd_per_million_output_tokens"] for item in able]
    assert costs == sorted(costs) and len(able) >= 1
    assert all(item["why"] for item in found if not item["found"])
    assert [item["found"] for item in found] == sorted((item["found"] for item in found), reverse=True)


def test_largest_is_what_run_says_on_both_sides(genz: Genz) -> None:
    words = ("llama-3.1-70b", "h100-sxm", "-n", "8", "-u", "chat", "--precision", "fp8")
    [found] = best(genz, *words, "--largest", "concurrency")
    at, beyond = str(found["value"]), str(found["fails_at"])
    assert genz("run", *words, "--concurrency", at, "-q").code == 0
    assert genz("run", *words, "--concurrency", beyond, "-q").code == 1


def test_needs_are_enough(genz: Genz) -> None:
    words = ("llama-3.1-8b", "h100-sxm", "-u", "chat", "--stack", "ideal")
    found = {item["resource"]: item for item in best(genz, *words, "--needs") if item["together"]}
    edits = [
        f"--set=peaks.bf16=*{found['compute']['factor']}",
        f"--set=memory.hbm.bandwidth=*{found['memory bandwidth']['factor']}",
        f"--set=memory.hbm.capacity=*{found['memory capacity']['factor']}",
    ]
    assert genz("run", *words, *edits, "-q").code == 0
    factor = found["memory bandwidth"]["factor"] * 0.9
    assert genz("run", *words, edits[0], f"--set=memory.hbm.bandwidth=*{factor}", edits[2], "-q").code != 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        # 810 GB over 85.5 GB less the 10 % kept free: 10.6 chips
        ("llama-3.1-405b h100-sxm --most 4", "the weights alone need at least 11 chips, and --most is 4"),
        ("llama-3.1-8b h100-sxm --dp 8", "dp 8 is more than the batch 1"),
        ("llama-3.1-8b h100-sxm --tp 8 --most 4", "tp 8 = 8 chips, and --most is 4"),
        ("llama-3.1-8b groq-lpu --slo cost=1", "no price of groq-lpu is known; give --price"),
        ("llama-3.1-8b inferentia2 --slo power=1", "no power of inferentia2 is known"),
        (
            "llama-3.1-8b h100-sxm --slo cost=1 --most 2",
            "does not meet cost (2.86 USD/M tokens, 2.86 × the limit)",
        ),
    ],
)
def test_says_why_nothing_serves(genz: Genz, words: str, says: str) -> None:
    [found] = best(genz, *words.split())
    assert not found["found"] and says in found["why"]


def test_what_has_no_price_is_no_winner(genz: Genz) -> None:
    first, last = best(genz, "llama-3.1-8b", "mi350x", "h100-sxm", "--by", "cost")
    assert (first["hardware"], last["hardware"]) == ("h100-sxm", "mi350x")
    assert last["found"] and last["chips"] == 1 and "no price of mi350x is known" in last["why"]
    [priced] = best(genz, "llama-3.1-8b", "mi350x", "--by", "cost", "--price", "$2")
    assert priced["why"] is None and priced["usd_per_million_output_tokens"] > 0
    page = genz("size", "llama-3.1-8b", "mi350x", "h100-sxm", "--by", "cost").out
    assert "Not compared: mi350x: no price" in page


def test_a_resource_that_is_not_asked_for_has_no_factor(genz: Genz) -> None:
    """One chip sends nothing to others."""
    words = ("llama-3.1-8b", "h100-sxm", "--needs", "--slo", "ttft=1s", "--slo", "tpot=1s", "-o", "1")
    found = [item for item in best(genz, *words) if item["resource"] == "network"]
    assert [(item["needs"], item["factor"]) for item in found] == [(0, 0), (0, 0)]
    page = genz("size", *words).out
    assert "next to none" in page and "Says nothing: TPOT" in page


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("h100-sxm", "h100"), "h100-sxm and h100 are the same; name each chip or platform once"),
        (("h100-sxm", "h100", "--largest", "batch"), "h100-sxm and h100 are the same"),
        (("h100-sxm", "--largest", "batch", "--concurrency", "4"), "the largest batch is what is asked for"),
        (("h100-sxm", "--largest", "output", "--set", "usecase.output_tokens=5"), "the largest output"),
        (("h100-sxm", "--largest", "batch", "--most", "4"), "--most: says how to search sizes"),
        (("h100-sxm", "--needs", "--slo", "ttft=1s", "--by", "cost"), "--by: says how to search sizes"),
        (("h100-sxm", "--needs", "--slo", "tpot=1s", "-o", "1"), "no platform can miss TPOT"),
        (("groq-lpu", "--needs", "--slo", "cost=1"), "no price of groq-lpu is known"),
        (("h100-sxm", "--by", "speed"), "unknown aim"),
        (("h100-sxm", "-n", "4"), "the number of chips is what is asked for"),
        (("h100-sxm", "--largest", "model"), "is not searched for"),
        (("h100-sxm", "--largest", "batch", "-b", "4"), "is what is asked for"),
        (("--largest", "batch"), "no hardware is named"),
        (("h100-sxm", "--needs"), "no objectives"),
        (("h100-sxm", "--needs", "--largest", "batch"), "asks two questions"),
        (("no-such-chip",), "no-such-chip"),
        (("h100-sxm", "--most", "0"), "0"),
    ],
)
def test_refuses(genz: Genz, words: tuple[str, ...], says: str) -> None:
    ended = genz("size", "llama-3.1-8b", *words)
    assert ended.code == 2 and says in ended.err and not ended.out


def test_the_nearest_miss_is_said(genz: Genz) -> None:
    """What comes closest stands in the table, with how many times its limit each missed objective takes."""
    words = ("llama-3.1-70b", "h100-sxm", "l4", "-u", "chat", "--slo", "ttft=40ms")
    near, far = best(genz, *words)
    assert near["hardware"] == "h100-sxm" and not near["found"] and near["chips"] is None
    closest = near["closest"]
    assert closest["misses"]["ttft"] == pytest.approx(closest["ttft_ms"] / 40)
    assert max(closest["misses"].values()) < max(far["closest"]["misses"].values())
    asked = genz(
        "run", *words[:2], "-u", "chat", "-n", str(closest["chips"]), "--tp", str(closest["tp"]), "--json"
    )
    assert asked.json["metrics"]["ttft_ms"] == closest["ttft_ms"]
    page = genz("size", *words).out
    assert "None can serve; the closest" in page
    assert f"TTFT × {closest['misses']['ttft']:.3g}" in page


def test_what_is_in_the_way_of_the_first_value(genz: Genz) -> None:
    [small, slow] = best(
        genz, "llama-3.1-70b", "h100-sxm", "hgx-h100", "-u", "chat", "--largest", "concurrency"
    )
    assert small["value"] is None and "short" in small["why"] and "--chips" in small["why"]
    assert slow["value"] is None and "TPOT" in slow["why"] and "10 ms allowed" in slow["why"]


def test_not_compared_is_not_unable(genz: Genz) -> None:
    """Neither has a price: one serves and is told apart, the other's own reason is said."""
    words = ("llama-3.3-70b", "groq-lpu", "wse-3", "-u", "chat", "--by", "cost")
    found = {item["hardware"]: item for item in best(genz, *words)}
    assert found["wse-3"]["found"] and found["wse-3"]["why"].startswith("not compared")
    assert not found["groq-lpu"]["found"] and "weights alone need" in found["groq-lpu"]["why"]
    assert "Cost: at batch 1" in genz("size", *words).out
