"""The verbs on every network: GRU, LSTM, Elman with a skip path, stacks and bidirectional pairs."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import BackendError, KelmanError, NonFiniteError, NumericalWarning
from kelman.rnn import _composed_equations
from tests.cell_oracle import cell_forward, cell_gradient, network_forward, squared
from tests.rnn.cells import CELLS, COMPOSED, both, elman, gru, lstm
from tests.rnn.networks import data

pytestmark = pytest.mark.torch
LENGTHS = [5, 1, 7]
BACKENDS = ("core", "torch")


@pytest.mark.parametrize("start", [None, "shared", 3])
@pytest.mark.parametrize("kind", CELLS)
def test_forward_of_a_cell_equals_the_loop_in_numpy(kind: str, start: Any) -> None:
    """One series, a batch, a list and padded series with lengths; an LSTM has its memories too."""
    net = CELLS[kind](1, start=start, direct=True)
    x, _ = data(1, 3, 7)
    y, h, c = cell_forward(net, x)
    for backend in BACKENDS:
        out = kelman.forward(net, x, backend=backend)
        np.testing.assert_allclose(out.y, y, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(out.h, h, rtol=1e-12, atol=1e-13)
        assert (out.c is None) == (c is None)
        ragged = kelman.forward(net, x, lengths=LENGTHS, backend=backend)
        listed = kelman.forward(net, [x[n, :end] for n, end in enumerate(LENGTHS)], backend=backend)
        for n, end in enumerate(LENGTHS):
            np.testing.assert_allclose(ragged[n].y, y[n, :end], rtol=1e-12, atol=1e-13)
            np.testing.assert_array_equal(listed[n].h, ragged[n].h)
            if c is not None:
                np.testing.assert_allclose(listed[n].c, c[n, :end], rtol=1e-12, atol=1e-13)
        if start != 3:
            np.testing.assert_allclose(kelman.forward(net, x[1], backend=backend).y, y[1], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", ["gru", "lstm", "elman with skip path"])
def test_going_on_from_the_last_state_equals_one_pass(kind: str) -> None:
    """The state and memory after the first half start the second."""
    net = CELLS[kind](2, start="shared")
    x, _ = data(2, 3, 20)
    for backend in BACKENDS:
        whole, first = (kelman.forward(net, part, backend=backend) for part in (x, x[:, :9]))
        last = {"h0": first.h[:, -1]} | ({} if first.c is None else {"c0": first.c[:, -1]})
        second = kelman.forward(net.replace(**last), x[:, 9:], backend=backend)
        np.testing.assert_allclose(np.concatenate([first.y, second.y], 1), whole.y, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("kind", COMPOSED)
def test_forward_of_several_cells_equals_numpy(kind: str, lengths: Any) -> None:
    """Layer upon layer; backward in time from each series' own end."""
    net = COMPOSED[kind](3)
    x, _ = data(3, 3, 7)
    y, h = network_forward(net, x, lengths)
    for backend in BACKENDS:
        out = kelman.forward(net, x, lengths=lengths, backend=backend)
        for n, end in enumerate(lengths or [7] * 3):
            np.testing.assert_allclose(out[n].y, y[n, :end], rtol=1e-12, atol=1e-13)
            np.testing.assert_allclose(out[n].h, h[n, :end], rtol=1e-12, atol=1e-13)
            assert np.isnan(out.y[n, end:]).all()
        if isinstance(net, kelman.Stack):
            assert len(out.layers) == len(net.layers) and len(out[1].layers[0].h) == (lengths or [7] * 3)[1]
            np.testing.assert_array_equal(out.layers[-1].y, out.y)


@pytest.mark.parametrize("start", [None, "shared", 3])
@pytest.mark.parametrize("kind", CELLS)
def test_gradients_of_a_cell_equal_complex_steps(kind: str, start: Any) -> None:
    """Within 1e-9 of the largest entry, for every weight and start; a shared start has one row, starts per series have N."""
    net = CELLS[kind](4, direct=True, start=start, output="tanh")
    x, y = data(4, 3, 7)
    expected = cell_gradient(net, x, y, np.ones_like(y))
    largest = max(np.abs(value).max() for value in expected.values())
    for backend in BACKENDS:
        loss, g = kelman.loss_and_grad(net, x, y, backend=backend)
        assert loss == pytest.approx(squared(cell_forward(net, x)[0], y, np.ones_like(y)), rel=1e-12)
        assert set(g) == set(expected)
        for name, value in expected.items():
            assert g[name].shape == value.shape
            np.testing.assert_allclose(getattr(g, name), value, rtol=0, atol=1e-9 * largest)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("kind", COMPOSED)
