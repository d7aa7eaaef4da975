# SPDX-License-Identifier: BSD-3-Clause
"""From data to a linear model in innovation form: subspace estimate, then prediction errors."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman._arrays import as_count, one_of
from kelman.errors import KelmanError, ModelWarning, NumericalWarning
from kelman.identify import _pem, _subspace, _uncertainty
from kelman.identify._candidates import by_bic, candidates, check_order, largest_order
from kelman.identify._data import read
from kelman.identify._driven import driven_start
from kelman.identify._predictor import Predictor, Records, free_parameters, gauge, predictor
from kelman.identify._result import Fit
from kelman.identify._stages import Stage
from kelman.lti import poles
from kelman.models import StateSpace

if TYPE_CHECKING:
    from kelman.identify._data import Data
    from kelman.lti._check import FloatArray

_METHODS = ("auto", "subspace", "pem")
_WEIGHTINGS = ("cca", "n4sid", "moesp")
_MEAN_MATTERS = 0.1


def innovation_fit(z: Any, u: Any, plan: Plan) -> Fit:
    """Fit a model in innovation form; see `fit`. "pem" refuses gaps, at which the others cut."""
    data = read(z, u, gaps=plan.method != "pem")
    found = _run(data, plan)
    return replace(found, _data=data.at_least(2 * found.block_rows) if data.missing else data)


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
        require_tolerance(self.tol)


def require_tolerance(tol: Any) -> None:
    """Raise unless `tol` is a number that a tolerance can be."""
    if isinstance(tol, bool) or not isinstance(tol, (int, float, np.number)) or not 0 <= tol < np.inf:
        raise KelmanError(f"tol: expected a number >= 0, got {tol!r:.60}")


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


@dataclass(frozen=True, eq=False)
class Prepared:
    """What does not depend on the order: the data, standardised and in the units of the weighting, and their decomposition."""

    standard: _Standard
    units: Data
    factor: _subspace.Factor
    space: _subspace.Subspace
    canonical: _subspace.Subspace

    @property
    def rows(self) -> int:
        """Block rows."""
        return self.factor.rows

    @property
    def scaled(self) -> bool:
        """Whether `units` are the standardised data."""
        return self.units is self.standard.data


def prepare(data: Data, plan: Plan, depth: int) -> Prepared:
    """Standardise and decompose; of data with gaps only stretches that hold a whole window are kept.

    `depth` is how far up the stack a warning belongs.
    """
    standard = _standardise(data, plan.offset)
    rows = plan.block_rows or _subspace.default_block_rows(standard.data, plan.n_states)
    if data.missing and _subspace.enough_columns(data, rows):
        standard = replace(standard, data=standard.data.at_least(2 * rows))
    # Scaling by one number per channel leaves "cca" alone; the other weightings are defined in the units of the data.
    units = standard.data if plan.weighting == "cca" else _in_units(standard)
    factor = _subspace.lq_factor(units, rows)
    _warn_if_unexciting(factor, depth + 1)
    space = _subspace.decompose(factor, plan.weighting)
    canonical = space if plan.weighting == "cca" else _subspace.decompose(factor, "cca")
    return Prepared(standard, units, factor, space, canonical)


def _run(data: Data, plan: Plan) -> Fit:
    began = time.perf_counter()
    prepared = prepare(data, plan, 5)
    standard, factor, space = prepared.standard, prepared.factor, prepared.space
    work, units, rows = standard.data, prepared.units, prepared.rows
    direct = plan.direct and work.p > 0
    order = plan.n_states
    if order is None:
        limit = min(_subspace.above_noise(factor, prepared.canonical), largest_order(factor, space))
        order = by_bic(candidates(factor, space, max(limit, 1), plan.weighting, direct, Records(units)))
    check_order(order, factor, space)
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
    stages = [Stage("subspace", 0, _loglik(Sigma, standard), time.perf_counter() - began)]
    if plan.method == "subspace":
        solution = _pem.Solution(start, Sigma, (), True, "subspace estimate")
    else:
        began = time.perf_counter()
        solution = _pem.minimise(records, start, free, plan.max_iter, plan.tol)
        seconds = time.perf_counter() - began
        stages.append(Stage("pem", len(solution.history), _loglik(solution.Sigma, standard), seconds))
        if not solution.converged:
            warnings.warn(f"fit: {solution.message}; the best point is returned", NumericalWarning, stacklevel=4)
    report = _report(records, solution, standard, plan, free, found, space.singular_values, rows)
    unused = data.missing + data.total - work.total
    return replace(report, stages=tuple(stages), windows=factor.columns, unused=unused)


def _loglik(Sigma: FloatArray, standard: _Standard) -> float:
    """Gaussian log-likelihood, in the units of the user, of errors with this mean square."""
    total, m = standard.data.total, len(Sigma)
    logdet = _pem.objective(Sigma, total) / total + 2 * float(np.log(standard.scale_z).sum())
    return -0.5 * total * (m * float(np.log(2 * np.pi)) + logdet + m)


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


def innovation_model(found: _subspace.Realised, Sigma: FloatArray, prepared: Prepared, plan: Plan) -> StateSpace:
    """A subspace model as it is, with the covariance of its errors, in the units of the user."""
    standard = prepared.standard
    one_z, one_u = np.ones_like(standard.scale_z), np.ones_like(standard.scale_u)
    scale_z, scale_u = (standard.scale_z, standard.scale_u) if prepared.scaled else (one_z, one_u)
    H, K = found.H * scale_z[:, None], found.K / scale_z
    B, D = found.B / scale_u, found.D * scale_z[:, None] / scale_u
    R = _symmetric(_pem.floored(Sigma) * np.outer(scale_z, scale_z))
    Q = _symmetric(K @ R @ K.T)
    p, x1 = len(scale_u), np.zeros((len(Q), len(standard.data.lengths)))
    return StateSpace.from_shifted(
        found.A,
        H,
        Q,
        R,
        B=B if p else None,
        D=D if p and plan.direct else None,
        b=-B @ standard.mean_u if p and standard.offset else None,
        c=standard.mean_z - D @ standard.mean_u if standard.offset else None,
        S=K @ R,
        **_start(found.A, B, -B @ standard.mean_u, H, Q, x1, standard),
    )


def _start(
    A: FloatArray, B: FloatArray, b: FloatArray, H: FloatArray, Q: FloatArray, x1: FloatArray, standard: _Standard
) -> dict[str, Any]:
    """Start of a model in the units of the user: with inputs where they keep the state, else "auto"."""
    if not standard.data.p:
        return {}
    u = standard.data.u * standard.scale_u + standard.mean_u
    return driven_start(A, B, b, H, Q, x1, replace(standard.data, u=u))


def _warn_if_unexciting(factor: _subspace.Factor, depth: int) -> None:
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
            stacklevel=depth,
        )


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
    new = _level_in_c(new) if standard.offset else new
    Q = _symmetric(new.K @ Sigma @ new.K.T)
    model = StateSpace.from_shifted(
        new.A,
        new.H,
        Q,
        _symmetric(Sigma),
        B=new.B if p else None,
        D=new.D if p and plan.direct else None,
        b=new.b if standard.offset and np.any(new.b) else None,
        c=new.c if standard.offset else None,
        S=new.K @ Sigma,
        **_start(new.A, new.B, new.b, new.H, Q, new.x1, standard),
    )
    return Fit(
        model=model,
        method="subspace" if plan.method == "subspace" else "pem",
        order=n,
        K=new.K.copy(),
        Sigma=_symmetric(Sigma),
        x1=new.x1[:, 0].copy() if new.x1.shape[1] == 1 else np.ascontiguousarray(new.x1.T),
        loglik=_loglik(solution.Sigma, standard),
        nobs=records.total,
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
