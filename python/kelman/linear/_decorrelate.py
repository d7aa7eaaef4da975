# SPDX-License-Identifier: BSD-3-Clause
r"""A model whose two noises are correlated, as one whose noises are not: for derivatives, where nothing is missing.

With K = S R^-1 the state's noise is :math:`w_k = K v_k + \tilde w_k`, and :math:`v_k = z_k - H x_k - D u_k - c` is known but
for the state, so that

    x_{k+1} = (A - K H) x_k + B u_{k+1} + K z_k - K D u_k + (b - K c) + w~_k,        Cov(w~) = Q - K R K'

is a model with S = 0, driven by z of the step before. (Anderson and Moore, *Optimal Filtering* (1979), section 5.4.) The
likelihood is the same; the ways through it are those of uncorrelated noises, tens of times faster for many series.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._types import Array
    from ._problem import Problem

_CONDITION = 1e-6
"""Below this ratio of R's eigenvalues, R^-1 would cost digits."""
_FIELDS = ("A", "H", "Q", "R", "B", "D", "b", "c", "S")


def decorrelated(problem: Problem) -> tuple[Problem, Callable[[dict[str, Any]], dict[str, Any]]] | None:
    """Return the problem without S, and the map of its derivatives to those of the given one; None where it does not apply.

    It does where S and all other matrices are constant in time, R is far from singular, no value is missing, and the start
    speaks of the first measured state.
    """
    if problem.S is None or problem.start_kind != 0 or problem.z.shape[1] < 2:
        return None
    own: dict[str, Array] = {}
    for name in _FIELDS:
        field = getattr(problem, name)
        if field is not None:
            constant = _constant(field)
            if constant is None:
                return None
            own[name] = constant
    if not _complete(problem):
        return None
    A, H, Q, R, S = (own[name] for name in "AHQRS")
    values = np.linalg.eigvalsh(R)
    if not (values[:, 0] > _CONDITION * values[:, -1]).all():
        return None
    K = _over(S, R)
    D, c = own.get("D"), own.get("c")
    shrunk = Q - S @ _turned(K)
    fields: dict[str, Array | None] = {"A": A - K @ H, "Q": (shrunk + _turned(shrunk)) / 2, "S": None}
    if c is not None:
        fields["b"] = own.get("b", 0.0) - (K @ c[..., None])[..., 0]
    fields["B"], fields["D"], u = _driven(problem, own.get("B"), D, K)
    spread: dict[str, Any] = {
        name: value if value is None else _spread(value, problem) for name, value in fields.items()
    }

    def back(raw: dict[str, Any]) -> dict[str, Any]:
        return _back(raw, own, K, problem.input_lag)

    return replace(problem, **spread, u=u, u_before=None, input_lag=0), back


def _constant(field: Array) -> Array | None:
    """Return a matrix without its time axis, (N, ...) or (1, ...) where all series share it; None if it varies in time."""
    if field.shape[1] > 1 and field.strides[1] != 0:
        return None
    return field[: 1 if field.strides[0] == 0 else None, 0].astype(np.float64)


def _complete(problem: Problem) -> bool:
    seen = ~np.isnan(problem.z).any(axis=2)
    if problem.lengths is not None:
        seen |= np.arange(seen.shape[1]) >= problem.lengths[:, None]
    return bool(seen.all())


def _spread(value: Array, problem: Problem) -> Array:
    N, T = problem.z.shape[:2]
    array = np.ascontiguousarray(value, dtype=problem.z.dtype)
    return np.broadcast_to(array[:, None], (N, T, *array.shape[1:]))


def _driven(problem: Problem, B: Array | None, D: Array | None, K: Array) -> tuple[Array, Array | None, Array]:
    """B, D and u of inputs [u_k, z_{k-1}, u_{k-1}], without those blocks of u that do nothing."""
    z, u, lag = problem.z, problem.u, problem.input_lag
    before = np.zeros(z.shape, dtype=z.dtype)
    before[:, 1:] = np.nan_to_num(z[:, :-1])  # what is NaN lies past the end of its series
    by, through, inputs = [K], [], [before]
    if u is not None and (lag == 0 or D is not None):
        now = B if lag == 0 and B is not None else np.zeros((1, K.shape[1], u.shape[2]))
        by, inputs = [now, *by], [u, *inputs]
    if u is not None and (lag == 1 or D is not None):
        past = np.zeros(u.shape, dtype=z.dtype)
        past[:, 1:] = u[:, :-1]
        moved = np.zeros((1, K.shape[1], u.shape[2])) if D is None else -K @ D
        by.append(moved + B if lag == 1 and B is not None else moved)
        inputs.append(past)
    whole = max(len(block) for block in by)
    whole_B = np.concatenate([np.broadcast_to(block, (whole, *block.shape[1:])) for block in by], axis=2)
    if D is not None:
        through = [D, np.zeros((len(D), D.shape[1], whole_B.shape[2] - D.shape[2]))]
    return whole_B, np.concatenate(through, axis=2) if D is not None else None, np.concatenate(inputs, axis=2)


def _back(raw: dict[str, Any], own: dict[str, Array], K: Array, lag: int) -> dict[str, Any]:
    """Derivatives by A, H, Q, R, S, B, D, b, c from those by A - K H, Q - K R K', and so on."""
    H, R, D, c = own["H"], own["R"], own.get("D"), own.get("c")
    p, m = (0 if own.get(name) is None else own[name].shape[2] for name in ("B", "D")), R.shape[1]
    width = max(p)
    dA, dQ, dB = (raw[name].astype(np.float64) for name in ("A", "Q", "B"))
    found = dict(raw)
    at = width if width and (lag == 0 or D is not None) else 0
    now, dK, past = dB[..., :at], dB[..., at : at + m], dB[..., at + m :]
    dK = dK - dA @ _turned(H)
    found["H"] = raw["H"] - _turned(K) @ dA
    if "B" in own:
        found["B"] = now if lag == 0 else past
    else:
        found.pop("B")
    if D is not None:
        dK = dK - past @ _turned(D)
        found["D"] = raw["D"][..., : D.shape[2]] - _turned(K) @ past
    if c is not None:
        db = raw["b"].astype(np.float64)[..., None]
        dK = dK - db @ c[..., None, :]
        found["c"] = raw["c"] - (_turned(K) @ db)[..., 0]
        if "b" not in own:
            found.pop("b")
    dK_R = _over(dK, R)
    found["S"] = dK_R - 2 * dQ @ K
    turn = _turned(K) @ dK_R
    found["R"] = raw["R"] + _turned(K) @ dQ @ K - (turn + _turned(turn)) / 2
    return found


def _turned(matrix: Array) -> Array:
    return np.swapaxes(matrix, -1, -2)


def _over(left: Array, R: Array) -> Array:
    """Left R^-1, for a symmetric R."""
    return _turned(np.linalg.solve(R, _turned(left)))
