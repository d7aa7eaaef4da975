# SPDX-License-Identifier: BSD-3-Clause
"""The bridge: models to networks, networks to models, and what trained weights say about the dynamics behind the data."""

from kelman.bridge._activations import (
    Activations as Activations,
    MemoryKernel as MemoryKernel,
    UnitStatistics as UnitStatistics,
    read_activations as read_activations,
)
from kelman.bridge._compare import Comparison as Comparison, compare as compare
from kelman.bridge._dynamics import Dynamics as Dynamics
from kelman.bridge._excess import ExcessRisk as ExcessRisk, excess_risk as excess_risk
from kelman.bridge._inputs import network_inputs as network_inputs
from kelman.bridge._predictor import LinearPredictor as LinearPredictor
from kelman.bridge._read import read_dynamics as read_dynamics
from kelman.bridge._reduce import reduce as reduce
from kelman.bridge._to_elman import to_elman as to_elman
from kelman.bridge._to_state_space import to_state_space as to_state_space

__all__ = [
    "Activations",
    "Comparison",
    "Dynamics",
    "ExcessRisk",
    "LinearPredictor",
    "MemoryKernel",
    "UnitStatistics",
    "compare",
    "excess_risk",
    "network_inputs",
    "read_activations",
    "read_dynamics",
    "reduce",
    "to_elman",
    "to_state_space",
]
