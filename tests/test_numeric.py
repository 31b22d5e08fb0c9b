"""The room where floats and arrays meet: the same function, the same number."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genzcli import numeric

REALS = st.floats(1e-9, 1e9)


@given(REALS, REALS, st.sampled_from([0.5, 1, 2, 4, math.inf]))
def test_corner_is_the_p_norm(a: float, b: float, p: float) -> None:
    expected = max(a, b) if p == math.inf else (a**p + b**p) ** (1 / p)
    assert numeric.corner(a, b, p) == pytest.approx(expected, rel=1e-12)
    array = numeric.corner(np.array([a]), np.array([b]), p)
    assert array[0] == pytest.approx(numeric.corner(a, b, p), rel=1e-14)  # type: ignore[index]


@given(REALS, REALS)
def test_a_larger_p_is_never_slower(a: float, b: float) -> None:
    times = [numeric.corner(a, b, p) for p in (0.5, 1, 2, 4, math.inf)]
    assert all(x >= y * (1 - 1e-12) for x, y in itertools.pairwise(times))
    assert times[-1] == max(a, b)


def test_other_corners_are_refused() -> None:
    with pytest.raises(ValueError, match="corner 3"):
        numeric.corner(1.0, 2.0, 3)


@given(REALS, REALS, REALS)
def test_floats_and_arrays_agree(a: float, b: float, c: float) -> None:
    x, y = np.array([a, b]), np.array([b, a])
    assert list(numeric.maximum(x, y)) == [numeric.maximum(a, b), numeric.maximum(b, a)]  # type: ignore[arg-type]
    assert list(numeric.minimum(x, y)) == [numeric.minimum(a, b), numeric.minimum(b, a)]  # type: ignore[arg-type]
    assert list(numeric.ceil(x)) == [numeric.ceil(a), numeric.ceil(b)]  # type: ignore[arg-type]
    assert list(numeric.floor(x)) == [numeric.floor(a), numeric.floor(b)]  # type: ignore[arg-type]
    assert list(numeric.sqrt(x)) == [numeric.sqrt(a), numeric.sqrt(b)]  # type: ignore[arg-type]
    assert list(numeric.clip(x, min(b, c), max(b, c))) == [  # type: ignore[arg-type]
        numeric.clip(a, min(b, c), max(b, c)),
        numeric.clip(b, min(b, c), max(b, c)),
    ]
    assert list(numeric.where(x > y, x, y)) == [numeric.where(a > b, a, b), numeric.where(b > a, b, a)]  # type: ignore[arg-type]


def test_flags() -> None:
    yes = np.array([True, False])
    assert numeric.both(True, True) is True and numeric.negate(True) is False
    assert list(numeric.both(yes, True)) == [True, False]  # type: ignore[arg-type]
    assert list(numeric.negate(yes)) == [False, True]  # type: ignore[arg-type]
    assert numeric.any_true(yes) and not numeric.any_true(False)
    assert numeric.is_array(yes) and not numeric.is_array(3) and not numeric.is_array(3.0)


def test_one_question_does_not_load_numpy() -> None:
    code = (
        "import sys; from engine_samples import answer, moe; assert answer(moe(), tp=2, batch=3).fits; "
        "assert 'numpy' not in sys.modules and 'rich' not in sys.modules and 'yaml' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_a_power_is_the_same_alone_and_in_an_array() -> None:
    shares, counts = np.linspace(0.01, 0.99, 60), np.linspace(0.3, 700.0, 60)
    found = numeric.power(shares[:, None], counts)
    assert isinstance(found, np.ndarray)
    alone = [[numeric.power(x, y) for y in counts.tolist()] for x in shares.tolist()]
    assert found.tolist() == alone
