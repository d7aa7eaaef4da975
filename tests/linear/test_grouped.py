# SPDX-License-Identifier: BSD-3-Clause
"""Series whose gaps make groups: covariances once for each group, the numbers of each series by itself."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import kelman
from tests.linear.cases import inputs, model
from tests.linear.oracle_checks import close
from tests.linear.test_shared import ARRAYS, STORES, against_the_oracle, assert_close, correlated

STATE = ("_mean", "_cov", "_inf", "_rank", "_noise_mean", "_noise_cov", "_noise_cross")
MANY = 330  # enough for groups of every instruction set and precision


def blocks(rng: np.random.Generator, z: np.ndarray) -> None:
    """Sensors that were out of order for some time: three of them, in turns."""
    T = z.shape[1]
    z[0::3, T // 4 : T // 2] = np.nan
    z[1::3, T // 3 :, 0] = np.nan


def calendars(rng: np.random.Generator, z: np.ndarray) -> None:
    """Two calendars, drawn for each series."""
    N, T, _ = z.shape
    z[(rng.random((2, T)) < 0.3)[rng.integers(2, size=N)]] = np.nan


def outliers(rng: np.random.Generator, z: np.ndarray) -> None:
    """Two patterns, and a few series with gaps of their own."""
    N, T, m = z.shape
    z[::2, 3] = np.nan
    own = [0, 1, 2, N // 2, N - 1]
    z[own] = np.where(rng.random((len(own), T, m)) < 0.4, np.nan, z[own])


def components(rng: np.random.Generator, z: np.ndarray) -> None:
    """Single components, by two patterns."""
    z[::2, rng.random(z.shape[1:]) < 0.3] = np.nan


PATTERNS = {"blocks": blocks, "calendars": calendars, "outliers": outliers, "components": components}
MODELS: dict[str, dict[str, Any]] = {
    "plain": {},
    "diagonal R": {"R": np.diag([0.5, 1.5])},
    "singular R": {"R": np.diag([1.0, 0.0])},
    "S": correlated(3, 2),
    "diffuse": {"m1": np.zeros(3), "P1": np.eye(3), "P1_inf": np.diag([1.0, 0, 1])},
    "x0": {"m0": np.ones(3), "P0": np.eye(3)},
    "stationary": {"initial": "stationary"},
}


def data(pattern: str, N: int = MANY, T: int = 20, m: int = 2) -> np.ndarray:
    """Measurements with these gaps."""
    rng = np.random.default_rng(N)
    z = rng.normal(size=(N, T, m))
    PATTERNS[pattern](rng, z)
    return z


def both(which: kelman.StateSpace, z: Any, u: np.ndarray | None = None, **more: Any) -> tuple[Any, Any]:
    """The grouped filter, and the careful form one by one."""
    fast = kelman.filter(which, z, u, **more)
    careful = kelman.filter(which, z, u, form="univariate", **more)
    assert "grouped" in fast.method.split("+")
    return fast, careful


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_model_with_every_pattern(pattern: str, kind: str) -> None:
    """The careful form to 1e-12, the dense answer to 1e-10."""
    which = model(3, 2, **MODELS[kind])
    z = data(pattern)
    fast, careful = both(which, z, store="all")
    assert_close(fast, careful, 1e-12)
    for name in STATE:
        close(name, getattr(fast.state, name) * 1.0, getattr(careful.state, name) * 1.0, 1.0, 1e-12)
    against_the_oracle(which, z, None, fast, (0, 5))


@pytest.mark.parametrize("kind", ["plain", "S", "diffuse"])
def test_inputs_of_each_series(kind: str) -> None:
    """What differs between the series of a group but their gaps."""
    which = model(3, 2, 2, b=np.ones(3), c=np.ones((MANY, 1, 2)), **MODELS[kind])
    z, u = data("calendars"), inputs(MANY, 20, 2)
    fast, careful = both(which, z, u, store="all")
    assert_close(fast, careful, 1e-12)
    against_the_oracle(which, z, u, fast, (1, MANY - 1))


@pytest.mark.parametrize("store", STORES)
def test_every_store(store: str) -> None:
    """Whatever is kept is what is kept of everything."""
    which, z = model(3, 2, R=np.eye(2)), data("outliers")
    fast, careful = both(which, z, store=store)
    for name in ARRAYS:
        a, b = getattr(fast, name, None), getattr(careful, name, None)
        assert (a is None) == (b is None), name
        if a is not None:
            close(name, a, b, 1.0, 1e-12)


def test_covariances_are_those_of_each_series_and_go_to_given_arrays() -> None:
    """No view that repeats itself; `out=` is written."""
    which, z = model(3, 2), data("blocks")
    first = kelman.filter(which, z, store="filtered")
    assert first.cov.strides[0] > 0
    mean, cov = np.array(first.mean), np.array(first.cov)
    again = kelman.filter(which, z[::-1], store="filtered", out=first)
    assert np.shares_memory(again.cov, first.cov)
    np.testing.assert_array_equal(again.mean, mean[::-1])
    np.testing.assert_array_equal(again.cov, cov[::-1])


def test_ragged_ends() -> None:
    """Series of two lengths, and a few of others."""
    z = np.random.default_rng(0).normal(size=(MANY, 18, 2))
    lengths = np.where(np.arange(MANY) % 2, 18, 11)
    lengths[[3, 4, 100]] = [7, 1, 2]
    series = [z[i, : lengths[i]] for i in range(MANY)]
    for kind in ("plain", "singular R", "diffuse"):
        fast, careful = both(model(3, 2, **MODELS[kind]), series, store="all")
        np.testing.assert_array_equal(fast.lengths, lengths)
        for name in ARRAYS:
            a, b = getattr(fast, name), getattr(careful, name)
            np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
            close(name, np.nan_to_num(a), np.nan_to_num(b), 1.0, 1e-12)


def test_random_gaps_are_not_grouped() -> None:
    """Patterns that are nearly all different, and batches too small for groups."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(3000, 30, 2))
    z[rng.random(z.shape) < 0.2] = np.nan
    assert kelman.filter(model(3, 2, R=np.eye(2)), z, store="loglik").method == "lanes"
    assert kelman.filter(model(3, 2, R=np.eye(2)), data("blocks", N=12), store="loglik").method == "lanes"
    assert kelman.filter(model(3, 2, R=np.eye(2)), data("blocks"), store="loglik").method == "grouped"
    assert kelman.filter(model(3, 2, R=np.eye(2)), data("outliers"), store="loglik").method == "lanes+grouped"


