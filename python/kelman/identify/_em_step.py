# SPDX-License-Identifier: BSD-3-Clause
"""The M-step: all parameters of a template at once, for many fits side by side.

Where a block of rows of M and W is wholly free, in closed form: dM = W G S^-1 and W = (sum E[noise noise']) / n. Where
entries are fixed, tied or affine, vec M = f + D p moves by the least squares that W^-1 weighs, and W = W_0 + sum_a p_a W_a
by one step of scoring, which is the closed form where there is one (one scale, separate or tied variances).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kelman.errors import KelmanError
from kelman.identify._em_equations import Noise, equations, halves, silent
from kelman.models._transforms import Bounded, Cholesky

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.identify._em_data import Data, Expectation
    from kelman.identify._em_equations import Equation
    from kelman.identify._em_wiring import Wiring

FLOOR = 1e-12
"""Standard deviations do not fall below this part of the root mean square of what they disturb."""

_NEAR = 1e6
"""Variances above this multiple of the floor that was found last are far from it."""

_SINGULAR = 1e-13


class Maximiser:
    """Moves the parameters to the maximum of the expected log-likelihood of states and data.

    Attributes
    ----------
    held : tuple of str
        Parameters that EM cannot move, because the rows that they are in have no noise.
    restricted : tuple of str
        Parameters that it can move in some combinations only, because the noise of their rows is of lower rank.
    second : bool
        Whether second moments of states are needed.
    """

    def __init__(self, wiring: Wiring, data: Data, theta: Array) -> None:
        self.wiring, self.data = wiring, data
        self.equations = equations(wiring, data)
        self._refuse()
        self.second = any(e.mean and e.kind != "start" for e in self.equations)
        self.components = any(e.by_component for e in self.equations)
        names = wiring.template.names
        held: set[int] = set()
        bound: set[int] = set()
        for e in self.equations:
            silent = set(e.params[~e.noisy[e.rows]].tolist())
            held |= silent if e.regular else set()
            if e.regular and e.mean:
                bound |= self._deficient(e, theta[:1])
        self._general = [e for e in self.equations if e.mean and not e.regular]
        self._used = np.unique(np.concatenate([e.used for e in self._general])) if self._general else np.zeros(0, int)
        self._designs = [self._design(e) for e in self._general]
        self._basis = self._movable(theta[:1])
        still = np.abs(self._basis).max(axis=1, initial=0.0) < 1e-10
        held |= set(self._used[still].tolist())
        if self._basis.shape[1] < (~still).sum():
            bound |= {int(k) for k in self._used[~still] if self._tangled(int(k))}
        self.held = tuple(names[k] for k in sorted(held))
        self.restricted = tuple(names[k] for k in sorted(bound - held))
        self._odd = [e for e in self.equations if len(e.odd)]
        self._odd_all = np.unique(np.concatenate([e.odd for e in self._odd])) if self._odd else np.zeros(0, int)
        self._slopes = [(np.searchsorted(self._odd_all, e.odd), e.slopes_of_W()) for e in self._odd]
        low, high = (np.array([getattr(p, x) for p in wiring.template._parameters]) for x in ("lower", "upper"))
        self._low, self._high = low, high
        self._lows: dict[str, Array] = {}
        plain = all(isinstance(block.transform, (Bounded, Cholesky)) for block in wiring.template._blocks)
        self._simple = plain
        """Whether bounds and positive covariances are all that the transforms ask for."""

    def _refuse(self) -> None:
        served = {name for e in self.equations for name in (*(part[0] for part in e.mean), *[e.cov] * e.varies)}
        other = set(self.wiring.fields) - served
        if other:
            raise KelmanError(f"{', '.join(sorted(other))}: EM does not fit it; use method='mle'")
        means = {int(k) for e in self.equations for k in e.params}
        covs = {int(k) for e in self.equations if e.varies for k in self.wiring.fields[e.cov].cols}
        both = [self.wiring.template.names[k] for k in sorted(means & covs)]
        if both:
            raise KelmanError(
                f"{', '.join(both)}: in a covariance and elsewhere, so that EM has no closed form for it; use method='mle'"
            )
        if any(p.prior is not None for p in self.wiring.template._parameters):
            raise KelmanError("prior: EM maximises the likelihood alone; use method='mle' for posterior modes")

    def _deficient(self, e: Equation, theta: Array) -> set[int]:
        """Parameters of rows whose noise is of lower rank than their number."""
        W, found = e.W(theta)[0], set()
        for block in e.blocks:
            if block.coefficients is not None and e.noisy[block.rows].all():
                part = W[np.ix_(block.rows, block.rows)]
                if len(silent(part)):
                    found |= set(block.coefficients.ravel().tolist())
        return found

    def _design(self, e: Equation) -> Array:
        D = np.zeros((e.d, e.q, len(self._used)))
        D[:, :, np.searchsorted(self._used, e.used)] = e.design()
        return D

    def _movable(self, theta: Array) -> Array:
        """Columns: the directions of the used parameters in which the noise lets EM move."""
        count = len(self._used)
        if not count:
            return np.zeros((0, 0))
        rows = []
        for e, D in zip(self._general, self._designs, strict=True):
            away = silent(e.W(theta)[0])
            rows.append(np.einsum("ri,ijp->rjp", away, D).reshape(-1, count))
        values, vectors = np.linalg.eigh(sum(row.T @ row for row in rows))
        return np.asarray(vectors[:, values <= 1e-12 * max(float(values[-1]), 1.0)])

    def _tangled(self, k: int) -> bool:
        unit = np.zeros(len(self._used))
        unit[np.searchsorted(self._used, k)] = 1.0
        return float(np.linalg.norm(unit - self._basis @ (self._basis.T @ unit))) > 1e-8

    def __call__(self, E: Expectation, which: Array) -> tuple[Array, Array]:
        """Return the next theta (F, K), and which variances are at their floor (F, K)."""
        theta = E.theta.copy()
        reductions: dict[str, Array] = {}
        for e in self.equations:
            if e.mean and e.regular:
                reductions[e.cov] = self._closed(e, E, theta)
        if self._general:
            self._least_squares(E, theta, reductions)
        noises = {}
        for e in self.equations:
            if e.varies and self.wiring.fields[e.cov].plain:
                noises[e.cov] = self._noise(e, E, reductions.get(e.cov), which)
                self._whole(e, noises[e.cov], theta)
        if len(self._odd_all):
            self._scoring(E, noises, theta)
        floored = self._floor(E, theta, which)
        return self._inside(E.theta, theta), floored

    def _closed(self, e: Equation, E: Expectation, theta: Array) -> Array:
        """dM = W G S^-1 in each free block; returns what the noise loses by it, (F, d, d)."""
        W, G, S = e.W(E.theta), e.G(E), e.second(E)
        if e.kind == "start" and len(e.blocks) == 1:  # m + P g / N
            dM = W @ G / S
            theta[:, e.blocks[0].coefficients] += dM
            return np.asarray(dM @ np.swapaxes(dM, 1, 2) * S)
        S_rows = S if S.ndim == 4 else S[:, None]
        lost = np.zeros((len(theta), e.d, e.d))
        L = e.lift(E.reference)
        raw: dict[int, Array] = {}
        for block in e.blocks:
            if block.coefficients is None or not e.noisy[block.rows].all():
                continue
            rows, cols = block.rows, block.cols
            free = (slice(None), rows[:, None], cols)
            of_S = S_rows[:, rows[0] if S.ndim == 4 else 0]
            WG = W[:, rows[:, None], rows] @ G[free]
            centred = e.kind != "start" and cols[-1] == e.q - 1
            part = L[:, cols[:, None], cols]
            if centred:  # about the reference, where the constant takes up the shift
                WG = _right_solved(WG, np.swapaxes(part, 1, 2))
                dM = _divided(WG, of_S[:, cols[:, None], cols])
                lost[:, rows[:, None], rows] = dM @ np.swapaxes(WG, 1, 2)
                dM = _right_solved(dM, part)
            else:
                row = int(rows[0]) if S.ndim == 4 else 0
                if row not in raw:
                    raw[row] = of_S if e.kind == "start" else L @ of_S @ np.swapaxes(L, 1, 2)
                dM = _divided(WG, raw[row] if len(cols) == e.q else raw[row][:, cols[:, None], cols])
                lost[:, rows[:, None], rows] = dM @ np.swapaxes(WG, 1, 2)
            theta[:, block.coefficients.ravel()] += dM.reshape(len(theta), -1)
        return (lost + np.swapaxes(lost, 1, 2)) / 2

    def _least_squares(self, E: Expectation, theta: Array, reductions: dict[str, Array]) -> None:
        """Equations with fixed or tied entries, together."""
        F, parts = len(theta), []
        kept = []
        for e, D in zip(self._general, self._designs, strict=True):
            X, S, L = halves(e.W(E.theta)), e.second(E), e.lift(E.reference)
            C = _root(S)
            if S.ndim == 4:  # one S for each row, whose noises are independent
                LC = L[:, None] @ C
                weight = np.sqrt(np.einsum("fri,fri->fi", X, X))
                parts.append(np.einsum("fi,ijp,fija->fiap", weight, D, LC).reshape(F, -1, D.shape[2]))
            else:
                LC = L @ C
                parts.append(np.einsum("fri,ijp,fja->frap", X, D, LC, optimize=True).reshape(F, -1, D.shape[2]))
            kept.append((e, D, S, L))
        right = E.gradient[:, self._used] @ self._basis
        step = _normal_solution(np.concatenate(parts, axis=1) @ self._basis, right) @ self._basis.T
        theta[:, self._used] += step
        for e, D, S, L in kept:
            dM = np.einsum("ijp,fp->fij", D, step)
            moved = dM @ (e.W(E.theta) @ e.G(E)).swapaxes(1, 2)
            shifted = dM @ L
            if S.ndim == 4:
                squares = np.einsum("fij,fijk,fik->fi", shifted, S, shifted)
                spread = squares[:, :, None] * np.eye(e.d)
            else:
                spread = shifted @ S @ shifted.swapaxes(1, 2)
            reductions[e.cov] = moved + moved.swapaxes(1, 2) - spread

    def _noise(self, e: Equation, E: Expectation, lost: Array | None, which: Array) -> Noise:
        W, count = e.W(E.theta), e.count(self.data, which)
        steps = count[:, None, None] if count.ndim == 1 else np.sqrt(count[:, :, None] * count[:, None, :])
        half = W @ e.V(E) @ W
        total = W * steps + (half + half.swapaxes(1, 2))
        return Noise(total if lost is None else total - lost, count)

    def _whole(self, e: Equation, noise: Noise, theta: Array) -> None:
        for block in e.blocks:
            if block.variances is not None:
                rows = block.rows
                count = noise.count if noise.count.ndim == 1 else noise.count[:, rows[0]]
                W = noise.total[:, rows[:, None], rows] / np.maximum(count, 1.0)[:, None, None]
                theta[:, block.variances.ravel()] = np.where(
                    count[:, None] > 0, W.reshape(len(theta), -1), theta[:, block.variances.ravel()]
                )

    def _scoring(self, E: Expectation, noises: dict[str, Noise], theta: Array) -> None:
        F, K = len(theta), len(self._odd_all)
        information, slope = np.zeros((F, K, K)), np.zeros((F, K))
        for e, (at, J) in zip(self._odd, self._slopes, strict=True):
            X, noise = halves(e.W(E.theta)), noises[e.cov]
            turned = np.einsum("fri,kij,fsj->fkrs", X, J, X, optimize=True)
            inner = X @ noise.total @ X.swapaxes(1, 2)
            rank = X @ e.W(E.theta) @ X.swapaxes(1, 2)
            if noise.count.ndim == 1:
                n = noise.count[:, None, None]
                information[:, at[:, None], at] += n / 2 * np.einsum("fars,fbrs->fab", turned, turned)
                slope[:, at] += np.einsum("frs,fars->fa", inner - n * rank, turned) / 2
            else:  # a diagonal W: each row has its own number of steps
                weight = np.einsum("fri,fri->fi", X, X)
                own = np.einsum("kii->ki", J)
                n = noise.count
                information[:, at[:, None], at] += np.einsum("fi,ai,bi->fab", n / 2 * weight**2, own, own)
                excess = np.einsum("fii->fi", noise.total) - n * np.einsum("fii->fi", e.W(E.theta))
                slope[:, at] += np.einsum("fi,ai->fa", weight**2 * excess / 2, own)
        theta[:, self._odd_all] += _solved(information, slope)

    def _floor(self, E: Expectation, theta: Array, which: Array) -> Array:
        """Hold variances above their floor; returns where that was needed."""
        reached = np.zeros(theta.shape, dtype=bool)
        for e in self.equations:
            if not e.varies or not self.wiring.fields[e.cov].plain:
                continue
            W = e.W(theta, fresh=True)
            variances = np.einsum("fii->fi", W)
            low = self._lows.get(e.cov)
            if low is None or len(low) != len(theta) or (variances < _NEAR * low).any():
                low = self._lows[e.cov] = self._lowest(e, E, which)
            for block in e.blocks:
                if block.variances is None:
                    continue
                own = block.variances.diagonal()
                small = variances[:, block.rows] < low[:, block.rows]
                if not small.any() and (len(own) == 1 or _definite(W[:, block.rows[:, None], block.rows])):
                    continue
                reached[:, own] |= small
                theta[:, block.variances.ravel()] = _lifted(
                    W[:, block.rows[:, None], block.rows], low[:, block.rows]
                ).reshape(len(theta), -1)
            for k in e.odd.tolist():
                rows = np.flatnonzero(np.abs(e.slopes_of_W()[np.searchsorted(e.odd, k)].diagonal()) > 0)
                small = (variances[:, rows] < low[:, rows]).any(axis=1) & (theta[:, k] < E.theta[:, k])
                reached[:, k] |= small
                theta[small, k] = E.theta[small, k]
        return reached

    def _lowest(self, e: Equation, E: Expectation, which: Array) -> Array:
        count = np.maximum(self.data.total("components", which), 1.0)
        squares = self.data.total("squares", which) / count
        if e.kind != "measurement" and E.sums is not None:
            n = e.d
            steps = np.maximum(E.sums[:, 0, -1, -1], 1.0)[:, None]
            first = E.sums[:, 0, :n, -1] / steps
            squares = np.einsum("fii->fi", E.sums[:, 0, :n, :n]) / steps + 2 * first * E.reference + E.reference**2
        elif e.kind != "measurement":  # states in the units that H gives them
            H = self.wiring.known("H", E.theta) if "H" in self.wiring.fields else self.wiring.array("H", E.theta)
            largest = float(np.abs(H).max()) or 1.0
            squares = np.repeat(squares.max(axis=1, keepdims=True) / largest**2, e.d, axis=1)
        return FLOOR**2 * np.where(squares > 0, squares, 1.0)

    def _inside(self, old: Array, new: Array) -> Array:
        """Pull each parameter back inside its bounds, and all of a fit until its transforms accept them."""
        below, above = new <= self._low, new >= self._high
        if below.any() or above.any():
            new = np.where(below, old + 0.9 * (self._low - old), new)
            new = np.where(above, old + 0.9 * (self._high - old), new)
        if self._simple:
            return new
        template = self.wiring.template
        try:
            template.unconstrain(new)
        except KelmanError:
            for i in range(len(new)):
                new[i] = self._shrunk(old[i], new[i])
        return new

    def _shrunk(self, old: Array, new: Array) -> Array:
        for _ in range(40):
            try:
                self.wiring.template.unconstrain(new)
            except KelmanError:
                new = (old + new) / 2
            else:
                return new
        return old


def _right_solved(value: Array, matrix: Array) -> Array:
    """value (F, r, c) times the inverse of matrix (F, c, c)."""
    return np.asarray(np.swapaxes(np.linalg.solve(np.swapaxes(matrix, 1, 2), np.swapaxes(value, 1, 2)), 1, 2))


def _divided(value: Array, S: Array) -> Array:
    """value (F, r, c) times S^-1, a least-norm solution where S (F, c, c) is singular."""
    return np.asarray(np.swapaxes(_solved(S, np.swapaxes(value, 1, 2)), 1, 2))


def _solved(S: Array, right: Array) -> Array:
    """S^-1 right for positive semi-definite S (F, k, k), in units in which its diagonal is one."""
    size = np.sqrt(np.maximum(np.einsum("fii->fi", S), 0.0))
    scale = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0)
    vector = right.ndim == 2
    right = right[..., None] if vector else right
    unit = S * scale[:, :, None] * scale[:, None, :]
    right = right * scale[:, :, None]
    try:
        inverse = np.linalg.inv(unit)
        sound = float(np.abs(inverse).max()) * _SINGULAR < 1  # about the condition number
    except np.linalg.LinAlgError:
        sound = False
    if not sound:
        inverse = np.linalg.pinv(unit, _SINGULAR * S.shape[1], hermitian=True)
    found = inverse @ right
    found = found * scale[:, :, None]
    return np.asarray(found[..., 0] if vector else found)


def _root(S: Array) -> Array:
    """C with C C' = S for positive semi-definite S (..., q, q), in units in which its diagonal is one."""
    size = np.sqrt(np.maximum(np.einsum("...ii->...i", S), 0.0))
    scale = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0)
    values, vectors = np.linalg.eigh(S * scale[..., :, None] * scale[..., None, :])
    return np.asarray(size[..., :, None] * vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :])


