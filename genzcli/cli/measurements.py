"""Files of measurements: comma-separated values with a header, from a file or from stdin."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from genzcli.errors import GenzError
from genzcli.explore.validate.kind import Row

_LARGEST = 256 << 20  # bytes
_CURE = "give comma-separated values with a header line"


class Measurements(NamedTuple):
    """A file of measurements: what it is called, its columns in order, its rows."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read(path: str) -> Measurements:
    """The rows of a file, or of stdin for `-`; lines that are empty are passed over."""
    name, text = content(path)
    return parse(text, name)


def content(path: str) -> tuple[str, str]:
    """What errors call a file, or stdin for `-`, and its text."""
    name = "stdin" if path == "-" else path
    return name, _text(path, name)


def parse(text: str, name: str) -> Measurements:
    """The rows of comma-separated values."""
    import csv
    import io

    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = tuple(word.strip() for word in next(reader, []))
        _sound(header, name)
        rows = tuple(_row(cells, header, reader.line_num, name) for cells in reader if any(cells))
    except csv.Error as error:
        raise GenzError(f"is no CSV ({error})", where=f"{name}:{reader.line_num}", cure=_CURE) from None
    if not rows:
        raise GenzError("has no rows", where=name, cure="put a measurement below the header")
    return Measurements(name, header, rows)


def _sound(header: tuple[str, ...], name: str) -> None:
    if not any(header):
        raise GenzError("is empty", where=name, cure=_CURE)
    twice = next((word for word in header if header.count(word) > 1), None)
    if twice is not None:
        raise GenzError(f"two columns are called {twice!r}", where=f"{name}:1", cure="rename one")


def _row(cells: list[str], header: tuple[str, ...], line: int, name: str) -> Row:
    if len(cells) > len(header):
        what = f"{len(cells)} cells stand under {len(header)} columns"
        raise GenzError(what, where=f"{name}:{line}", cure='put cells that hold a comma into "quotes"')
    filled = cells + [""] * (len(header) - len(cells))
    return Row(line, {column: cell.strip() for column, cell in zip(header, filled, strict=True)})


def _text(path: str, name: str) -> str:
    if path != "-" and os.path.isdir(path):
        raise GenzError("is a folder", where=name, cure="name a CSV file")
    try:
        raw = _stdin() if path == "-" else _file(path)
    except OSError as error:
        raise GenzError(f"cannot be read ({error.strerror})", where=name, cure=_CURE) from None
    if len(raw) > _LARGEST:
        raise GenzError(f"is larger than {_LARGEST >> 20} MiB", where=name, cure="split it")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise GenzError("is not UTF-8", where=name, cure=_CURE) from None
    if "\0" in text:
        raise GenzError("is binary", where=name, cure=_CURE)
    return text


def _file(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_LARGEST + 1)


def _stdin() -> bytes:
    if sys.stdin is None:
        raise GenzError("is closed", where="stdin", cure="pipe a CSV into it, or name a file")
    buffer = getattr(sys.stdin, "buffer", None)
    return sys.stdin.read().encode() if buffer is None else buffer.read(_LARGEST + 1)
