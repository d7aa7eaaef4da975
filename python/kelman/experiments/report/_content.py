# SPDX-License-Identifier: BSD-3-Clause
"""What the page shows, section by section: figures with one-sentence captions, tables, grids for the sliders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kelman.experiments._verdict import number
from kelman.experiments.report._data_content import data_section
from kelman.experiments.report._page import Figure, Section, TableView, complex_text, matrix_text

if TYPE_CHECKING:
    from kelman.experiments._run import Experiment


def sections(experiment: Experiment) -> list[Section]:
    """Lay out the page.

    Parameters
    ----------
    experiment : Experiment
        Records of the studies.

    Returns
    -------
    list of Section
    """
    out: list[Section] = []
    if experiment.exact_map is not None:
        out.append(_map(experiment))
    if experiment.pairing is not None:
        out.append(_pairing(experiment))
    if experiment.weights is not None:
        out += [_reading(experiment), _scores(experiment), _oversized(experiment)]
    if experiment.activation is not None:
        out.append(_activation(experiment))
    out.append(data_section(experiment.data))
    return out


def _map(experiment: Experiment) -> Section:
    record = experiment.exact_map
    assert record is not None
    worst = number(record.largest_relative)
    steps = record.cases[0].steps
    return Section(
        "map",
        "Is the analogy viable?",
        "The generative model resembles an Elman network but its state is random. What equals a deterministic Elman network is "
        "the filter: the measurements are the input of the network, and the recurrent matrix is the closed loop A − K H.",
        (
            Figure(
                "map",
                record,
                f"Network and steady-state Kalman filter, drawn with the same colours for the same matrices, differ by at most {worst} "
                f"of the largest measurement over {steps:,} steps.",
                "Block diagrams of filter and network, their predictions, and the difference",
            ),
        ),
        (
            TableView(
                ("network", "filter", "role", "value"),
                tuple((s.network, s.filter, s.meaning, matrix_text(s.value)) for s in record.symbols),
                "Which letter is which, for the rotation without input (rows separated by semicolons).",
            ),
            TableView(
                ("system", "form", "hidden", "units", "largest difference", "largest measurement"),
                tuple(
                    (c.system, c.form, c.hidden, str(c.units), number(c.largest_difference), number(c.scale))
                    for c in record.cases
                ),
                f"Largest difference between network and filter over {steps:,} steps, every form of the map.",
            ),
        ),
    )


def _pairing(experiment: Experiment) -> Section:
    record = experiment.pairing
    assert record is not None
    literal, kf, mean = record.row("literal pairing"), record.row("Kalman filter"), record.row("mean")
    return Section(
        "pairing",
        "As the question pairs them",
        "Taken literally (U = A, W = B, V = H, driven by the known input), the network computes what the system would do without "
        "noise: an open-loop simulator that never looks at a measurement.",
        (
            Figure(
                "pairing",
                record,
                f"The literal pairing has a mean squared error of {literal.mse:.3f}; the filter reaches {kf.mse:.3f}, and saying the "
                f"mean every time {mean.mse:.3f}.",
                "Traces and mean squared errors of the literal pairing and the filter",
            ),
        ),
        (
            TableView(
                ("predictor", "reads", "mean squared error", "in theory"),
                tuple((r.name, r.reads, f"{r.mse:.4f}", f"{r.exact_mse:.4f}") for r in record.rows),
                f"One-step errors over {record.steps:,} steps beside their exact values from Lyapunov equations.",
            ),
        ),
    )


def _reading(experiment: Experiment) -> Section:
    record = experiment.weights
    assert record is not None
    two = record.method("linear Elman, 2 units")
    tanh = record.method("tanh Elman, 8 units")
    difference = float(np.abs(np.asarray(record.matrices.aligned) - np.asarray(record.matrices.A)).max())
    wrong = abs(two.wrong_modulus_error or 0.0)
    worst = max(np.abs(np.asarray(m.impulse) - np.asarray(record.true_impulse)).max() for m in record.methods)
    return Section(
        "reading",
        "Can I look at the coefficients to guess the dynamics?",
        f"Every method saw the same {record.samples:,} measurements of a rotation with pole {complex_text(record.true_pole)} "
        "(modulus ∠ radians per step). The raw entries say nothing, because any change of basis leaves the predictions as they are, "
        "and U holds A − K H instead of A. The invariants of U + W V do say it.",
        (
            Figure(
                "poles",
                record,
                f"U alone of the linear network is {number(wrong)} Cramér-Rao units off in modulus; U + W V is {two.worst_error:.1f} off, "
                f"and the tanh network read by its behaviour {tanh.worst_error:.1f}.",
                "Poles of every method on the unit circle, wrong readings hollow, and a close-up with ellipses",
            ),
            Figure(
                "matrices",
                record,
                f"Aligned to the basis of the truth, U + W V of the trained linear network differs from A by at most {number(difference)} in any entry.",
                "Heat maps of A, U, U + W V in the raw and in the aligned basis, and the difference",
            ),
            Figure(
                "impulse",
                record,
                f"The impulse responses from innovation to prediction agree with the truth to {number(float(worst))} at every lag, for every method.",
                "Impulse responses of every method, and their errors",
            ),
        ),
    )


def _scores(experiment: Experiment) -> Section:
    record, curve = experiment.weights, experiment.learning
    assert record is not None
    two, tanh = record.method("linear Elman, 2 units"), record.method("tanh Elman, 8 units")
    d, T = record.truth.n_parameters, record.samples
    low, high = record.chi_square_band
    figures = [
        Figure(
            "scores",
            record,
            f"The linear network of 2 units has T × excess {number(T * two.predictor_excess)} where the bound allows {d} on average; the tanh "
            f"network has {number(T * tanh.predictor_excess)}, the model read from it {number(T * tanh.model_excess)}.",
            "T times excess risk of every predictor and of the model read from it",
        )
    ]
    if curve is not None:
        slopes = ", ".join(f"{c.name} {c.slope:.2f}" for c in curve.curves)
        sd = curve.curves[0].slope_sd
        figures.append(
            Figure(
                "learning",
                curve,
                f"Excess risk falls like 1/T along the efficient line (slopes: {slopes}, each ±{sd:.2f}; {curve.seeds} series).",
                "Excess risk against sample size for each method, with the efficient line",
            )
        )
    rows = tuple(
        (
            m.name,
            number(T * m.predictor_excess),
            number(T * m.model_excess),
            str(m.order),
            complex_text(m.pole),
            f"{m.modulus_error:+.2f} / {m.angle_error:+.2f}",
            complex_text(m.wrong_pole),
            "" if m.linear_r2 is None else f"{m.linear_r2:.4f}",
            f"{m.seconds:.2f}",
        )
        for m in record.methods
    )
    return Section(
        "scores",
        "Are networks able to learn the dynamics?",
        "Excess risk tr(Σ⁻¹Δ) is what a predictor loses to the Kalman filter, without any noise floor. An efficient method has "
        f"T × excess of d = {d} on average, between {low:.1f} and {high:.1f} in nine of ten cases.",
        tuple(figures),
        (
            TableView(
                ("method", "T × excess", "of the model read", "order seen", "pole", "error (CRB)", "pole of U alone", "linear R²", "seconds"),
                rows,
                "Scores and readings; pole errors (modulus / angle) in units of the Cramér-Rao standard deviation.",
            ),
        ),
    )  # fmt: skip


def _oversized(experiment: Experiment) -> Section:
    record = experiment.weights
    assert record is not None
    eight, T = record.method("linear Elman, 8 units"), record.samples
    reduction = record.reduction
    return Section(
        "oversized",
        "What if the network has too many units?",
        "Eight linear units for two states, all of them used (kelman.train holds what the data do not call for, unless it is told to "
        "start at random, as here), spend their surplus on noise. The Hankel singular values of the predictor show how many "
        "states carry signal; balanced truncation keeps these. Move the slider to keep another order.",
        (
            Figure(
                "hankel",
                record,
                f"The Hankel values say order {reduction.chosen_order}; kept, it takes T × excess from {number(T * eight.predictor_excess)} to "
                f"{number(T * eight.model_excess)}.",
                "Hankel singular values of the over-sized network and T times excess for each order kept",
            ),
        ),
        (),
        "order",
        {
            "truth": [record.true_pole, record.true_pole.conjugate()],
            "poles": [list(p) for p in reduction.poles_by_order],
            "score": [T * e for e in reduction.excess_by_order],
            "chosen": reduction.chosen_order,
        },
    )


def _activation(experiment: Experiment) -> Section:
    record = experiment.activation
    assert record is not None
    one, ten = record.at(1.0), record.at(10.0)
    worst = max(p.relu for p in record.amplitudes)
    figures = [
        Figure(
            "activation",
            record,
            f"The excess of the tanh network falls like ε to the power {record.slope:.2f}; data ten times larger take it from "
            f"{number(one.tanh)} to {number(ten.tanh)}, and leave the ReLU split at rounding (at most {number(worst)}).",
            "Excess risk against hidden gain, and against the amplitude of the data",
        )
    ]
    tables = [
        TableView(
            ("ε", "excess risk", "mean slope of tanh", "modulus of the pole (mean Jacobian)"),
            tuple(
                (f"{p.gain:g}", number(p.excess), f"{p.effective_gain:.4f}", f"{p.pole_modulus:.4f}")
                for p in record.gains
            ),
            "What saturation does to the feedback: the mean slope s'(a) and the pole that it leaves.",
        )
    ]
    trained = experiment.weights
    if trained is not None:
        first, last = trained.amplitude_poles[0], trained.amplitude_poles[-1]
        figures.append(
            Figure(
                "amplitude",
                trained,
                f"The pole of the trained tanh network moves with the amplitude of what it is probed with: its modulus falls from "
                f"{abs(first.pole):.4f} at {first.amplitude:g} times the data to {abs(last.pole):.4f} at {last.amplitude:g} times.",
                "Modulus and angle of the leading pole of the trained tanh network against the amplitude of the probe",
            )
        )
        tables.append(
            TableView(
                ("reading of the trained tanh network", "pole", "error (CRB)", "T × excess of the model read"),
                tuple(
                    (
                        r.name,
                        complex_text(r.pole),
                        f"{r.modulus_error:+.2f} / {r.angle_error:+.2f}",
                        number(trained.samples * r.model_excess),
                    )
                    for r in trained.tanh_readings
                ),
                "Three ways to read a curved network; pole errors (modulus / angle) in units of the Cramér-Rao standard deviation.",
            )
        )
    return Section(
        "activation",
        "How can we interpret the activations?",
        "Nothing is trained here: the filter is written into tanh units with a hidden state of gain ε, and into pairs of ReLU units. "
        "tanh bounds the state and lowers the feedback as it fills up; the ReLU pair is linear at every amplitude. Move the slider "
        "to see the tanh network saturate.",
        tuple(figures),
        tuple(tables),
        "gain",
        {
            "z": record.z,
            "filter": record.filter_prediction,
            "gains": [p.gain for p in record.gains],
            "excess": [p.excess for p in record.gains],
            "predictions": [p.prediction for p in record.gains],
        },
    )  # fmt: skip
