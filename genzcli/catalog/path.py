"""One field by its path, for `--set`: read it, change it, mark it as the user's.

Works on the same schema as the files: a path has the keys of the YAML, entries of mappings and
levels go by their name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from genzcli.catalog import check, special
from genzcli.catalog.document import join
from genzcli.errors import CatalogError, nearest
from genzcli.spec.dtype import Precision
from genzcli.spec.hardware import Chip, Level, Platform
from genzcli.spec.metric import limit, metric_name
from genzcli.spec.model import Model
from genzcli.spec.noun import Field, Noun
from genzcli.spec.source import Source
from genzcli.spec.workload import Plan, Slo, UseCase

ROOTS = ("chip", "platform", "model", "usecase", "plan", "profile")
#: Where a path without a root is looked up first, in this order.
_FIRST = ("chip", "platform")
_LIST_AT_MOST = 24
# Fields that --set does not reach: they are bookkeeping, or were used up when the noun was chosen.
_FIXED = ("sources", "aliases", "explicit_compute", "home", "stack")
_USER = Source(kind="assumed", reference="set by the user")


class _Lost(Exception):
    """The path leads nowhere: how far it got, and what is there."""

    def __init__(self, done: str, key: str, known: list[str], why: str = "") -> None:
        self.done, self.key, self.known, self.why = done, key, known, why
        self.depth = done.count(".") + 1 if done else 0


def set_path(parts: Mapping[str, Noun], path: str, text: str) -> dict[str, Noun]:
    """`parts` (root name to noun) with the field at `path` set to what `text` says.

    The chip is a view into the platform: `chip.…` changes `parts["platform"].chip`.
    """
    keys = path.strip().split(".")
    if not path.strip() or not all(keys):
        raise CatalogError(
            "this is not a path", where=f"--set {path!r}", cure="write it like memory.hbm.bandwidth=*2"
        )
    root = keys[0] if keys[0] in ROOTS else ""
    candidates = [root] if root else _candidates(parts)
    keys = keys[1:] if root else keys
    if root == "platform" and keys[:1] == ["chip"]:
        root, keys, candidates = "chip", keys[1:], ["chip"]
    if not keys:
        raise CatalogError(
            f"{root} is not one value", where=f"--set {path}", cure=_known(_keys(_noun(parts, root)))
        )
    return _set_first(parts, candidates, keys, path, text)


def numeric_field(parts: Mapping[str, Noun], path: str) -> tuple[str, list[str], Field] | None:
    """(root, keys, field) of a path that leads to one number which may be an array; None elsewhere."""
    keys = path.strip().split(".")
    roots = [keys[0]] if keys[0] in ROOTS else _candidates(parts)
    keys = keys[1:] if keys[0] in ROOTS else keys
    for root in roots:
        try:
            _resolve(_noun(parts, root), keys, root)
        except (_Lost, CatalogError):
            continue
        item = _leaf_field(_noun(parts, root), keys)
        return (root, keys, item) if item is not None and _broadcasts(root, item) else None
    return None


def canonical(parts: Mapping[str, Noun], path: str) -> str:
    """One spelling of a path: its root first, fields by their keys. As it is where it leads nowhere."""
    keys = path.strip().split(".")
    roots = [keys[0]] if keys[0] in ROOTS else _candidates(parts)
    keys = keys[1:] if keys[0] in ROOTS else keys
    if roots == ["platform"] and keys[:1] == ["chip"]:
        roots, keys = ["chip"], keys[1:]
    for root in roots:
        try:
            noun = _noun(parts, root)
            _resolve(noun, keys, root)
        except (_Lost, CatalogError, IndexError):
            continue
        item = _field(noun, keys[0])
        return ".".join((root, keys[0] if item is None else item.key, *_spelled(noun, keys)))
    return path


def _spelled(noun: Noun, keys: list[str]) -> list[str]:
    """The keys behind the first one, names of entries as they are."""
    item = _field(noun, keys[0])
    if item is None or len(keys) == 1:
        return keys[1:]
    value, rest, name = getattr(noun, item.name), keys[1:], []
    if not isinstance(value, Noun):
        entry, rest = _entry(_members(value) or {}, rest)
        name, value = [entry], (_members(value) or {}).get(entry)
    if not rest or not isinstance(value, Noun):
        return [*name, *rest]
    inner = _field(value, rest[0])
    return [*name, rest[0] if inner is None else inner.key, *_spelled(value, rest)]


def _leaf_field(noun: Noun, keys: list[str]) -> Field | None:
    """The field at the end of a path; that of a mapping of numbers for its entries."""
    item = _field(noun, keys[0])
    if item is None or len(keys) == 1:
        return item
    value = getattr(noun, item.name)
    if isinstance(value, Noun):
        return _leaf_field(value, keys[1:])
    if item.kind == "numbers":
        return item
    name, rest = _entry(cast("dict[str, Any]", _members(value)), keys[1:])
    member = cast("dict[str, Any]", _members(value))[name]
    return _leaf_field(member, rest) if rest and isinstance(member, Noun) else None


#: Numbers that stand for a structure: another value is another shape of the computation.
_STRUCTURE = ("corner", "tp", "pp", "dp", "ep", "year")


def _broadcasts(root: str, item: Field) -> bool:
    if root == "model" or item.name in _STRUCTURE:
        return False
    kinds = ("quantity", "ratio", "numbers") if root in _FIRST else ("quantity", "ratio", "count")
    return item.kind in kinds


def put(parts: Mapping[str, Noun], root: str, keys: list[str], value: Any) -> dict[str, Noun]:
    """`parts` with a value, already checked and perhaps an array, at the end of a path of numbers."""
    new = _put(_noun(parts, root), keys, value)
    if root == "chip":
        return {**parts, "platform": _with_chip(cast(Any, parts["platform"]), cast(Any, new))}
    return {**parts, root: new}


def _put(noun: Noun, keys: list[str], value: Any) -> Noun:
    item = cast(Field, _field(noun, keys[0]))
    if len(keys) == 1:
        return noun.replace(**{item.name: value})
    current = getattr(noun, item.name)
    if isinstance(current, Noun):
        return noun.replace(**{item.name: _put(current, keys[1:], value)})
    members = cast("dict[str, Any]", _members(current))
    name, rest = _entry(members, keys[1:])
    if item.kind == "numbers":
        name = check.number_key(item, name, "")
    members[name] = _put(members[name], rest, value) if rest else value
    return noun.replace(**{item.name: tuple(members.values()) if isinstance(current, tuple) else members})


def get(parts: Mapping[str, Noun], root: str, keys: list[str]) -> Any:
    """The value at the end of a path of numbers."""
    noun: Any = _noun(parts, root)
    while True:
        item = cast(Field, _field(noun, keys[0]))
        value, keys = getattr(noun, item.name), keys[1:]
        if not keys:
            return value
        if not isinstance(value, Noun):
            name, keys = _entry(cast("dict[str, Any]", _members(value)), keys)
            value = value[name] if isinstance(value, Mapping) else _members(value)[name]  # type: ignore[index]
            if not keys:
                return value
        noun = value


def _candidates(parts: Mapping[str, Noun]) -> list[str]:
    return [root for root in ROOTS if root in parts or (root == "chip" and "platform" in parts)]


def _set_first(
    parts: Mapping[str, Noun], roots: list[str], keys: list[str], path: str, text: str
) -> dict[str, Noun]:
    """Set it in the first root that has it; chip and platform go before the others."""
    where = f"--set {path}={text}"
    owners, lost = [], []
    for root in roots:
        try:
            _resolve(_noun(parts, root), keys, root if len(roots) == 1 else "")
        except _Lost as error:
            lost.append((root, error))
        else:
            owners.append(root)
    if not owners:
        raise _nowhere(parts, lost, keys, where)
    if len(owners) > 1 and owners[0] not in _FIRST:
        cure = "write " + " or ".join(f"{root}.{'.'.join(keys)}" for root in owners)
        raise CatalogError("several things have this field", where=where, cure=cure)
    return _replaced(parts, owners[0], keys, text, where)


def _replaced(
    parts: Mapping[str, Noun], root: str, keys: list[str], text: str, where: str
) -> dict[str, Noun]:
    old = _noun(parts, root)
    new, canonical = _set(old, keys, "", text, where)
    if "sources" in new.fields:
        new = new.replace(sources={**cast(Any, old).sources, canonical: _USER})
    if root == "chip":
        return {**parts, "platform": _with_chip(cast(Any, parts["platform"]), cast(Any, new))}
    return {**parts, root: new}


def _with_chip(platform: Platform, chip: Chip) -> Platform:
    """The platform with a changed chip; power or rent set for it is not hidden by the platform's own."""
    hidden = ("power_w", "price_usd_per_hour")
    own = {name: None for name in hidden if getattr(chip, name) is not getattr(platform.chip, name)}
    return platform.replace(chip=chip, **own)


