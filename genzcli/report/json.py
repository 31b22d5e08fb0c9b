"""The JSON contract: the same keys always, null where undefined, numbers at full precision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genzcli.engine.counts.prompts import read_tokens
from genzcli.engine.machine.crossing import link
from genzcli.engine.machine.energy import chip_power_w, power_basis
from genzcli.engine.machine.formats import part_dtype
from genzcli.engine.result import BOUNDS, Content, Estimate, Memory, OperatorTime, Phase, Serving
from genzcli.report.answer import Answer
from genzcli.slo import uncertain
from genzcli.spec.dtype import PARTS
from genzcli.spec.model import Model
from genzcli.spec.workload import Plan

if TYPE_CHECKING:
    from genzcli.explore.cure import Cure
    from genzcli.slo import Judged
    from genzcli.spec.workload import Scenario

RUN_SCHEMA = "genz.run/1"
CHECK_SCHEMA = "genz.check/1"
_PARTS = ("compute", "memory", "network", "overhead")


def dumps(document: Mapping[str, Any]) -> str:
    """Text of a document: indented, the same bytes for the same content, never NaN or Infinity."""
    import json

    return json.dumps(_clean(document), indent=2, ensure_ascii=False, allow_nan=False)


def line(document: Mapping[str, Any]) -> str:
    """A document on one line, for streams of them."""
    import json

    return json.dumps(_clean(document), ensure_ascii=False, allow_nan=False)


def _clean(value: Any) -> Any:
    """The value with null for what JSON cannot say."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    return value


def run_document(answer: Answer) -> dict[str, Any]:
    """One answer."""
    estimate = answer.estimate
    return {
        "schema": RUN_SCHEMA,
        "scenario": scenario(answer),
        "fits": bool(estimate.fits),
        "why": estimate.why,
        "bound": bound(estimate),
        "memory": memory(estimate.memory),
        "draft_memory": None if estimate.draft_memory is None else memory(estimate.draft_memory),
        "metrics": metrics(estimate),
        "error": error(estimate),
        "phases": {name: _phase(estimate.phases.get(name)) for name in ("prefill", "decode")},
        "serving": None if estimate.serving is None else _serving(estimate.serving),
        "slos": [_slo(item) for item in answer.judged],
        "verdict": answer.verdict,
        "within_error": uncertain(answer.judged) if answer.judged else None,
        "cures": [_cure(item) for item in answer.cures],
        "assumptions": list(answer.assumptions),
        "no_effect": list(answer.no_effect),
        "not_modelled": list(answer.not_modelled),
    }


