"""`filter` and `loglik`: shapes, layouts, what is kept, and what does not change the answer."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError, ModelWarning, NotKeptError
from kelman.linear._filter_result import STORES
from tests.linear.cases import data, inputs, model
from tests.oracles import Dense, textbook_filter

NAMES = ("mean", "cov", "loglik_obs", "predicted_mean", "predicted_cov", "innovation", "innovation_cov")


def test_the_textbook_answer() -> None:
    """Means, covariances, predictions and log-likelihood are those of the recursion as textbooks print it."""
    m, z = model(p=1), data(N=1)
    u = inputs(N=1)
    r, book = kelman.filter(m, z[0], u[0], store="all"), textbook_filter(m, z[0], u[0])
    for name in ("mean", "cov", "predicted_mean", "predicted_cov"):
        np.testing.assert_allclose(getattr(r, name), getattr(book, name), rtol=1e-11, atol=1e-12)
    assert r.loglik == pytest.approx(book.loglik, rel=1e-12)
    assert r.loglik_obs.sum() == pytest.approx(book.loglik, rel=1e-12)


def test_innovations_are_the_dense_ones() -> None:
    """Innovation and its covariance are those of conditioning one joint Gaussian; NaN where z is missing."""
    m, z = model(), data(N=1, T=9)[0]
    r = kelman.filter(m, z, store="all")
    mean, cov = Dense(m, z).measurement()
    np.testing.assert_allclose(r.innovation, z - mean, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(r.innovation_cov, cov, rtol=1e-10)
    np.testing.assert_array_equal(np.isnan(r.innovation), np.isnan(z))


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("batched", [False, True])
def test_shapes_follow_what_was_given(store: str, batched: bool) -> None:
    """(...) is (N,) for several series and nothing for one; each store keeps what its name says."""
    z = data()
    N, T, n, m = 4, 25, 3, 2
    r = kelman.filter(model(), z if batched else z[0], store=store)  # type: ignore[arg-type]
    lead = (N,) if batched else ()
    shapes = {
        "mean": (*lead, T, n), "cov": (*lead, T, n, n), "loglik_obs": (*lead, T), "predicted_mean": (*lead, T, n),
        "predicted_cov": (*lead, T, n, n), "innovation": (*lead, T, m), "innovation_cov": (*lead, T, m, m),
    }  # fmt: skip
    kept = {"loglik": (), "last": ("mean", "cov"), "means": ("mean",), "filtered": NAMES[:3], "all": NAMES}[store]
    if store == "last":
        shapes |= {"mean": (*lead, n), "cov": (*lead, n, n)}
    assert np.shape(r.loglik) == lead
    assert np.shape(r.status) == lead
    for name in NAMES:
        if name in kept:
            assert getattr(r, name).shape == shapes[name], name
        else:
            with pytest.raises(NotKeptError, match=rf"{name}: not kept by store='{store}'; kept by .*'all'"):
                getattr(r, name)
            assert not hasattr(r, name)


@pytest.mark.parametrize("store", STORES)
def test_what_is_kept_does_not_change_the_numbers(store: str) -> None:
    """Every store gives the same log-likelihood and the same moments, to the bit."""
    z = data()
    full, r = kelman.filter(model(), z, store="all"), kelman.filter(model(), z, store=store)  # type: ignore[arg-type]
    np.testing.assert_array_equal(r.loglik, full.loglik)
    for name in NAMES:
        if hasattr(r, name):
            wanted = getattr(full, name)
            np.testing.assert_array_equal(getattr(r, name), wanted[:, -1] if store == "last" else wanted)
    np.testing.assert_array_equal(r.state._mean, full.state._mean)
    np.testing.assert_array_equal(r.state._cov, full.state._cov)


def test_one_series_alone_gives_the_numbers_it_has_in_a_batch() -> None:
    """Series i of a batch equals the series filtered alone, to rounding of the shared covariances, bits of its own."""
    m, z = model(), data()
    r = kelman.filter(m, z, store="all")
    for i in range(4):
        alone = kelman.filter(m, z[i], store="all")
        for name in NAMES:
            np.testing.assert_array_equal(getattr(r, name)[i], getattr(alone, name))
        assert r.loglik[i] == alone.loglik


def test_a_list_of_ragged_series_equals_each_series_alone() -> None:
    """Padding is NaN in the results, `r[i]` is trimmed, and each series gets the numbers it has alone."""
    m = model(p=1)
    lengths = [7, 1, 12, 12]
    z = [data(N=1, T=length, seed=length)[0] for length in lengths]
    u = [inputs(N=1, T=length, seed=length)[0] for length in lengths]
    r = kelman.filter(m, z, u, store="all")
    assert r.lengths is not None
    assert r.lengths.tolist() == lengths
    assert len(r) == 4
    for i, length in enumerate(lengths):
        alone = kelman.filter(m, z[i], u[i], store="all")
        for name in NAMES:
            np.testing.assert_array_equal(getattr(r[i], name), getattr(alone, name))
            assert np.isnan(getattr(r, name)[i, length:]).all()
        assert r[i].loglik == alone.loglik
        np.testing.assert_array_equal(r[i].state._mean, alone.state._mean)
    last = kelman.filter(m, z, u, store="last")
    np.testing.assert_array_equal(last.mean, [r[i].mean[-1] for i in range(4)])
    with pytest.raises(IndexError, match="series 4 of 4"):
        r[4]
    np.testing.assert_array_equal(r[-1].mean, r[3].mean)


def test_shared_covariances_of_ragged_series_are_padded_too() -> None:
    """Where nothing is missing all series share their covariances; the padding of the shorter ones is NaN all the same."""
    z = [data(N=1, T=length, gaps=0)[0] for length in (5, 8)]
    r = kelman.filter(model(), z)
    assert np.isnan(r.cov[0, 5:]).all()
    assert np.isfinite(r.cov[1]).all()


def test_lists_of_lists_are_series_when_they_are_ragged() -> None:
    """[[1, 2], [3]] is two series; a rectangular nested list is one array (T, m), as numpy reads it."""
    level = kelman.StateSpace([[0.5]], [[1.0]], [[1.0]], [[1.0]])
    assert kelman.loglik(level, [[1.0, 2.0], [3.0]]).shape == (2,)
    assert kelman.loglik(level, [[1.0], [3.0]]).shape == ()
    assert kelman.loglik(level, [np.array([1.0, 2.0]), np.array([3.0, 4.0])]).shape == (2,)
    assert kelman.loglik(level, [1.0, 2.0]).shape == ()
    assert kelman.loglik(level, (1, 2)).shape == ()


def test_shared_covariances_are_one_read_only_view() -> None:
    """Where nothing is missing and the model is shared, covariances are stored once, and cannot be written to."""
    r = kelman.filter(model(), data(gaps=0), store="all", backend="core")
    for name in ("cov", "predicted_cov", "innovation_cov"):
        array = getattr(r, name)
        assert array.strides[0] == 0
        assert not array.flags.writeable
    gappy = kelman.filter(model(), data(gaps=0.2))
    assert gappy.cov.strides[0] != 0


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("gaps", [0.0, 0.2])
def test_the_number_of_threads_does_not_change_a_bit(threads: int, gaps: float) -> None:
    """1, 2 and 4 threads give the same results to the bit."""
    m, z = model(n=4), data(N=203, T=40, gaps=gaps)
    one, many = kelman.filter(m, z, store="all", threads=1), kelman.filter(m, z, store="all", threads=threads)
    for name in ("loglik", *NAMES):
        np.testing.assert_array_equal(getattr(one, name), getattr(many, name))


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("gaps", [0.0, 0.2])
def test_out_reuses_the_memory_and_gives_the_same(store: Any, gaps: float) -> None:
    """With `out=` the arrays are those of the earlier result, filled with the new numbers."""
    m = model()
    first = kelman.filter(m, data(gaps=gaps, seed=5), store=store)
    wanted = kelman.filter(m, data(gaps=gaps, seed=6), store=store)
    again = kelman.filter(m, data(gaps=gaps, seed=6), store=store, out=first)
    for name in ("loglik", *NAMES):
        if hasattr(wanted, name):
            np.testing.assert_array_equal(getattr(again, name), getattr(wanted, name))
            assert np.shares_memory(getattr(again, name), getattr(first, name)), name


def test_out_of_other_shapes_is_refused() -> None:
    """`out` must come from a call of the same store, shapes and dtype, and the error says which differs."""
    m, z = model(), data()
    first = kelman.filter(m, z)
    with pytest.raises(KelmanError, match="out: was made with store='filtered', but this call has store='all'"):
        kelman.filter(m, z, store="all", out=first)
    with pytest.raises(KelmanError, match=r"out: its .* has shape"):
        kelman.filter(m, z[:, :9], out=first)
    with pytest.raises(KelmanError, match=r"out: its .* has shape"):
        kelman.filter(m, z[:2], out=first)
    with pytest.raises(KelmanError, match=r"out: its .* has dtype float64"):
        kelman.filter(m.astype("f4"), z.astype("f4"), out=first)
    with pytest.raises(KelmanError, match="out: expected a FilterResult, got dict"):
        kelman.filter(m, z, out={})  # type: ignore[arg-type]


def test_a_well_laid_out_z_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """float64 C-ordered z reaches the backend as the user's own memory, also a read-only one."""
    seen: list[np.ndarray] = []
    kernels = kelman._registry.backend("linear")
    real = kernels.filter_raw

    def spy(problem: Any, *args: Any) -> Any:
        seen.append(problem.z)
        return real(problem, *args)

    monkeypatch.setattr(kernels, "filter_raw", spy)
    z = data()
    fixed = z.copy()
    fixed.flags.writeable = False
    for given in (z, z[0], fixed, z[1:3], z[:, 3:]):
        kelman.filter(model(), given, store="loglik")
        assert np.shares_memory(seen[-1], given)


