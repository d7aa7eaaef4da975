# SPDX-License-Identifier: BSD-3-Clause
"""Bases of states: which matrix turns the states of one realisation into those of another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kelman.bridge._predictor import predictor_of_model
from kelman.lti._observability import observability_matrix

if TYPE_CHECKING:
    from kelman.bridge._data import FloatArray
    from kelman.bridge._predictor import LinearPredictor
    from kelman.models import StateSpace

__all__: list[str] = []


def basis_change(predictor: LinearPredictor, reference: StateSpace, steps: int | None = None) -> FloatArray:
    """T with x_reference = T x, from the observability matrices of the two predictors: T = O_reference^+ O.

    For two realisations of one predictor it is exact; for an estimate it is the least-squares match of the free responses.
    """
    other, _ = predictor_of_model(reference, "reference")
    steps = 4 * max(predictor.n, other.n) if steps is None else steps
    first = observability_matrix(predictor.F, predictor.H, steps)
    second = observability_matrix(other.F, other.H, steps)
    T: FloatArray = np.linalg.lstsq(second, first, rcond=None)[0]
    return T
