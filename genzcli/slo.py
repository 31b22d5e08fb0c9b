"""Service-level objectives: as users write them, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from genzcli.errors import GenzError
from genzcli.numeric import negate, where
from genzcli.spec.metric import METRICS, limit, metric_name
from genzcli.spec.workload import Slo

if TYPE_CHECKING:
    from genzcli.engine.result import Estimate
    from genzcli.numeric import Number


class Judged(NamedTuple):
    """One objective against the answer; actual and margin are None when the metric does not exist.

    limit and actual are in `unit`. margin is the slack over the limit: positive passes. It is within error
    where the limit lies inside the profile's band round the actual value.
    """

    metric: str
    unit: str
    limit: Number
    actual: Number | None
    passed: bool
    margin: float | None
    within_error: bool = False


def parse_slo(text: str, where: str = "--slo") -> Slo:
    """`ttft=200ms`, `ttft:200` (ms), `tpot<10ms`, `throughput>1000`."""
    for sign in ("<=", ">=", "=", ":", "<", ">"):
        metric, found, value = text.partition(sign)
        if found:
            name = metric_name(metric, where)
            _check_direction(name, sign, where)
            return Slo(metric=name, limit=limit(name, value, where))
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
    bands = estimate.scenario.profile.error
    band = None if bands is None else bands.of(metric.field)
    slack = (slo.limit - actual if metric.ceiling else actual - slo.limit) / slo.limit
    return Judged(
        slo.metric,
        metric.output_unit,
        slo.limit * metric.scale,
        actual * metric.scale,
        bool(slack >= 0),
        float(slack),
        band is not None and bool(abs(slo.limit - actual) <= band * actual),
    )


def failures(estimate: Estimate, slos: tuple[Slo, ...]) -> Number:
    """How many objectives each of many scenarios misses, by the rules of `judge`; the numbers are arrays."""
    missed: Number = 0
    for slo in slos:
        metric = METRICS[slo.metric]
        actual = getattr(estimate.metrics, metric.field)
        vacuous = slo.metric in ("tpot", "user_throughput")
        if actual is None:
            missed = missed + (0 if vacuous else 1)
            continue
        slack = slo.limit - actual if metric.ceiling else actual - slo.limit
        # One output token beside others: its interval is not a number.
        failed = negate(slack / slo.limit >= 0) if not vacuous else slack / slo.limit < 0
        missed = missed + where(failed, 1, 0)
    return missed


def verdict(judged: tuple[Judged, ...]) -> str | None:
    """pass, fail, or None where nothing was asked."""
    if not judged:
        return None
    return "pass" if all(item.passed for item in judged) else "fail"


def uncertain(judged: tuple[Judged, ...]) -> bool:
    """Whether the verdict could be the other within the error of the prediction.

    A pass, where any objective is met by less than that; a fail, where every one that is missed is.
    """
    if verdict(judged) == "pass":
        return any(item.within_error for item in judged)
    return bool(judged) and all(item.within_error for item in judged if not item.passed)
