"""Text to a tree of nodes that know their line. The only room that imports yaml.

Works on the parser's events and not on its composer: libyaml's composer recurses in C, so that
100 000 open brackets end the process instead of raising; and scalars stay the words that were
written, so that `no` is not False and `1e12` is a number.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from genzcli.errors import CatalogError

DEEPEST = 40
LARGEST_BYTES = 1 << 20
_NULLS = ("", "~", "null", "Null", "NULL")


class Node:
    """A scalar, a list or a mapping, and where it stands."""

    __slots__ = ("file", "line", "lines", "plain", "value")

    def __init__(
        self, value: str | list[Node] | dict[str, Node], file: str, line: int, plain: bool = False
    ) -> None:
        self.value, self.file, self.line, self.plain = value, file, line, plain
        self.lines: dict[str, int] = {}  # of the keys of a mapping

    @property
    def is_null(self) -> bool:
        return self.plain and self.value in _NULLS

    @property
    def word(self) -> str | None:
        """The text of a scalar, None for anything else."""
        return self.value if isinstance(self.value, str) else None

    @property
    def items(self) -> list[Node] | None:
        """The members of a list, None for anything else."""
        return self.value if isinstance(self.value, list) else None

    @property
    def entries(self) -> dict[str, Node] | None:
        """The entries of a mapping, None for anything else."""
        return self.value if isinstance(self.value, dict) else None

    @property
    def kind(self) -> str:
        """What a reader would call it."""
        if isinstance(self.value, str):
            return (
                "nothing"
                if self.is_null
                else repr(self.value if len(self.value) <= 40 else self.value[:37] + "…")
            )
        return "a list" if isinstance(self.value, list) else "a mapping"

    def mapping(self, path: str) -> dict[str, Node]:
        """The entries, or an error that says what stands there instead."""
        if self.entries is None:
            cure = "write `key: value` lines"
            raise CatalogError(f"holds {self.kind}, not a mapping", where=self.where(path), cure=cure)
        return self.entries

    def sequence(self, path: str) -> list[Node]:
        """The members, or an error that says what stands there instead."""
        if self.items is None:
            raise CatalogError(f"holds {self.kind}, not a list", where=self.where(path), cure="write [a, b]")
        return self.items

    def text(self, path: str) -> str:
        """The word, or an error that says what stands there instead."""
        if self.word is None or self.is_null or not self.word.strip():
            kind = "no text" if self.word is not None else f"{self.kind}, not text"
            cure = "write a word, or text in quotes"
            raise CatalogError(f"holds {kind}", where=self.where(path), cure=cure)
        return self.word

    def only(self, keys: Iterable[str]) -> Node:
        """The same mapping with only some of its keys."""
        part = Node(
            {key: item for key, item in (self.entries or {}).items() if key in keys}, self.file, self.line
        )
        part.lines = self.lines
        return part

    def where(self, path: str = "") -> str:
        """The place, for an error: file, line and the path of the key."""
        place = f"{self.file}:{self.line}"
        return f"{place}: {path}" if path else place

    def key_where(self, key: str, path: str = "") -> str:
        """The place of one key of a mapping."""
        place = f"{self.file}:{self.lines.get(key, self.line)}"
        return f"{place}: {path}" if path else place


def join(path: str, key: str) -> str:
    """The path of a key inside the thing at `path`."""
    return f"{path}.{key}" if path else key


def shorten(path: str | os.PathLike[str]) -> str:
    """The path as errors print it: relative where that is shorter, and free of control characters."""
    text = os.fspath(path)
    try:
        relative = os.path.relpath(text)
    except ValueError:  # another drive, or a null byte
        relative = text
    best = min(text, relative, key=len)
    return best if best.isprintable() else repr(best)


def read_text(path: str | os.PathLike[str], shown: str, largest: int = LARGEST_BYTES) -> str:
    """The text of a file of at most `largest` bytes, as it stands there; `shown` is its name in errors."""
    try:
        if os.path.isdir(path):
            raise CatalogError("this is a directory", where=shown, cure="name a YAML file in it")
        if not os.path.exists(path):
            raise CatalogError(
                "there is no such file", where=shown, cure="check the path, or see `genz list`"
            )
        if not os.path.isfile(path):
            raise CatalogError("this is not a regular file", where=shown, cure="name a YAML file")
        with open(path, "rb") as file:
            raw = file.read(largest + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CatalogError(
            f"cannot be read ({reason})", where=shown, cure="check the path and its permissions"
        ) from None
    if len(raw) > largest:
        message = f"is larger than {largest >> 20} MiB"
        raise CatalogError(message, where=shown, cure="a catalog file is a page of YAML")
    return _decoded(raw, shown)


def _decoded(raw: bytes, shown: str) -> str:
    cure = "save it as UTF-8 text"
    if b"\0" in raw:
        raise CatalogError("is binary, or UTF-16", where=shown, cure=cure)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise CatalogError("is not UTF-8", where=f"{shown}:{line}", cure=cure) from None


def parse(text: str, file: str, cure: str = "start with `name: …`") -> Node:
    """The root mapping of YAML text; `cure` is for a text that holds something else."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        parser = loader(text)
    except yaml.YAMLError as error:  # a control character, found before the first event
        _syntax(error, text, file)
    try:
        root = _Tree(parser, file).document()
    except yaml.YAMLError as error:
        _syntax(error, text, file)
    finally:
        parser.dispose()
    if root is None or root.is_null:
        raise CatalogError("is empty", where=f"{file}:1", cure="write `name: …` and the rest of its keys")
    if root.entries is None:
        raise CatalogError(f"holds {root.kind}, not a mapping", where=root.where(), cure=cure)
    return root


