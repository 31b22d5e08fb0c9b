"""Files of one's own: started from the catalog's, found beside each other, moved together."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Genz = Callable[..., Any]
CATALOG = """\
name: {name}
kind: gpu
source: {{vendor: x}}
peaks: {{bf16: 100 TFLOPS}}
memory: {{hbm: {{capacity: 80 GiB, bandwidth: 2 TB/s}}}}
"""
BOX = """\
name: mybox
chip: mychip
source: {vendor: x}
levels: [{name: link, size: 4, topology: switch, bandwidth: 25 GB/s, latency: 1 us}]
"""


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def template(genz: Genz, name: str, path: Path) -> None:
    ended = genz("show", name, "--yaml")
    assert ended.code == 0 and ended.err == ""
    put(path, ended.out)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("llama-3.1-8b", ["mine.yaml", "h100-sxm"]),
        ("gemma-2-27b", ["mine.yaml", "h100-sxm"]),
        ("h100-sxm", ["llama-3.1-8b", "mine.yaml"]),
        ("hgx-h100", ["llama-3.1-8b", "mine.yaml"]),
        ("chat", ["llama-3.1-8b", "h100-sxm", "-u", "mine.yaml"]),
    ],
)
def test_the_template_of_a_thing_is_the_thing(
    genz: Genz, tmp_path: Path, name: str, words: list[str]
) -> None:
    template(genz, name, tmp_path / "mine.yaml")
    own = genz("run", *words, "--json")
    catalog = genz("run", *(name if word == "mine.yaml" else word for word in words), "--json")
    files = own.json["scenario"]["files"]
    assert [file for file in files.values() if file] == ["mine.yaml"]
    nowhere = own.json["scenario"] | {"files": dict.fromkeys(files)}
    assert own.json | {"scenario": nowhere} == catalog.json and own.code == catalog.code


def test_yaml_is_no_format_of_show_beside_another(genz: Genz) -> None:
    ended = genz("show", "h100-sxm", "--yaml", "--json")
    assert (ended.code, ended.out) == (2, "") and "--yaml" in ended.err


def test_a_saved_question_moves_with_its_files(genz: Genz, tmp_path: Path) -> None:
    """Saved anywhere, it names its files from there; together they may go elsewhere."""
    template(genz, "llama-3.1-8b", tmp_path / "work" / "parts" / "m.yaml")
    template(genz, "h100-sxm", tmp_path / "work" / "c.yaml")
    template(genz, "chat", tmp_path / "work" / "own" / "usecases" / "talk.yaml")
    text = (tmp_path / "work" / "own" / "usecases" / "talk.yaml").read_text()
    put(tmp_path / "work" / "own" / "usecases" / "talk.yaml", text.replace("name: chat", "name: talk"))
    (tmp_path / "work" / "asked").mkdir()
    words = ("work/parts/m.yaml", "work/c.yaml", "-u", "talk", "--catalog", "work/own")
    asked = genz("run", *words, "--save", "work/asked/q.yaml", "--json")
    saved = (tmp_path / "work" / "asked" / "q.yaml").read_text()
    assert "model: ../parts/m.yaml\nhardware: ../c.yaml\n" in saved and "  - ../own\n" in saved
    assert str(tmp_path) not in saved
    shutil.move(tmp_path / "work", tmp_path / "moved")
    [again] = genz("check", "moved/asked/q.yaml", "--json").json["results"]
    assert again["metrics"] == asked.json["metrics"]


def test_what_is_saved_beside_its_files_names_them_so(genz: Genz, tmp_path: Path) -> None:
    template(genz, "llama-3.1-8b", tmp_path / "m")
    genz("run", "./m", "h100-sxm", "--save", "q.yaml")
    assert (tmp_path / "q.yaml").read_text().startswith("model: ./m\n")
    assert genz("check", "q.yaml").code == 0
    assert genz("run", "./m", "h100-sxm", "--save", "-").out.startswith("model: ./m\n")


def test_a_file_without_a_suffix_and_one_given_whole(genz: Genz, tmp_path: Path) -> None:
    template(genz, "llama-3.1-8b", tmp_path / "m")
    (tmp_path / "sub").mkdir()
    genz("run", "m", "h100-sxm", "--save", "sub/q.yaml")
    assert (tmp_path / "sub" / "q.yaml").read_text().startswith("model: ../m\n")
    (tmp_path / "h100-sxm").write_text("junk")
    genz("run", str(tmp_path / "m"), "h100-sxm", "--save", "q.yaml")
    assert (tmp_path / "q.yaml").read_text().startswith("model: ./m\nhardware: h100-sxm\n")
    genz("run", str(tmp_path / "m"), "h100-sxm", "--save", "sub/q.yaml")
    assert (tmp_path / "sub" / "q.yaml").read_text().startswith(f"model: {tmp_path / 'm'}\n")


def test_a_name_of_two_things_has_no_template(genz: Genz, tmp_path: Path) -> None:
    put(tmp_path / "hardware" / "platforms" / "h100-sxm.yaml", BOX.replace("mybox", "h100-sxm"))
    put(tmp_path / "hardware" / "chips" / "mychip.yaml", CATALOG.format(name="mychip"))
    ended = genz("show", "h100-sxm", "--yaml")
    assert (ended.code, ended.out) == (2, "")
    assert "is a chip and a platform; name the file: " in ended.err and "platforms/h100-sxm.yaml" in ended.err


def test_names_of_the_current_directory_are_found_from_where_the_file_is(genz: Genz, tmp_path: Path) -> None:
    template(genz, "llama-3.1-8b", tmp_path / "models" / "mine.yaml")
    put(tmp_path / "models" / "mine.yaml", (tmp_path / "models" / "mine.yaml").read_text())
    (tmp_path / "sub").mkdir()
    for place in ("q.yaml", "sub/q.yaml"):
        text = (tmp_path / "models" / "mine.yaml").read_text().replace("name: llama-3.1-8b", "name: mine")
        put(tmp_path / "models" / "mine.yaml", text)
        assert genz("run", "mine", "h100-sxm", "--save", place).code == 0
        assert genz("check", place).code == 0
    assert "catalog" not in (tmp_path / "q.yaml").read_text()


def test_a_scenario_file_has_its_catalogs_beside_it(
    genz: Genz, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "shop" / "hardware" / "chips" / "mychip.yaml", CATALOG.format(name="mychip"))
    put(tmp_path / "shop" / "q.yaml", "model: llama-3.1-8b\nhardware: mychip\n")
    [found] = genz("check", "shop/q.yaml", "--json").json["results"]
    assert found["scenario"]["chip"] == "mychip"


def test_a_chip_and_its_platform_lie_side_by_side(genz: Genz, tmp_path: Path) -> None:
    put(tmp_path / "own" / "mychip.yaml", CATALOG.format(name="mychip") + "home: mybox\n")
    put(tmp_path / "own" / "mybox.yaml", BOX)
    by_platform = genz("run", "llama-3.1-8b", "own/mybox.yaml", "--json").json["scenario"]
    assert (by_platform["chip"], by_platform["chips"]) == ("mychip", 4)
    by_chip = genz("run", "llama-3.1-8b", "own/mychip.yaml", "-n", "4", "--json").json["scenario"]
    assert (by_chip["chip"], by_chip["platform"], by_chip["chips"]) == ("mychip", "mybox", 4)
    assert genz("show", "own/mybox.yaml").code == 0
    assert genz("lint", "own/mybox.yaml", "own/mychip.yaml").out.startswith("PASS  2 files: 0 errors, 0 warn")
    put(tmp_path / "own" / "mybox.yaml", BOX.replace("chip: mychip", "chip: ./nochip.yaml"))
    ended = genz("run", "llama-3.1-8b", "own/mybox.yaml")
    assert ended.code == 2 and "nochip.yaml" in ended.err


def test_a_chip_without_a_home_says_how_to_get_one(genz: Genz, tmp_path: Path) -> None:
    put(tmp_path / "mychip.yaml", CATALOG.format(name="mychip"))
    ended = genz("run", "llama-3.1-8b", "mychip.yaml", "-n", "8")
    assert (ended.code, ended.out) == (2, "")
    assert "home: hgx-h100" in ended.err and "scale_out" in ended.err and ended.err.count("\n") == 1
    put(tmp_path / "mychip.yaml", CATALOG.format(name="mychip") + "home: hgx-h100\n")
    assert genz("run", "llama-3.1-8b", "mychip.yaml", "-n", "8").code == 0


def test_a_model_without_layers_says_what_to_write(genz: Genz, tmp_path: Path) -> None:
    template(genz, "llama-3.1-8b", tmp_path / "m.yaml")
    text = (tmp_path / "m.yaml").read_text().replace("layers: 32\n", "")
    put(tmp_path / "m.yaml", text)
    assert "'layers' is missing; write `layers: 32`" in genz("run", "m.yaml", "h100-sxm").err
