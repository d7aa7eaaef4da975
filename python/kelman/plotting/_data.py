# SPDX-License-Identifier: BSD-3-Clause
"""Figures of the study of real data: fit, free run, poles, residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.plotting._poles import ellipse, unit_circle
from kelman.plotting._style import BLUE, GREY, ORANGE, PINK, figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def data_fit_figure(record: Any) -> Figure:
    """Draw measured and predicted series of the held-out part: one step ahead, and from the inputs alone."""
    with style():
        free = record.free_run is not None
        fig, axes = figure(8.8, 5.4 if free else 3.2, 2 if free else 1, 1, sharex=True, squeeze=False)
        z = np.asarray(record.z_test)
        k = np.asarray(record.k_test)
        ax = axes[0, 0]
        ax.plot(k, z, ".", color=GREY, ms=3.5, label="measured")
        ax.plot(k, record.one_step, color=BLUE, lw=1.2, label="one step ahead")
        ax.set_title("One step ahead, second part")
        _legend_above(ax)
        if free:
            ax = axes[1, 0]
            ax.plot(k, z, ".", color=GREY, ms=3.5, label="measured")
            ax.plot(k, record.free_run, color=ORANGE, lw=1.2, label="free run")
            ax.set_title("From the inputs alone, never corrected")
            _legend_above(ax)
        axes[-1, 0].set_xlabel("step")
        return fig


def _legend_above(ax: Axes) -> None:
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.2)


def data_poles_figure(record: Any) -> Figure:
    """Draw the poles that the data determine and those that they leave open, the network's readings on top."""
    with style():
        fig, axes = figure(8.8, 4.6, 1, 2, width_ratios=[1.1, 1.0])
        ax = axes[0]
        unit_circle(ax)
        ax.set_xlim(-1.1, 1.1)
        ax.set_ylim(-1.1, 1.1)
        for pole in record.poles:
            z = complex(pole.pole)
            color = BLUE if pole.determined else GREY
            ax.plot(z.real, z.imag, "D", color=color, ms=6.5, mec="white", mew=0.6, zorder=4)
            if pole.cov is not None:
                ellipse(ax, z, pole.cov, color=color, lw=1.2, zorder=3, clip_on=True)
        for pole in record.poles:
            w = complex(pole.network_pole)
            ax.plot(w.real, w.imag, "o", mfc="none", mec=ORANGE, mew=1.6, ms=11, zorder=5)
        for w in record.wrong_poles:
            w = complex(w)
            ax.plot(w.real, w.imag, "x", color=PINK, ms=7, mew=1.6, zorder=5)
        ax.plot([], [], "D", color=BLUE, ms=6.5, label="PEM, determined (sd < 0.05)")
        ax.plot([], [], "D", color=GREY, ms=6.5, label="PEM, left open by the data")
        ax.plot([], [], "o", mfc="none", mec=ORANGE, mew=1.6, ms=10, ls="none", label="network, U + W V")
        ax.plot([], [], "x", color=PINK, ms=7, mew=1.6, ls="none", label="network, U alone (wrong)")
        ax.set_title("Poles with 95 % ellipses")
        ax2 = axes[1]
        order = np.array([point.order for point in record.criterion])
        bic = np.array([point.bic for point in record.criterion])
        kept = order == record.order
        ax2.plot(order, bic, "-", color="#BBBBBB", lw=1.2)
        ax2.plot(order[~kept], bic[~kept], "o", mfc="white", mec=GREY, mew=1.4, ms=8)
        ax2.plot(order[kept], bic[kept], "o", color=BLUE, ms=8)
        for n, value in zip(order, bic, strict=True):
            ax2.annotate(f"{value:.1f}", (n, value), (0, 9), textcoords="offset points", ha="center", fontsize=9.5)
        ax2.set_yscale("symlog", linthresh=10.0)
        ax2.set_ylim(-2.0, 4.0 * max(10.0, float(bic.max())))
        ax2.set_xticks(order)
        ax2.set_xlim(order.min() - 0.5, order.max() + 0.5)
        ax2.set_xlabel("order")
        ax2.set_title("BIC above the best one")
        fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return fig


def whiteness_figure(record: Any) -> Figure:
    """Draw the autocorrelation of the residuals and their correlation with past inputs, with 95 % bands."""
    with style():
        test = record.whiteness
        both = test.cross_correlation is not None
        fig, axes = figure(8.6, 3.2, 1, 2 if both else 1, squeeze=False)
        lag = np.arange(test.lags + 1)
        ax = axes[0, 0]
        _stems(ax, lag[1:], np.asarray(test.autocorrelation)[1:], test.band)
        ax.set_title(f"Residual autocorrelation, p = {test.p_value:.2g}")
        ax.set_xlabel("lag")
        if both:
            ax = axes[0, 1]
            cross = np.asarray(test.cross_correlation)
            worst = int(np.abs(cross).max(axis=0).argmax())
            _stems(ax, lag, cross[:, worst], test.band)
            ax.set_title(f"Correlation with past input, p = {test.cross_p_value:.2g}")
            ax.set_xlabel("lag")
        return fig


def _stems(ax: Axes, x: Any, y: Any, band: float) -> None:
    ax.axhspan(-band, band, color="#DCE9F5", lw=0)
    ax.vlines(x, 0.0, y, color=BLUE, lw=1.6)
    ax.plot(x, y, "o", color=BLUE, ms=4.5)
    ax.axhline(0.0, color="#888888", lw=0.8)
    limit = max(1.15 * float(np.abs(y).max()), 1.5 * band)
    ax.set_ylim(-limit, limit)
