"""docs/json.md against documents: every key of one is on the page, of its type, and the other way round."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Genz = Callable[..., Any]
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
TYPES = {"text": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict, "list": list}
#: Mappings whose keys are names of things.
OPEN = ("phases", "memory.tiers", "memory.contents")

RUNS = [
    "llama-3.1-70b h100-sxm -n 8 -u chat",
    "llama-3.1-70b h100-sxm -u chat",
    "llama-3.1-70b h100-sxm",
    "mixtral-8x7b hgx-h100 --concurrency 16 --tp 4 --dp 2",
    "llama-3.1-8b tpu-v5e -o 1 --slo tpot=1ms",
    "llama-3.1-8b h100-sxm --sp",
    "llama-3.1-8b h100-sxm -n 4 --pp 2",
    "llama-3.1-70b hgx-h100 --draft llama-3.1-8b --draft-hardware h100-sxm",
]


def section(command: str) -> str:
    """The part of the page that describes one command."""
    return re.split(r"^## ", PAGE.split(f"## `genz {command} --json`")[1], flags=re.M)[0]


def rows(command: str) -> dict[str, tuple[str, str]]:
    """Key to (type, when it is null)."""
    found = re.findall(r"^\| `([^`]+)` \| (\w+) \| ([^|]*) \|", section(command), flags=re.M)
    return {key: (kind, null.strip()) for key, kind, null in found}


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path as the page writes it, value) of everything inside."""
    if isinstance(value, dict):
        for key, item in value.items():
            inner = f"{path}.{'*' if path in OPEN else key}" if path else key
            yield inner, item
            # The page says once what stands in both.
            yield from walk(item, "memory" if inner == "draft_memory" else inner)
    if isinstance(value, list):
        for item in value:
            if not isinstance(item, dict):
                yield f"{path}[]", item
            yield from walk(item, f"{path}[]")


@pytest.fixture
def documents(genz: Genz) -> list[Any]:
    return [genz("run", *words.split(), "--json").json for words in RUNS]


def test_every_key_of_run_is_on_the_page_and_every_line_of_the_page_is_a_key(documents: list[Any]) -> None:
    met = {path for document in documents for path, _ in walk(document)}
    assert met == set(rows("run"))


def test_types_and_nulls_are_as_the_page_says(documents: list[Any]) -> None:
    page, seen = rows("run"), set()
    for document in documents:
        for path, value in walk(document):
            kind, null = page[path]
            if value is None:
                assert null != "never", path
                seen.add(path)
                continue
            assert isinstance(value, TYPES[kind]), (path, value)
            assert kind == "boolean" or not isinstance(value, bool), path
    for path in ("verdict", "why", "bound", "metrics.tpot_ms", "phases.*", "slos[].actual", "slos[].margin"):
        assert path in seen


def test_the_verdict_and_the_cures_are_as_the_page_says(documents: list[Any]) -> None:
    for document in documents:
        assert (document["verdict"] is None) == (document["slos"] == [])
        assert document["verdict"] is None or document["fits"] or document["verdict"] == "fail"
        if document["cures"]:
            assert not document["fits"] or document["verdict"] == "fail"
        assert all(phase is None or phase["operators"] for phase in document["phases"].values())


def test_check_lint_and_show(genz: Genz, tmp_path: Path) -> None:
    text = "model: llama-3.1-8b\nscenarios:\n  - {hardware: h100-sxm}\n  - {hardware: none}\n"
    (tmp_path / "a.yaml").write_text(text)
    good, bad = genz("check", "a.yaml", "--json").json["results"]
    document = genz("run", "llama-3.1-8b", "h100-sxm", "--json").json
    own = {key.removeprefix("results[].") for key in rows("check") if key.startswith("results[].")}
    assert set(bad) == own
    assert set(good) == (own - {"error"}) | set(document)
    [entry] = genz("show", "h100-sxm", "--json").json["entries"]
    assert {f"entries[].{key}" for key in entry} == set(rows("show"))
    (tmp_path / "bad.yaml").write_text("name: x\npeaks: {}\n")
    lint = genz("lint", "bad.yaml", "--json").json
    assert {"schema", "files", *(f"findings[].{key}" for key in lint["findings"][0])} == set(rows("lint"))


@pytest.mark.parametrize("kind", ["models", "chips", "platforms", "usecases", "profiles", "metrics"])
def test_list(genz: Genz, kind: str) -> None:
    found = re.search(rf"^\| `{kind}` \| (.*?) \|", section("list"), flags=re.M)
    assert found
    named = set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", found[1]))) | {"name", "from"}
    if kind == "metrics":
        named.remove("from")
    assert {key for entry in genz("list", kind, "--json").json["entries"] for key in entry} == named


def test_every_key_of_validate_is_on_the_page(genz: Genz) -> None:
    example = Path(__file__).resolve().parents[2] / "docs" / "examples" / "collectives.csv"
    document = genz("validate", str(example), "--json").json
    page = rows("validate")
    measured = example.read_text(encoding="utf-8").splitlines()[0].split(",")
    own = {f"rows[].{name}" for name in measured} | {"groups[].collective", "groups[].network"}
    met = {path for path, _ in walk(document) if path not in own}
    met = {path.replace("predicted_time_us", "predicted_*") for path in met}
    assert met | {"rows[].flags[]", "groups[].*"} == set(page)


def test_every_key_of_sensitivity_is_on_the_page(genz: Genz) -> None:
    met: set[str] = set()
    page = rows("sensitivity")
    for words in ("llama-3.1-8b tpu-v6e", "llama-3.1-8b h100-sxm -o 1", "llama-3.1-70b h100-sxm"):
        document = genz("sensitivity", *words.split(), "--json").json
        for path, value in walk(document | {"scenario": {}}):
            key = re.sub(r"(elasticities|more_of_it)\.\w+", r"\1.*", path)
            if key in ("bounds", "parameters[].elasticities", "parameters[].more_of_it"):
                continue
            kind, null = page[key]
            assert null != "never" if value is None else isinstance(value, TYPES[kind]), (key, value)
            met.add(key)
    assert met == set(page)
