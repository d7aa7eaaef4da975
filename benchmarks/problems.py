"""What is computed: a model, measured series, and which gaps they have. Read by kelman and by every peer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

Array = np.ndarray
MATRICES = ("A", "H", "Q", "R", "m0", "P0")


@dataclass(frozen=True)
class Model:
    """x_k = A x_{k-1} + w, z_k = H x_k + v, x_0 ~ N(m0, P0); each matrix alone, or stacked with one for each series."""

    A: Array
    H: Array
    Q: Array
    R: Array
    m0: Array
    P0: Array

    @property
    def n(self) -> int:
        """Number of states."""
        return int(self.A.shape[-1])

    @property
    def m(self) -> int:
        """Number of measured values."""
        return int(self.H.shape[-2])

    @property
    def first(self) -> tuple[Array, Array]:
        """Mean and covariance of x_1 before it is measured, for those who start there."""
        m1 = np.einsum("...ij,...j->...i", self.A, self.m0)
        P1 = self.A @ self.P0 @ np.swapaxes(self.A, -1, -2) + self.Q
        return m1, (P1 + np.swapaxes(P1, -1, -2)) / 2

    def of(self, i: int) -> Model:
        """Return the model of series i."""
        return Model(*(getattr(self, x)[i] for x in MATRICES)) if self.A.ndim == 3 else self

    def perturbed(self, N: int, rng: np.random.Generator) -> Model:
        """Return N models near this one, one for each series."""
        scale = np.exp(0.1 * rng.standard_normal((N, 2)))[..., None, None]
        A = self.A * np.exp(0.002 * rng.standard_normal((N, *self.A.shape)))
        m0, H, P0 = (np.broadcast_to(x, (N, *x.shape)).copy() for x in (self.m0, self.H, self.P0))
        return Model(A, H, scale[:, 0] * self.Q, scale[:, 1] * self.R, m0, P0)


def constant_velocity() -> Model:
    """Position and velocity in the plane, positions measured: n = 4, m = 2."""
    return Model(
        A=np.array([[1.0, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]]),
        H=np.array([[1.0, 0, 0, 0], [0, 1, 0, 0]]),
        Q=0.01 * np.array([[1 / 3, 0, 1 / 2, 0], [0, 1 / 3, 0, 1 / 2], [1 / 2, 0, 1, 0], [0, 1 / 2, 0, 1]]),
        R=np.eye(2),
        m0=np.zeros(4),
        P0=10 * np.eye(4),
    )


def seasonal() -> Model:
    """Local linear trend and a dummy seasonal of period 12: n = 13, m = 1."""
    A, H, Q = np.zeros((13, 13)), np.zeros((1, 13)), np.zeros((13, 13))
    A[0, 0] = A[0, 1] = A[1, 1] = 1
    A[2, 2:] = -1
    A[np.arange(3, 13), np.arange(2, 12)] = 1
    H[0, [0, 2]] = 1
    Q[[0, 1, 2], [0, 1, 2]] = 0.1, 0.01, 0.05
    return Model(A, H, Q, np.eye(1), np.zeros(13), 10 * np.eye(13))


def dense() -> Model:
    """A dense stable system: n = 50, m = 20."""
    rng = np.random.default_rng(50)
    A = 0.95 * np.linalg.qr(rng.standard_normal((50, 50)))[0]
    half = rng.standard_normal((50, 50)) / 7
    H = rng.standard_normal((20, 50)) / 5
    return Model(A, H, half @ half.T + 0.1 * np.eye(50), np.eye(20), np.zeros(50), np.eye(50))


def level() -> Model:
    """A level that moves, in noise: n = 1, m = 1."""
    one = np.eye(1)
    return Model(one, one, 0.5 * one, one, np.zeros(1), 10 * one)


MODELS: dict[str, Callable[[], Model]] = {
    "level": level,
    "velocity": constant_velocity,
    "seasonal": seasonal,
    "dense": dense,
}


@dataclass(frozen=True)
class Problem:
    """A model and N series z (N, T, m), NaN where missing; `gaps` says how: none, whole vectors or single components."""

    model: Model
    z: Array
    gaps: str

    @property
    def N(self) -> int:
        """Number of series."""
        return int(self.z.shape[0])

    @property
    def T(self) -> int:
        """Length of each series."""
        return int(self.z.shape[1])

    def head(self, N: int, T: int | None = None) -> Problem:
        """Return the first N series, and the first T steps of them."""
        model = self.model
        if model.A.ndim == 3:
            model = Model(*(getattr(model, x)[:N] for x in MATRICES))
        return replace(self, model=model, z=self.z[:N, :T])

    def save(self, folder: Path) -> None:
        """Write the arrays to a folder."""
        for name in MATRICES:
            np.save(folder / f"{name}.npy", getattr(self.model, name))
        np.save(folder / "z.npy", self.z)

    @classmethod
    def load(cls, folder: Path, gaps: str) -> Problem:
        """Read what `save` wrote."""
        matrices = (np.load(folder / f"{name}.npy") for name in MATRICES)
        return cls(Model(*matrices), np.load(folder / "z.npy"), gaps)


def make(model: Model, N: int, T: int, gaps: str = "none", per_series: bool = False, seed: int = 1) -> Problem:
    """Draw N series of length T from a model, with a tenth missing where gaps are asked for."""
    rng = np.random.default_rng(seed)
    if per_series:
        model = model.perturbed(N, rng)
    A, H, chol = model.A, model.H, np.linalg.cholesky
    L_R, z = chol(model.R), np.empty((N, T, model.m))
    values, vectors = np.linalg.eigh(model.Q)
    L_Q = vectors * np.sqrt(np.maximum(values, 0))[..., None, :]
    x = np.einsum(
        "...ij,sj->si" if model.A.ndim == 2 else "sij,sj->si", chol(model.P0), rng.standard_normal((N, model.n))
    )
    times = "ij,sj->si" if model.A.ndim == 2 else "sij,sj->si"
    for k in range(T):
        x = np.einsum(times, A, x) + np.einsum(times, L_Q, rng.standard_normal((N, model.n)))
        z[:, k] = np.einsum(times, H, x) + np.einsum(times, L_R, rng.standard_normal((N, model.m)))
    if gaps == "whole":
        z[rng.random((N, T)) < 0.1] = np.nan
    elif gaps == "calendars":  # whole vectors: the series go by turns
        z[(rng.random((10, T)) < 0.1)[np.arange(N) % 10]] = np.nan
        gaps = "whole"
    elif gaps == "single":
        z[rng.random(z.shape) < 0.1] = np.nan
    return Problem(model, z, gaps)
