# SPDX-License-Identifier: BSD-3-Clause
"""Seasonal patterns and cycles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kelman._arrays import as_count, as_flag, one_of
from kelman.errors import KelmanError
from kelman.models._transforms import Bounded
from kelman.structural._component import (
    POSITIVE,
    Component,
    Signal,
    Slot,
    Target,
    VarianceComponent,
    called,
    given_variance,
)
from kelman.structural._structural import Structural
from kelman.structural._trend import Covariance, wide

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.models._transforms import Transform
    from kelman.structural._data import Record


def seasonal(
    period: float,
    kind: Literal["dummy", "trigonometric"] = "dummy",
    harmonics: int | None = None,
    *,
    deterministic: bool = False,
    variance: float | None = None,
    m: int = 1,
    covariance: Covariance = "full",
    name: str | None = None,
) -> Structural:
    r"""Return a pattern that repeats, and may change slowly.

    "dummy": the last `period` values add up to noise, :math:`\sum_{j=0}^{s-1} \gamma_{k-j} = w_k`. "trigonometric": a sum
    of harmonics, each a rotating pair of states with noise of one common variance.

    Parameters
    ----------
    period : float
        Steps after which the pattern repeats; a whole number for "dummy", any number above 1 for "trigonometric".
    kind : {"dummy", "trigonometric"}, default "dummy"
        The form. They differ as models, also when deterministic (by a constant in the log-likelihood).
    harmonics : int, optional
        How many harmonics a trigonometric pattern has: all of them (half the period) if None.
    deterministic : bool, default False
        True for a pattern that never changes: the same as ``variance=0``.
    variance : float, optional
        Variance of the noise; None is free.
    m : int, default 1
        Number of measured values: with more than one, each has a pattern of its own, with correlated noises.
    covariance : {"full", "diagonal"}, default "full"
        Whether the noises of several values are correlated.
    name : str, optional
        Name of the component, ``"seasonal(12)"`` for a period of 12 by default.

    Returns
    -------
    Structural
        A model with the pattern; add other components with ``+``, other patterns among them.

    Raises
    ------
    KelmanError
        If the period, the harmonics or the variance make no sense.

    Notes
    -----
    Durbin and Koopman, 2nd ed. (2012), section 3.2.2. The states start exactly diffuse: period - 1 of them, or two for each
    harmonic (one at half the sampling frequency).

    Examples
    --------
    >>> from kelman import structural
    >>> weekly_and_yearly = structural.seasonal(7) + structural.seasonal(365.25, "trigonometric", harmonics=2)
    >>> weekly_and_yearly.n
    10
    """
    one_of(kind, "kind", ("dummy", "trigonometric"))
    fixed = given_variance(variance, "variance")
    if as_flag(deterministic, "deterministic"):
        if fixed:
            raise KelmanError("variance: a deterministic pattern has none; leave out one of the two")
        fixed = 0.0
    length = _number(period, "period")
    own = called(name, f"seasonal({length:g})")
    if kind == "dummy":
        if harmonics is not None:
            raise KelmanError("harmonics: only kind='trigonometric' has them")
        return Structural((wide(_dummy(length, fixed, own), m, covariance),))
    most = int(np.floor(length / 2 + 1e-9))
    count = most if harmonics is None else as_count(harmonics, "harmonics")
    if length <= 1 or count > most or count < 1:
        raise KelmanError(f"harmonics: a period of {length:g} has at most {max(most, 0)}, got {count}")
    return Structural((wide(_trigonometric(length, count, fixed, own), m, covariance),))


def _number(value: Any, name: str) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise KelmanError(f"{name}: expected a number of steps, got {value!r:.60}")
    return float(value)


def _dummy(period: float, variance: float | None, name: str) -> Component:
    if period != int(period) or period < 2:
        raise KelmanError(
            f"period: the dummy form needs a whole number of at least 2, got {period:g}; use kind='trigonometric'"
        )
    n = int(period) - 1
    A = np.eye(n, k=-1)
    A[0] = -1.0
    H = np.eye(1, n)
    return VarianceComponent(
        kind="seasonal",
        name=name,
        base={"A": A, "H": H, "Q": np.zeros((n, n)), "P1_inf": np.eye(n)},
        slots=(Slot("variance", variance, (("Q", (0, 0)),), 0.01),),
        roots=np.exp(2j * np.pi * np.arange(1, n + 1) / period),
        signals=(Signal(name, H),),
    )


def _trigonometric(period: float, harmonics: int, variance: float | None, name: str) -> Component:
    angles = 2 * np.pi * np.arange(1, harmonics + 1) / period
    blocks, rows, roots = [], [], []
    for angle in angles:
        if abs(angle - np.pi) < 1e-9:
            blocks.append(np.array([[-1.0]]))
            rows.append([1.0])
            roots.append([-1.0])
        else:
            blocks.append(_rotations(np.array([angle])).reshape(2, 2))
            rows.append([1.0, 0.0])
            roots.append([np.exp(1j * angle), np.exp(-1j * angle)])
    n = sum(len(block) for block in blocks)
    A, at = np.zeros((n, n)), 0
    for block in blocks:
        A[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    H = np.concatenate(rows)[None, :]
    return VarianceComponent(
        kind="seasonal",
        name=name,
        base={"A": A, "H": H, "Q": np.zeros((n, n)), "P1_inf": np.eye(n)},
        slots=(Slot("variance", variance, tuple(("Q", (i, i)) for i in range(n)), 0.01 / n),),
        roots=np.concatenate(roots).astype(complex),
        signals=(Signal(name, H),),
    )


def _rotations(angle: Array) -> Array:
    """The entries of many rotations, (L, 4)."""
    c, s = np.cos(angle), np.sin(angle)
    return np.column_stack([c, s, -s, c])


def cycle(
    period: tuple[float, float] = (2.0, np.inf),
    *,
    damped: bool | None = None,
    stochastic: bool = True,
    variance: float | None = None,
    name: str | None = None,
) -> Structural:
    r"""Return a cycle whose frequency is estimated.

    .. math:: \begin{pmatrix} \psi_k \\ \psi^*_k \end{pmatrix} = \rho \begin{pmatrix} \cos\lambda & \sin\lambda \\
        -\sin\lambda & \cos\lambda \end{pmatrix} \begin{pmatrix} \psi_{k-1} \\ \psi^*_{k-1} \end{pmatrix} + w_k,
        \qquad \mathrm{Cov}(w) = \sigma^2 I

    Parameters
    ----------
    period : (float, float), default (2, inf)
        Bounds of the period in steps, not included: the frequency lambda, in radians a step, lies between 2 pi / upper and
        2 pi / lower.
    damped : bool, optional
        True: rho between 0 and 1 is a parameter and the cycle starts stationary. False: rho = 1 and it starts exactly
        diffuse. By default as `stochastic`.
    stochastic : bool, default True
        False: without noise, a sine wave.
    variance : float, optional
        Fix the variance; None is free.
    name : str, optional
        Name of the component, "cycle" by default.

    Returns
    -------
    Structural
        A model with the cycle; add other components with ``+``.

    Raises
    ------
    KelmanError
        If the bounds are not 2 <= lower < upper, or if a cycle is to be damped but has no noise.

    Notes
    -----
    Harvey, *Forecasting, Structural Time Series Models and the Kalman Filter* (1989), section 2.3; Durbin and Koopman, 2nd ed.
    (2012), section 3.2.4. The likelihood may have several maxima in the frequency: bounds keep to the one that is meant.

    Examples
    --------
    >>> from kelman import structural
    >>> structural.cycle((6, 48)).names
    ('cycle.variance', 'cycle.frequency', 'cycle.damping', 'irregular.variance')
    """
    try:
        shortest, longest = (_number(bound, "period") for bound in period)
    except (TypeError, ValueError) as error:
        if isinstance(error, KelmanError):
            raise
        raise KelmanError(f"period: expected two numbers of steps (lower, upper), got {period!r:.60}") from None
    if not 2 <= shortest < longest:
        raise KelmanError(f"period: expected 2 <= lower < upper, got {shortest:g} and {longest:g}")
    moving = as_flag(stochastic, "stochastic")
    fixed = given_variance(variance, "variance")
    if not moving and fixed:
        raise KelmanError("variance: a cycle that is not stochastic has none")
    if not moving:
        fixed = 0.0
    fading = (fixed != 0.0) if damped is None else as_flag(damped, "damped")
    if fading and fixed == 0.0:
        raise KelmanError("damped: a damped cycle without noise is zero; use damped=False")
    own = called(name, "cycle")
    base = {"A": np.eye(2), "H": np.array([[1.0, 0.0]]), "Q": np.zeros((2, 2))}
    base |= {"P1": np.zeros((2, 2))} if fading else {"P1_inf": np.eye(2)}
    if fixed is not None:
        base["Q"] = fixed * np.eye(2)
    return Structural(
        (
            Cycle(
                kind="cycle",
                name=own,
                base=base,
                signals=(Signal(own, base["H"]),),
                low=2 * np.pi / longest,
                high=2 * np.pi / shortest,
                damped=fading,
                variance=fixed,
            ),
        )
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class Cycle(Component):
    """A pair of states that turns by an angle each step, and shrinks if damped."""

    low: float
    high: float
    damped: bool
    variance: float | None

    @property
    def parameters(self) -> tuple[str, ...]:
        """The variance unless given, the frequency, and the damping if there is one."""
        own = () if self.variance is not None else ("variance",)
        return (*own, "frequency", *(("damping",) if self.damped else ()))

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """Logarithm, and logits between the bounds."""
        own = () if self.variance is not None else (POSITIVE,)
        return (*own, Bounded(self.low, self.high), *((Bounded(0.0, 1.0),) if self.damped else ()))

    @property
    def targets(self) -> tuple[Target, ...]:
        """A, the diagonal of P1 if damped, the diagonal of Q unless given."""
        places: tuple[Target, ...] = tuple(("A", (i, j)) for i in range(2) for j in range(2))
        if self.damped:
            places += (("P1", (0, 0)), ("P1", (1, 1)))
        return places if self.variance is not None else (*places, ("Q", (0, 0)), ("Q", (1, 1)))

    def entries(self, theta: Array) -> tuple[Array, Array]:
        """Return rho times the rotation, q / (1 - rho^2), and q."""
        L, K = theta.shape
        column = {name: k for k, name in enumerate(self.parameters)}
        rho = theta[:, column["damping"]] if self.damped else np.ones(L)
        q = theta[:, column["variance"]] if self.variance is None else np.full(L, self.variance)
        angle = theta[:, column["frequency"]]
        turn, turned = (_rotations(each) for each in (angle, angle + np.pi / 2))
        values = np.empty((L, len(self.targets)))
        slopes = np.zeros((L, len(self.targets), K))
        values[:, :4] = rho[:, None] * turn
        slopes[:, :4, column["frequency"]] = rho[:, None] * turned
        if self.damped:
            rest = 1.0 - rho**2
            slopes[:, :4, column["damping"]] = turn
            values[:, 4:6] = (q / rest)[:, None]
            slopes[:, 4:6, column["damping"]] = (2 * q * rho / rest**2)[:, None]
            if self.variance is None:
                slopes[:, 4:6, column["variance"]] = 1.0 / rest[:, None]
        if self.variance is None:
            values[:, -2:] = q[:, None]
            slopes[:, -2:, column["variance"]] = 1.0
        return values, slopes

    def start(self, record: Record) -> Array:
        """Return a share of the data's variance, the strongest frequency within the bounds, and a damping of 0.9."""
        frequency = record.strongest_frequency(self.low, self.high)
        own = [] if self.variance is not None else [0.1 * record.scale]
        return np.array([*own, frequency, *([0.9] if self.damped else [])])