@pytest.mark.parametrize("kind", ["negative", "every other", "fortran", "transposed", "list", "object-free ints"])
def test_any_layout_of_z_gives_the_same(kind: str) -> None:
    """Negative strides, gaps in memory, Fortran order and nested lists give the numbers of the plain array."""
    z = np.round(data(N=1, T=20, gaps=0)[0] * 10)
    given: Any = {
        "negative": lambda: z[::-1, ::-1].copy()[::-1, ::-1],
        "every other": lambda: np.repeat(z, 2, axis=0)[::2],
        "fortran": lambda: np.asfortranarray(z),
        "transposed": lambda: z.T.copy().T,
        "list": z.tolist,
        "object-free ints": lambda: z.astype(int),
    }[kind]()
    np.testing.assert_array_equal(kelman.filter(model(), given).mean, kelman.filter(model(), z).mean)


def test_masked_arrays_and_frames_of_data() -> None:
    """A masked entry is a missing one; anything with __array__ is read by it."""
    z = data(N=1, T=10, gaps=0)[0]
    mask = np.zeros(z.shape, dtype=bool)
    mask[3] = mask[5, 0] = True
    missing = np.where(mask, np.nan, z)

    class Frame:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return np.asfortranarray(missing)

    wanted = kelman.filter(model(), missing).mean
    np.testing.assert_array_equal(kelman.filter(model(), np.ma.masked_array(z, mask)).mean, wanted)
    np.testing.assert_array_equal(kelman.filter(model(), Frame()).mean, wanted)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("z_dtype", "model_dtype", "expected"),
    [
        ("f8", "f8", "f8"),
        ("f4", "f4", "f4"),
        ("f4", "f8", "f8"),
        ("f8", "f4", "f8"),
        ("i4", "f4", "f8"),
        ("?", "f8", "f8"),
    ],
)
def test_the_result_has_the_wider_dtype_of_z_and_model(z_dtype: str, model_dtype: str, expected: str) -> None:
    """result_type(z, model) among float32 and float64, integers and booleans counting as float64."""
    z = np.nan_to_num(data(N=1)[0]).round().astype(z_dtype)
    r = kelman.filter(model().astype(model_dtype), z, store="all")
    assert {getattr(r, name).dtype for name in NAMES} == {np.dtype(expected)}
    assert r.loglik.dtype == np.dtype(expected)


