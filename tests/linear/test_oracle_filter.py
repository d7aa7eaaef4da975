"""The filter and the log-likelihood against one dense joint Gaussian, over models of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from tests.linear.oracle_checks import check_filter, check_loglik
from tests.strategies import STARTS, Case, cases

BACKENDS = ["core", pytest.param("torch", marks=pytest.mark.torch)]


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=120)
@given(case=cases())
def test_filter_equals_the_dense_answer(backend: str, case: Case) -> None:
    """Every array of the filter equals conditioning one joint Gaussian, to 1e-10, whatever the model."""
    check_filter(case, backend)


@pytest.mark.parametrize("start", STARTS)
@settings(max_examples=25)
@given(data=st.data())
def test_every_start_equals_the_dense_answer(start: str, data: st.DataObject) -> None:
    """Each way to start has its own examples, so that none is rare."""
    check_filter(data.draw(cases(max_T=8, starts=(start,))), "core")


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=60)
@given(case=cases())
def test_loglik_equals_the_dense_answer_in_both_conventions(backend: str, case: Case) -> None:
    """The log-likelihood is the dense one, and "statsmodels" differs by half log 2 pi per determined diffuse direction."""
    check_loglik(case, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=40)
@given(case=cases(singular=False))
def test_single_precision_keeps_what_it_can(backend: str, case: Case) -> None:
    """In float32 the error stays below 30 times eps times the condition number of the dense problem."""
    eps: Any = np.finfo(np.float32).eps
    check_filter(case, backend, 1e-3, np.float32, limit=1e-3 / (30 * eps))
