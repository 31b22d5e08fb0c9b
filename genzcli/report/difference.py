"""Several answers beside the first: absolute and relative differences, and the operators they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from genzcli.engine.machine.energy import CHIPS, chip_price_usd_per_hour, power_basis
from genzcli.report.answer import Answer
from genzcli.report.headline import headline, tokens
from genzcli.report.json import bound, metrics, run_document
from genzcli.report.page import Page, Table
from genzcli.report.words import count, formats, gigabytes, named, percent, quantity, with_unit
from genzcli.units import NONE

SCHEMA = "genz.compare/1"
_MOST_OPERATORS = 8
#: What a comparison shows: name, key in `metrics` of the JSON, and how its number is written.
_SHOWN: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("TTFT", "ttft_ms", lambda value: quantity(value / 1e3, "s")),
    ("TPOT", "tpot_ms", lambda value: quantity(value / 1e3, "s")),
    ("E2E", "e2e_ms", lambda value: quantity(value / 1e3, "s")),
    ("output", "output_tokens_per_s", lambda value: with_unit(value, "tokens/s")),
    ("per user", "tokens_per_s_per_user", lambda value: with_unit(value, "tokens/s")),
    ("mean power", "average_w", lambda value: with_unit(value, "W")),
    ("energy", "joules_per_output_token", lambda value: with_unit(value, "J/token")),
    ("1M tokens out", "usd_per_million_output_tokens", lambda value: quantity(value, "USD")),
)


class Column(NamedTuple):
    """One answer under the name it has in the comparison."""

    name: str
    answer: Answer


class Shift(NamedTuple):
    """An operator's time of one phase in the first answer and in another; None where it does not run."""

    phase: str
    operator: str
    before_s: float | None
    after_s: float | None

    @property
    def delta_s(self) -> float:
        return (self.after_s or 0.0) - (self.before_s or 0.0)


def document(columns: Sequence[Column]) -> dict[str, Any]:
    """The comparison as JSON: every answer whole, and the differences of all others from the first."""
    first = columns[0]
    return {
        "schema": SCHEMA,
        "results": [{"label": name, **run_document(answer)} for name, answer in columns],
        "differences": [
            {
                "label": column.name,
                "metrics": _differences(first.answer, column.answer),
                "operators": [_shift(shift) for shift in shifts(first.answer, column.answer)],
            }
            for column in columns[1:]
        ],
    }


def _differences(first: Answer, other: Answer) -> dict[str, Any]:
    old, new = metrics(first.estimate), metrics(other.estimate)
    return {key: _difference(old[key], new[key]) for key in old}


def _difference(old: Any, new: Any) -> dict[str, Any]:
    if old is None or new is None:
        return {"absolute": None, "relative": None}
    return {"absolute": new - old, "relative": (new - old) / old if old else None}


def _shift(shift: Shift) -> dict[str, Any]:
    keys = ("before", "after", "delta")
    values = (shift.before_s, shift.after_s, shift.delta_s)
    times = {
        f"{key}_ms": None if value is None else value * 1e3 for key, value in zip(keys, values, strict=True)
    }
    return {"phase": shift.phase, "operator": shift.operator, **times}


def shifts(first: Answer, other: Answer) -> list[Shift]:
    """Operators of each phase whose time differs, most first."""
    found = []
    for name in {**first.estimate.phases, **other.estimate.phases}:
        old, new = (_times(answer, name) for answer in (first, other))
        found += [
            Shift(name, key, old.get(key), new.get(key))
            for key in dict.fromkeys((*old, *new))
            if old.get(key) != new.get(key)
        ]
    return sorted(found, key=lambda shift: -abs(shift.delta_s))


def _times(answer: Answer, phase: str) -> Mapping[str, float]:
    """Seconds by operator, all layers of one pass; kinds of layer together."""
    times: dict[str, float] = {}
    if phase in answer.estimate.phases:
        for row in answer.estimate.phases[phase].operators:
            times[row.name] = times.get(row.name, 0.0) + float(row.time_s)
    return times


