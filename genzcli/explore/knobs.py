"""The few numbers of a profile that a calibration moves: where they stand, their bounds, what shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from genzcli.numeric import minimum
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
    Knob("prefill rate", 1e12, 1e16, 0.8, "long prompts at large batches on chips of several peaks"),
    Knob("decode rate", 1e12, 1e16, 0.8, "batches of 64 and more on chips of several peaks"),
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
    """The base with every operator that a knob moves written out: those of decode beside those of prefill."""
    found = base.operators
    usual = found.get("default", OperatorFit())
    operators = {**found, "default": usual}
    for key in [key for key in found if key.partition(".")[0] == "gemm"] or ["default"]:
        name = "gemm.decode" + key.removeprefix("gemm").removeprefix("default")
        if "prefill" not in key and "decode" not in key:
            operators.setdefault(name, found.get(key, usual))
    operators.setdefault("attention.prefill", found.get("attention", usual))
    decode = operators.setdefault("attention.decode", found.get("attention", usual))
    if base.unsplit is not None:
        operators.setdefault(_UNSPLIT, decode.replace(kv_reuse=0.0))
    return base.replace(
        operators=operators,
        collectives={**base.collectives, "default": base.collectives.get("default", CollectiveFit())},
    )


def knobs(base: Profile) -> tuple[Knob, ...]:
    """The knobs of a profile: unsplit attention where there is such, and matrix products at a share of the
    peak or at a rate of their own."""
    without = set() if base.unsplit is not None else {"unsplit attention memory"}
    rated = base.operators.get("gemm", base.operators["default"]).rate_flop_per_s is not None
    without |= {"prefill compute", "decode compute"} if rated else {"prefill rate", "decode rate"}
    return tuple(knob for knob in KNOBS if knob.name not in without)


def rated(base: Profile, flop_per_s: float) -> Profile:
    """The shaped base with matrix products at a rate of their own, whatever the chip's peak."""
    changed = {
        key: fit if key.startswith("attention") else fit.replace(rate_flop_per_s=flop_per_s)
        for key, fit in base.operators.items()
    }
    return base.replace(operators=changed)


def _stands(base: Profile) -> dict[str, Number]:
    """Where the knobs of a shaped base stand: those of operators at the one that a bf16 model uses most."""
    ops, sends = base.operators, base.collectives["default"]
    gemm, decode = ops.get("gemm", ops["default"]), ops["attention.decode"]
    return {
        "prefill compute": gemm.compute_efficiency,
        "decode compute": ops["gemm.decode"].compute_efficiency,
        "prefill rate": gemm.rate_flop_per_s or 0.0,
        "decode rate": ops["gemm.decode"].rate_flop_per_s or 0.0,
        "memory": gemm.memory_efficiency,
        "prefill attention compute": ops["attention.prefill"].compute_efficiency,
        "decode attention memory": decode.memory_efficiency,
        "decode attention rereads": 1 - decode.kv_reuse,
        "unsplit attention memory": ops[_UNSPLIT].memory_efficiency if _UNSPLIT in ops else 1.0,
        "kernel": gemm.fixed_s,
        "layer": base.layer_s,
        "step": base.step_s,
        "per sequence": base.per_sequence_s,
        "per chip": base.per_chip_s,
        "collective efficiency": sends.efficiency,
        "collective base": sends.base_s,
    }


def start(base: Profile) -> tuple[float, ...]:
    """The values that the knobs of a shaped profile stand at, within their bounds."""
    found = _stands(base)
    values = []
    for knob in knobs(base):
        value = float(found[knob.name])
        if value <= 0 and knob.least is not None:
            value = knob.least
        values.append(min(max(value, knob.low), knob.high))
    return tuple(values)


def turned(base: Profile, values: Sequence[Any]) -> Profile:
    """The shaped base with its knobs at these values, numbers or columns of them.

    What a knob of operators says of one kernel goes for its kin in proportion: formats keep their distance.
    """
    at = {knob.name: value for knob, value in zip(knobs(base), values, strict=True)}
    stands = _stands(base)
    turn = {name: value / stands[name] if stands[name] else 1.0 for name, value in at.items()}
    sends = base.collectives["default"]
    fit = sends.replace(efficiency=at["collective efficiency"], base_s=at["collective base"])
    return base.replace(
        operators={key: _turned(key, item, at, turn) for key, item in base.operators.items()},
        collectives={**base.collectives, "default": fit},
        step_s=at["step"],
        layer_s=at["layer"],
        per_sequence_s=at["per sequence"],
        per_chip_s=at["per chip"],
    )


def _turned(key: str, fit: OperatorFit, at: Mapping[str, Any], turn: Mapping[str, Any]) -> OperatorFit:
    """One operator under the knobs that are its kind's."""
    compute, rate, memory, changes = "prefill compute", "prefill rate", "memory", {}
    if key.startswith("gemm.decode"):
        compute, rate = "decode compute", "decode rate"
    elif key == _UNSPLIT:
        memory = "unsplit attention memory"
    elif key.startswith("attention.decode"):
        memory, changes = "decode attention memory", {"kv_reuse": 1 - at["decode attention rereads"]}
    elif key.startswith("attention"):
        compute = "prefill attention compute"
    if fit.rate_flop_per_s is not None:
        changes["rate_flop_per_s"] = fit.rate_flop_per_s * turn[rate]
    return fit.replace(
        compute_efficiency=minimum(fit.compute_efficiency * turn.get(compute, 1.0), 1.0),
        memory_efficiency=minimum(fit.memory_efficiency * turn[memory], 1.0),
        fixed_s=fit.fixed_s * turn["kernel"],
        **changes,
    )
