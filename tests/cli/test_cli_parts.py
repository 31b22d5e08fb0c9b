"""Sweeps in parts: other workers give the same rows in order; Parquet holds them; Ctrl-C cuts none."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from genz_process import ROOT

from genzcli.cli.many import rows as written
from genzcli.cli.many.engines import engine
from genzcli.errors import GenzError

Genz = Callable[..., Any]
ASK = ("sweep", "llama-3.1-8b", "--over", "hardware=h100-sxm,l40s", "--over", "batch=1..60/+1",
       "--over", "output=1,2,500")  # fmt: skip
NDJSON = ("--format", "ndjson")


def rows_of(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("jobs", ["1", "2", "5"])
def test_processes_give_the_same_bytes(genz: Genz, jobs: str) -> None:
    alone = genz(*ASK, *NDJSON)
    assert alone.out.count("\n") == 360
    for words in (("--jobs", jobs), ("--executor", "processes", "--jobs", jobs)):
        ended = genz(*ASK, *NDJSON, *words)
        assert (ended.code, ended.out, ended.err) == (0, alone.out, "")


@pytest.mark.parametrize(
    "words",
    [
        ("--shard", "2/7"),
        ("--format", "csv"),
        ("--format", "csv", "--where", "hardware=l40s", "--where", "tpot_ms<50"),
        ("--where", "tpot_ms<0"),
        ("--columns", "batch,tpot_ms"),
        ("--format", "csv", "--columns", "tpot_ms,hardware", "--where", "batch>7"),
        ("--format", "json"),
        ("--where", "tpot_ms<20", "--sort", "-requests_per_s", "--top", "9"),
        ("--pareto", "tpot_ms,requests_per_s"),
        ("--top", "3"),
    ],
)
def test_what_is_kept_is_the_same(genz: Genz, words: tuple[str, ...]) -> None:
    asked = (*ASK, *(() if "--format" in words else NDJSON), *words)
    alone = genz(*asked)
    assert alone.code == 0 and genz(*asked, "--jobs", "2").out == alone.out


@pytest.mark.parametrize("name", ["dask", "ray"])
def test_engines_give_the_same_bytes(genz: Genz, name: str) -> None:
    package = {"dask": "distributed", "ray": "ray"}[name]
    if find_spec(package) is None:
        pytest.skip(f"the optional extra {name} is not installed")
    ended = genz(*ASK, *NDJSON, "--executor", name, "--jobs", "2")
    assert (ended.code, ended.out) == (0, genz(*ASK, *NDJSON).out)


@pytest.mark.parametrize(
    ("package", "extra", "words"),
    [
        ("distributed", "dask", ("--executor", "dask")),
        ("ray", "ray", ("--executor", "ray")),
        ("pyarrow", "parquet", ("--format", "parquet", "--out", "rows.parquet")),
    ],
)
def test_a_missing_extra_is_named(
    genz: Genz, monkeypatch: pytest.MonkeyPatch, package: str, extra: str, words: tuple[str, ...]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # an import of it fails
    ended = genz(*ASK, *words)
    assert (ended.code, ended.out) == (2, "")
    assert f"pip install 'genzcli[{extra}]'" in ended.err and ended.err.count("\n") == 1


def test_extras_are_declared_and_not_required() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"parquet", "dask", "ray"} <= set(project["optional-dependencies"])
    assert not [name for name in project["dependencies"] if name.startswith(("pyarrow", "dask", "ray"))]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--executor", "dasc"), "did you mean dask"),
        (("--jobs", "0"), "--jobs"),
        (("--format", "parquet"), "--out: is missing"),
        (("--out", "rows.csv", "--format", "csv"), "redirect stdout"),
    ],
)
def test_refuses(genz: Genz, words: tuple[str, ...], says: str) -> None:
    ended = genz(*ASK, *words)
    assert ended.code == 2 and says in ended.err and not ended.out, ended.err


def test_an_error_elsewhere_is_the_error_here(genz: Genz) -> None:
    words = ("sweep", "llama-3.1-8b", "--over", "hardware=h100-sxm,none-such", "--over", "batch=1,2")
    alone, elsewhere = genz(*words), genz(*words, "--jobs", "2")
    assert alone.code == elsewhere.code == 2 and alone.err == elsewhere.err


def test_a_killed_worker_is_an_error() -> None:
    with pytest.raises(GenzError, match="a worker was killed"), engine("processes", 1, 1) as found:
        found.result(found.submit(os._exit, 1))


def test_no_worker_is_left_behind(genz: Genz) -> None:
    assert genz(*ASK, *NDJSON, "--jobs", "3", "--top", "1").out.count("\n") == 1
    until = time.monotonic() + 20
    while multiprocessing.active_children() and time.monotonic() < until:
        time.sleep(0.01)
    assert not multiprocessing.active_children()


def test_progress_is_for_terminals(genz: Genz, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written, "_PATIENCE_S", -1)
    assert genz(*ASK, *NDJSON).err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for words in ((), ("--jobs", "2")):
        assert "360 of 360 points (100%)\n" in genz(*ASK, *NDJSON, *words).err
        assert genz(*ASK, *NDJSON, *words, "--quiet").err == ""


# --- Parquet ---


@pytest.mark.parametrize("more", [(), ("--jobs", "2"), ("--where", "fits=true", "--top", "40")])
def test_parquet_holds_the_rows(genz: Genz, tmp_path: Path, more: tuple[str, ...]) -> None:
    if find_spec("pyarrow") is None:
        pytest.skip("the optional extra parquet is not installed")
    from pyarrow import parquet

    ended = genz(*ASK, *more, "--format", "parquet", "--out", "rows.parquet")
    assert (ended.code, ended.out) == (0, "")
    table = parquet.read_table(tmp_path / "rows.parquet")
    expected = rows_of(genz(*ASK, *more, *NDJSON).out)
    assert table.to_pylist() == expected and table.column_names == list(expected[0])
    types = {name: str(table.schema.field(name).type) for name in ("hardware", "batch", "fits", "tpot_ms")}
    # The first rows have no TPOT: the type is known beforehand.
    assert types == {"hardware": "string", "batch": "int64", "fits": "bool", "tpot_ms": "double"}
    assert expected[0]["tpot_ms"] is None


def test_parquet_where_nothing_can_be_written(genz: Genz) -> None:
    if find_spec("pyarrow") is None:
        pytest.skip("the optional extra parquet is not installed")
    ended = genz(*ASK, "--format", "parquet", "--out", "no/such/folder/rows.parquet")
    assert ended.code == 2 and "--out no/such/folder/rows.parquet" in ended.err and "\n" not in ended.err[:-1]


# --- Ctrl-C ---

LONG = ("sweep", "llama-3.1-8b", "h100-sxm", "--over", "batch=1..500/+1", "--over", "input=1..20000/+1")


def interrupted(tmp_path: Path, *words: str, grown: Callable[[], bool]) -> tuple[int, str]:
    """Exit code and stdout of a long sweep that gets Ctrl-C, as its whole group does, once it has `grown`."""
    with (tmp_path / "out").open("wb") as out:
        started = subprocess.Popen(
            [sys.executable, "-m", "genzcli", *LONG, *words],
            stdout=out,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            until = time.monotonic() + 60
            while not grown() and time.monotonic() < until and started.poll() is None:
                time.sleep(0.01)
            os.killpg(started.pid, signal.SIGINT)
            said = started.communicate(timeout=60)[1]
        finally:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
    assert said == b"", said
    return started.returncode, (tmp_path / "out").read_text(encoding="utf-8")


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("kind", ["csv", "ndjson", "json"])
@pytest.mark.parametrize("more", [(), ("--jobs", "2")], ids=["here", "processes"])
def test_ctrl_c_leaves_whole_rows(tmp_path: Path, kind: str, more: tuple[str, ...]) -> None:
    code, text = interrupted(
        tmp_path, "--format", kind, *more, grown=lambda: (tmp_path / "out").stat().st_size > 100_000
    )
    assert code == 130 and text.endswith("\n")
    if kind == "csv":
        assert len({len(line) for line in csv.reader(io.StringIO(text))}) == 1
        lines = csv.DictReader(io.StringIO(text))
        found = [(int(line["batch"]), int(line["input_tokens"])) for line in lines]
    else:
        document = {"rows": rows_of(text)} if kind == "ndjson" else json.loads(text)
        assert kind == "ndjson" or document["interrupted"] is True
        found = [(row["batch"], row["input_tokens"]) for row in document["rows"]]
    assert 100 < len(found) < 10_000_000
    assert found == [(1 + index // 20000, 1 + index % 20000) for index in range(len(found))]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_leaves_a_parquet_file_that_can_be_read(tmp_path: Path) -> None:
    if find_spec("pyarrow") is None:
        pytest.skip("the optional extra parquet is not installed")
    from pyarrow import parquet

    file = tmp_path / "rows.parquet"
    code, text = interrupted(
        tmp_path, "--format", "parquet", "--out", str(file),
        grown=lambda: file.exists() and file.stat().st_size > 100_000,
    )  # fmt: skip
    assert (code, text) == (130, "")
    table = parquet.read_table(file, columns=["batch", "input_tokens"])
    assert table.num_rows > 1000
    assert table.to_pylist()[-1] == {
        "batch": 1 + (table.num_rows - 1) // 20000, "input_tokens": 1 + (table.num_rows - 1) % 20000,
    }  # fmt: skip


def test_there_are_no_more_workers_than_pieces_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert engine("processes", 99999, 2).jobs == 2
    assert engine("processes", 99999, 10**6).jobs == 16  # four for each core
    assert engine("processes", None, 10**6).jobs == 4
    assert engine("processes", 3, 10**6).jobs == 3
