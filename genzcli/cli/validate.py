"""`genz validate`: measurements in, predictions and their errors out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genzcli.cli.formats import FORMATS, Catalogs, Json, Quiet, chosen
from genzcli.cli.help import OUTPUT

if TYPE_CHECKING:
    from genzcli.cli.measurements import Measurements
    from genzcli.explore.validate.kind import Kind, Predicted, Setting
    from genzcli.explore.validate.score import Scored

_FORMATS = (*FORMATS, "ndjson")
_EVERY = 0.2  # seconds between two signs of progress


def command(
    file: Annotated[str, typer.Argument(metavar="FILE.csv", help="Measurements; - is stdin.")],
    stack: Annotated[
        str | None,
        typer.Option("--stack", metavar="NAME", help="Predict with this stack, whatever the rows name."),
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option("--profile", metavar="FILE", help="Try this calibration file first; repeatable."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="COLUMN,…", help="Group the errors by these columns of the file."),
    ] = None,
    catalog: Catalogs = None,
    format: Annotated[
        str,
        typer.Option(
            "--format", metavar="|".join(_FORMATS), help="How to print the answer.", rich_help_panel=OUTPUT
        ),
    ] = "table",
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Predict a file of measurements, and say how far off.

    The columns say what was measured, in any order and beside others:

    \b
      serving runs: hardware, model, input_tokens, output_tokens, and any of
        e2e_s, ttft_ms, tpot_ms, output_tok_s; where known chips, tp, pp, ep,
        attention_dp, batch or concurrency, batching, stack, precision
      measured collectives: hardware, library, collective, num_chips,
        message_bytes, and latency_us or busbw_GBps
      simulated collectives: collective, topology, algorithm_per_dim,
        bandwidth_bytes_per_s_per_dim, latency_ns_per_dim, buffer_bytes,
        and time_us
      systolic arrays: array_rows, array_cols, dataflow, M, N, K, and
        compute_cycles

    A table has the errors of each group; json, ndjson and csv have every row as it stood with
    predicted_COLUMN beside it, and the reason where it has no score (columns of an earlier answer are kept as
    earlier_…). The exit code is 0 however large the error.

    \b
    Examples:
      genz validate runs.csv
      genz validate runs.csv --by model --stack vllm
      genz validate collectives.csv --format csv > predicted.csv
    """
    from genzcli.cli.exits import Exit
    from genzcli.cli.measurements import read
    from genzcli.cli.streams import emit
    from genzcli.errors import GenzError
    from genzcli.explore.validate.kinds import recognise

    form = chosen(format, json, _FORMATS)
    measurements = read(file)
    try:
        kind = recognise(measurements.columns)
    except GenzError as error:
        raise error.at(f"{measurements.name}:1") from None
    columns = _columns(by, measurements)
    if not kind.calibrated:
        _refuse(kind, {"--stack": stack, "--profile": profile})
    setting = _setting(stack, profile or [], catalog or [])
    predictions = _watched(kind, measurements, setting, quiet)
    emit(_report(kind, measurements, predictions, columns, form, quiet))
    return Exit.OK


def _columns(by: str | None, measurements: Measurements) -> tuple[str, ...]:
    """The columns to group by; empty for those of the kind."""
    from genzcli.errors import GenzError, nearest

    names = tuple(dict.fromkeys(word.strip() for word in by.split(","))) if by is not None else ()
    for name in names:
        if name not in measurements.columns:
            near = ", ".join(nearest(name, measurements.columns)) or ", ".join(measurements.columns)
            raise GenzError(f"the file has no column {name!r}", where="--by", cure=f"try {near}")
    return names


def _refuse(kind: Kind, options: Mapping[str, object]) -> None:
    """Options that this kind of measurement has no use for."""
    from genzcli.errors import GenzError

    for option, value in options.items():
        if value:
            raise GenzError(f"has no effect on {kind.name}", where=option, cure="leave it out")


