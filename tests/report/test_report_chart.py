"""Charts in characters: where points lie, which numbers stand along the axes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genzcli.report.chart import Axis, Chart, Series, axis, text, ticks


def chart(*series: Series) -> Chart:
    points = [point for item in series for point in item.points]
    x, y = (axis(name, [point[at] for point in points], False) for at, name in enumerate("xy"))
    return Chart("a title", x, y, series)


def body(drawn: str) -> list[str]:
    """The rows of the field, without the numbers before them."""
    return [line.partition("│")[2] for line in drawn.splitlines() if "│" in line]


def test_corners_are_corners() -> None:
    rows = body(text(chart(Series("", ((0, 0), (10, 5)))), 40, 10))
    assert len(rows) == 10
    assert rows[-1][0] == "o"  # the origin, below and left
    assert rows[0].rstrip()[-1] == "o" and len(rows[0]) == 40 - 10
    assert [row.count("o") for row in rows] == [1, *[0] * 8, 1]
    assert all("·" in row for row in rows[1:-1])  # and a line between them


def test_each_series_has_a_mark_and_a_line_in_the_legend() -> None:
    drawn = text(chart(Series("first", ((0, 1), (1, 1))), Series("second", ((0, 2), (1, 3)))), 60)
    assert "  o first" in drawn and "  x second" in drawn
    assert sum(row.count("x") for row in body(drawn)) == 2
    assert "first" not in text(chart(Series("first", ((0, 1), (1, 1)))), 60)  # alone it needs none


def test_a_cloud_is_no_line() -> None:
    assert not Series("", ((1, 1), (1, 2))).is_line
    assert "·" not in text(chart(Series("", ((0, 0), (5, 2), (5, 5)))), 60)


@pytest.mark.parametrize(
    ("low", "high", "log", "found"),
    [
        (0, 10, False, [0, 2, 4, 6, 8, 10]),
        (0, 63.4, False, [0, 20, 40, 60]),
        (1, 256, True, [1, 3, 10, 30, 100]),
        (0.01, 1e5, True, [0.01, 0.1, 1, 10, 100, 1e3, 1e4, 1e5]),
        (1, 8, True, [1, 2, 5]),
    ],
)
def test_ticks_are_round(low: float, high: float, log: bool, found: list[float]) -> None:
    assert ticks(Axis("", low, high, log)) == pytest.approx(found)


def test_a_scale_follows_from_the_span_unless_told() -> None:
    assert axis("", [1, 256], None).log and not axis("", [1, 20], None).log
    assert not axis("", [0, 256], None).log and not axis("", [1, 256], False).log
    assert axis("", [3, 20], None).low == 0  # a linear one begins at nought
    assert axis("", [1, 256], None).low == 1
    assert axis("", [5, 5], None).share(5) == pytest.approx(0.5)


@given(
    st.lists(st.tuples(*[st.floats(1e-6, 1e12)] * 2), min_size=1, max_size=30),
    st.booleans(),
    st.integers(10, 200),
)
def test_every_point_is_in_the_field(points: list[tuple[float, float]], log: bool, width: int) -> None:
    x, y = (axis("", [point[at] for point in points], log) for at in (0, 1))
    drawn = text(Chart("t", x, y, (Series("", tuple(sorted(points))),)), width)
    assert 1 <= sum(row.count("o") for row in body(drawn)) <= len(set(points))
    assert max(map(len, drawn.splitlines())) <= max(width, 26)
