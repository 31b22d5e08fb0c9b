"""The few numbers of a profile that a calibration moves: where they stand, their bounds, what shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from genzcli.spec.profile import CollectiveFit, OperatorFit, Profile

if TYPE_CHECKING:
    from genzcli.numeric import Number


class Knob(NamedTuple):
    """One number: its logarithm is moved within bounds, and pulled towards the start with this spread."""

    name: str
    low: float
    high: float
    spread: float  # standard deviation of the logarithm, over chips and stacks
    helps: str  # rows that would show it
    least: float | None = None  # where a start of zero begins


#: Spreads are those between the profiles of LLM-Inference-Bench (arXiv 2411.00136), rounded.
KNOBS = (
    Knob("prefill compute", 0.02, 0.9, 0.6, "long prompts at large batches, or TTFT"),
    Knob("decode compute", 0.02, 0.9, 0.6, "batches of 64 and more with short prompts"),
    Knob("memory", 0.2, 0.97, 0.2, "batch 1 with two sizes of model on one chip"),
    Knob("prefill attention compute", 0.02, 0.9, 0.7, "TTFT of prompts of 8192 tokens and more"),
    Knob("decode attention memory", 0.02, 0.97, 0.15, "short and long contexts at batch 16 and more"),
    Knob("decode attention rereads", 0.005, 1.0, 1.2, "models with and without shared KV heads", 0.2),
    Knob("unsplit attention memory", 0.02, 0.97, 0.6, "long contexts at the largest batches"),
    Knob("kernel", 5e-7, 3e-5, 0.5, "models of different numbers of layers, batch 1"),
    Knob("layer", 1e-6, 2e-3, 1.2, "one model on more and more chips, batch 1", 1e-4),
    Knob("step", 5e-5, 3e-2, 1.0, "small models, batch 1"),
    Knob("per sequence", 1e-6, 2e-3, 0.8, "a small model at batches from 1 to 64 and more", 1e-6),
    Knob("per chip", 1e-5, 1e-2, 1.0, "the same model on one chip and on several", 1e-5),
    Knob("collective efficiency", 0.05, 0.95, 0.6, "long prompts, large batches, tp of 2 and more"),
    Knob("collective base", 1e-6, 1e-4, 0.7, "batch 1 on 2, 4 and 8 chips"),
)

_UNSPLIT = "attention.decode.unsplit"


def shaped(base: Profile) -> Profile:
    """The base with every operator that a knob moves written out."""
    usual = base.operators.get("default", OperatorFit())
    decode = base.operators.get("attention.decode", base.operators.get("attention", usual))
    operators = {
        **base.operators,
        "default": usual,
        "gemm.decode": base.operators.get("gemm.decode", base.operators.get("gemm", usual)),
        "attention.prefill": base.operators.get("attention.prefill", usual),
        "attention.decode": decode,
    }
    if base.unsplit is not None:
        operators.setdefault(_UNSPLIT, decode.replace(kv_reuse=0.0))
    return base.replace(
        operators=operators,
        collectives={**base.collectives, "default": base.collectives.get("default", CollectiveFit())},
    )


def knobs(base: Profile) -> tuple[Knob, ...]:
    """The knobs of a profile: all of them, but for unsplit attention where it always splits."""
    return tuple(
        knob for knob in KNOBS if base.unsplit is not None or knob.name != "unsplit attention memory"
    )


def start(base: Profile) -> tuple[float, ...]:
    """The values that the knobs of a shaped profile stand at, within their bounds."""
    ops, sends = base.operators, base.collectives["default"]
    found: dict[str, Number] = {
        "prefill compute": ops["default"].compute_efficiency,
        "decode compute": ops["gemm.decode"].compute_efficiency,
        "memory": ops["default"].memory_efficiency,
        "prefill attention compute": ops["attention.prefill"].compute_efficiency,
        "decode attention memory": ops["attention.decode"].memory_efficiency,
        "decode attention rereads": 1 - ops["attention.decode"].kv_reuse,
        "unsplit attention memory": ops[_UNSPLIT].memory_efficiency if _UNSPLIT in ops else 1.0,
        "kernel": ops["default"].fixed_s,
        "layer": base.layer_s,
        "step": base.step_s,
        "per sequence": base.per_sequence_s,
        "per chip": base.per_chip_s,
        "collective efficiency": sends.efficiency,
        "collective base": sends.base_s,
    }
    values = []
    for knob in knobs(base):
        value = float(found[knob.name])
        if value <= 0 and knob.least is not None:
            value = knob.least
        values.append(min(max(value, knob.low), knob.high))
    return tuple(values)


def turned(base: Profile, values: Sequence[Any]) -> Profile:
    """The shaped base with its knobs at these values, numbers or columns of them."""
    at = {knob.name: value for knob, value in zip(knobs(base), values, strict=True)}
    usual = {"memory_efficiency": at["memory"], "fixed_s": at["kernel"]}
    decode = {"compute_efficiency": at["prefill compute"], "fixed_s": at["kernel"]}
    changes: dict[str, dict[str, Any]] = {
        "default": {**usual, "compute_efficiency": at["prefill compute"]},
        "gemm.decode": {**usual, "compute_efficiency": at["decode compute"]},
        "attention.prefill": {**usual, "compute_efficiency": at["prefill attention compute"]},
        "attention.decode": {
            **decode,
            "memory_efficiency": at["decode attention memory"],
            "kv_reuse": 1 - at["decode attention rereads"],
        },
    }
    if base.unsplit is not None:
        changes[_UNSPLIT] = {**decode, "memory_efficiency": at["unsplit attention memory"], "kv_reuse": 0.0}
    operators = {
        **base.operators,
        **{key: base.operators[key].replace(**new) for key, new in changes.items()},
    }
    sends = base.collectives["default"]
    fit = sends.replace(efficiency=at["collective efficiency"], base_s=at["collective base"])
    return base.replace(
        operators=operators,
        collectives={**base.collectives, "default": fit},
        step_s=at["step"],
        layer_s=at["layer"],
        per_sequence_s=at["per sequence"],
        per_chip_s=at["per chip"],
    )


Turn = Callable[[Sequence[Any]], Profile]
