# SPDX-License-Identifier: BSD-3-Clause
"""Series side by side in vector registers: the dense answer, whatever the model, and each series as if it were alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman import _core
from tests.linear.oracle_checks import close, spread
from tests.oracles import Dense
from tests.strategies import Case

if _core.core is None:
    pytest.skip("needs the compiled core", allow_module_level=True)

STORES = ("loglik", "last", "means", "filtered", "all")
N = 19  # more than fit into one register, and not a multiple of any number of lanes


def covariance(rng: np.random.Generator, n: int, lead: tuple[int, ...] = ()) -> np.ndarray:
    """Well-conditioned random covariances."""
    factor = rng.normal(size=(*lead, n, n))
    return factor @ np.swapaxes(factor, -1, -2) / n + 0.2 * np.eye(n)


def make(
    n: int = 3,
    m: int = 2,
    *,
    p: int = 0,
    vary: str = "constant",
    start: str = "x1",
    gaps: str = "component",
    dense: bool = False,
    lag: int = 0,
    count: int = 17,
    T: int = 12,
    seed: int = 0,
) -> Case:
    """A regular model and measurements of `count` series."""
    rng = np.random.default_rng([seed, n, m, p, lag])
    lead = {"constant": (), "time": (T,), "series": (count, 1), "both": (count, T)}[vary]
    A = rng.normal(size=(*lead, n, n))
    A *= 0.95 / np.abs(np.linalg.eigvals(A)).max()
    R = covariance(rng, m, lead)
    arrays: dict[str, Any] = {
        "A": A,
        "H": rng.normal(size=(*lead, m, n)),
        "Q": covariance(rng, n, lead),
        "R": R if dense else R * np.eye(m),
    }
    if p:
        sizes = {"B": (n, p), "D": (m, p), "b": (n,), "c": (m,)}
        arrays |= {name: rng.normal(size=(*lead, *size)) for name, size in sizes.items()}
    if start == "diffuse":
        arrays["initial"] = "diffuse"
    else:
        k = start[1]
        arrays |= {f"m{k}": rng.normal(size=n), f"P{k}": covariance(rng, n)}
    z = rng.normal(size=(count, T, m))
    if gaps == "component":
        z[rng.random(z.shape) < 0.3] = np.nan
    elif gaps == "whole":
        z[rng.random(z.shape[:2]) < 0.3] = np.nan
    elif gaps == "one":
        z[0, T // 2] = np.nan
    u = rng.normal(size=(count, T, p)) if p else None
    return Case(arrays, z, u, 0, lag)


def run(case: Case, store: str = "all", dtype: Any = np.float64, **options: Any) -> kelman.FilterResult:
    """Filter a case."""
    u = None if case.u is None else case.u.astype(dtype)
    return kelman.filter(case.model(dtype), case.z.astype(dtype), u, store=store, **options)


def check(case: Case) -> None:
    """All that is kept equals conditioning one joint Gaussian, to 1e-10."""
    model, r = case.model(), run(case)
    assert "lanes" in r.method
    for i, z in enumerate(case.z[:3]):
        oracle = Dense(model, z, None if case.u is None else case.u[i], series=i)
        predicted_mean, predicted_cov = oracle.predicted()
        z_mean, z_cov = oracle.measurement()
        unit = max(spread(oracle), float(np.abs(predicted_cov).max()))
        for name, expected in (
            ("mean", oracle.filtered()[0]),
            ("cov", oracle.filtered()[1]),
            ("predicted_mean", predicted_mean),
            ("predicted_cov", predicted_cov),
            ("innovation", z - z_mean),
            ("innovation_cov", z_cov),
            ("loglik_obs", oracle.loglik_obs()),
            ("loglik", oracle.loglik()),
        ):
            close(name, r._arrays[name][i], expected, unit if "cov" in name else max(unit, 1.0) ** 0.5, 1e-10)


def same_bits(a: kelman.FilterResult, b: kelman.FilterResult, rows: Any = slice(None)) -> None:
    """All arrays of `b` are those rows of `a`."""
    assert a._arrays.keys() == b._arrays.keys()
    for name, array in b._arrays.items():
        np.testing.assert_array_equal(a._arrays[name][rows], array, err_msg=name)


def agree(a: kelman.FilterResult, b: kelman.FilterResult, tolerance: float) -> None:
    """All arrays agree, relative to the largest entry of each."""
    for name, array in b._arrays.items():
        scale = max(1.0, float(np.nanmax(np.abs(array), initial=0)))
        np.testing.assert_allclose(a._arrays[name], array, rtol=0, atol=tolerance * scale, err_msg=name)


@pytest.mark.parametrize("n", range(1, 9))
def test_every_size_equals_the_dense_answer(n: int) -> None:
    """n = 1..8, m = 1..n + 2, components missing, R diagonal or not."""
    for m in range(1, n + 3):
        case = make(n, m, dense=m % 2 == 0, T=6)
        assert run(case).method == "lanes"
        check(case)


@pytest.mark.parametrize("vary", ["constant", "time", "series", "both"])
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("gaps", ["one", "component", "whole"])
@pytest.mark.parametrize(("start", "p", "lag"), [("x1", 0, 0), ("x0", 2, 0), ("x1", 1, 1), ("diffuse", 1, 0)])
def test_every_kind_equals_the_dense_answer(vary: str, dense: bool, gaps: str, start: str, p: int, lag: int) -> None:
    """Models shared, per series and varying in time; inputs, offsets, gaps, starts."""
    case = make(vary=vary, dense=dense, gaps=gaps, start=start, p=p, lag=lag, T=7)
    assert run(case).method == ("univariate+lanes" if start == "diffuse" else "lanes")
    check(case)


@pytest.mark.parametrize("vary", ["constant", "time", "series", "both"])
@pytest.mark.parametrize(("start", "dense", "p"), [("x0", True, 2), ("x1", False, 0), ("diffuse", True, 1)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-4)])
def test_lanes_agree_with_one_series_at_a_time(
    vary: str, start: str, dense: bool, p: int, dtype: Any, tolerance: float
) -> None:
    """form="univariate" gives the same numbers, whatever is kept; so does the end state, by going on from it."""
    if dtype == np.float32 and start == "diffuse":
        tolerance = 1e-3
    case = make(4, 3, vary=vary, start=start, dense=dense, p=p, count=N, T=70)
    for store in STORES:
        fast, careful = run(case, store, dtype), run(case, store, dtype, form="univariate")
        assert "lanes" in fast.method
        assert careful.method == "univariate"
        agree(fast, careful, tolerance)
        for name in ("_mean", "_cov", "_noise_cov"):
            np.testing.assert_allclose(getattr(fast.state, name), getattr(careful.state, name), atol=tolerance * 100)


@pytest.mark.parametrize("vary", ["time", "series", "both"])
@pytest.mark.parametrize("start", ["x0", "x1"])
@pytest.mark.parametrize("n", [9, 12])
def test_states_by_tiles_take_the_matrices_of_their_step(vary: str, start: str, n: int) -> None:
    """Each prediction has the Q of the step before, from the first on, whatever the place of a step in its chunk."""
    case = make(n, 2, vary=vary, start=start, count=N, T=40)
    fast, careful = run(case, "filtered"), run(case, "filtered", form="univariate")
    assert fast.method == "lanes"
    for name in ("mean", "cov", "loglik"):
        close(name, getattr(fast, name), getattr(careful, name), 1.0, 1e-11)


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("vary", ["constant", "both"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_order_company_and_threads_change_no_bit(store: str, vary: str, dtype: Any) -> None:
    """A series has the same numbers in any place of any batch, and with any number of threads."""
    case = make(3, 2, vary=vary, start="diffuse", dense=True, p=1, count=N, T=45)
    model, z, u = case.model(dtype), case.z.astype(dtype), case.u.astype(dtype)  # type: ignore[union-attr]
    whole = kelman.filter(model, z, u, store=store)  # type: ignore[arg-type]
    same_bits(whole, kelman.filter(model, z, u, store=store, threads=3))  # type: ignore[arg-type]
    for rows in ([7, *range(17)], list(range(18, -1, -1)), [4, 4, 12, *range(19)]):
        own = model if vary == "constant" else model.astype(dtype)
        if vary == "both":
            arrays = {name: getattr(model, name)[rows] for name in ("A", "H", "Q", "R", "B", "D", "b", "c")}
            own = kelman.StateSpace(**arrays, initial="diffuse")
        same_bits(whole, kelman.filter(own, z[rows], u[rows], store=store), rows)  # type: ignore[arg-type]


def test_many_series_on_two_threads() -> None:
    """Enough work for threads to start."""
    case = make(4, 2, count=600, T=80)
    for store in ("loglik", "all"):
        same_bits(run(case, store, threads=1), run(case, store, threads=2))


@pytest.mark.parametrize("store", STORES)
def test_ragged_series_equal_those_of_equal_length(store: str) -> None:
    """Series of different lengths have the numbers that each has in a batch of its like."""
    case = make(3, 2, p=1, start="diffuse", count=N, T=70, dense=True)
    lengths = [int(v) for v in np.random.default_rng(3).integers(1, 71, N)]
    lengths[4], lengths[5] = 70, 1
    model, u = case.model(), case.u
    assert u is not None
    z = [case.z[i, :length] for i, length in enumerate(lengths)]
    ragged = kelman.filter(model, z, [u[i, : len(one)] for i, one in enumerate(z)], store=store)
    for i, one in enumerate(z):
        alike = kelman.filter(model, case.z[:, : len(one)], u[:, : len(one)], store=store)
        for name, array in alike._arrays.items():
            padded = ragged._arrays[name][i]
            if name in ragged._timed:
                np.testing.assert_array_equal(padded[: len(one)], array[i], err_msg=name)
                assert np.isnan(padded[len(one) :]).all()
            else:
                np.testing.assert_array_equal(padded, array[i], err_msg=name)


def test_what_is_kept_does_not_change_the_loglik() -> None:
    """The log-likelihood has the same bits whatever is kept beside it, on packs of either width."""
    case = make(3, 2, count=40, T=70)
    expected = run(case, "loglik").loglik
    for store in STORES[1:]:
        np.testing.assert_array_equal(run(case, store).loglik, expected)
    np.testing.assert_allclose(run(case).loglik_obs.sum(axis=1), expected, rtol=1e-13)


def test_a_series_that_fails_leaves_the_others_alone() -> None:
    """A lane that overflows is reported as by form="univariate", and its neighbours keep their bits."""
    case = make(2, 1, count=N, T=40, gaps="one")
    z = case.z.copy()
    z[3, 20] = 1e308
    z[3, 21] = -1e308
    model = kelman.StateSpace(**case.arguments | {"A": [[0.9, 1e5], [0.0, 1.1]], "R": [[1e-3]]})
    fine = kelman.filter(model, case.z, store="all", on_error="nan")
    for store in STORES:
        got = kelman.filter(model, z, store=store, on_error="nan")
        careful = kelman.filter(model, z, store=store, on_error="nan", form="univariate")
        assert got.method == "univariate+lanes"
        assert got.status[3] == careful.status[3] != 0
        assert got.failed_at[3] == careful.failed_at[3]
        for name, array in got._arrays.items():
            np.testing.assert_array_equal(array[3], careful._arrays[name][3], err_msg=name)
            if store == "all":
                others = np.arange(N) != 3
                np.testing.assert_array_equal(array[others], fine._arrays[name][others], err_msg=name)


@pytest.mark.parametrize("precise", [1e-3, 1e-6, 1e-9])
def test_precise_measurements_keep_their_digits(precise: float) -> None:
    """Where R is far below H P H', lanes lose no more digits than one series at a time."""
    case = make(4, 2, count=N, T=60)
    case.arguments["R"] = precise * np.eye(2)
    agree(run(case), run(case, form="univariate"), 1e-12 / np.sqrt(precise))


