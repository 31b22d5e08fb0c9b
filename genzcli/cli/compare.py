"""`genz compare`: one question on several platforms, or changed in several ways, side by side."""

from typing import Annotated, Any

import typer

from genzcli.cli.asking.question import asks
from genzcli.cli.formats import Format, Json, Quiet, chosen


def compare(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As for `genz run`; or a scenario file.")],
    hardware: Annotated[
        list[str] | None,
        typer.Argument(metavar="HARDWARE…", help="Chips or platforms; or further scenario files."),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--change",
            metavar="WORD=VALUE",
            help="The same with one thing changed: a long flag, as precision=fp8, or a path, as "
            "memory.hbm.bandwidth=*2; several at once between semicolons; repeatable.",
        ),
    ] = None,
    fit: Annotated[
        bool, typer.Option("--fit", help="Where it does not fit, take as many chips as it needs.")
    ] = False,
    format: Format = "table",
    json: Json = False,
    quiet: Quiet = False,
    **words: Any,
) -> int:
    """Several platforms or changes side by side, with what differs.

    Every further platform, every --change, and every scenario of a file is a column. The exit code is 0
    whatever the verdicts; 2 for bad input. --price h100=2.50,mi300x=1.85 gives columns their own
    rent. `genz whatif` is the same command.

    \b
    Examples:
      genz compare llama-3.1-70b hgx-h100 mi300x-x8 tpu-v5e-16 groqrack cs-3 -u chat --fit
      genz compare llama-3.1-70b h100-sxm -n 8 --change precision=fp8 --change memory.hbm.bandwidth=*2
      genz compare before.yaml after.yaml
    """
    from genzcli.cli.streams import emit

    kind = chosen(format, json)
    columns = _columns(model, list(hardware or ()), list(change or ()), fit, words)
    emit(_report(columns, kind, quiet))
    return 0


command = asks(compare)


def _columns(
    model: str, hardware: list[str], changes: list[str], fit: bool, words: dict[str, Any]
) -> list[Any]:
    """The answers under their names; one that cannot be asked fails the whole."""
    from genzcli.cli.asking.evaluate import evaluate
    from genzcli.cli.asking.resolve import resolve
    from genzcli.errors import GenzError
    from genzcli.report.difference import Column

    columns = []
    for name, request, where in _questions(model, hardware, changes, words):
        try:
            resolved = resolve(request)
            answer = evaluate(resolved)
            if fit and not answer.estimate.fits:
                answer = _fitting(resolved) or answer
        except GenzError as error:
            if error.where == "--change":
                error = type(error)(error.message, where=where, cure=error.cure)
            elif where:
                error = error.at(where)
            raise error from None
        columns.append(Column(name, answer))
    return columns


def _fitting(resolved: Any) -> Any:
    """The answer on the fewest chips that hold it; None where no number of them does."""
    from genzcli.cli.asking.evaluate import evaluate
    from genzcli.cli.asking.resolve import resolve
    from genzcli.explore.cure import smallest_chips

    found = smallest_chips(resolved.scenario, resolved.fixed)
    if found is None:
        return None
    return evaluate(resolve(resolved.request._replace(chips=str(int(found.plan.chips)))))


def _questions(model: str, hardware: list[str], changes: list[str], words: dict[str, Any]) -> list[Any]:
    """(name, request, place) of each column: the first is what the others are compared with."""
    from genzcli.cli.asking.question import changed
    from genzcli.cli.asking.request import from_flags
    from genzcli.cli.asking.scenarios import is_scenario
    from genzcli.cli.asking.synonyms import refuse_synonyms
    from genzcli.errors import GenzError

    _refuse_missing([model, *hardware])
    if is_scenario(model):
        found = _of_files([model, *hardware], words)
    elif not hardware:
        raise GenzError(
            "no hardware is named", where="HARDWARE", cure="name a chip or a platform, or several"
        )
    else:
        cure = "name each chip or platform once"
        refuse_synonyms("hardware", hardware, words.get("catalog") or (), "HARDWARE", cure)
        prices = _prices(words.get("price"), hardware)
        found = [
            (name, from_flags({**words, "model": model, "hardware": name, "price": prices[name]}), "")
            for name in hardware
        ]
    base = found[0][1]
    _refuse_twice(changes)
    found += [(text, changed(base, text, "--change"), f"--change {text}") for text in changes]
    if len(found) < 2:
        cure = "name further hardware, or a change, as --change precision=fp8"
        raise GenzError("there is nothing to compare with", where="HARDWARE", cure=cure)
    return found


def _prices(text: Any, hardware: list[str]) -> dict[str, Any]:
    """The price of each column: one for all, or `h100=2.50,mi300x=1.85` for those that are named."""
    from genzcli.errors import GenzError, nearest

    if text is None or "=" not in str(text):
        return dict.fromkeys(hardware, text)
    prices: dict[str, Any] = dict.fromkeys(hardware)
    for part in str(text).split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in prices or not value:
            near = nearest(name, hardware) or hardware
            cure = f"write {near[0]}=2.50, with a name as it stands in the command"
            raise GenzError(f"{part.strip()!r} is no price of a column", where="--price", cure=cure)
        if prices[name] is not None:
            raise GenzError(f"{name} has two prices", where="--price", cure="keep one")
        prices[name] = value
    return prices


def _refuse_missing(paths: list[str]) -> None:
    """A path without a file, before anything is said of what else is wrong."""
    import os

    from genzcli.errors import GenzError

    lost = next(
        (path for path in paths if path.endswith((".yaml", ".yml")) and not os.path.exists(path)), None
    )
    if lost is not None:
        raise GenzError("no such file", where=lost, cure="check the path")


def _refuse_twice(changes: list[str]) -> None:
    """The same column twice says nothing."""
    from genzcli.errors import GenzError

    twice = next((text for index, text in enumerate(changes) if text in changes[:index]), None)
    if twice is not None:
        raise GenzError(f"{twice} is given twice", where="--change", cure="keep one")


def _of_files(paths: list[str], words: dict[str, Any]) -> list[Any]:
    from genzcli.cli.asking.scenarios import read_file
    from genzcli.errors import GenzError

    given = [word for word, value in words.items() if value and word != "catalog"]
    if given:
        flag = f"--{given[0].replace('_', '-')}"
        raise GenzError(
            "stands beside scenario files", where=flag, cure="write it into them, or use --change"
        )
    from genzcli.report.words import distinct

    labels, requests = [], []
    for path in paths:
        for request in read_file(path, tuple(words.get("catalog") or ())):
            if isinstance(request, GenzError):
                raise request
            labels.append((request.name or f"{request.model} on {request.hardware}", path))
            requests.append(request)
    return [(label, request, "") for label, request in zip(distinct(labels), requests, strict=True)]


def _report(columns: list[Any], kind: str, quiet: bool) -> str:
    from genzcli.report import difference

    if kind == "json":
        from genzcli.report.json import dumps

        return dumps(difference.document(columns))
    if kind == "csv":
        from genzcli.report import csv

        return csv.table({"name": name, **csv.record(answer)} for name, answer in columns)
    page = difference.page(columns, quiet)
    if kind == "markdown":
        from genzcli.report.markdown import markdown

        return markdown(page, False)
    from genzcli.report.table import render

    return render(page)
