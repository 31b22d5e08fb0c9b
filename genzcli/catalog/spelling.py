"""What a name means that no file or alias has: other spellings of one entry, and what to say of the rest.

Imported only when a name was not found.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from genzcli.catalog.find import FOLDERS, HARDWARE, Entry, Root, by_alias, by_name, entries, fold
from genzcli.errors import CatalogError, nearest

#: What a repository of quantised weights has in its name, and `--precision` for it.
_STORED = {
    "fp8": "fp8",
    "int8": "w8a16",
    "8bit": "w8a16",
    "w8a16": "w8a16",
    "int4": "w4a16",
    "4bit": "w4a16",
    "w4a16": "w4a16",
    "awq": "awq",
    "gptq": "gptq",
    "mxfp4": "mxfp4",
    "nvfp4": "fp4",
    "fp4": "fp4",
    "gguf": "q4_k_m",
}
_JOINT = re.compile(r"(?<!\d)-|-(?!\d)")


def squeezed(name: str) -> str:
    """A spelling without organisation, case and punctuation, but for what parts two numbers.

    `meta-llama/Llama-3.1-70B`, `llama3.1:70b` and `llama-3.1-70b` are `llama3.1-70b`.
    """
    return _JOINT.sub("", fold(name.rpartition("/")[2]).replace(":", "-"))


def meant(search: Sequence[Root], kinds: Sequence[str], name: str) -> Entry | None:
    """The one entry spelt a little differently, its maker's name perhaps in front; None if none or two."""
    found = _alike(search, kinds, name)
    if found is not None or kinds == ("models",):
        return found
    maker, _, rest = fold(name).replace("/", "-").partition("-")
    found = next(by_name(search, kinds, rest), None) or by_alias(search, kinds, rest) if rest else None
    found = found or (_alike(search, kinds, rest) if rest else None)
    return found if found is not None and fold(_maker(search, found)).startswith(maker) else None


def _alike(search: Sequence[Root], kinds: Sequence[str], name: str) -> Entry | None:
    """The only entry of the first root that has any with a name or an alias of the same letters."""
    if not any(letter.isdigit() for letter in name):  # without a size or a version: a family
        return None
    for root in search:
        found = [
            entry
            for kind in kinds
            for path in root.files(kind)
            for entry in [Entry(kind, path, root.origin)]
            if any(_same(name, known, kind) for known in (entry.name, *entry.aliases))
        ]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _same(name: str, known: str, kind: str) -> bool:
    """Whether two spellings are of one thing; words of hardware may change places: A100-80GB-SXM."""
    if squeezed(name) == squeezed(known):
        return True
    return kind != "models" and sorted(fold(name).split("-")) == sorted(fold(known).split("-"))


def _maker(search: Sequence[Root], entry: Entry) -> str:
    """The vendor of a chip, or of a platform's chips."""
    try:
        keys = entry.node.mapping("")
    except CatalogError:
        return ""
    if entry.kind != "platforms":
        return (keys["vendor"].word or "") if "vendor" in keys else ""
    chip = keys["chip"].word if "chip" in keys else None
    chips = next(by_name(search, ("chips",), chip), None) if chip else None
    return "" if chips is None else _maker(search, chips)


# --- what to say of a name that means nothing ---


def cure(search: Sequence[Root], kinds: Sequence[str], name: str) -> str:
    """What the user may have wanted: an entry of another kind, other weights of a model, or the nearest."""
    what = "hardware" if len(kinds) > 1 else kinds[0]
    other = _elsewhere(search, kinds, name)
    if other is not None:
        swapped = {other.kind, *kinds} >= {"models"} and {other.kind, *kinds} & {*HARDWARE}
        order = ", the model comes first, then the hardware" if swapped else ""
        return f"that is a {singular(other.kind)}{order}; see `genz list {what}`"
    stored = _stored_otherwise(search, name) if kinds == ("models",) else ""
    return f"{stored or near(search, kinds, name)}see `genz list {what}`"


def singular(kind: str) -> str:
    """What one entry of a kind is called."""
    return {"usecases": "use case", "hardware": "chip or platform"}.get(kind, kind[:-1])


def _elsewhere(search: Sequence[Root], kinds: Sequence[str], name: str) -> Entry | None:
    """The entry of another kind that has this name."""
    others = [kind for kind in FOLDERS if kind not in kinds and kind != "profiles"]
    found = (next(by_name(search, (kind,), name), None) or _alike(search, (kind,), name) for kind in others)
    return next((entry for entry in found if entry is not None), None)


def _stored_otherwise(search: Sequence[Root], name: str) -> str:
    """The model whose quantised weights are named, with the words that ask for them."""
    words = fold(name.rpartition("/")[2]).split("-")
    formats = [word for word in words if word in _STORED]
    first = words.index(formats[0]) if formats else 0
    for last in range(first, 0, -1):  # what stands before the format, less the tool's name
        base = _alike(search, ("models",), "-".join(words[:last]))
        if base is not None:
            return f"its weights in another format? write {base.name} --precision {_STORED[formats[0]]}; "
    return ""


def near(search: Sequence[Root], kinds: Sequence[str], name: str) -> str:
    """The nearest entries, each once."""
    known = dict(_spellings(search, kinds))
    found: dict[str, str] = {}  # entry to its nearest spelling
    for word in nearest(fold(name.rpartition("/")[2]), known, 9):
        found.setdefault(known[word], word)
    return f"did you mean {', '.join(list(found.values())[:3])}? " if found else ""


def _spellings(search: Sequence[Root], kinds: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every spelling with the entry that it stands for; an entry's own name wins."""
    listed = [entry for kind in kinds for entry in entries(search, kind)]
    for entry in listed:
        for alias in entry.aliases:
            yield fold(os.path.basename(alias)), entry.name
    yield from ((fold(entry.name), entry.name) for entry in listed)
