"""The PyTorch backend: the same answers as the compiled core, from another formulation, and gradients by autograd."""

from __future__ import annotations

import dataclasses
from itertools import product
from typing import Any, get_args

import numpy as np
import pytest

import kelman
from kelman.models._activation import Activation
from tests.linear.oracle_checks import close
from tests.strategies import build, random_kind

pytestmark = pytest.mark.torch

ACTIVATIONS = get_args(Activation)


def _both(verb: Any, *arguments: Any, **options: Any) -> tuple[Any, Any]:
    return verb(*arguments, **options, backend="core"), verb(*arguments, **options, backend="torch")


@pytest.mark.parametrize("store", ["loglik", "last", "means", "filtered", "all"])
def test_filter_keeps_what_the_store_says_and_equals_the_core(store: str) -> None:
    """Ragged series with gaps and inputs, every store: the same names, shapes and numbers as the core's."""
    fixed = dict.fromkeys(("A", "H", "noise", "input", "offset"), "series")
    case = build(random_kind(3, n=3, m=2, p=1, T=9, N=3, start="auto", gaps="mixed", rank_Q=3, rank_R=2, **fixed))
    model = case.model()
    z = [series[: 9 - 2 * i] for i, series in enumerate(case.z)]
    u = [series[: 9 - 2 * i] for i, series in enumerate(case.u_past)]
    core, torch = _both(kelman.filter, model, z, u, store=store)
    assert set(core._arrays) == set(torch._arrays)
    for name, value in core._arrays.items():
        if value.dtype.kind == "f":
            close(name, torch._arrays[name], value, 1.0, 1e-10)
    go_on = _both(kelman.filter, model, case.z, case.u_past, store="all", start=None)
    for name, value in go_on[0]._arrays.items():
        if value.dtype.kind == "f":
            close(name, go_on[1]._arrays[name], value, 1.0, 1e-10)


@pytest.mark.parametrize("seed", range(6))
def test_two_parts_and_stepper_equal_one_pass(seed: int) -> None:
    """Going on from a state, the torch one or the core's, and stepping, give what one pass gives."""
    case = build(random_kind(seed, T=8, A="constant", H="constant", noise="constant", input="constant",
                             offset="constant", gaps="component", rank_R=1, m=1))  # fmt: skip
    model = case.model()
    u = case.u_past
    whole = kelman.filter(model, case.z, u, store="all", backend="torch")
    head = None if u is None else u[:, :3]
    tail = None if u is None else u[:, 3:]
    for first in ("torch", "core"):
        begun = kelman.filter(model, case.z[:, :3], head, backend=first)
        rest = kelman.filter(model, case.z[:, 3:], tail, store="all", start=begun.state, backend="torch")
        for name in ("mean", "cov", "predicted_mean", "predicted_cov", "loglik_obs"):
            close(name, getattr(rest, name), getattr(whole, name)[:, 3:], 1.0, 1e-10)
    step = kelman.Stepper(model, len(case.z), backend="torch")
    for k in range(8):
        mean = step(case.z[:, k], None if u is None else u[:, k])
        close("mean", mean, whole.mean[:, k], 1.0, 1e-12)
        close("cov", step.cov, whole.cov[:, k], 1.0, 1e-12)


def test_trouble_is_reported_like_the_core_does() -> None:
    """An impossible observation warns and gives -inf; the other series are untouched."""
    model = kelman.StateSpace([[1.0]], [[1.0]], [[0.0]], [[0.0]], m1=[1.0], P1=[[0.0]])
    z = np.array([[1.0, 1.0, 1.0], [1.0, 2.0, 1.0]])[..., None]
    for backend in ("core", "torch"):
        with pytest.warns(kelman.errors.ImpossibleObservationWarning):
            r = kelman.filter(model, z, backend=backend)
        assert r.loglik.tolist() == [0.0, -np.inf]
        np.testing.assert_array_equal(r.mean, np.ones((2, 3, 1)))


