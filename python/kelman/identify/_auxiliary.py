# SPDX-License-Identifier: BSD-3-Clause
r"""Auxiliary residuals: what a single shock at each place and time would explain.

With smoothing errors u_k and r_k of the recursion back in time,

    u_k = F_k^-1 v_k - K_k' r_k            r_{k-1} = H_k' u_k + A_{k+1}' r_k
    D_k = F_k^-1 + K_k' N_k K_k            N_{k-1} = H_k' F_k^-1 H_k + L_k' N_k L_k,   L_k = A_{k+1} - K_k H_k

u_i / sqrt(D_ii) is the t-statistic of a shock that hits component i of z_k alone (an outlier), of size u_i / D_ii, and
r_i / sqrt(N_ii) that of a shock to state i between k - 1 and k (a break: of a level a shift), of size r_i / N_ii
(P. de Jong and J. Penzer, JASA 93 (1998) 796). With diagonal R and Q (S = 0) they are the standardised smoothed
disturbances of A. C. Harvey and S. J. Koopman, JBES 10 (1992) 377; they exist too where Q_ii = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kelman import _registry, linear
from kelman.config import thread_count
from kelman.identify._innovations import Filtered
from kelman.linear._problem import fields_of, pose
from kelman.linear._sample import _rows
from kelman.lti._propagate import propagate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kelman._types import Array
    from kelman.models import StateSpace

_NOTHING = 1e-12

_UNSEEN = 1e-9
"""A shock is not seen if an estimated start explains all but this part of its effect."""

_MANY = 500
"""So many series keep the processor busy without blocks of time."""

_ROUNDS = 25
"""How often shocks are looked for in what is left."""


@dataclass(frozen=True)
class Flag:
    """A shock that the model does not expect.

    Attributes
    ----------
    kind : {"outlier", "break"}
        "outlier": one measured value is off; "break": a state jumps, and what follows stays off.
    series, time, component : int
        Where, counted from 0; the component of z, or of the state that jumps as it reaches `time`.
    t : float
        t-statistic of the shock.
    size : float
        Estimated size, in units of z or of the state.
    """

    kind: str
    series: int
    time: int
    component: int
    t: float
    size: float


@dataclass(frozen=True, eq=False)
class Auxiliary:
    """t-statistics and sizes: outliers (N, T, m), breaks (N, T, n); NaN where the data cannot tell."""

    outlier: Array
    outlier_size: Array
    shift: Array
    shift_size: Array


def auxiliary(model: StateSpace, run: Filtered) -> Auxiliary:
    """Go back in time over the innovations, all series at once."""
    v, P, F, E = _innovations(model.astype(np.float64), run)
    N, T, m = v.shape
    n = model.dims.n
    fields = fields_of(model, N, T, np.dtype(np.float64))
    A, H, S = fields["A"], fields["H"], fields["S"]
    assert A is not None
    assert H is not None
    S = np.zeros((1, T, n, m)) if S is None else S
    if (run.lengths < T).any():
        P = np.where(np.isfinite(P), P, 0.0)  # what is behind the end of a series
    seen = known = np.isfinite(v)
    if _alike(seen) and all(len(part) == 1 or part.strides[0] == 0 for part in (A, H, S, P, F)):
        A, H, S, P, F, E, known = A[:1], H[:1], S[:1], P[:1], F[:1], E[:1], seen[:1]
    inverse = _inverse(F, known)
    E = _whitened(np.where(known[..., None], E, 0.0), inverse)
    v = np.where(seen, v, 0.0)
    if E.shape[-1]:
        start = (_turned(E) @ _times(inverse, v)[..., None]).sum(axis=1)
        v = v - (E @ start[:, None])[..., 0]
    back = _Backward(A, H, S, P, inverse, known, v, E, T)
    out = Auxiliary(*(np.full((N, T, size), np.nan) for size in (m, m, n, n)))
    for k, u, D, U, r, info, R in back.steps(N):
        inside = (k < run.lengths[:, None])[..., None]
        out.outlier[:, k], out.outlier_size[:, k] = _ratio(u, D, U, inside & seen[:, k])
        out.shift[:, k], out.shift_size[:, k] = _ratio(r, info, R, inside)
    return out


class _Backward:
    """The recursion back in time, over blocks of steps side by side.

    r_{k-1} and N_{k-1} are affine in r_k and N_k, so a block of steps can be gone through before what comes behind it is known:
    first from zero, with the product of its L_k; then, block by block, for the value at its end; then once more from there. Many
    series are one block each, for which the first two are not needed.
    """

    def __init__(
        self, A: Array, H: Array, S: Array, P: Array, inverse: Array, known: Array, v: Array, E: Array, T: int
    ) -> None:
        self.A, self.H, self.S, self.P, self.inverse, self.known, self.v, self.E = A, H, S, P, inverse, known, v, E
        self.T = T

    def steps(self, N: int) -> Iterator[tuple[Array, ...]]:
        """Yield places k in time (blocks,), and u, D, U and r, info, R before them, (N or 1, blocks, ...)."""
        length = self.T if N >= _MANY else min(self.T, max(int(np.sqrt(self.T / 2)), 16))
        starts = np.arange(0, self.T, length)
        n, d, K = self.H.shape[-1], self.E.shape[-1], len(self.known)
        r, info = np.zeros((N, len(starts), n)), np.zeros((K, len(starts), n, n))
        R = np.zeros((K, len(starts), n, d))
        if len(starts) == 1:
            yield from self._go(starts, length, r, info, R)
            return
        ends: list[Array] = []
        for _ in self._go(starts, length, r, info, R, ends):
            pass
        r0, info0, R0, through = ends
        for block in range(len(starts) - 1, 0, -1):
            M = _turned(through[:, block])
            r[:, block - 1] = r0[:, block] + _times(M, r[:, block])
            R[:, block - 1] = R0[:, block] + M @ R[:, block]
            info[:, block - 1] = info0[:, block] + M @ info[:, block] @ _turned(M)
        yield from self._go(starts, length, r, info, R)

    def _go(
        self, starts: Array, length: int, r: Array, info: Array, R: Array, ends: list[Array] | None = None
    ) -> Iterator[tuple[Array, ...]]:
        """Go through all blocks from what is behind them; `ends` takes what is before them, and the product of L."""
        T = self.T
        through = np.broadcast_to(np.eye(self.H.shape[-1]), info.shape) if ends is not None else None
        for j in range(length - 1, -1, -1):
            k = starts + j
            if k[-1] >= T:  # the last block may be shorter: nothing is behind it
                k = k[:-1]
            some = slice(0, len(k))
            on = (k + 1 < T)[:, None, None]
            known, G = self.known[:, k], self.inverse[:, k]
            here = self.H[:, k] * known[..., None]
            onward = self.A[:, np.minimum(k + 1, T - 1)] * on
            K = (onward @ self.P[:, k] @ _turned(here) + self.S[:, k] * known[..., None, :]) @ G
            back, L = _turned(here), _turned(onward - K @ here)
            old_r, old_info, old_R = r[:, some], info[:, some], R[:, some]
            u, U = _times(G, self.v[:, k]) - _times(_turned(K), old_r), G @ self.E[:, k] - _turned(K) @ old_R
            new_r, new_R = _times(back, u) + _times(_turned(onward), old_r), back @ U + _turned(onward) @ old_R
            new_info = back @ G @ here + L @ old_info @ _turned(L)
            if ends is None:
                yield k, u, G + _turned(K) @ old_info @ K, U, new_r, new_info, new_R
            if through is not None:
                through = np.concatenate([through[:, some] @ _turned(L), through[:, len(k) :]], axis=1)
            if len(k) == len(starts):
                r, info, R = new_r, new_info, new_R
            else:
                r, info, R = (
                    np.concatenate([new, old[:, len(k) :]], axis=1)
                    for new, old in ((new_r, r), (new_info, info), (new_R, R))
                )
        if ends is not None and through is not None:
            ends += [r, info, R, through]


def _innovations(model: StateSpace, run: Filtered) -> tuple[Array, Array, Array, Array]:
    """Innovations v (N, T, m), P and F, and what each diffuse direction of the start adds to v, (1 or N, T, m, directions).

    A diffuse start has a proper prior here, which any prior is as good as: the directions are regressed out afterwards, as
    an estimated start of no prior at all (B. Rosenberg (1973); Durbin and Koopman, 2nd ed. (2012), section 5.7).
    """
    posed = pose(model, run.z, run.u)
    problem, T = posed.problem, posed.T
    directions = problem.inf.shape[-1]
    if not directions:
        v, P, F = (run.array(name) for name in ("innovation", "predicted_cov", "innovation_cov"))
        return v, P, F, np.zeros((1, T, v.shape[-1], 0))
    size = max(float(np.trace(one, axis1=-2, axis2=-1).max()) / one.shape[-1] for one in (model.Q, model.R)) or 1.0
    V = np.where(np.arange(directions) < problem.rank[:, None, None], problem.inf, 0.0)
    known = replace(
        problem,
        cov=np.broadcast_to(_shared(problem.cov) + size * _shared(V) @ _turned(_shared(V)), problem.cov.shape),
        inf=np.broadcast_to(np.zeros((1, model.dims.n, 0)), (*problem.cov.shape[:2], 0)),
        rank=np.zeros_like(problem.rank),
    )
    kernels, threads = _registry.backend("linear"), thread_count()
    raw = kernels.filter_raw(known, "all", threads)
    rows = np.arange(1 if _alike(np.isfinite(problem.z)) and len(_shared(V)) == 1 else posed.N)
    part = _rows(known, rows)
    part.z = np.where(np.isnan(problem.z[rows]), np.nan, 0.0)
    effects = []
    for j in range(directions):
        part.mean = np.ascontiguousarray(-V[rows, :, j])
        effects.append(kernels.filter_raw(part, "all", threads)["innovation"])
    return raw["innovation"], raw["predicted_cov"], raw["innovation_cov"], np.stack(effects, axis=-1)


def _shared(array: Array) -> Array:
    """One entry where all series have the same."""
    return array[:1] if len(array) == 1 or (array == array[:1]).all() else array


def _alike(seen: Array) -> bool:
    return bool((seen == seen[:1]).all())


def _whitened(E: Array, inverse: Array) -> Array:
    """Combinations of the columns of E that E' F^-1 E makes orthonormal, zero where the data do not see one."""
    if not E.shape[-1]:
        return E
    information = np.einsum("nkjr,nkji,nkis->nrs", E, inverse, E)
    size = np.sqrt(np.maximum(np.diagonal(information, axis1=-2, axis2=-1), 0.0))
    scale = np.where(size > 0, 1 / np.where(size > 0, size, 1.0), 0.0)
    values, vectors = np.linalg.eigh(scale[..., :, None] * information * scale[..., None, :])
    root = np.where(values > _NOTHING, 1 / np.sqrt(np.where(values > _NOTHING, values, 1.0)), 0.0)
    whitened: Array = E @ (scale[..., :, None] * vectors * root[..., None, :])[:, None]
    return whitened


