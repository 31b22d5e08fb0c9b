"""`genz compare`: columns are what `run` answers, differences are theirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genzcli.report.difference import Column, shifts

Genz = Callable[..., Any]
ASK = ("llama-3.1-8b", "h100-sxm", "-n", "2", "-b", "4")


def test_each_column_is_what_run_answers(genz: Genz) -> None:
    found = genz(
        "compare", *ASK, "--change", "precision=fp8", "--change", "memory.hbm.bandwidth=*2", "--json"
    ).json
    assert found["schema"] == "genz.compare/1"
    alone = [
        genz("run", *ASK, "--json").json,
        genz("run", *ASK, "--precision", "fp8", "--json").json,
        genz("run", *ASK, "--set", "memory.hbm.bandwidth=*2", "--json").json,
    ]
    for column, one in zip(found["results"], alone, strict=True):
        assert {key: value for key, value in column.items() if key != "label"} == one
    fp8 = found["differences"][0]["metrics"]["tpot_ms"]
    before, after = (item["metrics"]["tpot_ms"] for item in alone[:2])
    assert fp8["absolute"] == after - before
    assert fp8["relative"] == (after - before) / before


def test_the_operators_account_for_the_difference(genz: Genz) -> None:
    found = genz("compare", *ASK, "--change", "memory.hbm.bandwidth=*2", "--json").json
    first, second = found["results"]
    for phase in ("prefill", "decode"):
        moved = [row for row in found["differences"][0]["operators"] if row["phase"] == phase]
        whole = second["phases"][phase]["time_ms"] - first["phases"][phase]["time_ms"]
        assert sum(row["delta_ms"] for row in moved) == pytest.approx(whole)
        assert all(row["after_ms"] <= row["before_ms"] for row in moved)


def test_platforms_side_by_side_take_the_chips_they_need(genz: Genz) -> None:
    words = ("compare", "llama-3.1-70b", "h100-sxm", "tpu-v5e", "groqrack", "--json")
    apart = genz(*words).json["results"]
    assert [item["fits"] for item in apart] == [False, False, False]
    fitting = genz(*words, "--fit").json["results"]
    assert all(item["fits"] for item in fitting)
    for item, model in zip(fitting, ("h100-sxm", "tpu-v5e", "groqrack"), strict=True):
        chips = item["scenario"]["chips"]
        assert (
            genz("run", "llama-3.1-70b", model, "-n", str(chips), "--json").json["metrics"] == item["metrics"]
        )


def test_scenario_files_side_by_side(genz: Genz, tmp_path: Path) -> None:
    for name, batch in (("before", 1), ("after", 16)):
        (tmp_path / f"{name}.yaml").write_text(
            f"name: {name}\nmodel: llama-3.1-8b\nhardware: h100-sxm\nbatch: {batch}\n"
        )
    found = genz("compare", "before.yaml", "after.yaml", "--change", "batch=64; precision=fp8", "--json").json
    assert [item["label"] for item in found["results"]] == ["before", "after", "batch=64; precision=fp8"]
    assert [item["scenario"]["batch"] for item in found["results"]] == [1, 16, 64]
    assert found["results"][2]["scenario"]["precision"]["weights"] == "fp8"


def test_a_table_says_how_much_and_where_from(genz: Genz) -> None:
    out = genz("compare", *ASK, "--change", "memory.hbm.bandwidth=*2").out
    assert "Where the difference comes from" in out
    tpot = next(line for line in out.splitlines() if line.startswith("TPOT"))
    assert "−" in tpot and "%" in tpot


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("llama-3.1-8b", "h100-sxm"), "nothing to compare with"),
        (("llama-3.1-8b",), "no hardware is named"),
        ((*ASK, "--change", "precision"), "changes nothing"),
        ((*ASK, "--change", "precision=fp9"), "--change precision=fp9: --precision: unknown number format"),
        ((*ASK, "--change", "catalog=x"), "catalog cannot be changed here"),
        ((*ASK, "--change", "no.such.path=3"), "--change no.such.path=3"),
        ((*ASK, "no-such-chip"), "unknown"),
        (("nofile.yaml",), "nofile.yaml: no such file"),
        (("llama-3.1-8b", "nofile.yaml"), "nofile.yaml: no such file"),
        (("llama-3.1-8b", "h100-sxm", "h100-sxm"), "h100-sxm is given twice"),
        (
            ("llama-3.1-8b", "h100", "H100_SXM_80GB"),
            "HARDWARE: h100 and H100_SXM_80GB are the same, h100-sxm; ",
        ),
        ((*ASK, "--change", "batch=1;batch=2"), "batch is changed twice"),
        ((*ASK, "--change", "batch=2", "--change", "batch=2"), "batch=2 is given twice"),
        ((*ASK, "--change", "bogus=1"), "error: --change bogus=1: there is no 'bogus'"),
    ],
)
def test_refuses(genz: Genz, words: tuple[str, ...], says: str) -> None:
    ended = genz("compare", *words)
    assert ended.code == 2 and says in ended.err and not ended.out


def test_words_beside_scenario_files_are_refused(genz: Genz, tmp_path: Path) -> None:
    (tmp_path / "q.yaml").write_text("model: llama-3.1-8b\nhardware: h100-sxm\n")
    ended = genz("compare", "q.yaml", "-b", "4", "--change", "batch=8")
    assert ended.code == 2 and "stands beside scenario files" in ended.err


def test_equal_answers_have_no_shift(genz: Genz) -> None:
    from genzcli.cli.asking.evaluate import evaluate
    from genzcli.cli.asking.request import Request
    from genzcli.cli.asking.resolve import resolve

    answer = evaluate(resolve(Request("llama-3.1-8b", "h100-sxm")))
    assert shifts(answer, Column("again", answer).answer) == []


def test_power_on_unequal_terms_is_said(genz: Genz) -> None:
    ask = ("compare", "llama-3.1-8b", "hgx-h100", "mi300x-x8", "--precision", "bf16")
    assert "Not on equal terms" not in genz(*ask).out
    assert [column["scenario"]["power_basis"] for column in genz(*ask, "--json").json["results"]] == [
        "platform",
        "chips and hosts",
    ]
    chips = genz(*ask, "--change", "platform.power=none").out.replace("\n", " ")
    assert "power and energy of platform.power=none are of chips without hosts" in chips
    assert "power of" in chips


def test_rents_on_different_terms_are_said_to_be(genz: Genz) -> None:
    words = ("compare", "llama-3.1-8b", "h100", "tpu-v6e")
    said = " ".join(genz(*words).out.split())
    assert "Rents differ in terms: h100 three months; tpu-v6e on demand" in said
    assert "Rents differ" not in genz("compare", "llama-3.1-8b", "h100", "h200").out
    one, other = genz(*words, "--json").json["results"]
    own, dear = genz(*words, "--price", "tpu-v6e=10", "--json").json["results"]
    key = "usd_per_million_output_tokens"
    assert own["metrics"][key] == one["metrics"][key]  # h100 keeps its own
    alone = genz("run", "llama-3.1-8b", "tpu-v6e", "--price", "10", "--json").json["metrics"]
    assert dear["metrics"][key] == alone[key] != other["metrics"][key]
    assert "Rents differ" not in genz(*words, "--price", "tpu-v6e=10").out
    wrong = genz(*words, "--price", "tpu-v6=10")
    assert wrong.code == 2 and "tpu-v6e=2.50" in wrong.err
