# SPDX-License-Identifier: BSD-3-Clause
"""Series that share model, start and gaps: covariances once, means side by side, the same numbers."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import ImpossibleObservationWarning, NumericalWarning
from tests.linear.cases import inputs, model
from tests.linear.oracle_checks import close
from tests.oracles import Dense

ARRAYS = ("mean", "cov", "predicted_mean", "predicted_cov", "innovation", "innovation_cov", "loglik_obs", "loglik")
STORES = ("loglik", "last", "means", "filtered", "all")
SIZES = [(n, m) for n in (1, 2, 3, 4, 5, 6, 7, 8, 13) for m in (1, 2, 4)] + [(4, 3), (2, 7)]


def common_gaps(N: int, T: int, m: int, *, seed: int = 3, rate: float = 0.25) -> np.ndarray:
    """Measurements that miss the same components in all series."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(N, T, m))
    z[:, rng.random((T, m)) < rate] = np.nan
    return z


def correlated(n: int, m: int, seed: int = 0) -> dict[str, Any]:
    """Q, R and S of noises that are correlated."""
    F = np.random.default_rng(seed).normal(size=(n + m, n + m))
    joint = F @ F.T / (n + m) + 0.3 * np.eye(n + m)
    return {"Q": joint[:n, :n], "R": joint[n:, n:], "S": joint[:n, n:]}


def seasonal(m: int = 1) -> kelman.StateSpace:
    """A local linear trend and a dummy seasonal of period 12: 13 states, nearly all of A zero."""
    n = 13
    A = np.zeros((n, n))
    A[0, :2], A[1, 1], A[2, 2:] = 1, 1, -1
    A[3:, 2:-1] += np.eye(10)
    H = np.zeros((m, n))
    H[:, 0], H[:, 2] = 1, 1 + np.arange(m)
    return kelman.StateSpace(A, H, np.diag([0.1, 0.01, 0.05] + [0.0] * 10), np.eye(m), m1=np.zeros(n), P1=np.eye(n))


def case(kind: str, N: int = 21, T: int = 13) -> tuple[kelman.StateSpace, np.ndarray, np.ndarray | None]:
    """A model and data in which all series have the same covariances."""
    rng = np.random.default_rng(11)
    n, m, p = 3, 2, 2
    z, u = common_gaps(N, T, m, rate=0.25 if "gaps" in kind else 0.0), None
    arrays: dict[str, Any] = {}
    if "joint" in kind:
        arrays |= correlated(n, m)
    if "inputs" in kind:
        u = inputs(N, T, p)
        arrays |= {"b": rng.normal(size=n), "c": rng.normal(size=m)}
    if "one input" in kind:
        u = np.broadcast_to(inputs(1, T, p), (N, T, p))
    if "own" in kind:
        arrays |= {"b": rng.normal(size=(N, 1, n)), "c": rng.normal(size=(N, T, m)), "B": rng.normal(size=(N, 1, n, p))}
    if "varying" in kind:
        arrays |= {"A": rng.normal(size=(T, n, n)) / 3, "H": rng.normal(size=(T, m, n)), "b": rng.normal(size=(T, n))}
    if "exact" in kind:
        arrays["R"] = np.diag([1.0, 0.0])
    if "start" in kind:
        arrays |= {"m1": rng.normal(size=(N, n)), "P1": np.eye(n)}
    if "x0" in kind:
        arrays |= {"m0": rng.normal(size=n), "P0": np.eye(n)}
    if "diffuse" in kind:
        arrays |= {"m1": np.zeros(n), "P1": np.eye(n), "P1_inf": np.diag([1.0, 0, 1])}
    return model(n, m, p if u is not None else 0, seed=5, **arrays), z, u


