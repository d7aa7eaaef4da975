# SPDX-License-Identifier: BSD-3-Clause
"""The answer in about a dozen lines; every number comes from the records of the studies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kelman.experiments._activation import Activation
    from kelman.experiments._data import DataPole, DataStudy
    from kelman.experiments._exact_map import ExactMap
    from kelman.experiments._learning import LearningCurve
    from kelman.experiments._pairing import LiteralPairing
    from kelman.experiments._scoring import Method
    from kelman.experiments._weights import Weights


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the verdict: the question, yes / no / a word, and the sentence with the number."""

    question: str
    answer: str
    because: str

    def __str__(self) -> str:
        return f"{self.question} {self.answer}: {self.because}"


def number(x: float) -> str:
    """Write a number as a person would: three significant digits, powers of ten only for the very small and large."""
    if not math.isfinite(x):
        return "infinite" if x > 0 else "undefined"
    if x == 0.0:
        return "0"
    if 1e-3 <= abs(x) < 1e5:
        text = f"{x:.3g}" if abs(x) < 1000 else f"{x:,.0f}"
        return text if "e" not in text else f"{x:.0f}"
    return f"{x:.1e}".replace("e-0", "e-").replace("e+0", "e+")


def _crb(method: Method) -> str:
    return f"modulus {abs(method.modulus_error):.1f} and angle {abs(method.angle_error):.1f} Cramer-Rao units off"


def map_lines(record: ExactMap, pairing: LiteralPairing) -> list[Line]:
    """Say whether the analogy is viable, and why not as the question writes it.

    Parameters
    ----------
    record : ExactMap
        Network against filter.
    pairing : LiteralPairing
        The question's own pairing.

    Returns
    -------
    list of Line
    """
    worst = max(record.cases, key=lambda case: case.relative)
    exact = record.largest_relative <= 1e-10
    literal, kf = pairing.row("literal pairing"), pairing.row("Kalman filter")
    mean = pairing.row("mean")
    return [
        Line(
            "Is the analogy viable?",
            "yes, with the filter" if exact else "no",
            f"network and steady-state filter differ by at most {number(record.largest_relative)} of the largest "
            f"measurement ({len(record.cases)} maps, {worst.steps:,} steps each)",
        ),
        Line(
            "As the question pairs them (U = A, W = B, driven by u)?",
            "no" if literal.mse > 1.02 * kf.mse else "yes",
            f"that is a simulator that never sees z: mean squared error {literal.mse:.3f}, the filter {kf.mse:.3f}, "
            f"the mean {mean.mse:.3f}",
        ),
    ]


def weight_lines(record: Weights) -> list[Line]:
    """Say whether trained weights tell the dynamics, for each kind of network.

    Parameters
    ----------
    record : Weights
        All methods on one series.

    Returns
    -------
    list of Line
    """
    two, eight = record.method("linear Elman, 2 units"), record.method("linear Elman, 8 units")
    tanh, pem, cca = record.method("tanh Elman, 8 units"), record.method("PEM"), record.method("subspace")
    d, T = record.truth.n_parameters, record.samples
    true = record.truth
    assert two.wrong_pole is not None
    assert two.wrong_modulus_error is not None
    low, high = record.chi_square_band

    def score(excess: float) -> str:
        return number(T * excess)

    return [
        Line(
            "Can I read A off the weights? U alone:",
            "no" if abs(two.wrong_modulus_error) > 3 else "yes",
            f"its poles have modulus {abs(two.wrong_pole):.3f} (truth {true.modulus:.3f}), "
            f"{number(abs(two.wrong_modulus_error))} Cramer-Rao units off",
        ),
        Line(
            "U + W V:",
            "yes" if two.worst_error < 4 else "no",
            f"modulus {abs(two.pole):.4f}, angle {_angle(two.pole):.4f} (truth {true.modulus:.4f}, {true.angle:.4f}); {_crb(two)}",
        ),
        Line(
            "Does a linear Elman net learn as much as the data hold?",
            "yes" if T * two.predictor_excess <= high else "no",
            f"T x excess {score(two.predictor_excess)} where an efficient method has {d} on average "
            f"(90 %: {low:.1f} to {high:.1f}); subspace {score(cca.predictor_excess)}, "
            f"prediction error method {score(pem.predictor_excess)}",
        ),
        Line(
            "Too many units (8 for 2 states)?",
            "no harm after reduction" if T * eight.model_excess <= 2 * high else "harm",
            f"T x excess {score(eight.predictor_excess)}; the Hankel values say order {eight.order}, "
            f"and reduced to 2 it is {score(eight.model_excess)}",
        ),
        Line(
            "A tanh net (8 units)?",
            "read by behaviour, yes" if tanh.worst_error < 4 else "not by its weights",
            f"T x excess {score(tanh.predictor_excess)}, but the model read from its predictions has "
            f"{score(tanh.model_excess)}; {_crb(tanh)}"
            + (f"; {100 * tanh.linear_r2:.2f} % linear" if tanh.linear_r2 is not None else ""),
        ),
    ]


