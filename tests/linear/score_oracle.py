# SPDX-License-Identifier: BSD-3-Clause
"""Derivatives of the log-likelihood by complex step: the textbook recursion in complex numbers, exact to rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kelman.linear._problem import Problem

STEP = 1e-30
SYMMETRIC = ("Q", "R", "cov", "noise_cov")
FIELDS = ("A", "H", "Q", "R", "B", "D", "b", "c")
START = ("mean", "cov", "noise_mean", "noise_cov")


def one_series(problem: Problem, i: int) -> dict[str, Any]:
    """The arrays of series i, as far as it goes, writeable and complex; what the problem has not is left out."""
    T = problem.z.shape[1] if problem.lengths is None else int(problem.lengths[i])
    parts: dict[str, Any] = {"z": np.array(problem.z[i, :T]), "lag": problem.input_lag, "kind": problem.start_kind}
    for name in FIELDS:
        field = getattr(problem, name)
        if field is not None:
            parts[name] = np.array(field[i, :T]).astype(complex)
    for name in (*START, "u_before", "noise_cross"):
        field = getattr(problem, name)
        if field is not None:
            parts[name] = np.array(field[i]).astype(complex)
    if problem.u is not None:
        parts["u"] = np.array(problem.u[i, :T])
    return parts


def loglik(parts: dict[str, Any]) -> complex:
    """The predict/update loop with all observed rows of a step at once; no conjugate anywhere."""
    x, P = parts["mean"], parts["cov"]
    total = 0j
    for k, z in enumerate(parts["z"]):
        if k > 0 or parts["kind"] == 1:
            A = parts["A"][k]
            noise = parts["Q"][k - 1] if k > 0 else parts.get("noise_cov", np.zeros_like(P))
            cross = parts.get("noise_cross", np.zeros_like(P)) if k == 0 else np.zeros_like(P)
            x = A @ x + parts["b"][k] if "b" in parts else A @ x
            if k == 0 and "noise_mean" in parts:
                x = x + parts["noise_mean"]
            u = _driving(parts, k)
            if "B" in parts and u is not None:
                x = x + parts["B"][k] @ u
            P = A @ P @ A.T + A @ cross + cross.T @ A.T + noise
        seen = ~np.isnan(z)
        if not seen.any():
            continue
        H = parts["H"][k][seen]
        v = z[seen] - H @ x
        if "c" in parts:
            v = v - parts["c"][k][seen]
        if "D" in parts and "u" in parts:
            v = v - parts["D"][k][seen] @ parts["u"][k]
        S = H @ P @ H.T + parts["R"][k][np.ix_(seen, seen)]
        gain = np.linalg.solve(S, H @ P).T
        total -= 0.5 * (seen.sum() * np.log(2 * np.pi) + np.log(np.linalg.det(S)) + v @ np.linalg.solve(S, v))
        x = x + gain @ v
        P = P - gain @ H @ P
        P = (P + P.T) / 2
    return total


def _driving(parts: dict[str, Any], k: int) -> Any:
    if "u" not in parts:
        return None
    if parts["lag"] == 0:
        return parts["u"][k]
    return parts["u"][k - 1] if k > 0 else parts.get("u_before")


def _moves(name: str, shape: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], list[tuple[int, ...]]]]:
    """Entries of one matrix, each with those that move when it does (half each if there are two)."""
    for index in np.ndindex(*shape):
        yield index, [index, index[::-1]] if name in SYMMETRIC else [index]


def score(problem: Problem, i: int) -> dict[str, Any]:
    """d loglik / d entry of series i, as `gradient_raw` gives it: (T, ...) for every field, zero behind the end."""
    parts = one_series(problem, i)
    T = problem.z.shape[1]
    out: dict[str, Any] = {"loglik": loglik(parts).real}
    for name in (*FIELDS, *START):
        if name not in parts:
            continue
        array = parts[name]
        inner = array.shape if name in START else array.shape[1:]
        gradient = np.zeros(inner if name in START else (T, *inner))
        for k in [None] if name in START else range(len(array)):
            for index, moved in _moves(name, inner):
                saved = array.copy()
                for one in moved:
                    array[one if k is None else (k, *one)] += 1j * STEP / len(moved)
                gradient[index if k is None else (k, *index)] = loglik(parts).imag / STEP
                array[...] = saved
        out[name] = gradient
    return out
