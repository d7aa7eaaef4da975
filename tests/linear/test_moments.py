# SPDX-License-Identifier: BSD-3-Clause
"""Sufficient statistics of EM: sums of smoothed moments, against the smoother and against the dense joint Gaussian."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman.linear._moments import moments
from tests.linear.gradient_cases import STARTS, build
from tests.oracles import Dense, matrices


def expected_sums(model: Any, z: np.ndarray, u: np.ndarray | None, i: int, reference: np.ndarray) -> np.ndarray:
    """All sets of one series from the moments of the dense joint Gaussian."""
    n, m, p = model.dims.n, model.dims.m, model.dims.p
    T, q = len(z), n + p + 1
    mean, cov, _ = Dense(model, z, u, series=i).smoothed()
    sums = np.zeros((3 + m, q, q))
    dense = Dense(model, z, u, series=i)
    if dense.kind == "x0":
        before = dense.given(T, dense.x(-1))
        y = np.r_[before.mean - reference, np.zeros(p) if u is None else u[0], 1.0]
        sums[0] = np.outer(y, y)
        sums[0, :n, :n] += before.cov
    for k in range(T):
        seen = ~np.isnan(z[k])

        def moment(given: np.ndarray, k: int = k) -> np.ndarray:
            y = np.r_[mean[k] - reference, given, 1.0]
            whole = np.outer(y, y)
            whole[:n, :n] += cov[k]
            return whole

        nothing = np.zeros(p)
        if k + 1 < T:
            sums[0] += moment(nothing if u is None else u[k + 1 - model.input_lag])
        now = moment(nothing if u is None else u[k])
        if seen.all():
            sums[1] += now
        elif seen.any():
            sums[2] += now
            for j in np.flatnonzero(seen):
                sums[3 + j] += now
    return sums


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("kind", ["shared", "own", "inputs", "lagged", "time"])
def test_sums_are_those_of_the_joint_gaussian(start: str, kind: str) -> None:
    """Every start, gaps by component, models shared or not, inputs of either lag, time-varying matrices: all sets."""
    options: dict[str, Any] = {
        "shared": {}, "own": {"series": "A H Q R"}, "inputs": {"p": 2, "offsets": True},
        "lagged": {"p": 1, "lag": 1}, "time": {"time": "H Q R"},
    }[kind]  # fmt: skip
    if kind == "lagged" and start == "x0":
        pytest.skip("x_0 and lagged inputs exclude each other")
    model, z, u = build(start, N=3, T=7, gaps=0.35, **options)
    reference = np.array([0.5, -1.0, 0.25])
    found = moments(model, z, u, reference=reference[None], components=True)
    total = moments(model, z, u, reference=reference[None], components=True, summed=True)
    expected = np.stack([expected_sums(model, z[i], None if u is None else u[i], i, reference) for i in range(3)])
    assert found.sums is not None
    assert total.sums is not None
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(found.sums, expected, rtol=0, atol=1e-8 * scale)
    np.testing.assert_allclose(total.sums[0], expected.sum(axis=0), rtol=0, atol=1e-8 * scale)
    np.testing.assert_allclose(found.loglik, kelman.loglik(model, z, u), rtol=1e-10)
    np.testing.assert_array_equal(total.loglik, found.loglik)


def noise_moments(model: Any, z: np.ndarray, u: np.ndarray | None) -> tuple[np.ndarray, ...]:
    """sum E[w x'], sum E[w w'], sum E[v x'] and sum E[v v'] from the joint of neighbouring states and measurements."""
    dense = Dense(model, z, u)
    n, m, T = model.dims.n, model.dims.m, len(z)
    given = np.zeros((T, model.dims.p)) if u is None else u
    totals = [np.zeros((n, n)), np.zeros((n, n)), np.zeros((m, n)), np.zeros((m, m))]
    for k in range(T):
        at = matrices(model, k)
        both = dense.given(T, np.r_[dense.x(k - 1), dense.x(k), dense.measured(k)])
        first = k > 0 or dense.kind == "x0"
        W = np.hstack([-at.A, np.eye(n), np.zeros((n, m))])
        V = np.hstack([np.zeros((m, n)), -at.H, np.eye(m)])
        Ew = W @ both.mean - at.B @ given[k] - at.b
        Ev = V @ both.mean - at.D @ given[k] - at.c
        if first:
            totals[0] += W @ both.cov[:, :n] + np.outer(Ew, both.mean[:n])
            totals[1] += W @ both.cov @ W.T + np.outer(Ew, Ew)
        if not np.isnan(z[k]).all():
            totals[2] += V @ both.cov[:, n : 2 * n] + np.outer(Ev, both.mean[n : 2 * n])
            totals[3] += V @ both.cov @ V.T + np.outer(Ev, Ev)
    return tuple(totals)


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("start", ["x0", "x1", "x1_inf", "diffuse"])
def test_the_gradient_holds_the_moments_of_the_noises(start: str, diagonal: bool) -> None:
    """Fisher's identity: Q dA, K Q + 2 Q dQ Q and their twins are the sums over the joint Gaussian, gaps and all."""
    model, z, u = build(start, N=1, T=8, p=1, gaps=0.3, offsets=True, diagonal=diagonal)
    assert u is not None
    g, Q, R = moments(model, z[0], u[0], second=False).gradient, model.Q, model.R
    wx, ww, vx, vv = noise_moments(model, z[0], u[0])
    before = start == "x0"
    steps, seen = 7 + before, int((~np.isnan(z[0])).any(axis=1).sum())
    scale = 1 + max(float(np.abs(x).max()) for x in (wx, ww, vx, vv))
    for got, expected in (
        (Q @ g.A, wx),
        (steps * Q + 2 * Q @ g.Q @ Q, ww),
        (R @ g.H, vx),
        (seen * R + 2 * R @ g.R @ R, vv),
    ):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-8 * scale)


