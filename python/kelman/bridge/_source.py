# SPDX-License-Identifier: BSD-3-Clause
"""From what the user gave to the responses of a predictor: which network, which columns, which data, which window."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman._arrays import as_count
from kelman.bridge._anything import as_elman, as_function, is_predictor, opened
from kelman.bridge._behaviour import Behaviour, behaviour_of
from kelman.bridge._data import paired_series, series_list
from kelman.bridge._jacobian import linearised
from kelman.bridge._layout import Layout, layout_of
from kelman.bridge._moments import Moments, moments_of, moments_of_model
from kelman.bridge._plain import is_network, plain
from kelman.bridge._predictor import LinearPredictor, predictor_of_elman
from kelman.bridge._split import is_foldable
from kelman.errors import KelmanError
from kelman.models import Elman

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman.bridge._data import FloatArray

__all__: list[str] = []

FIRST = 60
"""Lags of the first look; the window grows when the system found remembers longer."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """The network, what its columns are, and how it is to be read."""

    net: Any
    layout: Layout
    method: str

    @property
    def lag_zero(self) -> bool:
        """Say if the state takes u_k in at once, as in models with ``input_lag`` 0."""
        if not isinstance(self.net, Elman) or self.layout.target != "z":
            return False
        weights = [self.net.W] if self.net.B is None else [self.net.W, self.net.B]
        return any(bool(self.layout.part(array, "u").any()) for array in weights)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Responses of the network's prediction, with the moments that weigh them."""

    theta: FloatArray
    constant: FloatArray
    moments: Moments
    direct: bool
    exact: LinearPredictor | None
    behaviour: Behaviour | None
    probe: tuple[list[FloatArray], list[FloatArray]] | None


Data = tuple[list[Any], list[Any]] | None


def source_of(rnn: Any, inputs: Any, target: Any, method: str, sizes: Callable[[], tuple[int, int]]) -> Source:
    """Layout and method for what was given; `sizes` tells those of the data."""
    rnn = as_elman(opened(rnn))
    if isinstance(rnn, Elman):
        changes = {name: value for name, value in (("inputs", inputs), ("target", target)) if value is not None}
        rnn = plain(rnn.replace(**changes) if changes else rnn)
        layout = layout_of(rnn.inputs, rnn.target, rnn.dims.inputs, rnn.dims.outputs)
        if method == "auto":
            method = "weights" if is_foldable(rnn) else "behaviour"
    elif is_network(rnn):
        if method not in ("auto", "behaviour"):
            raise KelmanError(
                f'method: only "behaviour" reads a network of type {type(rnn).__name__}, got {method!r}; its local Jacobians '
                "are in kelman.read_activations"
            )
        layout = layout_of(inputs or rnn.inputs, target or rnn.target, rnn.dims.inputs, rnn.dims.outputs)
        method = "behaviour"
    elif is_predictor(rnn):
        if method not in ("auto", "behaviour"):
            raise KelmanError(f'method: a function has no weights; only "behaviour" can read it, got {method!r}')
        rnn, layout = as_function(rnn, inputs, target, sizes())
        method = "behaviour"
    else:
        raise KelmanError(
            "rnn: expected an Elman, GRU or LSTM network, a Stack, a StateSpace, a fitted estimator or a function from inputs to "
            f"predictions, got {type(rnn).__name__}"
        )
    if layout.target == "state":
        raise KelmanError(
            "target: the outputs of this network are states; read it through kelman.to_state_space(rnn, H=...) instead"
        )
    return Source(rnn, layout, method)


def data_of(layout: Layout, x: Any, z: Any, u: Any) -> Data:
    """Measurements and inputs as lists, from z and u or out of the network's own input."""
    if z is not None:
        return paired_series(z, u, layout.m, layout.p)
    if x is None:
        if u is not None:
            raise KelmanError("z: expected measurements beside u, got None")
        return None
    rows = series_list("x", x, layout.width)
    ahead = 0 if layout.has("z") else 1  # z_prev at step k + 1 is z at step k
    word = "z_prev" if ahead else "z"
    if not layout.has(word):
        raise KelmanError("x: has no z columns to read the measurements from; give z=")
    zs, us = [], []
    for row in rows:
        T = len(row) - ahead
        zs.append(row[ahead:, layout.columns[word]])
        if layout.has("u"):
            us.append(row[:T, layout.columns["u"]])
        elif layout.has("u_prev"):
            shifted = row[1:, layout.columns["u_prev"]]
            us.append(shifted[:T])
            zs[-1] = zs[-1][: len(us[-1])]
        else:
            us.append(np.zeros((T, 0)))
    return zs, us


