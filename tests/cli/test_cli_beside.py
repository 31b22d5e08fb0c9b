"""`genz show` of several entries, and `genz lint --outliers`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Genz = Callable[..., Any]


def line(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


def test_two_chips_in_columns(genz: Genz) -> None:
    out = genz("show", "h100-sxm", "mi300x").out
    assert "2 chips side by side" in out
    # 5.3 / 3.35 TB/s; 1307 TFLOP/s over 5.3 TB/s are 247 FLOP/byte
    assert "3.35 TB/s" in line(out, "memory bandwidth") and "5.3 TB/s (× 1.58)" in line(
        out, "memory bandwidth"
    )
    assert "247 FLOP/byte" in line(out, "ridge bf16")
    assert line(out, "memory.infinity-cache.capacity").split()[1] == "–"  # what one lacks


def test_every_number_keeps_its_source(genz: Genz) -> None:
    out = genz("show", "h100-sxm", "mi300x").out
    first, second = (part.split("]")[0] for part in line(out, "memory.hbm.bandwidth").split("[")[1:])
    cited = out.split("Sources")[1]
    assert f"[{first}]" in cited and f"[{second}]" in cited and first != second


def test_platforms_count_all_their_chips(genz: Genz) -> None:
    out = genz("show", "hgx-h100", "paper-wafer").out
    assert "26.8 TB/s" in line(out, "memory bandwidth")  # 8 x 3.35
    assert "21000 TB/s" in line(out, "memory bandwidth") or "21 PB/s" in line(out, "memory bandwidth")


def test_json_and_csv_have_both(genz: Genz) -> None:
    names = [entry["name"] for entry in genz("show", "h100-sxm", "mi300x", "--json").json["entries"]]
    assert names == ["h100-sxm", "mi300x"]
    rows = genz("show", "h100-sxm", "mi300x", "--format", "csv").out.splitlines()
    assert {row.split(",")[1] for row in rows[1:]} == {"h100-sxm", "mi300x"}


def test_a_chip_and_a_model_cannot_stand_side_by_side(genz: Genz) -> None:
    ended = genz("show", "h100-sxm", "llama-2-7b")
    assert ended.code == 2 and "h100-sxm a chip, llama-2-7b a model" in ended.err


def test_yaml_is_of_one(genz: Genz) -> None:
    ended = genz("show", "h100-sxm", "mi300x", "--yaml")
    assert ended.code == 2 and "--yaml" in ended.err


def test_outliers_are_printed_and_are_no_errors(genz: Genz) -> None:
    ended = genz("lint", "--outliers")
    assert ended.code == 0 and "groq-lpu" in ended.out and "FLOP/byte" in ended.out
    document = genz("lint", "--outliers", "--json").json
    assert document["schema"] == "genz.outliers/1"
    first = document["outliers"][0]
    assert set(first) == {"chip", "ratio", "unit", "value", "median", "among", "chips", "factor"}
    assert first["factor"] == first["value"] / first["median"]


def test_outliers_of_a_file_are_refused(genz: Genz) -> None:
    ended = genz("lint", "--outliers", "x.yaml")
    assert ended.code == 2 and "--outliers" in ended.err
