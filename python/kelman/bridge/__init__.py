# SPDX-License-Identifier: BSD-3-Clause
"""The bridge: models to networks, networks to models, and what trained weights say about the dynamics behind the data."""

from kelman.bridge._inputs import network_inputs as network_inputs
from kelman.bridge._to_elman import to_elman as to_elman
from kelman.bridge._to_state_space import to_state_space as to_state_space

__all__ = ["network_inputs", "to_elman", "to_state_space"]
