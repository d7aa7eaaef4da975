"""`forecast`: the moments of what comes next."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError, ModelWarning
from tests.linear.cases import data, inputs, model
from tests.oracles import Dense
from tests.strategies import build, random_kind


@pytest.mark.parametrize("seed", range(40))
def test_forecasts_are_the_dense_ones(seed: int) -> None:
    """A model of any kind: mean and covariance of z and x after the end, from one joint Gaussian."""
    case = build(random_kind(seed, start="x1", T=9), steps=3)
    m = case.model(steps=3)
    f = kelman.forecast(m, case.z, 3, case.u_past, case.u_future)
    for i in range(len(case.z)):
        dense = Dense(m.series(i), case.z[i], None if case.u is None else case.u[i], steps=3).forecast()
        for name, wanted in dense.items():
            np.testing.assert_allclose(getattr(f, name)[i], wanted, rtol=1e-9, atol=1e-9 * (1 + np.abs(wanted).max()))


def test_forecasting_is_filtering_what_is_missing() -> None:
    """The state's moments are the predictions of a filter whose last measurements are missing."""
    m, z, u = model(p=1), data(), inputs(T=29)
    f = kelman.forecast(m, z, 4, u[:, :25], u[:, 25:])
    longer = np.concatenate([z, np.full((4, 4, 2), np.nan)], axis=1)
    r = kelman.filter(m, longer, u, store="all")
    np.testing.assert_allclose(f.state_mean, r.predicted_mean[:, 25:], rtol=1e-12)
    np.testing.assert_allclose(f.state_cov, r.predicted_cov[:, 25:], rtol=1e-12)
    np.testing.assert_allclose(f.cov, r.innovation_cov[:, 25:], rtol=1e-12)


def test_ragged_series_are_forecast_from_their_own_ends() -> None:
    """Each series of a list equals the series alone, also where the model varies in time and has inputs."""
    rng = np.random.default_rng(0)
    m = model(p=1, H=rng.normal(size=(12, 2, 3)), R=np.stack([np.eye(2) * (k + 1) for k in range(12)]))
    lengths, future = [4, 9], inputs(N=2, T=3)
    z = [data(N=1, T=length)[0] for length in lengths]
    u = [inputs(N=1, T=length)[0] for length in lengths]
    f = kelman.forecast(m, z, 3, u, future)
    for i, length in enumerate(lengths):
        alone = kelman.forecast(m.window(0, length + 3), z[i], 3, u[i], future[i])
        np.testing.assert_allclose(f[i].mean, alone.mean, rtol=1e-12)
        np.testing.assert_allclose(f[i].cov, alone.cov, rtol=1e-12)


def test_intervals_hold_their_probability() -> None:
    """95 % of the simulated continuations lie in the 95 % interval (2,000 draws, four standard errors)."""
    m = model(m=1)
    sim = kelman.simulate(m, 30, N=2000, rng=7)
    low, high = kelman.forecast(m, sim.z[:, :25], 5).interval(0.95)
    inside = ((sim.z[:, 25:] >= low) & (sim.z[:, 25:] <= high)).mean(axis=(0, 2))
    assert np.abs(inside - 0.95).max() < 4 * np.sqrt(0.95 * 0.05 / 2000)


def test_interval_is_symmetric_and_checked() -> None:
    """Half the width is the quantile times the standard deviation; the level is a probability."""
    f = kelman.forecast(model(), data(), 2)
    low, high = f.interval(0.5)
    np.testing.assert_allclose((low + high) / 2, f.mean, rtol=1e-12)
    np.testing.assert_allclose(
        (high - low) / 2, 0.6744897501960817 * np.sqrt(np.diagonal(f.cov, 0, -2, -1)), rtol=1e-12
    )
    for wrong in (0, 1, 95, -0.5, "0.95", True, None, np.nan):
        with pytest.raises(KelmanError, match="level: expected a probability between 0 and 1"):
            f.interval(wrong)


def test_an_undetermined_start_gives_infinite_variance() -> None:
    """One measurement of a local linear trend does not fix its slope: the variance is infinite, and a warning says why."""
    trend = kelman.StateSpace([[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0]], np.diag([0.1, 0.1]), [[1.0]])
    with pytest.warns(ModelWarning, match="do not determine the diffuse start"):
        f = kelman.forecast(trend, [3.0], 2)
    assert np.isinf(f.cov).all()
    assert np.isfinite(kelman.forecast(trend, [3.0, 4.0], 2).cov).all()
    np.testing.assert_allclose(kelman.forecast(trend, [3.0, 4.0], 2).mean[:, 0], [5, 6], rtol=1e-12)
    two = kelman.StateSpace(np.eye(2), np.eye(2), np.eye(2), np.eye(2))
    with pytest.warns(ModelWarning, match="diffuse"):
        f = kelman.forecast(two, [[3.0, np.nan]], 1)
    assert np.isinf(f.cov[0]).tolist() == [[False, False], [False, True]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"u_future": None}, "u_future: the model has 1 input .*is needed"),
        ({"u": None}, "u: the model has 1 input"),
        ({"u_future": np.zeros((4, 1))}, r"u_future: expected shape \(3,\) or \(3, 1\) or \(4, 3, 1\), got \(4, 1\)"),
        ({"u_future": np.full((3, 1), np.nan)}, "u_future: every entry must be finite"),
        ({"steps": 0}, "steps: expected a whole number of at least 1, got 0"),
        ({"steps": 2**39, "u_future": np.broadcast_to(0.0, (2**39, 1))}, "steps: the result, of shape .* does not fit"),
        ({"steps": 10**30}, r"steps: expected at most 2\*\*40"),
        ({"steps": 1.5}, "steps: expected a whole number"),
        ({"steps": "3"}, "steps: expected a whole number"),
        ({"z": np.zeros((2, 25))}, "z: expected shape .*pass z.T"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], message: str) -> None:
    """Missing future inputs, wrong shapes and wrong counts are refused by name."""
    arguments: dict[str, Any] = {"z": data(), "steps": 3, "u": inputs(), "u_future": np.zeros((3, 1))} | change
    with pytest.raises(KelmanError, match=message):
        kelman.forecast(model(p=1), **arguments)


def test_a_time_varying_model_must_cover_the_steps() -> None:
    """T + steps matrices are needed, and the error says how many there are."""
    m = model(H=np.ones((25, 2, 3)))
    with pytest.raises(KelmanError, match="H: varies over 25 steps, but 3 steps after the 25 of z need 28"):
        kelman.forecast(m, data(), 3)


def test_future_inputs_of_a_model_without_inputs_are_refused() -> None:
    """Neither B nor D: u_future has no place."""
    with pytest.raises(KelmanError, match="u_future: the model has no inputs"):
        kelman.forecast(model(), data(), 2, u_future=np.zeros((2, 1)))


def test_results_speak_and_pickle() -> None:
    """Shapes in repr, numbers in summary, and a round trip through pickle."""
    f = kelman.forecast(model(), data(), 2)
    assert "mean (4, 2, 2)" in repr(f)
    assert "T+2" in f[0].summary()
    assert "4 series, 2 steps" in f.summary()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(f)).cov, f.cov)
