"""Where catalog files are, and which file a name means. Reads names and aliases, builds nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from genzcli.catalog.document import Node, shorten
from genzcli.catalog.read import read
from genzcli.errors import CatalogError, GenzError, UnknownNameError

FOLDERS = {
    "models": "models",
    "chips": "hardware/chips",
    "platforms": "hardware/platforms",
    "profiles": "hardware/profiles",
    "usecases": "usecases",
}
#: What `hardware` means on the command line, in the order it is looked up.
HARDWARE = ("platforms", "chips")
TOP_FOLDERS = ("hardware", "models", "usecases")

_SUFFIXES = (".yaml", ".yml")
_PATH_SUFFIXES = (*_SUFFIXES, ".json")
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Root:
    """A folder with hardware/, models/ and usecases/ in it, and what `list` calls it."""

    __slots__ = ("folder", "origin")

    def __init__(self, folder: str, origin: str) -> None:
        self.folder, self.origin = folder, origin

    def files(self, kind: str) -> list[str]:
        """Paths of the catalog files of one kind, sorted by name."""
        folder = os.path.join(self.folder, *FOLDERS[kind].split("/"))
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            return []
        return [os.path.join(folder, name) for name in names if name.endswith(_SUFFIXES) and name[0] != "."]


class Entry:
    """One catalog file: its name at once, its aliases when asked."""

    __slots__ = ("_node", "kind", "name", "origin", "path")

    def __init__(self, kind: str, path: str, origin: str) -> None:
        self.kind, self.path, self.origin = kind, path, origin
        self.name = stem(path)
        self._node: Node | None = None

    @property
    def node(self) -> Node:
        """The parsed file; a CatalogError if it is broken."""
        if self._node is None:
            self._node = read(self.path)
        return self._node

    @property
    def folder(self) -> str | None:
        """Where the names in it are looked up first: beside it, unless it is a catalog's."""
        return os.path.dirname(self.path) if self.origin == "file" else None

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other names of the same thing; none when the file is broken, which loading it reports."""
        try:
            listed = self.node.mapping("").get("aliases")
        except GenzError:
            return ()
        members = (listed.items if listed is not None else None) or []
        return tuple(member.word for member in members if member.word)

    def __repr__(self) -> str:
        return f"Entry({self.kind}, {self.path!r}, {self.origin!r})"


def stem(path: str) -> str:
    """The file's name without folder and suffix."""
    return os.path.splitext(os.path.basename(path))[0]


def fold(name: str) -> str:
    """What two spellings of a name have in common: case, `_` and spaces do not matter."""
    return name.strip().lower().replace("_", "-").replace(" ", "-")


def built_in() -> str:
    """The catalogs shipped with the package, or those beside it in a checkout."""
    shipped = os.path.join(_PACKAGE, "_catalogs")
    return shipped if os.path.isdir(shipped) else os.path.dirname(_PACKAGE)


def is_built_in(path: str) -> bool:
    """Whether a file is one of the shipped catalogs'."""
    own = os.path.join(built_in(), "")
    whole = os.path.abspath(path)
    return whole.startswith(own) and whole[len(own) :].partition(os.sep)[0] in TOP_FOLDERS


def names_built_in(kind: str, name: str) -> bool:
    """Whether the shipped catalogs have an entry of this kind and name."""
    return os.path.isfile(os.path.join(built_in(), *FOLDERS[kind].split("/"), f"{fold(name)}.yaml"))


def roots(extra: Iterable[str] = (), by: str = "--catalog") -> list[Root]:
    """The search path: --catalog, GENZ_PATH, the current directory, the built-in catalogs.

    `by` is what gave the extra folders, for errors and lists.
    """
    found = [_given(folder, by) for folder in extra]
    listed = os.environ.get("GENZ_PATH", "").split(os.pathsep)
    found += [_given(folder, "GENZ_PATH") for folder in listed if folder.strip()]
    own = Root(built_in(), "built-in")
    if is_catalog(".") and not same(".", own.folder):
        found.append(Root(".", "current directory"))
    return [*found, own]


def _given(folder: str, by: str) -> Root:
    path = os.path.expanduser(folder.strip())
    if not os.path.isdir(path):
        raise CatalogError(f"{shorten(path)} is not a directory", where=by, cure="name a folder that exists")
    if not is_catalog(path):
        cure = "make models/, usecases/ or hardware/chips/ in it"
        raise CatalogError(f"{shorten(path)} has no {', '.join(TOP_FOLDERS)}", where=by, cure=cure)
    return Root(path, f"{by} {shorten(path)}")


def is_catalog(folder: str) -> bool:
    """Whether the folder holds hardware/, models/ or usecases/."""
    return any(os.path.isdir(os.path.join(folder, name)) for name in TOP_FOLDERS)


def same(a: str, b: str) -> bool:
    """Whether two paths are one folder."""
    try:
        return os.path.samefile(a, b)
    except OSError:
        return False


def path_of(name: str) -> str | None:
    """The file a name spells out as a path, None where it is a catalog name.

    A name with a separator may still be an alias (google/gemma-2-27b) when no such file exists.
    """
    if name.endswith(_PATH_SUFFIXES):
        return name
    if not _separated(name) and name not in (".", ".."):
        return None
    return name if os.path.isfile(name) else config_in(name)


