"""Objectives: how they are written, what passes, and by how much."""

from __future__ import annotations

import pytest
from engine_samples import IDEAL, answer, chip, close, platform, usecase

from genzcli.errors import GenzError, UnitError
from genzcli.slo import judge, merge, parse_slo, uncertain, verdict
from genzcli.spec.hardware import Tier
from genzcli.spec.profile import ErrorBand
from genzcli.spec.workload import Slo


@pytest.mark.parametrize(
    ("text", "metric", "limit"),
    [
        ("ttft=200ms", "ttft", 0.2),
        ("ttft:200", "ttft", 0.2),
        ("tpot<10ms", "tpot", 0.01),
        ("tpot<=0.01s", "tpot", 0.01),
        ("ITL=10 ms", "tpot", 0.01),
        ("e2el:1500", "e2e", 1.5),
        ("throughput>1000", "throughput", 1000),
        ("throughput>=1000", "throughput", 1000),
        ("cost=2.5", "cost", 2.5),
    ],
)
def test_spellings(text: str, metric: str, limit: float) -> None:
    found = parse_slo(text)
    assert found.metric == metric
    assert close(found.limit, limit)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("ttft", GenzError, "no limit"),
        ("tfft=200ms", GenzError, "try ttft"),
        ("ttft>200ms", GenzError, "makes no objective"),
        ("throughput<5", GenzError, "lower limit"),
        ("ttft=-5ms", UnitError, ""),
        ("ttft=0", UnitError, ""),
        ("ttft=nan", UnitError, ""),
        ("ttft=5 GB", UnitError, ""),
        ("p99(ttft)<1s", GenzError, "without a load"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, error: type[GenzError], words: str) -> None:
    with pytest.raises(error) as caught:
        parse_slo(text)
    assert words in str(caught.value)


def test_a_given_objective_replaces_the_use_cases_of_that_metric_only() -> None:
    base = (Slo(metric="ttft", limit=0.2), Slo(metric="tpot", limit=0.01))
    merged = merge(base, (Slo(metric="ttft", limit=1.0), Slo(metric="e2e", limit=9.0)))
    assert {slo.metric: slo.limit for slo in merged} == {"ttft": 1.0, "tpot": 0.01, "e2e": 9.0}


def test_margin_is_the_slack_over_the_limit() -> None:
    # TTFT of two prompts of 100 is 332.377152 us, by hand (test_hand_calculations)
    got = answer(batch=2)
    item = judge(got, (Slo(metric="ttft", limit=1e-3),))[0]
    assert item.passed and item.unit == "ms"
    assert close(item.actual, 0.332377152) and close(item.limit, 1.0)
    assert close(item.margin, 1 - 0.332377152)


def test_rates_are_limited_from_below() -> None:
    rate = float(answer(batch=2).metrics.output_tokens_per_s or 0)
    items = judge(
        answer(batch=2), (Slo(metric="throughput", limit=rate * 2), Slo(metric="throughput", limit=rate))
    )
    assert [item.passed for item in items] == [False, True]
    assert close(items[0].margin, -0.5)


def test_the_limit_itself_passes() -> None:
    got = answer()
    assert judge(got, (Slo(metric="tpot", limit=got.metrics.tpot_s),))[0].passed


def test_verdict() -> None:
    got = answer()
    easy, hard = Slo(metric="ttft", limit=1.0), Slo(metric="tpot", limit=1e-9)
    assert verdict(judge(got, ())) is None
    assert verdict(judge(got, (easy,))) == "pass"
    assert verdict(judge(got, (easy, hard))) == "fail"


def test_what_does_not_fit_fails_everything() -> None:
    small = platform(chip=chip(memory={"hbm": Tier(capacity_bytes=1e8, bandwidth_bytes_per_s=1e12)}))
    item = judge(answer(on=small), (Slo(metric="tpot", limit=100.0),))[0]
    assert not item.passed and item.actual is None and item.margin is None


def test_one_output_token_has_no_interval_to_be_too_long() -> None:
    item = judge(answer(use=usecase(100, 1)), (Slo(metric="tpot", limit=1e-9),))[0]
    assert item.passed and item.actual is None


def test_within_error() -> None:
    """A band of 10 % round the value, however the limit lies to it; the verdict itself does not change."""
    band = ErrorBand(ttft=0.1, tpot=0.1, e2e=0.1)
    got = answer(profile=IDEAL.replace(error=band))
    ttft = float(got.metrics.ttft_s or 0)
    limits = [Slo(metric="ttft", limit=ttft * share) for share in (0.89, 0.91, 1.09, 1.11)]
    judged = judge(got, tuple(limits))
    assert [item.within_error for item in judged] == [False, True, True, False]
    assert [item.passed for item in judged] == [False, False, True, True]
    assert [uncertain((item,)) for item in judged] == [False, True, True, False]
    assert not uncertain(judged[:2])  # one of the two fails beyond the error
    assert uncertain(judged[2:])
    assert not any(item.within_error for item in judge(answer(), tuple(limits)))
