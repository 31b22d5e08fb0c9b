"""stdout is data, stderr is talk; a closed pipe ends quietly."""

from __future__ import annotations

import codecs
import os
import sys
from contextlib import suppress
from typing import IO

from genzcli.cli.exits import Exit
from genzcli.errors import GenzError


class ClosedPipe(Exception):
    """Whoever read stdout has gone."""


def prepare() -> None:
    """Make both streams safe to write to: never None, and a sign they cannot encode gets a look-alike."""
    codecs.register_error("genz", _look_alike)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="genz")


#: ASCII for the signs that reports use.
_ASCII = {
    "≤": "<=", "≥": ">=", "×": "x", "±": "+-", "·": "-",
    "─": "-", "│": "|", "├": "|", "└": "`", "–": "-", "—": "-",
    "→": "->", "…": "...", "−": "-", "µ": "u", "μ": "u", "∞": "inf", "°": "o", "√": "sqrt", "≈": "~",
    "²": "2",
}  # fmt: skip


def _look_alike(error: UnicodeError) -> tuple[str, int]:
    """ASCII for what a stream cannot encode; a question mark for what has no likeness."""
    assert isinstance(error, UnicodeEncodeError)
    signs = error.object[error.start : error.end]
    return "".join(_ASCII.get(sign, "?") for sign in signs), error.end


class Undivided:
    """While it lasts, Ctrl-C waits: what is being written is written whole. A second one does not wait.

    Elsewhere than in the main thread, or where somebody else takes the signal, it does nothing.
    """

    def __enter__(self) -> None:
        import signal

        self._asked = False
        self._plain = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._plain:
            try:
                signal.signal(signal.SIGINT, self._later)
            except ValueError:  # not the main thread
                self._plain = False

    def _later(self, *_: object) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def __exit__(self, *_: object) -> None:
        if self._plain:
            import signal

            signal.signal(signal.SIGINT, signal.default_int_handler)
            if self._asked:
                raise KeyboardInterrupt


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
        if stream is sys.stdout:
            raise ClosedPipe from None
    except OSError as error:
        if stream is not sys.stdout:
            return  # talk that nobody hears changes no verdict
        _close_quietly()
        message = f"cannot be written ({error.strerror})"
        raise GenzError(message, where="stdout", cure="free some space") from None


def finish(code: int) -> int:
    """Flush what is left, and return the exit code; a pipe that closed meanwhile has its own."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = Exit.CLOSED_PIPE
    except OSError as error:
        code = code or Exit.BAD_INPUT
        say(f"genz: error: stdout: cannot be written ({error.strerror}); free some space")
    with suppress(OSError):
        sys.stderr.flush()
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
