# SPDX-License-Identifier: BSD-3-Clause
"""The block diagram that filter and network share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kelman.plotting._style import BLUE, GREEN, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def block_diagram(ax: Axes, title: str, blocks: tuple[str, str, str], signals: tuple[str, str, str]) -> None:
    """Draw input -> W -> sum/state with loop U -> V -> output."""
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    ax.set_xlim(-0.3, 10.6)
    ax.set_ylim(0, 6)
    ax.set_title(title, loc="center")

    def box(x: float, y: float, w: float, text: str, color: str) -> None:
        patch = FancyBboxPatch(
            (x - w / 2, y - 0.55), w, 1.1, boxstyle="round,pad=0.06", fc=color, ec="none", alpha=0.92
        )
        ax.add_patch(patch)
        ax.text(x, y, text, ha="center", va="center", color="white", fontsize=11, fontweight="bold")

    def arrow(a: tuple[float, float], b: tuple[float, float], bend: float = 0.0) -> None:
        ax.add_patch(
            FancyArrowPatch(
                a, b, arrowstyle="-|>", mutation_scale=12, color="#444444", lw=1.2,
                connectionstyle=f"arc3,rad={bend}", shrinkA=0, shrinkB=0,
            )
        )  # fmt: skip

    loop, gain, out = blocks
    z, state, y = signals
    box(2.5, 2.0, 1.3, gain, GREEN)
    box(5.0, 4.7, 2.3, loop, BLUE)
    box(7.5, 2.0, 1.3, out, ORANGE)
    ax.add_patch(FancyBboxPatch((4.55, 1.6), 0.9, 0.8, boxstyle="circle,pad=0.12", fc="white", ec="#444444", lw=1.2))
    ax.text(5.0, 2.0, state, ha="center", va="center", fontsize=12)
    ax.text(0.85, 2.0, z, ha="right", va="center", fontsize=12)
    ax.text(9.2, 2.0, y, ha="left", va="center", fontsize=12)
    arrow((0.95, 2.0), (1.75, 2.0))
    arrow((3.25, 2.0), (4.35, 2.0))
    arrow((5.65, 2.0), (6.75, 2.0))
    arrow((8.25, 2.0), (9.05, 2.0))
    arrow((5.45, 2.55), (6.2, 4.3), bend=0.45)
    arrow((3.8, 4.3), (4.55, 2.55), bend=0.45)
    ax.text(5.0, 0.55, "one step later the state comes back through the loop", ha="center", fontsize=9, color="#666666")
