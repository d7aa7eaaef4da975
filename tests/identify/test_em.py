# SPDX-License-Identifier: BSD-3-Clause
"""EM: every M-step against textbook formulas on the dense joint Gaussian; likelihoods that never fall; hard data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman import Free, Template, Tied
from kelman.identify._em import em
from tests.identify.em_oracle import expected_loglik, second_moments, system, whole_step
from tests.linear.gradient_cases import build
from tests.oracles import Dense

STARTS = ("x0", "x1", "x1_inf", "diffuse")


def one_step(template: Template, z: Any, u: Any = None, **options: Any) -> kelman.StateSpace:
    """The model after one EM step from the template's start."""
    found = em(template, template.start, z, u, max_iter=1, accelerate=False, **options)
    return template.model(found.theta[0])


def all_free(model: kelman.StateSpace, *, diagonal: bool = False) -> Template:
    """A template in which every entry of a model is free, the first state included where it is given."""
    given = {name: Free(value) for name in "AHQRBDbc" if (value := getattr(model, name)) is not None}
    if diagonal:
        m = model.dims.m
        given["R"] = [[Free(model.R[i, i]) if i == j else 0.0 for j in range(m)] for i in range(m)]
    start: dict[str, Any] = {"initial": model.initial} if model.initial == "diffuse" else {}
    for mean, cov in (("m0", "P0"), ("m1", "P1")):
        if getattr(model, mean) is not None:
            start |= {mean: Free(getattr(model, mean)), cov: Free(getattr(model, cov))}
    if model.P1_inf is not None:
        start["P1_inf"] = model.P1_inf
    return Template(**given, **start, input_lag=model.input_lag)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("kind", ["complete", "whole", "part", "part, R diagonal", "inputs", "lagged", "offsets"])
def test_a_step_with_everything_free_is_the_textbooks(start: str, kind: str) -> None:
    """A, B, b, H, D, c, Q, R and the first state after one step: closed forms on the dense joint Gaussian of all series."""
    options: dict[str, Any] = {
        "complete": {"gaps": 0.0}, "whole": {"gaps": 0.0}, "part": {"gaps": 0.3},
        "part, R diagonal": {"gaps": 0.3, "diagonal": True}, "inputs": {"gaps": 0.1, "p": 2},
        "lagged": {"gaps": 0.2, "p": 1, "lag": 1}, "offsets": {"gaps": 0.1, "p": 1, "offsets": True},
    }[kind]  # fmt: skip
    if kind == "lagged" and start == "x0":
        pytest.skip("x_0 and lagged inputs exclude each other")
    model, z, u = build(start, n=2, m=2, N=3, T=9, seed=3, **options)
    if kind == "whole":
        z[np.random.default_rng(1).random(z.shape[:2]) < 0.3] = np.nan
    diagonal = kind.endswith("diagonal")
    series = [z[0], z[1][:6], z[2][:8]]
    inputs = None if u is None else [u[0], u[1][:6], u[2][:8]]
    got = system(one_step(all_free(model, diagonal=diagonal), series, inputs))
    move, seen, first = second_moments(model, series, inputs, rows=diagonal)
    has = [name is not None for name in (model.A, model.B, model.b)]
    n, p = 2, model.dims.p
    cols = np.flatnonzero(np.repeat(has, [n, p, 1]))
    for of in (move, *seen):
        of.xy, of.yy = of.xy[:, cols], of.yy[np.ix_(cols, cols)]
    M, Q = whole_step(move)
    np.testing.assert_allclose(got["AB"][:, cols], M, atol=1e-8)
    np.testing.assert_allclose(got["Q"], Q, atol=1e-8)
    each = [whole_step(of) for of in seen]
    np.testing.assert_allclose(got["HD"][:, cols], np.vstack([M for M, _ in each]), atol=1e-8)
    R = np.diag([float(W[0, 0]) for _, W in each]) if diagonal else each[0][1]
    np.testing.assert_allclose(got["R"], R, atol=1e-8)
    if start in ("x0", "x1"):
        after = one_step(all_free(model, diagonal=diagonal), series, inputs)
        mean, cov = (after.m0, after.P0) if start == "x0" else (after.m1, after.P1)
        m1, P1 = whole_step(first)
        np.testing.assert_allclose(mean, m1[:, 0], atol=1e-8)
        np.testing.assert_allclose(cov, P1, atol=1e-8)


