"""What matters: elasticities of every metric to every number, and where the bottleneck changes.

The elasticity of a metric m to a parameter x is d ln m / d ln x: by how many percent m changes for one
percent more of x. Parallelism is held; everything else is what `estimate` answers at the changed number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from genzcli.engine import legal
from genzcli.engine.estimate import estimate
from genzcli.engine.result import BOUNDS, Estimate
from genzcli.explore.levers import Lever, levers
from genzcli.spec.metric import METRICS
from genzcli.spec.workload import Scenario

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

#: Central differences over this share either way; whole numbers go at least to the next one.
STEP = 0.01
#: The bottleneck is looked for over this many doublings either way, in steps of 1/16 of one.
OCTAVES = 12
_PITCH = 16
#: What is left of an elasticity that is 0.
_NOTHING = 1e-9
_FINE = 1e-9  # relative width at which a change of the bottleneck is found
_CUTS = 257


class Effect(NamedTuple):
    """A number and the elasticity of every metric to it; None where the metric does not exist."""

    lever: Lever
    elasticities: Mapping[str, float | None]

    def of(self, metric: str) -> float:
        """The elasticity of a metric, 0 where there is none."""
        return self.elasticities[metric] or 0.0


class Turn(NamedTuple):
    """The nearest value of a number at which something else bounds a phase."""

    phase: str
    lever: Lever
    before: str
    after: str
    value: float
    fits: bool

    @property
    def factor(self) -> float:
        """The value over the one there is."""
        return self.value / self.lever.value

    @property
    def distance(self) -> float:
        """How far it is, in logarithms: halving is as far as doubling."""
        return abs(math.log(self.factor))


class Sensitivity(NamedTuple):
    """Effects that are not 0, and turns, the nearest first."""

    effects: tuple[Effect, ...]
    turns: tuple[Turn, ...]


class _Scan(NamedTuple):
    """The answers over a range of one number; `at` is where it stands now."""

    lever: Lever
    values: Values
    at: int
    answer: Estimate
    possible: NDArray[np.bool_]


def sensitivity(scenario: Scenario) -> Sensitivity:
    """Elasticities to every number of a scenario that fits, and where each changes what bounds a phase."""
    effects: list[Effect] = []
    turns: list[Turn] = []
    for lever in levers(scenario):
        scan = _scan(scenario, lever)
        found = _effect(scan)
        if any(value is not None and abs(value) > _NOTHING for value in found.elasticities.values()):
            effects.append(found)
        turns += _turns(scenario, scan)
    return Sensitivity(tuple(effects), tuple(sorted(turns, key=lambda turn: turn.distance)))


def ranked(effects: tuple[Effect, ...], metric: str) -> tuple[Effect, ...]:
    """The strongest on a metric first; of equals, the strongest on any."""

    def key(effect: Effect) -> tuple[float, float]:
        most = max(abs(value or 0.0) for value in effect.elasticities.values())
        return -round(abs(effect.of(metric)), 9), -most

    return tuple(sorted(effects, key=key))


def helps(metric: str, elasticity: float | None) -> bool | None:
    """Whether more of the number betters the metric; None where it changes nothing."""
    if elasticity is None or abs(elasticity) <= _NOTHING:
        return None
    return (elasticity < 0) == METRICS[metric].ceiling


# --- a range of one number ---


def _scan(scenario: Scenario, lever: Lever) -> _Scan:
    """Geometric values around the one there is, within the field's bounds, and the two beside it."""
    import numpy as np

    values = lever.value * 2.0 ** (np.arange(-OCTAVES * _PITCH, OCTAVES * _PITCH + 1) / _PITCH)
    if lever.whole:
        values = np.round(values)
    values = values[(values >= lever.least) & (values <= lever.most)]
    values = np.unique(np.append(values, [lever.value, *_either_side(lever)]))
    answer, possible = _answers(scenario, lever, values)
    return _Scan(lever, values, int(np.searchsorted(values, lever.value)), answer, possible)


def _either_side(lever: Lever) -> tuple[float, float]:
    """A step below and above, as far as the field allows."""
    step = max(1.0, float(round(lever.value * STEP))) if lever.whole else lever.value * STEP
    return max(lever.value - step, lever.least), min(lever.value + step, lever.most)


def _answers(scenario: Scenario, lever: Lever, values: Values) -> tuple[Estimate, NDArray[np.bool_]]:
    """The answers at some values of one number, and where a plan can exist."""
    import numpy as np

    case = lever.put(scenario, values)
    with np.errstate(all="ignore"):  # points that cannot exist are computed along
        answer = estimate(case)
        possible = np.broadcast_to(np.asarray(legal.check(case)), values.shape)
    return answer, possible


# --- elasticities ---


def _effect(scan: _Scan) -> Effect:
    """Central differences; one-sided at a bound of the field, or beside what cannot exist."""
    import numpy as np

    first, last = (
        int(at) if scan.possible[at] else scan.at
        for at in np.searchsorted(scan.values, _either_side(scan.lever))
    )
    span = math.log(scan.values[last] / scan.values[first])
    found: dict[str, float | None] = {}
    for name, metric in METRICS.items():
        column = getattr(scan.answer.metrics, metric.field)
        if column is None or not span:
            found[name] = None if column is None else 0.0
            continue
        column = np.broadcast_to(np.asarray(column, dtype=float), scan.values.shape)
        start, end = float(column[first]), float(column[last])
        known = math.isfinite(start) and math.isfinite(end) and start > 0 and end > 0
        found[name] = math.log(end / start) / span if known else None
    return Effect(scan.lever, found)


# --- where the bottleneck changes ---


def _turns(scenario: Scenario, scan: _Scan) -> list[Turn]:
    """The nearest change of what bounds each phase."""
    import numpy as np

    found = []
    for phase, bounds in _bounds(scan.answer, scan.values).items():
        now = int(bounds[scan.at])
        other = np.flatnonzero(scan.possible & (bounds != now))
        if not len(other):
            continue
        below, above = other[other < scan.at], other[other > scan.at]
        ways = [(int(below[-1]) + 1, int(below[-1]))] if len(below) else []
        ways += [(int(above[0]) - 1, int(above[0]))] if len(above) else []
        sides = [
            _cut(scenario, scan.lever, phase, now, float(scan.values[start]), float(scan.values[end]))
            for start, end in ways
        ]
        found.append(min(sides, key=lambda turn: turn.distance))
    return found


def _bounds(answer: Estimate, values: Values) -> dict[str, NDArray[np.intp]]:
    """What bounds each phase at each value, as positions in BOUNDS."""
    import numpy as np

    return {
        name: np.broadcast_to(np.asarray(phase.bound, dtype=int), values.shape)
        for name, phase in answer.phases.items()
    }


def _cut(scenario: Scenario, lever: Lever, phase: str, now: int, start: float, end: float) -> Turn:
    """The first value on the way from `start` to `end`, where something else bounds, at which it does."""
    import numpy as np

    while True:
        values = np.linspace(start, end, _CUTS)
        if lever.whole:
            values = np.round(values)
        answer, possible = _answers(scenario, lever, values)
        bounds = _bounds(answer, values)[phase]
        first = max(int(np.flatnonzero(possible & (bounds != now))[0]), 1)
        start, end = float(values[first - 1]), float(values[first])
        if abs(end - start) <= (1 if lever.whole else _FINE * abs(end)):
            fits = bool(np.broadcast_to(np.asarray(answer.fits), values.shape)[first])
            return Turn(phase, lever, BOUNDS[now], BOUNDS[int(bounds[first])], end, fits)