def scenario(answer: Answer) -> dict[str, Any]:
    """The question with everything resolved."""
    asked = answer.estimate.scenario
    plan, usecase, precision = asked.plan, asked.usecase, asked.plan.precision
    site = plan.draft_on
    return {
        "name": asked.name or None,
        "model": asked.model.name,
        "hardware": answer.hardware,
        "chip": asked.platform.chip.name,
        "platform": asked.platform.name,
        "files": _files(asked),
        "chip_status": asked.platform.chip.status,
        "power_basis": power_basis(asked.platform),
        "chip_power_w": chip_power_w(asked.platform),
        "chips": plan.chips,
        "tp": plan.tp,
        "pp": plan.pp,
        "ep": plan.ep,
        "dp": plan.dp,
        "sp": plan.sp,
        "batch": plan.batch,
        "batching": plan.batching,
        "concurrency": answer.estimate.concurrency,
        "beams": usecase.beams,
        "usecase": usecase.name,
        "input_tokens": usecase.input_tokens,
        "output_tokens": usecase.output_tokens,
        "images": usecase.images,
        "image_tokens": _per_image(asked),
        "prompt_tokens": read_tokens(asked.model, usecase),
        "precision": {
            "weights": precision.weights,
            "kv": precision.kv,
            "activations": precision.activations,
            "compute": answer.compute_dtype,
            "compute_asked": precision.compute,
            "experts": precision.stored("experts") if asked.model.has_experts else None,
            "attention": precision.stored("attention"),
            "embeddings": precision.stored("embeddings"),
            "head": precision.stored("head"),
            "computed": _computed(asked),
        },
        "compute_dtype": answer.compute_dtype,
        "stack": asked.profile.stack,
        "profile": asked.profile.name,
        "evidence": asked.profile.evidence,
        "measured_on_chip": asked.profile.evidence in ("measured", "published")
        and asked.profile.measured_on(asked.platform.chip),
        "routing": plan.routing if asked.model.has_experts else None,
        "imbalance": plan.imbalance,
        "alpha": plan.alpha if asked.model.has_experts and plan.routing == "power-law" else None,
        "redundant_experts": plan.redundant_experts if asked.model.has_experts else None,
        "uneven": plan.uneven,
        "flash": plan.flash,
        "fused": plan.fused,
        "overlap": plan.overlap,
        "chunk": plan.chunk,
        "draft": drafting(plan),
        "draft_hardware": None if site is None else site.platform.name,
        "draft_chips": None if site is None else site.chips,
        "draft_latency_ms": None if site is None else ms(link(asked.platform, site)[0]),
        "draft_tokens": plan.draft_tokens if plan.draft is not None else None,
        "accept": plan.accept if plan.draft is not None else None,
        "expectation": plan.expectation if plan.draft is not None else None,
        "prefix_hit": plan.prefix_hit,
        "kv_keep": plan.kv_keep,
        "weight_density": plan.weight_density,
        "offload": list(plan.offload),
        "placement": plan.placement,
        "place": {kind: dict(shares) for kind, shares in plan.place.items()},
        "attention_on": plan.attention_on or None,
        "sparsity": plan.sparsity or None,
        "lora_rank": plan.lora_rank,
        "lora_adapters": plan.lora_adapters if plan.lora_rank else None,
        "lora_on": plan.lora_on if plan.lora_rank else None,
        "reserve": asked.reserve,
    }


def _files(asked: Scenario) -> dict[str, str | None]:
    """Where each part was read from; null for what is built in."""
    files = {
        "model": asked.model.origin,
        "chip": asked.platform.chip.origin,
        "platform": asked.platform.origin,
        "usecase": asked.usecase.origin,
        "profile": asked.profile.origin,
    }
    return {word: file or None for word, file in files.items()}


def _computed(asked: Scenario) -> dict[str, str | None]:
    """The format that the matrix products of each part of the weights run in."""
    found: dict[str, str | None] = {
        part: part_dtype(asked.plan, asked.platform.chip, part) for part in (*PARTS, "kernel")
    }
    return found if asked.model.has_experts else {**found, "experts": None}


def _per_image(asked: Scenario) -> Any:
    """Tokens an image becomes, where there are any."""
    if asked.model.vision is None or not asked.usecase.images:
        return None
    given = asked.usecase.image_tokens
    return asked.model.vision.tokens if given is None else given


def drafting(plan: Plan) -> str | None:
    """What drafts: a model by its name, mtp or ngram."""
    return plan.draft.name if isinstance(plan.draft, Model) else plan.draft


def memory(held: Memory) -> dict[str, Any]:
    """Bytes on one chip of the busiest stage."""
    keys = ("weights", "kv", "activations", "reserved", "used", "capacity")
    return {
        **{f"{key}_bytes": getattr(held, f"{key}_bytes") for key in keys},
        "max_batch": int(held.max_batch),
        "tiers": dict(held.tiers),
        "contents": {name: _content(inside) for name, inside in held.contents.items()},
    }


def _content(inside: Content) -> dict[str, Any]:
    return {name: getattr(inside, name) for name in inside.fields}


