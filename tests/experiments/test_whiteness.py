"""Tests of residuals: the chi-square laws that they claim, and known cases."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from kelman.errors import KelmanError
from kelman.experiments._whiteness import correlation, ljung_box, whiteness


def test_ljung_box_agrees_with_statsmodels() -> None:
    """The statistic and its p-value are those of statsmodels."""
    diagnostic = pytest.importorskip("statsmodels.stats.diagnostic")
    e = np.random.default_rng(0).standard_normal(300)
    statistic, p_value = ljung_box(e, 12)
    other = diagnostic.acorr_ljungbox(e, lags=[12])
    assert statistic == pytest.approx(float(other["lb_stat"].iloc[0]), rel=1e-12)
    assert p_value == pytest.approx(float(other["lb_pvalue"].iloc[0]), rel=1e-10)


def test_p_values_of_white_residuals_are_uniform_also_for_coloured_inputs() -> None:
    """Over 400 white series both tests reject at 10 % about 10 % of the time, though the input is far from white."""
    rng = np.random.default_rng(0)
    p, cross = [], []
    for _ in range(400):
        e, u = rng.standard_normal(500), lfilter([1.0], [1.0, -0.9], rng.standard_normal((500, 1)), axis=0)
        test = whiteness(e, u, lags=15)
        p.append(test.p_value)
        cross.append(test.cross_p_value)
    for values in (p, cross):
        assert 0.055 <= np.mean(np.array(values) < 0.1) <= 0.145  # 3 standard errors


def test_coloured_residuals_and_forgotten_inputs_are_found() -> None:
    """Residuals that depend on their past, or on a past input, are not called white."""
    rng = np.random.default_rng(1)
    e, u = rng.standard_normal(400), rng.standard_normal((400, 2))
    assert whiteness(e, u).white
    coloured = e.copy()
    coloured[1:] += 0.4 * e[:-1]
    assert not whiteness(coloured).white
    forgotten = e.copy()
    forgotten[3:] += 0.4 * u[:-3, 1]
    assert not whiteness(forgotten, u).white


def test_correlation_looks_into_the_past_of_the_second_series() -> None:
    """The correlation of a_k with b_(k-j) peaks at the delay by which b leads."""
    b = np.random.default_rng(2).standard_normal(500)
    a = np.roll(b, 4)
    assert int(np.argmax(correlation(a, b, 10))) == 4


def test_wrong_lags_and_constant_residuals_are_refused() -> None:
    """Lags that do not fit the series, and residuals without variance, raise in words."""
    with pytest.raises(KelmanError, match="lags"):
        correlation(np.arange(5.0), np.arange(5.0), 5)
    with pytest.raises(KelmanError, match="constant"):
        correlation(np.ones(9), np.ones(9), 2)
