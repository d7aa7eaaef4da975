# SPDX-License-Identifier: BSD-3-Clause
"""Poles with their uncertainty: ellipses, standard deviations, periods and half-lives. What every fit of a model tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.errors import KelmanError
from kelman.lti import pole_stats

if TYPE_CHECKING:
    from kelman.lti._check import FloatArray
    from kelman.lti._poles import ComplexArray

_FEW = 6
_STILL = 1e-9  # standard deviation of a pole that moves by rounding only


@dataclass(frozen=True, eq=False)
class PoleEllipses:
    """Confidence regions of poles in the complex plane.

    Attributes
    ----------
    center : ndarray of complex, shape (n,)
    axes : ndarray, shape (n, 2)
        Half-lengths of the two axes, the longer first; the second is zero for a real pole (an interval).
    angle : ndarray, shape (n,)
        Angle of the longer axis against the real axis, in radians.
    level : float
        Probability that each one covers its pole, for many samples.
    """

    center: ComplexArray
    axes: FloatArray
    angle: FloatArray
    level: float


class PoleReport:
    """Base of fits: what follows from poles and their covariance."""

    @property
    def _poles_known(self) -> tuple[ComplexArray, FloatArray]:
        """The poles and the covariances of their real and imaginary parts."""
        raise TypeError(f"{type(self).__name__} has no poles")

    def pole_ellipses(self, level: float = 0.95) -> PoleEllipses:
        """Confidence ellipses of complex pairs, intervals of real poles.

        Parameters
        ----------
        level : float, default 0.95
            Probability of covering, in (0, 1).

        Returns
        -------
        PoleEllipses
            Centres, half-axes, angles.
        """
        level = probability(level)
        from scipy.special import chdtri

        poles, cov = self._poles_known

        values, vectors = np.linalg.eigh(cov)
        real = poles.imag == 0
        factor = np.where(real, chdtri(1, 1 - level), chdtri(2, 1 - level))
        axes = np.sqrt(np.maximum(values[:, ::-1], 0.0) * factor[:, None])
        longer = vectors[:, :, 1]
        return PoleEllipses(poles, axes, np.arctan2(longer[:, 1], longer[:, 0]), level)

    def pole_std(self) -> tuple[FloatArray, FloatArray]:
        """Return standard deviations of the modulus and of the angle of each pole (0 for the angle of a real pole)."""
        poles, cov = self._poles_known
        unit = poles / np.where(np.abs(poles) > 0, np.abs(poles), 1.0)
        radial = np.stack([unit.real, unit.imag], axis=1)
        across = np.stack([-unit.imag, unit.real], axis=1)
        size = np.where(np.abs(poles) > 0, np.abs(poles), np.inf)
        var_r = np.einsum("ki,kij,kj->k", radial, cov, radial)
        var_a = np.einsum("ki,kij,kj->k", across, cov, across)
        return np.sqrt(np.maximum(var_r, 0.0)), np.sqrt(np.maximum(var_a, 0.0)) / size

    def half_life_std(self) -> tuple[FloatArray, FloatArray]:
        """Return half-lives, log 2 over minus the logarithm of the modulus, in steps, and their standard deviations (inf: does not decay)."""
        poles, _ = self._poles_known
        std, _ = self.pole_std()
        rate = -np.log(np.clip(np.abs(poles), 1e-300, None))
        decays = rate > 0
        safe = np.where(decays, rate, 1.0)
        value = np.where(decays, np.log(2) / safe, np.inf)
        return value, np.where(decays, np.log(2) / safe**2 * std / np.clip(np.abs(poles), 1e-300, None), np.inf)

    def period_std(self) -> tuple[FloatArray, FloatArray]:
        """Return periods, 2 pi / angle, in steps, and their standard deviations (inf for a positive real pole)."""
        poles, _ = self._poles_known
        _, std = self.pole_std()
        angle = np.abs(np.angle(poles))
        turns = angle > 0
        safe = np.where(turns, angle, 1.0)
        return np.where(turns, 2 * np.pi / safe, np.inf), np.where(turns, 2 * np.pi / safe**2 * std, np.inf)

    def pole_lines(self) -> list[str]:
        """Return a table of the poles, as lines of text; of many, those that no free parameter moves are only counted."""
        poles, _ = self._poles_known
        lines: list[str] = []
        stats = pole_stats(poles)
        std_r, std_a = self.pole_std()
        still = (std_r < _STILL) & (std_a < _STILL) if len(poles) > _FEW else np.zeros(len(poles), dtype=bool)
        if still.all() and len(poles) > _FEW:
            return [f"  {len(poles)} poles, which no free parameter moves"]
        lines.append(
            f"  {'pole':>20} {'modulus':>9} {'(std)':>9} {'angle':>9} {'(std)':>9} {'period':>9} {'half-life':>9}"
        )
        for i in np.flatnonzero(~still):
            pole = poles[i]
            text = f"{pole.real:.5f}{pole.imag:+.5f}j" if pole.imag else f"{pole.real:.5f}"
            lines.append(
                f"  {text:>20} {stats.modulus[i]:9.5f} {std_r[i]:9.5f} {stats.angle[i]:9.5f} {std_a[i]:9.5f} "
                f"{stats.period[i]:9.4g} {stats.half_life[i]:9.4g}"
            )
        if still.any():
            lines.append(f"  {int(still.sum()):>20} that no free parameter moves")
        return lines


def probability(level: Any) -> float:
    """Return a level in (0, 1), or raise."""
    if isinstance(level, bool) or not isinstance(level, (int, float, np.number)) or not 0 < level < 1:
        raise KelmanError(f"level: expected a number between 0 and 1, got {level!r:.60}")
    return float(level)
