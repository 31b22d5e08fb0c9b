"""`genz sweep`: every row is what `run` answers there; shards, filters and fronts lose nothing."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

Genz = Callable[..., Any]

#: Sweeps that together vary every kind of word: numbers, structure, paths, chosen and given plans.
SWEEPS = [
    ("llama-3.1-70b h100-sxm -n 8 -u chat", {"batch": "1,7,300", "tp": "1,2,8"}),
    ("llama-3.1-70b h100-sxm -n 8", {"batch": "1,3,64,5000", "input": "100,9000", "output": "1,2,400"}),
    ("mixtral-8x7b hgx-h100 --precision fp8", {"batch": "1,6,64", "imbalance": "1,1.5"}),
    ("gemma-2-27b h100-sxm -n 2", {"input": "1000,5000,20000", "beams": "1,3", "prefix_hit": "0,0.5"}),
    ("llama-3.1-8b h100-sxm", {"concurrency": "1,40,900", "chunk": "256,2048"}),
    ("llama-3.1-8b h100-sxm --draft llama-3.2-1b", {"draft_tokens": "1,4", "accept": "0,0.6,1"}),
    ("llama-3.1-8b l40s", {"memory.gddr6.bandwidth": "*0.5,*1,*2", "batch": "1,16", "precision": "bf16,fp8"}),
    (
        "llama-3.1-70b sn40l -n 8",
        {"memory.hbm.capacity": "8GiB,64GiB", "batch": "1,64", "plan.reserve": "0,0.2"},
    ),
    ("falcon-mamba-7b", {"hardware": "h100-sxm,tpu-v5e,groq-lpu", "input": "10,1000"}),
    ("deepseek-v3 hgx-h200", {"kv_keep": "0.5,1", "weight_density": "0.5,1", "dp": "1,8", "batch": "4,64"}),
    (
        "llama-3.1-8b h100-sxm -n 4 --sp",
        {"overlap": "0,0.5", "levels.nvlink.bandwidth": "*0.1,*1", "price": "1,2.5"},
    ),
    ("llama-3.1-70b h100-sxm --batching continuous", {"batch": "8,16", "chips": "1,8"}),
    ("llama-3.1-70b h100-sxm", {"chips": "1,2,3,8", "tp": "1,2,5"}),
    # How many chips of a platform are used follows from the batch: the order of its values says nothing.
    ("qwen2.5-vl-7b cloudmatrix-384 --pp 1", {"input": "10,20", "batch": "33,128", "output": "2,3"}),
    ("qwen2.5-vl-7b cloudmatrix-384 --pp 1 -o 2", {"batch": "128,33"}),
    # What no plan can do is said as `run` says it.
    ("whisper-small paper-sram-1024 -i 3000 -o 2 -b 2 --routing worst", {"pp": "2,16"}),
]
#: Keys of a row that are read elsewhere in the answer of `run`.
MEMORY = ("weights", "kv", "activations", "reserved", "used", "capacity")


def swept(genz: Genz, words: str, over: dict[str, str], *more: str) -> list[dict[str, Any]]:
    axes = [text for word, values in over.items() for text in ("--over", f"{word}={values}")]
    ended = genz("sweep", *words.split(), *axes, "--format", "ndjson", *more)
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


def alone(genz: Genz, words: str, point: dict[str, str]) -> Any:
    """What `run` answers at one point."""
    given = words.split()
    if "hardware" in point:
        given.insert(1, point["hardware"])
    for word, value in point.items():
        flag = f"--{word.replace('_', '-')}"
        if flag in given:
            del given[given.index(flag) : given.index(flag) + 2]
        if "." in word:
            given += ["--set", f"{word}={value}"]
        elif word != "hardware":
            given += [flag, value]
    return genz("run", *given, "--json")


@pytest.mark.parametrize(("words", "over"), SWEEPS)
def test_every_row_is_what_run_answers(genz: Genz, words: str, over: dict[str, str]) -> None:
    rows = swept(genz, words, over)
    slow = [word for word in over if word in ("tp", "dp", "hardware", "precision", "chips")]
    order = [*slow, *(word for word in over if word not in slow)]
    points = [
        dict(zip(order, values, strict=True))
        for values in product(*(over[word].split(",") for word in order))
    ]
    assert len(rows) == len(points)
    for row, point in zip(rows, points, strict=True):
        ended = alone(genz, words, point)
        if ended.code == 2:
            assert not row["fits"] and row["why"] in ended.err.replace("\n", " ")
            continue
        found = ended.json
        assert row["fits"] == found["fits"] and row["why"] == found["why"], point
        assert row["verdict"] == found["verdict"] and row["bound"] == found["bound"], point
        for axis in ("tp", "pp", "dp", "ep", "chips", "batch", "input_tokens", "output_tokens", "beams"):
            assert row[axis] == found["scenario"][axis], (point, axis)
        for name, value in found["metrics"].items():
            assert row[name] == value, (point, name)
        for name in MEMORY:
            assert row[f"{name}_bytes"] == found["memory"][f"{name}_bytes"], (point, name)
        assert row["max_batch"] == found["memory"]["max_batch"], point


def test_none_leaves_an_option_out(genz: Genz) -> None:
    rows = swept(genz, "llama-3.1-8b h100-sxm", {"draft": "none,ngram"})
    alone = genz("run", "llama-3.1-8b", "h100-sxm", "--json").json["metrics"]["tpot_ms"]
    assert [row["draft"] for row in rows] == ["none", "ngram"]
    assert rows[0]["tpot_ms"] == alone != rows[1]["tpot_ms"]


ASK, OVER = "llama-3.1-70b h100-sxm -n 8", {"batch": "1..64", "input": "100..6400", "tp": "2,8"}


def test_shards_together_are_the_whole(genz: Genz) -> None:
    whole = swept(genz, ASK, OVER)
    parts = [row for shard in (1, 2, 3) for row in swept(genz, ASK, OVER, "--shard", f"{shard}/3")]
    assert parts == whole
    assert len(swept(genz, ASK, OVER, "--shard", "2/3")) == pytest.approx(len(whole) / 3, abs=1)


def test_where_sort_and_top(genz: Genz) -> None:
    whole = swept(genz, ASK, OVER)
    fast = swept(genz, ASK, OVER, "--where", "ttft_ms<200", "--where", "tp=8")
    assert fast == [row for row in whole if row["ttft_ms"] < 200 and row["tp"] == 8]
    best = swept(genz, ASK, OVER, "--sort", "-output_tokens_per_s", "--top", "3")
    assert best == sorted(whole, key=lambda row: -row["output_tokens_per_s"])[:3]
    assert swept(genz, ASK, OVER, "--sort", "ttft_ms") == sorted(whole, key=lambda row: row["ttft_ms"])


def test_a_front_is_what_nothing_beats(genz: Genz) -> None:
    whole = swept(genz, ASK, OVER)
    front = swept(genz, ASK, OVER, "--pareto", "e2e_ms,output_tokens_per_s")

    def beats(a: dict[str, Any], b: dict[str, Any]) -> bool:
        pairs = ((a["e2e_ms"], b["e2e_ms"]), (-a["output_tokens_per_s"], -b["output_tokens_per_s"]))
        return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)

    assert front == [row for row in whole if not any(beats(other, row) for other in whole)]
    assert 1 < len(front) < len(whole)


def test_formats_hold_the_same_rows(genz: Genz) -> None:
    rows = swept(genz, ASK, OVER)
    axes = [text for word, values in OVER.items() for text in ("--over", f"{word}={values}")]
    document = genz("sweep", *ASK.split(), *axes, "--json").json
    assert document == {"schema": "genz.sweep/1", "rows": rows}
    lines = list(csv.DictReader(io.StringIO(genz("sweep", *ASK.split(), *axes, "--format", "csv").out)))
    assert [float(line["ttft_ms"]) for line in lines] == [row["ttft_ms"] for row in rows]
    table = genz("sweep", *ASK.split(), *axes, "--top", "5").out
    assert "5 of 98 points" in table


def test_a_long_sweep_is_blocks_that_join(genz: Genz, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genzcli.explore.sweep.BLOCK", 1000)
    over = {"input": "1..3000/+1", "batch": "1..8"}
    rows = swept(genz, "llama-3.1-8b h100-sxm --tp 1", over)
    assert [(row["input_tokens"], row["batch"]) for row in rows] == [
        (tokens, batch) for tokens in range(1, 3001) for batch in (1, 2, 4, 8)
    ]
    assert all(math.isfinite(row["e2e_ms"]) for row in rows)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "nothing is swept"),
        (("--over", "batch"), "is no axis"),
        (("--over", "batch=0..4/3"), "must be at least 1"),
        (("--over", "batch=1.5"), "not a whole number"),
        (("--over", "batch=1,2", "--over", "batch=4"), "swept twice"),
        (("--over", "batch=1,2", "-b", "4"), "swept and given"),
        (("--over", "batch=1,2", "--over", "concurrency=1,2"), "swept twice"),
        (("--over", "no.such.path=1,2"), "no.such.path"),
        (("--over", "hardware=h100-sxm,nothing"), "hardware"),
        (
            ("--over", "hardware=h100-sxm,l40s,h100"),
            "--over hardware: h100-sxm and h100 are the same; keep one",
        ),
        (("--over", "model=gemma-2-2b,google/gemma-2-2b"), "are the same; keep one"),
        (("--over", "tp=1,2", "--where", "ttft<3"), "there is no column 'ttft'"),
        (("--over", "tp=1,2", "--where", "ttft_ms"), "is no test"),
        (("--over", "tp=1,2", "--where", "model<x"), "model is text, not a number"),
        (("--over", "tp=1,2", "--where", "fits=1"), "neither true nor false"),
        (("--over", "tp=1,2", "--where", "batch=abc"), "is no number"),
        (("--over", "tp=1,2", "--where", "ttft_ms<nan"), "is no number"),
        (("--over", "tp=1,2", "--pareto", "e2e_ms,e2e_ms"), "e2e_ms is given twice"),
        (("--over", "tp=1,2", "--pareto", "model,e2e_ms"), "model is text"),
        (("--over", "tp=1,2", "--top", "9" * 26), "--top"),
        (("--over", "tp=1,2", "--shard", "²/²"), "is no shard"),
        (("--over", "tp=1,2", "--format", "csv", "--json"), "exclude each other"),
        (("--over", "tp=1,0"), "--over tp: 0 must be at least 1"),
        (("--over", "hardware=l40s,nosuch"), "--over hardware: unknown chip or platform 'nosuch'"),
        (("--over", "stack=generic,nosuch"), "--over stack: no calibration"),
        (("--over", "draft=ngram,nosuch"), "--over draft: unknown model 'nosuch'"),
        (("--over", "flash=true,maybe"), "--over flash: 'maybe' is neither"),
        (("--over", "lora-on=qv,foo", "--lora-rank", "8"), "--over lora-on: 'foo'"),
        (("--over", "slo=ttft=1s;foo=3"), "--over slo: unknown metric 'foo'"),
        (("--over", "layers=1,2.5"), "--over layers: 2.5 is not a whole number"),
        (("--over", "precision=fp8,nosuch"), "--over precision: unknown number format 'nosuch'"),
        (("--over", "precision=fp8;fp8,kv=w4a16"), "w4a16 is a scheme of several tensors"),
        (("--over", "sparsity=2:4,9:4"), "--over sparsity: '9:4' is not a pattern"),
        (("--over", "bogus=1,2"), "error: --over bogus: there is no 'bogus'"),
        (("--over", "batch=1,1.0"), "1 and 1.0 are the same value"),
        (("--over", "tp=1,1.0"), "1 and 1.0 are the same value"),
        (("--over", "batch=1..4/-1"), "--over batch: '1..4/-1': '/-1' is no step; a step is /N"),
        (("--over", "batch=1..4/1e9"), "'/1e9' is no step"),
        (("--over", "batch=1..4/log"), "'/log' is no step"),
        (("--over", "batch=1,2", "--columns", "ttft_ms,e2e_ms,ttft_ms"), "ttft_ms is given twice; keep one"),
        (("--over", "precision=bf16,BF16"), "bf16 and BF16 are the same formats; keep one"),
        (("--over", "precision=w4a16;weights=int4"), "are the same formats; keep one"),
        (("--over", "batch=1..5/3.7"), "has 3.7 steps"),
        (("--over", "batch=1,2", "--set", "plan.batch=7"), "batch is swept and set"),
        (("--over", "concurrency=1,2", "--set", "usecase.batch=7"), "batch is swept and set"),
        (("--over", "tp=1,2", "--set", "plan.tp=4"), "tp is swept and set"),
        (("--over", "plan.batch=1,2", "-b", "4"), "batch is swept and given"),
        (("--over", "plan.batch=1,2", "--over", "batch=4"), "batch is swept twice"),
        (("--over", "peaks.bf16=*1,*2", "--over", "chip.peaks.bf16=*1,*3"), "are the same"),
        (("--over", "tp=1,2", "--sort", "nothing"), "no column"),
        (("--over", "tp=1,2", "--pareto", "up:e2e_ms"), "is no direction"),
        (("--over", "tp=1,2", "--shard", "3/2"), "is no shard"),
        (("--over", "tp=1,2", "--format", "xml"), "unknown format"),
        (("--over", "catalog=a,b"), "cannot be changed here"),
    ],
)
def test_refuses(genz: Genz, words: tuple[str, ...], says: str) -> None:
    ended = genz("sweep", "llama-3.1-8b", "h100-sxm", *words)
    assert ended.code == 2 and says in ended.err and not ended.out, ended.err


def test_a_path_that_one_chip_lacks_is_said_before_the_first_row(genz: Genz) -> None:
    words = ("llama-3.1-8b", "--over", "hardware=h100-sxm,l40s", "--over", "memory.hbm.bandwidth=*1,*2")
    for kind in ("json", "ndjson", "csv"):
        ended = genz("sweep", *words, "--format", kind)
        assert ended.code == 2 and not ended.out
        assert "hardware l40s: --over memory.hbm.bandwidth: there is no 'hbm'" in ended.err


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("plan.batch", "batch"),
        ("usecase.batch", "batch"),
        ("usecase.input_tokens", "input_tokens"),
        ("plan.prefix_hit", "prefix_hit"),
    ],
)
def test_a_path_is_the_word_of_its_field(genz: Genz, path: str, word: str) -> None:
    """The same rows in the same columns."""
    values = "0,0.5" if word == "prefix_hit" else "3,5"
    ask = "llama-3.1-8b h100-sxm"
    assert swept(genz, ask, {path: values}) == swept(genz, ask, {word: values})


def test_a_change_is_taken_from_what_is_set(genz: Genz) -> None:
    words = "llama-3.1-8b h100-sxm --set memory.hbm.bandwidth=4TB/s"
    rows = swept(genz, words, {"memory.hbm.bandwidth": "*0.5,*1"})
    assert [row["memory.hbm.bandwidth"] for row in rows] == [2e12, 4e12]


def test_a_point_without_a_plan_has_its_own_words(genz: Genz) -> None:
    """8 chips as tp 3: no plan, but the row has the tokens and chips that were asked for."""
    rows = swept(genz, "llama-3.1-8b h100-sxm --tp 3", {"chips": "8,3", "usecase": "chat,qa"})
    asked = {
        name: genz("run", "llama-3.1-8b", "h100-sxm", "-u", name, "--json").json["scenario"]["input_tokens"]
        for name in ("chat", "qa")
    }
    assert [(row["chips"], row["input_tokens"]) for row in rows] == [
        (chips, asked[name]) for chips in (8, 3) for name in ("chat", "qa")
    ]
    assert not any(row["fits"] for row in rows)


def test_no_row_left_is_a_header(genz: Genz) -> None:
    words = ("llama-3.1-8b", "h100-sxm", "--over", "batch=1,2", "--format", "csv")
    whole, none = genz("sweep", *words), genz("sweep", *words, "--where", "batch==77")
    assert none.code == 0 and none.out.splitlines() == whole.out.splitlines()[:1]
    assert genz("sweep", *words, "--where", "batch==77", "--jobs", "1").out == none.out
    few = genz("sweep", *words, "--where", "batch==77", "--columns", "tp,ttft_ms")
    assert few.out == "tp,ttft_ms\n"


def test_tests_compare_what_the_column_holds(genz: Genz) -> None:
    whole = swept(genz, ASK, OVER)
    for test in ("batch==4", "batch=4.0"):
        assert swept(genz, ASK, OVER, "--where", test) == [row for row in whole if row["batch"] == 4]
    rows = swept(genz, "llama-3.1-8b h100-sxm", {"flash": "true,false"}, "--where", "flash=true")
    assert [row["flash"] for row in rows] == ["true"]


def test_text_is_sorted_both_ways(genz: Genz) -> None:
    over = {"hardware": "h100-sxm,l40s,mi300x"}
    names = [row["hardware"] for row in swept(genz, "llama-3.1-8b", over, "--sort", "-hardware")]
    assert names == sorted(names, reverse=True) and len(names) == 3


# --- scenario files ---

STUDY = """
model: llama-3.1-70b
hardware: h100-sxm
chips: 8
usecase: chat
set: {memory.hbm.capacity: 90 GB}
over:
  tp: [2, 8]
  batch: 1..4
  memory.hbm.bandwidth: ["*0.5", "*1"]
