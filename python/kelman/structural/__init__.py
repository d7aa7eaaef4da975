# SPDX-License-Identifier: BSD-3-Clause
"""Structural time-series models: components that add up to the measurements.

``level() + seasonal(12)`` is a template for `kelman.fit`; `components` takes the fitted sum apart again.
"""

from kelman.structural._arma import arma as arma, sarima as sarima
from kelman.structural._extract import (
    Components as Components,
    ComponentSignal as ComponentSignal,
    components as components,
)
from kelman.structural._regression import regression as regression
from kelman.structural._seasonal import cycle as cycle, seasonal as seasonal
from kelman.structural._structural import Structural as Structural
from kelman.structural._trend import irregular as irregular, level as level, trend as trend
from kelman.structural._vector import dynamic_factor as dynamic_factor, var as var

__all__ = [
    "ComponentSignal",
    "Components",
    "Structural",
    "arma",
    "components",
    "cycle",
    "dynamic_factor",
    "irregular",
    "level",
    "regression",
    "sarima",
    "seasonal",
    "trend",
    "var",
]
