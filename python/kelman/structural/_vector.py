# SPDX-License-Identifier: BSD-3-Clause
"""Vector autoregressions and dynamic factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kelman._arrays import as_count, as_flag
from kelman.errors import KelmanError
from kelman.models._transforms import Bounded, StationaryAR
from kelman.structural._component import POSITIVE, Component, Signal, Target, called, square_places
from kelman.structural._lyapunov import stationary
from kelman.structural._stationary_var import StationaryVAR
from kelman.structural._structural import Structural

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.models._transforms import Transform
    from kelman.structural._data import Record

_FREE = Bounded(-np.inf, np.inf)


def var(p: int, m: int, *, mean: bool = False, name: str | None = None) -> Structural:
    r"""Return a stationary vector autoregression of order p.

    .. math:: y_k = \Phi_1 y_{k-1} + ... + \Phi_p y_{k-p} + e_k

    Parameters
    ----------
    p : int
        Number of lags.
    m : int
        Number of measured values.
    mean : bool, default False
        Whether each value has a mean, which is then a parameter.
    name : str, optional
        Name of the component, "var" by default.

    Returns
    -------
    Structural
        The model, without measurement noise; add ``irregular(m=m)`` for such a noise. Parameters: ``var.lag1[i,j]``, the effect
        of value j on value i, and ``var.cov[i,j]``, the lower triangle of Cov(e).

    Raises
    ------
    KelmanError
        If p or m is not a whole number of at least 1.

    Notes
    -----
    Stationary by construction: Ansley and Kohn, J. Statistical Computation and Simulation 24 (1986). Lütkepohl, *New
    Introduction to Multiple Time Series Analysis* (2005), chapter 2.

    Examples
    --------
    >>> from kelman import structural
    >>> structural.var(1, 2).names
    ('var.lag1[0,0]', 'var.lag1[0,1]', 'var.lag1[1,0]', 'var.lag1[1,1]', 'var.cov[0,0]', 'var.cov[1,0]', 'var.cov[1,1]')
    """
    p, m = as_count(p, "p"), as_count(m, "m")
    own = called(name, "var")
    H = np.eye(m, m * p)
    base = {"A": np.eye(m * p, k=-m), "H": H, "Q": np.zeros((m * p, m * p)), "P1": np.zeros((m * p, m * p))}
    part = Autoregression(
        kind="var", name=own, base=base, signals=(Signal(own, H),), p=p, k=m, mean=as_flag(mean, "mean")
    )
    return Structural((part,))


def dynamic_factor(m: int, factors: int = 1, p: int = 1, *, mean: bool = False, name: str | None = None) -> Structural:
    r"""Return a few common factors behind many measured values, each with noise of its own.

    .. math:: z_k = \Lambda f_k + v_k, \qquad f_k = \Phi_1 f_{k-1} + ... + \Phi_p f_{k-p} + e_k,
        \qquad \mathrm{Cov}(e) = I, \quad \mathrm{Cov}(v) \text{ diagonal}

    Parameters
    ----------
    m : int
        Number of measured values.
    factors : int, default 1
        Number of factors.
    p : int, default 1
        Lags of the factors' autoregression, which is stationary.
    mean : bool, default False
        Whether each value has a mean, which is then a parameter.
    name : str, optional
        Name of the component, "factors" by default.

    Returns
    -------
    Structural
        The model. Loadings above the diagonal are zero, so that the factors cannot be rotated; their signs are free.

    Raises
    ------
    KelmanError
        If a number is not a whole number of at least 1, or if there are more factors than values.

    Notes
    -----
    Geweke (1977); Stock and Watson, "New indexes of coincident and leading economic indicators" (1989); the triangle of zeros:
    Harvey (1989), section 8.5.

    Examples
    --------
    >>> from kelman import structural
    >>> structural.dynamic_factor(3).names[:3]
    ('factors.loading[0,0]', 'factors.loading[1,0]', 'factors.loading[2,0]')
    """
    m, k, p = as_count(m, "m"), as_count(factors, "factors"), as_count(p, "p")
    if k > m:
        raise KelmanError(f"factors: expected at most as many as there are measured values, {m}, got {k}")
    own = called(name, "factors")
    n = k * p
    noise = np.zeros((n, n))
    noise[:k, :k] = np.eye(k)
    base = {"A": np.eye(n, k=-k), "H": np.zeros((m, n)), "Q": noise, "R": np.zeros((m, m)), "P1": np.zeros((n, n))}
    each = tuple(Signal(f"{own} {i + 1}", np.eye(n)[i : i + 1], additive=False) for i in range(k))
    part = Factors(
        kind="dynamic_factor",
        name=own,
        base=base,
        signals=(Signal(own, base["H"]), *each),
        p=p,
        k=k,
        mean=as_flag(mean, "mean"),
    )
    return Structural((part,))


@dataclass(frozen=True, eq=False, kw_only=True)
class Autoregression(Component):
    """A stationary VAR(p) of k variables as states, with a free error covariance."""

    p: int
    k: int
    mean: bool

    @property
    def noisy(self) -> bool:
        """The process is its own noise."""
        return True

    @property
    def _means(self) -> tuple[str, ...]:
        return tuple(f"mean[{i}]" for i in range(self.m)) if self.mean else ()

    @property
    def _lags(self) -> tuple[str, ...]:
        rows = range(self.k)
        return tuple(f"lag{h + 1}[{i},{j}]" for h in range(self.p) for i in rows for j in rows)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Coefficients, the triangle of the error covariance, means."""
        triangle = tuple(f"cov[{i},{j}]" for i in range(self.k) for j in range(i + 1))
        return (*self._lags, *triangle, *self._means)

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """Ansley and Kohn's, and the means as they are."""
        return (StationaryVAR(self.k, self.p), *(_FREE for _ in self._means))

    @property
    def targets(self) -> tuple[Target, ...]:
        """Top rows of A, top left of Q, P1, c."""
        return (
            *(("A", (i, h * self.k + j)) for h in range(self.p) for i in range(self.k) for j in range(self.k)),
            *square_places("P1", range(self.n)),
            *square_places("Q", range(self.k)),
            *(("c", (i,)) for i in range(len(self._means))),
        )

    def entries(self, theta: Array) -> tuple[Array, Array]:
        """Return coefficients, P of Lyapunov's equation, error covariance, means."""
        (L, K), k = theta.shape, self.k
        cut, stop = self.p * k * k, self.p * k * k + k * (k + 1) // 2
        rows, cols = np.tril_indices(k)
        S, dS = np.zeros((L, k, k)), np.zeros((L, K, k, k))
        S[:, rows, cols] = S[:, cols, rows] = theta[:, cut:stop]
        numbers = np.arange(cut, stop)
        dS[:, numbers, rows, cols] = dS[:, numbers, cols, rows] = 1.0
        values, slopes = self._dynamics(theta[:, :cut], S, dS, K)
        return (
            np.concatenate([values, S.reshape(L, -1), theta[:, stop:]], axis=1),
            np.concatenate([slopes, np.swapaxes(dS.reshape(L, K, -1), 1, 2), _unit(L, K, stop, K)], axis=1),
        )

    def _dynamics(self, coefficients: Array, S: Array, dS: Array, K: int, at: int = 0) -> tuple[Array, Array]:
        """Values and slopes of A's top rows and of P1; the coefficients are the parameters from `at` on."""
        k, n = self.k, self.n
        L, count = coefficients.shape
        A, dA = np.zeros((L, n, n)), np.zeros((L, K, n, n))
        A[:] = np.eye(n, k=-k)
        lag, row, column = np.unravel_index(np.arange(count), (self.p, k, k))
        A[:, row, lag * k + column] = coefficients
        dA[:, at + np.arange(count), row, lag * k + column] = 1.0
        Q, dQ = np.zeros((L, n, n)), np.zeros((L, K, n, n))
        Q[:, :k, :k], dQ[:, :, :k, :k] = S, dS
        cov, dcov = stationary(A, Q, dA, dQ)
        slopes = [_unit(L, K, at, at + count), np.swapaxes(dcov.reshape(L, K, -1), 1, 2)]
        return np.concatenate([coefficients, cov.reshape(L, -1)], axis=1), np.concatenate(slopes, axis=1)

    def start(self, record: Record) -> Array:
        """Return a regression on the past."""
        phi, S = record.var(self.p)
        return np.concatenate([phi.ravel(), S[np.tril_indices(self.k)], record.mean() if self.mean else []])


