"""Numbers in print."""

from __future__ import annotations

import pytest

from genzcli.report.json import dumps
from genzcli.report.markdown import markdown
from genzcli.report.page import Page, Table
from genzcli.report.words import margin, objective, percent, with_unit
from genzcli.slo import Judged


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.004, "0.4 %"), (0.0996, "10 %"), (0.451, "45 %"), (1, "100 %"), (None, "–")],
)
def test_percent(share: float | None, text: str) -> None:
    assert percent(share) == text


def test_units_are_written_out() -> None:
    assert with_unit(310.5, "tokens/s") == "310 tokens/s"
    assert with_unit(53.2, "J/token") == "53.2 J/token"
    assert with_unit(4129.0, "W") == "4.13 kW"
    assert with_unit(1.5, "USD/M tokens") == "$1.50 / M tokens"
    assert with_unit(None, "W") == "–"


def judged(
    actual: float | None, limit: float, passed: bool, slack: float | None, metric: str = "ttft"
) -> Judged:
    unit = "ms" if metric == "ttft" else "tokens/s"
    return Judged(metric, unit, limit, actual, passed, slack)


def test_an_objective_says_how_far() -> None:
    assert objective(judged(110, 200, True, 0.45)) == "TTFT 110 ms ≤ 200 ms (45 % to spare)"
    assert objective(judged(250, 200, False, -0.25)) == "TTFT 250 ms > 200 ms (25 % over)"
    assert margin(judged(1000, 200, False, -4)) == "5 × the limit"
    assert (
        objective(judged(50, 100, False, -0.5, "throughput"))
        == "throughput 50 tokens/s < 100 tokens/s (50 % short)"
    )
    assert objective(judged(None, 200, False, None)) == "TTFT – (limit 200 ms)"


def test_json_has_no_infinity_and_no_nan() -> None:
    assert dumps({"a": [float("nan"), float("inf"), 1.5]}).split() == [
        "{",
        '"a":',
        "[",
        "null,",
        "null,",
        "1.5",
        "]",
        "}",
    ]


def test_markdown_escapes_what_would_be_markup() -> None:
    text = markdown(Page("PASS", ("a|b",), tables=(Table("T", ("x", "y"), "lr", (("a_b", "1|2"),)),)))
    assert text.splitlines()[-1] == "| a\\_b | 1\\|2 |"
    assert "| --- | ---: |" in text
