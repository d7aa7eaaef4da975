"""The same models in statsmodels, at the same parameters: log-likelihoods to 1e-8 (statsmodels 0.15.0, exact diffuse starts)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman import structural as st

sm = pytest.importorskip("statsmodels.tsa.api")
pytestmark = pytest.mark.filterwarnings("ignore")  # of statsmodels, about indices and starts

T = 80
RNG = np.random.default_rng(0)
Z = np.cumsum(RNG.normal(size=T)) + 3 * np.sin(2 * np.pi * np.arange(T) / 12) + RNG.normal(size=T) / 2
Z[[5, 6, 40]] = np.nan
X = RNG.normal(size=(T, 2))


def equal(model: st.Structural, theta: Any, theirs: Any, parameters: Any, z: Any = Z) -> None:
    """Compare the log-likelihoods; statsmodels is told not to take its covariances for settled."""
    theirs.ssm.tolerance = 0.0
    wanted = theirs.loglike(np.asarray(parameters, dtype=float), transformed=True)
    got = kelman.loglik(model.model(theta), z, diffuse_constant="statsmodels")
    np.testing.assert_allclose(got, wanted, rtol=1e-8)


@pytest.mark.parametrize(
    ("model", "theta", "options", "parameters"),
    [
        (st.level(), [0.3, 0.5], {"level": "llevel"}, [0.5, 0.3]),
        (st.trend(), [0.3, 0.1, 0.5], {"level": "lltrend"}, [0.5, 0.3, 0.1]),
        (st.trend("smooth"), [0.1, 0.5], {"level": "strend"}, [0.5, 0.1]),
        (st.trend("deterministic"), [0.5], {"level": "dtrend"}, [0.5]),
        (st.level(variance=0.0), [0.5], {"level": "dconstant"}, [0.5]),
        (
            st.level() + st.trend() + st.seasonal(12),
            [0.3, 0.1, 0.05, 0.5],
            {"level": "lltrend", "seasonal": 12},
            [0.5, 0.3, 0.1, 0.05],
        ),
        (
            st.level() + st.seasonal(12, deterministic=True),
            [0.3, 0.5],
            {"level": "llevel", "seasonal": 12, "stochastic_seasonal": False},
            [0.5, 0.3],
        ),
        (
            st.level() + st.seasonal(12, "trigonometric"),
            [0.3, 0.05, 0.5],
            {"level": "llevel", "freq_seasonal": [{"period": 12}]},
            [0.5, 0.3, 0.05],
        ),
        (
            st.level() + st.seasonal(7.3, "trigonometric", 2) + st.seasonal(4),
            [0.3, 0.05, 0.04, 0.5],
            {"level": "llevel", "freq_seasonal": [{"period": 7.3, "harmonics": 2}], "seasonal": 4},
            [0.5, 0.3, 0.04, 0.05],
        ),
        (
            st.level() + st.cycle((3, 30), damped=False),
            [0.3, 0.2, 0.6, 0.5],
            {"level": "llevel", "cycle": True, "stochastic_cycle": True, "cycle_period_bounds": (3, 30)},
            [0.5, 0.3, 0.2, 0.6],
        ),
        (
            st.level() + st.arma(2) + st.irregular(),
            [0.3, 0.6, -0.1, 0.2, 0.5],
            {"level": "llevel", "autoregressive": 2},
            [0.5, 0.3, 0.2, 0.6, -0.1],
        ),
        (
            st.level() + st.regression(X),
            [0.3, 0.5],
            {"level": "llevel", "exog": X, "mle_regression": False},
            [0.5, 0.3],
        ),
    ],
    ids=lambda value: repr(value) if isinstance(value, st.Structural) else "",
)
def test_unobserved_components(model: st.Structural, theta: Any, options: dict[str, Any], parameters: Any) -> None:
    """Levels, trends, seasonals, cycles, autoregression and regression are those of UnobservedComponents."""
    equal(model, theta, sm.UnobservedComponents(Z, use_exact_diffuse=True, **options), parameters)


def test_a_damped_cycle() -> None:
    """A damped cycle is that of UnobservedComponents once it starts stationary, which statsmodels leaves diffuse."""
    from statsmodels.tsa.statespace.initialization import Initialization

    theirs = sm.UnobservedComponents(
        Z, level="llevel", cycle=True, stochastic_cycle=True, damped_cycle=True, cycle_period_bounds=(3, 30)
    )
    start = Initialization(3)
    start.set(0, "diffuse")
    start.set((1, 3), "stationary")
    theirs.initialize_default = lambda **_: setattr(theirs.ssm, "initialization", start)
    theirs.ssm.initialization = start
    theirs.loglikelihood_burn = 0
    equal(st.level() + st.cycle((3, 30)), [0.3, 0.2, 0.6, 0.9, 0.5], theirs, [0.5, 0.3, 0.2, 0.6, 0.9])


@pytest.mark.parametrize(
    ("order", "seasonal"),
    [
        ((2, 0, 1), (0, 0, 0, 0)),
        ((0, 0, 3), (0, 0, 0, 0)),
        ((1, 1, 1), (1, 1, 1, 4)),
        ((0, 1, 1), (0, 1, 1, 12)),
        ((2, 2, 0), (0, 1, 0, 4)),
        ((0, 1, 2), (1, 0, 0, 5)),
    ],
    ids=str,
)
def test_sarimax(order: tuple[int, int, int], seasonal: tuple[int, int, int, int]) -> None:
    """Seasonal ARIMA processes, gaps and differences included, are those of SARIMAX."""
    model = st.sarima(order, seasonal if seasonal[3] else (0, 0, 0, 1))
    theta = model.constrain(0.3 * np.random.default_rng(1).normal(size=model.size))
    equal(model, theta, sm.SARIMAX(Z, order=order, seasonal_order=seasonal, use_exact_diffuse=True), theta)


def test_sarimax_with_a_mean() -> None:
    """A mean, and a drift where there are differences, are SARIMAX's intercept over one less the sum of the coefficients."""
    for d in (0, 1):
        model = st.sarima((2, d, 1), mean=True)
        theta = np.array([0.5, 0.2, 0.3, 0.8, 0.1])
        theirs = sm.SARIMAX(Z, order=(2, d, 1), trend="c", use_exact_diffuse=True)
        equal(model, theta, theirs, [0.1 * (1 - 0.7), *theta[:4]])


