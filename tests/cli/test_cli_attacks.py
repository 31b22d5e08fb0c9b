"""Hostile streams, files and words: nothing lost, no verdict mistaken, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from genz_process import ROOT, Ended, process

Genz = Callable[..., Ended]
ASK = ("run", "llama-3.1-8b", "h100-sxm")
LIST = "model: llama-3.1-8b\nhardware: h100-sxm\nscenarios:\n  - {batch: 1}\n"


def test_a_stdin_beyond_the_limit_is_refused_whole() -> None:
    ended = process("check", "-", "-q", text=LIST + "#" * (1 << 20) + "\n  - {batch: -1}\n")
    assert (ended.code, ended.out) == (2, "")
    assert "stdin: is larger than 1 MiB" in ended.err


def shell(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GENZ": f"{sys.executable} -m genzcli"}
    return subprocess.run(
        ["bash", "-c", line], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60
    )


def test_a_closed_stdin_is_one_line(tmp_path: Path) -> None:
    done = shell("$GENZ check - <&-", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("genz: error: stdin: is closed") and "Traceback" not in done.stderr


@pytest.mark.parametrize("stream", ["2>/dev/full", "2>&-", "2> >(true)"])
def test_a_stderr_that_fails_does_not_change_the_verdict(tmp_path: Path, stream: str) -> None:
    assert shell(f"$GENZ run llama-3.1-70b h100-sxm -n 8 --tp 6 {stream}", tmp_path).returncode == 2
    assert shell(f"$GENZ run llama-3.1-8b h100-sxm --save - {stream} >/dev/null", tmp_path).returncode == 0


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    kept = tmp_path / "kept.yaml"
    kept.write_text("precious\n")
    done = shell("ulimit -f 0; $GENZ run llama-3.1-8b h100-sxm --save kept.yaml -q", tmp_path)
    assert done.returncode != 0 and kept.read_text() == "precious\n"
    assert [item.name for item in tmp_path.iterdir()] == ["kept.yaml"]


def test_a_save_spares_its_own_input(genz: Genz, tmp_path: Path) -> None:
    model = ROOT / "models" / "llama-3.1-8b.yaml"
    (tmp_path / "m.yaml").write_text(model.read_text(encoding="utf-8"), encoding="utf-8")
    before = (tmp_path / "m.yaml").read_text(encoding="utf-8")
    ended = genz("run", "m.yaml", "h100-sxm", "--save", "m.yaml")
    assert ended.code == 2 and "what the question is read from" in ended.err
    assert (tmp_path / "m.yaml").read_text(encoding="utf-8") == before


def test_a_saved_scenario_remembers_the_catalogs_of_the_environment(
    genz: Genz, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own" / "models"
    own.mkdir(parents=True)
    text = (ROOT / "models" / "llama-3.1-8b.yaml").read_text(encoding="utf-8")
    (own / "llama-3.1-8b.yaml").write_text(text.replace("layers: 32", "layers: 16"), encoding="utf-8")
    monkeypatch.setenv("GENZ_PATH", str(tmp_path / "own"))
    asked = genz(*ASK, "--json", "--save", "s.yaml").json["metrics"]
    assert genz(*ASK, "--json").json["metrics"] == asked
    monkeypatch.delenv("GENZ_PATH")
    assert genz(*ASK, "--json").json["metrics"] != asked
    assert genz("check", "s.yaml", "--json").json["results"][0]["metrics"] == asked


def test_control_characters_do_not_reach_the_terminal(genz: Genz) -> None:
    ended = genz(*ASK, "--set", "model.name=a\x1b[31mb")
    assert (ended.code, ended.out) == (2, "")
    assert "control character" in ended.err and "\x1b" not in ended.err


def test_an_endless_word_makes_no_endless_line(genz: Genz) -> None:
    for flag in ("--batching", "--routing", "--precision", "--stack", "--set"):
        ended = genz(*ASK, flag, "x" * 5000)
        assert ended.code == 2 and len(ended.err) < 1200


def test_set_keeps_the_bounds_of_the_flags(genz: Genz) -> None:
    for path in ("plan.batch=1e15", "usecase.output_tokens=1e15", "plan.imbalance=1e6", "plan.tp=1e20"):
        ended = genz(*ASK, "--set", path)
        assert ended.code == 2 and "must be at most" in ended.err


def test_absurd_heads_end_at_once(genz: Genz) -> None:
    ended = genz(*ASK, "-n", "8", "--set", "attention.heads=1e6")
    assert ended.code in (0, 2, 3)


def test_a_long_way_round_to_a_file_gives_one_place(genz: Genz, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("model: llama-3.1-8b\nhardware: h100-sxm\ntp: 3\n")
    for name in ("bad.yaml", "./bad.yaml", str(tmp_path / "bad.yaml")):
        assert genz("check", name).err.count("bad.yaml") == 1


def test_a_count_no_plan_uses_names_one_that_does(genz: Genz) -> None:
    ended = genz("run", "falcon-7b", "groqrack")
    assert ended.code == 2 and "--chips 32" in ended.err and "--uneven pad" in ended.err
