"""Prefill and decode of a case: which passes run, and how the pipeline schedules them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from genzcli.engine import beside, mixers, passes, prompts
from genzcli.engine.case import Case
from genzcli.engine.cross import Look
from genzcli.engine.passes import Pipeline, Setting, Tokens
from genzcli.engine.result import OperatorTime
from genzcli.engine.roofline import Parts
from genzcli.engine.spans import DecodeStep, Prefill
from genzcli.engine.speculation import expected_tokens
from genzcli.engine.table import Mix, Table, scaled
from genzcli.numeric import ceil, clip, is_array, maximum, minimum, sqrt, where
from genzcli.spec.noun import Noun, noun, other

if TYPE_CHECKING:
    from genzcli.numeric import Number

# Three-point Gauss-Legendre on [-1, 1], weights halved so that they add to one.
_NODES = ((-(0.6**0.5), 5 / 18), (0.0, 8 / 18), (0.6**0.5, 5 / 18))


class Timing(Noun):
    """A phase before it is reported: the schedule's parts, all work done, and the operator rows."""

    mean: Parts = noun(Parts, "of the pass, or of the mean decode step")
    first_s: Number = other("first decode step, or the pass")
    last_s: Number = other("last decode step, or the pass")
    work: Parts = noun(Parts, "busy seconds of one chip of every stage, all micro-batches")
    rows: tuple[OperatorTime, ...] = other("operator rows", default=())
    slot_s: Number = other("time one micro-batch keeps a stage from the next", default=0.0)
    pass_s: Number = other("time of one pass through all stages", default=0.0)
    passes: Number = other("passes that a prompt, or the batch of prompts, needs", default=1)


def time_prefill(case: Case) -> Timing:
    """The pass over the prompts: of the whole batch when it arrives together, of one request otherwise.

    With a chunk, the passes that they need. A draft model reads the prompt too.
    """
    timed = _prefill_of(case)
    if case.draft is None:
        return timed
    draft = _prefill_of(case.draft)
    return _together(timed, 1, draft, 1).replace(
        slot_s=timed.slot_s + draft.slot_s, pass_s=timed.pass_s + draft.pass_s, passes=timed.passes
    )


def _prefill_of(case: Case) -> Timing:
    scenario = case.scenario
    together = case.requests if scenario.plan.batching == "static" else 1
    prompt = prompts.decoder_tokens(scenario.model, scenario.usecase)
    new = maximum(prompt * (1 - scenario.plan.prefix_hit), 1)  # the last token at least is computed
    if scenario.plan.chunk is not None:
        return _time_chunks(case, together, new, scenario.plan.chunk)
    micro = minimum(together, scenario.plan.pp)
    each = together / micro
    visits = (Prefill(sequences=each, new=new, past=prompt - new),)
    work = Tokens(tokens=each * new, sequences=each, heads=each)
    return _time_passes(case, visits, work, micro, each * new / prompt)


def _time_chunks(case: Case, together: Number, new: Number, chunk: Number) -> Timing:
    """Prompts in passes of `chunk` tokens, where the decode tokens of the other requests come first.

    Of C requests of `new` prompt tokens and T steps, d = min(C - 1, chunk T / (new + T Sb)) decode in a pass
    on average: all others, or as many as prompts let through when these set the pace. A pass has
    chunk - d Sb tokens left, so a prompt needs n = new / that, and short prompts share a pass as far as
    others wait for it. A static batch has nobody decoding yet, and its last chunk may be partly empty.
    """
    usecase = case.scenario.usecase
    steps, others = usecase.output_tokens - 1, case.requests - 1
    if case.scenario.plan.batching == "static":
        decoding: Number = 0
        count = ceil(together * new / chunk)
        tokens = together * new / count
    else:
        decoding = minimum(others, chunk * steps / (new + steps * usecase.beams))
        room = maximum(chunk - decoding * usecase.beams, 1)
        alone = where(others > 0, minimum(steps / maximum(others, 1), 1), 1)
        count = maximum(maximum(new / room, alone), 1 / case.requests)  # never more prompts than there are
        tokens = new / count
    size = minimum(tokens, new)
    prompt = prompts.decoder_tokens(case.scenario.model, usecase)
    start = prompt - new
    visits: tuple[Prefill | DecodeStep, ...] = (
        Prefill(sequences=tokens / size, new=size, past=start, whole=new),
    )
    if case.scenario.plan.batching == "continuous":
        visits = (*visits, _step(case, decoding, maximum(usecase.output_tokens / 2, 1)))
    beside = decoding * usecase.beams
    work = Tokens(tokens=tokens + beside, sequences=tokens / size + decoding, heads=tokens / size + beside)
    return _time_passes(case, visits, work, count, tokens / prompt).replace(passes=count)


