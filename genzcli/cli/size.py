"""`genz size`: questions asked backwards."""

from typing import Annotated, Any

import typer

from genzcli.cli.asking.question import asks
from genzcli.cli.formats import Format, Json, Quiet, chosen


def size(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As for `genz run`.")],
    hardware: Annotated[
        list[str] | None,
        typer.Argument(metavar="[HARDWARE…]", help="Chips or platforms; none means all that are shipping."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="chips|cost|joules|power", help="What is to be least [chips]."),
    ] = None,
    most: Annotated[
        int | None, typer.Option("--most", metavar="N", help="Chips at most [256].", min=1, max=4096)
    ] = None,
    largest: Annotated[
        str | None,
        typer.Option(
            "--largest",
            metavar="WORD",
            help="The largest batch, concurrency, input or output that passes, on the chips given.",
        ),
    ] = None,
    needs: Annotated[
        bool,
        typer.Option(
            "--needs", help="The compute, bandwidth, capacity and links that the objectives take, each alone."
        ),
    ] = False,
    format: Format = "table",
    json: Json = False,
    quiet: Quiet = False,
    **words: Any,
) -> int:
    """The smallest platform, the largest load, or what it takes.

    Objectives come from the use case and --slo. Sizes are searched upwards, every plan of every number of
    chips, until a bound proves that none above is better; what cannot serve is listed with the reason.

    \b
    Examples:
      genz size llama-3.1-70b h100-sxm mi300x tpu-v6e -u chat --precision fp8
      genz size llama-3.1-8b -u qa --by cost
      genz size llama-3.1-70b h100-sxm -n 8 -u chat --largest concurrency
      genz size llama-3.1-70b h100-sxm -n 8 -u chat --needs
    """
    from genzcli.cli.many import sizing
    from genzcli.cli.streams import emit

    kind = chosen(format, json)
    names = list(hardware or ())
    _refuse_idle(largest, needs, by, most)
    if largest is not None:
        found = sizing.largest_load(model, names, largest, words)
    elif needs:
        found = sizing.needed(model, names, words)
    else:
        found = sizing.smallest_platforms(model, names, by or "chips", most or 256, words)
    emit(sizing.written(found, kind, quiet))
    return 0


def _refuse_idle(largest: str | None, needs: bool, by: str | None, most: int | None) -> None:
    """Options of one question beside another."""
    from genzcli.errors import PlanError

    if largest is not None and needs:
        raise PlanError("asks two questions", where="--largest", cure="leave out it or --needs")
    if largest is None and not needs:
        return
    asked = "--needs" if needs else "--largest"
    for flag, given in (("--by", by), ("--most", most)):
        if given is not None:
            cure = f"leave it out; {asked} is asked of the chips given with -n"
            raise PlanError(f"says how to search sizes, and {asked} searches none", where=flag, cure=cure)


command = asks(size)