def test_a_start_with_many_diffuse_gaps_is_shared_only_where_it_may() -> None:
    """Series with equal and different gaps in their diffuse steps, in any order."""
    case = make(3, 1, start="diffuse", gaps="none", count=30, T=20)
    rng = np.random.default_rng(5)
    for i in rng.permutation(30)[:18]:
        case.z[i, : rng.integers(1, 6)] = np.nan
    case.z[9] = np.nan
    for store in STORES:
        agree(run(case, store), run(case, store, form="univariate"), 1e-11)


def test_out_is_filled_in_place_and_large_results_are_aligned() -> None:
    """Reused memory gives the same numbers; large arrays start on a cache line, where streamed stores may go."""
    case = make(4, 2, count=700, T=200)
    first = run(case, "filtered")
    assert first.cov.ctypes.data % 64 == 0
    expected = {name: array.copy() for name, array in first._arrays.items()}
    second = run(case, "filtered", out=first)
    assert np.shares_memory(first.cov, second.cov)
    for name, array in expected.items():
        np.testing.assert_array_equal(second._arrays[name], array)


@pytest.mark.parametrize("T", [199, 200])
def test_results_larger_than_the_caches(T: int) -> None:
    """Results written past the caches are the same as those of fewer series, whether or not their rows are aligned."""
    case = make(4, 1, count=1500, T=T)
    whole = run(case, "filtered")
    assert whole.cov.nbytes > 32e6
    few = kelman.filter(case.model(), case.z[1400:], store="filtered")
    same_bits(whole, few, slice(1400, None))


@pytest.mark.parametrize(
    ("change", "method"),
    [
        ({}, "lanes"),
        ({"R": np.zeros((2, 2))}, "univariate"),
        ({"R": np.ones((2, 2))}, "univariate"),
        ({"S": 0.1 * np.ones((3, 2))}, "univariate"),
    ],
)
def test_the_method_says_what_ran(change: dict[str, Any], method: str) -> None:
    """Components without noise of their own, and noise correlated with that of the state, go the careful way."""
    case = make(3, 2)
    case.arguments.update(change)
    assert run(case).method == method
    assert run(case, form="univariate").method == "univariate"
    assert run(case, form="covariance").method == method
