"""From a tree to a noun: every key known, every value checked, every number cited.

The nouns carry their own schema (`Noun.fields`), so this is one walk over it; what the schema
cannot say (an `mlp` or a `moe`, a stack of layers, a chip by name) is in `special`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from genzcli.catalog import check, special
from genzcli.catalog.document import Node, join
from genzcli.catalog.find import is_built_in, names_built_in
from genzcli.errors import CatalogError, nearest
from genzcli.spec.hardware import Chip, Platform
from genzcli.spec.model import Model
from genzcli.spec.noun import Field, Noun
from genzcli.spec.profile import Profile
from genzcli.spec.source import KINDS, Source
from genzcli.spec.workload import UseCase

N = TypeVar("N", bound=Noun)

_NOT_WRITTEN = ("sources", "origin", "hides")  # fields that follow from the file as a whole
_KINDS: Mapping[type, str] = {
    Model: "models",
    Chip: "chips",
    Platform: "platforms",
    Profile: "profiles",
    UseCase: "usecases",
}
_VALUE_KEYS = ("value", "source", "note")


def build(root: Node, cls: type[N], chip: Callable[[str, str], Chip] | None = None) -> N:
    """The noun that a file's root mapping describes.

    `chip(name, where)` resolves the chip a platform names; a file that needs none leaves it out.
    """
    return Builder(root, chip).top(root, cls)


class Builder:
    """One file being built: its named sources, and the citation of every number met so far."""

    def __init__(self, root: Node, chip: Callable[[str, str], Chip] | None = None) -> None:
        self.chip = chip
        self.named: dict[str, Source] = {}
        self.cited: dict[str, Source] = {}
        self.root = root

    def top(self, root: Node, cls: type[N]) -> N:
        if (table := (root.entries or {}).get("sources")) is not None:
            self.named = {
                name: self.one_source(node, f"sources.{name}")
                for name, node in table.mapping("sources").items()
            }
        built = self.noun(root, cls, "", None, extra=("sources",))
        if "sources" not in cls.fields:
            return built
        origin = "" if is_built_in(root.file) else root.file
        hides = bool(origin) and names_built_in(_KINDS[cls], getattr(built, "name", ""))
        return built.replace(sources=self.cited, origin=origin, hides=hides)

    # --- nouns ---

    def noun(
        self, node: Node, cls: type[N], path: str, source: Source | None, extra: tuple[str, ...] = ()
    ) -> N:
        """A noun of class `cls` from a mapping; `source` is the nearest enclosing one."""
        entries = node.mapping(path or cls.__name__.lower())
        special_fields = special.fields_of(cls)
        plain = {f.key: f for f in cls.fields.values() if f.name not in (*special_fields, *_NOT_WRITTEN)}
        known = [*plain, *special.keys_of(cls), "source", *extra]
        for key in entries:
            if key not in known:
                check.unknown_key(node, key, path, known)
        source = self.source_of(entries, path, source)
        values = {
            f.name: self.field(entries[key], f, join(path, key), source)
            for key, f in plain.items()
            if key in entries
        }
        values |= special.build(self, node, cls, path, source)
        self._complete(node, cls, path, values)
        built = cls(**values)
        check.consistent(built, node.where(path))
        return built

    def _complete(self, node: Node, cls: type[Noun], path: str, values: Mapping[str, Any]) -> None:
        for item in cls.fields.values():
            if item.required and item.name not in values:
                keys = " or ".join(repr(key) for key in special.keys_for(cls, item))
                cure = special.example_for(cls, item) or f"add it: {item.doc}"
                raise CatalogError(f"{keys} is missing", where=node.where(path), cure=cure)

    # --- fields ---

    def field(self, node: Node, item: Field, path: str, source: Source | None) -> Any:
        """The value of one field, by the kind that its schema says."""
        if node.is_null:
            if item.default is None:
                return None
            raise CatalogError(
                "has no value", where=node.where(path), cure=f"give one ({item.doc}) or remove the key"
            )
        match item.kind:
            case "quantity" | "count" | "ratio":
                return self.number(node, item, path, source)
            case "noun":
                return self.noun(node, special.class_of(item), path, source)
            case "nouns":
                return self.nouns(node, item, path, source)
            case "numbers":
                return self.numbers(node, item, path, source)
            case "texts":
                return tuple(member.text(path) for member in node.sequence(path))
            case _:
                return check.word(node.text(path), item, node.where(path))

    def nouns(self, node: Node, item: Field, path: str, source: Source | None) -> dict[str, Noun]:
        entries = node.mapping(path)
        source = self.source_of(entries, path, source)
        names = [name for name in entries if name != "source"]
        if not names and item.required:
            raise CatalogError("is empty", where=node.where(path), cure=f"add an entry: {item.doc}")
        return {
            name: self.noun(entries[name], special.class_of(item), join(path, name), source) for name in names
        }

    def numbers(self, node: Node, item: Field, path: str, source: Source | None) -> dict[str, float]:
        entries = node.mapping(path)
        source = self.source_of(entries, path, source)
        found: dict[str, float] = {}
        for key, member in entries.items():
            if key == "source":
                continue
            name = check.number_key(item, key, node.key_where(key, join(path, key)))
            if name in found:
                where = node.key_where(key, join(path, key))
                raise CatalogError(f"{key!r} is {name!r} again", where=where, cure="keep one of them")
            found[name] = cast(float, self.number(member, item, join(path, name), source))
        if not found:
            raise CatalogError("is empty", where=node.where(path), cure=f"add an entry: {item.doc}")
        return found

    def number(self, node: Node, item: Field, path: str, source: Source | None) -> float | int:
        """A number, bare or as `{value, source, note}`, with its citation recorded."""
        note = ""
        if node.entries is not None:
            node, source, note = self.detailed(node, path, source)
        if node.word is None or node.is_null:
            raise CatalogError(
                f"holds {node.kind}, not a number", where=node.where(path), cure=f"write {item.doc}"
            )
        value = check.number(node.word, item, node.where(path))
        self.cite(node, path, source, note)
        return value

    def detailed(self, node: Node, path: str, source: Source | None) -> tuple[Node, Source | None, str]:
        """The value, source and note of a number written as a mapping."""
        entries = node.mapping(path)
        for key in entries:
            if key not in _VALUE_KEYS:
                check.unknown_key(node, key, path, list(_VALUE_KEYS))
        if "value" not in entries:
            raise CatalogError(
                "'value' is missing", where=node.where(path), cure="write {value: …, source: {…}}"
            )
        note = entries["note"].text(join(path, "note")) if "note" in entries else ""
        return entries["value"], self.source_of(entries, path, source), note

    # --- sources ---

    def cite(self, node: Node, path: str, source: Source | None, note: str = "") -> None:
        """Record where the number at `path` comes from; a number without a source does not load."""
        if source is None:
            cure = 'add `source: {vendor: "…"}` to it or around it (kinds: ' + ", ".join(KINDS) + ")"
            raise CatalogError("this number has no source", where=node.where(path), cure=cure)
        self.cited[path] = source.replace(note=note) if note else source

    def source_of(self, entries: Mapping[str, Node], path: str, outer: Source | None) -> Source | None:
        """The source a mapping states for what is in it, else the enclosing one."""
        node = entries.get("source")
        if node is None:
            return outer
        place = join(path, "source")
        if node.word is None or node.is_null:
            return self.one_source(node, place)
        if node.word in self.named:
            return self.named[node.word]
        near = ", ".join(nearest(node.word, self.named) or self.named) or 'write it out, as {vendor: "…"}'
        raise CatalogError(
            f"there is no source named {node.word!r} in this file", where=node.where(place), cure=near
        )

    def one_source(self, node: Node, path: str) -> Source:
        """A citation: one kind with its reference, and a note if there is one."""
        entries = node.entries or {}
        kinds = [key for key in entries if key != "note"]
        if len(kinds) != 1 or kinds[0] not in KINDS:
            cure = (
                "write one of {"
                + ", ".join(KINDS)
                + '} with its reference, as {vendor: "datasheet, table 2"}'
            )
            raise CatalogError("this is not a source", where=node.where(path), cure=cure)
        reference = entries[kinds[0]].text(join(path, kinds[0]))
        note = entries["note"].text(join(path, "note")) if "note" in entries else ""
        return Source(kind=kinds[0], reference=reference, note=note)