def _normal_solution(X: Array, right: Array) -> Array:
    """(X'X)^-1 right through the QR factors of X (F, r, k): the square root of the condition of the normal equations."""
    size = np.sqrt(np.einsum("frk,frk->fk", X, X))
    scale = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0)
    _, values, Vt = np.linalg.svd(X * scale[:, None, :], full_matrices=False)
    kept = values > 1e-12 * np.maximum(values[:, :1], 1e-300)
    inverse = np.divide(1.0, values**2, out=np.zeros_like(values), where=kept)
    turned = np.einsum("fak,fk->fa", Vt, right * scale)
    return np.asarray(scale * np.einsum("fak,fa->fk", Vt, inverse * turned))


def _definite(W: Array) -> bool:
    try:
        np.linalg.cholesky(W)
    except np.linalg.LinAlgError:
        return False
    return True


def _lifted(W: Array, low: Array) -> Array:
    """W (F, d, d) with variances of at least `low` (F, d) and correlations short of one."""
    variances = np.maximum(np.einsum("fii->fi", W), low)
    size = np.sqrt(variances)
    values, vectors = np.linalg.eigh(W / size[:, :, None] / size[:, None, :])
    values = np.maximum(values, 1e-12)
    unit = (vectors * values[:, None, :]) @ np.swapaxes(vectors, 1, 2)
    diagonal = np.sqrt(np.einsum("fii->fi", unit))
    factor = size / np.minimum(diagonal, 1.0)
    lifted: Array = unit * factor[:, :, None] * factor[:, None, :]
    return (lifted + np.swapaxes(lifted, 1, 2)) / 2
