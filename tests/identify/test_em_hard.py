# SPDX-License-Identifier: BSD-3-Clause
"""EM where others fail: units, constant series, gaps, many states, singular covariances, interruptions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman import Free, Template
from kelman.identify._em import em
from kelman.identify._em_step import FLOOR, Maximiser


def never_falls(found: Any) -> None:
    """No likelihood fell by more than 1e-9 of itself, and nothing is NaN."""
    assert np.isfinite(found.theta).all()
    assert np.isfinite(found.loglik).all()
    for line in found.history:
        line = line[np.isfinite(line)]
        assert (np.diff(line) >= -1e-9 * (1 + np.abs(line[:-1]))).all()


def level_and_trend(scale: float) -> Template:
    """A local linear trend with unknown variances, begun in the units of the data."""
    q = [[Free(0.3 * scale**2), 0.0], [0.0, Free(0.1 * scale**2)]]
    return Template([[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0]], q, [[Free(scale**2)]], initial="diffuse")


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6])
def test_units_and_offsets_do_not_matter(scale: float) -> None:
    """A trend around 1e4, in units of 1e-6 to 1e6: the fit is that in units of one, as far as the numbers of z can tell."""
    rng = np.random.default_rng(0)
    z = np.cumsum(rng.normal(size=200)) * 0.5 + rng.normal(size=200)
    plain = em(level_and_trend(1.0), level_and_trend(1.0).start, z, max_iter=60, tol=0)
    template = level_and_trend(scale)
    found = em(template, template.start, 1e4 + scale * z, max_iter=60, tol=0)
    never_falls(found)
    rtol = 1e-3 if scale < 1e-4 else 1e-5  # 1e4 leaves ten digits to numbers of 1e-6
    np.testing.assert_allclose(found.theta / scale**2, plain.theta, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6])
def test_everything_free_in_any_units(scale: float) -> None:
    """A, H, Q, R, b, c free for measurements around 1e4 in units of 1e-6 to 1e6: the likelihoods are those in units of one."""
    true = kelman.StateSpace(
        [[0.8, 0.2], [-0.2, 0.7]], [[1.0, 0.0], [0.3, 1.0]], np.eye(2), 0.5 * np.eye(2), m1=[0.0, 0.0], P1=np.eye(2)
    )
    z = kelman.simulate(true, 150, rng=np.random.default_rng(1)).z

    def fit(scale: float, offset: float) -> Any:
        template = Template(
            Free(0.5 * np.eye(2)), Free(scale * np.eye(2)), Free(np.eye(2)), Free(scale**2 * np.eye(2)),
            c=Free(np.full(2, offset)), m1=np.zeros(2), P1=np.eye(2),
        )  # fmt: skip
        return em(template, template.start, offset + scale * z, max_iter=30, tol=0, accelerate=False)

    plain, found = fit(1.0, 0.0), fit(scale, 1e4)
    never_falls(found)
    shift = 300 * np.log(scale)
    np.testing.assert_allclose(found.history[0] + shift, plain.history[0], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("value", [0.0, 5.0, 1e6])
def test_a_constant_series_stops_at_the_floor_and_says_so(value: float) -> None:
    """The likelihood has no maximum: the variances fall to the stated floor, the fit is flagged and not called converged."""
    template = Template([[1.0]], [[1.0]], [[Free(1.0)]], [[Free(1.0)]], initial="diffuse")
    found = em(template, template.start, np.full(40, value), max_iter=5000)
    never_falls(found)
    assert not found.converged[0]
    assert found.floored[0]
    assert "floor" in found.message[0]
    lowest = (FLOOR * (abs(value) or 1.0)) ** 2
    assert found.theta.min() == pytest.approx(lowest, rel=1e-6)


@pytest.mark.parametrize("dense", [True, False])
def test_nine_tenths_missing(dense: bool) -> None:
    """90 % gaps by component, R whole or diagonal: the likelihood rises to a maximum."""
    true = kelman.StateSpace([[0.9]], [[1.0], [0.5]], [[1.0]], np.diag([0.3, 0.2]), m1=[0.0], P1=[[1.0]])
    rng = np.random.default_rng(4)
    z = kelman.simulate(true, 400, rng=rng).z
    z[rng.random(z.shape) < 0.9] = np.nan
    R: Any = Free(np.eye(2)) if dense else [[Free(1.0), 0.0], [0.0, Free(1.0)]]
    template = Template([[Free(0.5)]], [[1.0], [Free(1.0)]], [[Free(1.0)]], R, m1=[0.0], P1=[[1.0]])
    found = em(template, template.start, z, max_iter=3000, tol=1e-10)
    never_falls(found)
    assert found.converged[0] or found.iterations[0] == 3000
    assert found.loglik[0] >= kelman.loglik(true, z)


def test_fifty_states() -> None:
    """50 states, all of A, H, Q and R free: 5 steps, each higher than the one before."""
    rng = np.random.default_rng(6)
    n, m = 50, 10
    A = 0.9 * np.linalg.qr(rng.normal(size=(n, n)))[0]
    true = kelman.StateSpace(A, rng.normal(size=(m, n)) / 5, np.eye(n), np.eye(m), m1=np.zeros(n), P1=np.eye(n))
    z = kelman.simulate(true, 120, rng=rng).z
    template = Template(Free(0.8 * A), Free(true.H), Free(np.eye(n)), Free(2 * np.eye(m)), m1=np.zeros(n), P1=np.eye(n))
    found = em(template, template.start, z, max_iter=5)
    never_falls(found)
    assert (np.diff(found.history[0]) > 0).all()


@pytest.mark.parametrize("small", [1e-6, 1e-10, 1e-14])
def test_a_measurement_noise_that_is_nearly_singular(small: float) -> None:
    """R of condition 1e6 to 1e14, correlated: nothing breaks."""
    rng = np.random.default_rng(8)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    R = turn @ np.diag([1.0, small]) @ turn.T
    true = kelman.StateSpace([[0.9]], [[1.0], [0.2]], [[1.0]], (R + R.T) / 2, m1=[0.0], P1=[[1.0]])
    z = kelman.simulate(true, 150, rng=rng).z
    template = Template([[Free(0.5)]], Free([[1.0], [0.0]]), [[1.0]], Free(np.eye(2)), m1=[0.0], P1=[[1.0]])
    found = em(template, template.start, z, max_iter=200)
    never_falls(found)
    again = Template([[Free(0.9)]], Free(true.H), [[1.0]], Free(true.R), m1=[0.0], P1=[[1.0]])
    never_falls(em(again, again.start, z, max_iter=50))


def test_rows_without_noise_are_named() -> None:
    """EM cannot move A[1,0] where Q[1,1] = 0, nor move A freely under a Q of rank one: both are said in words."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=60)
    template = Template(
        [[Free(0.5), 0.3], [Free(0.9), 0.0]], [[1.0, 0.0]], [[Free(1.0), 0.0], [0.0, 0.0]], [[Free(1.0)]]
    )
    found = em(template, template.start, z, max_iter=500)
    assert found.held == ("A[1,0]",)
    assert found.theta[0][template.names.index("A[1,0]")] == 0.9
    never_falls(found)
    ramp = np.array([[0.25, 0.5], [0.5, 1.0]])
    template = Template(Free([[0.9, 0.5], [0.0, 0.9]]), [[1.0, 0.0]], Free(1.0, name="q") * ramp, [[Free(1.0)]])
    found = em(template, template.start, z, max_iter=30)
    assert not found.held
    assert set(found.restricted) == {"A[0,0]", "A[0,1]", "A[1,0]", "A[1,1]"}
    never_falls(found)
    move = template.model(found.theta[0]).A - template.model(template.start).A
    np.testing.assert_allclose(move[1], 2 * move[0], atol=1e-9)  # along the noise
    assert np.abs(move).max() > 1e-3


