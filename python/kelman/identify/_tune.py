# SPDX-License-Identifier: BSD-3-Clause
"""`tune`: noise covariances of a given model from data."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman import linear
from kelman._arrays import as_count, one_of
from kelman.errors import KelmanError
from kelman.identify import _innovations, _tune_correlation
from kelman.identify._noise_block import NoiseBlock, block
from kelman.identify._progress import Progress
from kelman.linear._problem import require_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman._types import Array, ArrayLike
    from kelman.models import StateSpace

_RATIOS = (1.0, 1e-2, 1e2, 1e-4, 1e-6)
_BAD = 1e12
_GONE = 1e-8


@dataclass(frozen=True, eq=False, repr=False)
class Tuned:
    """A model with tuned noise.

    Attributes
    ----------
    model : StateSpace
        The model with the Q and R found, all else as it was.
    method : str
        "likelihood" or "correlation".
    loglik_before, loglik : float
        Log-likelihood of all series with the noise given, and with the noise found.
    nobs : int
        Number of measured values.
    names : tuple of str
        The free entries.
    identifiable : int or None
        How many combinations of the free entries the data can tell apart, however long they are; None where that was not
        looked at, because A or H varies.
    hidden : tuple of str
        In words, entries that may change together without any effect on z but for its first steps.
    converged : bool
        Whether the search came to its end.
    message : str
        How it ended.
    iterations : int
        How many steps (or rounds) it took.
    """

    model: StateSpace
    method: str
    loglik_before: float
    loglik: float
    nobs: int
    names: tuple[str, ...]
    identifiable: int | None
    hidden: tuple[str, ...]
    converged: bool
    message: str
    iterations: int

    @property
    def Q(self) -> Array:
        """Covariance of the state's noise found, shape (n, n)."""
        return self.model.Q

    @property
    def R(self) -> Array:
        """Covariance of the measurement's noise found, shape (m, m)."""
        return self.model.R

    def summary(self) -> str:
        """Say what was found, and what the data cannot tell.

        Returns
        -------
        str
            Log-likelihoods, Q, R, and a line for each doubt.
        """
        gain = self.loglik - self.loglik_before
        lines = [
            f"Noise tuned by {self.method}: {len(self.names)} free entries, {self.nobs} values, {self.message}",
            f"  log-likelihood {self.loglik_before:.6g} before, {self.loglik:.6g} after ({gain:+.4g})",
        ]
        for name in ("Q", "R"):
            shown = np.array2string(getattr(self.model, name), precision=5, prefix=f"  {name} = ")
            lines.append(f"  {name} = {shown}")
        if self.identifiable is None:
            lines.append("  A or H varies: whether the data determine every entry was not looked at")
        elif not self.hidden:
            lines.append(f"  the data determine all {len(self.names)} entries")
        else:
            lines.append(
                f"  the data determine only {self.identifiable} of {len(self.names)} entries, however many there are: others "
                "of the same likelihood are as good; use 'diagonal' or 'scale', or fix what is known"
            )
            lines += [f"    move together unseen: {text}" for text in self.hidden]
        lines += [f"  {text}" for text in _vanished(self.model)]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Tuned({self.method}, loglik {self.loglik_before:.6g} -> {self.loglik:.6g}, {self.message})"


