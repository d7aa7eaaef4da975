# SPDX-License-Identifier: BSD-3-Clause
"""The figure of a diagnosis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.errors import KelmanError
from kelman.plotting._style import BLUE, GREY, ORANGE, own_figure, style
from kelman.plotting._tracks import pick

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kelman._types import Array


def plot_diagnosis(result: Any, *, series: int = 0, component: int = 0) -> Any:
    """Draw six views of one series: do its innovations look like noise, and where do shocks lie?

    Parameters
    ----------
    result : Diagnosis
        What ``kelman.diagnose`` returned.
    series : int, default 0
        Which series of a batch.
    component : int, default 0
        Which component of z in the panels that show one.

    Returns
    -------
    matplotlib.figure.Figure
    """
    e = pick(result.innovations, 2, series, "the diagnosis")
    if not 0 <= component < e.shape[1]:
        raise KelmanError(f"component: expected a number in 0 .. {e.shape[1] - 1}, got {component!r:.60}")
    one = e[:, component]
    with style():
        fig, axes = own_figure(12.0, 6.4, 2, 3)
        which = f" of component {component}" if e.shape[1] > 1 else ""
        _innovations(axes[0, 0], one, which)
        _quantiles(axes[0, 1], one[np.isfinite(one)])
        _correlation(axes[0, 2], one, result)
        _squares(axes[1, 0], result, series)
        outliers = pick(result.outliers, 2, series, "the diagnosis")[:, component]
        _statistics(axes[1, 1], outliers[:, None], result.threshold, "Outliers", "t of a shock to one value")
        breaks = pick(result.breaks, 2, series, "the diagnosis")
        _statistics(axes[1, 2], breaks, result.threshold, "Breaks", "t of a jump of the state")
        return fig


def _innovations(ax: Axes, e: Array, which: str) -> None:
    k = np.arange(len(e))
    ax.axhspan(-1.96, 1.96, color=BLUE, alpha=0.10, lw=0)
    ax.axhline(0, color=GREY, lw=0.8)
    ax.plot(k, e, ".-", color=BLUE, lw=0.9, ms=4)
    ax.set_title(f"Standardised innovations{which}")
    ax.set_xlabel("time")


def _quantiles(ax: Axes, e: Array) -> None:
    from scipy.special import ndtri

    if e.size:
        expected = ndtri((np.arange(1, e.size + 1) - 0.5) / e.size)
        ends = np.array([expected[0], expected[-1]])
        ax.plot(ends, ends, color=GREY, lw=1.0)
        ax.plot(expected, np.sort(e), ".", color=BLUE, ms=4)
    ax.set_title("Quantiles")
    ax.set_xlabel("normal")
    ax.set_ylabel("found")


def _correlation(ax: Axes, e: Array, result: Any) -> None:
    known = np.isfinite(e)
    away = np.where(known, e - (np.mean(e[known]) if known.any() else 0.0), 0.0)
    own = float(np.square(away).sum()) or 1.0
    lags = int(np.ravel(result.serial_correlation.details["lags"])[0])
    lags = min(max(lags, 12), len(e) - 1)
    lag = np.arange(1, lags + 1)
    r = np.array([float((away[j:] * away[:-j]).sum()) / own for j in lag])
    band = 1.96 / np.sqrt(max(int(known.sum()), 1))
    ax.axhspan(-band, band, color=BLUE, alpha=0.10, lw=0)
    ax.axhline(0, color=GREY, lw=0.8)
    ax.vlines(lag, 0, r, color=BLUE, lw=2.4)
    top = 1.15 * max(float(np.abs(r).max(initial=0.0)), 2 * band)
    ax.set_ylim(-top, top)
    ax.set_title("Autocorrelation")
    ax.set_xlabel("lag")


def _squares(ax: Axes, result: Any, series: int) -> None:
    s = result.nis
    values, upper = (pick(part, 1, series, "the diagnosis") for part in (s.values, s.upper))
    lower = pick(s.lower, 1, series, "the diagnosis")
    k = np.arange(len(values))
    ax.fill_between(k, lower, upper, color=BLUE, alpha=0.10, lw=0, step="mid", label=f"{100 * s.level:g} % band")
    ax.plot(k, values, ".", color=BLUE, ms=4)
    ax.set_ylim(bottom=0)
    ax.set_title(f"NIS: average {float(np.ravel(s.average)[series]):.3g} per value")
    ax.set_xlabel("time")
    ax.legend(loc="upper right")


def _statistics(ax: Axes, t: Array, threshold: float, title: str, ylabel: str) -> None:
    k = np.arange(len(t))
    ax.axhline(0, color=GREY, lw=0.8)
    for side in (-threshold, threshold):
        ax.axhline(side, color=ORANGE, lw=1.0, ls="--")
    for j in range(min(t.shape[1], 6)):
        label = f"state {j}" if t.shape[1] > 1 else None
        line = ax.plot(k, t[:, j], lw=1.1, label=label)[0]
        big = np.abs(np.nan_to_num(t[:, j])) > threshold
        ax.plot(k[big], t[big, j], "o", color=line.get_color(), ms=5)
    top = 1.15 * max(float(np.nanmax(np.abs(t), initial=0.0)), threshold)
    ax.set_ylim(-top, top)
    ax.set_title(title)
    ax.set_ylabel(ylabel)
    ax.set_xlabel("time")
    if t.shape[1] > 1:
        ax.legend(loc="lower left", ncols=3)
