"""Every start: given moments, and the words "stationary", "diffuse" and "auto"."""

from __future__ import annotations

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError
from tests.linear.cases import data, inputs, model
from tests.oracles import Dense


def first(m: kelman.StateSpace, u: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Moments of x_1 as `filter` shows them."""
    r = kelman.filter(m, np.zeros((3, m.dims.m)), u, store="all")
    return r.predicted_mean[0], r.predicted_cov[0]


def test_x0_is_carried_through_the_first_transition() -> None:
    """x_1 = A x_0 + B u_1 + b + w_0."""
    m = model(p=1, b=[1.0, 2.0, 3.0], m0=[1.0, 0.0, -1.0], P0=np.eye(3))
    assert m.B is not None
    mean, cov = first(m, np.ones((3, 1)))
    np.testing.assert_allclose(mean, m.A @ [1, 0, -1] + m.B[:, 0] + [1, 2, 3], rtol=1e-14)
    np.testing.assert_allclose(cov, m.A @ m.A.T + m.Q, rtol=1e-13)


def test_x1_is_taken_as_it_is() -> None:
    """A[0], B[0] and b[0] are unused."""
    mean, cov = first(model(p=1, b=[1.0, 2.0, 3.0], m1=[1.0, 0.0, -1.0], P1=2 * np.eye(3)), np.ones((3, 1)))
    np.testing.assert_array_equal(mean, [1, 0, -1])
    np.testing.assert_array_equal(cov, 2 * np.eye(3))


@pytest.mark.parametrize("word", ["stationary", "auto"])
def test_a_stationary_start_is_what_the_model_keeps(word: str) -> None:
    """P = A P A' + Q and mu = A mu + b; B u_1 is added to the mean of x_1, unless the model is of the shifted form."""
    m = model(p=1, b=[1.0, 2.0, 3.0], initial=word)
    assert m.B is not None
    mean, cov = first(m, np.ones((3, 1)))
    np.testing.assert_allclose(cov, m.A @ cov @ m.A.T + m.Q, rtol=1e-12)
    mu = mean - m.B[:, 0]
    np.testing.assert_allclose(mu, m.A @ mu + [1, 2, 3], rtol=1e-12)
    late = kelman.StateSpace.from_shifted(m.A, m.H, m.Q, m.R, B=m.B, D=m.D, b=m.b)
    np.testing.assert_allclose(first(late, np.ones((3, 1)))[0], mu, rtol=1e-12)


def test_auto_splits_a_model_into_stationary_and_diffuse() -> None:
    """A random walk beside an autoregression, in any coordinates: the dense answer with a diffuse direction."""
    rng = np.random.default_rng(4)
    T = rng.normal(size=(3, 3))
    A = T @ np.diag([1.0, 0.5, -0.3]) @ np.linalg.inv(T)
    m = kelman.StateSpace(A, rng.normal(size=(2, 3)), np.eye(3), np.eye(2), b=[0.1, 0.2, 0.3])
    z = data(N=1, T=8)[0]
    r, dense = kelman.filter(m, z), Dense(m, z)
    assert r.loglik == pytest.approx(dense.loglik(), rel=1e-10)
    np.testing.assert_allclose(r.mean[-1], dense.filtered()[0][-1], rtol=1e-9)
    split = kelman.filter(m, np.full((1, 2), np.nan)).state
    assert split.is_diffuse
    assert int(split._rank[0]) == 1


def test_auto_equals_diffuse_where_nothing_is_stable() -> None:
    """A constant-velocity model has no stable mode: all of it is diffuse."""
    walk = kelman.StateSpace([[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0]], np.diag([0.1, 0.2]), [[1.0]])
    z = data(N=1, T=12, m=1)[0]
    assert kelman.loglik(walk, z) == pytest.approx(kelman.loglik(walk.replace(initial="diffuse"), z), rel=1e-12)


def test_p1_inf_may_have_any_rank() -> None:
    """P1_inf of rank one in a slanted direction, with and without finite moments beside it."""
    v = np.array([[1.0], [2.0], [-1.0]])
    z = data(N=1, T=9, gaps=0.3)[0]
    for extra in ({}, {"m1": [1.0, 2.0, 3.0], "P1": np.eye(3)}):
        m = model(P1_inf=4 * v @ v.T).replace(**extra)
        assert kelman.loglik(m, z) == pytest.approx(Dense(m, z).loglik(), rel=1e-10)


def test_starts_may_differ_by_series() -> None:
    """Per-series m1, P1_inf of different ranks, and per-series A with a different number of unit roots."""
    z = data(N=2, T=9)
    inf = np.stack([np.diag([1.0, 0, 0]), np.diag([1.0, 1.0, 0])])
    m = model(m1=np.ones((2, 3)), P1=np.eye(3), P1_inf=inf)
    A = np.stack([np.diag([1.0, 0.5, 0.2]), np.diag([1.0, 1.0, 0.2])])[:, None]
    for each in (m, model(A=A, initial="auto")):
        r = kelman.filter(each, z)
        for i in range(2):
            alone = kelman.filter(each.series(i), z[i])
            np.testing.assert_allclose(r.loglik[i], alone.loglik, rtol=1e-13)
            np.testing.assert_allclose(r.mean[i], alone.mean, rtol=1e-12)


def test_a_stationary_start_is_refused_where_there_is_none() -> None:
    """The eigenvalue on or outside the unit circle is named, and what to do."""
    with pytest.raises(KelmanError, match=r"initial='stationary': A has the eigenvalue 1 .*use initial='auto'"):
        kelman.filter(model(A=np.diag([1.0, 0.5, 0.2]), initial="stationary"), data())
    A = np.stack([np.eye(3) / 2, np.diag([1.2, 0.5, 0.2])])[:, None]
    with pytest.raises(KelmanError, match=r"A of series 1 has the eigenvalue 1\.2"):
        kelman.filter(model(A=A, initial="stationary"), data(N=2))


@pytest.mark.parametrize("word", ["stationary", "auto"])
def test_a_time_varying_transition_asks_for_a_start(word: str) -> None:
    """With A that varies in time only a given start or "diffuse" has a meaning."""
    A = np.stack([np.eye(3) / 2] * 25)
    with pytest.raises(KelmanError, match=f"initial='{word}': A varies in time.*give m1"):
        kelman.filter(model(A=A, initial=word), data())
    assert np.isfinite(kelman.loglik(model(A=A, initial="diffuse"), data())).all()


def test_the_diffuse_loglik_is_the_limit_of_a_big_start() -> None:
    """P1 = kappa I with d/2 log kappa added tends to the exactly diffuse log-likelihood."""
    z = data(N=1, T=20)[0]
    exact = kelman.loglik(model(initial="diffuse"), z)
    kappa = 1e8
    near = kelman.loglik(model(m1=np.zeros(3), P1=kappa * np.eye(3)), z) + 1.5 * np.log(2 * np.pi * kappa)
    assert near == pytest.approx(exact, abs=1e-4)


def test_inputs_of_each_series_enter_a_stationary_start() -> None:
    """B u_1 is that of each series."""
    m, u = model(p=1, initial="stationary"), inputs(N=2, T=3)
    assert m.B is not None
    r = kelman.filter(m, np.zeros((2, 3, 2)), u, store="all")
    np.testing.assert_allclose(
        r.predicted_mean[1, 0] - r.predicted_mean[0, 0], m.B[:, 0] * (u[1, 0, 0] - u[0, 0, 0]), rtol=1e-12
    )


def test_float32_models_have_the_start_of_their_float64_originals() -> None:
    """A unit root and a rank-one P1_inf survive being rounded to float32: the same directions are diffuse."""
    rng = np.random.default_rng(8)
    T = rng.normal(size=(3, 3))
    A = T @ np.diag([1.0, 0.5, -0.3]) @ np.linalg.inv(T)
    v = rng.normal(size=(3, 1))
    z = data(N=1, T=8)[0]
    for m in (model(A=A, initial="auto"), model(m1=np.zeros(3), P1=np.eye(3), P1_inf=v @ v.T)):
        wide, narrow = (kelman.filter(each, z.astype(each.dtype)) for each in (m, m.astype("f4")))
        np.testing.assert_allclose(narrow.mean, wide.mean, rtol=2e-3, atol=2e-3)
        assert narrow.loglik == pytest.approx(wide.loglik, rel=1e-3)


def test_the_starts_of_many_models_are_those_of_each_alone() -> None:
    """Stable, slow and growing models side by side: the same to the bit as one at a time, gradient included."""
    rng = np.random.default_rng(6)
    models = [
        kelman.StateSpace(T @ np.diag(values) @ np.linalg.inv(T), [[1.0, 0.5]], np.eye(2), [[1.0]], b=[0.1, 0.2])
        for values in ((0.5, 0.2), (0.9, -0.3), (1.0 - 1e-7, 0.5), (1.0, 0.3), (1.2, 0.4), (1.1, 1.0), (0.0, 0.99))
        for T in (rng.normal(size=(2, 2)),)
    ]
    many, z = kelman.StateSpace.stack(models), rng.normal(size=(len(models), 6, 1))
    r = kelman.filter(many, z, store="all")
    _, g = kelman.loglik_and_grad(many, z)
    for i, one in enumerate(models):
        alone = kelman.filter(one, z[i], store="all")
        np.testing.assert_array_equal(r.predicted_mean[i, 0], alone.predicted_mean[0])
        np.testing.assert_array_equal(r.predicted_cov[i, 0], alone.predicted_cov[0])
        _, own = kelman.loglik_and_grad(one, z[i])
        for name, array in own.items():
            np.testing.assert_allclose(g[name][i].reshape(array.shape), array, rtol=1e-9, atol=1e-9)
