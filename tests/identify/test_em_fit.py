# SPDX-License-Identifier: BSD-3-Clause
"""`fit(method="em")`: the maximum that quasi-Newton finds, with error bars, stages and warnings."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import kelman
from kelman import Free, Template
from kelman.errors import KelmanError, NumericalWarning
from kelman.identify import _em_fit


def local_level() -> Template:
    """Two variances, their starts from the data."""
    return Template([[1.0]], [[1.0]], [[Free()]], [[Free()]], initial="diffuse")


def test_em_and_quasi_newton_agree() -> None:
    """The Nile by either: parameters, likelihood, standard errors; the steps rise and name their stage."""
    z = kelman.datasets.nile().z
    a, b = (kelman.fit(z, template=local_level(), method=method) for method in ("em", "mle"))
    assert a.method == "em"
    assert a.converged
    np.testing.assert_allclose(a.theta, b.theta, rtol=1e-4)
    np.testing.assert_allclose(a.loglik, b.loglik, rtol=1e-11)
    np.testing.assert_allclose(a.std_errors, b.std_errors, rtol=1e-3)
    assert a.history[0].stage == "EM"
    rise = np.diff([step.loglik for step in a.history])
    assert (rise >= -1e-9 * abs(a.loglik)).all()


def test_an_order_is_enough() -> None:
    """A, H, Q, R and c of two states from gaps and several series: EM then quasi-Newton, at a stationary point."""
    true = kelman.StateSpace(
        [[0.8, 0.3], [-0.3, 0.7]], [[1.0, 0.0]], np.eye(2), [[0.5]], c=[10.0], initial="stationary"
    )
    z = kelman.simulate(true, 250, N=2, rng=np.random.default_rng(0)).z
    z[0, 20:25] = z[1, 100] = np.nan
    found: Any = kelman.fit(z, n_states=2, method="em")
    assert found.converged
    assert found.loglik > kelman.loglik(true, z).sum()
    other = kelman.fit(z, n_states=2, method="mle")
    np.testing.assert_allclose(np.sort(np.abs(found.poles)), np.sort(np.abs(other.poles)), atol=0.02)


def test_what_em_cannot_move_is_finished_and_said() -> None:
    """An AR(2) in companion form measured without noise rows: A[1,0] has no noise, and the maximum is found all the same."""
    true = kelman.StateSpace([[0.5, 0.3], [1.0, 0.0]], [[1.0, 0.0]], np.diag([1.0, 0.0]), [[0.3]])
    z = kelman.simulate(true, 300, rng=np.random.default_rng(1)).z
    template = Template(
        [[Free(0.2), 0.3], [Free(0.7), 0.0]], [[1.0, 0.0]], [[Free(1.0), 0.0], [0.0, 0.0]], [[Free(1.0)]]
    )
    found = kelman.fit(z, template=template, method="em")
    assert "A[1,0]" in found.message
    assert "quasi-Newton" in found.message
    np.testing.assert_allclose(found.loglik, kelman.fit(z, template=template, method="mle").loglik, rtol=1e-9)


def test_a_constant_series_is_flagged() -> None:
    """No maximum: a warning names the variance at its floor, and the fit is not converged."""
    template = Template([[1.0]], [[1.0]], [[Free(1.0)]], [[Free(1.0)]], initial="diffuse")
    with pytest.warns(NumericalWarning, match="floor"):
        found = kelman.fit(np.full(30, 3.0), template=template, method="em", max_iter=5000)
    assert not found.converged
    assert np.isfinite(found.theta).all()


def test_interrupted_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C inside EM: the best so far with a warning, and no quasi-Newton steps after it."""
    monkeypatch.setattr(_em_fit, "maximise", lambda *_, **__: pytest.fail("finished all the same"))

    def stop(iteration: int, _: float) -> None:
        if iteration >= 2:
            raise KeyboardInterrupt

    with pytest.warns(NumericalWarning, match="interrupted"):
        found = kelman.fit(kelman.datasets.nile().z, template=local_level(), method="em", progress=stop)
    assert not found.converged
    assert len(found.history) == 3


def test_progress_shows_only_where_it_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing by default in a script, nothing with False, something on standard error with True, calls of a function."""
    z = kelman.datasets.nile().z
    for progress in (None, False):
        kelman.fit(z, template=local_level(), method="em", progress=progress)
        assert capsys.readouterr() == ("", "")
    kelman.fit(z, template=local_level(), method="em", progress=True)
    out, err = capsys.readouterr()
    assert not out
    assert "EM" in err
    calls: list[int] = []
    kelman.fit(z, template=local_level(), method="em", progress=lambda k, _: calls.append(k))
    assert calls == sorted(calls)
    assert calls


def test_wrong_options_are_refused() -> None:
    """Priors, orders with inputs, a start that fails."""
    z = np.random.default_rng(0).normal(size=50)
    prior = Template([[Free(0.5, prior=lambda _: (0.0, 0.0))]], [[1.0]], [[1.0]], [[1.0]])
    with pytest.raises(KelmanError, match="prior"):
        kelman.fit(z, template=prior, method="em")
    never = Template([[1.0]], [[1.0]], [[0.0]], [[0.0]], b=[Free(0.5)], m1=[0.0], P1=[[0.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(KelmanError, match="at the start"):
            kelman.fit(z, template=never, method="em")


def test_each_series_by_itself() -> None:
    """per_series by EM: the maxima that quasi-Newton finds."""
    true = kelman.StateSpace([[0.8]], [[1.0]], [[1.0]], [[0.5]], initial="stationary")
    z = kelman.simulate(true, 120, N=6, rng=np.random.default_rng(3)).z
    template = Template([[Free(0.5)]], [[1.0]], [[Free()]], [[Free()]], initial="stationary")
    a, b = (kelman.fit(z, template=template, per_series=True, method=method) for method in ("em", "mle"))
    np.testing.assert_allclose(a.loglik, b.loglik, atol=1e-5)


def test_each_series_by_itself_interrupted() -> None:
    """Ctrl-C while EM runs for many series: no long climb afterwards, nothing called converged."""
    calls: list[int] = []

    def stop(iteration: int, _: float) -> None:
        calls.append(iteration)
        if len(calls) == 2:
            raise KeyboardInterrupt

    z = np.stack([kelman.datasets.nile().z, kelman.datasets.nile().z[::-1]])
    with pytest.warns(NumericalWarning, match="interrupted"):
        found = kelman.fit(z, template=local_level(), per_series=True, method="em", progress=stop)
    assert len(calls) == 2
    assert not found.converged.any()
    assert np.isfinite(found.loglik).all()
