"""The error for a path that leads nowhere, with the paths that may have been meant."""

from __future__ import annotations

from collections.abc import Mapping

from genzcli.catalog.document import join
from genzcli.catalog.path.walk import (
    FIRST,
    Lost,
    field_of,
    keys_of,
    known_keys,
    members_of,
    noun_of,
)
from genzcli.errors import CatalogError, nearest
from genzcli.spec.hardware import Chip
from genzcli.spec.model import Model
from genzcli.spec.noun import Noun

_LIST_AT_MOST = 24
_MOST_SUGGESTED = 6


def nowhere(
    parts: Mapping[str, Noun], lost: list[tuple[str, Lost]], keys: list[str], where: str
) -> CatalogError:
    """The error of the root that followed the path furthest, with the paths that may have been meant."""
    deepest = max(error.depth for _, error in lost)
    best = [(root, error) for root, error in lost if error.depth == deepest]
    best = [(root, error) for root, error in best if error.known] or best
    known = list(dict.fromkeys(key for _, error in best for key in error.known))
    error = best[0][1]
    inside = f" in {error.done}" if error.done else ""
    near = _likely(parts, [root for root, _ in lost], keys) or nearest(error.key, known)
    cure = [f"did you mean {', '.join(near)}?"] if near else []
    if error.why:
        cure.append(f"{error.done}: {error.why}")
    elif len(known) <= _LIST_AT_MOST:
        cure.append(known_keys(known))
    if not error.why:
        name = getattr(noun_of(parts, best[0][0]), "name", "NAME") if len(best) == 1 else "NAME"
        cure.append(f"`genz show {name}` lists the paths")
    return CatalogError(
        f"there is no {error.key!r}{inside}", where=where, cure="; ".join(cure).replace("?;", "?")
    )


def _likely(parts: Mapping[str, Noun], roots: list[str], keys: list[str]) -> list[str]:
    """Whole paths that end in these keys; else that have their words, in their order; else in a near key."""
    paths = [path for root in roots for path in _paths(noun_of(parts, root), _prefix(root))]
    found = [path for path in paths if path.endswith("." + ".".join(keys))]
    found += [path for path in paths if path not in found and _in_order(keys, path)]
    if not found and len(keys) == 1:
        ends = {path.rpartition(".")[2] for path in paths}
        found = [path for end in nearest(keys[0], ends) for path in paths if path.rpartition(".")[2] == end]
    return list(dict.fromkeys(found))[:_MOST_SUGGESTED]


def _prefix(root: str) -> str:
    return "" if root in FIRST else root


def _in_order(keys: list[str], path: str) -> bool:
    """Whether every key is one of the path's, or begins or ends one at a _, one after the other."""
    rest = iter(path.split("."))
    return all(
        any(key == own or own.endswith(f"_{key}") or own.startswith(f"{key}_") for own in rest)
        for key in keys
    )


def _paths(noun: Noun, path: str) -> list[str]:
    """Every path below a noun that leads to one value."""
    found: list[str] = []
    if isinstance(noun, Model) and len(noun.blocks) == 1:
        found += _paths(next(iter(noun.blocks.values())), path)
    for key in keys_of(noun):
        item = field_of(noun, key)
        if (
            item is None
            or isinstance(getattr(noun, item.name), Chip)
            or (isinstance(noun, Model) and item.name == "blocks" and len(noun.blocks) == 1)
        ):
            continue
        value, place = getattr(noun, item.name), join(path, key)
        members = {"": value} if isinstance(value, Noun) else members_of(value)
        if members is None:
            found += [place] if item.kind not in ("noun", "texts", "other") else []
            continue
        for name, member in members.items():
            inner = join(place, name) if name else place
            found += _paths(member, inner) if isinstance(member, Noun) else [inner]
    return found
