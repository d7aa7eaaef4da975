"""What is read off the activations of a network: linear nets exactly, tanh against quadrature, kernels by complex steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.cell_oracle import cell_forward
from tests.rnn.cells import CELLS, both, elman, gru, lstm

import kelman
from kelman.errors import KelmanError


def test_a_linear_network_has_the_kernel_of_its_weights() -> None:
    """V (U + A)^k (W + B) at every moment, no saturation, gain one; the Jacobian is U + A."""
    net = elman(1, hidden="identity", skip="AB", direct=True)
    x = np.random.default_rng(1).normal(size=(3, 40, 2))
    read = kelman.read_activations(net, x, lags=8)
    F, G = net.U + net.A, net.W + net.B
    for k in range(9):
        expected = net.V @ np.linalg.matrix_power(F, k) @ G + (net.D if k == 0 else 0)
        np.testing.assert_allclose(read.kernel.mean[k], expected, rtol=0, atol=1e-13)
        np.testing.assert_allclose(read.kernel.size[k], np.abs(expected), rtol=0, atol=1e-13)
    np.testing.assert_allclose(read.kernel.std, 0, atol=1e-13)
    np.testing.assert_allclose(read.mean_jacobian, F, atol=1e-14)
    np.testing.assert_allclose(read.mean_input, G, atol=1e-14)
    np.testing.assert_allclose(read.radius, np.abs(np.linalg.eigvals(F)).max(), atol=1e-13)
    np.testing.assert_allclose(np.sort(np.abs(read.poles)), np.sort(np.abs(np.linalg.eigvals(F))), atol=1e-13)
    row = read["hidden"]
    assert (row.gain == 1).all() and (row.saturated == 0).all() and read.steps == 120
    np.testing.assert_allclose(row.regression_gain, 1, atol=1e-12)
    assert row.open is None and row.half_life is None


def test_the_memory_of_a_kalman_filter_is_its_impulse_response() -> None:
    """d zhat / d z is H (A - K H)^k K, also of the exact relu split."""
    model = kelman.systems.rotation()
    ss = kelman.steady_state(model)
    F = model.A - ss.K @ model.H
    z = kelman.simulate(model, 300, rng=0).z
    for hidden in ("identity", "relu"):
        read = kelman.read_activations(kelman.to_elman(model, hidden=hidden), z, lags=12, warmup=5)
        for k in range(13):
            expected = model.H @ np.linalg.matrix_power(F, k) @ ss.K
            np.testing.assert_allclose(read.kernel.mean[k], expected, rtol=0, atol=1e-12)
        assert read.kernel.std.max() < 1e-12


@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0])
def test_gains_of_tanh_are_those_of_gauss_hermite(spread: float) -> None:
    """For Gaussian pre-activations E s'(a), Cov(a, s)/Var(a) and the saturated part within 4.5 standard errors of quadrature."""
    count = 200_000
    x = spread * np.random.default_rng(2).standard_normal((count, 1))
    net = kelman.Elman([[0.0]], [[1.0]], [0.4], None, None)
    row = kelman.read_activations(net, x, lags=0, moments=10)["hidden"]
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    a, weights = 0.4 + spread * nodes, weights / weights.sum()
    slope = 1 - np.tanh(a) ** 2
    gain = weights @ slope
    error = np.sqrt((weights @ slope**2 - gain**2) / count)
    assert abs(row.gain[0] - gain) < 4.5 * error
    # Price's theorem: both gains are one number; the spread of the second is bounded by that of the product
    product = (a - 0.4) * (np.tanh(a) - weights @ np.tanh(a)) - gain * (a - 0.4) ** 2
    assert abs(row.regression_gain[0] - gain) < 4.5 * np.sqrt(weights @ product**2 / count) / spread**2
    from scipy.stats import norm

    edge = np.arctanh(np.sqrt(0.9))
    part = norm.sf((edge - 0.4) / spread) + norm.cdf((-edge - 0.4) / spread)
    assert abs(row.saturated[0] - part) < 4.5 * np.sqrt(part * (1 - part) / count) + 1 / count
    np.testing.assert_allclose(row.mean, x.mean() + 0.4, rtol=1e-10)
    np.testing.assert_allclose(row.value_std, np.tanh(x + 0.4).std(), rtol=1e-10)