KINDS = (
    "plain", "gaps", "joint", "joint gaps", "inputs", "inputs gaps", "one input gaps", "inputs own", "inputs x0 gaps",
    "varying gaps", "exact", "exact gaps", "start gaps", "x0", "x0 joint gaps", "diffuse", "diffuse gaps",
    "diffuse joint gaps", "inputs varying joint gaps",
)  # fmt: skip


def against_the_oracle(m: kelman.StateSpace, z: np.ndarray, u: np.ndarray | None, r: Any, series: Any) -> None:
    """Every array of store="all" equals the dense answer to 1e-10."""
    for i in series:
        oracle = Dense(m, z[i], None if u is None else u[i], series=i)
        z_mean, z_cov = oracle.measurement()
        pairs = {"innovation": z[i] - z_mean, "innovation_cov": z_cov, "loglik_obs": oracle.loglik_obs()}
        pairs["mean"], pairs["cov"] = oracle.filtered()
        pairs["predicted_mean"], pairs["predicted_cov"] = oracle.predicted()
        for name, expected in pairs.items():
            close(name, getattr(r, name)[i], expected, 1.0, 1e-10)
        close("loglik", r.loglik[i], oracle.loglik(), 1.0, 1e-10)


def assert_close(a: Any, b: Any, tolerance: float, names: tuple[str, ...] = ARRAYS) -> None:
    """Two results have the same arrays, to a tolerance relative to the largest entry."""
    for name in names:
        close(name, getattr(a, name), getattr(b, name), 1.0, tolerance)


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_every_size_equals_the_dense_answer(n: int, m: int) -> None:
    """Sizes with their own kernel and those without, components missing in all series, R dense."""
    which = model(n, m, seed=n)
    z = common_gaps(19, 12, m)
    r = kelman.filter(which, z, store="all")
    assert r.method == "shared"
    against_the_oracle(which, z, None, r, (0, 7, 18))