def _angle(z: complex) -> float:
    return abs(math.atan2(z.imag, z.real))


def learning_line(record: LearningCurve) -> Line:
    """Say how fast the network learns as the series grows.

    Parameters
    ----------
    record : LearningCurve
        Excess risk against sample size.

    Returns
    -------
    Line
    """
    net = record.curve("linear Elman, 2 units")
    sizes = f"{record.sizes[0]:,} to {record.sizes[-1]:,} samples"
    return Line(
        "With more data?",
        "closer at the best possible rate"
        if abs(net.slope + 1.0) < 3 * net.slope_sd
        else "not at the best possible rate",
        f"its excess falls like T^{net.slope:.2f} (+-{net.slope_sd:.2f}) from {sizes}; T x excess is {number(net.mean_score)} on average over "
        f"{len(record.sizes) * record.seeds} series (efficient {record.n_parameters})",
    )


def activation_lines(record: Activation) -> list[Line]:
    """Say what the activation does, without training.

    Parameters
    ----------
    record : Activation
        Excess against hidden gain and amplitude.

    Returns
    -------
    list of Line
    """
    one, ten = record.at(1.0), record.at(10.0)
    worst = max(p.relu for p in record.amplitudes)
    return [
        Line(
            "What does tanh do?",
            "it bounds the state",
            f"excess falls like gain^{record.slope:.2f} "
            f"(gain 1: {number(record.gains[-1].excess)}, gain {record.gains[0].gain:g}: {number(record.gains[0].excess)})",
        ),
        Line(
            "Extrapolation x10?",
            "tanh no, ReLU split yes",
            f"excess of tanh (gain {record.amplitude_gain:g}) {number(one.tanh)} -> {number(ten.tanh)}, "
            f"of the ReLU split at most {number(worst)} at any amplitude",
        ),
    ]


def data_lines(record: DataStudy) -> list[Line]:
    """Say what real data allow: order, errors on the held-out part, poles, residuals.

    Parameters
    ----------
    record : DataStudy
        The study of one data set.

    Returns
    -------
    list of Line
    """
    net, pem = record.method("network"), record.method("PEM")
    sure = [p for p in record.poles if p.determined]
    unsure = [p for p in record.poles if not p.determined]
    lines = [
        Line(
            f"On real data ({record.name}, order {record.order})?",
            "as good as the classical fit"
            if net.one_step_rmse <= 1.02 * pem.one_step_rmse
            else "worse than the classical fit",
            f"one step ahead on the second part RMSE {number(net.one_step_rmse)} (prediction error method {number(pem.one_step_rmse)}, "
            f"last value {number(record.last_value_rmse)})"
            + (
                f", free run explains {net.free_run_vaf:.1f} % (RMSE {number(net.free_run_rmse)})"
                if net.free_run_vaf is not None and net.free_run_rmse is not None
                else ""
            ),
        ),
        Line(
            "Which poles do the data determine?",
            f"{len(sure)} of {len(record.poles)}",
            _pole_list(sure, "determined")
            + (f"; left open: {', '.join(_pole(p.pole) for p in unsure)}" if unsure else ""),
        ),
    ]
    test = record.whiteness
    cross = f", correlation with past inputs p = {test.cross_p_value:.2g}" if test.cross_p_value is not None else ""
    lines.append(
        Line(
            "Is anything left in the residuals?",
            "not at the 1 % level" if test.white else "yes",
            f"Ljung-Box over {test.lags} lags p = {test.p_value:.2g}{cross}",
        )
    )
    return lines


def _pole(z: complex) -> str:
    return f"{z.real:.3f}" if abs(z.imag) < 1e-9 else f"{z.real:.3f}{z.imag:+.3f}i"


def _pole_list(poles: list[DataPole], word: str) -> str:
    if not poles:
        return f"none is {word}"
    worst = max(p.distance for p in poles)
    agrees = f"agrees within {worst:.1f}" if worst <= 3.0 else f"is up to {worst:.1f} off, in"
    return f"{', '.join(_pole(p.pole) for p in poles)}; the network {agrees} standard deviations"
