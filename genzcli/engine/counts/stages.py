"""Pipeline stages: which layers stand where. Equal stages are kept once, with their number."""

from __future__ import annotations

from collections.abc import Mapping

from genzcli.errors import PlanError
from genzcli.spec.model import Model
from genzcli.spec.noun import Noun, count, flag, other


class Stage(Noun):
    """Layers of one pipeline stage by kind of block, and what stands at its ends."""

    layers: Mapping[str, int] = other("kind of block to number of layers")
    encoder: Mapping[str, int] = other("its layers of an encoder, the same way", default={})
    first: bool = flag("holds the embedding", default=False)
    last: bool = flag("holds the LM head", default=False)
    repeat: int = count("equal stages", default=1)


def split(total: int, parts: int) -> list[int]:
    """`total` layers on `parts` stages, as even as can be; the first ones take what is left over.

    126 on 4 is 32, 32, 31, 31.
    """
    if not 1 <= parts <= total:
        raise PlanError(
            f"{total} layers cannot be spread over {parts} pipeline stages",
            where="--pp",
            cure=f"use 1 to {total}",
        )
    least, more = divmod(total, parts)
    return [least + 1] * more + [least] * (parts - more)


def stages(model: Model, pp: int) -> tuple[Stage, ...]:
    """The stages in order of the pipeline, equal neighbours merged."""
    if pp == 1:
        counts = _count(model.stack)
        held = {} if model.encoder is None else _count(model.encoder.stack)
        return (Stage(layers=counts, encoder=held, first=True, last=True),)
    order = [name for name, repeat in model.stack for _ in range(int(repeat))]
    result: list[Stage] = []
    start, ahead = 0, _spread(model, pp)
    for position, size in enumerate(split(len(order), pp)):
        layers = _count((name, 1) for name in order[start : start + size])
        start += size
        ends = {"first": position == 0, "last": position == pp - 1}
        stage = Stage(layers=layers, encoder=ahead[position], **ends)
        if result and result[-1].replace(repeat=1) == stage:
            result[-1] = result[-1].replace(repeat=result[-1].repeat + 1)
        else:
            result.append(stage)
    return tuple(result)


def _spread(model: Model, pp: int) -> list[dict[str, int]]:
    """An encoder's layers over the stages, as even as can be; a stage may have none."""
    stack = () if model.encoder is None else model.encoder.stack
    order = [name for name, repeat in stack for _ in range(int(repeat))]
    least, more = divmod(len(order), pp)
    result, start = [], 0
    for position in range(pp):
        size = least + (position < more)
        result.append(_count((name, 1) for name in order[start : start + size]))
        start += size
    return result


def _count(runs: object) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name, repeat in runs:  # type: ignore[attr-defined]
        counts[name] = counts.get(name, 0) + repeat
    return counts
