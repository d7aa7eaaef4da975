"""`sample_states`: draws with exactly the posterior's moments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

import kelman
from kelman.errors import KelmanError, NumericalError
from kelman.linear import _sample
from tests.linear.cases import data, inputs, model
from tests.linear.oracle_checks import close, dense, spread
from tests.oracles import Dense
from tests.strategies import STARTS, Case, cases


class Units(np.random.Generator):
    """A generator that gives draw j of each series the unit vector j: a path is linear in its noise, so that the paths of
    all draws are the columns of a square root of their covariance, and nothing is left to chance.
    """

    draws = 1
    given = 0

    def standard_normal(self, size: Any = None, *_: Any) -> np.ndarray:  # type: ignore[override]
        """Zeros, but for one number of each draw that has not had its own yet: (rows, k) or (steps, rows, k)."""
        out = np.zeros(size)
        noise = out[None] if out.ndim == 2 else out
        if out.ndim == 2:  # a first state: paths begin anew
            self.given = 0
        for j, (k, i) in enumerate(np.ndindex(noise.shape[0], noise.shape[2]), self.given):
            noise[k, j :: self.draws, i] = 1.0
        self.given = j + 1
        return out


def units(draws: int) -> Units:
    """A generator for so many draws (its own source of numbers is never used)."""
    generator = Units(np.random.PCG64(0))
    generator.draws = draws
    return generator


def sources(m: kelman.StateSpace, T: int, states: int) -> int:
    """How many random numbers one path takes: `states` at the start, then n + m at each step."""
    return states * m.dims.n + T * (m.dims.n + m.dims.m)


def joint(oracle: Dense) -> Any:
    """The posterior of all states together."""
    return oracle.given(oracle.T, np.arange(oracle.n, (oracle.T + 1) * oracle.n))


def check(case: Case, backend: str) -> None:
    """Mean and factor of the joint covariance of all draws are the dense ones, to rounding."""
    oracles = dense(case)
    assume(all(one.undetermined(one.T, 0) < 1e-9 for one in oracles))
    m, (N, T, _) = case.model(), case.z.shape
    draws = sources(m, T, 2 if m.initial == "x0" else 1)
    mean = kelman.smooth(m, case.z, case.u_past).mean
    paths = kelman.sample_states(m, case.z, draws, case.u_past, units(draws), backend=backend)
    assert paths.shape == (draws, N, T, m.dims.n)
    for i, oracle in enumerate(oracles):
        post, unit = joint(oracle), spread(oracle)
        root = (paths[:, i] - mean[i]).reshape(draws, -1)
        close("covariance", root.T @ root, post.cov, unit, 1e-9)
        close("mean", mean[i].ravel(), post.mean, unit**0.5, 1e-9)


@settings(max_examples=60)
@given(case=cases())
def test_the_covariance_of_the_draws_is_exact(case: Case) -> None:
    """The map from noise to path is a square root of the joint posterior covariance of all states, whatever the model."""
    check(case, "core")


@pytest.mark.torch
@settings(max_examples=15)
@given(case=cases())
def test_the_covariance_of_the_draws_is_exact_by_pytorch(case: Case) -> None:
    """The same by the PyTorch backend."""
    check(case, "torch")


@pytest.mark.parametrize("start", STARTS)
@settings(max_examples=15)
@given(sample=st.data())
def test_the_draws_are_exact_from_every_start(start: str, sample: st.DataObject) -> None:
    """Each way to start has its own examples."""
    check(sample.draw(cases(max_T=8, starts=(start,))), "core")


def hard_models() -> dict[str, tuple[kelman.StateSpace, np.ndarray, np.ndarray | None]]:
    """Models with gaps, S, diffuse starts, singular noise, inputs; with data."""
    S = {"Q": [[1.0, 0.3], [0.3, 0.5]], "R": [[0.5]], "S": [[0.3], [0.1]], "b": [0.2, -1.0], "c": [3.0]}
    trend = kelman.StateSpace([[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0]], np.diag([0.5, 0.1]), [[1.0]])
    flat = kelman.StateSpace(np.eye(2), np.eye(2), np.diag([1.0, 0.0]), np.diag([0.0, 1.0]), m0=[1, 2], P0=np.eye(2))
    z = data(1, 12, 1, gaps=0.3)[0]
    two = data(1, 12, 2, gaps=0.3)[0]
    return {
        "S": (model(n=2, m=1, p=1, initial="stationary", **S), z, inputs(1, 12)[0]),
        "diffuse": (trend, z, None),
        "singular": (flat, two, None),
        "partly diffuse": (model(P1_inf=np.diag([1.0, 1.0, 0.0])), two, None),
    }


@pytest.mark.parametrize("name", ["S", "diffuse", "singular", "partly diffuse"])
def test_moments_of_many_draws(name: str) -> None:
    """Mean and covariance of 4,000 draws of all states lie within 5 standard errors of the dense joint posterior (seed 0)."""
    m, z, u = hard_models()[name]
    post = joint(Dense(m, z, u))
    draws = 4000
    paths = kelman.sample_states(m, z, draws, u, rng=0).reshape(draws, -1)
    P = np.asarray(post.cov, dtype=float)
    variance = np.maximum(np.diag(P), 0)
    tiny = 1e-6 * variance.max()
    assert (np.abs(paths.mean(0) - post.mean) < 5 * np.sqrt(variance / draws) + tiny).all()
    error = np.sqrt((P**2 + np.outer(variance, variance)) / draws)
    assert (np.abs(np.cov(paths.T) - P) < 5 * error + tiny).all()


def test_shapes_and_padding() -> None:
    """(draws, T, n) for one series, (draws, N, T, n) for several, NaN behind the end of a shorter one."""
    m = model()
    z = data(3, 9)
    assert kelman.sample_states(m, z[0], 5, rng=0).shape == (5, 9, 3)
    assert kelman.sample_states(m, z, 5, rng=0).shape == (5, 3, 9, 3)
    ragged = kelman.sample_states(m, [z[0], z[1, :4]], 5, rng=0)
    assert ragged.shape == (5, 2, 9, 3)
    assert np.isnan(ragged[:, 1, 4:]).all()
    assert np.isfinite(ragged[:, 0]).all()
    assert np.isfinite(ragged[:, 1, :4]).all()
    assert kelman.sample_states(m.astype("f4"), z.astype("f4"), 2, rng=0).dtype == np.float32


def test_the_same_generator_gives_the_same_draws_for_any_number_of_threads() -> None:
    """A seed determines the draws, to the bit."""
    m, z = model(), data(5, 20)
    one = kelman.sample_states(m, z, 7, rng=3, threads=1)
    np.testing.assert_array_equal(one, kelman.sample_states(m, z, 7, rng=np.random.default_rng(3), threads=2))
    assert not np.array_equal(one, kelman.sample_states(m, z, 7, rng=4))
    assert not np.array_equal(kelman.sample_states(m, z, 1), kelman.sample_states(m, z, 1))


@pytest.mark.parametrize("limit", [1, 3000, 20_000])
@pytest.mark.parametrize("own", [False, True])
def test_blocks_do_not_change_the_distribution(limit: int, own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few draws and series fit into memory at a time, each draw has its own noise and its own series."""
    m = kelman.StateSpace.stack([model(seed=s) for s in range(4)]) if own else model()
    z = data(4, 6)
    z[0, :, 0] = 50.0  # what goes to the wrong series is seen
    monkeypatch.setattr(_sample, "_BLOCK", limit)
    paths = kelman.sample_states(m, z, 400, rng=1)
    s = kelman.smooth(m, z)
    error = np.sqrt(np.diagonal(s.cov, axis1=-2, axis2=-1) / 400)
    assert (np.abs(paths.mean(0) - s.mean) < 5 * error).all()
    assert len(np.unique(paths[:, :, 0, 0])) == 1600


