# SPDX-License-Identifier: BSD-3-Clause
"""Study: what does the activation do? Networks set by hand, nothing trained.

A tanh unit is linear for small arguments. Shrink the hidden state by a gain eps (h = eps xhat, W = eps K, V = H / eps)
and the network approaches the filter: tanh s = s - s^3 / 3 + ..., so its error falls like eps^3 per unit of h, like
eps^2 after V, and the excess risk like eps^4. Multiply the data by ten and it is as if eps had grown tenfold. The ReLU
split (h+ = relu(s), h- = relu(-s)) is positively homogeneous: amplitude changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kelman import systems
from kelman.bridge import to_elman
from kelman.linear import simulate, steady_state
from kelman.models import Elman, StateSpace
from kelman.rnn import forward

if TYPE_CHECKING:
    from kelman._types import Array

GAINS = (0.01, 0.02, 0.03, 0.06, 0.1, 0.2, 0.3, 0.6, 1.0)
AMPLITUDES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
SLOPE_BELOW = 0.03  # the power law belongs to small gains; the fit takes the gains up to here
SHOWN = 100


@dataclass(frozen=True, slots=True)
class GainPoint:
    """A tanh network with one hidden gain."""

    gain: float
    excess: float
    effective_gain: float  # mean of s'(a) over units and time: how much of the linear feedback is left
    pole_modulus: float  # leading pole read from the mean Jacobian
    prediction: Array


@dataclass(frozen=True, slots=True)
class AmplitudePoint:
    """The same networks on data multiplied by an amplitude; excess in units of the scaled Sigma."""

    amplitude: float
    tanh: float
    relu: float


@dataclass(frozen=True, slots=True)
class Activation:
    """Excess risk against hidden gain with its slope, and against the amplitude of the data."""

    steps: int
    gains: tuple[GainPoint, ...]
    slope: float
    amplitude_gain: float
    amplitudes: tuple[AmplitudePoint, ...]
    z: Array
    filter_prediction: Array

    def at(self, amplitude: float) -> AmplitudePoint:
        """Return the point of that amplitude."""
        return next(point for point in self.amplitudes if point.amplitude == amplitude)


def tanh_filter(model: StateSpace, gain: float) -> Elman:
    """Write the predicted form of a filter into a tanh network with a small hidden state.

    Parameters
    ----------
    model : StateSpace
        A model without inputs and offsets.
    gain : float
        Hidden gain eps: h = eps xhat as long as tanh is linear.

    Returns
    -------
    Elman
    """
    net = to_elman(model, form="predicted")
    return Elman(net.U, gain * net.W, net.b, net.V / gain, net.c, hidden="tanh", inputs=net.inputs, target=net.target)


def activation(*, steps: int = 100_000, seed: int = 0) -> Activation:
    """Measure what tanh and the ReLU split do to a filter, paired with the filter on the same series.

    Parameters
    ----------
    steps : int
        Length of the series.
    seed : int
        Seed of the series.

    Returns
    -------
    Activation
    """
    model = systems.rotation()
    z = simulate(model, steps, rng=np.random.default_rng(seed)).z
    Sigma = float(steady_state(model).innovation_cov[0, 0])
    linear = to_elman(model, form="predicted")
    target = forward(linear, z, store="outputs").y

    def excess(net: Elman, amplitude: float = 1.0) -> float:
        difference = forward(net, amplitude * z, store="outputs").y / amplitude - target
        return float(np.mean(difference[100:] ** 2)) / Sigma

    points = []
    for gain in GAINS:
        net = tanh_filter(model, gain)
        out = forward(net, z)
        slope = 1.0 - np.asarray(out.h)[100:] ** 2
        mean_slope = slope.mean(axis=0)
        jacobian = mean_slope[:, None] * (net.U + net.W @ net.V)
        points.append(
            GainPoint(
                gain,
                float(np.mean((out.y - target)[100:] ** 2)) / Sigma,
                float(mean_slope.mean()),
                float(np.abs(np.linalg.eigvals(jacobian)).max()),
                out.y[100 : 100 + SHOWN, 0],
            )
        )
    small = [p for p in points if p.gain <= SLOPE_BELOW]
    slope = np.polyfit(np.log([p.gain for p in small]), np.log([p.excess for p in small]), 1)[0]
    tanh, relu = tanh_filter(model, 0.1), to_elman(model, form="predicted", hidden="relu")
    return Activation(
        steps=steps,
        gains=tuple(points),
        slope=float(slope),
        amplitude_gain=0.1,
        amplitudes=tuple(AmplitudePoint(a, excess(tanh, a), excess(relu, a)) for a in AMPLITUDES),
        z=z[101 : 101 + SHOWN, 0],
        filter_prediction=target[100 : 100 + SHOWN, 0],
    )
