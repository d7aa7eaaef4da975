"""Templates: places, names, transforms and their Jacobians, and what is refused."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError
from kelman.models._transforms import Bounded, Cholesky, Contraction, StationaryAR, log_volume

if TYPE_CHECKING:
    from collections.abc import Callable

Free, Tied = kelman.Free, kelman.Tied


def slopes(function: Callable[[Any], Any], x: Any, step: float = 1e-6) -> Any:
    """Central differences, the derivative on a last axis."""
    return np.stack([(function(x + step * e) - function(x - step * e)) / (2 * step) for e in np.eye(len(x))], axis=-1)


def tracking() -> kelman.Template:
    """A model with free, tied, affine and joint entries and a time-varying H."""
    H = np.zeros((6, 2, 2))
    H[:, 0, 0], H[:, 1, 1] = 1.0, np.linspace(1, 2, 6)
    Q0 = np.array([[0.25, 0.5], [0.5, 1.0]])
    return kelman.Template(
        [[1.0, Free(0.9, -1, 1)], [0.0, Free(0.4)]],
        H,
        Free(0.5, name="q") * Q0,
        [[Free(), None], [Free(), Free()]],
        c=[Free(), 2 * Tied("q") - 1],
        b=Free(name="drift"),
        m1=[0.0, Free(0.1, upper=3.0)],
        P1=np.eye(2),
    )


def test_names_and_size_follow_the_places() -> None:
    """A parameter is called by its name, or by its place."""
    template = tracking()
    assert template.names == (
        "A[0,1]", "A[1,1]", "q", "R[0,0]", "R[1,0]", "R[1,1]", "drift[0]", "drift[1]", "c[0]", "m1[1]",
    )  # fmt: skip
    assert template.size == 10
    assert template.affine
    assert "10 free: A[0,1]" in repr(template)


def test_the_model_has_the_values_at_their_places() -> None:
    """Tied and affine entries follow their parameter."""
    model = tracking().model([0.8, 0.3, 2.0, 4.0, 1.0, 9.0, 0.5, -0.5, 7.0, 1.5])
    np.testing.assert_array_equal(model.A, [[1, 0.8], [0, 0.3]])
    np.testing.assert_array_equal(model.Q, [[0.5, 1], [1, 2]])
    np.testing.assert_array_equal(model.R, [[4, 1], [1, 9]])
    np.testing.assert_array_equal(model.b, [0.5, -0.5])
    np.testing.assert_array_equal(model.c, [7, 3])
    np.testing.assert_array_equal(model.m1, [0, 1.5])


@pytest.mark.parametrize(
    "transform",
    [
        Bounded(-np.inf, np.inf),
        Bounded(1.0, np.inf),
        Bounded(-np.inf, -1.0),
        Bounded(-2.0, 5.0),
        Cholesky(1),
        Cholesky(4),
        Contraction(3),
        StationaryAR(1),
        StationaryAR(4),
        StationaryAR(3, -1.0),
    ],
    ids=repr,
)
def test_a_transform_inverts_and_its_jacobian_is_exact(transform: Any) -> None:
    """To natural parameters and back, with the derivative by central differences; many rows at once as one by one."""
    eta = np.random.default_rng(3).normal(size=(3, transform.size))
    theta = transform.forward(eta)
    np.testing.assert_allclose(transform.inverse(theta), eta, rtol=1e-11, atol=1e-11)
    jacobian = transform.jacobian(eta)
    for i, one in enumerate(eta):
        np.testing.assert_allclose(transform.forward(one), theta[i], rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(jacobian[i], transform.jacobian(one), rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(jacobian[i], slopes(transform.forward, one), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "transform",
    [Bounded(-np.inf, np.inf), Bounded(1.0, np.inf), Bounded(-np.inf, -1.0), Bounded(-2.0, 5.0), Cholesky(3), Contraction(2), StationaryAR(3)],
    ids=repr,
)  # fmt: skip
def test_volumes_are_those_of_the_jacobian(transform: Any) -> None:
    """The logarithm of its determinant and the derivative of that."""
    eta = np.random.default_rng(5).normal(size=transform.size)
    value, gradient = log_volume(transform, eta)
    assert value == pytest.approx(np.linalg.slogdet(transform.jacobian(eta))[1], abs=1e-12)
    np.testing.assert_allclose(gradient, slopes(lambda x: log_volume(transform, x)[0], eta, 1e-5), atol=1e-6)


def test_transforms_make_what_they_promise() -> None:
    """Covariances are positive definite, contractions have norm below one, autoregressions are stationary."""
    rng = np.random.default_rng(8)
    L = np.zeros((4, 4))
    L[np.tril_indices(4)] = Cholesky(4).forward(rng.normal(size=10) * 2)
    assert np.linalg.eigvalsh(L + np.tril(L, -1).T).min() > 0
    assert np.linalg.norm(Contraction(3).forward(rng.normal(size=9) * 10).reshape(3, 3), 2) < 1
    phi = StationaryAR(5).forward(rng.normal(size=5) * 2)
    assert np.abs(np.roots(np.concatenate([[1], -phi]))).max() < 1


def test_the_gradient_by_parameters_is_exact() -> None:
    """The chain rule through entries, ties and time-varying arrays, against differences of the log-likelihood."""
    template = tracking()
    z = np.random.default_rng(1).normal(size=(4, 6, 2))
    theta = np.array([0.8, 0.3, 2.0, 4.0, 1.0, 9.0, 0.5, -0.5, 7.0, 1.5])
    _, by = kelman.loglik_and_grad(template.model(theta), z)
    expected = slopes(lambda t: kelman.loglik(template.model(t), z).sum(), theta)
    np.testing.assert_allclose(template.gradient(theta, by), expected, rtol=1e-6, atol=1e-6)


def test_many_parameter_vectors_make_one_model_per_series() -> None:
    """Rows of parameters are series of the model, and the gradient comes back by rows."""
    template = tracking()
    z = np.random.default_rng(1).normal(size=(3, 6, 2))
    theta = np.array([0.8, 0.3, 2.0, 4.0, 1.0, 9.0, 0.5, -0.5, 7.0, 1.5]) * np.array([[1.0], [1.1], [0.9]])
    loglik, by = kelman.loglik_and_grad(template.model(theta), z)
    gradient = template.gradient(theta, by)
    assert gradient.shape == (3, 10)
    for i in range(3):
        alone, by_alone = kelman.loglik_and_grad(template.model(theta[i]), z[i])
        assert loglik[i] == pytest.approx(alone, rel=1e-12)
        np.testing.assert_allclose(gradient[i], template.gradient(theta[i], by_alone), rtol=1e-9, atol=1e-9)


def test_a_whole_free_model_starts_admissibly() -> None:
    """Without starts the covariances are positive definite and a stable A is a contraction."""
    template = kelman.Template(Free(np.diag([0.9, 0.3])), Free(), Free(), Free([[2.0]]), stable=True)
    assert template.size == 4 + 2 + 3 + 1
    eta = template.unconstrain(template._guess)
    np.testing.assert_allclose(template.constrain(eta), template._guess, atol=1e-12)
    far = template.model(template.constrain(eta + np.random.default_rng(0).normal(size=10) * 3))
    assert np.abs(np.linalg.eigvals(far.A)).max() < 1


def test_a_function_of_parameters() -> None:
    """Any map; its five-point derivative agrees with the exact one, and the likelihood's gradient with differences."""

    def turn(theta: Any) -> kelman.StateSpace:
        rho, angle, q = theta
        A = rho * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        return kelman.StateSpace(A, [[1.0, 0.0]], q * np.eye(2), [[1.0]], initial="stationary")

    def by(theta: Any) -> dict[str, Any]:
        rho, angle, _ = theta
        A = np.zeros((2, 2, 3))
        A[:, :, 0] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        A[:, :, 1] = rho * np.array([[-np.sin(angle), np.cos(angle)], [-np.cos(angle), -np.sin(angle)]])
        Q = np.zeros((2, 2, 3))
        Q[[0, 1], [0, 1], 2] = 1.0
        return {"A": A, "Q": Q}

    free = {"rho": Free(0.9, 0, 1), "angle": Free(0.3, 0, np.pi), "q": Free(0.1, 0)}
    exact = kelman.Template.from_function(turn, free, jacobian=by)
    numeric = kelman.Template.from_function(turn, free)
    assert not exact.affine
    z = np.random.default_rng(5).normal(size=40)
    theta = exact.start
    _, g = kelman.loglik_and_grad(exact.model(theta), z)
    expected = slopes(lambda t: float(kelman.loglik(exact.model(t), z)), theta)
    np.testing.assert_allclose(exact.gradient(theta, g), expected, rtol=1e-6)
    np.testing.assert_allclose(numeric.gradient(theta, g), exact.gradient(theta, g), rtol=1e-9)


