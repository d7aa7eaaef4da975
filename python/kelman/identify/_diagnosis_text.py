# SPDX-License-Identifier: BSD-3-Clause
"""A diagnosis in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.identify._auxiliary import Flag
    from kelman.identify._diagnose import Diagnosis
    from kelman.identify._innovations import NormalisedSquares
    from kelman.identify._residual_tests import ResidualTest
    from kelman.identify._structure import Reach

_SHOWN = 5
_BADLY_CONDITIONED = 1e10


def summary(d: Diagnosis) -> str:
    """Make the text: one line a check, those that fail marked and explained."""
    shape = d.innovations.shape
    count = f"{shape[0]} series" if d._batched else "one series"
    used = int(np.isfinite(d.innovations).sum())
    lines = [f"Diagnosis of {count}: {used} innovations, log-likelihood {d.loglik:.6g}"]
    lines += [_line(*part) for part in (*_tests(d), *_squares(d), *_structure(d))]
    lines += _flags(d)
    lines.append(
        "Verdict: nothing speaks against the model."
        if d.passed
        else "Verdict: the model does not describe these data; see the lines marked !!"
    )
    return "\n".join(lines)


def _line(fine: bool, name: str, text: str) -> str:
    return f"  {'ok' if fine else '!!'}  {name:<20} {text}"


def _tests(d: Diagnosis) -> list[tuple[bool, str, str]]:
    size = 1 - d.level
    out = []
    said = {
        "mean": (
            "innovations average to zero",
            "innovations have a mean: an offset (c, b) or an input is missing",
        ),
        "serial correlation": (
            "innovations are uncorrelated in time",
            "innovations are correlated in time: dynamics are missing, or Q and R are not tuned (kelman.tune)",
        ),
        "normality": (
            "innovations look normal",
            "innovations are not normal: outliers, or noise that is not Gaussian",
        ),
        "heteroscedasticity": (
            "their variance is steady",
            "their variance changes from the first to the last third: the model is not the same throughout",
        ),
    }
    for test in d.tests:
        fine = not test.worst < size
        words = said[test.name][0 if fine else 1]
        if not np.isfinite(test.worst):
            words = "too few values to tell"
        out.append((fine, test.name, f"{words} ({_figures(test)})"))
    return out


def _figures(test: ResidualTest) -> str:
    pooled, p = test.pooled, test.pooled_p
    j = int(np.nanargmin(p)) if np.isfinite(p).any() else 0
    name = {"mean": "z", "serial correlation": "Q", "normality": "N", "heteroscedasticity": "H"}[test.name]
    if test.name == "serial correlation":
        name += f"({int(test.details['lags'].flat[0])})"
    if test.name == "heteroscedasticity" and test.details["h"].size == len(pooled):
        name += f"({int(test.details['h'].flat[j])})"
    where = f", component {j}, the worst of {len(pooled)}" if len(pooled) > 1 else ""
    more = ""
    if test.name == "normality" and test.details["skewness"].size == 1:
        more = f", skewness {_one(test.details['skewness'])}, excess kurtosis {_one(test.details['kurtosis'])}"
    return f"{name} = {pooled[j]:.4g}, p = {p[j]:.2g}{more}{where}"


def _one(array: Array) -> str:
    return f"{float(array.flat[0]):.2f}"


def _squares(d: Diagnosis) -> list[tuple[bool, str, str]]:
    out = [_consistency("NIS", d.nis, "innovations", "Q or R is")]
    if d.nees is not None:
        out.append(_consistency("NEES", d.nees, "state errors", "Q, R or the start is"))
    return out


def _consistency(name: str, s: NormalisedSquares, what: str, whose: str) -> tuple[bool, str, str]:
    if s.consistent:
        words = f"{what} are as large as the model says"
    elif s.overall > s.overall_upper:
        words = f"{what} are larger than the model says: it trusts itself too much, {whose} too small"
    else:
        words = f"{what} are smaller than the model says: {whose} too large"
    figures = (
        f"average per value {s.overall:.3f}, {100 * s.level:g} % band {s.overall_lower:.3f} to {s.overall_upper:.3f}"
    )
    return s.consistent, name, f"{words} ({figures})"


def _structure(d: Diagnosis) -> list[tuple[bool, str, str]]:
    seen = d.observability
    out = [(seen.full, "observability", _reached(seen, "the measurements see", "they cannot be estimated"))]
    moved = d.noise_reach
    out.append(
        (True, "reach of the noise", _reached(moved, "Q moves", "the rest follows from the start and the inputs"))
    )
    if d.input_reach is not None:
        out.append((True, "reach of the inputs", _reached(d.input_reach, "B moves", "the rest does not react to u")))
    fine = d.condition < _BADLY_CONDITIONED
    i, k = d.condition_at
    place = f"series {i}, time {k}" if d._batched else f"time {k}"
    words = (
        "innovation covariances are well conditioned" if fine else "some components predict each other almost exactly"
    )
    out.append((fine, "conditioning", f"{words} (largest condition number {d.condition:.3g}, at {place})"))
    return out


def _reached(reach: Reach, verb: str, otherwise: str) -> str:
    if reach.full:
        whole = "the state" if reach.n == 1 else f"all {reach.n} states"
        steps = "1 step" if reach.horizon == 1 else f"{reach.horizon} steps"
        return f"{verb} {whole} (condition number of the Gramian over {steps} {reach.condition:.3g})"
    return f"{verb} {reach.rank} of {reach.n} directions of the state; {otherwise}"


def _flags(d: Diagnosis) -> list[str]:
    from scipy.special import ndtr, ndtri

    count = int(np.isfinite(d.outliers).sum() + np.isfinite(d.breaks).sum())
    by_chance = 2 * float(ndtr(-d.threshold)) * count
    if not d.flags:
        return [_line(True, "outliers, breaks", f"none (no |t| above {d.threshold:.3g})")]
    extreme = -float(
        ndtri((1 - d.level) / 2 / max(count, 1))
    )  # what the largest of so many exceeds with probability 1 - level
    fine = abs(d.flags[0].t) <= extreme
    words = (
        f"{len(d.flags)} with |t| above {d.threshold:.3g} (of {count}; {by_chance:.2g} such t are expected by chance)"
    )
    lines = [_line(fine, "outliers, breaks", f"{words}; the largest:" if len(d.flags) > _SHOWN else f"{words}:")]
    lines += [f"        {_flag(flag, batched=d._batched)}" for flag in d.flags[:_SHOWN]]
    return lines


def _flag(flag: Flag, *, batched: bool) -> str:
    where = f"series {flag.series}, " if batched else ""
    what = "outlier in z" if flag.kind == "outlier" else "break of x"
    return f"{what}[{flag.component}] at {where}time {flag.time}: t = {flag.t:.2f}, size {flag.size:.4g}"
