"""What `genz sensitivity` found: elasticities by strength, and where the bottleneck changes."""

from __future__ import annotations

from typing import Any

from genzcli.engine.result import BOUNDS, Phase
from genzcli.explore.sensitivity import STEP, Effect, Sensitivity, Turn, helps, ranked
from genzcli.report import json
from genzcli.report.answer import Answer
from genzcli.report.headline import headline
from genzcli.report.page import Page, Table
from genzcli.report.words import count, quantity
from genzcli.spec.metric import METRICS, label
from genzcli.units import NONE

SCHEMA = "genz.sensitivity/1"
#: Metrics of the table, under their heads.
_SHOWN = {
    "ttft": "TTFT",
    "tpot": "TPOT",
    "e2e": "E2E",
    "throughput": "tok/s",
    "joules": "J/tok",
    "cost": "$/M",
}
#: What a table leaves out: half of the last digit it would print.
_SMALL = 0.005
_TURNS = 12
_WORDS = {True: "helps", False: "hurts", None: None}


# --- for machines ---


def document(answer: Answer, found: Sensitivity, by: str, top: int | None) -> dict[str, Any]:
    """Everything, the strongest on `by` first."""
    phases = answer.estimate.phases
    return {
        "schema": SCHEMA,
        "scenario": json.scenario(answer),
        "fits": bool(answer.estimate.fits),
        "why": answer.estimate.why,
        "by": by,
        "step": STEP,
        "bounds": {name: _bound(phases[name]) if name in phases else None for name in _PHASES},
        "parameters": [_parameter(effect) for effect in ranked(found.effects, by)[:top]],
        "turns": [_turn(turn) for turn in found.turns],
    }


_PHASES = ("prefill", "decode")


def _bound(phase: Phase) -> str:
    return BOUNDS[int(phase.bound)]


def _parameter(effect: Effect) -> dict[str, Any]:
    lever = effect.lever
    words = {name: _WORDS[helps(name, value)] for name, value in effect.elasticities.items()}
    return {
        "parameter": lever.name,
        "path": lever.path,
        "value": lever.value,
        "unit": lever.field.unit or None,
        "at_most": lever.highest,
        "elasticities": dict(effect.elasticities),
        "more_of_it": words,
    }


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "phase": turn.phase,
        "before": turn.before,
        "after": turn.after,
        "parameter": turn.lever.name,
        "path": turn.lever.path,
        "unit": turn.lever.field.unit or None,
        "value": turn.lever.value,
        "at": turn.value,
        "factor": turn.factor,
        "fits": turn.fits,
    }


def records(found: Sensitivity, by: str, top: int | None) -> list[dict[str, Any]]:
    """One flat record a number: its elasticities, and where it changes what bounds each phase."""
    effects = ranked(found.effects, by)
    known = {effect.lever.path for effect in effects}
    silent = [turn.lever for turn in found.turns if turn.lever.path not in known]
    nothing = dict.fromkeys(METRICS, 0.0)
    effects = (*effects, *(Effect(lever, nothing) for lever in dict.fromkeys(silent)))
    return [_record(effect, found) for effect in effects[:top]]


def _record(effect: Effect, found: Sensitivity) -> dict[str, Any]:
    lever = effect.lever
    row: dict[str, Any] = {"parameter": lever.name, "value": lever.value, "unit": lever.field.unit or None}
    row |= effect.elasticities
    for phase in _PHASES:
        turn = next((item for item in found.turns if item.phase == phase and item.lever == lever), None)
        row[f"{phase}_becomes"] = None if turn is None else turn.after
        row[f"{phase}_becomes_at"] = None if turn is None else turn.value
    return row


# --- for people ---


