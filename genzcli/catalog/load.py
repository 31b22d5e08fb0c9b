"""Names to nouns: the catalog as the commands see it. Parses only the files that are named."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar, cast

from genzcli.catalog import find
from genzcli.catalog.build import build
from genzcli.catalog.document import Node, shorten
from genzcli.catalog.find import Entry
from genzcli.catalog.read import read
from genzcli.errors import CatalogError, UnknownNameError, nearest, shortened
from genzcli.spec.hardware import Chip, Platform
from genzcli.spec.model import Model
from genzcli.spec.noun import Noun
from genzcli.spec.profile import Profile
from genzcli.spec.workload import UseCase

T = TypeVar("T")

_PLATFORM_KEYS = ("chip", "levels", "scale_out")


class _Found(NamedTuple):
    """A file, and the folder in which the names it holds are looked up first; None for a catalog's."""

    node: Node
    folder: str | None = None


class Catalog:
    """The search path, and the nouns found along it."""

    def __init__(self, folders: Iterable[str] = (), by: str = "--catalog") -> None:
        self.roots = find.roots(folders, by)
        self._kept: dict[tuple[str, str], Any] = {}  # nouns are frozen, so one of each is enough

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
        """A model by catalog name, alias or path; a path may be that of a Hugging Face config."""
        return self._once("model", name, lambda: build(self._file(("models",), name).node, Model))

    def chip(self, name: str, where: str = "", folder: str | None = None) -> Chip:
        """A chip by catalog name, alias or path; beside the file that names it, in `folder`, first."""
        return build(self._file(("chips",), name, where, folder).node, Chip)

    def platform(self, name: str, where: str = "", folder: str | None = None) -> Platform:
        """A platform by catalog name, alias or path; in `folder` first."""
        return self._platform(self._file(("platforms",), name, where, folder))

    def usecase(self, name: str) -> UseCase:
        """A use case by catalog name, alias or path."""
        return build(self._file(("usecases",), name).node, UseCase)

    def hardware(self, name: str) -> tuple[Platform, bool]:
        """A platform, and whether a bare chip was named; a chip stands in its home platform."""
        return self._once("hardware", name, lambda: self._hardware(name))

    def knows_hardware(self, name: str) -> bool:
        """Whether a file or an entry of hardware has exactly this name."""
        if find.path_of(name) is not None or next(find.by_name(self.roots, find.HARDWARE, name), None):
            return True
        return find.by_alias(self.roots, find.HARDWARE, name) is not None

    def _hardware(self, name: str) -> tuple[Platform, bool]:
        found = self._file(find.HARDWARE, name)
        if any(key in found.node.mapping("") for key in _PLATFORM_KEYS):
            return self._platform(found), False
        return self._home(build(found.node, Chip), found), True

    def profile(self, stack: str, chip: Chip, batching: str = "") -> Profile:
        """The most specific calibration of a stack for a chip: its own, one listing it, its generation's,
        its maker's, its class's, or any.

        A stack's static batches were measured in 2024, its servers later: `vllm-2024` stands behind `vllm`
        for static batching, and where there is nothing newer. A stack that is known, but not for this chip,
        is stood in for by the generic profile of the chip's class.
        """
        kind = f"profile {stack} {batching}"
        whom = " ".join((chip.name, *chip.classes))
        return self._once(
            kind, whom, lambda: self._banded(self._profile(stack, chip, batching), chip, batching)
        )

    def _banded(self, profile: Profile, chip: Chip, batching: str) -> Profile:
        """The profile with an error band that holds for this chip.

        A class's band is that of a chip left out of the fit. It holds for chips of a generation and with
        memory of a kind that were measured; what is unlike them all may be as far off as `generic` is, and so
        may be a server under constants of static batches.
        """
        fitted = profile.applies and profile.evidence in ("measured", "published")
        if not fitted or profile.error is None:
            return profile
        server = batching == "continuous" and profile.stack.endswith("-2024")
        if profile.measured_on(chip) and not server:
            return profile
        if (
            not server
            and profile.is_for(chip)
            and any(_alike(self.chip(name), chip) for name in profile.measured)
        ):
            return profile
        generic = self._profile("generic", chip, "")
        return profile.replace(error=profile.error.at_least(generic))

    def _profile(self, stack: str, chip: Chip, batching: str) -> Profile:
        path = find.path_of(stack)
        if path is not None:
            return build(read(path), Profile)
        wanted = _stack(stack)
        ages = (wanted, f"{wanted}-2024")
        ages = ages[::-1] if batching == "static" else ages
        kin = tuple(_kin(chip))
        found = (
            self._applying((f"{age}-{chip.name}" for age in ages), chip)
            or self._listing(ages, chip)
            or self._applying((*(f"{age}-{name}" for name in kin for age in ages), wanted), chip)
        )
        if found is None and any(name.startswith(f"{wanted}-") for name in self.names("profiles")):
            found = self._applying((f"generic-{name}" for name in (chip.name, *kin)), chip)
        if found is None:
            raise self._no_profile(stack, chip)
        return found

    def knows_stack(self, stack: str) -> None:
        """Raise unless the word names a profile's file, or some profile's stack."""
        path = find.path_of(stack)
        if path is not None:
            build(read(path), Profile)
            return
        wanted = _stack(stack)
        names = self.names("profiles")
        if any(name == wanted or name.startswith(f"{wanted}-") for name in names):
            return
        stacks = sorted({build(entry.node, Profile).stack for entry in self.entries("profiles")})
        if wanted not in map(find.fold, stacks):
            near = nearest(stack, stacks) or stacks
            cure = f"nearest: {', '.join(near)}; see `genz list profiles`"
            raise UnknownNameError(f"unknown stack {shortened(stack)}", where="--stack", cure=cure)

    def _applying(self, names: Iterable[str], chip: Chip) -> Profile | None:
        """The first profile of these names that is for the chip."""
        for name in names:
            for entry in find.by_name(self.roots, ("profiles",), name):
                found = build(entry.node, Profile)
                if found.is_for(chip):
                    return found
        return None

    def _listing(self, ages: Iterable[str], chip: Chip) -> Profile | None:
        """The first profile of these stacks that lists the chip by name among others."""
        for age in ages:
            for entry in find.mentioning(self.roots, "profiles", f"{age}-", chip.name):
                found = build(entry.node, Profile)
                if find.fold(found.stack) == age and chip.name in found.applies:
                    return found
        return None

    # --- how ---

    def _once(self, kind: str, name: str, load: Callable[[], T]) -> T:
        """What a name stands for, read at its first use; a file is read each time."""
        if os.path.exists(name):
            return load()
        key = kind, name
        if key not in self._kept:
            self._kept[key] = load()
        return cast(T, self._kept[key])

    def chips_from(self, folder: str | None) -> Callable[[str, str], Chip]:
        """What looks up the chip that a platform's file in `folder` names."""
        return lambda name, where: self.chip(name, where, folder)

    def _file(self, kinds: tuple[str, ...], name: str, where: str = "", folder: str | None = None) -> _Found:
        path = find.beside(folder, name) or find.path_of(name)
        if path is not None:
            return _Found(read(path), os.path.dirname(path))
        entry = find.find(self.roots, kinds, name, where)
        return _Found(entry.node, entry.folder)

    def _platform(self, found: _Found) -> Platform:
        return build(found.node, Platform, self.chips_from(found.folder))

    def _home(self, chip: Chip, found: _Found) -> Platform:
        if not chip.home:
            return Platform(name=chip.name, chip=chip, aliases=())
        where = found.node.key_where("home", "home")
        site = self._file(("platforms",), chip.home, where, found.folder)
        others = self.chips_from(site.folder)
        home = build(site.node, Platform, lambda name, at: chip if name == chip.name else others(name, at))
        if home.chip.name == chip.name:
            return home.replace(chip=chip)
        # Another chip in this home: hosts stay, the platform's own power and price are not this chip's.
        return home.replace(
            chip=chip, power_w=None, host_power_w=home.beside_chips_w, price_usd_per_hour=None
        )

    def _no_profile(self, stack: str, chip: Chip) -> UnknownNameError:
        profiles = [build(entry.node, Profile) for entry in self.entries("profiles")]
        fitting = sorted({item.stack for item in profiles if item.is_for(chip)})
        near = nearest(stack, fitting, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        cure = f"{meant}stacks known for it: {', '.join(fitting) or 'none'}; see `genz list profiles`"
        message = f"no calibration of the stack {shortened(stack)} for {chip.name} (class {chip.kind})"
        return UnknownNameError(message, where="--stack", cure=cure)


#: What people call a stack, where its profiles are called otherwise.
_STACKS = {
    **dict.fromkeys(("trtllm", "trt-llm", "tensorrtllm", "tensorrt"), "tensorrt-llm"),
    **dict.fromkeys(("llama.cpp", "llamacpp"), "llama-cpp"),
}


def _stack(word: str) -> str:
    """A stack by the name of its profiles."""
    name = find.fold(word)
    return _STACKS.get(name, name)


def _alike(one: Chip, other: Chip) -> bool:
    """Whether what was seen of one chip may be expected of the other: generation and kind of memory."""
    return one.classes[0] == other.classes[0] and _behind(one) == _behind(other)


def _behind(chip: Chip) -> set[str]:
    """The kinds of memory that hold weights, without the digits of theirs: hbm, gddr, lpddr."""
    return {name.rstrip("x0123456789") for name, tier in chip.memory.items() if tier.role == "storage"}


def _kin(chip: Chip) -> Iterator[str]:
    """Classes of a chip as names of profiles end in them: gpu-hopper, gpu-nvidia, gpu."""
    return (name.replace(":", "-") for name in chip.classes)


def load_file(entry: Entry, catalog: Catalog) -> Noun:
    """The noun of one entry, whatever its kind."""
    match entry.kind:
        case "platforms":
            return build(entry.node, Platform, catalog.chips_from(entry.folder))
        case "models":
            return build(entry.node, Model)
        case "chips":
            return build(entry.node, Chip)
        case "profiles":
            return build(entry.node, Profile)
        case "usecases":
            return build(entry.node, UseCase)
    raise CatalogError(f"unknown kind {entry.kind!r}", where=shorten(entry.path), cure="see `genz list`")
