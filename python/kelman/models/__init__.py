# SPDX-License-Identifier: BSD-3-Clause
"""Models as values: frozen, read-only, picklable."""

from ._activation import ACTIVATIONS as ACTIVATIONS, LEAKY_SLOPE as LEAKY_SLOPE
from ._elman import Elman as Elman, ElmanDims as ElmanDims
from ._meaning import Dims as Dims
from ._state_space import StateSpace as StateSpace

__all__ = ["ACTIVATIONS", "LEAKY_SLOPE", "Dims", "Elman", "ElmanDims", "StateSpace"]
