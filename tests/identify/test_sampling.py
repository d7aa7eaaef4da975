"""The posterior by the no-U-turn sampler: against integration on a grid, with priors, and what it says of itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError

pytest.importorskip("nutpie")
pytest.importorskip("arviz")

Free = kelman.Free


def level(**options: Any) -> kelman.Template:
    """A level and noise of unknown variances, diffuse start."""
    return kelman.Template([[1.0]], [[1.0]], [[Free(**options)]], [[Free()]], initial="diffuse")


def test_the_posterior_of_the_nile_is_that_of_a_grid() -> None:
    """Means, standard deviations and intervals within five Monte Carlo errors of the integral over a fine grid."""
    z = kelman.datasets.nile().z
    found = kelman.fit(z, template=level(), method="hmc", draws=500, seed=1)
    q, r = np.meshgrid(np.geomspace(20, 60000, 200), np.geomspace(3500, 45000, 150), indexing="ij")
    theta = np.stack([q.ravel(), r.ravel()], axis=1)
    loglik = kelman.loglik(
        found.template.model(theta), np.broadcast_to(np.reshape(z, (1, -1, 1)), (len(theta), 100, 1))
    )
    weight = np.exp(loglik - loglik.max()) * theta.prod(1)
    weight /= weight.sum()
    mean = weight @ theta
    std = np.sqrt(weight @ (theta - mean) ** 2)
    error = std / np.sqrt(found.ess)
    assert (np.abs(found.mean - mean) < 5 * error).all()
    np.testing.assert_allclose(found.std, std, rtol=0.15)
    assert found.rhat.max() < 1.02
    assert found.divergences < 10
    for k in range(2):
        order = np.argsort(theta[:, k])
        below = np.interp(found.interval(0.8)[k], theta[order, k], np.cumsum(weight[order]))
        np.testing.assert_allclose(below, [0.1, 0.9], atol=0.03)


def test_priors_count() -> None:
    """A normal mean with a normal prior: the conjugate posterior."""
    z = np.random.default_rng(1).normal(3.0, 2.0, size=50)
    template = kelman.Template(
        [[0.0]], [[1.0]], [[0.0]], [[4.0]], c=[Free(prior=lambda c: (-0.5 * c**2 / 0.25, -c / 0.25))], m1=[0.0], P1=[[0.0]]
    )  # fmt: skip
    found = kelman.fit(z, template=template, method="hmc", draws=500, chains=2, seed=3)
    precision = 50 / 4 + 4
    assert found.mean[0] == pytest.approx(z.sum() / 4 / precision, abs=5 * precision**-0.5 / found.ess[0] ** 0.5)
    assert found.std[0] == pytest.approx(precision**-0.5, rel=0.15)


def test_what_follows_from_the_draws() -> None:
    """Poles, impulse response, states, arviz data; the same seed gives the same draws."""
    truth = kelman.StateSpace([[0.8]], [[1.0]], [[1.0]], [[0.5]], initial="stationary")
    z = kelman.simulate(truth, 80, rng=0).z
    z[30:40] = np.nan
    template = kelman.Template([[Free(0.5, -1, 1)]], [[1.0]], [[Free()]], [[Free()]], initial="stationary")
    found = kelman.fit(z, template=template, method="hmc", draws=60, tune=200, chains=2, seed=5)
    again = kelman.fit(z, template=template, method="hmc", draws=60, tune=200, chains=2, seed=5)
    np.testing.assert_array_equal(found.theta, again.theta)
    np.testing.assert_allclose(found.poles[..., 0], found.theta[..., 0])
    response = found.noise_impulse(3, every=20)
    assert response.shape == (2, 3, 4, 1, 1)
    np.testing.assert_allclose(response[..., 2, 0, 0] / response[..., 1, 0, 0], found.theta[:, ::20, 0], rtol=1e-9)
    paths = found.states(300, rng=2)
    smoothed = kelman.smooth(found.model, z)
    spread = np.sqrt(smoothed.cov[:, 0, 0])
    assert paths.shape == (300, 80, 1)
    assert (np.abs(paths.mean(0)[:, 0] - smoothed.mean[:, 0]) < spread).all()
    data = found.to_arviz()
    assert {"A[0,0]", "Q[0,0]", "pole_modulus", "pole_angle"} <= set(data.posterior.data_vars)
    assert "R-hat" in found.summary()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_states": 1}, "method: 'hmc' needs a template"),
        ({"template": level(), "seed": -1}, "seed: expected a whole number of at least 0"),
        ({"template": level(), "draws": 0}, "draws: expected a whole number of at least 1"),
        ({"template": kelman.Template([[1.0]], [[1.0]], [[1.0]], [[1.0]])}, "nothing is free"),
        ({"template": level(), "per_series": True}, "per_series"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    """Each error names the argument."""
    with pytest.raises(KelmanError, match=message):
        kelman.fit(kelman.datasets.nile().z, method="hmc", **options)
