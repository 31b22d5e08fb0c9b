"""Service-level objectives: metrics by name, limits as users write them, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from genzcli.errors import GenzError, nearest
from genzcli.spec.workload import Slo

if TYPE_CHECKING:
    from genzcli.engine.result import Estimate
    from genzcli.numeric import Number


class Metric(NamedTuple):
    """A metric that can be limited.

    field is its name in `Metrics`, unit the SI unit its limit is parsed in, output_unit and scale
    how it is printed, ceiling True when smaller is better.
    """

    field: str
    unit: str
    output_unit: str
    scale: float
    ceiling: bool


METRICS = {
    "ttft": Metric("ttft_s", "s", "ms", 1e3, True),
    "tpot": Metric("tpot_s", "s", "ms", 1e3, True),
    "e2e": Metric("e2e_s", "s", "ms", 1e3, True),
    "throughput": Metric("output_tokens_per_s", "", "tokens/s", 1, False),
    "total_throughput": Metric("total_tokens_per_s", "", "tokens/s", 1, False),
    "requests": Metric("requests_per_s", "", "requests/s", 1, False),
    "user_throughput": Metric("tokens_per_s_per_user", "", "tokens/s", 1, False),
    "joules": Metric("joules_per_output_token", "J", "J/token", 1, True),
    "power": Metric("average_w", "W", "W", 1, True),
    "cost": Metric("usd_per_million_output_tokens", "USD", "USD/M tokens", 1, True),
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


class Judged(NamedTuple):
    """One objective against the answer; actual and margin are None when the metric does not exist.

    limit and actual are in `unit`. margin is the slack over the limit: positive passes.
    """

    metric: str
    unit: str
    limit: Number
    actual: Number | None
    passed: bool
    margin: float | None


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


def limit(metric: str, value: str, where: str) -> Slo:
    """An objective from a metric's name and a limit with its unit; a bare number of a time is ms."""
    from genzcli.units import parse

    name = metric_name(metric, where)
    unit, value = METRICS[name].unit, value.strip()
    if unit == "s" and _bare(value):
        value = f"{value} ms"
    elif unit and _bare(value):
        value = f"{value} {unit}"
    number = parse(value, unit, where=where)
    if not number > 0:
        raise GenzError(f"the limit of {name} is {value}", where=where, cure="give a limit above 0")
    return Slo(metric=name, limit=number)


def parse_slo(text: str, where: str = "--slo") -> Slo:
    """`ttft=200ms`, `ttft:200` (ms), `tpot<10ms`, `throughput>1000`."""
    for sign in ("<=", ">=", "=", ":", "<", ">"):
        metric, found, value = text.partition(sign)
        if found:
            slo = limit(metric, value, where)
            _check_direction(slo.metric, sign, where)
            return slo
    raise GenzError(f"{text!r} has no limit", where=where, cure="write it as ttft=200ms")


def _check_direction(metric: str, sign: str, where: str) -> None:
    wrong = ">" if METRICS[metric].ceiling else "<"
    if sign.startswith(wrong):
        bound = "upper" if METRICS[metric].ceiling else "lower"
        raise GenzError(
            f"{metric}{sign} makes no objective",
            where=where,
            cure=f"{metric} has an {bound} limit" if bound == "upper" else f"{metric} has a {bound} limit",
        )


def _bare(value: str) -> bool:
    return bool(value) and value[-1].isdigit()


def merge(base: tuple[Slo, ...], given: tuple[Slo, ...]) -> tuple[Slo, ...]:
    """The use case's objectives, each replaced by a given one for the same metric."""
    named = {slo.metric: slo for slo in (*base, *given)}
    return tuple(named.values())


def judge(estimate: Estimate, slos: tuple[Slo, ...]) -> tuple[Judged, ...]:
    """Each objective's actual value, verdict and margin; what does not exist or does not fit fails."""
    return tuple(_judge(estimate, slo) for slo in slos)


def _judge(estimate: Estimate, slo: Slo) -> Judged:
    metric = METRICS[slo.metric]
    actual = getattr(estimate.metrics, metric.field)
    if actual is None:
        # One output token has no interval between tokens: an upper limit on it cannot be broken.
        vacuous = bool(estimate.fits) and slo.metric in ("tpot", "user_throughput")
        return Judged(slo.metric, metric.output_unit, slo.limit * metric.scale, None, vacuous, None)
    slack = (slo.limit - actual if metric.ceiling else actual - slo.limit) / slo.limit
    return Judged(
        slo.metric,
        metric.output_unit,
        slo.limit * metric.scale,
        actual * metric.scale,
        bool(slack >= 0),
        float(slack),
    )


def verdict(judged: tuple[Judged, ...]) -> str | None:
    """pass, fail, or None where nothing was asked."""
    if not judged:
        return None
    return "pass" if all(item.passed for item in judged) else "fail"
