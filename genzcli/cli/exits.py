"""Exit codes: the verdict, for CI."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class Exit(IntEnum):
    """What the process returns."""

    OK = 0
    SLO_FAILED = 1
    BAD_INPUT = 2
    DOES_NOT_FIT = 3
    INTERNAL = 70  # a defect of genz itself (EX_SOFTWARE), not to be taken for a failed SLO
    INTERRUPTED = 130
    CLOSED_PIPE = 141


_WORST_FIRST = (Exit.BAD_INPUT, Exit.DOES_NOT_FIT, Exit.SLO_FAILED)


def worst(codes: Iterable[Exit]) -> Exit:
    """The code of several answers: bad input before a misfit before a failed SLO."""
    found = set(codes)
    return next((code for code in _WORST_FIRST if code in found), Exit.OK)


def lenient(code: Exit, exit_zero: bool) -> Exit:
    """`--exit-zero` turns verdicts into 0, never bad input."""
    return Exit.OK if exit_zero and code in (Exit.SLO_FAILED, Exit.DOES_NOT_FIT) else code
