"""`--set`: one field changed by its path, and marked as the user's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from genzcli.catalog import check, special
from genzcli.catalog.document import join
from genzcli.catalog.path.meant import nowhere
from genzcli.catalog.path.walk import (
    FIRST,
    ROOTS,
    Lost,
    begun,
    candidates,
    entry_of,
    field_of,
    follow,
    keys_of,
    known_keys,
    members_of,
    noun_of,
    spelled_out,
    union_names,
    with_chip,
)
from genzcli.errors import CatalogError
from genzcli.spec.dtype import Precision
from genzcli.spec.metric import limit, metric_name
from genzcli.spec.model import Model
from genzcli.spec.noun import Field, Noun
from genzcli.spec.source import Source
from genzcli.spec.workload import Plan, Slo, UseCase

_USER = Source(kind="assumed", reference="set by the user")


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
    roots = [root] if root else candidates(parts)
    keys = keys[1:] if root else keys
    if root == "platform" and keys[:1] == ["chip"]:
        root, keys, roots = "chip", keys[1:], ["chip"]
    if not keys:
        raise CatalogError(
            f"{root} is not one value", where=f"--set {path}", cure=known_keys(keys_of(noun_of(parts, root)))
        )
    return _set_first(parts, roots, keys, path, text)


def _set_first(
    parts: Mapping[str, Noun], roots: list[str], keys: list[str], path: str, text: str
) -> dict[str, Noun]:
    """Set it in the first root that has it; chip and platform go before the others."""
    where = f"--set {path}={text}"
    owners, lost = [], []
    for root in roots:
        try:
            follow(noun_of(parts, root), keys, root if len(roots) == 1 else "")
        except Lost as error:
            lost.append((root, error))
        else:
            owners.append(root)
    if not owners:
        raise nowhere(parts, lost, keys, where)
    if len(owners) > 1 and owners[0] not in FIRST:
        cure = "write " + " or ".join(f"{root}.{'.'.join(keys)}" for root in owners)
        raise CatalogError("several things have this field", where=where, cure=cure)
    return _replaced(parts, owners[0], keys, text, where)


def _replaced(
    parts: Mapping[str, Noun], root: str, keys: list[str], text: str, where: str
) -> dict[str, Noun]:
    old = noun_of(parts, root)
    new, canonical = _set(old, keys, "", text, where)
    if "sources" in new.fields:
        new = new.replace(sources={**cast(Any, old).sources, canonical: _USER})
    if root == "chip":
        return {**parts, "platform": with_chip(cast(Any, parts["platform"]), cast(Any, new))}
    return {**parts, root: new}


def _set(noun: Noun, keys: list[str], path: str, text: str, where: str) -> tuple[Noun, str]:
    """The noun with one field changed, and the canonical path of that field."""
    keys = spelled_out(noun, keys)
    new: Noun
    if isinstance(noun, Model) and keys == ["layers"]:
        new, place = _layers(noun, text, where), join(path, "layers")
    else:
        item = cast(Field, field_of(noun, keys[0]))
        key = keys[0] if item.name in union_names(noun) else item.key
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
    made = begun(item, keys) if current is None else None
    if made is not None:
        whole, number = made
        return whole(**{number.name: _leaf(number, None, text, where)}), join(path, number.key)
    return _member(noun, item, current, keys, path, text, where)


def _member(
    noun: Noun, item: Field, current: Any, keys: list[str], path: str, text: str, where: str
) -> tuple[Any, str]:
    """A member of a mapping or a tuple, changed in its place."""
    members = cast("dict[str, Any]", members_of(current))
    name, rest = entry_of(members, keys)
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
        cure = known_keys(keys_of(members[name]))
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
        raise CatalogError(f"{item.key} is not one value", where=where, cure=known_keys(keys_of(current)))
    known = list(members_of(current) or ())
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
