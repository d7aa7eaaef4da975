# SPDX-License-Identifier: BSD-3-Clause
"""Posteriors: the spread of each parameter, and of the poles."""

from __future__ import annotations

from typing import Any

import numpy as np

from kelman.plotting._style import BLUE, GREY, ORANGE, own_figure, style


def plot_posterior(result: Any) -> Any:
    """Draw the marginal of each of the first eight parameters, one line per chain, and the poles of all draws.

    Parameters
    ----------
    result : Posterior
        What ``kelman.fit`` returned with ``method="hmc"``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    shown = min(len(result.names), 8)
    dims = result.model.dims
    panels = shown + (dims.T is None and dims.N is None)
    columns = min(panels, 3)
    rows = -(-panels // columns)
    with style():
        fig, axes = own_figure(3.8 * columns, 3.0 * rows, rows, columns)
        rhat, ess, interval = result.rhat, result.ess, result.interval()
        for k, ax in enumerate(axes.ravel()):
            if k < shown:
                _marginal(ax, result, k, interval[k])
                ax.set_title(f"{result.names[k]}: R-hat {rhat[k]:.3f}, ESS {ess[k]:.0f}", fontsize=9)
            elif k < panels:
                _poles(ax, result)
            else:
                ax.set_axis_off()
        return fig


def _marginal(ax: Any, result: Any, k: int, interval: Any) -> None:
    values = result.theta[:, :, k]
    low, high = (float(q) for q in np.quantile(values, [0.002, 0.998]))
    edges = np.linspace(low, high, 40)
    for chain in values:
        height, _ = np.histogram(chain, edges, density=True)
        ax.stairs(height, edges, color=BLUE, alpha=0.55, lw=1)
    ax.axvspan(*interval, color=BLUE, alpha=0.10, lw=0, label="95 %")
    ax.axvline(result.fit.theta[k], color=ORANGE, lw=1.3, label="mode")
    ax.set_yticks([])
    ax.set_xlabel(result.names[k])
    if k == 0:
        ax.legend(loc="best")


def _poles(ax: Any, result: Any) -> None:
    found = result.poles.ravel()
    found = found[:: max(1, len(found) // 3000)]
    turn = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(turn), np.sin(turn), color=GREY, lw=1)
    ax.plot(found.real, found.imag, ".", color=BLUE, ms=2, alpha=0.3)
    ax.set_aspect("equal")
    ax.set_xlabel("real part")
    ax.set_ylabel("imaginary part")
    ax.set_title("Poles", fontsize=9)
