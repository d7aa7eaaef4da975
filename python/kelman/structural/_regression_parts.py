# SPDX-License-Identifier: BSD-3-Clause
"""The component behind `regression`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kelman.errors import KelmanError
from kelman.structural._component import Component, Signal, Slot, VarianceComponent
from kelman.structural._wide import WideComponent, widen

if TYPE_CHECKING:
    from kelman._types import Array


def make_regression(X: Array, labels: tuple[str, ...], variance: float | None, name: str) -> VarianceComponent:
    """Return the component of a table X (T, k)."""
    k = X.shape[1]
    H = X[:, None, :].copy()
    H.flags.writeable = False
    size = (X**2).mean(axis=0)
    signals = []
    for j, label in enumerate(labels):
        signals.append(Signal(f"{name} {label}", H * (np.arange(k) == j)))
        signals.append(Signal(f"{name} {label} coefficient", np.eye(k)[j : j + 1], additive=False))
    return VarianceComponent(
        kind="regression",
        name=name,
        base={"A": np.eye(k), "H": H, "Q": np.zeros((k, k)), "P1_inf": np.eye(k)},
        slots=tuple(
            Slot(f"{label}.variance", variance, (("Q", (j, j)),), 0.01 / (float(size[j]) or 1.0))
            for j, label in enumerate(labels)
        ),
        signals=tuple(signals),
    )


def lengthened(component: Component, future: Array) -> Component:
    """Return a regression with rows of X to come behind those it has."""
    if isinstance(component, WideComponent):
        covariance = "diagonal" if component.diagonal else "full"
        return widen(lengthened(component.narrow, future), component.width, covariance)
    present = component.base["H"][:, 0, :]
    if future.ndim != 2 or future.shape[1] != present.shape[1]:
        raise KelmanError(f"future: expected {present.shape[1]} columns for {component.name}, got shape {future.shape}")
    slots = component.slots if isinstance(component, VarianceComponent) else ()
    labels = tuple(slot.name.removesuffix(".variance") for slot in slots)
    longer = make_regression(np.vstack([present, future]), labels, None, component.name)
    return replace(longer, slots=slots)
