"""The largest load that a platform serves: a batch, a concurrency, a context."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from genzcli.errors import PlanError
from genzcli.explore import grid
from genzcli.explore.plan import choose
from genzcli.slo import Judged, judge
from genzcli.spec.metric import METRICS, label
from genzcli.spec.workload import Scenario
from genzcli.units import show

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Values computed at once.
_PITCH = 513


class Largest(NamedTuple):
    """The largest value that passes, the next one that was seen to fail, and the answer there.

    Where not even the smallest passes, `why` says what is in its way.
    """

    value: int | None
    fails_at: int | None
    columns: Mapping[str, Any]
    why: str = ""


def largest(
    scenario: Scenario,
    put: Callable[[Scenario, Any], Scenario],
    most: int,
    chips: int,
    fixed: Mapping[str, int],
) -> Largest:
    """The largest whole number up to `most` with which the scenario fits and meets every objective.

    A geometric grid of values at once, then all between the last that passes and the next that fails: exact
    where the numbers that pass are one interval at the grid's pitch.
    """
    import numpy as np

    values = np.unique(np.round(np.geomspace(1, most, _PITCH)))
    while True:
        columns, passed = _passing(scenario, put, values, chips, fixed)
        if not passed.any():
            least = int(values[0])
            return Largest(None, least, {}, _why(put(scenario, least), chips, fixed))
        last = int(np.flatnonzero(passed)[-1])
        if last == len(values) - 1:
            return Largest(int(values[last]), None, {key: value[last] for key, value in columns.items()})
        low, high = int(values[last]), int(values[last + 1])
        if high - low == 1:
            return Largest(low, high, {key: value[last] for key, value in columns.items()})
        values = np.unique(np.round(np.linspace(low, high, min(high - low + 1, _PITCH))))


def _why(scenario: Scenario, chips: int, fixed: Mapping[str, int]) -> str:
    """What a scenario lacks: a plan, memory, or time."""
    try:
        choice = choose(scenario, chips, fixed)
    except PlanError as error:
        return f"{error}; {error.cure}" if error.cure and error.cure not in str(error) else str(error)
    answer = choice.answer
    if not answer.fits:
        return f"{answer.why}; give more --chips, or a narrower --precision"
    said = [
        f"{label(item.metric)} {_value(item)} ({_value(item, item.limit)} allowed)"
        for item in judge(answer, scenario.usecase.slo)
        if not item.passed
    ]
    return f"{' and '.join(said)}; give other --chips, or another --slo"


def _value(item: Judged, value: Any = None) -> str:
    metric = METRICS[item.metric]
    number = item.actual if value is None else value
    if number is None:
        return "unknown"
    number = float(number) / metric.scale
    return show(number, "s") if metric.unit == "s" else f"{show(number, '')} {metric.output_unit}"


def _passing(
    scenario: Scenario,
    put: Callable[[Scenario, Any], Scenario],
    values: NDArray[np.float64],
    chips: int,
    fixed: Mapping[str, int],
) -> tuple[Mapping[str, Any], NDArray[np.bool_]]:
    import numpy as np

    with np.errstate(all="ignore"):
        columns, _ = grid.answers(put(scenario, values), values.shape, chips, fixed)
    if "fits" not in columns:
        return columns, np.zeros(values.shape, dtype=bool)
    good = (columns["legal"] > 0) & (columns["fits"] > 0) & (columns["missed"] == 0)
    return columns, good
