# SPDX-License-Identifier: BSD-3-Clause
"""Poles in the complex plane: unit circle, markers, 95 % ellipses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.plotting._style import BLUE, own_axes, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kelman._types import Array

CHI2_95 = 5.991464547107979  # 95 % quantile of chi-square with 2 degrees of freedom
CHI_95 = 1.959963984540054


def unit_circle(ax: Axes) -> None:
    """Draw the unit circle with its axes and make the plane square.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    """
    t = np.linspace(0.0, 2.0 * np.pi, 361)
    ax.plot(np.cos(t), np.sin(t), color="#999999", lw=1.0, zorder=1)
    ax.axhline(0.0, color="#CCCCCC", lw=0.8, zorder=0)
    ax.axvline(0.0, color="#CCCCCC", lw=0.8, zorder=0)
    ax.set_aspect("equal")
    ax.locator_params(nbins=6)
    ax.set_xlabel("real part")
    ax.set_ylabel("imaginary part")


def ellipse(ax: Axes, centre: complex, cov: Array, **options: Any) -> None:
    """Draw the 95 % ellipse of a pole from the covariance of its real and imaginary part.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    centre : complex
        The pole.
    cov : array_like, shape (2, 2)
        Covariance of (real part, imaginary part); of a real pole only the first is not zero.
    **options
        Passed on to the line.
    """
    cov = np.asarray(cov, dtype=float)
    if not np.isfinite(cov).all():
        return
    values, vectors = np.linalg.eigh(0.5 * (cov + cov.T))
    values = np.clip(values, 0.0, None)
    flat = values[0] <= 1e-12 * values[1]
    factor = CHI_95 if flat else np.sqrt(CHI2_95)
    t = np.linspace(0.0, 2.0 * np.pi, 121)
    points = factor * vectors @ (np.sqrt(values)[:, None] * np.vstack([np.cos(t), np.sin(t)]))
    ax.plot(centre.real + points[0], centre.imag + points[1], **options)


def plot_poles(
    poles: Array, cov: Array | None = None, *, ax: Axes | None = None, label: str | None = None, color: str = BLUE
) -> Axes:
    """Draw poles on the unit circle with their 95 % ellipses.

    Parameters
    ----------
    poles : array_like, shape (n,)
        Complex numbers.
    cov : array_like, shape (n, 2, 2), optional
        Covariance of real and imaginary part of each.
    ax : Axes, optional
        Where to draw; a new figure otherwise.
    label : str, optional
        Name in the legend.
    color : str
        Colour of the markers.

    Returns
    -------
    Axes
    """
    with style():
        ax = own_axes(ax, 5.0, 5.0)
        z = np.asarray(poles, dtype=complex)
        if not ax.lines:
            unit_circle(ax)
            reach = max(1.08, 1.08 * float(np.abs(z).max(initial=0.0)))
            ax.set_xlim(-reach, reach)
            ax.set_ylim(-reach, reach)
        ax.plot(z.real, z.imag, "o", ms=7, color=color, mec="white", mew=0.8, ls="none", label=label, zorder=3)
        if cov is not None:
            for pole, c in zip(z, np.asarray(cov), strict=True):
                ellipse(ax, complex(pole), c, color=color, lw=1.3, zorder=2)
        if label is not None:
            ax.legend(loc="lower left")
        return ax
