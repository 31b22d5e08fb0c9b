"""stdout is data, stderr is talk; a closed pipe ends quietly."""

from __future__ import annotations

import os
import sys
from typing import IO

from genzcli.cli.exits import Exit
from genzcli.errors import GenzError


class ClosedPipe(Exception):
    """Whoever read stdout has gone."""


def prepare() -> None:
    """Make both streams safe to write to: never None, and never failing on a sign they cannot encode."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def emit(text: str) -> None:
    """Data: one text, written whole, ending in a newline."""
    _write(sys.stdout, text if text.endswith("\n") or not text else text + "\n")


def say(text: str, quiet: bool = False) -> None:
    """Talk."""
    if not quiet:
        _write(sys.stderr, text + "\n")


def _write(stream: IO[str], text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        raise ClosedPipe from None
    except OSError as error:
        _close_quietly()
        message = f"cannot be written ({error.strerror})"
        raise GenzError(message, where="stdout", cure="free some space") from None


def finish(code: int) -> int:
    """Flush what is left, and return the exit code; a pipe that closed meanwhile has its own."""
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except BrokenPipeError:
        code = Exit.CLOSED_PIPE
    except OSError as error:
        code = code or Exit.BAD_INPUT
        if stream is sys.stdout:
            say(f"genz: error: stdout: cannot be written ({error.strerror}); free some space")
    if code == Exit.CLOSED_PIPE:
        _close_quietly()
    return code


def _close_quietly() -> None:
    """Point stdout at nothing, so that a flush at exit cannot fail once more."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):
        pass
