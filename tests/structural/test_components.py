"""Components: arrays by the dense oracle, exact Jacobians, and what may be added to what."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import kelman
from kelman import structural as st
from kelman.errors import KelmanError
from tests.oracles import Dense
from tests.structural.models import MODELS, T, X, parameters, series

ALL = pytest.mark.parametrize("name", MODELS)


@ALL
def test_the_way_from_unconstrained_to_natural_parameters_is_one_to_one_and_its_jacobian_exact(name: str) -> None:
    """unconstrain undoes constrain, and the Jacobian is that of differences."""
    model = MODELS[name]
    for seed in range(3):
        eta, theta = parameters(model, seed)
        np.testing.assert_allclose(model.unconstrain(theta), eta, rtol=0, atol=1e-10)
        step = 1e-6
        columns = [
            (model.constrain(eta + step * e) - model.constrain(eta - step * e)) / (2 * step) for e in np.eye(model.size)
        ]
        numeric = np.array(columns).reshape(model.size, model.size).T
        np.testing.assert_allclose(model.constrain_jacobian(eta), numeric, rtol=1e-6, atol=1e-8)


@ALL
def test_the_entries_of_the_model_have_exact_derivatives(name: str) -> None:
    """Each entry's derivative by each natural parameter is that of differences, and nothing else moves."""
    model = MODELS[name]
    _, theta = parameters(model, 7)
    entries = model._map.entries(theta)
    exact = np.zeros((len(entries.values), model.size))
    np.add.at(exact, (entries.rows, entries.cols), entries.slopes)
    for k in range(model.size):
        step = 1e-6 * max(abs(theta[k]), 0.1)
        one, other = theta.copy(), theta.copy()
        one[k] += step
        other[k] -= step
        numeric = (model._map.entries(one).values - model._map.entries(other).values) / (2 * step)
        np.testing.assert_allclose(exact[:, k], numeric, rtol=1e-6, atol=1e-7)


@ALL
def test_many_parameter_vectors_go_through_at_once(name: str) -> None:
    """A stack of parameters gives the models of each, and the gradients of each."""
    model = MODELS[name]
    theta = np.array([parameters(model, seed)[1] for seed in range(3)])
    z = np.array([series(model, seed) for seed in range(3)])
    whole = model.model(theta)
    loglik, by = kelman.loglik_and_grad(whole, z) if model.size else (kelman.loglik(model.model(theta[0]), z), None)
    for i in range(3):
        one, by_one = kelman.loglik_and_grad(model.model(theta[i]), z[i])
        np.testing.assert_allclose(loglik[i], one, rtol=1e-11)
        if by is not None:
            np.testing.assert_allclose(
                model.gradient(theta, by)[i], model.gradient(theta[i], by_one), rtol=1e-8, atol=1e-9
            )


@ALL
def test_likelihood_is_that_of_the_joint_distribution(name: str) -> None:
    """The log-likelihood, start and all, is that of the dense covariance of all measurements."""
    model = MODELS[name]
    _, theta = parameters(model, 1)
    z = series(model, 2)
    dense = Dense(model.model(theta), z)
    np.testing.assert_allclose(kelman.loglik(model.model(theta), z), dense.loglik(), rtol=1e-9, atol=1e-8)


@ALL
def test_the_gradient_of_the_likelihood_is_that_of_differences(name: str) -> None:
    """The chain of loglik_and_grad, entries and transforms is the derivative by eta."""
    model = MODELS[name]
    z = series(model, 3)
    eta, theta = parameters(model, 4)
    _, by = kelman.loglik_and_grad(model.model(theta), z)
    exact = model.constrain_jacobian(eta).T @ model.gradient(theta, by)
    step = 1e-5
    for k, e in enumerate(np.eye(model.size)):
        up = kelman.loglik(model.model(model.constrain(eta + step * e)), z)
        down = kelman.loglik(model.model(model.constrain(eta - step * e)), z)
        np.testing.assert_allclose(exact[k], (up - down) / (2 * step), rtol=1e-5, atol=1e-5)


@ALL
def test_a_model_survives_pickling(name: str) -> None:
    """The copy has the same parameters and makes the same models."""
    model = MODELS[name]
    copy = pickle.loads(pickle.dumps(model))
    _, theta = parameters(model, 5)
    assert copy.names == model.names
    np.testing.assert_array_equal(copy.model(theta).A, model.model(theta).A)


