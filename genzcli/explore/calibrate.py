"""Measurements to a profile: a bounded fit of a dozen numbers, pulled towards those of a base, and checked.

The residual of a row and target is ln(predicted / measured). What the fit is worth is measured by leaving out
each model, and each count of chips, in turn: the profile fitted to the others predicts the rows left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from genzcli.errors import GenzError
from genzcli.explore import knobs
from genzcli.explore.knobs import Knob
from genzcli.explore.optimum import Optimum, Problem, minimise
from genzcli.explore.validate.arrays import Stack, answers, held
from genzcli.explore.validate.servings import TARGETS
from genzcli.spec.profile import Profile, Unsplit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: Relative size of a residual that is no news: repeats, and what few numbers cannot follow.
NOISE = 0.06
#: Below this share of its spread taken away, a number is not shown by the data.
SHOWN = 0.2
#: When paged attention of vLLM stops splitting: 512 pairs a device, of which a card may hold two. Four blocks
#: of 4096 scores share the 64 KiB of scratch memory of a compute unit.
UNSPLIT = (Unsplit(above=512, score_tokens=4096), Unsplit(above=1024, score_tokens=4096))
#: FLOP/s where a search begins for the rate of software that was not tuned for the chips it runs on.
RATE = 150e12
#: How much a change of structure has to lower the cost, in units of half a squared residual of noise.
WORTH = 25.0


class Runs(NamedTuple):
    """Runs of one structure, with the measured value of every target they have; NaN where there is none."""

    stack: Stack
    measured: dict[str, Any]


class Errors(NamedTuple):
    """Relative errors, predicted / measured - 1, by target."""

    values: dict[str, Any]

    def all(self) -> Array:
        """Those of every target, in one row."""
        import numpy as np

        return np.concatenate([np.asarray(item) for item in self.values.values()] or [np.zeros(0)])


class Calibration(NamedTuple):
    """A fitted profile and what is known about it."""

    profile: Profile
    runs: int
    fitted: tuple[Knob, ...]
    hidden: tuple[Knob, ...]  # hardly shown by the data: near the base's
    within: Errors
    by_model: Errors | None  # left out in turn; none where there is only one
    by_chips: Errors | None
    by_hardware: Errors | None


class Fit(NamedTuple):
    """A profile's numbers at their best for some runs."""

    base: Profile
    profile: Profile
    logs: Array
    optimum: Optimum


def calibrate(runs: Sequence[Runs], base: Profile) -> Calibration:
    """The profile of a (chip, stack) from its runs, near `base`: what they do not show stays there."""
    best = structured(runs, base)
    base = best.base
    every = knobs.knobs(base)
    shown = [bool(share >= SHOWN) for share in best.optimum.shown]

    def again(others: Sequence[Runs]) -> Profile:
        return fit(others, base, best.logs).profile

    return Calibration(
        profile=best.profile,
        runs=sum(len(item.stack.places) for item in runs),
        fitted=tuple(knob for knob, yes in zip(every, shown, strict=True) if yes),
        hidden=tuple(knob for knob, yes in zip(every, shown, strict=True) if not yes),
        within=errors(runs, best.profile),
        by_model=left_out(runs, again, lambda stack: [stack.key.model] * len(stack.places)),
        by_chips=left_out(runs, again, lambda stack: (stack.tp * stack.dp * stack.key.pp).tolist()),
        by_hardware=left_out(runs, again, lambda stack: [stack.key.hardware] * len(stack.places)),
    )


def structured(runs: Sequence[Runs], base: Profile) -> Fit:
    """The best fit over what is no number, where the base does not say.

    Whether decode attention stops splitting contexts and, of several chips, whether matrix products run at
    a share of each one's peak or all at the rate of one software. A change has to lower the cost by more
    than chance would.
    """
    rules = (None, *UNSPLIT) if base.unsplit is None else (base.unsplit,)
    shapes = [(knobs.shaped(base.replace(unsplit=rule)), int(rule is not base.unsplit)) for rule in rules]
    if len({item.stack.key.hardware for item in runs}) > 1:
        shapes += [(knobs.rated(shape, RATE), changes + 1) for shape, changes in shapes]
    found = [(fit(runs, shape), changes) for shape, changes in shapes]
    return min(found, key=lambda item: item[0].optimum.cost + WORTH * item[1])[0]


