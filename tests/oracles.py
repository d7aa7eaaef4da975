"""Obviously right answers, written for clarity and not for speed.

- `Dense`: one joint Gaussian of every state and every measurement, conditioned by plain linear algebra. Any time
  variation, per-series matrices, inputs with either lag, offsets, correlated noise, gaps by component, exactly diffuse
  starts and singular Q or R. The same lines run in double, extended ("longdouble") or mpmath numbers.
- `textbook_filter`: the predict/update loop as it is printed in textbooks.
- `elman_forward`, `elman_loss`, `elman_gradient` (from `elman_oracle`): the network in NumPy, gradients by complex step.

How the diffuse part is treated.  Start: x = mean + V delta + ..., delta ~ N(0, kappa I), kappa -> infinity, so delta has
a flat prior. With e = z - E z = X delta + noise, X = U Rr (U orthonormal), the rows N of the orthogonal complement of U
are free of delta: N'e is an ordinary Gaussian vector; U'e then fixes delta (least norm where it is not determined).
Log-likelihood, without the 2-pi of the diffuse elements (the KFAS convention; N observed, r = rank X):
    -1/2 [(N - r) log 2 pi + log|N'S N| + log|Rr Rr'| + (N'e)' (N'S N)^-1 (N'e)]
which is -1/2 [(N - r) log 2 pi + log|S| + log|X'S^-1 X| + quadratic form] and also makes sense where S is singular.

How singular covariances are treated.  The observed components are visited in order (time, then component); one whose
variance given the earlier ones is below `SUPPORT` of its own variance is predicted exactly: it is left out when it
agrees with the prediction, and makes the log-likelihood -inf when it does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.arithmetic import Numbers
from tests.elman_oracle import activate, elman_forward, elman_gradient, elman_loss

__all__ = [
    "Dense",
    "Numbers",
    "Posterior",
    "Start",
    "activate",
    "elman_forward",
    "elman_gradient",
    "elman_loss",
    "matrices",
    "start_of",
    "textbook_filter",
]

SUPPORT = 1e-9  # relative variance below which a component counts as predicted exactly
UNCLEAR = (
    1e-14,
    1e-7,
)  # relative variances that double precision cannot tell from zero: such a problem has no condition
AGREE = 1e-6  # relative disagreement (in standard deviations of the component) that such a component may show

# ------------------------------------------------------------------------------------------- one series of a model


def _pick(value: Any, rank: int, series: int, k: int) -> np.ndarray:
    """Entry (series, k) of a model matrix given in one of its four layouts."""
    value = np.asarray(value)
    if value.ndim == rank + 2:
        value = value[series if len(value) > 1 else 0]
    if value.ndim == rank + 1:
        value = value[k if len(value) > 1 else 0]
    return value


def matrices(model: Any, k: int, series: int = 0, numbers: Numbers | None = None) -> SimpleNamespace:
    """A H Q R B D b c S of one series at one time, with zeros for those that the model has not."""
    numbers = numbers or Numbers("float64")
    n, m, p = model.dims.n, model.dims.m, model.dims.p
    shapes = {"A": (n, n), "H": (m, n), "Q": (n, n), "R": (m, m), "B": (n, p), "D": (m, p), "b": (n,), "c": (m,)}
    shapes["S"] = (n, m)
    out = {}
    for name, shape in shapes.items():
        value = getattr(model, name)
        value = np.zeros(shape) if value is None else _pick(value, len(shape), series, k)
        out[name] = numbers.array(value)
    return SimpleNamespace(**out)


@dataclass(frozen=True)
class Start:
    """x_1 (kind "x1") or x_0 (kind "x0") ~ N(mean, cov) + factor delta, delta exactly diffuse."""

    kind: str
    mean: np.ndarray
    cov: np.ndarray
    factor: np.ndarray


def start_of(model: Any, series: int = 0, u: np.ndarray | None = None) -> Start:
    """The start of one series, with "stationary", "diffuse" and "auto" worked out by eigenvectors (simple ones)."""
    n = model.dims.n

    def own(value: Any, rank: int) -> np.ndarray:
        if value is None:
            return np.zeros((n,) * rank)
        value = np.asarray(value, dtype=float)
        return value if value.ndim == rank else value[series if len(value) > 1 else 0]

    if model.initial == "x0":
        return Start("x0", own(model.m0, 1), own(model.P0, 2), np.zeros((n, 0)))
    if model.initial == "x1":
        values, vectors = np.linalg.eigh(own(model.P1_inf, 2))
        big = values > 1e-12 * max(values.max(), 1e-300)
        return Start("x1", own(model.m1, 1), own(model.P1, 2), vectors[:, big] * np.sqrt(values[big]))
    if model.initial == "diffuse":
        return Start("x1", np.zeros(n), np.zeros((n, n)), np.eye(n))
    one = matrices(model, 0, series)
    values, right = np.linalg.eig(one.A)
    left = np.linalg.inv(right)
    stable = np.abs(values) < 1 - 1e-8
    drift = np.where(stable, left @ one.b, 0) / np.where(stable, 1 - values, 1)
    mean = (right @ drift).real
    if u is not None and model.input_lag == 0:
        mean = mean + one.B @ u[0]
    noise = left @ one.Q @ left.conj().T
    both = np.outer(stable, stable)
    cov = right @ (np.where(both, noise, 0) / np.where(both, 1 - np.outer(values, values.conj()), 1)) @ right.conj().T
    rest = right[:, ~stable]
    spanned = np.linalg.svd(np.hstack([rest.real, rest.imag]))[0][:, : rest.shape[1]]
    return Start("x1", mean, (cov.real + cov.real.T) / 2, spanned)


# --------------------------------------------------------------------------------------------- the joint Gaussian


@dataclass(frozen=True)
class Posterior:
    """Moments of chosen rows given the data, `loglik` in their arithmetic; `diffuse` holds what is still undetermined (columns of a factor)."""

    mean: np.ndarray
    cov: np.ndarray
    diffuse: np.ndarray
    loglik: Any
    rank: int
    condition: float


class Dense:
    """The joint Gaussian of x_0, x_1..x_T and z_1..z_T for one series of a model; then condition on what was seen.

    Parameters
    ----------
    model : kelman.StateSpace
    z : array, shape (T, m), NaN where missing
    u : array, shape (T + steps, p), or None
    series : which series of a per-series model
    steps : how many times beyond T to carry the joint
    numbers : the arithmetic
    support : relative variance below which a component counts as predicted exactly
    u_before : array, shape (p,), the input before the first (matters with input_lag 1 and an x_0 start)
    """

    def __init__(
        self,
        model: Any,
        z: Any,
        u: Any = None,
        *,
        series: int = 0,
        steps: int = 0,
        numbers: Numbers | None = None,
        support: float = SUPPORT,
        u_before: Any = None,
    ) -> None:
        self.support = support
        self.np = num = numbers or Numbers()
        self.z = np.asarray(z, dtype=float).reshape(len(z), -1)
        self.T, self.total = len(self.z), len(self.z) + steps
        self.n, self.m = n, m = model.dims.n, model.dims.m
        start = start_of(model, series, None if u is None else np.asarray(u))
        self.kind = start.kind
        u = np.zeros((self.total, model.dims.p)) if u is None else np.asarray(u, dtype=float)
        before = np.zeros((1, model.dims.p)) if u_before is None else np.asarray(u_before, dtype=float)[None]
        driving = u if model.input_lag == 0 else np.concatenate([before, u])
        # sources of randomness g: start deviation, w_{0} into x_1, then (w_k, v_k) for each k
        width = 2 * n + self.total * (n + m)
        G = num.zeros(width, width)
        G[:n, :n] = num.array(start.cov)
        mats = [matrices(model, k, series, num) for k in range(self.total)]
        G[n : 2 * n, n : 2 * n] = mats[0].Q
        for k, at in enumerate(mats):
            w = slice(2 * n + k * (n + m), 2 * n + k * (n + m) + n)
            v = slice(w.stop, w.stop + m)
            G[w, w], G[v, v], G[w, v], G[v, w] = at.Q, at.R, at.S, at.S.T
        unit = num.eye(width)
        x, L, X = num.array(start.mean), unit[:n], num.array(start.factor)
        rows = [(x, L, X)]  # x_0 (for an x_1 start: a copy of x_1, never asked for)
        seen = []
        self.reach = 0.0  # what the diffuse part of a measurement would be if nothing cancelled in H X
        for k, at in enumerate(mats):
            if k > 0 or start.kind == "x0":
                w = n if k == 0 else 2 * n + (k - 1) * (n + m)
                x = at.A @ x + at.B @ num.array(driving[k]) + at.b
                L, X = at.A @ L + unit[w : w + n], at.A @ X
            rows.append((x, L, X))
            v = 2 * n + k * (n + m) + n
            D_u = at.D @ num.array(u[k])
            seen.append((at.H @ x + D_u + at.c, at.H @ L + unit[v : v + m], at.H @ X))
            size = np.linalg.norm(at.H.astype(float)) * np.linalg.norm(X.astype(float))
            self.reach = max(self.reach, size if k < self.T else 0.0)
        rows += seen
        L = np.concatenate([r[1] for r in rows])
        self.mean, self.diffuse = np.concatenate([r[0] for r in rows]), np.concatenate([r[2] for r in rows])
        self.cov = L @ G @ L.T
        self.R = [at.R for at in mats[: self.T]]

    def x(self, k: int) -> np.ndarray:
        """Rows of the state at time k (0-based; -1 is the state before the first measurement)."""
        return np.arange((k + 1) * self.n, (k + 2) * self.n)

    def measured(self, k: int) -> np.ndarray:
        """Rows of the measurement at time k."""
        return (self.total + 1) * self.n + np.arange(k * self.m, (k + 1) * self.m)

    def _support(self, rows: np.ndarray, e: np.ndarray) -> tuple[np.ndarray, bool, bool]:
        """Rows not predicted exactly by earlier ones; whether those left out agree; whether the choice was clear."""
        X = self.diffuse[rows]
        work = self.cov[np.ix_(rows, rows)] + X @ X.T
        size, e = np.diag(work).copy(), e.copy()
        kept, agree, clear = [], True, True
        for j in range(len(rows)):
            clear = clear and not UNCLEAR[0] < float(work[j, j]) / max(float(size[j]), 1e-300) < UNCLEAR[1]
            if float(size[j]) == 0 or float(work[j, j]) <= self.support * float(size[j]):
                scale = float(self.np.sqrt(size[j])) + abs(float(self.mean[rows[j]])) + 1e-12
                agree = agree and abs(float(e[j])) <= AGREE * scale
                continue
            kept.append(j)
            gain = work[j + 1 :, j] / work[j, j]
            e[j + 1 :] -= gain * e[j]
            work[j + 1 :, j + 1 :] -= np.outer(gain, work[j, j + 1 :])
        return np.array(kept, dtype=int), agree, clear

    def given(self, upto: int, targets: np.ndarray, also: int = 0) -> Posterior:
        """Condition on z of times < `upto` (and the first `also` components at `upto`)."""
        num, pairs = self.np, []
        for k in range(min(upto + 1, self.T)):
            count = self.m if k < upto else also
            pairs += [(self.measured(k)[i], self.z[k, i]) for i in range(count) if not np.isnan(self.z[k, i])]
        rows = np.array([p[0] for p in pairs], dtype=int)
        e = num.array(np.array([p[1] for p in pairs], dtype=float)) - self.mean[rows]
        index, agree, clear = self._support(rows, e)
        rows, e = rows[index], e[index]
        X = self.diffuse[rows]
        U = num.range_basis(X)
        N = num.range_basis(np.hstack([U, num.eye(len(rows))]))[:, U.shape[1] :]
        Rr = U.T @ X
        pinv = Rr.T @ num.solve(Rr @ Rr.T, U.T) if U.shape[1] else num.zeros(X.shape[1], len(rows))
        fix = self.diffuse[targets] @ pinv
        S = self.cov[np.ix_(rows, rows)]
        cross, own = self.cov[np.ix_(targets, rows)], self.cov[np.ix_(targets, targets)]
        mean = self.mean[targets] + fix @ e
        cov = own - fix @ cross.T - cross @ fix.T + fix @ S @ fix.T
        crossN, SN, eN = (cross - fix @ S) @ N, N.T @ S @ N, N.T @ e
        loglik, condition = num.array(0.0)[()], 1.0 if clear or self.support < SUPPORT else np.inf
        if N.shape[1]:
            solved = num.solve(SN, np.hstack([crossN.T, eN[:, None]]))
            mean = mean + crossN @ solved[:, -1]
            cov = cov - crossN @ solved[:, :-1]
            loglik = num.logdet(SN) + eN @ solved[:, -1] + N.shape[1] * num.log(2 * num.pi)
            condition = max(condition, float(np.linalg.cond(SN.astype(float))))
        if U.shape[1]:
            loglik = loglik + num.logdet(Rr @ Rr.T)
            condition = max(condition, float(np.linalg.cond((X if len(U.T) == len(X.T) else Rr).astype(float))))
        left = self.diffuse[targets] @ (num.eye(X.shape[1]) - pinv @ X)
        return Posterior(mean, cov, left, -loglik / 2 if agree else -np.inf, U.shape[1], condition)

    def _moments(self, targets: Any, data: Any) -> tuple[np.ndarray, np.ndarray]:
        posts = [self.given(data(k), targets(k)) for k in range(self.T)]
        return np.array([p.mean for p in posts], dtype=float), np.array([p.cov for p in posts], dtype=float)

    def filtered(self) -> tuple[np.ndarray, np.ndarray]:
        """E[x_k | z_1..z_k] (T, n) and its covariance (T, n, n): the finite part while the start is diffuse."""
        return self._moments(self.x, lambda k: k + 1)

    def predicted(self) -> tuple[np.ndarray, np.ndarray]:
        """E[x_k | z_1..z_{k-1}] and its covariance."""
        return self._moments(self.x, lambda k: k)

    def measurement(self) -> tuple[np.ndarray, np.ndarray]:
        """E[z_k | z_1..z_{k-1}] and its covariance (the innovation covariance), gaps or not."""
        return self._moments(self.measured, lambda k: k)

    def smoothed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """E[x_k | all], its covariance, and Cov(x_k, x_{k-1} | all) (entry 0 NaN without an x_0)."""
        targets = np.arange((self.T + 1) * self.n)
        post = self.given(self.T, targets)
        mean = post.mean.reshape(-1, self.n).astype(float)
        cov = post.cov.reshape(self.T + 1, self.n, self.T + 1, self.n).astype(float)
        lag = np.array([cov[k + 1, :, k, :] for k in range(self.T)])
        if self.kind == "x1":
            lag[0] = np.nan
        return mean[1:], np.array([cov[k, :, k, :] for k in range(1, self.T + 1)]), lag

    def loglik(self) -> float:
        """log p(z_1..z_T), KFAS convention."""
        return float(self.given(self.T, self.x(0)[:0]).loglik)

    def loglik_obs(self) -> np.ndarray:
        """log p(z_k | z_1..z_{k-1}) for each k: differences of the cumulated ones."""
        total = np.array([float(self.given(k, self.x(0)[:0]).loglik) for k in range(self.T + 1)])
        return np.diff(total)

    def forecast(self) -> dict[str, np.ndarray]:
        """Moments of z and x at the `steps` times after T: mean, cov, state_mean, state_cov."""
        times = range(self.T, self.total)
        z = [self.given(self.T, self.measured(k)) for k in times]
        x = [self.given(self.T, self.x(k)) for k in times]
        names = {"mean": [p.mean for p in z], "cov": [p.cov for p in z]}
        names |= {"state_mean": [p.mean for p in x], "state_cov": [p.cov for p in x]}
        return {name: np.array(value, dtype=float) for name, value in names.items()}

    def undetermined(self, upto: int, k: int) -> float:
        """Size of what is still diffuse in x_k after the data of times < upto (0: the start is forgotten)."""
        left = self.given(upto, self.x(k)).diffuse.astype(float)
        return float(np.abs(left).max(initial=0.0))

    def determined(self) -> int:
        """How many diffuse directions the data determine."""
        return self.given(self.T, self.x(0)[:0]).rank

    def condition(self) -> float:
        """Condition number of the dense problem: the largest of N'S N, of X, and of X'S^-1 X for any first k steps.

        For X also against |H| |x|, which tells how far the diffuse directions cancel in what is measured.
        Times the square of the largest multiplier that decorrelates R in the order of the components.
        """
        worst = self.given(self.T, self.x(0)[:0]).condition
        for k in range(1, self.T + 1 if self.diffuse.shape[1] else 0):
            rows = np.concatenate([self.measured(j)[~np.isnan(self.z[j])] for j in range(k)])
            S, X = self.cov[np.ix_(rows, rows)].astype(float), self.diffuse[rows].astype(float)
            size = np.linalg.svd(X.T @ np.linalg.pinv(S, rcond=1e-12) @ X, compute_uv=False)
            size = size[size > 1e-12 * size.max(initial=0.0)]
            worst = max(worst, size.max() / size.min()) if len(size) else worst
            seen = np.linalg.svd(X, compute_uv=False)
            seen = seen[seen > 1e-12 * self.reach]
            worst = max(worst, (self.reach / seen.min()) ** 2) if len(seen) else worst
        return worst * max([1.0, *(self._multiplier(R) ** 2 for R in self.R)])

    def _multiplier(self, R: np.ndarray) -> float:
        """Largest entry of the unit lower triangle that makes R diagonal."""
        work, largest = R.astype(float), 1.0
        for j in range(len(work)):
            if work[j, j] > 1e-12 * R[j, j]:
                gain = work[j + 1 :, j] / work[j, j]
                largest = max(largest, np.abs(gain).max(initial=0.0))
                work[j + 1 :, j + 1 :] -= np.outer(gain, work[j, j + 1 :])
        return largest


# ------------------------------------------------------------------------------------------------- textbook loop


def textbook_filter(model: Any, z: Any, u: Any = None, *, series: int = 0) -> SimpleNamespace:
    """The Kalman filter as in textbooks (no S, no diffuse start): mean, cov, predicted_*, innovation, loglik."""
    z = np.asarray(z, dtype=float).reshape(len(z), -1)
    u = np.zeros((len(z), model.dims.p)) if u is None else np.asarray(u, dtype=float)
    driving = u if model.input_lag == 0 else np.concatenate([np.zeros((1, u.shape[1])), u])
    start = start_of(model, series, u)
    x, P, loglik = start.mean, start.cov, 0.0
    out: dict[str, list[np.ndarray]] = {"mean": [], "cov": [], "predicted_mean": [], "predicted_cov": []}
    for k, z_k in enumerate(z):
        at = matrices(model, k, series)
        if k > 0 or start.kind == "x0":
            Q = matrices(model, max(k - 1, 0), series).Q
            x = at.A @ x + at.B @ driving[k] + at.b
            P = at.A @ P @ at.A.T + Q
        out["predicted_mean"].append(x)
        out["predicted_cov"].append(P)
        seen = ~np.isnan(z_k)
        if seen.any():
            H = at.H[seen]
            e = z_k[seen] - (at.H @ x + at.D @ u[k] + at.c)[seen]
            Sigma = H @ P @ H.T + at.R[np.ix_(seen, seen)]
            gain = np.linalg.solve(Sigma, H @ P).T
            x = x + gain @ e
            P = P - gain @ Sigma @ gain.T
            P = (P + P.T) / 2
            loglik -= 0.5 * (
                seen.sum() * np.log(2 * np.pi) + np.linalg.slogdet(Sigma)[1] + e @ np.linalg.solve(Sigma, e)
            )
        out["mean"].append(x)
        out["cov"].append(P)
    return SimpleNamespace(**{name: np.array(value) for name, value in out.items()}, loglik=float(loglik))
