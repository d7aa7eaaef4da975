"""The ready-made systems have the properties that their names promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from kelman import lti, systems
from kelman.errors import KelmanError


def test_the_test_bed_has_its_known_filter() -> None:
    """The default rotation: poles .95 exp(+-.3j), Sigma 1.41096, K (.2832, .0208), stationary variance of z 2.0256."""
    model = systems.rotation()
    poles = lti.poles(model.A)
    np.testing.assert_allclose(np.abs(poles), 0.95, rtol=1e-14)
    np.testing.assert_allclose(np.abs(np.angle(poles)), 0.3, rtol=1e-13)
    ss = lti.dare(model.A, model.H, model.Q, model.R)
    np.testing.assert_allclose(ss.Sigma, 1.41096, atol=5e-6)
    np.testing.assert_allclose(ss.K[:, 0], [0.2832, 0.0208], atol=5e-5)
    np.testing.assert_allclose(model.H @ lti.lyapunov(model.A, model.Q) @ model.H.T + model.R, 2.0256, atol=5e-5)


def test_constant_velocity_is_van_loan_s_integral() -> None:
    """Published case 40: dt = .3, q = 2 gives Q = (.018, .09, .09, .6), by the closed form and by the block exponential."""
    model = systems.constant_velocity(0.3, q=2.0)
    np.testing.assert_allclose(model.Q, [[0.018, 0.09], [0.09, 0.6]], atol=1e-12)
    sampled = lti.discretize([[0, 1], [0, 0]], 0.3, Q=[[0, 0], [0, 2.0]])
    np.testing.assert_allclose(sampled.Q, model.Q, atol=1e-12)
    np.testing.assert_allclose(sampled.A, model.A, atol=1e-14)
    plane = systems.constant_velocity(0.3, q=2.0, r=3.0, axes=2)
    assert (plane.dims.n, plane.dims.m) == (4, 2)
    np.testing.assert_allclose(plane.Q[2:, 2:], model.Q)
    np.testing.assert_array_equal(plane.Q[:2, 2:], 0)


@pytest.mark.parametrize("damping", [0.02, 0.7, 1.0, 3.0])
def test_oscillator_keeps_the_moments_of_continuous_time(damping: float) -> None:
    """Sampling changes neither the stationary variance q / (4 zeta) of the position nor the static gain one."""
    for dt in (0.1, 1.0, 7.0):
        model = systems.oscillator(12.0, damping, dt=dt, q=2.0)
        P = lti.lyapunov(model.A, model.Q)
        np.testing.assert_allclose(P[0, 0], 2.0 / (4 * damping), rtol=1e-10)
        gain = model.H @ np.linalg.solve(np.eye(2) - model.A, model.B)
        np.testing.assert_allclose(gain, 1.0, rtol=1e-10)


def test_oscillator_has_its_period() -> None:
    """Without damping the poles turn once in a period, whatever the sampling interval."""
    stats = lti.pole_stats(lti.poles(systems.oscillator(20.0, 0.0, dt=0.5).A), dt=0.5)
    np.testing.assert_allclose(stats.period, 20.0, rtol=1e-12)


def test_local_level_is_the_golden_ratio() -> None:
    """Q = r = 1: gain .618, closed loop .382, filtered variance .618, innovation variance 2.618."""
    model = systems.local_level()
    ss = lti.dare(model.A, model.H, model.Q, model.R)
    golden = (np.sqrt(5) - 1) / 2
    found = [ss.K[0, 0], ss.F[0, 0], ss.P_filtered[0, 0], ss.Sigma[0, 0]]
    np.testing.assert_allclose(found, [golden, 1 - golden, golden, 2 + golden], rtol=1e-13)


@given(st.integers(0, 2**32 - 1), st.integers(1, 10), st.integers(1, 4), st.integers(0, 3), st.booleans())
def test_random_systems_are_stable_and_filterable(seed: int, n: int, m: int, p: int, correlated: bool) -> None:
    """The radius is as asked, the filter has a steady state, signals have variance one, and a seed repeats itself."""
    options = {"radius": 0.9, "condition": 30.0, "direct": True, "correlated": correlated}
    model = systems.random_stable(n, m, p, rng=seed, **options)
    assert abs(lti.spectral_radius(model.A) - 0.9) < 1e-7
    assert lti.spectral_radius(lti.dare(model.A, model.H, model.Q, model.R, model.S).F) < 1
    signal = model.H @ lti.lyapunov(model.A, model.Q) @ model.H.T
    np.testing.assert_allclose(np.diag(signal), 1.0, rtol=1e-8)
    again = systems.random_stable(n, m, p, rng=np.random.default_rng(seed), **options)
    np.testing.assert_array_equal(model.A, again.A)
    assert model.dims.p == p


def test_normal_basis_when_condition_is_one() -> None:
    """Condition = 1 makes A normal: A A' = A' A."""
    A = systems.random_stable(5, rng=4, condition=1.0).A
    np.testing.assert_allclose(A @ A.T, A.T @ A, atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.floats(0.01, 30.0))
def test_sampling_twice_equals_sampling_at_once(seed: int, n: int, dt: float) -> None:
    """One step of dt equals two of dt / 2 composed: A = A_h A_h, Q = A_h Q_h A_h' + Q_h, B = A_h B_h + B_h."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(n, n)) - 2 * np.eye(n)
    A -= max(0.0, np.linalg.eigvals(A).real.max()) * np.eye(n)
    B, G = rng.normal(size=(n, 2)), rng.normal(size=(n, n))
    one, half = lti.discretize(A, dt, B=B, Q=G @ G.T), lti.discretize(A, dt / 2, B=B, Q=G @ G.T)
    scale = np.abs(one.Q).max()
    np.testing.assert_allclose(one.A, half.A @ half.A, atol=1e-10)
    np.testing.assert_allclose(one.Q, half.A @ half.Q @ half.A.T + half.Q, atol=1e-10 * scale)
    np.testing.assert_allclose(one.B, half.A @ half.B + half.B, atol=1e-9 * np.abs(one.B).max())


