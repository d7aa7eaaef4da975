"""Models with more than eight states: products by tiles, side by side in a batch and all components at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from tests.linear.cases import data, inputs, model
from tests.oracles import textbook_filter

NAMES = ("mean", "cov", "loglik_obs", "predicted_mean", "predicted_cov", "innovation", "innovation_cov", "loglik")
SIZES = (9, 10, 11, 12, 13, 16, 17, 19, 24, 31, 40)


def seasonal(n: int, m: int = 1, **changes: Any) -> kelman.StateSpace:
    """A local linear trend with a dummy seasonal: mostly zeros."""
    A, H = np.zeros((n, n)), np.zeros((m, n))
    A[0, :2] = A[1, 1] = 1
    A[2, 2:] = -1
    A[np.arange(3, n), np.arange(2, n - 1)] = 1
    H[:, [0, 2]] = 1
    arrays: dict[str, Any] = {"A": A, "H": H, "Q": np.diag([0.1, 0.01, 0.2] + [0.0] * (n - 3)), "R": np.eye(m)}
    return kelman.StateSpace(**(arrays | {"m1": np.zeros(n), "P1": 3 * np.eye(n)} | changes))


def same(a: Any, b: Any, tolerance: float = 1e-10, names: tuple[str, ...] = NAMES) -> None:
    """Two results agree."""
    for name in names:
        wanted = getattr(b, name)
        size = max(1.0, np.nanmax(np.abs(wanted)))
        np.testing.assert_allclose(getattr(a, name), wanted, rtol=0, atol=tolerance * size, err_msg=name)


def both(m: kelman.StateSpace, z: np.ndarray, u: np.ndarray | None = None, *, method: str = "lanes") -> Any:
    """Filter in the way that suits and one series at a time; check that they agree."""
    r = kelman.filter(m, z, u, store="all")
    assert r.method == method
    same(r, kelman.filter(m, z, u, store="all", form="univariate"))
    return r


def textbook_smoother(m: kelman.StateSpace, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and covariances by Rauch, Tung and Striebel, for a model that does not vary."""
    book = textbook_filter(m, z)
    mean, cov, A = book.mean.copy(), book.cov.copy(), np.asarray(m.A)
    for k in range(len(z) - 2, -1, -1):
        J = np.linalg.solve(book.predicted_cov[k + 1], A @ book.cov[k]).T
        mean[k] += J @ (mean[k + 1] - book.predicted_mean[k + 1])
        cov[k] += J @ (cov[k + 1] - book.predicted_cov[k + 1]) @ J.T
    return mean, cov


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("m", [1, 3])
def test_a_batch_of_large_models(n: int, m: int) -> None:
    """Every size is cut into tiles without a remainder: the textbook answer, gaps included."""
    wide, z = model(n, m, R=np.diag(np.arange(1.0, m + 1))), data(N=11, T=9, m=m)
    r = both(wide, z)
    for i in (0, 10):
        book = textbook_filter(wide, z[i], series=i)
        np.testing.assert_allclose(r.mean[i], book.mean, rtol=0, atol=1e-10 * np.abs(book.mean).max())
        np.testing.assert_allclose(r.cov[i], book.cov, rtol=0, atol=1e-10 * np.abs(book.predicted_cov).max())
        assert r.loglik[i] == pytest.approx(book.loglik, rel=1e-11)


@pytest.mark.parametrize("n", [9, 13, 24])
@pytest.mark.parametrize("m", [1, 2])
def test_zeros_of_the_model_are_skipped(n: int, m: int) -> None:
    """A and H with few entries give what the same numbers among many would."""
    both(seasonal(n, m), data(N=9, T=30, m=m))
    scales = np.linspace(0.5, 2, 9)[:, None, None, None]
    each = seasonal(n, m, Q=scales * np.asarray(seasonal(n).Q), R=scales * np.eye(m))
    both(each, data(N=9, T=30, m=m))
    moving = np.broadcast_to(np.asarray(seasonal(n).A), (30, n, n)).copy()
    moving[5, n - 1, 0] = 0.3
    both(seasonal(n, m, A=moving), data(N=9, T=30, m=m))


def test_dense_noise_inputs_and_time() -> None:
    """R that is not diagonal with gaps by component, inputs, and matrices that vary by series and time."""
    z, u = data(N=10, T=12, m=3), inputs(N=10, T=12, p=2)
    both(model(12, 3, p=2), z, u)
    each = model(12, 3, p=2, A=np.stack([0.5 * model(12, seed=s).A for s in range(10)])[:, None])
    both(each, z, u)
    moving = np.stack([[0.5 * np.asarray(model(12, seed=s + k).A) for k in range(12)] for s in range(10)])
    both(model(12, 3, p=2, A=moving), z, u)


