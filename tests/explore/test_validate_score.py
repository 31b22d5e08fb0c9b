"""Errors by group, with the numbers in the test; and which kind a header means."""

from __future__ import annotations

from math import exp, log

import pytest

from genzcli.errors import GenzError
from genzcli.explore.validate.kind import Kind, Predicted, Row, Setting, applies, as_number
from genzcli.explore.validate.kinds import kinds, recognise
from genzcli.explore.validate.score import Scored, groups, quantile, record

KIND = Kind(
    name="toy",
    needs=("who", "x"),
    targets=("y", "z"),
    by=("who",),
    group=lambda row: (row.cells["who"],),
    predict=lambda rows, setting: iter(()),
)


def scored(who: str, y: str, predicted: float | None, **more: str) -> Scored:
    values = {} if predicted is None else {"y": predicted}
    reason = "too odd" if predicted is None else None
    flags = ("said",) if predicted == 150 else ()
    return Scored(Row(2, {"who": who, "y": y, **more}), Predicted(values, reason, flags))


ROWS = [
    scored("a", "100", 110),
    scored("a", "100", 80),
    scored("a", "100", 150),
    scored("a", "", 7),  # nothing measured
    scored("b", "100", None),
]


def test_the_errors_of_a_group() -> None:
    a, b, everything = groups(KIND, ROWS)
    # +10 %, -20 %, +50 %
    assert (a.rows, a.n, a.flagged) == (4, 3, 1)
    assert a.mean == pytest.approx((0.1 + 0.2 + 0.5) / 3)
    assert a.median == pytest.approx(0.2)
    assert a.p90 == pytest.approx(0.2 + 0.8 * 0.3)
    assert a.worst == pytest.approx(0.5)
    assert a.bias == pytest.approx(0.4 / 3)
    assert a.geometric == pytest.approx(exp((log(1.1) + log(1 / 0.8) + log(1.5)) / 3) - 1)
    assert (b.n, b.mean, b.unpredicted) == (0, None, {"too odd": 1})
    assert everything.key == {"who": "all"}
    assert (everything.rows, everything.n) == (5, 3)


def test_a_target_that_no_row_measures_is_left_out() -> None:
    assert {group.target for group in groups(KIND, ROWS)} == {"y"}
    nothing = [scored("a", "", 3)]
    assert [group.n for group in groups(KIND, nothing)] == [0, 0]


def test_other_columns_to_group_by() -> None:
    rows = [scored("a", "1", 1, size="s"), scored("b", "1", 1, size="s"), scored("b", "1", 2, size="l")]
    keys = [tuple(group.key.values()) for group in groups(KIND, rows, ("size",))]
    assert keys == [("s",), ("l",), ("all",)]


def test_a_record_is_in_percent() -> None:
    found = record(groups(KIND, ROWS)[0])
    assert found["who"] == "a" and found["column"] == "y"
    assert found["median_error_pct"] == pytest.approx(20)
    assert found["unpredicted"] == []


def test_a_prediction_of_nothing_is_no_ratio() -> None:
    assert scored("a", "0", 5).ratio("y") is None
    assert scored("a", "-3", 5).ratio("y") is None
    assert scored("a", "3", 0).ratio("y") is None


def test_quantiles() -> None:
    assert quantile([], 0.5) is None
    assert quantile([3], 0.9) == 3
    assert quantile([1, 2, 3, 4], 0.5) == 2.5


def test_numbers() -> None:
    assert as_number("1e3") == 1000
    assert [as_number(text) for text in ("", "nan", "inf", "1_000", "x")] == [None] * 5


def test_every_kind_is_recognised_by_its_columns_without_what_was_measured() -> None:
    for kind in kinds():
        assert recognise([*kind.needs, "something else"]).name == kind.name
        assert not set(kind.needs) & set(kind.targets)


def test_a_header_that_is_nearly_one_says_what_is_missing() -> None:
    with pytest.raises(GenzError, match="systolic array cycles lack K"):
        recognise(["array_rows", "array_cols", "dataflow", "M", "N"])


def test_a_header_that_is_none_says_what_is_expected() -> None:
    with pytest.raises(GenzError) as caught:
        recognise(["apples", "pears"])
    assert all(kind.name in str(caught.value) for kind in kinds())


def test_a_profile_applies_by_name_class_or_any() -> None:
    from engine_samples import IDEAL, chip

    names = (("round",), ("class:gpu",), ("any",), (), ("class:tpu",), ("h100",))
    found = [applies(IDEAL.replace(applies=words), chip()) for words in names]
    assert found == [True, True, True, True, False, False]


def test_given_profiles_come_before_the_librarys() -> None:
    from engine_samples import IDEAL, chip

    class Shelf:
        def profile(self, stack: str, chip: object) -> object:
            return stack

    mine = IDEAL.replace(applies=("round",))
    assert Setting(Shelf(), None, (mine,)).profile("vllm", chip()) is mine  # type: ignore[arg-type]
    other = chip(name="other", kind="tpu")
    assert Setting(Shelf(), None, (mine,)).profile("vllm", other) == "vllm"  # type: ignore[arg-type, comparison-overlap]
    assert Setting(Shelf(), "ideal", ()).profile("vllm", other) == "ideal"  # type: ignore[arg-type, comparison-overlap]
