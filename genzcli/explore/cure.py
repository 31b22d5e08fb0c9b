"""What would help: changes to a scenario that fails or does not fit, each with its effect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from genzcli.engine.estimate import estimate
from genzcli.engine.machine.memory import weights_of
from genzcli.engine.machine.placement import own_capacity
from genzcli.engine.result import Estimate
from genzcli.errors import PlanError
from genzcli.explore.plan import choose
from genzcli.slo import Judged, judge, verdict
from genzcli.spec.dtype import BITS, Precision, native
from genzcli.spec.metric import METRICS, label
from genzcli.spec.workload import Plan, Scenario, Slo
from genzcli.units import show, show_count

_MOST_CHIPS = 4096
#: Sizes of chunks that servers are given, the largest first: each one is a pass of its own.
_CHUNKS = (8192, 4096, 2048, 1024, 512, 256)


class Cure(NamedTuple):
    """One change, as the option that makes it, and what comes of it."""

    change: str
    effect: str
    cures: bool


def cures(before: Estimate, slos: tuple[Slo, ...], fixed: Mapping[str, int]) -> tuple[Cure, ...]:
    """What would help an answer, in the order a person would try it, what cures everything first.

    More chips (the smallest number that does), fewer in a shallower pipeline, a prompt in chunks, a narrower
    format, a smaller batch, each alone. A change that neither cures nor helps is left out.
    """
    found = [cure for cure in _all(before.scenario, slos, fixed, before) if cure is not None]
    return tuple(sorted(found, key=lambda cure: not cure.cures))


def smallest_chips(
    scenario: Scenario,
    fixed: Mapping[str, int],
    slos: tuple[Slo, ...] = (),
    counts: Iterable[int] | None = None,
) -> Scenario | None:
    """The first of `counts` chips on which the model fits (and meets `slos`), with their best plan.

    Left out, the counts are powers of two, one and a half times those, and whole platforms, from the
    number that could hold the weights at all.
    """
    for chips in counts if counts is not None else _counts(scenario):
        try:
            choice = choose(scenario, chips, fixed)
        except PlanError:
            continue
        if choice.fits and (not slos or verdict(judge(choice.answer, slos)) == "pass"):
            return choice.scenario
    return None


def _counts(scenario: Scenario) -> list[int]:
    """Numbers of chips worth trying, rising."""
    platform, plan = scenario.platform, scenario.plan
    whole = int(platform.chips)
    most = _MOST_CHIPS if platform.scale_out is not None else whole
    room = own_capacity(platform.chip) * (1 - scenario.reserve)
    least = weights_of(scenario.model, plan.precision) / room
    powers = [2**i for i in range(13)]
    tried = {n for p in powers for n in (p, p * 3 // 2, p * whole)}
    return sorted(n for n in tried if max(1, least) <= n <= most)


def _doublings(scenario: Scenario) -> list[int]:
    """Twice, four and eight times the chips, as far as the platform goes."""
    most = _MOST_CHIPS if scenario.platform.scale_out is not None else int(scenario.platform.chips)
    return [n for n in (int(scenario.plan.chips) * k for k in (2, 4, 8)) if n <= most]


def _all(
    scenario: Scenario, slos: tuple[Slo, ...], fixed: Mapping[str, int], before: Estimate
) -> Iterator[Cure | None]:
    if before.draft_memory is not None and not before.fits and before.memory.deficit_bytes <= 0:
        yield _more_draft_chips(scenario, slos, before)
    else:
        yield from _more_chips(scenario, slos, fixed, before)
        yield _fewer_chips(scenario, slos, fixed, before)
    yield _chunked(scenario, slos, before)
    yield from _narrower(scenario, slos, before)
    yield _offloaded(scenario, slos, before)
    yield from _smaller_batch(scenario, slos, before)


def _more_chips(
    scenario: Scenario, slos: tuple[Slo, ...], fixed: Mapping[str, int], before: Estimate
) -> Iterator[Cure | None]:
    """The smallest number of chips that cures it, and where that splits a platform, of whole platforms.

    Failing that, the smallest on which it fits.
    """
    # Degrees that multiply to the present chips cannot be kept when the number changes.
    free: Mapping[str, int] = {} if {"tp", "pp", "dp"} & fixed.keys() else fixed
    if before.fits:
        # A deeper pipeline brings no request its tokens sooner.
        free = {**free, "pp": int(scenario.plan.pp)}
        yield _on_chips(scenario, free, slos, before, _doublings(scenario))
        return
    least = smallest_chips(scenario, free)
    if least is None:
        return
    if slos:
        enough = _on_chips(least, free, slos, before, [int(least.plan.chips), *_doublings(least)])
        if enough is not None and enough.cures:
            yield enough
            return
    yield _cure(_words(least.plan), least, slos, before)
    whole = int(scenario.platform.chips)
    if least.plan.chips % whole:
        counts = [n for n in _counts(scenario) if n > least.plan.chips and n % whole == 0]
        yield _on_chips(scenario, free, (), before, counts, shown=slos)


def _fewer_chips(
    scenario: Scenario, slos: tuple[Slo, ...], fixed: Mapping[str, int], before: Estimate
) -> Cure | None:
    """The power of two below the present number, where the model's heads allow it no more than a pipeline.

    12 chips are tp 4 of 3 stages for 64 heads; 8 are tp 8, and each request is served sooner.
    """
    chips = int(scenario.plan.chips)
    if not before.fits or scenario.plan.pp == 1 or {"tp", "pp", "dp"} & fixed.keys():
        return None
    if chips & (chips - 1) == 0:
        return None
    return _on_chips(scenario, fixed, (), before, [1 << chips.bit_length() - 1], shown=slos)


def _chunked(scenario: Scenario, slos: tuple[Slo, ...], before: Estimate) -> Cure | None:
    """A prompt in chunks fills all stages of a pipeline: the largest chunk that passes, else the best one."""
    plan = scenario.plan
    missed = {item.metric for item in judge(before, slos) if not item.passed}
    if not before.fits or plan.pp == 1 or plan.chunk is not None or not missed & {"ttft", "e2e"}:
        return None
    prompt = float(scenario.usecase.input_tokens)
    best: tuple[float, Cure] | None = None
    for tokens in (size for size in _CHUNKS if size < prompt):
        case = scenario.replace(plan=plan.replace(chunk=tokens))
        found = _cure(f"--chunk {tokens}", case, slos, before)
        if found is None:
            continue
        if found.cures:
            return found
        first = float(estimate(case, brief=True).metrics.ttft_s or 0.0)
        best = min(best, (first, found), key=lambda pair: pair[0]) if best else (first, found)
    return None if best is None else best[1]


def _more_draft_chips(scenario: Scenario, slos: tuple[Slo, ...], before: Estimate) -> Cure | None:
    """The smallest power of two of its own chips on which a draft fits."""
    site = scenario.plan.draft_on
    if site is None:
        return None
    for chips in (2**i for i in range(11)):
        plan = scenario.plan.replace(draft_on=site.replace(chips=chips))
        cure = _cure(f"--draft-chips {chips}", scenario.replace(plan=plan), slos, before)
        if cure is not None:
            return cure
    return None


def _on_chips(
    scenario: Scenario,
    fixed: Mapping[str, int],
    slos: tuple[Slo, ...],
    before: Estimate,
    counts: Iterable[int],
    shown: tuple[Slo, ...] = (),
) -> Cure | None:
    """The first of `counts` on which it fits and meets `slos`."""
    wanted = smallest_chips(scenario, fixed, slos, counts)
    return None if wanted is None else _cure(_words(wanted.plan), wanted, slos or shown, before)


def _words(plan: Plan) -> str:
    """The options that ask for a plan's chips."""
    degrees = [f"--{axis} {getattr(plan, axis)}" for axis in ("tp", "pp", "dp", "ep")]
    asked = [word for word in degrees if not word.endswith(" 1")]
    return " ".join((f"--chips {plan.chips:g}", *asked))


