"""Documents are executed: every `$ genz …` line in README and docs runs, and prints what stands below it.

Set GENZ_UPDATE=1 to rewrite the outputs after a change that is meant.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from genzcli.engine.result import Memory, Metrics, OperatorTime, Phase
from genzcli.spec.metric import METRICS
from genzcli.spec.noun import _SUFFIXES
from genzcli.spec.workload import Plan, UseCase

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
UPDATE = os.environ.get("GENZ_UPDATE") == "1"


def examples() -> list[tuple[Path, str, str]]:
    """(page, command, expected output) of every example."""
    found = []
    for page in PAGES:
        for block in BLOCK.findall(page.read_text(encoding="utf-8")):
            for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
                command, _, expected = part.partition("\n")
                if command.startswith("genz "):
                    found.append((page, command, expected))
    return found


def run(command: str) -> tuple[str, int]:
    """Output as a pipe of 80 columns sees it, and the exit code."""
    words = shlex.split(command, comments=True)
    environment = {**os.environ, "COLUMNS": "80", "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-m", "genzcli", *words[1:]],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr, done.returncode


@pytest.mark.parametrize(
    ("page", "command", "expected"),
    examples(),
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
def test_example(page: Path, command: str, expected: str) -> None:
    output, code = run(command)
    wanted = re.search(r"# exit code (\d+)", command)
    assert code == (int(wanted[1]) if wanted else 0), output
    output = "".join(f"{line.rstrip()}\n" for line in output.splitlines())
    if UPDATE and output != expected:
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace(f"$ {command}\n{expected}", f"$ {command}\n{output}"), encoding="utf-8")
    elif expected.strip():
        assert output == expected


def test_a_file_that_a_page_shows_is_that_file() -> None:
    page = (ROOT / "docs" / "catalogs.md").read_text(encoding="utf-8")
    [shown] = re.findall(r"^```yaml\n(.*?)^```$", page, re.M | re.S)
    chip = ROOT / "docs" / "examples" / "hardware" / "chips" / "my-gpu.yaml"
    assert shown == chip.read_text(encoding="utf-8")


def test_the_pages_have_examples() -> None:
    assert len(examples()) >= 8


def test_names_are_documented() -> None:
    page = (ROOT / "docs" / "names.md").read_text(encoding="utf-8")
    named = {name for noun in (Metrics, Memory, Phase, OperatorTime, Plan, UseCase) for name in noun.fields}
    named -= {"name", "note", "aliases", "sources", "origin", "hides"}
    missing = [
        name for name in sorted(named | set(METRICS) | set(_SUFFIXES.values())) if f"`{name}" not in page
    ]
    assert missing == []


def test_links_lead_somewhere() -> None:
    lost = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert lost == []


def test_the_readme_is_short_and_names_every_command() -> None:
    from genzcli.cli.app import COMMANDS

    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    named = {word for line in lines if line.startswith("| `") for word in re.findall(r"`([a-z-]+)`", line)}
    assert set(COMMANDS) <= named
    assert len(lines) < 260
