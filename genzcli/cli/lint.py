"""`genz lint`: what is wrong or odd in the catalogs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from genzcli.cli.formats import Format, Json, Quiet, chosen

#: How far the counted parameters of a model may be from the published ones.
TOLERANCE = 0.02


def command(
    places: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DIR|FILE…]", help="Catalogs, or single files [the search path]."),
    ] = None,
    outliers: Annotated[
        bool,
        typer.Option(
            "--outliers",
            help="List chips far from others of their class: ridge point, memory, power, rent.",
        ),
    ] = False,
    format: Format = "table",
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Check catalog files: schema, sources, values.

    Values have to be plausible, and the parameters counted have to be those published.
    Exit code 2 where there is an error; warnings leave it 0.

    \b
    Example:
      genz lint ./my-catalog
      genz lint my-chip.yaml
      genz lint --outliers
    """
    from genzcli.catalog.load import Catalog
    from genzcli.cli.exits import Exit
    from genzcli.cli.streams import emit
    from genzcli.errors import GenzError

    form = chosen(format, json)
    files = [place for place in places or () if not os.path.isdir(place) and _is_file(place)]
    folders = [place for place in places or () if place not in files]
    catalog = Catalog(folders, by="DIR")
    if outliers:
        if files:
            raise GenzError("outliers are those of whole catalogs", where="--outliers", cure="name a folder")
        emit(_outliers(catalog, folders, form, quiet))
        return Exit.OK
    entries, found = _searched(catalog, folders) if folders or not files else ([], [])
    for path in files:
        entry, findings = _single(path, catalog)
        entries += [entry]
        found += findings
    found += [item for entry in entries if entry.kind == "models" for item in _counts(entry)]
    emit(_report(found, len(entries), form, quiet))
    return Exit.BAD_INPUT if any(item.level == "error" for item in found) else Exit.OK


def _is_file(place: str) -> bool:
    """Whether it is, or looks like, a file; what does not exist is taken for a folder."""
    return os.path.isfile(place) or place.endswith((".yaml", ".yml", ".json"))


def _searched(catalog: Any, folders: list[str]) -> tuple[list[Any], list[Any]]:
    """The entries of the folders, or of the whole search path, and what is found in them."""
    from genzcli.catalog.find import FOLDERS
    from genzcli.catalog.lint import lint

    entries = [entry for kind in FOLDERS for entry in catalog.entries(kind) if _inside(entry.path, folders)]
    return entries, [item for item in lint(catalog) if _inside(item.where.partition(":")[0], folders)]


def _single(path: str, catalog: Any) -> tuple[Any, list[Any]]:
    """A file's entry, and what is found in it; one that is no catalog file is a bad argument."""
    from genzcli.catalog.lint import lint_file
    from genzcli.cli.show import file_entry

    entry = file_entry(path)
    return entry, lint_file(entry, catalog)


def _inside(path: str, folders: list[str]) -> bool:
    """Whether a file belongs to what was asked about."""
    whole = os.path.abspath(path)
    inside = (os.path.join(os.path.abspath(folder), "") for folder in folders)
    return not folders or whole.startswith(tuple(inside))


def _last_digit(count: float) -> float:
    """A one in the last digit of an active count, at most 1e9: authors print 3B or 2.4B, and round or cut."""
    mantissa, exponent = f"{count:.9e}".split("e")
    places = len(mantissa.rstrip("0").partition(".")[2])
    return float(min(10.0 ** (int(exponent) - places), 1e9))


def _counts(entry: Any) -> Iterator[Any]:
    """Counted parameters against published ones."""
    from genzcli.catalog.build import build
    from genzcli.catalog.document import shorten
    from genzcli.catalog.lint import Finding
    from genzcli.engine.counts.parameters import parameters
    from genzcli.errors import GenzError
    from genzcli.spec.model import Model
    from genzcli.units import show_count

    try:
        model = build(entry.node, Model)
    except GenzError:
        return  # lint has said so
    if model.published is None:
        return
    counted, stated = parameters(model), model.published
    total: tuple[str, Any, Any] = ("parameters", counted.total, stated.parameters)
    active: tuple[str, Any, Any] = (
        "active_parameters",
        counted.active_less(stated.active_leaves_out),
        stated.active_parameters,
    )
    for key, computed, published in (total, active):
        if published is None:
            continue
        slack = TOLERANCE * published
        if key == "active_parameters":
            slack = max(slack, _last_digit(published))
        if abs(computed - published) > slack:
            message = (
                f"{show_count(published, 4)} published, {show_count(computed, 4)} counted "
                f"({(computed / published - 1) * 100:+.1f} %); correct the dimensions or the publication"
            )
            yield Finding(level="error", where=f"{shorten(entry.path)}: published.{key}", message=message)


def _report(found: list[Any], files: int, form: str, quiet: bool) -> str:
    records = [{"level": item.level, "where": item.where, "message": item.message} for item in found]
    if form == "json":
        from genzcli.report.json import dumps

        return dumps({"schema": "genz.lint/1", "files": files, "findings": records})
    if form == "csv":
        from genzcli.report import csv

        return csv.table(records or [{}])
    from genzcli.cli.list import draw
    from genzcli.report.catalogs import lint_page

    return draw(lint_page(found, files), form, quiet)


def _outliers(catalog: Any, folders: list[str], form: str, quiet: bool) -> str:
    """What stands out; chips of the folders alone where some are named, beside all that are known."""
    from genzcli.catalog.outliers import outliers

    named = {entry.name for entry in catalog.entries("chips") if _inside(entry.path, folders)}
    found = [item for item in outliers(catalog) if item.chip in named]
    if form in ("json", "csv"):
        records = [{**item._asdict(), "factor": item.factor} for item in found]
        if form == "csv":
            from genzcli.report import csv

            return csv.table(records or [{}])
        from genzcli.report.json import dumps

        return dumps({"schema": "genz.outliers/1", "outliers": records})
    from genzcli.cli.list import draw
    from genzcli.report.catalogs import outliers_page

    return draw(outliers_page(found), form, quiet)
