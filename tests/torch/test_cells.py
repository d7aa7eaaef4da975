"""The cells of both backends, by their raw protocol: a plain loop in NumPy, torch.nn, complex steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman import _registry
from kelman.rnn._compute import run_cell
from kelman.rnn._problem import forward_problem, loss_problem
from tests.cell_oracle import by_complex_step, cell_forward, cell_gradient, weights_of
from tests.rnn.cells import CELLS, elman, gru, lstm
from tests.rnn.networks import data

pytestmark = pytest.mark.torch
LENGTHS = [5, 1, 7]


@pytest.fixture(scope="module", params=["torch", "core"])
def backend(request: pytest.FixtureRequest) -> Any:
    """The reference backend, and the compiled core by the same protocol."""
    return _registry.backend("rnn", request.param)


@pytest.mark.parametrize("start", [None, "shared", 3])
@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_forward_equals_the_loop_in_numpy(backend: Any, kind: str, read: bool, start: Any) -> None:
    """Outputs, states and memories of every cell, with and without a readout, NaN past the lengths."""
    net = CELLS[kind](1, read=read, start=start, **({"direct": True, "output": "sigmoid"} if read else {}))
    x, _ = data(1, 3, 7)
    raw = run_cell(forward_problem(net, x, None)[0], backend, 1)
    for name, expected in zip("yhc", cell_forward(net, x), strict=True):
        if expected is not None:
            np.testing.assert_allclose(raw[name], expected, rtol=1e-13, atol=1e-14)
    ragged = run_cell(forward_problem(net, x, LENGTHS)[0], backend, 1)
    for n, end in enumerate(LENGTHS):
        np.testing.assert_array_equal(ragged["h"][n, :end], raw["h"][n, :end])
        assert np.isnan(ragged["h"][n, end:]).all() and np.isnan(ragged["y"][n, end:]).all()
    assert (raw["status"] == 0).all() and (raw["failed_at"] == -1).all()


@pytest.mark.parametrize("kind", ["elman", "gru", "lstm"])
def test_forward_equals_torch_nn(backend: Any, kind: str) -> None:
    """States (and memories) equal those of torch.nn.RNN, GRU and LSTM with the same weights to 1e-12."""
    import torch

    net = {"elman": elman, "gru": gru, "lstm": lstm}[kind](2, i=3, h=5, read=False, start="shared")
    x, _ = data(2, 4, 30, 3)
    kinds = {"elman": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
    module = kinds[kind](3, 5, batch_first=True, dtype=torch.float64)
    hidden_bias = np.zeros(len(net.b))
    if kind == "gru":
        hidden_bias[-5:] = net.d
    with torch.no_grad():
        for name, value in (("weight_hh", net.U), ("weight_ih", net.W), ("bias_ih", net.b), ("bias_hh", hidden_bias)):
            getattr(module, f"{name}_l0")[:] = torch.tensor(np.array(value))
        h0 = torch.tensor(np.array(net.h0)).expand(1, 4, 5).contiguous()
        start = (h0, torch.tensor(np.array(net.c0)).expand(1, 4, 5).contiguous()) if kind == "lstm" else h0
        h, last = module(torch.tensor(x), start)
    raw = run_cell(forward_problem(net, x, None)[0], backend, 1)
    np.testing.assert_allclose(raw["h"], h.numpy(), rtol=0, atol=1e-12)
    if kind == "lstm":
        np.testing.assert_allclose(raw["c"][:, -1], last[1][0].numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_gradients_equal_complex_steps(backend: Any, kind: str, read: bool) -> None:
    """The gradient of the loss by every weight and start, masks, gaps, lengths and warm-up included: 1e-12 of the largest."""
    net = CELLS[kind](3, read=read, start="shared", **({"direct": True, "output": "softplus"} if read else {}))
    x, y = data(3, 3, 7, 2, net.dims.outputs)
    rng = np.random.default_rng(3)
    y[rng.random(y.shape) < 0.2] = np.nan
    mask = rng.random((3, 7, 1))
    problem, _ = loss_problem(net, x, y, mask=mask, lengths=LENGTHS, warmup=1)
    loss, total, gradients = backend.loss_and_grad_raw(problem, 1)
    inside = np.arange(7)[None, :, None] < np.array(LENGTHS)[:, None, None]
    weight = mask * ~np.isnan(y) * inside
    weight[:, :1] = 0
    expected = cell_gradient(net, x, y, weight)
    largest = max(np.abs(value).max() for value in expected.values())
    assert total == pytest.approx(weight.sum())
    assert set(gradients) == set(expected)
    for name, value in expected.items():
        found = gradients[name].sum(axis=0) if name in net.STARTS else gradients[name]
        np.testing.assert_allclose(found, value, rtol=0, atol=1e-12 * largest)
    error = np.where(weight > 0, cell_forward(net, x)[0] - np.nan_to_num(y), 0)
    assert loss == pytest.approx((weight * error**2).sum() / weight.sum(), rel=1e-12)


@pytest.mark.parametrize("kind", CELLS)
def test_vector_jacobian_products_equal_complex_steps(backend: Any, kind: str) -> None:
    """d [sum g_y y + sum g_h h (+ sum g_c c_last)] by weights, starts and inputs; what lies past the lengths is not read."""
    net = CELLS[kind](4, direct=True, start=3)
    x, _ = data(4, 3, 7)
    rng = np.random.default_rng(4)
    g_y, g_h, g_c = rng.normal(size=(3, 7, 2)), rng.normal(size=(3, 7, 3)), rng.normal(size=(3, 3))
    for n, end in enumerate(LENGTHS):
        g_y[n, end:] = g_h[n, end:] = np.nan
    problem, _ = forward_problem(net, x, LENGTHS)
    found = backend.vjp_raw(problem, g_y, g_h, 1, **({"g_c": g_c} if net.WORD == "lstm" else {}))

    def total(**changes: Any) -> Any:
        moved = changes.pop("x", x)
        y, h, c = cell_forward(net, moved, **changes)
        sums = 0
        for n, end in enumerate(LENGTHS):
            sums = sums + (g_y[n, :end] * y[n, :end]).sum() + (g_h[n, :end] * h[n, :end]).sum()
            if c is not None:
                sums = sums + (g_c[n] * c[n, end - 1]).sum()
        return sums

    point = {name: value for name, value in weights_of(net).items() if value is not None} | {"x": x}
    assert set(found) == set(point)
    for name, value in point.items():
        expected = by_complex_step(lambda moved, n=name: total(**{n: moved}), value)
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    alone = backend.vjp_raw(problem, None, g_h, 1)
    other = backend.vjp_raw(problem, g_y, None, 1)
    both = backend.vjp_raw(problem, g_y, g_h, 1)
    for name in found:
        np.testing.assert_allclose(alone[name] + other[name], both[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", CELLS)
def test_directional_derivatives_equal_complex_steps(backend: Any, kind: str) -> None:
    """Forward mode along random directions of weights, starts and inputs, and along the inputs alone."""
    net = CELLS[kind](5, direct=True, start=3)
    x, _ = data(5, 3, 7)
    rng = np.random.default_rng(5)
    point = {name: value for name, value in weights_of(net).items() if value is not None}
    tangents = {name: rng.normal(size=value.shape) for name, value in point.items()} | {"x": rng.normal(size=x.shape)}
    problem, _ = forward_problem(net, x, LENGTHS)
    for chosen in (tangents, {"x": tangents["x"]}, {"U": tangents["U"]}):
        found = backend.jvp_raw(problem, chosen, 1)
        moved = {name: point[name] + 1e-30j * value for name, value in chosen.items() if name != "x"}
        tracks = cell_forward(net, x + 1e-30j * chosen.get("x", np.zeros_like(x)), **moved)
        for n, end in enumerate(LENGTHS):
            for name, track in zip("yhc", tracks, strict=True):
                if track is not None:
                    np.testing.assert_allclose(
                        found[name][n, :end], track[n, :end].imag / 1e-30, rtol=1e-11, atol=1e-12
                    )
            assert np.isnan(found["y"][n, end:]).all()


@pytest.mark.parametrize("kind", CELLS)
def test_float32_stays_float32_and_agrees(backend: Any, kind: str) -> None:
    """Single precision in and out, near double precision."""
    net = CELLS[kind](6, direct=True)
    x, y = data(6, 4, 50)
    wide, _ = loss_problem(net, x, y)
    narrow, _ = loss_problem(net.astype("float32"), x.astype("float32"), y.astype("float32"))
    raw = run_cell(narrow, backend, 1)
    assert raw["y"].dtype == raw["h"].dtype == np.float32
    np.testing.assert_allclose(raw["y"], run_cell(wide, backend, 1)["y"], atol=1e-4)
    one, two = backend.loss_and_grad_raw(narrow, 1), backend.loss_and_grad_raw(wide, 1)
    largest = max(np.abs(value).max() for value in two[2].values())
    for name, value in two[2].items():
        assert one[2][name].dtype == np.float32
        np.testing.assert_allclose(one[2][name], value, rtol=0, atol=1e-4 * largest)


def test_overflow_is_told_with_series_and_step(backend: Any) -> None:
    """A linear skip path that grows: status 3 and the first step, for that series alone."""
    net = kelman.Elman([[0.0]], [[0.0]], None, None, None, A=[[2.0]], B=[[1.0]])
    x = np.zeros((2, 1200, 1))
    x[1, 0] = 1.0
    raw = run_cell(forward_problem(net, x, None)[0], backend, 1)
    assert raw["status"].tolist() == [0, 3] and raw["failed_at"].tolist() == [-1, 1024]


@pytest.mark.parametrize("learn_h0", [False, True])
@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("skip", ["", "A", "B", "AB"])
def test_normal_equations_equal_the_dense_jacobian(backend: Any, skip: str, read: bool, learn_h0: bool) -> None:
    """J'WJ and J'We with the skip path and without a readout, from the Jacobian by complex steps."""
    net = elman(7, skip=skip, read=read, start="shared", **({"direct": True, "output": "tanh"} if read else {}))
    x, y = data(7, 2, 6, 2, net.dims.outputs)
    problem, _ = loss_problem(net, x, y)
    loss, total, JtJ, Jtr = backend.gauss_newton_raw(problem, 1, learn_h0=learn_h0)
    columns = []
    for name in (*net.weights, *(("h0",) if learn_h0 else ())):
        value = getattr(net, name)
        for index in np.ndindex(*value.shape):
            moved = np.array(value, dtype=complex)
            moved[index] += 1e-30j
            columns.append(cell_forward(net, x, **{name: moved})[0].imag.ravel() / 1e-30)
    J, error = np.array(columns).T, (cell_forward(net, x)[0] - y).ravel()
    assert total == y.size and loss == pytest.approx((error**2).mean(), rel=1e-12)
    np.testing.assert_allclose(JtJ, J.T @ J / y.size, rtol=0, atol=1e-12 * np.abs(JtJ).max())
    np.testing.assert_allclose(Jtr, J.T @ error / y.size, rtol=0, atol=1e-12 * np.abs(Jtr).max())


@pytest.mark.parametrize("kind", CELLS)
def test_normal_equations_of_every_series_agree(kind: str) -> None:
    """Both backends, where each series has a start of its own: ragged, with a mask and a warm-up."""
    net = CELLS[kind](8, start=3, direct=True, output="tanh")
    x, y = data(8, 3, 7, 2, 2)
    mask = np.random.default_rng(8).random(y.shape)
    problem, _ = loss_problem(net, x, y, mask=mask, lengths=LENGTHS, warmup=1)
    one, two = (_registry.backend("rnn", name).gauss_newton_each_raw(problem, 1) for name in ("core", "torch"))
    assert one.keys() == two.keys()
    for name, value in two.items():
        np.testing.assert_allclose(one[name], value, rtol=0, atol=1e-12 * np.abs(value).max(), err_msg=name)


@pytest.mark.parametrize("learn_h0", [False, True])
@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_the_jacobian_of_the_outputs_agrees_and_makes_the_normal_equations(
    kind: str, read: bool, learn_h0: bool
) -> None:
    """Both backends, zeros past the lengths; J'J and J'e are the normal equations."""
    net = CELLS[kind](9, start="shared", read=read, **({"direct": True, "output": "tanh"} if read else {}))
    x, y = data(9, 3, 7, 2, net.dims.outputs)
    problem, _ = loss_problem(net, x, y, lengths=LENGTHS)
    one, two = (
        _registry.backend("rnn", name).jacobian_raw(problem, 1, learn_h0=learn_h0) for name in ("core", "torch")
    )
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-12 * np.abs(two).max())
    outside = np.arange(7)[None] >= np.array(LENGTHS)[:, None]
    assert (one[outside] == 0).all() and (one[~outside] != 0).any()
    _, total, JtJ, _ = _registry.backend("rnn", "core").gauss_newton_raw(problem, 1, learn_h0=learn_h0)
    J = one.reshape(-1, one.shape[3])
    np.testing.assert_allclose(J.T @ J / total, JtJ, rtol=0, atol=1e-12 * np.abs(JtJ).max())
