"""What others measured of speculative decoding, against the generic profile, which knows none of it."""

from __future__ import annotations

import pytest

from genzcli.catalog.load import Catalog
from genzcli.engine.estimate import estimate
from genzcli.spec.workload import Plan, Scenario, UseCase

#: 1 + g + g^2 + g^3 = 3.6
ACCEPTED = 0.93


def rate(inputs: int, drafts: bool) -> float:
    """Tokens a second of one user: MiMo-V2-Flash on 8 H200, DP 2, TP 4, EP 8, 16 requests a rank."""
    catalog = Catalog()
    model, (platform, _) = catalog.model("mimo-v2-flash"), catalog.hardware("hgx-h200")
    plan = Plan(precision=model.precision, batch=32, tp=4, dp=2, ep=8)
    if drafts:
        plan = plan.replace(draft="mtp", draft_tokens=3, accept=ACCEPTED)
    got = estimate(
        Scenario(
            model=model,
            platform=platform,
            usecase=UseCase(input_tokens=inputs, output_tokens=1000),
            plan=plan,
            profile=catalog.profile("generic", platform.chip),
        )
    )
    assert got.metrics.tokens_per_s_per_user is not None
    return float(got.metrics.tokens_per_s_per_user)


@pytest.mark.parametrize("inputs", [4_000, 16_000, 64_000])
def test_mimo_v2_flash_on_h200_keeps_150_tokens_a_second(inputs: int) -> None:
    """SGLang team and Xiaomi, 16 December 2025: 150 tokens/s a request up to 64K, 3.6 tokens a round."""
    assert rate(inputs, drafts=True) == pytest.approx(150, rel=0.21)


def test_mimo_v2_flash_gains_what_its_report_says() -> None:
    """arXiv 2601.02780: three modules decode 2.0 to 2.6 times as fast at 2.8 to 3.6 tokens a round."""
    assert 1.9 < rate(16_000, drafts=True) / rate(16_000, drafts=False) < 2.7
