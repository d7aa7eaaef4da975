# SPDX-License-Identifier: BSD-3-Clause
r"""Subspace identification from the LQ factor of stacked block Hankel matrices.

With s block rows of past (p) and future (f), one LQ factorisation

.. math:: \begin{pmatrix} U_f \\ W_p \\ Z_f \end{pmatrix} =
          \begin{pmatrix} L_{11} & & \\ L_{21} & L_{22} & \\ L_{31} & L_{32} & L_{33} \end{pmatrix} Q',
          \qquad W_p = \begin{pmatrix} U_p \\ Z_p \end{pmatrix},

holds all second moments that the method needs; Q is never formed. The part of the future explained by the past with future inputs held
fixed is :math:`L_{32}`, and its n-dimensional approximation under a weighting is the state:

========  ==========================================================  =======================================================
word      what is decomposed                                          A and H from
========  ==========================================================  =======================================================
"cca"     :math:`(L_{32}L_{32}' + L_{33}L_{33}')^{-1/2} L_{32}`       regression of next state and measurement on the state
"n4sid"   :math:`L_{32} L_{22}^{+} (L_{21}\ L_{22})`                  shift invariance of the observability matrix
"moesp"   :math:`L_{32}`                                              shift invariance of the observability matrix
========  ==========================================================  =======================================================

Larimore 1990 (CCA, canonical variate analysis); Van Overschee & De Moor 1994 (N4SID); Verhaegen 1994 (PO-MOESP); the unified view in
Van Overschee & De Moor, Subspace Identification for Linear Systems, 1996. Singular values are those of SLICOT's IB01AD for "moesp" (not
divided by the number of columns) and canonical correlations for "cca".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.errors import KelmanError, NoSteadyStateError
from kelman.lti import dare, spectral_radius

if TYPE_CHECKING:
    from kelman.identify._data import Data
    from kelman.lti._check import FloatArray

_CHUNK = 8192
_MANY = 20_000  # columns from which moments are summed instead of a QR factorisation
_POOR = 1e-8  # ... if the condition number of their correlation matrix allows


@dataclass(frozen=True, eq=False)
class Factor:
    """The LQ factor, with the sizes that index it."""

    L: FloatArray
    rows: int
    m: int
    p: int
    columns: int

    @property
    def edges(self) -> tuple[int, int]:
        """Rows where the past and where the future measurements begin."""
        return self.rows * self.p, self.rows * (2 * self.p + self.m)


@dataclass(frozen=True, eq=False)
class Subspace:
    """What the decomposition gave, for any order.

    Attributes
    ----------
    singular_values : ndarray
        Of the weighted matrix.
    observability : ndarray, shape (s m, r)
        Extended observability matrix, column i of weight sqrt(singular value i).
    state_map : ndarray, shape (r, s (p + m))
        State = state_map x stacked past [u_{k-s} .. u_{k-1}, z_{k-s} .. z_{k-1}].
    """

    singular_values: FloatArray
    observability: FloatArray
    state_map: FloatArray


@dataclass(frozen=True, eq=False)
class Realised:
    """A model in innovation form, x+ = A x + B u + K e, z = H x + D u + e, and the noise covariances behind K."""

    A: FloatArray
    B: FloatArray
    D: FloatArray
    H: FloatArray
    K: FloatArray
    Sigma: FloatArray
    Q: FloatArray
    R: FloatArray
    S: FloatArray
    gain_from: str


def default_block_rows(data: Data, n_states: int | None) -> int:
    """Return 2.5 log(steps) block rows, at most a third of the longest series, at least what the order needs, if the data allow."""
    wanted = int(np.ceil(2.5 * np.log(max(data.total, 3))))
    wanted = max(2, min(wanted, int(data.lengths.max()) // 3))
    if n_states is not None:
        wanted = max(wanted, n_states + 2)
    while wanted > 2 and not enough_columns(data, wanted):
        wanted -= 1
    return wanted


def windows(data: Data, rows: int) -> int:
    """Count the whole windows of 2 s steps of all series: the Hankel columns."""
    return int(np.maximum(data.lengths - 2 * rows + 1, 0).sum())


def enough_columns(data: Data, rows: int) -> bool:
    """Whether there are as many Hankel columns as rows."""
    return windows(data, rows) >= 2 * rows * (data.m + data.p)


def lq_factor(data: Data, rows: int) -> Factor:
    """LQ factor of [U_f; U_p; Z_p; Z_f] over all whole windows of 2 s steps of all series, block by block of columns."""
    m, p = data.m, data.p
    height = 2 * rows * (m + p)
    columns = windows(data, rows)
    if columns < height:
        gaps = f" without a gap ({data.missing} have one)" if data.missing else ""
        other = ", or use method='mle' or 'em' with n_states, which take any gaps" if data.missing else ""
        raise KelmanError(
            f"z: {data.total} steps{gaps} in {len(data.lengths)} stretches (the longest of {int(data.lengths.max())}) give "
            f"{columns} whole windows of {2 * rows} steps, but block_rows={rows} needs at least {height}; give more data or "
            f"fewer block_rows{other}"
        )
    if columns >= _MANY:
        triangle = _from_moments(data, rows)
        if triangle is not None:
            return Factor(triangle, rows, m, p, columns)
    return Factor(_from_columns(data, rows), rows, m, p, columns)


def _from_columns(data: Data, rows: int) -> FloatArray:
    """LQ factor by Householder QR, block by block of columns."""
    triangle: Any = np.zeros((0, 2 * rows * (data.m + data.p)))
    for z, u in data.series():
        count = len(z) - 2 * rows + 1
        for first in range(0, count, _CHUNK):
            stop = min(first + _CHUNK, count)
            uw = np.lib.stride_tricks.sliding_window_view(u[first : stop + 2 * rows - 1], 2 * rows, axis=0)
            zw = np.lib.stride_tricks.sliding_window_view(z[first : stop + 2 * rows - 1], 2 * rows, axis=0)
            future_past = [_flat(uw[..., rows:]), _flat(uw[..., :rows]), _flat(zw[..., :rows]), _flat(zw[..., rows:])]
            triangle = np.linalg.qr(np.vstack([triangle, np.hstack(future_past)]), mode="r")
    return np.ascontiguousarray(triangle.T)


def _from_moments(data: Data, rows: int) -> FloatArray | None:
    """LQ factor as the Cholesky factor of the moment matrix, or None where that would lose digits that count.

    Moments of lag j are summed once; down each diagonal the Hankel structure only adds the sample that enters and drops the one that leaves.
    """
    m, p, steps = data.m, data.p, 2 * rows
    q = p + m
    blocks = np.zeros((steps, steps, q, q))
    for z, u in data.series():
        y = np.hstack([u, z])
        count = len(y) - steps + 1
        if count < 1:
            continue
        channels = np.ascontiguousarray(y.T)
        row = np.empty((steps, q, q))
        for j in range(steps):
            row[j] = channels[:, :count] @ channels[:, j : j + count].T
        blocks[0] += row
        for i in range(1, steps):
            enters = np.einsum("a,jb->jab", y[count + i - 1], y[count + i - 1 :][: steps - i])
            leaves = np.einsum("a,jb->jab", y[i - 1], y[i - 1 : steps - 1])
            row = row[: steps - i] + enters - leaves
            blocks[i, i:] += row
    upper = np.triu(np.ones((steps, steps), dtype=bool))
    full = np.where(upper[:, :, None, None], blocks, blocks.transpose(1, 0, 3, 2))
    full = full.transpose(0, 2, 1, 3).reshape(steps * q, steps * q)
    channel = np.arange(steps * q).reshape(steps, q)
    order = np.concatenate(
        [part.ravel() for part in (channel[rows:, :p], channel[:rows, :p], channel[:rows, p:], channel[rows:, p:])]
    )
    moments = full[np.ix_(order, order)]
    size = np.sqrt(np.diag(moments))
    values = np.linalg.eigvalsh(moments / np.outer(size, size))
    if not values[0] > _POOR * values[-1]:
        return None
    return np.linalg.cholesky(moments)


def _flat(windows: FloatArray) -> FloatArray:
    """(columns, channels, steps) -> (columns, steps * channels)."""
    return windows.transpose(0, 2, 1).reshape(len(windows), -1)


def decompose(factor: Factor, weighting: str) -> Subspace:
    """Singular value decomposition of the weighted projection of the future on the past."""
    past, future = factor.edges
    L21, L22 = factor.L[past:future, :past], factor.L[past:future, past:future]
    L32, L33 = factor.L[future:, past:future], factor.L[future:, future:]
    regression = np.linalg.lstsq(L22.T, L32.T, rcond=1e-12)[0].T  # oblique projection: Z_f ~ regression W_p + .. U_f
    unweight = None
    if weighting == "moesp":
        target = L32
    elif weighting == "n4sid":
        target = regression @ np.hstack([L21, L22])
    else:
        values, vectors = np.linalg.eigh(L32 @ L32.T + L33 @ L33.T)
        keep = values > 1e-13 * values[-1]
        root = np.sqrt(values[keep])
        weight = vectors[:, keep].T / root[:, None]
        unweight = vectors[:, keep] * root
        target = weight @ L32
    left, singular, _ = np.linalg.svd(target, full_matrices=False)
    rank = int(np.count_nonzero(singular > 1e-12 * singular[0])) if singular.size and singular[0] > 0 else 0
    root = np.sqrt(singular[:rank])
    if unweight is None:
        observability, pinv = left[:, :rank] * root, left[:, :rank].T / root[:, None]
    else:
        observability, pinv = unweight @ left[:, :rank] * root, (left[:, :rank].T / root[:, None]) @ weight
    return Subspace(singular, observability, pinv @ regression)


def noise_edge(factor: Factor) -> float:
    r"""Return the largest canonical correlation that independent past and future of that size show.

    With s m and s (m + p) variables in N columns it is about :math:`(\sqrt{s m} + \sqrt{s(m+p)}) / \sqrt{N}`.
    """
    s, m, p = factor.rows, factor.m, factor.p
    edge = (np.sqrt(s * m) + np.sqrt(s * (m + p))) / np.sqrt(factor.columns)
    return float(min(edge, 0.99))


def above_noise(factor: Factor, canonical: Subspace) -> int:
    """How many canonical correlations exceed what noise alone would show."""
    return int(np.count_nonzero(canonical.singular_values > noise_edge(factor)))


class _Moments:
    """Coordinates, in the orthonormal Q' of the LQ factor, of state, next state, input and measurement."""

    def __init__(self, factor: Factor, state_map: FloatArray) -> None:
        s, m, p, L = factor.rows, factor.m, factor.p, factor.L
        past, future = factor.edges
        Uf, Up, Zp, Zf = L[: s * p], L[past : past + s * p], L[past + s * p : future], L[future:]
        self.u, self.z = Uf[:p], Zf[:m]
        self.x = state_map @ np.vstack([Up, Zp])
        self.x_next = state_map @ np.vstack([Up[p:], self.u, Zp[m:], self.z])


