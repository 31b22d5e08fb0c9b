"""Every sign that reports use has an ASCII likeness."""

from __future__ import annotations

from pathlib import Path

from genzcli.cli.streams import _ASCII

ROOMS = Path(__file__).resolve().parents[2] / "genzcli"


def test_no_sign_of_the_reports_becomes_a_question_mark() -> None:
    files = [
        *ROOMS.glob("report/*.py"),
        *ROOMS.glob("cli/*.py"),
        *ROOMS.glob("explore/*.py"),
        ROOMS / "units.py",
    ]
    used = {sign for file in files for sign in file.read_text(encoding="utf-8") if not sign.isascii()}
    assert used - set(_ASCII) == set()
    assert all(likeness.isascii() for likeness in _ASCII.values())
