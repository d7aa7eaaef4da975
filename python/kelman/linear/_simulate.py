# SPDX-License-Identifier: BSD-3-Clause
"""`simulate`: draws of states and measurements from a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import as_count, collapsed, room
from ..errors import KelmanError
from ._problem import fields_of, require_model
from ._result import Kept
from ._series import read_u
from ._start import resolve_start

if TYPE_CHECKING:
    from .._types import Array, ArrayLike
    from ..models import StateSpace

_BLOCK = 1 << 20


@dataclass(frozen=True, eq=False, repr=False)
class Simulation(Kept):
    """What `simulate` drew. ... is N for several series and nothing for one.

    Examples
    --------
    >>> import kelman
    >>> model = kelman.StateSpace([[0.5]], [[1.0]], [[1.0]], [[1.0]])
    >>> sim = kelman.simulate(model, 100, N=3, rng=1)
    >>> sim.x.shape, sim.z.shape
    ((3, 100, 1), (3, 100, 1))
    """

    _arrays: dict[str, Array]
    _batched: bool
    lengths: Array | None = None

    @property
    def x(self) -> Array:
        """States, shape (..., T, n)."""
        x: Array = self._get("x")
        return x

    @property
    def z(self) -> Array:
        """Measurements, shape (..., T, m)."""
        z: Array = self._get("z")
        return z

    def __getitem__(self, i: int) -> Simulation:
        """Return one series."""
        return Simulation(self._cut(i), False)

    def summary(self) -> str:
        """Say what was drawn.

        Returns
        -------
        str
            The shapes, and the spread of the measurements.
        """
        low, high = float(np.min(self.z)), float(np.max(self.z))
        return f"simulation: x {self.x.shape}, z {self.z.shape}, z from {low:.6g} to {high:.6g}"

    def __repr__(self) -> str:
        return f"Simulation(x {self.x.shape}, z {self.z.shape})"


def simulate(
    model: StateSpace,
    T: int,
    N: int | None = None,
    u: ArrayLike | None = None,
    rng: np.random.Generator | int | None = None,
) -> Simulation:
    r"""Draw states and measurements from a model.

    Parameters
    ----------
    model : StateSpace
        The model; what varies in time must have length T.
    T : int
        Number of steps.
    N : int, optional
        Number of series. None gives results without a series axis (with one of length N for a model per series).
    u : array_like, shape (T, p) or (N, T, p), optional
        Inputs. Needed if the model has B or D.
    rng : numpy.random.Generator or int, optional
        The generator, or a seed for one. None draws anew each time.

    Returns
    -------
    Simulation
        ``x`` and ``z``, of the model's dtype.

    Raises
    ------
    KelmanError
        If an argument does not fit, or if the start is diffuse (wholly or in part): there is no distribution to draw from
        then; give m1 and P1 by ``model.replace(m1=..., P1=...)``.

    Notes
    -----
    The first state comes from the model's start; w_k and v_k are drawn jointly, with Cov(w_k, v_k) = S.

    Examples
    --------
    >>> import kelman
    >>> model = kelman.StateSpace([[1.0]], [[1.0]], [[0.0]], [[0.0]], m0=[2.0], P0=[[0.0]], b=[1.0])
    >>> print(kelman.simulate(model, 3).z[:, 0])
    [3. 4. 5.]
    """
    require_model(model, "simulate")
    T = as_count(T, "T")
    count, batched = _series_count(model, N)
    generator = _generator(rng)
    dtype = model.dtype
    states = room(count, T, model.dims.n, name="T")
    measured = room(count, T, model.dims.m, name="T")
    fields = fields_of(model, count, T, dtype)
    p = 0 if model.B is None and model.D is None else model.dims.p
    inputs = read_u(u, p, N=count, T=T, dtype=dtype, batched=batched)
    start = resolve_start(model, count, dtype, fields, inputs)
    if start.inf.shape[-1]:
        raise KelmanError(
            f"model: its start is diffuse (initial={model.initial!r}, {int(start.rank.max())} of {model.dims.n} directions), "
            "so there is no first state to draw; give one with model.replace(m1=..., P1=...)"
        )
    x = start.mean.astype(np.float64) + _times(_root(start.cov), generator.standard_normal(start.mean.shape))
    arrays = _run(fields, inputs, model.input_lag, start.start_kind, x, generator, states, measured)
    return Simulation({name: array.astype(dtype, copy=False) for name, array in arrays.items()}, batched)


def _series_count(model: StateSpace, N: int | None) -> tuple[int, bool]:
    own = model.dims.N
    if N is None:
        return own or 1, own is not None
    N = as_count(N, "N")
    if own not in (None, 1, N):
        raise KelmanError(f"N: is {N}, but the model is for {own} series")
    return N, True


def _generator(rng: Any) -> np.random.Generator:
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is None or (isinstance(rng, (int, np.integer)) and not isinstance(rng, bool) and rng >= 0):
        return np.random.default_rng(rng)
    if isinstance(rng, (np.random.SeedSequence, np.random.BitGenerator)):
        return np.random.default_rng(rng)
    raise KelmanError(
        f"rng: expected a numpy.random.Generator, a seed (a whole number from 0) or None, got {rng!r:.60}"
    )


def _run(
    fields: dict[str, Array | None],
    u: Array | None,
    input_lag: int,
    start_kind: int,
    x: Array,
    rng: np.random.Generator,
    states: Array,
    measured: Array,
) -> dict[str, Array]:
    """Step through time, all series at once; noise is drawn for a block of steps at a time, (step, series, value)."""
    wide = {name: None if array is None else collapsed(array).astype(np.float64) for name, array in fields.items()}
    A, H, Q, R, S = (wide[name] for name in "AHQRS")
    assert A is not None
    assert H is not None
    assert Q is not None
    assert R is not None
    N, T, n = states.shape
    m = H.shape[-2]
    into = _driven(wide["B"], u, wide["b"], (1, T, n), input_lag)
    onto = _driven(wide["D"], u, wide["c"], (1, T, m), 0)
    roots = _joint_root(Q, R, S)
    if start_kind == 1:
        x = _times(_step(A, 0), x) + into[:, 0] + _times(_root(_step(Q, 0)), rng.standard_normal((N, n)))
    block = max(1, _BLOCK // (N * (n + m)))
    pending = np.zeros((N, n))
    for first in range(0, T, block):
        steps = slice(first, min(first + block, T))
        noise = rng.standard_normal((steps.stop - first, N, n + m)).swapaxes(0, 1)
        drawn = _times(_steps(roots, steps), noise)
        push = np.empty((N, steps.stop - first, n))
        push[:, 0], push[:, 1:], pending = pending, drawn[:, :-1, :n], drawn[:, -1, :n]
        push += into[:, steps]
        if first == 0:
            push[:, 0] = 0
        x = _walk(A, first, x, push)
        states[:, steps] = push
        measured[:, steps] = _times(_steps(H, steps), push) + onto[:, steps] + drawn[:, :, n:]
    return {"x": states, "z": measured}


def _walk(A: Array, first: int, x: Array, push: Array) -> Array:
    """Turn pushes into states in place, x_k = A[k] x_{k-1} + push_k; the very first state is `x` itself."""
    steps = push.shape[1]
    start = 0
    if first == 0:
        push[:, 0] = x
        start = 1
    if A.shape[:2] == (1, 1) and len(push) == 1:
        one, line, x = A[0, 0], push[0], x[0]
        for k in range(start, steps):
            x = one @ x
            x += line[k]
            line[k] = x
        return x[None]
    for k in range(start, steps):
        x = x @ A[0, 0].T if A.shape[:2] == (1, 1) else _times(_step(A, first + k), x)
        x += push[:, k]
        push[:, k] = x
    return x


def _driven(matrix: Array | None, u: Array | None, offset: Array | None, shape: tuple[int, ...], lag: int) -> Array:
    """Matrix times input (`lag` steps earlier) plus offset, for each step: (1 or N, T, ...)."""
    total = np.zeros(shape)
    if matrix is not None and u is not None:
        u = collapsed(u).astype(np.float64)
        if lag and u.shape[1] > 1:  # the first is never used: such a model starts at its first measurement
            u = np.concatenate([u[:, :1], u[:, :-1]], axis=1)
        total = total + _times(matrix, u)
    return total if offset is None else total + offset


def _step(array: Array, k: int) -> Array:
    return array[:, k if array.shape[1] > 1 else 0]


def _steps(array: Array, steps: slice) -> Array:
    return array[:, steps] if array.shape[1] > 1 else array


def _times(matrix: Array, vector: Array) -> Array:
    product: Array = (matrix @ vector[..., None])[..., 0]
    return product


def _joint_root(Q: Array, R: Array, S: Array | None) -> Array:
    """G with G G' = [[Q, S], [S', R]], (1 or N, 1 or T, n + m, n + m)."""
    n, m = Q.shape[-1], R.shape[-1]
    lead = np.broadcast_shapes(Q.shape[:2], R.shape[:2], (1, 1) if S is None else S.shape[:2])
    joint = np.zeros((*lead, n + m, n + m))
    joint[..., :n, :n], joint[..., n:, n:] = Q, R
    if S is not None:
        joint[..., :n, n:], joint[..., n:, :n] = S, np.swapaxes(S, -1, -2)
    return _root(joint)


def _root(cov: Array) -> Array:
    """G with G G' = cov, exactly zero in the directions that have no variance (to rounding)."""
    cov = np.asarray(cov, dtype=np.float64)
    size = np.sqrt(np.maximum(np.diagonal(cov, axis1=-2, axis2=-1), 0))
    scale = np.where(size > 0, 1 / np.where(size > 0, size, 1), 0)
    values, vectors = np.linalg.eigh(scale[..., :, None] * cov * scale[..., None, :])
    values = np.where(values > 16 * cov.shape[-1] * np.finfo(np.float64).eps, values, 0)
    root: Array = size[..., :, None] * vectors * np.sqrt(values)[..., None, :]
    return root
