"""`genz list`: what the catalogs hold, and where each entry comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

import typer

from genzcli.cli.formats import Catalogs, Format, Json, chosen

KINDS = ("models", "chips", "platforms", "usecases", "profiles", "metrics")
_BOTH = ("chips", "platforms")

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Bare names, one a line.")]


def command(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[KIND]",
            help="models, chips, platforms, hardware (chips and platforms), usecases, profiles or metrics.",
        ),
    ] = None,
    filter: Annotated[
        str | None,
        typer.Argument(metavar="[FILTER]", help="Part of a name or alias; of a chip's maker or class."),
    ] = None,
    catalog: Catalogs = None,
    format: Format = "table",
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Entries of the catalogs; without a kind, the names of all.

    \b
    Examples:
      genz list models llama
      genz list hardware h100
      genz list chips nvidia --json
    """
    from genzcli.catalog.load import Catalog
    from genzcli.cli.streams import emit

    form = chosen(format, json)
    wanted, part = _wanted(kind, filter)
    found = Catalog(catalog or ())
    records: list[dict[str, Any]] = []
    broken: list[str] = []
    if wanted is None:
        records = _overview(found, part)
    elif wanted == "metrics":
        records = _metrics(part)
    elif wanted == "hardware":
        for one in _BOTH:
            members, complaints = _entries(found, one, part)
            records += [{"kind": one, **record} for record in members]
            broken += complaints
    else:
        records, broken = _entries(found, wanted, part)
    if not records and not broken:
        raise _nothing(found, wanted, part, kind)
    if records:
        emit(_report(wanted, records, form, quiet))
    return _complaints(broken)


def _wanted(kind: str | None, part: str | None) -> tuple[str | None, str]:
    """The kind and the filter; a first word that is no kind filters all of them."""
    if kind is None:
        return None, ""
    plural = next(
        (word for word in (*KINDS, "hardware") if kind.lower() in (word, word.removesuffix("s"))), None
    )
    if plural is None and part is None:
        return None, kind
    if plural is None:
        from genzcli.errors import UnknownNameError, nearest

        kinds = (*KINDS, "hardware")
        near = ", ".join(nearest(kind, kinds, 1)) or ", ".join(kinds)
        raise UnknownNameError(f"unknown kind {kind!r}", where="KIND", cure=f"try {near}")
    return plural, part or ""


def _matches(part: str, names: Iterable[str]) -> bool:
    from genzcli.catalog.find import fold

    asked = fold(part)
    one = asked.removesuffix("s")  # `phones` is every name that ends in phone, and every iphone-…
    said = [f"{fold(name)}-" for name in names] if part else []
    return not part or any(asked in name or (one != asked and f"{one}-" in name) for name in said)


def _words(entry: Any, homes: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """What a filter looks at: names, a chip's maker, class, status and home, a platform's chip."""
    from genzcli.errors import GenzError

    yield from (entry.name, *entry.aliases)
    try:
        keys = entry.node.entries or {} if entry.kind in _BOTH else {}
    except GenzError:  # a broken file is complained of where its name matches
        return
    yield from (keys[key].word or "" for key in ("vendor", "kind", "status", "chip") if key in keys)
    if "home" in keys:
        yield from homes.get(keys["home"].word or "", ())


def _homes(catalog: Any) -> dict[str, tuple[str, ...]]:
    """What each platform is called: a phone's chip is found by `phone`."""
    return {entry.name: (entry.name, *entry.aliases) for entry in catalog.entries("platforms")}


def _entries(catalog: Any, kind: str, part: str) -> tuple[list[dict[str, Any]], list[str]]:
    """A record for each entry that matches, and what is wrong with those that do not load."""
    from genzcli.catalog.load import load_file
    from genzcli.cli.records import of
    from genzcli.errors import GenzError

    records, broken = [], []
    homes = _homes(catalog) if part and kind == "chips" else {}
    for entry in catalog.entries(kind):
        if not _matches(part, _words(entry, homes) if part else ()):
            continue
        try:
            records.append({"name": entry.name, **of(load_file(entry, catalog)), "from": entry.origin})
        except GenzError as error:
            broken.append(str(error))
    return records, broken


def _overview(catalog: Any, part: str) -> list[dict[str, Any]]:
    homes = _homes(catalog) if part else {}
    found = [
        {"kind": kind, "name": entry.name, "from": entry.origin}
        for kind in KINDS[:-1]
        for entry in catalog.entries(kind)
        if _matches(part, _words(entry, homes) if part else ())
    ]
    return found + [{"kind": "metrics", "name": item["name"], "from": "built-in"} for item in _metrics(part)]


def _metrics(part: str) -> list[dict[str, Any]]:
    from genzcli.spec.metric import ALIASES, METRICS

    records = []
    for name, item in METRICS.items():
        others = [alias for alias, target in ALIASES.items() if target == name]
        if _matches(part, (name, *others)):
            better = "smaller" if item.ceiling else "larger"
            records.append({"name": name, "unit": item.output_unit, "better": better, "aliases": others})
    return records


def _nothing(catalog: Any, kind: str | None, part: str, word: str | None) -> Exception:
    from genzcli.catalog.spelling import near
    from genzcli.errors import UnknownNameError, nearest

    kinds = KINDS[:-1] if kind in (None, "metrics") else _BOTH if kind == "hardware" else (kind,)
    words = ", ".join(nearest(part, KINDS)) if kind is None else ""
    meant = near(catalog.roots, kinds, part) or (f"did you mean {words}? " if words else "")
    where = "KIND" if kind is None and word else "FILTER"
    return UnknownNameError(f"nothing matches {part!r}", where=where, cure=f"{meant}see `genz list`")


def _complaints(broken: list[str]) -> int:
    from genzcli.cli.app import complain

    codes = [complain(text) for text in broken]
    return max(codes, default=0)


def _report(kind: str | None, records: list[dict[str, Any]], form: str, quiet: bool) -> str:
    if form == "json":
        from genzcli.report.json import dumps

        return dumps({"schema": "genz.list/1", "kind": kind, "entries": records})
    if form == "csv":
        from genzcli.report import csv

        return csv.table([_flat(record) for record in records])
    if quiet:
        return "\n".join(record["name"] for record in records)
    from genzcli.report.catalogs import list_page

    return draw(list_page(kind, records), form)


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    return {key: _one(value) for key, value in record.items()}


def _one(value: Any) -> Any:
    """One cell of a nested value."""
    if isinstance(value, dict):
        return " ".join(f"{key}={item}" for key, item in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else value


def draw(page: Any, form: str, quiet: bool = False) -> str:
    """A page as a table or as markdown."""
    if form == "markdown":
        from genzcli.report.markdown import markdown

        return markdown(page, quiet)
    from genzcli.report.table import render

    return render(page, quiet)
