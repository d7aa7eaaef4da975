# SPDX-License-Identifier: BSD-3-Clause
"""The start of fitted models with inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import kelman
from kelman import lti, systems
from kelman.identify._data import read
from kelman.identify._driven import driven_start, output_units

if TYPE_CHECKING:
    from kelman._types import Array


def path_by_loop(A: Array, B: Array, b: Array, u: Array, x: Array) -> Array:
    """States without noise, one step at a time."""
    out = []
    for row in u:
        out.append(x)
        x = A @ x + B @ row + b
    return np.array(out)


def test_the_start_is_the_mean_and_the_spread_of_the_driven_path() -> None:
    """Against a loop over ragged series: mean, spread, stationary covariance of the noise, spread of the first states."""
    rng = np.random.default_rng(0)
    A = np.array([[0.8, 0.3], [-0.2, 0.7]])
    B, b, H, half = rng.normal(size=(2, 3)), rng.normal(size=2), rng.normal(size=(1, 2)), rng.normal(size=(2, 1))
    u = [rng.normal(2.0, 1.0, size=(length, 3)) for length in (50, 80, 20)]
    x1 = rng.normal(size=(2, 3))
    paths = [path_by_loop(A, B, b, one, x1[:, i]) for i, one in enumerate(u)]
    states = np.concatenate(paths)
    mean = states.mean(0)
    expected = (
        lti.lyapunov(A, half @ half.T) + np.cov(states.T, bias=True) + (x1 - mean[:, None]) @ (x1 - mean[:, None]).T / 3
    )
    data = read([np.zeros((len(one), 1)) for one in u], u)
    start = driven_start(A, B, b, H, half @ half.T, x1, data)
    assert start.keys() == {"m1", "P1"}
    np.testing.assert_allclose(start["m1"], mean, rtol=1e-12)
    np.testing.assert_allclose(start["P1"], expected, rtol=1e-11)


def test_an_integrator_starts_diffuse_and_the_rest_does_not() -> None:
    """The stable mode has its proper start whatever the basis; the other one is diffuse in units of the measurements."""
    rng = np.random.default_rng(1)
    u = rng.normal(1.0, 1.0, size=(60, 1))
    data, x1 = read(np.zeros((60, 1)), u), np.array([[0.3], [0.5]])
    A, B, H, Q = np.diag([1.0, 0.5]), np.array([[0.2], [1.0]]), np.array([[2.0, 1.0]]), np.diag([0.1, 0.4])
    start = driven_start(A, B, np.zeros(2), H, Q, x1, data)
    alone = driven_start(A[1:, 1:], B[1:], np.zeros(1), H[:, 1:], Q[1:, 1:], x1[1:], data)
    np.testing.assert_allclose(start["P1_inf"], np.diag([0.25, 0.0]), atol=1e-12)
    np.testing.assert_allclose(start["m1"], [0.0, alone["m1"][0]], atol=1e-12)
    np.testing.assert_allclose(start["P1"], np.diag([0.0, alone["P1"][0, 0]]), atol=1e-12)
    T = rng.normal(size=(2, 2))
    back = np.linalg.inv(T)
    turned = driven_start(T @ A @ back, T @ B, np.zeros(2), H @ back, T @ Q @ T.T, T @ x1, data)
    for name, value in start.items():
        expected = T @ value if value.ndim == 1 else T @ value @ T.T
        np.testing.assert_allclose(turned[name], expected, atol=1e-9)
    nothing = driven_start(A[:1, :1], B[:1], np.zeros(1), H[:, :1], Q[:1, :1], x1[:1], data)
    np.testing.assert_allclose(nothing["P1_inf"], [[0.25]])
    assert not nothing["P1"].any()


def test_output_units_give_measurements_unit_variance() -> None:
    """The noise-free measurements of a state with this covariance have the identity, or a projection, as theirs."""
    rng = np.random.default_rng(2)
    A, H = rng.normal(size=(3, 3)) / 2, rng.normal(size=(1, 3))
    O = np.vstack([H, H @ A, H @ A @ A])
    np.testing.assert_allclose(O @ output_units(A, H) @ O.T, np.eye(3), atol=1e-9)
    H = rng.normal(size=(2, 3))
    O = np.vstack([H, H @ A, H @ A @ A])
    shown = O @ output_units(A, H) @ O.T
    np.testing.assert_allclose(shown @ shown, shown, atol=1e-9)
    assert np.trace(shown) == pytest.approx(3.0)


@pytest.mark.parametrize("method", ["subspace", "pem"])
@pytest.mark.parametrize("offset", [True, False])
def test_the_hair_dryer_from_the_start_of_its_own_model(method: str, offset: bool) -> None:
    """The mean input of 5 W no longer throws the filter off: a few units where it was 2000."""
    data = kelman.datasets.hairdryer()
    fit = kelman.fit(data.z, data.u, n_states=4, method=method, offset=offset)
    assert fit.model.dims.N is None
    own = float(kelman.loglik(fit.model, data.z, data.u))
    assert fit.loglik - 12 < own < fit.loglik + 1
    if offset:
        plain = float(kelman.loglik(fit.model.replace(m1=None, P1=None), data.z, data.u))
        assert plain < fit.loglik - 1000


@pytest.mark.parametrize("lag", [0, 1])
def test_inputs_of_any_mean_leave_the_likelihood_of_the_model_near_that_of_the_fit(lag: int) -> None:
    """Simulated plants with either time index, begun where the inputs keep them."""
    rng = np.random.default_rng(lag)
    truth = systems.random_stable(3, 1, 1, rng=4 + lag, radius=0.9).replace(input_lag=lag)
    u = rng.normal(20.0, 1.0, size=(900, 1))
    z = kelman.simulate(truth, 900, u=u, rng=lag).z[100:] + 7.0
    fit = kelman.fit(z, u[100:], n_states=3)
    own = float(kelman.loglik(fit.model, z, u[100:]))
    assert abs(own - fit.loglik) < 8
    later = kelman.loglik(fit.model, z[300:], u[400:])  # new data of the same plant need no other start
    assert float(later) > fit.loglik * 5 / 8 - 60


def test_a_model_chosen_by_held_out_series_starts_where_its_inputs_keep_it() -> None:
    """Held-out series are predicted from a start that knows the inputs: their first steps are no worse than the rest."""
    rng = np.random.default_rng(3)
    truth = systems.random_stable(2, 1, 1, rng=6, radius=0.9)
    u = rng.normal(200.0, 1.0, size=(8, 300, 1))
    z = np.stack([kelman.simulate(truth, 300, u=one, rng=k).z[100:] for k, one in enumerate(u)])
    found = kelman.identify.select_order(z, u[:, 100:], holdout=0.25, max_order=3)
    noise = np.sqrt(kelman.steady_state(truth).innovation_cov[0, 0])
    best = -0.5 * np.log(2 * np.pi) - np.log(noise) - 0.5
    assert found.heldout[found.orders == 2][0] > best - 0.15
