"""One model for each of many series: the same as one fit after the other, in one loop."""

from __future__ import annotations

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError, NumericalWarning

Free = kelman.Free


def level() -> kelman.Template:
    """A level and noise of unknown variances, diffuse start."""
    return kelman.Template([[1.0]], [[1.0]], [[Free()]], [[Free()]], initial="diffuse")


def levels(count: int, length: int = 150) -> np.ndarray:
    """Local levels with variances 0.5 and 1, of very different units."""
    truth = kelman.StateSpace([[1.0]], [[1.0]], [[0.5]], [[1.0]], m1=[0.0], P1=[[1.0]])
    units = 10.0 ** np.linspace(-5, 5, count)
    return kelman.simulate(truth, length, N=count, rng=0).z * units[:, None, None]


def test_each_series_is_fitted_as_alone() -> None:
    """Estimates, likelihoods, standard errors; gaps, ragged lengths, units from 1e-5 to 1e5."""
    z = levels(12)
    z[3, 20:90] = np.nan
    ragged = [z[i, : 150 - 5 * i] for i in range(12)]
    found = kelman.fit(ragged, template=level(), per_series=True)
    assert found.converged.all()
    for i, one in enumerate(ragged):
        alone = kelman.fit(one, template=level())
        assert found.loglik[i] == pytest.approx(alone.loglik, abs=1e-6)
        np.testing.assert_allclose(found.theta[i], alone.theta, rtol=1e-3)
        np.testing.assert_allclose(found.std_errors[i], alone.std_errors, rtol=1e-2)
        assert found[i].nobs == alone.nobs
        assert found[i].loglik == pytest.approx(float(kelman.loglik(found[i].model, one)), rel=1e-9)


def test_joint_covariances_means_and_a_stationary_start() -> None:
    """Two measured values, a free 2 x 2 noise covariance and offsets, by series as alone."""
    A = np.diag([0.9, 0.4])
    truth = kelman.StateSpace(A, np.eye(2), np.eye(2), [[2.0, 0.6], [0.6, 1.0]], c=[5.0, -2.0], initial="stationary")
    z = kelman.simulate(truth, 200, N=5, rng=1).z
    template = kelman.Template(
        np.array([[Free(0.5, -1, 1), 0.0], [0.0, Free(0.3, -1, 1)]], dtype=object),
        np.eye(2),
        [[Free(), 0.0], [0.0, Free()]],
        Free(),
        c=Free(),
        initial="stationary",
    )
    found = kelman.fit(z, template=template, per_series=True)
    assert found.converged.all()
    for i in range(5):
        alone = kelman.fit(z[i], template=template)
        assert found.loglik[i] == pytest.approx(alone.loglik, abs=1e-5)


def test_series_at_a_bound_and_without_values() -> None:
    """A constant series stops at the floor, an alternating one at zero level variance, an empty one is NaN and named."""
    z = levels(4)
    noise = np.random.default_rng(3).normal(size=151)
    z[1, :, 0] = noise[1:] - 0.3 * noise[:-1]
    z[2] = 3.0
    z[3] = np.nan
    with pytest.warns(NumericalWarning, match="1 of 4 series not converged, 1 of them without a finite start"):
        found = kelman.fit(z, template=level(), per_series=True)
    assert found.converged.tolist() == [True, True, True, False]
    assert found.at_bound[:3].tolist() == [[False, False], [True, False], [True, True]]
    assert np.isnan(found.theta[3]).all()
    assert "not converged: series 3" in found.summary()


def test_a_panel_says_how_it_was_fitted() -> None:
    """By EM or by maximum likelihood, in the summary and in each single fit; both end at the same likelihoods."""
    z = levels(3)
    em, mle = (kelman.fit(z, template=level(), per_series=True, method=method) for method in ("em", "mle"))
    np.testing.assert_allclose(em.loglik, mle.loglik, atol=1e-4)
    assert (em.method, em[0].method, mle[0].method) == ("em", "em", "mle")
    assert "expectation-maximisation of 3 series" in em.summary()


def test_priors_pull_each_series() -> None:
    """The posterior mode of a mean with known variance, in closed form."""
    z = np.random.default_rng(1).normal(3.0, 2.0, size=(4, 50, 1))
    template = kelman.Template(
        [[0.0]], [[1.0]], [[0.0]], [[4.0]], c=[Free(prior=lambda c: (-0.5 * c**2 / 0.25, -c / 0.25))], m1=[0.0], P1=[[0.0]]
    )  # fmt: skip
    found = kelman.fit(z, template=template, per_series=True)
    np.testing.assert_allclose(found.theta[:, 0], z.sum((1, 2)) / 4 / (50 / 4 + 4), rtol=1e-6)
    np.testing.assert_allclose(found.loglik, kelman.loglik(found.model, z), rtol=1e-12)


def test_interrupting_keeps_what_was_found() -> None:
    """Ctrl-C: the best points so far, none converged."""

    def stop(iteration: int, loglik: float) -> None:
        del loglik
        if iteration == 2:
            raise KeyboardInterrupt

    with pytest.warns(NumericalWarning, match="interrupted"):
        found = kelman.fit(levels(5), template=level(), per_series=True, progress=stop)
    assert not found.converged.any()
    assert np.isfinite(found.loglik).all()


def test_what_is_refused() -> None:
    """One series, no template, scores of single series."""
    with pytest.raises(KelmanError, match="per_series: z is one series"):
        kelman.fit(levels(1)[0], template=level(), per_series=True)
    with pytest.raises(KelmanError, match="per_series: needs a template"):
        kelman.fit(levels(2), n_states=1, per_series=True)  # type: ignore[call-overload]
    with pytest.raises(KelmanError, match="covariance: one series alone has no scores"):
        kelman.fit(levels(2), template=level(), per_series=True, covariance="scores")
    with pytest.raises(KelmanError, match="series 9 of 2"):
        kelman.fit(levels(2), template=level(), per_series=True)[9]