def _inverse(F: Array, seen: Array) -> Array:
    """Inverse of the covariance of what was seen, zero elsewhere (and where a component is predicted exactly)."""
    both = seen[..., :, None] & seen[..., None, :]
    F = np.where(both, F, 0.0)
    if F.shape[-1] == 1:
        return np.where(F > 0, 1 / np.where(F > 0, F, 1.0), 0.0)
    scale = np.sqrt(np.diagonal(F, axis1=-2, axis2=-1))
    scale = np.where(scale > 0, 1 / np.where(scale > 0, scale, 1.0), 0.0)
    unit = np.linalg.pinv(scale[..., :, None] * F * scale[..., None, :], rcond=_NOTHING, hermitian=True)
    inverse: Array = scale[..., :, None] * unit * scale[..., None, :]
    return inverse


def _ratio(score: Array, information: Array, start: Array, counts: Array) -> tuple[Array, Array]:
    """t = score / sqrt(information) and size = score / information, less what the estimated start takes of it."""
    whole = np.diagonal(information, axis1=-2, axis2=-1)
    own = np.broadcast_to(whole - np.square(start).sum(-1), score.shape)
    top = whole.max(axis=-1, keepdims=True, initial=0.0)
    known = counts & (own > _UNSEEN * whole) & (own > 1e-14 * top)
    safe = np.where(known, own, 1.0)
    return np.where(known, score / np.sqrt(safe), np.nan), np.where(known, score / safe, np.nan)


