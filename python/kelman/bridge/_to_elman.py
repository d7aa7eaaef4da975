# SPDX-License-Identifier: BSD-3-Clause
"""From a state-space model to the Elman network that computes its steady Kalman filter."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from kelman.bridge._data import FloatArray, real_array
from kelman.bridge._predictor import constant_model, matrix, start_mean
from kelman.bridge._split import SPLIT_FACTORS, split
from kelman.errors import KelmanError
from kelman.models import Elman, StateSpace

__all__ = ["to_elman"]

ElmanForm = Literal["predicted", "filtered", "aligned"]
_FORMS = ("predicted", "filtered", "aligned")
_HIDDEN = ("identity", *SPLIT_FACTORS, "tanh", "sigmoid")


def to_elman(
    model: StateSpace,
    form: ElmanForm | None = None,
    hidden: str = "identity",
    *,
    gain: float | None = None,
    u1: Any = None,
) -> Elman:
    r"""Elman network whose output is the steady Kalman filter of a model.

    With K the predictor gain, K_f the filter gain (``kelman.steady_state``) and F = A - K H, the network is exact
    (``hidden`` "identity", or a split): its outputs equal those of the filter that uses the steady gain from the first step on,
    started at the start mean of the model.

    ============  =================================  ================  ==========================  ==========================
    form          input of the network               U                 W                           output y_k
    ============  =================================  ================  ==========================  ==========================
    "predicted"   z_k (, u_k)                        A - K H           K (, F B - K D)             H s_{k+1} + c
    "filtered"    z_k (, u_k)                        (I - K_f H) A     K_f (, (I - K_f H) B        x_{k|k}
                                                                       - K_f D)
    "aligned"     z_{k-1} (, u_k (, u_{k-1} if D))   A - K H           K (, B (, -K D))            z_{k|k-1}
    ============  =================================  ================  ==========================  ==========================

    Parameters
    ----------
    model : StateSpace
        Model with constant matrices, shared by all series.
    form : {"predicted", "filtered", "aligned"}, optional
        Which estimate the hidden layer holds. None: "predicted" without inputs, "aligned" with inputs. "filtered" needs S = 0.
    hidden : {"identity", "relu", "leaky_relu", "softplus", "tanh", "sigmoid"}, default "identity"
        Activation of the hidden layer. "relu", "leaky_relu" and "softplus" use two units per state and stay exact at every
        amplitude. "tanh" and "sigmoid" are approximate: see ``gain``.
    gain : float, default 0.01
        For "tanh" and "sigmoid" only: the hidden layer holds tanh(gain x) (or its affine image), so U is kept, W is scaled by
        ``gain`` and V by 1 / ``gain``. tanh is cubic beside its straight line, so the excess risk falls like gain**4.
    u1 : array_like, shape (p,) or (N, p), optional
        The first input. Needed only for a model with inputs (``input_lag`` 0) that gives x_1 itself (m1, P1, or diffuse): there the
        filter does not apply B u_1, which the network always does, so ``h0`` has to take it back. None means zero.

    Returns
    -------
    Elman
        With ``h0`` from the start mean of the model, and ``inputs=`` and ``target=`` that say what the columns are.
        :func:`network_inputs` builds its input from z and u.

    Raises
    ------
    NoSteadyStateError
        Where the Riccati equation has no stabilising solution; it names the mode.
    KelmanError
        For a model that varies in time or between series, or "filtered" with S.

    Notes
    -----
    "aligned" is one-to-one: K, B and D can be read off the weights. "predicted" with inputs is not (two different pairs B, D
    give the same network), and its output lacks the part of z_{k+1} that u_{k+1} causes at once.
    For models with ``input_lag`` 1 the inputs are one step older: "predicted" has W = [K, B - K D]; "aligned" has the input
    [z_{k-1}, u_{k-1} (, u_k if D)] and W = [K, B - K D (, 0)]; "filtered" has [z_k, u_{k-1} (, u_k if D)].

    References
    ----------
    Anderson & Moore, *Optimal Filtering*, 1979, ch. 4 (steady filter). Elman, *Finding structure in time*, 1990 (network).

    Examples
    --------
    The local level with q = r = 1, whose gain is the golden ratio:

    >>> import kelman
    >>> net = kelman.to_elman(kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]]))
    >>> round(float(net.W[0, 0]), 3), round(float(net.U[0, 0]), 3)
    (0.618, 0.382)
    """
    model = constant_model(model, "to_elman")
    if form is None:
        form = "aligned" if model.dims.p else "predicted"
    if form not in _FORMS:
        raise KelmanError(f"form: expected one of {', '.join(map(repr, _FORMS))} or None, got {form!r}")
    if hidden not in _HIDDEN:
        raise KelmanError(f"hidden: expected one of {', '.join(map(repr, _HIDDEN))}, got {hidden!r}")
    eps = _hidden_gain(hidden, gain)
    build = {"predicted": _predicted, "filtered": _filtered, "aligned": _aligned}[form]
    net = build(model, _first_mean(model, u1))
    if hidden in SPLIT_FACTORS:
        net = split(net, hidden)
    elif hidden == "tanh":
        net = net.replace(W=eps * net.W, b=eps * net.b, V=net.V / eps, h0=np.tanh(eps * _h0(net)), hidden="tanh")
    elif hidden == "sigmoid":
        net = _sigmoid(net, eps)
    return net.astype(model.dtype)


def _hidden_gain(hidden: str, gain: float | None) -> float:
    if gain is None:
        return 0.01
    if hidden not in ("tanh", "sigmoid"):
        raise KelmanError(f'gain: only hidden="tanh" and "sigmoid" have a hidden gain, got hidden={hidden!r}')
    value = real_array("gain", gain)
    if value.ndim or not value > 0:
        raise KelmanError(f"gain: expected a positive number, got {gain!r}")
    return float(value)


def _first_mean(model: StateSpace, u1: Any) -> FloatArray:
    """Mean of x_1 less B u_1 (see `start_mean`); an explicit x_1 has that part taken out by hand."""
    mean, adds_input = start_mean(model)
    p = model.dims.p
    if u1 is None:
        return mean
    first = real_array("u1", u1)
    if p == 0 or first.shape[-1:] != (p,) or first.ndim > 2:
        raise KelmanError(f"u1: expected shape ({p},) or (N, {p}) to match the inputs of the model, got {first.shape}")
    if adds_input or model.input_lag == 1 or model.B is None:
        return mean
    shifted: FloatArray = mean - first @ matrix(model, "B").T
    return shifted


def _h0(net: Elman) -> FloatArray:
    return np.zeros(net.dims.hidden) if net.h0 is None else np.asarray(net.h0, dtype=np.float64)


def _predicted(model: StateSpace, first: FloatArray) -> Elman:
    """h_k = A x_{k|k} + b (plus B u_k for input_lag 1): the prediction of x_{k+1} from what is known at k."""
    from kelman.lti import dare, standard_form

    m, p = model.dims.m, model.dims.p
    K = dare(model.A, model.H, model.Q, model.R, model.S).K
    A, Bs, H, Ds = standard_form(model)
    b, c = matrix(model, "b", len(A)), matrix(model, "c", m)
    W = np.hstack([K, Bs - K @ Ds])
    words = ("z",) * m + ("u",) * p
    return Elman(A - K @ H, W, b - K @ c, H, c, hidden="identity", h0=first, inputs=words, target="z_next")


def _before(model: StateSpace, first: FloatArray) -> FloatArray:
    """x_0 from which one transition without input leads to the first mean: A x_0 + b = first."""
    if model.m0 is not None:
        return np.asarray(model.m0, dtype=np.float64)
    n = model.dims.n
    A = matrix(model, "A", n, n)
    goal = (first - matrix(model, "b", n)).T
    solution = np.linalg.lstsq(A, goal, rcond=None)[0]
    miss = float(np.abs(A @ solution - goal).max(initial=0.0))
    if miss > 1e-9 * max(1.0, float(np.abs(goal).max(initial=0.0))):
        raise KelmanError(
            "model: A is singular and its start mean m1 is not of the form A x_0 + b, so no h0 of this form leads to it; "
            'use form="predicted", or give the start as (m0, P0)'
        )
    return np.ascontiguousarray(solution.T)


def _aligned(model: StateSpace, first: FloatArray) -> Elman:
    """h_k = s_k, the prediction of x_k: input z_{k-1}, with u_k beside it so that B stands in W on its own."""
    from kelman.lti import dare

    n, m, p = model.dims.n, model.dims.m, model.dims.p
    A, H = matrix(model, "A", n, n), matrix(model, "H", m, n)
    B, D, b, c = matrix(model, "B", n, p), matrix(model, "D", m, p), matrix(model, "b", n), matrix(model, "c", m)
    K = dare(model.A, model.H, model.Q, model.R, model.S).K
    W, words = [K], ["z_prev"] * m
    if p and model.input_lag == 0:
        W, words = [*W, B], [*words, *["u"] * p]
        if model.D is not None:
            W, words = [*W, -K @ D], [*words, *["u_prev"] * p]
    elif p:
        W, words = [*W, B - K @ D], [*words, *["u_prev"] * p]
        if model.D is not None:
            W, words = [*W, np.zeros((n, p))], [*words, *["u"] * p]
    direct = None
    if model.D is not None:
        direct = np.zeros((m, len(words)))
        direct[:, [j for j, word in enumerate(words) if word == "u"]] = D
    return Elman(
        A - K @ H,
        np.hstack(W),
        b - K @ c,
        H,
        c,
        hidden="identity",
        h0=_before(model, first),
        D=direct,
        inputs=tuple(words),
        target="z",
    )


def _filtered(model: StateSpace, first: FloatArray) -> Elman:
    """h_k = x_{k|k}: the gain K_f acts on z_k less what the state before and the inputs predict of it."""
    from kelman.lti import dare

    if model.S is not None and np.any(model.S):
        raise KelmanError(
            'form: "filtered" does not exist for a model with S (the gain on z_k would need z_{k-1} too); use form="predicted"'
        )
    n, m, p = model.dims.n, model.dims.m, model.dims.p
    A, H = matrix(model, "A", n, n), matrix(model, "H", m, n)
    B, D, b, c = matrix(model, "B", n, p), matrix(model, "D", m, p), matrix(model, "b", n), matrix(model, "c", m)
    K_f = dare(model.A, model.H, model.Q, model.R).K_f
    keep = np.eye(n) - K_f @ H
    W, words = [K_f], ["z"] * m
    if p and model.input_lag == 0:
        W, words = [*W, keep @ B - K_f @ D], [*words, *["u"] * p]
    elif p:
        W, words = [*W, keep @ B], [*words, *["u_prev"] * p]
        if model.D is not None:
            W, words = [*W, -K_f @ D], [*words, *["u"] * p]
    return Elman(
        keep @ A,
        np.hstack(W),
        keep @ b - K_f @ c,
        np.eye(n),
        np.zeros(n),
        hidden="identity",
        h0=_before(model, first),
        inputs=tuple(words),
        target="state",
    )


def _sigmoid(net: Elman, eps: float) -> Elman:
    """sigmoid(a) = (1 + tanh(a / 2)) / 2, so x = (2 h - 1) / eps up to the cubic term."""
    return net.replace(
        U=4 * net.U,
        W=2 * eps * net.W,
        b=2 * eps * net.b - 2 * net.U.sum(axis=1),
        V=2 * net.V / eps,
        c=net.c - net.V.sum(axis=1) / eps,
        h0=0.5 + 0.5 * np.tanh(eps * _h0(net)),
        hidden="sigmoid",
    )
