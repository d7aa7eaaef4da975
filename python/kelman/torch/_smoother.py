# SPDX-License-Identifier: BSD-3-Clause
"""The smoother of the PyTorch backend: smoothing for a given start, then generalised least squares for the start.

The start is ``mean + e + L a + V d`` with ``a ~ N(0, I)``, d exactly diffuse, L a what is vague though not diffuse, and e the
rest; let delta be (a, d). Given delta, the filter runs from a narrow start, with means that are affine in delta,
``mean + [L, V] delta``. All later data speak of the error of a prediction (covariance C) through a vector r, affine in
delta too, and a matrix N: ``E[s | all, delta] = mean + [L, V] delta + C r``, ``Cov(s | all, delta) = C - C N C``. Backward,
an observation ``y = h's`` with gain k, J = I - k h', adds

    r <- h (y - h'(mean + [L, V] delta))/f + J' r          N <- h h'/f + J' N J          (f = h' C h)

and a transition F maps them to ``F' r`` and ``F' N F``. The innovations ``e - v'delta`` of the same run, and the prior of a,
say what delta is: least squares of e on v with variances f, of 0 on a, subject to the equations ``v'delta = e`` where f = 0.
With delta-hat and its covariance M, ``E = mean at delta-hat`` and ``Cov = Cov(. | delta) + W M W'``, W = d E / d delta. So a
vague start, diffuse or only large, never makes a small number the difference of large ones, as it does in recursions that
carry 1/kappa terms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kelman.torch._belief import EXACT, PROPER, Belief, Seen
from kelman.torch._filter import Step


@dataclass
class Adjoint:
    """What later data say: r (N, s, 1 + d), its first column for delta = 0, the others per unit of delta; N (N, s, s)."""

    r: Tensor
    N: Tensor

    def through(self, F: Tensor, extra: int) -> Adjoint:
        """Before the transition F, with `extra` entries of s (the measurement noise) that play no part in it."""
        F = torch.nn.functional.pad(F, (0, extra))
        return Adjoint(F.mT @ self.r, F.mT @ self.N @ F)

    def before(self, seen: Seen) -> Adjoint:
        """Before an observation."""
        h, proper = seen.h.unsqueeze(-1), seen.kind == PROPER
        inverse = torch.where(proper, 1 / torch.where(proper, seen.f, 1), 0)[:, None, None]
        J = torch.eye(h.shape[1], dtype=h.dtype) - seen.gain.unsqueeze(-1) * h.mT
        e = torch.cat([seen.innovation[:, None], -seen.v], -1)[:, None, :]
        return Adjoint(h * e * inverse + J.mT @ self.r, h * h.mT * inverse + J.mT @ self.N @ J)

    def first(self, n: int) -> Adjoint:
        """Only the first n entries of s."""
        return Adjoint(self.r[:, :n], self.N[:, :n, :n])


def _affine(belief: Belief) -> Tensor:
    return torch.cat([belief.mean.unsqueeze(-1), belief.inf], -1)


@dataclass
class Start:
    """What the data say of delta: its mean (N, d) and a factor of its covariance (N, d, d)."""

    mean: Tensor
    factor: Tensor


def find_delta(run: list[Step], determined: Tensor, proper: int) -> Start:
    """Generalised least squares for delta, least norm where it is not determined.

    `determined` (N,) is how many directions of d the data determine, as the exact diffuse filter counted them; `proper`
    is the length of a, the first entries of delta.
    """
    seen = [one for step in run for one in step.seen]
    N, d = seen[0].v.shape
    v = torch.stack([one.v for one in seen], 1)
    e = torch.stack([one.innovation for one in seen], 1)
    f = torch.stack([one.f for one in seen], 1)
    unit = torch.stack([one.unit for one in seen], 1)
    kind = torch.stack([one.kind for one in seen], 1)
    equation = (kind == EXACT) & torch.stack([one.fixes for one in seen], 1)
    mean, factor = torch.zeros(N, d, dtype=v.dtype), torch.zeros(N, d, d, dtype=v.dtype)
    prior = torch.eye(proper, d, dtype=v.dtype)
    for i in range(N):
        use, fixed = kind[i] == PROPER, equation[i]
        weight = f[i][use].rsqrt()
        rows, right = (
            torch.cat([prior, v[i][use] * weight[:, None]]),
            torch.cat([e.new_zeros(proper), e[i][use] * weight]),
        )
        C, c = v[i][fixed] / unit[i][fixed, None], e[i][fixed] / unit[i][fixed]
        mean[i], factor[i] = _least_squares(C, c, rows, right, proper + int(determined[i]))
    return Start(mean, factor)


def _least_squares(C: Tensor, c: Tensor, X: Tensor, y: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Minimise |X delta - y| subject to C delta = c: the least-norm solution and a factor (d, d) of its covariance.

    The rows of C are scaled so that their rounding errors are of the size of the machine epsilon.
    """
    d = X.shape[-1]
    left, size, right = torch.linalg.svd(C, full_matrices=True)
    fixed = min(int((size > 4096 * math.sqrt(len(C) * d) * torch.finfo(X.dtype).eps).sum()), rank)
    particular = right[:fixed].mT @ ((left[:, :fixed].mT @ c) / size[:fixed])
    free = right[fixed:].mT
    left, size, right = torch.linalg.svd(X @ free, full_matrices=False)
    count = min(rank - fixed, len(size))
    left, size, basis = left[:, :count], size[:count], free @ right[:count].mT
    basis = basis / size
    factor = torch.nn.functional.pad(basis, (0, d - count))
    return particular + basis @ (left.mT @ (y - X @ particular)), factor


