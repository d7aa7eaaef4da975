# SPDX-License-Identifier: BSD-3-Clause
"""Exact likelihoods of whole free models with inputs, and of systems that are not stable."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import kelman
from kelman import StateSpace, lti, systems
from kelman.identify._full import full_template, innovation_template
from kelman.identify._objective import Objective, batch

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.models import Template

INTEGRATOR = StateSpace(
    np.diag([1.0, 0.7]),
    [[1.0, 1.0]],
    np.diag([0.05, 0.5]),
    [[0.3]],
    B=[[0.2], [1.0]],
    m1=[3.0, 0.0],
    P1=np.zeros((2, 2)),
)


def inputs_of(T: int, p: int, seed: int, mean: float = 4.0) -> Array:
    """Inputs that vary about a mean that is not zero."""
    return np.random.default_rng(seed).normal(mean, 1.0, size=(T, p))


def template_of(kind: str, model: StateSpace, z: list[Array], u: list[Array] | None) -> Template:
    """Either template, begun at a true model."""
    if kind == "full":
        return full_template(model, model.Q, model.R, z, u)
    steady = kelman.steady_state(model)
    return innovation_template(model, steady.K, steady.innovation_cov, z, u)


def case(name: str) -> tuple[StateSpace, list[Array], list[Array] | None]:
    """A model in the shifted form with some series."""
    rng = np.random.default_rng(5)
    if name == "walk":
        model = StateSpace.from_shifted([[1.0]], [[2.0]], [[0.1]], [[1.0]], c=[3.0], m1=[0.0], P1=[[0.0]])
        return model, [kelman.simulate(model, T, rng=T).z for T in (40, 60)], None
    stable = systems.random_stable(3, 2, 2, rng=3, radius=0.9)
    whole = StateSpace.from_shifted(
        stable.A, stable.H, stable.Q + 0.1 * np.eye(3), stable.R, B=stable.B, D=np.ones((2, 2)), c=np.array([1.0, -2.0])
    )
    u = [inputs_of(T, 2, T) for T in (50, 70)]
    z = [kelman.simulate(whole, len(one), u=one, rng=k).z for k, one in enumerate(u)]
    z[0][rng.random(z[0].shape) < 0.2] = np.nan
    return whole, z, u


@pytest.mark.parametrize("kind", ["innovation", "full"])
@pytest.mark.parametrize("name", ["walk", "driven"])
def test_the_gradient_is_that_of_differences_through_the_start_too(kind: str, name: str) -> None:
    """Five-point differences of the likelihood, ragged series with gaps; many parameter vectors at once agree."""
    model, z, u = case(name)
    template = template_of(kind, model, z, u)
    objective = Objective(template, z, u)
    eta = template.unconstrain(template.start) + 0.01 * np.random.default_rng(0).normal(size=template.size)
    value, gradient = objective(eta)
    differences = []
    for row in np.eye(len(eta)) * 1e-4:
        a, b, c, d = (objective(eta + k * row)[0] for k in (-2, -1, 1, 2))
        differences.append((a - 8 * b + 8 * c - d) / 12e-4)
    np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-5 * np.abs(gradient).max())
    moved = np.stack([eta, eta + 0.01])
    one = z[1][None], None if u is None else u[1][None]
    own = Objective(template, z[1], None if u is None else u[1])
    values, gradients = batch(
        template, moved, np.repeat(one[0], 2, 0), None if one[1] is None else np.repeat(one[1], 2, 0), 1
    )
    for k in range(2):
        value, gradient = own(moved[k])
        assert values[k] == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(gradients[k], gradient, rtol=1e-8, atol=1e-8 * np.abs(gradient).max())


@pytest.mark.parametrize("kind", ["innovation", "full"])
def test_the_likelihood_does_not_depend_on_the_basis(kind: str) -> None:
    """The same model in another basis, from which the start is made anew."""
    model, z, u = case("driven")
    T = np.random.default_rng(1).normal(size=(3, 3))
    back = np.linalg.inv(T)
    turned = StateSpace.from_shifted(
        T @ model.A @ back, model.H @ back, T @ model.Q @ T.T, model.R, B=T @ model.B, D=model.D, c=model.c
    )
    values = []
    for one in (model, turned):
        template = template_of(kind, one, z, u)
        values.append(float(np.sum(kelman.loglik(template.model(template.start), z, u))))
        rescaled = template.model(template.start)
        E = np.diag([2.0, 0.1, 5.0])
        P1_inf = E @ rescaled.P1_inf @ E.T
        A = E @ rescaled.A @ np.linalg.inv(E)
        O = np.vstack([rescaled.H @ np.linalg.inv(E) @ np.linalg.matrix_power(A, k) for k in range(3)])
        np.testing.assert_allclose(P1_inf, np.linalg.inv(O.T @ O), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(values[0], values[1], rtol=1e-11)


def test_it_is_the_density_of_what_follows_the_first_values() -> None:
    """With one measured value: p(z_3 .. z_T | z_1, z_2) of two states that are as likely anywhere, by dense algebra."""
    n, T = 2, 30
    u = inputs_of(T, 1, 0)
    model = StateSpace.from_shifted(
        INTEGRATOR.A,
        INTEGRATOR.H,
        INTEGRATOR.Q,
        INTEGRATOR.R,
        B=INTEGRATOR.B,
        D=[[0.4]],
        c=[1.0],
        m1=[0.0, 0.0],
        P1=np.zeros((2, 2)),
    )
    z = kelman.simulate(model, T, u=u, rng=0).z
    template = full_template(model, model.Q, model.R, [z], [u])
    found = float(kelman.loglik(template.model(template.start), z, u))
    A, H, B = model.A, model.H, model.B
    mean, cov = np.zeros(T), np.zeros((T, T))
    x, states = np.zeros(n), np.zeros((T, n, T * n))
    for k in range(T):
        mean[k] = (H @ x)[0] + 0.4 * u[k, 0] + 1.0
        x = A @ x + B @ u[k]
        if k:
            states[k] = A @ states[k - 1]
            states[k][:, k * n : (k + 1) * n] += np.linalg.cholesky(model.Q)
    rows = np.concatenate([H @ one for one in states])
    cov = rows @ rows.T + model.R[0, 0] * np.eye(T)
    O = np.vstack([H @ np.linalg.matrix_power(A, k) for k in range(T)])
    X = O @ np.linalg.inv(O[:n])  # what the first two noise-free values do to all
    inverse = np.linalg.inv(cov)
    information = X.T @ inverse @ X
    e = z[:, 0] - mean
    rest = e @ inverse @ e - e @ inverse @ X @ np.linalg.solve(information, X.T @ inverse @ e)
    expected = -0.5 * (
        (T - n) * np.log(2 * np.pi) + np.linalg.slogdet(cov)[1] + np.linalg.slogdet(information)[1] + rest
    )
    assert found == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("method", ["mle", "em"])
@pytest.mark.parametrize("lag", [0, 1])
def test_a_driven_system_is_found_with_its_standard_errors(method: str, lag: int) -> None:
    """Poles and the response to the inputs within their errors; the likelihood is no lower than where PEM ends."""
    truth = systems.random_stable(2, 1, 1, rng=7, radius=0.8).replace(input_lag=lag)
    u = inputs_of(2000, 1, lag, 30.0)
    z = kelman.simulate(truth, 2000, u=u, rng=lag).z
    found: Any = kelman.fit(z, u, n_states=2, method=method, progress=False)
    assert found.converged
    assert found.loglik == pytest.approx(float(kelman.loglik(found.model, z, u)), rel=1e-12)
    pem = kelman.fit(z, u, n_states=2, method="pem")
    there = innovation_template(pem.model, pem.K, pem.Sigma, [z], [u])
    assert found.loglik > Objective(there, z, u)(there.unconstrain(there.start))[0] - 1e-6
    errors = np.abs(np.sort_complex(found.poles) - np.sort_complex(np.linalg.eigvals(truth.A)))
    assert (errors < 4 * np.sqrt(np.trace(found.pole_covariance, axis1=1, axis2=2)).max()).all()
    value, std = found.impulse(6)
    assert (np.abs(value - lti.impulse(truth, 6)) < 4 * std + 1e-12).all()
    assert (std < 0.2).all()
    _, theirs = pem.impulse(6)
    np.testing.assert_allclose(std, theirs, rtol=0.25)
    if method == "em":
        climbed = [step.loglik for step in found.history if step.stage == "EM"]
        assert (np.diff(climbed) >= -1e-9 * np.abs(climbed[0])).all()
    copy = pickle.loads(pickle.dumps(found))
    assert copy.loglik == found.loglik


@pytest.mark.parametrize(("method", "shift"), [("mle", 100.0), ("em", 30.0)])
def test_the_hair_dryer_by_exact_likelihood(method: str, shift: float) -> None:
    """Whatever the mean input: above the PEM estimate, whose poles lie within the errors."""
    data = kelman.datasets.hairdryer()
    found: Any = kelman.fit(data.z, data.u, n_states=4, method=method, progress=False)
    pem = kelman.fit(data.z, data.u, n_states=4, method="pem")
    assert found.converged
    there = innovation_template(pem.model, pem.K, pem.Sigma, [data.z], [data.u])
    assert found.loglik > Objective(there, data.z, data.u)(there.unconstrain(there.start))[0] + 2
    errors = np.abs(found.poles - pem.poles)
    assert (errors < 3 * np.sqrt(np.trace(pem.pole_covariance, axis1=1, axis2=2))).all()
    shifted: Any = kelman.fit(data.z, data.u + shift, n_states=4, method=method, progress=False)
    assert shifted.loglik == pytest.approx(found.loglik, abs=1e-2)


@pytest.mark.parametrize("method", ["mle", "em"])
def test_an_integrator_is_found(method: str) -> None:
    """A pole on the unit circle, driven by inputs whose mean makes it drift."""
    u = inputs_of(600, 1, 2, 0.5)
    z = kelman.simulate(INTEGRATOR, 600, u=u, rng=2).z
    found: Any = kelman.fit(z, u, n_states=2, method=method, progress=False)
    assert found.converged
    assert found.model.P1_inf is not None
    assert abs(found.poles[0] - 1) < 4 * np.sqrt(found.pole_covariance[0, 0, 0])
    assert abs(found.poles[1] - 0.7) < 4 * np.sqrt(found.pole_covariance[1, 0, 0])
    value, std = found.impulse(4)
    assert (np.abs(value - lti.impulse(INTEGRATOR, 4)) < 4 * std).all()
    later = kelman.forecast(found.model, z[:500], 50, u[:500], u[500:550])
    away = (z[500:550, 0] - later.mean[:, 0]) / np.sqrt(later.cov[:, 0, 0])
    assert np.abs(away).max() < 5


def test_a_ridge_is_not_taken_for_a_flat_direction() -> None:
    """A drifting integrator fixes one pole to 1e-4, and the other's error, 400 times as large, is there by either method."""
    u = np.random.default_rng(0).normal(size=(600, 1)) + 2
    model = INTEGRATOR.replace(m1=[0.0, 0.0])
    z = kelman.simulate(model, 600, u=u, rng=2).z
    errors, ranks = [], []
    for method in ("mle", "em"):
        found: Any = kelman.fit(z, u, n_states=2, method=method, progress=False)
        errors.append(np.sqrt(found.pole_covariance[:, 0, 0]))
        ranks.append(found.rank)
        assert (np.abs(found.poles.real - [1.0, 0.7]) < 4 * errors[-1]).all()
    assert ranks == [9, 9]  # 2 n m + n p + m p, a variance and an offset: all that a basis leaves
    np.testing.assert_allclose(errors[0], errors[1], rtol=0.05)
    assert errors[0][1] > 100 * errors[0][0]


