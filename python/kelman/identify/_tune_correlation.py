# SPDX-License-Identifier: BSD-3-Clause
r"""Q and R by the correlation of innovations, autocovariance least squares.

Any filter with a constant gain K and a stable A - K H has innovations with the autocovariances

.. math:: C_0 = H P H' + R, \qquad C_j = H F^j P H' - H F^{j-1} K R, \qquad P = F P F' + Q + K R K', \quad F = A - K H,

which are linear in Q and R: those found in the data give them by least squares (R. K. Mehra, IEEE TAC 15 (1970) 175;
B. J. Odelson, M. R. Rajamani and J. B. Rawlings, Automatica 42 (2006) 303), under the condition that both are covariances.
The gain of the result gives a better filter, so this is repeated. Where values are missing the gain varies: see `_tune_gaps`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman import linear
from kelman.errors import KelmanError, NoSteadyStateError
from kelman.identify._tune_gaps import products
from kelman.lti._lyapunov import stein

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.identify._innovations import Filtered
    from kelman.identify._noise_block import NoiseBlock
    from kelman.models import StateSpace

_ROUNDS = 50
_SETTLED = 1e-4
_FORGOTTEN = 1e-4
_UNSEEN = 1e-7


@dataclass(frozen=True, eq=False)
class Regression:
    """The linear map from free entries to autocovariances: C_j (lags + 1, m, m) of each basis matrix, and of what is fixed."""

    columns: Array
    constant: Array


def regression(model: StateSpace, blocks: tuple[NoiseBlock, NoiseBlock], lags: int) -> Regression:
    """Autocovariances of the innovations of the filter that is steady for `model`, as a function of the free entries."""
    F, K, H = _steady(model)
    Q, R = blocks
    no_Q, no_R = np.zeros_like(Q.base), np.zeros_like(R.base)
    columns = [_autocovariance(F, K, H, E, no_R, lags) for E in Q.basis]
    columns += [_autocovariance(F, K, H, no_Q, E, lags) for E in R.basis]
    constant = _autocovariance(F, K, H, Q.constant, R.constant, lags)
    return Regression(np.array(columns), constant)


def _steady(model: StateSpace) -> tuple[Array, Array, Array]:
    for name in ("A", "H"):
        if getattr(model, name).ndim > 2:
            raise KelmanError(
                f"{name}: varies in this model, so its filter has no constant gain; use method='likelihood'"
            )
    try:
        found = linear.steady_state(model.replace(S=None))
    except NoSteadyStateError as error:
        raise KelmanError(f"model: its filter has no constant gain ({error}); use method='likelihood'") from error
    H = model.H.astype(np.float64)
    return model.A.astype(np.float64) - found.K @ H, found.K, H


def _autocovariance(F: Array, K: Array, H: Array, Q: Array, R: Array, lags: int) -> Array:
    P = stein(F, Q + K @ R @ K.T)
    out = np.empty((lags + 1, len(H), len(H)))
    out[0] = H @ P @ H.T + R
    carried = P @ H.T
    driven = K @ R
    for j in range(1, lags + 1):
        carried = F @ carried
        out[j] = H @ (carried - driven)
        driven = F @ driven
    return out


def hidden_directions(found: Regression) -> tuple[int, Array]:
    """How many combinations of the free entries the autocovariances tell, and a basis (k, size) of those they do not."""
    matrix = found.columns.reshape(len(found.columns), -1).T
    length = np.linalg.norm(matrix, axis=0)
    unit = matrix / np.where(length > 0, length, 1.0)
    _, size, rows = np.linalg.svd(unit, full_matrices=True)
    rank = int(np.count_nonzero(size > _UNSEEN * max(float(size.max(initial=0.0)), 1e-300)))
    return rank, rows[rank:] / np.where(length > 0, length, 1.0)


@dataclass(frozen=True, eq=False)
class Found:
    """Q and R, after how many rounds, and whether they had settled."""

    Q: Array
    R: Array
    rounds: int
    settled: bool


def correlate(model: StateSpace, run: Filtered, blocks: tuple[NoiseBlock, NoiseBlock], lags: int) -> Found:
    """Estimate, take the gain of what was found, and so on until nothing changes."""
    gaps = _has_gaps(run)
    Q, R = blocks[0].base, blocks[1].base
    settled, rounds, begin = False, 0, 0
    for rounds in range(1, _ROUNDS + 1):  # noqa: B007
        at = model.replace(Q=_positive(Q, blocks[0].base), R=_positive(R, blocks[1].base), S=None)
        ready = _ready(at, run, begin)
        begin = ready.begin  # steps once left out stay out: else rounds may go in circles
        if gaps:
            C, pairs, columns, constant = products(ready.model, ready.z, ready.u, ready.inside, blocks, lags)
            system = Regression(columns, constant)
        else:
            C, pairs = _sample(ready, lags)
            system = regression(at, blocks, lags)
        new_Q, new_R = _solve(system, (C, pairs), blocks, (Q, R))
        change = max(_change(new_Q, Q), _change(new_R, R))
        Q, R = new_Q, new_R
        if change < _SETTLED:
            settled = True
            break
    return Found(Q, R, rounds, settled)


def _change(new: Array, old: Array) -> float:
    return float(np.abs(new - old).max() / max(float(np.abs(old).max()), 1e-300))


def _positive(found: Array, base: Array) -> Array:
    """A covariance with a little of the first guess, so that a filter with a constant gain exists."""
    share = 1e-6 * float(np.trace(found) or np.trace(base)) / max(float(np.trace(base)), 1e-300)
    return found + share * base


def _has_gaps(run: Filtered) -> bool:
    inside = np.arange(run.z.shape[1]) < run.lengths[:, None]
    return bool(np.isnan(run.z[inside]).any())


@dataclass(frozen=True, eq=False)
class _Ready:
    """A model in its steady state and the data from there on, and which steps (N, T) count: from `begin`, when the start is forgotten."""

    model: StateSpace
    z: Array
    u: Array | None
    inside: Array
    begin: int


def _ready(model: StateSpace, run: Filtered, least: int) -> _Ready:
    """Leave out what is diffuse, and then at least `least` steps."""
    F, _, _ = _steady(model)
    radius = float(np.abs(np.linalg.eigvals(F)).max(initial=0.0))
    memory = int(np.ceil(np.log(_FORGOTTEN) / np.log(max(radius, 1e-4)))) if radius < 1 else run.z.shape[1]
    first = int(run.diffuse.max()) + 1
    if first >= run.z.shape[1]:
        raise KelmanError("z: too short for its autocovariances")
    start = run.result._arrays["predicted_mean"][:, first]
    P = linear.steady_state(model).P_predicted
    ready = model.replace(m1=np.where(np.isfinite(start), start, 0.0), P1=(P + P.T) / 2)
    u = None if run.u is None else np.ascontiguousarray(run.u[:, first:])
    T = run.z.shape[1] - first
    begin = max(least, min(memory, T // 4))
    inside = (np.arange(T) >= begin) & (np.arange(T) < (run.lengths - first)[:, None])
    return _Ready(ready, run.z[:, first:], u, inside, begin)


def _sample(ready: _Ready, lags: int) -> tuple[Array, Array]:
    """Autocovariances (lags + 1, m, m) of the innovations of the steady filter, and the number of pairs of each."""
    e = linear.filter(ready.model, ready.z, ready.u, store="all", on_error="nan").innovation
    T, inside = e.shape[1], ready.inside
    e = np.where(inside[..., None] & np.isfinite(e), e, 0.0)
    total, pairs = np.zeros((lags + 1, e.shape[2], e.shape[2])), np.zeros((lags + 1, 1, 1))
    for j in range(min(lags, T - 1) + 1):
        total[j] = np.einsum("nki,nkj->ij", e[:, j:], e[:, : T - j])
        pairs[j] = np.count_nonzero(inside[:, j:] & inside[:, : T - j])
    if pairs[0] < 2 * len(e[0, 0]) or pairs[-1] == 0:
        raise KelmanError(f"z: too short for {lags} lags of its autocovariances")
    return total / pairs, pairs


def _solve(
    system: Regression, sample: tuple[Array, Array], blocks: tuple[NoiseBlock, NoiseBlock], at: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Weighted least squares; where the answer is not a pair of covariances, the best pair that is."""
    C, pairs = sample
    size = np.sqrt(np.diagonal(C[0]))
    if not (size > 0).all():
        raise KelmanError(f"z: component {int(np.argmin(size))} is predicted exactly; there is no noise to correlate")
    weight = np.sqrt(pairs) / np.outer(size, size)
    weight = np.broadcast_to(weight, C.shape).copy()
    weight[0][np.tril_indices(len(size), -1)] = 0.0  # C_0 is symmetric
    y = ((C - system.constant) * weight).ravel()
    X = (system.columns * weight).reshape(len(system.columns), -1).T
    length = np.linalg.norm(X, axis=0)
    length = np.where(length > 0, length, 1.0)
    guess = np.concatenate([_coefficients(b, M) for b, M in zip(blocks, at, strict=True)]) * length
    change, *_ = np.linalg.lstsq(X / length, y - X / length @ guess, rcond=_UNSEEN)
    answer = (guess + change) / length
    found = _matrices(blocks, answer)
    if all(np.linalg.eigvalsh(M)[0] >= 0 for M in found):
        return found
    return _constrained(X, y, blocks, found)


