# SPDX-License-Identifier: BSD-3-Clause
"""From a linear network (or an exact split) back to the state-space model whose steady filter it computes."""

from __future__ import annotations

from typing import Any

import numpy as np

from kelman.bridge._data import FloatArray, paired_series, real_array
from kelman.bridge._layout import Layout, layout_of
from kelman.bridge._noise import structured_noise
from kelman.bridge._plain import plain
from kelman.bridge._predictor import LinearPredictor, matrix, predictor_of_elman
from kelman.bridge._split import fold
from kelman.errors import KelmanError
from kelman.models import Elman, StateSpace

__all__ = ["to_state_space"]


def to_state_space(
    rnn: Elman,
    *,
    Sigma: Any = None,
    z: Any = None,
    u: Any = None,
    structure: Any = "innovation",
    H: Any = None,
    D: Any = None,
    c: Any = None,
) -> StateSpace:
    """State-space model whose steady Kalman filter a linear network computes; the exact inverse of :func:`to_elman`.

    A = U + W_z V, K = W_z, H = V, and for the aligned form B = W_u, with D from the direct term. ReLU (and leaky-ReLU, softplus)
    splits are recognised in any order of their units and folded back. The basis of the states is that of the hidden units.

    Parameters
    ----------
    rnn : Elman
        Linear network (a linear skip path A, B is added to U and W), or an exact split of one; its ``inputs`` and ``target`` say what it reads and predicts.
    Sigma : array_like, shape (m, m), optional
        Innovation covariance, which the weights do not hold.
    z : array_like, shape (T,), (T, m) or (N, T, m), or list of series, optional
        Data from which Sigma is estimated, as the mean square of the network's one-step errors after its memory has run in.
    u : array_like, optional
        Known inputs beside z.
    structure : {"innovation", "scalar", "diagonal", "full"} or array_like, shape (q, n, n), default "innovation"
        Which noise the model is given. "innovation": Q = K Sigma K', S = K Sigma, R = Sigma. The others look for the one Q of this
        form (or in the span of the given matrices) that with S = 0 has the same gain.
    H, D, c : array_like, optional
        Measurement matrix (and direct term, offset) for networks whose outputs are states (``target="state"``) only.

    Returns
    -------
    StateSpace
        Started at the state that ``h0`` implies, known exactly (P1 = 0), so that its filter is the network from the first step on.
        With ``input_lag`` 0 and inputs this start is (m0, P0 = 0) instead, whose gain settles within the memory of the filter.

    Raises
    ------
    KelmanError
        For networks that are no linear map; without Sigma or z; and where Q and R are not unique, with the reason.

    Notes
    -----
    Q and R cannot be recovered from a predictor without more knowledge: it fixes n m numbers in K and m (m + 1) / 2 in Sigma, but
    Q and R hold n (n + 1) / 2 + m (m + 1) / 2 (and S n m more).

    References
    ----------
    Mehra, *On the identification of variances and adaptive Kalman filtering*, 1970; Faurre, *Stochastic realization algorithms*, 1976.

    Examples
    --------
    >>> import kelman
    >>> model = kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]])
    >>> net = kelman.to_elman(model)
    >>> back = kelman.to_state_space(net, Sigma=[[2.618033988749895]], structure="scalar")
    >>> round(float(back.Q[0, 0]), 6), round(float(back.R[0, 0]), 6)
    (1.0, 1.0)
    """
    if not isinstance(rnn, Elman):
        raise KelmanError(f"rnn: expected an Elman network, got {type(rnn).__name__}")
    rnn = plain(rnn)
    layout = layout_of(rnn.inputs, rnn.target, rnn.dims.inputs, rnn.dims.outputs)
    if layout.target == "state":
        predictor, lag = _from_filtered(fold(rnn), layout, H, D, c)
    else:
        for name, value in (("H", H), ("D", D), ("c", c)):
            if value is not None:
                raise KelmanError(f'{name}: only a network with target="state" needs it; this one holds its own')
        predictor, layout = predictor_of_elman(rnn)
        lag = None
    cov = _sigma(Sigma, z, u, predictor)
    if lag is None and layout.target == "z":
        model = _plain_inputs(fold(rnn), layout, predictor, cov, structure)
        if model is not None:
            return model.astype(rnn.dtype)
    model = model_of_predictor(predictor, cov, structure)
    if lag == 0 and predictor.p:
        model = unshifted(model)
    return model.astype(rnn.dtype)