def tune(
    model: StateSpace,
    z: ArrayLike,
    u: ArrayLike | None = None,
    *,
    method: str = "likelihood",
    Q: str = "full",
    R: str = "full",
    lags: int | None = None,
    max_iter: int = 200,
    progress: bool | Callable[[int, float], Any] | None = None,
) -> Tuned:
    r"""Find the noise covariances Q and R of a model whose other matrices are known.

    Parameters
    ----------
    model : StateSpace
        The model; its Q and R are the first guess, and must be the same in time and for all series (A, H and the others
        need not be). States without noise keep none. A start given by P0 or P1 stays as it is.
    z : array_like, shape (T,), (T, m) or (N, T, m), or a list of series
        Measurements; NaN = missing.
    u : array_like, shape (T, p) or (N, T, p), or a list, optional
        Inputs. Needed if the model has B or D.
    method : {"likelihood", "correlation"}, default "likelihood"
        "likelihood": maximum likelihood by L-BFGS-B on the exact gradient, from the best of several scales of Q. Efficient,
        with gaps, any start, and matrices that vary. "correlation": autocovariance least squares on the innovations of a
        filter with a constant gain, gaps apart; no likelihood, and no Gaussian noise needed.
    Q, R : {"full", "diagonal", "scale", "fixed"}, default "full"
        What is free: every entry (by its Cholesky factor), the variances, one factor for all, or nothing.
    lags : int, optional
        Lags of the autocovariances of "correlation"; 10 or 3 n, whichever is more, when left out.
    max_iter : int, default 200
        Largest number of iterations of "likelihood".
    progress : bool or callable, optional
        Show the likelihood while it climbs, as in `fit`.

    Returns
    -------
    Tuned
        ``.model``, ``.loglik`` after and ``.loglik_before``, ``.hidden``, ``.summary()``.

    Raises
    ------
    KelmanError
        If an argument does not fit; if the model has S and not both Q and R are scaled by one factor each ("scale" or
        "fixed"); if "correlation" finds no constant gain.

    Notes
    -----
    z shows Q and R through its autocovariances only, and these tell no more than n m numbers about Q: a full Q has
    n (n + 1) / 2 (R. K. Mehra, IEEE TAC 15 (1970) 175). Entries that no data determine are named in ``hidden``.

    "correlation": B. J. Odelson, M. R. Rajamani and J. B. Rawlings, Automatica 42 (2006) 303, with each autocovariance
    weighted by its standard error, repeated with the gain of the result. With gaps, where the gain varies, products of
    innovations are compared with what the noise makes of them at these very steps (M. R. Rajamani and J. B. Rawlings,
    Automatica 45 (2009) 142).

    A filter that was not tuned is the usual reason why another method "wins": I. Greenberg, N. Yannay and S. Mannor,
    "Optimization or architecture: how to hack Kalman filtering", NeurIPS 2023.

    Examples
    --------
    The Nile: the variances of Durbin and Koopman (2012), eq. 2.10, from a first guess of one:

    >>> import kelman
    >>> guess = kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]])
    >>> tuned = kelman.tune(guess, kelman.datasets.nile().z)
    >>> print(tuned.Q.round(0), tuned.R.round(-1))
    [[1469.]] [[15100.]]
    """
    require_model(model, "tune")
    one_of(method, "method", ("likelihood", "correlation"))
    blocks = block("Q", Q, model.Q), block("R", R, model.R)
    as_count(max_iter, "max_iter")
    chosen = as_count(lags, "lags") if lags is not None else max(10, 3 * model.dims.n)
    if not blocks[0].size + blocks[1].size:
        raise KelmanError("Q, R: both are fixed, so there is nothing to tune")
    if model.S is not None and {blocks[0].word, blocks[1].word} - {"scale", "fixed"}:
        raise KelmanError(
            "model: has S, which must go with Q and R: use Q='scale' and R='scale', or model.replace(S=None)"
        )
    if method == "correlation" and model.S is not None:
        raise KelmanError("model: has S, which method='correlation' does not know; use method='likelihood'")
    before = _total(model, z, u)
    if method == "likelihood":
        tuned, converged, message, iterations = _by_likelihood(model, z, u, blocks, max_iter, before, progress)
    else:
        run = _innovations.run(model, z, u)
        found = _tune_correlation.correlate(model, run, blocks, chosen)
        tuned, converged, iterations = model.replace(Q=found.Q, R=found.R), found.settled, found.rounds
        message = (
            f"settled after {found.rounds} rounds" if found.settled else f"not settled after {found.rounds} rounds"
        )
    rank, hidden = _identifiable(tuned, blocks, chosen)
    names = (*blocks[0].names, *blocks[1].names)
    nobs = _innovations_count(model, z)
    after = _total(tuned, z, u)
    return Tuned(tuned, method, before, after, nobs, names, rank, hidden, converged, message, iterations)


