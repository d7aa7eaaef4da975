# SPDX-License-Identifier: BSD-3-Clause
"""How many states: singular values against their noise, BIC, and the likelihood of what was held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kelman import _registry, linear
from kelman._arrays import as_count, one_of
from kelman.errors import KelmanError
from kelman.identify import _subspace
from kelman.identify._candidates import by_bic, candidates, check_order, largest_order
from kelman.identify._data import assemble, read_series
from kelman.identify._fit import Plan, innovation_model, prepare
from kelman.identify._predictor import Records

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.identify._candidates import Candidate
    from kelman.identify._fit import Prepared

_BEYOND = 4
"""Orders looked at beyond those that stand out of the noise."""
_RULES = ("bic", "holdout", "singular values")


@dataclass(frozen=True, eq=False, repr=False)
class OrderSelection:
    """Three opinions on the number of states.

    Attributes
    ----------
    order : int
        The order chosen, by ``rule``.
    rule : str
        "bic", "holdout" or "singular values".
    by_bic : int
        Order of least BIC among those that stand out of the noise: what `fit` takes without ``n_states``.
    by_holdout : int or None
        Smallest order whose held-out likelihood is within one standard error of the best; None without held-out data.
    by_singular_values : int
        Number of canonical correlations above ``threshold``, at least 1.
    orders : ndarray of int, shape (K,)
        1, ..., K.
    correlations : ndarray
        Canonical correlations between past and future.
    threshold : float
        The largest that independent past and future of this size would show.
    singular_values : ndarray
        Under the weighting asked for; with "cca" the canonical correlations.
    bic : ndarray, shape (K,)
        Of the subspace model of each order on all data; NaN where that has no stable predictor.
    heldout : ndarray, shape (K,)
        Log-likelihood per held-out value of the subspace model of each order on the rest; NaN where there is none.
    heldout_error : ndarray, shape (K,)
        Standard error of the difference to the best of ``heldout``.
    heldout_values : int
        Number of values held out.
    weighting : str
        Weighting of the subspace method.
    block_rows : int
        Block rows of past and of future.
    windows : int
        Whole windows of 2 ``block_rows`` steps in the data.
    """

    order: int
    rule: str
    by_bic: int
    by_holdout: int | None
    by_singular_values: int
    orders: Array
    correlations: Array
    threshold: float
    singular_values: Array
    bic: Array
    heldout: Array
    heldout_error: Array
    heldout_values: int
    weighting: str
    block_rows: int
    windows: int

    def __post_init__(self) -> None:
        """Make every array read-only."""
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    def summary(self) -> str:
        """Return a table of all orders, as text."""
        held = "none" if self.by_holdout is None else str(self.by_holdout)
        lines = [
            f"Order {self.order} by {self.rule} (weighting {self.weighting}, {self.block_rows} block rows, {self.windows} windows)",
            f"  singular values {self.by_singular_values}, BIC {self.by_bic}, held-out likelihood {held}",
            f"  threshold of the canonical correlations {self.threshold:.4f}, values held out {self.heldout_values}",
            f"  {'order':>5} {'correlation':>12} {'BIC':>14} {'held out':>12} {'below best':>11} {'std err':>9}",
        ]
        best = np.nanmax(self.heldout) if np.isfinite(self.heldout).any() else np.nan
        for k, n in enumerate(self.orders):
            value = self.correlations[k] if k < len(self.correlations) else np.nan
            marks = "".join(
                mark
                for mark, chosen in (("s", self.by_singular_values), ("b", self.by_bic), ("h", self.by_holdout))
                if n == chosen
            )
            lines.append(
                f"  {n:5d} {value:12.5f} {self.bic[k]:14.3f} {self.heldout[k]:12.5f} {best - self.heldout[k]:11.5f} "
                f"{self.heldout_error[k]:9.5f} {marks}".rstrip()
            )
        return "\n".join(lines)

    def plot(self, **options: Any) -> Any:
        """Draw the three criteria side by side (needs matplotlib)."""
        return _registry.plot(self, **options)

    def __repr__(self) -> str:
        return f"OrderSelection({self.order} by {self.rule})"


def select_order(
    z: Any,
    u: Any = None,
    *,
    max_order: int | None = None,
    rule: str = "bic",
    weighting: str = "cca",
    holdout: float = 0.25,
    block_rows: int | None = None,
    offset: bool | str = "auto",
    direct: bool = True,
) -> OrderSelection:
    r"""Compare subspace models of rising order: singular values above the noise, BIC, held-out likelihood.

    Parameters
    ----------
    z : array_like, shape (T,), (T, m) or (N, T, m), or a list of series
        Measurements; NaN where one is missing. Windows with a gap are left out.
    u : array_like, the same shape with p in place of m, optional
        Inputs, as in `fit`.
    max_order : int, optional
        Largest order; left out, four beyond those that stand out of the noise, as far as the block rows can show them.
    rule : {"bic", "holdout", "singular values"}
        Which of the three chooses ``order``.
    weighting : {"cca", "n4sid", "moesp"}
        Weighting of the subspace method.
    holdout : float, default 0.25
        Share of the data that is held out: of many series that share of them, evenly spread; of few the last part of each.
        0 holds nothing out.
    block_rows, offset, direct
        As in `fit`.

    Returns
    -------
    OrderSelection
        ``.order``, the values of each criterion, ``.summary()``, ``.plot()``.

    Raises
    ------
    KelmanError
        If the data, or what is left of them beside the part held out, have too few whole windows; or max_order is more than the
        block rows can show.

    Notes
    -----
    The threshold is the edge :math:`(\sqrt{s m} + \sqrt{s(m+p)}) / \sqrt N` of the canonical correlations of independent data
    with s block rows and N windows. BIC is -2 log L + log(T) times the parameters that a change of basis leaves,
    n (2 m + p) and those that do not depend on n (E. J. Hannan & M. Deistler, The Statistical Theory of Linear Systems, 1988,
    chapter 5). Held-out steps are predicted by the Kalman filter of the model fitted to the rest, from the steps before them;
    their likelihood chooses the smallest order within one standard error of the best (T. Hastie, R. Tibshirani & J. Friedman,
    The Elements of Statistical Learning, 2nd ed. 2009, section 7.10).

    Examples
    --------
    >>> import kelman
    >>> data = kelman.datasets.hairdryer()
    >>> found = kelman.identify.select_order(data.z, data.u)
    >>> found.order, found.rule
    (4, 'bic')
    """
    one_of(rule, "rule", _RULES)
    if max_order is not None:
        as_count(max_order, "max_order")
    share = _share(holdout)
    if rule == "holdout" and not share:
        raise KelmanError("holdout: rule='holdout' needs a share above 0")
    plan = Plan("subspace", weighting, block_rows, offset, direct, "zero", max_order, 1, 0.0)
    z_list, u_list = read_series(z, u, gaps=True)
    whole = prepare(assemble(z_list, u_list), plan, 3)
    possible = largest_order(whole.factor, whole.space)
    if max_order is not None:
        check_order(max_order, whole.factor, whole.space, "max_order")
    threshold = _subspace.noise_edge(whole.factor)
    above = min(max(_subspace.above_noise(whole.factor, whole.canonical), 1), possible)
    last = min(above + _BEYOND, possible) if max_order is None else max_order
    models = _models(whole, plan, last)
    bic = np.array([_criterion(one, whole, plan) for one in models])
    test = _hold_out(z_list, u_list, share, plan, last) if share else _Heldout.none(last)
    choice = {"bic": by_bic(models[:above]), "holdout": test.choice(), "singular values": above}
    order = choice[rule]
    if order is None:
        raise KelmanError("holdout: no model of the part that is left predicts the held-out part; give more data")
    return OrderSelection(
        order=order,
        rule=rule,
        by_bic=choice["bic"] or 1,
        by_holdout=choice["holdout"],
        by_singular_values=above,
        orders=np.arange(1, last + 1),
        correlations=whole.canonical.singular_values.copy(),
        threshold=threshold,
        singular_values=whole.space.singular_values.copy(),
        bic=bic,
        heldout=test.loglik,
        heldout_error=test.error,
        heldout_values=test.values,
        weighting=weighting,
        block_rows=whole.rows,
        windows=whole.factor.columns,
    )


def _share(holdout: Any) -> float:
    number = isinstance(holdout, (int, float, np.number)) and not isinstance(holdout, bool)
    if not number or not 0 <= holdout < 1:
        raise KelmanError(f"holdout: expected a share in [0, 1), got {holdout!r:.60}")
    return float(holdout)


def _models(prepared: Prepared, plan: Plan, last: int) -> list[Candidate | None]:
    """Return the models of order 1 to `last`, None where there is none."""
    p, space = prepared.factor.p, prepared.space
    possible = min(last, largest_order(prepared.factor, space))
    direct = plan.direct and p > 0
    found = list(candidates(prepared.factor, space, possible, plan.weighting, direct, Records(prepared.units)))
    return found + [None] * (last - possible)


def _criterion(one: Candidate | None, prepared: Prepared, plan: Plan) -> float:
    """BIC in the units of the user, all parameters counted."""
    if one is None:
        return float("nan")
    m, p, standard = prepared.factor.m, prepared.factor.p, prepared.standard
    total = prepared.units.total
    units = 2 * total * float(np.log(standard.scale_z).sum()) if prepared.scaled else 0.0
    others = m * (m + 1) // 2 + (m * p if plan.direct else 0) + (m if standard.offset else 0)
    return one.bic + units + total * m * (1 + float(np.log(2 * np.pi))) + others * float(np.log(total))


class _Heldout(NamedTuple):
    """Log-likelihood per held-out value (K,), standard errors of the differences to the best, and how many values."""

    loglik: Array
    error: Array
    values: int

    @classmethod
    def none(cls, last: int) -> _Heldout:
        """Nothing was held out."""
        return cls(np.full(last, np.nan), np.full(last, np.nan), 0)

    def choice(self) -> int | None:
        """Return the smallest order within one standard error of the best."""
        if not np.isfinite(self.loglik).any():
            return None
        near = np.nanmax(self.loglik) - self.loglik <= self.error  # the best itself: 0 <= 0
        return int(np.argmax(near)) + 1


def _hold_out(z: list[Array], u: list[Array], share: float, plan: Plan, last: int) -> _Heldout:
    """Fit to a part, and predict the rest."""
    N = len(z)
    out = int(N * share)
    if out:
        chosen = set(np.floor((np.arange(out) + 0.5) * N / out).astype(int).tolist())
        kept = [i for i in range(N) if i not in chosen]
        z_fit, u_fit = [z[i] for i in kept], [u[i] for i in kept]
        z_all, u_all = [z[i] for i in sorted(chosen)], [u[i] for i in sorted(chosen)]
        first = [0] * out
    else:
        first = [len(one) - int(np.ceil(share * len(one))) for one in z]
        z_fit, u_fit = [a[:k] for a, k in zip(z, first, strict=True)], [a[:k] for a, k in zip(u, first, strict=True)]
        z_all, u_all = z, u
    try:
        part = prepare(assemble(z_fit, u_fit), plan, 4)
    except KelmanError as error:
        raise KelmanError(f"holdout: of what is left to fit, {error}; or hold out less (holdout=0: nothing)") from error
    inputs = u_all if part.factor.p else None
    masks = [np.arange(len(one)) >= k for one, k in zip(z_all, first, strict=True)]
    values = int(sum(np.isfinite(one[mask]).sum() for one, mask in zip(z_all, masks, strict=True)))
    if not values:
        raise KelmanError("holdout: every held-out value is missing; hold out another share")
    steps = [
        None if one is None else _step_likelihoods(one, part, plan, z_all, inputs, masks)
        for one in _models(part, plan, last)
    ]
    loglik = np.array([np.nan if each is None else each.sum() / values for each in steps])
    spread = np.full(last, np.nan)
    if np.isfinite(loglik).any():
        best = steps[int(np.nanargmax(loglik))]
        for k, each in enumerate(steps):
            if each is not None and best is not None:
                spread[k] = np.sqrt(len(each) * np.var(best - each)) / values
    return _Heldout(loglik, spread, values)


def _step_likelihoods(
    one: Candidate, part: Prepared, plan: Plan, z: list[Array], u: list[Array] | None, masks: list[Array]
) -> Array | None:
    """Log-likelihood of each held-out step, given the steps before it."""
    try:
        found = linear.filter(innovation_model(one.found, one.Sigma, part, plan), z, u, store="filtered")
    except KelmanError:
        return None
    each = np.asarray(found.loglik_obs, dtype=np.float64)
    steps = np.concatenate([row[: len(mask)][mask] for row, mask in zip(each, masks, strict=True)])
    return np.asarray(np.nan_to_num(steps))
