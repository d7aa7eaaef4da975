# SPDX-License-Identifier: BSD-3-Clause
"""First-order change of eigenvalues with the matrix: what turns a covariance of A into one of its poles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kelman.lti._check import FloatArray, square
from kelman.lti._poles import ComplexArray, sort_poles

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def pole_derivatives(A: ArrayLike) -> tuple[ComplexArray, ComplexArray]:
    r"""Poles of A and their derivatives by the entries of A.

    .. math:: \frac{\partial \lambda}{\partial A_{ij}} = \frac{\bar y_i x_j}{y^* x}

    with right and left eigenvectors x and y (for simple eigenvalues; a multiple eigenvalue has no derivative, and the numbers
    returned for it are large).

    Parameters
    ----------
    A : array_like, shape (n, n)
        Transition matrix.

    Returns
    -------
    poles : ndarray of complex, shape (n,)
        In the order of `poles`.
    derivative : ndarray of complex, shape (n, n, n)
        Entry (k, i, j) is the derivative of pole k by A[i, j].

    Examples
    --------
    >>> from kelman.lti import pole_derivatives
    >>> values, derivative = pole_derivatives([[0.5, 1.0], [0.0, 0.25]])
    >>> derivative[0].real.tolist()
    [[1.0, 0.0], [4.0, 0.0]]
    """
    A = square("A", A)
    from scipy.linalg import eig

    values, left, right = eig(A, left=True, right=True)
    overlap = np.einsum("ik,ik->k", left.conj(), right)
    overlap = np.where(np.abs(overlap) < 1e-300, 1e-300, overlap)
    derivative = np.einsum("ik,jk->kij", left.conj(), right) / overlap[:, None, None]
    ordered = sort_poles(values)
    index = [int(np.argmin(np.abs(values - v))) for v in ordered]
    if len(set(index)) != len(index):  # repeated eigenvalues: any order will do
        index = list(np.lexsort((-values.imag, -values.real, -np.abs(values))))
    return values[index].astype(np.complex128), derivative[index]


def pole_covariance(A: ArrayLike, A_cov: FloatArray) -> FloatArray:
    """Covariance of (real part, imaginary part) of each pole from that of vec A, by the delta method.

    Parameters
    ----------
    A : array_like, shape (n, n)
        Transition matrix.
    A_cov : ndarray, shape (n * n, n * n)
        Covariance of the entries of A in row order.

    Returns
    -------
    ndarray, shape (n, 2, 2)
        In the order of `poles`; of a real pole only entry (0, 0) differs from zero.

    Examples
    --------
    >>> from kelman.lti import pole_covariance
    >>> pole_covariance([[0.5]], [[0.01]]).tolist()
    [[[0.01, 0.0], [0.0, 0.0]]]
    """
    values, derivative = pole_derivatives(A)
    n = len(values)
    flat = derivative.reshape(n, n * n)
    parts = np.stack([flat.real, flat.imag], axis=1)
    result: FloatArray = parts @ np.asarray(A_cov, dtype=np.float64) @ parts.transpose(0, 2, 1)
    return (result + result.transpose(0, 2, 1)) / 2
