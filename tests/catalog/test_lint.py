"""The linter finds what is planted, and nothing in the shipped catalogs."""

from __future__ import annotations

import pytest
from catalog_samples import CHIP, MODEL, PLATFORM, PROFILE, Writer

from genzcli.catalog.find import FOLDERS
from genzcli.catalog.lint import lint
from genzcli.catalog.load import Catalog, load_file


def found() -> list[str]:
    return [f"{item.level} {item.where}: {item.message}" for item in lint(Catalog())]


@pytest.mark.usefixtures("shop")
def test_a_clean_catalog() -> None:
    assert found() == []


SMALL_FIRST = "  slow: {capacity: 1 TB, bandwidth: 5 TB/s}\npower: 300 W"
CHIP_TEXT = CHIP.format(name="c", alias="cc", kind="gpu", more="")


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("models/bad.yaml", "name: [", "error ../shop/models/bad.yaml:2: is not valid YAML"),
        ("models/bad.yaml", MODEL.format(name="good", alias="x"), "the name 'good' is not the file's name"),
        ("models/Bad.yaml", MODEL.format(name="Bad", alias="x"), "write the name as 'bad'"),
        (
            "models/b.yaml",
            MODEL.format(name="b", alias="Maker/tiny-7b"),
            "'maker/Tiny_7B' already means ../shop/models/b.yaml",
        ),
        ("models/b.yaml", MODEL.format(name="b", alias="maker/tiny-7b"), "already means"),
        (
            "hardware/platforms/p.yaml",
            PLATFORM.format(name="p", chip="none"),
            "p.yaml:2: chip: unknown chip 'none'",
        ),
        ("hardware/chips/c.yaml", CHIP_TEXT + "home: none\n", "home: unknown platform 'none'"),
        (
            "hardware/chips/c.yaml",
            CHIP_TEXT + "home: toybox\n",
            "warning ../shop/hardware/chips/c.yaml: home: toybox is",
        ),
        (
            "hardware/chips/c.yaml",
            CHIP_TEXT.replace("power: 300 W", SMALL_FIRST),
            "memory.slow: is faster than hbm",
        ),
        ("hardware/chips/c.yaml", CHIP_TEXT.replace("100 TFL", "1 TFL"), "0.5 FLOP/byte, outside 5 to 2000"),
        (
            "hardware/chips/c.yaml",
            CHIP_TEXT.replace("{bf16: 100 TFLOPS}", "{bf16: 100 TFLOPS, fp8: 400 TFLOPS}"),
            "peaks.fp8: is 4 times bf16; is it the peak with sparsity?",
        ),
        ("hardware/chips/c.yaml", CHIP_TEXT.replace("cc", "toybox"), "the alias 'toybox' already means"),
        ("hardware/chips/c.yaml", CHIP_TEXT.replace("[cc]", "[C]"), "'C' is its own alias"),
        (
            "hardware/profiles/odd.yaml",
            PROFILE.format(name="odd", stack="fast", applies="toy"),
            "should be 'fast-toy'",
        ),
        (
            "hardware/profiles/a-b.yaml",
            PROFILE.format(name="a-b", stack="a", applies="b"),
            "there is no chip 'b'",
        ),
        ("hardware/profiles/a.yaml", PROFILE.format(name="a", stack="a", applies=""), "applies: is missing"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_plants_are_found(write: Writer, file: str, text: str, says: str) -> None:
    write(file, text)
    assert any(says in line for line in found()), found()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("", "c.yaml: vector: is missing, whose time generic-gpu adds to attention.prefill; enter it"),
        ("vector: {peak: 60 TFLOPS}\n", "c.yaml: vector.functions: is missing, whose time generic-gpu adds"),
        ("vector: {peak: 60 TFLOPS, functions: 4 TOPS}\n", ""),
    ],
)
@pytest.mark.usefixtures("shop")
def test_vector_units_that_a_profile_counts_on(write: Writer, more: str, says: str) -> None:
    """Prefill attention was fitted with exponentials beside its products: without, it takes these alone."""
    beside = "operators: {default: {}, attention.prefill: {vector_efficiency: 0.95}}"
    text = PROFILE.format(name="generic-gpu", stack="generic", applies="'class:gpu'")
    write("hardware/profiles/generic-gpu.yaml", text.replace("operators: {default: {}}", beside))
    write("hardware/chips/c.yaml", CHIP_TEXT + more)
    lines = [line for line in found() if "c.yaml" in line]
    assert len(lines) == bool(says) and all(says in line for line in lines), lines


def test_the_shipped_catalogs_load_and_hold_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.delenv("GENZ_PATH", raising=False)
    monkeypatch.chdir(str(tmp_path))
    catalog = Catalog()
    for kind in FOLDERS:
        assert catalog.entries(kind), kind
        for entry in catalog.entries(kind):
            assert getattr(load_file(entry, catalog), "name", None) == entry.name
    assert [line for line in found() if line.startswith("error")] == []
