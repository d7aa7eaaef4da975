# SPDX-License-Identifier: BSD-3-Clause
"""Linear maps written with one-sided activations: two units per state, exact at every amplitude.

For s = relu: s = relu(s) - relu(-s); for leaky_relu of slope a: s = [l(s) - l(-s)] / (1 + a); for softplus: s = g(s) - g(-s).
With the factor w (1 or 1 / (1 + a)):

    U' = w [[U, -U], [-U, U]],  W' = [W; -W],  b' = [b; -b],  V' = w [V, -V],  c and D kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kelman.bridge._plain import plain
from kelman.errors import KelmanError
from kelman.models import ACTIVATIONS, LEAKY_SLOPE, Elman

__all__: list[str] = []

SPLIT_FACTORS: dict[str, float] = {"relu": 1.0, "leaky_relu": 1.0 / (1.0 + LEAKY_SLOPE), "softplus": 1.0}
"""Activations whose two halves add up to a straight line, with the factor w."""


def split(rnn: Elman, hidden: str) -> Elman:
    """Rewrite a linear network with twice the units and a one-sided activation."""
    w = SPLIT_FACTORS[hidden]
    function = ACTIVATIONS[hidden].function
    U, V, h0 = w * rnn.U, w * rnn.V, rnn.h0
    return rnn.replace(
        U=np.block([[U, -U], [-U, U]]),
        W=np.vstack([rnn.W, -rnn.W]),
        b=np.concatenate([rnn.b, -rnn.b]),
        V=np.hstack([V, -V]),
        h0=None if h0 is None else np.concatenate([function(h0), function(-h0)], axis=-1),
        hidden=hidden,
    )


def fold(rnn: Elman) -> Elman:
    """Linear network that computes the same: the network itself, or an exact split folded back; else an error.

    The two halves of a split are recognised in any order of the units.
    """
    rnn = plain(rnn)
    if rnn.is_linear:
        return rnn
    if rnn.output == "identity" and rnn.hidden in SPLIT_FACTORS:
        pairs = _pairs(rnn)
        if pairs is not None:
            return _fold_pairs(rnn, *pairs)
    raise KelmanError(
        f"rnn: a network with hidden={rnn.hidden!r}, output={rnn.output!r} is no linear map (and no exact split of one); "
        "its dynamics are read by behaviour: kelman.read_dynamics(rnn, z=...)"
    )


def is_foldable(rnn: Elman) -> bool:
    """Say if the network is linear, or an exact split of a linear one."""
    return rnn.is_linear or (rnn.output == "identity" and rnn.hidden in SPLIT_FACTORS and _pairs(rnn) is not None)


def _pairs(rnn: Elman) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """Indices of the positive units and of their negatives, or None when the units do not pair up."""
    h = rnn.dims.hidden
    if h % 2 or rnn.V is None or rnn.A is not None or rnn.B is not None:
        return None
    drive = np.hstack([rnn.W, rnn.b[:, None], rnn.U]).astype(np.float64)
    read = np.asarray(rnn.V.T, dtype=np.float64)
    tol = 64 * float(np.finfo(rnn.dtype).eps)
    drive_tol, read_tol = tol * float(np.abs(drive).max()), tol * float(np.abs(read).max())
    first: list[int] = []
    second: list[int] = []
    free = list(range(h))
    while free:
        i = free.pop(0)
        gap = [
            max(np.abs(drive[i] + drive[j]).max() - drive_tol, np.abs(read[i] + read[j]).max() - read_tol) for j in free
        ]
        if not gap or min(gap) > 0:
            return None
        second.append(free.pop(int(np.argmin(gap))))
        first.append(i)
    one, two = np.array(first, dtype=np.intp), np.array(second, dtype=np.intp)
    columns = np.asarray(rnn.U, dtype=np.float64)
    return (one, two) if np.abs(columns[:, one] + columns[:, two]).max() <= drive_tol else None


def _fold_pairs(rnn: Elman, one: NDArray[Any], two: NDArray[Any]) -> Elman:
    w = SPLIT_FACTORS[rnn.hidden]
    h0 = rnn.h0
    start = None
    if h0 is not None:
        start = w * (h0[..., one] - h0[..., two])
    return rnn.replace(
        U=rnn.U[np.ix_(one, one)] / w, W=rnn.W[one], b=rnn.b[one], V=rnn.V[:, one] / w, h0=start, hidden="identity"
    )
