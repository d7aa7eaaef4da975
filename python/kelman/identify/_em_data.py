# SPDX-License-Identifier: BSD-3-Clause
"""The data of an EM fit, and what they say about a model: the E-step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman._arrays import FLOAT64
from kelman.errors import KelmanError
from kelman.linear._moments import moments
from kelman.linear._series import read_u, read_z

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.identify._em_wiring import Wiring

_BLOCK = 4096
_STATUS = {1: "a covariance is not positive definite", 2: "an impossible measurement", 3: "a number is not finite"}


class Data:
    """Series with what is counted once: F fits, one for all series or one for each.

    Parameters
    ----------
    z, u : array_like
        As in `kelman.filter`.
    m, p : int
        Number of measured values, and of inputs (0: the model has none).
    shared : bool
        One model for all series.
    """

    def __init__(self, z: Any, u: Any, m: int, p: int, shared: bool) -> None:
        series = read_z(z, m)
        self.z, self.shared = series.z.astype(np.float64, copy=False), shared
        self.N, self.T = series.z.shape[:2]
        self.u = read_u(u, p, N=self.N, T=self.T, dtype=FLOAT64, lengths=series.lengths, batched=series.batched)
        self.lengths = np.full(self.N, self.T) if series.lengths is None else np.asarray(series.lengths)
        self.ragged = series.lengths is not None
        counts = np.zeros((self.N, 2))
        components, squares = np.zeros((self.N, m)), np.zeros((self.N, m))
        for first in range(0, self.N, _BLOCK):  # no array of the size of z
            some = slice(first, first + _BLOCK)
            seen = ~np.isnan(self.z[some])
            full = seen.sum(axis=2)
            counts[some, 0], counts[some, 1] = (full > 0).sum(axis=1), ((full > 0) & (full < m)).sum(axis=1)
            components[some] = seen.sum(axis=1)
            known = np.where(seen, self.z[some], 0.0)
            squares[some] = np.einsum("ntj,ntj->nj", known, known)
        self.partial = bool(counts[:, 1].any())
        self._by_series = {
            "steps": self.lengths.astype(float),
            "measured": counts[:, 0],
            "components": components,
            "squares": squares,
        }

    @property
    def fits(self) -> int:
        """Number of models to be fitted."""
        return 1 if self.shared else self.N

    def total(self, name: str, which: Array) -> Array:
        """Return a count of the chosen fits: steps (F,), measured (F,), components (F, m), squares (F, m)."""
        counts = self._by_series[name]
        return np.asarray(counts.sum(axis=0, keepdims=True) if self.shared else counts[which])

    def series(self, which: Array) -> tuple[Any, Any]:
        """Return z and u of the chosen fits."""
        every = self.shared or len(which) == self.N
        if every and not self.ragged:
            return self.z, self.u
        which = np.arange(self.N) if every else which
        if not self.ragged:
            return self.z[which], None if self.u is None else self.u[which]
        longest = int(self.lengths[which].max())
        z = [self.z[i, : self.lengths[i]] for i in which]
        return z, None if self.u is None else self.u[which, :longest]


@dataclass(frozen=True, eq=False)
class Expectation:
    """What the data say at theta (F, K).

    loglik (F,), -inf where the model failed, with `trouble`; `by_entry`: (F, entries) of each array that
    parameters enter; sums (F, sets, q, q) about `reference` (F, n), see `kelman.linear._moments`.
    """

    wiring: Wiring
    theta: Array
    loglik: Array
    by_entry: dict[str, Array]
    sums: Array | None
    reference: Array
    trouble: tuple[str, ...]

    @cached_property
    def gradient(self) -> Array:
        """Derivative by the parameters, (F, K)."""
        return self.wiring.by_parameter(self.by_entry, len(self.theta))

    def where(self, chosen: Array, other: Expectation) -> Expectation:
        """Take the chosen fits from `other`, the rest from here."""

        def pick(mine: Array, theirs: Array) -> Array:
            return np.where(chosen.reshape(-1, *(1,) * (mine.ndim - 1)), theirs, mine)

        sums = None if self.sums is None or other.sums is None else pick(self.sums, other.sums)
        trouble = tuple(b if c else a for a, b, c in zip(self.trouble, other.trouble, chosen, strict=True))
        return Expectation(
            self.wiring,
            pick(self.theta, other.theta),
            pick(self.loglik, other.loglik),
            {name: pick(value, other.by_entry[name]) for name, value in self.by_entry.items()},
            sums,
            pick(self.reference, other.reference),
            trouble,
        )

    def take(self, index: Array) -> Expectation:
        """Return some of the fits."""
        if len(index) == len(self.theta) and (index == np.arange(len(index))).all():
            return self
        return Expectation(
            self.wiring,
            self.theta[index],
            self.loglik[index],
            {name: value[index] for name, value in self.by_entry.items()},
            None if self.sums is None else self.sums[index],
            self.reference[index],
            tuple(self.trouble[i] for i in index),
        )

    def put(self, index: Array, part: Expectation) -> Expectation:
        """Return this with some of the fits replaced."""
        if not len(index):
            return self
        if len(index) == len(self.theta) and (index == np.arange(len(index))).all():
            return part
        chosen = np.zeros(len(self.theta), dtype=bool)
        chosen[index] = True
        spread = np.zeros(len(self.theta), dtype=int)
        spread[index] = np.arange(len(index))
        return self.where(chosen, part.take(spread))


@dataclass(frozen=True, eq=False)
class Expecter:
    """Runs the E-step of a template on data."""

    wiring: Wiring
    data: Data
    second: bool
    components: bool
    threads: int | None

    def __call__(self, theta: Array, reference: Array, which: Array) -> Expectation:
        """Return the expectation at theta (F, K) for the fits `which` (F,)."""
        try:
            with np.errstate(all="ignore"):
                return self._at(theta, reference, which)
        except KelmanError as error:
            if len(theta) == 1:
                return self._failed(theta, reference, str(error))
        whole = self._failed(theta, reference, "")
        for i in range(len(theta)):
            one = np.array([i])
            whole = whole.put(one, self(theta[one], reference[one], which[one]))
        return whole

    def _failed(self, theta: Array, reference: Array, why: str) -> Expectation:
        F, n = len(theta), reference.shape[1]
        q, m = n + self.wiring.template.dims.p + 1, self.wiring.template.dims.m
        sets = 3 + m if self.components else 3
        return Expectation(
            self.wiring,
            theta,
            np.full(F, -np.inf),
            {name: np.zeros((F, field.constant.size)) for name, field in self.wiring.fields.items()},
            np.zeros((F, sets, q, q)) if self.second else None,
            reference,
            (why,) * F,
        )

    def _at(self, theta: Array, reference: Array, which: Array) -> Expectation:
        F, shared = len(theta), self.data.shared
        z, u = self.data.series(which)
        found = moments(
            self.wiring.model(theta, shared),
            z,
            u,
            summed=shared,
            reference=reference,
            components=self.components,
            second=self.second,
            threads=self.threads,
        )
        by_entry = self.wiring.by_entry(found.gradient, F)
        loglik = found.loglik.sum(keepdims=True) if shared else found.loglik
        bad = found.status.any(keepdims=True) if shared else found.status != 0
        bad = bad | ~np.isfinite(loglik)
        for value in by_entry.values():
            bad = bad | ~np.isfinite(value.sum(axis=1))
        trouble: list[str] = [""] * F
        if bad.any():
            for i in np.flatnonzero(bad):
                at = int(np.flatnonzero(found.status)[0]) if shared and found.status.any() else int(i)
                word = _STATUS.get(int(found.status[at]), "a number is not finite")
                place = f" at step {int(found.failed_at[at])}" if found.failed_at[at] >= 0 else ""
                trouble[i] = f"{word} in series {at if shared else int(which[i])}{place}"
            loglik = np.where(bad, -np.inf, loglik)
            by_entry = {name: np.where(bad[:, None], 0.0, value) for name, value in by_entry.items()}
        sums = found.sums
        if sums is not None and bad.any():
            sums = np.where(bad[:, None, None, None], 0.0, sums)
        return Expectation(self.wiring, theta, loglik, by_entry, sums, reference, tuple(trouble))
