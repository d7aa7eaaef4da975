"""Few or long series: the scalar filter, constant gains once the covariances have settled, pieces side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError, NonFiniteError
from tests.linear.cases import model

STORES = ("loglik", "last", "means", "filtered", "all")
LONG = 40_000


def series(T: int, m: int = 2, *, N: int | None = None, gaps: int = 0, seed: int = 0) -> np.ndarray:
    """Random measurements, and some gaps: whole steps and single components."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(T, m) if N is None else (N, T, m))
    for i in range(gaps):
        k = int(rng.integers(T))
        z[..., k, :] = np.nan
        z[..., min(k + 1 + i % 3, T - 1), int(rng.integers(m))] = np.nan
    return z


def agree(r: kelman.linear.FilterResult, ref: kelman.linear.FilterResult, tolerance: float) -> None:
    """Every array that both hold, relative to its largest entry."""
    for name in r._arrays.keys() & ref._arrays.keys() - {"status", "failed_at"}:
        a, b = r._arrays[name], ref._arrays[name]
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b), err_msg=name)
        scale = np.nanmax(np.abs(b)) if b.size else 0.0
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(float(scale), 1e-300), err_msg=name)
    np.testing.assert_array_equal(r.status, ref.status)
    for name in ("_mean", "_cov", "_noise_cov"):
        a, b = getattr(r.state, name), getattr(ref.state, name)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max(), err_msg=name)


@pytest.mark.parametrize("gaps", [0, 5])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 6, 8])
def test_constant_gains_equal_the_recursion(n: int, gaps: int) -> None:
    """On and off and the form for every problem: the same moments, for each `store`, with and without gaps."""
    m = 1 + n % 3
    mdl, z = model(n=n, m=m, seed=n), series(LONG, m, gaps=gaps, seed=n)
    for store in STORES:
        on = kelman.filter(mdl, z, store=store)
        off = kelman.filter(mdl, z, store=store, steady_state=False)
        careful = kelman.filter(mdl, z, store=store, form="univariate")
        assert on.method == ("scalar" if store == "all" else "scalar+steady")
        assert off.method == "scalar"
        agree(off, careful, 1e-12)
        agree(on, careful, 1e-12)


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("dense", [False, True])
def test_inputs_and_offsets(lag: int, dense: bool) -> None:
    """B, D, b, c and correlated measurement noise go through the constant filter and the pieces."""
    rng = np.random.default_rng(4)
    base = model(n=4, m=3, p=2)
    arrays: dict[str, Any] = {name: getattr(base, name) for name in "AHQRBD"}
    arrays |= {"b": rng.normal(size=4), "c": rng.normal(size=3)}
    if not dense:
        arrays["R"] = np.diag(np.diag(base.R))
    mdl = kelman.StateSpace(**arrays, initial="stationary", input_lag=lag)
    z, u = series(LONG, 3, gaps=2), rng.normal(size=(LONG, 2))
    on = kelman.filter(mdl, z, u)
    assert on.method == "scalar+steady"
    agree(on, kelman.filter(mdl, z, u, form="univariate"), 1e-12)
    first = kelman.filter(mdl, z[:25_000], u[:25_000])
    rest = kelman.filter(mdl, z[25_000:], u[25_000:], start=first.state)
    np.testing.assert_allclose(rest.mean, on.mean[25_000:], rtol=0, atol=1e-11)
    np.testing.assert_allclose(first.loglik + rest.loglik, on.loglik, rtol=1e-12)


