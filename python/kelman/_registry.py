# SPDX-License-Identifier: BSD-3-Clause
"""What lower levels reach upward for, by name and lazily: backends, plots and steppers.

This is the only road upward: nothing here is imported before it is asked for. A new row is a new backend or plot.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from .config import backend_name
from .errors import BackendError

_BACKENDS: dict[str, dict[str, str]] = {
    "core": {"linear": "kelman.linear._native", "rnn": "kelman.rnn._native"},
    "torch": {"linear": "kelman.torch.reference", "rnn": "kelman.torch.reference"},
}

_PLOTS: dict[str, str] = {
    "FilterResult": "plot_filter",
    "SmoothResult": "plot_smooth",
    "ForecastResult": "plot_forecast",
    "Simulation": "plot_simulation",
    "Fit": "plot_fit",
    "OrderSelection": "plot_order_selection",
    "PanelFit": "plot_panel_fit",
    "ParameterFit": "plot_parameter_fit",
    "Posterior": "plot_posterior",
    "Profile": "plot_profile",
    "TrainResult": "plot_training",
    "Dynamics": "plot_dynamics",
    "Comparison": "plot_comparison",
    "Diagnosis": "plot_diagnosis",
    "Components": "plot_components",
    "Activations": "plot_activations",
}
"""Class of a result -> the function of `kelman.plotting` that draws it."""

_FIGURES = "kelman.plotting"


def backend(subject: str, name: str | None = None) -> Any:
    """Return the module that computes `subject` ("linear" or "rnn") in the backend `name` (None: the default one)."""
    chosen = backend_name(name)
    module = _BACKENDS[chosen][subject]
    loaded = sys.modules.get(module)
    if loaded is not None:
        return loaded
    if chosen == "torch":
        try:
            import torch as _  # noqa: F401
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise ImportError(
                'backend="torch" needs PyTorch, which is not installed: pip install "kelman[torch]"'
            ) from error
    return importlib.import_module(module)


def stepper(network: Any, N: int | None) -> Any:
    """Return a network online; see `kelman.rnn.NetworkStepper`."""
    return importlib.import_module("kelman.rnn").NetworkStepper(network, N)


def plot(result: Any, **options: Any) -> Any:
    """Draw a result with the function that `kelman.plotting` has for its class."""
    name = _PLOTS.get(type(result).__name__)
    if name is None:
        raise BackendError(
            f"plot: nothing draws results of type {type(result).__name__}; drawn are {', '.join(sorted(_PLOTS))}"
        )
    try:
        plotting = importlib.import_module("kelman.plotting")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise ImportError('plot() needs matplotlib, which is not installed: pip install "kelman[app]"') from error
    return getattr(plotting, name)(result, **options)


def figure(name: str, record: Any) -> Any:
    """Return the figure `name` of an experiment's record, drawn by `kelman.plotting`."""
    try:
        table = importlib.import_module(_FIGURES).EXPERIMENT_FIGURES
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise ImportError('figures need matplotlib, which is not installed: pip install "kelman[app]"') from error
    if name not in table:
        raise BackendError(f"figure: nothing draws {name!r}; drawn are {', '.join(sorted(table))}")
    return table[name](record)
