"""What a newcomer tries: short spellings, wrong words, silent flags, and what the tool says to them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from genz_process import process

from genzcli.spec.dtype import PLAIN, Precision

Genz = Callable[..., Any]
RUN = ("run", "llama-3.1-8b", "h100-sxm")
ROOT = Path(__file__).resolve().parents[2]


# --- words of a command line ---


def test_counts_in_thousands_and_millions(genz: Genz) -> None:
    found = genz(*RUN, "-i", "200K", "-o", "0.5k", "--json").json["scenario"]
    assert (found["input_tokens"], found["output_tokens"]) == (200_000, 500)
    ended = genz(*RUN, "-i", "1.5")
    assert ended.code == 2 and "1.5 is not a whole number" in ended.err
    assert "is not a whole number" in genz(*RUN, "-i", "1.2345k").err


@pytest.mark.parametrize("word", ["w4a16", "w8a16", "fp8"])
def test_a_word_of_precision_is_what_the_spec_says(genz: Genz, word: str) -> None:
    found = genz(*RUN, "--precision", word, "--json").json["scenario"]["precision"]
    spec = Precision.of(word)
    assert [found[key] for key in ("weights", "kv", "activations", "compute")] == [
        spec.weights, spec.kv, spec.activations, spec.compute,
    ]  # fmt: skip


def test_the_help_of_precision_names_every_format_and_every_tensor(genz: Genz) -> None:
    from genzcli.cli.asking.request import TENSORS

    words = " ".join(genz("run", "--help").out.split())
    assert all(name in words for name in (*PLAIN, "w4a16", "w8a16"))
    assert f"weights=int4,kv=fp8: {', '.join(TENSORS)}" in words


def test_several_platforms_are_counted(genz: Genz) -> None:
    line = genz("run", "llama-3.1-70b", "h100-sxm", "-n", "16", "-q").out.splitlines()[0]
    assert line.endswith("16 × h100-sxm (2 × hgx-h100)")
    assert genz(*RUN, "-q").out.splitlines()[0].endswith("1 × h100-sxm (hgx-h100)")


# --- suggestions ---


@pytest.mark.parametrize("name", ["wormwood", "zzz", "claude"])
def test_no_suggestion_is_better_than_an_absurd_one(genz: Genz, name: str) -> None:
    ended = genz("run", "llama-3.1-8b", name)
    assert ended.code == 2 and "did you mean" not in ended.err


def test_the_command_that_an_error_names_works(genz: Genz) -> None:
    ended = genz("run", "llama-3.1-8b", "h101x")
    assert "see `genz list hardware`" in ended.err
    assert genz("list", "hardware").code == 0


# --- lists ---


def test_hardware_is_chips_and_platforms(genz: Genz) -> None:
    entries = genz("list", "hardware", "--json").json["entries"]
    for kind in ("chips", "platforms"):
        alone = [entry["name"] for entry in genz("list", kind, "--json").json["entries"]]
        assert [entry["name"] for entry in entries if entry["kind"] == kind] == alone
    table = genz("list", "hardware", "h100").out
    assert "h100-sxm" in table and "hgx-h100" in table and "scale-out" in table


def test_quiet_lists_are_bare_names(genz: Genz) -> None:
    names = [entry["name"] for entry in genz("list", "models", "--json").json["entries"]]
    assert genz("list", "models", "-q").out.splitlines() == names


def test_help_of_list_names_the_kinds(genz: Genz) -> None:
    from genzcli.cli.list import KINDS

    words = genz("list", "--help").out
    assert all(kind in words for kind in (*KINDS, "hardware"))


def test_a_legend_stands_only_where_it_is_needed_and_one_is_no_plural(genz: Genz) -> None:
    announced, sold = genz("list", "chips", "sohu").out, genz("list", "chips", "h100-nvl").out
    assert "*: announced" in announced and "hypothetical" not in announced
    assert "announced" not in sold and sold.startswith("1 chip, ")


def test_limits_of_a_use_case_are_named_with_their_unit(genz: Genz) -> None:
    entries = genz("list", "usecases", "chat", "--json").json["entries"]
    assert entries[0]["slo"] == {"ttft_ms": 200, "tpot_ms": 10}
    assert "ttft 200 ms, tpot 10 ms" in genz("list", "usecases", "chat").out


def test_help_cuts_no_sentence(genz: Genz) -> None:
    assert "..." not in genz("--help").out.partition("Commands:")[2]


def test_show_lists_the_layers(genz: Genz) -> None:
    lines = [line.split() for line in genz("show", "llama-3.1-8b").out.splitlines()]
    assert ["layers", "32", "[1]"] in [line[:3] for line in lines]
    assert "46: 23 × local, 23 × global" in genz("show", "gemma-2-27b").out


# --- lint ---


def test_lint_takes_one_file(genz: Genz, tmp_path: Path) -> None:
    text = (ROOT / "models" / "llama-3.1-8b.yaml").read_text()
    (tmp_path / "m.yaml").write_text(text.replace("layers: 32", "layers: 31"))
    found = genz("lint", "m.yaml", "--json")
    assert found.code == 2 and found.json["files"] == 1
    assert {item["level"] for item in found.json["findings"]} == {"error", "warning"}
    assert genz("lint", str(ROOT / "hardware" / "chips" / "h100-sxm.yaml")).code == 0


@pytest.mark.parametrize(
    ("stated", "right"), [("3e9", True), ("4e9", True), ("3.3e9", True), ("3.1e9", False)]
)
def test_lint_takes_an_active_count_as_precise_as_it_is_printed(
    genz: Genz, tmp_path: Path, stated: str, right: bool
) -> None:
    text = (ROOT / "models" / "qwen3-next-80b-a3b.yaml").read_text()  # 3.25B without embedding and head
    (tmp_path / "m.yaml").write_text(text.replace("active_parameters: 3e9", f"active_parameters: {stated}"))
    found = genz("lint", "m.yaml", "--json").json["findings"]
    assert ("error" not in {item["level"] for item in found}) is right


def test_lint_names_its_argument(genz: Genz, tmp_path: Path) -> None:
    for place in ("nowhere", "."):
        ended = genz("lint", place)
        assert (ended.code, ended.out) == (2, "") and ended.err.startswith("genz: error: DIR: ")
    ended = genz("lint", "nothing.yaml")
    assert (ended.code, ended.out) == (2, "") and "nothing.yaml: there is no such file" in ended.err


def test_lint_of_the_built_in_catalog_has_no_error_and_few_warnings(genz: Genz) -> None:
    ended = genz("lint", "--json")
    assert ended.code == 0
    assert not [item for item in ended.json["findings"] if item["level"] == "error"]
    assert len(ended.json["findings"]) <= 12


# --- scenario files ---

FIVE = """\
model: llama-3.1-8b
hardware: h100-sxm
scenarios:
  - {name: a}
  - {usecase: chat}
  - {slo: {tpot: 1 us}}
  - {name: big, model: llama-3.1-70b}
  - {batch: many}