@pytest.mark.parametrize("kind", CELLS)
def test_memory_kernels_equal_complex_steps(kind: str) -> None:
    """d y_t / d x_{t-k} of every cell, averaged over all moments, through the whole loop in NumPy."""
    net = CELLS[kind](3, direct=True, output="tanh", start="shared")
    N, T, lags = 2, 9, 4
    x = np.random.default_rng(3).normal(size=(N, T, 2))
    read = kelman.read_activations(net, x, lags=lags, moments=1000)
    found = np.zeros((N, T - lags, lags + 1, 2, 2))
    for j in range(T):
        for i in range(2):
            moved = x.astype(complex)
            moved[:, j, i] += 1e-30j
            y = cell_forward(net, moved)[0].imag / 1e-30
            for k in range(lags + 1):
                if lags <= j + k < T:
                    found[:, j + k - lags, k, :, i] = y[:, j + k]
    every = found.reshape(-1, lags + 1, 2, 2)
    assert read.kernel.moments == len(every)
    np.testing.assert_allclose(read.kernel.mean, every.mean(axis=0), rtol=0, atol=1e-13)
    np.testing.assert_allclose(read.kernel.size, np.abs(every).mean(axis=0), rtol=0, atol=1e-13)
    np.testing.assert_allclose(read.kernel.std, every.std(axis=0), rtol=0, atol=1e-13)


def test_a_stack_is_read_layer_by_layer() -> None:
    """Rows of all layers, and the kernel through all of them by differences."""
    net = kelman.Stack([gru(5, read=False), lstm(5, i=3, output="sigmoid")])
    x = np.random.default_rng(5).normal(size=(12, 2))
    read = kelman.read_activations(net, x, lags=11)
    names = [(row.layer, row.name) for row in read.units]
    assert names == [
        (0, "reset gate"), (0, "update gate"), (0, "candidate"), (1, "input gate"), (1, "forget gate"), (1, "candidate"),
        (1, "output gate"), (1, "memory"), (1, "output"),
    ]  # fmt: skip
    assert read["candidate"].layer == 1 and read.mean_jacobian.shape == (9, 9)
    for k in (0, 3, 11):
        for i in range(2):
            step = np.zeros_like(x)
            step[11 - k, i] = 1e-6
            up, down = (kelman.forward(net, x + s * step).y[11] for s in (1, -1))
            np.testing.assert_allclose(read.kernel.mean[k, :, i], (up - down) / 2e-6, rtol=0, atol=1e-8)


def test_gates_tell_what_they_keep() -> None:
    """A GRU whose gates are held open or closed by their offsets; a forgetting gate of 0.9 has the half-life of 0.9^k."""
    h = 2
    b = np.concatenate([np.full(h, 10.0), [np.log(9.0), -10.0], np.zeros(h)])
    net = kelman.GRU(np.zeros((3 * h, h)), np.zeros((3 * h, 1)), b)
    read = kelman.read_activations(net, np.zeros((30, 1)), lags=5)
    reset, update = read["reset gate"], read["update gate"]
    np.testing.assert_allclose(reset.value_mean, 1 / (1 + np.exp(-10.0)))
    assert (reset.open == 1).all() and (reset.closed == 0).all() and reset.half_life is None
    np.testing.assert_allclose(update.value_mean, [0.9, 1 / (1 + np.exp(10.0))])
    assert update.closed.tolist() == [0, 1]
    np.testing.assert_allclose(update.half_life[0], np.log(0.5) / np.log(0.9))
    assert (reset.saturated == 1).all() and np.isnan(reset.regression_gain).all()
    assert update.saturated.tolist() == [0, 1]