def test_priors_add_up_with_their_slopes() -> None:
    """A distribution's slope is by differences, a function gives its own."""
    from scipy import stats

    template = kelman.Template(
        [[Free(0.5, prior=stats.norm(0.4, 0.2))]],
        [[1.0]],
        [[Free(1.0, prior=lambda q: (-q, -1.0))]],
        [[1.0]],
        m1=[0.0],
        P1=[[1.0]],
    )
    value, slope = template.log_prior([0.6, 2.0])
    assert value == pytest.approx(stats.norm(0.4, 0.2).logpdf(0.6) - 2.0)
    np.testing.assert_allclose(slope, [-(0.6 - 0.4) / 0.04, -1.0], rtol=1e-9)


def test_a_covariance_that_parameters_may_spoil_is_checked() -> None:
    """An off-diagonal parameter that is tied elsewhere has no safe transform: an indefinite value is refused."""
    template = kelman.Template(
        [[0.5, 0.0], [0.0, 0.5]], np.eye(2), np.eye(2), [[1.0, None], [Free(name="r") + 0.0, 1.0]],
    )  # fmt: skip
    assert template._model(np.array([0.9])).R[0, 1] == 0.9
    with pytest.raises(KelmanError, match="R: must be positive semi-definite"):
        template._model(np.array([1.1]))


