# SPDX-License-Identifier: BSD-3-Clause
"""Known systems to try things on: each function returns a `StateSpace`."""

from kelman.systems._classic import (
    constant_velocity as constant_velocity,
    local_level as local_level,
    oscillator as oscillator,
    rotation as rotation,
)
from kelman.systems._random import random_stable as random_stable

__all__ = ["constant_velocity", "local_level", "oscillator", "random_stable", "rotation"]
