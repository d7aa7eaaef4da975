"""`smooth`: the moments given everything."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError, NotKeptError
from tests.linear.cases import data, inputs, model
from tests.oracles import Dense


def test_the_dense_answer_with_lag_one() -> None:
    """Means, covariances and lag-one covariances of one joint Gaussian, with gaps, inputs and S."""
    m = model(p=1, S=0.2 * np.ones((3, 2)), m0=[1.0, 2.0, 3.0], P0=np.eye(3))
    z, u = data(N=1, T=8)[0], inputs(N=1, T=8)[0]
    s = kelman.smooth(m, z, u, lag=1)
    dense = Dense(m, z, u)
    for have, want in zip((s.mean, s.cov, s.lag_one_cov), dense.smoothed(), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-9, atol=1e-10)
    assert s.loglik == pytest.approx(dense.loglik(), rel=1e-10)


def test_the_first_lag_one_entry_needs_an_x0() -> None:
    """Without a state before the first measurement Cov(x_1, x_0) does not exist: NaN."""
    assert np.isnan(kelman.smooth(model(), data(), lag=1).lag_one_cov[:, 0]).all()
    assert np.isfinite(kelman.smooth(model(m0=np.zeros(3), P0=np.eye(3)), data(), lag=1).lag_one_cov).all()


def test_the_last_smoothed_moments_are_the_filtered_ones() -> None:
    """At the end nothing is to come, so smoothing adds nothing; log-likelihoods agree."""
    m, z = model(), data()
    s, r = kelman.smooth(m, z), kelman.filter(m, z)
    np.testing.assert_allclose(s.mean[:, -1], r.mean[:, -1], rtol=1e-13)
    np.testing.assert_allclose(s.cov[:, -1], r.cov[:, -1], rtol=1e-13)
    np.testing.assert_allclose(s.loglik, r.loglik, rtol=1e-13)


def test_ragged_series_equal_each_alone() -> None:
    """Padding is NaN, `s[i]` is trimmed, and the numbers are those of the series alone."""
    z = [data(N=1, T=length, seed=length)[0] for length in (7, 1, 12)]
    s = kelman.smooth(model(), z, lag=1)
    for i, one in enumerate(z):
        alone = kelman.smooth(model(), one, lag=1)
        for name in ("mean", "cov", "lag_one_cov"):
            np.testing.assert_array_equal(getattr(s[i], name), getattr(alone, name))
            assert np.isnan(getattr(s, name)[i, len(one) :]).all()
        assert s.loglik[i] == alone.loglik


@pytest.mark.parametrize("threads", [2, 4])
@pytest.mark.parametrize("gaps", [0.0, 0.2])
def test_the_number_of_threads_does_not_change_a_bit(threads: int, gaps: float) -> None:
    """1, 2 and 4 threads give the same results to the bit."""
    z = data(N=203, T=40, gaps=gaps)
    one, many = (kelman.smooth(model(), z, lag=1, threads=count) for count in (1, threads))
    for name in ("mean", "cov", "lag_one_cov", "loglik"):
        np.testing.assert_array_equal(getattr(one, name), getattr(many, name))


def test_smoothing_does_not_depend_on_keeping_the_lag() -> None:
    """lag=1 adds an array and changes nothing else; without it, reading it names the argument."""
    without, kept = kelman.smooth(model(), data()), kelman.smooth(model(), data(), lag=1)
    np.testing.assert_array_equal(without.mean, kept.mean)
    np.testing.assert_array_equal(without.cov, kept.cov)
    with pytest.raises(NotKeptError, match=r"lag_one_cov: not kept; ask for it with smooth\(\.\.\., lag=1\)"):
        _ = without.lag_one_cov
    for wrong in (2, -1, True, "1", 1.5):
        with pytest.raises(KelmanError, match="lag: expected None, 0 or 1"):
            kelman.smooth(model(), data(), lag=wrong)  # type: ignore[arg-type]


def test_float32_stays_float32() -> None:
    """Results have the dtype of z and model, and are near the float64 ones."""
    z = data()
    narrow, wide = kelman.smooth(model().astype("f4"), z.astype("f4")), kelman.smooth(model(), z)
    assert {narrow.mean.dtype, narrow.cov.dtype, narrow.loglik.dtype} == {np.dtype("f4")}
    np.testing.assert_allclose(narrow.mean, wide.mean, rtol=1e-3, atol=1e-3)


def test_results_speak_and_pickle() -> None:
    """Shapes in repr, words in summary, and a round trip through pickle."""
    s = kelman.smooth(model(), data())
    assert "mean (4, 25, 3)" in repr(s)
    assert "smoother of 4 series" in s.summary()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(s)).cov, s.cov)
