# SPDX-License-Identifier: BSD-3-Clause
"""The standard form of a model: x+ = A x + Bs u, z = H x + Ds u, whatever index its inputs carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.errors import KelmanError

if TYPE_CHECKING:
    from kelman.lti._check import FloatArray


def standard_form(model: Any) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    r"""Matrices (A, Bs, H, Ds) of x_{k+1} = A x_k + Bs u_k, z_k = H x_k + Ds u_k with the model's transfer function.

    A model written x_k = A x_{k-1} + B u_k (``input_lag`` 0) has, with s_k = x_k - B u_k as its state,

    .. math:: s_{k+1} = A s_k + A B u_k, \qquad z_k = H s_k + (H B + D) u_k;

    one made by ``StateSpace.from_shifted`` (``input_lag`` 1) is in that form already.

    Parameters
    ----------
    model : StateSpace
        A model without variation in time or between series.

    Returns
    -------
    A : ndarray, shape (n, n)
    Bs : ndarray, shape (n, p)
    H : ndarray, shape (m, n)
    Ds : ndarray, shape (m, p)
        In float64; zeros of width p (which may be 0) where the model has no inputs.

    Examples
    --------
    >>> import kelman
    >>> from kelman.lti import standard_form
    >>> model = kelman.StateSpace([[0.5]], [[2.0]], [[1.0]], [[1.0]], B=[[3.0]])
    >>> [matrix.item() for matrix in standard_form(model)]
    [0.5, 1.5, 2.0, 6.0]
    """
    for name in ("A", "H", "B", "D"):
        array = getattr(model, name, None)
        if array is not None and np.ndim(array) != 2:
            raise KelmanError(
                f"model.{name}: expected a constant matrix, got shape {np.shape(array)}; "
                "the algebra of time-invariant systems has no meaning for a model that varies in time or between series"
            )
    try:
        A, H = (np.asarray(getattr(model, name), dtype=np.float64) for name in ("A", "H"))
    except AttributeError as error:
        raise KelmanError(f"model: expected a kelman.StateSpace, got {type(model).__name__}") from error
    n, m = A.shape[0], H.shape[0]
    given_B, given_D = getattr(model, "B", None), getattr(model, "D", None)
    p = next((np.shape(g)[1] for g in (given_B, given_D) if g is not None), 0)
    B = np.zeros((n, p)) if given_B is None else np.asarray(given_B, dtype=np.float64)
    D = np.zeros((m, p)) if given_D is None else np.asarray(given_D, dtype=np.float64)
    if getattr(model, "input_lag", 0) == 1:
        return A, B, H, D
    return A, A @ B, H, H @ B + D
