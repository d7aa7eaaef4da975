# SPDX-License-Identifier: BSD-3-Clause
"""Fits, trainings, read-outs and comparisons: how they went, and the poles that came out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.plotting._poles import plot_poles
from kelman.plotting._style import AMBER, BLUE, GREY, ORANGE, own_axes, own_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_history(history: Any, *, ax: Axes | None = None, ylabel: str = "loss", label: str | None = None) -> Axes:
    """Draw the value of every iteration, on a logarithmic axis where all are positive.

    Parameters
    ----------
    history : array_like, shape (iterations,)
        Values of a loss or a log-likelihood.
    ax : Axes, optional
        Where to draw; a new figure otherwise.
    ylabel : str
        What the values are.
    label : str, optional
        Name in the legend.

    Returns
    -------
    Axes
    """
    values = np.asarray(history, dtype=float).ravel()
    with style():
        ax = own_axes(ax)
        ax.plot(np.arange(len(values)), values, ".-", ms=6, color=BLUE, label=label)
        _by_iteration(ax, values, ylabel)
        return ax


def _by_iteration(ax: Axes, values: Any, ylabel: str) -> None:
    """Whole iterations along x; a logarithmic axis where the values are positive and spread enough for its ticks."""
    from matplotlib.ticker import MaxNLocator

    finite = values[np.isfinite(values)]
    if finite.size and finite.min() > 0 and finite.max() > 3 * finite.min():
        ax.set_yscale("log")
    ax.set_xlabel("iteration")
    ax.set_ylabel(ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def plot_values(values: Any, order: int, *, ax: Axes | None = None, title: str = "Hankel singular values") -> Axes:
    """Draw singular values on a logarithmic axis, those kept filled.

    Parameters
    ----------
    values : array_like, shape (k,)
        Falling positive numbers.
    order : int
        How many are kept.
    ax : Axes, optional
        Where to draw; a new figure otherwise.
    title : str
        Title of the panel.

    Returns
    -------
    Axes
    """
    s = np.asarray(values, dtype=float).ravel()
    with style():
        ax = own_axes(ax)
        number = np.arange(1, len(s) + 1)
        kept = number <= order
        positive = s[s > 0]
        bottom = float(positive.min()) / 3 if positive.size else 0.1
        ax.vlines(number, bottom, np.maximum(s, bottom), color="#BBBBBB", lw=1.2)
        ax.plot(number[kept], s[kept], "o", color=BLUE, ms=7, label="kept")
        ax.plot(number[~kept], s[~kept], "o", mfc="white", mec=GREY, mew=1.4, ms=7, label="left out")
        if positive.size:
            ax.set_yscale("log")
            ax.set_ylim(bottom, 3 * float(positive.max()))
        ax.set_xlabel("number")
        ax.set_title(f"{title}: order {order}")
        ax.legend(loc="upper right")
        return ax


def plot_fit(result: Any) -> Any:
    """Draw a fitted model: its poles with 95 % ellipses where known, and how its order or its fit came about.

    Parameters
    ----------
    result : Fit
        What ``kelman.fit`` returned.

    Returns
    -------
    matplotlib.figure.Figure
    """
    with style():
        fig, axes = own_figure(9.0, 4.2, 1, 2)
        plot_poles(result.poles, result.pole_covariance, ax=axes[0, 0])
        axes[0, 0].set_title("Poles")
        values, history = result.singular_values, result.history
        if len(values):
            plot_values(values, result.model.dims.n, ax=axes[0, 1], title="Singular values")
        elif len(history):
            plot_history([step.objective for step in history], ax=axes[0, 1], ylabel="N log det Σ (standardised)")
            axes[0, 1].set_title("Iterations")
        else:
            axes[0, 1].set_axis_off()
        return fig


def plot_training(result: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the loss of a training against its iterations, one line for every start.

    Parameters
    ----------
    result : TrainResult
        What ``kelman.train`` returned.
    ax : Axes, optional
        Where to draw; a new figure otherwise.

    Returns
    -------
    Axes
    """
    with style():
        ax = own_axes(ax)
        best = result.history[-1].start
        for start in sorted({step.start for step in result.history}):
            own = [step for step in result.history if step.start == start]
            loss, shot = np.array([step.loss for step in own]), sum(step.phase == "shooting" for step in own)
            last = start == best
            look: dict[str, Any] = {"color": BLUE if last else GREY, "ms": 5, "lw": 1.4 if last else 1.0}
            if shot:  # another loss: it is not joined to the one that follows
                label = "multiple shooting, with the cost of gaps" if last else None
                ax.plot(np.arange(shot), loss[:shot], ".:", label=label, **look)
            ax.plot(np.arange(shot, len(loss)), loss[shot:], ".-", **look)
        validation = np.array([step.validation for step in result.history if step.start == best])
        if np.isfinite(validation).any():
            ax.plot(np.arange(len(validation)), validation, color=ORANGE, lw=1.2, label="held out")
        if ax.get_legend_handles_labels()[0]:
            ax.legend(loc="upper right")
        _by_iteration(ax, np.array([step.loss for step in result.history]), "loss (standardised)")
        word = "converged" if result.converged else "not converged"
        ax.set_title(f"Training by {result.method}: loss {float(result.loss):.5g}, {word}")
        return ax


def plot_dynamics(result: Any) -> Any:
    """Draw what was read from a network: poles with ellipses, the wrong reading hollow, and the Hankel values.

    Parameters
    ----------
    result : Dynamics
        What ``kelman.read_dynamics`` returned.

    Returns
    -------
    matplotlib.figure.Figure
    """
    with style():
        fig, axes = own_figure(9.0, 4.2, 1, 2)
        ax = axes[0, 0]
        plot_poles(result.poles, result.pole_cov, ax=ax, label="poles of A = U + W V")
        wrong = result.poles_recurrent
        if len(wrong):
            w = np.asarray(wrong, dtype=complex)
            ax.plot(
                w.real, w.imag, "o", mfc="none", mec=ORANGE, mew=1.5, ms=7, ls="none", label="U alone (wrong reading)"
            )
            ax.legend(loc="lower left")
        ax.set_title("Poles")
        plot_values(result.hankel, result.order, ax=axes[0, 1])
        return fig


def plot_comparison(result: Any) -> Any:
    """Draw the matched poles of two systems with lines between partners.

    Parameters
    ----------
    result : Comparison
        What ``kelman.compare`` returned.

    Returns
    -------
    matplotlib.axes.Axes
    """
    with style():
        a, b = np.asarray(result.poles_a, dtype=complex), np.asarray(result.poles_b, dtype=complex)
        ax = plot_poles(a, label="first", color=BLUE)
        ax.plot(b.real, b.imag, "o", mfc="none", mec=AMBER, mew=1.8, ms=10, ls="none", label="second")
        for p, q in zip(a, b, strict=False):
            ax.plot([p.real, q.real], [p.imag, q.imag], color="#999999", lw=1.0)
        ax.legend(loc="lower left")
        return ax
