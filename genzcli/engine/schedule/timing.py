"""Prefill and decode of one model: which passes run, and how the pipeline schedules them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from genzcli.engine.counts import mixers
from genzcli.engine.counts.cross import Look
from genzcli.engine.counts.prompts import decoder_tokens, seen_across
from genzcli.engine.counts.spans import DecodeStep, Prefill
from genzcli.engine.counts.speculation import round_tokens, verified
from genzcli.engine.machine.roofline import Parts, joined
from genzcli.engine.result import OperatorTime
from genzcli.engine.schedule import beside, passes
from genzcli.engine.schedule.case import Case, in_phase
from genzcli.engine.schedule.passes import Base, Setting, Tokens
from genzcli.engine.schedule.table import Mix, Table
from genzcli.numeric import ceil, clip, is_array, maximum, minimum, sqrt
from genzcli.spec.noun import Noun, noun, other, ratio
from genzcli.spec.workload import Scenario

if TYPE_CHECKING:
    from genzcli.numeric import Number

# Three-point Gauss-Legendre on [-1, 1], weights halved so that they add to one.
_NODES = ((-(0.6**0.5), 5 / 18), (0.0, 8 / 18), (0.6**0.5, 5 / 18))


class Timing(Noun):
    """A phase before it is reported: the schedule's parts, all work done, and the operator rows."""

    mean: Parts = noun(Parts, "of the pass, or of the mean decode step")
    first_s: Number = other("first decode step, or the pass; in a brief case, the mean step")
    last_s: Number = other("last decode step, or the pass; in a brief case, the mean step")
    work: Parts = noun(Parts, "busy seconds of one chip of every stage, all micro-batches")
    away: Parts = noun(Parts, "the same on the draft model's own chips", default=Parts())
    rows: tuple[OperatorTime, ...] = other("operator rows", default=())
    slot_s: Number = other("time one micro-batch keeps a stage from the next", default=0.0)
    pass_s: Number = other("time of one pass through all stages", default=0.0)
    passes: Number = other("passes that a prompt, or the batch of prompts, needs", default=1)


def prefill_of(case: Case, prompts: Number = 1) -> Timing:
    """The pass over the prompts: of the whole batch when it arrives together, else of `prompts` requests.

    With a chunk, the passes that they need.
    """
    scenario = case.scenario
    together = case.requests if scenario.plan.batching == "static" else prompts
    new = new_tokens(scenario)
    if scenario.plan.chunk is not None:
        count = ceil(together * new / scenario.plan.chunk)
        return chunk_pass(case, Chunk(tokens=together * new / count, passes=count))
    micro = _microbatches(together, scenario.plan.pp)
    each = together / micro
    past = decoder_tokens(scenario.model, scenario.usecase) - new
    visits = (Prefill(sequences=each, new=new, past=past),)
    work = Tokens(tokens=each * new, sequences=each, heads=each)
    return time_passes(case, visits, work, micro, each * new / (past + new))


def new_tokens(scenario: Scenario) -> Number:
    """Prompt tokens that are computed: those that no prefix cache has, the last one at least."""
    prompt = decoder_tokens(scenario.model, scenario.usecase)
    return maximum(prompt * (1 - scenario.plan.prefix_hit), 1)


class Chunk(Noun):
    """A mean pass of chunked prefill: prompt tokens, and requests that decode along."""

    tokens: Number = ratio("prompt tokens of a pass")
    passes: Number = ratio("passes that a prompt, or the batch of prompts, needs")
    decoding: Number = ratio("requests that decode in it", default=0)
    width: Number = ratio("tokens of each of their beams", default=1)
    scored: Number = ratio("of these, tokens that the head sees", default=1)


