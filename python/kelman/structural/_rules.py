# SPDX-License-Identifier: BSD-3-Clause
"""What may be added to what, and what a sum of components comes to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kelman.errors import KelmanError
from kelman.structural._component import Component, VarianceComponent
from kelman.structural._trend_parts import DampedTrend, make_irregular, make_trend
from kelman.structural._wide import WideComponent, widen

_SAME_ROOT = 1e-9


def merged(parts: tuple[Component, ...]) -> tuple[Component, ...]:
    """Make one trend of a level and a trend, and give components of one name numbers."""
    levels = [part for part in parts if part.kind == "level"]
    trends = [part for part in parts if part.kind == "trend"]
    if len(levels) == 1 and len(trends) == 1 and levels[0].m == trends[0].m:
        slots = {slot.name: slot.value for part in (trends[0], levels[0]) for slot in _slots(part)}
        kind = "damped" if isinstance(trends[0], DampedTrend) else "local linear"
        joint = make_trend(kind, trends[0].name, slots["variance"], slots["slope_variance"])
        joint = widen(joint, levels[0].m, "diagonal" if getattr(levels[0], "diagonal", False) else "full")
        parts = tuple(joint if part is trends[0] else part for part in parts if part is not levels[0])
    names: dict[str, int] = {}
    result = []
    for part in parts:
        names[part.name] = names.get(part.name, 0) + 1
        if names[part.name] > 1:
            new = f"{part.name} {names[part.name]}"
            renamed = tuple(s._replace(name=s.name.replace(part.name, new, 1)) for s in part.signals)
            part = replace(part, name=new, signals=renamed)
        result.append(part)
    return tuple(result)


def _slots(part: Component) -> tuple[Any, ...]:
    one = part.narrow if isinstance(part, WideComponent) else part
    return one.slots if isinstance(one, VarianceComponent) else ()


def completed(parts: tuple[Component, ...]) -> tuple[Component, ...]:
    """Check that the parts measure the same values, and add measurement noise where it is not said."""
    sizes = {part.m for part in parts}
    if len(sizes) > 1:
        shown = ", ".join(f"{part.name} {part.m}" for part in parts)
        raise KelmanError(
            f"components: expected one number of measured values, got {shown}; give m= where it can be given"
        )
    noise = [part.name for part in parts if "R" in part.base]
    if len(noise) > 1:
        raise KelmanError(f"components: only one may bring measurement noise, got {' and '.join(noise)}")
    lengths = {part.base["H"].shape[0] for part in parts if part.n and part.base["H"].ndim == 3}
    if len(lengths) > 1:
        raise KelmanError(f"regression: X must have the same number of rows everywhere, got {sorted(lengths)}")
    if all(part.n == 0 for part in parts):
        zero = {"A": np.zeros((1, 1)), "H": np.zeros((parts[0].m, 1)), "P1": np.zeros((1, 1))}
        parts = (Component(kind="nothing", name="nothing", base=zero), *parts)
    return parts if any(part.noisy for part in parts) else (*parts, make_irregular(None, parts[0].m))


def refuse_twins(parts: tuple[Component, ...]) -> None:
    """Refuse components that no data can tell apart: the same eigenvalue on the unit circle twice, or a mean beside a level."""
    for i, one in enumerate(parts):
        for other in parts[i + 1 :]:
            if len(one.roots) and len(other.roots):
                gap = np.abs(one.roots[:, None] - other.roots)
                if gap.min() < _SAME_ROOT:
                    angle = abs(float(np.angle(one.roots[np.unravel_index(gap.argmin(), gap.shape)[0]])))
                    what = "level" if angle < _SAME_ROOT else f"pattern of period {2 * np.pi / angle:.6g}"
                    raise KelmanError(
                        f"components: {one.name} and {other.name} both have a {what}: the data cannot tell them apart"
                    )
    flat = [part.name for part in parts if (np.abs(part.roots - 1) < _SAME_ROOT).any()]
    means = [part for part in parts if any(name == "c" for name, _ in part.targets)]
    own = [part for part in means if not any(name == "b" for name, _ in part.targets)]
    if len(means) > 1 or (own and flat):
        beside = means[1].name if len(means) > 1 else flat[0]
        raise KelmanError(f"components: the mean of {means[0].name} cannot be told from {beside}; use mean=False")