def _syntax(error: Exception, text: str, file: str) -> NoReturn:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None)
    if mark is None:  # a reader error has a position and a reason, no mark
        position = getattr(error, "position", 0)
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) else 1
        problem = f"a character that YAML does not allow ({getattr(error, 'reason', 'control character')})"
    else:
        line = mark.line + 1
    message = " ".join(str(problem or "unreadable").split())
    cure = "check indentation, brackets and quotes on this line and the one before"
    raise CatalogError(f"is not valid YAML: {message}", where=f"{file}:{line}", cure=cure) from None


class _Tree:
    """Builds nodes from events; recursion is bounded by DEEPEST."""

    def __init__(self, parser: Any, file: str) -> None:
        self.parser, self.file = parser, file

    def document(self) -> Node | None:
        root: Node | None = None
        while (event := self.parser.get_event()) is not None:
            match type(event).__name__:
                case "DocumentStartEvent" if root is not None:
                    self.refuse(event, "holds a second document", "put it into a file of its own")
                case "StreamStartEvent" | "DocumentStartEvent" | "DocumentEndEvent" | "StreamEndEvent":
                    continue
                case _:
                    root = self.node(event, 1)
        return root

    def node(self, event: Any, depth: int) -> Node:
        kind = type(event).__name__
        if kind == "AliasEvent" or event.anchor is not None:
            mark = f"*{event.anchor}" if kind == "AliasEvent" else f"&{event.anchor}"
            self.refuse(event, f"uses the YAML reference {mark}", "write the value out")
        if event.tag is not None and event.tag != "!":
            self.refuse(event, f"uses the YAML tag {event.tag}", "remove the tag")
        if depth > DEEPEST:
            self.refuse(event, f"is nested deeper than {DEEPEST} levels", "flatten it")
        if kind == "ScalarEvent":
            return self.scalar(event)
        line = event.start_mark.line + 1
        if kind == "SequenceStartEvent":
            members = [self.node(item, depth + 1) for item in self.until("SequenceEndEvent")]
            return Node(members, self.file, line)
        return self.mapping(line, depth)

    def until(self, end: str) -> Iterator[Any]:
        while type(event := self.parser.get_event()).__name__ != end:
            yield event

    def scalar(self, event: Any) -> Node:
        text: str = event.value
        if not text.isprintable() and not text.replace("\n", "").replace("\t", "").isprintable():
            self.refuse(event, "holds a control character", "write plain text")
        plain = event.style in (None, "") and bool(event.implicit[0])
        return Node(text, self.file, event.start_mark.line + 1, plain)

    def mapping(self, line: int, depth: int) -> Node:
        entries: dict[str, Node] = {}
        node = Node(entries, self.file, line)
        for event in self.until("MappingEndEvent"):
            key = self.node(event, depth + 1)
            word = key.word
            if word is None:
                self.refuse(event, f"has {key.kind} as a key", "a key is a word")
            if word == "<<":
                self.refuse(event, "uses a YAML merge key", "write the keys out")
            if word in entries:
                first = node.lines[word]
                self.refuse(event, f"has the key {word!r} twice, first in line {first}", "keep one of them")
            entries[word] = self.node(self.parser.get_event(), depth + 1)
            node.lines[word] = key.line
        return node

    def refuse(self, event: Any, message: str, cure: str) -> NoReturn:
        raise CatalogError(message, where=f"{self.file}:{event.start_mark.line + 1}", cure=cure)
