"""Excess risk: closed forms against long simulations, against each other, and against known numbers."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from tests.bridge.systems import bed, draw, random_model, steady_filter

import kelman


def test_no_predictor_at_all() -> None:
    """Predicting zero on the test bed has a relative excess of .4356."""
    nothing = kelman.Elman(
        np.zeros((1, 1)), np.zeros((1, 1)), None, np.zeros((1, 1)), None, "identity", target="z_next"
    )
    assert kelman.excess_risk(nothing, bed()) == pytest.approx(0.4356, abs=5e-5)


def test_the_filter_itself_loses_nothing() -> None:
    """A model against itself, and every exact network of it, has zero excess to rounding."""
    for seed in range(12):
        model = random_model(np.random.default_rng(seed), 0.95)
        u = "white" if model.dims.p else None
        assert kelman.excess_risk(model, model, u=u) < 1e-12, seed
        assert kelman.excess_risk(kelman.to_elman(model, "aligned", "relu"), model, u=u) < 1e-12, seed


@pytest.mark.parametrize("seed", range(2))
def test_closed_form_equals_simulation(seed: int) -> None:
    """The Lyapunov value agrees with the paired mean over 4e4 simulated steps, inputs and offsets included."""
    rng = np.random.default_rng(seed)
    model = random_model(rng, 0.8, cross=False)
    if model.dims.p == 0:
        model = model.replace(B=rng.normal(size=(model.dims.n, 1)))
    other = model.replace(R=2.0 * model.R, c=model.c + 0.1, B=1.05 * model.B)
    exact = kelman.excess_risk(other, model, u="white")
    z, u = draw(model, 40_000, rng)
    wrong, _ = steady_filter(other, z, u)
    right, _ = steady_filter(model, z, u)
    gap = (wrong - right)[1000:]
    Sigma = kelman.lti.dare(model.A, model.H, model.Q, model.R).Sigma
    assert np.trace(np.linalg.solve(Sigma, gap.T @ gap / len(gap))) == pytest.approx(exact, rel=0.08)


def test_finite_horizon_tends_to_the_stationary_value() -> None:
    """Averaged over more and more steps the exact recursion tends to the Lyapunov value, from below."""
    wrong = bed().replace(R=[[2.0]])
    target = kelman.excess_risk(wrong, bed())
    values = [float(kelman.excess_risk(wrong, bed(), horizon=T)) for T in (10, 100, 1000, 10_000)]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(target, rel=2e-3)


def test_random_walk_uses_the_finite_horizon() -> None:
    """Without a stationary state the excess is averaged over 1,000 steps, and is zero for the exact network."""
    walk = kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]])
    exact = kelman.excess_risk(kelman.to_elman(walk), walk)
    assert exact.method == "horizon"
    assert exact.horizon == 1000
    assert exact < 1e-25
    golden = (np.sqrt(5) - 1) / 2
    known = (golden - 0.5) ** 2 / (1 - 0.5**2)  # gain 1/2 instead of the golden ratio
    assert kelman.excess_risk(walk.replace(Q=[[0.5]]), walk) == pytest.approx(known, rel=5e-3)


def test_a_predictor_that_does_not_forget_has_no_stationary_excess() -> None:
    """A network with a mode on the unit circle that its input drives drifts without bound, and the answer says inf."""
    drifting = kelman.Elman([[1.0]], [[0.1]], None, [[1.0]], None, "identity", inputs=("z",), target="z_next")
    assert kelman.excess_risk(drifting, bed()) == np.inf
    assert np.isfinite(kelman.excess_risk(drifting, bed(), horizon=50))


def test_tanh_excess_falls_like_the_fourth_power_of_the_gain() -> None:
    """9.9e-2, 1.1e-2, 3.6e-4, 3.6e-6, 4.5e-8 for gains 1, .3, .1, .03, .01: slope 4 at the small end."""
    gains = (1.0, 0.3, 0.1, 0.03, 0.01)
    risks = [kelman.excess_risk(kelman.to_elman(bed(), hidden="tanh", gain=g), bed()) for g in gains]
    np.testing.assert_allclose(risks, [9.9e-2, 1.1e-2, 3.6e-4, 3.6e-6, 4.5e-8], rtol=0.15)
    slope = np.log(risks[2] / risks[4]) / np.log(gains[2] / gains[4])
    assert slope == pytest.approx(4.0, abs=0.1)


def test_extrapolation_of_saturating_and_split_networks() -> None:
    """Input x1, x3, x10 at gain .1: 3.6e-4, 1.1e-2, 9.9e-2 for tanh, rounding for the relu split."""
    bent = kelman.to_elman(bed(), hidden="tanh", gain=0.1)
    split = kelman.to_elman(bed(), hidden="relu")
    for factor, expected in ((1.0, 3.6e-4), (3.0, 1.1e-2), (10.0, 9.9e-2)):
        louder = bed().replace(Q=factor**2 * bed().Q, R=factor**2 * bed().R)
        assert kelman.excess_risk(bent, louder) == pytest.approx(expected, rel=0.15)
        assert kelman.excess_risk(split, louder) < 1e-14


def test_simulation_agrees_with_the_closed_form() -> None:
    """A linear network given as a function is simulated, and comes within three standard errors of its exact value."""
    wrong = kelman.to_elman(bed().replace(R=[[2.0]]))
    exact = kelman.excess_risk(wrong, bed())
    shown = kelman.excess_risk(lambda x: kelman.forward(wrong, x).y, bed(), rng=1)
    assert shown.method == "simulation"
    assert abs(shown - exact) < 3 * shown.standard_error


def test_risk_is_a_number_with_a_history() -> None:
    """The result is a float, prints its error bar, and survives pickling."""
    risk = kelman.excess_risk(kelman.to_elman(bed(), hidden="tanh"), bed(), samples=5000)
    again = pickle.loads(pickle.dumps(risk))
    assert isinstance(risk, float)
    assert (again, again.method, again.standard_error) == (risk, risk.method, risk.standard_error)
    assert "simulation" in repr(risk)


def test_reduction_keeps_what_matters() -> None:
    """Balanced truncation of a network with spare, almost silent units returns to the small model; `nearest` is at least as near."""
    rng = np.random.default_rng(0)
    net = kelman.to_elman(bed())
    U = np.zeros((5, 5))
    U[:2, :2], U[2:, 2:] = net.U, np.diag([0.999999, -0.5, 0.3])
    wide = net.replace(
        U=U,
        W=np.vstack([net.W, 1e-3 * rng.normal(size=(3, 1))]),
        V=np.hstack([net.V, 1e-3 * rng.normal(size=(1, 3))]),
        b=None,
        h0=None,
    )
    small = kelman.reduce(wide, 2)
    assert small.dims.hidden == 2
    assert kelman.excess_risk(small, bed()) < 1e-6
    one = [float(kelman.excess_risk(kelman.reduce(bed(), 1, nearest=word), bed())) for word in (False, True)]
    assert one[1] <= one[0]
