# SPDX-License-Identifier: BSD-3-Clause
"""Figures of ``kelman experiment``: each takes the record of a study and returns a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.plotting._data import data_fit_figure, data_poles_figure, whiteness_figure
from kelman.plotting._diagram import block_diagram
from kelman.plotting._poles import ellipse, unit_circle
from kelman.plotting._style import AMBER, BLUE, GREEN, GREY, ORANGE, PINK, SKY, TRUTH, figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHOD_LOOK = {
    "subspace": (SKY, "s"),
    "PEM": (BLUE, "D"),
    "linear Elman, 2 units": (GREEN, "o"),
    "linear Elman, 8 units": (AMBER, "^"),
    "tanh Elman, 8 units": (ORANGE, "v"),
}


def look(name: str) -> tuple[str, str]:
    """Return colour and marker of a method."""
    return METHOD_LOOK.get(name, (PINK, "P"))


def map_figure(record: Any) -> Figure:
    """Draw filter and network as block diagrams in the same colours, and below the difference of their outputs."""
    with style():
        fig, axes = figure(8.6, 6.2, 2, 2, height_ratios=[1.15, 1.0])
        for ax in axes[0]:
            ax.set_axis_off()
        block_diagram(
            axes[0, 0], "Kalman filter (steady state)", ("A − K H", "K", "H"), ("$z_k$", r"$\hat x$", r"$\hat z_{k+1}$")
        )
        block_diagram(axes[0, 1], "Elman network", ("U", "W", "V"), ("$x_k$", "$h$", "$y_k$"))
        ax, shown = axes[1, 0], 80
        k = np.arange(1, shown + 1)
        ax.plot(k, record.z[:shown], ".", color=GREY, ms=4, label="measured")
        ax.plot(k, record.filter_prediction[:shown], color=BLUE, lw=3.2, alpha=0.55, label="filter")
        ax.plot(k, record.network_prediction[:shown], color=ORANGE, lw=1.2, ls="--", label="network")
        ax.set_title("One-step predictions")
        ax.set_xlabel("step k")
        ax.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.2), borderaxespad=0.0)
        ax = axes[1, 1]
        difference = np.asarray(record.network_prediction) - np.asarray(record.filter_prediction)
        ax.plot(np.arange(1, len(difference) + 1), difference, color=ORANGE, lw=1.0)
        ax.set_title("Network minus filter")
        ax.set_xlabel("step k")
        ax.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=True)
        return fig


def pairing_figure(record: Any) -> Figure:
    """Draw the literal pairing beside the filter: traces, and mean squared errors as bars."""
    with style():
        fig, axes = figure(8.6, 3.6, 1, 2, width_ratios=[1.6, 1.0])
        ax = axes[0]
        k = np.arange(1, len(record.z) + 1)
        ax.plot(k, record.z, ".", color=GREY, ms=4, label="measured")
        ax.plot(k, record.filter_prediction, color=BLUE, label="Kalman filter = network with U = A − K H")
        ax.plot(k, record.literal_prediction, color=ORANGE, ls="--", label="literal pairing U = A, W = B")
        ax.set_xlabel("step k")
        ax.set_title("One-step predictions")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=1, borderaxespad=0.0)
        ax = axes[1]
        names = [row.name for row in record.rows]
        values = [row.mse for row in record.rows]
        colors = [BLUE, ORANGE, GREY, GREY]
        y = np.arange(len(names))[::-1]
        ax.barh(y, values, color=colors, height=0.62)
        for yi, value in zip(y, values, strict=True):
            ax.text(value, yi, f" {value:.2f}", va="center", fontsize=9.5)
        ax.set_yticks(y, names)
        ax.set_xlim(0, 1.18 * max(values))
        ax.grid(axis="y", visible=False)
        ax.set_title("Mean squared error")
        return fig


def poles_figure(record: Any) -> Figure:
    """Draw the poles that every method reads, the wrong readings of U alone with arrows, and a close-up."""
    with style():
        fig, axes = figure(8.8, 4.9, 1, 2)
        true = record.truth
        wide, close = axes
        for ax in axes:
            unit_circle(ax)
        pole, wrong = complex(record.true_pole), complex(record.true_wrong_pole)
        wide.set_xlim(0.5, 1.08)
        wide.set_ylim(0.0, 0.58)
        for method in record.methods:
            color, marker = look(method.name)
            z = complex(method.pole)
            if method.wrong_pole is not None:
                w = complex(method.wrong_pole)
                wide.plot(w.real, w.imag, marker, mfc="none", mec=color, mew=1.5, ms=8, ls="none", zorder=4)
                wide.annotate(
                    "",
                    (z.real, z.imag),
                    (w.real, w.imag),
                    arrowprops={"arrowstyle": "->", "color": color, "lw": 1.2, "shrinkA": 6, "shrinkB": 6},
                )
            wide.plot(z.real, z.imag, marker, color=color, ms=7, ls="none", mec="white", mew=0.7, zorder=5)
            close.plot(
                z.real, z.imag, marker, color=color, ms=8, ls="none", mec="white", mew=0.7, zorder=5, label=method.name
            )
            if method.pole_cov is not None:
                ellipse(close, z, method.pole_cov, color=color, lw=1.2, zorder=3)
        for ax in axes:
            ax.plot(pole.real, pole.imag, "+", color=TRUTH, ms=13, mew=1.8, ls="none", zorder=6)
        wide.text(pole.real + 0.02, pole.imag + 0.035, "truth", fontsize=9.5, ha="left")
        wide.text(
            wrong.real,
            wrong.imag - 0.055,
            "U alone (hollow):\nthe wrong reading",
            fontsize=9.5,
            ha="center",
            va="top",
            color="#444444",
        )
        marks = zip(record.tanh_readings[1:], ("x", "*"), strict=True)
        for reading, mark in marks:
            z, ms = complex(reading.pole), 8 if mark == "x" else 9
            for ax in axes:
                ax.plot(z.real, z.imag, mark, color=ORANGE, ms=ms, mew=1.6, ls="none", zorder=6)
            close.plot([], [], mark, color=ORANGE, ms=ms, mew=1.6, ls="none", label=f"tanh, {reading.name}")
        wide.set_title("Readings of the leading pole")
        ellipse(
            close, pole, record.true_pole_cov, color=TRUTH, lw=1.4, ls=":", zorder=4, label="95 % bound (Cramér-Rao)"
        )
        zs = np.array([complex(m.pole) for m in record.methods])
        reach = 1.25 * max(
            np.abs(zs.real - pole.real).max(),
            np.abs(zs.imag - pole.imag).max(),
            2.6 * float(np.sqrt(np.linalg.eigvalsh(np.asarray(record.true_pole_cov)).max())),
        )
        close.set_xlim(pole.real - reach, pole.real + reach)
        close.set_ylim(pole.imag - reach, pole.imag + reach)
        close.locator_params(nbins=5)
        close.set_title("Close-up with 95 % ellipses")
        handles, labels = close.get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=3)
        del true
        return fig


def impulse_figure(record: Any) -> Figure:
    """Draw the impulse response from innovation to measurement of every model read, and the errors below."""
    with style():
        fig, axes = figure(8.6, 5.2, 2, 1, sharex=True, height_ratios=[1.25, 1.0])
        lag = np.arange(1, len(record.true_impulse) + 1)
        axes[0].plot(lag, record.true_impulse, color=TRUTH, lw=3.0, alpha=0.35, label="truth")
        for method in record.methods:
            color, marker = look(method.name)
            axes[0].plot(lag, method.impulse, color=color, lw=1.2, label=method.name)
            error = np.asarray(method.impulse) - np.asarray(record.true_impulse)
            axes[1].plot(lag, error, color=color, marker=marker, ms=3.5, lw=1.0)
        axes[1].axhline(0.0, color="#999999", lw=0.8)
        axes[0].set_title("Impulse response  H A$^{i-1}$ K")
        axes[1].set_title("Error")
        axes[1].set_xlabel("lag i")
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        return fig


def scores_figure(record: Any) -> Figure:
    """Draw T x excess of each predictor and of the model read from it, beside the efficient value and its band."""
    with style():
        fig, ax = figure(8.6, 3.7)
        names = [m.name for m in record.methods]
        y = np.arange(len(names))[::-1]
        ax.axvspan(*record.chi_square_band, color="#DDDDDD", alpha=0.7, lw=0, label="90 % of efficient fits")
        ax.axvline(
            record.truth.n_parameters,
            color=TRUTH,
            lw=1.2,
            label=f"efficient on average: d = {record.truth.n_parameters}",
        )
        for yi, m in zip(y, record.methods, strict=True):
            color, _ = look(m.name)
            values = [record.samples * m.predictor_excess, record.samples * m.model_excess]
            ax.plot(values, [yi, yi], color=color, lw=1.4, alpha=0.7)
            ax.plot(values[0], yi, "o", mfc="white", mec=color, mew=1.8, ms=8.5)
            ax.plot(values[1], yi, "o", color=color, ms=7.5)
        ax.plot([], [], "o", mfc="white", mec="#444444", mew=1.8, ms=8.5, label="the predictor itself")
        ax.plot([], [], "o", color="#444444", ms=7.5, label="the model of order 2 read from it")
        ax.set_xscale("log")
        ax.set_yticks(y, names)
        ax.set_ylim(-0.6, len(names) - 0.4)
        ax.set_xlabel("T × excess risk")
        fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return fig


def learning_figure(record: Any) -> Figure:
    """Draw excess risk against sample size: every series a dot, the means joined, the floor d / T as a line."""
    with style():
        fig, ax = figure(8.0, 4.4)
        sizes = np.asarray(record.sizes, dtype=float)
        ax.plot(
            sizes,
            record.n_parameters / sizes,
            color=TRUTH,
            lw=1.4,
            ls="--",
            label=f"efficient: d / T, d = {record.n_parameters}",
        )
        shift = dict(zip([c.name for c in record.curves], np.linspace(0.92, 1.08, len(record.curves)), strict=True))
        for curve in record.curves:
            color, marker = look(curve.name)
            values = np.asarray(curve.excess, dtype=float)
            x = sizes * shift[curve.name]
            for j in range(values.shape[1]):
                ax.plot(x, values[:, j], marker, color=color, ms=4, alpha=0.45, ls="none", mec="none")
            ax.plot(
                x, np.mean(values, axis=1), marker + "-", color=color, ms=6.5, mec="white", mew=0.6, label=curve.name
            )
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("samples T")
        ax.set_ylabel("excess risk  tr(Σ⁻¹Δ)")
        ax.set_title("Distance from the Kalman floor")
        fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return fig


def hankel_figure(record: Any) -> Figure:
    """Draw the Hankel singular values of the over-sized network, and T x excess for each order kept."""
    with style():
        fig, axes = figure(8.6, 3.7, 1, 2)
        reduction = record.reduction
        values = np.asarray(reduction.hankel, dtype=float)
        order = np.arange(1, len(values) + 1)
        ax = axes[0]
        kept = order <= reduction.chosen_order
        ax.vlines(order, values.min() / 3, values, color="#BBBBBB", lw=1.2)
        ax.plot(order[kept], values[kept], "o", color=BLUE, ms=8, label="kept")
        ax.plot(order[~kept], values[~kept], "o", mfc="white", mec=GREY, mew=1.5, ms=8, label="noise")
        ax.set_yscale("log")
        ax.set_ylim(values.min() / 3, values.max() * 3)
        ax.set_xticks(order)
        ax.set_xlabel("number")
        ax.set_title("Hankel singular values")
        ax.legend(loc="upper right")
        ax = axes[1]
        scores = np.array([record.samples * e for e in reduction.excess_by_order], dtype=float)
        finite = np.isfinite(scores)
        ax.axvspan(reduction.chosen_order - 0.25, reduction.chosen_order + 0.25, color="#E8EEF7", lw=0)
        ax.axhline(record.truth.n_parameters, color=TRUTH, lw=1.2, ls="--")
        ax.plot(order[finite], scores[finite], "o-", color=AMBER, ms=6.5)
        ax.set_yscale("log")
        ax.set_xticks(order)
        ax.set_xlabel("order kept")
        ax.set_title("T × excess risk (dashed: d)")
        return fig


def activation_figure(record: Any) -> Figure:
    """Draw excess against hidden gain with its slope, and against the amplitude of the data."""
    with style():
        fig, axes = figure(8.6, 4.0, 1, 2)
        ax = axes[0]
        gain = np.array([p.gain for p in record.gains])
        excess = np.array([p.excess for p in record.gains])
        ax.plot(gain, excess, "o-", color=ORANGE, label="tanh network")
        reference = excess[0] * (gain / gain[0]) ** 4
        ax.plot(gain, reference, color=TRUTH, lw=1.0, ls=":", label="slope 4")
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_ylim(excess.min() / 4, 10)
        ax.set_xlabel("hidden gain ε")
        ax.set_ylabel("excess risk")
        ax.set_title(f"Small hidden state: slope {record.slope:.2f}")
        ax.legend(loc="upper left")
        ax = axes[1]
        amplitude = np.array([p.amplitude for p in record.amplitudes])
        ax.plot(
            amplitude,
            [p.tanh for p in record.amplitudes],
            "v-",
            color=ORANGE,
            label=f"tanh, ε = {record.amplitude_gain:g}",
        )
        floor = 1e-32
        ax.plot(amplitude, [max(p.relu, floor) for p in record.amplitudes], "o-", color=BLUE, label="ReLU split")
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("amplitude of the data")
        ax.set_title("Extrapolation")
        ax.legend(loc="center right")
        return fig


def matrices_figure(record: Any) -> Figure:
    """Draw A, the reading in the network's own basis, aligned to the truth, and the difference that is left."""
    with style():
        reading = record.matrices
        panels = (
            ("A (truth)", reading.A),
            ("U alone", reading.U),
            ("U + W V, raw basis", reading.raw),
            ("U + W V, aligned", reading.aligned),
            ("aligned − A", np.asarray(reading.aligned) - np.asarray(reading.A)),
        )
        fig, axes = figure(9.2, 2.6, 1, len(panels))
        limit = max(float(np.abs(np.asarray(m)).max()) for _, m in panels)
        for ax, (title, matrix) in zip(axes, panels, strict=True):
            M = np.asarray(matrix, dtype=float)
            ax.imshow(M, cmap="PuOr_r", vmin=-limit, vmax=limit)
            small = title.startswith("aligned")
            for (i, j), value in np.ndenumerate(M):
                dark = abs(value) > 0.6 * limit
                text = f"{value:.1e}" if small else f"{value:.3f}"
                ax.text(
                    j,
                    i,
                    text,
                    ha="center",
                    va="center",
                    fontsize=8 if small else 9.5,
                    color="white" if dark else "black",
                )
            ax.set_title(title, loc="center", fontsize=10)
            ax.set_xticks([])
            ax.set_yticks([])
            ax.grid(visible=False)
            for spine in ax.spines.values():
                spine.set_visible(False)
        return fig


