"""`genz calibrate` as a command: a file on stdout, the summary on stderr, one clear error otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from genz_process import process

from genzcli.catalog.build import build
from genzcli.catalog.document import parse
from genzcli.spec.profile import Profile

HEADER = "hardware,chips,stack,model,input_tokens,output_tokens,batch,e2e_s"
ROWS = [
    f"h100-sxm,1,mine,{model},{tokens},{tokens},{batch},{seconds}"
    for model, tokens, batch, seconds in (
        ("llama-3-8b", 128, 1, 1.0),
        ("llama-3-8b", 1024, 16, 11.0),
        ("qwen2-7b", 128, 1, 0.95),
        ("qwen2-7b", 1024, 64, 17.0),
    )
]


@pytest.fixture
def runs(tmp_path: Path) -> str:
    path = tmp_path / "runs.csv"
    path.write_text("\n".join([HEADER, *ROWS]) + "\n")
    return str(path)


def test_the_file_is_a_profile_that_runs(runs: str, tmp_path: Path) -> None:
    done = process("calibrate", runs, "--keep", "--as", "my-{stack}", "--cite", "my lab")
    assert done.code == 0, done.err
    profile = build(parse(done.out, "mine.yaml"), Profile)
    assert profile.name == "my-mine-h100-sxm" and "my lab" in profile.sources["step"].reference
    assert "4 runs of 2 models on 1 chip" in done.err and "near plain-gpu" in done.err
    (tmp_path / "mine.yaml").write_text(done.out)
    answer = process("run", "llama-3-8b", "h100-sxm", "--stack", str(tmp_path / "mine.yaml"), "--json").json
    assert answer["scenario"]["profile"] == "my-mine-h100-sxm"
    assert answer["error"]["e2e_ms"] == profile.error.e2e  # type: ignore[union-attr]


def test_what_runs_do_not_show_is_refused(runs: str) -> None:
    done = process("calibrate", runs)
    assert done.code == 2 and done.out == ""
    *rows, error = done.err.splitlines()
    assert rows[0].split() == ["not", "shown", "measure"]
    assert "collective base" in rows[-1] and rows[-1].endswith("batch 1 on 2, 4 and 8 chips")
    assert error.startswith(f"genz: error: 4 runs do not show {len(rows) - 1} of the ")
    assert "--keep" in error and len(error) < 120 and all(len(row) < 90 for row in rows)


def test_a_name_that_a_shipped_profile_has_is_noted(runs: str, tmp_path: Path) -> None:
    path = tmp_path / "named.csv"
    path.write_text(Path(runs).read_text().replace(",mine,", ",vllm-2024,"))
    done = process("calibrate", str(path), "--keep")
    assert "genz: note: vllm-2024-h100-sxm: a profile in the catalogs has this name too" in done.err
    assert "note:" not in process("calibrate", str(path), "--keep", "--as", "my-{stack}").err
    (tmp_path / "p.yaml").write_text(done.out)
    asked = ("run", "llama-3-8b", "h100-sxm", "--stack", str(tmp_path / "p.yaml"))
    assert f"profile vllm-2024-h100-sxm ({tmp_path / 'p.yaml'})" in process(*asked, COLUMNS="300").out


def test_several_chips_need_a_choice(runs: str, tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    path.write_text("\n".join([HEADER, *ROWS, ROWS[0].replace("h100-sxm", "gh200")]) + "\n")
    done = process("calibrate", str(path), "--keep")
    assert done.code == 2 and "--hardware" in done.err and "gh200 under mine" in done.err
    into = tmp_path / "profiles"
    assert process("calibrate", str(path), "--keep", "--into", str(into), "-q").code == 0
    assert sorted(item.name for item in into.iterdir()) == ["mine-gh200.yaml", "mine-h100-sxm.yaml"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "known measurement"),
        (f"{HEADER}\nh100-sxm,1,mine,no-model,1,1,1,1\n", "nothing to fit"),
        (f"{HEADER}\nh100-sxm,1,mine,llama-3-8b,10,10,1,\n", "nothing to fit"),
    ],
)
def test_what_is_no_measurement_is_one_line(text: str, said: str) -> None:
    done = process("calibrate", "-", text=text)
    assert done.code == 2 and done.out == "" and said in done.err and "Traceback" not in done.err
