# SPDX-License-Identifier: BSD-3-Clause
"""Linear parts of a nonlinear Elman network: at its free-running fixed point, or averaged along data.

With a = U h + W x + b, the driven map h' = s(a) has the Jacobian F = diag(s'(a)) U, and the free-running map, in which the network is
fed its own prediction z = s_y(V h + c), has A = diag(s'(a)) (U + W_z diag(s_y') V): the analogues of A - K H and of A. They must not
be mixed up (Sussillo & Barak 2013 study either, on different problems). A linear skip path A h + B x adds A to the one and
A + B_z diag(s_y') V to the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kelman.bridge._inputs import input_list
from kelman.bridge._plain import plain
from kelman.errors import KelmanError
from kelman.models import ACTIVATIONS, Elman

if TYPE_CHECKING:
    from kelman.bridge._data import FloatArray
    from kelman.bridge._layout import Layout

__all__: list[str] = []


def linearised(rnn: Elman, layout: Layout, zs: list[FloatArray], us: list[FloatArray], kind: str) -> Elman:
    """Linear network with the Jacobians of ``kind`` ("jacobian" or "average_jacobian") as weights."""
    rnn = plain(rnn)
    if layout.target == "state":
        raise KelmanError("target: a Jacobian read-out needs a network that predicts z, not states")
    if kind == "jacobian":
        h, x = _fixed_point(rnn, layout, us)
        slope_h, slope_y = _slopes(rnn, h[None], x[None])
        level_h, level_y = slope_h[0], slope_y[0]
    else:
        from kelman.rnn import forward

        rows = input_list(rnn, layout, zs, us)
        h_slopes, y_slopes = [], []
        for row in rows:
            states = np.asarray(forward(rnn.replace(h0=_one_start(rnn)), row.astype(rnn.dtype)).h, dtype=np.float64)
            before = np.concatenate([_start(rnn)[None], states[:-1]])
            a, b = _slopes(rnn, before, row)
            h_slopes.append(a[min(len(a) // 4, 100) :])
            y_slopes.append(b[min(len(b) // 4, 100) :])
        level_h = np.concatenate(h_slopes).mean(axis=0)
        level_y = np.concatenate(y_slopes).mean(axis=0)
    U, W, V = (np.asarray(getattr(rnn, name), dtype=np.float64) for name in ("U", "W", "V"))
    skip_h, skip_x = _skips(rnn)
    direct = None if rnn.D is None else level_y[:, None] * rnn.D
    return Elman(
        skip_h + level_h[:, None] * U,
        skip_x + level_h[:, None] * W,
        None,
        level_y[:, None] * V,
        None,
        hidden="identity",
        D=direct,
        inputs=layout.words,
        target=layout.target,
    )


def _skips(rnn: Elman) -> tuple[FloatArray, FloatArray]:
    """The linear skip path, zeros where there is none."""
    A = np.zeros(rnn.U.shape) if rnn.A is None else np.asarray(rnn.A, dtype=np.float64)
    return A, np.zeros(rnn.W.shape) if rnn.B is None else np.asarray(rnn.B, dtype=np.float64)


def _one_start(rnn: Elman) -> FloatArray:
    return _start(rnn).astype(rnn.dtype)


def _start(rnn: Elman) -> FloatArray:
    """One start: h0, the mean of the starts, or zero."""
    if rnn.h0 is None:
        return np.zeros(rnn.dims.hidden)
    h0 = np.asarray(rnn.h0, dtype=np.float64)
    return h0 if h0.ndim == 1 else h0.mean(axis=0)


def _slopes(rnn: Elman, before: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """s_h'(a_k) and s_y'(o_k) along states ``before`` (T, h) and inputs x (T, i)."""
    hidden, output = ACTIVATIONS[rnn.hidden], ACTIVATIONS[rnn.output]
    a = before @ rnn.U.T.astype(np.float64) + x @ rnn.W.T + rnn.b
    skip_h, skip_x = _skips(rnn)
    after = hidden.function(a) + before @ skip_h.T + x @ skip_x.T
    o = after @ rnn.V.T + rnn.c + (0.0 if rnn.D is None else x @ rnn.D.T)
    return hidden.derivative(a), output.derivative(o)


def _fixed_point(rnn: Elman, layout: Layout, us: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Fixed point of the free-running map with the mean input, by Newton from the end of a free run; with its network input."""
    if rnn.D is not None and (layout.part(rnn.D, "z").any() or layout.part(rnn.D, "z_prev").any()):
        raise KelmanError('rnn: a fixed point with a direct term on z is not supported; use method="behaviour"')
    hidden, output = ACTIVATIONS[rnn.hidden], ACTIVATIONS[rnn.output]
    u_mean = np.concatenate(us).mean(axis=0)
    skip_h, skip_x = _skips(rnn)

    def drive(h: FloatArray) -> FloatArray:
        u_part = np.zeros(layout.width)
        u_part[layout.columns["u"]] = u_mean[: len(layout.columns["u"])]
        u_part[layout.columns["u_prev"]] = u_mean[: len(layout.columns["u_prev"])]
        direct = 0.0 if rnn.D is None else rnn.D @ u_part
        z = output.function(rnn.V @ h + rnn.c + direct)
        u_part[layout.columns["z"]] = z[: len(layout.columns["z"])]
        u_part[layout.columns["z_prev"]] = z[: len(layout.columns["z_prev"])]
        return u_part

    def step(h: FloatArray) -> FloatArray:
        x = drive(h)
        new: FloatArray = hidden.function(rnn.U @ h + rnn.W @ x + rnn.b) + skip_h @ h + skip_x @ x
        return new

    h = _start(rnn)
    for _ in range(200):
        h = step(h)
        if not np.isfinite(h).all() or np.abs(h).max() > 1e12:
            h = _start(rnn)
            break
    Wz, Bz = (layout.part(weights, "z") + layout.part(weights, "z_prev") for weights in (rnn.W, skip_x))
    for _ in range(100):
        x = drive(h)
        gap = step(h) - h
        if np.abs(gap).max() <= 1e-12 * max(1.0, float(np.abs(h).max())):
            break
        slope_h, slope_y = _slopes(rnn, h[None], x[None])
        out = slope_y[0][:, None] * rnn.V
        J = slope_h[0][:, None] * (rnn.U + Wz @ out) + skip_h + Bz @ out - np.eye(len(h))
        move = np.linalg.lstsq(J, -gap, rcond=1e-12)[0]
        h = h + move * min(1.0, 10.0 / max(float(np.abs(move).max()), 1e-300))
    return h, drive(h)