def _noun(parts: Mapping[str, Noun], root: str) -> Noun:
    if root == "chip" and "platform" in parts:
        return cast(Noun, cast(Any, parts["platform"]).chip)
    if root not in parts:
        raise CatalogError(f"there is no {root} here", where=f"--set {root}", cure=_known(_candidates(parts)))
    return parts[root]


def _nowhere(
    parts: Mapping[str, Noun], lost: list[tuple[str, _Lost]], keys: list[str], where: str
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
        cure.append(_known(known))
    if not error.why:
        name = getattr(_noun(parts, best[0][0]), "name", "NAME") if len(best) == 1 else "NAME"
        cure.append(f"`genz show {name}` lists the paths")
    return CatalogError(
        f"there is no {error.key!r}{inside}", where=where, cure="; ".join(cure).replace("?;", "?")
    )


# --- what may have been meant ---

_MOST_SUGGESTED = 6


def _likely(parts: Mapping[str, Noun], roots: list[str], keys: list[str]) -> list[str]:
    """Whole paths that end in these keys; else that have their words, in their order; else in a near key."""
    paths = [path for root in roots for path in _paths(_noun(parts, root), _prefix(root))]
    found = [path for path in paths if path.endswith("." + ".".join(keys))]
    found += [path for path in paths if path not in found and _in_order(keys, path)]
    if not found and len(keys) == 1:
        ends = {path.rpartition(".")[2] for path in paths}
        found = [path for end in nearest(keys[0], ends) for path in paths if path.rpartition(".")[2] == end]
    return list(dict.fromkeys(found))[:_MOST_SUGGESTED]


def _prefix(root: str) -> str:
    return "" if root in _FIRST else root


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
    for key in _keys(noun):
        item = _field(noun, key)
        if (
            item is None
            or isinstance(getattr(noun, item.name), Chip)
            or (isinstance(noun, Model) and item.name == "blocks" and len(noun.blocks) == 1)
        ):
            continue
        value, place = getattr(noun, item.name), join(path, key)
        members = {"": value} if isinstance(value, Noun) else _members(value)
        if members is None:
            found += [place] if item.kind not in ("noun", "texts", "other") else []
            continue
        for name, member in members.items():
            inner = join(place, name) if name else place
            found += _paths(member, inner) if isinstance(member, Noun) else [inner]
    return found


def _known(keys: list[str]) -> str:
    return f"known: {', '.join(keys)}"


# --- walking ---


def _keys(noun: Noun) -> list[str]:
    """What may follow a noun in a path."""
    if isinstance(noun, Model):
        own = [f.key for f in noun.fields.values() if f.name not in _FIXED] + ["layers"]
        only = _keys(next(iter(noun.blocks.values()))) if len(noun.blocks) == 1 else []
        return own + only
    keys = [f.key for f in noun.fields.values() if f.name not in _FIXED and f.name not in _union_names(noun)]
    return keys + [key for name in _union_names(noun) if (key := _union_key(noun, name))]


def _union_names(noun: Noun) -> list[str]:
    return [name for owner, name in special.UNIONS if owner is type(noun)]


def _union_key(noun: Noun, name: str) -> str | None:
    """The key under which a union's present value is written: mlp or moe."""
    words = special.UNIONS[type(noun), name]
    value = getattr(noun, name)
    return next((key for key, cls in words.items() if type(value) is cls), None)


def _field(noun: Noun, key: str) -> Field | None:
    """The field that a key names: as in YAML, as in Python, or as one arm of a union."""
    for item in noun.fields.values():
        if item.name in _FIXED:
            continue
        if item.name in _union_names(noun):
            if key == _union_key(noun, item.name):
                return item
        elif key in (item.key, item.name):
            return item
    return None


def _inner(noun: Noun, keys: list[str]) -> list[str]:
    """The keys, with the only block of a model put in where it was left out."""
    if isinstance(noun, Model) and len(noun.blocks) == 1 and keys[0] != "layers":
        block = next(iter(noun.blocks))
        if _field(noun, keys[0]) is None and _field(noun.blocks[block], keys[0]) is not None:
            return ["blocks", block, *keys]
    return keys


def _resolve(noun: Noun, keys: list[str], done: str) -> None:
    """Follow the path to its end; _Lost where it leads nowhere. Says nothing about the value."""
    keys = _inner(noun, keys)
    if isinstance(noun, Model) and keys == ["layers"]:
        return
    item = _field(noun, keys[0])
    if item is None:
        raise _Lost(done, keys[0], _keys(noun))
    value, rest, done = getattr(noun, item.name), keys[1:], join(done, keys[0])
    members = _members(value)
    if not rest:
        return
    if isinstance(value, Noun):
        return _resolve(value, rest, done)
    if members is None:
        raise _Lost(done, rest[0], [], "it is not set" if value is None else "it is one value")
    name, rest = _entry(members, rest)
    if name not in members:
        if not rest and _may_add(item):
            return
        raise _Lost(done, name, list(members))
    if rest and not isinstance(members[name], Noun):
        raise _Lost(join(done, name), rest[0], [], "it is one value")
    if rest:
        _resolve(members[name], rest, join(done, name))


def _members(value: Any) -> dict[str, Any] | None:
    """The named members of a mapping, of levels, or of objectives."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple) and all(isinstance(member, Level) for member in value):
        return {member.name: member for member in value}
    if isinstance(value, tuple) and all(isinstance(member, Slo) for member in value):
        return {member.metric: member.limit for member in value}
    return None


def _entry(members: Mapping[str, Any], keys: list[str]) -> tuple[str, list[str]]:
    """The longest run of keys that names a member (operators have names such as gemm.prefill)."""
    for end in range(len(keys), 0, -1):
        if (name := ".".join(keys[:end])) in members:
            return name, keys[end:]
    return keys[0], keys[1:]


def _may_add(item: Field) -> bool:
    return item.name in ("peaks", "slo")


# --- setting ---


def _set(noun: Noun, keys: list[str], path: str, text: str, where: str) -> tuple[Noun, str]:
    """The noun with one field changed, and the canonical path of that field."""
    keys = _inner(noun, keys)
    new: Noun
    if isinstance(noun, Model) and keys == ["layers"]:
        new, place = _layers(noun, text, where), join(path, "layers")
    else:
        item = cast(Field, _field(noun, keys[0]))
        key = keys[0] if item.name in _union_names(noun) else item.key
        value, place = _value(noun, item, keys[1:], join(path, key), text, where)
        new = noun.replace(**{item.name: value})
    check.consistent(new, where)
    return new, place


def _value(noun: Noun, item: Field, keys: list[str], path: str, text: str, where: str) -> tuple[Any, str]:
    current = getattr(noun, item.name)
    if isinstance(noun, Precision):
        return check.format_name(text, where), path
    if not keys:
        return _leaf(item, current, text, where), path
    if isinstance(current, Precision):
        new, place = _set(current, keys, path, text, where)
        explicit = current.explicit_compute or (isinstance(noun, Plan) and keys[0] == "compute")
        return new.replace(explicit_compute=explicit), place
    if isinstance(current, Noun):
        return _set(current, keys, path, text, where)
    return _member(noun, item, current, keys, path, text, where)


def _member(
    noun: Noun, item: Field, current: Any, keys: list[str], path: str, text: str, where: str
) -> tuple[Any, str]:
    """A member of a mapping or a tuple, changed in its place."""
    members = cast("dict[str, Any]", _members(current))
    name, rest = _entry(members, keys)
    place = join(path, name)
    if isinstance(noun, UseCase):
        return _objective(noun, name, text, where), place
    if rest:
        members[name], place = _set(members[name], rest, place, text, where)
    elif item.kind == "numbers":
        name = check.number_key(item, name, where)
        members[name] = check.number(text, item, where, members.get(name), change=True)
        place = join(path, name)
    else:
        cure = _known(_keys(members[name]))
        raise CatalogError(f"{place} is not one value", where=where, cure=cure)
    return (tuple(members.values()) if isinstance(current, tuple) else members), place


def _leaf(item: Field, current: Any, text: str, where: str) -> Any:
    """The value of a field that holds one word or number."""
    if item.default is None and text.strip().lower() in ("none", "null"):
        return None
    if item.kind in ("quantity", "count", "ratio"):
        return check.number(text, item, where, current, change=True)
    if item.kind in ("flag", "choice", "text"):
        return check.word(text.strip(), item, where)
    if isinstance(current, Precision):
        return check.precision(text, where)
    if isinstance(current, Noun):
        raise CatalogError(f"{item.key} is not one value", where=where, cure=_known(_keys(current)))
    known = list(_members(current) or ())
    cure = f"name a member: {', '.join(known)}" if known else "it has no members to set"
    raise CatalogError(f"{item.key} is not one value", where=where, cure=cure)


def _layers(model: Model, text: str, where: str) -> Model:
    if len(model.stack) != 1:
        cure = "change it in the model's file, under `layers`"
        raise CatalogError("the layers of this model are of several kinds", where=where, cure=cure)
    name, repeat = model.stack[0]
    return model.replace(stack=((name, int(check.number(text, special.REPEAT, where, repeat, change=True))),))


def _objective(usecase: UseCase, metric: str, text: str, where: str) -> tuple[Slo, ...]:
    name = metric_name(metric, where)
    old = next((slo.limit for slo in usecase.slo if slo.metric == name), None)
    new = Slo(metric=name, limit=limit(name, text, where, cast("float | None", old)))
    if old is None:
        return (*usecase.slo, new)
    return tuple(new if slo.metric == name else slo for slo in usecase.slo)