def test_levels_do_not_cost_digits() -> None:
    """An offset of 1e8 leaves the spread of the draws as it is."""
    m, z = model(), data(1, 10)[0]
    plain = kelman.sample_states(m, z, 50, rng=2)
    far = kelman.sample_states(m.replace(c=[1e8, -1e8]), z + np.array([1e8, -1e8]), 50, rng=2)
    np.testing.assert_allclose(far - far[0], plain - plain[0], atol=1e-11)


def test_going_on_from_a_state() -> None:
    """With `start=` the draws have the moments of `smooth(..., start=)`, noise that was partly seen (S) included."""
    m = model(n=2, m=1, Q=[[1.0, 0.3], [0.3, 0.5]], R=[[0.5]], S=[[0.3], [0.1]], H=[[1.0, 0.5]])
    z = data(1, 12, 1)[0]
    state = kelman.filter(m, z[:5]).state
    s = kelman.smooth(m, z[5:], start=state)
    draws = sources(m, 7, 2)
    root = (kelman.sample_states(m, z[5:], draws, rng=units(draws), start=state) - s.mean).reshape(draws, -1)
    whole = joint(Dense(m, z))
    np.testing.assert_allclose(s.mean.ravel(), whole.mean[10:], atol=1e-9)
    np.testing.assert_allclose(root.T @ root, whole.cov[10:, 10:], atol=1e-9)


