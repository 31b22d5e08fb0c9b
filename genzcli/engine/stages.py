"""Pipeline stages: which layers stand where. Equal stages are kept once, with their number."""

from __future__ import annotations

from collections.abc import Mapping

from genzcli.errors import PlanError
from genzcli.spec.model import Model
from genzcli.spec.noun import Noun, count, flag, other


class Stage(Noun):
    """Layers of one pipeline stage by kind of block, and what stands at its ends."""

    layers: Mapping[str, int] = other("kind of block to number of layers")
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
        return (Stage(layers=counts, first=True, last=True),)
    order = [name for name, repeat in model.stack for _ in range(int(repeat))]
    result: list[Stage] = []
    start = 0
    for position, size in enumerate(split(len(order), pp)):
        layers = _count((name, 1) for name in order[start : start + size])
        start += size
        stage = Stage(layers=layers, first=position == 0, last=position == pp - 1)
        if result and result[-1].replace(repeat=1) == stage:
            result[-1] = result[-1].replace(repeat=result[-1].repeat + 1)
        else:
            result.append(stage)
    return tuple(result)


def _count(runs: object) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name, repeat in runs:  # type: ignore[attr-defined]
        counts[name] = counts.get(name, 0) + repeat
    return counts
