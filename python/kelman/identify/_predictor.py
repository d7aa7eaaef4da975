# SPDX-License-Identifier: BSD-3-Clause
r"""The one-step predictor of a model in innovation form: its errors on data, and their exact derivatives.

.. math:: s_{k+1} = F s_k + K z_k + \tilde B u_k + \tilde b, \qquad e_k = z_k - H s_k - D u_k - c

with :math:`F = A - K H`, :math:`\tilde B = B - K D`, :math:`\tilde b = b - K c`. In these letters the predictor is linear in each of its two blocks of
parameters, :math:`\Theta_1 = (F\ K\ \tilde B\ \tilde b)`, fed by :math:`\sigma_k = (s_k, z_k, u_k, 1)`, and :math:`\Theta_2 = (H\ D\ c)`, fed by
:math:`\tau_k = (s_k, u_k, 1)`. The derivative of the prediction l by entry (i, j) of :math:`\Theta_1` is entry i of

.. math:: g_{k+1} = F' g_k + H_l' \sigma_{k,j},

one n-vector recursion for all i (transposition does not change a scalar transfer function), so m (n + m + p + 1) recursions give all
n (n + m + p + 1) derivatives. Series are streamed in pieces of time; only the normal equations are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from kelman.lti._propagate import propagate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kelman.identify._data import Data
    from kelman.lti._check import FloatArray

_PIECE = 400_000  # numbers in one piece of sensitivities


@dataclass(frozen=True, eq=False)
class Predictor:
    """Parameters of the predictor, and the first state of each series.

    Attributes
    ----------
    theta1 : ndarray, shape (n, n + m + p + 1)
        (F, K, B~, b~).
    theta2 : ndarray, shape (m, n + p + 1)
        (H, D, c).
    x1 : ndarray, shape (n, N)
        State at the first measurement of each series.
    """

    theta1: FloatArray
    theta2: FloatArray
    x1: FloatArray

    @property
    def n(self) -> int:
        """States."""
        return len(self.theta1)

    @property
    def F(self) -> FloatArray:
        """Closed loop A - K H."""
        return self.theta1[:, : self.n]

    @property
    def K(self) -> FloatArray:
        """Predictor gain."""
        return self.theta1[:, self.n : self.n + len(self.theta2)]

    @property
    def H(self) -> FloatArray:
        """Measurement matrix."""
        return self.theta2[:, : self.n]

    @property
    def D(self) -> FloatArray:
        """Direct term."""
        return self.theta2[:, self.n : -1]

    @property
    def c(self) -> FloatArray:
        """Offset of the measurement."""
        return self.theta2[:, -1]

    @property
    def A(self) -> FloatArray:
        """Transition F + K H."""
        A: FloatArray = self.F + self.K @ self.H
        return A

    @property
    def B(self) -> FloatArray:
        """Input matrix."""
        m = len(self.theta2)
        B: FloatArray = self.theta1[:, self.n + m : -1] + self.K @ self.D
        return B

    @property
    def b(self) -> FloatArray:
        """Offset of the state."""
        b: FloatArray = self.theta1[:, -1] + self.K @ self.c
        return b


def predictor(
    A: FloatArray,
    B: FloatArray,
    H: FloatArray,
    D: FloatArray,
    K: FloatArray,
    b: FloatArray,
    c: FloatArray,
    x1: FloatArray,
) -> Predictor:
    """Predictor of a model in innovation form."""
    theta1 = np.hstack([A - K @ H, K, B - K @ D, (b - K @ c)[:, None]])
    return Predictor(theta1, np.hstack([H, D, c[:, None]]), x1)


@dataclass(frozen=True, eq=False)
class Normal:
    """Normal equations P'P and P'e of the whitened predictions, the first states kept apart.

    Attributes
    ----------
    matrix : ndarray, shape (d, d)
    right : ndarray, shape (d,)
    cross : ndarray, shape (N, d, n)
    own : ndarray, shape (N, n, n)
    own_right : ndarray, shape (N, n)
    """

    matrix: FloatArray
    right: FloatArray
    cross: FloatArray
    own: FloatArray
    own_right: FloatArray


@dataclass(frozen=True, eq=False)
class Free:
    """Which parameters may move: columns of theta1 and theta2, and the first states (freely, or held by a prior)."""

    one: NDArray[np.intp]
    two: NDArray[np.intp]
    x1: bool
    prior: bool = True

    def size(self, n: int, m: int) -> int:
        """Return the number of free parameters without the first states."""
        return n * len(self.one) + m * len(self.two)


def free_parameters(n: int, m: int, p: int, *, offset: bool, direct: bool, x1: str, model: bool = True) -> Free:
    """Return all parameters, or (model=False) only those by which the predictions are linear for fixed F, K, H."""
    one = list(range(n + m)) if model else []
    one += range(n + m, n + m + p)
    two = list(range(n)) if model else []
    two += range(n, n + p) if direct else []
    if offset:
        one.append(n + m + p)
        two.append(n + p)
    return Free(np.array(one, dtype=np.intp), np.array(two, dtype=np.intp), x1 != "zero", x1 == "auto")


@dataclass(eq=False)
class Records:
    """The data in the layout of the recursions: time first, series last."""

    data: Data
    z: FloatArray = field(init=False)
    u: FloatArray = field(init=False)
    mask: FloatArray | None = field(init=False)

    def __post_init__(self) -> None:
        self.z = np.ascontiguousarray(self.data.z.transpose(1, 2, 0))
        self.u = np.ascontiguousarray(self.data.u.transpose(1, 2, 0))
        ragged = len(set(self.data.lengths.tolist())) > 1
        self.mask = np.ascontiguousarray(self.data.mask().T[:, None, :].astype(np.float64)) if ragged else None

    @property
    def total(self) -> int:
        """Measured steps of all series."""
        return self.data.total

    def errors(self, model: Predictor) -> FloatArray:
        """One-step prediction errors, shape (T, m, N), zero past the end of a series."""
        T, m, N = self.z.shape
        out = np.empty((T, m, N))
        state = model.x1
        width = max(64, _PIECE // max(1, model.n * N))
        for first in range(0, T, width):
            piece = slice(first, min(first + width, T))
            s = propagate(model.F, self._drive(model, piece), state)
            state = s[-1]
            out[piece] = self.z[piece] - self._output(model, s[:-1], piece)
        if self.mask is not None:
            out *= self.mask
        return out

    def state_spread(self, model: Predictor) -> FloatArray:
        """Second moment of the predictor's states when every series starts at zero: what a first state may look like."""
        T, _, N = self.z.shape
        total: FloatArray = np.zeros((model.n, model.n))
        state = np.zeros((model.n, N))
        width = max(64, _PIECE // max(1, model.n * N))
        for first in range(0, T, width):
            piece = slice(first, min(first + width, T))
            s = propagate(model.F, self._drive(model, piece), state)
            state, inside = s[-1], s[:-1] if self.mask is None else s[:-1] * self.mask[piece]
            flat = inside.transpose(1, 0, 2).reshape(model.n, -1)
            total += flat @ flat.T
        return total / self.total

    def _drive(self, model: Predictor, piece: slice) -> FloatArray:
        n, m = model.n, self.z.shape[1]
        drive: FloatArray = np.matmul(model.K, self.z[piece])
        if self.u.shape[1]:
            drive += np.matmul(model.theta1[:, n + m : -1], self.u[piece])
        drive += model.theta1[:, -1:]
        return drive

    def _output(self, model: Predictor, s: FloatArray, piece: slice) -> FloatArray:
        output: FloatArray = np.matmul(model.H, s)
        if self.u.shape[1]:
            output += np.matmul(model.D, self.u[piece])
        output += model.theta2[:, -1:]
        return output

    def covariance(self, e: FloatArray) -> FloatArray:
        """Mean of e e' over all measured steps."""
        flat = e.transpose(1, 0, 2).reshape(e.shape[1], -1)
        moment: FloatArray = flat @ flat.T / self.total
        return moment

    def normal_equations(
        self, model: Predictor, e: FloatArray, Sigma: FloatArray, free: Free, precision: FloatArray | None = None
    ) -> Normal:
        """Accumulate the normal equations of the errors weighted by Sigma^-1; ``precision`` is that of the first states."""
        from scipy.linalg import solve_triangular

        T, m, N = self.z.shape
        n = model.n
        whiten = solve_triangular(np.linalg.cholesky(Sigma), np.eye(m), lower=True)
        first_response = _first_response(model, whiten, T) if free.x1 else np.zeros((0, m, n))
        d, q = free.size(n, m), len(free.one)
        matrix, right = np.zeros((d, d)), np.zeros(d)
        cross, own_right = np.zeros((N, d, n)), np.zeros((N, n))
        state, g = model.x1, np.zeros((n, m * q * N))
        width = int(np.clip(_PIECE // max(1, d * m * N), 64, 16384))
        last = T if d else len(first_response)  # nothing but the first states is free: their memory is all that counts
        for first in range(0, last, width):
            piece = slice(first, min(first + width, last))
            s = propagate(model.F, self._drive(model, piece), state)
            state = s[-1]
            rows, g = self._sensitivities(model, s[:-1], piece, whiten, free, g)
            error = np.matmul(whiten, e[piece]).transpose(0, 2, 1)  # (time, series, m)
            flat = rows.reshape(error.size, d)
            matrix += flat.T @ flat
            right += flat.T @ error.reshape(-1)
            response = first_response[piece]
            if len(response):
                k = len(response)
                cross += np.tensordot(rows[:k], response, axes=([0, 2], [0, 1]))
                own_right += np.tensordot(error[:k], response, axes=([0, 2], [0, 1]))
        own = self._own(first_response)
        if precision is not None and free.x1:
            own += precision
            own_right -= (precision @ model.x1).T
        return Normal(matrix, right, cross, own, own_right)

    def _own(self, response: FloatArray) -> FloatArray:
        """Information on each first state: the sum of response' response up to the end of its series."""
        N, n = self.z.shape[2], response.shape[2]
        own = np.zeros((N, n, n))
        if len(response):
            sums = np.cumsum(np.matmul(response.transpose(0, 2, 1), response), axis=0)
            own[:] = sums[np.minimum(self.data.lengths, len(response)) - 1]
        return own

    def _sensitivities(
        self, model: Predictor, s: FloatArray, piece: slice, whiten: FloatArray, free: Free, g: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Derivatives of the whitened predictions, shape (time, series, m, d), and the recursion's last state."""
        z, u = self.z[piece], self.u[piece]
        steps, m, N = z.shape
        n, q = model.n, len(free.one)
        one = np.ones((steps, 1, N))
        sources = np.concatenate([s, z, u, one], axis=1)[:, free.one]
        H = whiten @ model.H
        drive = H.T[None, :, :, None, None] * sources[:, None, None]  # (time, n, m, q, N)
        path = propagate(np.ascontiguousarray(model.F.T), drive.reshape(steps, n, -1), g)
        rows = np.zeros((steps, N, m, free.size(n, m)))
        dynamic = path[:-1].reshape(steps, n, m, q, N).transpose(0, 4, 2, 1, 3)
        rows[..., : n * q].reshape(steps, N, m, n, q)[:] = dynamic if q else 0.0
        outputs = np.concatenate([s, u, one], axis=1)[:, free.two].transpose(0, 2, 1)
        rows[..., n * q :] = (whiten[None, None, :, :, None] * outputs[:, :, None, None, :]).reshape(steps, N, m, -1)
        if self.mask is not None:
            rows *= self.mask[piece].transpose(0, 2, 1)[..., None]
        return rows, path[-1]


def gauge(model: Predictor, free: Free) -> FloatArray:
    """Directions of the free parameters that leave all predictions alone, shape (d, directions).

    A change of basis s = (I + E) s' moves F by E F - F E, the drive by E times itself and H by -H E; a shift of the state by a constant moves
    b~ and c.
    """
    n, m, q = model.n, len(model.theta2), len(free.one)
    full = q >= n + m and len(free.two) >= n  # F, K and H are free
    columns = []
    for i, j in np.ndindex(n, n) if full else ():
        E = np.zeros((n, n))
        E[i, j] = 1.0
        d1, d2 = E @ model.theta1, np.zeros_like(model.theta2)
        d1[:, :n] -= model.F @ E
        d2[:, :n] = -model.H @ E
        columns.append(np.concatenate([d1[:, free.one].ravel(), d2[:, free.two].ravel()]))
    shifts = range(n) if q and free.one[-1] == model.theta1.shape[1] - 1 else ()
    for i in shifts:
        d1, d2 = np.zeros_like(model.theta1), np.zeros_like(model.theta2)
        d1[:, -1] = np.eye(n)[i] - model.F[:, i]
        d2[:, -1] = -model.H[:, i]
        columns.append(np.concatenate([d1[:, free.one].ravel(), d2[:, free.two].ravel()]))
    return np.array(columns).reshape(len(columns), free.size(n, m)).T


def _first_response(model: Predictor, whiten: FloatArray, T: int) -> FloatArray:
    """Whitened H F^k, as long as it matters, shape (steps, m, n)."""
    H = whiten @ model.H
    size = np.linalg.norm(H) or 1.0
    power = np.eye(model.n)
    out: list[FloatArray] = []
    while len(out) < T:
        out.append(H @ power)
        if np.linalg.norm(out[-1]) < 1e-12 * size:
            break
        power = model.F @ power
    return np.array(out)


def moved(model: Predictor, step: FloatArray, x1_step: FloatArray, free: Free) -> Predictor:
    """Return the predictor with a step added to its free parameters."""
    n, m, q = model.n, len(model.theta2), len(free.one)
    theta1, theta2 = model.theta1.copy(), model.theta2.copy()
    theta1[:, free.one] += step[: n * q].reshape(n, q)
    theta2[:, free.two] += step[n * q :].reshape(m, len(free.two))
    return Predictor(theta1, theta2, model.x1 + x1_step)
