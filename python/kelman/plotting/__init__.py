# SPDX-License-Identifier: BSD-3-Clause
"""Figures of results and of the experiment; matplotlib is loaded here and nowhere else.

``result.plot()`` of every result comes here by name. The functions return the figure or the axes and never show or save.
"""

from kelman.plotting._activations import plot_activations as plot_activations
from kelman.plotting._components import plot_components as plot_components
from kelman.plotting._diagnosis import plot_diagnosis as plot_diagnosis
from kelman.plotting._experiment import EXPERIMENT_FIGURES as EXPERIMENT_FIGURES
from kelman.plotting._fits import (
    plot_comparison as plot_comparison,
    plot_dynamics as plot_dynamics,
    plot_fit as plot_fit,
    plot_history as plot_history,
    plot_training as plot_training,
    plot_values as plot_values,
)
from kelman.plotting._orders import plot_order_selection as plot_order_selection
from kelman.plotting._parameter_fits import (
    plot_panel_fit as plot_panel_fit,
    plot_parameter_fit as plot_parameter_fit,
    plot_profile as plot_profile,
)
from kelman.plotting._poles import plot_poles as plot_poles
from kelman.plotting._posteriors import plot_posterior as plot_posterior
from kelman.plotting._style import style as style
from kelman.plotting._tracks import (
    plot_filter as plot_filter,
    plot_forecast as plot_forecast,
    plot_simulation as plot_simulation,
    plot_smooth as plot_smooth,
)

__all__ = [
    "EXPERIMENT_FIGURES",
    "plot_activations",
    "plot_comparison",
    "plot_components",
    "plot_diagnosis",
    "plot_dynamics",
    "plot_filter",
    "plot_fit",
    "plot_forecast",
    "plot_history",
    "plot_order_selection",
    "plot_panel_fit",
    "plot_parameter_fit",
    "plot_poles",
    "plot_posterior",
    "plot_profile",
    "plot_simulation",
    "plot_smooth",
    "plot_training",
    "plot_values",
    "style",
]
