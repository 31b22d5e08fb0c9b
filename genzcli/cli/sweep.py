"""`genz sweep`: one question over ranges."""

from typing import Annotated, Any

import typer

from genzcli.cli.asking.question import asks
from genzcli.cli.formats import Quiet, chosen
from genzcli.cli.help import OUTPUT

FORMATS = ("table", "csv", "ndjson", "json", "markdown", "parquet")


def sweep(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="As for `genz run`; or a scenario file with `over:`.")
    ],
    hardware: Annotated[
        str | None, typer.Argument(metavar="HARDWARE", help="Chip or platform; none where --over names them.")
    ] = None,
    over: Annotated[
        list[str] | None,
        typer.Option(
            "--over",
            metavar="WORD=VALUES",
            help="An axis: batch=1..256 (doubling), tp=1,2,4,8, input=1000..9000/5 (even steps), "
            "memory.hbm.bandwidth=*0.5..*4/log9 (geometric), hardware=h100-sxm,mi300x; repeatable.",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="TEST", help="Keep rows, as ttft_ms<200 or fits=true; repeatable."),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option("--sort", metavar="COLUMN", help="Order rows; -COLUMN for the largest first."),
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", metavar="N", help="Keep the first N rows.", min=1, max=10**9)
    ] = None,
    pareto: Annotated[
        str | None,
        typer.Option(
            "--pareto",
            metavar="COLUMN,COLUMN",
            help="Keep what nothing beats, as e2e_ms,output_tokens_per_s; min: or max: before a column says "
            "which way.",
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns", metavar="COLUMN,…", help="Only these, as ttft_ms,used_bytes; a table keeps the axes."
        ),
    ] = None,
    shard: Annotated[
        str | None, typer.Option("--shard", metavar="I/N", help="Only the I-th of N equal parts, I from 1.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", metavar="N", help="Workers; alone it means so many processes.", min=1),
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option(
            "--executor",
            metavar="processes|dask|ray",
            help="Who computes; the rows and their order stay. The cluster of DASK_SCHEDULER_ADDRESS or "
            "RAY_ADDRESS, else workers here.",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE", help="Where Parquet is written.", rich_help_panel=OUTPUT),
    ] = None,
    format: Annotated[
        str,
        typer.Option(
            "--format", metavar="|".join(FORMATS), help="How to print the rows.", rich_help_panel=OUTPUT
        ),
    ] = "table",
    json: Annotated[
        bool, typer.Option("--json", help="Short for --format json.", rich_help_panel=OUTPUT)
    ] = False,
    quiet: Quiet = False,
    **words: Any,
) -> int:
    """The answers over ranges of anything, as rows.

    Words that change the structure (model, hardware, precision, tp, …) vary slowest, then the numbers in
    the order given, the last one fastest. What does not fit is a row with the reason. Every row is what
    `genz run` answers at that point. A scenario file says the same: `over:` maps words to values.

    \b
    Examples:
      genz sweep llama-3.1-70b h100-sxm -n 8 --over batch=1..256 --over tp=2,4,8
      genz sweep llama-3.1-8b --over hardware=l40s,tpu-v6e --over batch=1..64 --pareto tpot_ms,requests_per_s
      genz sweep dense-5t paper-npu-32 --over memory.hbm.bandwidth=*0.5..*4/log9 --format csv
      genz sweep llama-3.1-8b h100-sxm --over batch=1..512/+1 --over input=1..9000/+9 --jobs 8 --format ndjson
      genz sweep docs/studies/scaling-prefill.yaml --format csv
    """
    from genzcli.cli.many.parts import Workers
    from genzcli.cli.many.rows import Kept, write
    from genzcli.cli.many.sweeping import plan_of

    kind = chosen(format, json, FORMATS)
    kept = Kept(tuple(where or ()), sort, top, pareto, columns)
    asked = plan_of(model, hardware, tuple(over or ()), words, shard)
    write(asked, kept, kind, quiet, Workers(executor, jobs), out)
    return 0


command = asks(sweep)