def test_ragged_series_and_warm_up_count_their_own_steps() -> None:
    """Lists equal padded series with lengths; steps past the lengths and in the warm-up are left out."""
    net = gru(6)
    x = np.random.default_rng(6).normal(size=(3, 20, 2))
    ends = [20, 7, 12]
    listed = kelman.read_activations(net, [x[n, :end] for n, end in enumerate(ends)], lags=3, warmup=2)
    padded = kelman.read_activations(net, x, lengths=ends, lags=3, warmup=2)
    assert listed.steps == padded.steps == sum(ends) - 6
    np.testing.assert_array_equal(listed.kernel.mean, padded.kernel.mean)
    states = [kelman.forward(net, x[n, :end]).h for n, end in enumerate(ends)]
    rows = []
    for n, end in enumerate(ends):
        before = np.concatenate([np.zeros((1, 3)), states[n][:-1]])
        rows.append((x[n, :end] @ net.W[3:6].T + before @ net.U[3:6].T + net.b[3:6])[2:])
    np.testing.assert_allclose(listed["update gate"].mean, np.concatenate(rows).mean(axis=0), rtol=1e-12)
    assert kelman.read_activations(net, x, moments=7, lags=3).kernel.moments == 7


def test_the_median_lag_says_where_half_of_the_memory_lies() -> None:
    """Of 0.9^k half of the sum lies within ceil(log 0.5 / log 0.9) - 1 = 6 steps; of an input without effect nowhere."""
    net = kelman.Elman([[0.9]], [[1.0, 0.0]], None, [[1.0]], None, hidden="identity")
    read = kelman.read_activations(net, np.ones((400, 2)), lags=300)
    assert read.kernel.median_lag[0, 0] == 6
    assert np.isnan(read.kernel.median_lag[0, 1])


@pytest.mark.parametrize("make", [elman, gru, lstm])
def test_a_person_can_read_it(make: Any) -> None:
    """Summary and repr name every row of units; float32 networks are read in float64."""
    net = make(7).astype("float32")
    read = kelman.read_activations(net, np.random.default_rng(7).normal(size=(100, 2)))
    text = read.summary()
    for row in read.units:
        assert row.name in text and row.name in repr(read)
    assert "spectral radius" in text and "memory: half" in text
    assert read.mean_jacobian.dtype == np.float64
    with pytest.raises(KelmanError, match="activations: no 'hide'; there are"):
        _ = read["hide"]


def test_what_cannot_be_read_is_refused() -> None:
    """Networks that read the future, things that are no networks, too long a warm-up or memory."""
    x = np.zeros((5, 2))
    with pytest.raises(KelmanError, match="expected an Elman, GRU or LSTM network or a Stack"):
        kelman.read_activations(both(8), x)
    with pytest.raises(KelmanError, match="this stack has a Bidirectional one"):
        kelman.read_activations(kelman.Stack([both(8, read=False), gru(8, i=7)]), x)
    with pytest.raises(KelmanError, match="expected an Elman, GRU or LSTM network or a Stack"):
        kelman.read_activations(3, x)  # type: ignore[arg-type]
    with pytest.raises(KelmanError, match="warmup: no step is left after 9"):
        kelman.read_activations(gru(8), x, warmup=9)
    assert len(kelman.read_activations(gru(8), x, lags=50).kernel.mean) == 5


def test_it_is_drawn() -> None:
    """Every row of units, the kernel and the radii are in the figure."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    read = kelman.read_activations(lstm(9), np.random.default_rng(9).normal(size=(60, 2)), lags=6)
    fig = read.plot()
    gains, _, kernel, _ = fig.axes
    drawn = [line.get_ydata() for line in gains.lines]
    for row, line in zip(read.units, drawn, strict=True):
        np.testing.assert_array_equal(line, np.sort(row.gain)[::-1])
    np.testing.assert_array_equal(kernel.lines[0].get_ydata(), read.kernel.mean[:, 0, 0])
    plt.close(fig)