def _innovations_count(model: StateSpace, z: Any) -> int:
    from kelman.linear._series import read_z

    return int(np.isfinite(read_z(z, model.dims.m).z).sum())


def _total(model: StateSpace, z: Any, u: Any) -> float:
    return float(np.sum(linear.loglik(model, z, u, on_error="nan")))


class _Objective:
    """Minus the log-likelihood per value as a function of the parameters; remembers the best."""

    def __init__(self, model: StateSpace, z: Any, u: Any, blocks: tuple[NoiseBlock, NoiseBlock], nobs: int) -> None:
        self.model, self.z, self.u, self.blocks, self.nobs = model, z, u, blocks, max(nobs, 1)
        self.best, self.best_at = np.inf, np.zeros(0)

    def at(self, theta: Array) -> StateSpace:
        """The model at parameters; S goes along with scales."""
        Q, R = self.blocks
        split = Q.size
        changes: dict[str, Any] = {"Q": Q.matrix(theta[:split]), "R": R.matrix(theta[split:])}
        if self.model.S is not None:
            changes["S"] = self.model.S * np.exp(sum(theta))
        return self.model.replace(**changes)

    def __call__(self, theta: Array) -> tuple[float, Array]:
        value, g = linear.loglik_and_grad(self.at(theta), self.z, self.u, on_error="nan")
        value = float(np.sum(value))
        Q, R = self.blocks
        split = Q.size
        slope = np.concatenate([Q.gradient(theta[:split], g.Q), R.gradient(theta[split:], g.R)])
        if self.model.S is not None and g.S is not None:
            slope = slope + float((g.S * self.model.S).sum() * np.exp(sum(theta)))
        if not np.isfinite(value) or not np.isfinite(slope).all():
            return _BAD, np.zeros_like(theta)
        value = -value / self.nobs
        if value < self.best:
            self.best, self.best_at = value, theta.copy()
        return value, -slope / self.nobs


def _by_likelihood(
    model: StateSpace,
    z: Any,
    u: Any,
    blocks: tuple[NoiseBlock, NoiseBlock],
    max_iter: int,
    before: float,
    progress: bool | Callable[[int, float], Any] | None,
) -> tuple[StateSpace, bool, str, int]:
    from scipy.optimize import minimize

    objective = _Objective(model, z, u, blocks, _innovations_count(model, z))
    converged, message, iterations = False, "no start has a finite likelihood", 0
    bounds: Any = [*blocks[0].bounds, *blocks[1].bounds]
    options: Any = {"maxiter": max_iter, "ftol": 1e-13, "gtol": 1e-8}
    try:
        with Progress(progress, 2 * max_iter, "tuning noise") as bar:
            steps = count(1)
            starts = sorted((objective(theta)[0], i, theta) for i, theta in enumerate(_starts(model, z, u, blocks)))
            for value, _, theta in starts[:2]:
                if value >= _BAD:
                    continue
                done = minimize(
                    objective,
                    theta,
                    jac=True,
                    method="L-BFGS-B",
                    bounds=bounds,
                    options=options,
                    callback=lambda _: bar.update(next(steps), -objective.best * objective.nobs),
                )
                iterations += int(done.nit)
                if done.fun <= objective.best + 1e-12:
                    converged = bool(done.success) or _flat(done)
                    message = f"converged after {iterations} iterations" if converged else f"stopped: {done.message}"
    except KeyboardInterrupt:
        message = "interrupted; the best so far is kept"
    if not objective.best_at.size:
        raise KelmanError("z: has no finite likelihood with any scale of Q and R; look at the model with kelman.filter")
    tuned = objective.at(objective.best_at)
    if blocks[0].word != "diagonal" and blocks[1].word != "diagonal" and _total(tuned, z, u) < before:
        return model, converged, f"{message}; nothing better than the first guess", iterations
    return tuned, converged, message, iterations


