"""Points of a sweep as rows: the names of the JSON contract, plain numbers, None for what is not there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from genzcli.engine.result import BOUNDS
from genzcli.explore.grid import AXES, METRICS
from genzcli.explore.sweep import Block, plain, why
from genzcli.report.page import Page, Table
from genzcli.report.words import count, quantity
from genzcli.units import NONE

SCHEMA = "genz.sweep/1"
#: Whole numbers below this are exact in a float, and written as whole numbers.
_EXACT = 1e15

#: Name in a row of a metric, and what its SI value is multiplied with.
_SHOWN = {name: (name.removesuffix("_s") + "_ms", 1e3) if name.endswith("_s") and "per_s" not in name
          else (name, 1) for name in METRICS}  # fmt: skip
_MEMORY = ("weights", "kv", "activations", "reserved", "used", "capacity")

#: Columns of which more is better; of all others less is.
MORE = frozenset(
    name for name, _ in _SHOWN.values() if "per_s" in name or name == "tokens_per_kwh"
) | {"max_batch", "fits", "concurrency"}  # fmt: skip

#: Columns of text, and of truth; all others are numbers.
TEXTS = frozenset({"model", "hardware", "chip", "precision", "verdict", "bound", "why"})
TRUTHS = frozenset({"fits"})

NAMES = (
    *("model", "hardware", "chip", "precision", "chips", *AXES),
    *("batch", "input_tokens", "output_tokens", "beams"),
    *("fits", "verdict", "bound", "why", "concurrency"),
    *(name for name, _ in _SHOWN.values()),
    *(f"{key}_bytes" for key in _MEMORY),
    "max_batch",
)  # fmt: skip


#: Points that are rows at once: Python's numbers take four times the room of an array's.
_TOGETHER = 4096


def rows(block: Block) -> Iterator[dict[str, Any]]:
    """Every point of a block as a row."""
    for first in range(0, block.size, _TOGETHER):
        columns = _columns(block.part(first, min(first + _TOGETHER, block.size)))
        names = tuple(columns)
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(names, values, strict=True))


def _columns(block: Block) -> dict[str, list[Any]]:
    size, scenario = block.size, block.frame.scenario
    plan, usecase = scenario.plan, scenario.usecase
    labels = block.frame.labels
    plain_words: dict[str, Any] = {"precision": plan.precision.weights, "chips": block.frame.chips}
    same = {**labels, **plain_words, **labels}  # what is swept stands first, and as it was asked for
    found: dict[str, list[Any]] = {key: [value] * size for key, value in same.items()}
    found |= {axis: _whole(block, axis) for axis in AXES if axis not in labels}
    held = {"batch": plan.batch, "input_tokens": usecase.input_tokens, "output_tokens": usecase.output_tokens}
    for key, value in (held | {"beams": usecase.beams}).items():
        found[key] = [value] * size
    for axis in block.axes:
        found[axis.name] = _plain(block.columns[axis.name])
    asked = found.get("concurrency")  # swept, it is what was asked for, as the batch is
    if asked is not None:
        found["batch"] = asked
    found |= _verdicts(block)
    found["concurrency"] = _whole(block, "concurrency") if asked is None else asked
    for field, (name, scale) in _SHOWN.items():
        found[name] = _numbers(block, field, scale)
    for key in _MEMORY:
        found[f"{key}_bytes"] = _numbers(block, f"{key}_bytes", 1)
    found["max_batch"] = _whole(block, "max_batch")
    return found


def _verdicts(block: Block) -> dict[str, list[Any]]:
    size, asked = block.size, bool(block.frame.scenario.usecase.slo)
    if "fits" not in block.columns:
        return {
            "fits": [False] * size,
            "verdict": ["fail" if asked else None] * size,
            "bound": [None] * size,
            "why": [why(block, index) for index in range(size)],
        }
    good = ((block.columns["fits"] > 0) & (block.columns["legal"] > 0)).tolist()
    passed = (block.columns["missed"] == 0).tolist()
    return {
        "fits": good,
        "verdict": [
            ("pass" if ok and met else "fail") if asked else None
            for ok, met in zip(good, passed, strict=True)
        ],
        "bound": [None if index is None else BOUNDS[index] for index in _whole(block, "bound")],
        "why": [None if ok else why(block, index) for index, ok in enumerate(good)],
    }


def _plain(values: Any) -> list[Any]:
    """Python numbers; whole ones as int."""
    if (values == values // 1).all() and (abs(values) < _EXACT).all():
        return values.astype(int).tolist()  # type: ignore[no-any-return]
    return [plain(value) for value in values.tolist()]


def _numbers(block: Block, field: str, scale: float) -> list[Any]:
    """A column; None where there is no plan or no value."""
    if field not in block.columns:
        return [None] * block.size
    values = block.columns[field]
    there = (values == values) & (block.columns["legal"] > 0)
    found = (values * scale if scale != 1 else values).tolist()
    if there.all():
        return found  # type: ignore[no-any-return]
    return [value if ok else None for value, ok in zip(found, there.tolist(), strict=True)]


def _whole(block: Block, field: str) -> list[Any]:
    """A column of whole numbers."""
    return [None if value is None else int(value) for value in _numbers(block, field, 1)]


# --- as a table for people ---

#: What a table shows of a row, under a head that has its unit: the divisor is the unit's.
_TABLE = (
    ("TTFT ms", "ttft_ms", 1),
    ("TPOT ms", "tpot_ms", 1),
    ("E2E ms", "e2e_ms", 1),
    ("tok/s", "output_tokens_per_s", 1),
    ("J/tok", "joules_per_output_token", 1),
    ("$/M", "usd_per_million_output_tokens", 1),
    ("GB", "used_bytes", 1e9),
)
#: What a narrow page leaves out, the first one first.
_SPARE = ("$/M", "J/tok", "bound", "E2E ms", "GB", "chips")


def page(
    found: list[dict[str, Any]],
    axes: Mapping[str, str],
    total: int,
    more: int,
    asked: tuple[str, ...] = (),
    served: bool = False,
) -> Page:
    """The rows that are shown; `axes` gives each swept column its unit, `asked` names other columns.

    Where requests are `served`, a swept batch is a concurrency.
    """
    swept = {name: unit for name, unit in axes.items() if not _only(found, name)}
    table = _chosen(found, swept, asked) if asked else _usual(found, swept)
    if served and "concurrency" not in asked:
        heads = tuple("concurrency" if head == "batch" else head for head in table.columns)
        table = table._replace(columns=heads)
    return Page("", (_title(found, axes, total),), tables=(table,), notes=_notes(found, more))


def _only(found: list[dict[str, Any]], name: str) -> bool:
    """Whether a column says the same in each of several rows."""
    return len(found) > 1 and len({row[name] for row in found}) == 1


def _usual(found: list[dict[str, Any]], axes: Mapping[str, str]) -> Table:
    """The swept columns, the degrees that were chosen, and the metrics that most ask for."""
    degrees = [
        name for name in ("chips", *AXES) if name not in axes and len({row[name] for row in found}) > 1
    ]
    tight = any(not row["fits"] for row in found)  # memory is of interest where it is short
    shown = [item for item in _TABLE if tight or item[1] != "used_bytes"]
    shown = [item for item in shown if any(row[item[1]] is not None for row in found)]
    columns = [*_swept(found, axes), *((name, [count(row[name]) for row in found]) for name in degrees)]
    columns.append(("", [_word(row) for row in found]))
    columns += [(head, [_digits(row[name], unit) for row in found]) for head, name, unit in shown]
    columns.append(("bound", [row["bound"] or NONE for row in found]))
    heads = tuple(head for head, _ in columns)
    align = "".join("l" if head == "" else "r" for head in heads)
    spare = tuple(heads.index(head) for head in _SPARE if head in heads and head not in axes)
    return Table("", heads, align, tuple(zip(*(cells for _, cells in columns), strict=True)), spare=spare)


def _swept(found: list[dict[str, Any]], axes: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Heads and cells of the swept columns; a unit that all cells have stands in the head."""
    for name, unit in axes.items():
        head = _head(name)
        cells = [_label(row[name], unit) for row in found]
        units = {cell.partition(" ")[2] for cell in cells} if unit else set()
        if len(units) == 1 and units != {""}:
            head = f"{head} {units.pop()}"
            cells = [cell.partition(" ")[0] for cell in cells]
        yield head, cells


