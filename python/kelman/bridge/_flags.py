# SPDX-License-Identifier: BSD-3-Clause
"""What to beware of in a read-out, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kelman.bridge._project import free_parameters

if TYPE_CHECKING:
    from kelman.bridge._data import FloatArray
    from kelman.bridge._moments import Moments
    from kelman.bridge._predictor import LinearPredictor

__all__: list[str] = []

_MARGINAL = 0.999
_OPEN = 0.1


def no_dynamics(criterion: dict[int, float]) -> tuple[str, ...]:
    """Say so when the data prefer no state at all."""
    if 0 in criterion and criterion[0] <= min(criterion.values()):
        return ("no dynamics: by the order criterion the past says nothing about z; the one state shown is noise",)
    return ()


def flags_of(
    predictor: LinearPredictor,
    exact: LinearPredictor | None,
    poles: FloatArray,
    covs: FloatArray,
    moments: Moments,
    direct: bool,
    distance: float,
    rest: float,
    linear_r2: float,
    has_data: bool,
    has_noise: bool,
) -> tuple[str, ...]:
    """Sentences about marginal modes, thin data, undetermined poles, gain-limited networks and harsh reductions."""
    flags = []
    d = free_parameters(predictor.n, predictor.m, predictor.p, direct)
    if exact is not None:
        size = np.abs(np.linalg.eigvals(exact.F)) if exact.n else np.zeros(0)
        if (size >= _MARGINAL).any():
            worst, count = size.max(), int((size >= _MARGINAL).sum())
            kept = np.abs(np.linalg.eigvals(predictor.F)).max(initial=0.0) >= _MARGINAL
            what = (
                "kept in the model: its predictions may drift"
                if kept
                else "carrying nothing, and left out of the model"
            )
            flags.append(
                f"marginal: {count} of the network's {exact.n} modes at the unit circle (modulus {worst:.6f}), {what}"
            )
    if len(poles) and np.abs(poles[0]) > 1 + 1e-9:
        flags.append(f"unstable: the model grows (modulus {abs(poles[0]):.6f})")
    if not has_data:
        if not has_noise:
            flags.append(
                "no data: no error bars, and the innovation covariance of the model is set to the identity; give z="
            )
        return tuple(flags)
    if moments.count < 10 * d:
        flags.append(f"thin data: {moments.count} samples for {d} parameters")
    open_poles = [
        f"{pole:.3f}"
        for pole, cov in zip(poles, covs, strict=True)
        if pole.imag >= 0 and np.sqrt(np.trace(cov)) > _OPEN
    ]
    if open_poles:
        flags.append(f"undetermined: the data leave {', '.join(open_poles)} open (standard deviation above {_OPEN})")
    if moments.count * rest > 5 * d:
        flags.append(
            f"gain-limited: the activation bends the prediction (linear R^2 {linear_r2:.5f}, excess {rest:.2g}); "
            "the model is its best linear approximation"
        )
    if moments.count * distance > max(50 * d, 50):
        flags.append(
            f"reduced: the network predicts differently from this model (excess {distance:.2g}, {moments.count * distance / d:.0f} "
            "per free parameter and sample); it holds more than this order, or was not trained to its optimum"
        )
    return tuple(flags)
