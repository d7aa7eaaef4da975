"""Derivatives of filtered and smoothed means by hand: against many digits, and against autograd through the reference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import kelman
from kelman.linear import _mean_adjoint, _tape
from kelman.linear._gradient import _stepwise
from kelman.linear._problem import pose
from tests.linear.gradient_cases import build

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from kelman.torch import _means, functional
from tests.torch.mean_oracle import errors

KINDS: dict[str, dict[str, Any]] = {
    "x0, all": {"start": "x0", "offsets": True, "S": True, "p": 1, "N": 2},
    "x1, singular noises": {"start": "x1", "rank_Q": 1, "rank_R": 1, "p": 2, "lag": 1, "offsets": True},
    "x1, no noise of the measurement": {"start": "x1", "rank_R": 0, "n": 4, "N": 2, "gaps": 0.0},
    "varies in time": {"start": "x1", "time": "A H Q R B D b c S", "S": True, "p": 1, "offsets": True, "lag": 1},
    "varies by series": {"start": "x1", "series": "A Q c m", "N": 2, "offsets": True},
    "stationary": {"start": "stationary", "p": 1, "offsets": True, "N": 2, "gaps": 0.0},
    "auto": {"start": "auto", "p": 1, "N": 2, "offsets": True, "T": 11},
    "auto, one": {"start": "auto", "p": 1, "lag": 1, "T": 11, "S": True},
    "diffuse": {"start": "diffuse", "N": 2, "T": 10, "gaps": 0.1},
    "diffuse, shared": {"start": "diffuse", "N": 2, "T": 10, "gaps": 0.0, "m": 1, "n": 3, "rank_Q": 1},
    "partly diffuse, of series": {"start": "x1_inf", "N": 2, "T": 10, "series": "A m"},
}


def posed_of(kind: dict[str, Any]) -> tuple[Any, Any]:
    """A problem, and weights of its means."""
    model, z, u = build(**({"n": 3, "m": 2, "T": 6, "N": 1} | kind))
    return pose(model, z, u), np.random.default_rng(7).normal(size=(*z.shape[:2], model.dims.n))


@pytest.mark.parametrize("smoothed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_are_those_of_many_digits(kind: str, smoothed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By every matrix, the start, z and u, along random directions, for every kind of model and start; none by autograd."""
    posed, g = posed_of(KINDS[kind])
    if smoothed or not posed.problem.rank.any():
        monkeypatch.setattr(_means, "pulled", None)
    found = _means.derivatives(posed, g, smoothed, 1)
    fields = {"A", "H", "Q", "R", "mean", "cov", "z"} | {
        name for name in ("B", "D", "b", "c", "S", "u", "noise_cov") if getattr(posed.problem, name) is not None
    }
    assert fields <= set(found)
    assert max(errors(_stepwise(posed), g, smoothed, found).values()) < 1e-11


def random_model(seed: int) -> dict[str, Any]:
    """Sizes and kinds of all sorts."""
    rng = np.random.default_rng(seed)
    n, m, N, T = (int(rng.integers(*span)) for span in ((1, 7), (1, 4), (1, 4), (2, 14)))
    start = str(rng.choice(["x0", "x1", "stationary", "auto", "diffuse", "x1_inf"]))
    vague = start in ("auto", "diffuse", "x1_inf")
    kind: dict[str, Any] = {
        "start": start, "n": n, "m": m, "N": N, "T": T + n + 4 if vague else T, "p": int(rng.integers(3)), "seed": seed,
        "offsets": bool(rng.integers(2)), "lag": int(start != "x0" and rng.integers(2)),
        "gaps": float(rng.choice([0.0, 0.2])),
    }  # fmt: skip
    if rng.integers(2):
        kind["S"] = True
    else:
        kind |= {"rank_Q": int(rng.integers(1, n + 1)), "rank_R": int(rng.integers(m + 1))}
    if rng.integers(3) == 0 and start not in ("stationary", "auto"):
        kind["time"] = "A H Q R B D b c S"
    if rng.integers(3) == 0:
        kind["series"] = "A Q b m" if start[:2] in ("x0", "x1") else "A Q b"
    return kind


def full(posed: Any, found: dict[str, Any]) -> dict[str, Any]:
    """What the verbs make of derivatives, in the shapes of the model's arrays, and those by z, u and the mean of the start."""
    from kelman.linear._gradient import _record

    names = [name for name in ("z", "u", "mean") if name in found]
    return dict(_record(posed, dict(found), False)) | {f"by {name}": found[name] for name in names}


@pytest.mark.parametrize("seed", range(60))
def test_derivatives_are_those_of_autograd_through_the_reference(seed: int) -> None:
    """To 1e-9 of the largest entry of each array: n = 1..6, m = 1..3, gaps, singular noises, inputs, all starts."""
    posed, g = posed_of(random_model(seed))
    for smoothed in (False, True):
        if smoothed and posed.problem.rank.any():
            continue
        found = full(posed, _means.derivatives(posed, g, smoothed, 1))
        expected = full(posed, _means.pulled(_stepwise(posed), g, smoothed, posed.model.dims.N is None))
        assert set(expected) == set(found)
        for name, array in expected.items():
            scale = max(1.0, float(np.abs(array).max(initial=0)))
            np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-9 * scale, err_msg=name)