"""


def check(genz: Genz, path: Path, text: str, *words: str) -> Any:
    (path / "s.yaml").write_text(text)
    return genz("check", "s.yaml", *words)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("n: 8", "s.yaml:3: n: unknown key 'n'; write it as `chips:`"),
        ("b: 8", "write it as `batch:`"),
        ("u: chat", "write it as `usecase:`"),
        ("i: 8", "write it as `input:`"),
        ("o: 8", "write it as `output:`"),
        ("exit_zero: true", "'exit_zero' belongs on the command line; remove it, and give --exit-zero"),
        ("exit-zero: true", "belongs on the command line"),
        ("format: json", "'format' belongs on the command line"),
        ("tp: 6", "or `uneven: pad`"),
        ("scenarios: [{tp: 6}]", "s.yaml:3: scenario 1: tp: tp 6 does not divide"),
        ("batch: [1, 2]\nscenarios: [{name: a}, {name: b}, {name: c}]", "s.yaml:3: batch: holds a list; "),
    ],
)
def test_a_file_s_errors_speak_yaml(genz: Genz, tmp_path: Path, line: str, said: str) -> None:
    ended = check(genz, tmp_path, f"model: llama-3.1-8b\nhardware: h100-sxm\n{line}\n")
    assert (ended.code, ended.out) == (2, "") and ended.err.count("\n") == 1
    assert said in ended.err and "or --" not in ended.err


def test_a_list_at_the_top_and_sweeps(genz: Genz, tmp_path: Path) -> None:
    assert "under `scenarios:`" in check(genz, tmp_path, "- model: a\n- model: b\n").err
    sweep = check(genz, tmp_path, "model: m\nhardware: h\ntp: [1, 2]\n").err
    assert "give one value" in sweep and "a sweep under `over:`" in sweep


def test_unnamed_scenarios_are_told_apart(genz: Genz, tmp_path: Path) -> None:
    rows = check(genz, tmp_path, FIVE, "--format", "markdown").out.splitlines()
    cells = [line.split(" | ")[:2] for line in rows if line.startswith("| ")]
    assert [name for _, name in cells[2:7]] == [
        "a", "llama-3.1-8b on h100-sxm, chat", "llama-3.1-8b on h100-sxm #1", "big",
        "llama-3.1-8b on h100-sxm #2",
    ]  # fmt: skip
    assert [cells[row][0] for row in (2, 4, 5, 6)] == ["| FITS", "| FAIL", "| DOES NOT FIT", "| ERROR"]


def test_quiet_check_names_what_failed(genz: Genz, tmp_path: Path) -> None:
    text = (
        FIVE.replace("  - {batch: many}\n", "")
        .replace("{slo", "{name: slow, slo")
        .replace("usecase: chat", "name: c")
    )
    ended = check(genz, tmp_path, text, "-q")
    assert ended.code == 3 and ended.err == ""
    assert "FAIL  slow" in ended.out and "DOES NOT FIT  big" in ended.out
    assert " a\n" not in ended.out and ended.out.count("\n") <= 3


# --- the operator table ---


def explained(*words: str) -> list[str]:
    return process("run", *words, "--explain", COLUMNS="80").out.splitlines()


def test_one_kind_of_layer_is_not_named_in_every_row() -> None:
    lines = explained("llama-3.1-8b", "h100-sxm", "-n", "8")
    assert any(line.startswith("qkv ") for line in lines)
    assert not any(line.startswith("layer ") for line in lines)
    assert any(line.startswith("local qkv ") for line in explained("gemma-2-27b", "h100-sxm"))


def test_a_collective_is_short_and_its_algorithm_stands_below() -> None:
    lines = explained("llama-3.1-70b", "h100-sxm", "-n", "8")
    assert any(line.startswith("all-reduce ×8") for line in lines)
    assert not any("(nvlink" in line or line.startswith("nvlink") for line in lines)
    words = ("mixtral-8x7b", "hgx-h100", "-n", "16", "-b", "16", "--tp", "4", "--dp", "4", "--ep", "8")
    rows = " ".join(" ".join(explained(*words)).split()).partition("Collectives:")[0]
    assert "all-reduce ×4 nvlink" in rows  # beside an all-to-all over two levels
    wide = explained("llama-3.1-70b", "h100-sxm", "-n", "16", "--tp", "16")
    assert any(line.startswith("all-reduce ×8 ×2 ") for line in wide)


def test_rows_that_take_no_time_are_left_out() -> None:
    from genzcli.engine.result import OperatorTime, Phase
    from genzcli.report.pages import _operators

    rows = (
        OperatorTime(name="up", kind="gemm", block="layer", compute_s=0.5),
        OperatorTime(name="router", kind="gemm", block="layer", flop=1.0),
        OperatorTime(name="host", kind="step", block="step"),
    )
    parts = {"compute_s": 0.5, "memory_s": 0.0, "network_s": 0.0, "overhead_s": 0.0}
    phase = Phase(time_s=0.5, first_s=0.5, last_s=0.5, bound=0, operators=rows, **parts)
    assert [row[0] for row in _operators("prefill", phase, ("layer",)).rows] == ["up"]
    assert [row[0] for row in _operators("prefill", phase, ("layer", "other")).rows] == ["layer up"]


# --- streams ---


def test_what_a_stream_cannot_encode_gets_a_look_alike() -> None:
    for words in (
        (*RUN, "-u", "single-user", "--explain", "-n", "2"),
        ("list", "chips"),
        ("check", "none.yaml"),
    ):
        plain = process(*words, PYTHONIOENCODING="ascii")
        assert plain.out.isascii() and plain.err.isascii() and "?" not in plain.out
    table = process(*RUN, "-u", "single-user", PYTHONIOENCODING="ascii").out
    assert (
        " <= 1 s (" in table and "1 x h100-sxm" in table and "-----" in table and " - single-user - " in table
    )
    assert "µ" in process(*RUN, "--explain").out
    assert " us " in process(*RUN, "--explain", PYTHONIOENCODING="ascii").out
    assert os.linesep in table


def test_a_small_deficit_has_a_small_unit(genz: Genz) -> None:
    asked = ("run", "llama-3.1-8b", "h100-sxm", "-i", "1000", "-o", "1", "--json")
    memory = genz(*asked).json["memory"]
    wanted = memory["used_bytes"] - memory["reserved_bytes"]
    capacity = (wanted - 5e6) / 0.9
    why = genz(*asked, "--set", f"memory.hbm.capacity={capacity:.0f} B").json["why"]
    assert "5 MB short" in why


def test_a_named_platform_is_all_of_it_with_one_degree_given(genz: Genz) -> None:
    asked = genz("run", "llama-3.1-70b", "hgx-h100", "--dp", "2", "-b", "2", "--json").json["scenario"]
    assert (asked["chips"], asked["dp"], asked["tp"]) == (8, 2, 4)
    whole = genz("run", "llama-3.1-70b", "hgx-h100", "--tp", "2", "--pp", "2", "--dp", "1", "--json").json
    assert whole["scenario"]["chips"] == 4  # all three say how many
    assert genz("run", "llama-3.1-8b", "h100-sxm", "--tp", "2", "--json").json["scenario"]["chips"] == 2


def test_a_power_that_is_set_counts(genz: Genz) -> None:
    words = ("run", "llama-3.1-70b", "h100-sxm", "-n", "8", "--json")
    share, own = (genz(*words, *more).json for more in ((), ("--set", "power=900W")))
    # 10.2 kW for eight chips with their host, of which the chips take 700 W each: 200 W more
    assert own["scenario"]["chip_power_w"] == pytest.approx(10200 / 8 + 200)
    assert own["metrics"]["average_w"] == pytest.approx(share["metrics"]["average_w"] * (1475 / 1275))
    alone = genz(*words, "--set", "power=700W", "--set", "host_power=0").json["scenario"]
    assert (alone["chip_power_w"], alone["power_basis"]) == (700, "chips and hosts")


def test_a_server_is_cured_by_fewer_users(genz: Genz) -> None:
    words = ("llama-3.1-70b", "h100-sxm", "-n", "8", "-u", "chat", "--precision", "fp8")
    cures = genz("run", *words, "--concurrency", "64", "--json").json["cures"]
    flag, number = next(cure["change"] for cure in cures if "concurrency" in cure["change"]).split()
    assert genz("run", *words, flag, number, "-q").code == 0


def test_how_a_plan_was_chosen_is_said_by_the_rule(genz: Genz) -> None:
    words = ("run", "llama-3.1-70b", "h100-sxm", "-n", "8", "-u", "chat", "--json")
    missed, met = (
        " ".join(genz(*words, *more).json["assumptions"]) for more in (("-b", "2"), ("--precision", "fp8"))
    )
    assert "miss fewest objectives" in missed
    assert "lowest E2E of" in met and "miss" not in met


def test_a_blank_beside_energy_and_cost_is_explained(genz: Genz) -> None:
    """Nobody publishes a TPU's power, nor rents out a Groq chip by the hour."""

    def lacks(*words: str) -> list[str]:
        return [
            said
            for said in genz("run", "llama-3.1-8b", *words, "--json").json["assumptions"]
            if " known (" in said
        ]

    assert lacks("h100-sxm") == []
    assert lacks("tpu-v5e", "-n", "4") == ["no power of tpu-v5e known (give --set power)"]
    assert lacks("tpu-v5e", "-n", "4", "--set", "power=200W") == []
    assert lacks("groqrack") == ["no rent of groq-lpu known (give --price)"]
    assert lacks("groqrack", "--price", "1") == []
    assert lacks("inferentia2", "--set", "price=null") == [
        "no power and no rent of inferentia2 known (give --set power, --price)"
    ]
