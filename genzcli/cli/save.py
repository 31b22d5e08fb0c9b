"""The resolved scenario as a file that `genz check` takes and answers with the same numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, cast

from genzcli.cli.resolve import Resolved
from genzcli.errors import GenzError
from genzcli.spec.dtype import Precision
from genzcli.spec.metric import METRICS
from genzcli.units import exact

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/+-")


def write(resolved: Resolved, path: str) -> None:
    """To a file, or to stdout for `-`."""
    text = document(resolved)
    if path == "-":
        from genzcli.cli.streams import emit

        return emit(text)
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        cure = "name a file in a folder that exists"
        raise GenzError(f"{path} cannot be written ({reason})", where="--save", cure=cure) from None


def document(resolved: Resolved) -> str:
    """The YAML text: every word that the answer depends on, chosen ones included."""
    lines = [f"{key}: {_scalar(value)}" for key, value in _words(resolved) if value is not None]
    request, slos = resolved.request, resolved.scenario.usecase.slo
    if request.catalog:
        lines += ["catalog:", *(f"  - {_scalar(os.path.abspath(folder))}" for folder in request.catalog)]
    if slos:
        lines.append("slo:")
        units = {item.metric: METRICS[item.metric].unit for item in slos}
        lines += [
            f"  {item.metric}: {_scalar(exact(cast(float, item.limit), units[item.metric]))}" for item in slos
        ]
    # What --set changed of plan and use case stands above already, resolved.
    edits = [edit for edit in resolved.edits if edit.root not in ("plan", "usecase")]
    if edits:
        lines.append("set:")
        lines += [f"  - {_scalar(f'{edit.path}={edit.value}')}" for edit in edits]
    return "\n".join(lines) + "\n"


def _words(resolved: Resolved) -> Iterator[tuple[str, Any]]:
    request, scenario = resolved.request, resolved.scenario
    plan, usecase = scenario.plan, scenario.usecase
    yield "name", scenario.name or None
    yield "model", _located(request.model)
    yield "hardware", _located(request.hardware)
    yield "usecase", None if request.usecase is None else _located(request.usecase)
    yield "input", usecase.input_tokens
    yield "output", usecase.output_tokens
    yield "beams", usecase.beams
    yield "batch", plan.batch
    yield "batching", plan.batching
    for word in ("chips", "tp", "pp", "dp", "ep", "sp"):
        yield word, getattr(plan, word)
    yield "precision", _precision(plan.precision)
    yield "stack", _located(request.stack or "generic")
    for word in ("routing", "imbalance", "uneven", "flash", "fused", "overlap", "reserve"):
        yield word, getattr(plan, word)
    price = plan.price_usd_per_hour
    yield "price", None if price is None else exact(float(price), "USD/h")


def _precision(precision: Precision) -> str:
    """A base word that gives the compute format, and every tensor; compute by name only if it was named."""
    stored = ("weights", "experts", "kv", "activations")
    tensors = [f"{tensor}={word}" for tensor in stored if (word := getattr(precision, tensor))]
    if precision.explicit_compute:
        tensors.append(f"compute={precision.compute}")
    return ",".join((precision.compute, *tensors))


def _located(name: str) -> str:
    """A path made absolute, so that the file can be checked from anywhere; a catalog name as it is."""
    from genzcli.catalog.find import path_of

    return name if path_of(name) is None else os.path.abspath(name)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(value)
    if value and set(value) <= _PLAIN and value[0].isalnum():
        return value
    import json

    return json.dumps(value, ensure_ascii=False)
