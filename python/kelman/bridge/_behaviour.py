# SPDX-License-Identifier: BSD-3-Clause
"""A predictor read by what it does: its own predictions on fresh data, regressed on the past of the data.

The regression is the best linear approximation of the predictor under the spectrum of the probe (Bussgang 1952; Pintelon & Schoukens,
*System Identification: A Frequency Domain Approach*, 2012, ch. 3). It needs no weights, so it reads gated cells and any callable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from kelman.bridge._inputs import input_list
from kelman.bridge._moments import Moments, moments_of
from kelman.bridge._plain import is_network, with_one_start
from kelman.errors import KelmanError
from kelman.models import Cell, Stack

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman.bridge._data import FloatArray
    from kelman.bridge._layout import Layout

__all__: list[str] = []


@dataclass(frozen=True, slots=True, eq=False)
class Behaviour:
    """Responses of a predictor, what they leave unexplained, and the scatter of the responses between probe series."""

    theta: FloatArray
    constant: FloatArray
    rest_cov: FloatArray
    output_cov: FloatArray
    scatter: FloatArray
    """Shape (series, m, columns): contribution of each series to the error of the responses."""
    moments: Moments


def predictions(
    net: Cell | Stack | Callable[..., Any], layout: Layout, zs: list[FloatArray], us: list[FloatArray]
) -> list[FloatArray]:
    """One-step predictions zhat_k of every series, aligned with z_k; the first is NaN where the network predicts ahead."""
    if is_network(net):
        from kelman.rnn import forward

        flat = with_one_start(net)
        rows = input_list(flat, layout, zs, us)
        if len({len(row) for row in rows}) == 1:
            outputs = list(forward(flat, np.stack(rows).astype(net.dtype), store="outputs").y)
        else:
            outputs = [forward(flat, row.astype(net.dtype), store="outputs").y for row in rows]
    else:
        none = np.zeros(layout.m)
        outputs = [
            _called(cast("Callable[..., Any]", net), layout.input_rows(z, u, none, np.zeros(layout.p)), layout.m)
            for z, u in zip(zs, us, strict=True)
        ]
    outputs = [np.asarray(y, dtype=np.float64) for y in outputs]
    if layout.target == "z":
        return outputs
    return [np.concatenate([np.full((1, layout.m), np.nan), y[:-1]]) for y in outputs]


def _called(function: Callable[..., Any], x: FloatArray, m: int) -> FloatArray:
    y = np.asarray(function(x), dtype=np.float64)
    if y.ndim == 1 and m == 1:
        y = y[:, None]
    if y.shape != (len(x), m):
        raise KelmanError(
            f"predictor: expected outputs of shape {(len(x), m)} for inputs of shape {x.shape}, got {y.shape}"
        )
    if not np.isfinite(y).all():
        raise KelmanError("predictor: gave outputs that are not finite")
    return y


def behaviour_of(
    net: Cell | Stack | Callable[..., Any],
    layout: Layout,
    zs: list[FloatArray],
    us: list[FloatArray],
    lags: int,
    direct: bool,
) -> Behaviour:
    """Regress a predictor's outputs on the past of its input."""
    hats = predictions(net, layout, zs, us)
    begin = 1 if layout.target == "z_next" else 0
    parts = [(z[begin:], u[begin:], y[begin:]) for z, u, y in zip(zs, us, hats, strict=True)]
    moments = moments_of([a for a, _, _ in parts], [b for _, b, _ in parts], lags, [y for _, _, y in parts])
    theta = moments.least_squares(direct)
    flat = moments.flatten(theta, direct)
    inverse = np.linalg.pinv(moments.regressor_cov(direct), rcond=1e-12, hermitian=True)
    scatter = []
    for z, u, y in parts:
        if len(parts) > 1 and len(z) > lags:
            one = moments_of([z], [u], lags, [y])
            score = one.cross_cov(direct) - flat @ one.regressor_cov(direct)
            scatter.append(one.count / moments.count * score @ inverse)
    output = moments.cov[: layout.m, : layout.m]
    rest = output - flat @ moments.cross_cov(direct).T
    constant = moments.mean[0, : layout.m] - flat @ moments.mean.ravel()[moments.columns(direct)]
    empty = np.zeros((0, *flat.shape))
    return Behaviour(theta, constant, (rest + rest.T) / 2, output, np.array(scatter) if scatter else empty, moments)


def scaled(zs: list[FloatArray], us: list[FloatArray], amplitude: float) -> tuple[list[FloatArray], list[FloatArray]]:
    """Probe series with their deviation from the mean scaled."""
    z_mean, u_mean = np.concatenate(zs).mean(axis=0), np.concatenate(us).mean(axis=0)
    return [z_mean + amplitude * (z - z_mean) for z in zs], [u_mean + amplitude * (u - u_mean) for u in us]
