"""Names on one command line that mean the same file of the catalogs: one thing, asked for once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from genzcli.catalog import find
from genzcli.errors import GenzError, PlanError

#: Words whose values are names in a catalog, and where these are looked up.
_KINDS = {
    "model": ("models",),
    "draft": ("models",),
    "hardware": find.HARDWARE,
    "draft_hardware": find.HARDWARE,
    "usecase": ("usecases",),
}


def refuse_synonyms(word: str, names: Iterable[str], folders: Sequence[str], where: str, cure: str) -> None:
    """A PlanError where two names stand for one thing. What no name stands for is not judged here."""
    kinds = _KINDS.get(word)
    if kinds is None:
        return
    roots, seen = find.roots(folders), dict[str, str]()
    for name in names:
        key = _path(roots, kinds, name) or name
        if key in seen:
            raise PlanError(_said(seen[key], name, find.stem(key)), where=where, cure=cure)
        seen[key] = name


def _said(first: str, name: str, meant: str) -> str:
    if first == name:
        return f"{name} is given twice"
    return f"{first} and {name} are the same{'' if meant in (first, name) else f', {meant}'}"


def _path(roots: Sequence[find.Root], kinds: Sequence[str], name: str) -> str:
    """The file that a name means; empty where there is none."""
    try:
        return os.path.realpath(find.path_of(name) or find.find(roots, kinds, name).path)
    except GenzError:
        return ""