def _coefficients(b: NoiseBlock, value: Array) -> Array:
    """Coordinates of a covariance in the basis of its block."""
    if b.word == "fixed":
        return np.zeros(0)
    if b.word == "scale":
        return np.array([float(np.trace(value) / np.trace(b.base))])
    return np.array([value[i, j] / np.sqrt(b.base[i, i] * b.base[j, j]) for i, j in b.places])


def _matrices(blocks: tuple[NoiseBlock, NoiseBlock], answer: Array) -> tuple[Array, Array]:
    split = blocks[0].size
    Q = blocks[0].constant + np.tensordot(answer[:split], blocks[0].basis, axes=1)
    R = blocks[1].constant + np.tensordot(answer[split:], blocks[1].basis, axes=1)
    return Q, R


def _constrained(
    X: Array, y: Array, blocks: tuple[NoiseBlock, NoiseBlock], found: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Minimise the sum of squares over Cholesky factors, from what was found with its negative directions cut off."""
    from scipy.optimize import minimize

    starts = [_cut(b, M) for b, M in zip(blocks, found, strict=True)]
    split = blocks[0].size
    size = float(y @ y) or 1.0

    def cost(theta: Array) -> tuple[float, Array]:
        parts = theta[:split], theta[split:]
        matrices = [b.matrix(part) for b, part in zip(blocks, parts, strict=True)]
        coefficients = np.concatenate([_coefficients(b, M) for b, M in zip(blocks, matrices, strict=True)])
        rest = X @ coefficients - y
        slope = X.T @ rest / size
        slopes = slope[:split], slope[split:]
        by = [_by_matrix(b, s) for b, s in zip(blocks, slopes, strict=True)]
        pieces = [b.gradient(part, M) for b, part, M in zip(blocks, parts, by, strict=True)]
        return 0.5 * float(rest @ rest) / size, np.concatenate(pieces)

    bounds: Any = [*blocks[0].bounds, *blocks[1].bounds]
    best = minimize(
        cost,
        np.concatenate(starts),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 500, "ftol": 1e-14},
    )
    theta = best.x
    return blocks[0].matrix(theta[:split]), blocks[1].matrix(theta[split:])


def _cut(b: NoiseBlock, value: Array) -> Array:
    """Parameters of the nearest covariance inside, in units of the start."""
    if b.word == "fixed":
        return np.zeros(0)
    if b.word == "scale":
        return b.start(value=np.maximum(_coefficients(b, value), 1e-3)[0] * b.base)
    size = np.sqrt(np.diagonal(b.base))
    scale = np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(value / np.outer(scale, scale))
    least = 1e-3 * max(float(values.max(initial=0.0)), 1e-3)
    inside = (vectors * np.maximum(values, least)) @ vectors.T
    return b.start(value=inside * np.outer(scale, scale))


def _by_matrix(b: NoiseBlock, slope: Array) -> Array:
    """The symmetric derivative by the covariance of what has the derivative `slope` by its coordinates."""
    out = np.zeros_like(b.base)
    if b.word == "scale":
        np.fill_diagonal(out, slope[0] / np.trace(b.base))
        return out
    for (i, j), value in zip(b.places, slope, strict=True):
        share = value / np.sqrt(b.base[i, i] * b.base[j, j])
        out[i, j] += share / 2
        out[j, i] += share / 2
    return out
