"""Gradients of the log-likelihood: the compiled adjoint equals autograd through the PyTorch filter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from tests.linear.gradient_cases import STARTS, build, remade, same
from tests.strategies import build as random_case, random_kind

pytestmark = pytest.mark.torch

KINDS: dict[str, dict[str, Any]] = {
    "plain": {"T": 25},
    "everything": {"p": 2, "S": True, "offsets": True, "T": 20, "N": 3},
    "varies in time": {"p": 1, "S": True, "offsets": True, "time": "H Q R S D c b B", "T": 12, "N": 2},
    "varies by series": {"p": 1, "offsets": True, "series": "A H Q R B D b c m", "T": 12, "N": 4},
    "regular": {"p": 1, "offsets": True, "diagonal": True, "T": 40, "N": 9, "gaps": 0.5},
    "regular, in time": {"p": 1, "offsets": True, "diagonal": True, "T": 24, "N": 5, "time": "H Q R B D b c"},
    "regular, by series": {"diagonal": True, "offsets": True, "T": 24, "N": 9, "series": "A H Q b m"},
    "wide": {"n": 17, "m": 5, "T": 6},
    "large": {"n": 10, "m": 4, "T": 12},
    "singular R": {"n": 4, "m": 2, "rank_R": 1, "rank_Q": 2, "T": 20},
}


def both(*arguments: Any, **options: Any) -> tuple[Any, Any]:
    """Gradients by the core and by torch, after the log-likelihoods were compared."""
    (a, core), (b, torch) = (kelman.loglik_and_grad(*arguments, **options, backend=name) for name in ("core", "torch"))
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)
    return core, torch


@pytest.mark.parametrize("per_series", [False, True])
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_equals_autograd(kind: str, start: str, per_series: bool) -> None:
    """Every array of well-scaled models within 1e-8 of its largest entry."""
    core, torch = both(*build(start, **KINDS[kind]), per_series=per_series)
    same(core, torch, 1e-8)


@pytest.mark.parametrize("seed", range(60))
def test_models_of_every_kind_equal_autograd(seed: int) -> None:
    """Random structures, R of full rank (without noise a derivative may be as large as 1 / rounding)."""
    kind = random_kind(seed)
    case = random_case(kind | {"rank_R": kind["m"]})
    core, torch = both(case.model(), case.z, case.u_past)
    same(core, torch, 1e-8)


@pytest.mark.parametrize("lag", [0, 1])
def test_series_that_are_diffuse_for_different_times(lag: int) -> None:
    """Leading gaps and ragged ends: each series leaves the diffuse phase when its own measurements allow it, or never."""
    model, z, u = build("diffuse", p=1, N=12, T=64, offsets=True, diagonal=True, time="Q H", lag=lag)
    turn = 0.99 * np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]  # no direction fades while it is hidden
    model = remade(model, A=np.broadcast_to(turn, (64, 3, 3)))
    for i, hidden in enumerate((0, 0, 3, 5, 9, 14, 20, 31, 33, 63, 64, 2)):
        z[i, :hidden] = np.nan
    ends = (64, 7, 8, 30, 64, 64, 64, 64, 64, 64, 64, 40)
    for i, end in enumerate(ends):
        z[i, end:] = np.nan
    for per_series in (False, True):
        same(*both(model, z, u, per_series=per_series), 1e-8)
    steady = remade(model, A=turn, H=model.H[0], Q=model.Q[0])
    _, z, u = build("diffuse", p=1, N=12, T=64, offsets=True, diagonal=True, lag=lag)
    z, u = [one[:end] for one, end in zip(z, ends, strict=True)], [one[:end] for one, end in zip(u, ends, strict=True)]
    for per_series in (False, True):
        same(*both(steady, z, u, per_series=per_series), 1e-8)


def test_going_on_and_failures() -> None:
    """`start=`, and NaN for what fails."""
    model, z, u = build("diffuse", p=1, N=2, T=10)
    first = kelman.filter(model, z[:, :2], u[:, :2])
    same(*both(model, z[:, 2:], u[:, 2:], start=first.state), 1e-8)
    model = kelman.StateSpace([[1.5]], [[1.0]], [[1.0]], [[1.0]], m1=[0.0], P1=[[9.0]])
    z = np.full((2, 4, 1), np.nan)
    z[:, 0] = 1.0
    z[0, 0] = 1.7e308
    for name in ("core", "torch"):
        _, g = kelman.loglik_and_grad(model, z, per_series=True, on_error="nan", backend=name)
        assert np.isnan(g.A[0]).all()
        assert np.isfinite(g.A[1]).all()


def test_float32_stays_float32() -> None:
    """Single precision goes in and comes out."""
    model, z, _ = build("x1")
    loglik, g = kelman.loglik_and_grad(model.astype(np.float32), z[0].astype(np.float32), backend="torch")
    assert loglik.dtype == np.float32
    assert all(array.dtype == np.float32 for _, array in g.items())


@pytest.mark.parametrize(("dt", "allowed"), [(1.0, 1e-10), (1e-2, 1e-8), (1e-3, 1e-5)])
def test_what_a_diffuse_direction_that_is_hardly_seen_costs(dt: float, allowed: float) -> None:
    """The bounds that the docstring states: acceleration reaches a position through dt²."""
    A = np.array([[1.0, dt, dt * dt / 2], [0.0, 1.0, dt], [0.0, 0.0, 1.0]])
    g = np.array([dt**3 / 6, dt**2 / 2, dt])
    model = kelman.StateSpace(
        A, [[1.0, 0.0, 0.0]], np.outer(g, g) / dt + 1e-12 * np.diag([dt**4, dt**2, 1.0]), [[0.01 * dt**2]],
        initial="diffuse",
    )  # fmt: skip
    steps = np.random.default_rng(0).normal(size=(1, 40, 1))
    core, torch = both(model, dt * dt * steps.cumsum(1).cumsum(1))
    for name in "AHQR":
        close = np.abs(core[name] - torch[name]).max() / np.abs(torch[name]).max()
        assert close < (allowed if name in "AH" else 1e-10), (name, close)
