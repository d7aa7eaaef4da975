# SPDX-License-Identifier: BSD-3-Clause
"""The log-likelihood of a template's unconstrained parameters, with its exact gradient, and second derivatives of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kelman._arrays import require_no_infinity
from kelman.errors import KelmanError, ModelTypeError
from kelman.linear import loglik_and_grad
from kelman.linear._series import read_u, read_z
from kelman.models import Template
from kelman.models._transforms import Bounded

if TYPE_CHECKING:
    from kelman._types import Array

_STEP = 1e-3
_LONGEST = 5.0


class Objective:
    """Log-likelihood plus log-prior of a template, as a function of eta.

    Parameters
    ----------
    template : Template
        What is to be learnt.
    z, u : array_like
        Data, as the verbs take them.
    threads : int, optional
        As in the verbs.

    Attributes
    ----------
    nobs : int
        Number of measured values.
    best : tuple of (float, ndarray, ndarray) or None
        The highest value met so far, where, and the gradient there.
    """

    def __init__(self, template: Template, z: Any, u: Any = None, *, threads: int | None = None) -> None:
        if not isinstance(template, Template):
            raise ModelTypeError(f"template: expected a kelman.Template, got {type(template).__name__}")
        dims = template.dims
        series = read_z(z, dims.m)
        require_no_infinity(series.z if series.batched else series.z[0], "z")
        T = series.z.shape[1]
        self.template = template
        self.threads = threads
        self.z: Array = np.ascontiguousarray(series.z, dtype=np.float64)
        self.batched = series.batched
        count = len(self.z)
        inputs = read_u(
            u, dims.p, N=count, T=T, dtype=np.dtype(np.float64), lengths=series.lengths, batched=series.batched
        )
        self.u: Array | None = None if inputs is None else np.ascontiguousarray(inputs)
        self.seen: Array = ~np.isnan(self.z)
        self.nobs = int(self.seen.sum())
        if self.nobs == 0:
            raise KelmanError("z: every value is missing (nan); there is nothing to learn from")
        self.best: tuple[float, Array, Array] | None = None
        self.evaluations = 0
        self.longest = longest(template)

    @property
    def series(self) -> int:
        """Number of series N."""
        return len(self.z)

    def __call__(self, eta: Array) -> tuple[float, Array]:
        """Value and gradient by eta (K,); (-inf, zeros) where there is no such model."""
        with np.errstate(all="ignore"):
            value, by_theta = self.natural(self.template.constrain(eta))
            gradient = self.template.constrain_jacobian(eta).T @ by_theta
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return -np.inf, np.zeros_like(eta)
        if self.best is None or value > self.best[0]:
            self.best = (value, eta.copy(), gradient)
        return value, gradient

    def natural(self, theta: Array) -> tuple[float, Array]:
        """Value and gradient by theta (K,)."""
        loglik, gradient = self.likelihood(theta)
        prior, slope = self.template.log_prior(theta)
        return loglik + prior, gradient + slope

    def likelihood(self, theta: Array) -> tuple[float, Array]:
        """Log-likelihood of all series, without the prior, and its gradient by theta (K,)."""
        self.evaluations += 1
        u = self.u
        try:
            with np.errstate(all="ignore"):
                model = self.template._model(theta)
                loglik, by = loglik_and_grad(model, self.z, u, on_error="nan", threads=self.threads)
                return float(np.sum(loglik)), self.template.gradient(theta, by)
        except (KelmanError, np.linalg.LinAlgError):
            return -np.inf, np.zeros(self.template.size)

    def pools(self) -> tuple[Array, Array]:
        """All series in one pool: (1, N, T, m), and the number of values."""
        return self.z[None], np.array([self.nobs])

    def naturals(self, theta: Array) -> tuple[Array, Array]:
        """Values (1,) and gradients (1, K) of theta (1, K)."""
        value, gradient = self.likelihood(theta[0])
        return np.array([value]), gradient[None]

    def rows(self, eta: Array) -> tuple[Array, Array]:
        """Values (L,) and gradients (L, K) of many eta (L, K), each for all series; together where there is one series."""
        if self.series > 1 or len(eta) < 2:
            pairs = [self(one) for one in eta]
            return np.array([value for value, _ in pairs]), np.array([gradient for _, gradient in pairs])
        z = np.broadcast_to(self.z, (len(eta), *self.z.shape[1:]))
        u = None if self.u is None else np.broadcast_to(self.u, (len(eta), *self.u.shape[1:]))
        values, gradients = batch(self.template, eta, z, u, self.threads)
        self.evaluations += len(eta)
        return values, gradients

    def second(self, eta: Array, scale: Array) -> Array:
        """Second derivatives (K, K) by central differences of the gradient, with steps of 1e-3 `scale`."""
        K = len(eta)
        steps = _STEP * scale
        points = np.concatenate([eta + np.diag(steps), eta - np.diag(steps)])
        values, gradients = self.rows(points)
        whole = np.isfinite(values).all()
        if not whole:
            raise KelmanError("the likelihood ends beside the point where second derivatives are asked for")
        hessian: Array = (gradients[:K] - gradients[K:]) / (2 * steps[:, None])
        return (hessian + hessian.T) / 2

    def scale(self, eta: Array, guess: Array | None = None) -> Array:
        """Distances (K,) over which the value changes by about a half: 1 / sqrt |second derivative|, within reason.

        By forward differences of the gradient, at first with steps that know nothing and then with their result; `guess`,
        an earlier answer, saves the first round.
        """
        _, here = self(eta)
        rounds = 2 if guess is None else 1
        guess = np.maximum(np.abs(eta), 1.0) if guess is None else guess
        for _ in range(rounds):
            steps = 1e-4 * guess
            values, gradients = self.rows(eta + np.diag(steps))
            curvature = np.abs(np.diagonal(gradients - here)) / steps
            curvature = np.where(np.isfinite(values), curvature, 0.0)
            found = np.where(curvature > 0, 1 / np.sqrt(np.where(curvature > 0, curvature, 1.0)), guess)
            guess = np.minimum(np.clip(found, 1e-8 * guess, 1e2 * guess), self.longest)
        return np.asarray(guess)


def longest(template: Template) -> Array:
    """The longest scale that each eta may have (K,): a few units for logarithms and the like, where flat means a bound."""
    caps = np.full(template.size, np.inf)
    for block in template._blocks:
        plain = (
            isinstance(block.transform, Bounded)
            and not np.isfinite([block.transform.lower, block.transform.upper]).any()
        )
        caps[block.columns] = np.inf if plain else _LONGEST
    return caps


def batch(template: Template, eta: Array, z: Array, u: Array | None, threads: int | None) -> tuple[Array, Array]:
    """Values (N,) and gradients by eta (N, K) of one model for each series; -inf and zeros where there is no such model."""
    with np.errstate(all="ignore"):
        values, gradients = naturals(template, template.constrain(eta), z, u, threads)
        gradients = np.einsum("nkj,nk->nj", template.constrain_jacobian(eta), gradients)
    fine = np.isfinite(values) & np.isfinite(gradients).all(axis=1)
    return np.where(fine, values, -np.inf), np.where(fine[:, None], gradients, 0.0)


def naturals(template: Template, theta: Array, z: Array, u: Array | None, threads: int | None) -> tuple[Array, Array]:
    """Values (N,) and gradients by theta (N, K) of one model for each series; -inf and zeros where there is none."""
    if _may_not_exist(template):
        sound = np.array([_exists(template, one) for one in theta])
    else:
        sound = np.asarray(np.isfinite(theta).all(1))
    if not sound.any():
        return np.full(len(theta), -np.inf), np.zeros_like(theta)
    kept = np.where(sound[:, None], theta, theta[np.argmax(sound)])
    with np.errstate(all="ignore"):
        values, by = loglik_and_grad(template._model(kept), z, u, on_error="nan", threads=threads)
        gradients = template.gradient(kept, by)
    for i in range(len(theta) if any(p.prior is not None for p in template._parameters) else 0):
        prior, slope = template.log_prior(kept[i])
        values[i] += prior
        gradients[i] += slope
    fine = sound & np.isfinite(values) & np.isfinite(gradients).all(axis=1)
    return np.where(fine, values, -np.inf), np.where(fine[:, None], gradients, 0.0)


def _may_not_exist(template: Template) -> bool:
    return bool(template._checked) or template._initial == "stationary"


def _exists(template: Template, theta: Array) -> bool:
    """Whether there is a model at theta, and it has a start."""
    try:
        model = template._model(theta)
    except (KelmanError, np.linalg.LinAlgError):
        return False
    if template._initial != "stationary":
        return bool(np.isfinite(theta).all())
    A = model.A.reshape(-1, *model.A.shape[-2:])[0]
    return bool(np.isfinite(A).all() and np.abs(np.linalg.eigvals(A)).max() < 1)
