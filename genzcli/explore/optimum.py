"""Bounded, regularised, robust least squares in a few variables: Levenberg and Marquardt's method.

Minimises sum rho(r_i(x) / s) + sum ((x_j - c_j) / w_j)^2 / 2 within bounds, rho being Cauchy's loss,
d^2 / 2 ln(1 + (r / d)^2): a square near 0, and what is far off pulls less the farther it is. The residuals of
many x come from one call, so that a Jacobian is one call too.
Nocedal and Wright, Numerical Optimization (2006), chapter 10; Holland and Welsch (1977) for the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_STEPS = 25
_HALF_STEP = 1e-3
_FAR = 1.5
_DAMPING = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)


class Problem(NamedTuple):
    """Residuals as a function of the rows of X, and what holds x."""

    residuals: Callable[[Array], Array]  # (many, variables) to (many, residuals)
    low: Array
    high: Array
    centre: Array
    width: Array
    noise: float  # size of a residual that is no news


class Optimum(NamedTuple):
    """Where the cost is least, how much it is, and how sharply the data show each variable."""

    x: Array
    cost: float
    shown: Array  # share of a variable's spread that the data take away, 0 to 1


def minimise(problem: Problem, start: Array) -> Optimum:
    """The best point from a start; each step is the best of several dampings."""
    import numpy as np

    x = np.clip(start, problem.low, problem.high)
    best = _cost(problem, problem.residuals(x[None]), x[None])[0]
    for _ in range(_STEPS):
        gradient, curvature = _quadratic(problem, x)
        free = ~(((x <= problem.low) & (gradient > 0)) | ((x >= problem.high) & (gradient < 0)))
        trials = np.stack([_step(problem, x, gradient, curvature, free, d) for d in _DAMPING])
        costs = _cost(problem, problem.residuals(trials), trials)
        least = int(np.argmin(costs))
        gained = best - costs[least]
        if not gained > 0:
            break
        x, best = trials[least], costs[least]
        if gained < 1e-4 * best:
            break
    spread = np.sqrt(np.diag(np.linalg.inv(_quadratic(problem, x)[1]))) / problem.width
    return Optimum(x, float(best), np.clip(1 - spread, 0, 1))


def _step(problem: Problem, x: Array, gradient: Array, curvature: Array, free: Any, damping: float) -> Array:
    import numpy as np

    damped = (curvature + damping * np.diag(np.diag(curvature)))[np.ix_(free, free)]
    moved = x.copy()
    moved[free] = x[free] - np.linalg.solve(damped, gradient[free])
    return np.clip(moved, problem.low, problem.high)


def _quadratic(problem: Problem, x: Array) -> tuple[Array, Array]:
    """Gradient, and curvature after Gauss and Newton, of the cost."""
    import numpy as np

    step = np.where(x + _HALF_STEP <= problem.high, _HALF_STEP, -_HALF_STEP)
    many = problem.residuals(np.concatenate([x[None], x + np.diag(step)]))
    here = many[0] / problem.noise
    jacobian = (many[1:] - many[0]) / step[:, None] / problem.noise
    weight = 1 / (1 + (here / _FAR) ** 2)
    pull = 1 / problem.width**2
    gradient = jacobian @ (weight * here) + (x - problem.centre) * pull
    return gradient, (jacobian * weight) @ jacobian.T + np.diag(pull)


def _cost(problem: Problem, residuals: Array, x: Array) -> Array:
    import numpy as np

    loss = _FAR**2 / 2 * np.log1p((residuals / problem.noise / _FAR) ** 2)
    return np.asarray(loss.sum(1) + (((x - problem.centre) / problem.width) ** 2).sum(1) / 2)
