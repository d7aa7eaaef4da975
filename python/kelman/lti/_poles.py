# SPDX-License-Identifier: BSD-3-Clause
"""Poles: the eigenvalues of a transition matrix, how to match two sets of them, and how to say what they mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kelman.errors import KelmanError
from kelman.lti._check import FloatArray, number_between, square

ComplexArray = NDArray[np.complex128]


def poles(A: ArrayLike) -> ComplexArray:
    """Eigenvalues of A, the slowest first.

    Parameters
    ----------
    A : array_like, shape (n, n)
        Transition matrix.

    Returns
    -------
    ndarray of complex, shape (n,)
        Sorted by falling modulus; of a complex pair the one with positive imaginary part comes first.

    Examples
    --------
    >>> import numpy as np
    >>> from kelman.lti import poles
    >>> print(np.round(poles([[0.0, 1.0], [-0.81, 0.0]]), 6))
    [0.+0.9j 0.-0.9j]
    """
    A = square("A", A)
    return sort_poles(np.linalg.eigvals(A))


def sort_poles(values: ArrayLike) -> ComplexArray:
    """Sort by falling modulus (to 12 digits), then falling real part, then falling imaginary part."""
    values = np.asarray(values, dtype=np.complex128)
    modulus = np.abs(values)
    rounded = np.round(modulus, 12)
    order = np.lexsort((-values.imag, -np.round(values.real, 12), -rounded))
    return values[order]


def spectral_radius(A: ArrayLike) -> float:
    """Largest modulus of the eigenvalues of A (0 for an empty matrix).

    Parameters
    ----------
    A : array_like, shape (n, n)
        Transition matrix.

    Returns
    -------
    float
        The spectral radius; the system x_{k+1} = A x_k is stable exactly when it is below one.

    Examples
    --------
    >>> from kelman.lti import spectral_radius
    >>> spectral_radius([[0.5, 1.0], [0.0, -0.75]])
    0.75
    """
    A = square("A", A)
    return float(np.abs(np.linalg.eigvals(A)).max(initial=0.0))


def match_poles(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.intp], FloatArray]:
    """Pair the poles of two systems so that the sum of distances is smallest (Hungarian assignment).

    Parameters
    ----------
    a : array_like of complex, shape (n,)
        Poles of the first system.
    b : array_like of complex, shape (k,)
        Poles of the second system, k >= n; the surplus ones stay without a partner.

    Returns
    -------
    index : ndarray of int, shape (n,)
        ``b[index]`` are the partners of ``a``.
    distance : ndarray, shape (n,)
        ``abs(a - b[index])``.

    Examples
    --------
    >>> from kelman.lti import match_poles
    >>> index, distance = match_poles([0.9, 0.5], [0.5, 0.875])
    >>> index.tolist(), distance.tolist()
    ([1, 0], [0.025000000000000022, 0.0])
    """
    first = _pole_vector("a", a)
    second = _pole_vector("b", b)
    if len(second) < len(first):
        raise KelmanError(
            f"b: expected at least as many poles as a has ({len(first)}), got {len(second)}; swap the arguments"
        )
    from scipy.optimize import linear_sum_assignment

    cost = np.abs(first[:, None] - second[None, :])
    _, index = linear_sum_assignment(cost)
    return index, cost[np.arange(len(first)), index]


def _pole_vector(name: str, value: ArrayLike) -> ComplexArray:
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise KelmanError(f"{name}: expected a vector of complex numbers ({error})") from error
    if array.ndim != 1 or array.dtype.kind not in "fciub":
        raise KelmanError(
            f"{name}: expected a vector of complex numbers, got dtype {array.dtype} and shape {array.shape}"
        )
    result: ComplexArray = array.astype(np.complex128)
    if not np.isfinite(result).all():
        raise KelmanError(f"{name}: every pole must be finite")
    return result


@dataclass(frozen=True, slots=True)
class PoleStats:
    """What poles mean in time; every field has shape (n,).

    Attributes
    ----------
    poles : ndarray of complex
        The poles themselves, in the order given.
    modulus : ndarray
        Factor by which the mode shrinks (or grows) per step.
    angle : ndarray
        Angle in radians per step, in (-pi, pi].
    period : ndarray
        Time of one full turn, 2 pi dt / abs(angle); inf for a pole that does not turn.
    half_life : ndarray
        Time in which the mode halves, -log(2) dt / log(modulus); inf on the unit circle, negative (a doubling time) outside.
    """

    poles: ComplexArray
    modulus: FloatArray
    angle: FloatArray
    period: FloatArray
    half_life: FloatArray

    def summary(self) -> str:
        """Return the table as text, one line a pole."""
        lines = [f"{'pole':>22} {'modulus':>9} {'angle':>9} {'period':>10} {'half-life':>10}"]
        for pole, modulus, angle, period, half in zip(
            self.poles, self.modulus, self.angle, self.period, self.half_life, strict=True
        ):
            text = f"{pole.real:.5f}{pole.imag:+.5f}j" if pole.imag else f"{pole.real:.5f}"
            lines.append(f"{text:>22} {modulus:9.5f} {angle:9.5f} {period:10.4g} {half:10.4g}")
        return "\n".join(lines)


def pole_stats(poles: ArrayLike, dt: float = 1.0) -> PoleStats:
    """Modulus, angle, period and half-life of discrete-time poles.

    Parameters
    ----------
    poles : array_like of complex, shape (n,)
        Eigenvalues of a discrete-time transition matrix.
    dt : float, default 1
        Sampling interval: period and half-life come in its unit.

    Returns
    -------
    PoleStats
        The five columns, and ``summary()``.

    Examples
    --------
    >>> from kelman.lti import pole_stats
    >>> stats = pole_stats([0.5, 1j], dt=2.0)
    >>> stats.half_life.tolist(), stats.period.tolist()
    ([2.0, inf], [inf, 8.0])
    """
    values = _pole_vector("poles", poles)
    dt = number_between("dt", dt, 0.0, np.inf)
    modulus = np.abs(values)
    angle = np.angle(values)
    with np.errstate(divide="ignore"):
        period = np.where(angle == 0, np.inf, 2 * np.pi * dt / np.abs(angle))
        rate = np.log(modulus)
        half = np.where(rate == 0, np.inf, -np.log(2.0) * dt / np.where(rate == 0, 1.0, rate))
    return PoleStats(values, modulus, angle, period, half)
