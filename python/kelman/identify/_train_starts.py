# SPDX-License-Identifier: BSD-3-Clause
"""Where training begins: random weights, or a linear model found by regression and realisation.

Both speak of standardised data. The linear model: regress y_k on x_k, x_{k-1}, ..., realise the coefficients (the
Markov parameters V F^i W of the predictor) as a state space, and let the network imitate it (`_train_imitate`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..lti import ho_kalman
from ..models import LSTM, Elman
from ..rnn._problem import counted
from ._train_imitate import imitation

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._types import Array
    from ..rnn._problem import Problem


SPREAD = (0.9, -0.9)
"""Between these lie the poles of units to spare that are not read: where one of them is missed, it shows."""


def random_start(like: Any, rng: np.random.Generator, *, learn_h0: bool = False) -> Any:
    """Weights of a size at which a network neither explodes nor forgets at once.

    Elman: U half an orthogonal matrix (with a skip path: A is, and U is small), W and V small, rectified units switched on.
    Gated: U and W uniform within 1/sqrt(h), the gate that forgets open at first.
    """
    n, i, o, _ = like.dims
    changes: dict[str, Any] = {}
    if isinstance(like, Elman):
        Q, R = np.linalg.qr(rng.normal(size=(n, n)))
        half = 0.5 * Q * np.where(np.diag(R) < 0, -1.0, 1.0)
        changes["W"] = 0.3 * rng.normal(size=(n, i))
        V = 0.3 * rng.normal(size=(o, n))
        changes["U"] = half if like.A is None else 0.1 * rng.normal(size=(n, n)) / np.sqrt(n)
        changes["b"] = np.full(n, 0.5 if like.hidden in ("relu", "leaky_relu") else 0.0)
        if like.A is not None:
            changes["A"] = half
        if like.B is not None:
            changes["B"] = 0.3 * rng.normal(size=(n, i))
    else:
        bound = 1 / np.sqrt(n)
        changes["U"], changes["W"] = rng.uniform(-bound, bound, like.U.shape), rng.uniform(-bound, bound, like.W.shape)
        V = rng.uniform(-bound, bound, (o, n))
        changes["b"] = np.zeros(like.b.shape)
        if isinstance(like, LSTM):
            changes["b"][n : 2 * n] = 1.0
        for name in ("d", "P"):
            if getattr(like, name, None) is not None:
                changes[name] = np.zeros(getattr(like, name).shape)
    if like.V is not None:
        changes |= {"V": V, "c": np.zeros(o)}
    for name in like.STARTS if learn_h0 else ():  # a state of zero without input is a point where nothing moves
        given = getattr(like, name)
        changes[name] = 0.1 * rng.normal(size=n) if given is None or not given.any() else given
    return like.replace(**changes)


def fitted_readout(rnn: Any, problem: Problem, h: Array) -> Any:
    """The network with V fitted to the targets by least squares, given its states h.

    A random V whose sign disagrees with the data leads into the saddle V = W = 0.
    """
    if rnn.output != "identity" or rnn.V is None:
        return rnn
    y, weight = cast("Array", problem.y), counted(problem)
    V = np.array(rnn.V)
    for j in range(rnn.dims.outputs):
        used = (weight[:, :, j] > 0) & np.isfinite(h).all(axis=2)
        rows = h[used]
        if len(rows) == 0:
            continue
        gram = rows.T @ rows
        ridge = 1e-3 * max(np.trace(gram) / len(gram), 1e-300)
        V[j] = np.linalg.solve(gram + ridge * np.eye(len(gram)), rows.T @ (y[:, :, j][used] - rnn.c[j]))
    return rnn.replace(V=V) if np.isfinite(V).all() else rnn


def past_regression(like: Any, problem: Problem) -> tuple[Array, Array] | None:
    """Markov parameters (lags + 1, o, i) of the targets' regression on the past, after a direct one of zero, and their
    standard errors; None where there are too few data, or the network has no readout.
    """
    n, i, o, _ = like.dims
    if like.V is None:
        return None
    lags = _lags(problem, n)
    first = problem.lengths if problem.lengths is not None else np.full(len(problem.x), problem.x.shape[1])
    weight = counted(problem)[:, lags - 1 :, 0]
    if float(weight[first >= lags].sum()) <= 2 * lags * i:
        return None
    direct = np.zeros((1, o, i))
    coefficients, noise = _regression(problem, lags)
    return np.concatenate([direct, coefficients]), np.concatenate([direct, noise])


def linear_start(
    like: Any,
    problem: Problem,
    rng: np.random.Generator,
    states: Callable[[Elman], Array],
    gain: float | None = None,
    *,
    full: bool = False,
    more: int = 0,
    unread: bool = False,
    regression: tuple[Array, Array] | None = None,
) -> Any:
    """The network nearest to a linear model of the data: a regression on the past, realised with as many states as stand
    above the noise of the regression and `more` (`full`: with as many as there are units). `states` runs a network on the
    data and gives its states (K, h). Units to spare are hardly read, or not at all (`unread`).
    `regression` is that of `past_regression`, where it is known.

    None where there are too few data for the regression or so many states, where the targets do not follow the inputs at
    all, or the network has no linear readout.
    """
    n, i, o, _ = like.dims
    known = past_regression(like, problem) if regression is None else regression
    if known is None:
        return None
    markov, noise = known
    found = ho_kalman(markov, noise=noise)
    most = min(n, (len(markov) - 1) // 2 * min(o, i), int((found.singular_values > 0).sum()))
    rank = most if full else max(min(most, max(found.order, 1)) + more, 1)
    if not 0 < rank <= most:
        return None
    found = ho_kalman(markov, rank)
    U, W, V = (np.array(m, dtype=float) for m in (found.A, found.B, found.H))
    radius = np.abs(np.linalg.eigvals(U)).max()
    if radius > 0.98:
        U *= 0.98 / radius
    if rank < n:  # units to spare: independent, weakly driven, not yet read
        spare = n - rank
        pace = np.linspace(SPREAD[0], SPREAD[1], spare) if unread and spare > 1 else np.full(spare, 0.5)
        U = np.block([[U, np.zeros((rank, spare))], [np.zeros((spare, rank)), np.diag(pace)]])
        W = np.vstack([W, 0.3 * rng.normal(size=(spare, i))])
        V = np.hstack([V, (0.0 if unread else 1e-3) * rng.normal(size=(o, spare))])
    linear = Elman(U, W, None, V, None, "identity")
    return imitation(_unit_states(linear, states(linear)), like, gain)


def _lags(problem: Problem, n: int) -> int:
    """How many past steps to regress on: enough for the realisation, few enough for the data."""
    i = problem.x.shape[2]
    steps = int((counted(problem) > 0).any(axis=2).sum())
    longest = problem.x.shape[1] if problem.lengths is None else int(problem.lengths.max())
    wanted = max(2 * n + 2, 30)
    return int(max(2, min(wanted, steps // (10 * i), longest // 3)))


def _normal_equations(problem: Problem, lags: int, j: int) -> tuple[Array, Array, float, float]:
    """Gram matrix, right side, sum of squares and count of the regression of output j on x_k .. x_{k-lags+1} and 1."""
    x, y, weight = problem.x, cast("Array", problem.y)[:, :, j], counted(problem)[:, :, j]
    n, steps, i = x.shape
    first, size = lags - 1, lags * i + 1
    gram, right, squares, count = np.zeros((size, size)), np.zeros(size), 0.0, 0.0
    for series in range(n):
        end = steps if problem.lengths is None else int(problem.lengths[series])
        if end <= first:
            continue
        past = np.lib.stride_tricks.sliding_window_view(x[series, :end], lags, axis=0)[:, :, ::-1]
        rows = np.hstack([past.transpose(0, 2, 1).reshape(len(past), -1), np.ones((len(past), 1))])
        w = weight[series, first:end]
        target = np.where(w > 0, y[series, first:end], 0.0)
        gram += (rows * w[:, None]).T @ rows
        right += rows.T @ (w * target)
        squares += float(w @ target**2)
        count += float(w.sum())
    gram[np.diag_indices(size)] += 1e-8 * max(np.trace(gram) / size, 1e-300)
    return gram, right, squares, count


def _regression(problem: Problem, lags: int) -> tuple[Array, Array]:
    """Least-squares coefficients (lags, o, i) of y_k on x_k .. x_{k-lags+1}, and their standard errors."""
    i, o = problem.x.shape[2], cast("Array", problem.y).shape[2]
    out, noise = np.empty((lags, o, i)), np.empty((lags, o, i))
    for j in range(o):
        gram, right, squares, count = _normal_equations(problem, lags, j)
        inverse = np.linalg.inv(gram)
        beta = inverse @ right
        variance = max(float(squares - right @ beta), 0.0) / max(count - len(right), 1.0)
        out[:, j] = beta[:-1].reshape(lags, i)
        noise[:, j] = np.sqrt(np.maximum(variance * np.diag(inverse)[:-1], 0.0)).reshape(lags, i)
    return out, noise


def offset_evidence(centred: Problem, x_mean: Array, y_mean: Array, n: int) -> float:
    """Squared distance of the constant of a linear regression from zero, in squared standard errors per output.

    `centred` is standardised; `x_mean` and `y_mean` are the means that were taken off it, in its units. The constant in the
    user's units is c = y_mean + constant - sum of coefficients x_mean, a linear function of the regression.
    """
    lags = _lags(centred, n)
    total: float = 0.0
    outputs = cast("Array", centred.y).shape[2]
    for j in range(outputs):
        gram, right, squares, count = _normal_equations(centred, lags, j)
        if count <= 2 * len(right):
            return np.inf
        beta = np.linalg.solve(gram, right)
        along = np.append(np.tile(-x_mean, lags), 1.0)
        variance = max(float(squares - right @ beta), 1e-300) / (count - len(right))
        total += float((y_mean[j] + along @ beta) ** 2 / (variance * (along @ np.linalg.solve(gram, along))))
    return float(total / outputs)


def _unit_states(linear: Elman, h: Array) -> Elman:
    """The same linear network with states of unit mean square, given its states h (K, h)."""
    size = np.sqrt(np.maximum((h**2).mean(axis=0), 1e-300))
    size = np.where(np.isfinite(size) & (size > 1e-100), size, 1.0)
    return linear.replace(U=linear.U * size / size[:, None], W=linear.W / size[:, None], V=linear.V * size)
