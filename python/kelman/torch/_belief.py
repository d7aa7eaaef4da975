# SPDX-License-Identifier: BSD-3-Clause
"""Gaussian beliefs with an exactly diffuse part, and what one scalar observation does to them.

A belief about a vector s is ``s = mean + e + V delta``, ``e ~ N(0, C)``, delta with a flat prior (the limit of
``N(0, kappa I)``, kappa to infinity). Observing the number ``y = h's`` without error (noise is part of s):

- ``h'V != 0``: the observation fixes one direction of delta. With ``v = V'h`` and ``k = V v / v'v``:
  ``mean += k (y - h'mean)``, ``C <- (I - k h') C (I - k h')'``, and V loses a column (a Householder rotation that turns v
  into the first axis, then that column is dropped). Log-likelihood ``-1/2 log v'v``.
- ``h'V = 0``, ``f = h'C h > 0``: ordinary conditioning, ``k = C h / f``, ``C <- C - k f k'``.
- both zero: predicted exactly; it agrees and changes nothing, or it disagrees and is impossible.

What is zero is decided by a running first-order bound of the rounding error: an error ``dC`` in C becomes
``(I - k h') dC (I - k h')'``, plus what this step adds, a few units in the last place of the diagonal of C.
With rank 0 nothing is diffuse and V only says how the mean depends on a given delta (the smoother uses that).
Everything is batched over the first axis and written without in-place changes, so that autograd goes through.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

OFF, PROPER, DIFFUSE, EXACT = 0, 1, 2, 3
LOG_2PI = math.log(2 * math.pi)


class Belief(NamedTuple):
    """What is known of s (N, s): mean, finite covariance, diffuse factor, its rank, and bounds of rounding errors."""

    mean: Tensor  # (N, s)
    cov: Tensor  # (N, s, s)
    inf: Tensor  # (N, s, d), columns from `rank` on are zero
    rank: Tensor  # (N,)
    error: Tensor  # (N, s, s), in units of the machine epsilon
    error_inf: Tensor  # (N, s, s), the same for V V'


class Seen(NamedTuple):
    """What an observation did; the smoother runs backward over these."""

    h: Tensor  # (N, s)
    kind: Tensor  # (N,)
    innovation: Tensor  # (N,)
    f: Tensor  # (N,) variance h'C h
    gain: Tensor  # (N, s)
    v: Tensor  # (N, d) how the innovation depends on delta: innovation - v'delta
    fixes: Tensor  # (N,) v is not zero
    unit: Tensor  # (N,) size of v in which its rounding error is one machine epsilon
    loglik: Tensor  # (N,)
    impossible: Tensor  # (N,) an exactly predicted number that disagrees
    indefinite: Tensor  # (N,) a variance below zero


def _times(h: Tensor, matrix: Tensor) -> Tensor:
    """h' M for every series: (N, s), (N, s, q) -> (N, q)."""
    return (h.unsqueeze(-2) @ matrix).squeeze(-2)


def _outer(a: Tensor, b: Tensor) -> Tensor:
    return a.unsqueeze(-1) * b.unsqueeze(-2)


def _carry(J: Tensor, error: Tensor, fresh: Tensor) -> Tensor:
    """J E J' and what rounding adds in this step: the diagonal `fresh` (and a little of E, whose own sum rounds too)."""
    own = torch.finfo(error.dtype).eps * (J * J) @ error.diagonal(dim1=-2, dim2=-1).abs().unsqueeze(-1)
    return J @ error @ J.mT + torch.diag_embed(fresh.abs() + 16 * own.squeeze(-1))


def _diagonal(cov: Tensor) -> Tensor:
    return cov.diagonal(dim1=-2, dim2=-1)


def _bound(h: Tensor, error: Tensor, tol: float) -> Tensor:
    """h' E h for an error bound E, itself safe from rounding."""
    with torch.no_grad():
        size = (h.abs() * error.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt()).sum(-1)
        return torch.maximum((_times(h, error) * h).sum(-1), tol * size * size)


def tolerance(size: int, dtype: torch.dtype) -> float:
    """Relative size below which a variance counts as zero."""
    return 16 * size * float(torch.finfo(dtype).eps)


def _drop_direction(V: Tensor, v: Tensor, on: Tensor) -> Tensor:
    """Rotate the columns of V so that v = V'h becomes the first axis, and drop that column."""
    first = torch.zeros_like(v)
    first[..., 0] = 1
    v = torch.where(on[:, None], v, first)
    sign = torch.where(v[:, :1] < 0, -1.0, 1.0).to(v.dtype)
    w = v + sign * v.norm(dim=-1, keepdim=True) * first
    turned = V - 2 * _outer((V @ w.unsqueeze(-1)).squeeze(-1), w) / (w * w).sum(-1)[:, None, None]
    return torch.cat([turned[..., 1:], torch.zeros_like(turned[..., :1])], dim=-1)


