"""The networks in JAX as a user writes them: one step, `lax.scan` over time, `value_and_grad`, all compiled."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.networks import BATCH, EPOCHS, RATE, NetworkProblem, slope, training_answer

NAME = "jax"
LOOPS = False
GAPS = {"none"}


def _outputs(kind: str) -> Any:
    def step(w: Any, state: Any, x: Any) -> Any:
        h, c = state
        n = h.shape[1]
        s = x @ w["W"].T + w["b"]
        if kind == "elman":
            h = jnp.tanh(s + h @ w["U"].T)
        elif kind == "gru":
            u = h @ w["U"].T
            r, z = jnp.split(jax.nn.sigmoid(s[:, : 2 * n] + u[:, : 2 * n]), 2, axis=1)
            h = (1 - z) * jnp.tanh(s[:, 2 * n :] + r * (u[:, 2 * n :] + w["d"])) + z * h
        else:
            i, f, g, o = jnp.split(s + h @ w["U"].T, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h @ w["V"].T + w["c"]

    def outputs(w: Any, x: Any) -> Any:
        start = jnp.zeros((x.shape[0], w["U"].shape[1]), x.dtype)
        y = jax.lax.scan(lambda state, now: step(w, state, now), (start, start), jnp.swapaxes(x, 0, 1))[1]
        return jnp.swapaxes(y, 0, 1)

    return outputs, step


def _arrays(problem: NetworkProblem) -> Any:
    return {name: jnp.asarray(value) for name, value in problem.model.weights.items()}, jnp.asarray(problem.x)


def net_forward(problem: NetworkProblem) -> Any:
    """Outputs."""
    w, x = _arrays(problem)
    outputs = jax.jit(_outputs(problem.model.kind)[0])
    return lambda: outputs(w, x).block_until_ready(), lambda y, few: {"y": np.asarray(y[:few])}


def net_gradient(problem: NetworkProblem) -> Any:
    """Mean squared error and its gradient by every weight."""
    w, x = _arrays(problem)
    y, outputs = jnp.asarray(problem.y), _outputs(problem.model.kind)[0]
    both = jax.jit(jax.value_and_grad(lambda w, x, y: jnp.mean((outputs(w, x) - y) ** 2)))

    def answer(result: Any, few: int) -> dict[str, np.ndarray]:
        del few
        loss, gradient = result
        found = {name: np.asarray(value) for name, value in gradient.items()}
        return {"loss": np.array([float(loss)]), "slope": slope(problem.model, found)}

    return lambda: jax.block_until_ready(both(w, x, y)), answer


def net_stream(problem: NetworkProblem) -> Any:
    """One call of the compiled step for each step."""
    w, _ = _arrays(problem)
    rows = [jnp.asarray(x[None]) for x in problem.x[0]]
    step = jax.jit(_outputs(problem.model.kind)[1])

    def run() -> Any:
        state = (jnp.zeros((1, problem.model.n), problem.x.dtype),) * 2
        y = None
        for x in rows:
            state, y = step(w, state, x)
        return jax.block_until_ready(y)

    return run, lambda y, few: {"y": np.asarray(y[:few])}


def net_train(problem: NetworkProblem) -> Any:
    """Epochs of Adam on shuffled batches; gathering a batch, gradient and update are compiled as one."""
    problem = problem.standardised()
    w, x = _arrays(problem)
    y, outputs = jnp.asarray(problem.y), _outputs(problem.model.kind)[0]
    gradient_of = jax.grad(lambda w, x, y: jnp.mean((outputs(w, x) - y) ** 2))

    @jax.jit
    def update(state: Any, count: Any, chosen: Any) -> Any:
        w, mean, square = state
        g = gradient_of(w, x[chosen], y[chosen])
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, g)
        square = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, square, g)
        rate, root = RATE / (1 - 0.9**count), 1 / (1 - 0.999**count)
        w = jax.tree.map(lambda w, m, s: w - rate * m / (jnp.sqrt(s * root) + 1e-8), w, mean, square)
        return w, mean, square

    def run() -> Any:
        rng = np.random.default_rng(0)
        nothing = jax.tree.map(jnp.zeros_like, w)
        state, count = (w, nothing, nothing), 0
        for _ in range(EPOCHS):
            order = rng.permutation(problem.N)
            for at in range(0, problem.N, BATCH):
                count += 1
                state = update(state, float(count), order[at : at + BATCH])
        return jax.block_until_ready(state[0])

    def answer(found: Any, few: int) -> dict[str, np.ndarray]:
        del few
        return training_answer(problem, found)

    return run, answer
