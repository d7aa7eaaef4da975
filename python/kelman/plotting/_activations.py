# SPDX-License-Identifier: BSD-3-Clause
"""What the activations of a network do: gains, saturation, memory, local radii."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.plotting._style import BLUE, CYCLE, GREY, ORANGE, own_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_activations(read: Any, **options: Any) -> Figure:
    """Draw effective gain and saturation of every unit, the memory kernel and the local spectral radius.

    Parameters
    ----------
    read : Activations
        Of `kelman.read_activations`.
    **options
        Passed on to the figure.

    Returns
    -------
    Figure
    """
    with style():
        fig, axes = own_figure(10, 7, 2, 2, **options)
        for row, colour in zip(read.units, CYCLE * (1 + len(read.units) // len(CYCLE)), strict=False):
            label = row.name if read.units[-1].layer == 0 else f"layer {row.layer}: {row.name}"
            number = np.arange(1, len(row.gain) + 1)
            axes[0, 0].plot(number, np.sort(row.gain)[::-1], ".-", color=colour, label=label)
            axes[0, 1].plot(number, np.sort(row.saturated)[::-1], ".-", color=colour, label=label)
        axes[0, 0].set(title="effective gain E[s'(a)]", xlabel="unit, sorted", ylabel="gain")
        axes[0, 1].set(title="saturated part of the steps", xlabel="unit, sorted", ylabel="part", ylim=(-0.02, 1.02))
        axes[0, 0].legend()
        _kernel(axes[1, 0], read.kernel)
        axes[1, 1].hist(read.radius, bins=min(40, max(5, len(read.radius) // 10)), color=BLUE, alpha=0.7)
        axes[1, 1].axvline(float(np.abs(read.poles[0])), color=ORANGE, label="of the mean Jacobian")
        axes[1, 1].set(title="local spectral radius", xlabel="radius", ylabel="moments")
        axes[1, 1].legend()
        return fig


def _kernel(ax: Any, kernel: Any) -> None:
    lag = np.arange(len(kernel.mean))
    outputs, inputs = kernel.mean.shape[1:]
    pairs = [(o, i) for o in range(outputs) for i in range(inputs)][: len(CYCLE)]
    for (o, i), colour in zip(pairs, CYCLE, strict=False):
        mean, spread = kernel.mean[:, o, i], kernel.std[:, o, i]
        label = "mean" if len(pairs) == 1 else f"output {o + 1}, input {i + 1}"
        ax.plot(lag, mean, ".-", color=colour, label=label)
        ax.fill_between(lag, mean - spread, mean + spread, color=colour, alpha=0.2, lw=0)
    ax.axhline(0.0, color=GREY, lw=0.8)
    ax.set(title="memory d y / d x", xlabel="lag", ylabel="derivative")
    ax.legend()