def _chosen(found: list[dict[str, Any]], axes: Mapping[str, str], asked: tuple[str, ...]) -> Table:
    """The swept columns and those that were asked for, bytes as GB."""
    columns = list(_swept(found, axes))
    for name in asked:
        if name not in axes:
            head = name.replace("_bytes", " GB").replace("_per_s", "/s").replace("_", " ")
            unit = 1e9 if name.endswith("_bytes") else 1
            columns.append((head, [_cell(row[name], unit) for row in found]))
    heads = tuple(head for head, _ in columns)
    rows = tuple(zip(*(cells for _, cells in columns), strict=True))
    return Table("", heads, "r" * len(heads), rows)


def _cell(value: Any, unit: float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _digits(value, unit)
    return _label(value, "")


def _title(found: list[dict[str, Any]], axes: Mapping[str, str], total: int) -> str:
    models = list(dict.fromkeys(str(row["model"]) for row in found))
    shown = f"{len(found)} of {total} points" if len(found) < total else f"{total} points"
    named = [" and ".join(models) if len(models) <= 3 else f"{len(models)} models"] if models else []
    return " · ".join((*named, *_same(found, axes), shown))


def _same(found: list[dict[str, Any]], axes: Mapping[str, str]) -> Iterator[str]:
    """Load and machine, and what was swept, where all rows have one."""

    def only(name: str) -> Any:
        values = {row[name] for row in found}
        return values.pop() if len(values) == 1 else None

    if not found:
        return
    said = {"model"}
    prompt, answer = only("input_tokens"), only("output_tokens")
    if prompt is not None and answer is not None:
        said |= {"input_tokens", "output_tokens"}
        yield f"{prompt} + {answer} tokens"
    if (hardware := only("hardware")) is not None:
        chips = only("chips")
        said |= {"hardware", "chips"}
        yield f"{chips} × {hardware}" if chips is not None else str(hardware)
    for name, unit in axes.items():
        if name not in said and _only(found, name):
            yield f"{_head(name)} {_label(only(name), unit)}"


def _head(name: str) -> str:
    """A swept column over a table: the last word of a path, no more of a count of tokens than people say."""
    return name.rpartition(".")[2].removesuffix("_tokens").replace("_", " ")


def _notes(found: list[dict[str, Any]], more: int) -> tuple[tuple[str, str], ...]:
    notes = []
    if more:
        notes.append(("Not shown", f"{more} more rows; --format csv or ndjson writes all, --top N cuts"))
    reasons = list(dict.fromkeys(row["why"] for row in found if row["why"]))
    if reasons:
        others = f"; and {len(reasons) - 1} more reasons, in the column `why` of --format csv" * bool(
            reasons[1:]
        )
        notes.append(("Why not", reasons[0] + others))
    return tuple(notes)


def _label(value: Any, unit: str) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return quantity(value, unit, 4) if unit else count(value)
    return NONE if value is None else str(value)


def _word(row: Mapping[str, Any]) -> str:
    if not row["fits"]:
        return "no"
    return {"pass": "pass", "fail": "FAIL", None: "fits"}[row["verdict"]]


def _digits(value: Any, unit: float) -> str:
    """Three digits, without an exponent."""
    if value is None:
        return NONE
    value = value / unit
    places = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:.{min(places, 6)}f}"