def _regress(target: FloatArray, regressors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Least squares of rows on rows, and the residual."""
    if not len(regressors):
        return np.zeros((len(target), 0)), target
    coefficients = np.linalg.lstsq(regressors.T, target.T, rcond=None)[0].T
    return coefficients, target - coefficients @ regressors


def realise(factor: Factor, subspace: Subspace, order: int, weighting: str, direct: bool) -> Realised:
    """Model of the given order from the decomposition."""
    m, p, N = factor.m, factor.p, factor.columns
    moments = _Moments(factor, subspace.state_map[:order])
    inputs = moments.u if direct else moments.u[:0]
    if weighting == "cca":
        output, v = _regress(moments.z, np.vstack([moments.x, inputs]))
        H, D = output[:, :order], output[:, order:]
        next_state, w = _regress(moments.x_next, np.vstack([moments.x, moments.u]))
        A, B = next_state[:, :order], next_state[:, order:]
    else:
        gamma = subspace.observability[:, :order]
        A = np.linalg.lstsq(gamma[:-m], gamma[m:], rcond=None)[0]
        H = gamma[:m]
        B, w = _regress(moments.x_next - A @ moments.x, moments.u)
        D, v = _regress(moments.z - H @ moments.x, inputs)
    if D.shape[1] != p:
        D = np.zeros((m, p))
    Q, R, S = w @ w.T / N, v @ v.T / N, w @ v.T / N
    K, Sigma, gain_from = _gain(A, H, Q, R, S, prefer_regression=weighting == "cca")
    return Realised(A, B, D, H, K, Sigma, Q, R, S, gain_from)


def _gain(
    A: FloatArray, H: FloatArray, Q: FloatArray, R: FloatArray, S: FloatArray, *, prefer_regression: bool
) -> tuple[FloatArray, FloatArray, str]:
    """Stable predictor gain: regression of w on v, or the Riccati equation of the residual covariances."""
    raw = np.linalg.lstsq(R, S.T, rcond=1e-12)[0].T
    if prefer_regression and spectral_radius(A - raw @ H) < 1:
        return raw, R, "regression"
    scale = float(np.trace(Q)) / max(len(A), 1)
    for ridge in (0.0, 1e-10, 1e-6, 1e-2):
        try:
            found = dare(A, H, (Q + Q.T) / 2 + ridge * scale * np.eye(len(A)), (R + R.T) / 2, S)
        except (NoSteadyStateError, KelmanError):
            continue
        return found.K, found.Sigma, "riccati" if ridge == 0 else f"riccati with {ridge:g} of extra state noise"
    if spectral_radius(A - raw @ H) < 1:
        return raw, R, "regression"
    if spectral_radius(A) < 1:
        return np.zeros_like(S), R, "none (open loop)"
    raise KelmanError(
        "n_states: the subspace estimate of this order has no stable predictor (an unstable mode that the measurements do not show); "
        "give another n_states, block_rows or weighting"
    )
