"""The verdict in one line."""

from __future__ import annotations

from typing import NamedTuple

from genzcli.report.answer import Answer
from genzcli.report.words import count, in_unit, named, objective
from genzcli.spec.workload import Scenario, UseCase
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
    usecase = scenario.usecase
    asked = tokens(usecase) if usecase.name == "custom" else named(usecase)
    given = f"{scenario.name}: " if scenario.name else ""
    return f"{given}{named(scenario.model)} · {asked} · {machine(scenario)}"


def machine(scenario: Scenario) -> str:
    """`16 × h100-sxm (2 × hgx-h100)`, with the files of what has the name of something built in."""
    platform, chips = scenario.platform, scenario.plan.chips
    several = -(-chips // platform.chips)
    whole = f"{count(several)} × {platform.name}" if several > 1 else platform.name
    said = [whole] if platform.name != platform.chip.name else []
    said += [noun.origin for noun in (platform, platform.chip) if noun.hides]
    return f"{count(chips)} × {platform.chip.name}" + f" ({', '.join(said)})" * bool(said)
