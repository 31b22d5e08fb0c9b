"""`genz plot`: rows of a sweep as lines, trade-offs and pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from genz_process import process

from genzcli.cli.many.plotting import Wanted, chart, parsed

Genz = Callable[..., Any]
SWEEP = ("sweep", "llama-3.1-8b", "--over", "hardware=h100-sxm,l40s", "--over", "batch=1..256")


@pytest.fixture
def rows(genz: Genz, tmp_path: Path) -> str:
    (tmp_path / "rows.csv").write_text(genz(*SWEEP, "--format", "csv").out)
    return "rows.csv"


@pytest.mark.parametrize("form", ["csv", "ndjson", "json"])
def test_every_format_of_a_sweep_makes_the_same_chart(genz: Genz, form: str) -> None:
    found, left = chart(parsed(genz(*SWEEP, "--format", form).out, "rows"), Wanted(y="tpot_ms"))
    assert left == 1  # the largest batch does not fit on the L40S
    assert [series.name for series in found.series] == ["h100-sxm", "l40s"]
    assert [x for x, _ in found.series[0].points] == [2**i for i in range(9)]
    at_one = genz("run", "llama-3.1-8b", "h100-sxm", "--json").json["metrics"]["tpot_ms"]
    assert found.series[0].points[0][1] == at_one
    assert found.x.log and found.x.label == "batch" and found.y.label == "TPOT, ms"
    assert found.title == "llama-3.1-8b · bf16 · 1000 + 200 tokens"


def test_a_trade_off_has_what_nothing_beats(genz: Genz) -> None:
    text = genz(*SWEEP, "--over", "tp=1,2", "-n", "2", "--format", "csv").out
    found, _ = chart(parsed(text, "rows"), Wanted(front=True))
    everything, _ = chart(
        parsed(text, "rows"), Wanted("tokens_per_s_per_user", "output_tokens_per_s_per_chip")
    )
    assert (found.x.label, found.y.label) == ("tokens/s a user", "output tokens/s a chip")
    for front, cloud in zip(found.series, everything.series, strict=True):
        kept = [
            p for p in cloud.points if not any(q != p and q[0] >= p[0] and q[1] >= p[1] for q in cloud.points)
        ]
        assert [*front.points] == sorted(kept) and len(kept) < len(cloud.points)


def test_less_is_better_where_it_is(genz: Genz, rows: str) -> None:
    words = Wanted("e2e_ms", "usd_per_million_output_tokens", front=True, by="model")
    found, _ = chart(parsed(Path(rows).read_text(), rows), words)
    [series] = found.series
    prices = [price for _, price in series.points]
    assert prices == sorted(prices, reverse=True) and len(prices) > 3


def test_a_field_may_stand_along_the_axis(genz: Genz) -> None:
    over = ("--over", "memory.hbm.bandwidth=*0.5..*4/log4", "--over", "precision=bf16,fp8")
    text = genz("sweep", "llama-3.1-8b", "h100-sxm", *over, "--format", "csv").out
    found, _ = chart(parsed(text, "rows"), Wanted())
    assert found.x.label == "memory.hbm.bandwidth" and {item.name for item in found.series} == {"bf16", "fp8"}


def test_other_rows_can_be_drawn_too(genz: Genz, tmp_path: Path) -> None:
    """Predicted and measured, as `genz validate` writes them."""
    (tmp_path / "runs.csv").write_text(
        "hardware,model,input_tokens,output_tokens,batch,e2e_s\n"
        + "".join(f"{chip},llama-3.1-8b,512,128,{n},1\n" for chip in ("h100-sxm", "l40s") for n in (1, 4, 16))
    )
    text = genz("validate", "runs.csv", "--format", "csv").out
    found, left = chart(parsed(text, "rows"), Wanted("batch", "predicted_e2e_s"))
    assert [item.name for item in found.series] == ["h100-sxm", "l40s"] and left == 0
    assert all(len(item.points) == 3 for item in found.series)


def test_a_scenario_file_that_sweeps_is_drawn(genz: Genz, rows: str) -> None:
    file = str(Path(__file__).parents[2] / "docs" / "examples" / "trade-off.yaml")
    ended = genz("plot", file, "--y", "tpot_ms", "-q")
    assert ended.code == 0 and "  x mi300x" in ended.out
    written = genz("sweep", file, "--format", "csv").out
    Path("again.csv").write_text(written)
    assert genz("plot", "again.csv", "--y", "tpot_ms", "-q").out == ended.out


def test_characters_fit_the_width(genz: Genz, rows: str) -> None:
    wide = process("plot", str(Path(rows).resolve()), COLUMNS="80")
    assert wide.code == 0 and max(map(len, wide.out.splitlines())) <= 80
    assert "  o h100-sxm" in wide.out and "1 row has no point" in wide.err
    piped = process("plot", "-", "-q", text=Path(rows).read_text(), COLUMNS="80")
    assert piped.out == wide.out and piped.err == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--x", "bach"), "--x: there is no column 'bach'; did you mean batch?"),
        (("--y", "why"), "no row has both batch and why"),
        (("--by", "hardwar"), "--by: there is no column 'hardwar'; did you mean hardware?"),
        (("--log", "z"), "--log: unknown axes 'z'; choose from x, y, xy, none"),
        (("--out", "chart.bmp"), "--out: chart.bmp names no kind of picture; end it in .svg, .png, .pdf"),
        (("--by", "e2e_ms"), "17 series are too many"),
    ],
)
def test_mistakes(genz: Genz, rows: str, words: tuple[str, ...], said: str) -> None:
    ended = genz("plot", rows, *words)
    assert ended.code == 2 and said in ended.err and ended.out == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("{}\n[", "rows.json:2: is no JSON"),
        ("[]", "has no rows"),
        ("[1]", "has no rows"),
        ("a,b\nx,y\nz,w\n", "there is no column 'output_tokens_per_s'"),
        ("batch,output_tokens_per_s\n1,2\n1,3\n", "no number varies from row to row"),
    ],
)
def test_what_is_no_sweep(genz: Genz, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "rows.json").write_text(text)
    ended = genz("plot", "rows.json")
    assert ended.code == 2 and said in ended.err


def test_a_picture_without_its_extra_names_it(genz: Genz, rows: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    ended = genz("plot", rows, "--out", "chart.svg")
    assert ended.code == 2 and "pip install 'genzcli[plot]'" in ended.err
    assert not Path("chart.svg").exists()


@pytest.mark.parametrize("form", ["svg", "png", "pdf"])
def test_a_picture(genz: Genz, rows: str, form: str) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    assert genz("plot", rows, "--out", f"chart.{form}").code == 0
    drawn = Path(f"chart.{form}").read_bytes()
    assert drawn.startswith({"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[form])
    if form == "svg":
        said = drawn.decode()
        assert "h100-sxm" in said and "output tokens/s" in said and "1000 + 200 tokens" in said
        assert genz("plot", rows, "--out", "again.svg").code == 0
        assert Path("again.svg").read_bytes() == drawn
    assert genz("plot", rows, "--out", f"no/folder/chart.{form}").code == 2


ROWS = "batch,output_tokens_per_s\n"


@pytest.mark.parametrize(
    ("name", "text", "more", "said"),
    [
        (
            "z.csv",
            ROWS + "1,0\n2,3\n",
            ("--log", "y"),
            "--log: output_tokens_per_s has values of 0",
        ),
        ("d.json", "[" * 100_000, (), "d.json:1: is no JSON"),
        ("d.ndjson", '{"batch": 1}\n{"a": ' + "[" * 100_000, (), "d.ndjson:2: is no JSON"),
        ("s.yaml", "model: llama-3.1-8b\nhardware: h100-sxm\n", (), "s.yaml: sweeps nothing; add `over:`"),
        ("missing.csv", None, (), "missing.csv: there is no such file"),
    ],
)
def test_what_cannot_be_drawn_is_one_clear_error(
    genz: Genz, tmp_path: Path, name: str, text: str | None, more: tuple[str, ...], said: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    ended = genz("plot", name, *more)
    assert ended.code == 2 and said in ended.err and ended.err.count("\n") == 1


@pytest.mark.parametrize(
    "cells",
    ["1,1e308\n2,-1e308\n3,5\n4,6", "1,1e299\n2,-1e299", "1e298,1e17\n2e299,1e17", f"1,{10**400}\n2,3\n3,4"],
)
@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_numbers_beyond_measure_are_drawn_or_left_out(
    genz: Genz, tmp_path: Path, cells: str, form: str
) -> None:
    pairs = [line.split(",") for line in cells.splitlines()]
    lines = [f'{{"batch": {x}, "output_tokens_per_s": {y}, "model": [1]}}' for x, y in pairs]
    (tmp_path / "rows").write_text(ROWS + cells if form == "csv" else "\n".join(lines))
    ended = genz("plot", "rows")
    assert ended.code == 0 and max(map(len, ended.out.splitlines())) <= 120, ended.err


def test_what_a_terminal_would_obey_is_not_passed_on(genz: Genz, tmp_path: Path) -> None:
    names = ("a\x1b[31m", "b\x9b1m")
    cells = "".join(f"{name},{batch},{batch}\n" for name in names for batch in (1, 2))
    (tmp_path / "rows.csv").write_text("model," + ROWS + cells)
    ended = genz("plot", "rows.csv", "--by", "model")
    assert ended.code == 0 and "a\ufffd[31m" in ended.out
    assert all(sign.isprintable() for sign in ended.out.replace("\n", ""))