def page(answer: Answer, found: Sensitivity, by: str, top: int | None) -> Page:
    """What bounds each phase and how far that is from changing, then the elasticities."""
    head = headline(answer)
    if not answer.estimate.fits:
        return Page(status=head.status, headline=head.pieces)
    effects = [item for item in ranked(found.effects, by)[:top] if _visible(item)]
    left = len(found.effects) - len(effects)
    tables = [_elasticities(effects)] if effects else []
    near = found.turns[: min(_TURNS, top or _TURNS)]
    tables += [_turns(near)] if near else []
    notes = [("Elasticity", f"percent of the metric for one percent more; strongest on {label(by)} first")]
    notes += [("Both", "helps some metrics and hurts others")] * any(
        row[1] == "both" for row in _rows(tables)
    )
    spent = any(row[1].startswith("(") for row in _rows(tables))
    notes += [("In brackets", "it is at the most it can be: there is only less of it to be had")] * spent
    notes += [("Held", "parallelism, and everything else but the number itself")]
    notes += [("Left out", f"{left} more numbers, in --format csv or json")] * bool(left)
    more = len(found.turns) - len(near)
    notes += [("Further off", f"{more} other changes of the bottleneck, in --json")] * (more > 0)
    return Page(
        status="",
        headline=(f"what matters for {head.pieces[0]}",),
        lines=_sentences(answer, found),
        tables=tuple(tables),
        notes=tuple(notes),
    )


def _rows(tables: list[Table]) -> tuple[tuple[str, ...], ...]:
    return tables[0].rows if tables else ()


def _visible(effect: Effect) -> bool:
    return any(abs(effect.of(name)) >= _SMALL for name in _SHOWN)


def _sentences(answer: Answer, found: Sensitivity) -> tuple[str, ...]:
    """`decode is memory-bound; it becomes compute-bound at batch 212`: the load that changes each phase."""
    lines = []
    for name, phase in answer.estimate.phases.items():
        now = _bound(phase)
        ways = [item for item in found.turns if item.phase == name and item.lever.name in _LOAD]
        said = [f"{item.after}-bound at {_LOAD[item.lever.name]} {_at(item)}" for item in ways]
        lines.append(f"{name} is {now}-bound" + (f"; it becomes {', '.join(said)}" if said else ""))
    return tuple(lines)


_LOAD = {"batch": "batch", "input_tokens": "input"}


def _elasticities(effects: list[Effect]) -> Table:
    shown = [name for name in _SHOWN if any(item.elasticities[name] is not None for item in effects)]
    heads = ("more of", "", *(_SHOWN[name] for name in shown))
    rows = tuple(
        (item.lever.name, _word(item, shown), *(_signed(item.elasticities[name]) for name in shown))
        for item in effects
    )
    return Table("", heads, "ll" + "r" * len(shown), rows)


def _word(effect: Effect, shown: list[str]) -> str:
    """What more of it does to all metrics that it moves; in brackets where there is no more."""
    said = {helps(name, effect.elasticities[name]) for name in shown if abs(effect.of(name)) >= _SMALL}
    if len(said) > 1:
        return "both"
    more = said.pop()
    return f"({_WORDS[more]})" if effect.lever.highest else str(_WORDS[more])


def _signed(value: float | None) -> str:
    if value is None:
        return NONE
    return "0" if abs(value) < _SMALL else f"{value:+.2f}"


def _turns(turns: tuple[Turn, ...]) -> Table:
    rows = tuple(
        (
            item.phase,
            item.after,
            item.lever.name,
            _value(item, item.lever.value),
            _at(item),
            _times(item.factor),
        )
        for item in turns
    )
    heads = ("phase", "becomes bound by", "where", "is", "reaches", "factor")
    return Table("Where the bottleneck changes, the nearest first", heads, "lllrrr", rows)


def _at(turn: Turn) -> str:
    return _value(turn, turn.value) + ("" if turn.fits else " (does not fit)")


def _value(turn: Turn, value: float) -> str:
    return count(value) if turn.lever.whole else quantity(value, turn.lever.field.unit)


def _times(factor: float) -> str:
    return f"× {quantity(factor, '')}"
