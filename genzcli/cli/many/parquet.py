"""Rows of a sweep as a Parquet file, through the optional extra `parquet`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from genzcli.cli.many.engines import missing
from genzcli.cli.streams import Undivided
from genzcli.errors import GenzError

_TEXTS = ("model", "hardware", "chip", "precision", "verdict", "bound", "why")
_WHOLE = (
    *("chips", "tp", "pp", "dp", "ep", "batch", "input_tokens", "output_tokens", "beams"),
    *("concurrency", "max_batch"),
)
_GROUP = 16384  # rows that are written, and may be read, together


def write(
    rows: Iterable[Mapping[str, Any]], path: str, names: Sequence[str], texts: Iterable[str] = ()
) -> None:
    """Write rows as they come, with flat memory.

    The columns are those of the first row, `names` where there is none; swept ones in `texts` hold words.
    Whatever stops it, the file holds whole rows and ends properly.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise missing("parquet", "--format parquet") from None
    source = iter(rows)
    first = list(islice(source, 1))
    names = tuple(first[0]) if first else names
    types = {"text": arrow.string(), "whole": arrow.int64(), "flag": arrow.bool_(), "number": arrow.float64()}
    schema = arrow.schema([(name, types[_kind(name, texts)]) for name in names])
    try:
        with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
            for group in _groups(chain(first, source)):
                with Undivided():
                    columns = [[row[name] for row in group] for name in names]
                    writer.write_table(arrow.table(columns, schema=schema))
    except OSError as error:
        raise GenzError(f"cannot be written ({error.strerror or error})", where=f"--out {path}") from None


def _groups(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Rows in groups; what is there when Ctrl-C comes is a group too."""
    group: list[Mapping[str, Any]] = []
    source = iter(rows)
    try:
        while True:
            for row in islice(source, _GROUP):
                group.append(row)
            if not group:
                return
            whole, group = group, []
            yield whole
    except KeyboardInterrupt:
        if group:
            yield group
        raise


def _kind(name: str, texts: Iterable[str]) -> str:
    if name == "fits":
        return "flag"
    if name in _WHOLE:
        return "whole"
    return "text" if name in _TEXTS or name in texts else "number"