@pytest.mark.parametrize(
    ("call", "word"),
    [
        pytest.param(lambda: systems.rotation(-1.0), "modulus", id="modulus"),
        pytest.param(lambda: systems.rotation(angle=np.nan), "angle", id="angle"),
        pytest.param(lambda: systems.rotation(q=-0.1), "q", id="q"),
        pytest.param(lambda: systems.rotation(r="1"), "r", id="r"),
        pytest.param(lambda: systems.oscillator(0.0), "period", id="period"),
        pytest.param(lambda: systems.oscillator(damping=-1.0), "damping", id="damping"),
        pytest.param(lambda: systems.constant_velocity(0.0), "dt", id="dt"),
        pytest.param(lambda: systems.constant_velocity(axes=0), "axes", id="axes"),
        pytest.param(lambda: systems.local_level(q=np.inf), "q", id="level"),
        pytest.param(lambda: systems.random_stable(0), "n", id="n"),
        pytest.param(lambda: systems.random_stable(2, 0), "m", id="m"),
        pytest.param(lambda: systems.random_stable(2, p=-1), "p", id="p"),
        pytest.param(lambda: systems.random_stable(2, radius=1.0), "radius", id="radius"),
        pytest.param(lambda: systems.random_stable(2, condition=0.5), "condition", id="condition"),
        pytest.param(lambda: systems.random_stable(2, rng="seed"), "rng", id="rng"),
        pytest.param(lambda: lti.discretize([[0.0]], -1.0), "dt", id="negative dt"),
        pytest.param(lambda: lti.discretize([[0.0]], 1.0, Q=[[-1.0]]), "Q", id="Q"),
        pytest.param(lambda: lti.discretize([[0.0]], 1.0, B=[1.0]), "B", id="B"),
    ],
)
def test_wrong_input_is_refused_by_name(call: object, word: str) -> None:
    """Each malformed argument raises KelmanError and the message names it."""
    with pytest.raises(KelmanError, match=word):
        call()
