# SPDX-License-Identifier: BSD-3-Clause
"""The result of `loglik_and_grad`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import KelmanError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._types import Array

NAMES = ("A", "H", "Q", "R", "B", "D", "b", "c", "S", "m0", "P0", "m1", "P1")
"""The arrays of a StateSpace that a log-likelihood has derivatives by."""


@dataclass(frozen=True, eq=False, repr=False)
class Gradient:
    """Derivatives of a log-likelihood, each under the name and in the shape of the model's array that it belongs to.

    None stands where the model has None. Read by attribute or by name, ``g["A"]``; ``g.items()`` and ``dict(g)`` go over
    the arrays that there are.

    The gradient G by a symmetric matrix (Q, R, P0, P1) is symmetric, with ``d loglik = sum_ij G_ij dQ_ij`` for a symmetric
    dQ: a parameter that is both Q[0, 1] and Q[1, 0] has the derivative ``G[0, 1] + G[1, 0]``, twice the entry.

    Attributes
    ----------
    A, H, Q, R : ndarray
        By the matrices of the two equations.
    B, D, b, c, S : ndarray or None
        By inputs, offsets and cross-covariance.
    m0, P0, m1, P1 : ndarray or None
        By the start, where the model gives it by these. P1_inf counts as given: there is no derivative by it.

    Examples
    --------
    >>> import kelman
    >>> model = kelman.StateSpace([[0.5]], [[1.0]], [[1.0]], [[1.0]], m1=[0.0], P1=[[1.0]])
    >>> loglik, g = kelman.loglik_and_grad(model, [2.0, 1.0])
    >>> g
    Gradient(A (1, 1), H (1, 1), Q (1, 1), R (1, 1), m1 (1,), P1 (1, 1))
    >>> sorted(g)
    ['A', 'H', 'P1', 'Q', 'R', 'm1']
    """

    A: Array
    H: Array
    Q: Array
    R: Array
    B: Array | None = None
    D: Array | None = None
    b: Array | None = None
    c: Array | None = None
    S: Array | None = None
    m0: Array | None = None
    P0: Array | None = None
    m1: Array | None = None
    P1: Array | None = None
    _P1_inf: Array | None = None  # along the range of P1_inf, for templates whose diffuse start follows the model

    def keys(self) -> tuple[str, ...]:
        """Return the names of the arrays that there are.

        Returns
        -------
        tuple of str
        """
        return tuple(name for name in NAMES if getattr(self, name) is not None)

    def items(self) -> tuple[tuple[str, Array], ...]:
        """Return (name, array) for the arrays that there are.

        Returns
        -------
        tuple of (str, ndarray)
        """
        return tuple((name, self[name]) for name in self.keys())

    def __getitem__(self, name: str) -> Array:
        array: Array | None = getattr(self, name, None) if name in NAMES else None
        if array is None:
            raise KelmanError(f"gradient: no {name!r} in it; there are {', '.join(self.keys())}")
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def summary(self) -> str:
        """Say in a few lines how large the derivatives are.

        Returns
        -------
        str
            Shape, root mean square and largest entry of each array.
        """
        lines = ["derivatives of the log-likelihood", f"  {'':4}{'shape':18}{'rms':>12}{'largest':>12}"]
        for name, array in self.items():
            size = np.abs(array.astype(np.float64))
            rms, top = (float(np.sqrt((size**2).mean())), float(size.max())) if size.size else (0.0, 0.0)
            lines.append(f"  {name:4}{array.shape!s:18}{rms:12.4g}{top:12.4g}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Gradient({', '.join(f'{name} {array.shape}' for name, array in self.items())})"
