"""Ill-conditioned models against 60-digit arithmetic: the error grows no faster than the condition number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import kelman
from tests.oracles import Dense, Numbers

BACKENDS = ["core", pytest.param("torch", marks=pytest.mark.torch)]
EPS = float(np.finfo(float).eps)


def chain(n: int, T: int, r: float) -> tuple[kelman.StateSpace, np.ndarray]:
    """n integrators in a row, only the last one measured, with little noise: the classical hard case."""
    A = np.eye(n) + np.eye(n, k=1)
    model = kelman.StateSpace(A, np.eye(1, n), np.diag([*[0.0] * (n - 1), 1.0]), [[r]], m1=np.zeros(n), P1=np.eye(n))
    return model, np.cumsum(np.random.default_rng(n).normal(size=(T, 1)), axis=0)


def twins(gap: float) -> tuple[kelman.StateSpace, np.ndarray]:
    """Two sensors that measure almost the same combination of three states."""
    rng = np.random.default_rng(5)
    h = rng.normal(size=3)
    H = np.stack([h, h + gap * rng.normal(size=3)])
    A = 0.9 * np.linalg.qr(rng.normal(size=(3, 3)))[0]
    model = kelman.StateSpace(A, H, np.eye(3), gap**2 * np.eye(2), m1=np.zeros(3), P1=np.eye(3))
    return model, rng.normal(size=(6, 1)) @ np.ones((1, 2))


def large_start(kappa: float) -> tuple[kelman.StateSpace, np.ndarray]:
    """A local linear trend with a huge, not exactly diffuse, start."""
    model = kelman.StateSpace([[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0]], np.diag([0.1, 0.01]), [[1.0]],
                              m1=np.zeros(2), P1=kappa * np.eye(2))  # fmt: skip
    return model, np.random.default_rng(2).normal(size=(10, 1))


def weak_diffuse(size: float) -> tuple[kelman.StateSpace, np.ndarray]:
    """An exactly diffuse state that is barely seen."""
    A = [[0.9, 0.0], [0.0, 1.0]]
    model = kelman.StateSpace(A, [[1.0, size]], np.diag([1.0, 0.0]), [[1.0]], m1=np.zeros(2), P1=np.diag([1.0, 0.0]),
                              P1_inf=np.diag([0.0, 1.0]))  # fmt: skip
    return model, np.random.default_rng(4).normal(size=(9, 1))


def problems() -> Iterator[Any]:
    """Every hard case at several degrees."""
    for n in (2, 4, 6, 8):
        for r in (1.0, 1e-4, 1e-8):
            yield pytest.param(*chain(n, 10, r), id=f"chain of {n}, r={r:g}")
    for gap in (1e-2, 1e-4, 1e-6):
        yield pytest.param(*twins(gap), id=f"twins {gap:g}")
    for kappa in (1e4, 1e8, 1e12):
        yield pytest.param(*large_start(kappa), id=f"large start {kappa:g}")
    for size in (1e-2, 1e-4, 1e-6):
        yield pytest.param(*weak_diffuse(size), id=f"weak diffuse {size:g}")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("model", "z"), list(problems()))
def test_errors_grow_no_faster_than_the_condition_number(model: kelman.StateSpace, z: np.ndarray, backend: str) -> None:
    """Filter, likelihood and smoother stay within 30 eps times the condition number of the dense problem."""
    exact = Dense(model, z, numbers=Numbers("mpmath"), support=1e-40)
    bound = 30 * EPS * max(exact.condition(), 1e2)
    r = kelman.filter(model, z, store="all", backend=backend)
    s = kelman.smooth(model, z, lag=1, backend=backend)
    mean, cov = exact.filtered()
    smoothed = exact.smoothed()
    pairs = {"mean": (r.mean, mean), "cov": (r.cov, cov), "loglik": (r.loglik, exact.loglik())}
    pairs |= {"smoothed mean": (s.mean, smoothed[0]), "smoothed cov": (s.cov, smoothed[1])}
    pairs["lag-one"] = (s.lag_one_cov[1:], smoothed[2][1:])
    variance = np.abs(exact.predicted()[1]).max()
    for name, (got, expected) in pairs.items():
        unit = variance if name in ("cov", "smoothed cov", "lag-one") else variance**0.5 if "mean" in name else 1.0
        error = np.abs(np.asarray(got) - expected).max() / max(np.abs(expected).max(), unit)
        assert error <= bound, f"{name}: {error:.2g} > {bound:.2g} = 30 eps cond"