def amplitude_figure(record: Any) -> Figure:
    """Draw the leading pole of the trained tanh network against the amplitude of the probe."""
    with style():
        fig, axes = figure(8.6, 3.4, 1, 2)
        amplitude = np.array([point.amplitude for point in record.amplitude_poles])
        pole = np.array([complex(point.pole) for point in record.amplitude_poles])
        for ax, values, truth, title in (
            (axes[0], np.abs(pole), abs(complex(record.true_pole)), "Modulus of the pole"),
            (axes[1], np.abs(np.angle(pole)), abs(np.angle(complex(record.true_pole))), "Angle, radians per step"),
        ):
            ax.axhline(truth, color=TRUTH, lw=1.2, ls="--", label="truth")
            ax.plot(amplitude, values, "v-", color=ORANGE, ms=7, label="tanh network")
            ax.set_xscale("log", base=2)
            ax.set_xticks(amplitude, [f"{a:g}" for a in amplitude])
            ax.set_xlabel("amplitude of the probe")
            ax.set_title(title)
        reach = float(np.abs(np.abs(pole) - abs(complex(record.true_pole))).max())
        middle = abs(np.angle(complex(record.true_pole)))
        axes[1].set_ylim(middle - reach, middle + reach)
        axes[0].legend(loc="lower left")
        return fig


EXPERIMENT_FIGURES = {
    "map": map_figure,
    "pairing": pairing_figure,
    "poles": poles_figure,
    "impulse": impulse_figure,
    "scores": scores_figure,
    "learning": learning_figure,
    "hankel": hankel_figure,
    "matrices": matrices_figure,
    "activation": activation_figure,
    "amplitude": amplitude_figure,
    "data_fit": data_fit_figure,
    "data_poles": data_poles_figure,
    "whiteness": whiteness_figure,
}
