# SPDX-License-Identifier: BSD-3-Clause
"""Models as values: frozen, read-only, picklable."""

from ._activation import ACTIVATIONS as ACTIVATIONS, LEAKY_SLOPE as LEAKY_SLOPE
from ._cell import Cell as Cell, NetworkDims as NetworkDims
from ._elman import Elman as Elman, ElmanDims as ElmanDims
from ._gru import GRU as GRU
from ._lstm import LSTM as LSTM
from ._meaning import Dims as Dims
from ._parameters import Free as Free, Tied as Tied
from ._stack import Bidirectional as Bidirectional, Stack as Stack
from ._state_space import StateSpace as StateSpace
from ._template import Template as Template

__all__ = [
    "ACTIVATIONS",
    "GRU",
    "LEAKY_SLOPE",
    "LSTM",
    "Bidirectional",
    "Cell",
    "Dims",
    "Elman",
    "ElmanDims",
    "Free",
    "NetworkDims",
    "Stack",
    "StateSpace",
    "Template",
    "Tied",
]
