# SPDX-License-Identifier: BSD-3-Clause
"""The choice of the order: singular values, BIC and held-out likelihood side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.plotting._style import BLUE, GREY, ORANGE, own_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_order_selection(result: Any) -> Any:
    """Draw canonical correlations with their noise threshold, BIC, and held-out likelihood against the order.

    Parameters
    ----------
    result : OrderSelection
        What ``kelman.identify.select_order`` returned.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.ticker import MaxNLocator

    with style():
        fig, axes = own_figure(12.0, 4.0, 1, 3)
        one, two, three = axes[0]
        shown = result.correlations[: max(len(result.orders) + 4, 8)]
        number = np.arange(1, len(shown) + 1)
        above = shown > result.threshold
        one.plot(number[above], shown[above], "o", color=BLUE, ms=7, label="above")
        one.plot(number[~above], shown[~above], "o", mfc="white", mec=GREY, mew=1.4, ms=7, label="within the noise")
        one.axhline(result.threshold, color=ORANGE, lw=1.2, ls="--", label="largest of noise alone")
        one.set_ylim(0, 1.05)
        one.set_title(f"Canonical correlations: {result.by_singular_values}")
        one.legend(loc="upper right")
        if result.orders[-1] > result.by_singular_values:
            for ax in (two, three):
                ax.axvspan(result.by_singular_values + 0.5, result.orders[-1] + 0.5, color=GREY, alpha=0.12, lw=0)
        _curve(two, result.orders, result.bic - np.nanmin(result.bic), result.by_bic)
        two.set_title(f"BIC (grey: within the noise): {result.by_bic}")
        two.set_ylabel("above its least")
        if result.by_holdout is None:
            three.text(0.5, 0.5, "nothing held out", transform=three.transAxes, ha="center", color=GREY)
            three.set_title("Held-out log-likelihood")
        else:
            below = result.heldout - np.nanmax(result.heldout)
            three.errorbar(
                result.orders, below, result.heldout_error, fmt="none", ecolor=GREY, elinewidth=1.2, capsize=3
            )
            _curve(three, result.orders, below, result.by_holdout)
            three.set_title(f"Held-out log-likelihood: {result.by_holdout}")
            three.set_ylabel("per value, less the best (± std. error)")
        for ax in axes[0]:
            ax.set_xlabel("order")
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        fig.suptitle(f"Order {result.order} by {result.rule}", x=0.01, ha="left")
        return fig


def _curve(ax: Axes, orders: Any, values: Any, chosen: int) -> None:
    """Draw a criterion against the order, the chosen one filled in another colour."""
    ax.plot(orders, values, ".-", color=BLUE, ms=8)
    k = int(chosen) - 1
    ax.plot(orders[k], values[k], "o", color=ORANGE, ms=9, label="chosen by it")
    ax.legend(loc="best")