def _setting(stack: str | None, profiles: Sequence[str], catalogs: Sequence[str]) -> Setting:
    from genzcli.catalog.build import build
    from genzcli.catalog.load import Catalog
    from genzcli.catalog.read import read
    from genzcli.explore.validate.kind import Setting
    from genzcli.spec.profile import Profile

    catalog = Catalog(catalogs)
    given = tuple(build(read(path), Profile) for path in profiles)
    if stack is not None and stack not in {item.stack for item in given}:
        catalog.knows_stack(stack)
    return Setting(catalog, stack, given)


def _watched(kind: Kind, measurements: Measurements, setting: Setting, quiet: bool) -> list[Scored]:
    """The predictions, in order; how many there are already is said on stderr where that is a terminal."""
    from genzcli.explore.validate.score import scored

    predictions = kind.predict(measurements.rows, setting)
    pairs = zip(measurements.rows, predictions, strict=True)
    rows = (scored(kind, row, predicted) for row, predicted in pairs)
    return list(rows if quiet else _told(rows, len(measurements.rows)))


def _told(rows: Iterator[Scored], total: int) -> Iterator[Scored]:
    import sys
    import time

    if not sys.stderr.isatty():
        yield from rows
        return
    last, said = time.monotonic(), False
    for done, row in enumerate(rows, start=1):
        yield row
        if time.monotonic() - last > _EVERY:
            last, said = time.monotonic(), True
            print(f"\r{done} of {total} rows", end="", file=sys.stderr, flush=True)
    if said:
        print("\r" + " " * 40 + "\r", end="", file=sys.stderr, flush=True)


def _report(
    kind: Kind,
    measurements: Measurements,
    scored: list[Scored],
    by: tuple[str, ...],
    form: str,
    quiet: bool,
) -> str:
    from genzcli.explore.validate.score import groups

    if form in ("csv", "ndjson"):
        return _lines(_records(kind, measurements, scored), form)
    found = groups(kind, scored, by)
    if form == "json":
        from genzcli.report.json import dumps
        from genzcli.report.validate import document

        return dumps(document(kind, _records(kind, measurements, scored), found))
    from genzcli.cli.list import draw
    from genzcli.report.validate import page

    return draw(page(kind, measurements.name, scored, found), form, quiet)


def _lines(records: list[dict[str, Any]], form: str) -> str:
    """A line a row."""
    if form == "csv":
        from genzcli.report import csv

        return csv.table({**record, "flags": "; ".join(record["flags"])} for record in records)
    from genzcli.report.json import line

    return "".join(f"{line(record)}\n" for record in records)


def _records(kind: Kind, measurements: Measurements, scored: list[Scored]) -> list[dict[str, Any]]:
    """Rows as they stood with what is predicted beside them; a column of numbers holds numbers."""
    from genzcli.explore.validate.kind import as_number

    numeric = {
        column
        for column in measurements.columns
        if all(as_number(cell) is not None for item in scored if (cell := item.row.cells[column]))
    }
    names = _names(kind, measurements.columns)
    return [
        {
            **{names[name]: _cell(cell, name in numeric) for name, cell in item.row.cells.items()},
            **_predicted(kind, item.predicted),
        }
        for item in scored
    ]


def _names(kind: Kind, columns: Sequence[str]) -> dict[str, str]:
    """What the columns are called beside the predictions: those of an earlier answer become `earlier_…`."""
    from genzcli.explore.validate.kind import Predicted

    ours = set(_predicted(kind, Predicted({})))
    taken = {*ours, *columns}
    names = {}
    for column in columns:
        name = column
        while name in ours or (name != column and name in taken):
            name = f"earlier_{name}"
        taken.add(name)
        names[column] = name
    return names


def _cell(text: str, numeric: bool) -> Any:
    if not text:
        return None
    if not numeric:
        return text
    value = float(text)
    return int(text) if text.lstrip("+-").isdigit() else value


def _predicted(kind: Kind, predicted: Predicted) -> dict[str, Any]:
    names = (*kind.targets, *kind.extra)
    return {
        **{f"predicted_{name}": predicted.values.get(name) for name in names},
        "reason": predicted.reason,
        "flags": list(predicted.flags),
    }
