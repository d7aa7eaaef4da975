"""Recurrent cells as differentiable functions of tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from tests.cell_oracle import cell_forward
from tests.rnn.cells import CELLS
from tests.rnn.networks import data

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from kelman.torch import _recurrence, functional

LENGTHS = [4, 1, 5]


@pytest.fixture(params=["kernels", "loop"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of computing: the autograd function over kernels, and PyTorch's own loop."""
    if request.param == "loop":
        monkeypatch.setattr(_recurrence, "kernels_take", lambda *_: False)
    return str(request.param)


def given(net: Any) -> tuple[Any, list[str], list[Any], dict[str, Any]]:
    """The function of a cell, the names and tensors of its arrays, and its words."""
    arrays = {name: getattr(net, name) for name in (*net.SHAPES, *net.STARTS)}
    arrays = {
        name: torch.tensor(np.array(value), requires_grad=True) for name, value in arrays.items() if value is not None
    }
    words = {name: getattr(net, name) for name in (*net.OPTIONS, "output")}
    return getattr(functional, net.WORD), list(arrays), list(arrays.values()), words


@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_results_equal_the_loop_in_numpy(path: str, kind: str, read: bool) -> None:
    """Outputs, states and last memories, zeros past the lengths, one series without its axis."""
    net = CELLS[kind](1, read=read, start="shared", **({"direct": True, "output": "tanh"} if read else {}))
    x, _ = data(1, 3, 5)
    function, names, tensors, words = given(net)
    weights = dict(zip(names, tensors, strict=True))
    y, h, c = cell_forward(net, x)
    run = function(torch.tensor(x), **weights, **words)
    ragged = function(torch.tensor(x), **weights, **words, lengths=torch.tensor(LENGTHS))
    one = function(torch.tensor(x[1]), **weights, **words)
    for got, expected in ((run.y, y), (run.h, h), (one.h, h[1]), (one.y, y[1])):
        np.testing.assert_allclose(got.detach().numpy(), expected, rtol=0, atol=1e-12)
    for n, end in enumerate(LENGTHS):
        np.testing.assert_allclose(ragged.y[n, :end].detach().numpy(), y[n, :end], rtol=0, atol=1e-12)
        assert not ragged.y[n, end:].any() and not ragged.h[n, end:].any()
        if c is not None:
            np.testing.assert_allclose(ragged.c[n].detach().numpy(), c[n, end - 1], rtol=0, atol=1e-12)
    assert (run.c is None) == (c is None)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # by PyTorch's own forward mode
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("kind", CELLS)
def test_gradcheck_passes(path: str, kind: str, lengths: Any) -> None:
    """torch.autograd.gradcheck by x, every weight and start, through outputs, states and last memories; both modes."""
    net = CELLS[kind](2, direct=True, start=3, output="sigmoid")
    x = torch.tensor(data(2, 3, 5)[0], requires_grad=True)
    function, names, tensors, words = given(net)

    def every(x: Any, *arrays: Any) -> tuple[Any, ...]:
        run = function(x, **dict(zip(names, arrays, strict=True)), **words, lengths=lengths)
        return tuple(part for part in run if part is not None)

    assert torch.autograd.gradcheck(every, (x, *tensors), atol=1e-7, rtol=1e-6)
    assert torch.autograd.gradcheck(
        every, (x, *tensors), atol=1e-7, rtol=1e-6, check_forward_ad=True, check_backward_ad=False
    )
    if net.WORD == "lstm":
        assert torch.autograd.gradcheck(lambda *a: every(*a)[2], (x, *tensors), atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("kind", ["elman", "gru", "lstm"])
def test_gradients_of_part_of_the_results(path: str, kind: str) -> None:
    """Only y, only h, only some inputs with gradients, expanded gradients of a sum, and without any."""
    net = CELLS[kind](3, direct=True)
    x = torch.tensor(data(3, 3, 5)[0])
    function, names, tensors, words = given(net)
    weights = dict(zip(names, tensors, strict=True))
    run = function(x, **weights, **words)
    only_y, only_h = (
        torch.autograd.grad(part.sum(), tensors, retain_graph=True, allow_unused=True, materialize_grads=True)
        for part in (run.y, run.h)
    )
    both = torch.autograd.grad(run.y.sum() + run.h.sum(), tensors)
    for one, two, three in zip(only_y, only_h, both, strict=True):
        np.testing.assert_allclose((one + two).numpy(), three.numpy(), rtol=0, atol=1e-12)
    with torch.no_grad():
        assert not function(x, **weights, **words).y.requires_grad
    plain = {name: tensor.detach() for name, tensor in weights.items()}
    assert not function(x, **plain, **words).y.requires_grad
    x.requires_grad_()
    (g,) = torch.autograd.grad(function(x, **plain, **words).h.sum(), x)
    assert g.shape == x.shape


def test_memory_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors go to the kernels without a copy, also with time on the first axis; results come back without one."""
    seen = []
    real = _recurrence.run_cell

    def run_cell(problem: Any, *rest: Any) -> Any:
        raw = real(problem, *rest)
        seen.append((problem, raw))
        return raw

    monkeypatch.setattr(_recurrence, "run_cell", run_cell)
    time_first = torch.randn(5, 3, 2, dtype=torch.float64)
    U, W = torch.randn(3, 3, dtype=torch.float64), torch.randn(3, 2, dtype=torch.float64)
    run = functional.elman(time_first.transpose(0, 1), U, W)
    problem, raw = seen[0]
    assert np.shares_memory(problem.x, time_first.numpy())
    assert np.shares_memory(problem.weights["U"], U.numpy()) and np.shares_memory(problem.weights["W"], W.numpy())
    assert np.shares_memory(run.h.numpy(), raw["h"])


def test_double_backward_is_refused_by_name() -> None:
    """A graph of the gradient may be built; differentiating it is an error that says what to do."""
    x = torch.randn(2, 4, 1, dtype=torch.float64)
    U = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    W = torch.randn(3, 1, dtype=torch.float64, requires_grad=True)
    h = functional.elman(x, U, W).h
    g_U, g_W = torch.autograd.grad(h.square().sum(), (U, W), create_graph=True)
    assert g_U.requires_grad and np.isfinite(g_U.detach().numpy()).all()
    with pytest.raises(kelman.errors.KelmanError, match="double backward is not supported"):
        torch.autograd.grad(g_U.sum() + g_W.sum(), U)


def test_float32_stays_float32(path: str) -> None:
    """Single precision in and out, forward and backward."""
    x = torch.randn(2, 6, 2)
    U, W = torch.randn(9, 3, requires_grad=True), torch.randn(9, 2, requires_grad=True)
    run = functional.gru(x, U, W)
    run.h.sum().backward()
    assert run.h.dtype == U.grad.dtype == W.grad.dtype == torch.float32


def test_other_devices_and_precisions_are_computed_by_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors elsewhere, or in half precision, never reach the kernels; nor does anything with KELMAN_BACKEND=torch."""
    monkeypatch.setattr(_recurrence._Recurrence, "apply", lambda *_: pytest.fail("the kernels were called"))
    for options in ({"device": "meta"}, {"dtype": torch.bfloat16}):
        x, U, W = (torch.zeros(*shape, **options) for shape in ((2, 4, 1), (12, 3), (12, 1)))
        run = functional.lstm(x, U, W, lengths=[4, 2])
        assert run.h.shape == (2, 4, 3) and run.c.shape == (2, 3)
        assert run.h.device == x.device and run.h.dtype == x.dtype
    monkeypatch.setenv("KELMAN_BACKEND", "torch")
    U = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    h = functional.elman(torch.randn(4, 1, dtype=torch.float64), U, torch.ones(3, 1, dtype=torch.float64)).h
    (g,) = torch.autograd.grad(h.square().sum(), U, create_graph=True)
    assert torch.isfinite(torch.autograd.grad(g.sum(), U)[0]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(2)}, r"x: expected a tensor of shape \(N, T, i\) or \(T, i\), got \(2,\)"),
        ({"x": np.zeros((2, 2))}, "x: expected a tensor .* got ndarray"),
        ({"x": torch.zeros(4, 3)}, r"x: expected 2 columns on the last axis, got shape \(1, 4, 3\)"),
        ({"U": None}, "U: a network needs this weight matrix"),
        ({"U": np.zeros((9, 3))}, "U: expected a tensor, got a ndarray"),
        ({"W": torch.zeros(8, 2)}, r"W: expected shape \(9, 2\)"),
        ({"c": torch.zeros(1)}, "c: without V"),
        ({"h0": torch.zeros(5, 3)}, "h0: holds starts for 5 series, but x has 1"),
        ({"lengths": [9]}, "lengths: expected 1 whole numbers from 1 to 4"),
        ({"output": "sin"}, "output: expected one of"),
        ({"reset": "before", "d": torch.zeros(3)}, "d: with reset="),
    ],
)
def test_wrong_tensors_are_refused(change: dict[str, Any], message: str) -> None:
    """The message names the argument and what was expected."""
    arguments = {"x": torch.zeros(4, 2), "U": torch.zeros(9, 3), "W": torch.zeros(9, 2)} | change
    with pytest.raises(kelman.errors.KelmanError, match=message):
        functional.gru(**arguments)
