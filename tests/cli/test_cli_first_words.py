"""The first words that somebody types: names as other places spell them, and lines that are nearly right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genzcli.catalog.load import Catalog
from genzcli.catalog.spelling import _STORED, squeezed
from genzcli.cli.app import COMMANDS
from genzcli.cli.asking.hints import _ELSEWHERE
from genzcli.cli.help import OUTPUT, SECTIONS, USED
from genzcli.spec.dtype import Precision

Genz = Callable[..., Any]
RUN = ("run", "llama-3.1-8b", "h100-sxm")
ROOT = Path(__file__).resolve().parents[2]


# --- names ---


@pytest.mark.parametrize(
    ("word", "model"),
    [
        ("meta-llama/Llama-3.1-70B-Instruct", "llama-3.1-70b"),
        ("unsloth/Meta-Llama-3.1-70B-Instruct", "llama-3.1-70b"),  # a mirror
        ("Qwen/Qwen3-32B", "qwen3-32b"),
        ("llama3.1:70b", "llama-3.1-70b"),  # as ollama has it
        ("Llama-4-Maverick-17B-128E-Instruct", "llama-4-maverick"),  # without its organisation
        ("Llama_3.1 70B", "llama-3.1-70b"),
    ],
)
def test_models_in_other_spellings(genz: Genz, word: str, model: str) -> None:
    assert genz("run", word, "h200", "-n", "8", "--json").json["scenario"]["model"] == model


@pytest.mark.parametrize(
    ("word", "chip"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),  # as nvidia-smi has it
        ("NVIDIA A100-SXM4-40GB", "a100-sxm-40gb"),
        ("NVIDIA A100 80GB PCIe", "a100-pcie-80gb"),
        ("Tesla V100-SXM2-32GB", "v100-sxm"),
        ("A100-80GB-SXM", "a100-sxm-80gb"),
        ("H100-SXM5-80GB", "h100-sxm"),
        ("AMD Instinct MI300X", "mi300x"),
        ("Intel Gaudi 3", "gaudi3"),
        ("aws-trainium2", "trainium2"),
        ("Google TPU v5e", "tpu-v5e"),
        ("cerebras/cs-3", "wse-3"),
        ("apple m4 max", "m4-max"),
    ],
)
def test_hardware_in_other_spellings(genz: Genz, word: str, chip: str) -> None:
    assert genz("run", "llama-3.1-8b", word, "--exit-zero", "--json").json["scenario"]["chip"] == chip


@pytest.mark.parametrize(
    "word", ["AMD H100", "intel-mi300x", "llama", "bloom", "100", "h-1-00", "llama-31-70b"]
)
def test_a_spelling_that_means_something_else_means_nothing(genz: Genz, word: str) -> None:
    assert genz("run", "llama-3.1-8b", word).code == 2
    assert genz("run", word, "h100-sxm").code == 2


def test_no_spelling_means_two_entries() -> None:
    catalog = Catalog()
    for kinds in (("models",), ("chips", "platforms"), ("usecases",)):
        found: dict[str, set[str]] = defaultdict(set)
        for entry in (entry for kind in kinds for entry in catalog.entries(kind)):
            for name in (entry.name, *entry.aliases):
                found[squeezed(name)].add(entry.name)
        assert not {key: names for key, names in found.items() if len(names) > 1}


@pytest.mark.parametrize(
    ("word", "first"),
    [("mi300", "mi300x"), ("llama3.1", "llama3.1-8b"), ("mixtral", "mixtral-8x7b"), ("tpu-v5", "tpu-v5e")],
)
def test_suggestions_say_more_of_the_same_and_each_entry_once(genz: Genz, word: str, first: str) -> None:
    said = [genz("run", *pair).err for pair in ((word, "h100"), ("llama-3.1-8b", word))]
    near = next(text.partition("did you mean ")[2].partition("?")[0] for text in said if "did you" in text)
    assert first in near.split(", ")
    catalog, kind = Catalog(), (Catalog.model if said[0].count("did you") else Catalog.hardware)
    named: list[Any] = [kind(catalog, item) for item in near.split(", ")]
    assert len({repr(item) for item in named}) == len(named)


@pytest.mark.parametrize(
    ("word", "precision"),
    [
        ("nvidia/Llama-3.1-70B-Instruct-FP8", "fp8"),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", "awq"),
        ("TheBloke/Llama-2-7B-GGUF", "q4_k_m"),
        ("unsloth/Llama-3.1-8B-Instruct-bnb-4bit", "w4a16"),
    ],
)
def test_other_weights_of_a_model_are_asked_for_by_precision(genz: Genz, word: str, precision: str) -> None:
    said = genz("run", word, "h100").err
    words = said.partition("write ")[2].partition(";")[0].split()
    assert words[1:] == ["--precision", precision]
    assert genz("run", words[0], "h100", "-n", "8", *words[1:]).code == 0


def test_every_format_in_a_repository_s_name_is_one_here() -> None:
    for precision in _STORED.values():
        assert Precision.of(precision).weights


# --- how many ---


@pytest.mark.parametrize(
    "word", ["8xh100", "8 x H100", "8×h100-sxm", "h100:8", "8*NVIDIA H100", "1xhgx-h100"]
)
def test_a_count_before_the_name(genz: Genz, word: str) -> None:
    asked, plain = (genz("run", "llama-3.1-70b", *words, "--json") for words in ([word], ["h100", "-n", "8"]))
    assert asked.json["metrics"] == plain.json["metrics"]
    assert asked.json["scenario"]["chips"] == 8


def test_a_count_of_platforms_is_of_whole_ones(genz: Genz) -> None:
    found = genz("run", "llama-3.1-70b", "2xhgx-h100", "--json").json["scenario"]
    assert (found["chips"], found["platform"]) == (16, "hgx-h100")


def test_counts_side_by_side(genz: Genz) -> None:
    found = genz("compare", "llama-3.1-70b", "8xh100", "4xmi300x", "2xtpu-v5e", "--fit", "--json").json
    assert [item["scenario"]["chips"] for item in found["results"][:2]] == [8, 4]
    assert found["results"][2]["scenario"]["chips"] > 2 and found["results"][2]["fits"]
    rows = genz("sweep", "llama-3.1-70b", "--over", "hardware=8xh100,h200:4", "--over", "batch=1,2", "--json")
    assert [row["chips"] for row in rows.json["rows"]] == [8, 8, 4, 4]


def test_a_count_is_said_once(genz: Genz) -> None:
    assert genz("run", "llama-3.1-70b", "8xh100", "-n", "8").code == 0
    assert "--chips: 4 and 8xh100 differ; keep one" in genz("run", "llama-3.1-70b", "8xh100", "-n", "4").err
    assert "is what is asked for" in genz("size", "llama-3.1-70b", "8xh100", "-u", "chat").err
    saved = genz("run", "llama-3.1-70b", "8xh100", "--save", "-").out.splitlines()
    assert "hardware: h100" in saved and "chips: 8" in saved


@pytest.mark.parametrize("word", ["0xh100", "h100:0", "8x", "x8", ":", "8:h100", "9999999xh100", "٣xh100"])
def test_no_count(genz: Genz, word: str) -> None:
    ended = genz("run", "llama-3.1-8b", word)
    assert ended.code == 2 and "unknown chip or platform" in ended.err


# --- lines that are nearly right ---


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "h100", "llama-3.1-8b"), "'h100'; that is a chip, the model comes first, then the hardware"),
        (("run", "llama-3.1-8b", "qwen3-32b"), "that is a model, the model comes first"),
        (("run", "llama-3.1-8b", "chat"), "'chat'; that is a use case"),
        (("run", "h100"), "h100 is hardware, and the model comes first: `genz run llama-3.1-70b h100-sxm`"),
        (("run", "llama-3.1-8b"), "name a chip or a platform behind the model, as `genz run"),
        (("run",), "Missing argument 'MODEL'; as `genz run llama-3.1-70b h100-sxm`"),
        (("sensitivity", "llama-3.1-8b"), "as `genz sensitivity llama-3.1-70b h100-sxm`"),
        (("llama-3.1-70b", "h100", "-n", "8"), "did you mean `genz run llama-3.1-70b h100 -n 8`?"),
        (("h100",), "did you mean `genz show h100`?"),
        (("rnu", "llama-3.1-70b", "h100"), "Did you mean 'run'?"),
        ((*RUN, "-tp", "8"), "No such option: -t; did you mean --tp?"),
        ((*RUN, "--chip", "8"), "did you mean --chips?"),
        ((*RUN, "--tensor-parallel-size", "8"), "here that is --tp;"),
        (("show", "h1000"), "did you mean"),
    ],
)
def test_what_was_meant(genz: Genz, words: tuple[str, ...], said: str) -> None:
    ended = genz(*words)
    assert ended.code == 2 and said in ended.err and ended.err.count("\n") == 1


def test_a_scenario_file_is_for_check_or_sweep(genz: Genz) -> None:
    check, sweep = (str(ROOT / "docs" / name) for name in ("examples/serving.yaml", "studies/assistant.yaml"))
    assert f"`genz check {check}`" in genz("run", check).err
    assert f"`genz check {check}`" in genz("run", check, "h100").err
    assert f"`genz check {check}`" in genz(check).err
    assert f"`genz sweep {sweep}`" in genz("run", sweep).err
    assert genz("run", str(ROOT / "README.md")).code == 2


def test_far_fetched_options_are_not_named(genz: Genz) -> None:
    assert genz(*RUN, "--foobar").err.endswith("No such option: --foobar; see `genz run --help`\n")


def test_what_other_programs_call_an_option_is_one_here(genz: Genz) -> None:
    flags = {
        word for line in genz("run", "--help").out.splitlines() for word in line.replace(",", "").split()
    }
    for word, here in _ELSEWHERE.items():
        assert word not in flags
        assert here.split()[0].rstrip(",") in (*flags, "HARDWARE", "MODEL")


def test_help_and_version_are_words_too(genz: Genz) -> None:
    assert genz("help", "sweep").out == genz("sweep", "--help").out
    assert genz("help").out == genz("--help").out
    assert genz("version").out == genz("--version").out


def test_lists_are_filtered_by_maker_and_class(genz: Genz, tmp_path: Path) -> None:
    entries = genz("list", "chips", "amd", "--json").json["entries"]
    assert entries and {Catalog().chip(entry["name"]).vendor for entry in entries} == {"AMD"}
    assert {"wse-2", "wse-3"} <= set(genz("list", "chips", "wafer", "-q").out.split())
    assert "hgx-h100" in genz("list", "platforms", "h100-sxm", "-q").out.split()
    broken = tmp_path / "own" / "hardware" / "chips" / "broken.yaml"
    broken.parent.mkdir(parents=True)
    broken.write_text("name: [")
    assert genz("list", "chips", "amd", "--catalog", str(tmp_path / "own")).code == 0
    assert "is not valid YAML" in genz("list", "chips", "broken", "--catalog", str(tmp_path / "own")).err


# --- help ---

ASKING = ("compare", "sweep", "size", "sensitivity")


def _titles(text: str) -> dict[str, list[str]]:
    """The option lines under each title of a help."""
    found: dict[str, list[str]] = {}
    title = ""
    for line in text.splitlines():
        if line and line[0] != " " and line.endswith(":"):
            title = line[:-1]
        elif line.startswith("  -"):
            found.setdefault(title, []).append(line.strip())
    return found


def test_the_dozen_most_used_options_of_run_come_first(genz: Genz) -> None:
    titles = _titles(genz("run", "--help").out)
    assert [*titles] == list(SECTIONS)
    assert len(titles[USED]) == 12
    assert any(line.startswith("-h, --help") for line in titles[OUTPUT])


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples_a_line_each(genz: Genz, command: str) -> None:
    said = genz(command, "--help").out
    lines = said[said.index("Example") :].splitlines()[1:]
    assert "\\b" not in said and lines[0].startswith("    genz ")


@pytest.mark.parametrize("command", ASKING)
def test_help_of_a_command_that_asks_is_short_and_names_every_option(genz: Genz, command: str) -> None:
    said = genz(command, "--help").out
    flags = {
        word.strip(",")
        for lines in _titles(genz("run", "--help").out).values()
        for line in lines
        for word in line.split("  ")[0].split()
        if word.startswith("--")
    } - {"--explain", "--save", "--exit-zero"}
    words = set(said.replace(",", " ").replace("/", " ").replace(".", " ").split())
    assert flags <= words
    assert len(said.splitlines()) < 90
    assert said.index("\nOptions:") < said.index(f"\n{USED} of `genz run`:") if "\nOptions:" in said else True


def test_the_first_page_has_lines_that_run(genz: Genz) -> None:
    lines = [line.split() for line in genz("--help").out.splitlines() if line.startswith("    genz ")]
    assert [words[1] for words in lines] == ["run", "compare", "size"]
    assert all(genz(*words[1:], "--json").code in (0, 1) for words in lines)


def test_what_if_is_a_word_for_compare(genz: Genz) -> None:
    words = ("llama-3.1-8b", "h100-sxm", "--change", "precision=fp8", "--json")
    assert genz("whatif", *words).out == genz("compare", *words).out
    assert genz("help", "whatif").out == genz("compare", "--help").out