@pytest.mark.parametrize("m", [1, 3])
def test_a_sparse_transition_equals_the_dense_answer(m: int) -> None:
    """A and H of which most entries are zero."""
    z = common_gaps(5, 12, m)
    r = kelman.filter(seasonal(m), z, store="all")
    assert r.method == "shared"
    against_the_oracle(seasonal(m), z, None, r, (0, 4))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_equals_the_dense_answer_and_the_careful_form(kind: str) -> None:
    """Gaps, S, inputs, offsets, exact components and every start."""
    which, z, u = case(kind)
    r = kelman.filter(which, z, u, store="all")
    assert r.method == "shared"
    if "exact" not in kind:
        against_the_oracle(which, z, u, r, (0, 20))
    careful = kelman.filter(which, z, u, store="all", form="univariate")
    assert_close(r, careful, 1e-12)
    for field in dataclasses.fields(r.state):
        a, b = getattr(r.state, field.name), getattr(careful.state, field.name)
        if isinstance(a, np.ndarray) and a.dtype.kind == "f":
            close(field.name, a, b, 1.0, 1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_single_precision(kind: str) -> None:
    """float32 keeps four digits."""
    which, z, u = case(kind)
    narrow = [None if a is None else a.astype(np.float32) for a in (z, u)]
    r = kelman.filter(which.astype("float32"), *narrow, store="all")
    assert r.method == "shared"
    assert r.mean.dtype == np.float32
    assert_close(r, kelman.filter(which, z, u, store="all"), 1e-4)


@pytest.mark.parametrize("kind", ["plain", "gaps", "inputs gaps", "joint gaps", "exact gaps"])
@pytest.mark.parametrize("store", STORES)
def test_order_padding_and_threads_change_nothing(kind: str, store: str) -> None:
    """A series has the same bits wherever it is in the batch, and by any number of threads."""
    which, z, u = case(kind, N=83)
    r = kelman.filter(which, z, u, store=store)
    order = np.random.default_rng(0).permutation(83)
    for other, same in (
        (kelman.filter(which, z[order], None if u is None else u[order], store=store), order),
        (kelman.filter(which, z[:38], None if u is None else u[:38], store=store), np.arange(38)),
        (kelman.filter(which, z, u, store=store, threads=3), np.arange(83)),
    ):
        for name, array in r._arrays.items():
            np.testing.assert_array_equal(other._arrays[name], array[same], err_msg=name)


def test_threads_share_large_work_to_the_bit() -> None:
    """Work that is large enough for threads to start, over several windows of time."""
    which, z = model(4, 2), common_gaps(200, 2500, 2)
    one, four = (kelman.filter(which, z, store="filtered", threads=threads) for threads in (1, 4))
    assert one.method == "shared"
    for name, array in one._arrays.items():
        np.testing.assert_array_equal(four._arrays[name], array, err_msg=name)
    alone = kelman.filter(which, z[77], store="filtered", form="univariate")
    for name in ("mean", "cov", "loglik_obs", "loglik"):
        close(name, getattr(one, name)[77], getattr(alone, name), 1.0, 1e-12)


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(("N", "T"), [(2, 1), (5, 9), (17, 16), (40, 33)])
def test_every_store_is_a_part_of_all(store: str, N: int, T: int) -> None:
    """What a store keeps equals the same arrays of store="all", for sizes around those of chunks and groups."""
    which, z = model(4, 2), common_gaps(N, T, 2)
    part, whole = kelman.filter(which, z, store=store), kelman.filter(which, z, store="all")
    for name, array in part._arrays.items():
        expected = whole._arrays[name]
        if store == "last" and name in ("mean", "cov"):
            expected = expected[:, -1]
        close(name, array, expected, 1.0, 1e-13)


@pytest.mark.parametrize("offset", range(8))
def test_results_go_anywhere_in_memory(offset: int) -> None:
    """out= arrays that begin anywhere relative to a cache line, larger than the caches, are filled completely."""
    which, z = model(2, 1), common_gaps(150, 1000, 1)
    fresh = kelman.filter(which, z, store="means")
    for N in (150, 149):
        buffer = np.full(150 * 1000 * 2 + 8, -7.0)
        target = buffer[offset : offset + N * 1000 * 2].reshape(N, 1000, 2)
        kept = kelman.filter(which, z[:N], store="means")
        kept._arrays["mean"] = target
        again = kelman.filter(which, z[:N], store="means", out=kept)
        assert again.mean.base is buffer or np.shares_memory(again.mean, buffer)
        np.testing.assert_array_equal(target, fresh.mean[:N])
        assert (buffer[:offset] == -7).all()
        assert (buffer[offset + N * 2000 :] == -7).all()


def test_strange_strides_of_z() -> None:
    """z in time-major order, in reverse, or the same for all series."""
    which, z = model(3, 2), common_gaps(20, 30, 2)
    expected = kelman.filter(which, z, store="all")
    major = np.ascontiguousarray(z.transpose(1, 0, 2)).transpose(1, 0, 2)
    assert_close(kelman.filter(which, major, store="all"), expected, 0.0)
    backward = np.ascontiguousarray(z[:, ::-1])[:, ::-1]
    assert_close(kelman.filter(which, backward, store="all"), expected, 0.0)
    same = kelman.filter(which, np.broadcast_to(z[3], z.shape), store="all")
    close("mean", same.mean, np.broadcast_to(expected.mean[3], same.mean.shape), 1.0, 0.0)


def test_an_overflow_is_found_where_it_happens() -> None:
    """A series whose mean overflows fails at that step, as alone; its neighbours know nothing of it."""
    which = kelman.StateSpace([[2.0]], [[1.0]], [[1.0]], [[1.0]], b=[0.0], m1=[0.0], P1=[[1.0]])
    z = np.zeros((37, 50, 1))
    clean = kelman.filter(which, z, store="filtered")
    z[5, 20], z[36, 3] = 1.7e308, -1.7e308
    with pytest.warns(NumericalWarning):
        r = kelman.filter(which, z, store="filtered", on_error="warn")
    with pytest.warns(NumericalWarning):
        careful = kelman.filter(which, z, store="filtered", on_error="warn", form="univariate")
    np.testing.assert_array_equal(np.isfinite(r.mean), np.isfinite(careful.mean))
    np.testing.assert_array_equal(np.isnan(r.loglik), np.isnan(careful.loglik))
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(r.loglik)), [5, 36])
    others = np.delete(np.arange(37), [5, 36])
    np.testing.assert_array_equal(r.mean[others], clean.mean[others])