def flags(model: StateSpace, run: Filtered, found: Auxiliary, threshold: float) -> tuple[Flag, ...]:
    """Shocks whose |t| exceeds the threshold, largest first.

    The largest ones are taken (of those near each other one), their effects subtracted from z, and the search goes on in
    what is left: a shock that is an echo of another one is not listed.
    """
    rows, listed = np.arange(len(run.z)), list[Flag]()
    for _ in range(_ROUNDS):
        new = _largest(found, rows, threshold)
        if not new:
            break
        listed += new
        kept = np.unique([flag.series for flag in new])
        inside = np.searchsorted(rows, kept)
        part = model._rows(kept)
        z = run.z[inside] - _effects(part, run.z.shape[1], kept, new)
        u = None if run.u is None else np.ascontiguousarray(run.u[inside])
        result = linear.filter(part, z, u, store="all", on_error="nan")
        rows, run = kept, Filtered(result, z, u, run.lengths[inside], run.diffuse[inside], run.opens[inside], True)
        found = auxiliary(part, run)
    return tuple(sorted(listed, key=lambda flag: -abs(flag.t)))


def _largest(found: Auxiliary, rows: Array, threshold: float) -> list[Flag]:
    """Shocks with |t| above the threshold and no larger one in the same series within so many steps as an echo may last."""
    m, n = found.outlier.shape[-1], found.shift.shape[-1]
    t = np.concatenate([found.outlier, found.shift], axis=-1)
    size = np.concatenate([found.outlier_size, found.shift_size], axis=-1)
    height = np.where(np.isfinite(t), np.abs(t), 0.0)
    where = np.argwhere(height.max(axis=-1) > threshold)
    echo, out = 16 + 4 * n, list[Flag]()
    taken: dict[int, list[int]] = {}
    order = np.argsort(-height.max(axis=-1)[where[:, 0], where[:, 1]], kind="stable")
    for i, k in where[order].tolist():
        if all(abs(k - other) > echo for other in taken.get(i, ())):
            j = int(height[i, k].argmax())
            kind, component = ("outlier", j) if j < m else ("break", j - m)
            out.append(Flag(kind, int(rows[i]), k, component, float(t[i, k, j]), float(size[i, k, j])))
        taken.setdefault(i, []).append(k)
    return out


