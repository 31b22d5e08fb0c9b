"""list, show, lint, help and version."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Genz = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("kind", ["models", "chips", "platforms", "usecases", "profiles"])
def test_list_has_every_file_and_where_it_comes_from(genz: Genz, kind: str) -> None:
    folder = ROOT / ("hardware" if kind in ("chips", "platforms", "profiles") else "") / kind
    entries = genz("list", kind, "--json").json["entries"]
    assert [entry["name"] for entry in entries] == sorted(path.stem for path in folder.glob("*.yaml"))
    assert {entry["from"] for entry in entries} == {"built-in"}
    table = genz("list", kind).out
    assert all(entry["name"] in table for entry in entries[:3])


def test_list_without_a_kind_names_everything_and_a_word_filters(genz: Genz) -> None:
    everything = genz("list", "--json").json["entries"]
    assert {entry["kind"] for entry in everything} == {
        "models", "chips", "platforms", "usecases", "profiles", "metrics",
    }  # fmt: skip
    names = [entry["name"] for entry in genz("list", "models", "70b", "--json").json["entries"]]
    assert "llama-3.1-70b" in names and "llama-3.1-8b" not in names
    assert any(entry["name"] == "h100-sxm" for entry in genz("list", "h100", "--json").json["entries"])


def test_a_broken_file_is_named_and_the_others_are_listed(genz: Genz, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "broken.yaml").write_text("name: broken\n")
    ended = genz("list", "models", "--catalog", str(tmp_path), "--json")
    assert ended.code == 2 and "broken.yaml" in ended.err
    assert "llama-3.1-8b" in [entry["name"] for entry in ended.json["entries"]]


def test_metrics_are_those_of_the_objectives(genz: Genz) -> None:
    from genzcli.spec.metric import METRICS

    assert [entry["name"] for entry in genz("list", "metrics", "--json").json["entries"]] == list(METRICS)


def test_show_a_model(genz: Genz) -> None:
    out = genz("show", "meta-llama/Llama-3.1-70B").out
    for words in ("80 × layer", "64 heads of 128, 8 KV", "70.55B", "328 kB", "all tokens", "paper"):
        assert words in out
    [entry] = genz("show", "llama-3.1-70b", "--json").json["entries"]
    # 2 tensors x 80 layers x 8 heads x 128 x 2 bytes
    assert entry["computed"]["kv_bytes_per_token"] == 2 * 80 * 8 * 128 * 2
    assert entry["computed"]["parameters"] == pytest.approx(70.55e9, rel=1e-3)


def test_show_draws_the_stack_and_what_it_keeps(genz: Genz) -> None:
    out = genz("show", "gemma-3-12b").out
    for words in (
        "8 × (5 local, global)",
        "window 1024",
        "the last 1024 tokens",
        "vision tower",
        "16 patches",
    ):
        assert words in out
    [entry] = genz("show", "gemma-3-12b", "--json").json["entries"]
    local, whole = entry["computed"]["kept_by_layer"]
    # 2 tensors x 8 heads x 256 x 2 bytes
    assert (local["layers"], local["limit"], local["token_bytes"]) == (40, 1024, 2 * 8 * 256 * 2)
    assert (whole["layers"], whole["limit"]) == (8, None)
    both = genz("show", "t5-11b").out
    assert "cross-attention" in both and "all input tokens" in both and "24 encoder layers" in both


@pytest.mark.parametrize("columns", ["60", "80", "120"])
@pytest.mark.parametrize("name", ["mimo-v2-flash", "llama-3.2-11b-vision", "kimi-k3", "falcon-mamba-7b"])
def test_show_keeps_to_the_width(
    genz: Genz, monkeypatch: pytest.MonkeyPatch, name: str, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = genz("show", name).out.splitlines()
    assert max(map(len, lines)) <= int(columns)


def test_show_a_chip_with_its_sources(genz: Genz) -> None:
    out = genz("show", "h100-sxm").out
    for words in ("989.4 TFLOP/s", "295 FLOP/byte", "3.35 TB/s", "700 W", "vendor", "[1]"):
        assert words in out
    [entry] = genz("show", "h100-sxm", "--json").json["entries"]
    assert entry["entry"]["sources"]["power"]["kind"] == "vendor"


@pytest.mark.parametrize(
    "name", ["hgx-h100", "chat", "ideal", "mixtral-8x7b", "gemma-2-27b", "cs-3", "groqrack"]
)
@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown"])
def test_show_any_kind_in_any_format(genz: Genz, name: str, form: str) -> None:
    ended = genz("show", name, "--format", form)
    assert ended.code == 0 and name in ended.out and ended.err == ""


def test_lint_finds_what_is_wrong_and_where(genz: Genz, tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "models"
    folder.mkdir(parents=True)
    good = (ROOT / "models" / "llama-3.1-8b.yaml").read_text()
    (folder / "llama-3.1-8b.yaml").write_text(good.replace("layers: 32", "layers: 31"))
    ended = genz("lint", "mine", "--json")
    messages = [(item["level"], item["where"]) for item in ended.json["findings"]]
    assert ended.code == 2 and ended.json["files"] == 1
    assert ("error", "mine/models/llama-3.1-8b.yaml: published.parameters") in messages
    assert genz("lint", "mine").out.startswith("FAIL")


@pytest.mark.parametrize("command", ["run", "check", "list", "show", "lint"])
def test_every_command_has_an_example(genz: Genz, command: str) -> None:
    out = genz(command, "--help").out
    assert "Example" in out and f"\n    genz {command} " in out


def test_the_version_is_the_project_s(genz: Genz) -> None:
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert genz("--version").out == f"genz {stated}\n"


def test_no_words_at_all_is_help(genz: Genz) -> None:
    assert genz().out == genz("--help").out and "lint" in genz().out