def config_in(folder: str) -> str | None:
    """The config.json in a folder with a model from Hugging Face."""
    path = os.path.join(folder, "config.json")
    return path if os.path.isfile(path) else None


def beside(folder: str | None, name: str) -> str | None:
    """The file that `name` means in the folder of the file that names it: a path, or a name.

    None where there is no such file, or where no file stood by path (`folder` is None).
    """
    if folder is None or os.path.isabs(name):
        return None
    endings = ("",) if name.endswith(_PATH_SUFFIXES) or _separated(name) else _SUFFIXES
    paths = (os.path.join(folder, name + ending) for ending in endings)
    return next((path for path in paths if os.path.isfile(path)), None)


def _separated(name: str) -> bool:
    return os.sep in name or bool(os.altsep and os.altsep in name) or "/" in name


def find(search: Sequence[Root], kinds: Sequence[str], name: str, where: str = "") -> Entry:
    """The file that `name` means among `kinds`: by its name in any root, by alias, by another spelling."""
    entry = next(by_name(search, kinds, name), None) or by_alias(search, kinds, name)
    path = None if entry is not None else name if os.path.isfile(name) else config_in(name)
    if path is not None:
        entry = Entry(kinds[-1], path, "file")
    if entry is None:
        from genzcli.catalog import spelling

        entry = spelling.meant(search, kinds, name)
        if entry is None:
            what = spelling.singular("hardware" if len(kinds) > 1 else kinds[0])
            shown = name if len(name) <= 60 else name[:57] + "…"
            message = f"unknown {what} {shown!r}" + _file_hint(name, kinds[0])
            raise UnknownNameError(message, where=where, cure=spelling.cure(search, kinds, name))
    return entry


def by_name(search: Sequence[Root], kinds: Sequence[str], name: str) -> Iterator[Entry]:
    """Files called `name`, first kind and first root first."""
    folded = fold(name)
    if not folded or _separated(name):
        return
    for kind in kinds:
        for root in search:
            quick = os.path.join(root.folder, *FOLDERS[kind].split("/"), f"{folded}.yaml")
            if os.path.isfile(quick):
                yield Entry(kind, quick, root.origin)
                continue
            yield from (
                Entry(kind, path, root.origin) for path in root.files(kind) if fold(stem(path)) == folded
            )


def by_alias(search: Sequence[Root], kinds: Sequence[str], name: str) -> Entry | None:
    """The one file that claims the alias in the first root where any does."""
    for root in search:
        claims = [entry for kind in kinds for entry in _claims(root, kind, name)]
        if len(claims) > 1:
            files = " and ".join(shorten(entry.path) for entry in claims[:2])
            cure = f"remove it from one, or use {' or '.join(entry.name for entry in claims[:2])}"
            raise CatalogError(f"the alias {name!r} is claimed by {files}", cure=cure)
        if claims:
            return claims[0]
    return None


def _claims(root: Root, kind: str, name: str) -> list[Entry]:
    folded = fold(name)
    if not folded:
        return []
    word = folded.encode(errors="replace")
    candidates = (Entry(kind, path, root.origin) for path in root.files(kind) if _mentions(path, word))
    return [entry for entry in candidates if folded in map(fold, entry.aliases)]


def _mentions(path: str, word: bytes) -> bool:
    """Whether the word stands anywhere in the file: a quick look that spares parsing most of them."""
    try:
        with open(path, "rb", buffering=0) as file:
            text = file.read()
    except OSError:
        return False
    return word in text.lower().replace(b"_", b"-").replace(b" ", b"-")


def mentioning(search: Sequence[Root], kind: str, prefix: str, word: str) -> Iterator[Entry]:
    """Files of a kind whose name starts with a prefix and whose text has the word somewhere."""
    folded = fold(word).encode(errors="replace")
    for root in search:
        for path in root.files(kind):
            if fold(stem(path)).startswith(prefix) and _mentions(path, folded):
                yield Entry(kind, path, root.origin)


def entries(search: Sequence[Root], kind: str) -> list[Entry]:
    """Every file of a kind, first root first; a name hides the same name in later roots."""
    found: dict[str, Entry] = {}
    for root in search:
        for path in root.files(kind):
            found.setdefault(fold(stem(path)), Entry(kind, path, root.origin))
    return sorted(found.values(), key=lambda entry: entry.name)


def _file_hint(name: str, what: str) -> str:
    """What a name turned out to be as a path: a folder, of a model without its config, or nothing."""
    if os.path.isdir(name):
        return f", and {folder_lacks(name) if what == 'models' else 'it is a folder'}"
    return ", and no such file" if _separated(name) else ""


def folder_lacks(folder: str) -> str:
    """Why no config is found in a folder."""
    if os.path.isdir(os.path.join(folder, "config.json")):
        return "config.json in the folder of that name is a folder itself"
    if os.path.basename(os.path.normpath(folder)) == "config.json":
        return "config.json is a folder"
    return "the folder of that name has no config.json"