def test_an_undetermined_start_cannot_be_drawn() -> None:
    """Where the data leave a diffuse direction open there is no distribution, and the error names the series."""
    trend = kelman.StateSpace([[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0]], np.eye(2), [[1.0]])
    with pytest.raises(KelmanError, match=r"z: the measurements leave 1 of 2 directions of the diffuse start"):
        kelman.sample_states(trend, [1.0], 3)
    with pytest.raises(KelmanError, match=r"z: the measurements of series 1 leave 2 of 2"):
        kelman.sample_states(trend, np.array([[[1.0], [2.0]], [[np.nan], [np.nan]]]), 3)


def test_a_failing_series_is_told() -> None:
    """A series that the smoother cannot do raises as there; with on_error="nan" its draws are NaN, the others not."""
    A = np.array([[[[1e200]]], [[[0.5]]]])
    m = kelman.StateSpace(A, [[1.0]], [[1.0]], [[1.0]], m0=[1.0], P0=[[1.0]])
    z = np.ones((2, 5, 1))
    with pytest.raises(NumericalError, match="series 0"):
        kelman.sample_states(m, z, 3, rng=0)
    paths = kelman.sample_states(m, z, 3, rng=0, on_error="nan")
    assert np.isnan(paths[:, 0]).all()
    assert np.isfinite(paths[:, 1]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"draws": 0}, "draws: expected a whole number of at least 1, got 0"),
        ({"draws": 2.5}, "draws: expected a whole number"),
        ({"draws": 2**39}, "draws: the result, of shape .* does not fit into memory"),
        ({"rng": "x"}, "rng: expected a numpy.random.Generator"),
        ({"z": [[np.inf, 0.0]]}, "z: infinite value"),
        ({"z": np.zeros((5, 3))}, r"z: expected shape"),
        ({"u": np.zeros((5, 1))}, "u: the model has no inputs"),
        ({"on_error": "stop"}, "on_error: expected one of"),
        ({"start": 3}, "start: expected the .state"),
        ({"model": kelman.Elman([[0.5]], [[1.0]], [0.0], [[1.0]], [0.0])}, "sample_states expects a StateSpace"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(change: dict[str, Any], message: str) -> None:
    """Wrong counts, generators, measurements and inputs are refused by name."""
    arguments: dict[str, Any] = {"model": model(), "z": data(1, 5)[0], "draws": 2} | change
    with pytest.raises(KelmanError, match=message):
        kelman.sample_states(**arguments)
