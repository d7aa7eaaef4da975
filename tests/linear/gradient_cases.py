"""Well-scaled models of every kind for the tests of the gradient, and the derivative by differences.

Entries are moved one by one (of a symmetric matrix a pair together), by four steps that Richardson's extrapolation
combines: for a function of entries of size one the result is good to about 1e-10.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import kelman

SYMMETRIC = ("Q", "R", "P0", "P1")
NAMES = ("A", "H", "Q", "R", "B", "D", "b", "c", "S", "m0", "P0", "m1", "P1")
STARTS = ("x0", "x1", "x1_inf", "x1_inf_alone", "stationary", "auto", "diffuse")


def covariance(rng: np.random.Generator, n: int, rank: int | None = None) -> np.ndarray:
    """A well-conditioned covariance, or one of the given rank."""
    if rank is not None:
        factor = rng.normal(size=(n, rank))
        return factor @ factor.T
    factor = rng.normal(size=(n, n)) / np.sqrt(n)
    return np.eye(n) + 0.5 * factor @ factor.T


def transition(rng: np.random.Generator, n: int, start: str) -> np.ndarray:
    """A stable matrix; for "auto" one with a mode that grows, for n > 2 two that turn as they grow."""
    A = rng.normal(size=(n, n))
    A *= 0.7 / np.abs(np.linalg.eigvals(A)).max()
    if start != "auto":
        return A
    grows = [[1.1]] if n < 3 else [[0.9, -0.7], [0.7, 0.9]]
    k = len(grows)
    blocks = np.zeros((n, n))
    blocks[:k, :k] = grows
    blocks[k:, k:] = A[k:, k:] * 0.6
    basis = np.eye(n) + 0.3 * rng.normal(size=(n, n))
    return basis @ blocks @ np.linalg.inv(basis)


def build(
    start: str = "x0", n: int = 3, m: int = 2, p: int = 0, T: int = 9, N: int = 1, *, seed: int = 0,
    S: bool = False, offsets: bool = False, time: str = "", series: str = "", gaps: float = 0.2, lag: int = 0,
    diagonal: bool = False, rank_Q: int | None = None, rank_R: int | None = None,
) -> tuple[kelman.StateSpace, np.ndarray, np.ndarray | None]:  # fmt: skip
    """A model and data (N, T, m), (N, T, p); `time` and `series` hold the names of the arrays that vary."""
    rng = np.random.default_rng([seed, n, m, p, T, N])

    def varied(name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        if name in series.split():
            steps = T if name in time.split() else 1
            return np.stack([np.stack([make() for _ in range(steps)]) for _ in range(N)])
        return np.stack([make() for _ in range(T)]) if name in time.split() else make()

    noise = covariance(rng, n)
    a: dict[str, Any] = {
        "A": varied("A", lambda: transition(rng, n, start)),
        "H": varied("H", lambda: rng.normal(size=(m, n))),
        "Q": varied("Q", lambda: covariance(rng, n, rank_Q)),
        "R": varied("R", lambda: np.diag(rng.uniform(0.5, 1.5, m)) if diagonal else covariance(rng, m, rank_R)),
    }
    if p:
        a |= {"B": varied("B", lambda: rng.normal(size=(n, p))), "D": varied("D", lambda: rng.normal(size=(m, p)))}
    if offsets:
        a |= {"b": varied("b", lambda: rng.normal(size=n)), "c": varied("c", lambda: rng.normal(size=m))}
    if S:
        a["S"] = varied("S", lambda: 0.3 * rng.normal(size=(n, m)) / np.sqrt(n * m))
    mean, wide = rng.normal(size=(N, n)) if "m" in series.split() else rng.normal(size=n), noise
    V = np.linalg.qr(rng.normal(size=(n, n)))[0][:, : max(1, n // 2)]
    a |= {
        "x0": {"m0": mean, "P0": wide},
        "x1": {"m1": mean, "P1": wide},
        "x1_inf": {"m1": mean, "P1": wide, "P1_inf": V @ V.T},
        "x1_inf_alone": {"P1_inf": V @ V.T},
    }.get(start, {"initial": start})
    z = 1.5 * rng.normal(size=(N, T, m))
    z[rng.random(z.shape) < gaps] = np.nan
    return kelman.StateSpace(**a, input_lag=lag), z, rng.normal(size=(N, T, p)) if p else None


def remade(model: kelman.StateSpace, **changes: Any) -> kelman.StateSpace:
    """The model with other arrays."""
    names = ("A", "H", "Q", "R", "B", "D", "b", "c", "S", "m0", "P0", "m1", "P1", "P1_inf")
    arrays = {name: getattr(model, name) for name in names} | changes
    arrays = {name: array for name, array in arrays.items() if array is not None}
    initial = {"initial": model.initial} if model.initial in ("stationary", "auto", "diffuse") else {}
    return kelman.StateSpace(**arrays, **initial, input_lag=model.input_lag)


def directions(name: str, shape: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """The entries of an array, with the matrix that moves each (and its mirror image)."""
    for index in np.ndindex(*shape):
        if name in SYMMETRIC and index[-1] > index[-2]:
            continue
        move = np.zeros(shape)
        move[index] = 1.0
        if name in SYMMETRIC:
            move[(*index[:-2], index[-1], index[-2])] = 1.0
        yield index, move


def difference(function: Callable[[float], Any], h: float = 0.02) -> Any:
    """The derivative at 0 by central differences of h, h/2, h/4, h/8 and Richardson's extrapolation."""
    row = [(function(h / 2**i) - function(-h / 2**i)) / (2 * h / 2**i) for i in range(4)]
    for order in range(1, 4):
        row = [(4**order * fine - coarse) / (4**order - 1) for coarse, fine in itertools.pairwise(row)]
    return row[0]


def check(model: kelman.StateSpace, z: Any, u: Any, names: tuple[str, ...] = NAMES, **options: Any) -> None:
    """Every entry of every array of the gradient (summed over series) is the derivative by differences."""
    loglik, gradient = kelman.loglik_and_grad(model, z, u, **options)
    np.testing.assert_allclose(loglik, kelman.loglik(model, z, u, **options), rtol=1e-12, atol=1e-12)
    for name in names:
        array, found = getattr(model, name), getattr(gradient, name)
        assert (array is None) == (found is None), name
        if array is None:
            continue
        assert found.shape == array.shape, name
        assert found.dtype == np.float64
        scale = max(1.0, float(np.abs(found).max(initial=0)))
        for index, move in directions(name, array.shape):

            def at(step: float, name: str = name, array: Any = array, move: Any = move) -> Any:
                changed = remade(model, **{name: array + step * move})
                return np.sum(kelman.loglik(changed, z, u, **options))

            got = float((found * move).sum())
            expected = difference(at)
            if abs(got - expected) > 1e-8 * scale:  # where the function bends, shorter steps
                expected = difference(at, 0.002)
            assert abs(got - expected) <= 1e-8 * scale, (
                f"{name}{index}: {got} by the gradient, {expected} by differences"
            )


def same(a: kelman.linear.Gradient, b: kelman.linear.Gradient, tolerance: float = 0.0) -> None:
    """Two gradients have the same arrays, to the bit or relative to the largest entry of each."""
    assert a.keys() == b.keys()
    for name, array in a.items():
        if tolerance == 0.0:
            np.testing.assert_array_equal(array, b[name], err_msg=name)
        else:
            scale = max(1.0, float(np.abs(b[name]).max(initial=0)))
            np.testing.assert_allclose(array, b[name], rtol=0, atol=tolerance * scale, err_msg=name)
