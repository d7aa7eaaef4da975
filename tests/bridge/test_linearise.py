"""Local Jacobians of every cell, against complex steps through the textbook loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.cell_oracle import STEPS, cell_forward, weights_of
from tests.elman_oracle import activate
from tests.rnn.cells import CELLS, elman, gru, lstm

import kelman
from kelman.bridge._linearise import local_of, parts_of

SMALL = 1e-30


def one_step(cells: Any, s: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """New state (of all layers) and output of one step, real or complex."""
    at, news, given = 0, [], x
    for cell in cells:
        n, w = cell.dims.hidden, weights_of(cell)
        parts = len(cell.STARTS)
        state = tuple(s[:, at + k * n : at + (k + 1) * n] for k in range(parts))
        at += parts * n
        new = STEPS[cell.WORD](cell, w, state, given)
        news.extend(new)
        y = new[0]
        if cell.V is not None:
            y = activate(cell.output, new[0] @ cell.V.T + cell.c + (0 if cell.D is None else given @ cell.D.T))
        given = new[0]
    return np.concatenate(news, axis=1), y


NETWORKS = {name: lambda make=make: make(1, direct=True, output="sigmoid") for name, make in CELLS.items()} | {
    "no readout": lambda: gru(1, read=False),
    "leaky relu": lambda: elman(1, hidden="leaky_relu"),
    "two layers": lambda: kelman.Stack([lstm(1, read=False, peepholes=True), elman(1, i=3, h=4, skip="AB")]),
    "three layers": lambda: kelman.Stack(
        [elman(2, read=False), gru(2, i=3, h=2, read=False), lstm(2, i=2, direct=True, output="tanh")]
    ),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_jacobians_equal_complex_steps(kind: str) -> None:
    """F, G and what the output does, at random states and inputs, to 1e-13."""
    net = NETWORKS[kind]()
    cells = net.layers if isinstance(net, kelman.Stack) else (net,)
    rng = np.random.default_rng(3)
    sizes = [cell.dims.hidden * len(cell.STARTS) for cell in cells]
    s, x = rng.normal(size=(5, sum(sizes))), rng.normal(size=(5, 2))
    new, _ = one_step(cells, s, x)
    cut = np.cumsum(sizes)[:-1]
    local = local_of(net, np.split(s, cut, axis=1), np.split(new, cut, axis=1), x)
    for j in range(s.shape[1]):
        moved, y = one_step(cells, s + 1j * SMALL * np.eye(s.shape[1])[j], x)
        np.testing.assert_allclose(local.F[:, :, j], moved.imag / SMALL, rtol=0, atol=1e-13)
        # d y / d s_{k-1} = H F: D is at fixed s_k
        np.testing.assert_allclose((local.H @ local.F)[:, :, j], y.imag / SMALL, rtol=0, atol=1e-13)
    for j in range(2):
        moved, y = one_step(cells, s, x + 1j * SMALL * np.eye(2)[j])
        np.testing.assert_allclose(local.G[:, :, j], moved.imag / SMALL, rtol=0, atol=1e-13)
        np.testing.assert_allclose((local.H @ local.G + local.D)[:, :, j], y.imag / SMALL, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", CELLS)
def test_pre_activations_make_the_next_state(kind: str) -> None:
    """The parts, put together as the cell's equations say, are the state that the network has."""
    net = CELLS[kind](4, start="shared")
    x = np.random.default_rng(4).normal(size=(1, 6, 2))
    _, h, c = cell_forward(net, x)
    track = h if c is None else np.concatenate([h, c], axis=2)
    first = np.concatenate([getattr(net, name) for name in net.STARTS])[None, None]
    s = np.concatenate([first, track[:, :-1]], axis=1)[0]
    parts = {part.name: activate(part.word, part.before) for part in parts_of(net, s, x[0])}
    if kind.startswith("elman"):
        skip = (0 if net.A is None else s @ net.A.T) + (0 if net.B is None else x[0] @ net.B.T)
        new = parts["hidden"] + skip
    elif kind.startswith("gru"):
        z = parts["update gate"]
        new = (1 - z) * parts["candidate"] + z * s
    else:
        new = parts["output gate"] * parts["memory"]
        memory = parts["forget gate"] * s[:, 3:] + parts["input gate"] * parts["candidate"]
        np.testing.assert_allclose(np.tanh(memory), parts["memory"], rtol=0, atol=1e-13)
    np.testing.assert_allclose(new, h[0], rtol=0, atol=1e-13)
