"""Log-likelihood, filtered and smoothed means as differentiable functions of tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from tests.linear.gradient_cases import build

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from kelman.torch import functional

ENTRIES = ("A", "H", "Q", "R", "B", "D", "b", "c", "S", "m0", "P0", "m1", "P1")
KINDS: dict[str, dict[str, Any]] = {
    "x0": {"start": "x0", "offsets": True, "S": True, "p": 1},
    "x1": {"start": "x1", "offsets": True},
    "x1, inputs of the step before": {"start": "x1", "offsets": True, "p": 2, "lag": 1},
    "stationary": {"start": "stationary", "offsets": True, "p": 1},
    "stationary, inputs of the step before": {"start": "stationary", "offsets": True, "p": 1, "lag": 1},
    "auto": {"start": "auto", "T": 7, "p": 1, "offsets": True},
    "auto, several series": {"start": "auto", "T": 7, "p": 1, "N": 2, "lag": 1},
    "diffuse": {"start": "diffuse", "T": 8, "p": 1, "offsets": True},
    "varies in time": {"start": "x1", "time": "H R b c"},
    "varies by series": {"start": "x1", "series": "A Q c m"},
    "several series": {"start": "x1", "N": 3, "offsets": True, "p": 1},
}


def case(kind: str) -> tuple[dict[str, Any], Any, Any, dict[str, Any]]:
    """Tensors of the entries, z and u of a model, and the words of its start."""
    options = {"n": 2, "m": 2, "T": 5, "N": 3 if kind == "varies by series" else 1, "lag": 0} | KINDS[kind]
    model, z, u = build(**options)
    arrays = {name: getattr(model, name) for name in ENTRIES}
    tensors = {name: torch.tensor(np.array(a), requires_grad=True) for name, a in arrays.items() if a is not None}
    given = any(name in tensors for name in ("m0", "m1"))
    one = options["N"] == 1
    z, u = (None if array is None else torch.tensor(np.array(array[0] if one else array)) for array in (z, u))
    words = {} if given else {"initial": model.initial}
    return tensors, z, u, words | ({"input_lag": 1} if options["lag"] else {})


def check(function: Any, tensors: dict[str, Any], z: Any, u: Any, words: dict[str, Any], *, by_u: bool = False) -> bool:
    """Gradcheck by every entry and by the measurements that are there (and the inputs)."""
    there = ~torch.isnan(z)
    values = z[there].clone().requires_grad_()
    inputs = u.clone().requires_grad_() if by_u else u

    def of(values: Any, inputs: Any, *entries: Any) -> Any:
        filled = torch.full_like(z, torch.nan).masked_scatter(there, values)
        return function(filled, u=inputs, **dict(zip(tensors, entries, strict=True)), **words)

    return bool(torch.autograd.gradcheck(of, (values, inputs, *tensors.values()), eps=1e-6, atol=2e-6, rtol=2e-5))


@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck_of_the_log_likelihood_passes(kind: str) -> None:
    """By every entry of the model, the measurements and the inputs, any start."""
    tensors, z, u, words = case(kind)
    assert torch.isnan(z).any() or kind == "diffuse"
    assert check(functional.loglik, tensors, z, u, words, by_u=u is not None)


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_of_the_verbs(kind: str) -> None:
    """Log-likelihood and means equal the verbs' to the bit, with and without a gradient."""
    tensors, z, u, words = case(kind)
    model = kelman.StateSpace(**{name: t.detach().numpy() for name, t in tensors.items()}, **words)
    data, inputs = z.numpy(), None if u is None else u.numpy()
    plain = {name: t.detach() for name, t in tensors.items()}
    np.testing.assert_array_equal(functional.loglik(z, u=u, **plain, **words), kelman.loglik(model, data, inputs))
    got = functional.loglik(z, u=u, **tensors, **words)
    assert got.requires_grad
    np.testing.assert_allclose(got.detach(), kelman.loglik(model, data, inputs), rtol=1e-12)
    np.testing.assert_array_equal(
        functional.filtered_mean(z, u=u, **tensors, **words).detach(), kelman.filter(model, data, inputs).mean
    )
    np.testing.assert_allclose(
        functional.smoothed_mean(z, u=u, **plain, **words), kelman.smooth(model, data, inputs).mean, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck_of_filtered_means_passes(kind: str) -> None:
    """By every entry, the measurements and the inputs, any start."""
    tensors, z, u, words = case(kind)
    assert check(functional.filtered_mean, tensors, z, u, words, by_u=u is not None)


@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck_of_smoothed_means_passes(kind: str) -> None:
    """By every entry, the measurements and the inputs, any start."""
    tensors, z, u, words = case(kind)
    assert check(functional.smoothed_mean, tensors, z, u, words, by_u=u is not None)


@pytest.mark.parametrize("name", ["loglik", "filtered_mean", "smoothed_mean"])
def test_gradcheck_of_several_models_on_one_series_passes(name: str) -> None:
    """Models of three series, z and u of one: the results are of three, the derivatives by z and u the sums."""
    tensors, z, _, words = case("varies by series")
    tensors["B"] = torch.tensor([[0.3], [-0.4]], dtype=torch.float64, requires_grad=True)
    u = torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None]
    assert len(getattr(functional, name)(z[0], u=u, **tensors, **words)) == 3
    assert check(getattr(functional, name), tensors, z[0], u, words, by_u=True)


