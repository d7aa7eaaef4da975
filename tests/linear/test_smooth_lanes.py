# SPDX-License-Identifier: BSD-3-Clause
"""The smoother in lanes against the form that takes one series at a time, and the gradient over many segments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman.linear import _native
from kelman.linear._problem import pose
from tests.linear import cases
from tests.linear.score_oracle import loglik, one_series

if _native._core.core is None:
    pytest.skip("needs the compiled core", allow_module_level=True)

NAMES = ("mean", "cov", "lag_one_cov", "loglik")


def diagonal(m: int) -> np.ndarray:
    """A diagonal R."""
    return np.diag(np.linspace(0.5, 2.0, m))


def check(model: kelman.StateSpace, z: Any, u: Any = None, *, atol: float = 1e-10) -> None:
    """Both ways agree, NaN included, and the fast one was taken."""
    fast = kelman.smooth(model, z, u, lag=1)
    slow = kelman.smooth(model, z, u, lag=1, form="univariate")
    assert (fast.method, slow.method) == ("lanes", "univariate")
    for name in NAMES:
        right = getattr(slow, name)
        scale = max(1.0, np.nanmax(np.abs(right), initial=0.0))
        np.testing.assert_allclose(getattr(fast, name), right, rtol=0, atol=atol * scale, err_msg=name)


@pytest.mark.parametrize("n", range(1, 9))
def test_every_size_with_gaps_and_inputs(n: int) -> None:
    """Means, covariances and lag-one covariances, from x_1 and from x_0, for more than one group of series."""
    check(cases.model(n, 2, 1, seed=n, R=diagonal(2), b=np.ones(n)), cases.data(11, 20), cases.inputs(11, 20))
    check(cases.model(n, 2, seed=n, m0=np.ones(n), P0=np.eye(n), R=diagonal(2)), cases.data(3, 9))


def test_a_dense_r_and_models_of_their_own() -> None:
    """R that is not diagonal, with whole rows missing; a model for each series; one that varies in time."""
    z = cases.data(5, 12, gaps=0.0)
    z[1, 2] = z[3, 4:7] = np.nan
    check(cases.model(), z)
    own = kelman.StateSpace.stack([cases.model(seed=seed) for seed in range(5)])
    check(own, z)
    timed = cases.model(A=np.stack([cases.model(seed=seed).A for seed in range(12)]))
    check(timed, z)


def test_ragged_series() -> None:
    """Series of different lengths; NaN behind their ends."""
    z = [cases.data(1, T, seed=T)[0] for T in (3, 17, 1, 8, 9, 16, 2, 17, 30, 3, 4)]
    check(cases.model(R=diagonal(2)), z)


@pytest.mark.parametrize("T", [217, 218, 219, 700])
def test_more_steps_than_a_segment(T: int) -> None:
    """Where the forward pass is done again from a checkpoint, nothing changes: eight states, 218 steps in a segment."""
    model, z = cases.model(8, 2, R=diagonal(2)), cases.data(2, T)
    check(model, z)
    problem = pose(model, z).problem
    given = _native.gradient_raw(problem, False, 1)
    rng = np.random.default_rng(T)
    for name in ("A", "H", "Q", "R", "cov"):  # along one direction each
        parts = one_series(problem, 1)
        direction = rng.normal(size=given[name].shape[1:])
        if name in ("Q", "R", "cov"):
            direction = direction + direction.T
        parts[name] = parts[name] + 1e-30j * direction
        right = loglik(parts).imag / 1e-30
        assert abs((given[name][1] * direction).sum() - right) < 1e-9 * max(1.0, np.abs(given[name][1]).sum()), name


@pytest.mark.parametrize("variance", [1e2, 1e4, 1e6])
def test_a_vague_start_loses_no_digits(variance: float) -> None:
    """Where P - P N P would cancel, a lane goes by the Markov kernel."""
    model = cases.model(4, 1, R=diagonal(1), P1=variance * np.eye(4))
    fast, slow = (kelman.smooth(model, cases.data(9, 40, 1), form=form) for form in ("auto", "univariate"))
    assert fast.method == "lanes"
    np.testing.assert_allclose(fast.mean, slow.mean, rtol=0, atol=1e-9)
    np.testing.assert_allclose(fast.cov, slow.cov, rtol=0, atol=1e-9)


def test_threads_and_order_do_not_matter() -> None:
    """The same to the bit for any number of threads and in any company."""
    model, z = cases.model(R=diagonal(2)), cases.data(200, 40)
    alone = kelman.smooth(model, z, lag=1, threads=1)
    order = np.random.default_rng(0).permutation(200)[:37]
    threaded, shuffled = kelman.smooth(model, z, lag=1, threads=3), kelman.smooth(model, z[order], lag=1)
    for name in NAMES:
        np.testing.assert_array_equal(getattr(threaded, name), getattr(alone, name))
        np.testing.assert_array_equal(getattr(shuffled, name), getattr(alone, name)[order])


def test_what_is_not_for_the_lanes() -> None:
    """Rows that are partly missing with a dense R, diffuse starts, S, singular R: one series at a time."""
    z = cases.data()
    for model in (cases.model(), cases.model(initial="diffuse"), cases.model(9), cases.model(R=np.zeros((2, 2)))):
        assert kelman.smooth(model, z).method == "univariate"


def test_a_failing_series_is_told_by_the_other_form() -> None:
    """An overflow in one series: its status and time, and NaN for it alone."""
    A = np.stack([np.eye(2), 1e200 * np.eye(2), np.eye(2)])[:, None]
    model = kelman.StateSpace(A, np.eye(2), np.eye(2), np.eye(2), m1=np.ones(2), P1=np.eye(2))
    s = kelman.smooth(model, np.ones((3, 6, 2)), on_error="nan")
    careful = kelman.smooth(model, np.ones((3, 6, 2)), on_error="nan", form="univariate")
    assert s.method == "univariate+lanes"
    np.testing.assert_array_equal(s.status, careful.status)
    np.testing.assert_array_equal(s.failed_at, careful.failed_at)
    np.testing.assert_allclose(s.mean, careful.mean, atol=1e-12)


def test_single_precision() -> None:
    """float32 to 1e-4."""
    model, z = cases.model(R=diagonal(2)), cases.data()
    single, double = kelman.smooth(model.astype(np.float32), z.astype(np.float32)), kelman.smooth(model, z)
    assert single.mean.dtype == np.float32
    np.testing.assert_allclose(single.mean, double.mean, atol=1e-4 * np.abs(double.mean).max())
    np.testing.assert_allclose(single.cov, double.cov, atol=1e-4 * np.abs(double.cov).max())
