# SPDX-License-Identifier: BSD-3-Clause
"""The three regressions of EM: of x_{k+1} on [x_k; u; 1], of z_k on [x_k; u; 1], and of the first state on [1].

    target_k = M y_k + noise_k,   Cov noise = W         M = [A B b], [H D c] or m;   W = Q, R or P

With S = sum E[y y'], G and V the derivatives of the log-likelihood by M and W, and n steps,

    sum E[noise y'] = W G            sum E[noise noise'] = n W + 2 W V W

at the parameters that E was taken at. The M-step moves M by the least squares of W^-1, then W to the mean square of
what is left. (R. H. Shumway and D. S. Stoffer, J. Time Ser. Anal. 3 (1982) 253; with fixed and tied entries E. E. Holmes,
arXiv:1302.3919 (2013).)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kelman.errors import KelmanError

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.identify._em_data import Data, Expectation
    from kelman.identify._em_wiring import Field, Wiring

_RANK = 1e-11
"""Eigenvalues of a covariance scaled to unit variances below this part of the largest are zero."""


@dataclass(frozen=True, eq=False)
class Block:
    """Rows of W that noise connects; where all is free, the parameters of M[rows, cols] and of W[rows, rows] (or None)."""

    rows: Array
    cols: Array
    coefficients: Array | None
    variances: Array | None


@dataclass(frozen=True, eq=False)
class Noise:
    """Second moments of the noise: total (F, d, d) over `count` steps, (F,) or one for each row (F, d)."""

    total: Array
    count: Array


def halves(W: Array) -> Array:
    """Return X (F, d, d) with X'X a generalised inverse of W (F, d, d), whatever the units of its rows."""
    size = np.sqrt(np.einsum("fii->fi", W))
    inverse = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0)
    values, vectors = np.linalg.eigh(W * inverse[:, :, None] * inverse[:, None, :])
    kept = values > _RANK * np.maximum(values[:, -1:], 1e-300)
    root = np.divide(1.0, np.sqrt(np.where(kept, values, 1.0)), out=np.zeros_like(values), where=kept)
    return np.asarray(root[:, :, None] * np.swapaxes(vectors, 1, 2) * inverse[:, None, :])


def silent(W: Array) -> Array:
    """Return unit rows (r, d) that span the null space of W (d, d): combinations without noise."""
    size = np.sqrt(W.diagonal())
    noisy = np.flatnonzero(size > 0)
    values, vectors = np.linalg.eigh(W[np.ix_(noisy, noisy)] / size[noisy, None] / size[noisy])
    low = vectors[:, values <= _RANK * max(float(values.max(initial=0.0)), 1e-300)]
    rows = np.zeros((low.shape[1], len(W)))
    rows[:, noisy] = low.T / size[noisy]
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    return np.concatenate([rows, np.eye(len(W))[size == 0]])


