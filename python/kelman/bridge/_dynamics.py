# SPDX-License-Identifier: BSD-3-Clause
"""What was read off a network: the record that `read_dynamics` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.errors import KelmanError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kelman.bridge._predictor import LinearPredictor
    from kelman.models import StateSpace

__all__ = ["Dynamics"]


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Dynamics:
    """The linear dynamics read off a network: x_{k+1} = A x_k + B u_k + K e_k, z_k = H x_k + D u_k + e_k.

    With n = ``order`` states, m measured values, p inputs:

    Attributes
    ----------
    A : ndarray, shape (n, n)
        Transition of the model behind the predictor: F + K H. For an Elman network whose hidden layer has this order, U + W_z V.
    K : ndarray, shape (n, m)
        Predictor gain.
    F : ndarray, shape (n, n)
        Closed loop A - K H: what the recurrent weights hold.
    B, D : ndarray, shapes (n, p) and (m, p)
        Input matrices, in the convention of ``model`` (see ``model.input_lag``).
    H : ndarray, shape (m, n)
        Measurement matrix.
    Sigma : ndarray, shape (m, m), or None
        Innovation covariance; None without data.
    poles : ndarray of complex, shape (n,)
        Eigenvalues of A, largest modulus first.
    pole_cov : ndarray, shape (n, 2, 2)
        Covariance of real and imaginary part of each pole, from the Fisher information of the predictor on the data (plus the
        scatter between probes for a behavioural read-out); NaN without data.
    poles_recurrent : ndarray of complex
        Eigenvalues of the recurrent weights alone (U): the wrong reading, kept to be shown beside the right one. Empty when the
        predictor has no weights.
    order : int
        Number of states n.
    hankel : ndarray
        Hankel singular values of the predictor, weighted by the covariances of its inputs and of the innovation.
    criterion : dict of int to float
        The order criterion (BIC, less its minimum) for each order that was tried; empty when the order was given.
    model : StateSpace
        The model, in innovation form (Q = K Sigma K', S = K Sigma, R = Sigma).
    method : str
        How it was read: "weights", "behaviour", "jacobian" or "average_jacobian". For the Jacobians A is that of the free-running
        map (the network fed with its own prediction) and F that of the driven one; most papers mix the two.
    distance : float
        Excess risk between the network's (linear) prediction and that of ``model``: what the reduction changed.
    linear_r2 : float
        Share of the network's prediction that a linear predictor explains: 1 for linear networks. The honesty gauge.
    linear_r2_gap : float
        Excess risk of the part that no linear predictor explains, tr Sigma^-1 Cov(rest); 0 for linear networks.
    n_samples : int
        Number of samples behind the error bars; 0 without data.
    T : ndarray, shape (n_reference, n), or None
        Change of basis to the states of the reference: x_reference = T x.
    reference : StateSpace or None
        The reference that was given.
    amplitude_poles : dict of float to ndarray
        Poles read at other amplitudes of the probe, where these were asked for.
    flags : tuple of str
        What to beware of, in words; empty when nothing was found.
    """

    A: NDArray[Any]
    K: NDArray[Any]
    F: NDArray[Any]
    B: NDArray[Any]
    D: NDArray[Any]
    H: NDArray[Any]
    Sigma: NDArray[Any] | None
    poles: NDArray[Any]
    pole_cov: NDArray[Any]
    poles_recurrent: NDArray[Any]
    order: int
    hankel: NDArray[Any]
    criterion: dict[int, float]
    model: StateSpace
    method: str
    distance: float
    linear_r2: float
    linear_r2_gap: float
    n_samples: int
    T: NDArray[Any] | None
    reference: StateSpace | None
    amplitude_poles: dict[float, NDArray[Any]]
    flags: tuple[str, ...]
    predictor: LinearPredictor = field(repr=False)

    @property
    def pole_std(self) -> NDArray[Any]:
        """Standard deviations of modulus and angle of each pole, shape (n, 2), by the delta method."""
        re, im = self.poles.real, self.poles.imag
        size = np.maximum(np.abs(self.poles), 1e-300)
        radial = np.stack([re, im], axis=-1) / size[:, None]
        turning = np.stack([-im, re], axis=-1) / size[:, None] ** 2
        var = [np.einsum("ia,iab,ib->i", d, self.pole_cov, d) for d in (radial, turning)]
        std: NDArray[Any] = np.sqrt(np.maximum(np.stack(var, axis=-1), 0.0))
        return std

    def ellipse(self, level: float = 0.95, points: int = 120) -> NDArray[Any]:
        """Confidence ellipses of the poles as closed curves.

        Parameters
        ----------
        level : float, default 0.95
            Coverage of each ellipse on its own.
        points : int, default 120
            Points per curve.

        Returns
        -------
        ndarray of complex, shape (n, points)
            Curves; a real pole has a segment of the real axis (its imaginary part has no variance).
        """
        if not 0 < level < 1:
            raise KelmanError(f"level: expected a number between 0 and 1, got {level!r}")
        turn = np.linspace(0.0, 2 * np.pi, points)
        circle = np.stack([np.cos(turn), np.sin(turn)])
        out = np.empty((len(self.poles), points), dtype=complex)
        for i, (pole, cov) in enumerate(zip(self.poles, self.pole_cov, strict=True)):
            if not np.isfinite(cov).all():
                out[i] = np.nan
                continue
            values, vectors = np.linalg.eigh(cov)
            reach = _chi2(level, 1 if abs(pole.imag) < 1e-12 else 2)
            curve = vectors @ (np.sqrt(np.maximum(values, 0.0) * reach)[:, None] * circle)
            out[i] = pole + curve[0] + 1j * curve[1]
        return out

    def covers(self, poles: Any, level: float = 0.95) -> NDArray[np.bool_]:
        """Say for each pole read whether its confidence ellipse contains the nearest of the given poles.

        Parameters
        ----------
        poles : array_like of complex
            True poles, at least as many as were read.
        level : float, default 0.95
            Coverage of each ellipse.

        Returns
        -------
        ndarray of bool, shape (n,)
            True where it does.
        """
        from kelman.lti import match_poles

        index, _ = match_poles(self.poles, poles)
        gap = np.asarray(poles)[index] - self.poles
        parts = np.stack([gap.real, gap.imag], axis=-1)
        distance = np.einsum("ia,iab,ib->i", parts, np.linalg.pinv(self.pole_cov, rcond=1e-12, hermitian=True), parts)
        real = np.abs(self.poles.imag) < 1e-12
        off = real & (np.abs(gap.imag) > 1e-12)
        inside: NDArray[np.bool_] = (distance <= np.where(real, _chi2(level, 1), _chi2(level, 2))) & ~off
        return inside

    def markov(self, steps: int) -> NDArray[Any]:
        """Responses of z to [u, e]: D and I at once, then H A^{i-1} [B K].

        Parameters
        ----------
        steps : int
            Last lag.

        Returns
        -------
        ndarray, shape (steps + 1, m, p + m)
            Inputs in the standard form x+ = A x + B u, z = H x + D u (see ``kelman.lti.standard_form``).
        """
        from kelman.lti import markov

        p = self.predictor
        drive = np.hstack([p.B, p.K])
        direct = np.hstack([p.D, np.eye(p.m)])
        return markov(p.A, drive, p.H, steps, direct)

    @property
    def aligned(self) -> StateSpace:
        """The model in the basis of the reference: A' = T A T^-1, K' = T K, H' = H T^-1, B' = T B."""
        if self.T is None or self.T.shape[0] != self.T.shape[1]:
            raise KelmanError("aligned: needs reference= of the same order as the read-out")
        inverse = np.linalg.inv(self.T)
        model = self.model
        B = None if model.B is None else self.T @ model.B
        b = None if model.b is None else self.T @ model.b
        S = None if model.S is None else self.T @ model.S
        Q = self.T @ model.Q @ self.T.T
        return model.replace(
            A=self.T @ model.A @ inverse, H=model.H @ inverse, Q=(Q + Q.T) / 2, S=S, B=B, b=b,
            m0=None, P0=None, m1=None, P1=None, initial="auto",
        )  # fmt: skip

    def summary(self) -> str:
        """Text: order, poles with error bars, the wrong reading beside them, and what to beware of.

        Returns
        -------
        str
            About a dozen lines.
        """
        m, p = self.H.shape[0], self.B.shape[1]
        how = {
            "weights": "weights: A = U + W_z V",
            "behaviour": "behaviour: its predictions on fresh data, regressed on the past",
            "jacobian": "Jacobian at the free-running fixed point",
            "average_jacobian": "average Jacobian along the data",
        }[self.method]
        head = f"Dynamics of order {self.order}, {m} measured, {p} inputs; read from the {how}"
        lines = [head]
        if self.n_samples:
            lines.append(f"sd: standard deviation that {self.n_samples} samples allow")
        lines.append(f"{'pole':>24} {'modulus':>9} {'sd':>8} {'angle':>9} {'sd':>8} {'period':>9} {'half-life':>10}")
        from kelman.lti import pole_stats

        stats = pole_stats(self.poles)
        for i, std in enumerate(self.pole_std):
            pole = self.poles[i]
            if pole.imag < -1e-12:
                continue  # one line per pair
            text = f"{pole.real:.5f} ± {pole.imag:.5f}j" if pole.imag > 1e-12 else f"{pole.real:.5f}"
            lines.append(
                f"{text:>24} {stats.modulus[i]:9.5f} {std[0]:8.2g} {stats.angle[i]:9.5f} {std[1]:8.2g} "
                f"{stats.period[i]:9.4g} {stats.half_life[i]:10.4g}"
            )
        if len(self.poles_recurrent):
            wrong = ", ".join(f"{abs(v):.4f}" for v in self.poles_recurrent[: max(self.order, 2)])
            lines.append(f"moduli of eig(U), the recurrent weights alone (not the dynamics): {wrong}")
        values = ", ".join(f"{v:.3g}" for v in self.hankel[:8])
        lines.append(f"Hankel singular values of the predictor: {values}")
        lines.append(
            f"excess risk between the network and this model: {self.distance:.3g} (relative to the innovation)"
        )
        if self.method == "behaviour":
            lines.append(f"linear R^2 of the network's predictions: {self.linear_r2:.5f}")
        lines.extend(f"beware: {flag}" for flag in self.flags)
        return "\n".join(lines)

    def plot(self, **options: Any) -> Any:
        """Draw the poles with their ellipses (extra ``app``); see ``kelman.plotting``."""
        from kelman import _registry

        return _registry.plot(self, **options)

    def __repr__(self) -> str:
        poles = ", ".join(f"{v:.4f}" for v in self.poles[:6])
        return f"Dynamics(order {self.order}, poles [{poles}{', ...' if self.order > 6 else ''}], by {self.method})"


def _chi2(level: float, degrees: int) -> float:
    if degrees == 2:
        return float(-2 * np.log1p(-level))
    from scipy.stats import chi2

    return float(chi2.ppf(level, degrees))