def test_an_impossible_observation_among_possible_ones() -> None:
    """A component that the model predicts exactly is compared for every series: log-likelihood -inf, the rest as it was."""
    which = kelman.StateSpace([[1.0]], [[1.0]], [[0.0]], [[0.0]], m1=[0.0], P1=[[1.0]])
    z = np.tile(np.arange(20.0)[:, None, None], (1, 6, 1))
    z[13, 4] += 1
    with pytest.warns(ImpossibleObservationWarning):
        r = kelman.filter(which, z, store="filtered")
    assert np.isneginf(r.loglik[13])
    np.testing.assert_array_equal(np.flatnonzero(~np.isfinite(r.loglik)), [13])
    with pytest.warns(ImpossibleObservationWarning):
        careful = kelman.filter(which, z, store="filtered", form="univariate")
    assert_close(r, careful, 1e-14, ("mean", "cov"))


def test_going_on_from_a_state() -> None:
    """Two halves give the whole, with noise whose mean is known at the seam."""
    for kind in ("plain", "joint gaps", "inputs gaps", "x0"):
        which, z, u = case(kind, T=20)
        whole = kelman.filter(which, z, u, store="filtered")
        halves = [(z[:, :9], u if u is None else u[:, :9]), (z[:, 9:], u if u is None else u[:, 9:])]
        first = kelman.filter(which, *halves[0], store="filtered")
        second = kelman.filter(which, *halves[1], store="filtered", start=first.state)
        close("mean", second.mean, whole.mean[:, 9:], 1.0, 1e-12)
        close("loglik", first.loglik + second.loglik, whole.loglik, 1.0, 1e-12)


def test_equal_lengths_shorter_than_the_batch() -> None:
    """Series that all end early: NaN from there on."""
    which, z = model(3, 2), common_gaps(9, 20, 2)
    r = kelman.filter(which, list(z[:, :12]), store="all")
    assert_close(r, kelman.filter(which, z[:, :12], store="all"), 0.0)


def check_smoothed(which: kelman.StateSpace, z: np.ndarray, u: np.ndarray | None, series: Any) -> None:
    """Smoothed moments equal the dense answer to 1e-10."""
    s = kelman.smooth(which, z, u, lag=1)
    for i in series:
        oracle = Dense(which, z[i], None if u is None else u[i], series=i)
        mean, cov, lag = oracle.smoothed()
        close("loglik", s.loglik[i], oracle.loglik(), 1.0, 1e-10)
        close("mean", s.mean[i], mean, 1.0, 1e-10)
        close("cov", s.cov[i], cov, 1.0, 1e-10)
        close("lag_one_cov", s.lag_one_cov[i], lag, 1.0, 1e-10)
    assert s.cov.strides[0] == 0


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_the_smoother_of_every_size_equals_the_dense_answer(n: int, m: int) -> None:
    """Means there and back side by side."""
    check_smoothed(model(n, m, seed=n), common_gaps(19, 12, m), None, (0, 7, 18))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "exact" not in kind])
def test_the_smoother_of_every_kind_equals_the_dense_answer(kind: str) -> None:
    """Diffuse steps and S on the way back, steps by their kernel after a vague start, and single precision."""
    which, z, u = case(kind)
    check_smoothed(which, z, u, (0, 20))
    narrow = [None if a is None else a.astype(np.float32) for a in (z, u)]
    single, double = kelman.smooth(which.astype("float32"), *narrow), kelman.smooth(which, z, u)
    assert_close(single, double, 1e-4, ("mean", "cov", "loglik"))