def smooth_steps(
    run: list[Step], before: Belief | None, transitions: list[Tensor], delta: Start, lag: bool
) -> list[tuple[Tensor, ...]]:
    """Mean, covariance (and lag-one covariance) for each step of a filter run made for given delta, in time order.

    `before` is the belief about (x_0, w_0) one step before the first measurement, if the model starts there;
    `transitions[k]` is [A_k, I].
    """
    out: list[tuple[Tensor, ...]] = []
    n = run[0].predicted.mean.shape[-1]
    at = torch.cat([torch.ones(len(delta.mean), 1, dtype=delta.mean.dtype), delta.mean], -1)[..., None]
    later: tuple[Adjoint, Tensor] | None = (
        None  # at the step after: adjoint, and d E[x | all] / d delta times the factor
    )
    adjoint = Adjoint(torch.zeros_like(_affine(run[-1].updated)[:, :n]), torch.zeros_like(run[-1].predicted.cov))
    for k in reversed(range(len(run))):
        step = run[k]
        F = transitions[min(k + 1, len(run) - 1)]
        adjoint = adjoint.through(F, len(step.seen))
        for seen in reversed(step.seen):
            adjoint = adjoint.before(seen)
        adjoint = adjoint.first(n)
        P = step.predicted.cov
        affine = _affine(step.predicted) + P @ adjoint.r
        W = affine[..., 1:] @ delta.factor
        cov = P - P @ adjoint.N @ P + W @ W.mT
        moments: tuple[Tensor, ...] = ((affine @ at)[..., 0], (cov + cov.mT) / 2)
        if lag:
            moments = (*moments, torch.full_like(cov, torch.nan))
            if later is not None:
                out[-1] = (*out[-1][:2], _lag_one(step.updated, F, run[k + 1].predicted, *later, W))
            if k == 0 and before is not None:
                back = _affine(before) + before.cov @ (transitions[0].mT @ adjoint.r)
                own = back[:, :n, 1:] @ delta.factor
                moments = (*moments[:2], _lag_one(before, transitions[0], step.predicted, adjoint, W, own))
        later = (adjoint, W)
        out.append(moments)
    return out[::-1]


def _lag_one(before: Belief, F: Tensor, x: Belief, adjoint: Adjoint, W: Tensor, W_before: Tensor) -> Tensor:
    """Cov(x_k, x_{k-1} | all): `before` about (x_{k-1}, w_{k-1}), F = [A, I], `x` and `adjoint` at k, W = the spread."""
    n = x.mean.shape[-1]
    X = before.cov[:, :n] @ F.mT
    return (X - X @ adjoint.N @ x.cov).mT + W @ W_before.mT