def page(columns: Sequence[Column], quiet: bool = False) -> Page:
    """The answers as columns; where it is quiet, nothing else."""
    names = tuple(column.name for column in columns)
    rows = [*_asked(columns), *_numbers(columns)]
    tables = [Table("", ("", *names), "l" + "r" * len(names), tuple(rows), lead=1)]
    if quiet:
        return Page(status="", headline=(_title(columns),), tables=tuple(tables))
    moved = _moved(columns)
    if moved:
        title = "Where the difference comes from: operators of one pass, all layers, one chip"
        tables.append(Table(title, ("phase", "operator", *names), "ll" + "r" * len(names), moved, lead=2))
    said = [answer.assumptions for _, answer in columns]
    shared = [text for text in said[0] if all(text in others for others in said)]
    notes = [*_bases(columns), *_rents(columns), ("Assumed in all", "; ".join(shared) or "nothing")]
    notes += [
        (f"Assumed for {name}", "; ".join(text for text in answer.assumptions if text not in shared))
        for name, answer in columns
        if any(text not in shared for text in answer.assumptions)
    ]
    notes += [
        (f"No effect for {name}", "; ".join(said.no_effect)) for name, said in columns if said.no_effect
    ]
    return Page(status="", headline=(_title(columns),), tables=tuple(tables), notes=tuple(notes))


def _whose(columns: Sequence[Column]) -> Iterator[tuple[str, ...]]:
    """Whose power it is, where that is not the same in all columns."""
    found = [power_basis(answer.estimate.scenario.platform) or NONE for _, answer in columns]
    if len(set(found) - {NONE}) > 1:
        yield "power of", *found


def _bases(columns: Sequence[Column]) -> Iterator[tuple[str, str]]:
    """A warning where power means the whole machine in one column, and chips alone in another."""
    found = {name: power_basis(answer.estimate.scenario.platform) for name, answer in columns}
    alone = [name for name, basis in found.items() if basis == CHIPS]
    if alone and len(alone) < sum(basis is not None for basis in found.values()):
        yield (
            "Not on equal terms",
            f"power and energy of {', '.join(alone)} are of chips without hosts, fans and switches,"
            " which the others have; --set platform.host_power=1kW adds some",
        )
    yield from _ages(columns)


def _ages(columns: Sequence[Column]) -> Iterator[tuple[str, str]]:
    """A warning where one stack stands for software of two ages."""
    stacks = {name: answer.estimate.scenario.profile.stack for name, answer in columns}
    for old in dict.fromkeys(stack for stack in stacks.values() if stack.endswith("-2024")):
        stack = old.removesuffix("-2024")
        before = [name for name, found in stacks.items() if found == old]
        later = [name for name, found in stacks.items() if found == stack]
        if later:
            yield (
                "Not the same software",
                f"{', '.join(before)} under {stack} of 2024, {', '.join(later)} under that of later servers;"
                " --concurrency compares servers where both were measured",
            )


#: Terms of rent as the sources of prices name them, and the word for each.
_TERMS = {
    "on demand": "on demand",
    "pay as you go": "on demand",
    "three-month": "three months",
    "reserved": "reserved for a year",
    "capacity blocks": "in Capacity Blocks",
}


def _term(answer: Answer) -> str | None:
    """On which terms the rent is; None where there is no price, or it was given."""
    scenario = answer.estimate.scenario
    platform = scenario.platform
    if scenario.plan.price_usd_per_hour is not None or chip_price_usd_per_hour(platform) is None:
        return None
    noun: Any = platform if platform.price_usd_per_hour is not None else platform.chip
    source = noun.sources.get("price")
    if source is None or source.reference == "set by the user":
        return None
    said = source.reference.lower()
    return next((word for key, word in _TERMS.items() if key in said), "on terms of its own")


def _rents(columns: Sequence[Column]) -> Iterator[tuple[str, str]]:
    """A warning where rents are on different terms: on demand costs two or three times reserved."""
    terms: dict[str, list[str]] = {}
    for name, answer in columns:
        if (term := _term(answer)) is not None:
            terms.setdefault(term, []).append(name)
    if len(terms) > 1:
        said = "; ".join(f"{', '.join(names)} {term}" for term, names in terms.items())
        cure = f"--price {columns[0].name}=2.50,… gives each its own"
        yield "Rents differ in terms", f"{said}; {cure}"


