"""Metrics that can be asked for: their names, units and directions, and how a limit is written."""

from __future__ import annotations

import math
from typing import NamedTuple

from genzcli.errors import GenzError, UnitError, nearest
from genzcli.units import edit, factor, parse


class Metric(NamedTuple):
    """A metric that can be limited.

    field is its name in `engine.result.Metrics`, unit the SI unit its limit is parsed in, output_unit
    and scale how it is printed, ceiling True when smaller is better.
    """

    field: str
    unit: str
    output_unit: str
    scale: float
    ceiling: bool
    endings: tuple[str, ...] = ()  # what a limit may end in that is no unit of ours


_RATE = ("tokens/s", "tok/s")

METRICS = {
    "ttft": Metric("ttft_s", "s", "ms", 1e3, True),
    "tpot": Metric("tpot_s", "s", "ms", 1e3, True),
    "e2e": Metric("e2e_s", "s", "ms", 1e3, True),
    "throughput": Metric("output_tokens_per_s", "", "tokens/s", 1, False, _RATE),
    "total_throughput": Metric("total_tokens_per_s", "", "tokens/s", 1, False, _RATE),
    "requests": Metric("requests_per_s", "", "requests/s", 1, False, ("requests/s", "req/s")),
    "user_throughput": Metric("tokens_per_s_per_user", "", "tokens/s", 1, False, _RATE),
    "joules": Metric("joules_per_output_token", "J", "J/token", 1, True, ("/token",)),
    "power": Metric("average_w", "W", "W", 1, True),
    "cost": Metric("usd_per_million_output_tokens", "USD", "USD/M tokens", 1, True, ("/M tokens", "/M")),
}

ALIASES = {
    "itl": "tpot",
    "latency": "e2e",
    "e2el": "e2e",
    "ttft_ms": "ttft",
    "tpot_ms": "tpot",
    "e2e_ms": "e2e",
    "output_tokens_per_s": "throughput",
    "total_tokens_per_s": "total_throughput",
    "requests_per_s": "requests",
    "tokens_per_s_per_user": "user_throughput",
    "joules_per_output_token": "joules",
    "average_w": "power",
    "usd_per_million_output_tokens": "cost",
    "usd": "cost",
}


#: Metrics that people know by their capitals.
_LABELS = {"ttft": "TTFT", "tpot": "TPOT", "e2e": "E2E", "total_throughput": "in + out throughput"}


def label(name: str) -> str:
    """The metric's name in print."""
    return _LABELS.get(name, name.replace("_", " "))


def metric_name(word: str, where: str) -> str:
    """The metric's one name; an unknown word is an error with the nearest names."""
    name = word.strip().lower().replace("-", "_")
    name = ALIASES.get(name, name)
    if name.startswith(("p50(", "p90(", "p95(", "p99(", "p50_", "p90_", "p95_", "p99_")):
        raise GenzError(
            f"{word!r} is a percentile, and without a load every request takes the same time",
            where=where,
            cure="limit the metric itself, as ttft=200ms",
        )
    if name not in METRICS:
        near = nearest(name, [*METRICS, *ALIASES]) or list(METRICS)
        raise GenzError(f"unknown metric {word!r}", where=where, cure=f"try {', '.join(near)}")
    return name


def limit(name: str, value: str, where: str, current: float | None = None) -> float:
    """A limit of metric `name` in SI; a bare number of a time is milliseconds, as vllm bench has it.

    `current` is what a relative change (`*2`, `-10%`) applies to. Raises UnitError unless it is above 0.
    """
    unit, value = METRICS[name].unit, value.strip()
    for ending in METRICS[name].endings:
        value = value.removesuffix(ending).strip()
    if current is not None and factor(value, where) is not None:
        number = edit(current, value, unit, where)
    else:
        bare = bool(value) and (value[-1].isdigit() or value[-1] == ".") and value[0] != "$"
        number = parse(f"{value} {'ms' if unit == 's' else unit}" if bare else value, unit, where)
    if not 0 < number < math.inf:
        raise UnitError(f"a limit of {value} cannot be met", where=where, cure="give a number above 0")
    return number
