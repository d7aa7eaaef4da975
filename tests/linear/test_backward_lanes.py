# SPDX-License-Identifier: BSD-3-Clause
"""The way back in lanes: the gradient against complex steps of the textbook recursion."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman.linear import _native
from kelman.linear._problem import pose
from tests.linear import cases
from tests.linear.score_oracle import START, score


def gradient(model: kelman.StateSpace, z: Any, u: Any = None, *, summed: bool = False, threads: int = 1) -> Any:
    """The raw gradient of the core."""
    return _native.gradient_raw(pose(model, z, u).problem, summed, threads)


def check(model: kelman.StateSpace, z: Any, u: Any = None, *, summed: bool = False) -> None:
    """The gradient of every entry equals the complex step to 1e-10 of the largest."""
    problem = pose(model, z, u).problem
    given = _native.gradient_raw(problem, summed, 1)
    expected = [score(problem, i) for i in range(len(problem.z))]
    assert given["method"] == "lanes"
    assert not given["status"].any()
    assert (given["failed_at"] == -1).all()
    for name in expected[0]:
        right = np.stack([one[name] for one in expected])
        if name not in ("loglik", *START) and given[name].ndim < right.ndim:
            right = right.sum(axis=1)  # the sum over time of what does not vary
        if summed and name not in ("loglik", "mean"):
            right = right.sum(axis=0, keepdims=True)
        assert given[name].shape == right.shape, name
        np.testing.assert_allclose(given[name], right, rtol=0, atol=1e-10 * max(1.0, np.abs(right).max()), err_msg=name)


def covariance(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random covariances of this shape."""
    factor = rng.normal(size=shape)
    return factor @ np.swapaxes(factor, -1, -2) + np.eye(shape[-1])


def diagonal(m: int) -> np.ndarray:
    """A diagonal R."""
    return np.diag(np.linspace(0.5, 2.0, m))


@pytest.mark.parametrize("n", range(1, 9))
@pytest.mark.parametrize("m", [1, 2, 3])
def test_every_entry_of_the_model_with_gaps(n: int, m: int) -> None:
    """All of A, H, Q, R, B, D, b, c and the start, for every size that has a kernel, with gaps by component."""
    rng = np.random.default_rng(n)
    model = cases.model(n, m, 1, seed=n, R=diagonal(m), b=rng.normal(size=n), c=rng.normal(size=m))
    check(model, cases.data(3, 5, m), cases.inputs(3, 5))


def test_a_dense_r_with_complete_or_missing_rows() -> None:
    """R that is not diagonal: all of its entries, through its factor."""
    z = cases.data(3, 6, 3, gaps=0.0)
    z[1, 2] = np.nan
    check(cases.model(3, 3, 1, seed=1), z, cases.inputs(3, 6))


def test_a_start_before_the_first_measurement() -> None:
    """x_0 ~ (m0, P0): the first transition counts in A, B, b and in the noise."""
    model = cases.model(3, 2, 1, seed=2, m0=np.ones(3), P0=np.eye(3), R=diagonal(2), b=np.ones(3))
    check(model, cases.data(3, 6), cases.inputs(3, 6))


@pytest.mark.parametrize("lagged", [False, True])
def test_inputs_of_either_lag(lagged: bool) -> None:
    """The input that drives x_k is that of k, or of k - 1."""
    model = cases.model(2, 1, 2, seed=3, R=diagonal(1))
    if lagged:
        parts = {name: getattr(model, name) for name in ("A", "H", "Q", "R", "B", "D", "m1", "P1")}
        model = kelman.StateSpace.from_shifted(**parts)
    check(model, cases.data(2, 6, 1), cases.inputs(2, 6, 2))


def test_going_on_from_a_state() -> None:
    """A start that was left by a filter."""
    model = cases.model(3, 2, R=diagonal(2))
    state = kelman.filter(model, cases.data(2, 4)).state
    problem = pose(model, cases.data(2, 5, seed=4), start=state).problem
    given = _native.gradient_raw(problem, False, 1)
    right = score(problem, 1)
    for name in ("mean", "cov", "noise_mean", "noise_cov"):
        np.testing.assert_allclose(given[name][1], right[name], atol=1e-11)
    np.testing.assert_allclose(given["A"][1], right["A"].sum(axis=0), atol=1e-11)


