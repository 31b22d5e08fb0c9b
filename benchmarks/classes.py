"""What a GPU that was never measured inherits, and how far off that is.

    GENZ_DATA=folder python benchmarks/classes.py

Kernels are physics: a generic profile takes the efficiencies of `kernels` of its generation (of its class,
where none was measured) as they are, but for experts in MXFP4, whose measured kernel servers do not run. Six
overheads are guessed, from end-to-end runs of other chips: a fixed time a kernel, a step, a sequence, more
than one chip, efficiency and base of collectives; one set for NVIDIA, one for AMD. Prints both sets, and the
errors on each chip under the overheads of the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import measurements
import numpy as np

from genzcli.catalog.load import Catalog
from genzcli.explore.calibrate import NOISE, Runs, errors, residuals, some
from genzcli.explore.fitted import INSIDE
from genzcli.explore.knobs import Knob
from genzcli.explore.optimum import Problem, minimise
from genzcli.spec.profile import CollectiveFit, Profile

#: Runs of one chip and stack that count in a fit, so that none outweighs the others.
MOST = 80
#: A chip whose kernels stand for those of a generation of which none was measured.
NEAREST = {"blackwell": "h100-sxm"}
#: What a generic profile has of its own.
SERVED = "moe.mxfp4.bf16"

#: What is guessed, where it starts, and how far it may go from there.
KNOBS = (
    Knob("kernel", 5e-7, 2e-5, 0.5, ""),
    Knob("step", 5e-5, 3e-2, 1.0, ""),
    Knob("per sequence", 1e-6, 2e-3, 0.8, ""),
    Knob("per chip", 1e-5, 1e-2, 1.0, ""),
    Knob("collective efficiency", 0.1, 0.95, 0.4, ""),
    Knob("collective base", 1e-6, 1e-4, 0.5, ""),
)
START = (3e-6, 5e-4, 3e-5, 2e-4, 0.75, 4e-6)


class Card(NamedTuple):
    """Runs of one chip under one stack."""

    maker: str
    chip: str
    stack: str
    source: str
    runs: list[Runs]


def cards() -> list[Card]:
    """All that was measured end to end on GPUs with software that is not two years behind its chip.

    AMD's under vLLM of 2024 are left out: their matrix products ran at a tenth of today's rate.
    """
    found = []
    for source, rows, targets in (
        ("static", measurements.static(), ("e2e_s",)),
        ("servers", measurements.servers(), ("tpot_ms",)),
        ("InferenceMAX", measurements.inferencemax(), ("tpot_ms",)),
        ("ROCm", measurements.rocm(), ("e2e_s",)),
    ):
        for (chip, stack), runs in measurements.grouped(rows, targets).items():
            part = runs[0].stack.nouns.platform.chip
            old = source == "static" and part.vendor == "AMD"
            if part.kind == "gpu" and part.vendor in ("NVIDIA", "AMD") and not old:
                found.append(Card(part.vendor.lower(), chip, stack, source, runs))
    return found


def physics(chip: str) -> Profile:
    """What a chip inherits: the kernels of its generation, and the generic profile's queue."""
    library = Catalog()
    part = library.chip(chip)
    kin = library.chip(NEAREST.get(part.generation, chip))
    generic, kernels = library.profile("generic", part), library.profile("kernels", kin).operators
    return generic.replace(operators={**kernels, SERVED: generic.operators[SERVED]})


def burdened(base: Profile, values: Sequence[Any]) -> Profile:
    """The kernels with overheads, numbers or columns of them."""
    kernel, step, sequence, chip, efficiency, collective = values
    operators = {name: fit.replace(fixed_s=kernel) for name, fit in base.operators.items()}
    return base.replace(
        operators=operators,
        collectives={"default": CollectiveFit(efficiency=efficiency, base_s=collective, corner=0.5)},
        step_s=step,
        per_sequence_s=sequence,
        per_chip_s=chip,
    )


def sampled(runs: Sequence[Runs]) -> Iterator[Runs]:
    """About as many of the runs as count."""
    share = min(MOST / sum(len(item.stack.places) for item in runs), 1.0)
    chance = np.random.default_rng(0)
    for item in runs:
        keep = chance.random(len(item.stack.places)) < share
        if keep.any():
            yield some(item, keep.tolist())


def overheads(found: Sequence[Card]) -> list[float]:
    """The overheads that suit all of these best."""
    runs = [(item, physics(card.chip)) for card in found for item in sampled(card.runs)]
    start = np.log(START)
    problem = Problem(
        residuals=residuals(runs, burdened),
        low=np.log([knob.low for knob in KNOBS]),
        high=np.log([knob.high for knob in KNOBS]),
        centre=start,
        width=np.array([knob.spread for knob in KNOBS]),
        noise=NOISE,
    )
    return [float(value) for value in np.exp(minimise(problem, start).x)]


class Unseen(NamedTuple):
    """Errors of a chip and stack under the overheads of other chips, of all chips, and those shipped."""

    card: Card
    left_out: Any
    fitted: Any
    shipped: Any


def unseen(found: Sequence[Card]) -> Iterator[Unseen]:
    """The errors of each card when nothing of its chip was known."""
    library = Catalog()
    for maker in dict.fromkeys(card.maker for card in found):
        kin = [card for card in found if card.maker == maker]
        every = overheads(kin)
        for chip in dict.fromkeys(card.chip for card in kin):
            others = overheads([card for card in kin if card.chip != chip])
            base, shipped = physics(chip), library.profile("generic", library.chip(chip))
            for card in kin:
                if card.chip == chip:
                    yield Unseen(
                        card,
                        errors(card.runs, burdened(base, others)).all(),
                        errors(card.runs, burdened(base, every)).all(),
                        errors(card.runs, shipped).all(),
                    )


def main() -> None:
    """Both sets of overheads, and the errors."""
    found = cards()
    for maker in ("nvidia", "amd"):
        values = overheads([card for card in found if card.maker == maker])
        print(maker, {knob.name: float(f"{value:.3g}") for knob, value in zip(KNOBS, values, strict=True)})
    chips: dict[str, list[Unseen]] = {}
    for item in unseen(found):
        chips.setdefault(item.card.chip, []).append(item)
        print(item.card.chip, item.card.stack, item.card.source, len(item.left_out), _said(item))
    for chip, items in chips.items():
        print(chip, _said(together(items)))
    for maker in ("nvidia", "amd"):
        whole = together([item for items in chips.values() for item in items if item.card.maker == maker])
        print(maker, _said(whole), f"two thirds below {np.quantile(abs(whole.left_out), INSIDE) * 100:.0f}")


def together(items: Sequence[Unseen]) -> Unseen:
    """The errors of several in one row."""
    return Unseen(
        items[0].card, *(np.concatenate(part) for part in zip(*(i[1:] for i in items), strict=True))
    )


def _said(item: Unseen) -> str:
    """Left out, fitted and shipped: mean and median, in percent."""
    return " | ".join(
        f"{np.mean(abs(values)) * 100:.1f}, {np.median(abs(values)) * 100:.1f}" for values in item[1:]
    )


if __name__ == "__main__":
    main()