@ALL
def test_stationary_parts_start_stationary_and_the_rest_exactly_diffuse(name: str) -> None:
    """P1 on what is not diffuse solves Lyapunov's equation for A and Q there."""
    model = MODELS[name]
    _, theta = parameters(model, 6)
    made = model.model(theta)
    inf = np.zeros_like(made.P1) if made.P1_inf is None else made.P1_inf
    known = np.flatnonzero(np.diagonal(inf) == 0)
    A, Q, P = (array[np.ix_(known, known)] for array in (made.A, made.Q, made.P1))
    np.testing.assert_allclose(P, A @ P @ A.T + Q, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(inf, np.diag(np.diagonal(inf)))
    poles = np.abs(np.linalg.eigvals(A)) if len(A) else np.zeros(1)
    assert poles.max() < 1


def test_variances_alone_are_affine_as_em_needs_them() -> None:
    """Levels, trends, seasonals and regressions have an affine map; cycles and autoregressions have not."""
    assert (st.trend() + st.seasonal(4) + st.regression(X, "random walk")).affine
    assert not (st.level() + st.cycle()).affine
    assert not st.arma(1).affine


def test_a_level_and_a_trend_are_one_trend() -> None:
    """The sum of a random walk and a trend is a trend with the level's noise: one level state, the same likelihood."""
    z = series(st.level(), 0)
    both = st.level() + st.trend("smooth") + st.seasonal(4)
    assert both.names[:2] == ("trend.level_variance", "trend.slope_variance")
    one = st.trend() + st.seasonal(4)
    theta = [0.3, 0.2, 0.1, 0.5]
    assert kelman.loglik(both.model(theta), z) == kelman.loglik(one.model(theta), z)
    assert (st.level(variance=0) + st.trend()).names == ("trend.slope_variance", "irregular.variance")
    assert (st.trend("damped") + st.level()).names[2] == "trend.damping"


def test_noise_is_there_unless_a_component_brings_its_own() -> None:
    """Levels get an irregular; autoregressions, vector models and a given irregular do not get another."""
    assert st.level().names[-1] == "irregular.variance"
    assert "irregular.variance" not in st.arma(1).names
    assert (st.level() + st.irregular(0.0)).model([1.0]).R[0, 0] == 0.0
    assert (st.level() + st.irregular(2.0)).model([1.0]).R[0, 0] == 2.0
    assert st.irregular().model([2.0]).R[0, 0] == 2.0
    assert (st.var(1, 2) + st.irregular(m=2)).names[-2:] == ("irregular.cov[1,0]", "irregular.cov[1,1]")


def test_values_that_nothing_joins_are_as_if_alone() -> None:
    """A model of two values with diagonal covariances has the likelihood of two models of one."""
    z = series(st.var(1, 2), 5)
    two = st.trend(m=2, covariance="diagonal") + st.seasonal(4, m=2, covariance="diagonal")
    two += st.irregular(m=2, covariance="diagonal") + st.regression(X[:, 0], m=2)
    one = st.trend() + st.seasonal(4) + st.irregular() + st.regression(X[:, 0])
    assert two.names[:3] == ("trend.0.level_variance", "trend.1.level_variance", "trend.0.slope_variance")
    theta = np.array([[0.3, 0.1, 0.2, 0.5], [0.6, 0.3, 0.1, 1.5]])
    alone = sum(float(kelman.loglik(one.model(theta[j]), z[:, j])) for j in range(2))
    np.testing.assert_allclose(kelman.loglik(two.model(theta.T.ravel()), z), alone, rtol=1e-9)


def test_correlated_values_are_one_value_seen_twice() -> None:
    """Levels and noises that move together by a rotation of two independent ones have the likelihood of these."""
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    z = series(st.var(1, 2), 6)
    z = z[~np.isnan(z).any(axis=1)]
    level, noise = turn @ np.diag([0.3, 0.7]) @ turn.T, turn @ np.diag([1.0, 2.0]) @ turn.T
    lower = np.tril_indices(2)
    joint = kelman.loglik(st.level(m=2).model(np.r_[level[lower], noise[lower]]), z)
    apart = [
        float(kelman.loglik(st.level().model([q, r]), z @ turn[:, j])) for j, (q, r) in enumerate([(0.3, 1), (0.7, 2)])
    ]
    np.testing.assert_allclose(joint, sum(apart), rtol=1e-10)


def test_twins_get_numbers() -> None:
    """Two cycles have parameters, states and signals of their own."""
    model = st.level() + st.cycle((3, 8)) + st.cycle((8, 20))
    assert model.names[4] == "cycle 2.variance"
    assert model.states["cycle 2"] == slice(3, 5)


def test_a_regression_goes_on() -> None:
    """More rows of X give the forecasts of the model that had them from the start."""
    z = series(st.level(), 1)[:20]
    short, whole = (st.level() + st.regression(x, "random walk") for x in (X[:20], X))
    theta = [0.4, 0.1, 0.2, 0.5]
    f = kelman.forecast(short.extended(X[20:]).model(theta), z, T - 20)
    g = kelman.forecast(whole.model(theta), z, T - 20)
    np.testing.assert_array_equal(f.mean, g.mean)
    # two regressions need to be named
    two = st.regression(X[:20, 0], name="a") + st.regression(X[:20, 1], name="b") + st.level()
    longer = two.extended({"a": X[20:, 0], "b": X[20:, 1]})
    np.testing.assert_array_equal(longer.model([1.0, 1.0]).H[:, 0, :2], X)


def test_a_seasonal_forecast_repeats() -> None:
    """Without noise both forms of a pattern go on as they were, whatever the pattern."""
    pattern = np.array([1.0, -3.0, 2.5, 0.5])
    z = np.tile(pattern, 5)
    for kind in ("dummy", "trigonometric"):
        model = st.level(variance=0.0) + st.seasonal(4, kind, deterministic=True) + st.irregular(1e-2)
        np.testing.assert_allclose(kelman.forecast(model.model([]), z, 8).mean[:, 0], np.tile(pattern, 2), atol=1e-9)


REFUSED = [
    (lambda: st.level() + st.level(), "cannot tell them apart"),
    (lambda: st.seasonal(4) + st.seasonal(12), "period 4"),
    (lambda: st.level() + st.sarima((0, 1, 1)), "both have a level"),
    (lambda: st.level() + st.arma(1, mean=True), "mean=False"),
    (lambda: st.arma(1, mean=True) + st.arma(2, mean=True), "mean=False"),
    (lambda: st.level() + st.var(1, 2), "one number of measured values"),
    (lambda: st.dynamic_factor(2) + st.irregular(m=2), "only one may bring"),
    (lambda: st.irregular() + st.irregular(), "only one may bring"),
    (lambda: st.regression(X) + st.regression(X[:9]), "same number of rows"),
    (lambda: st.level(variance=-1.0), "variance: expected"),
    (lambda: st.level(variance=True), "variance: expected"),
    (lambda: st.level(name=""), "name: expected"),
    (lambda: st.trend("quadratic"), "kind: expected"),
    (lambda: st.trend("smooth", level_variance=1.0), "level_variance: a smooth trend"),
    (lambda: st.trend("damped", slope_variance=0.0), "slope_variance"),
    (lambda: st.seasonal(7.5), "whole number"),
    (lambda: st.seasonal(1), "whole number"),
    (lambda: st.seasonal("12"), "period: expected"),
    (lambda: st.seasonal(4, harmonics=1), "harmonics"),
    (lambda: st.seasonal(4, "trigonometric", 3), "at most 2"),
    (lambda: st.seasonal(4, deterministic=True, variance=1.0), "variance"),
    (lambda: st.cycle(12), "period: expected two"),
    (lambda: st.cycle((1, 12)), "2 <= lower"),
    (lambda: st.cycle(stochastic=False, damped=True), "damped"),
    (lambda: st.cycle(stochastic=False, variance=1.0), "variance"),
    (lambda: st.regression([1.0, np.nan]), "finite"),
    (lambda: st.regression(X, names=["a"]), "names: expected 2"),
    (lambda: st.regression(X, variance=1.0), "random walk"),
    (lambda: st.regression(np.zeros((2, 2, 2))), "X: expected shape"),
    (lambda: st.arma(-1), "at least 0"),
    (lambda: st.sarima((1, 0)), "order: expected 3"),
    (lambda: st.sarima((1, 0, 0), (1, 0, 0, 1)), "period of at least 2"),
    (lambda: st.var(0, 2), "at least 1"),
    (lambda: st.trend("damped", m=2), "m: a damped trend"),
    (lambda: st.level(m=0), "m: expected"),
    (lambda: st.level(m=2, covariance="block"), "covariance: expected"),
    (lambda: st.dynamic_factor(2, 3), "factors: expected at most"),
    (lambda: st.level().extended([1.0]), "varies in time"),
    (lambda: (st.level() + st.regression(X)).extended([1.0]), "expected 2 columns"),
    (lambda: (st.regression(X[:, 0], name="a") + st.regression(X[:, 1])).extended([1.0]), "several regressions"),
    (lambda: (st.level() + st.regression(X)).extended({"x": X}), "expected the keys regression"),
]


@pytest.mark.parametrize(("make", "words"), REFUSED, ids=[f"{i} {words}" for i, (_, words) in enumerate(REFUSED)])
def test_what_makes_no_sense_is_refused(make: object, words: str) -> None:
    """The message names what is wrong."""
    assert callable(make)
    with pytest.raises(KelmanError, match=words):
        make()


def test_only_structural_models_are_added() -> None:
    """A number is no component."""
    with pytest.raises(TypeError):
        st.level() + 1


def test_coefficients_out_of_their_region_are_named() -> None:
    """An explosive autoregression has no unconstrained parameters; the message names it."""
    with pytest.raises(KelmanError, match=r"arma.ar1.*stationary"):
        st.arma(1).unconstrain([1.1, 1.0])
    with pytest.raises(KelmanError, match=r"var.lag1.*stationary"):
        st.var(1, 2).unconstrain([1.1, 0, 0, 0.5, 1, 0, 1])