def test_autograd_goes_through_the_filter() -> None:
    """Derivatives of the log-likelihood by autograd equal central differences, diffuse start, gaps and S included."""
    import torch

    from kelman.linear._problem import pose
    from kelman.torch import reference

    kind = random_kind(5, n=2, m=2, p=1, T=8, N=2, start="x1_partly_diffuse", gaps="component", S=True, offsets=True)
    case = build(kind | {"rank_Q": 2, "rank_R": 2, "lag": 0, "D": True})
    problem = pose(case.model(), case.z, case.u_past).problem
    rng = np.random.default_rng(0)
    for name in ("A", "H", "Q", "R", "S", "B", "D", "b", "c", "mean", "cov"):
        value = np.array(getattr(problem, name))
        move = rng.normal(size=value.shape)
        if name in ("Q", "R", "cov"):
            move = move + move.swapaxes(-1, -2)
        leaf = torch.tensor(value, requires_grad=True)
        total = reference.loglik(dataclasses.replace(problem, **{name: leaf})).sum()
        (gradient,) = torch.autograd.grad(total, leaf)

        def at(step: float, name: str = name, value: Any = value, move: Any = move) -> float:
            changed = dataclasses.replace(problem, **{name: value + step * move})
            return float(reference.loglik(changed).sum())

        numeric = (at(1e-6) - at(-1e-6)) / 2e-6
        assert float((gradient.numpy() * move).sum()) == pytest.approx(numeric, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("hidden", "output"), list(product(ACTIVATIONS, ACTIVATIONS)))
def test_networks_equal_the_core(hidden: Any, output: Any) -> None:
    """Outputs, states, gradients and normal equations of both backends, with masks, lengths, warm-up and D."""
    rng = np.random.default_rng(7)
    shapes = {"U": (3, 3), "W": (3, 2), "b": (3,), "V": (2, 3), "c": (2,), "h0": (3,), "D": (2, 2)}
    w = {name: 0.5 * rng.normal(size=shape) for name, shape in shapes.items()}
    net = kelman.Elman(w["U"], w["W"], w["b"], w["V"], w["c"], hidden, output, w["h0"], D=w["D"])
    x, y = rng.normal(size=(4, 7, 2)), rng.normal(size=(4, 7, 2))
    y[1, 3, 0] = np.nan
    options = {"mask": rng.random((4, 7)), "lengths": np.array([7, 5, 6, 7]), "warmup": 1}
    core, torch = _both(kelman.forward, net, x, lengths=options["lengths"])
    close("y", torch.y, core.y, 0.0, 1e-13)
    close("h", torch.h, core.h, 0.0, 1e-13)
    (loss, gradient), (other_loss, other) = _both(kelman.loss_and_grad, net, x, y, **options)
    assert other_loss == pytest.approx(loss, rel=1e-13)
    for name in shapes:
        close(name, getattr(other, name), getattr(gradient, name), 1e-3, 1e-12)
    core, torch = _both(kelman.rnn.gauss_newton, net, x, y, learn_h0=True, **options)
    close("JtJ", torch.JtJ, core.JtJ, 0.0, 1e-12)
    close("Jtr", torch.Jtr, core.Jtr, 0.0, 1e-12)


def test_float32_stays_float32() -> None:
    """Single precision goes in and comes out of every verb."""
    model = kelman.StateSpace([[0.9]], [[1.0]], [[1.0]], [[1.0]]).astype(np.float32)
    z = np.arange(5, dtype=np.float32)
    assert kelman.filter(model, z, backend="torch").mean.dtype == np.float32
    assert kelman.smooth(model, z, backend="torch").cov.dtype == np.float32
    net = kelman.Elman([[0.5]], [[1.0]], None, [[1.0]], None).astype(np.float32)
    assert kelman.forward(net, z, backend="torch").y.dtype == np.float32