def _narrower(scenario: Scenario, slos: tuple[Slo, ...], before: Estimate) -> Iterator[Cure | None]:
    """8-bit and 4-bit storage, where that is narrower than now; without 4-bit units, of the weights alone."""
    now = BITS[scenario.plan.precision.weights]
    peaks = scenario.platform.chip.peaks
    eight = "fp8" if "fp8" in peaks else "int8" if "int8" in peaks else "w8a16"
    for word in (eight, "fp4" if "fp4" in peaks else "w4a16"):
        precision = Precision.of(word)
        if BITS[precision.weights] < now and native(precision.compute, peaks) is not None:
            plan = scenario.plan.replace(precision=precision)
            yield _cure(f"--precision {word}", scenario.replace(plan=plan), slos, before)


def _offloaded(scenario: Scenario, slos: tuple[Slo, ...], before: Estimate) -> Cure | None:
    """The platform's own memories behind a link, as many as it takes, where the chip's do not hold it."""
    plan, names = scenario.plan, list(scenario.plan.offload)
    if before.fits:
        return None
    for name in scenario.platform.memory:
        if name in names:
            continue
        names.append(name)
        more = plan.replace(offload=tuple(names))
        cure = _cure(f"--offload {','.join(names)}", scenario.replace(plan=more), slos, before)
        if cure is not None:
            return cure
    return None


