"""What a report is made of: the answer to one scenario, judged, with what was taken for granted."""

from __future__ import annotations

from typing import NamedTuple

from genzcli.engine.result import Estimate
from genzcli.explore.cure import Cure
from genzcli.slo import Judged

#: What no answer has in its numbers.
NEVER_MODELLED = (
    "bursts and queueing under a request rate",
    "host and network jitter",
    "kernel-level caching (L2)",
)


class Answer(NamedTuple):
    """One scenario answered."""

    estimate: Estimate
    judged: tuple[Judged, ...]
    verdict: str | None  # pass, fail, None where nothing was asked
    cures: tuple[Cure, ...]
    hardware: str  # the chip or platform as named
    compute_dtype: str  # what matrix products run in
    assumptions: tuple[str, ...]
    no_effect: tuple[str, ...] = ()  # words of the question that change nothing, and why
    file: str = ""

    @property
    def not_modelled(self) -> tuple[str, ...]:
        """What the numbers leave out; printed under every answer."""
        batch = self.estimate.scenario.plan.batching == "static"
        return (*(("a server's host work ahead of the first token",) if batch else ()), *NEVER_MODELLED)
