# SPDX-License-Identifier: BSD-3-Clause
"""Components of a structural model over time, one panel each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.errors import KelmanError
from kelman.plotting._style import BLUE, CYCLE, GREY, own_figure, style
from kelman.plotting._tracks import band_factor, pick, track

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kelman._types import ArrayLike


def plot_components(
    result: Any,
    *,
    names: Sequence[str] | None = None,
    time: ArrayLike | None = None,
    series: int = 0,
    level: float = 0.95,
) -> Any:
    """Draw components with their bands, one panel each.

    The measurements stand behind a level, or behind the first component that carries their mean; seasonal patterns and what
    else moves about zero have a line there.

    Parameters
    ----------
    result : Components
        What `kelman.structural.components` returned.
    names : sequence of str, optional
        Which components, by default those that add up to the measurements.
    time : array_like, shape (T,), optional
        What the axis of time shows, by default 1, 2, ...
    series : int, default 0
        Which series, if there are several.
    level : float, default 0.95
        Probability of the bands.

    Returns
    -------
    Figure
        One panel for each component.

    Raises
    ------
    KelmanError
        If a name is unknown, or time does not fit.
    """
    shown = [name for name in result if result[name].additive] if names is None else list(names)
    if not shown:
        raise KelmanError("names: expected at least one component")
    z = pick(result.z, 2, series, "the result")
    at = np.arange(1, len(z) + 1) if time is None else np.asarray(time)
    if at.shape != (len(z),):
        raise KelmanError(f"time: expected shape ({len(z)},), got {at.shape}")
    factor = band_factor(level)
    middle, reach = np.nanmean(z), np.nanmax(z) - np.nanmin(z)
    with style():
        fig, axes = own_figure(8.4, 0.7 + 1.75 * len(shown), len(shown), 1, sharex=True)
        for number, (ax, name) in enumerate(zip(axes[:, 0], shown, strict=True)):
            signal = result[name]
            mean = pick(signal.mean, 2, series, "the result")
            std = pick(signal.std, 2, series, "the result")
            carries = signal.additive and abs(np.nanmean(mean) - middle) < 0.5 * reach and abs(middle) > 0.5 * reach
            carries = carries or (signal.additive and number == 0)
            for j in range(mean.shape[1]):
                if carries:
                    ax.plot(at, z[:, j], ".", color=GREY, ms=3.5, label="measured" if not j else None)
                label = None
                if not number:
                    band = f"{100 * level:g} % band"
                    label = band if mean.shape[1] == 1 else f"z[{j}], {band}"
                track(
                    ax, at, mean[:, j], std[:, j], factor, BLUE if mean.shape[1] == 1 else CYCLE[j % len(CYCLE)], label
                )
            if not carries and np.nanmin(mean) < 0 < np.nanmax(mean):
                ax.axhline(0.0, color="#888888", lw=0.8, zorder=1)
            ax.set_title(name)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        axes[0, 0].legend(
            handles, labels, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=1 + len(labels), borderaxespad=0.2
        )
        if time is None:
            axes[-1, 0].set_xlabel("step k")
        return fig
