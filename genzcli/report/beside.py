"""Entries of one kind side by side: what follows from their numbers, and every fact of the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from genzcli.engine.machine.energy import chip_power_w
from genzcli.report.page import Page, Table
from genzcli.report.plain import lines
from genzcli.report.words import quantity
from genzcli.spec.hardware import Chip, Platform
from genzcli.spec.noun import Noun
from genzcli.spec.source import Source
from genzcli.units import NONE


def beside_page(kind: str, nouns: Sequence[Noun]) -> Page:
    """A column for each entry; numbers beside the first one's as a multiple of it."""
    names = tuple(str(getattr(noun, "name", "")) for noun in nouns)
    sources: list[tuple[str, str]] = []
    facts = _facts(nouns, sources)
    tables = [
        *_derived(names, nouns),
        Table("As the catalog has it", ("key", *names), "l" * (len(names) + 1), facts),
    ]
    if sources:
        rows = tuple((f"[{position}]", *source) for position, source in enumerate(sources, start=1))
        tables.append(Table("Sources", ("", "kind", "reference"), "lll", rows))
    return Page("", (f"{len(names)} {kind} side by side",), tables=tuple(tables))


# --- what follows ---


def numbers(noun: Noun) -> dict[str, tuple[float, str]]:
    """What a chip or platform offers, and its balance: name to value and unit, SI.

    Ridge: dense peak / bandwidth of the first storage. A platform is the sum of its chips.
    """
    if isinstance(noun, Platform):
        own = _of_chip(noun.chip, float(noun.chips))
        own["chips"] = (float(noun.chips), "")
        watts = chip_power_w(noun)
        if watts:
            own["power"] = (float(watts * noun.chips), "W")
        for level in noun.levels:
            own[f"{level.name}, a chip one way"] = (float(level.chip_bandwidth_bytes_per_s), "bytes/s")
        return own
    return _of_chip(noun, 1.0) if isinstance(noun, Chip) else {}


def _of_chip(chip: Chip, chips: float) -> dict[str, tuple[float, str]]:
    found: dict[str, tuple[float, str]] = {}
    storage = [tier for tier in chip.memory.values() if tier.role == "storage"]
    fastest = float(storage[0].bandwidth_bytes_per_s)
    for dtype, peak in chip.peaks.items():
        found[f"peak {dtype}"] = (chips * float(peak), "flop/s")
    found["memory"] = (chips * sum(float(tier.capacity_bytes) for tier in storage), "bytes")
    found["memory bandwidth"] = (chips * fastest, "bytes/s")
    if chip.vector is not None:
        found["vector units"] = (chips * float(chip.vector.peak_flop_per_s), "flop/s")
        if chip.vector.functions_flop_per_s is not None:
            found["exponentials"] = (chips * float(chip.vector.functions_flop_per_s), "flop/s")
    for dtype, peak in chip.peaks.items():
        found[f"ridge {dtype}"] = (float(peak) / fastest, "FLOP/byte")
    best = max(map(float, chip.peaks.values()))
    if chip.power_w:
        found["power"] = (chips * float(chip.power_w), "W")
        found["best peak a watt"] = (best / float(chip.power_w), "flop/s")
        found["bandwidth a watt"] = (fastest / float(chip.power_w), "bytes/s")
    if chip.price_usd_per_hour:
        rent = float(chip.price_usd_per_hour)
        found["rent"] = (chips * rent, "USD/h")
        found["bandwidth a dollar an hour"] = (fastest / rent, "bytes/s")
    return found


def _derived(names: tuple[str, ...], nouns: Sequence[Noun]) -> Iterator[Table]:
    offered = [numbers(noun) for noun in nouns]
    keys = _ordered([list(found) for found in offered])
    rows = tuple((key, *_cells(key, offered)) for key in keys)
    if rows:
        yield Table("Beside the first", ("", *names), "l" + "r" * len(names), rows)


def _cells(key: str, offered: Sequence[Mapping[str, tuple[float, str]]]) -> Iterator[str]:
    first = offered[0].get(key)
    for position, found in enumerate(offered):
        if key not in found:
            yield NONE
            continue
        value, unit = found[key]
        shown = quantity(value, "") + f" {unit}" if unit == "FLOP/byte" else quantity(value, unit)
        beside = position > 0 and first is not None and first[0] > 0
        yield f"{shown} (× {value / first[0]:.3g})" if beside and first is not None else shown


def _ordered(columns: Sequence[Sequence[str]]) -> list[str]:
    """Keys of all columns, each new one before the key that stands behind it in its own column."""
    found: list[str] = []
    for column in columns:
        at = len(found)
        for key in reversed(column):
            if key not in found:
                found.insert(at, key)
            at = found.index(key)
    return found


# --- what the catalog says ---


def _facts(nouns: Sequence[Noun], sources: list[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """Every key with its values and the numbers of their sources, which `sources` collects."""
    columns: list[dict[str, str]] = []
    for noun in nouns:
        column = {}
        for line in lines(noun):
            mark = f" [{_position(line.source, sources)}]" if line.source is not None else ""
            column[line.path] = f"{line.value}{mark}"
        columns.append(column)
    keys = _ordered([list(column) for column in columns])
    return tuple((key, *(column.get(key, NONE) for column in columns)) for key in keys)


def _position(source: Source, sources: list[tuple[str, str]]) -> int:
    cited = (source.kind, source.reference + (f" ({source.note})" if source.note else ""))
    if cited not in sources:
        sources.append(cited)
    return sources.index(cited) + 1