@pytest.mark.parametrize("m", [1, 2, 3])
@pytest.mark.parametrize("T", [1, 5, 40, 450, 1000])
def test_one_gap_more_makes_another_pattern(T: int, m: int) -> None:
    """Wherever it is, in series of every length; the number of a pattern counts all values."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(280, T, m))
    places = rng.integers(T * m, size=20)
    z[:140].reshape(140, -1)[:, places[0]] = np.nan
    for i, place in enumerate(places):
        z[7 * i].reshape(-1)[place] = np.nan
        z[7 * i + 3].reshape(-1)[T * m - 1 - place % min(9, T * m)] = np.nan
    fast, careful = both(model(2, m, R=np.eye(m)), z, store="means")
    assert_close(fast, careful, 1e-12, ("mean", "loglik"))


def test_strange_strides_of_z() -> None:
    """Series, steps and components in another order in memory."""
    z = data("outliers")
    which = model(3, 2)
    expected = kelman.filter(which, z, store="filtered")
    for other in (np.asfortranarray(z), np.repeat(z, 2, axis=1)[:, ::2], z[::-1].copy()[::-1]):
        given = kelman.filter(which, other, store="filtered")
        np.testing.assert_array_equal(given.mean, expected.mean)
        np.testing.assert_array_equal(given.cov, expected.cov)


@pytest.mark.parametrize("kind", ["plain", "singular R", "diffuse"])
@pytest.mark.parametrize("store", ["loglik", "all"])
def test_threads_and_order_change_no_bit(kind: str, store: str) -> None:
    """Groups are cut into pieces for threads, and a piece has the numbers of its group."""
    which = model(3, 2, **MODELS[kind])
    z = data("outliers", N=2000, T=60)
    one = kelman.filter(which, z, store=store, threads=1)
    names = [name for name in ARRAYS if getattr(one, name, None) is not None]
    for threads in (2, 5):
        more = kelman.filter(which, z, store=store, threads=threads)
        assert more.method == one.method
        for name in names:
            np.testing.assert_array_equal(getattr(one, name), getattr(more, name), err_msg=name)
    order = np.random.default_rng(1).permutation(len(z))
    other = kelman.filter(which, z[order], store=store)
    for name in names:
        np.testing.assert_array_equal(getattr(one, name)[order], getattr(other, name), err_msg=name)


def test_long_series_go_window_by_window() -> None:
    """More steps than the tape of a window holds."""
    which, z = model(4, 2, R=np.eye(2)), data("outliers", N=150, T=2500)
    fast, careful = both(which, z, store="filtered")
    assert_close(fast, careful, 1e-12, ("mean", "cov", "loglik"))


def test_single_precision() -> None:
    """float32 to the digits it has."""
    which, z = model(3, 2, R=np.eye(2)), data("calendars", N=700)
    single = kelman.filter(which, z.astype(np.float32), store="all")
    assert "grouped" in single.method
    careful = kelman.filter(which, z, form="univariate", store="all")
    assert_close(single, careful, 1e-4)


def test_an_overflow_among_finite_means() -> None:
    """The series is reported with its step; the others of its group are what they were."""
    which, z = model(3, 2, R=np.eye(2)), data("calendars")
    z[17, np.flatnonzero(~np.isnan(z[17, :, 0]))[5]] = 1e308
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fast = kelman.filter(which, z, store="filtered", on_error="warn")
        careful = kelman.filter(which, z, store="filtered", on_error="warn", form="univariate")
    assert "grouped" in fast.method
    np.testing.assert_array_equal(np.isnan(fast.mean), np.isnan(careful.mean))
    assert np.isnan(fast.mean[17]).any()
    close("mean", np.nan_to_num(fast.mean), np.nan_to_num(careful.mean), 1.0, 1e-11)


def test_a_covariance_that_fails_fails_in_all_series_of_its_group() -> None:
    """A model whose covariance overflows: the same report as series by series."""
    z = data("calendars", m=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        A = np.diag([1e40, 0.5])
        which = kelman.StateSpace(A, np.array([[0.0, 1.0]]), np.eye(2), [[1.0]], m1=np.zeros(2), P1=np.eye(2))
        fast = kelman.filter(which, z, store="all", on_error="warn")
        careful = kelman.filter(which, z, store="all", on_error="warn", form="univariate")
    for name in ARRAYS:
        np.testing.assert_array_equal(np.isnan(getattr(fast, name)), np.isnan(getattr(careful, name)), err_msg=name)


def check_smoothed(which: kelman.StateSpace, z: Any, u: np.ndarray | None = None, *, method: str = "grouped") -> None:
    """The grouped smoother equals the careful one."""
    fast = kelman.smooth(which, z, u, lag=1)
    careful = kelman.smooth(which, z, u, lag=1, form="univariate")
    assert method in fast.method.split("+")
    for name in ("mean", "cov", "lag_one_cov", "loglik"):
        a, b = getattr(fast, name), getattr(careful, name)
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b), err_msg=name)
        close(name, np.nan_to_num(a), np.nan_to_num(b), 1.0, 1e-12)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_smoother_of_every_model_with_every_pattern(pattern: str, kind: str) -> None:
    """Covariances there and back once for each group."""
    check_smoothed(model(3, 2, **MODELS[kind]), data(pattern))


def test_the_smoother_of_ragged_ends_and_of_inputs() -> None:
    """Series of two lengths and a few of others; inputs of each series."""
    z = np.random.default_rng(0).normal(size=(MANY, 18, 2))
    lengths = np.where(np.arange(MANY) % 2, 18, 11)
    lengths[[3, 4, 100]] = [7, 1, 2]
    check_smoothed(model(3, 2), [z[i, : lengths[i]] for i in range(MANY)])
    check_smoothed(model(3, 2, 2, b=np.ones(3)), data("calendars"), inputs(MANY, 20, 2))


@pytest.mark.parametrize("kind", ["plain", "singular R"])
def test_threads_change_no_bit_of_the_smoother(kind: str) -> None:
    """Whichever thread takes the means of a group."""
    which, z = model(3, 2, **MODELS[kind]), data("outliers", N=1500, T=60)
    one = kelman.smooth(which, z, threads=1)
    assert "grouped" in one.method
    for threads in (2, 5):
        more = kelman.smooth(which, z, threads=threads)
        for name in ("mean", "cov", "loglik"):
            np.testing.assert_array_equal(getattr(one, name), getattr(more, name), err_msg=name)
