"""Arithmetic that takes plain floats and numpy arrays alike. Ground floor: stdlib only.

A one-off query works on floats and must not pay for importing numpy; a sweep runs the same lines
on arrays. Each function looks at its arguments and hands over to numpy as soon as one is an array.
Everything else in the engine is `+ - * /`, which broadcasts by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Number: TypeAlias = float | NDArray[np.float64]
    Flag: TypeAlias = bool | NDArray[np.bool_]
else:
    Number = float
    Flag = bool

_PLAIN = (int, float)  # bool is an int


@cache
def _numpy() -> Any:
    import os

    # One thread: the arrays are small, and starting a pool costs tens of milliseconds.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import numpy

    return numpy


def is_array(x: object) -> bool:
    """True for anything that is not a plain Python number."""
    return not isinstance(x, _PLAIN)


def maximum(a: Number, b: Number) -> Number:
    """The larger of two, elementwise."""
    if isinstance(a, _PLAIN) and isinstance(b, _PLAIN):
        return a if a >= b else b
    return _numpy().maximum(a, b)  # type: ignore[no-any-return]


def minimum(a: Number, b: Number) -> Number:
    """The smaller of two, elementwise."""
    if isinstance(a, _PLAIN) and isinstance(b, _PLAIN):
        return a if a <= b else b
    return _numpy().minimum(a, b)  # type: ignore[no-any-return]


def clip(x: Number, low: Number, high: Number) -> Number:
    """`x` held between `low` and `high`."""
    return minimum(maximum(x, low), high)


def where(condition: Flag, yes: Number, no: Number) -> Number:
    """`yes` where the condition holds, else `no`; both are already evaluated."""
    if isinstance(condition, bool):
        return yes if condition else no
    return _numpy().where(condition, yes, no)  # type: ignore[no-any-return]


def ceil(x: Number) -> Number:
    """Smallest whole number not below `x`."""
    return math.ceil(x) if isinstance(x, _PLAIN) else _numpy().ceil(x)


def floor(x: Number) -> Number:
    """Largest whole number not above `x`."""
    return math.floor(x) if isinstance(x, _PLAIN) else _numpy().floor(x)


def sqrt(x: Number) -> Number:
    """Square root; rounds the same way on a float and on an array."""
    return math.sqrt(x) if isinstance(x, _PLAIN) else _numpy().sqrt(x)


def log2(x: Number) -> Number:
    """Base-2 logarithm."""
    return math.log2(x) if isinstance(x, _PLAIN) else _numpy().log2(x)


def power(x: Number, y: Number) -> Number:
    """`x >= 0` to the power `y`, element by element: numpy's own has other last bits on some processors."""
    return each(math.pow, x, y)


def each(function: Callable[..., Number], *numbers: Number) -> Number:
    """`function` of plain numbers, called for every element where one of them is an array.

    For what has no closed form; each element is exactly what the scalar query gets.
    """
    if all(isinstance(x, _PLAIN) for x in numbers):
        return function(*numbers)
    numpy = _numpy()
    wide = numpy.broadcast_arrays(*numbers)
    flat = [function(*row) for row in zip(*(x.ravel().tolist() for x in wide), strict=True)]
    return numpy.array(flat, dtype=float).reshape(wide[0].shape)  # type: ignore[no-any-return]


def any_true(flag: Flag) -> bool:
    """True when the flag holds anywhere."""
    return flag if isinstance(flag, bool) else bool(flag.any())


def largest(x: Number) -> float:
    """The largest element; a plain number itself."""
    return x if isinstance(x, _PLAIN) else float(x.max())


def same(a: Number, b: Number) -> bool:
    """Equal everywhere, and of one shape."""
    if isinstance(a, _PLAIN) or isinstance(b, _PLAIN):
        return isinstance(a, _PLAIN) and isinstance(b, _PLAIN) and a == b
    return a is b or (a.shape == b.shape and bool((a == b).all()))


def both(a: Flag, b: Flag) -> Flag:
    """Both hold, elementwise."""
    if isinstance(a, bool) and isinstance(b, bool):
        return a and b
    return _numpy().logical_and(a, b)  # type: ignore[no-any-return]


def negate(flag: Flag) -> Flag:
    """Does not hold, elementwise."""
    return not flag if isinstance(flag, bool) else _numpy().logical_not(flag)


def corner(a: Number, b: Number, p: float) -> Number:
    """The p-norm `(a^p + b^p)^(1/p)` of two times, for p in {1/2, 1, 2, 4, inf}.

    p = inf is the roofline's `max`; smaller p rounds the corner; p = 1 is no overlap at all.
    Only `sqrt` and products are used, so that a float and the same element of an array agree.
    """
    if p == math.inf:
        return maximum(a, b)
    if p == 2:
        return sqrt(a * a + b * b)
    if p == 1:
        return a + b
    if p == 4:
        a2, b2 = a * a, b * b
        return sqrt(sqrt(a2 * a2 + b2 * b2))
    if p == 0.5:
        return a + b + 2 * sqrt(a * b)
    raise ValueError(f"corner {p} is not one of 0.5, 1, 2, 4, inf")