def test_one_model_for_each_series_is_each_series_alone() -> None:
    """per_series, ragged, with gaps: the same steps as a fit of each series, to rounding; likewise after many steps."""
    model, z, _ = build("x1", n=2, m=2, N=4, T=30, seed=5)
    series = [z[0], z[1][:22], z[2][:25], z[3]]
    template = all_free(model)
    for options in ({"max_iter": 3, "accelerate": False}, {"max_iter": 40}):
        together = em(template, template.start, series, per_series=True, **options)
        for i, one in enumerate(series):
            alone = em(template, template.start, one, **options)
            np.testing.assert_allclose(together.theta[i], alone.theta[0], rtol=1e-6, atol=1e-8)
            np.testing.assert_allclose(together.loglik[i], alone.loglik[0], rtol=1e-9)


CONSTRAINED: dict[str, Any] = {
    "fixed entries": lambda: Template(
        [[Free(0.5), 1.0], [0.0, Free(0.7)]], [[1.0, Free(0.2)], [Free(0.3), 1.0]],
        Free(np.array([[1.0, 0.3], [0.3, 2.0]])), Free(np.eye(2)),
        b=[Free(0.1), 0.0], m1=np.zeros(2), P1=np.eye(2),
    ),
    "tied and affine": lambda: Template(
        [[Free(0.6, name="a"), Free(0.2, name="c")], [0.0, 1.1 - Tied("a")]], [[1.0, 0.0], [2 * Tied("c"), 1.0]],
        Free(np.array([[1.0, 0.3], [0.3, 2.0]])), Free(np.array([[1.0, -0.2], [-0.2, 0.5]])), m1=np.zeros(2), P1=np.eye(2),
    ),
    "scale and tied variances": lambda: Template(
        np.array([[0.9, 0.2], [0.0, 0.8]]), np.eye(2), Free(1.5, name="q") * np.array([[1.0, 0.5], [0.5, 1.0]]),
        [[Free(0.7, name="r"), 0.0], [0.0, 3 * Tied("r")]], m1=np.zeros(2), P1=np.eye(2),
    ),
    "noise of rank one": lambda: Template(
        [[Free(0.9), 1.0], [0.0, 0.8]], [[1.0, 0.0], [0.0, 1.0]], Free(1.0, name="q") * np.array([[1.0, 0.0], [0.0, 0.0]]),
        [[Free(0.7), 0.0], [0.0, Free(0.4)]], m1=np.zeros(2), P1=np.eye(2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONSTRAINED)
@pytest.mark.parametrize("gaps", [0.0, 0.3])
def test_a_step_with_constraints_is_a_maximum(name: str, gaps: float) -> None:
    """M at the covariances before, then W at the new M: no parameter moves the expected log-likelihood of the oracle."""
    template = CONSTRAINED[name]()
    old = template.model(template.start)
    rng = np.random.default_rng(2)
    z = kelman.simulate(old, 12, N=2, rng=rng).z
    z = np.where(rng.random(z.shape) < gaps, np.nan, z)
    found = em(template, template.start, z, max_iter=1, accelerate=False)
    rows = not (old.R - np.diag(old.R.diagonal())).any()
    R_free = any(name.startswith("R[1,0]") for name in template.names)
    rows = rows and not R_free and gaps > 0
    move, seen, _ = second_moments(old, list(z), None, rows=rows)
    noisy = np.flatnonzero(old.Q.diagonal())

    def expected(mean: np.ndarray, covariance: np.ndarray) -> float:
        """Expected log-likelihood with M at one parameter vector and W at another."""
        a, w = (system(template.model(theta)) for theta in (mean, covariance))
        part = type(move)(move.xx[np.ix_(noisy, noisy)], move.xy[noisy], move.yy, move.count)
        total = expected_loglik(part, a["AB"][noisy], w["Q"][np.ix_(noisy, noisy)])
        if rows:
            return total + sum(
                expected_loglik(of, a["HD"][j : j + 1], w["R"][j : j + 1, j : j + 1]) for j, of in enumerate(seen)
            )
        return total + expected_loglik(seen[0], a["HD"], w["R"])

    theta0, theta1 = template.start, found.theta[0]
    covariances = np.array([name.startswith(("Q", "R")) or name in ("q", "r") for name in template.names])
    middle = np.where(covariances, theta0, theta1)
    for k in range(template.size):
        step = np.zeros(template.size)
        step[k] = 1e-4 * max(1.0, abs(theta1[k]))
        if covariances[k]:
            slope = expected(theta1, theta1 + step) - expected(theta1, theta1 - step)
        else:
            slope = expected(middle + step, middle) - expected(middle - step, middle)
        assert abs(slope) / (2 * step[k]) < 1e-4, template.names[k]
    assert expected(theta1, theta1) >= expected(theta0, theta0) - 1e-9


def test_known_matrices_may_vary_in_time() -> None:
    """Regressors in H, a transition of its own at every step: Q and R after one step, from the joint Gaussian."""
    model, z, _ = build("x1", n=2, m=2, N=1, T=10, gaps=0.2, time="A H", diagonal=True)
    R = [[Free(model.R[0, 0]), 0.0], [0.0, Free(model.R[1, 1])]]
    template = Template(model.A, model.H, Free(model.Q), R, m1=model.m1, P1=model.P1)
    after = one_step(template, z[0])
    dense = Dense(model, z[0])
    Q, squares = np.zeros((2, 2)), np.zeros(2)
    for k in range(10):
        if k > 0:
            both = dense.given(10, np.r_[dense.x(k), dense.x(k - 1)])
            W = np.hstack([np.eye(2), -model.A[k]])
            Q += W @ both.cov @ W.T + np.outer(W @ both.mean, W @ both.mean)
        x = dense.given(10, dense.x(k))
        error = z[0, k] - model.H[k] @ x.mean
        squares += np.nan_to_num(error**2 + (model.H[k] @ x.cov @ model.H[k].T).diagonal() + 0 * z[0, k])
    np.testing.assert_allclose(after.Q, Q / 9, atol=1e-8)
    np.testing.assert_allclose(after.R.diagonal(), squares / (~np.isnan(z[0])).sum(axis=0), atol=1e-8)


def test_the_fit_ends_at_the_maximum_likelihood() -> None:
    """The Nile: variances 1469.1 and 15098.5 (Durbin and Koopman, 2012, section 2.10), exact diffuse start."""
    template = Template([[1.0]], [[1.0]], [[Free(1e4)]], [[Free(1e4)]], initial="diffuse")
    for accelerate in (True, False):
        found = em(template, template.start, kelman.datasets.nile().z, accelerate=accelerate, tol=1e-11, gtol=1e-5)
        assert found.converged.all()
        np.testing.assert_allclose(found.theta[0], [1469.18, 15098.52], rtol=1e-3)
        np.testing.assert_allclose(found.loglik, -632.5456251, atol=1e-6)
        rise = np.diff(found.history[0])
        assert (rise >= -1e-9 * 633).all()
    slow = em(template, template.start, kelman.datasets.nile().z, accelerate=False, tol=1e-11, gtol=1e-5)
    fast = em(template, template.start, kelman.datasets.nile().z, tol=1e-11, gtol=1e-5)
    assert fast.iterations[0] < slow.iterations[0] / 4


@pytest.mark.parametrize("initial", ["stationary", "auto", "diffuse"])
def test_a_start_that_follows_the_parameters_is_part_of_the_likelihood(initial: Any) -> None:
    """An AR(1) with noise: EM ends where the exact gradient vanishes, whatever the start depends on."""
    true = kelman.StateSpace([[0.8]], [[1.0]], [[1.0]], [[0.5]], initial="stationary")
    z = kelman.simulate(true, 60, rng=np.random.default_rng(0)).z
    template = Template([[Free(0.5)]], [[1.0]], [[Free(0.7)]], [[Free(1.0)]], initial=initial)
    found = em(template, template.start, z, tol=1e-12, gtol=1e-6)
    assert found.converged.all()
    _, g = kelman.loglik_and_grad(template.model(found.theta[0]), z)
    np.testing.assert_allclose([g.A[0, 0], g.Q[0, 0], g.R[0, 0]], 0.0, atol=1e-4)
