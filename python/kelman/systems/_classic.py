# SPDX-License-Identifier: BSD-3-Clause
"""The textbook systems: a rotation, an oscillator, a target of nearly constant velocity, a wandering level."""

from __future__ import annotations

from typing import Any

import numpy as np

from kelman._arrays import as_count
from kelman.errors import KelmanError
from kelman.lti import discretize
from kelman.models import StateSpace


def _number(name: str, value: Any, *, least: float = 0.0, strictly: bool = False) -> float:
    fits = isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and np.isfinite(value)
    if not fits or value < least or (strictly and value == least):
        raise KelmanError(f"{name}: expected a number {'>' if strictly else '>='} {least:g}, got {value!r:.60}")
    return float(value)


def rotation(modulus: float = 0.95, angle: float = 0.3, *, q: float = 0.1, r: float = 1.0) -> StateSpace:
    r"""Return a two-state rotation that shrinks by ``modulus`` each step, its first coordinate measured in noise.

    .. math:: x_k = \rho \begin{pmatrix}\cos\theta & -\sin\theta\\ \sin\theta & \cos\theta\end{pmatrix} x_{k-1} + w_{k-1},
              \quad z_k = (1\ 0)\, x_k + v_k

    The defaults are the package's test bed: poles .95 exp(+-.3 j), innovation variance 1.41096, K = (.2832, .0208).

    Parameters
    ----------
    modulus : float, default 0.95
        Modulus of the two poles.
    angle : float, default 0.3
        Angle of the poles in radians per step.
    q : float, default 0.1
        Variance of the state noise, the same for both states.
    r : float, default 1
        Variance of the measurement noise.

    Returns
    -------
    StateSpace
        n = 2, m = 1; started in its stationary distribution where it has one.

    Examples
    --------
    >>> from kelman import lti, systems
    >>> model = systems.rotation()
    >>> print(f"{lti.dare(model.A, model.H, model.Q, model.R).Sigma[0, 0]:.5f}")
    1.41096
    """
    modulus = _number("modulus", modulus)
    angle = _number("angle", angle, least=-np.inf)
    cos, sin = modulus * np.cos(angle), modulus * np.sin(angle)
    return StateSpace([[cos, -sin], [sin, cos]], [[1.0, 0.0]], _number("q", q) * np.eye(2), [[_number("r", r)]])


def oscillator(
    period: float = 20.0, damping: float = 0.05, *, dt: float = 1.0, q: float = 1.0, r: float = 1.0
) -> StateSpace:
    r"""Return a damped oscillator pushed by white noise and by an input, sampled exactly; its position is measured.

    .. math:: \ddot y + 2 \zeta \omega \dot y + \omega^2 y = \omega^2 u + \sqrt{q}\,\omega^{3/2}\,\dot W,
              \qquad \omega = 2\pi / \text{period}

    The input is held between samples and its static gain is one. The noise is scaled with the frequency so that the stationary
    variance of the position, q / (4 zeta), does not depend on the period.

    Parameters
    ----------
    period : float, default 20
        Period of the undamped oscillation, in the unit of dt.
    damping : float, default 0.05
        Damping ratio zeta, >= 0 (0: an undriven amplitude never dies; above 1: two real poles).
    dt : float, default 1
        Sampling interval.
    q : float, default 1
        Strength of the noise.
    r : float, default 1
        Variance of the measurement noise.

    Returns
    -------
    StateSpace
        n = 2 (position, velocity), m = 1, p = 1, ``input_lag`` 1: u_k acts from sample k to k + 1.

    Examples
    --------
    >>> from kelman import lti, systems
    >>> model = systems.oscillator(period=20.0, damping=0.0)
    >>> [round(float(period), 6) for period in lti.pole_stats(lti.poles(model.A)).period]
    [20.0, 20.0]
    """
    omega = 2 * np.pi / _number("period", period, strictly=True)
    zeta = _number("damping", damping)
    sampled = discretize(
        [[0.0, 1.0], [-(omega**2), -2 * zeta * omega]],
        _number("dt", dt, strictly=True),
        B=[[0.0], [omega**2]],
        Q=np.diag([0.0, _number("q", q) * omega**3]),
    )
    return StateSpace.from_shifted(sampled.A, [[1.0, 0.0]], sampled.Q, [[_number("r", r)]], B=sampled.B)


def constant_velocity(dt: float = 1.0, *, q: float = 1.0, r: float = 1.0, axes: int = 1) -> StateSpace:
    r"""Return a target of nearly constant velocity: white-noise acceleration, position measured.

    .. math:: A = \begin{pmatrix}1 & t\\ 0 & 1\end{pmatrix}, \quad
              Q = q \begin{pmatrix}t^3/3 & t^2/2\\ t^2/2 & t\end{pmatrix}, \qquad t = \text{dt}

    (Bar-Shalom, Li & Kirubarajan, Estimation with Applications to Tracking and Navigation, 2001, sec. 6.2).

    Parameters
    ----------
    dt : float, default 1
        Sampling interval.
    q : float, default 1
        Intensity of the acceleration noise.
    r : float, default 1
        Variance of the measurement noise.
    axes : int, default 1
        Number of independent axes (2 for a plane): states are position and velocity of the first, then of the second, ...

    Returns
    -------
    StateSpace
        n = 2 axes, m = axes; diffuse start.

    Examples
    --------
    >>> from kelman import systems
    >>> systems.constant_velocity(0.3, q=2.0).Q.round(12).tolist()
    [[0.018, 0.09], [0.09, 0.6]]
    """
    dt, q, r = _number("dt", dt, strictly=True), _number("q", q), _number("r", r)
    one = np.eye(as_count(axes, "axes"))
    A = np.array([[1.0, dt], [0.0, 1.0]])
    Q = q * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
    return StateSpace(np.kron(one, A), np.kron(one, [[1.0, 0.0]]), np.kron(one, Q), r * one)


def local_level(q: float = 1.0, r: float = 1.0) -> StateSpace:
    """Return a random walk seen through noise.

    With q = r its predictor gain is the golden ratio's fraction .618.

    Parameters
    ----------
    q : float, default 1
        Variance of the step of the level.
    r : float, default 1
        Variance of the measurement noise.

    Returns
    -------
    StateSpace
        n = m = 1; diffuse start.

    Examples
    --------
    >>> from kelman import lti, systems
    >>> model = systems.local_level()
    >>> print(f"{lti.dare(model.A, model.H, model.Q, model.R).K[0, 0]:.6f}")
    0.618034
    """
    return StateSpace([[1.0]], [[1.0]], [[_number("q", q)]], [[_number("r", r)]])
