"""Files beside the catalogs: an answer says what it was read from, and equal names are told apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genzcli.report.words import distinct

Genz = Callable[..., Any]
RUN = ("run", "llama-3.1-8b", "h100-sxm")


@pytest.fixture
def own(genz: Genz, tmp_path: Path) -> Path:
    """A chip, a model, a use case and a profile, edited but under the names of the built-in ones."""
    for name, old, new in (
        ("h100-sxm", "3.35 TB/s", "6.7 TB/s"),
        ("llama-3.1-8b", "vocab: 128256", "vocab: 128000"),
        ("chat", "input_tokens: 3000", "input_tokens: 3001"),
        ("generic-gpu", "memory_efficiency: 0.83", "memory_efficiency: 0.8"),
    ):
        text = genz("show", name, "--yaml").out
        assert old in text
        (tmp_path / f"{name}.yaml").write_text(text.replace(old, new))
    return tmp_path


def test_an_answer_names_the_files_it_was_read_from(genz: Genz, own: Path) -> None:
    words = ("run", "llama-3.1-8b.yaml", "h100-sxm.yaml", "-u", "chat.yaml", "--stack", "generic-gpu.yaml")
    said = genz(*words, "--exit-zero", "--format", "markdown").out
    asked = "llama-3.1-8b (llama-3.1-8b.yaml) · chat (chat.yaml) · 1 × h100-sxm (hgx-h100, h100-sxm.yaml)"
    assert asked in said and "· profile generic-gpu (generic-gpu.yaml)" in said
    files = genz(*words, "--json", "--exit-zero").json["scenario"]["files"]
    assert files == {
        "model": "llama-3.1-8b.yaml",
        "chip": "h100-sxm.yaml",
        "platform": None,
        "usecase": "chat.yaml",
        "profile": "generic-gpu.yaml",
    }
    assert set(genz(*RUN, "--json").json["scenario"]["files"].values()) == {None}


def test_a_catalog_of_one_s_own_is_named_too(genz: Genz, own: Path) -> None:
    folder = own / "mine" / "hardware" / "chips"
    folder.mkdir(parents=True)
    (own / "h100-sxm.yaml").rename(folder / "h100-sxm.yaml")
    found = genz(*RUN, "--catalog", "mine", "--json").json["scenario"]["files"]
    assert found["chip"] == "mine/hardware/chips/h100-sxm.yaml"


def test_a_name_of_one_s_own_needs_no_file_beside_it(genz: Genz, own: Path) -> None:
    text = (own / "h100-sxm.yaml").read_text().replace("name: h100-sxm", "name: my-chip")
    (own / "my-chip.yaml").write_text("\n".join(line for line in text.splitlines() if "aliases" not in line))
    ended = genz("run", "llama-3.1-8b", "my-chip.yaml", "-q")
    assert ended.out.splitlines()[0].endswith("1 × my-chip (hgx-h100)")
    files = genz("run", "llama-3.1-8b", "my-chip.yaml", "--json").json["scenario"]["files"]
    assert files["chip"] == "my-chip.yaml"


def test_equal_names_in_rows_and_columns_are_told_apart(genz: Genz, own: Path) -> None:
    both = ("h100-sxm", "h100-sxm.yaml")
    over = ("--over", f"hardware={','.join(both)}", "--over", "batch=1,2")
    rows = genz("sweep", "llama-3.1-8b", *over, "--json").json["rows"]
    assert [row["hardware"] for row in rows] == ["h100-sxm"] * 2 + ["h100-sxm (h100-sxm.yaml)"] * 2
    sizes = genz("size", "llama-3.1-8b", *both, "--slo", "tpot=20ms", "--json").json["results"]
    assert {row["hardware"] for row in sizes} == {"h100-sxm", "h100-sxm (h100-sxm.yaml)"}
    assert (
        "1 × h100-sxm (h100-sxm.yaml)" in genz("compare", "llama-3.1-8b", *both, "--format", "markdown").out
    )


def test_scenarios_of_one_name_are_told_apart(genz: Genz, tmp_path: Path) -> None:
    for file, batch in (("a.yaml", 1), ("b.yaml", 2)):
        text = f"model: llama-3.1-8b\nhardware: h100-sxm\nname: promise\nbatch: {batch}\n"
        (tmp_path / file).write_text(text)
    said = genz("check", "a.yaml", "b.yaml", "--format", "markdown").out
    assert "promise (a.yaml)" in said and "promise (b.yaml)" in said
    labels = [item["label"] for item in genz("compare", "a.yaml", "b.yaml", "--json").json["results"]]
    assert labels == ["promise (a.yaml)", "promise (b.yaml)"]


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([("a", "x"), ("b", "x")], ["a", "b"]),
        ([("a", "x"), ("a", "y"), ("b", "x")], ["a (x)", "a (y)", "b"]),
        ([("a", "x"), ("b", "x"), ("a", "x")], ["a #1", "b", "a #2"]),
        ([("a", "x"), ("a", "x"), ("a", "y")], ["a (x) #1", "a (x) #2", "a (y)"]),
    ],
)
def test_distinct(labels: list[tuple[str, str]], told: list[str]) -> None:
    assert distinct(labels) == told
