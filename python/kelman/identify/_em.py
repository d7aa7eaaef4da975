# SPDX-License-Identifier: BSD-3-Clause
"""EM for state-space models: likelihoods that never fall, for one model of many series or one model for each.

A. P. Dempster, N. M. Laird and D. B. Rubin, J. R. Stat. Soc. B 39 (1977) 1; R. H. Shumway and D. S. Stoffer, J. Time
Ser. Anal. 3 (1982) 253; constraints: E. E. Holmes, arXiv:1302.3919 (2013). Extrapolation: R. Varadhan and C. Roland, Scand.
J. Stat. 35 (2008) 335 (SQUAREM, steplength S3), between unconstrained parameters, taken only where the likelihood agrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman._arrays import as_count, as_flag
from kelman.errors import KelmanError
from kelman.identify._em_data import Data, Expecter
from kelman.identify._em_step import FLOOR, Maximiser
from kelman.identify._em_wiring import Wiring
from kelman.identify._progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman._types import Array
    from kelman.identify._em_data import Expectation
    from kelman.models import Template

_FALL = 1e-9  # relative; what rounding may take from a likelihood
_HALVINGS = 20


@dataclass(frozen=True, eq=False)
class EmResult:
    """What EM found, for F fits.

    Attributes
    ----------
    theta : ndarray, shape (F, K)
        The best parameters.
    loglik : ndarray, shape (F,)
        Their log-likelihoods.
    gradient : ndarray, shape (F, K)
        Its derivative by the parameters.
    history : ndarray, shape (F, iterations + 1)
        The log-likelihood after each iteration; NaN where a fit had stopped.
    iterations : ndarray, shape (F,)
        Number of iterations (M-steps).
    converged : ndarray, shape (F,)
        Whether likelihood and gradient had settled.
    message : tuple of str
        Why each fit ended.
    held, restricted : tuple of str
        Parameters that EM cannot move, and those that it moves in some combinations only: their rows have no noise, or
        noise of lower rank.
    floored : tuple of tuple of str
        Variances of each fit that stand at their floor.
    slopes : tuple of ndarray
        The derivative by unconstrained parameters (K,) after each iteration, if there is one fit.
    """

    theta: Array
    loglik: Array
    gradient: Array
    history: Array
    iterations: Array
    converged: Array
    message: tuple[str, ...]
    held: tuple[str, ...]
    restricted: tuple[str, ...]
    floored: tuple[tuple[str, ...], ...]
    slopes: tuple[Array, ...]


@dataclass(frozen=True)
class Options:
    """When to stop, and how to hurry; see `em`."""

    max_iter: int
    tol: float
    gtol: float
    accelerate: bool
    plateau: float


class _Run:
    """The loop: all fits go on together until each has stopped."""

    def __init__(self, template: Template, theta: Array, data: Data, options: Options, threads: int | None) -> None:
        self.template, self.data, self.options = template, data, options
        self.wiring = Wiring(template)
        F = data.fits
        theta = np.array(np.broadcast_to(theta, (F, template.size)), dtype=np.float64)
        self.maximise = Maximiser(self.wiring, data, theta)
        self.expect = Expecter(self.wiring, data, self.maximise.second, self.maximise.components, threads)
        self.active = np.arange(F)
        self.best = self._begin(theta)
        self.history = [self.best.loglik.copy()]
        self.slopes: list[Array] = []
        self._note_slope()
        self.count = np.zeros(F, dtype=int)
        self.message = ["" if trouble == "" else f"at the start: {trouble}" for trouble in self.best.trouble]
        self.converged = np.zeros(F, dtype=bool)
        self.floored = np.zeros((F, template.size), dtype=bool)
        self._shortened = np.zeros(F, dtype=bool)
        self.scale = np.sqrt(np.maximum(data.total("components", self.active).sum(axis=1), 1.0))
        self.active = np.flatnonzero(np.isfinite(self.best.loglik))

    def _begin(self, theta: Array) -> Expectation:
        """The first expectation, about the states' own means."""
        F = len(theta)
        zero = np.zeros((F, self.template.dims.n))
        first = self.expect(theta, zero, self.active)
        if first.sums is None:
            return first
        n, steps = zero.shape[1], np.maximum(first.sums[:, 0, -1, -1], 1.0)
        spread = np.einsum("fii->fi", first.sums[:, 0, :n, :n]) / steps[:, None]
        mean = first.sums[:, 0, :n, -1] / steps[:, None]
        far = (mean**2 > 0.9999 * spread).any()  # states far from zero, beside what they vary
        return self.expect(theta, mean, self.active) if far else first

    @staticmethod
    def _reference(E: Expectation) -> Array:
        if E.sums is None:
            return E.reference
        n, steps = E.reference.shape[1], np.maximum(E.sums[:, 0, -1, -1], 1.0)
        return np.asarray(E.reference + E.sums[:, 0, :n, -1] / steps[:, None])

    def gradient(self, E: Expectation) -> Array:
        """The derivative by unconstrained parameters, (F, K)."""
        try:
            eta = self.template.unconstrain(E.theta)
        except KelmanError:  # some covariance is singular to rounding
            return np.full(E.theta.shape, np.inf)
        return np.asarray(np.einsum("fk,fke->fe", E.gradient, self.template.constrain_jacobian(eta)))

    def run(self, progress: Progress) -> EmResult:
        """Iterate until every fit has stopped, or Ctrl-C."""
        iteration = 0
        try:
            while len(self.active) and iteration < self.options.max_iter:
                steps = self._cycle(iteration)
                iteration += steps
                total = self.best.loglik[np.isfinite(self.best.loglik)]
                progress.update(iteration, float(total.sum()))
        except KeyboardInterrupt:
            for i in self.active:
                self.message[i] = f"interrupted at iteration {iteration}"
            self.active = self.active[:0]
        for i in self.active:
            self.message[i] = f"max_iter = {self.options.max_iter} iterations without convergence"
        return self._result()

    def _result(self) -> EmResult:
        names = self.template.names
        floored: tuple[tuple[str, ...], ...] = ((),) * len(self.floored)
        if self.floored.any():
            floored = tuple(tuple(names[k] for k in np.flatnonzero(row)) for row in self.floored)
        for i, found in enumerate(floored):
            if found:
                self.converged[i] = False
                self.message[i] = (
                    f"{', '.join(found)} fell to the floor ({FLOOR:g} of the root mean square, as a standard deviation): the "
                    "likelihood grows without bound, as for a constant series"
                )
        finite = np.isfinite(self.best.loglik)
        gradient = np.where(finite[:, None], self.best.gradient, np.nan)
        return EmResult(
            self.best.theta,
            np.where(finite, self.best.loglik, np.nan),
            gradient,
            np.stack(self.history, axis=1),
            self.count,
            self.converged,
            tuple(self.message),
            self.maximise.held,
            self.maximise.restricted,
            floored,
            tuple(self.slopes),
        )

    def _note_slope(self) -> None:
        if len(self.best.loglik) == 1 and np.isfinite(self.best.loglik[0]):
            self.slopes.append(self.gradient(self.best)[0])

    def _cycle(self, iteration: int) -> int:
        """One EM step, or two and an extrapolation."""
        start = self.best.take(self.active)
        first, floor = self._step(start, self.active)
        self._keep(self.active, first, floor, iteration)
        if not self.options.accelerate or iteration + 1 >= self.options.max_iter or not len(self.active):
            return 1
        # fits that go on: extrapolate from three points
        going = self.active
        zero = start.take(np.flatnonzero(np.isin(self._before, going)))
        one = self.best.take(going)
        theta, floor = self.maximise(one, going)
        jumped = self._jump(zero.theta, one.theta, theta)
        two = self.expect(jumped, self._reference(one), going)
        worse = ~(two.loglik >= one.loglik)
        if worse.any():
            back = np.flatnonzero(worse)
            plain, low = self._step(one.take(back), going[back])
            two = two.put(back, plain)
            floor[back] = low
        self._keep(going, two, floor, iteration + 1)
        return 2

    def _jump(self, zero: Array, one: Array, two: Array) -> Array:
        """SQUAREM: from eta_0 by 2 alpha r + alpha² v, never less far than the second EM step."""
        try:
            eta0, eta1, eta2 = (self.template.unconstrain(theta) for theta in (zero, one, two))
        except KelmanError:  # some covariance is singular to rounding
            return two
        r, v = eta1 - eta0, (eta2 - eta1) - (eta1 - eta0)
        size_r, size_v = np.linalg.norm(r, axis=1), np.linalg.norm(v, axis=1)
        alpha = np.clip(np.divide(size_r, size_v, out=np.ones_like(size_r), where=size_v > 0), 1.0, 1e3)
        eta = eta0 + 2 * alpha[:, None] * r + alpha[:, None] ** 2 * v
        with np.errstate(all="ignore"):
            theta = self.template.constrain(eta)
        sound = np.isfinite(theta).all(axis=1) & (alpha > 1)
        return np.where(sound[:, None], theta, two)

    def _step(self, E: Expectation, which: Array) -> tuple[Expectation, Array]:
        """One EM step; shorter ones for fits whose likelihood it lowers."""
        theta, floor = self.maximise(E, which)
        found = self.expect(theta, self._reference(E), which)
        self._shortened[which] = False
        for _ in range(_HALVINGS):
            fell = ~(found.loglik >= E.loglik - _FALL * (1 + np.abs(E.loglik)))
            if not fell.any():
                break
            back = np.flatnonzero(fell)
            self._shortened[which[back]] = True
            theta = theta.copy()
            theta[back] = (E.theta[back] + theta[back]) / 2
            again = self.expect(theta[back], self._reference(E.take(back)), which[back])
            found = found.put(back, again)
        return found, floor

    def _keep(self, which: Array, found: Expectation, floor: Array, iteration: int) -> None:
        """Take what is better, note what happened, and stop the fits that are done."""
        self._before = which
        old = self.best.take(which)
        gain = found.loglik - old.loglik
        allowed = _FALL * (1 + np.abs(old.loglik))
        fell = ~(gain >= -allowed) | (self._shortened[which] & (gain <= 0))
        taken = which[~fell]
        self.best = self.best.put(taken, found.take(np.flatnonzero(~fell)))
        self.count[which] = iteration + 1
        line = np.full(len(self.best.loglik), np.nan)
        line[which] = self.best.loglik[which]
        self.history.append(line)
        self._note_slope()
        self.floored[which] = floor
        for i, cause, by in zip(which[fell], np.array(found.trouble, dtype=object)[fell], gain[fell], strict=True):
            why = str(cause) or (
                f"the log-likelihood fell by {-float(by):.3g}, and shorter steps do not raise it"
                if by < 0
                else "no step raises the log-likelihood"
            )
            self.message[int(i)] = f"iteration {iteration + 1}: {why}; the best parameters so far are kept"
        small = ~fell & (np.abs(gain) <= max(self.options.tol, self.options.plateau) * (1 + np.abs(old.loglik)))
        settled = np.zeros(len(which), dtype=bool)
        if small.any():
            at = np.flatnonzero(small)
            slope = np.abs(self.gradient(found.take(at)))
            slope[:, [name in self.maximise.held for name in self.template.names]] = 0.0
            done = slope.max(axis=1, initial=0.0) <= self.options.gtol * self.scale[which[at]]
            stuck = floor[at].any(axis=1)
            flat = np.abs(gain[at]) <= self.options.plateau * (1 + np.abs(old.loglik[at]))
            settled[at] = done | stuck | flat
            for i in which[at[flat & ~done & ~stuck]]:
                self.message[i] = "a plateau"
            for i in which[at[done & ~stuck]]:
                self.converged[i] = True
                self.message[i] = "converged"
        self.active = which[~fell & ~settled]


