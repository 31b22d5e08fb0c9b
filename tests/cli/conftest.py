"""Running `genz` in this process, for what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from genz_process import Ended

from genzcli.cli.app import run


@pytest.fixture
def genz(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Ended]:
    """Run one command line in this process, in an empty folder, with the built-in catalogs."""
    monkeypatch.chdir(tmp_path)
    for name in ("GENZ_PATH", "COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def call(*words: str) -> Ended:
        capsys.readouterr()
        code = run(words)
        return Ended(code, *capsys.readouterr())

    return call
