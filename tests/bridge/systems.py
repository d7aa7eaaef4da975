"""Random models and the steady filter written out step by step, for the tests of the bridge."""

from __future__ import annotations

from typing import Any

import numpy as np

import kelman

BED_A = 0.95 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])


def bed() -> kelman.StateSpace:
    """Two-state rotation of modulus .95 and angle .3, seen through one noisy measurement."""
    return kelman.StateSpace(BED_A, [[1.0, 0.0]], 0.1 * np.eye(2), [[1.0]])


def random_model(
    rng: np.random.Generator, radius: float, *, inputs: bool = True, cross: bool | None = None, lag: int = 0
) -> kelman.StateSpace:
    """Detectable and stabilisable model of n <= 10 states and m, p <= 5, its largest pole at the given radius."""
    n, m, p = (int(rng.integers(low, high)) for low, high in ((1, 11), (1, 6), (0, 6)))
    p = p if inputs else 0
    A = rng.normal(size=(n, n))
    A *= radius / np.abs(np.linalg.eigvals(A)).max()
    G = rng.normal(size=(n + m, n + m)) / np.sqrt(n + m)
    cov = G @ G.T
    cross = bool(rng.random() < 0.5) if cross is None else cross
    optional: dict[str, Any] = {"b": rng.normal(size=n), "c": rng.normal(size=m)}
    if p:
        optional["B"] = rng.normal(size=(n, p))
        if rng.random() < 0.5:
            optional["D"] = rng.normal(size=(m, p))
    if cross:
        optional["S"] = cov[:n, n:]
    H, Q, R = rng.normal(size=(m, n)), cov[:n, :n], cov[n:, n:]
    if lag:
        return kelman.StateSpace.from_shifted(A, H, Q, R, m1=rng.normal(size=n), P1=np.eye(n), **optional)
    return kelman.StateSpace(A, H, Q, R, m0=rng.normal(size=n), P0=np.eye(n), **optional)


def zeros_for(model: kelman.StateSpace, name: str, *shape: int) -> np.ndarray:
    """A matrix of the model, or zeros where it has none."""
    value = getattr(model, name)
    return np.zeros(shape) if value is None else value


def draw(
    model: kelman.StateSpace, T: int, rng: np.random.Generator, limit: float = np.inf
) -> tuple[np.ndarray, np.ndarray | None]:
    """A series z (and u) from the model's equations, cut where it passes the limit."""
    n, m, p = model.dims[:3]
    B, D = zeros_for(model, "B", n, p), zeros_for(model, "D", m, p)
    b, c = zeros_for(model, "b", n), zeros_for(model, "c", m)
    S = zeros_for(model, "S", n, m)
    root = np.linalg.svd(np.block([[model.Q, S], [S.T, model.R]]))
    factor = root[0] * np.sqrt(root[1])
    u = rng.normal(size=(T, p))
    x = model.m0 if model.m0 is not None else zeros_for(model, "m1", n)
    if model.m0 is not None:
        x = model.A @ x + B @ u[0] + b
    z = np.empty((T, m))
    for k in range(T):
        noise = factor @ rng.normal(size=n + m)
        z[k] = model.H @ x + D @ u[k] + c + noise[n:]
        if np.abs(z[k]).max() > limit:
            return z[:k], u[:k] if p else None
        into = u[k] if model.input_lag else u[min(k + 1, T - 1)]
        x = model.A @ x + B @ into + b + noise[:n]
    return z, u if p else None


def steady_filter(model: kelman.StateSpace, z: np.ndarray, u: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """zhat_{k|k-1} and x_{k|k} of the filter that uses the steady gain from the first step on."""
    n, m, p = model.dims[:3]
    gains = kelman.lti.dare(model.A, model.H, model.Q, model.R, model.S)
    B, D = zeros_for(model, "B", n, p), zeros_for(model, "D", m, p)
    b, c = zeros_for(model, "b", n), zeros_for(model, "c", m)
    u = np.zeros((len(z), 0)) if u is None else u
    s = model.A @ model.m0 + b + B @ u[0] if model.m0 is not None else model.m1
    predicted, filtered = [], []
    for k, z_k in enumerate(z):
        predicted.append(model.H @ s + D @ u[k] + c)
        error = z_k - predicted[-1]
        filtered.append(s + gains.K_f @ error)
        into = u[k] if model.input_lag else u[min(k + 1, len(z) - 1)]
        s = model.A @ s + b + B @ into + gains.K @ error
    return np.array(predicted), np.array(filtered)


def padded(net: kelman.Elman, rng: np.random.Generator, unreached: int = 2, unseen: int = 2) -> kelman.Elman:
    """The same network with units that no input reaches and units that no output sees, in a random basis."""
    h, extra = net.dims.hidden, unreached + unseen
    n = h + extra
    U = np.zeros((n, n))
    U[:h, :h] = net.U
    own = rng.normal(size=(extra, extra))
    own[:unreached, unreached:] = 0.0
    U[h:, h:] = 0.9 * own / np.abs(np.linalg.eigvals(own)).max()
    U[:h, h : h + unreached] = rng.normal(size=(h, unreached))  # unreached units may act on the others
    U[h + unreached :, :h] = rng.normal(size=(unseen, h))  # unseen units may be driven by the others
    W = np.vstack([net.W, np.zeros((unreached, net.dims.inputs)), rng.normal(size=(unseen, net.dims.inputs))])
    V = np.hstack([net.V, rng.normal(size=(net.dims.outputs, unreached)), np.zeros((net.dims.outputs, unseen))])
    b = np.concatenate([net.b, np.zeros(unreached), rng.normal(size=unseen)])
    T = np.linalg.qr(rng.normal(size=(n, n)))[0] * rng.uniform(0.5, 2.0, size=n)
    Ti = np.linalg.inv(T)
    return net.replace(U=T @ U @ Ti, W=T @ W, V=V @ Ti, b=T @ b, h0=None)


def markov_of(model: kelman.StateSpace) -> np.ndarray:
    """Responses of z to [u, e] at lags 0 to 20."""
    gains = kelman.lti.dare(model.A, model.H, model.Q, model.R, model.S)
    A, Bs, H, Ds = kelman.lti.standard_form(model)
    return kelman.lti.markov(A, np.hstack([Bs, gains.K]), H, 20, np.hstack([Ds, np.eye(len(H))]))


def closeness(got: np.ndarray, want: np.ndarray) -> float:
    """Largest difference relative to the largest entry."""
    return float(np.abs(got - want).max(initial=0.0) / max(1.0, np.abs(want).max(initial=0.0)))
