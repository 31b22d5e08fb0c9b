"""Quantities read as written, print as read, and refuse what could mean two things."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genzcli import units
from genzcli.errors import UnitError

UNITS = ("bytes", "bytes/s", "flop/s", "s", "Hz", "W", "J", "USD", "USD/h", "")


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("80 GB", "bytes", 80e9),
        ("80GiB", "bytes", 80 * 2**30),
        ("80gb", "bytes", 80e9),
        ("80 gib", "bytes", 80 * 2**30),
        ("512 kB", "bytes", 512e3),
        ("512 KB", "bytes", 512e3),
        ("64 KiB", "bytes", 65536),
        ("1.5 PiB", "bytes", 1.5 * 2**50),
        ("7 B", "bytes", 7),
        ("0", "bytes", 0),
        ("3.35 TB/s", "bytes/s", 3.35e12),
        ("3.35TBps", "bytes/s", 3.35e12),
        ("1 GiB/s", "bytes/s", 2**30),
        ("400 Gbit/s", "bytes/s", 50e9),
        ("400 Gb/s", "bytes/s", 50e9),
        ("400Gbps", "bytes/s", 50e9),
        ("400 gbps", "bytes/s", 50e9),
        ("8 Mb/s", "bytes/s", 1e6),
        ("8 MB/s", "bytes/s", 8e6),
        ("66.9 TFLOPS", "flop/s", 66.9e12),
        ("2 PFLOP/s", "flop/s", 2e15),
        ("1979 TOPS", "flop/s", 1.979e15),
        ("4 GOPS", "flop/s", 4e9),
        ("5 tflops", "flop/s", 5e12),
        ("7 FLOPS", "flop/s", 7),
        ("200 ms", "s", 0.2),
        ("0.5 us", "s", 5e-7),
        ("0.5 µs", "s", 5e-7),
        ("0.5 μs", "s", 5e-7),
        ("500ns", "s", 5e-7),
        ("2 min", "s", 120),
        ("1 h", "s", 3600),
        ("940 MHz", "Hz", 940e6),
        ("1.7 ghz", "Hz", 1.7e9),
        ("10.2 kW", "W", 10200),
        ("5 MW", "W", 5e6),
        ("5 mW", "W", 5e-3),
        ("2 kWh", "J", 7.2e6),
        ("$3", "USD", 3),
        ("$30k", "USD", 30000),
        ("3 USD", "USD", 3),
        ("$2.5/h", "USD/h", 2.5),
        ("2.99 USD/h", "USD/h", 2.99),
        ("12%", "", 0.12),
        ("200k", "", 200_000),
        ("0.5 K", "", 500),
        ("2M", "", 2e6),
        ("1_000", "", 1000),
        ("27.2e9", "", 27.2e9),
        ("1e12", "", 1e12),
        ("inf", "", math.inf),
        ("-5", "", -5),
    ],
)
def test_reads(text: str, unit: str, value: float) -> None:
    assert units.parse(text, unit) == value
    assert units.parse(f"  {text} ", unit) == value


@pytest.mark.parametrize(
    ("text", "unit", "says"),
    [
        ("80", "bytes", "has no unit; write it like 80 GiB or 80 GB"),
        ("3.35e12", "bytes/s", "has no unit"),
        ("80 Gb", "bytes", "a small b may mean bits"),
        ("80 gb/s", "bytes/s", "a small b may mean bits"),
        ("80 Gib/s", "bytes/s", "a small b may mean bits"),
        ("80 Gbit", "bytes", "80 GiB or 80 GB"),
        ("80 GB", "bytes/s", "not a quantity in bytes/s"),
        ("80 GB/s", "bytes", "not a quantity in bytes"),
        ("1,000", "", "without thousands commas|leave out thousands commas"),
        ("1,000 GB", "bytes", "thousands commas"),
        ("nan", "", "NaN"),
        ("nan GB", "bytes", "NaN"),
        ("inf", "s", "infinity"),
        ("inf GB", "bytes", "infinity"),
        ("1e31", "", "absurdly large"),
        ("1e999", "", "absurdly large"),
        ("1e25 PB", "bytes", "absurdly large"),
        ("1e308 EB", "bytes", "absurdly large"),
        ("1e-400", "", "too small"),
        ("", "s", "empty"),
        ("   ", "s", "empty"),
        ("ms", "s", "is not a number"),
        ("$", "USD", "is not a number"),
        ("1.2.3 ms", "s", "is not a number"),
        ("1__0 ms", "s", "is not a number"),
        ("٣ ms", "s", "is not a number"),
        ("0x10", "", "not a plain number"),
        ("5 parsecs", "s", "write it like 200 ms"),
        ("5 MS", "s", "write it like 200 ms"),
        ("5 TB", "W", "write it like 700 W"),
        ("20%", "bytes", r"write \+20% or \*1.2"),
        ("9" * 100, "", "too long"),
        ("5 W", "USD/h", r"\$2.5/h"),
    ],
)
def test_refuses(text: str, unit: str, says: str) -> None:
    with pytest.raises(UnitError, match=says) as caught:
        units.parse(text, unit, "f.yaml:3: power")
    assert str(caught.value).startswith("f.yaml:3: power: ")
    assert "\n" not in str(caught.value)
    assert caught.value.cure


def test_bits_and_bytes_differ_by_eight() -> None:
    assert units.parse("1 MB/s", "bytes/s") == 8 * units.parse("1 Mb/s", "bytes/s")


def test_any_unit_is_recognised() -> None:
    assert units.parse_any("200 ms") == (0.2, "s")
    assert units.parse_any("3 J") == (3, "J")
    assert units.parse_any("$2") == (2, "USD")
    assert units.parse_any("50 tokens/s") == (50, "")
    assert units.parse_any("50") == (50, "")
    with pytest.raises(UnitError, match="unknown unit"):
        units.parse_any("50 parrots")


@pytest.mark.parametrize(
    ("text", "value"),
    [("*2", 200), ("/2", 50), ("+20%", 120), ("-10%", 90), ("* 1.5", 150), ("3 W", 3), ("-100%", 0)],
)
def test_edits(text: str, value: float) -> None:
    assert units.edit(100.0, text, "W") == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    "text", ["*0", "/0", "*-2", "*inf", "*nan", "*x", "+5", "+5 W", "-200%", "*", "+%", "5", "/1e-300"]
)
def test_edits_refused(text: str) -> None:
    with pytest.raises(UnitError):
        units.edit(1e300, text, "W")


def test_an_edit_needs_something_to_change() -> None:
    with pytest.raises(UnitError, match="700 W"):
        units.edit(None, "*2", "W")
    assert units.edit(None, "5 W", "W") == 5


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (3.35e12, "bytes/s", "3.35 TB/s"),
        (80e9, "bytes", "80 GB"),
        (999.9996e9, "bytes", "1 TB"),
        (0.0123, "s", "12.3 ms"),
        (5e-7, "s", "500 ns"),
        (5e-6, "s", "5 µs"),
        (12.34, "s", "12.3 s"),
        (600, "s", "10 min"),
        (7200, "s", "2 h"),
        (0, "s", "0 s"),
        (1.2e15, "flop/s", "1.2 PFLOP/s"),
        (989.4e12, "flop/s", "989 TFLOP/s"),
        (2.99, "USD/h", "$2.99/h"),
        (0.5, "USD", "$0.50"),
        (0.0123, "USD", "$0.0123"),
        (31400, "USD", "$31.4k"),
        (0, "USD", "$0.00"),
        (700, "W", "700 W"),
        (10200, "W", "10.2 kW"),
        (0.35, "J", "350 mJ"),
        (940e6, "Hz", "940 MHz"),
        (0.72, "", "0.72"),
        (4096, "", "4096"),
        (27.2e9, "", "27.2B"),
        (-5e9, "bytes", "-5 GB"),
        (None, "s", "–"),
        (math.nan, "s", "–"),
        (math.inf, "", "∞"),
    ],
)
def test_shows(value: float | None, unit: str, shown: str) -> None:
    assert units.show(value, unit) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (980, "980"),
        (12345, "12.3k"),
        (999_999, "1M"),
        (2.5e6, "2.5M"),
        (1e13, "10T"),
        (None, "–"),
        (-1500, "-1.5k"),
    ],
)
def test_counts(value: float | None, shown: str) -> None:
    assert units.show_count(value) == shown


VALUES = st.floats(min_value=1e-9, max_value=1e20)


@settings(deadline=None)  # the machines that run this are shared
@given(VALUES, st.sampled_from(UNITS))
def test_exact_text_reads_back_as_the_same_float(value: float, unit: str) -> None:
    assert units.parse(units.exact(value, unit), unit) == value


@settings(deadline=None)  # the machines that run this are shared
@given(st.floats(min_value=1e-3, max_value=1e8), st.sampled_from([u for u in UNITS if u]))
def test_shown_text_reads_back_to_its_digits(value: float, unit: str) -> None:
    assert units.parse(units.show(value, unit), unit) == pytest.approx(value, rel=6e-3)


@settings(deadline=None)  # the machines that run this are shared
@given(st.text(max_size=30), st.sampled_from(UNITS))
def test_no_text_breaks_the_parser(text: str, unit: str) -> None:
    try:
        assert units.parse(text, unit) == units.parse(text, unit)
    except UnitError as error:
        assert error.cure


@settings(deadline=None)  # the machines that run this are shared
@given(VALUES, st.floats(min_value=0.01, max_value=100))
def test_multiplying_and_dividing_undo_each_other(value: float, factor: float) -> None:
    there = units.edit(value, f"*{factor!r}", "W")
    assert units.edit(there, f"/{factor!r}", "W") == pytest.approx(value, rel=1e-12)