def test_gradients_of_several_cells_equal_differences(kind: str, lengths: Any) -> None:
    """Along random directions of the whole vector of weights and starts, with gaps, a mask and lengths: central differences."""
    net = COMPOSED[kind](5)
    x, y = data(5, 3, 7, 2, net.dims.outputs)
    rng = np.random.default_rng(5)
    y[rng.random(y.shape) < 0.2] = np.nan
    mask = rng.random((3, 7))
    for backend in BACKENDS:
        options = {"mask": mask, "lengths": lengths, "backend": backend}
        loss, g = kelman.loss_and_grad(net, x, y, **options)
        weight = mask[:, :, None] * ~np.isnan(y)
        for n, end in enumerate(lengths or []):
            weight[n, end:] = 0
        assert loss == pytest.approx(squared(network_forward(net, x, lengths)[0], np.nan_to_num(y), weight), rel=1e-12)
        vector, flat = kelman.rnn.pack(net, learn_h0=True), _flat(net, g)
        assert flat.shape == vector.shape
        for _ in range(6):
            way = rng.normal(size=vector.shape)
            step = 1e-5
            up, down = (
                kelman.loss_and_grad(kelman.rnn.unpack(net, vector + s * step * way, learn_h0=True), x, y, **options)[0]
                for s in (1, -1)
            )
            assert flat @ way == pytest.approx((up - down) / (2 * step), rel=1e-6, abs=1e-9)


def _flat(net: Any, g: Any) -> np.ndarray:
    """The gradient in the order of `pack` with the starts."""
    if isinstance(net, kelman.Stack):
        return np.concatenate([_flat(*pair) for pair in zip(net.layers, g.layers, strict=True)])
    inner = []
    if isinstance(net, kelman.Bidirectional):
        inner = [_flat(net.forward, g.forward), _flat(net.backward, g.backward)]
    return np.concatenate(
        [*inner, *(np.ravel(value) for name, value in g.items() if name not in ("forward", "backward"))]
    )


@pytest.mark.parametrize("kind", ["gru", "two layers", "bidirectional"])
def test_the_loss_of_the_last_step_counts_nothing_else(kind: str) -> None:
    """steps="last" equals a mask that is 1 at each series' last step; targets may be one per series."""
    net = CELLS[kind](6) if kind in CELLS else COMPOSED[kind](6)
    x, y = data(6, 3, 7)
    for lengths in (None, LENGTHS):
        ends = np.array(lengths or [7] * 3)
        only = np.arange(7)[None] == ends[:, None] - 1
        expected, gradient = kelman.loss_and_grad(net, x, y, mask=only, lengths=lengths)
        for target in (y, y[np.arange(3), ends - 1]):
            loss, g = kelman.loss_and_grad(net, x, target, steps="last", lengths=lengths)
            assert loss == expected
            np.testing.assert_array_equal(_flat(net, g), _flat(net, gradient))
        listed = [x[n, :end] for n, end in enumerate(ends)]
        assert kelman.loss_and_grad(net, listed, y[np.arange(3), ends - 1], steps="last")[0] == expected
    weights = np.array([1.0, 0.0, 3.0])[:, None] * np.ones(7)
    by_weight = kelman.loss_and_grad(net, x, y, steps="last", mask=weights)[0]
    single = [kelman.loss_and_grad(net, x[n], y[n, -1], steps="last")[0] for n in (0, 2)]
    assert by_weight == pytest.approx((single[0] + 3 * single[1]) / 4, rel=1e-12)
    with pytest.raises(KelmanError, match="steps: expected one of 'all', 'last'"):
        kelman.loss_and_grad(net, x, y, steps="first")


