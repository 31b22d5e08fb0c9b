"""Scenario files: the words of `run` in YAML, one scenario or a list that shares what stands beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from genzcli.catalog import check
from genzcli.catalog.document import Node, join, parse, read
from genzcli.cli.request import Request, Text
from genzcli.errors import CatalogError, GenzError

#: Other spellings of a word, as the JSON contract has them.
_SAME = {"input_tokens": "input", "output_tokens": "output"}
_SPECIAL = ("places",)
_PATHS = ("model", "hardware", "usecase", "stack")
_TENSORS = ("weights", "experts", "kv", "activations", "compute")
WORDS = tuple(word for word in Request._fields if word not in _SPECIAL)
_KNOWN = [*WORDS, *_SAME, "scenarios"]


class Entry:
    """The keys of one scenario: its own over the shared ones."""

    def __init__(self, node: Node, shared: Mapping[str, tuple[Node, str]], path: str) -> None:
        self.node = node
        self.found = dict(shared)
        seen: dict[str, str] = {}
        for key, value in node.mapping(path).items():
            if key not in _KNOWN:
                check.unknown_key(node, key, path, _KNOWN)
            word = _SAME.get(key, key)
            if word in seen:
                where = node.key_where(key, join(path, key))
                raise CatalogError(f"{key!r} and {seen[word]!r} are the same", where=where, cure="keep one")
            seen[word] = key
            if word != "scenarios":
                self.found[word] = (value, join(path, key))


def read_file(path: str, catalogs: tuple[str, ...] = ()) -> Iterator[Request | GenzError]:
    """The scenarios of one file, `-` for stdin; a bad one comes as its error."""
    try:
        root = parse(_stdin(), "stdin") if path == "-" else read(path)
        shared, members = _members(root)
    except GenzError as error:
        yield error
        return
    folder = "" if path == "-" else os.path.dirname(path)
    for position, member in enumerate(members):
        try:
            place = f"scenarios[{position + 1}]" if member is not root else ""
            entry = Entry(member, shared.found if member is not root else {}, place)
            yield _request(entry, shared if member is not root else None, folder, catalogs)
        except GenzError as error:
            yield error


def _stdin() -> str:
    import sys

    raw = sys.stdin.buffer.read(1 << 20) if hasattr(sys.stdin, "buffer") else sys.stdin.read().encode()
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
            where = member.key_where("scenarios", f"scenarios[{position + 1}]")
            raise CatalogError("a scenario holds scenarios", where=where, cure="write one flat list")
    return shared, members


def _request(entry: Entry, shared: Entry | None, folder: str, catalogs: tuple[str, ...]) -> Request:
    words: dict[str, str] = {}
    for word in ("model", "hardware"):
        if word not in entry.found:
            raise CatalogError(f"{word!r} is missing", where=entry.node.where(), cure=f"add `{word}: NAME`")
    places = {word: node.where(path) for word, (node, path) in entry.found.items()}
    for word, (node, path) in entry.found.items():
        if word in ("slo", "set", "catalog"):
            continue
        words[word] = _precision(node, path) if word == "precision" else node.text(path)
        if word in _PATHS:
            words[word] = _beside(words[word], folder)
    own = entry.found.get("catalog")
    folders = tuple(_beside(text, folder) for text, _ in _listed(*own)) if own else ()
    return Request(
        **words,
        slo=_objectives(entry, shared),
        set=_edits(entry, shared),
        catalog=(*catalogs, *folders),
        places=places,
    )


def _beside(name: str, folder: str) -> str:
    """A path is taken from the scenario file's folder; a catalog name stays."""
    beside = os.path.join(folder, name)
    is_path = name.endswith((".yaml", ".yml", ".json")) or os.sep in name
    return beside if folder and is_path and os.path.exists(beside) else name


def _precision(node: Node, path: str) -> str:
    """One word, or a mapping of tensors."""
    if node.entries is None:
        return node.text(path)
    for key in node.entries:
        if key not in _TENSORS:
            check.unknown_key(node, key, path, list(_TENSORS))
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


def _edits(entry: Entry, shared: Entry | None) -> tuple[Text, ...]:
    """`set:` as a mapping of path to value, or as a list of PATH=VALUE where one path changes twice."""
    found: list[Text] = []
    for node, path in _tables(entry, shared, "set"):
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
