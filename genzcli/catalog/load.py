"""Names to nouns: the catalog as the commands see it. Parses only the files that are named."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from genzcli.catalog import find
from genzcli.catalog.build import build
from genzcli.catalog.document import Node, read, shorten
from genzcli.catalog.find import Entry
from genzcli.errors import CatalogError, UnknownNameError, nearest
from genzcli.spec.hardware import Chip, Platform
from genzcli.spec.model import Model
from genzcli.spec.noun import Noun
from genzcli.spec.profile import Profile
from genzcli.spec.workload import UseCase

N = TypeVar("N", bound=Noun)

_PLATFORM_KEYS = ("chip", "levels", "scale_out")
_HUGGING_FACE_KEYS = ("model_type", "architectures", "hidden_size", "num_hidden_layers")


class Catalog:
    """The search path, and the nouns found along it."""

    def __init__(self, folders: Iterable[str] = ()) -> None:
        self.roots = find.roots(folders)

    # --- what there is ---

    def entries(self, kind: str) -> list[Entry]:
        """Every entry of a kind (models, chips, platforms, profiles, usecases); aliases are read late."""
        if kind not in find.FOLDERS:
            cure = f"choose from {', '.join(find.FOLDERS)}"
            raise UnknownNameError(f"unknown kind of catalog {kind!r}", cure=cure)
        return find.entries(self.roots, kind)

    def names(self, kind: str) -> list[str]:
        """Names of every entry of a kind."""
        return [entry.name for entry in self.entries(kind)]

    # --- one thing by name or path ---

    def model(self, name: str) -> Model:
        """A model by catalog name, alias or path."""
        node = self._node(("models",), name)
        found = [key for key in _HUGGING_FACE_KEYS if key in node.mapping("")]
        if found:
            where = node.key_where(found[0])
            cure = "write a model file with its dimensions; `genz show mixtral-8x7b` prints one"
            raise CatalogError("this is a Hugging Face config, not a model file", where=where, cure=cure)
        return build(node, Model)

    def chip(self, name: str, where: str = "") -> Chip:
        """A chip by catalog name, alias or path."""
        return build(self._node(("chips",), name, where), Chip)

    def platform(self, name: str, where: str = "") -> Platform:
        """A platform by catalog name, alias or path."""
        return self._platform(self._node(("platforms",), name, where))

    def usecase(self, name: str) -> UseCase:
        """A use case by catalog name, alias or path."""
        return build(self._node(("usecases",), name), UseCase)

    def hardware(self, name: str) -> tuple[Platform, bool]:
        """A platform, and whether a bare chip was named; a chip stands in its home platform."""
        node = self._node(find.HARDWARE, name)
        if any(key in node.mapping("") for key in _PLATFORM_KEYS):
            return self._platform(node), False
        return self._home(build(node, Chip), node), True

    def profile(self, stack: str, chip: Chip) -> Profile:
        """The most specific calibration of a serving stack for a chip: its own, its class's, or any."""
        path = find.path_of(stack)
        if path is not None:
            return build(read(path), Profile)
        wanted = find.fold(stack)
        for name in (f"{wanted}-{chip.name}", f"{wanted}-{chip.kind}", wanted):
            for entry in find.by_name(self.roots, ("profiles",), name):
                found = build(entry.node, Profile)
                if _applies(found, chip):
                    return found
        raise self._no_profile(stack, chip)

    # --- how ---

    def _node(self, kinds: tuple[str, ...], name: str, where: str = "") -> Node:
        path = find.path_of(name)
        return read(path) if path is not None else find.find(self.roots, kinds, name, where).node

    def _platform(self, node: Node) -> Platform:
        return build(node, Platform, self.chip)

    def _home(self, chip: Chip, node: Node) -> Platform:
        if not chip.home:
            return Platform(name=chip.name, chip=chip, aliases=())
        site = self._node(("platforms",), chip.home, node.key_where("home", "home"))
        home = build(
            site, Platform, lambda name, where: chip if name == chip.name else self.chip(name, where)
        )
        if home.chip.name == chip.name:
            return home.replace(chip=chip)
        # Another chip in this home: the platform's own power and price are not this chip's.
        return home.replace(chip=chip, power_w=None, price_usd_per_hour=None)

    def _no_profile(self, stack: str, chip: Chip) -> UnknownNameError:
        profiles = [build(entry.node, Profile) for entry in self.entries("profiles")]
        fitting = sorted({item.stack for item in profiles if _applies(item, chip)})
        near = nearest(stack, fitting, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        cure = f"{meant}stacks known for it: {', '.join(fitting) or 'none'}; see `genz list profiles`"
        message = f"no calibration of the stack {stack!r} for {chip.name} (class {chip.kind})"
        return UnknownNameError(message, where="--stack", cure=cure)


def _applies(profile: Profile, chip: Chip) -> bool:
    return bool({chip.name, f"class:{chip.kind}", "any"} & set(profile.applies))


def load_file(entry: Entry, catalog: Catalog) -> Noun:
    """The noun of one entry, whatever its kind."""
    match entry.kind:
        case "platforms":
            return build(entry.node, Platform, catalog.chip)
        case "models":
            return build(entry.node, Model)
        case "chips":
            return build(entry.node, Chip)
        case "profiles":
            return build(entry.node, Profile)
        case "usecases":
            return build(entry.node, UseCase)
    raise CatalogError(f"unknown kind {entry.kind!r}", where=shorten(entry.path), cure="see `genz list`")