def server_chunk(case: Case, chunk: Number) -> Chunk:
    """What a pass of `chunk` tokens holds on a server, where decode tokens come first.

    A request of `new` prompt tokens decodes in R passes, w tokens of each beam at a time: R = td - 1 and
    w = 1, or its rounds and N + 1 with drafts. Of C requests all others decode, C - 1, spread over the pp
    passes that are under way at once; where C > 1 + R, the C R / (1 + R) that have their first token; where
    prompts set the pace, the chunk R / (new + R w Sb) a pass that these let through. A pass with d of them
    has chunk - d w Sb tokens left, so a prompt needs n = new / that, at least pp (1 + R) / C: so many short
    ones share a pass as come in a request's own time. Tokens are conserved: where prompts set the pace, a
    cycle has C (new + R w Sb) / chunk full passes.
    """
    scenario = case.scenario
    plan, requests, rounds = scenario.plan, case.requests, _rounds(scenario)
    new, width = new_tokens(scenario), verified(plan)
    decoding = minimum(requests - 1, requests * (rounds / (1 + rounds))) / plan.pp
    decoding = minimum(decoding, _let_through(scenario, chunk))
    room = chunk - decoding * width * scenario.usecase.beams  # at least chunk new / (new + R w Sb)
    count = maximum(new / room, minimum(plan.pp * (1 + rounds) / requests, 1))
    return Chunk(tokens=new / count, passes=count, decoding=decoding, width=width, scored=width)


def decode_together(case: Case, chunk: Number) -> Number:
    """Requests in a plain step of that server: all C, or as many as its prompts let through and one more.

    The others wait before their prompt, so no pass ever has them all.
    """
    return minimum(case.requests, _let_through(case.scenario, chunk) * case.scenario.plan.pp + 1)


def _rounds(scenario: Scenario) -> Number:
    """Passes that a request decodes in."""
    usecase = scenario.usecase
    return (usecase.output_tokens - 1) / round_tokens(scenario.plan, usecase)


def _let_through(scenario: Scenario, chunk: Number) -> Number:
    """Requests that decode in a pass when prompts set the pace: chunk R / (new + R w Sb)."""
    rounds, each = _rounds(scenario), verified(scenario.plan) * scenario.usecase.beams
    return chunk * rounds / (new_tokens(scenario) + rounds * each)


def chunk_pass(case: Case, chunk: Chunk) -> Timing:
    """The passes of a prompt in chunks, each with those who decode along.

    A static batch has nobody decoding yet, and its last chunk may be partly empty.
    """
    usecase, new = case.scenario.usecase, new_tokens(case.scenario)
    size = minimum(chunk.tokens, new)
    prompts = chunk.tokens / size
    whole = decoder_tokens(case.scenario.model, usecase)
    start = whole - new
    visits: tuple[Prefill | DecodeStep, ...] = (Prefill(sequences=prompts, new=size, past=start, whole=new),)
    if case.scenario.plan.batching == "continuous":
        middle = maximum(usecase.output_tokens / 2, 1)
        visits = (*visits, _step(case, chunk.decoding, middle).replace(width=chunk.width))
    beside = chunk.decoding * usecase.beams
    work = Tokens(
        tokens=chunk.tokens + beside * chunk.width,
        sequences=prompts + chunk.decoding,
        heads=prompts + beside * chunk.scored,
    )
    return time_passes(case, visits, work, chunk.passes, chunk.tokens / whole).replace(passes=chunk.passes)


def step_between(case: Case, decoding: Number, passes: Number) -> Timing:
    """`passes` steps of one token, half way through the output, of `decoding` requests beside no prompt."""
    usecase = case.scenario.usecase
    visit = _step(case, decoding, maximum(usecase.output_tokens / 2, 1))
    work = Tokens(tokens=visit.tokens, sequences=decoding, heads=visit.tokens)
    return time_passes(case.under("decode"), (visit,), work, passes).replace(passes=passes)


def time_passes(
    case: Case,
    visits: tuple[Prefill | DecodeStep, ...],
    work: Tokens,
    count: Number,
    fresh: Number | None = None,
) -> Timing:
    """`count` equal passes, one behind the other through the pipeline, each with `fresh` prompts' worth."""
    table = Table(case)
    before = table.layers(lambda setting, name, rows: passes.run_before(setting, name, work.tokens, rows))
    inside = table.layers(_kernels_of(visits[0]))
    for visit in visits[1:]:
        inside = _added(inside, table.layers(_kernels_of(visit)))
    before = _across(case, table, before, work, fresh)
    after = table.layers(lambda setting, name, rows: passes.run_after(setting, name, work.tokens, rows))
    layers = _adapted(case, work, _added(before, after), table)
    bases, hops = _bases(case, work, layers, table, fresh)
    line = passes.pipeline(case.stages, bases, inside, hops)
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
    """A layer's kernel over a visit; those who decode beside a prompt have the kernels of decode."""

    def run(setting: Setting, name: str, rows: list[OperatorTime]) -> Parts:
        decoding = isinstance(visit, DecodeStep) and setting.rates.phase != "decode"
        return passes.run_kernels(in_phase(setting, "decode") if decoding else setting, name, visit, rows)

    return run


