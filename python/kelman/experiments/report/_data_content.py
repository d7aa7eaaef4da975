# SPDX-License-Identifier: BSD-3-Clause
"""The section on real data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kelman.experiments._verdict import number
from kelman.experiments.report._page import Figure, Section, TableView

if TYPE_CHECKING:
    from kelman.experiments._data import DataStudy


def data_section(record: DataStudy) -> Section:
    """Lay out the study of a data set.

    Parameters
    ----------
    record : DataStudy
        The study.

    Returns
    -------
    Section
    """
    net, pem = record.method("network"), record.method("PEM")
    sure = sum(p.determined for p in record.poles)
    free = (
        f"; from the inputs alone it explains {net.free_run_vaf:.1f} % of the variance"
        if net.free_run_vaf is not None
        else ""
    )
    test = record.whiteness
    cross = f" and against past inputs p = {test.cross_p_value:.2g}" if test.cross_p_value is not None else ""
    chosen = "chosen by BIC" if record.order_chosen else "as asked for"
    direct = f" An input acts on the measurement of its own step: {'yes' if record.direct else 'no'}, says the same criterion that chose the order."
    figures = (
        Figure(
            "data_fit",
            record,
            f"One step ahead on the second part the network errs by {number(net.one_step_rmse)} (classical fit {number(pem.one_step_rmse)}, last "
            f"value {number(record.last_value_rmse)}){free}.",
            "Measured series with the network's predictions",
        ),
        Figure(
            "data_poles",
            record,
            f"The first part determines {sure} of {len(record.poles)} poles (standard deviation below 0.05); order {record.order}, {chosen}.",
            "Poles of the data with ellipses, and the criterion that chose the order",
        ),
        Figure(
            "whiteness",
            record,
            f"Residuals of the network on the second part: Ljung-Box p = {test.p_value:.2g}{cross} over {test.lags} lags.",
            "Autocorrelation of the residuals and correlation with past inputs",
        ),
    )
    methods = tuple(
        (
            m.name,
            number(m.one_step_rmse),
            "" if m.free_run_rmse is None else number(m.free_run_rmse),
            "" if m.free_run_vaf is None else f"{m.free_run_vaf:.2f}",
            f"{m.seconds:.2f}",
        )
        for m in record.methods
    )
    baselines = (
        ("last value", number(record.last_value_rmse), "", "", ""),
        ("mean of the first part", number(record.mean_rmse), number(record.mean_rmse) if record.inputs else "", "", ""),
    )
    poles = tuple(
        (
            f"{p.pole.real:.4f}" + (f" {p.pole.imag:+.4f}i" if abs(p.pole.imag) > 1e-9 else ""),
            number(p.sd),
            "yes" if p.determined else "no",
            f"{p.network_pole.real:.4f}" + (f" {p.network_pole.imag:+.4f}i" if abs(p.network_pole.imag) > 1e-9 else ""),
            f"{p.distance:.2f}",
        )
        for p in record.poles
    )
    return Section(
        "data",
        f"Real data: {record.name}",
        f"{record.samples:,} samples, {record.inputs} input{'s' * (record.inputs != 1)}, {record.outputs} output{'s' * (record.outputs != 1)}. "
        f"Fitted on the first {record.train_samples:,}, judged on the rest. No truth is known here: the classical fit and the "
        "residuals stand in for it."
        + (direct if record.inputs else ""),
        figures,
        (
            TableView(("method", "one-step RMSE", "free-run RMSE", "free-run VAF %", "seconds"), methods + baselines, "Errors on the second part."),
            TableView(
                ("pole (PEM)", "standard deviation", "determined", "network's pole", "distance / sd"),
                poles,
                "Poles of the classical fit and what the network says of each.",
            ),
        ),
    )  # fmt: skip