@pytest.mark.parametrize("root", [0.99, 0.9999, 1.0, 1.001])
def test_roots_near_one(root: float) -> None:
    """Slow, unit and explosive modes: the closed loop is stable, so the covariances settle."""
    A = np.array([[root, 0.1], [0.0, root]])
    mdl = kelman.StateSpace(A, [[1.0, 0.0]], 1e-4 * np.eye(2), [[1.0]], m1=[0, 0], P1=np.eye(2))
    z = series(LONG, 1)
    on, off = kelman.filter(mdl, z), kelman.filter(mdl, z, steady_state=False)
    assert on.method == "scalar+steady"
    rho = np.abs(np.linalg.eigvals((np.eye(2) - kelman.steady_state(mdl).K_f @ mdl.H) @ A)).max()
    bound = 4 * np.finfo(float).eps / (1 - rho**2)
    change = np.abs(on.cov - off.cov) / np.sqrt(np.einsum("kii,kjj->kij", off.cov, off.cov))
    assert change.max() <= 4 * bound
    np.testing.assert_allclose(on.mean, off.mean, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(on.loglik, off.loglik, rtol=1e-12)


def test_a_slow_closed_loop_is_not_cut_into_pieces() -> None:
    """A filter that remembers nearly all of the series: constant gains step by step, if they settle at all."""
    mdl = kelman.StateSpace([[1.0]], [[1.0]], [[1e-7]], [[1.0]], m1=[0.0], P1=[[3e-4]])
    z = series(LONG, 1)
    agree(kelman.filter(mdl, z), kelman.filter(mdl, z, form="univariate"), 1e-11)


def test_models_without_a_steady_state() -> None:
    """A random walk that is never measured, a model that varies in time: the covariances never settle."""
    walk = kelman.StateSpace(np.diag([0.9, 1.0]), [[1.0, 0.0]], np.eye(2), [[1.0]], m1=[0, 0], P1=np.eye(2))
    z = series(6000, 1)
    r = kelman.filter(walk, z)
    assert r.method == "scalar"
    agree(r, kelman.filter(walk, z, form="univariate"), 1e-12)
    H = 1.0 + 0.5 * np.sin(np.arange(6000.0))[:, None, None]
    varying = kelman.StateSpace([[0.9]], H, [[1.0]], [[1.0]])
    r = kelman.filter(varying, z)
    assert r.method == "scalar"
    agree(r, kelman.filter(varying, z, form="univariate"), 1e-12)


def test_units_do_not_matter() -> None:
    """States of a size of 1e8 and of 1e-8: what settles late and is small is not forgotten."""
    D = np.diag([1e8, 1e-8])
    A = np.diag([0.3, 0.9995])
    H = np.eye(2)
    plain = kelman.StateSpace(A, H, np.diag([1.0, 1e-6]), np.eye(2), m1=[0, 0], P1=np.eye(2))
    scaled = kelman.StateSpace(A, H @ np.linalg.inv(D), D @ plain.Q @ D, plain.R, m1=[0, 0], P1=D @ D)
    z = series(LONG)
    r, ref = kelman.filter(scaled, z), kelman.filter(plain, z, form="univariate")
    assert r.method == "scalar+steady"
    back = np.linalg.inv(D)
    np.testing.assert_allclose(
        np.diagonal(r.cov, axis1=1, axis2=2) * np.diag(back) ** 2, np.diagonal(ref.cov, axis1=1, axis2=2), rtol=1e-11
    )
    np.testing.assert_allclose(r.mean @ back, ref.mean, rtol=0, atol=1e-11)


@pytest.mark.parametrize("at", [100, 5_000, LONG - 1])
def test_one_gap_is_left_and_entered_again(at: int) -> None:
    """A single missing value: the covariance rises there and settles again."""
    mdl, z = model(), series(LONG)
    z[at, 0] = np.nan
    z[:3] = np.nan
    on, careful = kelman.filter(mdl, z), kelman.filter(mdl, z, form="univariate")
    assert on.method == "scalar+steady"
    agree(on, careful, 1e-12)


def test_a_diffuse_start_comes_first() -> None:
    """Unit roots start diffuse: those steps go another way, which the method tells."""
    mdl = kelman.StateSpace([[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0]], np.diag([0.1, 0.01]), [[1.0]])
    z = series(LONG, 1)
    z[0] = np.nan
    for store in STORES:
        r = kelman.filter(mdl, z, store=store)
        assert r.method == ("univariate+scalar" if store == "all" else "univariate+scalar+steady")
        agree(r, kelman.filter(mdl, z, store=store, form="univariate"), 1e-12)
    short = kelman.filter(mdl, z[:2])
    assert short.method == "univariate"


def test_series_of_their_own_models_and_lengths() -> None:
    """Ragged series, each with its model: each is what it is alone, for any number of threads."""
    models = [model(seed=i) for i in range(3)]
    many = kelman.StateSpace.stack(models)
    z = [series(T, seed=T, gaps=1) for T in (LONG, 500, 12_345)]
    results = [kelman.filter(many, z, threads=threads) for threads in (1, 2, 5)]
    for r in results[1:]:
        for name in ("mean", "cov", "loglik", "loglik_obs"):
            np.testing.assert_array_equal(getattr(r, name), getattr(results[0], name))
    for i, one in enumerate(models):
        alone = kelman.filter(one, z[i])
        np.testing.assert_array_equal(results[0][i].mean, alone.mean)
        np.testing.assert_array_equal(results[0][i].cov, alone.cov)
        assert results[0].loglik[i] == alone.loglik


def test_threads_share_one_series() -> None:
    """The cuts do not depend on the threads: the same bits."""
    mdl, z = model(), series(300_000)
    one, two = (kelman.filter(mdl, z, threads=threads) for threads in (1, 2))
    for name in ("mean", "cov", "loglik_obs", "loglik"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


@pytest.mark.parametrize("n", [2, 5])
def test_in_single_precision(n: int) -> None:
    """float32 follows float64, in the log-likelihood of a long series too."""
    mdl, z = model(n=n), series(LONG, gaps=3)
    r = kelman.filter(mdl.astype("f4"), z.astype("f4"))
    ref = kelman.filter(mdl, z)
    assert r.mean.dtype == np.float32
    np.testing.assert_allclose(r.mean, ref.mean, rtol=0, atol=1e-4)
    np.testing.assert_allclose(r.cov, ref.cov, rtol=0, atol=1e-4)
    np.testing.assert_allclose(r.loglik, ref.loglik, rtol=1e-5)


def test_precise_measurements_keep_their_digits() -> None:
    """Noise far below the prediction: both components go the careful way, settled or not."""
    mdl = model(n=4).replace(R=np.diag([1e-12, 1e-9]))
    z = series(LONG)
    agree(kelman.filter(mdl, z), kelman.filter(mdl, z, form="univariate"), 1e-11)


def test_a_series_that_fails_is_reported_as_ever() -> None:
    """Overflow is found by the fast way and named by the form that knows where: the same status, step and moments."""
    mdl = kelman.StateSpace([[2.0]], [[0.0]], [[1.0]], [[1.0]], m1=[1.0], P1=[[1.0]])
    z = series(2000, 1)
    on = kelman.filter(mdl, z, on_error="nan")
    careful = kelman.filter(mdl, z, on_error="nan", form="univariate")
    assert on.failed_at == careful.failed_at >= 0
    np.testing.assert_array_equal(on.mean, careful.mean)
    with pytest.raises(NonFiniteError, match=f"at time index {int(careful.failed_at)}"):
        kelman.filter(mdl, z)


def test_an_infinite_measurement_in_a_long_series_is_refused() -> None:
    """The message names the place, as for a short one."""
    z = series(LONG)
    z[30_000, 1] = np.inf
    with pytest.raises(KelmanError, match=r"z: infinite value inf at index \[.*30000, 1\]"):
        kelman.filter(model(), z)


def test_results_are_written_into_out() -> None:
    """`out=` is overwritten and gives the same bits, aligned or not."""
    mdl, z = model(n=3), series(LONG, gaps=1)
    fresh = kelman.filter(mdl, z)
    out = kelman.filter(mdl, series(LONG, seed=9))
    again = kelman.filter(mdl, z, out=out)
    assert again.cov.base is out.cov.base or np.shares_memory(again.cov, out.cov)
    for name in ("mean", "cov", "loglik_obs"):
        np.testing.assert_array_equal(getattr(again, name), getattr(fresh, name))


def test_the_switch_is_true_or_false() -> None:
    """Anything else is refused by name; loglik has the switch too."""
    with pytest.raises(KelmanError, match="steady_state: expected True or False, got 'on'"):
        kelman.filter(model(), series(5), steady_state="on")  # type: ignore[arg-type]
    z = series(LONG)
    np.testing.assert_allclose(kelman.loglik(model(), z), kelman.loglik(model(), z, steady_state=False), rtol=1e-13)