def _effects(model: StateSpace, T: int, rows: Array, shocks: list[Flag]) -> Array:
    """What shocks add to the measurements of their series, (series, T, m)."""
    N, n = len(rows), model.dims.n
    fields = fields_of(model, N, T, np.dtype(np.float64))
    A, H = fields["A"], fields["H"]
    assert A is not None
    assert H is not None
    effect, jumps = np.zeros((N, T, model.dims.m)), dict[int, list[tuple[int, Flag]]]()
    for flag in shocks:
        i = int(np.searchsorted(rows, flag.series))
        if flag.kind == "outlier":
            effect[i, flag.time, flag.component] += flag.size
        else:
            jumps.setdefault(flag.time, []).append((i, flag))
    if not jumps:
        return effect
    first = min(jumps)
    if (len(A) == 1 or A.strides[0] == 0) and A.strides[1] == 0 and H.strides[1] == 0:
        pushes = np.zeros((T - first, n, N))
        for k, here in jumps.items():
            for i, flag in here:
                pushes[k - first, flag.component, i] += flag.size
        path = propagate(np.ascontiguousarray(A[0, 0]), pushes[1:], pushes[0]).transpose(2, 0, 1)
        effect[:, first:] += path @ _turned(H[:, 0])
        return effect
    x = np.zeros((N, n))
    for k in range(first, T):
        x = _times(A[:, k], x)
        for i, flag in jumps.get(k, ()):
            x[i, flag.component] += flag.size
        effect[:, k] += _times(H[:, k], x)
    return effect


def _times(matrix: Array, vector: Array) -> Array:
    product: Array = (matrix @ vector[..., None])[..., 0]
    return product


def _turned(matrix: Array) -> Array:
    return np.swapaxes(matrix, -1, -2)
