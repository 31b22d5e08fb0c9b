"""`genz sensitivity`: what matters, and where the bottleneck changes."""

from typing import Annotated, Any

import typer

from genzcli.cli.asking.question import asks
from genzcli.cli.formats import Format, Json, Quiet, chosen


def sensitivity(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As for `genz run`.")],
    hardware: Annotated[str, typer.Argument(metavar="HARDWARE", help="Chip or platform, the same way.")],
    by: Annotated[
        str, typer.Option("--by", metavar="METRIC", help="Rank by the effect on this metric.")
    ] = "e2e",
    top: Annotated[
        int | None, typer.Option("--top", metavar="N", help="Keep the N strongest.", min=1)
    ] = None,
    format: Format = "table",
    json: Json = False,
    quiet: Quiet = False,
    **words: Any,
) -> int:
    """What each number changes, and where the bottleneck moves.

    Elasticities of every metric to every number of hardware, workload, plan and profile: by how many percent
    it changes for one percent more (whole numbers: for the next one), parallelism held. Numbers that change
    nothing are left out. Then the nearest value of each number at which something else bounds prefill or
    decode.

    \b
    Examples:
      genz sensitivity llama-3.1-70b h100-sxm -n 8
      genz sensitivity mixtral-8x7b hgx-h100 -b 64 --by cost --top 10
    """
    from genzcli.cli.asking.evaluate import evaluate
    from genzcli.cli.asking.request import from_flags
    from genzcli.cli.asking.resolve import resolve
    from genzcli.cli.exits import Exit
    from genzcli.cli.streams import emit
    from genzcli.explore.sensitivity import Sensitivity
    from genzcli.explore.sensitivity import sensitivity as find
    from genzcli.spec.metric import metric_name

    kind = chosen(format, json)
    metric = metric_name(by, "--by")
    resolved = resolve(from_flags({**words, "model": model, "hardware": hardware}))
    answer = evaluate(resolved, explain=False)
    found = find(resolved.scenario) if answer.estimate.fits else Sensitivity((), ())
    emit(_report(answer, found, metric, top, kind, quiet))
    return Exit.OK if answer.estimate.fits else Exit.DOES_NOT_FIT


command = asks(sensitivity)


def _report(answer: Any, found: Any, by: str, top: int | None, kind: str, quiet: bool) -> str:
    from genzcli.report import sensitivity as report

    if kind == "json":
        from genzcli.report.json import dumps

        return dumps(report.document(answer, found, by, top))
    if kind == "csv":
        from genzcli.report.csv import table

        return table(report.records(found, by, top))
    page = report.page(answer, found, by, top)
    page = page._replace(tables=(), notes=()) if quiet else page
    if kind == "markdown":
        from genzcli.report.markdown import markdown

        return markdown(page)
    from genzcli.report.table import render

    return render(page)
