"""Numeric trouble is reported: by an error that holds the rest, by a warning, or by NaN."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import kelman
from kelman import _registry
from kelman.errors import (
    ImpossibleObservationWarning,
    NonFiniteError,
    NotPositiveDefiniteError,
    NumericalError,
    NumericalWarning,
)
from tests.linear.cases import data, model


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the backend say that series 1 failed at time 3 (status 1 or 3), whatever the data."""

    def arrange(status: int = 1) -> None:
        kernels = _registry.backend("linear")
        for name in ("filter_raw", "smooth_raw"):
            real = getattr(kernels, name)

            def wrapped(*args: Any, real: Any = real) -> Any:
                raw = real(*args)
                raw["status"][1], raw["failed_at"][1] = status, 3
                return raw

            monkeypatch.setattr(kernels, name, wrapped)

    return arrange


@pytest.mark.parametrize(("status", "kind"), [(1, NotPositiveDefiniteError), (3, NonFiniteError)])
def test_an_error_names_the_failures_and_holds_the_rest(failing: Any, status: int, kind: Any) -> None:
    """`.failures` lists (series, time); `.result` has the other series whole and NaN from the failure on."""
    wanted = kelman.filter(model(), data())
    failing(status)
    with pytest.raises(kind, match="series 1 at time index 3") as caught:
        kelman.filter(model(), data())
    assert caught.value.failures == [(1, 3)]
    r = caught.value.result
    np.testing.assert_array_equal(r.mean[[0, 2, 3]], wanted.mean[[0, 2, 3]])
    np.testing.assert_array_equal(r.mean[1, :3], wanted.mean[1, :3])
    assert np.isnan(r.mean[1, 3:]).all()
    assert np.isnan(r.cov[1, 3:]).all()
    assert np.isnan(r.loglik[1])
    assert r.status.tolist() == [0, status, 0, 0]
    assert isinstance(caught.value, NumericalError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.failures == [(1, 3)]


def test_on_error_warn_and_nan_go_on(failing: Any) -> None:
    """One warning with "warn", none with "nan"; both give the same result."""
    failing()
    with pytest.warns(NumericalWarning, match="series 1 at time index 3"):
        warned = kelman.filter(model(), data(), on_error="warn")
    silent = kelman.filter(model(), data(), on_error="nan")
    np.testing.assert_array_equal(warned.mean, silent.mean)
    assert np.isnan(kelman.loglik(model(), data(), on_error="nan")[1])


def test_a_failure_of_shared_covariances_spoils_one_series_only(failing: Any) -> None:
    """Covariances that all series share become an array of their own where one series is blanked."""
    failing()
    r = kelman.filter(model(), data(gaps=0), on_error="nan")
    assert np.isnan(r.cov[1, 3:]).all()
    assert np.isfinite(r.cov[[0, 2, 3]]).all()


def test_a_smoother_that_fails_is_nan_throughout(failing: Any) -> None:
    """What comes before needs what comes after, so the whole series is NaN."""
    failing()
    with pytest.raises(NotPositiveDefiniteError) as caught:
        kelman.smooth(model(), data())
    assert np.isnan(caught.value.result.mean[1]).all()
    assert np.isfinite(caught.value.result.mean[0]).all()


def test_a_forecast_of_a_failed_series_is_nan(failing: Any) -> None:
    """Only the failing series has no forecast."""
    failing()
    f = kelman.forecast(model(), data(), 2, on_error="nan")
    assert np.isnan(f.mean[1]).all()
    assert np.isnan(f.cov[1]).all()
    assert np.isfinite(f.mean[[0, 2, 3]]).all()
    with pytest.raises(NotPositiveDefiniteError) as caught:
        kelman.forecast(model(), data(), 2)
    np.testing.assert_array_equal(caught.value.result.mean, f.mean)


def test_many_failures_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message lists five and counts the others."""
    kernels = _registry.backend("linear")
    real = kernels.filter_raw

    def wrapped(*args: Any) -> Any:
        raw = real(*args)
        raw["status"][:], raw["failed_at"][:] = 1, 2
        return raw

    monkeypatch.setattr(kernels, "filter_raw", wrapped)
    with pytest.raises(NotPositiveDefiniteError, match="series 4 at time index 2 and 4 more") as caught:
        kelman.filter(model(), data(N=9))
    assert len(caught.value.failures) == 9


def test_an_overflow_is_reported() -> None:
    """An explosive model overflows: NonFiniteError, or a covariance that is no longer one; never a silent NaN."""
    wild = kelman.StateSpace([[2.9]], [[1.0]], [[1.0]], [[1.0]], m1=[0.0], P1=[[1.0]])
    with pytest.raises(NumericalError) as caught:
        kelman.filter(wild, np.full(2000, np.nan), store="all")
    assert caught.value.failures[0][0] == 0


def test_an_impossible_measurement_gives_minus_infinity() -> None:
    """R = 0 and a state known exactly: a value that agrees says nothing, one that does not gives -inf and a warning."""
    exact = kelman.StateSpace([[1.0]], [[1.0]], [[0.0]], [[0.0]], m1=[2.0], P1=[[0.0]])
    assert kelman.loglik(exact, [2.0, 2.0]) == 0.0
    with pytest.warns(ImpossibleObservationWarning, match="series 0 at time index 1"):
        assert kelman.loglik(exact, [2.0, 2.5]) == -np.inf
    assert kelman.loglik(exact, [2.0, 2.5], on_error="nan") == -np.inf


def wild() -> kelman.StateSpace:
    """Two models, one of them explosive: its variance overflows after some 330 steps."""
    moments = {"m1": [0.0], "P1": [[1.0]]}
    return kelman.StateSpace.stack([kelman.StateSpace([[a]], [[1.0]], [[1.0]], [[1.0]], **moments) for a in (0.5, 2.9)])


def test_the_stepper_reports_the_step() -> None:
    """The series and the step of a failure are named once; the other series go on."""
    step = kelman.Stepper(wild(), 2)

    def run() -> None:
        for _ in range(400):
            step([np.nan, np.nan])

    with pytest.raises(NonFiniteError, match="series 1 at time index 33") as caught:
        run()
    assert caught.value.failures == [(1, step.steps - 1)]
    assert caught.value.result is step
    mean = step([1.0, 1.0])
    assert np.isfinite(mean[0]).all()
    assert np.isnan(mean[1]).all()


def test_the_stepper_warns_or_goes_on() -> None:
    """One warning with "warn", none with "nan", and the failing series is NaN."""
    whole = kelman.filter(wild(), np.full((2, 400, 1), np.nan), on_error="nan")

    def run(step: kelman.Stepper) -> None:
        for _ in range(400):
            step([np.nan, np.nan])

    warned, silent = (kelman.Stepper(wild(), 2, on_error=word) for word in ("warn", "nan"))
    with pytest.warns(NumericalWarning, match="series 1 at time index 33") as caught:
        run(warned)
    assert len(caught) == 1
    run(silent)
    np.testing.assert_array_equal(silent.mean, whole.mean[:, -1])
    np.testing.assert_array_equal(warned.mean, silent.mean)


def test_a_step_that_is_filtered_reports_itself_too() -> None:
    """With matrices of its own a step goes another way, and its failure is named the same."""
    step = kelman.Stepper(wild(), 2)
    for _ in range(300):
        step([np.nan, np.nan])

    def run() -> None:
        for _ in range(100):
            step([np.nan, np.nan], R=[[2.0]])

    with pytest.raises(NonFiniteError, match="series 1 at time index 33"):
        run()
