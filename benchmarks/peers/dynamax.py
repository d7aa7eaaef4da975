"""dynamax: JAX, compiled, mapped over the series. It knows no missing values."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from dynamax.linear_gaussian_ssm import LinearGaussianSSM
from dynamax.linear_gaussian_ssm.inference import lgssm_filter, lgssm_smoother, make_lgssm_params

from benchmarks.problems import MATRICES, Model, Problem

NAME = "dynamax"
LOOPS = False
GAPS = {"none"}


def _parameters(A: Any, H: Any, Q: Any, R: Any, m0: Any, P0: Any) -> Any:
    return make_lgssm_params(A @ m0, A @ P0 @ A.T + Q, A, Q, H, R)


def _of(model: Model) -> list[Any]:
    return [jnp.asarray(getattr(model, name)) for name in MATRICES]


def _mapped(problem: Problem, one: Any, names: tuple[str, ...]) -> tuple[Any, Any]:
    """Compile a function of the model and one series, mapped over all series."""
    matrices, z = _of(problem.model), jnp.asarray(problem.z)
    over = (0 if problem.model.A.ndim == 3 else None,) * len(MATRICES)
    compiled = jax.jit(jax.vmap(one, in_axes=(*over, 0)))

    def run() -> Any:
        return jax.block_until_ready(compiled(*matrices, z))

    return run, lambda result, few: {name: np.asarray(x[:few]) for name, x in zip(names, result, strict=True)}


def filter(problem: Problem) -> tuple[Any, Any]:
    """Filtered means and covariances."""

    def one(*arguments: Any) -> Any:
        posterior = lgssm_filter(_parameters(*arguments[:-1]), arguments[-1])
        return posterior.filtered_means, posterior.filtered_covariances

    return _mapped(problem, one, ("mean", "cov"))


def loglik(problem: Problem) -> tuple[Any, Any]:
    """Log-likelihoods; the compiler leaves the rest out."""
    return _mapped(problem, lambda *x: (lgssm_filter(_parameters(*x[:-1]), x[-1]).marginal_loglik,), ("loglik",))


def smooth(problem: Problem) -> tuple[Any, Any]:
    """Smoothed means and covariances."""

    def one(*arguments: Any) -> Any:
        posterior = lgssm_smoother(_parameters(*arguments[:-1]), arguments[-1])
        return posterior.smoothed_means, posterior.smoothed_covariances

    return _mapped(problem, one, ("mean", "cov"))


def both(problem: Problem) -> tuple[Any, Any]:
    """Filtered and smoothed moments of one call."""

    def one(*arguments: Any) -> Any:
        found = lgssm_smoother(_parameters(*arguments[:-1]), arguments[-1])
        return found.filtered_means, found.filtered_covariances, found.smoothed_means, found.smoothed_covariances

    return _mapped(problem, one, ("mean", "cov", "smoothed_mean", "smoothed_cov"))


def em(problem: Problem) -> tuple[Any, Any]:
    """Twenty EM iterations of each series by itself."""
    model = LinearGaussianSSM(problem.model.n, problem.model.m, has_dynamics_bias=False, has_emissions_bias=False)

    def one(*arguments: Any) -> tuple[Any, Any]:
        A, H, Q, R, m0, P0 = arguments[:-1]
        begin, properties = model.initialize(
            initial_mean=A @ m0,
            initial_covariance=A @ P0 @ A.T + Q,
            dynamics_weights=A,
            dynamics_covariance=Q,
            emission_weights=H,
            emission_covariance=R,
        )

        def step(known: tuple[Any, Any], _: Any) -> tuple[Any, Any]:
            sums, loglik = model.e_step(known[0], arguments[-1])
            alone = jax.tree_util.tree_map(lambda x: jnp.asarray(x)[None], sums)
            return model.m_step(known[0], properties, alone, known[1]), loglik

        end, logliks = jax.lax.scan(step, (begin, model.initialize_m_step_state(begin, properties)), None, length=20)
        return logliks[:5], end[0]

    matrices, z = _of(problem.model), jnp.asarray(problem.z)
    over = (0 if problem.model.A.ndim == 3 else None,) * len(MATRICES)
    compiled = jax.jit(jax.vmap(one, in_axes=(*over, 0)))
    return lambda: jax.block_until_ready(compiled(*matrices, z)), lambda r, few: {"loglik": np.asarray(r[0][:few])}


def gradient(problem: Problem) -> tuple[Any, Any]:
    """Log-likelihood and its derivatives by automatic differentiation: summed for one model, of each of several."""
    matrices, z = _of(problem.model), jnp.asarray(problem.z)
    shared = problem.model.A.ndim == 2

    def one(matrices: list[Any], z: Any) -> Any:
        return lgssm_filter(_parameters(*matrices), z).marginal_loglik

    if shared:
        total = jax.value_and_grad(lambda matrices, z: jax.vmap(one, in_axes=(None, 0))(matrices, z).sum())
    else:
        total = jax.vmap(jax.value_and_grad(one))
    compiled = jax.jit(total)

    def run() -> Any:
        return jax.block_until_ready(compiled(matrices, z))

    def answer(result: Any, few: int) -> dict[str, Any]:
        cut = slice(None) if shared else slice(few)
        named = {name: np.asarray(x)[cut] for name, x in zip(MATRICES, result[1], strict=True)}
        return {"loglik": np.asarray(result[0])[... if shared else slice(few)], **named}

    return run, answer
