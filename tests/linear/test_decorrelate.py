"""Derivatives of models with correlated noises, by the model without: the same as by the careful way and by differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman.linear import _native
from kelman.linear._decorrelate import decorrelated
from kelman.linear._problem import pose
from tests.linear.gradient_cases import build, check, remade

KINDS: dict[str, dict[str, Any]] = {
    "alone": {},
    "offsets": {"offsets": True},
    "inputs": {"p": 2, "offsets": True},
    "inputs, lagged": {"p": 2, "lag": 1, "offsets": True},
    "many series": {"N": 20, "T": 12, "p": 1, "offsets": True},
    "a model each": {"N": 3, "p": 1, "offsets": True, "series": "A H Q R B D b c S"},
    "some matrices each": {"N": 3, "p": 1, "lag": 1, "offsets": True, "series": "R c D"},
}
STARTS = ("x1", "x1_inf", "stationary", "diffuse")


def applies(model: kelman.StateSpace, z: Any, u: Any = None) -> bool:
    """Whether the derivatives go by the model without S."""
    return decorrelated(pose(model, z, u).problem) is not None


def carefully(monkeypatch: pytest.MonkeyPatch, model: kelman.StateSpace, z: Any, u: Any, **options: Any) -> Any:
    """The likelihood and gradient as they are without this module."""
    with monkeypatch.context() as patch:
        patch.setattr(_native, "decorrelated", lambda _: None)
        return kelman.loglik_and_grad(model, z, u, **options)


def same(found: Any, expected: Any, tolerance: float = 1e-10, *, loglik: float = 1e-11) -> None:
    """Likelihoods and all derivatives agree, relative to the largest entry of each."""
    np.testing.assert_allclose(found[0], expected[0], rtol=loglik)
    for name, array in expected[1].items():
        largest = max(1.0, float(np.abs(array).max(initial=0)))
        np.testing.assert_allclose(found[1][name], array, rtol=0, atol=tolerance * largest, err_msg=name)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_careful_way(kind: str, start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every derivative, for every kind of model and start."""
    model, z, u = build(start, S=True, gaps=0.0, **KINDS[kind])
    assert applies(model, z, u)
    for per_series in (False, True):
        found = kelman.loglik_and_grad(model, z, u, per_series=per_series)
        same(found, carefully(monkeypatch, model, z, u, per_series=per_series))


@pytest.mark.parametrize("kind", ["alone", "inputs", "inputs, lagged"])
def test_is_the_derivative(kind: str) -> None:
    """Against differences of the likelihood."""
    model, z, u = build("stationary", S=True, gaps=0.0, T=6, **KINDS[kind])
    check(model, z, u)


@pytest.mark.parametrize("only", ["B", "D"])
def test_inputs_of_one_kind(only: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs that reach the state alone, or the measurement alone; both conventions of time."""
    for lag in (0, 1):
        model, z, u = build("x1", S=True, gaps=0.0, p=2, N=2, lag=lag, offsets=True)
        arrays = {name: getattr(model, name) for name in ("A", "H", "Q", "R", "S", "b", "c", "m1", "P1")}
        model = kelman.StateSpace(**arrays, **{only: getattr(model, only)}, input_lag=lag)
        assert applies(model, z, u)
        same(kelman.loglik_and_grad(model, z, u), carefully(monkeypatch, model, z, u))


def test_series_of_different_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies past the end of a series is neither a gap nor an input."""
    model, z, u = build("stationary", S=True, gaps=0.0, N=4, T=12, p=1, offsets=True)
    lengths = [12, 5, 2, 9]
    ragged, driven = ([each[:n] for each, n in zip(array, lengths, strict=True)] for array in (z, u))
    assert applies(model, ragged, driven)
    same(kelman.loglik_and_grad(model, ragged, driven), carefully(monkeypatch, model, ragged, driven))


def test_single_precision_and_the_innovation_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """Q - K R K' = 0: nothing but rounding is left of the noise. In single precision the answer is that of double, rounded."""
    model, z, _ = build("stationary", S=True, gaps=0.0, N=10, T=300)
    K = np.random.default_rng(1).normal(size=(3, 2)) * 0.3
    model = remade(model, Q=K @ model.R @ K.T, S=K @ model.R)
    same(kelman.loglik_and_grad(model, z), carefully(monkeypatch, model, z, None), 1e-9)
    single = kelman.loglik_and_grad(model.astype("float32"), z.astype(np.float32))
    double = kelman.loglik_and_grad(model.astype("float32").astype("float64"), z.astype(np.float32).astype(float))
    assert single[1].S.dtype == np.float32
    same(single, double, 1e-6, loglik=1e-6)


def test_where_it_does_not_apply() -> None:
    """A gap, a matrix that varies in time, a start before the first transition, an R that is nearly singular, one step."""
    model, z, _ = build("x1", S=True, gaps=0.0, N=2)
    assert applies(model, z)
    gap = z.copy()
    gap[1, 3, 0] = np.nan
    assert not applies(model, gap)
    assert not applies(model, z[:, :1])
    assert not applies(remade(model, R=np.diag([1.0, 1e-8]), S=np.zeros((3, 2))), z)
    assert not applies(build("x1", S=True, gaps=0.0, time="H")[0], z[:1])
    assert not applies(build("x0", S=True, gaps=0.0)[0], z)
    assert not applies(build("x1", gaps=0.0)[0], z)