def decode_of(case: Case, width: Number = 1, scored: Number | None = None) -> Timing | None:
    """Mean, first and last decode step, `width` tokens of every beam at a time; None for a single token.

    The head sees `scored` of them, all if left out.
    """
    scenario = case.scenario
    steps = scenario.usecase.output_tokens - 1
    if not is_array(steps) and steps < 1:
        return None
    steps = maximum(steps, 1)
    case = case.under("decode")
    micro = _microbatches(case.requests, scenario.plan.pp)
    each = case.requests / micro
    tokens = each * scenario.usecase.beams * width
    heads = tokens if scored is None else each * scenario.usecase.beams * scored
    work = Tokens(tokens=tokens, sequences=each, heads=heads)
    table, visit = Table(case), _step(case, each, 1).replace(width=width)
    before = table.layers(lambda setting, name, rows: passes.run_before(setting, name, tokens, rows))
    inside = table.layers(lambda setting, name, rows: _mean_kernels(setting, name, visit, steps, rows))
    before = _across(case, table, before, work, None)
    after = table.layers(lambda setting, name, rows: passes.run_after(setting, name, tokens, rows))
    bases, hops = _bases(case, work, _adapted(case, work, _added(before, after), table), table)
    mean = passes.pipeline(case.stages, bases, inside, hops)
    parts = passes.decode_parts(mean, micro)

    def at(step: Number) -> Number:
        if case.brief:
            return parts.time
        found = Table(case.under("decode", explain=False)).layers(_kernels_of(visit.replace(step=step)))
        line = passes.pipeline(case.stages, bases, found, hops)
        return passes.decode_parts(line, micro).time

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
    seen = seen_across(scenario.model, scenario.usecase) * scenario.plan.kv_keep
    look = Look(tokens=work.tokens, sequences=work.sequences, seen=seen, fresh=fresh)
    found = table.layers(lambda setting, name, rows: passes.run_across(setting, name, look, rows))
    return _added(layers, found)


def _bases(
    case: Case,
    work: Tokens,
    layers: list[dict[str, Parts]],
    table: Table,
    fresh: Number | None = None,
) -> tuple[list[Base], Parts | None]:
    """What of each stage, and between them, is the same at every step.

    A pass with `fresh` prompts runs the encoder or the vision tower on them.
    """
    model = case.scenario.model
    ends = passes.run_ends(case.settings[0], case.settings[-1], work, table.ends)
    hops = passes.all_hops(case.setting, work.tokens, case.scenario.plan.pp)
    if fresh is None or (model.encoder is None and model.vision is None):
        return passes.bases(case.setting, case.stages, work, layers, ends), hops
    towers = beside.run(case, fresh, table.beside)
    around = beside.hops(case, fresh)
    if hops is not None and around is not None:
        hops = hops + around
    return passes.bases(case.setting, case.stages, work, layers, ends, towers), hops


def _microbatches(requests: Number, pp: int) -> Number:
    """As many as stages, if there are as many requests."""
    return 1 if pp == 1 else minimum(requests, pp)


def _step(case: Case, each: Number, step: Number) -> DecodeStep:
    usecase, keep = case.scenario.usecase, case.scenario.plan.kv_keep
    prompt = decoder_tokens(case.scenario.model, usecase)
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
    found: list[Parts] = []
    mixed = Mix()

    def add(step: Number, share: Number) -> None:
        own: list[OperatorTime] = []
        found.append(passes.run_kernels(setting, name, visit.replace(step=step), own) * share)
        mixed.add(own, share)

    window = mixers.bend(mixer)
    if window is not None:
        window = window / visit.keep  # steps until what is kept fills it
    bend = steps if window is None else clip(window - visit.prompt, 0, steps)
    inside = maximum(bend, 1)
    middle, half = (inside + 1) / 2, sqrt(inside * inside - 1) / 2
    for node, weight in _NODES:
        add(middle + node * half, weight if window is None else weight * bend / steps)
    if window is not None:
        own_fill = clip(window, bend, steps)
        add(maximum((bend + 1 + own_fill) / 2, 1), (own_fill - bend) / steps)
        add((own_fill + 1 + steps) / 2, (steps - own_fill) / steps)
    rows.extend(mixed.rows)
    return joined(found)