@pytest.mark.parametrize("kind", ["x0, all", "varies by series", "auto", "stationary"])
def test_series_in_parts_give_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all series at once would be too much memory, some at a time."""
    posed, g = posed_of(KINDS[kind] | {"N": 5})
    for smoothed in (False, True):
        whole = _means.derivatives(posed, g, smoothed, 1)
        with monkeypatch.context() as patched:
            patched.setattr(_mean_adjoint, "_LIMIT", 2 * g.shape[1] * g.shape[2] ** 2)
            parts = _means.derivatives(posed, g, smoothed, 1)
        for name, value in whole.items():
            np.testing.assert_allclose(parts[name], value, rtol=0, atol=1e-12 * max(1, np.abs(value).max()))


@pytest.mark.parametrize("start", ["x0", "x1", "stationary", "diffuse"])
def test_series_with_the_same_gaps_go_together(start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two calendars of ten series in turn, with offsets of their own: as each series by itself."""
    model, z, u = build(start, n=3, m=2, p=1, T=11, N=20, gaps=0.0, offsets=True, series="b" if start[0] == "x" else "")
    z[::2, 3], z[1::2, [5, 7], 1] = np.nan, np.nan
    posed, g = pose(model, z, u), np.random.default_rng(5).normal(size=(20, 11, 3))
    plain = _tape.groups(posed.problem, False)
    assert [(list(group), shared) for group, shared in plain] == [
        (list(range(first, 20, 2)), True) for first in (int(plain[0][0][0]), 1 - int(plain[0][0][0]))
    ]
    for smoothed in (False, True):
        together = full(posed, _means.derivatives(posed, g, smoothed, 1))
        with monkeypatch.context() as patched:
            patched.setattr(_tape, "_WORTH", 100)
            alone = full(posed, _means.derivatives(posed, g, smoothed, 1))
        for name, value in alone.items():
            np.testing.assert_allclose(together[name], value, rtol=0, atol=1e-10 * max(1, np.abs(value).max()))


@pytest.mark.parametrize("smoothed", [False, True])
def test_measurements_known_beforehand_are_left_to_the_reference(smoothed: bool) -> None:
    """A rotation without noises is known after two steps; what is measured then has no variance, and changes nothing."""
    model = kelman.StateSpace(
        [[0.8, 0.6], [-0.6, 0.8]], [[1.0, 0.0]], np.zeros((2, 2)), [[0.0]], m1=[0.0, 0.0], P1=np.eye(2)
    )
    z = np.array([model.H @ np.linalg.matrix_power(model.A, k) @ [1.0, 2.0] for k in range(8)])
    posed = pose(model, z)
    g = np.random.default_rng(3).normal(size=(1, 8, 2))
    problem = _stepwise(posed)
    from kelman.linear import _native

    assert _mean_adjoint.mean_gradient(problem, g, smoothed, _native, summed=True, own=False, threads=1) is None
    found = _means.derivatives(posed, g, smoothed, 1)
    # both means are the state itself, a linear function of the first two measurements
    A, first = model.A, np.linalg.inv(np.concatenate([model.H, model.H @ model.A]))
    expected = np.zeros(8)
    for k in range(8):
        known = first if smoothed or k else np.diag([1.0, 0.0])  # the filter knows only one of two numbers at first
        expected[:2] += g[0, k] @ np.linalg.matrix_power(A, k) @ known
    np.testing.assert_allclose(found["z"][0, :, 0], expected, atol=1e-10)


def test_a_start_that_the_measurements_do_not_determine_is_refused() -> None:
    """Smoothed means are then those of least norm, which have no derivative: the error says what to give."""
    z = torch.tensor([[1.0], [torch.nan], [torch.nan]], dtype=torch.float64, requires_grad=True)
    A, H, Q, R = (
        torch.tensor(v, dtype=torch.float64) for v in ([[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0]], np.eye(2), [[1.0]])
    )
    mean = functional.smoothed_mean(z, A, H, Q, R, initial="diffuse")
    with pytest.raises(kelman.errors.KelmanError, match="do not determine the diffuse start"):
        mean.sum().backward()


def test_a_series_of_nothing_but_gaps_that_counts_nothing_does_no_harm() -> None:
    """Its smoothed means have no derivative, but with the weight zero none is asked for."""
    z = np.random.default_rng(2).normal(size=(2, 8, 1))
    z[1] = np.nan
    A, H, Q, R = (
        torch.tensor(v, dtype=torch.float64) for v in ([[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0]], np.eye(2), [[1.0]])
    )
    found = []
    for data in (z, z[:1]):
        own = A.clone().requires_grad_()
        mean = functional.smoothed_mean(torch.tensor(data), own, H, Q, R, initial="diffuse")
        mean[0].square().sum().backward()
        found.append(own.grad)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)


