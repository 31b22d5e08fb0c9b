"""Speculative decoding: how many tokens a verification yields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.numeric import maximum, power, where
from genzcli.spec.workload import Plan

if TYPE_CHECKING:
    from genzcli.numeric import Number


def expected_tokens(plan: Plan) -> Number:
    """Tokens a verification of N drafts yields when each is accepted with chance g, independently.

    leviathan  (1 - g^(N+1)) / (1 - g), N + 1 at g = 1: the accepted drafts and the one token that the
               verification itself gives (Leviathan, Kalman, Matias, ICML 2023, equation 1)
    genz       g (1 - g^N) / (1 - g), N at g = 1: accepted drafts alone, as the GenZ paper prints it,
               sum of i g^i (1 - g) over i < N, and N g^N
    """
    chance, drafts = plan.accept, plan.draft_tokens
    certain = chance >= 1
    below = maximum(1 - chance, 1e-12)
    if plan.expectation == "genz":
        return where(certain, drafts, chance * (1 - power(chance, drafts)) / below)
    return where(certain, drafts + 1, (1 - power(chance, drafts + 1)) / below)
