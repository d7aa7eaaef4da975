"""cuthbert: JAX, square roots, single missing components; compiled and mapped over the series."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from cuthbert import filter as run_filter
from cuthbert.gaussian import kalman

from benchmarks.problems import Problem

NAME = "cuthbert"
LOOPS = False
GAPS = {"none", "whole", "single"}
ENOUGH = 500  # series: it takes microseconds a step, and no less for more of them


def _states(problem: Problem, pick: Any, names: tuple[str, ...]) -> tuple[Any, Any]:
    model = problem.model
    A, H, zero, none = jnp.asarray(model.A), jnp.asarray(model.H), jnp.zeros(model.n), jnp.zeros(model.m)
    values, vectors = np.linalg.eigh(model.Q)
    L_Q = jnp.asarray(vectors * np.sqrt(np.maximum(values, 0)))
    L_R, L_P = jnp.asarray(np.linalg.cholesky(model.R)), jnp.asarray(np.linalg.cholesky(model.P0))
    built = kalman.build_filter(jnp.asarray(model.m0), L_P, lambda _: (A, zero, L_Q), lambda z: (H, none, L_R, z))
    compiled = jax.jit(jax.vmap(lambda z: pick(run_filter(built, z, built.init_prepare()))))
    z = jnp.asarray(problem.z)
    return lambda: jax.block_until_ready(compiled(z)), lambda result, few: {
        name: np.asarray(x[:few]) for name, x in zip(names, result, strict=True)
    }


def filter(problem: Problem) -> tuple[Any, Any]:
    """Filtered means and covariances."""

    def pick(states: Any) -> Any:
        L = states.chol_cov[1:]
        return states.mean[1:], L @ jnp.swapaxes(L, -1, -2)

    return _states(problem, pick, ("mean", "cov"))


def loglik(problem: Problem) -> tuple[Any, Any]:
    """Log-likelihoods."""
    return _states(problem, lambda s: (s.log_normalizing_constant[-1],), ("loglik",))