def test_a_start_that_fails_is_named() -> None:
    """A model under which the data are impossible: what failed, where, and when; in a batch the others go on."""
    template = Template([[1.0]], [[1.0]], [[0.0]], [[0.0]], b=[Free(0.5)], m1=[0.0], P1=[[0.0]])
    found = em(template, template.start, np.array([[0.0, 0.5, 1.0], [0.0, 3.0, 1.0]])[:, :, None], per_series=True)
    assert np.isfinite(found.loglik[0])
    assert np.isnan(found.loglik[1])
    assert "at the start" in found.message[1]
    assert "step 1" in found.message[1]


def test_a_likelihood_that_falls_is_reported_with_its_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    """An M-step that goes the wrong way from the third iteration on: the best is kept, the message says when and why."""
    right, calls = Maximiser.__call__, []

    def wrong(self: Maximiser, E: Any, which: Any) -> Any:
        theta, floor = right(self, E, which)
        calls.append(1)
        return (theta if len(calls) < 3 else E.theta / (theta / E.theta) ** 3), floor

    monkeypatch.setattr(Maximiser, "__call__", wrong)
    template = Template([[1.0]], [[1.0]], [[Free(1e4)]], [[Free(1e4)]], initial="diffuse")
    found = em(template, template.start, kelman.datasets.nile().z, accelerate=False)
    assert not found.converged[0]
    assert "iteration 3: the log-likelihood fell by" in found.message[0]
    assert found.loglik[0] == found.history[0][2] == found.history[0].max()


