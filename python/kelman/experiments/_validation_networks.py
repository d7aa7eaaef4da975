# SPDX-License-Identifier: BSD-3-Clause
"""Networks for `kelman validate`: recursions as they are written, complex steps, the PyTorch backend, the exact map."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

import kelman
from kelman.experiments._validation_cells import GATED, random_cell, recursion
from kelman.models._activation import Activation

if TYPE_CHECKING:
    from kelman._types import Array, Backend

Row = tuple[str, str, float, float, str]

_STEP = 1e-30


def compare_networks(models: int, rng: np.random.Generator, subject: Backend, missing: str) -> Iterator[Row]:
    """Rows (what, against, difference, tolerance, where) for random networks and for the exact map."""
    words = get_args(Activation)
    pairs = [(hidden, output) for hidden in (*words, *GATED) for output in words]
    for k in range(max(models, len(pairs))):
        hidden, output = pairs[k % len(pairs)]
        where = f"{hidden} and {output} #{k}"
        net = random_cell(rng, hidden, output) if hidden in GATED else _network(rng, hidden, output)
        x, y, options = _data(rng, net)
        forward = kelman.forward(net, x, backend=subject)
        yield "forward", "NumPy recursion", _apart(forward.y, recursion(net, x, {})), 1e-12, where
        loss, gradient = kelman.loss_and_grad(net, x, y, **options, backend=subject)
        equations = kelman.rnn.gauss_newton(net, x, y, **options, learn_h0=True, backend=subject)
        step, J, e = _complex_step(net, x, y, options["mask"])
        total = options["mask"].sum() * y.shape[-1]
        mine = np.concatenate([getattr(gradient, name).ravel() for name in step])
        yield "loss_and_grad", "complex step", _apart(mine, np.concatenate([*step.values()])), 1e-9, where
        weight = np.repeat(options["mask"].ravel(), y.shape[-1])
        yield "gauss_newton", "complex step", _apart(equations.JtJ, (J.T * weight) @ J / total), 1e-9, where
        yield "gauss_newton", "complex step", _apart(equations.Jtr, (J.T * weight) @ e / total), 1e-9, where
        if not missing:
            other = kelman.forward(net, x, backend="torch")
            yield "forward", "PyTorch", _apart(forward.y, other.y), 1e-12, where
            loss_t, gradient_t = kelman.loss_and_grad(net, x, y, **options, backend="torch")
            theirs = np.concatenate([getattr(gradient_t, name).ravel() for name in step])
            yield "loss_and_grad", "PyTorch", max(_apart(mine, theirs), _apart(loss, loss_t)), 1e-10, where
            again = kelman.rnn.gauss_newton(net, x, y, **options, learn_h0=True, backend="torch")
            yield "gauss_newton", "PyTorch", _apart(equations.JtJ, again.JtJ), 1e-10, where
    yield from _exact_map(models, rng, subject)


def _apart(got: Any, expected: Any) -> float:
    got, expected = np.asarray(got), np.asarray(expected)
    return float(np.abs(got - expected).max() / max(float(np.abs(expected).max()), 1e-3))


def _network(rng: np.random.Generator, hidden: Any, output: Any) -> kelman.Elman:
    h, i, o = (int(rng.integers(1, 4)) for _ in range(3))
    shapes = {"U": (h, h), "W": (h, i), "b": (h,), "V": (o, h), "c": (o,), "h0": (h,), "D": (o, i)}
    w = {name: 0.6 * rng.normal(size=shape) for name, shape in shapes.items()}
    return kelman.Elman(w["U"], w["W"], w["b"], w["V"], w["c"], hidden, output, w["h0"], D=w["D"])


def _data(rng: np.random.Generator, net: Any) -> tuple[Array, Array, dict[str, Any]]:
    x, y = rng.normal(size=(3, 6, net.dims.inputs)), rng.normal(size=(3, 6, net.dims.outputs))
    return x, y, {"mask": (rng.random((3, 6)) < 0.8) * 1.0 + np.eye(3, 6)}


def _complex_step(net: Any, x: Array, y: Array, mask: Array) -> tuple[dict[str, Array], Array, Array]:
    """Gradient of the loss by name (each raveled), Jacobian of the outputs, and errors; in the order of `kelman.rnn.pack`."""
    e = recursion(net, x, {}) - y
    total = mask.sum() * y.shape[-1]
    gradient, columns = {}, []
    for name in (*net.weights, *net.STARTS):
        value, parts = getattr(net, name), []
        for index in np.ndindex(*value.shape):
            moved = value.astype(complex)
            moved[index] += 1j * _STEP
            column = recursion(net, x, {name: moved}).imag / _STEP
            columns.append(column.ravel())
            parts.append(2 * (mask[..., None] * e * column).sum() / total)
        gradient[name] = np.array(parts)
    return gradient, np.column_stack(columns), e.ravel()


def _exact_map(models: int, rng: np.random.Generator, subject: Backend) -> Iterator[Row]:
    """A steady Kalman predictor against the network that `to_elman` makes of its model."""
    for k in range(models):
        n, m, T = int(rng.integers(1, 5)), int(rng.integers(1, 3)), 200
        A = rng.normal(size=(n, n))
        A *= rng.uniform(0.3, 1.0) / np.abs(np.linalg.eigvals(A)).max()
        root = rng.normal(size=(n, n)) + np.eye(n)
        model = kelman.StateSpace(A, rng.normal(size=(m, n)), root @ root.T, np.eye(m), m1=np.zeros(n), P1=np.eye(n))
        z = kelman.simulate(model, T, rng=rng).z
        steady = kelman.steady_state(model)
        settled = model.replace(P1=steady.P_predicted)
        r = kelman.filter(settled, z, store="all", backend=subject)
        where = f"exact map #{k}"
        yield "steady_state", "filter", _apart(r.predicted_cov[-1], steady.P_predicted), 1e-9, where
        net = kelman.to_elman(model, form="predicted")
        y = kelman.forward(net, z, backend=subject).y
        yield "to_elman", "filter", _apart(y[:-1], r.predicted_mean[1:] @ model.H.T), 1e-10, where
