# SPDX-License-Identifier: BSD-3-Clause
"""Models as values: frozen, read-only, picklable."""

from ._activation import ACTIVATIONS as ACTIVATIONS, LEAKY_SLOPE as LEAKY_SLOPE
from ._elman import Elman as Elman, ElmanDims as ElmanDims
from ._meaning import Dims as Dims
from ._parameters import Free as Free, Tied as Tied
from ._state_space import StateSpace as StateSpace
from ._template import Template as Template

__all__ = ["ACTIVATIONS", "LEAKY_SLOPE", "Dims", "Elman", "ElmanDims", "Free", "StateSpace", "Template", "Tied"]