def _flat(done: Any) -> bool:
    """Whether a search that ended in its line search had in fact arrived."""
    return bool(np.abs(done.jac).max(initial=0.0) < 1e-5)


def _starts(model: StateSpace, z: Any, u: Any, blocks: tuple[NoiseBlock, NoiseBlock]) -> list[Array]:
    """The first guess, and others with Q larger and smaller, each with the common scale that its innovations have."""
    Q, R = blocks
    out = [np.concatenate([Q.start(), R.start()])]
    both = Q.word != "fixed" and R.word != "fixed"
    even = _even(model)
    factors = [1.0, *(even * ratio for ratio in _RATIOS)] if Q.word != "fixed" else [1.0]
    for factor in factors:
        guess = model.replace(Q=model.Q * factor, S=None if model.S is None else model.S * np.sqrt(factor))
        r = linear.filter(guess, z, u, store="all", on_error="nan")
        v, F = r.innovation, np.diagonal(r.innovation_cov, axis1=-2, axis2=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            square = np.square(v) / F
        known = square[np.isfinite(square)]
        if not known.size:
            continue
        scale = float(np.median(known) / 0.4549) if both else 1.0  # robust against the first steps of a vague start
        if scale > 0:
            out.append(np.concatenate([Q.start(factor * scale), R.start(scale)]))
    bounds = np.array([*Q.bounds, *R.bounds], dtype=np.float64)
    lower, upper = (
        np.where(np.isnan(side), fill, side) for side, fill in zip(bounds.T, (-np.inf, np.inf), strict=True)
    )
    return [np.clip(theta, lower, upper) for theta in out]


def _even(model: StateSpace) -> float:
    """The factor for Q by which n steps of its noise show in z as much as R does."""
    A, H = model.A, model.H
    A, H = (part.reshape(-1, *part.shape[-2:])[0].astype(np.float64) for part in (A, H))
    W, step = np.zeros_like(model.Q, dtype=np.float64), model.Q.astype(np.float64)
    for _ in range(model.dims.n):
        W, step = W + step, A @ step @ A.T
    shown = float(np.trace(H @ W @ H.T))
    return float(np.trace(model.R)) / shown if shown > 0 and np.trace(model.R) > 0 else 1.0


def _identifiable(
    model: StateSpace, blocks: tuple[NoiseBlock, NoiseBlock], lags: int
) -> tuple[int | None, tuple[str, ...]]:
    """How many combinations of the free entries any data can tell, and the others in words."""
    try:
        at = model.replace(
            Q=_tune_correlation._positive(model.Q, blocks[0].base),
            R=_tune_correlation._positive(model.R, blocks[1].base),
            S=None,
        )
        found = _tune_correlation.regression(at, blocks, max(lags, 2 * model.dims.n))
    except KelmanError:
        return None, ()
    rank, rows = _tune_correlation.hidden_directions(found)
    names = [*blocks[0].names, *blocks[1].names]
    units = np.concatenate([b.coordinate_units for b in blocks])
    return rank, tuple(_in_words(row * units, names) for row in rows)


def _in_words(direction: Array, names: list[str]) -> str:
    top = direction[np.argmax(np.abs(direction))]
    share = direction / (top or 1.0)
    parts = [f"{name} by {value:.2g}" for value, name in zip(share, names, strict=True) if abs(value) > 1e-3]
    return ", ".join(parts)


def _vanished(model: StateSpace) -> list[str]:
    out = []
    for name, what in (("Q", "no noise in this state"), ("R", "no noise in this value")):
        variance = np.diagonal(getattr(model, name))
        small = (variance > 0) & (variance < _GONE * variance.max(initial=0.0))
        out += [f"{name}[{i},{i}] went to zero: the data ask for {what}" for i in np.flatnonzero(small)]
    return out