def test_gradient_records_can_be_read_kept_and_not_changed() -> None:
    """By name and attribute; pickles; frozen; what another cell has is an error, what this one lacks is None."""
    _, g = kelman.loss_and_grad(gru(7), *data(7, 2, 3))
    assert g.D is None and "D" not in g and len(g) == 7
    twin = pickle.loads(pickle.dumps(g))
    for name, value in dict(g).items():
        np.testing.assert_array_equal(twin[name], value)
    assert repr(g) == "GRUGradient(U (9, 3), W (9, 2), b (9,), d (3,), V (2, 3), c (2,), h0 (3,))"
    with pytest.raises(AttributeError, match="GRU has no 'P'"):
        _ = g.P
    with pytest.raises(AttributeError, match="frozen"):
        g.U = 1
    with pytest.raises(KelmanError, match="gradient: no 'D' in it"):
        _ = g["D"]
    _, stacked = kelman.loss_and_grad(COMPOSED["two layers"](7), *data(7, 2, 3))
    assert "StackGradient(layers" in repr(stacked) and stacked.layers[1].A.shape == (4, 4)


def test_overflow_in_any_layer_is_reported() -> None:
    """A layer below that overflows stops those above at that step; backward in time it spoils the whole series."""
    grows = kelman.Elman([[2.0]], [[1.0]], None, None, None, hidden="identity")
    net = kelman.Stack([grows, kelman.Elman([[0.5]], [[1e-300]], None, [[1.0]], None)])
    x = np.zeros((3, 1200, 1))
    x[1, 0] = 1.0
    with pytest.raises(NonFiniteError, match="1 of 3 series, first in series 1 at step 1024") as caught:
        kelman.forward(net, x)
    result = caught.value.result
    assert np.isfinite(result.y[1, :1024]).all() and np.isnan(result.y[1, 1024:]).all()
    assert np.isfinite(result.y[[0, 2]]).all()
    with pytest.warns(NumericalWarning, match="unstable"):
        loss, _ = kelman.loss_and_grad(net, x, np.ones((3, 1200))[..., None])
    assert loss == np.inf
    back = kelman.forward(kelman.Bidirectional(grows, grows), x[:, ::-1], on_error="nan")
    assert back.status.tolist() == [0, 3, 0] and np.isnan(back.y[1]).all() and (back.y[0] == 0).all()


def test_starts_per_series_must_fit_the_data() -> None:
    """Starts for another number of series are refused, in a cell and in a layer."""
    for net in (gru(8, start=4), kelman.Stack([lstm(8, read=False, start=4), elman(8, i=3)]), both(8, start=4)):
        with pytest.raises(KelmanError, match="holds starts for 4 series, but x has 3"):
            kelman.forward(net, data(8, 3, 5)[0])
    with pytest.raises(KelmanError, match="a start per series is not part of the vector"):
        kelman.rnn.pack(gru(8, start=4), learn_h0=True)


