"""From a scenario to an answer: estimate, judge, cure, and the exit code of the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from genzcli import slo
from genzcli.cli.asking.assume import assumptions
from genzcli.cli.asking.idle import idle
from genzcli.cli.asking.resolve import Resolved
from genzcli.cli.exits import Exit
from genzcli.engine.estimate import estimate
from genzcli.engine.machine.formats import compute_dtype
from genzcli.engine.result import Estimate
from genzcli.errors import GenzError
from genzcli.explore.cure import Cure
from genzcli.explore.cure import cures as find_cures
from genzcli.report.answer import Answer


def evaluate(resolved: Resolved, explain: bool = True, file: str = "") -> Answer:
    """The answer to a resolved scenario; `explain` fills the operator rows."""
    scenario = resolved.scenario
    try:
        answer = estimate(scenario, explain=explain)
    except GenzError as error:
        raise resolved.placed(error) from None
    limits = scenario.usecase.slo
    judged = slo.judge(answer, limits)
    verdict = slo.verdict(judged)
    cures: tuple[Cure, ...] = ()
    if not answer.fits or verdict == "fail":
        cures = find_cures(answer, limits, resolved.fixed)
    if answer.fits and scenario.model.has_experts:
        cures = (*cures, *_replicas(answer, resolved.fixed))
    return Answer(
        estimate=answer,
        judged=judged,
        verdict=verdict,
        cures=cures,
        hardware=resolved.hardware,
        compute_dtype=compute_dtype(scenario.plan, scenario.platform.chip),
        assumptions=assumptions(resolved),
        no_effect=idle(resolved, answer),
        file=file,
    )


def _replicas(answer: Estimate, fixed: Mapping[str, int]) -> Iterator[Cure]:
    """What redundant experts would bring, where that is much."""
    from genzcli.explore.replicas import replicas

    found = replicas(answer, fixed)
    if found is not None:
        yield found


def exit_code(answer: Answer) -> Exit:
    """The verdict as an exit code."""
    if not answer.estimate.fits:
        return Exit.DOES_NOT_FIT
    return Exit.SLO_FAILED if answer.verdict == "fail" else Exit.OK
