"""The kinds of measurement there are, and which one a header means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from genzcli.errors import GenzError
from genzcli.explore.validate.kind import Kind

#: Modules, each with a `KIND`; the first one whose columns are all there is taken.
_MODULES = (
    "genzcli.explore.validate.simulated",
    "genzcli.explore.validate.measured",
    "genzcli.explore.validate.systolic",
    "genzcli.explore.validate.endtoend",
)


def kinds() -> tuple[Kind, ...]:
    """Every kind of measurement."""
    from importlib import import_module

    return tuple(cast(Kind, import_module(name).KIND) for name in _MODULES)


def recognise(columns: Iterable[str]) -> Kind:
    """The kind of measurement that has these columns; an error with what is expected if there is none."""
    header = set(columns)
    known = kinds()
    for kind in known:
        if header >= set(kind.needs):
            return kind
    nearest = max(known, key=lambda kind: len(header & set(kind.needs)) / len(kind.needs))
    missing = [name for name in nearest.needs if name not in header]
    if len(missing) < len(nearest.needs):
        wanted = f"the columns of {nearest.name} lack {', '.join(missing)}"
        raise GenzError(wanted, cure=f"give {', '.join(nearest.needs)}")
    expected = "; ".join(f"{kind.name}: {', '.join(kind.needs)}" for kind in known)
    raise GenzError("the columns are those of no known measurement", cure=f"expected are {expected}")