def test_varmax() -> None:
    """A vector autoregression with a free error covariance is that of VARMAX."""
    rng = np.random.default_rng(2)
    z = rng.normal(size=(T, 2))
    z[3, 0] = np.nan
    model = st.var(2, 2)
    theta = model.constrain(0.3 * rng.normal(size=model.size))
    phi, L = theta[:8].reshape(2, 2, 2), np.linalg.cholesky(model.model(theta).Q[:2, :2])
    rows = [phi[lag, i] for i in range(2) for lag in range(2)]
    theirs = sm.VARMAX(z, order=(2, 0), trend="n", error_cov_type="unstructured")
    equal(model, theta, theirs, np.r_[np.concatenate(rows), L[np.tril_indices(2)]], z)


@pytest.mark.parametrize("factors", [1, 2])
def test_dynamic_factor(factors: int) -> None:
    """Loadings, the factors' autoregression and the variances are those of DynamicFactor, whose upper triangle is set to zero."""
    rng = np.random.default_rng(3)
    z = rng.normal(size=(T, 4))
    z[3, 0] = z[9] = np.nan
    model = st.dynamic_factor(4, factors, 2)
    theta = model.constrain(0.3 * rng.normal(size=model.size))
    made = model.model(theta)
    parameters = [made.H[:, :factors].ravel(), np.diagonal(made.R), made.A[:factors].ravel()]
    theirs = sm.DynamicFactor(z, k_factors=factors, factor_order=2)
    equal(model, theta, theirs, np.concatenate(parameters), z)
