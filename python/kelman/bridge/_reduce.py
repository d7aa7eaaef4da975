# SPDX-License-Identifier: BSD-3-Clause
"""Fewer states: balanced truncation of the predictor."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from kelman._arrays import as_count
from kelman.bridge._moments import moments_of_model
from kelman.bridge._predictor import LinearPredictor, predictor_of_elman, predictor_of_model, rested
from kelman.bridge._project import gauss_newton, ho_kalman, metric_of, weighted_hankel
from kelman.bridge._source import window_of
from kelman.bridge._to_state_space import model_of_predictor, unshifted
from kelman.errors import KelmanError
from kelman.models import Elman, StateSpace

__all__ = ["reduce"]

Reducible = TypeVar("Reducible", StateSpace, Elman)


def reduce(model_or_rnn: Reducible, order: int, *, nearest: bool = False) -> Reducible:
    """Reduce a model or a linear network to fewer states by balanced truncation of its predictor.

    What is balanced is the predictor (F, [K G], H), which is stable also where A is not, over a finite window and with the covariance
    of its inputs [z; u] as weight; A = F + K H is formed after the truncation. Modes near the unit circle that carry nothing do no
    harm. For an order chosen by data, and error bars, use :func:`read_dynamics`.

    Parameters
    ----------
    model_or_rnn : StateSpace or Elman
        Model with constant matrices, or linear network (or an exact split of one).
    order : int
        Number of states to keep.
    nearest : bool, default False
        Go on from the truncation to the predictor of this order that is nearest in mean-square prediction (Gauss-Newton).

    Returns
    -------
    StateSpace or Elman
        Of the same kind: a model in innovation form, or a linear network (``hidden="identity"``) with inputs "z" (and "u") and target
        "z_next" or, for networks that read u_k beside z_{k-1}, their own words.

    Notes
    -----
    Weights are white where A has no stationary covariance. Inputs u are taken as white with unit variance.

    References
    ----------
    Moore 1981; Enns 1984 (frequency weights); Jonckheere & Silverman 1983 (LQG balancing).

    Examples
    --------
    >>> import numpy as np
    >>> import kelman
    >>> A = np.diag([0.9, 0.5])
    >>> model = kelman.StateSpace(A, [[1.0, 0.01]], np.eye(2), [[1.0]])
    >>> kelman.reduce(model, 1).A.round(2).tolist()
    [[0.9]]
    """
    if isinstance(model_or_rnn, StateSpace):
        predictor, Sigma = predictor_of_model(model_or_rnn, "model_or_rnn")
        small = _truncated(predictor, Sigma, _checked(order, predictor.n), nearest)
        model = model_of_predictor(small, Sigma, start=False)
        lag_zero = model_or_rnn.input_lag == 0 and predictor.p > 0
        if lag_zero and order and np.linalg.cond(small.A) < 1e8:
            model = unshifted(model)
        return model.astype(model_or_rnn.dtype)
    if isinstance(model_or_rnn, Elman):
        predictor, layout = predictor_of_elman(model_or_rnn)
        small = _truncated(predictor, np.eye(predictor.m), _checked(order, predictor.n), nearest)
        return _network(small, layout.target).astype(model_or_rnn.dtype)
    raise KelmanError(f"model_or_rnn: expected a StateSpace or an Elman network, got {type(model_or_rnn).__name__}")


def _checked(order: Any, n: int) -> int:
    count = as_count(order, "order")
    if count > n:
        raise KelmanError(f"order: expected at most {n}, the present number of states, got {count}")
    return count


def _truncated(predictor: LinearPredictor, Sigma: Any, order: int, nearest: bool) -> LinearPredictor:
    """Truncated predictor, its offsets kept as what they add up to."""
    if order == predictor.n:
        return predictor
    window = window_of(predictor.markov, predictor.m + predictor.p, None)
    metric = metric_of(moments_of_model(predictor, Sigma, window), Sigma, bool(predictor.D.any()))
    theta = predictor.markov(window)
    fit = ho_kalman(weighted_hankel(theta, metric), predictor.m, predictor.m + predictor.p, order)
    if nearest:
        fit, _ = gauss_newton(fit, theta, metric)
    K, G = fit.KG[:, : predictor.m], fit.KG[:, predictor.m :]
    none = np.zeros(order)
    return rested(LinearPredictor(fit.F, K, G, fit.H, predictor.D, none, predictor.constant(window), none))


def _network(predictor: LinearPredictor, target: str) -> Elman:
    """Linear network of a predictor, in the words of the network that it came from."""
    K, G, D, m, p = predictor.K, predictor.G, predictor.D, predictor.m, predictor.p
    if target == "z_next":
        words, W, direct, h0 = ("z",) * m + ("u",) * p, np.hstack([K, G]), None, predictor.start
    else:
        words = ("z_prev",) * m + ("u_prev",) * p + (("u",) * p if D.any() else ())
        W = np.hstack([K, G] + ([np.zeros_like(G)] if D.any() else []))
        direct = np.hstack([np.zeros((m, m + p)), D]) if D.any() else None
        h0 = None
    return Elman(
        predictor.F,
        W,
        predictor.f,
        predictor.H,
        predictor.c,
        hidden="identity",
        h0=h0,
        D=direct,
        inputs=words,
        target=target,
    )
