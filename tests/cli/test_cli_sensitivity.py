"""`genz sensitivity`: every elasticity is what two runs of `genz run` give; documents, words, exit codes."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from typing import Any

import pytest

Genz = Callable[..., Any]
METRIC = {"ttft": "ttft_ms", "tpot": "tpot_ms", "e2e": "e2e_ms", "throughput": "output_tokens_per_s",
          "joules": "joules_per_output_token", "cost": "usd_per_million_output_tokens"}  # fmt: skip

ASKED = [
    "llama-3.1-70b h100-sxm --tp 8 -b 300",
    "mixtral-8x7b hgx-h100 --tp 8 -b 200 --precision fp8 --imbalance 1.2",
    "llama-3.1-8b h100-sxm --tp 1 --concurrency 200 --chunk 1000 -i 2000",
]


@pytest.mark.parametrize("words", ASKED)
def test_every_elasticity_is_that_of_two_runs(genz: Genz, words: str) -> None:
    found = genz("sensitivity", *words.split(), "--json").json
    assert found["schema"] == "genz.sensitivity/1" and found["fits"] and len(found["parameters"]) > 15
    for item in found["parameters"]:
        value, unit = item["value"], item["unit"]
        whole = item["path"] in WHOLE
        step = max(1, round(value / 100)) if whole else value / 100
        low, high = max(value - step, 1 if whole else 0), value + step
        if value == 1 and unit is None and not whole:  # efficiencies and other shares end here
            high = 1
        answers = [_run(genz, words, item["path"], at, unit) for at in (low, high)]
        for name, key in METRIC.items():
            expected = math.log(answers[1][key] / answers[0][key]) / math.log(high / low)
            assert item["elasticities"][name] == pytest.approx(expected, abs=1e-8), (item["path"], name)


WHOLE = ("plan.batch", "plan.chunk", "usecase.input_tokens", "usecase.output_tokens", "usecase.beams")
UNITS = {None: "", "bytes/s": "B/s", "flop/s": "FLOP/s", "bytes": "B", "s": "s", "W": "W", "USD/h": "USD/h"}


def _run(genz: Genz, words: str, path: str, value: float, unit: str | None) -> Any:
    text = f"{int(value)}" if unit is None and value == int(value) else f"{value!r} {UNITS[unit]}"
    ended = genz("run", *words.split(), "--set", f"{path}={text.strip()}", "--json")
    assert ended.code == 0, ended.err
    return ended.json["metrics"]


def test_turns_are_where_run_changes_its_mind(genz: Genz) -> None:
    words = ["llama-3.1-8b", "h100-sxm", "--tp", "1", "--stack", "ideal", "-b", "8"]
    found = genz("sensitivity", *words, "--json").json
    assert found["bounds"] == {"prefill": "compute", "decode": "memory"}
    distances = [abs(math.log(item["factor"])) for item in found["turns"]]
    assert distances == sorted(distances)
    [turn] = [item for item in found["turns"] if (item["phase"], item["path"]) == ("prefill", "peaks.bf16")]
    for share, bound in ((1 - 1e-6, turn["before"]), (1 + 1e-6, turn["after"])):
        at = f"peaks.bf16={turn['at'] * share!r} FLOP/s"
        assert genz("run", *words, "--set", at, "--json").json["phases"]["prefill"]["bound"] == bound


def test_words_say_which_way(genz: Genz) -> None:
    found = genz("sensitivity", "llama-3.1-8b", "h100-sxm", "--by", "cost", "--json").json
    more = {item["parameter"]: item["more_of_it"] for item in found["parameters"]}
    assert more["memory.hbm.bandwidth"]["tpot"] == more["memory.hbm.bandwidth"]["throughput"] == "helps"
    assert more["batch"]["ttft"] == "hurts" and more["batch"]["cost"] == "helps"
    assert more["price"]["cost"] == "hurts" and more["price"]["ttft"] is None
    costs = [abs(item["elasticities"]["cost"]) for item in found["parameters"]]
    assert found["by"] == "cost" and costs == sorted(costs, reverse=True)


def test_formats(genz: Genz) -> None:
    words = ("llama-3.1-8b", "h100-sxm", "-b", "16")
    document = genz("sensitivity", *words, "--json").json
    lines = list(csv.DictReader(io.StringIO(genz("sensitivity", *words, "--format", "csv").out)))
    listed = [item["parameter"] for item in document["parameters"]]
    assert [line["parameter"] for line in lines][: len(listed)] == listed
    for line, item in zip(lines, document["parameters"], strict=False):
        assert float(line["e2e"]) == item["elasticities"]["e2e"]
    assert sum(bool(line["decode_becomes"]) for line in lines) == sum(
        item["phase"] == "decode" for item in document["turns"]
    )
    table = genz("sensitivity", *words).out
    assert (
        "prefill is compute-bound; it becomes memory-bound at input" in table
        and "memory.hbm.bandwidth" in table
    )
    assert genz("sensitivity", *words, "--format", "markdown").out.count("| ---") >= 2
    assert len(genz("sensitivity", *words, "--quiet").out.splitlines()) == 3
    assert len(genz("sensitivity", *words, "--top", "2", "--json").json["parameters"]) == 2


def test_what_does_not_fit_has_no_elasticities(genz: Genz) -> None:
    ended = genz("sensitivity", "llama-3.1-70b", "h100-sxm", "--json")
    assert ended.code == 3
    found = ended.json
    assert not found["fits"] and "short" in found["why"]
    assert found["parameters"] == found["turns"] == []
    assert found["bounds"] == {"prefill": None, "decode": None}
    assert genz("sensitivity", "llama-3.1-70b", "h100-sxm").out.startswith("DOES NOT FIT")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--by", "speed"), "unknown metric"),
        (("--top", "0"), "--top"),
        (("--format", "junit"), "unknown format"),
        (("--tp", "7"), "does not divide"),
    ],
)
def test_refuses(genz: Genz, words: tuple[str, ...], says: str) -> None:
    ended = genz("sensitivity", "llama-3.1-8b", "h100-sxm", *words)
    assert ended.code == 2 and says in ended.err and not ended.out


def test_a_number_at_its_bound_has_one_direction(genz: Genz) -> None:
    words = ("llama-3.1-8b", "h100-sxm", "--tp", "1")
    found = {item["parameter"]: item for item in genz("sensitivity", *words, "--json").json["parameters"]}
    reuse = found["profile.operators.attention.decode.kv_reuse"]
    assert reuse["value"] == 1 and reuse["at_most"] and reuse["more_of_it"]["tpot"] == "helps"
    assert not found["memory.hbm.bandwidth"]["at_most"]
    page = genz("sensitivity", *words, "--top", "10").out
    assert "(helps)" in page and "only less of it to be had" in page


def test_bandwidth_of_a_level_is_one_links(genz: Genz) -> None:
    """NVLink 4: 18 links; 18 x 900 GB/s are 16.2 TB/s."""
    said = genz("run", "llama-3.1-70b", "h100-sxm", "-n", "8", "--set", "levels.nvlink.bandwidth=900GB/s").out
    assert "(18 links of 900 GB/s, 16.2 TB/s a chip)" in " ".join(said.split())
    assert "25 GB/s a link" in genz("show", "hgx-h100").out
