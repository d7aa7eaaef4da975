# SPDX-License-Identifier: BSD-3-Clause
"""The table of a fitted template, as text."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np

from kelman.errors import KelmanError
from kelman.identify._stages import stage_lines

if TYPE_CHECKING:
    from kelman.identify._parameter_fit import ParameterFit

WORDS = {"mle": "maximum likelihood", "em": "expectation-maximisation", "auto": "maximum likelihood"}
_MANY = 40


def parameter_table(fit: ParameterFit) -> str:
    """Return head, parameters with standard errors and intervals, poles, and what is to be said about them."""
    from scipy.special import ndtr

    objective = fit._objective
    what = WORDS.get(fit.method, fit.method) + (" with priors (posterior mode)" if fit.log_prior else "")
    lines = [
        f"Fit by {what}",
        f"  series {objective.series}, steps {objective.z.shape[1]}, measured values {fit.nobs}, parameters {len(fit.theta)}",
        f"  log-likelihood {fit.loglik:.4f}   AIC {fit.aic:.3f}   BIC {fit.bic:.3f}",
        f"  {len(fit.history)} steps: {fit.message}",
        *stage_lines(fit.stages),
    ]
    width = max([9, *(len(name) for name in fit.names)])
    lines.append(
        f"  {'parameter':<{width}} {'estimate':>12} {'std err':>11} {'z':>8} {'P>|z|':>7} {'[0.025':>12} {'0.975]':>12}"
    )
    errors, intervals = fit.std_errors, fit.confidence_intervals()
    for k, name in enumerate(fit.names[:_MANY]):
        head = f"  {name:<{width}} {fit.theta[k]:12.6g}"
        if np.isnan(errors[k]):
            lines.append(f"{head} {'at its bound':>11}")
            continue
        z = fit.theta[k] / errors[k] if errors[k] > 0 else np.inf
        lines.append(
            f"{head} {errors[k]:11.4g} {z:8.3f} {2 * ndtr(-abs(z)):7.3f} {intervals[k, 0]:12.5g} {intervals[k, 1]:12.5g}"
        )
    if len(fit.names) > _MANY:
        lines.append(f"  ... and {len(fit.names) - _MANY} more")
    with contextlib.suppress(KelmanError):  # A varies: there are no poles
        lines.extend(fit.pole_lines())
    lines.extend(_remarks(fit))
    return "\n".join(lines)


def _remarks(fit: ParameterFit) -> list[str]:
    """Sentences about bounds, flat directions, and a point that is no maximum."""
    found = []
    if fit.at_bound:
        found.append(
            f"  At a bound, so without a standard error: {', '.join(fit.at_bound)}. The likelihood hardly changes beyond."
        )
    flat = fit.undetermined
    if flat:
        shown = "; ".join(", ".join(group[:6]) + (", ..." if len(group) > 6 else "") for group in flat[:3])
        found.append(
            f"  Not determined by the data in {len(flat)} direction{'s' if len(flat) > 1 else ''} (standard errors are those of "
            f"what is): {shown}. See kelman.identifiability(fit)."
        )
    if fit._information.uphill:
        found.append("  The likelihood bends upward here: this is no maximum, and standard errors mean little.")
    return found