def model_of_predictor(
    predictor: LinearPredictor, Sigma: FloatArray, structure: Any = "innovation", *, start: bool = True
) -> StateSpace:
    """Model of a predictor (shifted if it has inputs): innovation form, or with the Q and R of a structure."""
    Q, R, S = noise_of(predictor.A, predictor.H, predictor.K, Sigma, structure)
    begin: dict[str, Any] = {}
    if start:
        n = predictor.n
        begin = {"m1": predictor.start, "P1": np.zeros((n, n))}
    make = StateSpace.from_shifted if predictor.p else StateSpace
    return make(
        predictor.A,
        predictor.H,
        Q,
        R,
        S=S,
        B=predictor.B if predictor.p else None,
        D=predictor.D if predictor.p and predictor.D.any() else None,
        b=predictor.b if predictor.b.any() else None,
        c=predictor.c if predictor.c.any() else None,
        **begin,
    )


def noise_of(
    A: FloatArray, H: FloatArray, K: FloatArray, Sigma: FloatArray, structure: Any
) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """Q, R and S (None where it is zero) of the wanted structure."""
    if isinstance(structure, str) and structure == "innovation":
        Q = K @ Sigma @ K.T
        return (Q + Q.T) / 2, Sigma, K @ Sigma
    Q, R = structured_noise(A, H, K, Sigma, structure)
    return Q, R, None


def unshifted(model: StateSpace) -> StateSpace:
    """The same transfer function with ``input_lag`` 0: B from A B = B_s, D = D_s - H B; needs an invertible A."""
    A, H = model.A, model.H
    B = np.linalg.solve(A, matrix(model, "B"))
    direct = matrix(model, "D", len(H), B.shape[1]) - H @ B
    seen = np.abs(direct).max(initial=0.0) > 1e-9 * max(1.0, float(np.abs(H @ B).max(initial=0.0)))
    return StateSpace(
        A, H, model.Q, model.R, B=B, D=direct if seen else None, b=model.b, c=model.c, S=model.S, **_before(A, model)
    )


def _before(A: FloatArray, model: StateSpace) -> dict[str, Any]:
    """(m0, P0 = 0) that leads to the shifted start."""
    if model.m1 is None:
        return {}
    b = 0.0 if model.b is None else model.b
    return {"m0": np.linalg.solve(A, (model.m1 - b).T).T, "P0": np.zeros_like(A)}


def _sigma(Sigma: Any, z: Any, u: Any, predictor: LinearPredictor) -> FloatArray:
    """Innovation covariance as given, or from the one-step errors on data."""
    m = predictor.m
    if Sigma is not None:
        cov = real_array("Sigma", Sigma)
        cov = cov.reshape(1, 1) if cov.ndim == 0 and m == 1 else cov
        if cov.shape != (m, m):
            raise KelmanError(f"Sigma: expected shape ({m}, {m}) to match the outputs of the network, got {cov.shape}")
        if not np.allclose(cov, cov.T, rtol=1e-8, atol=0) or np.linalg.eigvalsh(cov)[0] < 0:
            raise KelmanError("Sigma: expected a symmetric positive semi-definite covariance")
        return (cov + cov.T) / 2
    if z is None:
        raise KelmanError(
            "Sigma: the weights hold the gain but not the innovation covariance; give Sigma=, or data z= (and u=) to estimate it"
        )
    zs, us = paired_series(z, u, m, predictor.p)
    return innovation_cov(predictor, zs, us)