class Equation:
    """One of the regressions, wired to the parameters.

    Parameters
    ----------
    wiring : Wiring
        The template.
    mean : sequence of (str, int)
        Fields of M, and their numbers of columns.
    cov : str
        Field of W.
    """

    def __init__(self, wiring: Wiring, kind: str, mean: list[tuple[str, int]], cov: str) -> None:
        self.wiring, self.kind, self.cov = wiring, kind, cov
        given = wiring.template._base[cov]
        n = wiring.template.dims.n
        self.base = base = np.zeros((n, n)) if given is None else given
        self.d, self.q = base.shape[-1], sum(width for _, width in mean)
        self.parts = [(name, at, width) for (name, width), at in zip(mean, _offsets(mean), strict=True)]
        self.mean = [part for part in self.parts if part[0] in wiring.fields]
        self.varies = cov in wiring.fields
        self._check()
        terms = [self._terms(*part) for part in self.mean]
        self.rows, self.cols, self.params, self.slopes = (
            np.concatenate([term[k] for term in terms]) if terms else np.zeros(0, dtype=int) for k in range(4)
        )
        self.used = np.unique(self.params)
        structure = wiring.fields[cov].constant if self.varies else base
        linked = np.abs(structure.reshape(-1, self.d, self.d)).max(axis=0) > 0
        if self.varies:
            field = wiring.fields[cov]
            if field.plain:
                linked.flat[field.rows] = True
        self.diagonal = not (linked & ~np.eye(self.d, dtype=bool)).any()
        self.noisy = linked.diagonal()
        self.by_component = False
        counts = np.bincount(np.concatenate([f.cols for f in wiring.fields.values()]), minlength=wiring.size)
        self.blocks = [self._block(rows, counts) for rows in _connected(linked)]
        covered = sum(block.coefficients.size for block in self.blocks if block.coefficients is not None)
        self.regular = covered == len(self.params)
        free = {int(k) for block in self.blocks if block.variances is not None for k in block.variances.flat}
        own = set(wiring.fields[cov].cols.tolist()) if self.varies else set()
        self.odd = np.array(sorted(own - free), dtype=int)
        """Parameters of W that are not entries of wholly free blocks."""

    def _check(self) -> None:
        for name in [part[0] for part in self.mean] + [self.cov] * self.varies:
            if not self.wiring.fields[name].plain:
                raise KelmanError(
                    f"{name}: varies in time or by series and has unknowns, which EM does not serve; use method='mle'"
                )
        if self.mean and self.base.ndim > 2:
            raise KelmanError(
                f"{self.cov}: varies, and {', '.join(part[0] for part in self.mean)} has unknowns: EM does not weigh steps; "
                "use method='mle'"
            )

    def _terms(self, name: str, at: int, width: int) -> tuple[Array, Array, Array, Array]:
        field: Field = self.wiring.fields[name]
        rows, cols = np.divmod(field.rows, width)
        return rows, cols + at, field.cols, field.slopes

    def _block(self, rows: Array, counts: Array) -> Block:
        """Look for wholly free parts: every row with the same free columns, no parameter twice, no factor."""
        coefficients = variances = None
        here = np.isin(self.rows, rows)
        cols = np.unique(self.cols[here])
        single = bool((counts[self.params[here]] == 1).all() and (self.slopes[here] == 1).all())
        if len(cols) and single and here.sum() == len(rows) * len(cols):
            coefficients = np.empty((len(rows), len(cols)), dtype=int)
            coefficients[np.searchsorted(rows, self.rows[here]), np.searchsorted(cols, self.cols[here])] = self.params[
                here
            ]
        if self.varies and self.wiring.fields[self.cov].plain:
            field = self.wiring.fields[self.cov]
            i, j = np.divmod(field.rows, self.d)
            inside = np.isin(i, rows) & np.isin(j, rows)
            whole = inside.sum() == len(rows) ** 2 and (field.slopes[inside] == 1).all()
            twice = np.where(i == j, 1, 2)[inside]
            if whole and (counts[field.cols[inside]] == twice).all() and not field.constant[np.ix_(rows, rows)].any():
                variances = np.empty((len(rows), len(rows)), dtype=int)
                variances[np.searchsorted(rows, i[inside]), np.searchsorted(rows, j[inside])] = field.cols[inside]
        return Block(rows, cols, coefficients, variances)

    def W(self, theta: Array, *, fresh: bool = False) -> Array:
        """Return the covariance of the noise, (F, d, d); `fresh` if theta has changed since a model was made of it."""
        if self.varies:
            return self.wiring.array(self.cov, theta) if fresh else self.wiring.known(self.cov, theta)
        return np.broadcast_to(self.base, (len(theta), self.d, self.d))

    def G(self, E: Expectation) -> Array:
        """Return the derivative by M, (F, d, q); zero where it is not asked for."""
        F = len(E.theta)
        if len(self.mean) == 1 and self.mean[0][2] == self.q:
            return E.by_entry[self.mean[0][0]].reshape(F, self.d, self.q)
        G = np.zeros((F, self.d, self.q))
        for name, at, width in self.mean:
            G[:, :, at : at + width] = E.by_entry[name].reshape(F, self.d, width)
        return G

    def V(self, E: Expectation) -> Array:
        """Return the derivative by W, (F, d, d)."""
        return E.by_entry[self.cov].reshape(len(E.theta), self.d, self.d)

    def second(self, E: Expectation) -> Array:
        """Return S about the reference, (F, q, q), or one for each row (F, d, q, q)."""
        assert E.sums is not None
        if self.kind == "transition":
            return E.sums[:, 0]
        if self.by_component:
            return E.sums[:, 1][:, None] + E.sums[:, 3:]
        return E.sums[:, 1] + E.sums[:, 2]

    def count(self, data: Data, which: Array) -> Array:
        """Return the number of steps, (F,), or for each row (F, d)."""
        if self.kind == "transition":
            before = 1 if self.wiring.template._initial == "x0" else 0
            series = data.N if data.shared else 1
            return data.total("steps", which) - series * (1 - before)
        return data.total("components" if self.by_component else "measured", which)

    def design(self) -> Array:
        """Return dM / d params[used], (d, q, number of them)."""
        D = np.zeros((self.d, self.q, len(self.used)))
        np.add.at(D, (self.rows, self.cols, np.searchsorted(self.used, self.params)), self.slopes)
        return D

    def slopes_of_W(self) -> Array:
        """Return dW / d params[odd], (number of them, d, d)."""
        J = np.zeros((len(self.odd), self.d, self.d))
        field = self.wiring.fields[self.cov]
        inside = np.isin(field.cols, self.odd)
        i, j = np.divmod(field.rows[inside], self.d)
        np.add.at(J, (np.searchsorted(self.odd, field.cols[inside]), i, j), field.slopes[inside])
        return J

    def lift(self, reference: Array) -> Array:
        """Return L (F, q, q) with y = L [x - reference; u; 1]."""
        L = np.zeros((len(reference), self.q, self.q))
        L[:, np.arange(self.q), np.arange(self.q)] = 1.0
        if self.kind != "start":
            L[:, : reference.shape[1], -1] = reference
        return L