@pytest.mark.parametrize("method", ["mle", "em"])
def test_an_unstable_system_is_found(method: str) -> None:
    """It grows without inputs: there is no stationary start, and one is not asked for."""
    truth = StateSpace([[1.01]], [[1.0]], [[0.1]], [[1.0]], m1=[1.0], P1=[[0.0]])
    z = kelman.simulate(truth, 400, rng=3).z
    found: Any = kelman.fit(z, n_states=1, method=method, progress=False)
    assert found.converged
    assert abs(found.poles[0] - 1.01) < 4 * np.sqrt(found.pole_covariance[0, 0, 0])
    assert np.sqrt(found.pole_covariance[0, 0, 0]) < 0.002


def test_series_with_gaps_and_inputs_share_one_model() -> None:
    """Ragged series, a tenth of the values missing, two inputs and two outputs: "auto" takes the exact likelihood."""
    truth = systems.random_stable(2, 2, 2, rng=4, radius=0.8)
    u = [inputs_of(T, 2, T) for T in (700, 500)]
    z = [kelman.simulate(truth, len(one), u=one, rng=k).z for k, one in enumerate(u)]
    rng = np.random.default_rng(0)
    for one in z:
        one[rng.random(one.shape) < 0.1] = np.nan
    found: Any = kelman.fit(z, u, n_states=2, progress=False)
    assert found.method == "mle"
    assert found.converged
    value, std = found.impulse(5)
    assert (np.abs(value - lti.impulse(truth, 5)) < 4.5 * std).all()
    assert found.loglik == pytest.approx(float(np.sum(kelman.loglik(found.model, z, u))), rel=1e-12)


def test_without_inputs_a_stable_system_starts_stationary_as_before() -> None:
    """And nothing else of the template is new."""
    z = kelman.simulate(systems.rotation(), 500, rng=0).z
    found: Any = kelman.fit(z, n_states=2, method="mle", progress=False)
    assert found.model.initial == "stationary"
    assert "drift[0]" not in found.names
