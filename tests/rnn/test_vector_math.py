"""The core's own exp, tanh, sigmoid and softplus: errors in units in the last place against mpmath, and exact values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from kelman import _core

LIMIT = 8.0
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "exp": mpmath.exp,
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "one_minus_exp_of_negative": lambda y: -mpmath.expm1(-y),
}
POSITIVE = {"one_minus_exp_of_negative"}


def samples(name: str, dtype: type) -> np.ndarray:
    """Numbers of every size: denormal to huge, dense around the steps of the reduction, and where results underflow."""
    rng = np.random.default_rng(7)
    info = np.finfo(dtype)
    sizes = np.exp(rng.uniform(np.log(float(info.smallest_normal)), np.log(1e3), 1500))
    denormal = rng.uniform(0, 1, 50) * float(info.smallest_normal)
    steps = np.concatenate([np.arange(-60, 61) * (np.log(2) / 2), np.arange(-99, 100) * (np.log(2) / 64)])
    near = np.concatenate([steps, steps * (1 + 1e-9), steps + 1e-6])
    ends = np.log(float(info.max)) * np.array([-1.07, -1.05, -1.03, -1.01, -1.0, -0.99, 0.99, 1.0, 1.01])
    common = rng.normal(0, 3, 1500)
    whole = np.concatenate([sizes, -sizes, denormal, -denormal, near, ends, common, rng.uniform(-120, 120, 500)])
    values = whole.astype(dtype)
    return np.abs(values) if name in POSITIVE else values


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_error_is_at_most_eight_units_in_the_last_place(name: str, dtype: type) -> None:
    """Against mpmath with 60 digits, on thousands of points; results that overflow or underflow included."""
    x = samples(name, dtype)
    with mpmath.workdps(60):
        exact = [FUNCTIONS[name](mpmath.mpf(float(v))) for v in x]
        got = _core.recurrent().elementwise(name, x)
        assert got.dtype == dtype
        largest = mpmath.mpf(float(np.finfo(dtype).max))
        worst = 0.0
        for value, true, at in zip(got, exact, x, strict=True):
            if true > largest:
                assert value == np.inf, at
                continue
            unit = mpmath.mpf(float(np.spacing(dtype(float(abs(true))))))
            error = float(abs(mpmath.mpf(float(value)) - true) / unit)
            assert error <= LIMIT, f"{name}({at!r}) = {value!r} is {error:.1f} units off"
            worst = max(worst, error)
    assert worst > 0.3  # a correctly rounded function has 0.5: the sampling sees the rounding


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_values_that_must_be_exact(dtype: type) -> None:
    """Zeros with their sign, infinities and NaN."""
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan], dtype)
    expected = {
        "exp": [1, 1, np.inf, 0, np.nan],
        "tanh": [0.0, -0.0, 1, -1, np.nan],
        "sigmoid": [0.5, 0.5, 1, 0, np.nan],
        "softplus": [np.log(dtype(2)), np.log(dtype(2)), np.inf, 0, np.nan],
    }
    for name, values in expected.items():
        got = _core.recurrent().elementwise(name, x)
        np.testing.assert_array_equal(got, np.array(values, dtype), err_msg=name)
        if name == "tanh":
            np.testing.assert_array_equal(np.signbit(got[:4]), [False, True, False, True])
    got = _core.recurrent().elementwise("one_minus_exp_of_negative", x[[0, 2, 4]])
    np.testing.assert_array_equal(got, np.array([0, 1, np.nan], dtype))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_lane_gives_what_a_single_number_gives(name: str, dtype: type) -> None:
    """The place in a register does not change a bit."""
    x = np.random.default_rng(8).normal(0, 4, 263).astype(dtype)
    x = np.abs(x) if name in POSITIVE else x
    whole = _core.recurrent().elementwise(name, x)
    single = np.concatenate([_core.recurrent().elementwise(name, x[k : k + 1]) for k in range(len(x))])
    np.testing.assert_array_equal(whole, single)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_tanh_is_odd_and_neither_tanh_nor_sigmoid_leaves_its_range(dtype: type) -> None:
    """To the bit: a number and its negative give results that differ in sign only, and none is larger than 1."""
    x = np.abs(samples("tanh", dtype))
    tanh, sigmoid = (_core.recurrent().elementwise(name, np.concatenate([x, -x])) for name in ("tanh", "sigmoid"))
    np.testing.assert_array_equal(tanh[: len(x)], -tanh[len(x) :])
    assert np.abs(tanh).max() == 1 and sigmoid.max() == 1 and sigmoid.min() == 0


def test_what_is_not_a_known_function_of_a_vector_is_refused() -> None:
    """Names, shapes and types are checked."""
    for name, x in (("cosh", np.zeros(3)), ("tanh", np.zeros((2, 2))), ("tanh", np.zeros(3, int)), ("tanh", [0.0])):
        with pytest.raises((TypeError, ValueError)):
            _core.recurrent().elementwise(name, x)
