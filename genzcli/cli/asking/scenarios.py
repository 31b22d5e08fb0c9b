"""Scenario files: the words of `run` in YAML, one scenario or a list that shares what stands beside it.

With `over:`, a mapping of words to values, one scenario is a sweep.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple, NoReturn

from genzcli.catalog import check
from genzcli.catalog.document import Node, join, parse
from genzcli.catalog.find import is_catalog
from genzcli.catalog.read import read
from genzcli.cli.asking.request import TENSORS, Request, Text
from genzcli.errors import CatalogError, GenzError, nearest

#: Other spellings of a word, as the JSON contract has them.
_SAME = {"input_tokens": "input", "output_tokens": "output"}
_SPECIAL = ("places",)
_PATHS = ("model", "hardware", "usecase", "stack", "draft", "draft_hardware")
WORDS = tuple(word for word in Request._fields if word not in _SPECIAL)
_KNOWN = [*WORDS, *_SAME, "scenarios", "over"]
#: The short flags, which a file does not have.
_SHORT = {"n": "chips", "b": "batch", "u": "usecase", "i": "input", "o": "output"}
#: Flags that say how to answer, not what.
_OUTPUT = ("format", "json", "csv", "markdown", "quiet", "explain", "save", "exit_zero")
_TABLES = ("slo", "set", "catalog", "precision", "scenarios", "over")
_LARGEST = 1 << 20  # bytes, as for a file
_TOP = "write `model: NAME` and `hardware: NAME` lines; a list stands under `scenarios:`"


class Entry:
    """The keys of one scenario: its own over the shared ones. `place` is empty, or `scenario 2`."""

    def __init__(self, node: Node, shared: Mapping[str, tuple[Node, str]], place: str) -> None:
        self.node = node
        self.found = dict(shared)
        seen: dict[str, str] = {}
        for key, value in node.mapping(place).items():
            where = node.key_where(key, _inside(place, key))
            if key not in _KNOWN:
                _refuse(node, key, where)
            word = _SAME.get(key, key)
            if word in seen:
                raise CatalogError(f"{key!r} and {seen[word]!r} are the same", where=where, cure="keep one")
            seen[word] = key
            if value.items is not None and word not in _TABLES:
                cure = "give one value; a scenario for each stands under `scenarios:`, a sweep under `over:`"
                raise CatalogError("holds a list", where=where, cure=cure)
            if word != "scenarios":
                self.found[word] = (value, _inside(place, key))


def _inside(place: str, key: str) -> str:
    return f"{place}: {key}" if place else key


def _refuse(node: Node, key: str, where: str) -> NoReturn:
    """Say what an unknown key should have been."""
    word = key.strip("-").replace("-", "_")
    if word in _OUTPUT:
        flag = f"--{word.replace('_', '-')}"
        cure = f"remove it, and give {flag} to the command"
        raise CatalogError(f"{key!r} belongs on the command line", where=where, cure=cure)
    meant = _SHORT.get(word, word)
    if meant in _KNOWN:
        raise CatalogError(f"unknown key {key!r}", where=where, cure=f"write it as `{meant}:`")
    near = ", ".join(nearest(key, _KNOWN))
    cure = f"did you mean {near}?" if near else "known are the long flags of `genz run`, with _ for -"
    raise CatalogError(f"unknown key {key!r}", where=where, cure=cure)


def is_scenario(path: str) -> bool:
    """Whether it is a scenario file, or stdin."""
    return path == "-" or bool(answered_by(path))


def answered_by(path: str) -> str:
    """The command for a scenario file, which names its hardware or what it is swept over; else empty."""
    if not path.endswith((".yaml", ".yml")) or not os.path.isfile(path):
        return ""
    entries = read(path).entries or {}
    if "over" in entries:
        return "sweep"
    return "check" if any(key in entries for key in ("hardware", "scenarios")) else ""


def read_file(path: str, catalogs: tuple[str, ...] = ()) -> Iterator[Request | GenzError]:
    """The scenarios of one file, `-` for stdin; a bad one comes as its error."""
    try:
        root = parse(_stdin(), "stdin", _TOP) if path == "-" else read(path, _TOP)
        shared, members = _members(root)
        _no_sweep(root, "")
    except GenzError as error:
        yield error
        return
    folder = "" if path == "-" else os.path.dirname(path)
    for position, member in enumerate(members):
        try:
            place = f"scenario {position + 1}" if member is not root else ""
            entry = Entry(member, shared.found if member is not root else {}, place)
            _no_sweep(member, place)
            yield _request(entry, shared if member is not root else None, folder, catalogs)
        except GenzError as error:
            yield error


def _no_sweep(node: Node, place: str) -> None:
    if "over" in (node.entries or {}):
        where = node.key_where("over", _inside(place, "over"))
        cure = "run it with `genz sweep FILE`, or give one value of each word in place of `over:`"
        raise CatalogError("describes a sweep, not a scenario", where=where, cure=cure)


class Ranges(NamedTuple):
    """A word or path of `over:`, and its values as written."""

    word: str
    values: tuple[str, ...]
    is_list: bool
    where: str


def read_sweep(path: str, catalogs: tuple[str, ...] = ()) -> tuple[Request, tuple[Ranges, ...]]:
    """The one scenario of a file with what it is swept over; model and hardware may be swept alone."""
    root = parse(_stdin(), "stdin", _TOP) if path == "-" else read(path, _TOP)
    entry = Entry(root, {}, "")
    if "scenarios" in (root.entries or {}):
        cure = "keep one scenario with `over:`, or use `genz check` or `genz compare`"
        raise CatalogError("a list is not swept", where=root.key_where("scenarios", "scenarios"), cure=cure)
    folder = "" if path == "-" else os.path.dirname(path)
    over = _ranges(*entry.found["over"], folder) if "over" in entry.found else ()
    first = {item.word: item for item in over}
    for word, item in first.items():
        if word in entry.found:
            raise CatalogError(f"{word} is swept and given", where=item.where, cure="keep one")
    spare = {word: item.values[0] for word, item in first.items() if word in ("model", "hardware")}
    return _request(entry, None, folder, catalogs, spare), over


def _ranges(node: Node, path: str, folder: str) -> tuple[Ranges, ...]:
    found = []
    for key, value in node.mapping(path).items():
        where = node.key_where(key, join(path, key))
        members = [value] if value.items is None else value.sequence(join(path, key))
        texts = tuple(member.text(join(path, key)) for member in members)
        if key in _PATHS:
            texts = tuple(_beside(text, folder) for text in texts)
        found.append(Ranges(_SAME.get(key, key), texts, value.items is not None, where))
    if not found:
        cure = "name a word with its values, as `batch: 1..64` or `tp: [1, 2, 4]`"
        raise CatalogError("sweeps nothing", where=node.where(path), cure=cure)
    return tuple(found)


def _stdin() -> str:
    """What is piped in, whole, or the reason why it is not read."""
    import sys

    if sys.stdin is None:
        raise CatalogError("is closed", where="stdin", cure="pipe YAML text into it, or name a file")
    buffer = getattr(sys.stdin, "buffer", None)
    raw = sys.stdin.read().encode() if buffer is None else buffer.read(_LARGEST + 1)
    if len(raw) > _LARGEST:
        cure = "split it into several files"
        raise CatalogError(f"is larger than {_LARGEST >> 20} MiB", where="stdin", cure=cure)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CatalogError("is not UTF-8", where="stdin", cure="pipe YAML text into it") from None
    if "\0" in text:
        raise CatalogError("is binary", where="stdin", cure="pipe YAML text into it")
    return text


def _members(root: Node) -> tuple[Entry, list[Node]]:
    """What is shared, and the scenarios: the file itself where it has no list."""
    shared = Entry(root, {}, "")
    listed = root.mapping("").get("scenarios")
    if listed is None:
        return shared, [root]
    members = listed.sequence("scenarios")
    if not members:
        cure = "list at least one, as - {name: small, batch: 1}"
        raise CatalogError("holds no scenario", where=listed.where("scenarios"), cure=cure)
    for position, member in enumerate(members):
        if "scenarios" in (member.entries or {}):
            where = member.key_where("scenarios", f"scenario {position + 1}")
            raise CatalogError("a scenario holds scenarios", where=where, cure="write one flat list")
    return shared, members


def _request(
    entry: Entry,
    shared: Entry | None,
    folder: str,
    catalogs: tuple[str, ...],
    spare: Mapping[str, str] | None = None,
) -> Request:
    """The words of a scenario; `spare` has those that a sweep fills in."""
    words: dict[str, str] = dict(spare or {})
    for word in ("model", "hardware"):
        if word not in entry.found and word not in words:
            raise CatalogError(f"{word!r} is missing", where=entry.node.where(), cure=f"add `{word}: NAME`")
    places = {word: node.where(path) for word, (node, path) in entry.found.items()}
    for word, (node, path) in entry.found.items():
        if word in ("slo", "set", "place", "catalog", "over"):
            continue
        words[word] = _precision(node, path) if word == "precision" else node.text(path)
        if word in _PATHS:
            words[word] = _beside(words[word], folder)
    own = entry.found.get("catalog")
    folders = tuple(_folder(text, folder) for text, _ in _listed(*own)) if own else ()
    if folder and is_catalog(folder):
        folders = (*folders, folder)
    return Request(
        **words,
        slo=_objectives(entry, shared),
        set=_edits(entry, shared, "set"),
        place=_edits(entry, shared, "place"),
        catalog=(*catalogs, *folders),
        places=places,
    )


def _beside(name: str, folder: str) -> str:
    """A path is taken from the scenario file's folder; a catalog name stays."""
    beside = os.path.join(folder, name)
    is_path = name.endswith((".yaml", ".yml", ".json")) or os.sep in name
    return beside if folder and is_path and os.path.exists(beside) else name


