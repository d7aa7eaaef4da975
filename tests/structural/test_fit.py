"""Fits of structural models: near the truth, the same from any unit, for hard data."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import kelman
from kelman import structural as st


def simulated(model: st.Structural, theta: list[float], T: int, seed: int) -> np.ndarray:
    """A series of the model, from a start of unit variance where it is diffuse."""
    made = model.model(theta)
    n = made.dims.n
    start = np.zeros((n, n)) if made.P1_inf is None else made.P1_inf
    return kelman.simulate(made.replace(m1=np.zeros(n), P1=made.P1 + start, P1_inf=None), T, rng=seed).z


CASES: dict[str, tuple[st.Structural, list[float]]] = {
    "trend and season": (st.trend() + st.seasonal(4), [0.3, 0.05, 0.1, 1.0]),
    "damped": (st.trend("damped"), [0.3, 0.3, 0.8, 1.0]),
    "cycle": (st.level() + st.cycle((4, 40)), [0.05, 0.5, 0.4, 0.9, 0.5]),
    "arma": (st.arma(2, 1), [1.2, -0.5, 0.4, 1.0]),
    "airline": (st.sarima((0, 1, 1), (0, 1, 1, 4)), [-0.4, -0.6, 1.0]),
    "var": (st.var(1, 2), [0.6, 0.2, -0.3, 0.5, 2.0, 0.5, 1.0]),
    "two levels": (st.level(m=2), [0.5, 0.4, 0.5, 1.0, -0.3, 1.0]),
    "factor": (st.dynamic_factor(3), [1.0, 0.5, -0.8, 0.7, 0.5, 0.5, 0.5]),
}


@pytest.mark.parametrize("name", CASES)
def test_fits_climb_above_the_truth_and_lie_near_it(name: str) -> None:
    """The likelihood of the fit is at least that of the truth, by no more than chance allows, and the gradient is zero."""
    model, theta = CASES[name]
    z = simulated(model, theta, 400, 1)
    z[50:60] = np.nan
    fit = kelman.fit(z, template=model, method="mle")
    assert fit.converged
    gain = fit.loglik - float(kelman.loglik(model.model(theta), z))
    assert -1e-6 < gain < 0.5 * 30  # half a chi-square of at most seven degrees of freedom: 30 has probability 1e-4
    loglik, by = kelman.loglik_and_grad(fit.model, z)
    eta = model.unconstrain(fit.theta)
    slope = model.constrain_jacobian(eta).T @ model.gradient(fit.theta, by)
    free = np.isfinite(fit.std_errors)
    assert np.abs(slope[free]).max() < 1e-2
    np.testing.assert_allclose(loglik, fit.loglik)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("name", ["trend and season", "cycle", "airline"])
def test_fits_do_not_depend_on_the_unit_or_the_offset(name: str, scale: float) -> None:
    """Data at scale 1e-6 or 1e6 around 1e4 give the same parameters, variances times the square of the scale."""
    model, theta = CASES[name]
    z = simulated(model, theta, 200, 2)
    one = kelman.fit(z, template=model, method="mle")
    moved = 1e4 + scale * z
    if scale < 1:
        z = (moved - 1e4) / scale  # what is left of the data at this offset
        one = kelman.fit(z, template=model, method="mle")
    other = kelman.fit(moved, template=model, method="mle")
    variances = np.array([v for part in model.components for v in part.variances])
    values = np.where(variances, other.theta / scale**2, other.theta)
    size = np.where(variances, one.theta[variances].max(), 1.0)
    np.testing.assert_allclose(values / size, one.theta / size, atol=2e-3)


def test_em_and_likelihood_agree() -> None:
    """Variances alone are learnt by EM too; both ways end at the same likelihood."""
    z = np.log(kelman.datasets.uk_drivers().z)
    model = st.level() + st.seasonal(12, deterministic=True)
    em, mle = (kelman.fit(z, template=model, method=method) for method in ("em", "mle"))
    np.testing.assert_allclose(em.loglik, mle.loglik, atol=1e-4)
    np.testing.assert_allclose(em.theta, mle.theta, rtol=0.05)


def test_em_learns_covariances_between_values() -> None:
    """A level of two correlated values: EM and the exact gradient agree."""
    model, theta = CASES["two levels"]
    z = simulated(model, theta, 300, 3)
    em, mle = (kelman.fit(z, template=model, method=method) for method in ("em", "mle"))
    np.testing.assert_allclose(em.loglik, mle.loglik, atol=1e-4)
    np.testing.assert_array_less(np.abs(mle.theta - theta), 4 * mle.std_errors)


def test_many_series_share_a_model() -> None:
    """Two hundred ragged series of ten values say together what none says alone."""
    model, theta = st.trend("smooth"), [0.2, 1.0]
    z = [simulated(model, theta, 8 + seed % 5, seed) for seed in range(200)]
    fit = kelman.fit(z, template=model, method="mle")
    np.testing.assert_array_less(np.abs(fit.theta - theta), 4 * fit.std_errors)
    total = sum(float(kelman.loglik(fit.model, one)) for one in z)
    np.testing.assert_allclose(fit.loglik, total)


@pytest.mark.parametrize("kind", ["constant", "gaps", "short"])
def test_data_that_say_little_give_a_fit_or_an_answer(kind: str) -> None:
    """A constant series, 90 per cent of gaps, and fewer values than states: finite numbers, no crash."""
    rng = np.random.default_rng(5)
    z = np.full(40, 3.0)
    if kind != "constant":
        z = np.cumsum(rng.normal(size=80))
    if kind == "gaps":
        z[rng.random(80) < 0.9] = np.nan
    if kind == "short":
        z = z[:8]
    for model in (st.trend(), st.level() + st.seasonal(4), st.arma(1, 1, mean=True)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = kelman.fit(z, template=model, method="mle")
        assert np.isfinite(fit.theta).all()
        assert np.isfinite(fit.loglik)
        c = st.components(fit, z)
        assert all(np.isfinite(c[name].mean).all() for name in c)


def test_the_table_of_a_fit_leaves_out_poles_that_cannot_move() -> None:
    """The thirteen poles on the unit circle of the airline model are counted, not listed."""
    fit = kelman.fit(np.log(kelman.datasets.airline().z), template=st.sarima((0, 1, 1), (0, 1, 1, 12)), method="mle")
    assert "27 poles, which no free parameter moves" in fit.summary()
    ar = kelman.fit(np.log(kelman.datasets.airline().z), template=st.sarima((1, 1, 0), (0, 1, 1, 12)), method="mle")
    assert "25 that no free parameter moves" in ar.summary()


def test_an_intervention_to_come_does_not_hide_the_errors_before_it() -> None:
    """All one-step errors count but those that first see a state: 12 at the beginning, one where the law begins."""
    data = kelman.datasets.uk_drivers()
    z = np.log(data.z)
    model = st.level() + st.seasonal(12) + st.regression(data.u[:, 1], names=["law"])
    fit = kelman.fit(z, template=model, method="mle")
    d = kelman.diagnose(fit.model, z)
    assert np.flatnonzero(np.isnan(d.innovations[:, 0])).tolist() == [*range(12), 169]
    assert d.observability.full
    r = kelman.filter(fit.model, z, store="all")
    e = r.innovation[12:, 0] / np.sqrt(r.innovation_cov[12:, 0, 0])
    np.testing.assert_allclose(np.delete(d.innovations[12:, 0], 157), np.delete(e, 157), rtol=1e-9)


def test_starts_and_priors_of_a_sum() -> None:
    """A start is where the fit begins, a prior moves the mode; both survive pickling, and come after the sum."""
    import pickle

    import scipy.stats

    z = kelman.datasets.nile().z
    level = st.level()
    plain = kelman.fit(z, template=level, method="mle")
    tight = level.with_prior({"level.variance": scipy.stats.lognorm(0.1, scale=500.0)})
    mode = kelman.fit(z, template=tight, method="mle")
    assert 400 < mode.theta[0] < 700 < plain.theta[0]
    copy = pickle.loads(pickle.dumps(tight.with_start({"irregular.variance": 1e4})))
    np.testing.assert_array_equal(copy.start, [np.nan, 1e4])
    np.testing.assert_allclose(copy.log_prior([500.0, 1.0])[0], tight.log_prior([500.0, 1.0])[0])
    with pytest.raises(kelman.errors.KelmanError, match="no parameter 'level'"):
        level.with_start({"level": 1.0})
    with pytest.raises(kelman.errors.KelmanError, match="start"):
        level.with_start({"level.variance": -1.0})
    with pytest.raises(kelman.errors.KelmanError, match="prior"):
        level.with_prior({"level.variance": 3.0})
    with pytest.raises(kelman.errors.KelmanError, match="add them first"):
        tight + st.seasonal(4)


def test_one_fit_for_each_series() -> None:
    """per_series fits each series as it would be fitted alone."""
    model, theta = CASES["cycle"]
    z = np.array([simulated(model, theta, 150, seed) for seed in range(6)])
    panel = kelman.fit(z, template=model, per_series=True)
    alone = [kelman.fit(one, template=model, method="mle").loglik for one in z]
    np.testing.assert_allclose(panel.loglik, alone, atol=1e-4)