def observe(belief: Belief, h: Tensor, y: Tensor, on: Tensor, *, diffuse_2pi: bool = False) -> tuple[Belief, Seen]:
    """Condition a belief on y = h's where `on`.

    Parameters
    ----------
    belief : Belief
        About s, for N series.
    h : Tensor, shape (N, s)
    y : Tensor, shape (N,)
        Anything finite where `on` is False.
    on : Tensor of bool, shape (N,)
    diffuse_2pi : bool
        Count a 2-pi term for a diffuse direction too (statsmodels' convention).

    Returns
    -------
    belief, seen
    """
    mean, cov, V, rank, error, error_inf = belief
    dtype, size, zero = mean.dtype, mean.shape[-1], torch.zeros_like(y)
    tol = tolerance(size, dtype)
    innovation = torch.where(on, y - (h * mean).sum(-1), zero)
    Ch = (cov @ h.unsqueeze(-1)).squeeze(-1)
    f = (h * Ch).sum(-1)
    bound = _bound(h, error, tol)
    v = _times(h, V)
    f_inf = (v * v).sum(-1)
    bound_inf = _bound(h, error_inf, tol)
    fixes = on & (f_inf > (64 * tol) ** 2 * bound_inf) & (f_inf > torch.finfo(dtype).tiny / tol**2)
    is_diffuse = fixes & (rank > 0)
    is_proper = on & ~is_diffuse & (f > tol * bound)
    is_exact = on & ~is_diffuse & ~is_proper
    safe, safe_inf = torch.where(is_proper, f, 1), torch.where(is_diffuse, f_inf, 1)

    gain_proper = Ch / safe[:, None]
    Vv = (V @ v.unsqueeze(-1)).squeeze(-1)
    gain_diffuse = Vv / safe_inf[:, None]
    gain = torch.where(is_proper[:, None], gain_proper, torch.where(is_diffuse[:, None], gain_diffuse, 0))
    mixed = _outer(gain, Ch)
    lowered = torch.where(
        is_diffuse[:, None, None], mixed + mixed.mT - _outer(gain, gain) * f[:, None, None], _outer(gain, Ch)
    )
    new_cov = cov - lowered
    new_cov = (new_cov + new_cov.mT) / 2
    with torch.no_grad():
        J = torch.eye(size, dtype=dtype) - _outer(gain, h)
        error = torch.where(on[:, None, None], _carry(J, error, _diagonal(cov)), error)
        error_inf = _carry(J, error_inf, (V * V).sum(-1))
        agree = 8 * torch.sqrt(tol * bound) + 64 * tol * (y.abs() + (h * mean).abs().sum(-1))
        impossible = is_exact & (innovation.abs() > agree)
        indefinite = on & ~is_diffuse & (f < -tol * bound)
    if V.shape[-1]:
        turned = _drop_direction(V, v, is_diffuse) if bool(is_diffuse.any()) else V
        V = torch.where(is_diffuse[:, None, None], turned, V - _outer(gain, v))
        rank = rank - is_diffuse.to(rank.dtype)
    loglik = torch.where(is_proper, -0.5 * (LOG_2PI + safe.log() + innovation * innovation / safe), zero)
    constant = LOG_2PI if diffuse_2pi else 0.0
    loglik = loglik + torch.where(is_diffuse, -0.5 * (constant + safe_inf.log()), zero)
    loglik = torch.where(impossible, -torch.inf, loglik)
    kind = torch.where(is_proper, PROPER, torch.where(is_diffuse, DIFFUSE, torch.where(is_exact, EXACT, OFF)))
    new = Belief(mean + gain * innovation[:, None], new_cov, V, rank, error, error_inf)
    return new, Seen(h, kind, innovation, f, gain, v, fixes, bound_inf.sqrt(), loglik, impossible, indefinite)


def transform(belief: Belief, F: Tensor, offset: Tensor) -> Belief:
    """Belief about F s + offset: F (N or 1, q, s), offset (N, q)."""
    mean = (F @ belief.mean.unsqueeze(-1)).squeeze(-1) + offset
    cov = F @ belief.cov @ F.mT
    cov = (cov + cov.mT) / 2
    V = F @ belief.inf
    with torch.no_grad():
        error = _carry(F, belief.error, _diagonal(cov))
        error_inf = _carry(F, belief.error_inf, (V * V).sum(-1))
    return Belief(mean, cov, V, belief.rank, error, error_inf)


def join(belief: Belief, noise: Tensor) -> Belief:
    """Belief about (s, e) for fresh noise e ~ N(0, noise), independent of s: noise (N, q, q)."""
    N, size = belief.mean.shape
    extra = noise.shape[-1]

    def pad(matrix: Tensor, corner: Tensor | None) -> Tensor:
        padded = torch.nn.functional.pad(matrix, (0, extra, 0, extra))
        if corner is None:
            return padded
        return padded + torch.nn.functional.pad(corner, (size, 0, size, 0))

    mean = torch.nn.functional.pad(belief.mean, (0, extra))
    V = torch.nn.functional.pad(belief.inf, (0, 0, 0, extra))
    own = torch.diag_embed(noise.diagonal(dim1=-2, dim2=-1)).detach()
    noise = noise.expand(N, extra, extra)
    return Belief(
        mean,
        pad(belief.cov, noise),
        V,
        belief.rank,
        pad(belief.error, own.expand_as(noise)),
        pad(belief.error_inf, None),
    )


def head(belief: Belief, q: int) -> Belief:
    """Belief about the first q entries of s."""
    mean, cov, V, rank, error, error_inf = belief
    return Belief(mean[:, :q], cov[:, :q, :q], V[:, :q], rank, error[:, :q, :q], error_inf[:, :q, :q])


def new_belief(mean: Tensor, cov: Tensor, V: Tensor, rank: Tensor) -> Belief:
    """Belief from moments, with the rounding errors of its own entries."""
    with torch.no_grad():
        error = torch.diag_embed(_diagonal(cov).abs())
        error_inf = torch.diag_embed((V * V).sum(-1)).expand_as(cov)
    return Belief(mean, cov, V, rank, error, error_inf)
