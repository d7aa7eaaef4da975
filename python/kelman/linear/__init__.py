# SPDX-License-Identifier: BSD-3-Clause
"""Filtering, smoothing, forecasting and simulating linear-Gaussian models."""

from ._filter import filter as filter, loglik as loglik
from ._filter_result import FilterResult as FilterResult
from ._forecast import ForecastResult as ForecastResult, forecast as forecast
from ._gradient import loglik_and_grad as loglik_and_grad
from ._gradient_result import Gradient as Gradient
from ._problem import Problem as Problem
from ._sample import sample_states as sample_states
from ._simulate import Simulation as Simulation, simulate as simulate
from ._smooth import SmoothResult as SmoothResult, smooth as smooth
from ._state import FilterState as FilterState
from ._steady import SteadyState as SteadyState, steady_state as steady_state
from ._stepper import Stepper as Stepper

__all__ = [
    "FilterResult",
    "FilterState",
    "ForecastResult",
    "Gradient",
    "Problem",
    "Simulation",
    "SmoothResult",
    "SteadyState",
    "Stepper",
    "filter",
    "forecast",
    "loglik",
    "loglik_and_grad",
    "sample_states",
    "simulate",
    "smooth",
    "steady_state",
]
