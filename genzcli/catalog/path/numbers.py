"""Numbers by their path, for sweeps and sensitivities: find one, read it, put an array in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from genzcli.catalog import check
from genzcli.catalog.path.walk import (
    FIRST,
    ROOTS,
    Lost,
    begun,
    candidates,
    entry_of,
    field_of,
    follow,
    members_of,
    noun_of,
    with_chip,
)
from genzcli.errors import CatalogError
from genzcli.spec.noun import Field, Noun

#: Numbers that stand for a structure: another value is another shape of the computation.
_STRUCTURE = ("corner", "tp", "pp", "dp", "ep", "year")


def numeric_field(parts: Mapping[str, Noun], path: str) -> tuple[str, list[str], Field] | None:
    """(root, keys, field) of a path that leads to one number which may be an array; None elsewhere."""
    keys = path.strip().split(".")
    roots = [keys[0]] if keys[0] in ROOTS else candidates(parts)
    keys = keys[1:] if keys[0] in ROOTS else keys
    for root in roots:
        try:
            follow(noun_of(parts, root), keys, root)
        except (Lost, CatalogError):
            continue
        item = _leaf_field(noun_of(parts, root), keys)
        return (root, keys, item) if item is not None and _broadcasts(root, item) else None
    return None


def canonical(parts: Mapping[str, Noun], path: str) -> str:
    """One spelling of a path: its root first, fields by their keys. As it is where it leads nowhere."""
    keys = path.strip().split(".")
    roots = [keys[0]] if keys[0] in ROOTS else candidates(parts)
    keys = keys[1:] if keys[0] in ROOTS else keys
    if roots == ["platform"] and keys[:1] == ["chip"]:
        roots, keys = ["chip"], keys[1:]
    for root in roots:
        try:
            noun = noun_of(parts, root)
            follow(noun, keys, root)
        except (Lost, CatalogError, IndexError):
            continue
        item = field_of(noun, keys[0])
        return ".".join((root, keys[0] if item is None else item.key, *_spelled(noun, keys)))
    return path


def _spelled(noun: Noun, keys: list[str]) -> list[str]:
    """The keys behind the first one, names of entries as they are."""
    item = field_of(noun, keys[0])
    if item is None or len(keys) == 1:
        return keys[1:]
    value, rest, name = getattr(noun, item.name), keys[1:], []
    if not isinstance(value, Noun):
        entry, rest = entry_of(members_of(value) or {}, rest)
        name, value = [entry], (members_of(value) or {}).get(entry)
    if not rest or not isinstance(value, Noun):
        return [*name, *rest]
    inner = field_of(value, rest[0])
    return [*name, rest[0] if inner is None else inner.key, *_spelled(value, rest)]


def _leaf_field(noun: Noun, keys: list[str]) -> Field | None:
    """The field at the end of a path; that of a mapping of numbers for its entries."""
    item = field_of(noun, keys[0])
    if item is None or len(keys) == 1:
        return item
    value = getattr(noun, item.name)
    if isinstance(value, Noun):
        return _leaf_field(value, keys[1:])
    if value is None:
        made = begun(item, keys[1:])
        return None if made is None else made[1]
    if item.kind == "numbers":
        return item
    name, rest = entry_of(cast("dict[str, Any]", members_of(value)), keys[1:])
    member = cast("dict[str, Any]", members_of(value))[name]
    return _leaf_field(member, rest) if rest and isinstance(member, Noun) else None


def _broadcasts(root: str, item: Field) -> bool:
    if root == "model" or item.name in _STRUCTURE:
        return False
    kinds = ("quantity", "ratio", "numbers") if root in FIRST else ("quantity", "ratio", "count")
    return item.kind in kinds


def put(parts: Mapping[str, Noun], root: str, keys: list[str], value: Any) -> dict[str, Noun]:
    """`parts` with a value, already checked and perhaps an array, at the end of a path of numbers."""
    new = _put(noun_of(parts, root), keys, value)
    if root == "chip":
        return {**parts, "platform": with_chip(cast(Any, parts["platform"]), cast(Any, new))}
    return {**parts, root: new}


def _put(noun: Noun, keys: list[str], value: Any) -> Noun:
    item = cast(Field, field_of(noun, keys[0]))
    if len(keys) == 1:
        return noun.replace(**{item.name: value})
    current = getattr(noun, item.name)
    if isinstance(current, Noun):
        return noun.replace(**{item.name: _put(current, keys[1:], value)})
    if current is None:
        whole, number = cast("tuple[type[Noun], Field]", begun(item, keys[1:]))
        return noun.replace(**{item.name: whole(**{number.name: value})})
    members = cast("dict[str, Any]", members_of(current))
    name, rest = entry_of(members, keys[1:])
    if item.kind == "numbers":
        name = check.number_key(item, name, "")
    members[name] = _put(members[name], rest, value) if rest else value
    return noun.replace(**{item.name: tuple(members.values()) if isinstance(current, tuple) else members})


def get(parts: Mapping[str, Noun], root: str, keys: list[str]) -> Any:
    """The value at the end of a path of numbers."""
    noun: Any = noun_of(parts, root)
    while True:
        item = cast(Field, field_of(noun, keys[0]))
        value, keys = getattr(noun, item.name), keys[1:]
        if not keys:
            return value
        if not isinstance(value, Noun):
            name, keys = entry_of(cast("dict[str, Any]", members_of(value)), keys)
            value = value[name] if isinstance(value, Mapping) else members_of(value)[name]  # type: ignore[index]
            if not keys:
                return value
        noun = value
