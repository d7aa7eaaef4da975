# SPDX-License-Identifier: BSD-3-Clause
"""Networks with some of their units, or with one more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .._types import Array
    from ..models import Cell


def narrowed(net: Cell, keep: Array) -> Any:
    """The network with the units where `keep` (h,) is True."""
    letters = {"h": np.flatnonzero(keep), "g": np.flatnonzero(np.tile(keep, net.GATES))}
    return _chosen(net, letters)


def widened(net: Cell, rng: np.random.Generator) -> Any:
    """The network with one more unit, weakly driven by the inputs, not yet read and without effect on the others."""
    n = net.dims.hidden
    spread = {"g": np.concatenate([np.arange(g * n, (g + 1) * n + 1) for g in range(net.GATES)]), "h": np.arange(n + 1)}
    new = {"g": n + (n + 1) * np.arange(net.GATES), "h": np.array([n])}
    rows = {"g": spread["g"].copy(), "h": spread["h"].copy()}
    for letter, places in new.items():
        rows[letter][places] = 0
    wide = _chosen(net, rows)
    changes: dict[str, Any] = {}
    for name, shape in net.SHAPES.items():
        value = getattr(wide, name)
        if value is None:
            continue
        value = np.array(value)
        for axis, letter in enumerate(shape):
            if letter in new:
                value[(slice(None),) * axis + (new[letter],)] = 0
        changes[name] = value
    inputs = net.dims.inputs
    changes["W"][new["g" if net.GATES > 1 else "h"]] = 0.3 * rng.normal(size=(net.GATES, inputs))
    changes["U"][new["g" if net.GATES > 1 else "h"], n] = 0.5 * rng.uniform(-1, 1, net.GATES)
    if "V" in changes:
        changes["V"][:, n] = 1e-2 * rng.normal(size=len(changes["V"]))
    for name in net.STARTS:
        start = getattr(wide, name)
        if start is not None:
            changes[name] = np.array(start)
            changes[name][..., n] = 0
    return wide.replace(**changes)


def _chosen(net: Cell, letters: dict[str, Array]) -> Any:
    """The network with rows and columns of some indices along the axes of these letters."""
    changes: dict[str, Any] = {}
    for name, shape in net.SHAPES.items():
        value = getattr(net, name)
        if value is None:
            continue
        for axis, letter in enumerate(shape):
            if letter in letters:
                value = np.take(value, letters[letter], axis=axis)
        changes[name] = value
    for name in net.STARTS:
        start = getattr(net, name)
        if start is not None:
            changes[name] = np.take(start, letters["h"], axis=-1)
    return net.replace(**changes)