def em(
    template: Template,
    theta: Array,
    z: Any,
    u: Any = None,
    *,
    per_series: bool = False,
    max_iter: int = 1000,
    tol: float = 1e-9,
    gtol: float = 1e-4,
    accelerate: bool = True,
    plateau: float = 0.0,
    threads: int | None = None,
    progress: bool | Callable[[int, float], Any] | None = None,
) -> EmResult:
    """Fit the unknowns of a template by EM: one model for all series, or one for each.

    No likelihood falls by more than rounding: every iteration is checked, shortened where it would, and the best kept.

    Parameters
    ----------
    template : Template
        With entries that are affine in its parameters, no priors and no S.
    theta : ndarray, shape (K,) or (F, K)
        Where to begin.
    z, u : array_like
        Series and inputs, as in `kelman.filter`; gaps and ragged lengths are served.
    per_series : bool, default False
        One model for each series instead of one for all.
    max_iter : int, default 1000
        Largest number of iterations.
    tol, gtol : float
        Converged: an iteration changes the log-likelihood by less than ``tol`` of it, and no derivative by an unconstrained
        parameter exceeds ``gtol`` times the square root of the number of measured values.
    accelerate : bool, default True
        Extrapolate every other iteration (SQUAREM), where that raises the likelihood.
    plateau : float, default 0
        Stop, too, where an iteration changes the log-likelihood by less than this part of it, whatever the gradient.
    threads : int, optional
        As in `kelman.filter`.
    progress : bool or callable, optional
        See `Progress`.

    Returns
    -------
    EmResult

    Raises
    ------
    KelmanError
        If EM does not serve the template, or the arguments are wrong.

    Notes
    -----
    Starts that follow the parameters (stationary, auto) are part of the likelihood: an iteration then takes the exact
    gradient in the metric of the complete data. Free entries may be fixed, tied or affine in all of A, B, b, H, D, c, Q,
    R and the first state. Standard deviations stop at 1e-12 of the root mean square of what they disturb, and the fit is
    flagged. What `kelman.fit` returns with ``method="em"`` is made of this; here for many fits at once.

    Examples
    --------
    Two series with a local level each:

    >>> import numpy as np
    >>> import kelman
    >>> nile = kelman.datasets.nile().z
    >>> level = kelman.Template([[1.0]], [[1.0]], [[kelman.Free(1e4)]], [[kelman.Free(1e4)]], initial="diffuse")
    >>> found = kelman.identify.em(level, level.start, np.stack([nile, nile[::-1]]), per_series=True)
    >>> print(found.loglik.round(3), found.converged)
    [-632.546 -632.546] [ True  True]
    """
    one_model = not as_flag(per_series, "per_series")
    options = Options(
        as_count(max_iter, "max_iter"),
        _share(tol, "tol"),
        _share(gtol, "gtol"),
        as_flag(accelerate, "accelerate"),
        _share(plateau, "plateau"),
    )
    dims = template.dims
    if not one_model and dims.N is not None:
        raise KelmanError("per_series: the template has arrays for each series; give that of one model")
    p = 0 if template._base["B"] is None and template._base["D"] is None else dims.p
    data = Data(z, u, dims.m, p, one_model)
    if template.size == 0:
        raise KelmanError("template: no entry is free, so there is nothing to fit")
    run = _Run(template, np.asarray(theta, dtype=np.float64), data, options, threads)
    with Progress(progress, options.max_iter, "EM") as shown:
        return run.run(shown)


def _share(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value < np.inf:
        raise KelmanError(f"{name}: expected a number >= 0, got {value!r:.60}")
    return float(value)
