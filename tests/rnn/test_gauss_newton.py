"""The streamed normal equations of Gauss-Newton."""

from __future__ import annotations

import numpy as np
import pytest

import kelman
from kelman.rnn import gauss_newton, pack
from tests.oracles import elman_forward
from tests.rnn.networks import PAIRS, SMOOTH, data, network


def jacobian(net: kelman.Elman, x: np.ndarray, learn_h0: bool) -> np.ndarray:
    """D y / d weights (N, T, o, P) by complex step."""
    names = [n for n in ("U", "W", "b", "V", "c", "D") if getattr(net, n) is not None] + ["h0"] * learn_h0
    columns = []
    for name in names:
        value = np.zeros(net.dims.hidden) if getattr(net, name) is None else getattr(net, name)
        for index in np.ndindex(*value.shape):
            moved = np.array(value, dtype=complex)
            moved[index] += 1e-30j
            columns.append(elman_forward(net, x, **{name: moved})[0].imag / 1e-30)
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize(("hidden", "output"), [p for p in PAIRS if p[0] in SMOOTH and p[1] in SMOOTH])
@pytest.mark.parametrize("learn_h0", [False, True])
def test_normal_equations_equal_the_explicit_jacobian(hidden: str, output: str, learn_h0: bool) -> None:
    """J'WJ and J'We equal those of a Jacobian made by complex step, with weights, gaps, lengths and warm-up."""
    net = network(1, hidden, output, direct=learn_h0, start="shared")
    x, y = data(1, 5, 40)
    rng = np.random.default_rng(1)
    mask = rng.random(y.shape)
    y[rng.random(y.shape) < 0.1] = np.nan
    lengths = np.array([40, 3, 17, 40, 25])
    weight = mask * ~np.isnan(y)
    weight[np.arange(40)[None] >= lengths[:, None]] = 0
    weight[:, :2] = 0
    loss, JtJ, Jtr = gauss_newton(net, x, y, mask=mask, lengths=lengths, warmup=2, learn_h0=learn_h0)
    J = jacobian(net, x, learn_h0)
    e = np.where(weight > 0, elman_forward(net, x)[0] - np.nan_to_num(y), 0)
    expected = np.einsum("ntop,nto,ntoq->pq", J, weight, J) / weight.sum()
    assert loss == pytest.approx((weight * e * e).sum() / weight.sum(), rel=1e-13)
    np.testing.assert_allclose(JtJ, expected, atol=1e-12 * np.abs(expected).max())
    np.testing.assert_array_equal(JtJ, JtJ.T)
    right = np.einsum("ntop,nto->p", J, weight * e) / weight.sum()
    np.testing.assert_allclose(Jtr, right, atol=1e-12 * np.abs(right).max())


@pytest.mark.parametrize(("hidden", "output"), PAIRS)
def test_twice_the_right_side_is_the_gradient(hidden: str, output: str) -> None:
    """2 J'We equals the gradient by back-propagation for every pair, over more steps than one chunk of rows."""
    net = network(2, hidden, output, direct=True)
    x, y = data(2, 2, 700)
    loss, gradient = kelman.loss_and_grad(net, x, y)
    equations = gauss_newton(net, x, y)
    flat = np.concatenate([getattr(gradient, n).ravel() for n in ("U", "W", "b", "V", "c", "D")])
    assert equations.loss == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(2 * equations.Jtr, flat, atol=1e-11 * np.abs(flat).max())
    assert equations.Jtr.shape == pack(net).shape


def test_threads_do_not_change_a_bit() -> None:
    """The normal equations are the same to the bit for any number of threads."""
    net = network(3, sizes=(2, 6, 2))
    x, y = data(3, 70, 200)
    one = gauss_newton(net, x, y, threads=1)
    for threads in (2, 4, 7):
        other = gauss_newton(net, x, y, threads=threads)
        assert other.loss == one.loss
        np.testing.assert_array_equal(other.JtJ, one.JtJ)
        np.testing.assert_array_equal(other.Jtr, one.Jtr)


def test_larger_hidden_layers_agree_with_the_gradient() -> None:
    """Twenty-five units, whose sensitivities are multiplied in panels, agree with back-propagation."""
    net = network(4, sizes=(2, 25, 1))
    x, y = data(4, 3, 30, 2, 1)
    gradient = kelman.loss_and_grad(net, x, y)[1]
    equations = gauss_newton(net.astype("float32").astype("float64"), x, y)
    flat = np.concatenate([getattr(gradient, n).ravel() for n in ("U", "W", "b", "V", "c")])
    np.testing.assert_allclose(2 * equations.Jtr, flat, atol=1e-5 * np.abs(flat).max())


@pytest.mark.parametrize("steps", [122, 123, 124, 246, 3])
def test_any_number_of_rows_fills_the_chunks(steps: int) -> None:
    """A length that fills the chunks of Jacobian rows exactly, and warm-ups that leave one row, change nothing."""
    net = network(6, sizes=(1, 8, 1))
    x, y = data(6, 1, steps, 1, 1)
    for warmup in (0, steps - 1):
        gradient = kelman.loss_and_grad(net, x, y, warmup=warmup)[1]
        flat = np.concatenate([getattr(gradient, n).ravel() for n in ("U", "W", "b", "V", "c")])
        Jtr = gauss_newton(net, x, y, warmup=warmup).Jtr
        np.testing.assert_allclose(2 * Jtr, flat, atol=1e-12 * np.abs(flat).max())


def test_a_start_per_series_cannot_be_learnt_here() -> None:
    """h0 (N, h) is not part of the vector of weights, and asking for it says so."""
    net = network(5, start=3)
    x, y = data(5, 3, 5)
    with pytest.raises(kelman.errors.KelmanError, match="learn_h0"):
        gauss_newton(net, x, y, learn_h0=True)
    assert gauss_newton(net, x, y).JtJ.shape == (26, 26)