def test_ragged_series_and_a_last_group_that_is_not_full() -> None:
    """Series of different lengths, also of length 0, more than one group of them."""
    lengths = (3, 6, 1, 4, 5, 5, 2, 6, 6, 3, 4)
    z = [cases.data(1, T, seed=T)[0] for T in lengths]
    check(cases.model(R=diagonal(2)), z)


def test_models_that_vary_by_series_in_time_and_both() -> None:
    """Each field constant, by series, in time, or both, with a dense R that changes its factor."""
    rng = np.random.default_rng(5)
    N, T = 4, 5
    z = rng.normal(size=(N, T, 2))
    z[1, 2] = np.nan
    A, H, Q, R = rng.normal(size=(3, 3)), rng.normal(size=(2, 3)), covariance(rng, 3, 3), covariance(rng, 2, 2)
    m1, P1 = rng.normal(size=(N, 3)), covariance(rng, N, 3, 3)
    c, b = rng.normal(size=(T, 2)), rng.normal(size=(N, 1, 3))
    for changes in (
        {},
        {"H": rng.normal(size=(T, 2, 3))},
        {"R": covariance(rng, T, 2, 2)},
        {"R": covariance(rng, N, 1, 2, 2), "A": rng.normal(size=(T, 3, 3))},
        {"R": covariance(rng, N, T, 2, 2), "H": rng.normal(size=(N, T, 2, 3)), "Q": covariance(rng, N, T, 3, 3)},
    ):
        model = kelman.StateSpace(**({"A": A, "H": H, "Q": Q, "R": R, "m1": m1, "P1": P1, "b": b, "c": c} | changes))
        check(model, z)
        check(model, z, summed=True)


def test_summed_is_the_sum_over_series() -> None:
    """One gradient for all series."""
    check(cases.model(R=diagonal(2)), cases.data(19, 5), summed=True)


@pytest.mark.parametrize("summed", [False, True])
def test_threads_and_order_do_not_matter(summed: bool) -> None:
    """The same to the bit for any number of threads; of each series also in any company."""
    model, z = cases.model(R=diagonal(2)), cases.data(300, 40)
    alone = gradient(model, z, summed=summed)
    for name, array in gradient(model, z, summed=summed, threads=3).items():
        if name != "method":
            np.testing.assert_array_equal(array, alone[name])
    if not summed:
        order = np.random.default_rng(0).permutation(300)[:37]
        for name, array in gradient(model, z[order]).items():
            if name != "method":
                np.testing.assert_array_equal(array, alone[name][order])


def test_what_is_not_for_the_lanes_goes_one_series_at_a_time() -> None:
    """S, singular R, a dense R with partly missing rows, many states."""
    z = cases.data()
    for model in (
        cases.model(S=np.full((3, 2), 0.1), R=np.eye(2)),
        cases.model(R=np.diag([1.0, 0.0])),
        cases.model(),
        cases.model(9, R=np.eye(2)),
    ):
        assert gradient(model, z)["method"] == "univariate"


def test_a_failing_series_is_nan_and_the_others_are_not() -> None:
    """An overflow is reported with its time, and spoils its own gradient only."""
    A = np.stack([np.eye(2), 1e200 * np.eye(2), np.eye(2)])[:, None]
    model = kelman.StateSpace(A, np.eye(2), np.eye(2), np.eye(2), m1=np.ones(2), P1=np.eye(2))
    given = gradient(model, np.ones((3, 6, 2)))
    assert given["status"].tolist() == [0, 3, 0]
    assert given["failed_at"][1] == kelman.filter(model, np.ones((3, 6, 2)), on_error="nan").failed_at[1]
    for name in ("loglik", "A", "H", "Q", "R", "mean", "cov"):
        assert np.isnan(given[name][1]).all()
        assert np.isfinite(given[name][[0, 2]]).all()


def test_single_precision() -> None:
    """float32 to 1e-4."""
    model, z = cases.model(R=diagonal(2)), cases.data()
    single = gradient(model.astype(np.float32), z.astype(np.float32))
    for name, array in gradient(model, z).items():
        if name not in ("method", "status", "failed_at"):
            assert single[name].dtype == np.float32
            np.testing.assert_allclose(single[name], array, atol=1e-4 * np.abs(array).max())