def warm_up(F: FloatArray, T: int) -> int:
    """Steps until the start is forgotten to one millionth, at most a quarter of the record."""
    radius = float(np.abs(np.linalg.eigvals(F)).max(initial=0.0))
    if radius <= 0:
        return 0
    steps = np.log(1e-6) / np.log(radius) if radius < 1 else np.inf
    return int(min(np.ceil(steps), T // 4))


def innovation_cov(predictor: LinearPredictor, zs: list[FloatArray], us: list[FloatArray]) -> FloatArray:
    """Mean square of the one-step errors, without each series' warm-up."""
    total, count = np.zeros((predictor.m, predictor.m)), 0
    for i, (z, u) in enumerate(zip(zs, us, strict=True)):
        start = predictor.start if predictor.start.ndim == 1 else predictor.start[i]
        error = (z - predictor.predict(z, u, start))[warm_up(predictor.F, len(z)) :]
        total += error.T @ error
        count += len(error)
    return total / count


def _plain_inputs(
    rnn: Elman, layout: Layout, predictor: LinearPredictor, Sigma: FloatArray, structure: Any
) -> StateSpace | None:
    """Model with ``input_lag`` 0 when the aligned weights have its pattern W = [K, B, -K D]; else None."""
    if layout.p == 0 or predictor.n != rnn.dims.hidden:
        return None
    W = np.asarray(rnn.W, dtype=np.float64)
    direct = np.zeros((layout.m, layout.width)) if rnn.D is None else np.asarray(rnn.D, dtype=np.float64)
    K, B, after = layout.part(W, "z_prev"), layout.part(W, "u"), layout.part(W, "u_prev")
    D = layout.part(direct, "u")
    tol = 1e3 * float(np.finfo(rnn.dtype).eps) * max(1.0, float(np.abs(W).max()))
    if (not B.any() and after.any()) or np.abs(after + K @ D).max(initial=0.0) > tol:
        return None
    A = predictor.A
    Q, R, S = noise_of(A, predictor.H, K, Sigma, structure)
    h0 = np.zeros(len(A)) if rnn.h0 is None else np.asarray(rnn.h0, dtype=np.float64)
    return StateSpace(
        A,
        predictor.H,
        Q,
        R,
        S=S,
        B=B,
        D=D if D.any() else None,
        b=predictor.b if predictor.b.any() else None,
        c=predictor.c if predictor.c.any() else None,
        m0=h0,
        P0=np.zeros_like(A),
    )


def _from_filtered(rnn: Elman, layout: Layout, H: Any, D: Any, c: Any) -> tuple[LinearPredictor, int]:
    """Predictor of a network whose output is x_{k|k}; the states are taken in the basis of the outputs."""
    if H is None:
        raise KelmanError(
            'H: the outputs of this network are states (target="state"), and the filtered form keeps the measurement matrix '
            "only inside U = (I - K_f H) A; give H="
        )
    V = np.asarray(rnn.V, dtype=np.float64)
    n, m, p = len(V), layout.m, layout.p
    if V.shape[0] != V.shape[1] or np.linalg.matrix_rank(V) < n or rnn.D is not None or layout.has("z_prev"):
        raise KelmanError(
            "rnn: expected states in one-to-one relation to the hidden units, no direct term and no z_prev input"
        )
    Hm = real_array("H", H)
    Hm = Hm.reshape(1, 1) if Hm.ndim == 0 else Hm
    if Hm.shape != (m, n):
        raise KelmanError(f"H: expected shape ({m}, {n}) for {m} z columns and {n} states, got {Hm.shape}")
    Dm = np.zeros((m, p)) if D is None else real_array("D", D).reshape(m, p)
    offset = np.zeros(m) if c is None else real_array("c", c).reshape(m)
    W = V @ np.asarray(rnn.W, dtype=np.float64)
    K_f = layout.part(W, "z")
    keep = np.eye(n) - K_f @ Hm
    if np.linalg.cond(keep) > 1e12:
        raise KelmanError(
            "H: I - K_f H is singular (a measurement without noise), so A cannot be recovered from this form"
        )
    A = np.linalg.solve(keep, V @ rnn.U @ np.linalg.inv(V))
    lag = 1 if layout.has("u_prev") else 0
    inputs = layout.part(W, "u_prev") if lag else layout.part(W, "u") + K_f @ Dm
    B = np.linalg.solve(keep, inputs) if p else np.zeros((n, 0))
    b = np.linalg.solve(keep, V @ rnn.b + K_f @ offset)
    K = A @ K_f
    h0 = np.zeros(n) if rnn.h0 is None else np.asarray(rnn.h0, dtype=np.float64) @ V.T
    Bs, Ds = (B, Dm) if lag else (A @ B, Hm @ B + Dm)
    return LinearPredictor(A - K @ Hm, K, Bs - K @ Ds, Hm, Ds, b - K @ offset, offset, h0 @ A.T + b), lag
