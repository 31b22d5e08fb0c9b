"""What is wrong or odd in the catalogs, file by file: for `genz lint` and for the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from genzcli import units
from genzcli.catalog import find
from genzcli.catalog.document import shorten
from genzcli.catalog.find import Entry
from genzcli.catalog.load import Catalog, load_file
from genzcli.errors import GenzError
from genzcli.spec.hardware import Chip, Platform
from genzcli.spec.model import Model
from genzcli.spec.noun import Noun, choice, text
from genzcli.spec.profile import Profile

_RIDGE = (5, 2000)  # FLOP per byte; every accelerator with DRAM sold so far lies inside
_NO_RIDGE = ("sram", "wafer", "hypothetical")  # kinds of chip that are made to lie outside
# By how much a narrower format may be faster than a wider one before it is probably the sparse peak.
_RATIOS = (
    ("fp8", "bf16", 2.2),
    ("int8", "bf16", 2.2),
    ("fp4", "fp8", 3.2),
    ("bf16", "tf32", 2.2),
    ("fp16", "bf16", 1.1),
)


class Finding(Noun):
    """One thing that is wrong (error) or odd (warning)."""

    level: str = choice("an error must be mended, a warning explained", "error", "warning")
    where: str = text("file, and the path of the key")
    message: str = text("what it is, and the cure")


def lint(catalog: Catalog) -> list[Finding]:
    """Everything found in every catalog on the search path, in the order of the files."""
    found: list[Finding] = []
    for kind in find.FOLDERS:
        entries = catalog.entries(kind)
        for entry in entries:
            found += _entry(entry, catalog)
    return found + list(_aliases(catalog))


def lint_file(entry: Entry, catalog: Catalog) -> list[Finding]:
    """What is found in one file, which need not be in a catalog."""
    return list(_entry(entry, catalog))


def _entry(entry: Entry, catalog: Catalog) -> Iterator[Finding]:
    where = shorten(entry.path)
    try:
        noun: Any = load_file(entry, catalog)
    except GenzError as error:
        yield Finding(level="error", where=error.where or where, message=_words(error))
        return
    if noun.name != entry.name:
        level = "warning" if entry.origin == "file" else "error"  # outside a catalog nothing looks it up
        yield Finding(level=level, where=where, message=f"the name {noun.name!r} is not the file's name")
    if find.fold(noun.name) != noun.name:
        yield Finding(level="error", where=where, message=f"write the name as {find.fold(noun.name)!r}")
    for cls, rule in _RULES:
        if isinstance(noun, cls):
            for level, path, message in rule(noun, catalog, entry.folder):
                yield Finding(level=level, where=f"{where}: {path}", message=message)


def _words(error: GenzError) -> str:
    return f"{error.message}; {error.cure}" if error.cure else error.message


# --- rules by noun: (level, path, message) ---


def _chip(chip: Chip, catalog: Catalog, folder: str | None) -> Iterator[tuple[str, str, str]]:
    if chip.home:
        yield from _home(chip, catalog, folder)
    storage = [(name, tier) for name, tier in chip.memory.items() if tier.role == "storage"]
    tiers = list(chip.memory.items())
    for (first, fast), (second, slow) in pairwise(tiers):
        if slow.bandwidth_bytes_per_s > fast.bandwidth_bytes_per_s:
            yield "error", f"memory.{second}", f"is faster than {first} before it; list tiers fastest first"
        if slow.capacity_bytes < fast.capacity_bytes:
            yield "warning", f"memory.{second}", f"is smaller than {first} before it"
    yield from _ratios(chip)
    yield from _vector(chip, catalog)
    if chip.status == "shipping" and chip.kind not in _NO_RIDGE:
        yield from _ridge(chip, *storage[0])


def _ratios(chip: Chip) -> Iterator[tuple[str, str, str]]:
    """A peak far above that of the next wider format may be the one with sparsity."""
    if chip.status == "announced":
        return
    for fast_name, slow_name, most in _RATIOS:
        fast_peak, slow_peak = chip.peaks.get(fast_name), chip.peaks.get(slow_name)
        explained = any(_noted(chip, f"peaks.{name}") for name in (fast_name, slow_name))
        if fast_peak and slow_peak and fast_peak > most * slow_peak and not explained:
            message = f"is {fast_peak / slow_peak:.2g} times {slow_name}; is it the peak with sparsity?"
            yield "warning", f"peaks.{fast_name}", message


def _vector(chip: Chip, catalog: Catalog) -> Iterator[tuple[str, str, str]]:
    """Efficiencies fitted with the vector units' time beside them are too good without it."""
    if chip.vector is not None and chip.vector.functions_flop_per_s is not None:
        return
    try:
        profile = catalog.profile("generic", chip)
    except GenzError:
        return
    told = sorted(name for name, fit in profile.operators.items() if fit.vector_efficiency is not None)
    if told:
        path = "vector" if chip.vector is None else "vector.functions"
        yield "warning", path, f"is missing, whose time {profile.name} adds to {told[0]}; enter it"


