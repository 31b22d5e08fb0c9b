"""Nouns as plain data, and as lines of path, value and source: one walk over the schema for every kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from genzcli.report.words import formats, in_unit
from genzcli.spec.dtype import Precision
from genzcli.spec.hardware import Chip, Level
from genzcli.spec.model import (
    Attention,
    LatentAttention,
    LinearAttention,
    Mamba,
    Mamba2,
    Mlp,
    Model,
    Moe,
)
from genzcli.spec.noun import Field, Noun
from genzcli.spec.source import Source
from genzcli.spec.workload import Slo
from genzcli.units import show

_HIDDEN = ("sources", "origin", "hides", "aliases", "name", "note", "stack", "explicit_compute")


#: Keys of the parts of a block that are one of several kinds.
_KINDS: Mapping[type, str] = {
    Attention: "attention",
    LatentAttention: "mla",
    Mamba: "mamba",
    Mamba2: "mamba2",
    LinearAttention: "linear_attention",
    Mlp: "mlp",
    Moe: "moe",
}


class Line(NamedTuple):
    """One fact of a catalog entry."""

    path: str
    value: str
    source: Source | None


def data(value: Any) -> Any:
    """A noun as mappings, lists, numbers and words; SI, under the names of the attributes."""
    if isinstance(value, Noun):
        return {name: data(item) for name, item in value.__dict__.items()}
    if isinstance(value, Mapping):
        return {key: data(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [data(item) for item in value]
    return value


def lines(noun: Noun) -> Iterator[Line]:
    """Every fact of an entry, with its source where it is a number that has one."""
    sources: Mapping[str, Source] = getattr(noun, "sources", {})
    for path, value in _walk(noun, ""):
        if isinstance(noun, Model) and path not in sources and _as_usual(path, value):
            continue
        yield Line(path, value, sources.get(path))
        if isinstance(noun, Model) and path == "vocab":
            yield Line("layers", _layers(noun), sources.get("layers"))


def _as_usual(path: str, value: str) -> bool:
    """A key of a model that its file leaves out, at a value that says nothing."""
    if path.endswith(".gated"):
        return value == "yes"
    return value in ("no", "0", "nothing") or path.endswith((".norms", ".projectors", ".merge"))


def _layers(model: Model) -> str:
    """`80`, or how many of each kind."""
    if len(model.blocks) == 1:
        return str(model.layers)
    totals: dict[str, int] = {}
    for name, repeat in model.stack:
        totals[name] = totals.get(name, 0) + int(repeat)
    return f"{model.layers}: " + ", ".join(f"{repeat} × {name}" for name, repeat in totals.items())


def _walk(noun: Noun, path: str) -> Iterator[tuple[str, str]]:
    for item in noun.fields.values():
        value = getattr(noun, item.name)
        if value is None or (item.name in _HIDDEN and not (item.name == "stack" and item.kind == "text")):
            continue
        key = _key(item, value)
        yield from _field(item, value, f"{path}.{key}" if path else key)


def _key(item: Field, value: Any) -> str:
    """The key in YAML; of a mixer or a feed-forward part, its kind."""
    return _KINDS.get(type(value), item.key) if item.name in ("mixer", "feedforward") else item.key


def _field(item: Field, value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Precision):
        yield path, formats(value, value.compute)
    elif isinstance(value, Chip):
        yield path, value.name
    elif isinstance(value, Noun):
        yield from _walk(value, path)
    elif isinstance(value, Mapping):
        for name, member in value.items():
            yield from _field(item, member, f"{path}.{name}")
    elif isinstance(value, tuple) and all(isinstance(member, int | float) for member in value):
        if value:
            yield path, " to ".join(f"{member:g}" for member in value)
    elif isinstance(value, tuple):
        yield from _members(value, path)
    else:
        yield path, scalar(value, item)


def _members(value: tuple[Any, ...], path: str) -> Iterator[tuple[str, str]]:
    if all(isinstance(member, str) for member in value):
        if value:
            yield path, ", ".join(value)
        return
    for member in value:
        if isinstance(member, Level):
            yield from _walk(member, f"{path}.{member.name}")
        elif isinstance(member, Slo):
            yield f"{path}.{member.metric}", in_unit(member.metric, member.limit)


def scalar(value: Any, item: Field) -> str:
    """One value with its unit."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if item.kind == "count":
        return f"{value:.0f}"
    return show(value, item.unit, 4)
