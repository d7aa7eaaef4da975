"""The gradient of the loss by back-propagation through time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import kelman
from kelman.rnn import pack, unpack
from tests.oracles import elman_gradient, elman_loss
from tests.rnn.networks import PAIRS, SMOOTH, data, network, worst

TOLERANCE = 1e-9


def with_start(net: kelman.Elman) -> kelman.Elman:
    """The network with an explicit start, so that the oracle differentiates it too."""
    return net if net.h0 is not None else net.replace(h0=np.zeros(net.dims.hidden))


@pytest.mark.parametrize(("hidden", "output"), [p for p in PAIRS if p[0] in SMOOTH and p[1] in SMOOTH])
@pytest.mark.parametrize("direct", [False, True])
def test_gradient_equals_complex_step_for_every_smooth_pair(hidden: str, output: str, direct: bool) -> None:
    """Loss and gradient equal those of a NumPy network differentiated by complex step."""
    net = network(1, hidden, output, direct=direct, start="shared")
    x, y = data(1, 3, 9)
    loss, gradient = kelman.loss_and_grad(net, x, y)
    weight = np.ones_like(y)
    assert loss == pytest.approx(elman_loss(net, x, y, weight), rel=1e-13)
    assert worst(gradient, elman_gradient(net, x, y, weight)) < TOLERANCE


@pytest.mark.parametrize(("hidden", "output"), [p for p in PAIRS if p[0] not in SMOOTH or p[1] not in SMOOTH])
def test_gradient_of_kinked_activations_equals_central_differences(hidden: str, output: str) -> None:
    """Away from the kinks, piecewise linear activations have the gradient that differences show."""
    net = network(2, hidden, output, direct=True)
    x, y = data(2, 2, 7)
    _, gradient = kelman.loss_and_grad(net, x, y)
    flat, at = pack(gradient_as_network(net, gradient)), pack(net)
    step = 1e-6
    weight = np.ones_like(y)
    differences = np.array(
        [
            (
                elman_loss(unpack(net, at + step * e), x, y, weight)
                - elman_loss(unpack(net, at - step * e), x, y, weight)
            )
            / (2 * step)
            for e in np.eye(len(at))
        ]
    )
    np.testing.assert_allclose(flat, differences, atol=2e-8 * np.abs(differences).max())


def gradient_as_network(net: kelman.Elman, gradient: Any) -> kelman.Elman:
    """The gradient in the shape of a network, to write it as a vector."""
    return net.replace(
        **{
            name: getattr(gradient, name)
            for name in ("U", "W", "b", "V", "c", "D")
            if getattr(gradient, name) is not None
        }
    )


@pytest.mark.torch
@pytest.mark.parametrize(("hidden", "output"), PAIRS)
def test_gradient_equals_torch_autograd_for_every_pair(hidden: str, output: str) -> None:
    """Every pair of activations, kinks included, has the gradient of torch's autograd."""
    net = network(3, hidden, output, direct=True, start="shared")
    x, y = data(3, 4, 11)
    loss, gradient = kelman.loss_and_grad(net, x, y)
    torch_loss, torch_gradient = torch_gradients(net, x, y)
    assert loss == pytest.approx(torch_loss, rel=1e-12)
    assert worst(gradient, torch_gradient) < TOLERANCE