def _smaller_batch(scenario: Scenario, slos: tuple[Slo, ...], before: Estimate) -> Iterator[Cure | None]:
    """The largest batch that fits, or the largest that meets the objectives."""
    plan, largest = scenario.plan, int(before.memory.max_batch)
    if not before.fits and 1 <= largest < plan.batch:
        smaller = scenario.replace(plan=plan.replace(batch=largest))
        yield _cure(f"{_load(plan)} {largest}", smaller, slos, before)
    if before.fits and plan.batch > 1:
        yield _batch_for(scenario, slos, before)


def _load(plan: Plan) -> str:
    """The flag that says how many requests there are."""
    return "--batch" if plan.batching == "static" else "--concurrency"


def _batch_for(scenario: Scenario, slos: tuple[Slo, ...], before: Estimate) -> Cure | None:
    """Bisect the batch: times grow with it, so the largest that passes is found in log2 steps."""
    plan = scenario.plan
    low, high = int(plan.dp), int(plan.batch)

    def passes(batch: int) -> bool:
        return (
            verdict(judge(estimate(scenario.replace(plan=plan.replace(batch=batch)), brief=True), slos))
            == "pass"
        )

    if low >= high or not passes(low):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if passes(middle) else (low, middle)
    return _cure(f"{_load(plan)} {low}", scenario.replace(plan=plan.replace(batch=low)), slos, before)


def _cure(change: str, scenario: Scenario, slos: tuple[Slo, ...], before: Estimate) -> Cure | None:
    """The change's effect; None when it does not help."""
    try:
        after = estimate(scenario, brief=True)
    except PlanError:
        return None
    if not after.fits:
        return None
    judged = judge(after, slos)
    if before.fits and not _helps(judge(before, slos), judged):
        return None
    ok = verdict(judged) in (None, "pass")
    words = [] if before.fits else ["fits"]
    words += [_shown(item) for item in judged] or _headline(after)
    return Cure(change, ", ".join(words) + ("" if ok else ", still fails"), ok)


def _helps(before: tuple[Judged, ...], after: tuple[Judged, ...]) -> bool:
    """Some failed objective gets at least 5 % closer to its limit."""
    return any(
        not old.passed and new.margin is not None and (old.margin is None or new.margin > old.margin + 0.05)
        for old, new in zip(before, after, strict=True)
    )


def _shown(item: Judged) -> str:
    """The metric as a report names it, with its value."""
    if item.actual is None:
        return f"no {label(item.metric)}"
    return f"{label(item.metric)} {_value(item.metric, float(item.actual) / METRICS[item.metric].scale)}"


def _headline(after: Estimate) -> list[str]:
    name = "tpot" if after.metrics.tpot_s is not None else "ttft"
    return [f"{label(name)} {_value(name, getattr(after.metrics, METRICS[name].field))}"]


def _value(name: str, value: float) -> str:
    metric = METRICS[name]
    if metric.unit == "s":
        return show(value, "s")
    return f"{show_count(value)} {metric.output_unit}"
