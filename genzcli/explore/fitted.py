"""A calibration as a profile to keep: its name, its error bands and what a reader should know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from genzcli.explore.calibrate import Calibration, Errors, Runs
from genzcli.spec.profile import ErrorBand, Profile
from genzcli.spec.source import Source

if TYPE_CHECKING:
    from genzcli.numeric import Number

#: Of predictions of what was left out, the share that lies inside the band: that of one standard deviation.
INSIDE = 0.68
#: Where nothing could be left out, errors are those of the fit itself, widened.
_WIDER = 1.5
_TARGET = {
    "ttft": ("ttft_ms",),
    "tpot": ("tpot_ms", "e2e_s", "output_tok_s"),
    "e2e": ("e2e_s", "output_tok_s", "tpot_ms"),
}


def profile(
    found: Calibration, runs: Sequence[Runs], base: Profile, stack: str, cited: str, whom: str = ""
) -> Profile:
    """The fitted profile under its own name, with its error bands and a note.

    It is for `whom`, as `class:gpu`; for the chip of the runs where that is empty.
    """
    chip = whom or runs[0].stack.nouns.platform.chip.name
    measured = tuple(dict.fromkeys(item.stack.nouns.platform.chip.name for item in runs))
    source = Source(kind="derived", reference=f"bounded constants fitted to {found.runs} runs of {cited}")
    return found.profile.replace(
        name=f"{stack}-{chip.removeprefix('class:').replace(':', '-')}",
        stack=stack,
        applies=(chip,),
        measured=measured if whom else (),
        evidence="measured",
        error=bands(found, base),
        note=note(found, runs, base),
        aliases=(),
        sources={"": source},
        origin="",
        hides=False,
    )


def bands(found: Calibration, base: Profile) -> ErrorBand:
    """Two thirds of left-out errors are smaller; of a time that nobody measured, the base's band.

    What a profile of several chips will meet is another chip, that of one chip another model.
    """
    left, wider = found.by_hardware or found.by_model or found.by_chips, 1.0
    if left is None:
        left, wider = found.within, _WIDER
    band: dict[str, Number] = {}
    for name, targets in _TARGET.items():
        measured = next((target for target in targets if target in left.values), None)
        if measured is not None:
            band[name] = max(round(wider * _quantile(left, measured, INSIDE), 3), 0.01)
    whole = band.get("e2e", 0.5)
    for name in _TARGET:
        band.setdefault(name, max(getattr(base.error, name) if base.error is not None else 0.5, whole))
    return ErrorBand(ttft=band["ttft"], tpot=band["tpot"], e2e=band["e2e"])


def note(found: Calibration, runs: Sequence[Runs], base: Profile) -> str:
    """What it rests on, how far off it is, what the runs hardly show."""
    models = dict.fromkeys(item.stack.key.model for item in runs)
    counts = sorted(
        {int(chips) for item in runs for chips in item.stack.tp * item.stack.dp * item.stack.key.pp}
    )
    chips = dict.fromkeys(item.stack.key.hardware for item in runs)
    where = f" of {', '.join(chips)}" if len(chips) > 1 else ""
    said = [
        f"{found.runs} runs{where} of {len(models)} model{'s' * (len(models) > 1)} "
        f"on {', '.join(map(str, counts))} chip{'s' * (counts != [1])}; in sample {_said(found.within)}"
    ]
    if found.by_model is not None:
        said.append(f"a model left out {_said(found.by_model)}")
    if found.by_hardware is not None:
        said.append(f"a chip left out {_said(found.by_hardware)}")
    if found.by_chips is not None:
        said.append(f"a count of chips left out {_said(found.by_chips)}")
    if found.hidden:
        said.append(f"hardly shown, near {base.name}: {', '.join(knob.name for knob in found.hidden)}")
    return "; ".join(said)


def _said(errors: Errors) -> str:
    """`e2e_s 4.9 % off on average, median 3.1 %`."""
    pieces = []
    for target in errors.values:
        size = abs(errors.values[target])
        pieces.append(
            f"{target} {size.mean() * 100:.1f} % off, median {_quantile(errors, target, 0.5) * 100:.1f} %"
        )
    return ", ".join(pieces)


def _quantile(errors: Errors, target: str, share: float) -> float:
    import numpy as np

    return float(np.quantile(np.abs(errors.values[target]), share))
