# SPDX-License-Identifier: BSD-3-Clause
r"""Derivatives of filtered and smoothed means by every entry of the model, the start, the measurements and the inputs.

Both take g (N, T, n) and differentiate :math:`s = \sum_k g_k' \hat x_k` by hand, over what the compiled filter leaves; only
the recursions of n numbers per series and of one n x n matrix go through time in Python.

**Filtered means.** With J = I - K H, L = A - Kp H, the adjoint of the predicted mean is ``l_k = J'g_k + L'l_{k+1}``, those of
the gains are g_k e_k' and l_{k+1} e_k'. The predicted covariance has its derivative through the gains,

    dK  = (J dP H' + J P dH' - K dH P H' - K dR) W                                       W = Sigma^-1
    dKp = (L dP H' + L P dH' + dA P H' + dS - Kp dH P H' - Kp dR) W

and through the next one, ``dP+ = L dP L' + dQ + Kp dR Kp' - ...``, in which the optimal gain itself is stationary; so its
adjoint is a second recursion, ``C_k + L' Pi_{k+1} L``.

**Smoothed means.** By Fisher's identity the derivative of the score of (x, z) along the posterior mean: let the density of the
path be tilted by exp(t s). Its posterior mean moves along delta = V g, V the posterior covariance of the path, and that of s
is the derivative by t of the gradient of the log-likelihood. With r_k, u_k the smoothed disturbances Q^-1 w, R^-1 v of the
data, and rho_k, upsilon_k those of delta, it is bilinear, as the gradient is quadratic:

    dA_k = r_k delta_{k-1}' + rho_k x_{k-1}'        dQ = (r rho' + rho r') / 2        db = rho      dS = r upsilon' + rho u'
    dH_k = u_k delta_k' + upsilon_k x_k'            dR = (u upsilon' + upsilon u') / 2  dc = upsilon  dz = -upsilon

(P. de Jong, Biometrika 76 (1989) 1003; S. J. Koopman, Biometrika 80 (1993) 117). The tilt shifts the predicted mean by P g,
and adds g to r: one filter forward with these shifts, one recursion backward. Neither Q nor R is inverted.

A diffuse start V d is replaced by one of the size of what the data leave of it, and then moved by V t, such that the adjoint
of the start has no part along V, which is what a flat prior says (B. Rosenberg (1973); P. de Jong, Ann. Statist. 19 (1991)).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import collapsed
from ..errors import KelmanError
from ._tape import (
    Tape,
    by_series,
    by_step,
    groups,
    in_rows,
    outer,
    record,
    symmetric,
    turned,
    turned_over,
)

if TYPE_CHECKING:
    from .._types import Array
    from ._problem import Problem

_FIELDS = ("A", "H", "Q", "R", "S", "B", "D", "b", "c")
_LIMIT = 1 << 22
"""Numbers of one kind of matrix that are held at once for series with covariances of their own."""

_UNDETERMINED = 1e-7
"""Below this part of what the data leave of a diffuse direction, they say nothing of it."""


def mean_gradient(
    problem: Problem, g: Array, smoothed: bool, kernels: Any, *, summed: bool, own: bool, threads: int
) -> dict[str, Array] | None:
    """Differentiate sum(g * means) by every field of a problem.

    Parameters
    ----------
    problem : Problem
        In double precision, not resumed; for filtered means without a diffuse part.
    g : ndarray, shape (N, T, n)
        Weights of the means.
    smoothed : bool
        Whether the means are smoothed, else filtered.
    kernels : module
        The backend.
    summed : bool
        Whether derivatives are summed over series.
    own : bool
        Whether every series has derivatives of its own by all fields.
    threads : int
        Threads of the filter.

    Returns
    -------
    dict of ndarray, or None
        Laid out as by ``gradient_raw``, and ``z`` (N, T, m), ``u`` (N, T, p). The first axis is 1 where what is added up
        over series, N else. None where some innovation has no variance of its own.
    """
    N, T, n = g.shape
    whole: dict[str, Array] = {}
    for group, shared in groups(problem, own):
        size = max(1, 4 * _LIMIT // (T * n)) if shared else max(1, _LIMIT // (T * n * n))
        for first in range(0, len(group), size):
            part = group[first : first + size]
            found = _part(_cut(problem, part), g[part], smoothed, kernels, 1 if shared else len(part), summed, threads)
            if found is None:
                return None
            for name, value in found.items():
                if name not in ("z", "u", "mean") and (summed or (shared and name not in ("b", "c"))):
                    whole[name] = whole[name] + value if name in whole else value
                else:
                    whole.setdefault(name, np.empty((N, *value.shape[1:])))[part] = value
    return whole


def _cut(problem: Problem, part: Array) -> Problem:
    """Some series of a problem."""
    if len(part) == len(problem.z):
        return problem
    names = ("z", "u", *_FIELDS, "mean", "cov", "inf", "rank", "noise_mean", "noise_cov", "noise_cross")
    arrays = {name: field for name in names if (field := getattr(problem, name)) is not None}
    cut: dict[str, Any] = {name: _taken(field, part) for name, field in arrays.items()}
    return replace(problem, **cut)


def _taken(field: Array, part: Array) -> Array:
    """Some series of a field; axes of stride 0 stay so."""
    if field.strides[0] == 0 or field.size == 0:
        return field[: len(part)]
    own = np.ascontiguousarray(collapsed(field)[part])
    return np.broadcast_to(own, (len(part), *field.shape[1:]))


def _part(
    problem: Problem, g: Array, smoothed: bool, kernels: Any, G: int, summed: bool, threads: int
) -> dict[str, Array] | None:
    diffuse = problem.inf[:G, :, : int(problem.rank.max())]
    start = problem.cov[:G]
    filtered = problem
    if diffuse.shape[-1]:
        width = _left_of_start(problem, diffuse, kernels, threads)
        cov = start + diffuse @ width @ turned(diffuse)
        nothing = np.zeros((*problem.mean.shape, 0))
        cov = np.broadcast_to(np.ascontiguousarray(cov), problem.cov.shape)
        filtered = replace(problem, cov=cov, inf=nothing, rank=np.zeros_like(problem.rank))
    else:
        width = None
    raw = kernels.filter_raw(filtered, "all", threads, None, "auto", False)
    tape = record(filtered, raw, G)
    if tape is None:
        return None
    weights = in_rows(g, G)
    if smoothed:
        by = _smoothed(problem, tape, weights, diffuse, width)
    else:
        by = _filtered(problem, tape, weights)
    return _laid_out(problem, by, G, summed)


def _filtered(problem: Problem, tape: Tape, g: Array) -> dict[str, Array]:
    """Derivatives at each step, (T or T - 1, G, ...), and of single series in rows."""
    K, J, Kp, L, H, W = tape.K, tape.J, tape.Kp, tape.L, tape.H, tape.weight
    back = turned_over(L)
    adjoint = g @ J
    for k in range(len(g) - 2, -1, -1):
        adjoint[k] += adjoint[k + 1] @ L[k]
    by_e = g @ K
    by_e[:-1] += adjoint[1:] @ Kp
    X = outer(g, tape.e) @ W
    Y = outer(adjoint[1:], tape.e[:-1]) @ W[:-1]
    XH, YH = X @ H, Y @ H[:-1]
    Pi = turned_over(J) @ XH
    Pi[:-1] += back @ YH
    Pi = symmetric(Pi)
    for k in range(len(g) - 2, -1, -1):
        Pi[k] += back[k] @ Pi[k + 1] @ L[k]
    later, P, K_, Kp_ = Pi[1:], tape.P, turned_over(K), turned_over(Kp)
    LP = L @ P[:-1]
    spread, left = later @ LP, YH @ P[:-1]
    by_H = turned_over(X) @ (J @ P) - K_ @ (XH @ P) - outer(by_e, tape.a)
    by_H[:-1] += turned_over(Y) @ LP - Kp_ @ (2 * spread + left)
    by_R = -K_ @ X
    by_R[:-1] += Kp_ @ (later @ Kp - Y)
    first, m0 = adjoint[0], in_rows(problem.mean[:, None], g.shape[1])[0]
    return {
        "A": outer(adjoint[1:], tape.a[:-1]) + 2 * spread + left,
        "A0": outer(first, m0) + 2 * Pi[0] @ by_step(problem.A, g.shape[1])[0] @ problem.cov[: g.shape[1]],
        "H": by_H,
        "Q": later,
        "R": symmetric(by_R),
        "S": Y - 2 * later @ Kp,
        "b": adjoint,
        "c": -by_e,
        "cov": Pi[0],
    }


def _smoothed(problem: Problem, tape: Tape, g: Array, diffuse: Array, width: Array | None) -> dict[str, Array]:
    """Derivatives at each step, (T or T - 1, G, ...), and of single series in rows."""
    T, G, r, n = g.shape
    d = diffuse.shape[-1]
    shifts = np.concatenate([g @ tape.P, np.zeros((T, G, d, n))], axis=2)
    shifts[0, :, r:] = turned(diffuse)
    moved = shifts.copy()  # means of the tilted run with their shifts, and of unit moves of the start
    onward = turned_over(tape.L)
    for k in range(T - 1):
        moved[k + 1] += moved[k] @ onward[k]
    weighed = np.concatenate([tape.e, -(moved @ turned_over(tape.H))], axis=2) @ tape.weight
    adjoint = weighed @ tape.H  # rows: data, tilt, start
    adjoint[:, :, r : 2 * r] += g
    for k in range(T - 2, -1, -1):
        adjoint[k] += adjoint[k + 1] @ tape.L[k]
    noise = weighed
    noise[:-1] -= adjoint[1:] @ tape.Kp
    state = adjoint @ tape.P
    state[:, :, :r] += tape.a
    state[:, :, r:] += moved
    state[:, :, r : 2 * r] -= shifts[:, :, :r]
    if width is not None:
        asked: Array = np.abs(g).sum(axis=(0, 2, 3)) > 0
        turn = _moves_of_start(adjoint[0], diffuse, width, asked)
        for track in (adjoint, noise, state):
            track[:, :, : 2 * r] += turn @ track[:, :, 2 * r :]
    data, tilt = slice(0, r), slice(r, 2 * r)
    (x, delta), (w, rho), (v, upsilon) = ((t[:, :, data], t[:, :, tilt]) for t in (state, adjoint, noise))
    m0, P0, A0 = in_rows(problem.mean[:, None], G)[0], problem.cov[:G], by_step(problem.A, G)[0]
    by = {
        "A": outer(w[1:], delta[:-1]) + outer(rho[1:], x[:-1]),
        "A0": outer(w[0], rho[0] @ A0 @ P0) + outer(rho[0], m0 + w[0] @ A0 @ P0),
        "H": outer(v, delta) + outer(upsilon, x),
        "Q": symmetric(outer(w[1:], rho[1:])),
        "R": symmetric(outer(v, upsilon)),
        "S": outer(w[1:], upsilon[:-1]) + outer(rho[1:], v[:-1]),
        "b": rho,
        "c": upsilon,
        "cov": symmetric(outer(w[0], rho[0])),
    }
    if d:
        inverse = turned(np.linalg.pinv(diffuse))
        along = (x[0] - m0 - w[0] @ P0) @ inverse
        by["inf"] = outer(w[0], (delta[0] - rho[0] @ P0) @ inverse) + outer(rho[0], along)
    return by


def _left_of_start(problem: Problem, diffuse: Array, kernels: Any, threads: int) -> Array:
    """Covariances (G, d, d) of the size of what the data leave of the coordinates of a diffuse start."""
    known = kernels.smooth_raw(problem, 0, threads, "auto", False, True)["cov"][: len(diffuse), 0]
    back = np.linalg.pinv(diffuse)
    left = symmetric(back @ np.nan_to_num(known) @ turned(back))
    own = np.maximum(np.diagonal(left, axis1=-2, axis2=-1), 0.0)
    largest = own.max(axis=-1, keepdims=True)
    least = np.where(own > 1e-14 * largest, own, np.where(largest > 0, largest, 1.0))
    found: Array = 4 * left + 1e-3 * least[..., None] * np.eye(own.shape[-1])
    return found


def _moves_of_start(adjoint: Array, diffuse: Array, width: Array, asked: Array) -> Array:
    """Moves (G, 2 r, d) of the start along its diffuse directions after which its adjoint has no part along them."""
    d = width.shape[-1]
    along = adjoint @ diffuse
    answer = along[:, -d:]
    unused = np.abs(diffuse).sum(axis=-2) == 0
    answer = answer - unused[:, :, None] * np.linalg.inv(width) * np.eye(d)
    unknown = ~(np.linalg.eigvals(-answer @ width).real.min(axis=-1) > _UNDETERMINED)
    if (unknown & asked).any():
        raise KelmanError(
            "smoothed_mean: the measurements do not determine the diffuse start, so its derivatives do not exist; "
            "give m1 and P1 (or m0 and P0)"
        )
    answer[unknown] = np.eye(d)  # nothing is asked of these
    moves: Array = -turned(np.linalg.solve(turned(answer), turned(along[:, :-d])))
    return moves


def _laid_out(problem: Problem, by: dict[str, Array], G: int, summed: bool) -> dict[str, Array]:
    """The derivatives as ``gradient_raw`` lays them out, with those by z and u."""
    A = by_step(problem.A, G)[0]
    b, c = by["b"], by["c"]
    kind = problem.start_kind
    found: dict[str, Array] = {"z": by_series(-c)}
    start = b[0] @ A if kind else b[0]
    found["mean"] = start.reshape(problem.mean.shape)
    by_cov = by["cov"]
    found["cov"] = turned(A) @ by_cov @ A if kind else by_cov
    if problem.noise_cov is not None:
        found["noise_cov"] = by_cov
    if "inf" in by:
        found["inf"] = by["inf"]
    if not kind:
        b = b.copy()
        b[0] = 0.0
    steps = {"H": by["H"], "R": by["R"]} | {
        name: v.reshape(len(v), -1, v.shape[-1]) for name, v in (("b", b), ("c", c))
    }
    first = by["A0"][None] if kind else np.zeros_like(by["A0"])[None]
    steps["A"] = np.concatenate([first, by["A"]])
    steps["Q"] = np.concatenate([by["Q"], np.zeros_like(by["cov"])[None]])
    if problem.S is not None:
        steps["S"] = np.concatenate([by["S"], np.zeros_like(by_step(problem.S, G)[:1])])
    if problem.u is not None:
        _add_inputs(problem, steps, found, b, c, G)
    for name, value in steps.items():
        field = getattr(problem, name)
        if field is not None:
            found[name] = _summed(value, field, summed)
    if summed:
        for name in ("cov", "inf", "noise_cov"):
            if name in found:
                found[name] = found[name].sum(axis=0, keepdims=True)
    return found


def _summed(value: Array, field: Array, summed: bool) -> Array:
    """(T, G, ...) -> (G or 1, T, ...), or without T where the field does not vary."""
    constant = field.shape[1] == 1 or field.strides[1] == 0
    if constant:
        value = value.sum(axis=0)
    else:
        value = value.swapaxes(0, 1)
    return value.sum(axis=0, keepdims=True) if summed else value


def _add_inputs(problem: Problem, steps: dict[str, Array], found: dict[str, Array], b: Array, c: Array, G: int) -> None:
    """The derivatives by B, D and u."""
    u, lag = in_rows(problem.u, G), problem.input_lag  # type: ignore[arg-type]
    by_u = np.zeros_like(u)
    if problem.B is not None:
        B = by_step(problem.B, G)
        drive, driven = (u, b) if lag == 0 else (u[:-1], b[1:])
        by_B = outer(driven, drive)
        by_drive = driven @ (B if lag == 0 else B[1:])
        if lag:
            by_B = np.concatenate([np.zeros_like(B[:1]), by_B])
            by_u[:-1] += by_drive
        else:
            by_u += by_drive
        steps["B"] = by_B
    if problem.D is not None:
        steps["D"] = outer(c, u)
        by_u += c @ by_step(problem.D, G)
    found["u"] = by_series(by_u)