def _noted(noun: Chip | Platform, path: str) -> bool:
    """Whether a number carries a note: what is odd about it has been explained."""
    return path in noun.sources and bool(noun.sources[path].note)


def _ridge(chip: Chip, name: str, tier: Any) -> Iterator[tuple[str, str, str]]:
    dense = next((key for key in ("bf16", "fp16", "fp8", "int8") if key in chip.peaks), None)
    if dense is None:
        return
    ridge = chip.peaks[dense] / tier.bandwidth_bytes_per_s
    if not _RIDGE[0] <= ridge <= _RIDGE[1]:
        flop_per_byte = f"{units.show(float(ridge), '')} FLOP/byte"
        message = f"over the bandwidth of {name} is {flop_per_byte}, outside {_RIDGE[0]} to {_RIDGE[1]}"
        yield "warning", f"peaks.{dense}", message


def _home(chip: Chip, catalog: Catalog, folder: str | None) -> Iterator[tuple[str, str, str]]:
    try:
        home = catalog.platform(chip.home, folder=folder)
    except GenzError as error:
        yield "error", "home", _words(error)
        return
    if home.chip.name != chip.name:
        yield "warning", "home", f"{home.name} is made of {home.chip.name}, not of {chip.name}"


def _platform(platform: Platform, catalog: Catalog, folder: str | None) -> Iterator[tuple[str, str, str]]:
    if (
        platform.power_w
        and platform.chip.power_w
        and platform.power_w < platform.chips * platform.chip.power_w
        and not _noted(platform, "power")
    ):
        yield "warning", "power", "is less than its chips draw together"
    speeds = [(level.name, level.chip_bandwidth_bytes_per_s) for level in platform.levels]
    for (inner, fast), (outer, slow) in pairwise(speeds):
        if slow > fast:
            yield (
                "warning",
                f"levels.{outer}",
                f"is faster than {inner} inside it; list levels innermost first",
            )


def _profile(profile: Profile, catalog: Catalog, folder: str | None) -> Iterator[tuple[str, str, str]]:
    if not profile.applies:
        yield "error", "applies", "is missing; name chips, class:gpu, or any"
    for target in profile.applies:
        word = target.removeprefix("class:").replace(":", "-")
        fitting = profile.stack if target == "any" else f"{profile.stack}-{word}"
        if len(profile.applies) == 1 and profile.name != fitting:
            yield "error", "name", f"should be {fitting!r}, by its stack and what it applies to"
        if target != "any" and not target.startswith("class:") and target not in catalog.names("chips"):
            yield "error", "applies", f"there is no chip {target!r}"
    for name in profile.measured:
        if name not in catalog.names("chips"):
            yield "error", "measured", f"there is no chip {name!r}"
    if not profile.name.startswith(profile.stack):
        yield "error", "name", f"should start with the stack, {profile.stack!r}"


def _model(model: Model, catalog: Catalog, folder: str | None) -> Iterator[tuple[str, str, str]]:
    published = model.published
    if published and published.active_parameters and published.active_parameters > published.parameters:
        yield "error", "published.active_parameters", "are more than all parameters"
    if model.has_experts and published and not published.active_parameters:
        yield "warning", "published", "has no active_parameters, so nothing checks the experts"


_Rule = Callable[[Any, Catalog, str | None], Iterator[tuple[str, str, str]]]
_RULES: tuple[tuple[type[Noun], _Rule], ...] = (
    (Chip, _chip),
    (Platform, _platform),
    (Profile, _profile),
    (Model, _model),
)


def _aliases(catalog: Catalog) -> Iterator[Finding]:
    """An alias must mean one thing; chips and platforms share their names on the command line."""
    for kinds in (("models",), find.HARDWARE, ("profiles",), ("usecases",)):
        owner: dict[str, Entry] = {}
        entries = [entry for kind in kinds for entry in catalog.entries(kind)]
        for entry in entries:
            owner.setdefault(find.fold(entry.name), entry)
        for entry in entries:
            for alias in entry.aliases:
                first = owner.setdefault(find.fold(alias), entry)
                if first is not entry:
                    message = f"the alias {alias!r} already means {shorten(first.path)}; keep it in one file"
                    yield Finding(level="error", where=shorten(entry.path), message=message)
                elif find.fold(alias) == find.fold(entry.name):
                    yield Finding(
                        level="warning", where=shorten(entry.path), message=f"{alias!r} is its own alias"
                    )