def fit(runs: Sequence[Runs], base: Profile, near: Array | None = None) -> Fit:
    """The best profile for some runs; `near` says where to begin.

    From the base, once with the host launching layers as fast as can be and once slowly: where launches
    hide behind the chip's work they have no slope.
    """
    import numpy as np

    if not runs:
        raise GenzError("nothing to fit")
    every = knobs.knobs(base)
    centre = np.log(knobs.start(base))
    problem = Problem(
        residuals=residuals([(item, base) for item in runs], knobs.turned),
        low=np.log([knob.low for knob in every]),
        high=np.log([knob.high for knob in every]),
        centre=centre,
        width=np.array([knob.spread for knob in every]),
        noise=NOISE,
    )
    layer = [knob.name for knob in every].index("layer")
    starts = [] if near is None else [near]
    for layer_s in (3e-5, 2.5e-4) if near is None else ():
        starts.append(centre.copy())
        starts[-1][layer] = math.log(layer_s)
    best = min((minimise(problem, start) for start in starts), key=lambda item: item.cost)
    values = [float(value) for value in np.exp(best.x)]
    return Fit(base, knobs.turned(base, values), best.x, best)


def errors(runs: Iterable[Runs], profile: Profile) -> Errors:
    """Relative errors of a profile over runs, by target."""
    import numpy as np

    found: dict[str, list[Any]] = {}
    for item in runs:
        values = answers(item.stack, profile).values
        for target, measured in item.measured.items():
            predicted = np.broadcast_to(values[target], measured.shape)
            there = np.isfinite(measured)
            found.setdefault(target, []).append(predicted[there] / measured[there] - 1)
    return Errors({target: np.concatenate(pieces) for target, pieces in found.items()})


def left_out(
    runs: Sequence[Runs],
    again: Callable[[Sequence[Runs]], Profile],
    part: Callable[[Stack], Sequence[Hashable]],
) -> Errors | None:
    """Errors over runs of each part (a model, a count of chips) under the fit to the others; none of one."""
    import numpy as np

    parts = dict.fromkeys(name for item in runs for name in part(item.stack))
    if len(parts) < 2:
        return None
    found: dict[str, list[Any]] = {}
    for name in parts:
        inside = [some(item, [other == name for other in part(item.stack)]) for item in runs]
        outside = [some(item, [other != name for other in part(item.stack)]) for item in runs]
        profile = again([item for item in outside if item.stack.places])
        for target, values in errors([item for item in inside if item.stack.places], profile).values.items():
            found.setdefault(target, []).append(values)
    return Errors({target: np.concatenate(pieces) for target, pieces in found.items()})


def some(runs: Runs, keep: Sequence[bool]) -> Runs:
    """Some of the runs."""
    import numpy as np

    mask = np.array(keep, bool)
    stack = runs.stack
    names = ("input_tokens", "output_tokens", "batch", "tp", "dp", "ep")
    cut = {name: getattr(stack, name)[mask] for name in names}
    places = tuple(place for place, yes in zip(stack.places, keep, strict=True) if yes)
    measured = {target: values[mask] for target, values in runs.measured.items()}
    return Runs(stack._replace(places=places, **cut), measured)


def residuals(
    runs: Iterable[tuple[Runs, Profile]], turned: Callable[[Profile, Sequence[Any]], Profile]
) -> Callable[[Array], Array]:
    """ln(predicted / measured) of every run and target, for many settings of the knobs in one call.

    Runs come with the base that is turned for them: each chip may have its own.
    """
    import numpy as np

    together = [(item, base, held(item.stack, base)) for item, base in runs]

    def found(logs: Array) -> Array:
        values = np.exp(logs)
        columns = [values[:, [index]] for index in range(values.shape[1])]
        pieces = []
        for item, base, fits in together:
            predicted = answers(item.stack, turned(base, columns), fits).values
            for target in TARGETS:
                if target in item.measured and target in predicted:
                    there = np.isfinite(item.measured[target])
                    whole = np.broadcast_to(predicted[target], (len(logs), len(there)))
                    pieces.append(np.log(whole[:, there] / item.measured[target][there]))
        return np.concatenate(pieces, axis=1)

    return found