def test_a_diffuse_start_is_the_limit_of_wide_ones() -> None:
    """Smoothed means of the Nile: the gradient from a given P1 tends to that from the diffuse start as 1 / P1."""
    z = torch.tensor(np.array(kelman.datasets.nile().z))
    one = torch.ones(1, 1, dtype=torch.float64)

    def gradient(**start: Any) -> Any:
        Q, R = torch.tensor([[1469.1]], dtype=torch.float64), torch.tensor([[15098.5]], dtype=torch.float64)
        values = (z.clone().requires_grad_(), one.clone().requires_grad_(), Q.requires_grad_(), R.requires_grad_())
        mean = functional.smoothed_mean(values[0], values[1], one, values[2], values[3], **start)
        (mean.squeeze() * torch.linspace(-1, 2, len(z), dtype=torch.float64)).sum().backward()
        return [value.grad.flatten() for value in values]

    exact, wide, wider = (
        gradient(initial="diffuse"),
        *(gradient(m1=0 * one[0], P1=width * one) for width in (1e7, 1e8)),
    )
    for a, b, c in zip(exact, wide, wider, strict=True):
        ratio = (b - a).abs().max() / (c - a).abs().max()
        assert ratio.item() == pytest.approx(10, rel=1e-2)


def test_single_precision_is_computed_in_double() -> None:
    """Gradients of float32 tensors are those of the same numbers in double, rounded."""
    model, z, _ = build("x1", n=3, m=2, T=7, N=2)
    found = []
    for dtype in (torch.float32, torch.float64):
        tensors = {
            name: torch.tensor(np.array(getattr(model, name), dtype=np.float32)).to(dtype).requires_grad_()
            for name in ("A", "H", "Q", "R", "m1", "P1")
        }
        data = torch.tensor(z.astype(np.float32)).to(dtype).requires_grad_()
        functional.smoothed_mean(data, **tensors).sum().backward()
        found.append([data.grad, *(tensor.grad for tensor in tensors.values())])
        assert all(grad.dtype == dtype for grad in found[-1])
    for narrow, wide in zip(*found, strict=True):
        assert torch.equal(narrow, wide.float())


def test_inputs_shared_by_series_have_one_derivative() -> None:
    """u (T, p) for N series: the sum of those of each, for all three functions."""
    model, z, u = build("auto", n=2, m=2, p=1, T=8, N=3, gaps=0.1)
    entries = {name: torch.tensor(np.array(getattr(model, name))) for name in ("A", "H", "Q", "R", "B", "D")}
    for name in ("loglik", "filtered_mean", "smoothed_mean"):
        one = torch.tensor(u[0], requires_grad=True)
        each = torch.tensor(np.stack([u[0]] * 3), requires_grad=True)
        for inputs in (one, each):
            value = getattr(functional, name)(torch.tensor(z), u=inputs, initial="auto", **entries)
            (value * torch.linspace(1, 2, value.numel(), dtype=torch.float64).view_as(value)).sum().backward()
        np.testing.assert_allclose(one.grad, each.grad.sum(0), atol=1e-12)


def test_problems_are_left_as_they_are() -> None:
    """No array of the problem is written to."""
    posed, g = posed_of(KINDS["diffuse"])
    before = {name: np.array(getattr(posed.problem, name)) for name in ("z", "A", "H", "cov", "inf", "mean")}
    for smoothed in (False, True):
        _means.derivatives(posed, g, smoothed, 1)
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(posed.problem, name), array)
    assert replace(posed.problem).rank.any()


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("start", ["x1", "stationary", "auto", "diffuse"])
def test_the_log_likelihood_has_derivatives_by_inputs_from_every_start(start: str, lag: int) -> None:
    """To 1e-9 of the largest entry: those of autograd through the reference, whose start moves with the first input."""
    from kelman.torch._linear import loglik

    model, z, u = build(start, n=3, m=2, p=2, T=9, N=2, lag=lag, offsets=True)
    names = ("A", "H", "Q", "R", "B", "D", "b", "c", "m1", "P1")
    entries = {name: torch.tensor(np.array(v)) for name in names if (v := getattr(model, name)) is not None}
    words = {"input_lag": lag} | ({} if start == "x1" else {"initial": start})
    inputs = torch.tensor(u, requires_grad=True)
    weights = torch.tensor([1.0, -2.0], dtype=torch.float64)
    (functional.loglik(torch.tensor(z), u=inputs, **entries, **words) * weights).sum().backward()
    again = torch.tensor(u, requires_grad=True)
    problem = pose(model, z, u).problem
    still = pose(model, z, np.zeros_like(u)).problem.mean
    moved = torch.tensor(still) + (again[:, 0] @ entries["B"].T if start in ("stationary", "auto") and not lag else 0)
    expected = (loglik(replace(problem, u=again, mean=moved)) * weights).sum()
    (found,) = torch.autograd.grad(expected, again)
    np.testing.assert_allclose(inputs.grad, found, rtol=0, atol=1e-9 * max(1, found.abs().max().item()))
