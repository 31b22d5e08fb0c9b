"""Catalog entries in one line each: what `genz list` says of them. Plain numbers, SI."""

from __future__ import annotations

from typing import Any

from genzcli.spec.hardware import Chip, Platform
from genzcli.spec.metric import METRICS
from genzcli.spec.model import Model
from genzcli.spec.noun import Noun
from genzcli.spec.profile import Profile
from genzcli.spec.workload import Slo, UseCase

#: Formats by which chips are compared, the first that a chip has.
_COMPARED = ("bf16", "fp16", "int8", "fp32")


def of(noun: Noun) -> dict[str, Any]:
    """The record of one entry."""
    match noun:
        case Model():
            return _model(noun)
        case Chip():
            return _chip(noun)
        case Platform():
            return _platform(noun)
        case UseCase():
            return _usecase(noun)
        case Profile():
            return {"stack": noun.stack, "applies": list(noun.applies), "evidence": noun.evidence}
    raise TypeError(type(noun).__name__)


def _model(model: Model) -> dict[str, Any]:
    from genzcli.engine.counts.parameters import parameters

    counted = parameters(model)
    return {
        "parameters": counted.total,
        "active_parameters": counted.active,
        "layers": model.layers,
        "max_context": model.max_context,
        "precision": model.precision.weights,
    }


def _chip(chip: Chip) -> dict[str, Any]:
    name = next((name for name in _COMPARED if name in chip.peaks), next(iter(chip.peaks)))
    storage = [tier for tier in chip.memory.values() if tier.role == "storage"]
    return {
        "class": chip.kind,
        "format": name,
        "peak_flop_per_s": chip.peaks[name],
        "capacity_bytes": sum(tier.capacity_bytes for tier in storage),
        "bandwidth_bytes_per_s": storage[0].bandwidth_bytes_per_s,
        "power_w": chip.power_w,
        "price_usd_per_hour": chip.price_usd_per_hour,
        "status": chip.status,
    }


def _platform(platform: Platform) -> dict[str, Any]:
    return {
        "chip": platform.chip.name,
        "chips": platform.chips,
        "levels": [level.name for level in platform.levels],
        "scale_out": platform.scale_out.name if platform.scale_out else None,
    }


def _usecase(usecase: UseCase) -> dict[str, Any]:
    return {
        "input_tokens": usecase.input_tokens,
        "output_tokens": usecase.output_tokens,
        "beams": usecase.beams,
        "batch": usecase.batch,
        "slo": dict(map(_objective, usecase.slo)),
    }


def _objective(slo: Slo) -> tuple[str, Any]:
    """A limit under the name that its metric has in the answer, in that unit: ttft_ms."""
    metric = METRICS[slo.metric]
    key = f"{slo.metric}_ms" if metric.unit == "s" else metric.field
    return key, slo.limit * metric.scale
