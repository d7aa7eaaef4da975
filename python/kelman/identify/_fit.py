# SPDX-License-Identifier: BSD-3-Clause
"""From data to a linear model in innovation form: subspace estimate, then prediction errors."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman._arrays import as_count, one_of
from kelman.errors import KelmanError, ModelWarning, NumericalWarning
from kelman.identify import _pem, _subspace, _uncertainty
from kelman.identify._data import read
from kelman.identify._predictor import Predictor, Records, free_parameters, gauge, predictor
from kelman.identify._result import Fit
from kelman.lti import poles, spectral_radius
from kelman.models import StateSpace

if TYPE_CHECKING:
    from kelman.identify._data import Data
    from kelman.lti._check import FloatArray

_METHODS = ("auto", "subspace", "pem")
_WEIGHTINGS = ("cca", "n4sid", "moesp")
_MEAN_MATTERS = 0.1


def innovation_fit(z: Any, u: Any, plan: Plan) -> Fit:
    """Fit a model in innovation form; see `fit`."""
    data = read(z, u)
    return replace(_run(data, plan), _data=data)


@dataclass(frozen=True)
class Plan:
    """The options, checked."""

    method: str
    weighting: str
    block_rows: int | None
    offset: bool | str
    direct: bool
    x1: str
    n_states: int | None
    max_iter: int
    tol: Any

    def __post_init__(self) -> None:
        one_of(self.method, "method", _METHODS)
        one_of(self.weighting, "weighting", _WEIGHTINGS)
        one_of(self.x1, "x1", ("auto", "estimate", "zero"))
        if self.n_states is not None:
            as_count(self.n_states, "n_states")
        if self.block_rows is not None:
            as_count(self.block_rows, "block_rows", least=2)
        as_count(self.max_iter, "max_iter")
        if not isinstance(self.offset, (bool, np.bool_)) and self.offset != "auto":
            raise KelmanError(f"offset: expected True, False or 'auto', got {self.offset!r:.60}")
        if not isinstance(self.direct, (bool, np.bool_)):
            raise KelmanError(f"direct: expected True or False, got {self.direct!r:.60}")
        if (
            isinstance(self.tol, bool)
            or not isinstance(self.tol, (int, float, np.number))
            or not 0 <= self.tol < np.inf
        ):
            raise KelmanError(f"tol: expected a number >= 0, got {self.tol!r:.60}")


@dataclass(frozen=True, eq=False)
class _Standard:
    """The data, centred and scaled, and how to go back."""

    data: Data
    mean_z: FloatArray
    scale_z: FloatArray
    mean_u: FloatArray
    scale_u: FloatArray
    offset: bool


def _standardise(data: Data, offset: bool | str) -> _Standard:
    mean_z, mean_u = data.mean()
    std_z, std_u = data.std()
    for j, (mean, std) in enumerate(zip(mean_z, std_z, strict=True)):
        if not std > 1e-12 * max(abs(mean), 1e-300):
            raise KelmanError(f"z: component {j} is constant ({mean:.6g}); there are no dynamics to fit in it")
    wanted = bool((np.abs(mean_z) > _MEAN_MATTERS * std_z).any()) if offset == "auto" else bool(offset)
    if wanted:
        center_z, center_u, scale_z, scale_u = mean_z, mean_u, std_z, std_u
    else:
        center_z, center_u = np.zeros_like(mean_z), np.zeros_like(mean_u)
        scale_z, scale_u = np.hypot(mean_z, std_z), np.hypot(mean_u, std_u)
    scale_u = np.where(scale_u > 0, scale_u, 1.0)
    work = data.affine(center_z, scale_z, center_u, scale_u)
    _refuse_redundant(work)
    return _Standard(work, center_z, scale_z, center_u, scale_u, wanted)


def _refuse_redundant(work: Data) -> None:
    flat = work.z.reshape(-1, work.m)
    values, vectors = np.linalg.eigh(flat.T @ flat / work.total)
    if values[0] < 1e-14 * values[-1]:
        share = ", ".join(str(int(j)) for j in np.flatnonzero(np.abs(vectors[:, 0]) > 1e-6))
        raise KelmanError(f"z: components {share} are linearly dependent (one of them is redundant); leave one out")


def _run(data: Data, plan: Plan) -> Fit:
    standard = _standardise(data, plan.offset)
    work = standard.data
    rows = plan.block_rows or _subspace.default_block_rows(work, plan.n_states)
    # Scaling by one number per channel leaves "cca" alone; the other weightings are defined in the units of the data.
    units = work if plan.weighting == "cca" else _in_units(standard)
    factor = _subspace.lq_factor(units, rows)
    _warn_if_unexciting(factor)
    space = _subspace.decompose(factor, plan.weighting)
    canonical = space if plan.weighting == "cca" else _subspace.decompose(factor, "cca")
    order = plan.n_states if plan.n_states is not None else _select(work, units, factor, space, canonical, plan)
    _check_order(order, space, rows, work.m)
    direct = plan.direct and work.p > 0
    x1 = plan.x1
    if x1 == "auto" and 50 * order * len(work.lengths) > work.total * work.m and len(work.lengths) > 10:
        x1 = "zero"
    found = _subspace.realise(factor, space, order, plan.weighting, direct)
    start = _standard_predictor(found, standard, in_units=units is not work)
    records = Records(work)
    free = free_parameters(order, work.m, work.p, offset=standard.offset, direct=direct, x1=x1)
    Sigma = records.covariance(records.errors(start))
    if work.p or standard.offset or x1 != "zero":
        few = free_parameters(order, work.m, work.p, offset=standard.offset, direct=direct, x1=x1, model=False)
        refit, refit_Sigma = _pem.linear_refit(records, start, Sigma, few)
        if _pem.objective(refit_Sigma, records.total) <= _pem.objective(Sigma, records.total):
            start, Sigma = refit, refit_Sigma
    if plan.method == "subspace":
        solution = _pem.Solution(start, Sigma, (), True, "subspace estimate")
    else:
        solution = _pem.minimise(records, start, free, plan.max_iter, plan.tol)
        if not solution.converged:
            warnings.warn(f"fit: {solution.message}; the best point is returned", NumericalWarning, stacklevel=3)
    return _report(records, solution, standard, plan, free, found, space.singular_values, rows)


def _in_units(standard: _Standard) -> Data:
    """The data centred but not scaled."""
    one_z, one_u = np.zeros_like(standard.mean_z), np.zeros_like(standard.mean_u)
    return standard.data.affine(one_z, 1 / standard.scale_z, one_u, 1 / standard.scale_u)


def _standard_predictor(found: _subspace.Realised, standard: _Standard, *, in_units: bool) -> Predictor:
    """Predictor of the standardised data; the first states are zero."""
    n, m = found.K.shape
    scale_z = standard.scale_z if in_units else np.ones(m)
    scale_u = standard.scale_u if in_units else np.ones(found.B.shape[1])
    H, K = found.H / scale_z[:, None], found.K * scale_z
    B, D = found.B * scale_u, found.D * scale_u / scale_z[:, None]
    return predictor(found.A, B, H, D, K, np.zeros(n), np.zeros(m), np.zeros((n, len(standard.data.lengths))))


def _warn_if_unexciting(factor: _subspace.Factor) -> None:
    edge = factor.rows * factor.p
    if not edge:
        return
    values = np.linalg.svd(factor.L[:edge, :edge], compute_uv=False)
    if values[-1] < 1e-7 * values[0]:
        order = int(np.count_nonzero(values > 1e-7 * values[0]))
        warnings.warn(
            f"u: not persistently exciting enough ({order} of {edge} directions of {factor.rows} steps are excited): "
            "effects of the inputs are not all determined by these data",
            ModelWarning,
            stacklevel=5,
        )


def _check_order(order: int, space: _subspace.Subspace, rows: int, m: int) -> None:
    limit = min(len(space.state_map), (rows - 1) * m)
    if order > limit:
        raise KelmanError(
            f"n_states: {rows} block rows of {m} measured values can show at most {limit} states in these data, got {order}; "
            "raise block_rows or lower n_states"
        )


def _select(
    work: Data,
    units: Data,
    factor: _subspace.Factor,
    space: _subspace.Subspace,
    canonical: _subspace.Subspace,
    plan: Plan,
) -> int:
    """BIC of the subspace models of rising order, among those that stand out of the noise."""
    limit = min(_subspace.above_noise(factor, canonical), len(space.state_map), (factor.rows - 1) * factor.m)
    records, direct = Records(units), plan.direct and work.p > 0
    best, score, since = 1, np.inf, 0
    for n in range(1, max(limit, 1) + 1):
        found = _subspace.realise(factor, space, n, plan.weighting, direct)
        N = len(work.lengths)
        model = predictor(found.A, found.B, found.H, found.D, found.K, np.zeros(n), np.zeros(work.m), np.zeros((n, N)))
        if not spectral_radius(model.F) < 1:
            continue
        Sigma = records.covariance(records.errors(model))
        count = n * (2 * work.m + work.p)
        value = _pem.objective(Sigma, records.total) + count * np.log(records.total)
        since += 1
        if value < score:
            best, score, since = n, value, 0
        if since >= 4:
            break
    return best


def _report(
    records: Records,
    solution: _pem.Solution,
    standard: _Standard,
    plan: Plan,
    free: Any,
    found: _subspace.Realised,
    singular_values: FloatArray,
    rows: int,
) -> Fit:
    old = solution.model
    n, m, p = old.n, records.data.m, records.data.p
    system = solution.system
    if system is None:
        Sigma = _pem.floored(solution.Sigma)
        precision = _pem.first_state_precision(records, old, Sigma, free)
        normal = records.normal_equations(old, records.errors(old), Sigma, free, precision)
        system = _pem.Reduced(normal, gauge(old, free))
    half = system.vectors / np.sqrt(system.values) / system.scale[:, None]
    to_new, to_old = _uncertainty.canonical_frame(old)
    frame = _uncertainty.Frame(standard.mean_z, standard.scale_z, standard.mean_u, standard.scale_u, to_new, to_old)
    new = frame.model(old)
    factor = frame.factor(half, free, n, m, p)
    scale = standard.scale_z
    Sigma = solution.Sigma * np.outer(scale, scale)
    total = records.total
    logdet = _pem.objective(solution.Sigma, total) / total + 2 * float(np.log(scale).sum())
    loglik = -0.5 * total * (m * float(np.log(2 * np.pi)) + logdet + m)
    new = _level_in_c(new) if standard.offset else new
    model = StateSpace.from_shifted(
        new.A,
        new.H,
        _symmetric(new.K @ Sigma @ new.K.T),
        _symmetric(Sigma),
        B=new.B if p else None,
        D=new.D if p and plan.direct else None,
        b=new.b if standard.offset and np.any(new.b) else None,
        c=new.c if standard.offset else None,
        S=new.K @ Sigma,
    )
    return Fit(
        model=model,
        method="subspace" if plan.method == "subspace" else "pem",
        order=n,
        K=new.K.copy(),
        Sigma=_symmetric(Sigma),
        x1=new.x1[:, 0].copy() if new.x1.shape[1] == 1 else np.ascontiguousarray(new.x1.T),
        loglik=loglik,
        nobs=total,
        history=solution.history,
        converged=solution.converged,
        message=solution.message,
        singular_values=singular_values,
        block_rows=rows,
        weighting=plan.weighting,
        noise=_noise(plan, found, standard, to_new, new, Sigma),
        poles=poles(new.A),
        pole_covariance=_uncertainty.poles_covariance(new, factor),
        rank=system.rank,
        _predictor=new,
        _factor=factor,
    )


def _noise(
    plan: Plan,
    found: _subspace.Realised,
    standard: _Standard,
    to_new: FloatArray,
    new: Predictor,
    Sigma: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Residual covariances (Q, R, S) of the subspace regression in the basis and units of the model, or those of the innovation form."""
    if plan.method != "subspace":
        return _symmetric(new.K @ Sigma @ new.K.T), Sigma.copy(), new.K @ Sigma
    scale = standard.scale_z if plan.weighting == "cca" else np.ones_like(standard.scale_z)
    Q = to_new @ found.Q @ to_new.T
    return _symmetric(Q), found.R * np.outer(scale, scale), to_new @ found.S * scale


def _symmetric(array: FloatArray) -> FloatArray:
    return (array + array.T) / 2


def _level_in_c(model: Predictor) -> Predictor:
    """Shift the state so that b = 0 where A has no pole near one: x = x' + d with d = (I - A)^-1 b."""
    away = np.eye(model.n) - model.A
    if np.linalg.cond(away) > 1e10:
        return model
    d = np.linalg.solve(away, model.b)
    theta2 = model.theta2.copy()
    theta2[:, -1] += model.H @ d
    theta1 = model.theta1.copy()
    theta1[:, -1] = -model.K @ theta2[:, -1]
    return Predictor(theta1, theta2, model.x1 - d[:, None])
