"""Catalog pages: lists, one entry with its sources, and what lint found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genzcli.report.page import Page, Table
from genzcli.report.plain import Line, lines
from genzcli.report.words import count, in_unit, many, quantity
from genzcli.spec.hardware import Chip
from genzcli.spec.metric import ALIASES, METRICS
from genzcli.spec.model import Model
from genzcli.spec.noun import Noun
from genzcli.spec.source import Source
from genzcli.units import NONE

if TYPE_CHECKING:
    pass

Shown = Callable[[Any], str]


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) or NONE


def _slo(value: Mapping[str, float]) -> str:
    """Limits as the records have them, ttft_ms."""
    metrics = {key: ALIASES.get(key, key) for key in value}
    words = (f"{name} {in_unit(name, value[key] / METRICS[name].scale)}" for key, name in metrics.items())
    return ", ".join(words) or NONE


def _quantity(unit: str) -> Shown:
    return lambda value: quantity(value, unit)


#: How to print a key of a record, with its heading; the others are printed as they are.
_SHOWN: Mapping[str, tuple[str, Shown]] = {
    "parameters": ("parameters", many),
    "active_parameters": ("active", many),
    "max_context": ("context", many),
    "precision": ("published as", str),
    "peak_flop_per_s": ("dense TFLOP/s", str),
    "capacity_bytes": ("memory", _quantity("bytes")),
    "bandwidth_bytes_per_s": ("bandwidth", _quantity("bytes/s")),
    "power_w": ("power", _quantity("W")),
    "price_usd_per_hour": ("rent", _quantity("USD/h")),
    "input_tokens": ("tokens in", count),
    "output_tokens": ("out", count),
    "slo": ("objectives", _slo),
    "levels": ("levels", _words),
    "aliases": ("also", _words),
    "applies": ("applies to", _words),
    "scale_out": ("scale-out", str),
}
_NUMBERS = (
    "parameters",
    "active_parameters",
    "max_context",
    "layers",
    "peak_flop_per_s",
    "capacity_bytes",
    "power_w",
    "bandwidth_bytes_per_s",
    "price_usd_per_hour",
    "input_tokens",
    "output_tokens",
    "chips",
    "beams",
    "batch",
)


#: What stands behind the name of a chip that is not for sale.
_MARKS = {"announced": " *", "hypothetical": " °"}


def list_page(kind: str | None, records: Sequence[Mapping[str, Any]]) -> Page:
    """The entries of one kind, or the names of all kinds."""
    if kind is None:
        return _overview(records)
    if kind == "hardware":
        return _hardware(records)
    origins = {record.get("from", "built-in") for record in records}
    shown = {record.get("status") for record in records}
    marks = tuple((sign.strip(), word) for word, sign in _MARKS.items() if word in shown)
    records = [_condensed(record) for record in records]
    keys = [key for key in records[0] if key != "from" or len(origins) > 1]
    rows = tuple(tuple(_cell(key, record[key]) for key in keys) for record in records)
    heads = tuple(_SHOWN[key][0] if key in _SHOWN else key for key in keys)
    align = "".join("r" if key in _NUMBERS else "l" for key in keys)
    origin = f", {origins.pop()}" if len(origins) == 1 and kind != "metrics" else ""
    said = f"{_counted(records, kind)}{origin}"
    return Page("", (said,), tables=(Table("", heads, align, rows),), notes=marks)


def _counted(records: Sequence[Any], kind: str) -> str:
    """`1 chip`, `60 chips`."""
    return f"{len(records)} {kind if len(records) != 1 else kind.removesuffix('s')}"


def _hardware(records: Sequence[Mapping[str, Any]]) -> Page:
    """Chips and platforms, a table each."""
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        kinds.setdefault(record["kind"], []).append({key: record[key] for key in record if key != "kind"})
    pages = [list_page(kind, members) for kind, members in kinds.items()]
    tables = tuple(table._replace(title=page.headline[0]) for page in pages for table in page.tables)
    notes = tuple(note for page in pages for note in page.notes)
    return Page("", (", ".join(_counted(*pair[::-1]) for pair in kinds.items()),), tables=tables, notes=notes)


def _condensed(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """A chip's format stands beside its peak, and a mark beside its name where it cannot be bought."""
    if "peak_flop_per_s" not in record:
        return record
    tera = record["peak_flop_per_s"] / 1e12
    peak = f"{tera:.{0 if tera >= 1000 else 1}f} {record['format']}"
    name = record["name"] + _MARKS.get(record["status"], "")
    kind = "–" if record["class"] == record["status"] else record["class"]  # both say hypothetical
    changed = {**record, "name": name, "class": kind, "peak_flop_per_s": peak}
    return {key: value for key, value in changed.items() if key not in ("format", "status")}


def _cell(key: str, value: Any) -> str:
    if value is None:
        return NONE
    return _SHOWN[key][1](value) if key in _SHOWN else str(value)


