"""`simulate`: draws that have the model's moments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError
from tests.linear.cases import inputs, model
from tests.strategies import build, random_kind


def test_shapes_follow_n() -> None:
    """No series axis without N; a per-series model brings its own."""
    assert kelman.simulate(model(), 7, rng=0).z.shape == (7, 2)
    assert kelman.simulate(model(), 7, 1, rng=0).x.shape == (1, 7, 3)
    both = kelman.StateSpace.stack([model(seed=1), model(seed=2)])
    sim = kelman.simulate(both, 7, rng=0)
    assert sim.x.shape == (2, 7, 3)
    assert sim[1].z.shape == (7, 2)
    assert "x (2, 7, 3)" in repr(sim)
    assert "z from" in sim.summary()


def test_the_same_generator_gives_the_same_numbers() -> None:
    """A seed, or a Generator in the same state, determines the draws; the global generator plays no part."""
    one, two = (kelman.simulate(model(), 50, 3, rng=5) for _ in range(2))
    np.testing.assert_array_equal(one.z, two.z)
    np.testing.assert_array_equal(one.z, kelman.simulate(model(), 50, 3, rng=np.random.default_rng(5)).z)
    assert not np.array_equal(one.z, kelman.simulate(model(), 50, 3, rng=6).z)
    assert not np.array_equal(kelman.simulate(model(), 5).z, kelman.simulate(model(), 5).z)


def test_without_noise_the_recursion_is_followed() -> None:
    """Q = R = 0 and an exact start: x_k = A x_{k-1} + B u_k + b and z_k = H x_k + D u_k + c, to rounding."""
    zero = {"Q": np.zeros((3, 3)), "R": np.zeros((2, 2)), "P0": np.zeros((3, 3))}
    m = model(p=2, m0=[1.0, 2.0, 3.0], b=[0.1, 0.2, 0.3], c=[1.0, -1.0], **zero)
    u = inputs(N=1, T=6, p=2)[0]
    sim = kelman.simulate(m, 6, u=u)
    x = m.m0
    for k in range(6):
        x = m.A @ x + m.B @ u[k] + m.b
        np.testing.assert_allclose(sim.x[k], x, rtol=1e-13)
        np.testing.assert_allclose(sim.z[k], m.H @ x + m.D @ u[k] + m.c, rtol=1e-13)


def test_the_shifted_form_is_followed() -> None:
    """x_{k+1} = A[k] x_k + B[k] u_k + b[k], with matrices that vary in time."""
    rng = np.random.default_rng(1)
    A, B, b = rng.normal(size=(5, 2, 2)) / 2, rng.normal(size=(5, 2, 1)), rng.normal(size=(5, 2))
    zero = np.zeros((2, 2))
    m = kelman.StateSpace.from_shifted(A, np.eye(2), zero, zero, B=B, b=b, m1=[1.0, 2.0], P1=zero)
    u = rng.normal(size=(5, 1))
    sim = kelman.simulate(m, 5, u=u)
    x = np.array([1.0, 2.0])
    for k in range(5):
        np.testing.assert_allclose(sim.z[k], x, rtol=1e-13)
        x = A[k] @ x + B[k] @ u[k] + b[k]


def test_the_draws_have_the_moments_of_the_dense_joint() -> None:
    """Mean and covariance of (x_1, z_1, ..) over 40,000 series lie within five standard errors of the exact ones."""
    noise = {"Q": [[1.0, 0.3], [0.3, 0.5]], "R": [[0.5]], "S": [[0.2], [0.1]]}
    m = model(n=2, m=1, p=1, b=[1.0, 2.0], initial="stationary", **noise)
    u = inputs(N=1, T=3)[0]
    N = 40_000
    sim = kelman.simulate(m, 3, N, u=u, rng=3)
    f = kelman.filter(m, np.full((3, 1), np.nan), u, store="all")
    for k in range(3):
        P, x = f.predicted_cov[k], sim.x[:, k]
        error = np.sqrt(np.diag(P) / N)
        assert (np.abs(x.mean(0) - f.predicted_mean[k]) < 5 * error).all()
        spread = np.sqrt((P**2 + np.outer(np.diag(P), np.diag(P))) / N)
        assert (np.abs(np.cov(x.T) - P) < 5 * spread).all()
    A, H = m.A, m.H
    w = sim.x[:, 1:] - sim.x[:, :-1] @ A.T - u[1:] @ m.B.T - m.b
    v = sim.z - sim.x @ H.T - u @ m.D.T
    joint = np.cov(np.concatenate([w[:, :2], v[:, :2]], axis=-1).reshape(-1, 3).T)
    exact = np.block([[m.Q, m.S], [m.S.T, m.R]])
    spread = np.sqrt((exact**2 + np.outer(np.diag(exact), np.diag(exact))) / (2 * N))
    assert (np.abs(joint - exact) < 5 * spread).all()


@pytest.mark.parametrize("seed", range(40))
def test_models_of_any_kind_can_be_drawn_from_and_filtered(seed: int) -> None:
    """Singular Q and R, time variation, per-series matrices: what is drawn is possible under the model."""
    case = build(random_kind(seed, start="x1", gaps="none"))
    m = case.model()
    N, T, _ = case.z.shape
    sim = kelman.simulate(m, T, N, u=case.u_past, rng=seed)
    assert np.isfinite(kelman.loglik(m, sim.z, case.u_past)).all()


def test_singular_noise_stays_in_its_subspace() -> None:
    """A direction without variance gets no noise at all, not even 1e-8."""
    g = np.array([[1.0], [3.0]])
    m = kelman.StateSpace(np.eye(2) / 2, [[3.0, -1.0]], g @ g.T, [[0.0]], m1=[0, 0], P1=np.zeros((2, 2)))
    assert np.abs(kelman.simulate(m, 1000, rng=0).z).max() < 1e-12


def test_badly_scaled_noise_keeps_its_small_parts() -> None:
    """A variance 1e-20 times the other is drawn with its own size."""
    m = kelman.StateSpace(np.eye(2) / 2, np.eye(2), np.diag([1e10, 1e-10]), np.eye(2), initial="stationary")
    sim = kelman.simulate(m, 4000, rng=0)
    np.testing.assert_allclose(sim.x.var(0), np.diag(m.Q) / 0.75, rtol=0.2)


def test_dtype_is_the_models() -> None:
    """float32 in, float32 out."""
    sim = kelman.simulate(model().astype("f4"), 5, rng=0)
    assert (sim.x.dtype, sim.z.dtype) == (np.float32, np.float32)


@pytest.mark.parametrize(
    ("start", "shown"),
    [
        ({"initial": "diffuse"}, r"initial='diffuse', 3 of 3 directions"),
        ({"A": np.diag([1.0, 0.5, 0.2]), "initial": "auto"}, r"initial='auto', 1 of 3 directions"),
        ({"P1_inf": np.diag([1.0, 1.0, 0.0])}, r"initial='x1', 2 of 3 directions"),
    ],
)
def test_a_diffuse_start_cannot_be_drawn(start: dict[str, Any], shown: str) -> None:
    """There is no distribution to draw from, and the error says what to give."""
    with pytest.raises(KelmanError, match=rf"model: its start is diffuse \({shown}\).*replace\(m1="):
        kelman.simulate(model(**start), 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"T": 0}, "T: expected a whole number of at least 1, got 0"),
        ({"T": -3}, "T: expected a whole number"),
        ({"T": 2.0}, "T: expected a whole number"),
        ({"T": None}, "T: expected a whole number"),
        ({"T": True}, "T: expected a whole number of at least 1, got True"),
        ({"T": 2**39}, "T: the result, of shape .* does not fit into memory"),
        ({"T": 10**30}, r"T: expected at most 2\*\*40, got 1e\+30"),
        ({"N": 2**39, "T": 2**39}, "T: the result, of shape .* does not fit into memory"),
        ({"N": 0}, "N: expected a whole number of at least 1, got 0"),
        ({"N": "3"}, "N: expected a whole number"),
        ({"rng": "seed"}, "rng: expected a numpy.random.Generator"),
        ({"rng": -1}, "rng: expected a numpy.random.Generator"),
        ({"rng": np.random}, "rng: expected a numpy.random.Generator"),
        ({"rng": 1.5}, "rng: .*got 1.5"),
        ({"u": np.zeros((5, 1))}, "u: the model has no inputs"),
        ({"model": model(p=1)}, "u: the model has 1 input"),
        ({"model": model(p=1), "u": np.zeros((4, 1))}, r"u: expected shape \(5,\) or \(5, 1\), got \(4, 1\)"),
        ({"model": model(p=1), "u": np.full((5, 1), np.nan)}, "u: every entry must be finite"),
        ({"model": model(H=np.ones((4, 2, 3)))}, "H: its leading length 4 is neither 1 nor T = 5"),
        ({"model": kelman.StateSpace.stack([model()] * 3), "N": 2}, "N: is 2, but the model is for 3 series"),
        ({"model": "model"}, "model: simulate expects a StateSpace, got str"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(change: dict[str, Any], message: str) -> None:
    """Wrong counts, generators and inputs are refused by name."""
    arguments: dict[str, Any] = {"model": model(), "T": 5} | change
    with pytest.raises(KelmanError, match=message):
        kelman.simulate(**arguments)
