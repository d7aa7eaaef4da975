"""The smoother and the forecast against one dense joint Gaussian, over models of every kind."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from tests.linear.oracle_checks import check_forecast, check_smooth
from tests.strategies import STARTS, Case, cases

BACKENDS = ["core", pytest.param("torch", marks=pytest.mark.torch)]


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=120)
@given(case=cases())
def test_smoother_equals_the_dense_answer(backend: str, case: Case) -> None:
    """Smoothed means, covariances and lag-one covariances equal the dense ones to 1e-10, whatever the model."""
    check_smooth(case, backend)


@pytest.mark.parametrize("start", STARTS)
@settings(max_examples=25)
@given(data=st.data())
def test_every_start_is_smoothed_like_the_dense_answer(start: str, data: st.DataObject) -> None:
    """Each way to start has its own examples, so that none is rare."""
    check_smooth(data.draw(cases(max_T=8, starts=(start,))), "core")


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=60)
@given(case=cases())
def test_forecast_equals_the_dense_answer(backend: str, case: Case) -> None:
    """Forecast means and covariances, of measurements and of states, equal the dense ones to 1e-10."""
    check_forecast(case, backend)