def metrics(estimate: Estimate) -> dict[str, Any]:
    """Every metric; null where it does not exist."""
    found = estimate.metrics
    return {
        "ttft_ms": ms(found.ttft_s),
        "tpot_ms": ms(found.tpot_s),
        "e2e_ms": ms(found.e2e_s),
        "output_tokens_per_s": found.output_tokens_per_s,
        "total_tokens_per_s": found.total_tokens_per_s,
        "requests_per_s": found.requests_per_s,
        "tokens_per_s_per_user": found.tokens_per_s_per_user,
        "joules_per_output_token": found.joules_per_output_token,
        "tokens_per_kwh": found.tokens_per_kwh,
        "usd_per_million_output_tokens": found.usd_per_million_output_tokens,
        "decode_tokens_per_s": found.decode_tokens_per_s,
        "output_tokens_per_s_per_chip": found.output_tokens_per_s_per_chip,
        "average_w": found.average_w,
    }


_BANDED = {
    "ttft_ms": "ttft_s",
    "tpot_ms": "tpot_s",
    "e2e_ms": "e2e_s",
    "output_tokens_per_s": "output_tokens_per_s",
    "tokens_per_s_per_user": "tokens_per_s_per_user",
}


def error(estimate: Estimate) -> dict[str, Any] | None:
    """How far off metrics may well be, a share of each; null under a profile that states no error."""
    bands = estimate.scenario.profile.error
    if bands is None:
        return None
    values = {key: getattr(estimate.metrics, field) for key, field in _BANDED.items()}
    return {key: None if values[key] is None else bands.of(field) for key, field in _BANDED.items()}


def ms(seconds: Any) -> Any:
    """Milliseconds."""
    return None if seconds is None else seconds * 1e3


def bound(estimate: Estimate) -> str | None:
    """What bounds the request as a whole: the largest part of prefill and all decode steps."""
    return None if estimate.bound is None else BOUNDS[int(estimate.bound)]


def _phase(phase: Phase | None) -> dict[str, Any] | None:
    if phase is None:
        return None
    return {
        "time_ms": ms(phase.time_s),
        "bound": BOUNDS[int(phase.bound)],
        **{f"{part}_ms": ms(getattr(phase, f"{part}_s")) for part in _PARTS},
        "first_ms": ms(phase.first_s),
        "last_ms": ms(phase.last_s),
        "flop": phase.flop,
        "energy_j": phase.energy_j,
        "operators": [operator(row, phase) for row in phase.operators],
    }


def _serving(parts: Serving) -> dict[str, Any]:
    """What a server's TTFT and TPOT consist of."""
    alone = parts.tpot_s is None
    return {
        "ttft": {
            "prefill_ms": ms(parts.prefill_s),
            "ahead_ms": ms(parts.ahead_s),
            "running_ms": ms(parts.running_s),
            "host_ms": ms(parts.host_s),
            "full_ms": ms(parts.full_s),
        },
        "tpot": None if alone else {"step_ms": ms(parts.step_s), "between_ms": ms(parts.between_s)},
    }


def operator(row: OperatorTime, phase: Phase) -> dict[str, Any]:
    """One row of the operator table."""
    return {
        "name": row.name,
        "kind": row.kind,
        "block": row.block,
        "dtype": row.dtype or None,
        "detail": row.detail or None,
        "count": row.count,
        "flop": row.flop,
        "weight_bytes": row.weight_bytes,
        "kv_bytes": row.kv_bytes,
        "activation_bytes": row.activation_bytes,
        "network_bytes": row.network_bytes,
        "intensity": row.flop / row.bytes if row.bytes else None,
        "time_ms": ms(row.time_s),
        "bound": largest(row),
        "share": row.time_s / phase.time_s if phase.time_s else None,
    }


def largest(row: OperatorTime) -> str:
    """What bounds an operator."""
    return max(_PARTS, key=lambda part: float(getattr(row, f"{part}_s")))


def _slo(item: Judged) -> dict[str, Any]:
    return {
        "metric": item.metric,
        "unit": item.unit,
        "limit": item.limit,
        "actual": item.actual,
        "passed": item.passed,
        "margin": item.margin,
    }


def _cure(cure: Cure) -> dict[str, Any]:
    return {"change": cure.change, "effect": cure.effect, "cures": cure.cures}


def check_document(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Several answers, and the errors between them."""
    return {"schema": CHECK_SCHEMA, "results": results}
