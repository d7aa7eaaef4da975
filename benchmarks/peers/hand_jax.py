"""What a skilled user would write in JAX: the series on the last axis of every array, blocks of 500 series.

Products as broadcast multiply and sum, which the compiler fuses; the innovation covariance of one or two values inverted
by hand; a missing value has a zero row of H, variance 1 and no error. Where one model serves all series and nothing is
missing, covariances have an axis of one: they are computed once for a block.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers import NotOffered
from benchmarks.problems import MATRICES, Problem

NAME = "hand-written JAX"
LOOPS = False
GAPS = {"none", "whole", "single"}
BLOCK = 500
LOG_2PI = float(np.log(2 * np.pi))


def _times(A: Any, B: Any) -> Any:
    """(i,k,b) times (k,j,b), each series by itself; an axis of one stands for all series."""
    return (A[:, :, None] * B[None]).sum(1)


def _turned(A: Any) -> Any:
    return jnp.swapaxes(A, 0, 1)


def _inverse(S: Any) -> tuple[Any, Any]:
    """Inverse and determinant of one or two rows."""
    if len(S) == 1:
        return 1 / S, S[0, 0]
    determinant = S[0, 0] * S[1, 1] - S[0, 1] * S[1, 0]
    return jnp.array([[S[1, 1], -S[0, 1]], [-S[1, 0], S[0, 0]]]) / determinant, determinant


def _step(model: dict[str, Any], gaps: bool, x: Any, P: Any, z: Any) -> tuple[Any, Any, Any]:
    """x (n,b), P (n,n,b or 1) and the log-likelihood (b,) after one predict and one update by z (m,b)."""
    A, H, Q, R = (model[name] for name in "AHQR")
    x = (A * x[None]).sum(1)
    P = _times(_times(A, P), _turned(A)) + Q
    count: Any = len(z)
    if gaps:
        seen = ~jnp.isnan(z)
        H = jnp.where(seen[:, None], H, 0.0)
        R = jnp.where(seen[:, None] & seen[None], R, jnp.eye(len(z))[..., None])
        z, count = jnp.where(seen, z, 0.0), seen.sum(0)
    HP = _times(H, P)
    inverse, determinant = _inverse(_times(HP, _turned(H)) + R)
    K = _times(_turned(HP), inverse)
    e = z - (H * x[None]).sum(1)
    x = x + (K * e[None]).sum(1)
    P = P - _times(K, HP)
    P = (P + _turned(P)) / 2  # else what is not symmetric grows, in the derivatives at once
    loglik = -0.5 * (count * LOG_2PI + jnp.log(determinant) + ((inverse * e[None]).sum(1) * e).sum(0))
    return x, P, loglik


def _scan(model: dict[str, Any], z: Any, gaps: bool, keep: bool) -> Any:
    """Log-likelihoods (b,) of a block z (T,m,b), and all moments where they are kept."""
    n, b = len(model["m0"]), z.shape[-1]

    def body(carry: Any, z: Any) -> Any:
        x, P, loglik = carry
        x, P, more = _step(model, gaps, x, P, z)
        return (x, P, loglik + more), ((x, P) if keep else None)

    own = b if gaps or model["A"].shape[-1] > 1 else 1
    start = (jnp.broadcast_to(model["m0"], (n, b)), jnp.broadcast_to(model["P0"], (n, n, own)), jnp.zeros(b))
    (_, _, loglik), kept = jax.lax.scan(body, start, z)
    return loglik, kept


def _blocks(problem: Problem) -> tuple[list[dict[str, Any]], list[Any]]:
    """Matrices with the series last (one if all share it), and z (T,m,b), by block."""
    if problem.model.m > 2:
        raise NotOffered("written for one or two measured values")
    model, blocks, data = problem.model, [], []
    for i in range(0, problem.N, BLOCK):
        arrays = {name: getattr(model, name) for name in MATRICES}
        if model.A.ndim == 3:
            arrays = {name: np.moveaxis(x[i : i + BLOCK], 0, -1) for name, x in arrays.items()}
        else:
            arrays = {name: x[..., None] for name, x in arrays.items()}
        blocks.append({name: jnp.asarray(x) for name, x in arrays.items()})
        data.append(jnp.asarray(np.moveaxis(problem.z[i : i + BLOCK], 0, -1).copy()))
    return blocks, data


def _each(problem: Problem, function: Any) -> Any:
    """Compile a function of a block and run it on one block after another."""
    blocks, data = _blocks(problem)
    compiled = jax.jit(function)
    return lambda: [jax.block_until_ready(compiled(model, z)) for model, z in zip(blocks, data, strict=True)]


def filter(problem: Problem) -> tuple[Any, Any]:
    """Means (T,n,b) and covariances (T,n,n,b or 1) of each block."""
    gaps = problem.gaps != "none"

    def answer(result: Any, few: int) -> dict[str, Any]:
        mean, cov = (np.moveaxis(np.asarray(x)[..., :few], -1, 0) for x in result[0])
        return {"mean": mean, "cov": np.broadcast_to(cov, (few, *cov.shape[1:]))}

    return _each(problem, lambda model, z: _scan(model, z, gaps, True)[1]), answer


def loglik(problem: Problem) -> tuple[Any, Any]:
    """Log-likelihoods only."""
    run = _each(problem, lambda model, z: _scan(model, z, problem.gaps != "none", False)[0])
    return run, lambda result, few: {"loglik": np.asarray(result[0])[:few]}


def gradient(problem: Problem) -> tuple[Any, Any]:
    """Log-likelihood and derivatives by automatic differentiation through the scan."""
    shared = problem.model.A.ndim == 2

    def total(model: dict[str, Any], z: Any) -> Any:
        loglik = _scan(model, z, problem.gaps != "none", False)[0]
        return loglik.sum(), loglik

    def answer(result: Any, few: int) -> dict[str, Any]:
        loglik = np.concatenate([np.asarray(value[1]) for value, _ in result])
        found = {"loglik": loglik.sum() if shared else loglik[:few]}
        for name in MATRICES:
            parts = [np.asarray(gradient[name]) for _, gradient in result]
            found[name] = np.sum(parts, axis=0)[..., 0] if shared else np.moveaxis(parts[0][..., :few], -1, 0)
        return found

    return _each(problem, jax.value_and_grad(total, has_aux=True)), answer
