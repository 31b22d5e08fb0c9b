"""Paths of fields, as `--set` writes them: what may follow a noun, and whether a path leads somewhere.

A path has the keys of the YAML; entries of mappings and levels go by their name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from genzcli.catalog import special
from genzcli.catalog.document import join
from genzcli.errors import CatalogError
from genzcli.spec.hardware import Chip, Level, Platform
from genzcli.spec.model import Model
from genzcli.spec.noun import Field, Noun
from genzcli.spec.workload import Slo

ROOTS = ("chip", "platform", "model", "usecase", "plan", "profile")
#: Where a path without a root is looked up first, in this order.
FIRST = ("chip", "platform")
# Fields that --set does not reach: they are bookkeeping, or were used up when the noun was chosen.
FIXED = ("sources", "origin", "hides", "aliases", "explicit_compute", "home", "stack")


class Lost(Exception):
    """The path leads nowhere: how far it got, and what is there."""

    def __init__(self, done: str, key: str, known: list[str], why: str = "") -> None:
        self.done, self.key, self.known, self.why = done, key, known, why
        self.depth = done.count(".") + 1 if done else 0


def candidates(parts: Mapping[str, Noun]) -> list[str]:
    """The nouns where a path without a root may lead."""
    return [root for root in ROOTS if root in parts or (root == "chip" and "platform" in parts)]


def noun_of(parts: Mapping[str, Noun], root: str) -> Noun:
    """The noun of a root: the chip is the platform's."""
    if root == "chip" and "platform" in parts:
        return cast(Noun, cast(Any, parts["platform"]).chip)
    if root not in parts:
        raise CatalogError(
            f"there is no {root} here", where=f"--set {root}", cure=known_keys(candidates(parts))
        )
    return parts[root]


def with_chip(platform: Platform, chip: Chip) -> Platform:
    """The platform with a changed chip; power or rent set for it is not hidden by the platform's own. Its
    hosts draw what they did."""
    own: dict[str, Any] = {}
    if chip.power_w is not platform.chip.power_w:
        own = {"power_w": None, "host_power_w": platform.beside_chips_w}
    if chip.price_usd_per_hour is not platform.chip.price_usd_per_hour:
        own["price_usd_per_hour"] = None
    return platform.replace(chip=chip, **own)


def known_keys(keys: list[str]) -> str:
    """What may follow, for an error's cure."""
    return f"known: {', '.join(keys)}"


def keys_of(noun: Noun) -> list[str]:
    """What may follow a noun in a path."""
    if isinstance(noun, Model):
        own = [f.key for f in noun.fields.values() if f.name not in FIXED] + ["layers"]
        only = keys_of(next(iter(noun.blocks.values()))) if len(noun.blocks) == 1 else []
        return own + only
    keys = [f.key for f in noun.fields.values() if f.name not in FIXED and f.name not in union_names(noun)]
    return keys + [key for name in union_names(noun) if (key := union_key(noun, name))]


def union_names(noun: Noun) -> list[str]:
    """Fields of a noun that hold one of several kinds of noun, such as a block's mixer."""
    return [name for owner, name in special.UNIONS if owner is type(noun)]


def union_key(noun: Noun, name: str) -> str | None:
    """The key under which a union's present value is written: mlp or moe."""
    words = special.UNIONS[type(noun), name]
    value = getattr(noun, name)
    return next((key for key, cls in words.items() if type(value) is cls), None)


def field_of(noun: Noun, key: str) -> Field | None:
    """The field that a key names: as in YAML, as in Python, or as one arm of a union."""
    for item in noun.fields.values():
        if item.name in FIXED:
            continue
        if item.name in union_names(noun):
            if key == union_key(noun, item.name):
                return item
        elif key in (item.key, item.name):
            return item
    return None


def spelled_out(noun: Noun, keys: list[str]) -> list[str]:
    """The keys, with the only block of a model put in where it was left out."""
    if isinstance(noun, Model) and len(noun.blocks) == 1 and keys[0] != "layers":
        block = next(iter(noun.blocks))
        if field_of(noun, keys[0]) is None and field_of(noun.blocks[block], keys[0]) is not None:
            return ["blocks", block, *keys]
    return keys


def follow(noun: Noun, keys: list[str], done: str) -> None:
    """Follow the path to its end; Lost where it leads nowhere. Says nothing about the value."""
    keys = spelled_out(noun, keys)
    if isinstance(noun, Model) and keys == ["layers"]:
        return
    item = field_of(noun, keys[0])
    if item is None:
        raise Lost(done, keys[0], keys_of(noun))
    value, rest, done = getattr(noun, item.name), keys[1:], join(done, keys[0])
    members = members_of(value)
    if not rest:
        return
    if isinstance(value, Noun):
        return follow(value, rest, done)
    if value is None and begun(item, rest) is not None:
        return
    if members is None:
        raise Lost(done, rest[0], [], "it is not set" if value is None else "it is one value")
    name, rest = entry_of(members, rest)
    if name not in members:
        if not rest and _may_add(item):
            return
        raise Lost(done, name, list(members))
    if rest and not isinstance(members[name], Noun):
        raise Lost(join(done, name), rest[0], [], "it is one value")
    if rest:
        follow(members[name], rest, join(done, name))


def begun(item: Field, keys: list[str]) -> tuple[type[Noun], Field] | None:
    """The noun that a field may hold, and the one number it cannot do without, where the keys name that."""
    if item.kind != "noun" or len(keys) != 1:
        return None
    whole = cast("type[Noun]", item.of)
    required = [own for own in whole.fields.values() if own.required]
    alone = len(required) == 1 and keys[0] in (required[0].key, required[0].name)
    return (whole, required[0]) if alone else None


def members_of(value: Any) -> dict[str, Any] | None:
    """The named members of a mapping, of levels, or of objectives."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple) and all(isinstance(member, Level) for member in value):
        return {member.name: member for member in value}
    if isinstance(value, tuple) and all(isinstance(member, Slo) for member in value):
        return {member.metric: member.limit for member in value}
    return None


def entry_of(members: Mapping[str, Any], keys: list[str]) -> tuple[str, list[str]]:
    """The longest run of keys that names a member (operators have names such as gemm.prefill)."""
    for end in range(len(keys), 0, -1):
        if (name := ".".join(keys[:end])) in members:
            return name, keys[end:]
    return keys[0], keys[1:]


def _may_add(item: Field) -> bool:
    return item.name in ("peaks", "slo")
