"""One series whose covariances stop changing; and filtered moments beside the smoothed ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError, NotKeptError
from tests.linear.cases import data, inputs, model
from tests.oracles import textbook_filter

SMOOTHED = ("mean", "cov", "lag_one_cov", "loglik")


def near(have: Any, want: Any, tolerance: float = 1e-12) -> None:
    """Compare relative to the largest entry; NaN with NaN."""
    want = np.asarray(want)
    scale = max(float(np.nanmax(np.abs(want), initial=0)), 1e-300)
    np.testing.assert_allclose(np.asarray(have) / scale, want / scale, rtol=0, atol=tolerance)


def with_gaps(T: int, m: int, places: Any, seed: int = 3) -> np.ndarray:
    """Measurements of one series with whole and single gaps at some places."""
    z = data(N=1, T=T, m=m, gaps=0, seed=seed)[0]
    for j, k in enumerate(places):
        z[k, : m if j % 2 else 1] = np.nan
    return z


@pytest.mark.parametrize("n", [9, 20])
@pytest.mark.parametrize("start", ["x1", "x0", "diffuse"])
def test_constant_covariances_equal_those_of_every_step(n: int, start: str) -> None:
    """The smoother says so, can be told not to, and finds the same to rounding."""
    changes: dict[str, Any] = {"x1": {}, "x0": {"m0": np.zeros(n), "P0": np.eye(n)}, "diffuse": {"initial": "diffuse"}}
    m, z = model(n, 5, **changes[start]), data(N=1, T=400, m=5, gaps=0)[0]
    s, full = (kelman.smooth(m, z, lag=1, filtered=True, steady_state=on) for on in (True, False))
    careful = kelman.smooth(m, z, lag=1, form="univariate")
    assert s.method == "univariate+steady"
    assert full.method == careful.method == "univariate"
    for name in SMOOTHED:
        np.testing.assert_array_equal(getattr(full, name), getattr(careful, name))
        near(getattr(s, name), getattr(full, name))
    r = kelman.filter(m, z, form="univariate")
    near(s.filtered_mean, r.mean)
    near(s.filtered_cov, r.cov)


@pytest.mark.parametrize("seed", range(6))
def test_gaps_end_what_has_settled(seed: int) -> None:
    """At every distance from one another, and beside the windows in which the filter goes through time."""
    rng = np.random.default_rng(seed)
    m = model(10, 4, seed=seed)
    z = with_gaps(500, 4, rng.choice(np.arange(40, 500), 9, replace=False), seed)
    r, s = kelman.filter(m, z), kelman.smooth(m, z, lag=1)
    careful, whole = kelman.filter(m, z, form="univariate"), kelman.smooth(m, z, lag=1, form="univariate")
    assert r.method == s.method == "univariate+steady"
    for name in ("mean", "cov", "loglik", "loglik_obs"):
        near(getattr(r, name), getattr(careful, name))
    for name in SMOOTHED:
        near(getattr(s, name), getattr(whole, name))


def test_components_that_are_always_missing_are_a_pattern_like_any_other() -> None:
    """Two of four are never seen; then all are."""
    m, z = model(10, 4), data(N=1, T=400, m=4, gaps=0)[0]
    z[:250, 1:3] = np.nan
    s, full = kelman.smooth(m, z), kelman.smooth(m, z, form="univariate")
    assert "steady" in s.method
    near(s.cov, full.cov)
    near(s.mean, full.mean)


def test_the_textbook_after_it_has_settled() -> None:
    """With inputs, offsets and a time-varying b: only covariances are constant."""
    m = model(9, 2, 1, b=np.random.default_rng(0).normal(size=(300, 9)), c=[1.0, -1.0])
    z, u = data(N=1, T=300, gaps=0)[0], inputs(N=1, T=300)[0]
    r, book = kelman.filter(m, z, u), textbook_filter(m, z, u)
    assert "steady" in r.method
    near(r.mean, book.mean, 1e-10)
    near(r.cov, book.cov, 1e-10)
    assert r.loglik == pytest.approx(book.loglik, rel=1e-10)


def test_what_changes_or_is_exact_does_not_settle() -> None:
    """A Q of each step, S, and components without noise take every step; so do the predictions of store="all"."""
    z = data(N=1, T=300, gaps=0)[0]
    varying = model(9, 2, Q=np.broadcast_to(np.eye(9), (300, 9, 9)).copy())
    for m in (varying, model(9, 2, S=0.1 * np.ones((9, 2)))):
        assert "steady" not in kelman.smooth(m, z).method
        assert "steady" not in kelman.filter(m, z).method
    assert "steady" not in kelman.smooth(model(9, 2, R=np.diag([1.0, 0.0])), z, on_error="nan").method
    assert "steady" not in kelman.filter(model(9, 2), z, store="all").method


def test_small_units_do_not_look_settled() -> None:
    """Variances whose squares are zero in single precision."""
    given = model(9, 2)
    small = model(9, 2, Q=given.Q * 1e-26, R=given.R * 1e-26, P1=np.eye(9) * 1e-22, m1=np.zeros(9))
    z = data(N=1, T=200, gaps=0)[0] * 1e-13
    s, full = (kelman.smooth(small.astype(np.float32), z.astype(np.float32), steady_state=on) for on in (True, False))
    near(s.cov, full.cov, 1e-5)
    near(s.mean, full.mean, 1e-4)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("n", "N", "gaps", "form", "method"),
    [(3, 20, 0.0, "auto", "shared"), (3, 20, 0.2, "auto", "lanes"), (12, 3, 0.2, "auto", "univariate"),
     (3, 5, 0.2, "univariate", "univariate")],
)  # fmt: skip
def test_filtered_moments_are_those_of_the_filter(
    n: int, N: int, gaps: float, form: Any, method: str, dtype: Any
) -> None:
    """On every way, padded after the end of a series, and not there unless asked for."""
    m, z = model(n, R=np.eye(2)).astype(dtype), data(N=N, T=30, gaps=gaps).astype(dtype)
    given: list[Any] = [z, [one[: 30 - i] for i, one in enumerate(z)]]
    for series in given[: 1 if method == "shared" else 2]:
        s, r = kelman.smooth(m, series, filtered=True, form=form), kelman.filter(m, series, form=form)
        assert method in s.method
        tolerance = 1e-12 if dtype is np.float64 else 1e-5
        near(s.filtered_mean, r.mean, tolerance)
        near(s.filtered_cov, r.cov, tolerance)
        plain = kelman.smooth(m, series, form=form)
        np.testing.assert_array_equal(s.mean, plain.mean)
        np.testing.assert_array_equal(s.cov, plain.cov)
        assert "filtered_cov" in s.summary()
        np.testing.assert_array_equal(s[1].filtered_mean, s.filtered_mean[1][: len(s[1].mean)])
    with pytest.raises(NotKeptError, match="filtered=True"):
        _ = plain.filtered_mean
    with pytest.raises(KelmanError, match="filtered"):
        kelman.smooth(m, z, filtered="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [2, 10])
def test_filtered_moments_before_a_failure_stay(n: int) -> None:
    """Smoothed moments of a series that fails are NaN; filtered ones from the failure on, as the filter has them."""
    A = np.broadcast_to(np.eye(n), (40, n, n)).copy()
    A[20] *= 1e200
    m = kelman.StateSpace(A, np.eye(2, n), np.eye(n), np.eye(2), m1=np.ones(n), P1=np.eye(n))
    z = data(N=3, T=40, gaps=0.1)
    s, r = kelman.smooth(m, z, filtered=True, on_error="nan"), kelman.filter(m, z, on_error="nan")
    assert np.isnan(s.mean).all()
    np.testing.assert_array_equal(s.failed_at, r.failed_at)
    near(s.filtered_mean, r.mean)
    near(s.filtered_cov, r.cov)


@pytest.mark.parametrize("n", [2, 10])
def test_what_grows_for_ever_does_not_settle(n: int) -> None:
    """Variances whose squares overflow: an unstable state that nothing measures, until it is not finite."""
    A = 0.5 * np.eye(n)
    A[-1, -1] = 3.0
    m = kelman.StateSpace(A, np.eye(1, n), np.eye(n), [[1.0]], m1=np.zeros(n), P1=np.eye(n))
    z = data(N=1, T=700, m=1, gaps=0)[0]
    full = kelman.filter(m, z, on_error="nan", form="univariate")
    r, s = kelman.filter(m, z, on_error="nan"), kelman.smooth(m, z, on_error="nan")
    assert full.failed_at > 300
    assert r.failed_at == s.failed_at == full.failed_at
    np.testing.assert_allclose(r.cov[300], full.cov[300], rtol=1e-12)


@pytest.mark.torch
def test_the_reference_keeps_them_too() -> None:
    """PyTorch, the same numbers."""
    m, z = model(), data()
    s, t = kelman.smooth(m, z, filtered=True), kelman.smooth(m, z, filtered=True, backend="torch")
    near(s.filtered_mean, t.filtered_mean, 1e-10)
    near(s.filtered_cov, t.filtered_cov, 1e-10)