def test_pickle() -> None:
    """A template goes through pickle."""
    template = tracking()
    again = pickle.loads(pickle.dumps(template))
    np.testing.assert_array_equal(again.model(template._guess).R, template.model(template._guess).R)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kelman.Template([[1.0]], [[1.0]], [[Tied("q")]], [[1.0]]), r"Q\[0,0\]: Tied\('q'\), but no Free"),
        (lambda: kelman.Template([[1.0]], [[1.0]], Tied("q"), [[1.0]]), "Q: expected an array, got one Tied"),
        (lambda: kelman.Template(np.eye(2), np.eye(2), np.eye(2), [[1, 0], [Free(), 1]]), "a covariance is symmetric"),
        (
            lambda: kelman.Template(np.eye(2), np.eye(2), np.eye(2), [[1, None], [Free(), 1]]),
            "R: its free entries connect rows 0, 1",
        ),
        (lambda: kelman.Template([[1.0]], [[1.0]], [[Free(-1.0)]], [[1.0]]), r"Q\[0,0\]: expected a start between 0"),
        (lambda: kelman.Template(np.eye(2), np.eye(3), np.eye(2), [[Free()]]), "H: expected"),
        (lambda: kelman.Template([[Free()]], [[1.0]], [[1.0]], [[1.0]], stable=True), "stable: needs all of A free"),
        (lambda: Free(2.0, 3.0), "start: 2.0 is not between"),
        (lambda: Free(lower=1, upper=1), "lower, upper: expected two numbers"),
        (lambda: Free("a"), "start: expected a number"),
        (lambda: Free(prior=3), "prior: expected a distribution"),
        (lambda: Free() * Free(), "not affine"),
        (lambda: tracking().model([1.0]), r"theta: expected shape \(10,\)"),
        (lambda: tracking().unconstrain([2.0, 0.3, 2, 4, 1, 9, 0.5, -0.5, 7, 1.5]), r"A\[0,1\]: expected a value"),
        (
            lambda: kelman.Template([[Free(name="a")]], [[1.0]], [[1.0]], [[1.0]], P1_inf=[[Free()]]),
            "P1_inf: the diffuse part",
        ),
    ],
)
def test_what_is_refused(make: Callable[[], Any], message: str) -> None:
    """Each error names the argument and says what is wrong with it."""
    with pytest.raises(KelmanError, match=message):
        make()


def test_verbs_refuse_a_template_by_name() -> None:
    """A template is not a model yet."""
    with pytest.raises(KelmanError, match=r"got Template; fit it with kelman.fit\(z, template=...\)"):
        kelman.filter(tracking(), np.zeros((6, 2)))
