"""What was asked for and changes nothing, found by asking again without it."""

from __future__ import annotations

from typing import Any

from genzcli.cli.asking.request import Request
from genzcli.cli.asking.resolve import AXES, Resolved, resolve
from genzcli.engine.estimate import estimate
from genzcli.engine.result import Estimate
from genzcli.errors import GenzError
from genzcli.spec.workload import Scenario

#: Words that any answer depends on, or that say what to name and to judge.
_ALWAYS = (
    *("model", "hardware", "name", "usecase", "input", "output", "batch", "concurrency", "batching"),
    *("chips", *AXES, "precision", "stack", "slo", "catalog", "places", "price", "set"),
)


def idle(resolved: Resolved, answer: Estimate) -> tuple[str, ...]:
    """The words of the question, and the changed fields, that have no effect, with the reason."""
    request, scenario = resolved.request, resolved.scenario
    reasons: dict[str, list[str]] = {}
    for word in _asked(request):
        why = _why(word, scenario)
        # What does not fit was not timed: only what the model cannot have is known to change nothing.
        known = answer.fits or why == _no_experts(scenario)
        if known and _same(resolved, answer, {word: _NOTHING[word]}):
            reasons.setdefault(why, []).append(word.replace("_", "-"))
    if scenario.plan.precision.experts and not scenario.model.has_experts:
        reasons.setdefault(_no_experts(scenario), []).append("the precision of experts")
    for position, edit in enumerate(request.set if answer.fits else ()):
        others = (*request.set[:position], *request.set[position + 1 :])
        if _same(resolved, answer, {"set": others}):
            reasons.setdefault(_UNUSED, []).append(f"--set {edit.text}")
    return tuple(f"{', '.join(words)} ({why})" for why, words in reasons.items())


def _asked(request: Request) -> list[str]:
    return [word for word in Request._fields if word not in _ALWAYS and getattr(request, word)]


_UNUSED = "this answer does not depend on it"
_NOTHING = Request._field_defaults


def _same(resolved: Resolved, answer: Estimate, words: dict[str, Any]) -> bool:
    """Whether the answer stays what it is with other words, its plan held; a default is no change."""
    request = resolved.request
    plan = resolved.scenario.plan
    degrees = {axis: str(int(getattr(plan, axis))) for axis in AXES} | {"chips": str(int(plan.chips))}
    try:
        without = resolve(request._replace(**{**degrees, **words})).scenario
        if without == resolved.scenario:
            return False
        return _shown(estimate(without, explain=False)) == _shown(answer)
    except GenzError:  # nothing can be answered without it
        return False


def _shown(answer: Estimate) -> tuple[Any, ...]:
    """What a reader sees of an answer; a memory that holds nothing is not there."""
    memory = answer.memory.replace(tiers={name: used for name, used in answer.memory.tiers.items() if used})
    phases = {name: phase.replace(operators=()) for name, phase in answer.phases.items()}
    return answer.fits, memory, answer.draft_memory, answer.metrics, phases


def _why(word: str, scenario: Scenario) -> str:
    """Why a word changes nothing, where that is known."""
    plan, model = scenario.plan, scenario.model
    if word in ("routing", "imbalance", "alpha", "redundant_experts") and not model.has_experts:
        return _no_experts(scenario)
    if word == "imbalance" and plan.ep == 1:
        return "experts are on one rank, which has the mean"
    if word == "imbalance" and plan.routing == "worst":
        return "routing worst sends every token to one rank as it is"
    if word in ("image_tokens", "image_size") and not scenario.usecase.images:
        return "no images are asked for"
    if word in ("sp", "overlap") and plan.tp * plan.pp * plan.ep == 1:
        return "a chip that holds the whole model sends nothing"
    return _REASONS.get(word, _UNUSED)


_REASONS = {
    "sp": "tp is 1",
    "uneven": "the degrees divide heads and experts",
    "placement": "weights and cache lie in one memory",
    "offload": "the chip's own memory holds everything",
    "flash": "no layer writes scores",
    "kv_keep": "no layer keeps a cache",
}


def _no_experts(scenario: Scenario) -> str:
    return f"{scenario.model.name} has no experts"