class StartEquation(Equation):
    """The regression of the first state: its mean on a constant."""

    def __init__(self, wiring: Wiring, mean: str, cov: str, series: int) -> None:
        super().__init__(wiring, "start", [(mean, 1)], cov)
        self.series = float(series)

    def second(self, E: Expectation) -> Array:
        """Return the number of series as S."""
        return np.full((len(E.theta), 1, 1), self.series)

    def count(self, data: Data, which: Array) -> Array:  # noqa: ARG002
        """Return the number of series of each fit, (F,)."""
        return np.full(len(which), self.series)


def equations(wiring: Wiring, data: Data) -> list[Equation]:
    """Return the regressions that have unknowns."""
    template = wiring.template
    n, p = template.dims.n, template.dims.p
    found: list[Equation] = [
        Equation(wiring, "transition", [("A", n), ("B", p), ("b", 1)], "Q"),
        Equation(wiring, "measurement", [("H", n), ("D", p), ("c", 1)], "R"),
    ]
    found[1].by_component = data.partial and found[1].diagonal
    if "S" in wiring.fields or template._base["S"] is not None:
        raise KelmanError("S: EM needs Cov(w, v) = 0, and the template has S; use method='mle'")
    if template._initial in ("x0", "x1"):
        mean, cov = ("m0", "P0") if template._initial == "x0" else ("m1", "P1")
        if {mean, cov} & wiring.fields.keys():
            found.append(StartEquation(wiring, mean, cov, data.N if data.shared else 1))
    return [equation for equation in found if equation.mean or equation.varies]


def _offsets(mean: list[tuple[str, int]]) -> list[int]:
    return [sum(width for _, width in mean[:k]) for k in range(len(mean))]


def _connected(linked: Array) -> list[Array]:
    """Groups of rows that entries off the diagonal connect."""
    group = np.arange(len(linked))
    for i, j in np.argwhere(np.tril(linked, -1)).tolist():
        group[group == group[i]] = group[j]
    return [np.flatnonzero(group == root) for root in np.unique(group)]