def test_blocks_and_threads_change_nothing() -> None:
    """Many series, ragged: one problem, its series one by one, and any number of threads give the same sums."""
    model, z, _ = build("x1", N=150, T=40, n=2, gaps=0.2)
    lengths = np.random.default_rng(0).integers(3, 41, size=150)
    series = [one[:length] for one, length in zip(z, lengths, strict=True)]
    found, again = (moments(model, series, threads=count, components=True) for count in (1, 3))
    assert found.sums is not None
    np.testing.assert_array_equal(found.sums, again.sums)
    for i in (0, 7, 149):
        alone = moments(model, series[i], components=True)
        assert alone.sums is not None
        np.testing.assert_allclose(found.sums[i], alone.sums[0], rtol=1e-11, atol=1e-11)
    whole, other = (moments(model, series, threads=count, components=True, summed=True) for count in (1, 2))
    assert whole.sums is not None
    np.testing.assert_array_equal(whole.sums, other.sums)
    np.testing.assert_allclose(whole.sums[0], found.sums.sum(axis=0), rtol=1e-11, atol=1e-9)


def test_series_without_gaps_share_their_covariances() -> None:
    """Complete series of one model: sums equal those of a model for each series."""
    model, z, _ = build("x0", N=40, T=30, gaps=0.0)
    own = kelman.StateSpace(
        *(np.stack([x] * 40)[:, None] for x in (model.A, model.H, model.Q, model.R)), m0=model.m0, P0=model.P0
    )
    one, many = (moments(x, z) for x in (model, own))
    assert one.sums is not None
    assert many.sums is not None
    np.testing.assert_allclose(one.sums, many.sums, rtol=1e-10, atol=1e-10)


def test_single_precision_is_summed_in_double() -> None:
    """A float32 problem gives the sums of its numbers in double precision."""
    model, z, _ = build("x1", N=3, T=9)
    rough = model.astype(np.float32)
    found = moments(rough, z.astype(np.float32))
    exact = moments(rough.astype(np.float64), z.astype(np.float32).astype(float))
    assert found.sums is not None
    assert found.sums.dtype == np.float64
    np.testing.assert_array_equal(found.sums, exact.sums)


def test_a_series_that_fails_is_left_out_and_named() -> None:
    """An impossible measurement has its status; the others' sums are there."""
    model = kelman.StateSpace([[0.5]], [[1.0]], [[0.0]], [[0.0]], m1=[1.0], P1=[[0.0]])
    z = np.array([[[1.0], [0.5]], [[1.0], [3.0]]])
    found = moments(model, z)
    assert found.status.tolist() == [0, 2]
    assert found.sums is not None
    np.testing.assert_allclose(found.sums[0, 1], [[1.25, 1.5], [1.5, 2.0]])
    assert (found.sums[1] == 0).all()


@pytest.mark.parametrize("n", [1, 2, 5, 8])
@pytest.mark.parametrize("start", ["x0", "x1"])
def test_complete_series_get_their_sums_with_the_gradient(n: int, start: str) -> None:
    """Without gaps and inputs, by lanes: the sums that come along are those of the smoother and of the joint Gaussian."""
    model, z, _ = build(start, n=n, m=2, N=11, T=20, gaps=0.0, series="A H Q R")
    with_gap = z.copy()
    with_gap[0, 3, 0] = np.nan  # now nothing comes along
    reference = np.full((11, n), 0.3)
    found, other = (moments(model, data, reference=reference) for data in (z, with_gap))
    assert found.sums is not None
    assert other.sums is not None
    np.testing.assert_allclose(found.sums[1:], other.sums[1:], rtol=1e-9, atol=1e-8)
    if start == "x1":  # set 0 of the oracle for x_0 is in the test above
        expected = expected_sums(model, z[3], None, 3, reference[3])[:3]
        np.testing.assert_allclose(found.sums[3], expected, rtol=1e-8, atol=1e-8)


def test_where_digits_would_be_lost_the_smoother_is_asked() -> None:
    """A start of variance 1e12 that the first measurements hardly see: sums of what the smoother says."""
    model, z, _ = build("x1", n=5, m=2, N=11, T=20, gaps=0.0, series="A H Q R")
    vague = model.replace(P1=1e12 * np.eye(5))
    found, s = moments(vague, z), kelman.smooth(vague, z)
    assert found.sums is not None
    expected = s.cov.sum(axis=1) + np.einsum("ntj,ntk->njk", s.mean, s.mean)
    np.testing.assert_allclose(found.sums[:, 1, :5, :5], expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found.sums[:, 1, :5, 5], s.mean.sum(axis=1), rtol=1e-10, atol=1e-10)
