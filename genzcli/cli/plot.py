"""`genz plot`: the rows of a sweep as a chart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from genzcli.cli.formats import Quiet

if TYPE_CHECKING:
    from genzcli.report.chart import Chart

#: What a picture may be, by the ending of its name.
PICTURES = ("svg", "png", "pdf")


def command(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="Rows as CSV, NDJSON or JSON, - for stdin; or a scenario file that sweeps."
        ),
    ],
    x: Annotated[
        str | None, typer.Option("--x", metavar="COLUMN", help="Along the x axis [what varies fastest].")
    ] = None,
    y: Annotated[
        str | None, typer.Option("--y", metavar="COLUMN", help="Along the y axis [output_tokens_per_s].")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="COLUMN,…", help="A series for each value of these [what else varies]."),
    ] = None,
    pareto: Annotated[
        bool,
        typer.Option(
            "--pareto",
            help="Only what nothing beats in both; unless said otherwise tokens/s a user against tokens/s "
            "a chip.",
        ),
    ] = False,
    log: Annotated[
        str | None,
        typer.Option("--log", metavar="x|y|xy|none", help="Logarithmic axes [those of a wide span]."),
    ] = None,
    title: Annotated[
        str | None, typer.Option("--title", metavar="TEXT", help="Over the chart [what all rows share].")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", metavar="FILE", help="A picture, by its ending svg, png or pdf [in characters]."
        ),
    ] = None,
    quiet: Quiet = False,
) -> int:
    """Rows of a sweep as a chart, in characters or as a picture.

    A picture needs an extra: pip install 'genzcli[plot]'.

    \b
    Examples:
      genz sweep llama-3.1-8b --over hardware=h100-sxm,mi300x --over batch=1..256 --format csv > rows.csv
      genz plot rows.csv --y tpot_ms
      genz plot rows.csv --pareto --out trade-off.svg
      genz sweep llama-3.1-70b 8xh100 --over batch=1..128 --format ndjson | genz plot - --x batch
      genz plot docs/examples/trade-off.yaml --pareto
    """
    from genzcli.cli.many.plotting import Wanted, chart, rows
    from genzcli.cli.streams import emit, say

    form = None if out is None else _form(out)
    drawn, left = chart(rows(file), Wanted(x, y, by, log, title, pareto))
    if left:
        which = "1 row has" if left == 1 else f"{left} rows have"
        say(f"{which} no point: what does not fit, or lacks a number", quiet)
    if out is not None and form is not None:
        _picture(drawn, out, form)
        return 0
    from genzcli.report.chart import text as characters
    from genzcli.report.table import width

    emit(characters(drawn, min(width(), 120)))
    return 0


def _form(path: str) -> str:
    """The kind of picture that a name ends in."""
    from genzcli.errors import GenzError

    ending = path.rpartition(".")[2].lower()
    if ending not in PICTURES:
        cure = f"end it in {', '.join('.' + form for form in PICTURES)}"
        raise GenzError(f"{path} names no kind of picture", where="--out", cure=cure)
    return ending


def _picture(drawn: Chart, path: str, form: str) -> None:
    """Draw into a file, or say which extra is missing."""
    from genzcli.cli.many.engines import missing
    from genzcli.errors import GenzError

    try:
        from genzcli.report.figure import write

        write(drawn, path, form)
    except ImportError:
        raise missing("plot", "--out") from None
    except OSError as error:
        message = f"cannot be written ({error.strerror or error})"
        raise GenzError(message, where=f"--out {path}", cure="name a file that can be written") from None
