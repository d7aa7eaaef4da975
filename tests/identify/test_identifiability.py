"""Bases of the state, and what data can tell: the same likelihood in every basis, flat directions found and named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError
from kelman.identify import canonical, change_basis

Free = kelman.Free


def model(n: int = 3, m: int = 2, seed: int = 0, **extra: Any) -> kelman.StateSpace:
    """A stable model with everything in it."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(n, n))
    A *= 0.9 / np.abs(np.linalg.eigvals(A)).max()
    G = rng.normal(size=(n + m, n + m))
    joint = G @ G.T
    return kelman.StateSpace(
        A,
        rng.normal(size=(m, n)),
        joint[:n, :n],
        joint[n:, n:],
        S=joint[:n, n:],
        B=rng.normal(size=(n, 2)),
        D=rng.normal(size=(m, 2)),
        b=rng.normal(size=n),
        c=rng.normal(size=m),
        **extra,
    )


@pytest.mark.parametrize("start", ["stationary", "x0", "x1"])
def test_another_basis_predicts_the_same(start: str) -> None:
    """Likelihood and filtered measurements do not change; states are turned by T."""
    n = 3
    kinds: dict[str, dict[str, Any]] = {
        "stationary": {"initial": "stationary"},
        "x0": {"m0": np.arange(n) + 0.5, "P0": np.eye(n)},
        "x1": {"m1": np.arange(n) + 0.5, "P1": np.eye(n)},
    }
    one = model(**kinds[start])
    T = np.random.default_rng(9).normal(size=(n, n))
    two = change_basis(one, T)
    rng = np.random.default_rng(2)
    z, u = rng.normal(size=(30, 2)), rng.normal(size=(30, 2))
    assert kelman.loglik(two, z, u) == pytest.approx(float(kelman.loglik(one, z, u)), rel=1e-9)
    np.testing.assert_allclose(kelman.filter(two, z, u).mean, kelman.filter(one, z, u).mean @ T.T, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("form", ["balanced", "modal", "observable"])
def test_a_canonical_form_depends_on_the_prediction_alone(form: Any) -> None:
    """From any basis the same arrays; and no other likelihood."""
    one = model(initial="stationary")
    two = change_basis(one, np.random.default_rng(4).normal(size=(3, 3)))
    first, second = canonical(one, form), canonical(two, form)
    for name in ("A", "H", "B", "Q"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=1e-6, atol=1e-7)
    z, u = np.random.default_rng(2).normal(size=(2, 20, 2))
    assert kelman.loglik(first, z, u) == pytest.approx(float(kelman.loglik(one, z, u)), rel=1e-9)


def test_what_canonical_forms_look_like() -> None:
    """Companion and [I 0]; blocks of pole pairs; equal diagonal Gramians of the predictor."""
    one = model(initial="stationary")
    observable = canonical(one, "observable")
    np.testing.assert_allclose(observable.H, np.eye(3)[:2], atol=1e-10)
    single = canonical(kelman.systems.rotation(), "observable")
    np.testing.assert_allclose(single.H, [[1.0, 0.0]], atol=1e-12)
    np.testing.assert_allclose(single.A[0], [0.0, 1.0], atol=1e-12)
    modal = canonical(kelman.systems.rotation(), "modal")
    np.testing.assert_allclose(modal.A[0, 0], modal.A[1, 1])
    np.testing.assert_allclose(modal.A[0, 1], -modal.A[1, 0])
    balanced = canonical(one, "balanced")
    K = kelman.steady_state(balanced).K
    F = balanced.A - K @ balanced.H
    drive = np.hstack([K, balanced.B])
    reach = kelman.lti.lyapunov(F, drive @ drive.T)
    see = kelman.lti.lyapunov(F.T, balanced.H.T @ balanced.H)
    np.testing.assert_allclose(reach, see, atol=1e-8)
    np.testing.assert_allclose(reach, np.diag(np.diag(reach)), atol=1e-8)


def test_two_fits_are_aligned() -> None:
    """Fits to two records of one system differ in their basis; aligned with the truth they are near it."""
    truth = kelman.systems.rotation()
    z = kelman.simulate(truth, 20_000, rng=0).z
    found = kelman.fit(z, n_states=2).model
    turned, T = kelman.align(found, truth)
    np.testing.assert_allclose(turned.A, truth.A, atol=0.02)
    np.testing.assert_allclose(turned.H, truth.H, atol=0.02)
    np.testing.assert_allclose(T @ found.A, turned.A @ T, atol=1e-9)


def test_the_bases_of_a_whole_free_model_are_counted() -> None:
    """Of an order alone: n^2 flat directions, all of them bases; entries of A are refused with the reason, Sigma is told."""
    z = kelman.simulate(kelman.systems.rotation(), 3000, rng=1).z
    fit = kelman.fit(z, n_states=2, method="mle")
    found = kelman.identifiability(fit)
    assert (found.rank, found.bases, found.directions.shape) == (5, 4, (9, 4))
    assert found.determined == ("Sigma[0,0]",)
    assert "kelman.align" in found.summary()
    with pytest.raises(KelmanError, match="entries of A are not determined"):
        fit.entries("A")
    value, std = fit.entries("R")
    assert std[0, 0] == pytest.approx(fit.std_errors[fit.names.index("Sigma[0,0]")], rel=1e-5)
    assert value[0, 0] == fit.model.R[0, 0]


def test_flat_directions_that_are_no_bases() -> None:
    """Two offsets that always add up cannot be told apart, and that is said with a formula."""
    z = np.random.default_rng(0).normal(size=300)
    tied = kelman.Template(
        [[0.0]], [[1.0]], [[0.0]], [[1.0]], c=[Free(name="a") + Free(name="b")], m1=[0.0], P1=[[0.0]]
    )
    pair = kelman.identifiability(kelman.fit(z, template=tied))
    assert pair.undetermined == ("a", "b")
    assert (pair.rank, pair.bases) == (1, 0)
    assert "flat:" in pair.summary()


def test_everything_determined_is_said() -> None:
    """A local level has no flat direction."""
    level = kelman.Template([[1.0]], [[1.0]], [[Free()]], [[Free()]], initial="diffuse")
    fit = kelman.fit(kelman.datasets.nile().z, template=level)
    found = kelman.identifiability(fit)
    assert found.determined == ("Q[0,0]", "R[0,0]")
    assert "Every other parameter is determined" in found.summary()
    np.testing.assert_allclose(fit.entries("Q")[1][0, 0], fit.std_errors[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: change_basis(model(), np.ones((3, 3))), "T: expected a regular matrix"),
        (lambda: change_basis(model(), np.eye(2)), r"T: expected shape \(3, 3\)"),
        (lambda: canonical(model(), "jordan"), "form: expected one of"),
        (lambda: canonical(kelman.StateSpace(np.eye(2), [[1.0, 0.0]], np.eye(2), [[1.0]]), "observable"), "not observable"),
        (lambda: canonical(kelman.StateSpace(np.eye(2) * 0.5, np.eye(2), np.eye(2), np.eye(2)).replace(A=[[0.5, 1], [0, 0.5]]), "modal"), "equal poles"),
        (lambda: kelman.align(model(), model(n=2)), "reference: has n = 2"),
        (lambda: kelman.identifiability(3), "fit: expected what kelman.fit returned"),
        (lambda: kelman.identifiability(kelman.fit(kelman.simulate(kelman.systems.rotation(), 500, rng=0).z, n_states=2)), "up to the basis of its state, 4 directions"),
    ],
)  # fmt: skip
def test_what_is_refused(call: Any, message: str) -> None:
    """Each error says what is wrong."""
    with pytest.raises(KelmanError, match=message):
        call()
