# SPDX-License-Identifier: BSD-3-Clause
r"""Distances between systems and between the processes that they describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.errors import KelmanError, NoSteadyStateError
from kelman.lti._check import FloatArray, covariance, matrix
from kelman.lti._lyapunov import require_stable, stein
from kelman.lti._norms import largest_gain, response, system
from kelman.lti._riccati import Riccati, dare
from kelman.lti._standard import standard_form

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from kelman.lti._poles import ComplexArray

System = tuple[FloatArray, FloatArray, FloatArray, FloatArray]


def _system(name: str, given: Any) -> System:
    """(A, B, H, D) of a model or of a tuple."""
    if isinstance(given, (tuple, list)):
        if len(given) not in (3, 4):
            raise KelmanError(f"{name}: expected (A, B, H) or (A, B, H, D), got {len(given)} matrices")
        return system(given[0], given[1], given[2], given[3] if len(given) == 4 else None)
    found = standard_form(given)
    if found[1].shape[1] == 0:
        raise KelmanError(
            f"{name}: the model has no inputs, so it has no transfer function from u to z; "
            "give (A, K, H, I) to compare the responses to the innovations"
        )
    return found


def nu_gap(first: Any, second: Any) -> float:
    r"""Vinnicombe's nu-gap between two systems, a number from 0 (equal) to 1; they may be unstable.

    .. math:: \delta_\nu = \lVert \tilde G_2 G_1 \rVert_\infty
              \quad\text{if } \operatorname{wno} \det (G_2^* G_1) = 0, \qquad \delta_\nu = 1 \text{ otherwise},

    with the normalised graph symbols :math:`G_1 = (N_1; M_1)` (right) and :math:`\tilde G_2 = (-\tilde M_2, \tilde N_2)` (left), which come from one
    Riccati equation each, and the winding number of the determinant around zero on the unit circle. Any controller that stabilises the
    first with margin above the gap stabilises the second.

    Parameters
    ----------
    first, second : StateSpace or tuple
        Models with inputs, or tuples (A, B, H[, D]) of x+ = A x + B u, z = H x + D u, with the same numbers of inputs and outputs.

    Returns
    -------
    float
        The gap; symmetric in its arguments.

    Raises
    ------
    NoSteadyStateError
        If a system has an unreachable or unobservable mode on the unit circle.

    Notes
    -----
    G. Vinnicombe, Uncertainty and Feedback: H-infinity Loop-shaping and the nu-gap Metric, 2001; IEEE Trans. Automatic Control 38 (1993) 1371.

    Examples
    --------
    Two constant gains a and b are at distance ``abs(a - b) / sqrt((1 + a**2) (1 + b**2))``:

    >>> from kelman.lti import nu_gap
    >>> round(nu_gap(([[0.0]], [[0.0]], [[0.0]], [[1.0]]), ([[0.0]], [[0.0]], [[0.0]], [[2.0]])), 12)
    0.316227766017
    """
    G1, G2 = _system("first", first), _system("second", second)
    if G1[3].shape != G2[3].shape:
        raise KelmanError(f"second: expected {G1[3].shape} outputs and inputs as in first, got {G2[3].shape}")
    symbol1, symbol2, left2 = _right_symbol("first", G1), _right_symbol("second", G2), _left_symbol("second", G2)
    if _winding(symbol1, symbol2) != 0:
        return 1.0
    n1, n2 = len(symbol1[0]), len(left2[0])
    series = (
        np.block([[symbol1[0], np.zeros((n1, n2))], [left2[1] @ symbol1[2], left2[0]]]),
        np.vstack([symbol1[1], left2[1] @ symbol1[3]]),
        np.hstack([left2[3] @ symbol1[2], left2[2]]),
        left2[3] @ symbol1[3],
    )
    return min(1.0, largest_gain(*series, tol=1e-10))


def _right_symbol(name: str, G: System) -> System:
    """Realise (N; M), G = N M^-1, N* N + M* M = I; stable."""
    A, B, H, D = G
    p = B.shape[1]
    ss = _solve(name, A.T, B.T, H.T @ H, np.eye(p) + D.T @ D, H.T @ D)
    feedback = -ss.K.T
    root = _inverse_root(ss.Sigma)
    return A + B @ feedback, B @ root, np.vstack([H + D @ feedback, feedback]), np.vstack([D @ root, root])


def _left_symbol(name: str, G: System) -> System:
    """Realise (-M~, N~), G = M~^-1 N~, of inputs (z, u); stable."""
    A, B, H, D = G
    m = H.shape[0]
    ss = _solve(name, A, H, B @ B.T, np.eye(m) + D @ D.T, B @ D.T)
    root = _inverse_root(ss.Sigma)
    return ss.F, np.hstack([ss.K, B - ss.K @ D]), root @ H, np.hstack([-root, root @ D])


def _solve(name: str, *problem: FloatArray) -> Riccati:
    try:
        return dare(*problem)
    except NoSteadyStateError as error:
        raise NoSteadyStateError(f"{name}: has no normalised coprime factors: {error}", mode=error.mode) from error


def _inverse_root(Sigma: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh(Sigma)
    root: FloatArray = vectors / np.sqrt(values) @ vectors.T
    return root


def _winding(symbol1: System, symbol2: System) -> int:
    """Times that det(G2* G1) turns round zero as z goes round the unit circle."""

    def determinant(angles: FloatArray) -> ComplexArray:
        points = np.exp(1j * angles)
        one, two = response(*symbol1, points), response(*symbol2, points)
        found: ComplexArray = np.linalg.det(two.conj().transpose(0, 2, 1) @ one)
        return found

    eigenvalues = np.concatenate([np.linalg.eigvals(symbol1[0]), np.linalg.eigvals(symbol2[0])])
    angles = np.unique(np.concatenate([np.linspace(0, np.pi, 65), np.abs(np.angle(eigenvalues))]))
    values = determinant(angles)
    for _ in range(40):
        step = np.angle(values[1:] / np.where(values[:-1] == 0, 1e-300, values[:-1]))
        wide = np.flatnonzero(np.abs(step) > np.pi / 4)
        if not len(wide) or np.diff(angles)[wide].max() < 1e-12:
            break
        middle = (angles[wide] + angles[wide + 1]) / 2
        order = np.argsort(np.concatenate([angles, middle]))
        angles = np.concatenate([angles, middle])[order]
        values = np.concatenate([values, determinant(middle)])[order]
    step = np.angle(values[1:] / np.where(values[:-1] == 0, 1e-300, values[:-1]))
    return int(np.round(step.sum() / np.pi))  # half the circle; the other half is its mirror image


def excess_covariance(
    model: tuple[ArrayLike, ...],
    predictor: tuple[ArrayLike, ...],
    input_cov: ArrayLike | None = None,
) -> FloatArray:
    r"""Covariance of the difference between a linear predictor and the optimal one, Delta = E (zhat_1 - zhat_2)(.)'.

    With the truth in innovation form, s+ = A s + B u + K e, z = H s + D u + e, and a predictor h+ = F h + K_h z + B_h u, zhat = H_h h + D_h u,

    .. math:: \begin{pmatrix} s \\ h \end{pmatrix}^{+} =
              \begin{pmatrix} A & 0 \\ K_h H & F \end{pmatrix} \begin{pmatrix} s \\ h \end{pmatrix} +
              \begin{pmatrix} K & B \\ K_h & B_h + K_h D \end{pmatrix} \begin{pmatrix} e \\ u \end{pmatrix}

    has a stationary covariance by one Lyapunov equation. The prediction error of the predictor has covariance Sigma + Delta, because
    innovations are orthogonal to the past.

    Parameters
    ----------
    model : tuple
        (A, H, K, Sigma), or (A, H, K, Sigma, B, D) with inputs.
    predictor : tuple
        (F, K_h, H_h), or (F, K_h, H_h, B_h, D_h) with inputs.
    input_cov : array_like, shape (p, p), optional
        Covariance of the white input; the identity when left out.

    Returns
    -------
    ndarray, shape (m, m)
        Delta. The relative excess risk is tr(Sigma^-1 Delta).

    Examples
    --------
    >>> from kelman.lti import dare, excess_covariance
    >>> ss = dare([[0.9]], [[1.0]], [[1.0]], [[1.0]])
    >>> same = excess_covariance(([[0.9]], [[1.0]], ss.K, ss.Sigma), (ss.F, ss.K, [[1.0]]))
    >>> bool(abs(same[0, 0]) < 1e-14)
    True
    """
    if len(model) not in (4, 6) or len(predictor) not in (3, 5):
        raise KelmanError("model: expected (A, H, K, Sigma[, B, D]), and predictor: (F, K, H[, B, D])")
    if (len(model) == 6) != (len(predictor) == 5):
        raise KelmanError("predictor: inputs must be given to both the model and the predictor, or to neither")
    none = [np.zeros((len(np.atleast_2d(model[i])), 0)) for i in (0, 1)]
    A, B, H, D = system(
        model[0], model[4] if len(model) == 6 else none[0], model[1], model[5] if len(model) == 6 else none[1]
    )
    n, m, p = len(A), len(H), B.shape[1]
    K = matrix("K", model[2], n, m, "to match A and H")
    Sigma = covariance("Sigma", model[3], m, "to match H")
    F = matrix("F", predictor[0])
    k = len(F)
    K_h = matrix("K_h", predictor[1], k, m, "to match F and H")
    H_h = matrix("H_h", predictor[2], m, k, "to match H and F")
    B_h = matrix("B_h", predictor[3], k, p, "to match F and B") if p else np.zeros((k, 0))
    D_h = matrix("D_h", predictor[4], m, p, "to match D") if p else np.zeros((m, 0))
    U = np.eye(p) if input_cov is None else covariance("input_cov", input_cov, p, "to match the inputs")
    joint = np.block([[A, np.zeros((n, k))], [K_h @ H, F]])
    require_stable("[[A, 0], [K_h H, F]]", joint)
    noise, drive = np.vstack([K, K_h]), np.vstack([B, B_h + K_h @ D])
    P = stein(joint, noise @ Sigma @ noise.T + drive @ U @ drive.T)
    difference, direct = np.hstack([H, -H_h]), D - D_h
    Delta: FloatArray = difference @ P @ difference.T + direct @ U @ direct.T
    return (Delta + Delta.T) / 2


def kullback_rate(model: Any, other: Any) -> float:
    r"""Kullback-Leibler divergence per step of one Gaussian process from another.

    .. math:: \tfrac12 \left( \operatorname{tr} \Sigma_2^{-1} (\Sigma_1 + \Delta) - m + \log \frac{\det \Sigma_2}{\det \Sigma_1} \right)

    with the innovation covariances and the excess of the second model's predictor on data of the first: the mean log-likelihood per step that
    is lost by using ``other`` in place of ``model`` (the Itakura-Saito divergence of the spectra).

    Parameters
    ----------
    model : StateSpace
        The process that makes the data: time-invariant, stable. Inputs and offsets are left aside.
    other : StateSpace
        The process that they are scored by; time-invariant.

    Returns
    -------
    float
        Nats per step; zero only for equal spectra.

    Examples
    --------
    >>> import kelman
    >>> from kelman.lti import kullback_rate
    >>> one, two = (kelman.StateSpace([[a]], [[1.0]], [[1.0]], [[1.0]]) for a in (0.5, 0.6))
    >>> round(kullback_rate(one, two), 6)
    0.003368
    """
    forms = []
    for given in (model, other):
        A, _, H, _ = standard_form(given)
        forms.append((A, H, dare(A, H, given.Q, given.R, given.S)))
    (A, H, one), (_, H2, two) = forms
    if len(H) != len(H2):
        raise KelmanError(f"other: expected {len(H)} measured values as in model, got {len(H2)}")
    Delta = excess_covariance((A, H, one.K, one.Sigma), (two.F, two.K, H2))
    ratio = np.linalg.solve(two.Sigma, one.Sigma)
    trace = float(np.trace(ratio) + np.trace(np.linalg.solve(two.Sigma, Delta)))
    return 0.5 * (trace - len(H) - float(np.linalg.slogdet(ratio)[1]))
