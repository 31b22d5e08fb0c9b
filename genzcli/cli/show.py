"""`genz show`: entries of the catalogs, with every number and its source; several side by side."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from genzcli.cli.formats import Catalogs, Format, Json, Quiet, chosen


def command(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME…", help="Model, chip, platform, use case or profile; several side by side."
        ),
    ],
    catalog: Catalogs = None,
    format: Format = "table",
    json: Json = False,
    yaml: Annotated[
        bool, typer.Option("--yaml", help="The entry's own file, as the start of one of yours.")
    ] = False,
    quiet: Quiet = False,
) -> int:
    """One entry with its sources, or several side by side.

    \b
    Examples:
      genz show mixtral-8x7b
      genz show h100-sxm
      genz show h100-sxm mi300x tpu-v6e
      genz show h100-sxm --yaml > my-chip.yaml
    """
    from genzcli.catalog.load import Catalog, load_file
    from genzcli.cli.streams import emit
    from genzcli.errors import GenzError

    form = chosen(format, json)
    found = Catalog(catalog or ())
    if len(names) > 1 and yaml:
        raise GenzError("shows one entry", where="--yaml", cure="name one")
    entries = _entries(found, names[0]) if len(names) == 1 else _of_one_kind(found, names)
    if yaml:
        emit(_file(entries, names[0], form))
        return 0
    loaded = [(entry, load_file(entry, found)) for entry in entries]
    if len(names) > 1 and form in ("table", "markdown"):
        from genzcli.cli.list import draw
        from genzcli.report.beside import beside_page

        emit(draw(beside_page(entries[0].kind, [noun for _, noun in loaded]), form, quiet))
        return 0
    emit(_report(loaded, form, quiet))
    return 0


def _of_one_kind(catalog: Any, names: list[str]) -> list[Any]:
    """An entry for each name, all of the first kind that has them all."""
    from genzcli.errors import GenzError

    found = [{entry.kind: entry for entry in _entries(catalog, name)} for name in names]
    shared = next((kind for kind in found[0] if all(kind in entries for entries in found)), None)
    if shared is None:
        what = ", ".join(
            f"{name} a {' or '.join(kind.removesuffix('s') for kind in entries)}"
            for name, entries in zip(names, found, strict=True)
        )
        raise GenzError(f"cannot stand side by side: {what}", where="NAME", cure="name entries of one kind")
    return [entries[shared] for entries in found]


def _entries(catalog: Any, name: str) -> list[Any]:
    """Every entry that the name means; a path means the file."""
    from genzcli.catalog import find, spelling
    from genzcli.errors import UnknownNameError

    path = find.path_of(name)
    if path is not None:
        return [file_entry(path)]
    for look in (_named, spelling.meant):
        found = [look(catalog.roots, (kind,), name) for kind in find.FOLDERS]
        if entries := [entry for entry in found if entry is not None]:
            return entries
    cure = f"{spelling.near(catalog.roots, tuple(find.FOLDERS), name)}see `genz list`"
    raise UnknownNameError(f"unknown name {name!r}", where="NAME", cure=cure)


def _named(search: Any, kinds: tuple[str, ...], name: str) -> Any:
    """The entry of this name or alias, if there is one."""
    from genzcli.catalog import find

    return next(find.by_name(search, kinds, name), None) or find.by_alias(search, kinds, name)


def file_entry(path: str) -> Any:
    """A file named by its path."""
    from genzcli.catalog.find import Entry

    return Entry(_kind(path), path, "file")


def _file(entries: list[Any], name: str, form: str) -> str:
    """The text of the one file that is meant."""
    from genzcli.catalog.document import read_text, shorten
    from genzcli.errors import GenzError

    if form != "table":
        raise GenzError(f"--yaml and --format {form} exclude each other", where="--yaml", cure="keep one")
    if len(entries) > 1:
        kinds = " and ".join(f"a {entry.kind.removesuffix('s')}" for entry in entries)
        files = " or ".join(shorten(entry.path) for entry in entries)
        raise GenzError(f"{name!r} is {kinds}", where="--yaml", cure=f"name the file: {files}")
    return read_text(entries[0].path, shorten(entries[0].path))


def _kind(path: str) -> str:
    """What a file describes, by the keys that only its kind has."""
    from genzcli.catalog.read import read
    from genzcli.errors import CatalogError

    keys = read(path).mapping("")
    marks = {
        "models": ("d_model",),
        "platforms": ("chip", "levels"),
        "chips": ("peaks",),
        "profiles": ("operators",),
        "usecases": ("input_tokens", "output_tokens"),
    }
    found = next((kind for kind, words in marks.items() if any(word in keys for word in words)), None)
    if found is None:
        cure = "a model has d_model, a chip peaks, a platform a chip, a profile operators, a use case tokens"
        raise CatalogError("is no catalog entry", where=path, cure=cure)
    return found


def _report(found: list[tuple[Any, Any]], form: str, quiet: bool) -> str:
    from genzcli.report.plain import data, lines

    if form == "json":
        from genzcli.report.json import dumps

        entries = [
            {
                "kind": entry.kind,
                "name": noun.name,
                "from": entry.origin,
                "file": entry.path,
                "entry": data(noun),
                "computed": _computed(noun),
            }
            for entry, noun in found
        ]
        return dumps({"schema": "genz.show/1", "entries": entries})
    if form == "csv":
        from genzcli.report import csv

        return csv.table(
            {
                "kind": entry.kind,
                "name": noun.name,
                "key": line.path,
                "value": line.value,
                "source_kind": line.source.kind if line.source else None,
                "source": line.source.reference if line.source else None,
            }
            for entry, noun in found
            for line in lines(noun)
        )
    from genzcli.cli.list import draw
    from genzcli.report.catalogs import show_page

    pages = [show_page(entry.kind, noun, entry.origin) for entry, noun in found]
    return "\n\n".join(draw(page, form, quiet).rstrip() for page in pages)


def _computed(noun: Any) -> dict[str, Any]:
    """What follows from the numbers: parameters and KV of a model, the record of the others."""
    from genzcli.cli.records import of
    from genzcli.spec.model import Model

    if not isinstance(noun, Model):
        return of(noun)
    from genzcli.engine.counts import anatomy
    from genzcli.engine.counts.parameters import cross_elements_per_token, parameters
    from genzcli.report.architecture import pattern
    from genzcli.report.plain import data
    from genzcli.spec.dtype import bytes_per_element

    size, kept = bytes_per_element(noun.precision.kv), anatomy.kept(noun, noun.precision.kv)
    return {
        **of(noun),
        "pattern": pattern(noun.stack),
        "parameters_by_part": {**data(parameters(noun)), **anatomy.parts(noun)},
        "kv_bytes_per_token": sum(item.token_bytes * item.layers for item in kept),
        "cross_bytes_per_token": cross_elements_per_token(noun) * size,
        "kept_by_layer": data(kept),
    }