def _overview(records: Sequence[Mapping[str, Any]]) -> Page:
    kinds: dict[str, list[str]] = {}
    for record in records:
        kinds.setdefault(record["kind"], []).append(record["name"])
    rows = tuple((_counted(names, kind), ", ".join(names)) for kind, names in kinds.items())
    said = f"{len(records)} entries" if len(records) != 1 else "1 entry"
    return Page("", (said,), tables=(Table("", ("kind", "names"), "ll", rows),))


# --- one entry ---


def show_page(kind: str, noun: Noun, origin: str) -> Page:
    """An entry with every number and its source."""
    found = list(lines(noun))
    sources = list(dict.fromkeys(_cited(line.source) for line in found if line.source is not None))
    tables = [*_computed(noun), _facts(found, sources)]
    if sources:
        rows = tuple((f"[{position}]", *source) for position, source in enumerate(sources, start=1))
        tables.append(Table("Sources", ("", "kind", "reference"), "lll", rows))
    named: Any = noun
    said = _said(noun)
    said += [f"Also called: {', '.join(named.aliases)}"] if named.aliases else []
    said += [named.note] if getattr(named, "note", "") else []
    singular = {"usecases": "use case"}.get(kind, kind[:-1])
    return Page("", (named.name, singular, origin), tuple(said), tuple(tables))


def _said(noun: Noun) -> list[str]:
    """A model in one line."""
    if not isinstance(noun, Model):
        return []
    from genzcli.report.architecture import summary

    return [summary(noun)]


def _cited(source: Source) -> tuple[str, str]:
    return source.kind, source.reference + (f" ({source.note})" if source.note else "")


def _facts(found: Sequence[Line], sources: Sequence[tuple[str, str]]) -> Table:
    links = {line.path: line.value for line in found if line.path.endswith(".links")}

    def value(line: Line) -> str:
        level, _, last = line.path.rpartition(".")
        several = last == "bandwidth" and links.get(f"{level}.links", "1") != "1"
        return f"{line.value} a link" if several else line.value

    rows = tuple(
        (line.path, value(line), f"[{sources.index(_cited(line.source)) + 1}]" if line.source else "")
        for line in found
        if line.value
    )
    return Table("As the catalog has it", ("key", "value", "source"), "lll", rows)


def _computed(noun: Noun) -> Iterator[Table]:
    """What follows from the numbers."""
    if isinstance(noun, Model):
        from genzcli.report import architecture

        yield from architecture.tables(noun)
    elif isinstance(noun, Chip):
        yield _ridges(noun)


def _ridges(chip: Chip) -> Table:
    storage = ((name, tier) for name, tier in chip.memory.items() if tier.role == "storage")
    name, tier = next(storage)
    rows = tuple(
        (dtype, quantity(peak, "flop/s"), f"{quantity(peak / tier.bandwidth_bytes_per_s, '')} FLOP/byte")
        for dtype, peak in chip.peaks.items()
    )
    title = f"Ridge points: where {name} stops being the bound"
    return Table(title, ("format", "dense peak", "ridge"), "lrr", rows)


# --- lint ---


def lint_page(findings: Sequence[Any], files: int) -> Page:
    """What was found, errors first."""
    errors = sum(1 for item in findings if item.level == "error")
    warnings = len(findings) - errors
    counted = {"file": files, "error": errors, "warning": warnings}
    files_said, *found = (f"{number} {word}{'s' * (number != 1)}" for word, number in counted.items())
    said = f"{files_said}: {', '.join(found)}"
    ordered = sorted(findings, key=lambda item: item.level != "error")
    rows = tuple((item.level, item.where, item.message) for item in ordered)
    tables = (Table("", ("level", "where", "what"), "lll", rows),) if rows else ()
    return Page("FAIL" if errors else "PASS", (said,), tables=tables)


def outliers_page(found: Sequence[Any]) -> Page:
    """Ratios far from the median, the furthest first."""

    def amount(value: float, unit: str) -> str:
        return f"{quantity(value, '')} {unit}" if unit == "FLOP/byte" else quantity(value, unit)

    rows = tuple(
        (
            item.chip,
            item.ratio,
            amount(item.value, item.unit),
            amount(item.median, item.unit),
            f"× {item.factor:.2g}",
            f"{item.chips} {item.among}" if item.among != "all" else f"all {item.chips}",
        )
        for item in found
    )
    heads = ("chip", "ratio", "value", "median", "factor", "of")
    tables = (Table("", heads, "llrrrl", rows),) if rows else ()
    meaning = (
        "the median of the chips of its class that are sold, of all where these are fewer than five; listed "
        "is what is over 2 times and 4 median deviations off; compute is dense, 16 bit; memory the first "
        "storage"
    )
    return Page("", (f"{len(rows)} outliers",), tables=tables, notes=(("Compared with", meaning),))
