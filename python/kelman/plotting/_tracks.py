# SPDX-License-Identifier: BSD-3-Clause
"""Series with bands: filtered and smoothed states, forecasts, simulations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.errors import KelmanError
from kelman.plotting._style import BLUE, GREEN, GREY, ORANGE, own_figure, style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from kelman._types import Array


def band_factor(level: float) -> float:
    """Return the half-width of a Gaussian interval in standard deviations."""
    from scipy.special import ndtri

    if not 0.0 < level < 1.0:
        raise KelmanError(f"level: expected a probability between 0 and 1, got {level!r}")
    return float(ndtri(0.5 + 0.5 * level))


def pick(values: Array, inner: int, series: int, name: str) -> Array:
    """Return one series of an array whose inner axes (time and what follows) are ``inner`` many."""
    values = np.asarray(values)
    if values.ndim == inner:
        if series != 0:
            raise KelmanError(f"series: there is one series, number 0; got {series}")
        return values
    count = values.shape[0]
    if not -count <= series < count:
        raise KelmanError(f"series: {name} holds {count} series, got {series}")
    return np.asarray(values[series])


def chosen(states: Sequence[int] | None, n: int) -> list[int]:
    """Return the numbers of the states to draw: those asked for, else the first six."""
    if states is None:
        return list(range(min(n, 6)))
    out = list(states)
    wrong = [j for j in out if not 0 <= j < n]
    if wrong or not out:
        raise KelmanError(f"states: expected numbers in 0 .. {n - 1}, got {wrong or out}")
    return out


def track(ax: Axes, k: Array, mean: Array, sd: Array, factor: float, color: str, label: str | None) -> None:
    """Draw a mean and its band."""
    ax.fill_between(k, mean - factor * sd, mean + factor * sd, color=color, alpha=0.2, lw=0)
    ax.plot(k, mean, color=color, lw=1.5, label=label)


def _sd(cov: Array) -> Array:
    return np.asarray(np.sqrt(np.clip(np.diagonal(cov, axis1=-2, axis2=-1), 0.0, None)))


def _states(result: Any, series: int, states: Sequence[int] | None, level: float, color: str, word: str) -> Any:
    mean = pick(result.mean, 2, series, "the result")
    sd = _sd(pick(result.cov, 3, series, "the result"))
    numbers = chosen(states, mean.shape[1])
    factor = band_factor(level)
    with style():
        fig, axes = own_figure(8.0, 1.2 + 1.7 * len(numbers), len(numbers), 1, sharex=True)
        k = np.arange(1, len(mean) + 1)
        for ax, j in zip(axes[:, 0], numbers, strict=True):
            track(ax, k, mean[:, j], sd[:, j], factor, color, f"{word}, {100 * level:g} % band")
            ax.set_ylabel(f"$x_{{{j + 1}}}$")
        axes[0, 0].legend(loc="upper left", bbox_to_anchor=(0.0, 1.22), borderaxespad=0.0)
        axes[-1, 0].set_xlabel("step k")
        return fig


def plot_filter(result: Any, *, series: int = 0, states: Sequence[int] | None = None, level: float = 0.95) -> Any:
    """Draw filtered states with their bands, one panel a state.

    Parameters
    ----------
    result : FilterResult
        With ``mean`` and ``cov`` kept (``store="filtered"`` or ``"all"``).
    series : int, default 0
        Which series of a batch.
    states : sequence of int, optional
        Which states, counted from 0; the first six otherwise.
    level : float, default 0.95
        Probability of the band.

    Returns
    -------
    matplotlib.figure.Figure
    """
    return _states(result, series, states, level, BLUE, "filtered")


def plot_smooth(result: Any, *, series: int = 0, states: Sequence[int] | None = None, level: float = 0.95) -> Any:
    """Draw smoothed states with their bands, one panel a state.

    Parameters
    ----------
    result : SmoothResult
        What ``kelman.smooth`` returned.
    series : int, default 0
        Which series of a batch.
    states : sequence of int, optional
        Which states, counted from 0; the first six otherwise.
    level : float, default 0.95
        Probability of the band.

    Returns
    -------
    matplotlib.figure.Figure
    """
    return _states(result, series, states, level, GREEN, "smoothed")


def plot_forecast(result: Any, *, series: int = 0, level: float = 0.95, z: Any = None) -> Any:
    """Draw forecast measurements with their intervals, one panel a component.

    Parameters
    ----------
    result : ForecastResult
        What ``kelman.forecast`` returned.
    series : int, default 0
        Which series of a batch.
    level : float, default 0.95
        Probability of the interval.
    z : array_like, shape (T,) or (T, m), optional
        The past of this series, drawn before the forecast.

    Returns
    -------
    matplotlib.figure.Figure
    """
    mean = pick(result.mean, 2, series, "the result")
    sd = _sd(pick(result.cov, 3, series, "the result"))
    past = None if z is None else np.asarray(z, dtype=float).reshape(len(z), -1)
    if past is not None and past.shape[1] != mean.shape[1]:
        raise KelmanError(f"z: expected (T, {mean.shape[1]}) to go before the forecast, got {np.shape(z)}")
    factor, m = band_factor(level), mean.shape[1]
    first = 0 if past is None else len(past)
    with style():
        fig, axes = own_figure(8.0, 1.2 + 2.2 * m, m, 1, sharex=True)
        k = np.arange(first + 1, first + len(mean) + 1)
        for j, ax in enumerate(axes[:, 0]):
            if past is not None:
                ax.plot(np.arange(1, first + 1), past[:, j], color=GREY, lw=1.2, label="measured")
            track(ax, k, mean[:, j], sd[:, j], factor, ORANGE, f"forecast, {100 * level:g} % interval")
            ax.set_ylabel("z" if m == 1 else f"$z_{{{j + 1}}}$")
        axes[0, 0].legend(loc="upper left")
        axes[-1, 0].set_xlabel("step k" if past is not None else "steps ahead")
        return fig


def plot_simulation(result: Any, *, series: int = 0) -> Any:
    """Draw simulated measurements and states.

    Parameters
    ----------
    result : Simulation
        What ``kelman.simulate`` returned.
    series : int, default 0
        Which series of a batch.

    Returns
    -------
    matplotlib.figure.Figure
    """
    z = pick(result.z, 2, series, "the simulation")
    x = pick(result.x, 2, series, "the simulation")
    with style():
        fig, axes = own_figure(8.0, 4.6, 2, 1, sharex=True)
        k = np.arange(1, len(z) + 1)
        for j in range(z.shape[1]):
            axes[0, 0].plot(k, z[:, j], ".-", ms=3, lw=0.7, label=f"$z_{{{j + 1}}}$")
        for j in chosen(None, x.shape[1]):
            axes[1, 0].plot(np.arange(1, len(x) + 1), x[:, j], lw=1.2, label=f"$x_{{{j + 1}}}$")
        axes[0, 0].set_title("Measurements")
        axes[1, 0].set_title("States")
        for ax in axes[:, 0]:
            ax.legend(loc="upper right", ncols=3)
        axes[1, 0].set_xlabel("step k")
        return fig
