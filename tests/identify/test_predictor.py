"""The predictor's errors and derivatives, against a loop over time and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from kelman.identify import _pem, _predictor
from kelman.identify._data import read
from kelman.lti._propagate import propagate


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 3), st.integers(0, 700))
def test_blocked_recursion_equals_the_loop(seed: int, n: int, columns: int, T: int) -> None:
    """Cutting time into blocks of blocks gives the states of the plain recursion, also for a defective F."""
    rng = np.random.default_rng(seed)
    F = np.triu(rng.normal(size=(n, n)), 1) + 0.9 * np.eye(n)
    v, x = rng.normal(size=(T, n, columns)), rng.normal(size=(n, columns))
    found = propagate(F, v, x)
    for k in range(T):
        x = F @ x + v[k]
        np.testing.assert_allclose(found[k + 1], x, atol=1e-9 * (1 + np.abs(found).max()))


def _problem(seed: int, n: int, m: int, p: int, lengths: list[int]) -> tuple:
    rng = np.random.default_rng(seed)
    F = rng.normal(size=(n, n))
    F *= 0.8 / np.abs(np.linalg.eigvals(F)).max()
    z = [rng.normal(size=(T, m)) for T in lengths]
    u = [rng.normal(size=(T, p)) for T in lengths] if p else None
    theta1 = np.hstack([F, rng.normal(size=(n, m + p + 1))])
    model = _predictor.Predictor(theta1, rng.normal(size=(m, n + p + 1)), rng.normal(size=(n, len(lengths))))
    return _predictor.Records(read(z, u)), model


@pytest.mark.parametrize(("n", "m", "p", "lengths"), [(3, 2, 2, [50, 70, 33]), (2, 1, 0, [200]), (1, 3, 1, [20, 20])])
def test_errors_equal_the_textbook_loop(n: int, m: int, p: int, lengths: list[int]) -> None:
    """e_k = z_k - H s_k - D u_k - c with s_{k+1} = F s_k + K z_k + B~ u_k + b~, zero past the end of each series."""
    records, model = _problem(0, n, m, p, lengths)
    e = records.errors(model)
    for i, (z, u) in enumerate(records.data.series()):
        s = model.x1[:, i]
        for k in range(len(z)):
            np.testing.assert_allclose(e[k, :, i], z[k] - model.H @ s - model.D @ u[k] - model.c, atol=1e-10)
            s = model.theta1 @ np.concatenate([s, z[k], u[k], [1.0]])
        assert not e[len(z) :, :, i].any()


@pytest.mark.parametrize(("n", "m", "p", "lengths"), [(3, 2, 2, [50, 70, 33]), (2, 1, 0, [200]), (1, 3, 1, [20, 20])])
@pytest.mark.parametrize("part", ["all", "linear", "no offset"])
def test_normal_equations_equal_finite_differences(n: int, m: int, p: int, lengths: list[int], part: str) -> None:
    """Streamed normal equations equal J'J and J'e of a Jacobian by central differences, first states included."""
    records, model = _problem(1, n, m, p, lengths)
    free = _predictor.free_parameters(
        n, m, p, offset=part != "no offset", direct=True, x1="estimate", model=part != "linear"
    )
    e = records.errors(model)
    Sigma = records.covariance(e)
    found = records.normal_equations(model, e, Sigma, free)
    whiten = np.linalg.inv(np.linalg.cholesky(Sigma))

    def errors(step: np.ndarray, x1: np.ndarray) -> np.ndarray:
        return np.einsum("ij,tjN->tNi", whiten, records.errors(_predictor.moved(model, step, x1, free))).ravel()

    d, series, h = free.size(n, m), len(lengths), 1e-5
    total = d + series * n
    jacobian = []
    for i in range(total):
        move = np.zeros(total)
        move[i] = h
        x1 = move[d:].reshape(series, n).T
        jacobian.append((errors(-move[:d], -x1) - errors(move[:d], x1)) / (2 * h))
    J = np.array(jacobian)
    G, right = J @ J.T, J @ errors(np.zeros(d), np.zeros((n, series)))
    scale = np.abs(G).max()
    np.testing.assert_allclose(found.matrix, G[:d, :d], atol=1e-8 * scale)
    np.testing.assert_allclose(np.concatenate([found.right, found.own_right.ravel()]), right, atol=1e-7 * scale)
    for i in range(series):
        own = slice(d + n * i, d + n * (i + 1))
        np.testing.assert_allclose(found.cross[i], G[:d, own], atol=1e-8 * scale)
        np.testing.assert_allclose(found.own[i], G[own, own], atol=1e-8 * scale)


@pytest.mark.parametrize("offset", [False, True])
def test_identifiable_dimension(offset: bool) -> None:
    """The information has rank n (2 m + p) + m p (+ m with an offset): the n^2 changes of basis and n shifts are taken out."""
    n, m, p = 3, 2, 1
    records, model = _problem(2, n, m, p, [400])
    free = _predictor.free_parameters(n, m, p, offset=offset, direct=True, x1="zero")
    normal = records.normal_equations(model, records.errors(model), np.eye(m), free)
    assert _pem.Reduced(normal, _predictor.gauge(model, free)).rank == n * (2 * m + p) + m * p + (m if offset else 0)


def test_gauge_directions_leave_the_predictions_alone() -> None:
    """With states that start at zero, information along every change of basis and every shift of the state is zero after the start."""
    n, m, p = 3, 2, 1
    records, model = _problem(2, n, m, p, [400])
    model = _predictor.Predictor(model.theta1, model.theta2, np.zeros_like(model.x1))
    free = _predictor.free_parameters(n, m, p, offset=True, direct=True, x1="estimate")
    normal = records.normal_equations(model, records.errors(model), np.eye(m), free)
    gauge = _predictor.gauge(model, free)
    reduced = normal.matrix - normal.cross[0] @ np.linalg.solve(normal.own[0], normal.cross[0].T)
    along = np.einsum("dg,de,eg->g", gauge, reduced, gauge)
    size = np.einsum("dg,d->g", np.square(gauge), np.diag(normal.matrix))
    assert (along < 1e-9 * size).all()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_balancing_keeps_the_predictor(seed: int) -> None:
    """The balanced start predicts the same numbers."""
    records, model = _problem(seed, 3, 2, 1, [60])
    np.testing.assert_allclose(records.errors(_pem.balanced(model)), records.errors(model), atol=1e-6)
