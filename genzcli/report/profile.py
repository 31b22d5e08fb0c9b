"""A profile as the text of a catalog file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from genzcli.spec.noun import Field, Noun
from genzcli.spec.profile import Profile

_DIGITS = 4
_APART = (
    "name",
    "stack",
    "applies",
    "measured",
    "evidence",
    "note",
    "sources",
    "origin",
    "aliases",
    "operators",
    "collectives",
)


def text(profile: Profile) -> str:
    """YAML that loads as this profile, its numbers to four digits; one source stands for all of them."""
    return "".join(f"{line}\n" for line in _lines(profile))


def _lines(profile: Profile) -> Iterator[str]:
    source = next(iter(profile.sources.values()))
    yield f"name: {profile.name}"
    yield f"stack: {profile.stack}"
    yield f"applies: [{', '.join(_word(name) for name in profile.applies)}]"
    if profile.measured:
        yield f"measured: [{', '.join(profile.measured)}]"
    yield f"evidence: {profile.evidence}"
    yield f"source: {{{source.kind}: {_quoted(source.reference)}}}"
    for group in ("operators", "collectives"):
        entries = getattr(profile, group)
        if entries:
            yield f"{group}:"
            yield from (f"  {name}: {_flow(fit)}" for name, fit in entries.items())
    for item in profile.fields.values():
        value = getattr(profile, item.name)
        if item.name not in _APART and value != item.default:
            yield f"{item.key}: {_value(item, value)}"
    yield f"note: {_quoted(profile.note)}"


def _flow(noun: Noun) -> str:
    """What differs from the defaults, between braces."""
    fields = [(item, getattr(noun, item.name)) for item in noun.fields.values()]
    shown = (
        f"{item.key}: {_value(item, value)}"
        for item, value in fields
        if item.required or value != item.default
    )
    return "{" + ", ".join(shown) + "}"


def _value(item: Field, value: Any) -> str:
    if isinstance(value, Noun):
        return _flow(value)
    if item.kind == "nouns":
        return "{" + ", ".join(f"{name}: {_flow(noun)}" for name, noun in value.items()) + "}"
    if isinstance(value, str):
        return _word(value)
    if item.unit == "s":
        return _seconds(value)
    if value == math.inf:
        return "inf"
    if item.kind == "count":
        return f"{value:.0f}"
    return f"{float(value):.{_DIGITS}g}" + (f" {item.unit}" if item.unit else "")


def _seconds(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{value / size:.{_DIGITS}g} {unit}"
    return f"{value * 1e9:.{_DIGITS}g} ns" if value else "0 s"


def _word(text: str) -> str:
    return _quoted(text) if ":" in text else text


def _quoted(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False)
