"""`genz check`: scenario files, several at once; the exit code is the worst verdict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import typer

from genzcli.cli.formats import FORMATS as COMMON
from genzcli.cli.formats import Catalogs, ExitZero, Json, Quiet, chosen
from genzcli.cli.help import OUTPUT

FORMATS = (*COMMON, "junit")


class Result(NamedTuple):
    """One scenario of one file: its answer, or what is wrong with it. `label` stands in for a name."""

    file: str
    name: str
    answer: Any
    error: str
    label: str


def command(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Scenario files; - is stdin.")],
    catalog: Catalogs = None,
    format: Annotated[
        str,
        typer.Option(
            "--format", metavar="|".join(FORMATS), help="How to print the answers.", rich_help_panel=OUTPUT
        ),
    ] = "table",
    json: Json = False,
    quiet: Quiet = False,
    exit_zero: ExitZero = False,
) -> int:
    """Answer the scenarios of files, for CI.

    A file has the words of `genz run`: every long flag with underscores for dashes, `slo:`, `set:` and
    `name:`; a list under `scenarios:` shares what stands beside it. The worst verdict is the exit code:
    2 bad input, 3 does not fit, 1 an SLO failed, 0 passed.

    \b
    Example:
      genz run llama-3.1-70b h100-sxm -n 8 -u chat --save chat.yaml
      genz check chat.yaml
      genz check chat.yaml --format junit > report.xml
    """
    from genzcli.cli.app import complain
    from genzcli.cli.asking.evaluate import exit_code
    from genzcli.cli.exits import Exit, lenient, worst
    from genzcli.cli.streams import emit, say

    kind = chosen(format, json, FORMATS)
    _once(files)
    results = [result for file in files for result in _answers(file, tuple(catalog or ()), kind)]
    for error in dict.fromkeys(result.error for result in results if result.error):
        complain(error)
    if quiet:
        for text in _idle(results):
            say(f"genz: note: {text}")
    code = worst(Exit.BAD_INPUT if item.error else exit_code(item.answer) for item in results)
    # With nothing answered stdout stays empty, but for a report of tests: there an error is a result.
    if kind == "junit" or any(not item.error for item in results):
        emit(_report(results, kind, quiet, code))
    return lenient(code, exit_zero)


def _idle(results: list[Result]) -> Iterator[str]:
    """What changes nothing in any scenario of a file; a word that all share may be for some of them."""
    files: dict[str, list[tuple[str, ...]]] = {}
    for item in results:
        if item.answer is not None:
            files.setdefault(item.file, []).append(item.answer.no_effect)
    for file, (first, *others) in files.items():
        yield from (f"{file}: no effect: {text}" for text in first if all(text in said for said in others))


def _once(files: list[str]) -> None:
    from genzcli.errors import GenzError

    if files.count("-") > 1:
        raise GenzError("stdin is named twice", where="FILE", cure="keep one -")


def _answers(file: str, catalogs: tuple[str, ...], kind: str) -> list[Result]:
    """Every scenario of a file; one that is bad does not stop the others."""
    from genzcli.cli.asking.evaluate import evaluate
    from genzcli.cli.asking.resolve import resolve
    from genzcli.cli.asking.scenarios import read_file
    from genzcli.errors import GenzError

    shown = "stdin" if file == "-" else file
    results = []
    for request in read_file(file, catalogs):
        if isinstance(request, GenzError):
            results.append(Result(shown, "", None, str(request), _position(request.where) or shown))
            continue
        try:
            answer = evaluate(resolve(request), explain=kind == "json", file=shown)
            results.append(Result(shown, request.name, answer, "", request.name or _label(request)))
        except GenzError as error:
            file = request.places.get("model", shown).partition(":")[0]
            placed = error if file in error.where else error.at(request.places.get("model", shown))
            results.append(Result(shown, request.name, None, str(placed), request.name or _label(request)))
    return results


def _position(where: str) -> str:
    """`scenario 2`, where an error's place names one."""
    return next((part for part in where.split(": ") if part.startswith("scenario ")), "")


def _label(request: Any) -> str:
    """What an unnamed scenario is called in the table."""
    asked = f"{request.model} on {request.hardware}"
    return f"{asked}, {request.usecase}" if request.usecase else asked


def _report(results: list[Result], kind: str, quiet: bool, code: int) -> str:
    if kind == "json":
        from genzcli.report.json import check_document, dumps, run_document

        return dumps(check_document([_object(item, run_document) for item in results]))
    if kind == "csv":
        from genzcli.report import csv

        return csv.table([_record(item, csv.record) for item in results])
    from genzcli.report.pages import Outcome, check_page

    if kind == "junit":
        return _tests(results, [Outcome(item.label, item.answer, item.error) for item in results])
    from genzcli.report.words import distinct

    labels = distinct([(item.label, item.file) for item in results])
    outcomes = [Outcome(label, *item[2:4]) for label, item in zip(labels, results, strict=True)]
    status = {0: "PASS", 1: "FAIL", 2: "ERROR", 3: "DOES NOT FIT"}[code]
    page = check_page(outcomes, status, quiet)
    if kind == "markdown":
        from genzcli.report.markdown import markdown

        return markdown(page, quiet)
    from genzcli.report.table import render

    return render(page, quiet)


def _tests(results: list[Result], outcomes: list[Any]) -> str:
    """A suite a file, in the order of the files."""
    from genzcli.report.junit import Suite, junit

    files: dict[str, list[Any]] = {}
    for item, outcome in zip(results, outcomes, strict=True):
        files.setdefault(item.file, []).append(outcome)
    return junit(Suite(file, found) for file, found in files.items())


def _object(item: Result, run_document: Any) -> dict[str, Any]:
    head = {"name": item.name or None, "file": item.file}
    return {**head, "error": item.error} if item.error else {**head, **run_document(item.answer)}


def _record(item: Result, record: Any) -> dict[str, Any]:
    if item.error:
        return {"file": item.file, "name": item.name, "error": item.error}
    return {"file": item.file, **record(item.answer), "error": None}