def test_diffuse_starts_and_ragged_ends() -> None:
    """The first steps are taken one series at a time, and the lanes take over; series end when they end."""
    diffuse = seasonal(13, m1=None, P1=None, initial="diffuse")
    z = data(N=9, T=40, m=1, gaps=0.1)
    r = both(diffuse, z, method="univariate+lanes")
    series = [z[i, : 40 - 2 * i] for i in range(9)]
    ragged = kelman.filter(diffuse, series)
    for i in range(9):
        np.testing.assert_allclose(ragged[i].loglik, kelman.loglik(diffuse, series[i]), rtol=1e-12)
    np.testing.assert_allclose(ragged[0].mean, r.mean[0], rtol=1e-12, atol=1e-12)


def test_precise_measurements_keep_their_digits() -> None:
    """Where a measurement is much more precise than its prediction, the lanes restore what subtraction lost."""
    vague = model(14, 2, R=np.diag([1e-7, 1.0]), P1=1e4 * np.eye(14))
    r = both(vague, data(N=9, T=20))
    book = textbook_filter(vague, data(N=9, T=20)[3])
    np.testing.assert_allclose(r.cov[3], book.cov, rtol=0, atol=1e-8 * np.abs(book.cov).max())


@pytest.mark.parametrize("threads", [1, 2])
def test_place_and_neighbours_change_no_bit(threads: int) -> None:
    """A series gives the same bits wherever it is in its batch, whatever is beside it, on any number of threads."""
    m, z = model(17, 2, R=np.diag([1e-6, 1.0])), data(N=29, T=15)
    whole = kelman.filter(m, z, threads=threads)
    turned = kelman.filter(m, z[::-1], threads=3 - threads)
    few = kelman.filter(m, z[12:25], threads=threads)
    for name in ("mean", "cov", "loglik"):
        np.testing.assert_array_equal(getattr(turned, name)[::-1], getattr(whole, name))
        np.testing.assert_array_equal(getattr(few, name), getattr(whole, name)[12:25])


def test_single_precision() -> None:
    """float32 is as good as its rounding, in lanes and one at a time."""
    m, z = model(20, 4, R=np.eye(4)), data(N=20, T=20, m=4)
    wide = kelman.filter(m, z)
    small = m.astype("f4")
    narrow = kelman.filter(small, z.astype("f4"))
    assert narrow.mean.dtype == np.float32
    assert narrow.method == wide.method == "lanes"
    same(narrow, wide, 1e-4, ("mean", "cov", "loglik"))
    same(kelman.smooth(small, z[0].astype("f4")), kelman.smooth(m, z[0]), 1e-4, ("mean", "cov"))


def test_few_large_series_go_one_at_a_time() -> None:
    """A group of lanes that is nearly empty would cost more than the series in it."""
    assert kelman.filter(model(40, 2), data(N=1, T=5)[0]).method == "univariate"
    assert kelman.filter(model(70, 2), data(N=9, T=5)).method == "univariate"


@pytest.mark.parametrize(("n", "m", "gaps"), [(50, 20, 0.0), (50, 20, 0.2), (16, 4, 0.3), (65, 9, 0.1), (33, 30, 0.0)])
def test_all_components_at_once(n: int, m: int, gaps: float) -> None:
    """Filter and smoother of one large model are the textbook ones, dense noise and gaps by component included."""
    wide, z = model(n, m, seed=3), data(N=1, T=25, m=m, gaps=gaps)[0]
    r, book = kelman.filter(wide, z, store="all"), textbook_filter(wide, z)
    for name in ("mean", "cov", "predicted_mean", "predicted_cov"):
        expected = getattr(book, name)
        np.testing.assert_allclose(getattr(r, name), expected, rtol=0, atol=1e-10 * np.abs(expected).max())
    assert r.loglik == pytest.approx(book.loglik, rel=1e-11)
    smoothed = kelman.smooth(wide, z)
    mean, cov = textbook_smoother(wide, z)
    np.testing.assert_allclose(smoothed.mean, mean, rtol=0, atol=1e-9 * np.abs(mean).max())
    np.testing.assert_allclose(smoothed.cov, cov, rtol=0, atol=1e-9 * np.abs(cov).max())
    assert smoothed.loglik == pytest.approx(r.loglik, rel=1e-13)


def test_vague_starts_of_large_models() -> None:
    """Steps that are far more precise than their prediction are taken component by component: no digit is lost."""
    vague = model(24, 6, R=np.eye(6), P1=1e7 * np.eye(24), seed=5)
    z = data(N=1, T=30, m=6)[0]
    exact = model(24, 6, R=np.eye(6), P1=None, m1=None, P1_inf=np.eye(24), seed=5)
    r, s = kelman.smooth(vague, z), kelman.smooth(exact, z)
    np.testing.assert_allclose(r.mean[10:], s.mean[10:], atol=1e-4 * np.abs(s.mean).max())
    assert np.all(np.linalg.eigvalsh(r.cov) > 0)
    assert np.all(np.linalg.eigvalsh(s.cov) > 0)
