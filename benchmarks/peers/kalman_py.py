"""kalman-py with its JAX backend, compiled, mapped over the series; and its NumPy filter step by step."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from kalman_py import KalmanFilter
from kalman_py.backends import jax_backend

from benchmarks.problems import MATRICES, Problem

NAME = "kalman-py"
LOOPS = False
GAPS = {"none"}
ENOUGH = 500  # series: no less time for each of more


def _one(A: Any, H: Any, Q: Any, R: Any, m0: Any, P0: Any, z: Any) -> Any:
    return jax_backend.kalman_filter(A, H, Q, R, m0, P0, z, False)


def _mapped(problem: Problem, pick: Any, names: tuple[str, ...]) -> tuple[Any, Any]:
    matrices, z = [jnp.asarray(getattr(problem.model, x)) for x in MATRICES], jnp.asarray(problem.z)
    over = (0 if problem.model.A.ndim == 3 else None,) * len(MATRICES)
    one = jax.vmap(lambda *x: pick(_one(*x)), in_axes=(*over, 0))
    if problem.N == 1:  # the way the package itself does one series
        matrices = [x[0] if problem.model.A.ndim == 3 else x for x in matrices]
        compiled = jax.jit(lambda *x: pick(_one(*x)))
        return lambda: jax.block_until_ready(compiled(*matrices, z[0])), lambda result, _: {
            name: np.asarray(x)[None] for name, x in zip(names, result, strict=True)
        }
    compiled = jax.jit(one)
    return lambda: jax.block_until_ready(compiled(*matrices, z)), lambda result, few: {
        name: np.asarray(x[:few]) for name, x in zip(names, result, strict=True)
    }


def filter(problem: Problem) -> tuple[Any, Any]:
    """Filtered means and covariances."""
    return _mapped(problem, lambda r: (r.means, r.covs), ("mean", "cov"))


def loglik(problem: Problem) -> tuple[Any, Any]:
    """Log-likelihoods; the compiler leaves the rest out."""
    return _mapped(problem, lambda r: (r.log_likelihood,), ("loglik",))


def gradient(problem: Problem) -> tuple[Any, Any]:
    """Log-likelihood and its derivatives by automatic differentiation."""
    matrices, z = [jnp.asarray(getattr(problem.model, x)) for x in MATRICES], jnp.asarray(problem.z)
    shared = problem.model.A.ndim == 2

    def one(matrices: list[Any], z: Any) -> Any:
        return _one(*matrices, z).log_likelihood

    if shared:
        total = jax.value_and_grad(lambda matrices, z: jax.vmap(one, in_axes=(None, 0))(matrices, z).sum())
    else:
        total = jax.vmap(jax.value_and_grad(one))
    compiled = jax.jit(total)

    def answer(result: Any, few: int) -> dict[str, Any]:
        cut = ... if shared else slice(few)
        named = {name: np.asarray(x)[cut] for name, x in zip(MATRICES, result[1], strict=True)}
        return {"loglik": np.asarray(result[0])[cut], **named}

    return lambda: jax.block_until_ready(compiled(matrices, z)), answer


def stream(problem: Problem) -> tuple[Any, Any]:
    """One call of predict and one of update for each step."""
    model, rows = problem.model, list(problem.z[0])

    def run() -> Any:
        kf = KalmanFilter(model.A, model.H, model.Q, model.R, model.m0, model.P0)
        for z in rows:
            kf.predict()
            kf.update(z)
        return kf.x

    return run, lambda x, _: {"last": x.reshape(1, -1)}
