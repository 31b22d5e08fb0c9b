"""Running `genz` in a process of its own, and what a command leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
_LEFT_OUT = ("COLUMNS", "NO_COLOR", "GENZ_PATH")


class Ended(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out, parse_constant=_refuse)


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def process(*words: str, text: str | None = None, **environment: str) -> Ended:
    """Run `python -m genzcli` in a process of its own."""
    return python("-m", "genzcli", *words, text=text, **environment)


def python(*words: str, text: str | None = None, **environment: str) -> Ended:
    """Run the interpreter on this checkout."""
    kept = {key: value for key, value in os.environ.items() if key not in _LEFT_OUT}
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        input=text,
        text=True,
        timeout=60,
        env={**kept, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **environment},
    )
    return Ended(done.returncode, done.stdout, done.stderr)