@dataclass(frozen=True, eq=False, kw_only=True)
class Factors(Autoregression):
    """A stationary VAR(p) of k factors with unit errors, loadings, and a variance for each measured value."""

    @property
    def _loadings(self) -> list[tuple[int, int]]:
        return [(i, j) for i in range(self.m) for j in range(min(i + 1, self.k))]

    @property
    def parameters(self) -> tuple[str, ...]:
        """Loadings, coefficients, variances, means."""
        loadings = tuple(f"loading[{i},{j}]" for i, j in self._loadings)
        return (*loadings, *self._lags, *(f"{i}.variance" for i in range(self.m)), *self._means)

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """Loadings as they are, stationary coefficients, logarithms, means as they are."""
        dynamics: Transform = StationaryAR(self.p) if self.k == 1 else StationaryVAR(self.k, self.p, covariance=False)
        return (*(_FREE for _ in self._loadings), dynamics, *(POSITIVE,) * self.m, *(_FREE for _ in self._means))

    @property
    def targets(self) -> tuple[Target, ...]:
        """H, top rows of A, P1, the diagonal of R, c."""
        return (
            *(("H", place) for place in self._loadings),
            *(("A", (i, h * self.k + j)) for h in range(self.p) for i in range(self.k) for j in range(self.k)),
            *square_places("P1", range(self.n)),
            *(("R", (i, i)) for i in range(self.m)),
            *(("c", (i,)) for i in range(len(self._means))),
        )

    def entries(self, theta: Array) -> tuple[Array, Array]:
        """Return loadings, coefficients, P of Lyapunov's equation, variances and means."""
        (L, K), first = theta.shape, len(self._loadings)
        cut = first + self.p * self.k**2
        S = np.zeros((L, self.k, self.k))
        S[:] = np.eye(self.k)
        values, slopes = self._dynamics(theta[:, first:cut], S, np.zeros((L, K, self.k, self.k)), K, first)
        return (
            np.concatenate([theta[:, :first], values, theta[:, cut:]], axis=1),
            np.concatenate([_unit(L, K, 0, first), slopes, _unit(L, K, cut, K)], axis=1),
        )

    def start(self, record: Record) -> Array:
        """Return principal components, and the autoregression of their scores."""
        loadings, phi, variances = record.factors(self.k, self.p)
        chosen = [loadings[i, j] for i, j in self._loadings]
        return np.concatenate([chosen, phi.ravel(), variances, record.mean() if self.mean else []])


def _unit(L: int, K: int, first: int, stop: int) -> Array:
    """Rows `first` to `stop` of the identity, for each of L vectors."""
    rows = np.eye(K)[first:stop]
    return np.broadcast_to(rows, (L, *rows.shape))
