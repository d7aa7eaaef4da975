# SPDX-License-Identifier: BSD-3-Clause
"""Gauss-Newton normal equations of multiple shooting: weights and the starts of all segments at once.

Residuals are the errors of the outputs and the gaps g_k = end of segment k - start of segment k + 1. With D_k and E_k the
derivatives of the end of segment k by the weights and by its start, W the weight of all targets and mu the cost of gaps:
    H   = sum J'WJ / W + mu sum D_k'D_k              A_k = J_k'WJ_k / W + mu (E_k'E_k + 1)
    B_k = J_k'WJ / W + mu (E_k'D_k - D_{k-1})        C_k = -mu E_k'
The start of a series is no unknown of its own: it is given, or belongs to the weights.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ._train_arrow import Arrow

if TYPE_CHECKING:
    from .._types import Array
    from ..rnn._problem import Problem
    from ._train_shooting import Shooting

RUN = 2**26
"""Bytes of derivatives that are made at once."""

HELD = 2**29
"""Bytes of blocks B that are held; where there are more they are made anew each time."""


class Assembly:
    """The equations at one vector of weights and starts, segment by segment."""

    def __init__(self, shooting: Shooting, theta: Array) -> None:
        weights, starts = shooting.split(theta)
        s = shooting.segments
        self.weights = weights
        self.shooting, self.at = shooting, replace(shooting.placed(weights, starts), mask=s.weight)
        self.total = float(s.weight.sum())
        self.later = np.zeros(len(s.last), dtype=bool)
        self.later[s.after] = True
        self.followed = np.append(self.later[1:], False)
        self.states = np.concatenate([getattr(self.at, name) for name in starts], axis=1)
        n, m = self.states.shape
        self.root = np.sqrt(shooting.cost()) / (np.ones(m) if shooting.spread is None else shooting.spread)
        self.P, self.parts = len(weights), len(starts)
        self.inner = self.P - (m if shooting.learn_h0 else 0)
        size = max(1, RUN // (16 * m * (self.P + m)))
        self.runs = [(first, min(first + size, n)) for first in range(0, n, size)]
        self.tails: list[Array] = []
        self.held: list[Array] | None = [] if n * m * self.P * 8 <= HELD else None

    def equations(self) -> tuple[float, Arrow]:
        """The loss with the cost of the gaps, and the equations."""
        n, m = self.states.shape
        H, g, loss = np.zeros((self.P, self.P)), np.zeros(self.P), 0.0
        A, C, r = np.zeros((n, m, m)), np.zeros((n, m, m)), np.zeros((n + 1, m))
        for k, (first, end) in enumerate(self.runs):
            own, inner = slice(first, end), slice(0, self.inner)
            found = self._found(k)
            D, E = self._ends(k, found)
            later, followed = self.later[own], self.followed[own]
            gap = (
                np.where(followed[:, None], found["end"] - self.states[np.arange(first, end) + followed], 0.0)
                * self.root
            )
            loss += found["loss"] / self.total + float((gap**2).sum())
            H[inner, inner] += found["JtJ"] / self.total
            g[inner] += found["Jtr"] / self.total
            if self.inner < self.P:  # the start of the series is among the weights
                part = found["start"][~later].sum(axis=0) / self.total
                H[self.inner :] += part
                H[inner, self.inner :] += part[:, inner].T
                g[self.inner :] += found["right"][~later].sum(axis=0) / self.total
            flat = D[followed].reshape(-1, self.P)
            H += flat.T @ flat
            g += flat.T @ gap[followed].ravel()
            back = E.transpose(0, 2, 1)
            A[own] = np.where(later[:, None, None], found["start"][:, :, self.inner :] / self.total, 0.0) + back @ E
            A[own] += np.where(later[:, None, None], np.diag(self.root**2), np.eye(m))
            C[own] = -back * self.root
            r[own] += np.where(later[:, None], found["right"] / self.total, 0.0) + (back @ gap[:, :, None])[:, :, 0]
            r[first + 1 : end + 1] -= self.root * gap
            self.tails.append(D[-1])
            if self.held is not None:
                self.held.append(self._border(k, found, D, E))
        penalty, frozen = self.shooting.penalty, self.shooting.frozen
        if penalty is not None:
            loss, H, g = penalty.add_normal(self.weights, loss, H, g)
        if frozen is not None:
            H[frozen], H[:, frozen], g[frozen] = 0, 0, 0
            H[frozen, frozen] = 1
        border = self.border if self.held is None else self.held.__getitem__
        return loss, Arrow(H, g, A, C[:-1], r[:-1], self.later, self.parts, border, self.runs)

    def border(self, k: int) -> Array:
        """The blocks B of one run of segments (n, m, P), made anew."""
        found = self._found(k)
        return self._border(k, found, *self._ends(k, found))

    def _found(self, k: int) -> dict[str, Any]:
        """What the backend says of the segments of a run."""
        own = slice(*self.runs[k])
        part: Problem = self.at
        if len(self.runs) > 1:
            cut: dict[str, Any] = {name: getattr(part, name) for name in ("x", "y", "mask", "lengths", "h0", "c0")}
            cut = {name: None if value is None else value[own] for name, value in cut.items()}
            part = replace(part, **cut)
        found: dict[str, Any] = self.shooting.backend.gauss_newton_each_raw(part, self.shooting.threads)
        return found

    def _ends(self, k: int, found: dict[str, Any]) -> tuple[Array, Array]:
        """Derivatives of the ends that another segment follows, by the weights (n, m, P) and by own starts (n, m, m)."""
        own = slice(*self.runs[k])
        later, followed = self.later[own], self.followed[own, None, None]
        dots = np.where(followed, found["end_dot"], 0.0) * self.root[:, None]
        D, E = dots[:, :, : self.P], np.where(later[:, None, None], dots[:, :, self.inner :], 0.0)
        if self.inner < self.P:
            D[later, :, self.inner :] = 0
        return D, E

    def _border(self, k: int, found: dict[str, Any], D: Array, E: Array) -> Array:
        own = slice(*self.runs[k])
        B = np.zeros_like(D)
        later = self.later[own]
        B[later, :, : self.inner] = found["start"][later, :, : self.inner] / self.total
        B += E.transpose(0, 2, 1) @ D
        B[1:] -= self.root[:, None] * D[:-1]
        if k > 0:
            B[0] -= self.root[:, None] * self.tails[k - 1]
        if self.shooting.frozen is not None:
            B[:, :, self.shooting.frozen] = 0
        return B
