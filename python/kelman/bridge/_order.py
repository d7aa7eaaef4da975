# SPDX-License-Identifier: BSD-3-Clause
"""Which order: candidates by projection, compared by what the data lose with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman._arrays import as_count
from kelman.bridge._minimal import minimal
from kelman.bridge._project import Realisation, free_parameters, gauss_newton, ho_kalman, weighted_hankel
from kelman.errors import KelmanError

if TYPE_CHECKING:
    from kelman.bridge._data import FloatArray
    from kelman.bridge._predictor import LinearPredictor
    from kelman.bridge._project import Metric
    from kelman.bridge._source import Reading

__all__: list[str] = []


def candidates(
    goal: FloatArray, metric: Metric, largest: int
) -> tuple[dict[int, float], dict[int, tuple[Realisation, float]], FloatArray]:
    """BIC of the data for each order's projection: N log det Sigma(order) + d(order) log N; and the projections.

    Orders are tried from 0 up and the search ends when the penalty alone exceeds the best value found, which no higher order can
    then beat: the fit cannot fall below that of the unrestricted predictor.
    """
    moments, m, q = metric.moments, metric.moments.m, metric.moments.q
    hankel = weighted_hankel(goal, metric)
    count = moments.count
    floor = count * _logdet(moments.error_cov(moments.least_squares(metric.direct)))
    values: dict[int, float] = {}
    fits: dict[int, tuple[Realisation, float]] = {}
    for order in range(largest + 1):
        penalty = free_parameters(order, m, moments.p, metric.direct) * np.log(count)
        if order > 1 and floor + penalty >= min(values.values()):
            break
        fits[order] = gauss_newton(ho_kalman(hankel, m, q, order), goal, metric, enough=0.02 / count)
        loss = _logdet(moments.error_cov(fits[order][0].responses(moments.lags)))
        values[order] = float(count * loss + penalty)
    best = min(values.values())
    return {order: value - best for order, value in values.items()}, fits, hankel[0]


def largest_gap(hankel: FloatArray, largest: int) -> int:
    """Order after which the Hankel singular values fall most, as a ratio."""
    values = np.maximum(hankel[: largest + 1], 1e-14 * max(float(hankel[0]), 1e-300))
    if len(values) < 2:
        return len(values)
    return int(np.argmax(values[:-1] / values[1:])) + 1


def _logdet(cov: FloatArray) -> float:
    return float(np.linalg.slogdet(cov)[1])


def check_order(order: Any) -> None:
    if isinstance(order, str):
        if order not in ("auto", "gap"):
            raise KelmanError(f'order: expected a whole number, "auto" or "gap", got {order!r}')
        return
    as_count(order, "order")


def realisation_of(predictor: LinearPredictor) -> Realisation:
    """Matrices of a predictor without its offsets."""
    return Realisation(predictor.F, np.hstack([predictor.K, predictor.G]), predictor.H, predictor.D)


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The projection (None: the weights as they are), its cost, Hankel values, and the order criterion."""

    fit: Realisation | None
    cost: float
    hankel: FloatArray
    criterion: dict[int, float]


def choose(reading: Reading, metric: Metric, order: int | str, has_data: bool, single: bool = False) -> Choice:
    """Order by the data, by the minimal realisation, by the largest gap, or as given; and the projection onto it.

    ``single``: the weights have the rounding of float32.
    """
    goal, exact, m, q = reading.theta, reading.exact, metric.moments.m, metric.moments.q
    hankel = weighted_hankel(goal, metric)
    largest = exact.n if exact is not None else min(20, len(hankel[0]))
    shown = hankel[0][: max(largest, 10)]
    if order == "auto" and has_data:
        criterion, fits, _ = candidates(goal, metric, largest)
        best = min((r for r in criterion if r), key=lambda r: criterion[r])  # a model has at least one state
        if exact is not None and best == exact.n:
            return Choice(None, 0.0, shown, criterion)
        fit, cost = gauss_newton(fits[best][0], goal, metric)
        return Choice(fit, cost, shown, criterion)
    if order == "auto" and exact is not None:
        F, KG, H = minimal(exact.F, np.hstack([exact.K, exact.G]), exact.H, 1e-5 if single else 1e-10)
        if len(F) == exact.n:
            return Choice(None, 0.0, shown, {})
        if not len(F):
            F, KG, H = np.zeros((1, 1)), np.zeros((1, q)), np.zeros((m, 1))
        fit = Realisation(F, KG, H, exact.D)
        return Choice(fit, float(np.sum(metric.residual(fit.responses(metric.moments.lags), goal) ** 2)), shown, {})
    count = order if isinstance(order, int) else largest_gap(hankel[0], largest)
    if exact is not None and count == exact.n:
        return Choice(None, 0.0, shown, {})
    if count > largest:
        raise KelmanError(f"order: expected at most {largest}, the states that the network has, got {count}")
    fit, cost = gauss_newton(ho_kalman(hankel, m, q, count), goal, metric)
    return Choice(fit, cost, shown, {})
