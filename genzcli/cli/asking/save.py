"""The resolved scenario as a file that `genz check` takes and answers with the same numbers."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from genzcli.catalog.find import HARDWARE, built_in, find, is_catalog, path_of, roots, same
from genzcli.cli.asking.request import Request
from genzcli.cli.asking.resolve import Resolved
from genzcli.errors import GenzError
from genzcli.spec.dtype import PARTS, Precision
from genzcli.spec.metric import METRICS
from genzcli.spec.workload import Plan
from genzcli.units import exact

_CURES = {
    errno.ENOENT: "name a file in a folder that exists",
    errno.ENOTDIR: "name a file in a folder that exists",
    errno.ENOSPC: "free some space",
    errno.EISDIR: "name a file, not a folder",
    errno.ENAMETOOLONG: "choose a shorter name",
}

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/+-")


def write(resolved: Resolved, path: str) -> None:
    """To a file, or to stdout for `-`."""
    text = document(resolved, None if path == "-" else os.path.dirname(path) or ".")
    if path == "-":
        from genzcli.cli.streams import emit

        return emit(text)
    request = resolved.request
    named = ("model", "hardware", "usecase", "stack", "draft", "draft_hardware")
    read = tuple(getattr(request, word) for word in named)
    to_file(text, path, "--save", read)


def to_file(text: str, path: str, where: str, inputs: Iterable[str | None]) -> None:
    """Write a file whole or not at all, and never over one that the question was read from."""
    for name in inputs:
        if name and os.path.isfile(name) and os.path.exists(path) and os.path.samefile(name, path):
            message = f"{path} is what the question is read from"
            raise GenzError(message, where=where, cure="name another file")
    try:
        _replace(path, text.encode("utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        cure = _CURES.get(getattr(error, "errno", None) or 0, "name a file that can be written")
        raise GenzError(f"{path} cannot be written ({reason})", where=where, cure=cure) from None


def _replace(path: str, data: bytes) -> None:
    """Write beside and move into place, so that a failure leaves the old file whole."""
    if not os.path.isfile(path) and os.path.exists(path):  # a device or a pipe
        with open(path, "wb") as stream:
            stream.write(data)
        return
    beside = f"{path}.{os.getpid()}.tmp"
    try:
        with open(beside, "wb") as file:
            file.write(data)
        os.replace(beside, path)
    except OSError:
        if os.path.exists(beside):
            os.unlink(beside)
        raise


def document(resolved: Resolved, folder: str | None) -> str:
    """The YAML text: every word that the answer depends on, chosen ones included.

    Paths are written from `folder`, where the text will be, or as given where that is not known.
    """
    lines = [f"{key}: {_scalar(value)}" for key, value in _words(resolved, folder) if value is not None]
    slos = resolved.scenario.usecase.slo
    catalogs = list(_catalogs(resolved, folder))
    if catalogs:
        lines += ["catalog:", *(f"  - {_scalar(place)}" for place in catalogs)]
    if slos:
        lines.append("slo:")
        units = {item.metric: METRICS[item.metric].unit for item in slos}
        lines += [
            f"  {item.metric}: {_scalar(exact(cast(float, item.limit), units[item.metric]))}" for item in slos
        ]
    # What --set changed of plan and use case stands above already, resolved.
    if resolved.scenario.plan.place:
        lines.append("place:")
        lines += [f"  {kind}: {_shares(shares)}" for kind, shares in resolved.scenario.plan.place.items()]
    edits = [edit for edit in resolved.edits if edit.root not in ("plan", "usecase")]
    if edits:
        lines.append("set:")
        lines += [f"  - {_scalar(f'{edit.path}={edit.value}')}" for edit in edits]
    return "\n".join(lines) + "\n"


def _catalogs(resolved: Resolved, folder: str | None) -> Iterator[str]:
    """The catalogs given, and the current directory where it is one that the file would not find."""
    for given in resolved.request.catalog:
        yield _from(given, folder)
    for given in os.environ.get("GENZ_PATH", "").split(os.pathsep):
        if given and is_catalog(given):
            yield _from(given, folder)
    if folder is not None and is_catalog(".") and not same(folder, ".") and not same(built_in(), "."):
        yield _from(".", folder)


def _words(resolved: Resolved, folder: str | None) -> Iterator[tuple[str, Any]]:
    request, scenario = resolved.request, resolved.scenario
    plan, usecase = scenario.plan, scenario.usecase
    yield "name", scenario.name or None
    yield "model", _located(request, request.model, ("models",), folder)
    yield "hardware", _located(request, request.hardware, HARDWARE, folder)
    named = request.usecase
    yield "usecase", None if named is None else _located(request, named, ("usecases",), folder)
    yield "input", usecase.input_tokens
    # Nought is written where a named use case may say otherwise.
    yield "images", usecase.images if usecase.images or request.images is not None else None
    yield "image_tokens", usecase.image_tokens
    yield "output", usecase.output_tokens
    yield "beams", usecase.beams
    yield "batch", plan.batch
    yield "batching", plan.batching
    for word in ("chips", "tp", "pp", "dp", "ep", "sp"):
        yield word, getattr(plan, word)
    yield "precision", _precision(plan.precision)
    yield "stack", _located(request, request.stack or "generic", ("profiles",), folder)
    for word in ("routing", "imbalance", "uneven", "flash", "fused", "overlap", "reserve"):
        yield word, getattr(plan, word)
    if plan.offload:
        yield "offload", ",".join(plan.offload)
    if plan.placement != "weights-first":
        yield "placement", plan.placement
    yield "attention_on", plan.attention_on or None
    for word in ("chunk", "prefix_hit", "kv_keep", "weight_density"):
        yield word, getattr(plan, word)
    yield "sparsity", plan.sparsity or None
    if plan.routing == "power-law":
        yield "alpha", plan.alpha
    yield "redundant_experts", plan.redundant_experts or None
    if plan.lora_rank:
        for word in ("lora_rank", "lora_adapters", "lora_on"):
            yield word, getattr(plan, word)
    if request.draft is not None:
        own = plan.draft if isinstance(plan.draft, str) else None
        yield "draft", own or _located(request, request.draft, ("models",), folder)
        yield from _draft_site(request, plan, folder)
        for word in ("draft_tokens", "accept", "expectation"):
            yield word, getattr(plan, word)
    price = plan.price_usd_per_hour
    yield "price", None if price is None else exact(float(price), "USD/h")


def _draft_site(request: Request, plan: Plan, folder: str | None) -> Iterator[tuple[str, Any]]:
    """The draft's own chips."""
    site, name = plan.draft_on, request.draft_hardware
    if site is None or name is None:
        return
    yield "draft_hardware", _located(request, name, HARDWARE, folder)
    yield "draft_chips", site.chips
    latency = site.latency_s
    yield "draft_latency", None if latency is None else exact(float(latency), "s")


