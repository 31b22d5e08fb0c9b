"""Serving runs of one structure as one array call of the engine; what does not fit runs in waves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from genzcli.engine.estimate import estimate
from genzcli.errors import GenzError
from genzcli.explore.validate.servings import Asked, Key, Nouns
from genzcli.numeric import maximum, minimum
from genzcli.spec.workload import Plan, Scenario, UseCase

if TYPE_CHECKING:
    from genzcli.numeric import Number
    from genzcli.spec.profile import Profile


class Stack(NamedTuple):
    """Rows of one structure, stacked."""

    key: Key
    nouns: Nouns
    places: tuple[int, ...]  # of the rows in the file
    input_tokens: Any
    output_tokens: Any
    batch: Any
    tp: Any
    dp: Any
    ep: Any


class Answers(NamedTuple):
    """Predictions by target in the target's unit, and how many times more than fits was asked."""

    values: Mapping[str, Any]
    waves: Any


def stacked(rows: Sequence[tuple[int, Asked]], nouns: Nouns) -> Stack:
    """Rows of one key, with their places in the file."""
    import numpy as np

    def column(name: str) -> Any:
        return np.array([getattr(item, name) for _, item in rows], dtype=float)

    names = ("input_tokens", "output_tokens", "batch", "tp", "dp", "ep")
    key = rows[0][1].key
    return Stack(key, nouns, tuple(place for place, _ in rows), *(column(name) for name in names))


def scenario(stack: Stack, profile: Profile, batch: Any) -> Scenario:
    """The stack as one question of the engine."""
    named = stack.nouns
    return Scenario(
        model=named.model,
        platform=named.platform,
        usecase=UseCase(input_tokens=stack.input_tokens, output_tokens=stack.output_tokens),
        plan=Plan(
            precision=named.precision,
            batch=batch,
            tp=stack.tp,
            pp=stack.key.pp,
            dp=stack.dp,
            ep=stack.ep,
            batching=stack.key.batching,
            uneven="pad",
        ),
        profile=profile,
    )


def held(stack: Stack, profile: Profile) -> Any:
    """Requests that run at once: the batch, or what memory holds of it, or one a group."""
    most = estimate(scenario(stack, profile, stack.batch)).memory.max_batch
    return minimum(stack.batch, maximum(most, stack.dp))


def answers(stack: Stack, profile: Profile, together: Any = None) -> Answers:
    """Predictions of a stack.

    Of a static batch B of which n fit, n run together and a request behind them starts when one before it
    is done: B / n times the time of n. The first token is the mean over those waves. A server queues by
    itself (`engine.metrics`). A profile's numbers may be columns: then the answers have a row for each.
    """
    import numpy as np

    if together is None:
        together = held(stack, profile)
    waves = stack.batch / together
    server = stack.key.batching == "continuous"
    found = estimate(scenario(stack, profile, stack.batch if server else together)).metrics
    if found.ttft_s is None or found.e2e_s is None:
        raise GenzError("a single request does not fit")
    again: Number = np.ones_like(waves) if server else waves
    e2e = found.e2e_s * again
    values = {
        "e2e_s": e2e,
        "ttft_ms": (found.ttft_s + found.e2e_s * (again - 1) / 2) * 1e3,
        "output_tok_s": stack.batch * stack.output_tokens / e2e,
    }
    if found.tpot_s is not None:
        values["tpot_ms"] = found.tpot_s * 1e3
    return Answers(values, waves)