"""


def study(genz: Genz, *words: str, text: str = STUDY) -> Any:
    Path("study.yaml").write_text(text, encoding="utf-8")  # the folder is empty
    return genz("sweep", "study.yaml", *words)


def test_a_file_sweeps_as_the_command_line_does(genz: Genz) -> None:
    said = swept(
        genz,
        "llama-3.1-70b h100-sxm -n 8 -u chat --set memory.hbm.capacity=90GB",
        {"tp": "2,8", "batch": "1,2,4", "memory.hbm.bandwidth": "*0.5,*1"},
    )
    ended = study(genz, "--format", "ndjson")
    assert [json.loads(line) for line in ended.out.splitlines()] == said
    assert len(said) == 12


def test_an_axis_of_the_command_line_stands_for_the_files(genz: Genz) -> None:
    rows = study(genz, "--over", "batch=7", "--over", "input=100,200", "--json").json["rows"]
    assert len(rows) == 2 * 1 * 2 * 2
    assert {row["batch"] for row in rows} == {7} and {row["input_tokens"] for row in rows} == {100, 200}


def test_model_and_hardware_may_be_swept(genz: Genz) -> None:
    text = "over: {model: [llama-3.1-8b, gemma-2-2b], hardware: [h100-sxm, l40s]}"
    rows = study(genz, "--json", text=text).json["rows"]
    found = [(row["model"], row["hardware"]) for row in rows]
    assert found == list(product(("llama-3.1-8b", "gemma-2-2b"), ("h100-sxm", "l40s")))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: x\nhardware: h100-sxm\nover: {}", "study.yaml:3: over: sweeps nothing"),
        ("model: x\nbatch: 2\nover: {batch: 1..4}", "study.yaml:3: over.batch: batch is swept and given"),
        ("model: gemma-2-2b\nover: {batch: 1..4}", "'hardware' is missing"),
        ("model: gemma-2-2b\nhardware: l40s\nbatch: 2\nover: {plan.batch: 1..4}", "batch is swept and given"),
        ("model: gemma-2-2b\nhardware: l40s\nover: {precision: [fp8, fp9]}", "unknown number format 'fp9'"),
        ("model: gemma-2-2b\nhardware: l40s\nover: {batch: [1, 1]}", "1 is given twice"),
        ("model: gemma-2-2b\nhardware: l40s\nover: {i: 1, input_tokens: 2}", "swept twice"),
        ("model: gemma-2-2b\nhardware: l40s\nover: {bach: 1}", "bach"),
        ("model: gemma-2-2b\nhardware: l40s", "nothing is swept"),
        ("model: gemma-2-2b\nscenarios: [{hardware: l40s}]", "a list is not swept"),
    ],
)
def test_bad_studies_say_where(genz: Genz, text: str, said: str) -> None:
    ended = study(genz, text=text)
    assert ended.code == 2 and said in ended.err, ended.err
    assert ended.err.count("\n") == 1


def test_words_beside_a_file_are_refused(genz: Genz) -> None:
    ended = study(genz, "--batch", "4")
    assert ended.code == 2 and "--over WORD=VALUE" in ended.err


@pytest.mark.parametrize("command", ["check", "compare"])
def test_a_sweep_is_no_scenario(genz: Genz, command: str) -> None:
    Path("study.yaml").write_text(STUDY, encoding="utf-8")
    ended = genz(command, "study.yaml")
    assert ended.code == 2 and "genz sweep FILE" in ended.err and "study.yaml:7" in ended.err


def test_columns_that_are_asked_for(genz: Genz) -> None:
    words = ("sweep", "llama-3.1-8b", "h100-sxm", "--over", "batch=1,2")
    whole = genz(*words, "--json").json["rows"]
    rows = genz(*words, "--columns", "used_bytes, tpot_ms", "--json").json["rows"]
    assert rows == [{key: row[key] for key in ("used_bytes", "tpot_ms")} for row in whole]
    table = genz(*words, "--columns", "used_bytes,fits").out
    assert "used GB" in table and "yes" in table and "TTFT" not in table and "batch" in table
    ended = genz(*words, "--columns", "tpo_ms")
    assert ended.code == 2 and "tpot_ms" in ended.err


#: Axes of a table of 80 columns: three to six of them.
WIDE = [
    "h100-sxm --over batch=1,16 --over chips=8,16 --over memory.hbm.bandwidth=*1,*2",
    "--over hardware=h100-sxm,mi300x --over batch=1,16 --over input=100,1000 --over precision=fp8,bf16",
    "--over hardware=h100-sxm,l4 --over batch=1,16 --over input=100,900 --over precision=fp8,bf16 "
    "--over output=10,20 --over tp=2,4",
]


@pytest.mark.parametrize("words", WIDE)
def test_a_narrow_table_breaks_no_word(genz: Genz, words: str) -> None:
    """Columns go where there is no room, and are named; each row stays on one line."""
    asked = ("sweep", "llama-3.1-70b", *words.split())
    lines = genz(*asked).out.splitlines()
    rule = next(at for at, line in enumerate(lines) if line.startswith("──"))
    end = next(at for at, line in enumerate(lines) if line.startswith("No room for "))
    body = lines[rule + 1 : end]
    points = genz(*asked, "--json").json["rows"]
    assert len(body) == min(len(points), 60) and all(len(line) <= 80 for line in lines)
    for line, point in zip(body, points, strict=False):
        cells = line.split()
        assert str(point["batch"]) in cells and (len(words.split()) < 8 or point["hardware"] in cells)
    assert "$/M" in lines[end] and "$/M" not in lines[rule - 1]


def test_what_does_not_vary_stands_over_the_table(genz: Genz) -> None:
    lines = genz("sweep", "llama-3.1-8b", "h100-sxm", "--over", "batch=4", "--over", "input=10,20").out
    assert "batch 4" in lines.splitlines()[0] and "batch" not in lines.splitlines()[2]


def test_a_swept_concurrency_is_what_was_asked_for(genz: Genz) -> None:
    for model, fits in (("llama-3.1-8b", True), ("llama-3.1-70b", False)):
        rows = swept(genz, f"{model} l40s", {"concurrency": "32,4,100000"})
        assert [row["concurrency"] for row in rows] == [row["batch"] for row in rows] == [32, 4, 100_000]
        assert [row["fits"] for row in rows] == [fits] * 3
