"""`steady_state`: what the filter converges to."""

from __future__ import annotations

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError, NoSteadyStateError
from tests.linear.cases import data, model


def test_a_long_filter_arrives_there() -> None:
    """After many steps without gaps the filter's covariances are the steady ones, with S too."""
    m = model(S=0.2 * np.ones((3, 2)))
    ss = kelman.steady_state(m)
    r = kelman.filter(m, data(N=1, T=400, gaps=0)[0], store="all")
    np.testing.assert_allclose(r.predicted_cov[-1], ss.P_predicted, rtol=1e-9)
    np.testing.assert_allclose(r.cov[-1], ss.P_filtered, rtol=1e-9)
    np.testing.assert_allclose(r.innovation_cov[-1], ss.innovation_cov, rtol=1e-9)


def test_the_gains_are_what_their_names_say() -> None:
    """K = (A P H' + S) Sigma^-1, K_f = P H' Sigma^-1, F = A - K H, and P solves the Riccati equation."""
    m = model(S=0.2 * np.ones((3, 2)))
    ss = kelman.steady_state(m)
    P, Sigma = ss.P_predicted, ss.innovation_cov
    np.testing.assert_allclose(Sigma, m.H @ P @ m.H.T + m.R, rtol=1e-12)
    np.testing.assert_allclose(ss.K @ Sigma, m.A @ P @ m.H.T + m.S, rtol=1e-10)
    np.testing.assert_allclose(ss.K_f @ Sigma, P @ m.H.T, rtol=1e-10)
    np.testing.assert_allclose(ss.F, m.A - ss.K @ m.H, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(P, m.A @ P @ m.A.T + m.Q - ss.K @ Sigma @ ss.K.T, rtol=1e-9)
    assert np.abs(np.linalg.eigvals(ss.F)).max() < 1


def test_published_gains() -> None:
    """Local level with q = r = 1: the golden section; the Nile: K = 0.26704801, P = 5501.25794181 (closed forms)."""
    one = kelman.steady_state(kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]]))
    assert one.P_predicted[0, 0] == pytest.approx(1.6180339887, abs=1e-10)
    assert one.K[0, 0] == pytest.approx(0.6180339887, abs=1e-10)
    nile = kelman.steady_state(kelman.StateSpace([[1.0]], [[1.0]], [[1469.1]], [[15099.0]]))
    assert nile.P_predicted[0, 0] == pytest.approx(5501.25794181, rel=1e-11)
    assert nile.K[0, 0] == pytest.approx(0.26704801, abs=1e-8)


def test_a_per_series_model_has_one_steady_state_for_each() -> None:
    """Leading N, as in the model; start and offsets by series make no difference."""
    both = kelman.StateSpace.stack([model(seed=1), model(seed=2)])
    ss = kelman.steady_state(both)
    assert ss.K.shape == (2, 3, 2)
    for i in range(2):
        np.testing.assert_allclose(ss.K[i], kelman.steady_state(both.series(i)).K, rtol=1e-12)
    assert kelman.steady_state(model(m1=np.zeros((5, 3)))).K.shape == (3, 2)
    assert kelman.steady_state(model(b=np.zeros((9, 3)))).K.shape == (3, 2)


def test_a_mode_that_prevents_it_is_named() -> None:
    """A unit root that is not observed, and an unstable one: the error carries the eigenvalue."""
    hidden = kelman.StateSpace(np.diag([1.0, 0.5]), [[0.0, 1.0]], np.eye(2), [[1.0]])
    with pytest.raises(NoSteadyStateError) as caught:
        kelman.steady_state(hidden)
    assert caught.value.mode == pytest.approx(1.0)
    constant = kelman.StateSpace([[1.0]], [[1.0]], [[0.0]], [[1.0]])
    with pytest.raises(NoSteadyStateError) as caught:
        kelman.steady_state(constant)
    assert caught.value.mode == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["A", "H", "Q", "R"])
def test_a_time_varying_model_has_none(name: str) -> None:
    """The matrix that varies is named."""
    value = np.stack([getattr(model(), name)] * 4)
    with pytest.raises(KelmanError, match=f"{name}: varies in time, so the filter has no steady state"):
        kelman.steady_state(model(**{name: value}))


def test_the_result_is_frozen_and_speaks() -> None:
    """Arrays are read-only, of the model's dtype; the summary shows the poles of the predictor."""
    ss = kelman.steady_state(model().astype("f4"))
    assert ss.K.dtype == np.float32
    assert not ss.K.flags.writeable
    assert "moduli of the poles" in ss.summary()
    assert repr(ss) == "SteadyState(K (3, 2), innovation_cov (2, 2))"
