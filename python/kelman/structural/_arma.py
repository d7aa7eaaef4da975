# SPDX-License-Identifier: BSD-3-Clause
"""Autoregressive moving averages, with seasons and differences."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman._arrays import as_count, as_flag
from kelman.errors import KelmanError
from kelman.models._transforms import Bounded, StationaryAR
from kelman.structural._component import (
    POSITIVE,
    Component,
    Signal,
    Target,
    called,
    given_variance,
    square_places,
)
from kelman.structural._lyapunov import stationary
from kelman.structural._structural import Structural

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.models._transforms import Transform
    from kelman.structural._data import Record


def arma(
    p: int, q: int = 0, *, mean: bool = False, variance: float | None = None, name: str | None = None
) -> Structural:
    r"""Return a stationary and invertible ARMA(p, q) process.

    .. math:: y_k = \phi_1 y_{k-1} + ... + \phi_p y_{k-p} + e_k + \theta_1 e_{k-1} + ... + \theta_q e_{k-q}

    Parameters
    ----------
    p, q : int
        Number of autoregressive and of moving-average coefficients.
    mean : bool, default False
        Whether the process has a mean, which is then a parameter.
    variance : float, optional
        Variance of e; None is free.
    name : str, optional
        Name of the component, "arma" by default.

    Returns
    -------
    Structural
        The model, without measurement noise; add other components with ``+``, `irregular` for such a noise.

    Raises
    ------
    KelmanError
        If an order is not a whole number of at least 0.

    Notes
    -----
    Harvey's form of max(p, q + 1) states, from its stationary distribution (Harvey 1989, section 3.3; Durbin and Koopman, 2nd
    ed. (2012), section 3.4). The coefficients are estimated through partial autocorrelations (Monahan, Biometrika 71 (1984)).

    Examples
    --------
    >>> from kelman import structural
    >>> structural.arma(1, 1, mean=True).names
    ('arma.ar1', 'arma.ma1', 'arma.variance', 'arma.mean')
    """
    return sarima((p, 0, q), mean=mean, variance=variance, name=called(name, "arma"))


def sarima(
    order: tuple[int, int, int],
    seasonal_order: tuple[int, int, int, int] = (0, 0, 0, 1),
    *,
    mean: bool = False,
    variance: float | None = None,
    name: str | None = None,
) -> Structural:
    r"""Return a seasonal ARIMA process (p, d, q)(P, D, Q)_s.

    .. math:: \phi(L)\, \Phi(L^s)\, [(1 - L)^d (1 - L^s)^D y_k - \mu] = \theta(L)\, \Theta(L^s)\, e_k

    with :math:`\phi(L) = 1 - \phi_1 L - ...` and :math:`\theta(L) = 1 + \theta_1 L + ...`.

    Parameters
    ----------
    order : (int, int, int)
        p, d, q.
    seasonal_order : (int, int, int, int), default (0, 0, 0, 1)
        P, D, Q and the period s.
    mean : bool, default False
        Whether the differenced process has a mean mu (a drift if d = 1), which is then a parameter.
    variance : float, optional
        Variance of e; None is free.
    name : str, optional
        Name of the component, "sarima" by default.

    Returns
    -------
    Structural
        The model, without measurement noise; add other components with ``+``.

    Raises
    ------
    KelmanError
        If an order is not a whole number of at least 0.

    Notes
    -----
    The measured series itself is modelled, so that gaps are no trouble: the d + s D values before the first are states that
    start exactly diffuse, and the differenced process is stationary. The log-likelihood is that of the differenced series when
    nothing is missing. Box and Jenkins, *Time Series Analysis* (1976), chapter 9; Durbin and Koopman, 2nd ed. (2012), section
    3.4.

    Examples
    --------
    >>> from kelman import structural
    >>> airline = structural.sarima((0, 1, 1), (0, 1, 1, 12))
    >>> airline.names, airline.n
    (('sarima.ma1', 'sarima.seasonal_ma1', 'sarima.variance'), 27)
    """
    p, d, q = _orders(order, "order", 3)
    P, D, Q, s = _orders(seasonal_order, "seasonal_order", 4)
    if (P or D or Q) and s < 2:
        raise KelmanError(f"seasonal_order: expected a period of at least 2, got {s}")
    s = max(s, 1)
    delta = np.ones(1)
    for _ in range(d):
        delta = np.convolve(delta, [1.0, -1.0])
    for _ in range(D):
        delta = np.convolve(delta, np.r_[1.0, np.zeros(s - 1), -1.0])
    r, lags = max(p + s * P, q + s * Q + 1), len(delta) - 1
    n = r + lags
    H = np.r_[1.0, np.zeros(r - 1), -delta[1:]][None, :]
    A = np.zeros((n, n))
    A[:r, :r] = np.eye(r, k=1)
    if lags:
        A[r] = H
        A[r + 1 :, r:] = np.eye(lags - 1, lags)
    base = {"A": A, "H": H, "Q": np.zeros((n, n)), "P1": np.zeros((n, n))}
    if lags:
        base["P1_inf"] = np.diag(np.r_[np.zeros(r), np.ones(lags)])
    own = called(name, "sarima")
    ones = [np.ones(d, dtype=complex)] + [np.exp(2j * np.pi * np.arange(s) / s)] * D
    return Structural(
        (
            Sarima(
                kind="sarima",
                name=own,
                base=base,
                roots=np.concatenate(ones),
                signals=(Signal(own, H),),
                orders=(p, q, P, Q),
                period=s,
                delta=delta,
                states=r,
                mean=as_flag(mean, "mean"),
                variance=given_variance(variance, "variance"),
            ),
        )
    )


def _orders(value: Any, name: str, length: int) -> list[int]:
    try:
        given = list(value)
    except TypeError:
        given = []
    if len(given) != length:
        raise KelmanError(f"{name}: expected {length} whole numbers, got {value!r:.60}")
    return [as_count(each, name, least=0) for each in given]


@dataclass(frozen=True, eq=False, kw_only=True)
class Sarima(Component):
    """A seasonal ARIMA process: `states` states of Harvey's form, then the values before."""

    orders: tuple[int, int, int, int]
    period: int
    delta: Array
    states: int
    mean: bool
    variance: float | None

    @property
    def noisy(self) -> bool:
        """The process is its own noise."""
        return True

    @property
    def parameters(self) -> tuple[str, ...]:
        """Coefficients, then the variance, then the mean."""
        words = ("ar", "ma", "seasonal_ar", "seasonal_ma")
        names = [f"{word}{i + 1}" for word, order in zip(words, self.orders, strict=True) for i in range(order)]
        return (*names, *(() if self.variance is not None else ("variance",)), *(("mean",) if self.mean else ()))

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """Partial autocorrelations, a logarithm, and the mean as it is."""
        signs = (1.0, -1.0, 1.0, -1.0)
        parts: list[Transform] = [StationaryAR(k, sign) for k, sign in zip(self.orders, signs, strict=True) if k]
        parts += [] if self.variance is not None else [POSITIVE]
        return (*parts, *((Bounded(-np.inf, np.inf),) if self.mean else ()))

    @property
    def _autoregressive(self) -> int:
        return self.orders[0] + self.period * self.orders[2]

    @property
    def targets(self) -> tuple[Target, ...]:
        """First column of the companion matrix, the noise, the stationary covariance, and the mean in c and b."""
        rows = range(self.states)
        places: tuple[Target, ...] = tuple(("A", (i, 0)) for i in range(self._autoregressive))
        places += square_places("Q", rows) + square_places("P1", rows)
        if self.mean:
            places += (("c", (0,)),)
            places += (("b", (self.states,)),) if len(self.delta) > 1 else ()
        return places

    def entries(self, theta: Array) -> tuple[Array, Array]:
        """Return the coefficients of the product polynomials, s2 g g', and P of Lyapunov's equation."""
        (L, K), r = theta.shape, self.states
        p, q, P, Q = self.orders
        cuts = np.cumsum([0, p, q, P, Q])
        near, ma, far, seasonal_ma = (theta[:, i:j] for i, j in pairwise(cuts))
        phi, dphi = self._product(-near, -far, cuts[0], cuts[2], -1.0, K)
        g, dg = self._product(ma, seasonal_ma, cuts[1], cuts[3], 1.0, K)
        phi, dphi, count = -phi[:, 1:], -dphi[:, :, 1:], self._autoregressive
        noise, dnoise = np.zeros((L, r)), np.zeros((L, K, r))
        noise[:, : g.shape[1]], dnoise[..., : g.shape[1]] = g, dg
        s2 = theta[:, cuts[4]] if self.variance is None else np.full(L, self.variance)
        outer = noise[:, :, None] * noise[:, None, :]
        cov_e = s2[:, None, None] * outer
        half = s2[:, None, None, None] * dnoise[..., :, None] * noise[:, None, None, :]
        dQ = half + np.swapaxes(half, 2, 3)
        if self.variance is None:
            dQ[:, cuts[4]] += outer
        A, dA = np.zeros((L, r, r)), np.zeros((L, K, r, r))
        A[:] = np.eye(r, k=1)
        A[:, :count, 0], dA[:, :, :count, 0] = phi, dphi
        cov, dcov = stationary(A, cov_e, dA, dQ)
        values = [phi, cov_e.reshape(L, -1), cov.reshape(L, -1)]
        slopes = [dphi, dQ.reshape(L, K, -1), dcov.reshape(L, K, -1)]
        if self.mean:
            places = 1 + (len(self.delta) > 1)
            values.append(np.repeat(theta[:, -1:], places, axis=1))
            by_mean = np.zeros((L, K, places))
            by_mean[:, -1] = 1.0
            slopes.append(by_mean)
        return np.concatenate(values, axis=1), np.swapaxes(np.concatenate(slopes, axis=2), 1, 2)

    def _product(self, near: Array, far: Array, at: int, seasonal_at: int, sign: float, K: int) -> tuple[Array, Array]:
        """Multiply 1 + near(L) by 1 + far(L^s): coefficients (L, len) and their derivatives (L, K, len)."""
        count, s = len(near), self.period
        p, P = near.shape[1], far.shape[1]
        one = np.column_stack([np.ones(count), near])
        other = np.zeros((count, 1 + s * P))
        other[:, 0] = 1.0
        other[:, s::s] = far
        product = np.zeros((count, 1 + p + s * P))
        by = np.zeros((count, K, product.shape[1]))
        for i in range(p + 1):
            product[:, i : i + other.shape[1]] += one[:, i : i + 1] * other
        for i in range(p):
            by[:, at + i, i + 1 : i + 1 + other.shape[1]] = sign * other
        for i in range(P):
            shift = s * (i + 1)
            by[:, seasonal_at + i, shift : shift + p + 1] = sign * one
        return product, by

    def start(self, record: Record) -> Array:
        """Return regressions of the differenced data on their own past, and on the errors of a long autoregression."""
        coefficients, s2, mean = record.arma(self.delta, self.orders, self.period)
        return np.array([*coefficients, *([] if self.variance is not None else [s2]), *([mean] if self.mean else [])])
