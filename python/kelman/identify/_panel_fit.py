# SPDX-License-Identifier: BSD-3-Clause
"""The result of fitting a template to each of many series by itself."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman import _registry
from kelman._arrays import as_count
from kelman.errors import KelmanError, NumericalWarning
from kelman.identify._em import em
from kelman.identify._information import _FLAT, _RANK, information
from kelman.identify._maximise import FitStep
from kelman.identify._objective import Objective
from kelman.identify._panel import Panel, climb
from kelman.identify._parameter_fit import ParameterFit
from kelman.identify._starts import begin, floors
from kelman.identify._tables import WORDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman._types import Array
    from kelman.identify._panel import Climb
    from kelman.models import StateSpace, Template


@dataclass(frozen=True, eq=False, repr=False)
class PanelFit:
    """A template whose parameters were estimated for each of N series by itself.

    Attributes
    ----------
    model : StateSpace
        The models at the estimates, one per series.
    template : Template
        What was fitted.
    theta : ndarray, shape (N, K)
        Natural parameters, in the order of ``names``; NaN for a series whose likelihood has no finite start.
    loglik : ndarray, shape (N,)
        Log-likelihood of each series (without a prior).
    covariance : ndarray, shape (N, K, K)
        Covariance of each series' parameters; NaN for those at a bound.
    nobs : ndarray of int, shape (N,)
        Measured values of each series.
    converged : ndarray of bool, shape (N,)
        Whether each reached its tolerance; where not, this is the best point found.
    steps : ndarray of int, shape (N,)
        Steps that each took.
    method : str
        "mle" or "em".
    message : str
        How it ended.

    Examples
    --------
    >>> import numpy as np
    >>> import kelman
    >>> truth = kelman.StateSpace([[1.0]], [[1.0]], [[0.5]], [[1.0]], m1=[0.0], P1=[[1.0]])
    >>> z = kelman.simulate(truth, 300, N=20, rng=0).z
    >>> level = kelman.Template([[1.0]], [[1.0]], [[kelman.Free()]], [[kelman.Free()]], initial="diffuse")
    >>> found = kelman.fit(z, template=level, per_series=True)
    >>> found.theta.shape, bool(found.converged.all())
    ((20, 2), True)
    """

    model: StateSpace
    template: Template
    theta: Array
    loglik: Array
    covariance: Array
    nobs: Array
    converged: Array
    steps: Array
    method: str
    message: str
    _climb: Climb = field(repr=False)
    _lowest: Array = field(repr=False)
    _objective: Objective = field(repr=False)

    def __post_init__(self) -> None:
        """Make every array read-only."""
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return self.template.names

    @property
    def std_errors(self) -> Array:
        """Standard errors (N, K); NaN for parameters at a bound."""
        return np.asarray(np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2)))

    @property
    def at_bound(self) -> Array:
        """Which parameters the likelihood drives to a bound, (N, K) of bool."""
        return np.asarray(np.isnan(self.std_errors))

    def __len__(self) -> int:
        return len(self.theta)

    def __getitem__(self, i: int) -> ParameterFit:
        """Return the fit of one series, with everything that a single fit tells."""
        i = as_count(i, "i", least=0)
        if i >= len(self):
            raise KelmanError(f"i: series {i} of {len(self)} (counted from 0)")
        whole, state = self._objective, self._climb
        objective = Objective(self.template, whole.z[i], None if whole.u is None else whole.u[i], threads=whole.threads)
        eta = state.eta[i].copy()
        step = FitStep("panel", float(state.value[i]), float(np.linalg.norm(state.gradient[i] * state.scale[i])))
        return ParameterFit(
            model=self.model.series(i),
            template=self.template,
            theta=self.theta[i].copy(),
            loglik=float(self.loglik[i]),
            nobs=int(self.nobs[i]),
            method=self.method,
            history=(step,),
            converged=bool(self.converged[i]),
            message="converged" if self.converged[i] else self.message,
            _eta=eta,
            _scale=state.scale[i].copy(),
            _lowest=self._lowest[i].copy(),
            _information=information(objective, eta, state.scale[i], self._lowest[i]),
            _objective=objective,
        )

    def summary(self) -> str:
        """Return a table of the estimates over the series, as text."""
        done = int(self.converged.sum())
        lines = [
            f"Fit by {WORDS[self.method]} of {len(self)} series, each by itself",
            f"  parameters {len(self.names)}, measured values {int(self.nobs.sum())}, log-likelihood {np.nansum(self.loglik):.4f}",
            f"  converged {done} of {len(self)}, in {int(np.median(self.steps))} steps (median), at most {int(self.steps.max())}",
        ]
        width = max([9, *(len(name) for name in self.names)])
        lines.append(
            f"  {'parameter':<{width}} {'lowest':>11} {'quarter':>11} {'median':>11} {'quarter':>11} {'highest':>11} {'std err':>11} {'bound':>6}"
        )
        errors, bound = self.std_errors, self.at_bound
        for k, name in enumerate(self.names):
            known = self.theta[np.isfinite(self.theta[:, k]), k]
            if not len(known):
                lines.append(f"  {name:<{width}} {'none found':>11}")
                continue
            quantiles = " ".join(f"{q:11.5g}" for q in np.quantile(known, [0, 0.25, 0.5, 0.75, 1]))
            own = errors[np.isfinite(errors[:, k]), k]
            middle = f"{np.median(own):11.4g}" if len(own) else f"{'-':>11}"
            lines.append(f"  {name:<{width}} {quantiles} {middle} {int(bound[:, k].sum()):6d}")
        if done < len(self):
            wrong = np.flatnonzero(~self.converged)
            lines.append(f"  not converged: series {', '.join(map(str, wrong[:8]))}{', ...' if len(wrong) > 8 else ''}")
        return "\n".join(lines)

    def plot(self, **options: Any) -> Any:
        """Draw the estimates over the series (needs matplotlib); options go to ``kelman.plotting``."""
        return _registry.plot(self, **options)

    def __repr__(self) -> str:
        return f"PanelFit({len(self)} series, {len(self.names)} parameters, {int(self.converged.sum())} converged)"


def panel_fit(
    template: Template,
    z: Any,
    u: Any = None,
    *,
    max_iter: int = 200,
    tol: float = 1e-8,
    threads: int | None = None,
    report: Callable[[int, float], None] | None = None,
    by_em: bool = False,
) -> PanelFit:
    """Fit the template to each series by itself, by EM until that comes to a plateau if `by_em`; see `fit`."""
    objective = Objective(template, z, u, threads=threads)
    if not objective.batched:
        raise KelmanError("per_series: z is one series; give (N, T, m) or a list, or leave per_series out")
    if template.dims.N not in (None, 1):
        raise KelmanError("per_series: the template has a series axis of its own already")
    panel = Panel(objective)
    theta = begin(panel)
    if by_em:
        found = em(
            template, theta, z, u, per_series=True, max_iter=max_iter, plateau=1e-6, threads=threads, progress=report
        )
        theta = found.theta
        if any(message.startswith("interrupted") for message in found.message):
            report = _halt
    start = template.unconstrain(theta)
    lowest = floors(panel)
    state, stopped = climb(panel, start, lowest, max_iter=max_iter, tol=tol, report=report)
    known = np.isfinite(state.value) & (panel.counts > 0)
    state.converged &= known & (not stopped)
    if not known.any():
        raise KelmanError("z: no series has a finite log-likelihood at its start; give other starts, Free(start)")
    theta = template.constrain(state.eta)
    message = "interrupted; these are the best points so far" if stopped else _message(state.converged, known)
    if not state.converged.all():
        warnings.warn(f"fit: {message}", NumericalWarning, stacklevel=4)
    covariance = np.full((len(theta), template.size, template.size), np.nan) if stopped else _covariance(panel, state)
    model = template.model(np.where(known[:, None], theta, theta[np.argmax(known)]))
    prior = np.array([template.log_prior(one)[0] for one in theta]) if _has_priors(template) else 0.0
    theta[~known] = np.nan
    covariance[~known] = np.nan
    return PanelFit(
        model=model,
        template=template,
        theta=theta,
        loglik=np.where(known, state.value - prior, np.nan),
        covariance=covariance,
        nobs=panel.counts,
        converged=state.converged,
        steps=state.steps,
        method="em" if by_em else "mle",
        message=message,
        _climb=state,
        _lowest=lowest,
        _objective=objective,
    )


def _halt(_: int, __: float) -> None:
    """Go on with an interruption that EM has answered: the climb ends at its first step."""
    raise KeyboardInterrupt


def _has_priors(template: Template) -> bool:
    return any(parameter.prior is not None for parameter in template._parameters)


def _message(converged: Array, known: Array) -> str:
    if converged.all():
        return "converged"
    wrong = np.flatnonzero(~converged)
    shown = ", ".join(map(str, wrong[:8])) + (", ..." if len(wrong) > 8 else "")
    blank = f", {int((~known).sum())} of them without a finite start" if not known.all() else ""
    return (
        f"{len(wrong)} of {len(converged)} series not converged{blank} (series {shown}); their best points are returned"
    )


def _covariance(panel: Panel, state: Climb) -> Array:
    """Inverse curvature of each series by natural parameters, (N, K, K); NaN for what is at a bound."""
    template = panel.template
    held: Array = np.asarray(state.held | _beyond(panel, state))
    K = template.size
    free = ~held[:, :, None] & ~held[:, None, :]
    unit = state.scale[:, :, None] * state.scale[:, None, :]
    bend = np.where(free, -np.nan_to_num(state.hessian) * unit, 0.0)
    values, vectors = np.linalg.eigh(bend)
    seen = values > _RANK * np.maximum(values.max(1, keepdims=True), 1e-300)
    inverse = (
        np.einsum("nij,nj,nkj->nik", vectors, np.where(seen, 1 / np.where(seen, values, 1.0), 0.0), vectors) * unit
    )
    jacobian = template.constrain_jacobian(state.eta)
    covariance = jacobian @ inverse @ np.swapaxes(jacobian, 1, 2)
    lost = ~np.asarray(np.isfinite(state.hessian).all((1, 2)))
    covariance[held[:, :, None] | held[:, None, :] | lost[:, None, None]] = np.nan
    return np.asarray(covariance.reshape(-1, K, K))


def _beyond(panel: Panel, state: Climb) -> Array:
    """Bounded parameters whose bound is about as likely as the estimate, (N, K)."""
    flat = np.zeros(state.eta.shape, dtype=bool)
    everyone = np.arange(len(flat))
    for k, parameter in enumerate(panel.template._parameters):
        gap = (np.isfinite(parameter.lower), np.isfinite(parameter.upper))
        for bounded, side in zip(gap, (-1.0, 1.0), strict=True):
            if bounded:
                moved = state.eta.copy()
                moved[:, k] += 5 * side
                flat[:, k] |= panel.at(moved, everyone)[0] > state.value - _FLAT
    return flat