def _folder(name: str, folder: str) -> str:
    """A catalog's folder, taken from that of the scenario file."""
    beside = os.path.join(folder, name)
    return beside if folder and os.path.isdir(beside) else name


def _precision(node: Node, path: str) -> str:
    """One word, or a mapping of tensors."""
    if node.entries is None:
        return node.text(path)
    for key in node.entries:
        if key not in TENSORS:
            check.unknown_key(node, key, path, list(TENSORS))
    return ",".join(f"{key}={item.text(join(path, key))}" for key, item in node.entries.items())


def _tables(entry: Entry, shared: Entry | None, word: str) -> Iterator[tuple[Node, str]]:
    """The shared table, then the scenario's own."""
    both = [shared.found.get(word) if shared else None, entry.found.get(word)]
    distinct = both if both[0] is not both[1] else both[1:]
    yield from (item for item in distinct if item is not None)


def _objectives(entry: Entry, shared: Entry | None) -> tuple[Text, ...]:
    found = []
    for node, path in _tables(entry, shared, "slo"):
        for metric, limit in node.mapping(path).items():
            where = node.key_where(metric, join(path, metric))
            found.append(Text(f"{metric}={limit.text(join(path, metric))}", where))
    return tuple(found)


def _edits(entry: Entry, shared: Entry | None, word: str) -> tuple[Text, ...]:
    """`set:` as a mapping of path to value, or as a list of PATH=VALUE where one path changes twice."""
    found: list[Text] = []
    for node, path in _tables(entry, shared, word):
        if node.items is not None:
            found += _listed(node, path)
            continue
        for key, value in node.mapping(path).items():
            found.append(Text(f"{key}={value.text(join(path, key))}", node.key_where(key, path)))
    return tuple(found)


def _listed(node: Node, path: str) -> list[Text]:
    """The members of a list, or one word."""
    members = [node] if node.word is not None else node.sequence(path)
    return [Text(member.text(path), member.where(path)) for member in members]