def test_a_failure_on_the_way_names_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parameters that make no model, however short the step: what failed, at which iteration, and the best so far."""

    def broken(_: Any, E: Any, __: Any) -> Any:
        return np.full_like(E.theta, np.nan), np.zeros(E.theta.shape, dtype=bool)

    monkeypatch.setattr(Maximiser, "__call__", broken)
    template = Template([[1.0]], [[1.0]], [[Free(1e4)]], [[Free(1e4)]], initial="diffuse")
    found = em(template, template.start, kelman.datasets.nile().z)
    assert "iteration 1: a number is not finite" in found.message[0]
    np.testing.assert_array_equal(found.theta[0], template.start)


def test_interrupted_it_returns_the_best_so_far() -> None:
    """Ctrl-C in the third iteration: the parameters of the second, not converged, and a message; progress calls back."""
    calls: list[tuple[int, float]] = []

    def stop(iteration: int, loglik: float) -> None:
        calls.append((iteration, loglik))
        if iteration == 2:
            raise KeyboardInterrupt

    template = Template([[1.0]], [[1.0]], [[Free(1e4)]], [[Free(1e4)]], initial="diffuse")
    found = em(template, template.start, kelman.datasets.nile().z, progress=stop, accelerate=False)
    assert [iteration for iteration, _ in calls] == [1, 2]
    assert not found.converged[0]
    assert "interrupted" in found.message[0]
    assert found.loglik[0] == calls[-1][1] == found.history[0].max()


def test_what_em_does_not_serve_is_refused_in_words() -> None:
    """Nonlinear maps, S, unknowns that vary in time, priors, parameters of mean and covariance alike."""
    z = np.zeros(10)
    one = [[1.0]]
    cases = {
        "nonlinear": Template.from_function(
            lambda t: kelman.StateSpace([[t[0] ** 2]], one, one, one, m1=[0.0], P1=one), {"a": Free(0.5)}
        ),
        "S:": Template([[0.5]], one, one, one, S=[[Free(0.1)]]),
        "varies in time": Template(np.ones((10, 1, 1)) * Free(0.5, name="a"), one, one, one, m1=[0.0], P1=one),
        "prior": Template([[Free(0.5, prior=lambda _: (0.0, 0.0))]], one, one, one),
        "q: in a covariance": Template([[Free(0.5, name="q")]], one, one, [[kelman.Tied("q")]]),
        "nothing to fit": Template([[0.5]], one, one, one),
    }
    for message, template in cases.items():
        with pytest.raises(kelman.errors.KelmanError, match=message):
            em(template, template.start, z)
