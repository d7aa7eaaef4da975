# SPDX-License-Identifier: BSD-3-Clause
"""Random stable systems, from a seeded generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kelman._arrays import as_count
from kelman.errors import KelmanError
from kelman.lti import lyapunov
from kelman.models import StateSpace

if TYPE_CHECKING:
    from kelman._types import Array


def random_stable(
    n: int,
    m: int = 1,
    p: int = 0,
    *,
    rng: np.random.Generator | int | None = None,
    radius: float | None = None,
    condition: float = 10.0,
    noise: float = 0.5,
    direct: bool = False,
    correlated: bool = False,
) -> StateSpace:
    r"""Return a random stable system with poles spread over the disc of the given radius.

    Poles are drawn first (complex pairs and, about one time in three, real ones; the largest modulus is ``radius`` exactly), put
    in real modal form and turned into a random basis T = U diag(d) V' whose condition number is ``condition``. State
    noise has full rank; each measurement has signal variance one and noise variance ``noise`` on average.

    Parameters
    ----------
    n, m : int
        Numbers of states and of measured values.
    p : int, default 0
        Number of inputs (white inputs of unit variance then add about as much signal as the state noise).
    rng : numpy.random.Generator or int, optional
        Source of randomness, or its seed.
    radius : float, optional
        Spectral radius of A in (0, 1); drawn from (.5, .98) when left out.
    condition : float, default 10
        Condition number (>= 1) of the basis in which A is block diagonal; 1 makes A normal.
    noise : float, default 0.5
        Variance of the measurement noise relative to the signal.
    direct : bool, default False
        Whether to draw a direct term D.
    correlated : bool, default False
        Whether to draw S, the covariance of the two noises.

    Returns
    -------
    StateSpace
        A stable, detectable, stabilisable model with stationary start.

    Examples
    --------
    >>> from kelman import lti, systems
    >>> model = systems.random_stable(4, 2, 1, rng=0, radius=0.9)
    >>> model.dims.n, round(lti.spectral_radius(model.A), 12)
    (4, 0.9)
    """
    n, m, p = as_count(n, "n"), as_count(m, "m"), as_count(p, "p", least=0)
    generator = _generator(rng)
    if radius is None:
        radius = float(generator.uniform(0.5, 0.98))
    _check_range("radius", radius, 0.0, 1.0)
    _check_range("condition", condition, 1.0 - 1e-12, np.inf)
    _check_range("noise", noise, 0.0, np.inf)
    T = _basis(generator, n, float(condition))
    A = T @ _modal(generator, n, float(radius)) @ np.linalg.inv(T)
    G = generator.normal(size=(n, n)) / np.sqrt(n) + 0.3 * np.eye(n)
    Q = T @ G @ G.T @ T.T
    Q = (Q + Q.T) / 2
    H = generator.normal(size=(m, n)) @ np.linalg.inv(T)
    H /= np.sqrt(np.einsum("in,nk,ik->i", H, lyapunov(A, Q), H))[:, None]
    L = generator.normal(size=(m, m)) / np.sqrt(2 * m) + np.sqrt(0.5) * np.eye(m)
    R = noise * (L @ L.T)
    S = None
    if correlated:
        mix = generator.normal(size=(n, m))
        S = 0.5 * T @ G @ (mix / np.linalg.norm(mix, 2)) @ L.T * np.sqrt(noise)
    B = D = None
    if p:
        B = T @ generator.normal(size=(n, p)) / np.sqrt(p)
        D = generator.normal(size=(m, p)) * 0.5 if direct else None
    return StateSpace(A, H, Q, (R + R.T) / 2, B=B, D=D, S=S, initial="stationary")


def _generator(rng: np.random.Generator | int | None) -> np.random.Generator:
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise KelmanError(f"rng: expected a numpy.random.Generator or an integer seed, got {rng!r:.60}") from error


def _check_range(name: str, value: Any, low: float, high: float) -> None:
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not number or not low < value < high:
        raise KelmanError(f"{name}: expected a number between {low:g} and {high:g}, got {value!r:.60}")


def _modal(generator: np.random.Generator, n: int, radius: float) -> Array:
    """Block-diagonal real form: pairs modulus * rotation, and real poles, one of them of modulus ``radius``."""
    A = np.zeros((n, n))
    i, first = 0, True
    while i < n:
        modulus = radius if first else radius * float(np.sqrt(generator.uniform(0.02, 1.0)))
        if i + 1 < n and generator.uniform() > 1 / 3:
            angle = float(generator.uniform(0.05, np.pi - 0.05))
            cos, sin = modulus * np.cos(angle), modulus * np.sin(angle)
            A[i : i + 2, i : i + 2] = [[cos, -sin], [sin, cos]]
            i += 2
        else:
            A[i, i] = modulus * (1.0 if generator.uniform() < 0.7 else -1.0)
            i += 1
        first = False
    return A


def _basis(generator: np.random.Generator, n: int, condition: float) -> Array:
    """Return U diag(d) V' with random orthogonal U, V and d from 1 to 1 / condition."""
    left, _ = np.linalg.qr(generator.normal(size=(n, n)))
    right, _ = np.linalg.qr(generator.normal(size=(n, n)))
    basis: Array = left * np.geomspace(1.0, 1.0 / condition, n) @ right.T
    return basis
