"""The values of an axis: lists, doubling, even and geometric steps, units and changes."""

from __future__ import annotations

import pytest

from genzcli.errors import PlanError
from genzcli.explore.axes import values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2,4", "1 2 4"),
        ("1..64", "1 2 4 8 16 32 64"),
        ("1..100", "1 2 4 8 16 32 64 100"),
        ("3..3", "3"),
        ("0..10/3", "0 5 10"),
        ("0..1/5", "0 0.25 0.5 0.75 1"),
        ("1..100/log3", "1 10 100"),
        ("*0.5..*2/log3", "*0.5 *1 *2"),
        ("+10%..+30%/3", "+10% +20% +30%"),
        ("1TB/s..8TB/s/log4", "1TB/s 2TB/s 4TB/s 8TB/s"),
        ("1..8TB/s/log2", "1TB/s 8TB/s"),
        ("0..50/+20", "0 20 40"),
        ("0..0.3/+0.1", "0 0.1 0.2 0.3"),
        ("1..4,100", "1 2 4 100"),
        ("h100-sxm,mi300x", "h100-sxm mi300x"),
        ("fp8;fp8,kv=bf16", "fp8 fp8,kv=bf16"),
    ],
)
def test_values(text: str, expected: str) -> None:
    assert " ".join(values(text, "--over")) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1,,2", "empty value"),
        ("1,1", "given twice"),
        ("8..1", "runs backwards"),
        ("0..8", "cannot be cut geometrically"),
        ("0..8/log3", "cannot be cut geometrically"),
        ("a..b", "no end of a range"),
        ("1..*2", "differ in kind"),
        ("1TB/s..2GB/s/3", "differ in kind"),
        ("1..2/0", "has 0 steps"),
        ("1..2/+0", "has no end"),
        ("1..2/99999999999", "steps"),
    ],
)
def test_refuses(text: str, says: str) -> None:
    with pytest.raises(PlanError, match=says):
        values(text, "--over")
