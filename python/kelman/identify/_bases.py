# SPDX-License-Identifier: BSD-3-Clause
"""Bases of the state: the same model in another basis, canonical ones, and one model turned into the basis of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kelman._arrays import as_floats, one_of
from kelman.errors import KelmanError, ModelTypeError
from kelman.lti import balance, spectral_radius
from kelman.lti._observability import observability_matrix
from kelman.models import StateSpace

if TYPE_CHECKING:
    from kelman._types import Array

_FORMS = ("balanced", "modal", "observable")
_WORST = 1e10


def change_basis(model: StateSpace, T: Any) -> StateSpace:
    r"""Return the same model with the states x' = T x.

    .. math:: A' = T A T^{-1}, \quad H' = H T^{-1}, \quad Q' = T Q T', \quad B' = T B, \quad S' = T S

    It predicts the same, so no data tell the two apart.

    Parameters
    ----------
    model : StateSpace
        Constant, or varying by series or in time (T is the same for all).
    T : array_like, shape (n, n)
        Regular.

    Returns
    -------
    StateSpace

    Raises
    ------
    KelmanError
        If T is not an (n, n) matrix, or singular to rounding.

    Examples
    --------
    >>> import kelman
    >>> model = kelman.StateSpace([[0.5, 1.0], [0.0, 0.2]], [[1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], [[1.0]])
    >>> turned = kelman.identify.change_basis(model, [[2.0, 0.0], [0.0, 1.0]])
    >>> turned.H.tolist(), turned.A.tolist()
    ([[0.5, 0.0]], [[0.5, 2.0], [0.0, 0.2]])
    """
    _require(model, "model")
    n = model.dims.n
    matrix = as_floats(T, "T").astype(np.float64)
    if matrix.shape != (n, n):
        raise KelmanError(f"T: expected shape ({n}, {n}), got {matrix.shape}")
    if not np.isfinite(matrix).all() or not np.linalg.cond(matrix) < _WORST:
        raise KelmanError("T: expected a regular matrix, got one that is singular to rounding")

    def right(array: Array) -> Array:  # array T^-1
        return np.swapaxes(np.linalg.solve(matrix.T, np.swapaxes(array, -1, -2)), -1, -2)

    def both(array: Array) -> Array:
        turned = matrix @ array @ matrix.T
        return (turned + np.swapaxes(turned, -1, -2)) / 2

    changes: dict[str, Any] = {"A": right(matrix @ model.A), "H": right(model.H), "Q": both(model.Q)}
    for name in ("B", "S"):
        if getattr(model, name) is not None:
            changes[name] = matrix @ getattr(model, name)
    for name in ("b", "m0", "m1"):
        if getattr(model, name) is not None:
            changes[name] = getattr(model, name) @ matrix.T
    for name in ("P0", "P1", "P1_inf"):
        if getattr(model, name) is not None:
            changes[name] = both(getattr(model, name))
    return model.replace(**changes)


def canonical(model: StateSpace, form: Literal["balanced", "modal", "observable"] = "balanced") -> StateSpace:
    """Return the model in a basis that only what it predicts decides.

    Parameters
    ----------
    model : StateSpace
        Constant.
    form : {"balanced", "modal", "observable"}
        "balanced": Gramians of the steady-state predictor equal and diagonal, the best conditioned one. "modal": A block
        diagonal, a block [[a, b], [-b, a]] for each pair of poles, slowest first; needs distinct poles. "observable": the
        first states are the measured values themselves, z and its next steps without noise: H = [I 0], and A a companion matrix
        where m = 1.

    Returns
    -------
    StateSpace

    Raises
    ------
    KelmanError
        If the model varies or has no such form; the message says why.

    Examples
    --------
    >>> import kelman
    >>> model = kelman.StateSpace([[0.5, 1.0], [0.0, 0.2]], [[1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], [[1.0]])
    >>> kelman.identify.canonical(model, "observable").A.round(6).tolist()
    [[0.0, 1.0], [-0.1, 0.7]]
    """
    _require(model, "model")
    one_of(form, "form", _FORMS)
    if not model.is_constant:
        raise KelmanError("model: varies by series or in time; canonical forms are for constant models")
    return change_basis(model, {"balanced": _balanced, "modal": _modal, "observable": _observable}[form](model))


def align(model: StateSpace, reference: StateSpace) -> tuple[StateSpace, Array]:
    """Turn a model into the basis of another, so that their entries can be compared.

    Parameters
    ----------
    model, reference : StateSpace
        Constant, with the same sizes.

    Returns
    -------
    model : StateSpace
        In the basis of `reference`.
    T : ndarray, shape (n, n)
        x_reference = T x, the least-squares match of the free responses H A^k: exact if the two predict the same.

    Raises
    ------
    KelmanError
        If the sizes differ, or one of them is not observable.

    Notes
    -----
    T solves O_reference T = O with the observability matrices O = [H; H A; ...] of 4 n steps; growing ones are damped by the
    larger spectral radius.

    Examples
    --------
    >>> import numpy as np
    >>> import kelman
    >>> model = kelman.StateSpace([[0.5, 1.0], [0.0, 0.2]], [[1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], [[1.0]])
    >>> other = kelman.identify.change_basis(model, [[2.0, 1.0], [0.0, -1.0]])
    >>> back, T = kelman.align(other, model)
    >>> bool(np.allclose(back.A, model.A))
    True
    """
    _require(model, "model")
    _require(reference, "reference")
    for letter in ("n", "m"):
        ours, theirs = getattr(model.dims, letter), getattr(reference.dims, letter)
        if ours != theirs:
            raise KelmanError(f"reference: has {letter} = {theirs}, but model has {letter} = {ours}")
    if not (model.is_constant and reference.is_constant):
        raise KelmanError("model: varies by series or in time; only constant models are aligned")
    damp = max(1.0, spectral_radius(model.A), spectral_radius(reference.A))
    first, second = (observability_matrix(one.A, one.H, 4 * one.dims.n, damp) for one in (model, reference))
    T, _, rank, _ = np.linalg.lstsq(second, first, rcond=1e-10)
    if rank < model.dims.n or np.linalg.matrix_rank(first, 1e-10 * np.linalg.norm(first, 2)) < model.dims.n:
        raise KelmanError("model: not observable, so some directions of its state have no counterpart; reduce it first")
    return change_basis(model, T), T


def _require(model: Any, name: str) -> None:
    if not isinstance(model, StateSpace):
        raise ModelTypeError(f"{name}: expected a StateSpace, got {type(model).__name__}; of a fit give its .model")


def _balanced(model: StateSpace) -> Array:
    from kelman.linear import steady_state

    K = steady_state(model).K
    F = model.A - K @ model.H
    drive = K if model.B is None else np.hstack([K, model.B])
    found = balance(F, drive, model.H)
    if len(found.T) < model.dims.n or found.hankel[-1] < 1e-10 * found.hankel[0]:
        raise KelmanError(
            "model: some direction of the state is not reached or not seen, so there is no balanced form; use kelman.reduce"
        )
    sign = np.where(found.H.sum(0) < 0, -1.0, 1.0)
    return np.asarray(sign[:, None] * found.T)


def _modal(model: StateSpace) -> Array:
    values, vectors = np.linalg.eig(model.A)
    order = np.lexsort((-values.imag, -np.round(values.real, 12), -np.round(np.abs(values), 12)))
    columns = []
    for k in order:
        if values[k].imag < 0:
            continue
        # The scale of an eigenvector is free: H sees it with length one, its first large entry real and positive.
        vector = vectors[:, k]
        seen = model.H @ vector
        size = np.linalg.norm(seen)
        if size > 1e-12 * np.linalg.norm(model.H):
            big = int(np.argmax(np.abs(seen) > 0.3 * np.abs(seen).max()))
            vector = vector * np.exp(-1j * np.angle(seen[big])) / size
        columns.append(vector.real)
        if values[k].imag > 0:
            columns.append(vector.imag)
    basis = np.stack(columns, axis=1)
    if not np.linalg.cond(basis) < 1e8:
        raise KelmanError(
            "model: A has (nearly) equal poles, so there is no modal form; use 'balanced' or 'observable'"
        )
    return np.linalg.inv(basis)


def _observable(model: StateSpace) -> Array:
    n = model.dims.n
    rows = observability_matrix(model.A, model.H, n)
    kept: list[int] = []
    size = 1e-8 * float(np.linalg.norm(model.H, 2))
    for i in range(len(rows)):  # the first rows that are independent: indices as equal as they can be
        if len(kept) < n and np.linalg.matrix_rank(rows[[*kept, i]], size) > len(kept):
            kept.append(i)
    if len(kept) < n:
        raise KelmanError("model: not observable, so there is no observable form; use kelman.reduce")
    return rows[kept]