def torch_gradients(net: kelman.Elman, x: np.ndarray, y: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and gradients of the network written in PyTorch."""
    import torch

    functions = {
        "identity": lambda s: s,
        "tanh": torch.tanh,
        "relu": torch.relu,
        "leaky_relu": lambda s: torch.nn.functional.leaky_relu(s, 0.01),
        "sigmoid": torch.sigmoid,
        "softplus": lambda s: torch.nn.functional.softplus(s, threshold=1e6),
    }
    names = [n for n in ("U", "W", "b", "V", "c", "h0", "D") if getattr(net, n) is not None]
    w = {n: torch.tensor(np.array(getattr(net, n)), requires_grad=True) for n in names}
    h = w["h0"].expand(len(x), -1) if "h0" in w else torch.zeros(len(x), net.dims.hidden, dtype=torch.float64)
    total = 0.0
    for k in range(x.shape[1]):
        x_k = torch.tensor(x[:, k])
        h = functions[net.hidden](h @ w["U"].T + x_k @ w["W"].T + w["b"])
        s = h @ w["V"].T + w["c"] + (x_k @ w["D"].T if "D" in w else 0)
        total = total + ((functions[net.output](s) - torch.tensor(y[:, k])) ** 2).sum()
    loss = total / y.size
    loss.backward()
    return loss.item(), {n: w[n].grad.numpy() for n in names}


def test_relu_has_slope_zero_at_zero() -> None:
    """At the kink itself relu has slope 0 and leaky relu 0.01, as in torch."""
    for word, slope in (("relu", 0.0), ("leaky_relu", 0.01)):
        net = kelman.Elman([[0.0]], [[1.0]], None, [[1.0]], None, hidden=word)
        _, gradient = kelman.loss_and_grad(net, [0.0], [1.0])
        assert gradient.b == pytest.approx([-2 * slope])


@given(
    N=st.integers(1, 40),
    T=st.integers(1, 70),
    masked=st.sampled_from(["none", "steps", "numbers", "weights"]),
    ragged=st.booleans(),
    gaps=st.booleans(),
    warm=st.integers(0, 3),
    start=st.sampled_from([None, "shared", "series"]),
    seed=st.integers(0, 2**16),
)
def test_masks_lengths_gaps_and_warmup_equal_the_oracle(
    N: int, T: int, masked: str, ragged: bool, gaps: bool, warm: int, start: Any, seed: int
) -> None:
    """What is masked, missing, past the end or in the warm-up is left out of loss and gradient, whatever it holds."""
    rng = np.random.default_rng(seed)
    net = with_start(network(seed, direct=bool(seed % 2), sizes=(2, 2, 2), start=N if start == "series" else start))
    x, y = data(seed, N, T)
    weight = np.ones_like(y)
    mask = None
    if masked == "steps":
        mask = rng.random((N, T)) < 0.7
        weight *= mask[:, :, None]
    elif masked == "numbers":
        mask = rng.random((N, T, 2)) < 0.7
        weight *= mask
    elif masked == "weights":
        mask = rng.random((N, T, 2))
        weight *= mask
    if gaps:
        y[rng.random(y.shape) < 0.2] = np.nan
        weight *= ~np.isnan(y)
    warm = min(warm, T - 1)
    weight[:, :warm] = 0
    lengths = rng.integers(1, T + 1, N) if ragged else None
    x_given = x.copy()
    if lengths is not None:
        past = np.arange(T)[None] >= lengths[:, None]
        weight[past] = 0
        x_given[past] = np.nan
    if weight.sum() == 0:
        with pytest.raises(kelman.errors.KelmanError, match="nothing is left to count"):
            kelman.loss_and_grad(net, x_given, y, mask=mask, lengths=lengths, warmup=warm)
        return
    loss, gradient = kelman.loss_and_grad(net, x_given, y, mask=mask, lengths=lengths, warmup=warm)
    assert loss == pytest.approx(elman_loss(net, x, y, weight), rel=1e-12)
    assert worst(gradient, elman_gradient(net, x, y, weight)) < TOLERANCE


def test_gradient_of_a_thousand_series_equals_the_mean_of_single_ones() -> None:
    """B = 1 and B = 1000 agree: the gradient of a batch is the mean of the gradients of its series."""
    net = network(5, "tanh", "softplus", sizes=(2, 5, 1), direct=True, start="shared")
    x, y = data(5, 1000, 6, 2, 1)
    loss, gradient = kelman.loss_and_grad(net, x, y)
    single = [kelman.loss_and_grad(net, x[n], y[n]) for n in range(1000)]
    assert loss == pytest.approx(np.mean([value for value, _ in single]), rel=1e-13)
    names = ("U", "W", "b", "V", "c", "h0", "D")
    assert worst(gradient, {n: np.mean([getattr(g, n) for _, g in single], axis=0) for n in names}) < 1e-13
    assert worst(gradient, elman_gradient(net, x, y, np.ones_like(y))) < TOLERANCE


def test_gradient_of_a_start_per_series_has_a_row_for_each() -> None:
    """With h0 (N, h) each series has its own derivative, and the rows sum to that of a shared start."""
    shared = network(6, start="shared")
    x, y = data(6, 4, 5)
    own = shared.replace(h0=np.tile(shared.h0, (4, 1)))
    rows = kelman.loss_and_grad(own, x, y)[1].h0
    assert rows.shape == (4, 3)
    np.testing.assert_allclose(rows.sum(axis=0), kelman.loss_and_grad(shared, x, y)[1].h0, rtol=1e-12)


@pytest.mark.parametrize("hidden", ["tanh", "relu"])
@pytest.mark.parametrize("sizes", [(2, 3, 2), (4, 33, 3), (3, 150, 2)])
def test_threads_do_not_change_a_bit(hidden: str, sizes: tuple[int, int, int]) -> None:
    """Loss and every gradient are the same to the bit for 1, 2, 4 and 7 threads."""
    net = network(7, hidden, sizes=sizes, direct=True)
    x, y = data(7, 301, 13, sizes[0], sizes[2])
    loss, gradient = kelman.loss_and_grad(net, x, y, threads=1)
    for threads in (2, 4, 7):
        other_loss, other = kelman.loss_and_grad(net, x, y, threads=threads)
        assert other_loss == loss
        for name in ("U", "W", "b", "V", "c", "h0", "D"):
            np.testing.assert_array_equal(getattr(other, name), getattr(gradient, name))


def test_float32_agrees_with_float64() -> None:
    """In float32 the gradient is float32 and close to that of float64, also over many steps."""
    net = network(8, sizes=(2, 4, 2), direct=True)
    x, y = data(8, 2, 20_000)
    _, wide = kelman.loss_and_grad(net, x, y)
    loss, narrow = kelman.loss_and_grad(net.astype("float32"), x.astype("float32"), y.astype("float32"))
    assert narrow.U.dtype == np.float32 and isinstance(loss, float)
    assert worst(narrow, {n: getattr(wide, n) for n in ("U", "W", "b", "V", "c", "D")}) < 2e-5


def test_mixed_precision_becomes_float64() -> None:
    """One float64 argument among float32 ones makes the result float64."""
    net = network(9).astype("float32")
    x, y = data(9, 2, 4)
    assert kelman.loss_and_grad(net, x.astype("float32"), y)[1].U.dtype == np.float64
    assert kelman.loss_and_grad(net, x.astype("float32"), y.astype("float32"))[1].U.dtype == np.float32


def test_a_list_of_series_equals_padding() -> None:
    """Ragged lists, and padded arrays with lengths, give the same numbers."""
    net = network(10)
    x, y = data(10, 3, 6)
    lengths = [6, 2, 4]
    listed = kelman.loss_and_grad(
        net, [x[n, :k] for n, k in enumerate(lengths)], [y[n, :k] for n, k in enumerate(lengths)]
    )
    padded = kelman.loss_and_grad(net, x, y, lengths=lengths)
    assert listed[0] == padded[0]
    np.testing.assert_array_equal(listed[1].U, padded[1].U)


def test_an_unstable_network_has_infinite_loss_and_says_so() -> None:
    """Overflow is a warning and an infinite loss, not a silent NaN."""
    net = kelman.Elman([[3.0]], [[1.0]], None, [[1.0]], None, hidden="identity")
    with pytest.warns(kelman.errors.NumericalWarning, match="unstable"):
        loss, _ = kelman.loss_and_grad(net, np.ones(2000), np.ones(2000))
    assert loss == np.inf


def test_data_are_not_copied_or_changed() -> None:
    """Read-only, broadcast and strided arrays are taken as they are."""
    net = network(11)
    x, y = data(11, 4, 8)
    expected = kelman.loss_and_grad(net, x, y)[0]
    x.flags.writeable = y.flags.writeable = False
    assert kelman.loss_and_grad(net, x, y)[0] == expected
    wide = np.zeros((4, 16, 2))
    wide[:, ::2] = x
    assert kelman.loss_and_grad(net, wide[:, ::2], y)[0] == expected
    assert kelman.loss_and_grad(net, x[::-1], y[::-1])[0] == pytest.approx(expected, rel=1e-14)
    fortran = np.asfortranarray(x)
    assert kelman.loss_and_grad(net, fortran, np.asfortranarray(y))[0] == expected
    one = np.broadcast_to(x[:1], (4, 8, 2))
    assert kelman.loss_and_grad(net, one, np.broadcast_to(y[:1], (4, 8, 2)))[0] == pytest.approx(
        kelman.loss_and_grad(net, x[0], y[0])[0], rel=1e-14
    )
