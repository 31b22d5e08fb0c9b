"""The verdict in one line."""

from __future__ import annotations

from typing import NamedTuple

from genzcli.report.answer import Answer
from genzcli.report.words import count, in_unit, objective
from genzcli.spec.workload import UseCase
from genzcli.units import NONE


class Headline(NamedTuple):
    """PASS, FAIL, FITS or DOES NOT FIT, and the pieces that stand behind it."""

    status: str
    pieces: tuple[str, ...]

    @property
    def line(self) -> str:
        return "   ".join((f"{self.status}  {self.pieces[0]}", *self.pieces[1:]))


def headline(answer: Answer) -> Headline:
    """What a reader in a hurry reads."""
    estimate = answer.estimate
    if not estimate.fits:
        return Headline("DOES NOT FIT", (subject(answer), estimate.why or ""))
    if answer.judged:
        status = "PASS" if answer.verdict == "pass" else "FAIL"
        return Headline(status, (subject(answer), *map(objective, answer.judged)))
    found = estimate.metrics
    values = (("ttft", found.ttft_s), ("tpot", found.tpot_s), ("throughput", found.output_tokens_per_s))
    names = {"ttft": "TTFT ", "tpot": "TPOT ", "throughput": ""}
    shown = (names[key] + in_unit(key, value) for key, value in values)
    return Headline("FITS", (subject(answer), *(text for text in shown if NONE not in text)))


def tokens(usecase: UseCase) -> str:
    """`500 + 4 images + 300 tokens`."""
    seen = f" + {count(usecase.images)} image{'s' * (usecase.images != 1)}" if usecase.images else ""
    return f"{count(usecase.input_tokens)}{seen} + {count(usecase.output_tokens)} tokens"


def subject(answer: Answer) -> str:
    """Model, use case and machine."""
    scenario = answer.estimate.scenario
    usecase, platform = scenario.usecase, scenario.platform
    asked = usecase.name
    if asked == "custom":
        asked = tokens(usecase)
    chip, several = platform.chip.name, -(-scenario.plan.chips // platform.chips)
    where = f" ({count(several)} × {platform.name})" if several > 1 else f" ({platform.name})"
    if platform.name == chip:
        where = ""
    named = f"{scenario.name}: " if scenario.name else ""
    return f"{named}{scenario.model.name} · {asked} · {count(scenario.plan.chips)} × {chip}{where}"