def _time_passes(
    case: Case, visits: tuple[Prefill | DecodeStep, ...], work: Tokens, count: Number, fresh: Number
) -> Timing:
    """`count` equal passes, one behind the other through the pipeline, each with `fresh` prompts' worth."""
    table = Table(case)
    before = table.layers(lambda setting, name, rows: passes.run_before(setting, name, work.tokens, rows))
    layers = before
    for visit in visits:
        layers = _added(layers, table.layers(_kernels_of(visit)))
    layers = _across(case, table, layers, work, fresh)
    after = table.layers(lambda setting, name, rows: passes.run_after(setting, name, work.tokens, rows))
    layers = _adapted(case, work, _added(layers, after), table)
    line = _line(case, work, layers, table, fresh)
    parts = passes.prefill_parts(line, maximum(count, 1))
    return Timing(
        mean=parts,
        first_s=parts.time,
        last_s=parts.time,
        work=passes.work_parts(line, count),
        rows=table.report(line, parts, work.sequences),
        slot_s=line.slowest.time,
        pass_s=line.through.time,
    )


def _kernels_of(visit: Prefill | DecodeStep) -> Callable[[Setting, str, list[OperatorTime]], Parts]:
    return lambda setting, name, rows: passes.run_kernels(setting, name, visit, rows)


def time_decode(case: Case) -> Timing | None:
    """Mean, first and last decode step; None when one token is all that is asked for.

    With a draft model, N of its steps and one verification, over the tokens that they yield.
    """
    plan = case.scenario.plan
    if case.draft is None:
        return _decode_of(case, 1)
    verify, draft = _decode_of(case, plan.draft_tokens + 1), _decode_of(case.draft, 1)
    if verify is None or draft is None:
        return None
    # A request of few tokens still takes a whole round.
    yielded = minimum(expected_tokens(plan), maximum(case.scenario.usecase.output_tokens - 1, 1))
    return _together(verify, 1 / yielded, draft, plan.draft_tokens / yielded)


def _together(target: Timing, share: Number, draft: Timing, times: Number) -> Timing:
    """The target's passes and the draft's, weighted."""
    drafted = tuple(scaled(row, times).replace(block=f"draft {row.block}") for row in draft.rows)
    return Timing(
        mean=target.mean * share + draft.mean * times,
        first_s=target.first_s * share + draft.first_s * times,
        last_s=target.last_s * share + draft.last_s * times,
        work=target.work * share + draft.work * times,
        rows=(*drafted, *(scaled(row, share) for row in target.rows)),
    )


def _decode_of(case: Case, width: Number) -> Timing | None:
    """Decode steps of one model, `width` tokens of every beam at a time."""
    scenario = case.scenario
    steps = scenario.usecase.output_tokens - 1
    if not is_array(steps) and steps < 1:
        return None
    steps = maximum(steps, 1)
    case = case.under("decode")
    micro = minimum(case.requests, scenario.plan.pp)
    each = case.requests / micro
    tokens = each * scenario.usecase.beams * width
    work = Tokens(tokens=tokens, sequences=each, heads=tokens)
    table, visit = Table(case), _step(case, each, 1).replace(width=width)
    before = table.layers(lambda setting, name, rows: passes.run_before(setting, name, tokens, rows))
    inside = table.layers(lambda setting, name, rows: _mean_kernels(setting, name, visit, steps, rows))
    before = _across(case, table, before, work, None)
    after = table.layers(lambda setting, name, rows: passes.run_after(setting, name, tokens, rows))
    fixed = _adapted(case, work, _added(before, after), table)
    mean = _line(case, work, _added(fixed, inside), table)
    quiet = Table(case.under("decode", explain=False))

    def at(step: Number) -> Number:
        found = quiet.layers(_kernels_of(visit.replace(step=step)))
        line = _line(quiet.case, work, _added(fixed, found), quiet)
        return passes.decode_parts(line, micro).time

    parts = passes.decode_parts(mean, micro)
    return Timing(
        mean=parts,
        first_s=at(1),
        last_s=at(steps),
        work=passes.work_parts(mean, micro),
        rows=table.report(mean, parts, each),
    )