def test_float32_is_near_float64() -> None:
    """The same model and data in float32 give the float64 answer to some 1e-5."""
    m, z = model(), data()
    wide, narrow = kelman.filter(m, z), kelman.filter(m.astype("f4"), z.astype("f4"))
    np.testing.assert_allclose(narrow.mean, wide.mean, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(narrow.loglik, wide.loglik, rtol=1e-4)


def test_one_series_under_many_models() -> None:
    """A single series given to a per-series model is filtered under each of its models."""
    both = kelman.StateSpace.stack([model(seed=1), model(seed=2)])
    z = data(N=1)[0]
    r = kelman.filter(both, z)
    assert r.mean.shape == (2, 25, 3)
    for i in range(2):
        np.testing.assert_array_equal(r.mean[i], kelman.filter(both.series(i), z).mean)


def test_inputs_may_be_shared_or_of_each_series() -> None:
    """(T, p) is shared by all series, (T,) will do for p = 1, (N, T, p) is by series."""
    m, z, u = model(p=1), data(), inputs(N=1)[0]
    wanted = kelman.filter(m, z, np.broadcast_to(u, (4, 25, 1))).mean
    for given in (u, u[:, 0], u.tolist(), list(np.broadcast_to(u, (4, 25, 1)))):
        np.testing.assert_array_equal(kelman.filter(m, z, given).mean, wanted)


def test_loglik_is_that_of_filter() -> None:
    """`loglik` gives a number or (N,), the same as the result of `filter`."""
    m, z = model(), data()
    np.testing.assert_array_equal(kelman.loglik(m, z), kelman.filter(m, z).loglik)
    assert np.ndim(kelman.loglik(m, z[0])) == 0


def test_diffuse_constants_differ_by_half_log_two_pi_for_each_diffuse_element() -> None:
    """statsmodels keeps the 2 pi of the d diffuse elements, KFAS leaves it out."""
    m, z = model(initial="diffuse"), data(gaps=0)
    kfas, other = (kelman.loglik(m, z, diffuse_constant=name) for name in ("kfas", "statsmodels"))  # type: ignore[arg-type]
    np.testing.assert_allclose(kfas - other, 3 * 0.5 * np.log(2 * np.pi), rtol=1e-10)


def test_results_can_be_pickled_without_growing() -> None:
    """A pickled result keeps its numbers and stores shared covariances once."""
    r = kelman.filter(model(), data(N=200, gaps=0), store="all", backend="core")
    text = pickle.dumps(r)
    assert len(text) < 200 * 25 * (3 + 3 + 2 + 1 + 3) * 8
    back = pickle.loads(text)
    for name in ("loglik", *NAMES):
        np.testing.assert_array_equal(getattr(back, name), getattr(r, name))
    assert back.store == "all"
    kelman.filter(model(), data(N=200), start=back.state)


def test_results_speak() -> None:
    """repr and summary name what is there; one series cannot be indexed."""
    r = kelman.filter(model(), data())
    assert "mean (4, 25, 3)" in repr(r)
    assert "filter of 4 series" in r.summary()
    one = r[0]
    assert "one series" in one.summary()
    with pytest.raises(KelmanError, match="cannot be indexed"):
        one[0]
    with pytest.raises(KelmanError, match=r"no len\(\)"):
        len(one)


def test_a_series_of_nothing_but_gaps_is_suspected() -> None:
    """All NaN over many steps warns (data read wrongly); a short stretch, or one that goes on from a state, does not."""
    with pytest.warns(ModelWarning, match="z: every value is missing"):
        kelman.filter(model(), np.full((50, 2), np.nan))
    kelman.filter(model(), np.full((3, 2), np.nan))
    kelman.filter(model(), np.full((50, 2), np.nan), start=kelman.filter(model(), data(N=1)[0]).state)