@pytest.mark.parametrize("vague", [1e3, 1e6])
def test_the_smoother_after_a_vague_start(vague: float) -> None:
    """Steps that go by their kernel, at a start that later measurements improve by orders of magnitude."""
    which = model(4, 2, seed=4, m1=np.zeros(4), P1=vague * np.eye(4))
    z = common_gaps(18, 20, 2)
    s = kelman.smooth(which, z)
    for i in (0, 17):
        mean, cov, _ = Dense(which, z[i]).smoothed()
        close("mean", s.mean[i], mean, 1.0, 1e-9)
        close("cov", s.cov[i], cov, 1.0, 1e-9)


def test_long_series_are_smoothed_in_segments() -> None:
    """Series longer than what is kept in the cache: the same means as alone, by any threads, in any order."""
    which, z = model(4, 2, m1=np.zeros(4), P1=1e5 * np.eye(4)), common_gaps(40, 3000, 2)
    s = kelman.smooth(which, z)
    for i in (0, 39):
        close("mean", s.mean[i], kelman.smooth(which, z[i]).mean, 1.0, 1e-12)
    order = np.random.default_rng(0).permutation(40)
    for other, same in ((kelman.smooth(which, z[order]), order), (kelman.smooth(which, z, threads=3), np.arange(40))):
        for name in ("mean", "cov", "loglik"):
            np.testing.assert_array_equal(getattr(other, name), getattr(s, name)[same], err_msg=name)


def test_the_smoother_finds_an_overflow() -> None:
    """A series whose mean overflows fails as alone; its neighbours do not."""
    which = kelman.StateSpace([[2.0]], [[1.0]], [[1.0]], [[1.0]], m1=[0.0], P1=[[1.0]])
    z = np.zeros((37, 50, 1))
    clean = kelman.smooth(which, z)
    z[5, 20] = 1.7e308
    with pytest.warns(NumericalWarning):
        s = kelman.smooth(which, z, on_error="warn")
    assert np.isnan(s.mean[5]).all()
    assert np.isnan(s.loglik[5])
    others = np.delete(np.arange(37), 5)
    np.testing.assert_array_equal(s.mean[others], clean.mean[others])


@pytest.mark.parametrize("n", [3, 10])
@pytest.mark.parametrize("where", [1, 39])
def test_gaps_that_differ_where_no_sample_looks(n: int, where: int) -> None:
    """Only some series are compared beforehand; the pass itself finds the one whose gaps differ, and another way is taken."""
    which, z = model(n, 2), common_gaps(40, 30, 2)
    hidden = np.isnan(z[where, :, 0])
    z[where, 20, 0] = 0.5 if hidden[20] else np.nan
    for store in STORES:
        r, careful = (kelman.filter(which, z, store=store, form=form) for form in ("auto", "univariate"))
        kept = tuple(name for name in ARRAYS if name in careful._arrays)
        assert "shared" not in r.method
        assert_close(r, careful, 1e-12, kept)
        again = kelman.filter(which, z, store=store, out=r)
        assert_close(again, careful, 1e-12, kept)
    np.testing.assert_allclose(kelman.loglik(which, z), careful.loglik, rtol=1e-12)
    total, gradient = kelman.loglik_and_grad(which, z)
    parts = [kelman.loglik_and_grad(which, one) for one in z]
    np.testing.assert_allclose(total, [part[0] for part in parts], rtol=1e-12)
    for name in ("A", "H", "Q", "R", "P1"):
        expected = np.sum([part[1][name] for part in parts], 0)
        np.testing.assert_allclose(gradient[name], expected, atol=1e-10 * np.abs(expected).max())
