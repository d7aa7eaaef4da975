# SPDX-License-Identifier: BSD-3-Clause
"""Templates that were fitted: their one-step predictions, poles and climb; and profile likelihoods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.errors import KelmanError
from kelman.plotting._poles import plot_poles
from kelman.plotting._style import BLUE, GREY, ORANGE, own_axes, own_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_parameter_fit(result: Any, *, series: int = 0) -> Any:
    """Draw a fitted template: one-step predictions of one series with their 95 % band, poles, and the climb.

    Parameters
    ----------
    result : ParameterFit
        What ``kelman.fit`` returned for a template.
    series : int, default 0
        Which series to predict.

    Returns
    -------
    matplotlib.figure.Figure
    """
    with style():
        fig, axes = own_figure(11.0, 6.4, 2, 2)
        grid = axes[0, 0].get_gridspec()
        for ax in axes[0]:
            ax.remove()
        _predictions(fig.add_subplot(grid[0, :]), result, series)
        _poles(axes[1, 0], result)
        _climb(axes[1, 1], result)
        return fig


def _predictions(ax: Axes, result: Any, series: int) -> None:
    from kelman.identify._innovations import run

    data = result._objective
    z = data.z[series]
    found = run(result.model.series(series), z, None if data.u is None else data.u[series])
    predicted = z[:, 0] - found.result.innovation[:, 0]
    spread = np.sqrt(found.result.innovation_cov[:, 0, 0])
    steps = np.arange(len(z))
    seen = (steps >= found.diffuse[0]) & np.isfinite(predicted)
    ax.fill_between(
        steps[seen], (predicted - 1.96 * spread)[seen], (predicted + 1.96 * spread)[seen], color=BLUE, alpha=0.18, lw=0
    )
    ax.plot(steps[seen], predicted[seen], color=BLUE, lw=1.3, label="one-step prediction, 95 % band")
    ax.plot(steps, z[:, 0], ".", color=GREY, ms=4, label="measured")
    ax.set_xlabel("step")
    ax.set_title(f"{len(result.theta)} parameters, log-likelihood {result.loglik:.3f}")
    ax.legend(loc="best")


def _poles(ax: Axes, result: Any) -> None:
    try:
        poles, covariance = result.poles, result.pole_covariance
    except KelmanError:
        ax.set_axis_off()
        return
    plot_poles(poles, covariance if np.isfinite(covariance).all() else None, ax=ax)
    ax.set_title("Poles")


def _climb(ax: Axes, result: Any) -> None:
    values = np.array([step.loglik for step in result.history])
    if len(values) < 2:
        ax.set_axis_off()
        return
    left = np.maximum(values.max() - values, 1e-9)
    stages = [step.stage for step in result.history]
    ax.plot(np.arange(len(values)), left, "-", color=GREY, lw=1)
    for number, stage in enumerate(dict.fromkeys(stages)):
        of = np.array([own == stage for own in stages])
        ax.plot(np.flatnonzero(of), left[of], "o", ms=4, color=(BLUE, ORANGE, GREY)[number % 3], label=stage)
    ax.set_yscale("log")
    ax.set_xlabel("iteration")
    ax.set_ylabel("log-likelihood below the best")
    ax.set_title(result.message)
    ax.legend(loc="best")


def plot_panel_fit(result: Any) -> Any:
    """Draw how the estimates are spread over the series, one panel for each of the first nine parameters.

    Parameters
    ----------
    result : PanelFit
        What ``kelman.fit`` returned with ``per_series=True``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    shown = min(len(result.names), 9)
    columns = min(shown, 3)
    rows = -(-shown // columns)
    with style():
        fig, axes = own_figure(3.6 * columns, 2.9 * rows, rows, columns)
        for k, ax in enumerate(axes.ravel()):
            if k >= shown:
                ax.set_axis_off()
                continue
            inside = ~result.at_bound[:, k] & np.isfinite(result.theta[:, k])
            ax.hist(result.theta[inside, k], bins=min(40, max(5, int(inside.sum() ** 0.5))), color=BLUE, alpha=0.8)
            bound = int(result.at_bound[:, k].sum())
            ax.set_xlabel(result.names[k])
            ax.set_ylabel("series")
            ax.set_title(f"{int(inside.sum())} series" + (f", {bound} at the bound" if bound else ""))
        return fig


def plot_profile(result: Any, *, ax: Axes | None = None) -> Axes:
    """Draw a profile likelihood with its interval.

    Parameters
    ----------
    result : Profile
        What ``fit.profile`` returned.
    ax : Axes, optional
        Where to draw; a new figure otherwise.

    Returns
    -------
    Axes
    """
    with style():
        ax = own_axes(ax)
        ax.plot(result.values, result.loglik, ".-", color=BLUE, ms=6)
        for end in result.interval[np.isfinite(result.interval)]:
            ax.axvline(end, color=ORANGE, lw=1.2, ls="--")
        ax.set_xlabel(result.name)
        ax.set_ylabel("highest log-likelihood")
        low, high = (f"{end:.4g}" if np.isfinite(end) else "open" for end in result.interval)
        ax.set_title(f"{result.level:.0%} interval: {low} to {high}")
        return ax
