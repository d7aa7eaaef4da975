# SPDX-License-Identifier: BSD-3-Clause
"""What data can tell about a fitted template, and what they cannot: flat directions, and which of them are bases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.errors import KelmanError, ModelTypeError
from kelman.identify._parameter_fit import ParameterFit
from kelman.identify._result import Fit
from kelman.models._meaning import START, SYSTEM

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.models import Template

_SMALL = 1e-4


@dataclass(frozen=True, eq=False)
class Identifiability:
    """Which parameters of a fit the data determine.

    Attributes
    ----------
    names : tuple of str
        All parameters.
    rank : int
        Directions that the data determine.
    directions : ndarray, shape (K, d)
        Orthonormal directions of the natural parameters, in units of their sizes, in which the likelihood is flat.
    determined : tuple of str
        Parameters that no flat direction moves.
    bases : int
        How many of the flat directions are changes of the basis of the state.
    at_bound : tuple of str
        Parameters at a bound, about which nothing is said.
    """

    names: tuple[str, ...]
    rank: int
    directions: Array
    determined: tuple[str, ...]
    bases: int
    at_bound: tuple[str, ...]

    @property
    def undetermined(self) -> tuple[str, ...]:
        """Parameters that some flat direction moves."""
        known = {*self.determined, *self.at_bound}
        return tuple(name for name in self.names if name not in known)

    def summary(self) -> str:
        """Say in words what is determined, what is not, why, and what can be done."""
        flat = self.directions.shape[1]
        lines = [f"The data determine {self.rank} directions of {len(self.names)} parameters."]
        if self.at_bound:
            lines.append(f"At a bound, so left out: {_listed(self.at_bound)}.")
        if not flat:
            return "\n".join([*lines, "Every other parameter is determined."])
        lines.append(f"Determined one by one: {_listed(self.determined) or 'none'}.")
        lines.append(f"Not determined: {_listed(self.undetermined)}.")
        if self.bases:
            lines.append(
                f"{self.bases} of the {flat} flat directions {'is a change' if self.bases == 1 else 'are changes'} of the basis of "
                "the state: with any regular T the model (T A T^-1, H T^-1, T Q T', ...) predicts the same, so that no data can "
                "tell the entries of A, H, Q or K one by one. What does not depend on the basis is determined: poles, impulse "
                "response, spectrum, innovation covariance. Ask for these, fix entries (H, or a canonical form of A), or compare "
                "models after kelman.align(model, reference)."
            )
        if flat > self.bases:
            lines.append(
                f"{flat - self.bases} of them {'trades' if flat - self.bases == 1 else 'trade'} parameters against each other in another "
                "way: fix or tie some, give them priors, or take more data."
            )
            lines.extend("  flat: " + _formula(self.names, column) for column in self.directions.T[: 4 + self.bases])
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Identifiability({self.rank} of {len(self.names)} determined, {self.bases} bases)"


def identifiability(fit: Any) -> Identifiability:
    """Find what the data cannot tell about the parameters of a fit.

    Parameters
    ----------
    fit : ParameterFit
        What `kelman.fit` returned for a template, or for an order by "mle" or "em".

    Returns
    -------
    Identifiability
        ``.determined``, ``.undetermined``, ``.directions``, ``.bases``, ``.summary()``.

    Raises
    ------
    KelmanError
        If `fit` is something else; of a `Fit` the message says what is known of it.

    Notes
    -----
    Flat directions are the null space of the observed information, in units of the likelihood's own scales. Those among them
    that the template can reach by x' = (I + X) x, which moves A by X A - A X, H by -H X, Q by X Q + Q X', ..., are counted as
    changes of basis.

    Examples
    --------
    The scale of the state is arbitrary where H and Q are both free:

    >>> import kelman
    >>> truth = kelman.StateSpace([[0.8]], [[1.0]], [[1.0]], [[0.5]], initial="stationary")
    >>> z = kelman.simulate(truth, 400, rng=5).z
    >>> free = kelman.Free
    >>> template = kelman.Template([[free(0.5, -1, 1)]], [[free(1.0)]], [[free()]], [[free()]], initial="stationary")
    >>> found = kelman.identifiability(kelman.fit(z, template=template))
    >>> found.undetermined, found.bases
    (('H[0,0]', 'Q[0,0]'), 1)
    """
    if isinstance(fit, Fit):
        n = fit.order
        raise KelmanError(
            f"fit: a model in innovation form is determined up to the basis of its state, {n * n} directions, and shown in the "
            "balanced one; poles, impulse responses and Sigma are determined, the entries of A, H and K one by one are not"
        )
    if not isinstance(fit, ParameterFit):
        raise ModelTypeError(f"fit: expected what kelman.fit returned for a template, got a {type(fit).__name__}")
    directions = _directions(fit)
    size = np.abs(directions).max(1) if directions.size else np.zeros(len(fit.names))
    held = set(fit.at_bound)
    determined = tuple(name for name, s in zip(fit.names, size, strict=True) if s < _SMALL and name not in held)
    bases = min(_basis_directions(fit.template, np.asarray(fit.theta)), directions.shape[1])
    return Identifiability(fit.names, fit.rank, directions, determined, bases, fit.at_bound)


def _directions(fit: ParameterFit) -> Array:
    """Flat directions of theta, each parameter in units of its size, orthonormal (K, d)."""
    jacobian = fit.template.constrain_jacobian(fit._eta)
    moved = jacobian @ (fit._scale[:, None] * fit._information.null)
    unit = np.maximum(np.abs(fit.theta), np.abs(jacobian * fit._scale).max(1))
    moved = moved / np.where(unit > 0, unit, 1.0)[:, None]
    return np.asarray(np.linalg.qr(moved)[0]) if moved.shape[1] else moved


def _basis_directions(template: Template, theta: Array) -> int:
    """Dimension of the changes of basis that the template can follow with its parameters."""
    model = template._model(theta)
    if not model.is_constant:
        return 0
    n = model.dims.n
    slopes, tangents = _tangents(template, theta, n)
    joint = np.hstack([slopes, -tangents])
    norms = np.linalg.norm(joint, axis=0)
    joint = joint / np.where(norms > 0, norms, 1.0)
    # A pair (dtheta, X) with D dtheta = t(X): the null space, less that of D alone (parameters without any effect).
    rank, alone = (int(np.linalg.matrix_rank(matrix, 1e-9)) for matrix in (joint, joint[:, : slopes.shape[1]]))
    return int(joint.shape[1] - rank - (slopes.shape[1] - alone))


def _tangents(template: Template, theta: Array, n: int) -> tuple[Array, Array]:
    """Derivatives of all entries by theta (E, K), and by the entries of X in x' = (I + X) x (E, n^2)."""
    model = template._model(theta)
    fields = {name: np.asarray(getattr(model, name)) for name in SYSTEM | START if getattr(model, name) is not None}
    found = template._map.entries(theta)
    by = np.zeros((len(found.values), template.size))
    np.add.at(by, (found.rows, found.cols), found.slopes)
    slopes, tangents = [], []
    for name, array in fields.items():
        own = np.zeros((*array.shape, template.size))
        for place in template._places:
            if place.field == name:
                own[place.index] = by[place.entries]
        slopes.append(own.reshape(array.size, template.size))
        columns = []
        for k in range(n * n):
            X = np.zeros((n, n))
            X.flat[k] = 1.0
            columns.append(_moved(name, array, X).ravel())
        tangents.append(np.stack(columns, axis=1))
    return np.vstack(slopes), np.vstack(tangents)


def _moved(name: str, array: Array, X: Array) -> Array:
    """First-order change of a field with x' = (I + X) x."""
    if name == "A":
        return np.asarray(X @ array - array @ X)
    if name == "H":
        return np.asarray(-array @ X)
    if name in ("Q", "P0", "P1", "P1_inf"):
        return np.asarray(X @ array + array @ X.T)
    if name in ("B", "S", "b", "m0", "m1"):
        return np.asarray(X @ array)
    return np.zeros_like(array)


def _listed(names: tuple[str, ...], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


def _formula(names: tuple[str, ...], column: Array) -> str:
    """A direction as a sum of relative changes, the largest first."""
    order = np.argsort(-np.abs(column), kind="stable")[:5]
    sign = np.sign(column[order[0]])
    return " ".join(f"{sign * column[k]:+.2f} d{names[k]}/|{names[k]}|" for k in order if abs(column[k]) > 0.05)