def window_of(theta_of: Callable[[int], FloatArray], q: int, data: Data, cap: int = 1000) -> int:
    """Lags until responses have died away, within the cap and what the record allows."""
    limit = int(np.clip(1500 // q, 20, cap))
    if data:
        limit = min(limit, max(len(z) for z in data[0]) // 4)
    energy = np.square(theta_of(limit)).sum(axis=(1, 2))
    count = sum(len(z) for z in data[0]) if data else 0
    allowed = energy.sum() * (0.01 / count if count else 1e-12)
    tail = np.cumsum(energy[::-1])[::-1]
    enough = np.flatnonzero(tail <= max(allowed, 1e-300))
    return int(np.clip(enough[0] if len(enough) else limit, min(20, limit), limit))


def require_lively(zs: list[FloatArray]) -> None:
    """Raise where a component of z is constant, or the same as a combination of the others: nothing can be weighed by it."""
    z = np.concatenate(zs)
    spread = z.std(axis=0)
    still = np.flatnonzero(spread <= 1e-13 * np.abs(z).max(axis=0))
    if len(still):
        raise KelmanError(f"z: component {still[0]} is constant, so its dynamics cannot be read; leave it out")
    values = np.linalg.eigvalsh(np.atleast_2d(np.corrcoef(z, rowvar=False)))
    if values[0] <= 1e-12:
        raise KelmanError("z: its components are linearly dependent; leave out those that the others determine")


def checked_lags(lags: Any, data: Data) -> int | None:
    """A window that the user asked for, and records long enough for any."""
    longest = max(len(z) for z in data[0]) if data else None
    if data and longest is not None:
        if longest < 16:
            raise KelmanError(f"z: expected at least 16 steps in the longest series, got {longest}")
        require_lively(data[0])
    if lags is None:
        return None
    count = as_count(lags, "lags")
    if longest is not None and count > longest // 2:
        raise KelmanError(f"lags: expected at most half the length of the longest series ({longest}), got {count}")
    return count


def responses_of(source: Source, data: Data, probe: Data, window: int | None) -> Reading:
    """Responses by the weights (or Jacobians), or by behaviour, over a window; None starts with a short one."""
    layout, net = source.layout, source.net
    q = layout.m + layout.p
    direct = layout.p > 0 and layout.target == "z" and layout.has("u")
    if probe is not None:
        shortest = min(len(z) for z in probe[0])
        if data:
            shortest = min(shortest, max(len(z) for z in data[0]))
        lags = int(np.clip(shortest // 4, 1, window or FIRST))
        read = behaviour_of(net, layout, *probe, lags, direct)
        moments = moments_of(*data, lags) if data else _as_record(read.moments, *probe, lags)
        return Reading(read.theta, read.constant, moments, direct, None, read, probe)
    if source.method != "weights":
        zs, us = data or ([np.zeros((1, layout.m))], [np.zeros((1, layout.p))])
        if data is None and source.method == "average_jacobian":
            raise KelmanError('z: method="average_jacobian" averages along data; give z= (and u=)')
        net = linearised(net, layout, zs, us, source.method)
    exact, _ = predictor_of_elman(net)
    lags = window_of(exact.markov, q, data, FIRST) if window is None else window
    moments = moments_of(*data, lags) if data else moments_of_model(exact, np.eye(layout.m), lags)
    theta = exact.markov(lags)
    if source.method != "weights":  # the level of a linearisation is that of the data
        level = (
            moments.mean[0, : layout.m] - moments.flatten(theta, direct) @ moments.mean.ravel()[moments.columns(direct)]
        )
        exact = replace(exact, c=level)
    return Reading(theta, exact.constant(lags), moments, direct, exact, None, None)


def _as_record(moments: Moments, zs: list[FloatArray], us: list[FloatArray], lags: int) -> Moments:
    """Moments of the probe itself, with z (not the predictions) at lag 0; its length is no sample size of the training data."""
    plain = moments_of(zs, us, lags)
    return Moments(plain.cov, plain.mean, 0, lags, moments.m, moments.p)