@pytest.mark.parametrize("memory", ["enough", "one series"])
@pytest.mark.parametrize("learn_h0", [False, True])
@pytest.mark.parametrize("kind", COMPOSED)
def test_normal_equations_of_several_cells(
    kind: str, learn_h0: bool, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stacks and bidirectional networks against a Jacobian by central differences: ragged, with gaps, a mask, a warm-up."""
    if memory != "enough":
        monkeypatch.setattr(_composed_equations, "GROUP", 1)
    net = COMPOSED[kind](12)
    x, y = data(12, 3, 9, 2, net.dims.outputs)
    y[0, 3] = np.nan
    lengths, mask, theta = [9, 4, 6], np.random.default_rng(12).random(y.shape), kelman.rnn.pack(net, learn_h0=learn_h0)
    w = mask * ~np.isnan(y)
    w[:, :1] = 0
    w[np.arange(9)[None] >= np.array(lengths)[:, None]] = 0

    def outputs(at: np.ndarray) -> np.ndarray:
        found = kelman.forward(kelman.rnn.unpack(net, at, learn_h0=learn_h0), x, lengths=lengths).y
        return np.where(w > 0, found, 0)

    J = np.stack([(outputs(theta + e) - outputs(theta - e)) / 2e-5 for e in 1e-5 * np.eye(theta.size)], axis=-1)
    error = outputs(theta) - np.where(w > 0, np.nan_to_num(y), 0)
    expected = np.einsum("ntop,nto,ntoq->pq", J, w, J) / w.sum()
    given: dict[str, Any] = {"mask": mask, "lengths": lengths, "warmup": 1}
    gradient = kelman.loss_and_grad(kelman.rnn.unpack(net, theta, learn_h0=learn_h0), x, y, **given)
    for backend in BACKENDS:
        found = kelman.rnn.gauss_newton(net, x, y, learn_h0=learn_h0, backend=backend, **given)
        assert found.loss == pytest.approx(gradient[0], rel=1e-12)
        np.testing.assert_allclose(found.JtJ, expected, rtol=0, atol=1e-8 * np.abs(expected).max())
        right = np.einsum("ntop,nto->p", J, w * error) / w.sum()
        np.testing.assert_allclose(found.Jtr, right, rtol=0, atol=1e-8 * np.abs(right).max())


def test_an_overflow_in_normal_equations_of_several_cells() -> None:
    """Layers that overflow have an infinite loss, and no equations."""
    wild = kelman.Elman([[3.0]], [[1.0]], None, None, None, "identity")
    found = kelman.rnn.gauss_newton(kelman.Stack([wild, elman(1, i=1)]), np.ones((1, 800, 1)), np.ones((1, 800, 2)))
    assert found.loss == np.inf and np.isnan(found.JtJ).all()


@pytest.mark.parametrize("learn_h0", [False, True])
@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_normal_equations_equal_the_dense_jacobian(kind: str, read: bool, learn_h0: bool) -> None:
    """J'WJ and J'We of every cell, with gaps and a mask, from the Jacobian by complex steps, in the order of `pack`."""
    net = CELLS[kind](11, read=read, start="shared", **({"direct": True, "output": "tanh"} if read else {}))
    x, y = data(11, 2, 6, 2, net.dims.outputs)
    y[0, 2] = np.nan
    mask = np.random.default_rng(11).random((2, 6))
    columns = []
    for name in (*net.weights, *(net.STARTS if learn_h0 else ())):
        value = getattr(net, name)
        for index in np.ndindex(*value.shape):
            moved = np.array(value, dtype=complex)
            moved[index] += 1e-30j
            columns.append(cell_forward(net, x, **{name: moved})[0].imag.ravel() / 1e-30)
    J = np.array(columns).T
    assert J.shape[1] == len(kelman.rnn.pack(net, learn_h0=learn_h0))
    w = (mask[:, :, None] * ~np.isnan(y)).ravel()
    e = np.where(w > 0, (cell_forward(net, x)[0] - y).ravel(), 0)
    for backend in BACKENDS:
        loss, JtJ, Jtr = kelman.rnn.gauss_newton(net, x, y, mask=mask, learn_h0=learn_h0, backend=backend)
        assert loss == pytest.approx((w * e * e).sum() / w.sum(), rel=1e-12)
        np.testing.assert_allclose(JtJ, J.T @ (w[:, None] * J) / w.sum(), rtol=0, atol=1e-11 * np.abs(JtJ).max())
        np.testing.assert_allclose(Jtr, J.T @ (w * e) / w.sum(), rtol=0, atol=1e-11 * np.abs(Jtr).max())


def test_linear_verbs_point_to_forward() -> None:
    """A network given to a filter is an error that names the verb for it."""
    for net in (gru(12), lstm(12), kelman.Stack([gru(12)]), both(12)):
        with pytest.raises(KelmanError, match=r"for a network use kelman\.forward"):
            kelman.filter(net, [1.0, 2.0])


def test_the_core_says_what_it_cannot_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    """A core that lacks a function of a cell is an error that names the other backend."""
    from kelman import _core

    class Less:
        """A core with one function of one cell."""

        elman_forward = staticmethod(lambda **_: None)

    monkeypatch.setattr(_core, "recurrent", lambda: Less)
    x, y = data(10, 2, 5)
    for net in (gru(10), lstm(10), COMPOSED["two layers"](10)):
        with pytest.raises(BackendError, match='give backend="torch"'):
            kelman.forward(net, x)
        with pytest.raises(BackendError, match='give backend="torch"'):
            kelman.loss_and_grad(net, x, y)
    with pytest.raises(BackendError, match="cannot compute this Elman network"):
        kelman.rnn.gauss_newton(elman(10), x, y)