def _title(columns: Sequence[Column]) -> str:
    models = list(dict.fromkeys(named(answer.estimate.scenario.model) for _, answer in columns))
    usecase = columns[0].answer.estimate.scenario.usecase
    asked = tokens(usecase)
    same = all(answer.estimate.scenario.usecase == usecase for _, answer in columns)
    return f"{' and '.join(models[:3])} · {asked if same else 'several loads'} · {len(columns)} answers"


def _asked(columns: Sequence[Column]) -> Iterator[tuple[str, ...]]:
    answers = [answer for _, answer in columns]
    yield "verdict", *(headline(answer).status for answer in answers)
    yield "chips", *(_chips(answer) for answer in answers)
    yield "plan", *(_plan(answer) for answer in answers)
    yield "precision", *(_formats(answer) for answer in answers)
    yield "profile", *(named(answer.estimate.scenario.profile) for answer in answers)
    yield "memory a chip", *(_memory(answer) for answer in answers)
    yield "bound by", *(bound(answer.estimate) or NONE for answer in answers)


def _chips(answer: Answer) -> str:
    scenario = answer.estimate.scenario
    return f"{count(scenario.plan.chips)} × {named(scenario.platform.chip)}"


def _plan(answer: Answer) -> str:
    plan = answer.estimate.scenario.plan
    degrees = {axis: getattr(plan, axis) for axis in ("tp", "pp", "dp", "ep")}
    shown = [f"{axis} {count(degree)}" for axis, degree in degrees.items() if degree > 1]
    load = "batch" if plan.batching == "static" else "concurrency"
    return f"{' '.join(shown) or 'tp 1'}, {load} {count(plan.batch)}"


def _formats(answer: Answer) -> str:
    return formats(answer.estimate.scenario.plan.precision, answer.compute_dtype)


def _memory(answer: Answer) -> str:
    held = answer.estimate.memory
    return f"{gigabytes(held.used_bytes)} of {gigabytes(held.capacity_bytes)}"


def _numbers(columns: Sequence[Column]) -> Iterator[tuple[str, ...]]:
    found = [metrics(answer.estimate) for _, answer in columns]
    for name, key, words in _SHOWN:
        values = [item[key] for item in found]
        if any(value is not None for value in values):
            if key == "average_w":
                yield from _whose(columns)
            yield name, *(_beside(values[0], value, words, index > 0) for index, value in enumerate(values))


def _beside(first: Any, value: Any, words: Callable[[Any], str], differs: bool) -> str:
    """`12.1 ms`, and under another column's number by how much it differs."""
    if value is None:
        return NONE
    if not differs or first is None:
        return words(value)
    return f"{words(value)} {_relative(first, value)}"


def _relative(first: Any, value: Any) -> str:
    """How much more or less, in percent, or as a multiple where it is three times as much."""
    if value == first:
        return "="
    ratio = value / first if first else 0.0
    if ratio >= 3:
        return f"×{quantity(ratio, '')}"
    change = percent(ratio - 1)
    return f"+{change}" if ratio > 1 else change.replace("-", "−", 1)


def _moved(columns: Sequence[Column]) -> tuple[tuple[str, ...], ...]:
    """The operators that differ most between any column and the first."""
    first = columns[0].answer
    largest: dict[tuple[str, str], float] = {}
    for column in columns[1:]:
        for shift in shifts(first, column.answer):
            key = shift.phase, shift.operator
            whole = first.estimate.phases.get(shift.phase)
            share = abs(shift.delta_s) / float(whole.time_s) if whole is not None and whole.time_s else 0.0
            largest[key] = max(largest.get(key, 0.0), share)
    keys = sorted(largest, key=lambda key: -largest[key])[:_MOST_OPERATORS]
    order = {name: index for index, name in enumerate(first.estimate.phases)}
    keys.sort(key=lambda key: order.get(key[0], len(order)))
    return tuple(
        (
            "decode step" if phase == "decode" else phase,
            operator,
            *(_time(_times(answer, phase).get(operator)) for _, answer in columns),
        )
        for phase, operator in keys
    )


def _time(seconds: float | None) -> str:
    return NONE if seconds is None else quantity(seconds, "s")
