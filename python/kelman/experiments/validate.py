# SPDX-License-Identifier: BSD-3-Clause
"""The backends against each other, against a dense joint Gaussian, and against published numbers, on this machine."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

import kelman
from kelman.errors import ImpossibleObservationWarning, NumericalError
from kelman.experiments._dense import DenseSeries
from kelman.experiments._published import STUDIES
from kelman.experiments._validation_models import KINDS, Sample, draw
from kelman.experiments._validation_networks import compare_networks
from kelman.linear._problem import pose

if TYPE_CHECKING:
    from kelman._types import Backend

CONDITION = 1e6
"""Models whose dense covariance is conditioned worse than this are drawn again."""

STEPS = 3


@dataclass(frozen=True)
class Check:
    """One line of the comparison.

    Attributes
    ----------
    what : str
        The verb, or the published figure.
    against : str
        What it was compared with.
    cases : int
        How many comparisons.
    worst : float
        The largest difference: relative for random models, absolute for published figures. NaN if nothing was compared.
    tolerance : float
        The largest that is accepted.
    where : str
        The kind of model, and the number of the draw, at which the largest difference was found.
    skipped : str
        Why nothing was compared; empty if something was.
    """

    what: str
    against: str
    cases: int
    worst: float
    tolerance: float
    where: str = ""
    skipped: str = ""

    @property
    def passed(self) -> bool:
        """Whether the difference is within the tolerance, or there was nothing to compare."""
        return bool(self.skipped) or self.worst <= self.tolerance


@dataclass
class _Ledger:
    """The worst difference so far for each (what, against)."""

    checks: dict[tuple[str, str, str], Check] = field(default_factory=dict)
    by_kind: bool = False

    def note(self, what: str, against: str, difference: float, tolerance: float, where: str) -> None:
        """Count one comparison; a difference that is not a number is the worst of all."""
        key = (what, against, where.partition(" #")[0] if self.by_kind else "")
        known = self.checks.get(key, Check(what, against, 0, -1.0, tolerance))
        value = float("inf") if np.isnan(difference) else float(difference)
        if value > known.worst:
            known = replace(known, worst=value, where=where)
        self.checks[key] = replace(known, cases=known.cases + 1)


def validate(
    models: int = 20,
    seed: int = 0,
    *,
    by_kind: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Check]:
    """Compare what the verbs compute with independent answers, on random models of every kind.

    The compiled core (or the fallback, where ``KELMAN_BACKEND=torch`` says so) is held against the PyTorch backend, against
    one dense joint Gaussian in NumPy, against plain recursions for networks, and against published numbers.

    Parameters
    ----------
    models : int
        Random models of every kind.
    seed : int
        Seed of the random models.
    by_kind : bool
        One line for every kind of model, not only the worst of all kinds.
    progress : callable, optional
        Called with (kind, models done, models in all).

    Returns
    -------
    list of Check
        One line for each verb and each thing it was compared with. All are `passed` on a sound installation.

    Examples
    --------
    >>> from kelman.experiments.validate import validate
    >>> all(check.passed for check in validate(models=1))
    True
    """
    subject, missing = _subject(), _missing_torch()
    ledger = _Ledger(by_kind=by_kind)
    total, done = models * len(KINDS), 0
    for number, kind in enumerate(KINDS):
        rng = np.random.default_rng([seed, number])
        for draw_number in range(models):
            sample, dense = _well_conditioned(kind, rng)
            where = f"{kind} #{draw_number}"
            _compare_linear(sample, dense, subject, missing, ledger, where)
            done += 1
            if progress is not None:
                progress(kind, done, total)
    rng = np.random.default_rng([seed, len(KINDS)])
    for what, against, difference, tolerance, where in compare_networks(models, rng, subject, missing):
        ledger.note(what, against, difference, tolerance, where)
    checks = list(ledger.checks.values())
    if missing:
        checks.append(Check("every verb", "PyTorch", 0, float("nan"), 0.0, skipped=missing))
    return checks + _published(subject)


run = validate


def _subject() -> Backend:
    """The backend under test: the default one of this process."""
    return "torch" if kelman.config.backend_name() == "torch" else "core"


def _missing_torch() -> str:
    """Why there is no PyTorch backend to compare with; empty if there is one."""
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed (extra: torch)"
    return "PyTorch is itself the backend of this process" if _subject() == "torch" else ""


def _well_conditioned(kind: str, rng: np.random.Generator) -> tuple[Sample, list[DenseSeries]]:
    while True:
        sample = draw(kind, rng)
        problem = pose(sample.model, sample.z, sample.u).problem
        dense = [DenseSeries(problem, i) for i in range(len(sample.z))]
        if max(series.condition() for series in dense) <= CONDITION:
            return sample, dense


def _difference(got: Any, expected: Any, unit: float = 0.0) -> float:
    """Largest difference relative to the largest entry (or the unit); infinite where finiteness differs."""
    got, expected = np.asarray(got, dtype=float), np.asarray(expected, dtype=float)
    finite = np.isfinite(expected)
    if got.shape != expected.shape or (np.isfinite(got) != finite).any():
        return float("inf")
    if not finite.any():
        return 0.0
    size = max(float(np.abs(expected[finite]).max()), unit, 1e-300)
    return float(np.abs(got[finite] - expected[finite]).max()) / size


def _compare_linear(
    sample: Sample, dense: list[DenseSeries], subject: Backend, missing: str, ledger: _Ledger, where: str
) -> None:
    others: list[Backend] = [] if missing else ["torch"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImpossibleObservationWarning)
        try:
            answers = {backend: _answers(sample, backend) for backend in [subject, *others]}
        except NumericalError:
            ledger.note("filter", "no failure", float("inf"), 0.0, where)
            return
    truth = list(_truth(sample, dense))
    for verb, name, i, value, unit in truth:
        ledger.note(verb, "dense joint Gaussian", _difference(answers[subject][name][i], value, unit), 1e-8, where)
    for other in others:
        for verb, name, i, _, unit in truth:
            got, expected = answers[subject][name][i], answers[other][name][i]
            ledger.note(verb, "PyTorch", _difference(got, expected, unit), 1e-10, where)


def _answers(sample: Sample, backend: Backend) -> dict[str, Any]:
    """Every array that the linear verbs give for a sample."""
    model, z, u = sample.model, sample.z, sample.u
    r = kelman.filter(model, z, u, store="all", backend=backend)
    s = kelman.smooth(model, z, u, lag=1, backend=backend)
    names = ("mean", "cov", "predicted_mean", "predicted_cov", "loglik_obs")
    out = {name: getattr(r, name) for name in names}
    out |= {"smoothed_mean": s.mean, "smoothed_cov": s.cov, "lag_one_cov": s.lag_one_cov}
    out["loglik"] = kelman.loglik(model, z, u, backend=backend)
    if model.dims.T is None:
        future = None if u is None else np.zeros((len(z), STEPS, u.shape[-1]))
        f = kelman.forecast(model, z, STEPS, u, future, backend=backend)
        out |= {"forecast_mean": f.state_mean, "forecast_cov": f.state_cov}
    return out


def _truth(sample: Sample, dense: list[DenseSeries]) -> Iterator[tuple[str, str, int, Any, float]]:
    """(verb, name of the answer, series, dense answer, unit)."""
    ahead = _extended(sample) if sample.model.dims.T is None else None
    for i, series in enumerate(dense):
        predicted, filtered = series.predicted(), series.filtered()
        unit = max(float(np.abs(predicted.cov).max()), float((series.diffuse_s**2).max(initial=0.0)), 1e-6)
        yield "filter", "mean", i, filtered.mean, unit**0.5
        yield "filter", "cov", i, filtered.cov, unit
        yield "filter", "predicted_mean", i, predicted.mean, unit**0.5
        yield "filter", "predicted_cov", i, predicted.cov, unit
        totals = np.array([series.loglik(k) for k in range(series.T + 1)])
        yield "filter", "loglik_obs", i, np.diff(totals), 1.0
        yield "loglik", "loglik", i, totals[-1], 1.0
        if series.undetermined():
            continue
        moments, lag = series.smoothed()
        yield "smooth", "smoothed_mean", i, moments.mean, unit**0.5
        yield "smooth", "smoothed_cov", i, moments.cov, unit
        yield "smooth", "lag_one_cov", i, lag, unit
        if ahead is not None:
            later = ahead[i].predicted()
            yield "forecast", "forecast_mean", i, later.mean[-STEPS:], unit**0.5
            yield "forecast", "forecast_cov", i, later.cov[-STEPS:], unit


def _extended(sample: Sample) -> list[DenseSeries]:
    """The dense series with `STEPS` missing measurements at the end (and inputs of zero)."""
    gap = np.full((len(sample.z), STEPS, sample.z.shape[-1]), np.nan)
    u = (
        None
        if sample.u is None
        else np.concatenate([sample.u, np.zeros((len(gap), STEPS, sample.u.shape[-1]))], axis=1)
    )
    problem = pose(sample.model, np.concatenate([sample.z, gap], axis=1), u).problem
    return [DenseSeries(problem, i) for i in range(len(gap))]


def _published(subject: Backend) -> list[Check]:
    checks = []
    for study in STUDIES:
        for figure in study(subject):
            worst = (
                float(np.abs(figure.got - figure.printed).max()) if figure.got.shape == figure.printed.shape else np.inf
            )
            count = int(figure.printed.size)
            checks.append(Check(figure.what, figure.source, count, worst, figure.tolerance, where="published"))
    return checks
