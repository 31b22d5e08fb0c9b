"""Scenario files: the same words, the same answers, the worst verdict."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Genz = Callable[..., Any]

MIXED = """\
model: llama-3.1-70b
usecase: chat
slo: {ttft: 10 s}
scenarios:
  - {name: good, hardware: h100-sxm, chips: 8, slo: {tpot: 1 s}}
  - {name: slow, hardware: h100-sxm, chips: 8, slo: {tpot: 1 ms}}
  - {name: big, hardware: h100-sxm}
"""


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return path.name


#: Questions that together use every word.
ROUND_TRIPS = [
    "llama-3.1-70b h100-sxm -n 8 -u chat",
    "llama-3.1-70b h100-sxm",
    "mixtral-8x7b hgx-h100 -b 64 --precision fp8,kv=bf16 --slo tpot=20ms --routing balanced",
    "mixtral-8x7b hgx-h100 --tp 4 --dp 2 --ep 8 -b 7 --imbalance 1.3",
    "gpt-oss-20b h100-sxm -b 8",
    "llama-3.1-8b a100-sxm-80gb --precision weights=int4,compute=int8 --no-flash --no-fused",
    "llama-3.1-8b h100-sxm --concurrency 48 --stack ideal --reserve 0.05 --price 1.1",
    "llama-3.1-8b h100-sxm -n 4 --sp --overlap 0.3 --beams 3 -i 777 -o 31",
    "llama-3.1-8b h100-sxm --set memory.hbm.bandwidth=*2 --set memory.hbm.bandwidth=+7% "
    "--set plan.batch=*3 --set usecase.input_tokens=*2 --set model.layers=16",
    "qwen3-vl-2b h100-sxm --images 3 --image-tokens 300 -b 4",
    "qwen3-vl-2b h100-sxm --images 1 --image-size 1920x1080",
    "llama-3.2-11b-vision h100-sxm --images 1 -n 2 --chunk 512 --concurrency 8",
    "flan-t5-xxl h100-sxm -n 2 --pp 2 -i 400 -o 60 -b 3",
    "llama-3.1-70b h100-sxm -n 2 --offload host --placement by-layer",
    "llama-3.1-70b hgx-h200 --place kv=hbm:0.25,host:0.75 --place weights=hbm",
    "llama-3.1-70b h100-sxm -n 4 --attention-on host",
    "gpt-3-175b h100-sxm --tp 64 --uneven pad --slo cost=40USD --slo throughput=3",
]


@pytest.mark.parametrize("words", ROUND_TRIPS)
def test_what_is_saved_is_answered_alike(genz: Genz, words: str) -> None:
    asked = genz("run", *words.split(), "--save", "saved.yaml", "--json")
    again = genz("check", "saved.yaml", "--json")
    assert asked.code == again.code
    first, [second] = asked.json, again.json["results"]
    for key in ("scenario", "fits", "why", "bound", "memory", "metrics", "phases", "slos", "verdict"):
        assert first[key] == second[key], key
    if first["cures"]:
        assert [cure["change"] for cure in second["cures"]]


def test_save_to_stdout_is_all_of_stdout(genz: Genz, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = genz("run", "llama-3.1-8b", "h100-sxm", "--save", "-")
    assert ended.out.startswith("model: llama-3.1-8b\n") and "FITS" in ended.err
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(ended.out.encode())))
    assert genz("check", "-", "--json").json["results"][0]["scenario"]["model"] == "llama-3.1-8b"


def test_a_list_shares_what_stands_beside_it(genz: Genz, tmp_path: Path) -> None:
    ended = genz("check", write(tmp_path / "mixed.yaml", MIXED), "--json")
    results = ended.json["results"]
    assert ended.json["schema"] == "genz.check/1"
    assert [(item["name"], item["verdict"], item["fits"]) for item in results] == [
        ("good", "pass", True), ("slow", "fail", True), ("big", "fail", False),
    ]  # fmt: skip
    limits = {item["metric"]: item["limit"] for item in results[1]["slos"]}
    assert limits == {"ttft": 10_000, "tpot": 1}
    assert all(item["file"] == "mixed.yaml" and item["scenario"]["usecase"] == "chat" for item in results)


def test_the_worst_exit_code_wins(genz: Genz, tmp_path: Path) -> None:
    good = write(tmp_path / "good.yaml", "model: llama-3.1-8b\nhardware: h100-sxm\n")
    slow = write(tmp_path / "slow.yaml", "model: llama-3.1-8b\nhardware: h100-sxm\nslo: {tpot: 1 us}\n")
    big = write(tmp_path / "big.yaml", "model: llama-3.1-70b\nhardware: h100-sxm\n")
    bad = write(tmp_path / "bad.yaml", "model: llama-3.1-8b\n")
    assert genz("check", good).code == 0
    assert genz("check", good, slow).code == 1
    assert genz("check", slow, big, good).code == 3
    assert genz("check", bad, big, slow).code == 2
    assert genz("check", slow, big, "--exit-zero").code == 0
    assert genz("check", bad, good, "--exit-zero").code == 2


def test_a_bad_scenario_does_not_stop_the_others(genz: Genz, tmp_path: Path) -> None:
    text = MIXED + "  - {name: odd, hardware: h100-sxm, chip: 8}\n  - {name: none, hardware: h101}\n"
    ended = genz("check", write(tmp_path / "mixed.yaml", text), "missing.yaml", "--json")
    results = ended.json["results"]
    assert ended.code == 2 and ended.err.count("\n") == 3
    assert len(results) == 6
    assert "mixed.yaml:8" in results[3]["error"] and "chips" in results[3]["error"]
    assert "mixed.yaml:9" in results[4]["error"] and results[4]["name"] == "none"
    assert "missing.yaml" in results[5]["error"]
    table = genz("check", "mixed.yaml")
    assert table.out.startswith("ERROR") and "chips" in table.out


def test_both_spellings_of_tokens_and_precision(genz: Genz, tmp_path: Path) -> None:
    text = "model: llama-3.1-8b\nhardware: h100-sxm\n"
    text += "input_tokens: 10\noutput_tokens: 20\nprecision: {weights: int4}\n"
    found = genz("check", write(tmp_path / "a.yaml", text), "--json").json["results"][0]["scenario"]
    assert (found["input_tokens"], found["output_tokens"], found["precision"]["weights"]) == (10, 20, "int4")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("batch: 0", "a.yaml:3: batch: 0 must be at least 1"),
        ("tp: 3", "a.yaml:3: tp: tp 3 does not divide"),
        ("baths: 1", "a.yaml:3: baths: unknown key"),
        ("slo: {ttft: 3 MB}", "a.yaml:3: slo.ttft"),
        ("set: {memory.hbn.bandwidth: 1 TB/s}", "a.yaml:3"),
        ("input: 3\ninput_tokens: 4", "a.yaml:4: input_tokens"),
        ("flash: maybe", "a.yaml:3: flash"),
        ("usecase: chta", "a.yaml:3: usecase"),
        ("scenarios: []", "a.yaml:3: scenarios"),
        ("batch: [1]", "a.yaml:3: batch"),
    ],
)
def test_errors_name_the_line(genz: Genz, tmp_path: Path, line: str, said: str) -> None:
    ended = genz("check", write(tmp_path / "a.yaml", f"model: llama-3.1-8b\nhardware: h100-sxm\n{line}\n"))
    assert (ended.code, ended.out) == (2, "")
    assert f"genz: error: {said}" in ended.err and ended.err.count("\n") == 1


def test_paths_are_taken_from_the_file_s_folder(genz: Genz, tmp_path: Path) -> None:
    model = genz("show", "llama-3.1-8b", "--json").json["entries"][0]["file"]
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mine.yaml").write_text(
        Path(model).read_text().replace("vocab: 128256", "vocab: 1000")
    )
    write(tmp_path / "sub" / "a.yaml", "model: mine.yaml\nhardware: h100-sxm\n")
    [found] = genz("check", "sub/a.yaml", "--json").json["results"]
    assert found["memory"]["weights_bytes"] < 15.1e9
