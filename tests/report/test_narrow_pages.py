"""Tables on 80 columns: numbers and words are whole, or broken where a reader would break them."""

from __future__ import annotations

import pytest

from genzcli.report.page import Page, Table
from genzcli.report.table import render

NAMES = ("h100-sxm", "h200", "b200", "mi300x", "12xinferentia2", "tpu-v6e", "trainium2", "wse-3")


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def drawn(*tables: Table) -> list[str]:
    return render(Page("", ("title",), tables=tables)).splitlines()[2:]


def test_a_comparison_of_many_stands_in_several_tables() -> None:
    """Words of 9 and 14 letters beside a column of 9: eight columns of them have no room in 80."""
    rows = (("precision", *("bf16",) * 8), ("profile", *("generic-gpu-hopper",) * 8))
    lines = drawn(Table("", ("", *NAMES), "l" + "r" * 8, rows, lead=1))
    assert max(map(len, lines)) <= 80
    said = " ".join(lines).split()
    assert all(name in said for name in NAMES)
    assert said.count("precision") == 2  # once in each part
    assert said.count("bf16") == 8


def test_words_break_behind_their_hyphens() -> None:
    lines = drawn(Table("", ("", *"abcdef"), "l" + "r" * 6, (("profile", *("generic-gpu-blackwell",) * 6),)))
    pieces = {word for line in lines[2:] for word in line.split()}
    assert pieces == {"profile", "generic-", "gpu-", "blackwell"}


def test_a_table_a_little_too_wide_moves_closer() -> None:
    """Six columns of 12 and five gaps are 82: one blank between them makes it 77, with no line broken."""
    lines = drawn(Table("", ("energy, cost",) * 6, "lrlrlr", (("mean power..",) * 6,)))
    assert len(lines) == 3 and all(len(line) <= 80 for line in lines)
