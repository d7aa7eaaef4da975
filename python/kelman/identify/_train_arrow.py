# SPDX-License-Identifier: BSD-3-Clause
"""Normal equations of weights together with a chain of states, each of which meets its neighbours and the weights alone.

        [ H   B_1'  B_2' ... ]           H (P,P): the weights; A_k (m,m): state k; C_k (m,m): states k and k + 1;
        [ B_1 A_1   C_1      ]           B_k (m,P): state k and the weights
        [ B_2 C_1'  A_2  C_2 ]
The states are eliminated by cyclic reduction: every second one at once, then every second one of those left, so that the
cost is that of their number times m P^2, and no larger matrix than H is made. The B_k come in runs of states, as long as
memory allows; the last state of a run is carried into the next.
References: Golub and Van Loan, Matrix Computations, 4.5; Bock and Plitt, IFAC Proc. 17 (1984) 1603 (condensing).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._types import Array

SINGULAR = 1e-9
"""Shift (of equations scaled to unit diagonal) that holds the freedom of basis where it is asked what could be gained."""


@dataclass(slots=True)
class Halved:
    """A chain without every second of its states, and what those are in terms of the others."""

    A: Array
    C: Array
    B: Array
    out: Array
    left: Array  # A_k^-1 C_{k-1}' of the states that went
    right: Array  # A_k^-1 C_k
    own: Array  # A_k^-1 B_k


def halved(A: Array, C: Array, B: Array) -> Halved:
    """Eliminate every second state of a chain A (n,m,m), C (n-1,m,m), B (n,m,q); the last one stays."""
    n, m, _ = A.shape
    out = np.arange(n % 2, n - 1, 2)
    stays = np.arange(1 - n % 2, n, 2)
    behind = out[0] > 0  # whether the first to go has a state before it
    before = np.zeros((len(out), m, m))
    before[0 if behind else 1 :] = C[out[0 if behind else 1 :] - 1]
    solved = np.linalg.solve(A[out], np.concatenate([before.transpose(0, 2, 1), C[out], B[out]], axis=2))
    left, right, own = solved[:, :, :m], solved[:, :, m : 2 * m], solved[:, :, 2 * m :]
    A_next, B_next = A[stays], B[stays]
    following = slice(1, None) if behind else slice(None)  # the states that stay after those that go
    after = C[out].transpose(0, 2, 1)
    A_next[following] -= after @ right
    B_next[following] -= after @ own
    some = slice(None) if behind else slice(1, None)
    A_next[: len(out[some])] -= before[some] @ left[some]
    B_next[: len(out[some])] -= before[some] @ own[some]
    return Halved(A_next, -before[some] @ right[some], B_next, out, left, right, own)


def chain_solution(A: Array, C: Array, b: Array) -> Array:
    """x (n,m,q) of a symmetric chain: C_{k-1}' x_{k-1} + A_k x_k + C_k x_{k+1} = b_k."""
    n = len(A)
    if n == 1:
        only: Array = np.linalg.solve(A, b)
        return only
    less = halved(A, C, b)
    x = np.empty_like(b)
    x[1 - n % 2 :: 2] = chain_solution(less.A, less.C, less.B)
    x[less.out] = less.own - less.right @ x[less.out + 1]
    back = less.out > 0
    x[less.out[back]] -= less.left[back] @ x[less.out[back] - 1]
    return x


def reduced(A: Array, C: Array, B: Array, *, whole: bool) -> tuple[Array, Array, Array]:
    """Sum of B_k' A_k^-1 B_k over the states that go, and A (1,m,m) and B (1,m,q) of the last, which goes too if `whole`."""
    q = B.shape[2]
    removed = np.zeros((q, q))
    while len(A) > 1:
        less = halved(A, C, B)
        removed += B[less.out].reshape(-1, q).T @ less.own.reshape(-1, q)
        A, C, B = less.A, less.C, less.B
    if whole:
        removed += B[0].T @ np.linalg.solve(A[0], B[0])
    return removed, A, B


@dataclass(slots=True)
class Arrow:
    """The equations at one point, with right sides g (P,) and r (n,m); `border(k)` gives B over run k of the states.

    States that are not `free` have A = 1 and nothing else. In the vector stand the weights, then the free states, by their
    first `parts`-th (h), then their second (c).
    """

    H: Array
    g: Array
    A: Array
    C: Array
    r: Array
    free: Array
    parts: int
    border: Callable[[int], Array]
    runs: list[tuple[int, int]]

    def diagonal(self) -> Array:
        """The diagonal, as a vector."""
        return np.concatenate([np.diag(self.H), self._flat(np.diagonal(self.A, axis1=1, axis2=2))])

    def step(self, shift: Array) -> Array:
        """Solve (equations + diag(shift)) step = -right side."""
        P, m = len(self.g), self.A.shape[1]
        A = self.A.copy()
        A[:, range(m), range(m)] += self._rows(shift[P:])
        H, g = self.H + np.diag(shift[:P]), self.g.copy()
        carried: tuple[Array, Array] | None = None
        for k, (first, end) in enumerate(self.runs):
            B = np.concatenate([self.border(k), self.r[first:end, :, None]], axis=2)
            own, links = A[first:end], self.C[first : end - 1]
            if carried is not None:
                own, B = (np.concatenate(pair) for pair in zip(carried, (own, B), strict=True))
                links = self.C[first - 1 : end - 1]
            removed, *last = reduced(own, links, B, whole=k == len(self.runs) - 1)
            carried = (last[0], last[1])
            H -= removed[:P, :P]
            g -= removed[:P, P]
        moved = np.linalg.solve(H, -g)
        right = self.r.copy()
        for k, (first, end) in enumerate(self.runs):
            right[first:end] += self.border(k) @ moved
        states = chain_solution(A, self.C, -right[:, :, None])[:, :, 0]
        return np.concatenate([moved, self._flat(states)])

    def gain(self, step: Array, shift: Array) -> float:
        """What a step by `step(shift)` gains, were the residuals linear."""
        right = np.concatenate([self.g, self._flat(self.r)])
        return float(shift @ step**2 - right @ step)

    def attainable(self) -> float:
        """Loss that a full step would gain."""
        diagonal = self.diagonal()
        shift = SINGULAR * np.maximum(diagonal, SINGULAR * diagonal.max())
        return self.gain(self.step(shift), shift)

    def _flat(self, rows: Array) -> Array:
        free = rows[self.free]
        size = rows.shape[1] // self.parts
        return free.reshape(len(free), self.parts, size).transpose(1, 0, 2).ravel()

    def _rows(self, flat: Array) -> Array:
        rows = np.zeros(self.r.shape)
        count, m = int(self.free.sum()), self.A.shape[1]
        rows[self.free] = flat.reshape(self.parts, count, m // self.parts).transpose(1, 0, 2).reshape(count, m)
        return rows