def _precision(precision: Precision) -> str:
    """A base word that gives the compute format, and every tensor; compute by name only if it was named."""
    stored = (*PARTS, "kv", "activations")
    tensors = [f"{tensor}={word}" for tensor in stored if (word := getattr(precision, tensor))]
    if precision.explicit_compute:
        tensors.append(f"compute={precision.compute}")
    return ",".join((precision.compute, *tensors))


def _shares(shares: Mapping[str, Any]) -> str:
    return _scalar(",".join(f"{name}:{share!r}" for name, share in shares.items()))


def _located(request: Request, name: str, kinds: tuple[str, ...], folder: str | None) -> str:
    """A path as seen from the saved file, so that both can move together; a catalog name as it is."""
    path = path_of(name)
    if path is None and os.path.isfile(name) and "profiles" not in kinds:  # a file, unless a catalog has it
        entry = find(roots(request.catalog), kinds, name)
        path = name if entry.origin == "file" else None
    return name if path is None else _from(path, folder)


def _from(path: str, folder: str | None) -> str:
    """The path from a folder; `./` marks one without any /. One given whole stays whole if it leads out."""
    if folder is None:
        return path
    try:
        relative = os.path.relpath(path, folder)
    except ValueError:  # another drive
        return os.path.abspath(path)
    if os.path.isabs(path) and relative.startswith(os.pardir):
        return path
    return relative if os.sep in relative or relative.startswith(".") else os.path.join(".", relative)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(value)
    if value and set(value) <= _PLAIN and (value[0].isalnum() or value[0] in "./"):
        return value
    import json

    return json.dumps(value, ensure_ascii=False)
