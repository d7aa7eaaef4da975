# SPDX-License-Identifier: BSD-3-Clause
"""The Kalman filter of the PyTorch backend: one joint Gaussian of (x_k, w_k, v_k), conditioned one number at a time.

At each step the noise of the step joins the state, s = (x, w, v), with covariance [[Q, S], [S', R]] for (w, v); component
i of the measurement is then the exact observation ``z_i - D u - c = [H_i, 0, e_i]' s`` (see `_belief`). Nothing is inverted
or factored, so singular Q, R and exactly diffuse starts are no special cases. The next state is ``[A, I] (x, w) + B u + b``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kelman.torch._belief import Belief, Seen, head, join, new_belief, observe, transform

OK, NOT_POSITIVE_DEFINITE, IMPOSSIBLE, NOT_FINITE = 0, 1, 2, 3


class Fields:
    """The arrays of a problem, read step by step as tensors; what does not vary is converted once."""

    def __init__(self, problem: Any) -> None:
        self.problem = problem
        self._kept: dict[str, Tensor] = {}

    def at(self, name: str, k: int) -> Tensor | None:
        """Entry k of a field (N or 1, T, ...), as a tensor (N or 1, ...); None if the model has no such matrix."""
        if name in self._kept:
            return self._kept[name]
        value = getattr(self.problem, name)
        if value is None:
            return None
        strides = value.stride() if isinstance(value, Tensor) else value.strides
        fixed = value.shape[1] == 1 or strides[1] == 0
        series = slice(0, 1) if strides[0] == 0 else slice(None)
        tensor = _tensor(value[series, 0 if fixed else k])
        if fixed:
            self._kept[name] = tensor
        return tensor

    def need(self, name: str, k: int) -> Tensor:
        """Like `at`, for the matrices that every model has."""
        value = self.at(name, k)
        assert value is not None
        return value


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


@dataclass
class Step:
    """Everything the filter knows at one time step."""

    k: int
    predicted: Belief  # of x_k, before z_k
    updated: Belief  # of (x_k, w_k), after z_k
    innovation: Tensor  # (N, m), NaN where missing
    innovation_cov: Tensor  # (N, m, m)
    loglik: Tensor  # (N,)
    seen: list[Seen]
    inside: Tensor  # (N,) this step belongs to the series


@dataclass
class Trouble:
    """The first numeric trouble of each series."""

    status: Tensor
    failed_at: Tensor
    _order: tuple[int, ...] = field(default=(NOT_FINITE, NOT_POSITIVE_DEFINITE, IMPOSSIBLE))

    def note(self, k: int, code: int, where: Tensor) -> None:
        """Keep the code for the series that had no trouble so far."""
        fresh = where & (self.status == OK)
        self.status = torch.where(fresh, code, self.status)
        self.failed_at = torch.where(fresh, k, self.failed_at)


def _tensor(array: Any) -> Tensor:
    """A tensor of an array (copied: torch warns about read-only memory); tensors stay, with their gradients."""
    return array if isinstance(array, Tensor) else torch.from_numpy(np.array(array))


def start_belief(problem: Any, fields: Fields) -> tuple[Belief, bool]:
    """Belief about x_1 (False), or about (x_0, pending w) one step before it (True)."""
    p = problem
    n = p.mean.shape[-1]
    mean, cov = _tensor(p.mean), _tensor(p.cov)
    V, rank = _tensor(p.inf), _tensor(p.rank)
    V = V * (torch.arange(V.shape[-1]) < rank[:, None])[:, None, :]
    x = new_belief(mean, (cov + cov.mT) / 2, V, rank)
    if p.start_kind == 0:
        return x, False
    both = join(x, fields.need("Q", 0).expand(len(mean), n, n))
    if p.noise_cov is not None:
        cross, own = _tensor(p.noise_cross), _tensor(p.noise_cov)
        joint = torch.cat([torch.cat([x.cov, cross], -1), torch.cat([cross.mT, own], -1)], -2)
        noise_mean = torch.zeros_like(mean) if p.noise_mean is None else _tensor(p.noise_mean)
        both = new_belief(torch.cat([mean, noise_mean], -1), joint, both.inf, rank)
    return both, True


def given_start(belief: Belief, fields: Fields) -> Belief:
    """The vague part of the start as a given number: ``mean + L a + V d`` with (a, d) known, and L L' taken out of the cov.

    Vague is what is much wider than the noise of a measurement; it goes into the belief's factor [L, V], which says how the
    mean depends on (a, d). The rest stays a covariance: from a start without any, a filter with singular noise may be unstable.
    """
    H, Q, R = (fields.need(name, 0) for name in ("H", "Q", "R"))
    noise = torch.diagonal(H @ Q @ H.mT + R, dim1=-2, dim2=-1).amax(-1, keepdim=True)
    values, vectors = torch.linalg.eigh(belief.cov)
    vague = (values * H.square().sum(-1).amax(-1, keepdim=True) > _VAGUE * noise) & (noise > 0)
    L = vectors * torch.where(vague, values, 0).sqrt()[:, None, :]
    rest = vectors * torch.where(vague, 0, values)[:, None, :] @ vectors.mT
    rest = torch.where(vague.any(-1)[:, None, None], (rest + rest.mT) / 2, belief.cov)
    return new_belief(belief.mean, rest, torch.cat([L, belief.inf], -1), torch.zeros_like(belief.rank))


_VAGUE = 1e3


def advance(problem: Any, fields: Fields, both: Belief, k: int) -> Belief:
    """Belief about x_k from the one about (x_{k-1}, w_{k-1})."""
    n = problem.mean.shape[-1]
    A = fields.need("A", k)
    offset = torch.zeros_like(both.mean[:, :n])
    B, b = fields.at("B", k), fields.at("b", k)
    if B is not None and problem.u is not None:
        offset = offset + _drive(problem, fields, B, k)
    if b is not None:
        offset = offset + b
    return transform(both, torch.cat([A, torch.eye(n, dtype=A.dtype).expand_as(A)], -1), offset)


def _drive(problem: Any, fields: Fields, B: Tensor, k: int) -> Tensor:
    if problem.input_lag == 0:
        return _apply(B, fields.need("u", k))
    if k > 0:
        return _apply(B, fields.need("u", k - 1))
    if problem.u_before is None:
        return torch.zeros(())
    return _apply(B, _tensor(problem.u_before))


def _noise(fields: Fields, k: int, n: int, m: int) -> Tensor:
    """Covariance of (w_k, v_k): (N or 1, n + m, n + m)."""
    Q, R, S = fields.need("Q", k), fields.need("R", k), fields.at("S", k)
    N = max(len(Q), len(R), 1 if S is None else len(S))
    corner = torch.zeros(N, n, m, dtype=Q.dtype) if S is None else S.expand(N, n, m)
    Q, R = Q.expand(N, n, n), R.expand(N, m, m)
    return torch.cat([torch.cat([Q, corner], -1), torch.cat([corner.mT, R], -1)], -2)


def update(problem: Any, fields: Fields, x: Belief, k: int, inside: Tensor) -> Step:
    """Condition the belief about x_k on z_k."""
    N, m, n = problem.z.shape[0], problem.z.shape[2], problem.mean.shape[-1]
    z, H = fields.need("z", k).expand(N, m), fields.need("H", k)
    offset = torch.zeros_like(z)
    D, c = fields.at("D", k), fields.at("c", k)
    if D is not None and problem.u is not None:
        offset = offset + _apply(D, fields.need("u", k))
    if c is not None:
        offset = offset + c
    here = ~torch.isnan(z) & inside[:, None]
    y = torch.where(here, z - offset, 0)
    innovation = torch.where(here, y - _apply(H, x.mean), torch.nan)
    innovation_cov = H @ x.cov @ H.mT + fields.need("R", k)
    joint = join(x, _noise(fields, k, n, m).expand(N, -1, -1))
    rows = torch.cat(
        [H, torch.zeros(len(H), m, n, dtype=z.dtype), torch.eye(m, dtype=z.dtype).expand(len(H), m, m)], -1
    )
    seen, loglik = [], torch.zeros(N, dtype=z.dtype)
    statsmodels = problem.diffuse_constant == "statsmodels"
    for i in range(m):
        joint, one = observe(joint, rows[:, i].expand(N, -1), y[:, i], here[:, i], diffuse_2pi=statsmodels)
        loglik = loglik + one.loglik
        seen.append(one)
    both = head(joint, 2 * n)
    return Step(k, x, both, innovation, (innovation_cov + innovation_cov.mT) / 2, loglik, seen, inside)


def steps(problem: Any, trouble: Trouble, *, given_delta: bool = False) -> Iterator[Step]:
    """Run the filter: one `Step` per time.

    With `given_delta` the vague part of the start counts as given (see `given_start`).
    """
    fields = Fields(problem)
    N, T, _ = problem.z.shape
    lengths = torch.full((N,), T) if problem.lengths is None else _tensor(problem.lengths)
    belief, before = start_belief(problem, fields)
    if given_delta:
        belief = given_start(belief, fields)
    for k in range(T):
        inside = k < lengths
        x = advance(problem, fields, belief, k) if before else belief
        step = update(problem, fields, x, k, inside)
        _check(step, trouble)
        belief, before = step.updated, True
        yield step


def _check(step: Step, trouble: Trouble) -> None:
    """Record what went wrong at this step."""
    k, inside = step.k, step.inside
    finite = step.updated.mean.isfinite().all(-1) & step.updated.cov.isfinite().all(-1).all(-1)
    trouble.note(k, NOT_FINITE, inside & ~finite)
    for one in step.seen:
        trouble.note(k, NOT_POSITIVE_DEFINITE, inside & one.indefinite)
        trouble.note(k, IMPOSSIBLE, inside & one.impossible)


def new_trouble(problem: Any) -> Trouble:
    """No trouble yet, for every series of the problem."""
    N = problem.z.shape[0]
    return Trouble(torch.zeros(N, dtype=torch.int32), torch.full((N,), -1))
