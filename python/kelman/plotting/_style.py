# SPDX-License-Identifier: BSD-3-Clause
"""One look for every figure: colours that colour-blind readers can tell apart, quiet axes, readable sizes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, ordered by use
TRUTH = "#000000"
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREEN = "#009E73"
PINK = "#CC79A7"
SKY = "#56B4E9"
AMBER = "#E69F00"
GREY = "#8A8A8A"
CYCLE = (BLUE, ORANGE, GREEN, PINK, AMBER, SKY)

RC: dict[str, Any] = {
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.7,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.12,
    "figure.constrained_layout.h_pad": 0.10,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw inside this context with the package's look; the user's own settings come back afterwards."""
    import matplotlib as mpl
    from cycler import cycler

    with mpl.rc_context():
        mpl.rcParams.update(RC)
        mpl.rcParams["axes.prop_cycle"] = cycler(color=CYCLE)
        yield


def figure(
    width: float = 8.0, height: float = 4.0, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, Any]:
    """Return a figure that pyplot does not keep alive, and its axes.

    Parameters
    ----------
    width, height : float
        Size in inches.
    rows, columns : int
        Grid of axes.
    **options
        Passed on to ``Figure.subplots``.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : Axes or ndarray of Axes
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as MplFigure

    fig = MplFigure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(fig)
    return fig, fig.subplots(rows, columns, **options)


def own_axes(ax: Axes | None, width: float = 7.0, height: float = 3.6) -> Axes:
    """Return the axes given, or new ones shown by pyplot where a person sits before it.

    Parameters
    ----------
    ax : Axes or None
        What the caller gave.
    width, height : float
        Size in inches of a new figure.

    Returns
    -------
    Axes
    """
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    new: Axes = plt.subplots(figsize=(width, height), layout="constrained")[1]
    return new


def own_figure(width: float, height: float, rows: int, columns: int, **options: Any) -> tuple[Figure, Any]:
    """Return a new pyplot figure with a grid of axes, for results drawn in several panels.

    Parameters
    ----------
    width, height : float
        Size in inches.
    rows, columns : int
        Grid of axes.
    **options
        Passed on to ``pyplot.subplots``.

    Returns
    -------
    figure : Figure
    axes : ndarray of Axes
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(rows, columns, figsize=(width, height), layout="constrained", squeeze=False, **options)
    return fig, axes
