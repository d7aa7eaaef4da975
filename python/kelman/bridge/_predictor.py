# SPDX-License-Identifier: BSD-3-Clause
"""The one-step predictor that models and linear networks share, in one form.

    s_{k+1} = F s_k + K z_k + G u_k + f        (n) = (n x n)(n) + (n x m)(m) + (n x p)(p) + (n)
    zhat_k  = H s_k + D u_k + c                (m) = (m x n)(n) + (m x p)(p) + (m)

It is the innovation form x_{k+1} = A x_k + B u_k + b + K e_k, z_k = H x_k + D u_k + c + e_k solved for e_k, so that
A = F + K H, B = G + K D, b = f + K c. F is stable also where A is not (Anderson & Moore, *Optimal Filtering*, 1979, ch. 4).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kelman.bridge._data import FloatArray
from kelman.bridge._layout import Layout, layout_of
from kelman.bridge._split import fold
from kelman.errors import KelmanError
from kelman.models import Elman, StateSpace

__all__ = ["LinearPredictor"]


@dataclass(frozen=True, slots=True, eq=False)
class LinearPredictor:
    """A one-step predictor: s_{k+1} = F s_k + K z_k + G u_k + f, zhat_k = H s_k + D u_k + c.

    Parameters
    ----------
    F, K, G, H, D : ndarray, shapes (n, n), (n, m), (n, p), (m, n) and (m, p)
        Closed loop, gain, inputs, measurement, direct term.
    f, c : ndarray, shapes (n,) and (m,)
        Offsets.
    start : ndarray, shape (n,) or (N, n)
        The state s_1 before the first measurement.
    """

    F: FloatArray
    K: FloatArray
    G: FloatArray
    H: FloatArray
    D: FloatArray
    f: FloatArray
    c: FloatArray
    start: FloatArray

    @property
    def n(self) -> int:
        """Number of states."""
        return len(self.F)

    @property
    def m(self) -> int:
        """Number of measured values."""
        return len(self.H)

    @property
    def p(self) -> int:
        """Number of known inputs."""
        return int(self.G.shape[1])

    @property
    def A(self) -> FloatArray:
        """Transition of the model behind the predictor: F + K H."""
        A: FloatArray = self.F + self.K @ self.H
        return A

    @property
    def B(self) -> FloatArray:
        """Input matrix of the shifted model: G + K D."""
        B: FloatArray = self.G + self.K @ self.D
        return B

    @property
    def b(self) -> FloatArray:
        """Offset of the state equation: f + K c."""
        b: FloatArray = self.f + self.K @ self.c
        return b

    def markov(self, lags: int) -> FloatArray:
        """Responses of zhat_k to [z; u]_{k-i}.

        Parameters
        ----------
        lags : int
            Last lag.

        Returns
        -------
        ndarray, shape (lags + 1, m, m + p)
            [0 D] at lag 0, then H F^{i-1} [K G].
        """
        out = np.zeros((lags + 1, self.m, self.m + self.p))
        out[0, :, self.m :] = self.D
        block = np.hstack([self.K, self.G])
        for i in range(1, lags + 1):
            out[i] = self.H @ block
            block = self.F @ block
        return out

    def constant(self, lags: int) -> FloatArray:
        """Offset of zhat that the last steps of f build up, plus c.

        Parameters
        ----------
        lags : int
            Number of steps.

        Returns
        -------
        ndarray, shape (m,)
            c + sum over i < lags of H F^i f.
        """
        total, step = self.c.copy(), self.f
        for _ in range(lags):
            total = total + self.H @ step
            step = self.F @ step
        return total

    def predict(self, z: FloatArray, u: FloatArray, start: FloatArray | None = None) -> FloatArray:
        """One-step predictions for one series or a stack.

        Parameters
        ----------
        z : ndarray, shape (T, m) or (N, T, m)
            Measurements.
        u : ndarray, shape (T, p) or (N, T, p)
            Known inputs; p may be 0.
        start : ndarray, shape (n,) or (N, n), optional
            Another start.

        Returns
        -------
        ndarray, shape (T, m) or (N, T, m)
            zhat_k, from measurements before k.
        """
        from kelman.rnn import forward

        first = self.start if start is None else start
        net = Elman(self.F, np.hstack([self.K, self.G]), self.f, self.H, self.c, hidden="identity", h0=first)
        ahead = forward(net, np.concatenate([z, u], axis=-1), store="outputs").y
        begin = np.broadcast_to((first @ self.H.T + self.c)[..., None, :], (*z.shape[:-2], 1, self.m))
        later = ahead[..., :-1, :]
        shifted: FloatArray = np.concatenate([begin, later], axis=-2) + u @ self.D.T
        return shifted


def rested(p: LinearPredictor) -> LinearPredictor:
    """The same predictor started at the mean state of its model, where A is stable; at zero otherwise."""
    start: FloatArray = np.zeros(p.n)
    if p.b.any() and np.abs(np.linalg.eigvals(p.A)).max(initial=0.0) < 1 - 1e-8:
        start = np.linalg.solve(np.eye(p.n) - p.A, p.b)
    return replace(p, start=start)


def constant_model(model: Any, who: str) -> StateSpace:
    """The model itself when it is a StateSpace whose matrices change neither in time nor between series."""
    if not isinstance(model, StateSpace):
        raise KelmanError(f"{who}: expected a StateSpace, got {type(model).__name__}")
    for name, rank in (("A", 2), ("H", 2), ("Q", 2), ("R", 2), ("B", 2), ("D", 2), ("S", 2), ("b", 1), ("c", 1)):
        value = getattr(model, name)
        if value is not None and value.ndim != rank:
            raise KelmanError(
                f"{who}: {name} varies in time or between series (shape {value.shape}); a network has one set of weights. "
                "Convert one model of constant matrices at a time"
            )
    return model


def matrix(model: StateSpace, name: str, *shape: int) -> FloatArray:
    """A matrix of the model in float64, or zeros of the given shape where it has none."""
    value = getattr(model, name)
    return np.zeros(shape) if value is None else np.asarray(value, dtype=np.float64)


def start_mean(model: StateSpace) -> tuple[FloatArray, bool]:
    """Mean of x_1 without the part B u_1, and whether that part is to be added (not to an explicit or diffuse x_1).

    Explicit x_0 gives A m0 + b; explicit x_1 gives m1; the others the stationary mean on the stable modes of A and 0 on the rest.
    """
    n = model.dims.n
    A, b = matrix(model, "A", n, n), matrix(model, "b", n)
    lagged = model.input_lag == 1
    if model.m0 is not None:
        return np.asarray(model.m0, dtype=np.float64) @ A.T + b, not lagged
    if model.m1 is not None:
        return np.asarray(model.m1, dtype=np.float64), False
    mean = np.zeros(n)
    if model.initial in ("stationary", "auto") and b.any():
        from kelman.lti import stationary_split

        split = stationary_split(A)
        mean = split.Vs @ np.linalg.solve(np.eye(len(split.As)) - split.As, split.Ls @ b)
    return mean, not lagged and model.initial != "diffuse"


def predictor_of_model(model: StateSpace, who: str = "model") -> tuple[LinearPredictor, FloatArray]:
    """Steady predictor of a model, and the innovation covariance; NoSteadyStateError names the mode if there is none."""
    from kelman.lti import dare, standard_form

    model = constant_model(model, who)
    n, m = model.dims.n, model.dims.m
    ric = dare(model.A, model.H, model.Q, model.R, model.S)
    A, Bs, H, Ds = standard_form(model)
    b, c = matrix(model, "b", n), matrix(model, "c", m)
    first, _ = start_mean(model)
    F = A - ric.K @ H
    return LinearPredictor(F, ric.K, Bs - ric.K @ Ds, H, Ds, b - ric.K @ c, c, first), ric.Sigma


def predictor_of_elman(rnn: Elman) -> tuple[LinearPredictor, Layout]:
    """Predictor that a linear network (or an exact split) computes; the target must be z or z_next."""
    rnn = fold(rnn)
    layout = layout_of(rnn.inputs, rnn.target, rnn.dims.inputs, rnn.dims.outputs)
    if layout.target == "state":
        raise KelmanError(
            "target: the outputs of this network are states, not predictions of z; its measurement matrix is needed: "
            "kelman.to_state_space(rnn, H=...)"
        )
    U, W, b, V, c = (np.asarray(getattr(rnn, name), dtype=np.float64) for name in ("U", "W", "b", "V", "c"))
    h0 = np.zeros(len(U)) if rnn.h0 is None else np.asarray(rnn.h0, dtype=np.float64)
    direct = np.zeros((len(V), W.shape[1])) if rnn.D is None else np.asarray(rnn.D, dtype=np.float64)
    build = _ahead if layout.target == "z_next" else _aligned
    return build(layout, U, W, b, V, c, h0, direct), layout


def _ahead(
    layout: Layout,
    U: NDArray[Any],
    W: NDArray[Any],
    b: NDArray[Any],
    V: NDArray[Any],
    c: NDArray[Any],
    h0: NDArray[Any],
    direct: NDArray[Any],
) -> LinearPredictor:
    """Output k predicts z_{k+1}: the state is h_k, with what the direct term and the lagged columns must remember."""
    h, m, p = len(U), layout.m, layout.p
    part = layout.part
    remember_q = bool(direct.any())
    remember_z, remember_u = layout.has("z_prev"), layout.has("u_prev")
    sizes = [h, m if remember_q else 0, m if remember_z else 0, p if remember_u else 0]
    at = np.concatenate([[0], np.cumsum(sizes)])
    rows = [slice(at[i], at[i + 1]) for i in range(4)]
    n = int(at[-1])
    F, K, G = np.zeros((n, n)), np.zeros((n, m)), np.zeros((n, p))
    f, H = np.zeros(n), np.zeros((m, n))
    F[rows[0], rows[0]], f[rows[0]], H[:, rows[0]] = U, b, V
    for row, weights in ((rows[0], W), (rows[1], direct)):
        if row.stop > row.start:
            K[row], G[row] = part(weights, "z"), part(weights, "u")
            if remember_z:
                F[row, rows[2]] = part(weights, "z_prev")
            if remember_u:
                F[row, rows[3]] = part(weights, "u_prev")
    if remember_q:
        H[:, rows[1]] = np.eye(m)
    if remember_z:
        K[rows[2]] = np.eye(m)
    if remember_u:
        G[rows[3]] = np.eye(p)
    start = np.zeros((*h0.shape[:-1], n))
    start[..., :h] = h0
    return LinearPredictor(F, K, G, H, np.zeros((m, p)), f, c, start)


def _aligned(
    layout: Layout,
    U: NDArray[Any],
    W: NDArray[Any],
    b: NDArray[Any],
    V: NDArray[Any],
    c: NDArray[Any],
    h0: NDArray[Any],
    direct: NDArray[Any],
) -> LinearPredictor:
    """Output k predicts z_k from z_{k-1}, u_k, u_{k-1}: the state is h_k less what u_k put into it."""
    h, m, p = len(U), layout.m, layout.p
    Wz, Wu, Wp = (layout.part(W, word) for word in ("z_prev", "u", "u_prev"))
    Dz, Du, Dp = (layout.part(direct, word) for word in ("z_prev", "u", "u_prev"))
    before = h0 @ V.T + c  # z_0 that the network itself would have predicted: network_inputs feeds the same
    start = h0 @ U.T + before @ Wz.T + b
    F, K, G, f, H = U, Wz, U @ Wu + Wp, b, V
    D = V @ Wu + Du
    if Dz.any() or Dp.any():
        F = np.block([[U, np.zeros((h, m))], [np.zeros((m, h + m))]])
        K, G, f = np.vstack([K, Dz]), np.vstack([G, Dp]), np.concatenate([b, np.zeros(m)])
        H = np.hstack([V, np.eye(m)])
        start = np.concatenate([start, before @ Dz.T], axis=-1)
    return LinearPredictor(F, K, G.reshape(len(F), p), H, D, f, c, start)
