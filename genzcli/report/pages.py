"""Answers as pages: which tables there are, and what stands in them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from genzcli.engine.result import BOUNDS, Memory, OperatorTime, Phase, Serving
from genzcli.report.answer import NEVER_MODELLED, Answer
from genzcli.report.headline import headline
from genzcli.report.json import drafting, largest
from genzcli.report.page import Page, Table
from genzcli.report.words import (
    count,
    formats,
    gigabytes,
    in_unit,
    margin,
    named,
    objective,
    percent,
    quantity,
    with_unit,
)
from genzcli.spec.metric import METRICS, label
from genzcli.spec.workload import Plan, Scenario
from genzcli.units import NONE


def run_page(answer: Answer, explain: bool) -> Page:
    """The answer to one scenario."""
    head = headline(answer)
    return Page(
        status=head.status,
        headline=head.pieces,
        lines=(_asked(answer),),
        tables=tuple(_tables(answer, explain)),
        notes=_notes(answer.assumptions, answer.no_effect, answer.not_modelled),
    )


def _notes(
    assumptions: Sequence[str], idle: Sequence[str], left: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    return (
        *([("No effect", "; ".join(idle))] if idle else []),
        ("Assumed", "; ".join(assumptions) or "nothing"),
        ("Not modelled", ", ".join(left)),
    )


def _tables(answer: Answer, explain: bool) -> Iterator[Table]:
    if answer.cures:
        yield _cures(answer)
    if answer.estimate.fits:
        yield _metrics(answer)
        yield _phases(answer)
        if answer.estimate.serving is not None:
            yield _serving(answer.estimate.serving)
    yield _memory("Memory per chip", answer.estimate.memory)
    if len(answer.estimate.memory.contents) > 1:
        yield _contents(answer.estimate.memory)
    if answer.estimate.draft_memory is not None:
        yield _memory("Memory per chip of the draft", answer.estimate.draft_memory)
    if answer.judged and answer.estimate.fits:
        yield _objectives(answer)
    if explain:
        for name, phase in answer.estimate.phases.items():
            yield _operators(name, phase, answer.estimate.scenario.model.blocks)


def _asked(answer: Answer) -> str:
    """The plan and the load, as they were resolved."""
    scenario = answer.estimate.scenario
    plan, usecase = scenario.plan, scenario.usecase
    axes = {axis: getattr(plan, axis) for axis in ("tp", "pp", "dp", "ep")}
    degrees = [f"{axis} {count(degree)}" for axis, degree in axes.items() if degree > 1]
    load = "batch" if plan.batching == "static" else "concurrency"
    parts = [
        f"{count(usecase.input_tokens)} tokens in{_images(scenario)}, {count(usecase.output_tokens)} out",
        f"{load} {count(plan.batch)}" + (f" ({count(answer.estimate.concurrency)} at once)" * _waits(answer)),
        *([f"{count(usecase.beams)} beams"] if usecase.beams > 1 else []),
        " ".join(degrees) or "tp 1",
        formats(plan.precision, answer.compute_dtype),
        f"profile {named(scenario.profile)}",
        *_drafted(plan),
    ]
    return " · ".join(parts)


def _drafted(plan: Plan) -> Iterator[str]:
    """`4 drafts of llama-3.1-8b on 2 × l40s`."""
    if plan.draft is None:
        return
    site, drafts = plan.draft_on, f"{count(plan.draft_tokens)} draft{'s' * (plan.draft_tokens != 1)}"
    where = "" if site is None else f" on {count(site.chips)} × {named(site.platform.chip)}"
    yield f"{drafts} of {drafting(plan)}{where}"


def _images(scenario: Scenario) -> str:
    """` + 2 images of 1,024 tokens`."""
    usecase, vision = scenario.usecase, scenario.model.vision
    if vision is None or not usecase.images:
        return ""
    each = vision.tokens if usecase.image_tokens is None else usecase.image_tokens
    plural = "s" if usecase.images != 1 else ""
    return f" + {count(usecase.images)} image{plural} of {count(each)} tokens"


def _waits(answer: Answer) -> bool:
    return bool(0 < answer.estimate.concurrency < answer.estimate.scenario.plan.batch)


def _cures(answer: Answer) -> Table:
    rows = tuple((cure.change, cure.effect) for cure in answer.cures)
    return Table("What would help", ("change", "effect"), "ll", rows)


def _metrics(answer: Answer) -> Table:
    found = answer.estimate.metrics
    decode = answer.estimate.phases.get("decode")
    latency = [
        ("TTFT", _with_band(answer, "ttft_s")),
        ("TPOT", _with_band(answer, "tpot_s")),
        ("E2E", _with_band(answer, "e2e_s")),
    ]
    if decode is not None:
        latency += [
            ("first step", quantity(decode.first_s, "s")),
            ("last step", quantity(decode.last_s, "s")),
        ]
    rates = [
        ("output", with_unit(found.output_tokens_per_s, "tokens/s")),
        ("in + out", with_unit(found.total_tokens_per_s, "tokens/s")),
        ("per chip", with_unit(found.output_tokens_per_s_per_chip, "tokens/s")),
        ("per user", with_unit(found.tokens_per_s_per_user, "tokens/s")),
        ("requests", with_unit(found.requests_per_s, "/s")),
    ]
    money = [
        ("energy", with_unit(found.joules_per_output_token, "J/token")),
        ("1 kWh gives", with_unit(found.tokens_per_kwh, "tokens")),
        ("mean power", with_unit(found.average_w, "W")),
        ("1M tokens out", quantity(found.usd_per_million_output_tokens, "USD")),
    ]
    columns = [*latency, *[("", "")] * (5 - len(latency))], rates, [*money, *[("", "")] * (5 - len(money))]
    rows = tuple(tuple(word for pair in row for word in pair) for row in zip(*columns, strict=True))
    return Table("Metrics", ("latency", "", "throughput", "", "energy, cost", ""), "lrlrlr", rows)


def _with_band(answer: Answer, field: str) -> str:
    """A time, and how far off it may well be."""
    value = getattr(answer.estimate.metrics, field)
    bands = answer.estimate.scenario.profile.error
    if value is None or bands is None:
        return quantity(value, "s")
    return f"{quantity(value, 's')} ±{percent(bands.of(field)).replace(' ', '')}"


def _phases(answer: Answer) -> Table:
    rows = []
    for name, phase in answer.estimate.phases.items():
        title = "decode step" if name == "decode" else name
        shares = (getattr(phase, f"{part}_s") / phase.time_s if phase.time_s else 0.0 for part in BOUNDS)
        rows.append((title, quantity(phase.time_s, "s"), BOUNDS[int(phase.bound)], *map(percent, shares)))
    return Table("Phases", ("phase", "time", "bound by", *BOUNDS), "lrlrrrr", tuple(rows))


def _serving(parts: Serving) -> Table:
    """What a request on a server waits for: the parts of its TTFT and TPOT."""
    first = (parts.prefill_s, parts.ahead_s, parts.running_s, parts.host_s, parts.full_s)
    rows = [("TTFT", quantity(parts.ttft_s, "s"), *(quantity(part, "s") for part in first))]
    if parts.step_s is not None:
        then = (quantity(parts.step_s, "s"), quantity(parts.between_s, "s"))
        rows.append(("TPOT", quantity(parts.tpot_s, "s"), *then, NONE, NONE, NONE))
    columns = ("of", "time", "own pass", "others' prompts", "running", "host", "full memory")
    return Table("Server", columns, "lrrrrrr", tuple(rows))


def _memory(title: str, held: Memory) -> Table:
    share = held.used_bytes / held.capacity_bytes if held.capacity_bytes else None
    words = (held.weights_bytes, held.kv_bytes, held.activations_bytes, held.reserved_bytes)
    row = (
        *map(gigabytes, words),
        f"{gigabytes(held.used_bytes)} ({percent(share)})",
        gigabytes(held.capacity_bytes),
        count(held.max_batch),
    )
    columns = ("weights", "KV cache", "activations", "reserved", "used", "capacity", "max batch")
    return Table(title, columns, "rrrrrrr", (row,))


def _contents(held: Memory) -> Table:
    """What lies in which memory, fastest first."""
    rows = tuple(
        (
            name,
            gigabytes(inside.weights_bytes),
            gigabytes(inside.kv_bytes),
            gigabytes(inside.activations_bytes),
            gigabytes(held.tiers[name] - inside.total_bytes),
            gigabytes(held.tiers[name]),
            gigabytes(inside.capacity_bytes),
            quantity(inside.bandwidth_bytes_per_s, "bytes/s"),
        )
        for name, inside in held.contents.items()
    )
    columns = ("memory", "weights", "KV cache", "activations", "reserved", "used", "capacity", "read at")
    return Table("What lies where", columns, "lrrrrrrr", rows)


def _objectives(answer: Answer) -> Table:
    rows = tuple(
        (
            label(item.metric),
            in_unit(item.metric, item.limit / METRICS[item.metric].scale),
            NONE if item.actual is None else in_unit(item.metric, item.actual / METRICS[item.metric].scale),
            margin(item),
            ("pass" if item.passed else "FAIL") + ", within error" * item.within_error,
        )
        for item in answer.judged
    )
    return Table("Objectives", ("metric", "limit", "actual", "margin", "verdict"), "lrrrl", rows)


def _operators(name: str, phase: Phase, blocks: Collection[str]) -> Table:
    title = f"Operators of {'one mean decode step' if name == 'decode' else 'prefill'}, all layers, one chip"
    columns = ("operator", "uses", "FLOP", "bytes", "FLOP/B", "time", "bound", "share")
    alone = next(iter(blocks)) if len(blocks) == 1 else ""
    taking = [row for row in phase.operators if row.time_s > 0]
    routes = {tuple(level for level, _, size in _wires(row) if size) for row in taking} - {()}
    rows = tuple(_operator(row, phase, _named(row, alone, len(routes) > 1)) for row in taking)
    algorithms = dict.fromkeys(text for row in taking for text in _algorithms(row))
    return Table(title, columns, "lrrrrrlr", rows, "Collectives: " * bool(algorithms) + "; ".join(algorithms))


def _named(row: OperatorTime, alone: str, several: bool) -> str:
    """The operator, its part of the model unless that is the only kind of layer, a collective's members.

    A collective's level stands here where the table has `several`; the algorithms are under the table.
    """
    own = row.block not in (row.name, "step", alone)
    name = f"{row.block} {row.name}" if own else row.name
    wires = list(_wires(row))
    shown = several and len(wires) == 1
    joined = (f"×{size} {level}" if shown else f"×{size}" if size else level for level, _, size in wires)
    return " ".join((name, *joined))


def _wires(row: OperatorTime) -> Iterator[tuple[str, str, str]]:
    """(level, algorithm, members) of a collective, from `nvlink ring x8, infiniband ring x2`."""
    for part in row.detail.split(", ") if row.detail else ():
        level, _, rest = part.partition(" ")
        algorithm, _, size = rest.rpartition(" x")
        yield (level, algorithm, size) if size.isdigit() else (part, "", "")


def _algorithms(row: OperatorTime) -> Iterator[str]:
    """`all-reduce ×8 nvlink ring, ×2 infiniband ring`."""
    words = [f"×{size} {level} {algorithm}" for level, algorithm, size in _wires(row) if algorithm]
    if words:
        yield f"{row.name} {', '.join(words)}"


def _operator(row: OperatorTime, phase: Phase, name: str) -> tuple[str, ...]:
    moved = row.bytes + row.network_bytes
    return (
        name,
        count(row.count),
        quantity(row.flop, "flop/s").removesuffix("/s") if row.flop else NONE,
        quantity(moved, "bytes") if moved else NONE,
        quantity(row.flop / row.bytes, "") if row.bytes and row.flop else NONE,
        quantity(row.time_s, "s"),
        largest(row),
        percent(row.time_s / phase.time_s if phase.time_s else None),
    )


# --- several scenarios ---


class Outcome(NamedTuple):
    """One scenario of a check under its name or label: its answer, or what is wrong with it."""

    name: str
    answer: Answer | None
    error: str


def check_page(outcomes: Sequence[Outcome], status: str, quiet: bool = False) -> Page:
    """One line a scenario, then why those that did not pass did not; these alone where it is quiet."""
    answers = [item.answer for item in outcomes if item.answer is not None]
    columns = ("verdict", "scenario", "model", "on", "TTFT", "TPOT", "tokens/s")
    tables = [Table("", columns, "llllrrr", tuple(map(_line, outcomes)))]
    reasons = tuple((item.name, why) for item in outcomes if (why := reason(item)))
    if quiet:
        bad = [item for item in outcomes if reason(item)]
        return Page(status, (_tally(outcomes), *(f"{_verdict(item)}  {item.name}" for item in bad)))
    if reasons:
        tables.append(Table("Why", ("scenario", "reason"), "ll", reasons))
    return Page(
        status=status,
        headline=(_tally(outcomes),),
        tables=tuple(tables),
        notes=_notes(
            _shared([answer.assumptions for answer in answers]),
            _shared([answer.no_effect for answer in answers]),
            _shared([answer.not_modelled for answer in answers]) or NEVER_MODELLED,
        ),
    )


_TALLIED = {
    "PASS": "passed",
    "FITS": "done",
    "FAIL": "failed",
    "DOES NOT FIT": "not fitting",
    "ERROR": "in error",
}


def _tally(outcomes: Sequence[Outcome]) -> str:
    counts: dict[str, int] = {}
    for item in outcomes:
        word = _TALLIED[_verdict(item)]
        counts[word] = counts.get(word, 0) + 1
    total = f"{len(outcomes)} scenario{'s' if len(outcomes) != 1 else ''}"
    return f"{total}: " + ", ".join(f"{number} {word}" for word, number in counts.items())


def _verdict(item: Outcome) -> str:
    if item.answer is None:
        return "ERROR"
    return headline(item.answer).status


def _line(item: Outcome) -> tuple[str, ...]:
    if item.answer is None:
        return (_verdict(item), item.name, *[NONE] * 5)
    scenario, found = item.answer.estimate.scenario, item.answer.estimate.metrics
    return (
        _verdict(item),
        item.name,
        named(scenario.model),
        f"{count(scenario.plan.chips)} × {named(scenario.platform.chip)}",
        quantity(found.ttft_s, "s"),
        quantity(found.tpot_s, "s"),
        quantity(found.output_tokens_per_s, ""),
    )


def reason(item: Outcome) -> str:
    """Why a scenario did not pass; empty where it did."""
    if item.answer is None:
        return item.error
    failed = ", ".join(objective(judged) for judged in item.answer.judged if not judged.passed)
    return item.answer.estimate.why or failed


def _shared(said: Sequence[Sequence[str]]) -> list[str]:
    """What is said of all of them, and of some."""
    seen: dict[str, int] = {}
    for texts in said:
        for text in texts:
            seen[text] = seen.get(text, 0) + 1
    whole = len(said)
    return [text if times == whole else f"{text} ({times} of {whole})" for text, times in seen.items()]