def _added(a: list[dict[str, Parts]], b: list[dict[str, Parts]]) -> list[dict[str, Parts]]:
    return [{name: one[name] + two[name] for name in one} for one, two in zip(a, b, strict=True)]


def _adapted(
    case: Case, work: Tokens, layers: list[dict[str, Parts]], table: Table
) -> list[dict[str, Parts]]:
    """The layers with their LoRA adapters, where there are any."""
    if case.setting.options.adapters is None:
        return layers
    beside = table.layers(lambda setting, name, rows: passes.run_adapters(setting, name, work, rows))
    return _added(layers, beside)


def _across(
    case: Case, table: Table, layers: list[dict[str, Parts]], work: Tokens, fresh: Number | None
) -> list[dict[str, Parts]]:
    """The layers with their cross-attention, where the model has any."""
    scenario = case.scenario
    if not scenario.model.looks_across:
        return layers
    seen = prompts.seen_across(scenario.model, scenario.usecase) * scenario.plan.kv_keep
    look = Look(tokens=work.tokens, sequences=work.sequences, seen=seen, fresh=fresh)
    found = table.layers(lambda setting, name, rows: passes.run_across(setting, name, look, rows))
    return _added(layers, found)


def _line(
    case: Case,
    work: Tokens,
    layers: list[dict[str, Parts]],
    table: Table,
    fresh: Number | None = None,
) -> Pipeline:
    """The pipeline of a pass; one with `fresh` prompts runs the encoder or the vision tower on them."""
    model = case.scenario.model
    ends = passes.run_ends(case.settings[0], case.settings[-1], work, table.ends)
    hops = passes.all_hops(case.setting, work.tokens, case.scenario.plan.pp)
    if fresh is None or (model.encoder is None and model.vision is None):
        return passes.pipeline(case.setting, case.stages, work, layers, ends, hops)
    towers = beside.run(case, fresh, table.beside)
    hops = hops + beside.hops(case, fresh)
    return passes.pipeline(case.setting, case.stages, work, layers, ends, hops, towers)


def _step(case: Case, each: Number, step: Number) -> DecodeStep:
    usecase, keep = case.scenario.usecase, case.scenario.plan.kv_keep
    prompt = prompts.decoder_tokens(case.scenario.model, usecase)
    return DecodeStep(sequences=each, beams=usecase.beams, prompt=prompt, step=step, keep=keep)


def _mean_kernels(
    setting: Setting, name: str, visit: DecodeStep, steps: Number, rows: list[OperatorTime]
) -> Parts:
    """Mean over the steps 1..n of the time of a layer's kernels.

    Three Gauss nodes scaled to the variance of n whole steps, (n^2 - 1) / 12, so that sums of cubics
    are exact. A window bends the curve twice: where the context fills it, and where a beam's own
    tokens do. The nodes cover the steps before; between and behind the bends the kernel's counts are
    straight lines, and one node each is enough. Chunks make a saw: its counts are averaged in closed
    form. A recurrence costs the same at every step.
    """
    mixer = setting.model.blocks[name].mixer
    if mixer is None:
        return Parts()
    if mixers.is_steady(mixer):
        return passes.run_kernels(setting, name, visit.replace(until=steps), rows)
    total, mixed = Parts(), Mix()

    def add(step: Number, share: Number) -> None:
        nonlocal total
        own: list[OperatorTime] = []
        total = total + passes.run_kernels(setting, name, visit.replace(step=step), own) * share
        mixed.add(own, share)

    window = mixers.bend(mixer)
    bend = steps if window is None else clip(window - visit.prompt, 0, steps)
    inside = maximum(bend, 1)
    middle, half = (inside + 1) / 2, sqrt(inside * inside - 1) / 2
    for node, weight in _NODES:
        add(middle + node * half, weight * bend / steps)
    if window is not None:
        own_fill = clip(window, bend, steps)
        add(maximum((bend + 1 + own_fill) / 2, 1), (own_fill - bend) / steps)
        add((own_fill + 1 + steps) / 2, (steps - own_fill) / steps)
    rows.extend(mixed.rows)
    return total
