"""What `genz size` found: sizes of platforms, largest loads, and what a platform would need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from genzcli.explore.largest import Largest
from genzcli.explore.needs import Requirement
from genzcli.explore.size import Fit, Search
from genzcli.report.page import Page, Table
from genzcli.report.words import count, named, quantity, with_unit
from genzcli.spec.metric import METRICS, label
from genzcli.spec.workload import Scenario, UseCase
from genzcli.units import NONE

SCHEMA = "genz.size/1"
_MOST_BEATEN = 5
_MOST_NEAR = 5


class Sized(NamedTuple):
    """A platform and the search on it."""

    hardware: str
    search: Search


class Loaded(NamedTuple):
    """A platform, its scenario, and the largest load."""

    hardware: str
    scenario: Scenario
    largest: Largest


class Needed(NamedTuple):
    """A platform, its scenario, and what it would need."""

    hardware: str
    scenario: Scenario
    needs: tuple[Requirement, ...]


# --- sizes ---


def rank(item: Sized, by: str) -> tuple[int, float, float]:
    """The best first, then what comes closest, what cannot serve at all last."""
    best, closest = item.search.best, item.search.closest
    if best is not None:
        worth = best.worth(by)
        return 0, float("inf") if worth is None else worth, float(best.chips)
    return (2, 0.0, 0.0) if closest is None else (1, closest.shortfall, float(closest.chips))


def sized_document(found: Sequence[Sized], by: str) -> dict[str, Any]:
    """Every platform with its best plan and the plans that it beat."""
    return {"schema": SCHEMA, "question": "smallest", "by": by, "results": [_sized(item) for item in found]}


def _sized(item: Sized) -> dict[str, Any]:
    best, closest = item.search.best, item.search.closest
    head: dict[str, Any] = {"hardware": item.hardware, "found": best is not None, "tried": item.search.tried}
    head |= {"why": item.search.why or None}
    empty = dict.fromkeys(_PLAN + tuple(name for name, _, _ in _ANSWER))
    return (
        head
        | (empty if best is None else _plan(best))
        | {"beaten": [_plan(other) for other in item.search.beaten]}
        | {"closest": None if closest is None else _plan(closest) | {"misses": closest.misses}}
    )


_PLAN = ("chips", "tp", "pp", "dp", "ep")
#: Name, field of the metrics, and scale.
_ANSWER = (
    ("ttft_ms", "ttft_s", 1e3),
    ("tpot_ms", "tpot_s", 1e3),
    ("e2e_ms", "e2e_s", 1e3),
    ("output_tokens_per_s", "output_tokens_per_s", 1.0),
    ("average_w", "average_w", 1.0),
    ("joules_per_output_token", "joules_per_output_token", 1.0),
    ("usd_per_million_output_tokens", "usd_per_million_output_tokens", 1.0),
)


def _plan(fit: Fit) -> dict[str, Any]:
    plan, metrics = fit.scenario.plan, fit.answer.metrics
    values = {name: getattr(metrics, field) for name, field, _ in _ANSWER}
    scales = {name: scale for name, _, scale in _ANSWER}
    answer = {name: None if value is None else value * scales[name] for name, value in values.items()}
    return {name: int(getattr(plan, name)) for name in _PLAN} | answer


_COLUMNS = ("hardware", "chips", "plan", "TTFT", "TPOT", "tokens/s", "power", "a token", "1M out")


def sized_page(found: Sequence[Sized], by: str, usecase: UseCase, asked: str) -> Page:
    """One line a platform, the plans that the best one beat, what comes closest, why others cannot serve."""
    able = [item for item in found if item.search.best is not None]
    near = [item for item in found if item.search.closest is not None][:_MOST_NEAR]
    tables = _able(able)
    if near:
        title = "Closest of those that cannot serve" if able else "None can serve; the closest"
        rows = tuple(row for item in near for row in _missing(item))
        tables.append(Table(title, (*_COLUMNS[:6], "of the limit"), "lrlrrrl", rows))
    unable = [item for item in found if item.search.best is None and item not in near]
    notes = [("Least", f"{by}, meeting {_objectives(usecase)}"), *_without(able, unable), *_profiles(able)]
    if by == "cost" and able:
        notes.insert(1, _crowd(able))
    title = f"{len(able)} of {len(found)} machine{'s' * (len(found) != 1)} can serve it"
    return Page(status="", headline=(title,), lines=(asked,), tables=tuple(tables), notes=tuple(notes))


def _able(able: Sequence[Sized]) -> list[Table]:
    """The best plan of each platform, and those that the very best one beat."""
    rows = tuple((item.hardware, *_row(item.search.best)) for item in able if item.search.best is not None)
    tables = [Table("", _COLUMNS, "lrlrrrrrr", rows)] if rows else []
    if able and able[0].search.beaten:
        title = f"Plans of {able[0].hardware} with as many chips that also pass"
        beaten = tuple(("", *_row(item)) for item in able[0].search.beaten[:_MOST_BEATEN])
        tables.append(Table(title, _COLUMNS, "lrlrrrrrr", beaten))
    return tables


def _without(able: Sequence[Sized], unable: Sequence[Sized]) -> Iterator[tuple[str, str]]:
    """Why some cannot serve, and why others that do are no match."""
    said = [item for item in unable if item.search.closest is None][:3]
    if said:
        yield "Cannot serve", "; ".join(f"{item.hardware}: {item.search.why}" for item in said)
    if apart := [item for item in able if item.search.why]:
        yield "Not compared", "; ".join(f"{item.hardware}: {_bare(item)}" for item in apart)
    if others := [item.hardware for item in unable if item not in said]:
        yield "Nor can", ", ".join(others)


def _crowd(able: Sequence[Sized]) -> tuple[str, str]:
    """The load that the cost stands for: rent is shared by all that are served at once."""
    assert able[0].search.best is not None
    plan = able[0].search.best.scenario.plan
    word = "batch" if plan.batching == "static" else "concurrency"
    return "Cost", f"at {word} {count(plan.batch)}; more requests at once (--{word}) share the rent"


def _missing(item: Sized) -> Iterator[tuple[str, ...]]:
    """The plan that comes closest, and how far its objectives are from their limits."""
    if item.search.closest is not None:
        said = (f"{label(name)} × {ratio:.3g}" for name, ratio in item.search.closest.misses.items())
        yield item.hardware, *_row(item.search.closest)[:5], ", ".join(said)


def _profiles(able: Sequence[Sized]) -> list[tuple[str, str]]:
    """Whose efficiencies the answers rest on: `genz run` says what each assumes."""
    names: dict[str, list[str]] = {}
    for item in able:
        assert item.search.best is not None
        names.setdefault(named(item.search.best.scenario.profile), []).append(item.hardware)
    said = "; ".join(f"{profile}: {', '.join(hardware)}" for profile, hardware in names.items())
    return (
        [("Profiles", f"{said}; `genz run` says what each assumes and how far off it may be")] if said else []
    )


def _bare(item: Sized) -> str:
    return item.search.why.removeprefix("not compared: ")


def _objectives(usecase: UseCase) -> str:
    said = [f"{label(item.metric)} {_limit(item.metric, item.limit)}" for item in usecase.slo]
    return ", ".join(said) or "no objectives: it fits"


def _limit(metric: str, limit: Any) -> str:
    known = METRICS[metric]
    return quantity(limit, "s") if known.unit == "s" else with_unit(limit, known.output_unit)


def _row(fit: Fit) -> tuple[str, ...]:
    plan, metrics = fit.scenario.plan, fit.answer.metrics
    degrees = [f"{axis} {count(getattr(plan, axis))}" for axis in _PLAN[1:] if getattr(plan, axis) > 1]
    return (
        count(plan.chips),
        " ".join(degrees) or "tp 1",
        quantity(metrics.ttft_s, "s"),
        quantity(metrics.tpot_s, "s"),
        quantity(metrics.output_tokens_per_s, ""),
        quantity(metrics.average_w, "W"),
        NONE
        if metrics.joules_per_output_token is None
        else f"{quantity(metrics.joules_per_output_token, 'J')}",
        quantity(metrics.usd_per_million_output_tokens, "USD"),
    )


# --- loads ---


def largest_document(found: Sequence[Loaded], word: str) -> dict[str, Any]:
    """The largest value of each platform."""
    results = [
        {
            "hardware": item.hardware,
            "chips": int(item.scenario.plan.chips) if not item.largest.columns else _chips(item),
            "value": item.largest.value,
            "fails_at": item.largest.fails_at,
            "why": item.largest.why or None,
            **{name: _value(item, field, scale) for name, field, scale in _ANSWER},
        }
        for item in found
    ]
    return {"schema": SCHEMA, "question": "largest", "word": word, "results": results}


def _chips(item: Loaded) -> int:
    return round(float(item.largest.columns["tp"] * item.largest.columns["pp"] * item.largest.columns["dp"]))


def _value(item: Loaded, field: str, scale: float) -> float | None:
    value = item.largest.columns.get(field)
    return None if value is None or value != value else float(value) * scale


def largest_page(found: Sequence[Loaded], word: str) -> Page:
    """One line a platform."""
    rows = []
    for item in found:
        values = {name: _value(item, field, 1.0) for name, field, _ in _ANSWER}
        rows.append(
            (
                item.hardware,
                str(_chips(item)) if item.largest.columns else NONE,
                NONE if item.largest.value is None else str(item.largest.value),
                NONE if item.largest.fails_at is None else str(item.largest.fails_at),
                quantity(values["ttft_ms"], "s"),
                quantity(values["tpot_ms"], "s"),
                quantity(values["output_tokens_per_s"], ""),
            )
        )
    columns = ("hardware", "chips", f"largest {word}", "fails at", "TTFT", "TPOT", "tokens/s")
    notes = [("Meeting", _objectives(found[0].scenario.usecase))]
    notes += [(f"Not even 1 on {item.hardware}", item.largest.why) for item in found if item.largest.why]
    table = Table("", columns, "lrrrrrr", tuple(rows))
    return Page(status="", headline=(f"largest {word}",), tables=(table,), notes=tuple(notes))


# --- needs ---


def needs_document(found: Sequence[Needed]) -> dict[str, Any]:
    """What each platform would need, resource by resource."""
    results = [
        {
            "hardware": item.hardware,
            "chips": int(item.scenario.plan.chips),
            "resource": need.resource.removeprefix("together: "),
            "together": need.resource.startswith("together: "),
            "unit": need.unit,
            "has": need.has,
            "needs": need.need,
            "factor": need.factor,
        }
        for item in found
        for need in item.needs
    ]
    return {"schema": SCHEMA, "question": "needs", "results": results}


def needs_page(found: Sequence[Needed]) -> Page:
    """A table a platform."""
    tables = []
    for item in found:
        rows = tuple(
            (
                need.resource,
                quantity(need.has, need.unit),
                _amount(need),
                NONE if not need.factor else f"× {quantity(need.factor, '')}",
            )
            for need in item.needs
        )
        title = f"{count(item.scenario.plan.chips)} × {named(item.scenario.platform.chip)}"
        tables.append(Table(title, ("resource", "has", "needs", "factor"), "lrrr", rows))
    usecase = found[0].scenario.usecase
    notes = (
        ("Meeting", _objectives(usecase)),
        *([("Says nothing", idle)] if (idle := vacuous(usecase)) else []),
        (
            "Alone",
            "all other resources without limit; launches, host work, latencies stay as they are",
        ),
        (
            "Together",
            "everything scaled from what it needs alone by one factor, until all are met",
        ),
    )
    return Page(status="", headline=("what it takes",), tables=tuple(tables), notes=notes)


def _amount(need: Requirement) -> str:
    if need.need is None:
        return "no amount is enough"
    return quantity(need.need, need.unit) if need.need else "next to none"


def vacuous(usecase: UseCase) -> str:
    """The objectives that nothing can miss; empty where there are none."""
    idle = [label(item.metric) for item in usecase.slo if item.metric in ("tpot", "user_throughput")]
    if usecase.output_tokens > 1 or not idle:
        return ""
    return f"{' and '.join(idle)}: one output token has no interval behind it"
