"""What only a process of its own shows: what it loads, how it ends, what a pipe gets."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from genz_process import ROOT, process, python

HEAVY = ("numpy", "rich", "yaml", "genzcli.engine", "genzcli.catalog")
RUN = ("run", "llama-3.1-8b", "h100-sxm")


def loaded(*words: str) -> set[str]:
    """Which of the heavy packages one command line imports."""
    script = (
        "import sys; from genzcli.cli.app import run; run(sys.argv[1:]); "
        f"print(*(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)"
    )
    return set(python("-c", script, *words).err.split())


def test_help_and_version_load_nothing_heavy() -> None:
    assert loaded("--help") == set()
    assert loaded("--version") == set()
    assert loaded("run", "--help") == set()


def test_a_query_never_loads_numpy_and_json_never_rich() -> None:
    assert loaded(*RUN, "--json") == {"yaml", "genzcli.engine", "genzcli.catalog"}
    assert "rich" in loaded(*RUN) and "numpy" not in loaded(*RUN)
    assert "numpy" not in loaded("list", "models")
    assert "rich" not in loaded("list", "--json")


def test_a_closed_pipe_ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "genzcli", *RUN, "--explain"]
    with os.fdopen(writer, "w") as pipe:
        done = subprocess.run(
            command,
            stdout=pipe,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=60,
        )
    assert done.returncode == 141 and done.stderr == b""


def test_a_full_disk_is_one_line() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "genzcli", *RUN],
            stdout=full,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=60,
        )
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1


def test_a_pipe_that_cannot_show_a_sign_gets_another() -> None:
    ended = process(*RUN, PYTHONIOENCODING="ascii")
    assert ended.code == 0 and ended.out.isascii() and ended.err == ""


@pytest.mark.parametrize("width", [40, 80, 140])
def test_nothing_is_cut_and_nothing_is_wider_than_the_terminal(width: int) -> None:
    for words in ((*RUN, "--explain", "-n", "4", "-u", "chat"), ("list", "chips"), ("show", "h100-sxm")):
        out = process(*words, COLUMNS=str(width)).out
        assert "…" not in out and "\x1b" not in out
        assert max(map(len, out.splitlines())) <= width


def test_width_changes_lines_but_not_words() -> None:
    """The same words at any width: what wraps inside a cell is put together again."""
    wide, narrow = (process(*RUN, "-u", "chat", COLUMNS=width).out for width in ("200", "80"))
    assert sorted(wide.replace("─", "").split()) == sorted(narrow.replace("─", "").split())


def test_colour_follows_the_terminal() -> None:
    pty = pytest.importorskip("pty")

    def on_terminal(**environment: str) -> bytes:
        main, end = pty.openpty()
        kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS")}
        done = subprocess.Popen(
            [sys.executable, "-m", "genzcli", *RUN, "--quiet"],
            stdout=end,
            stderr=subprocess.DEVNULL,
            env={**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm", **environment},
        )
        done.wait(60)
        os.close(end)
        text = os.read(main, 10_000)
        os.close(main)
        return bytes(text)

    assert b"\x1b[" in on_terminal()
    assert b"\x1b" not in on_terminal(NO_COLOR="1")


def test_quiet_is_the_verdict_line_alone() -> None:
    ended = process(*RUN, "--quiet", COLUMNS="200")
    assert ended.out.startswith("FITS  llama-3.1-8b") and ended.out.count("\n") == 1
    assert ended.err == ""


def test_every_table_ends_with_what_was_assumed_and_what_is_not_modelled() -> None:
    out = process(*RUN, COLUMNS="1000").out.splitlines()
    assert out[-2].startswith("Assumed: ") and out[-1].startswith("Not modelled: ")


def test_the_entry_points_agree() -> None:
    script = "import sys; from genzcli.cli import main; sys.argv[0] = 'genz'; main()"
    assert python("-c", script, *RUN, "--json").out == process(*RUN, "--json").out
