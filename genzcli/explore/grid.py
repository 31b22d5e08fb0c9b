"""Many scenarios of one structure at once: arrays through the engine, and the best plan of each point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genzcli.engine.estimate import estimate
from genzcli.engine.result import Memory, Metrics
from genzcli.errors import PlanError
from genzcli.explore.plan import NEAR, candidates, simplicity
from genzcli.slo import failures
from genzcli.spec.workload import Scenario

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Columns = dict[str, NDArray[np.float64]]

AXES = ("tp", "pp", "dp", "ep")
METRICS = tuple(Metrics.fields)
MEMORY = tuple(name for name in Memory.fields if name not in ("tiers", "contents"))


def answers(
    scenario: Scenario, shape: tuple[int, ...], chips: int, fixed: Mapping[str, int]
) -> tuple[Columns, Mapping[str, Any]]:
    """Columns of `shape`, one value a point, and the bytes of each memory; NaN stands for what is not there.

    The numbers of the scenario may be arrays that broadcast to `shape`. Degrees not in `fixed` are chosen at
    each point as `plan.choose` does. `legal` is 0 where no plan can exist.
    """
    return best(tried(scenario, chips, fixed), shape)


def tried(scenario: Scenario, chips: int, fixed: Mapping[str, int]) -> list[Scenario]:
    """The scenario under every plan that may be taken, the simplest first."""
    plans = candidates(scenario.model, scenario.plan, chips, fixed)
    return sorted((scenario.replace(plan=plan) for plan in plans), key=simplicity)


def best(cases: Sequence[Scenario], shape: tuple[int, ...]) -> tuple[Columns, Mapping[str, Any]]:
    """The answers under the plan, of these, that is best at each point."""
    import numpy as np

    found = [item for item in (_columns(case, shape) for case in cases) if item is not None]
    if not found:
        return {"legal": np.zeros(shape)}, {}
    if len(found) == 1:
        return found[0]
    index = _choice([columns for columns, _ in found])
    taken = {key: _taken([columns[key] for columns, _ in found], index) for key in found[0][0]}
    tiers = {key: _taken([held[key] for _, held in found], index) for key in found[0][1]}
    return taken, tiers


def _taken(values: list[Any], index: Any) -> Any:
    import numpy as np

    return (
        np.choose(index, values)
        if len(values) <= 32
        else np.take_along_axis(np.stack(values), index[None], axis=0)[0]
    )


def _choice(found: list[Columns]) -> NDArray[np.intp]:
    """Position of the plan to take at each point; `found` is in order of simplicity.

    Fitting plans before others, those that miss fewest objectives, and of these the simplest within
    5 % of the lowest E2E. Where none fits, the one that is short of least.
    """
    import numpy as np

    fits = np.stack([item["fits"] for item in found]) > 0
    possible = np.stack([item["legal"] for item in found]) > 0
    missed = np.where(fits, np.stack([item["missed"] for item in found]), np.inf)
    e2e = np.where(missed == missed.min(axis=0), np.stack([item["e2e_s"] for item in found]), np.inf)
    e2e = np.where(fits, e2e, np.inf)
    near = e2e <= NEAR * e2e.min(axis=0)
    short = np.where(possible, np.stack([item["deficit_bytes"] for item in found]), np.inf)
    closest = short.argmin(axis=0)
    first = (near & fits).argmax(axis=0)
    index: NDArray[np.intp] = np.where(fits.any(axis=0), first, closest)
    return index


def _columns(case: Scenario, shape: tuple[int, ...]) -> tuple[Columns, dict[str, Any]] | None:
    """What one plan answers everywhere; None where it cannot exist at all."""
    import numpy as np

    try:
        answer = estimate(case, brief=True)
    except PlanError:
        return None

    def column(value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.shape == shape and value.dtype == float:
            return value
        found = np.empty(shape)
        found[...] = np.nan if value is None else value
        return found

    def fitting(value: Any) -> Any:
        return column(value) if everywhere else np.where(fits, column(value), np.nan)

    held, metrics, limits = answer.memory, answer.metrics, case.usecase.slo
    fits = column(answer.fits) > 0
    everywhere = fits.all()
    found = {"legal": column(answer.legal), "fits": column(answer.fits)}
    found["missed"] = column(len(limits) if metrics.e2e_s is None else failures(answer, limits))
    found |= {name: fitting(getattr(metrics, name)) for name in METRICS}
    found |= {name: column(getattr(held, name)) for name in MEMORY}
    found["max_batch"] = np.floor(found["max_batch"])
    found["concurrency"] = np.where(fits, column(answer.concurrency), 0)
    found["bound"] = fitting(answer.bound)
    found |= {axis: column(getattr(case.plan, axis)) for axis in AXES}
    return found, {name: column(size) for name, size in held.tiers.items()}
