# SPDX-License-Identifier: BSD-3-Clause
"""The start of a fitted model with inputs: where such inputs keep the state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.lti import lyapunov, stationary_split
from kelman.lti._observability import observability_matrix
from kelman.lti._propagate import propagate

if TYPE_CHECKING:
    from kelman.identify._data import Data
    from kelman.lti._check import FloatArray


def driven_start(
    A: FloatArray, B: FloatArray, b: FloatArray, H: FloatArray, Q: FloatArray, x1: FloatArray, inputs: Data
) -> dict[str, FloatArray]:
    r"""Moments of the state at the first measurement of a model x_{k+1} = A x_k + B u_k + b + w_k.

    A start without thought of the inputs would be at zero, far from where they keep a plant. Without the noise, the state
    follows :math:`\bar x_{k+1} = A \bar x_k + B u_k + b` from its estimated first value. Over all steps of all series this path has a
    mean, which is `m1`, and a spread about it; `P1` is the sum of that spread, of what the noise adds to it (the stationary
    covariance), and of the spread of the first values themselves, which may be far from all that follows. Nothing here
    depends on the basis of the state, and nothing is extrapolated, as a steady state (I - A)^-1 B u of a slow mode would
    be. Modes on the unit circle or outside have no such start and get a diffuse one, with the variance one
    in units of what they add to the next measurements.

    Parameters
    ----------
    A, B, b, H, Q : ndarray
        The model, Q = K Sigma K'.
    x1 : ndarray, shape (n, N)
        First states.
    inputs : Data
        Whose u is in the units of B.

    Returns
    -------
    dict
        m1 and P1, and P1_inf where A is not stable.
    """
    split = stationary_split(A)
    Vs, Ls, Vu = split.Vs, split.Ls, split.Vu
    start: dict[str, FloatArray] = {}
    inside = inputs.mask().T[:, None, :]
    drive = np.einsum("ip,ntp->tin", Ls @ B, inputs.u) + (Ls @ b)[:, None]
    first = Ls @ x1
    path = propagate(split.As, drive, first)[:-1]
    mean = np.where(inside, path, 0.0).sum(axis=(0, 2)) / inputs.total
    away = np.where(inside, path - mean[:, None], 0.0)
    spread = np.einsum("tin,tjn->ij", away, away, optimize=True) / inputs.total
    begun = first - mean[:, None]
    noise = Ls @ Q @ Ls.T
    cov = lyapunov(split.As, (noise + noise.T) / 2) + spread + begun @ begun.T / begun.shape[1]
    P1 = Vs @ cov @ Vs.T
    start["m1"], start["P1"] = Vs @ mean, (P1 + P1.T) / 2
    if Vu.shape[1]:
        start["P1_inf"] = Vu @ output_units(split.Au, H @ Vu) @ Vu.T
    return start


def output_units(A: FloatArray, H: FloatArray) -> FloatArray:
    r"""Covariance (n, n) of a state whose next n measurements, without noise, have unit variance in every direction.

    It is :math:`(O'O)^{-1}` with the observability matrix O of n block rows.
    """
    triangle: Any = np.linalg.qr(observability_matrix(A, H, len(A)), mode="r")
    values, vectors = np.linalg.eigh(triangle.T @ triangle)
    values = np.maximum(values, 1e-10 * max(float(values[-1]), 1e-300))
    cov: FloatArray = (vectors / values) @ vectors.T
    return (cov + cov.T) / 2