@pytest.mark.parametrize("name", ["loglik", "filtered_mean", "smoothed_mean"])
def test_double_backward_is_refused_by_name(name: str) -> None:
    """A graph of the gradient may be built; differentiating it is an error."""
    tensors, z, _, words = case("x1")
    value = getattr(functional, name)(z, **tensors, **words).sum()
    (g,) = torch.autograd.grad(value, tensors["A"], create_graph=True)
    with pytest.raises(kelman.errors.KelmanError, match="double backward is not supported"):
        torch.autograd.grad(g.sum(), tensors["A"])


def test_a_variance_is_learnt_by_pytorch() -> None:
    """Plain gradient ascent in logarithms reaches the maximum-likelihood variances of the Nile."""
    z = torch.tensor(np.array(kelman.datasets.nile().z))
    logs = torch.tensor([7.0, 9.0], dtype=torch.float64, requires_grad=True)
    one = torch.ones(1, 1, dtype=torch.float64)
    climb = torch.optim.LBFGS([logs], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Any:
        climb.zero_grad()
        Q, R = logs.exp()
        value = -functional.loglik(z, one, one, Q.reshape(1, 1), R.reshape(1, 1), initial="diffuse")
        value.backward()
        return value

    climb.step(loss)
    # Durbin and Koopman, 2nd ed. (2012), section 2.10.1
    np.testing.assert_allclose(logs.exp().detach(), [1469.1, 15098.5], rtol=2e-3)


def test_float32_stays_float32_and_mixtures_are_refused() -> None:
    """One precision in and out."""
    tensors, z, _, words = case("x1")
    narrow = {name: t.detach().float().requires_grad_() for name, t in tensors.items()}
    value = functional.loglik(z.float(), **narrow, **words)
    value.backward()
    assert value.dtype == narrow["A"].grad.dtype == torch.float32
    with pytest.raises(kelman.errors.KelmanError, match="loglik: expected tensors of one dtype"):
        functional.loglik(z.float(), **tensors, **words)
    with pytest.raises(kelman.errors.KelmanError, match=r"z: expected dtype float32 or float64, got torch\.float16"):
        functional.loglik(z.half(), **tensors, **words)


def test_wrong_arguments_are_refused() -> None:
    """Unknown entries, arrays that are no tensors."""
    tensors, z, _, words = case("x1")
    with pytest.raises(kelman.errors.KelmanError, match="loglik: no argument 'K'"):
        functional.loglik(z, **tensors, K=tensors["A"])
    with pytest.raises(kelman.errors.KelmanError, match="R: expected a tensor, got a ndarray"):
        functional.loglik(z, **{**tensors, "R": np.eye(2)}, **words)


def test_memory_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernels read is the tensor's own memory, and what they write is the memory of the result."""
    from kelman.linear import _native

    tensors, z, u, words = case("several series")
    seen: list[Any] = []
    plain, smooth, gradient = _native.filter_raw, _native.smooth_raw, _native.gradient_raw

    def watched(function: Any) -> Any:
        def call(problem: Any, *arguments: Any, **options: Any) -> Any:
            raw = function(problem, *arguments, **options)
            seen.append((problem.z.ctypes.data, problem.u.ctypes.data, raw.get("mean")))
            return raw

        return call

    for name, function in (("filter_raw", plain), ("smooth_raw", smooth), ("gradient_raw", gradient)):
        monkeypatch.setattr(_native, name, watched(function))
    for function in (functional.filtered_mean, functional.smoothed_mean, functional.loglik):
        seen.clear()
        result = function(z, u=u, **tensors, **words)
        (first,) = seen
        assert first[:2] == (z.data_ptr(), u.data_ptr())
        assert result.ndim == 1 or result.data_ptr() == first[2].ctypes.data
        result.sum().backward()
        assert all(one[:2] == first[:2] for one in seen)
