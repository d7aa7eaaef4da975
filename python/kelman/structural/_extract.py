# SPDX-License-Identifier: BSD-3-Clause
"""`components`: what each part of a structural model was, given all the data."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman import _registry
from kelman.errors import KelmanError
from kelman.linear import smooth
from kelman.linear._series import read_z
from kelman.structural._structural import require_structural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kelman._types import Array, ArrayLike
    from kelman.linear._series import Series
    from kelman.models import StateSpace
    from kelman.structural._component import Component
    from kelman.structural._structural import Structural


@dataclass(frozen=True, eq=False, repr=False)
class ComponentSignal:
    """One component over time. ... stands for N when several series were given, and for nothing when one was.

    Attributes
    ----------
    name : str
        Its name.
    mean : ndarray, shape (..., T, k)
        Mean given all the data; k = m for what adds up to the measurements, 1 for a slope, a coefficient or a factor.
    std : ndarray, shape (..., T, k)
        Standard deviation.
    additive : bool
        Whether it is a summand of the measurements.
    """

    name: str
    mean: Array
    std: Array
    additive: bool

    def interval(self, level: Any = 0.95) -> tuple[Array, Array]:
        """Return lower and upper ends of the interval that holds the component at each time with probability `level`.

        Parameters
        ----------
        level : float, default 0.95
            Probability, between 0 and 1.

        Returns
        -------
        lower, upper : ndarray, shape (..., T, k)

        Raises
        ------
        KelmanError
            If `level` is not between 0 and 1.
        """
        if isinstance(level, bool) or not isinstance(level, (int, float, np.number)) or not 0 < level < 1:
            raise KelmanError(f"level: expected a probability between 0 and 1, got {level!r:.60}")
        half = NormalDist().inv_cdf((1 + float(level)) / 2) * self.std
        return self.mean - half, self.mean + half

    def __repr__(self) -> str:
        return f"ComponentSignal({self.name!r}, mean {self.mean.shape})"


@dataclass(frozen=True, eq=False, repr=False)
class Components:
    """The components of a structural model, given all the data: ``c["trend"].mean``.

    Attributes
    ----------
    signals : tuple of ComponentSignal
        Every component, slope and coefficient; the additive ones add up to the measurements where these were seen.
    z : ndarray, shape (..., T, m)
        The measurements.
    loglik : float or ndarray, shape (...)
        Log-likelihood.

    Examples
    --------
    >>> import kelman
    >>> model = kelman.structural.level()
    >>> c = kelman.structural.components(model, kelman.datasets.nile().z, theta=[1469.1, 15098.5])
    >>> c.names
    ('level', 'irregular')
    >>> low, high = c["level"].interval(0.95)
    >>> low.shape
    (100, 1)
    """

    signals: tuple[ComponentSignal, ...]
    z: Array
    loglik: Any

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the components."""
        return tuple(signal.name for signal in self.signals)

    def __getitem__(self, name: str) -> ComponentSignal:
        for signal in self.signals:
            if signal.name == name:
                return signal
        raise KelmanError(f"components: no {name!r} in it; there are {', '.join(self.names)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.signals)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def summary(self) -> str:
        """Say in a few lines how large each component is, and how well it is known.

        Returns
        -------
        str
            Range of the mean, its standard deviation over time, and the median standard error, of each.
        """
        width = max(12, *(len(name) for name in self.names))
        lines = [
            f"components of {'one series' if self.z.ndim == 2 else f'{len(self.z)} series'}",
            f"  {'':{width}}{'from':>12}{'to':>12}{'varies by':>12}{'known to':>12}",
        ]
        for signal in self.signals:
            mean, std = signal.mean, signal.std
            numbers = (np.nanmin(mean), np.nanmax(mean), np.nanstd(mean), np.nanmedian(std))
            lines.append(f"  {signal.name:{width}}" + "".join(f"{number:12.5g}" for number in numbers))
        return "\n".join(lines)

    def plot(self, **options: Any) -> Any:
        """Draw the components with matplotlib (extra ``app``); options go to `kelman.plotting.plot_components`."""
        return _registry.plot(self, **options)

    def __repr__(self) -> str:
        return f"Components({', '.join(self.names)}; z {self.z.shape})"


def components(source: Any, z: ArrayLike, *, theta: ArrayLike | None = None) -> Components:
    r"""Return each component of a structural model given all measurements, with its exact standard deviation.

    Parameters
    ----------
    source : fit or Structural
        What `kelman.fit` returned for a structural template; or the template, with `theta`.
    z : array_like, shape (T,), (T, m) or (N, T, m), or a list of series
        Measurements; NaN = missing.
    theta : array_like, shape (K,) or (N, K), optional
        Natural parameters, if `source` is a `Structural`: of all series, or of each.

    Returns
    -------
    Components
        Means and standard deviations by name.

    Raises
    ------
    KelmanError
        If `source` is no structural model or fit of one, or if the parameters or the data do not fit it.

    Notes
    -----
    A component is h'x for rows h, so that given the data its mean is h'x and its variance h'Ph with the smoothed moments of the
    state: Durbin and Koopman, 2nd ed. (2012), section 4.4. What is left of a measurement is the irregular, with the variance of
    the sum of the others; where the measurement is missing, its mean is zero and its variance is that of the noise.

    Examples
    --------
    >>> import numpy as np
    >>> import kelman
    >>> z = np.log(kelman.datasets.nile().z)
    >>> model = kelman.structural.trend("smooth")
    >>> c = kelman.structural.components(model, z, theta=[1e-5, 0.02])
    >>> bool(np.allclose(c["trend"].mean + c["irregular"].mean, z))
    True
    """
    template = require_structural(getattr(source, "template", source), "source")
    values = getattr(source, "theta", None) if theta is None else theta
    if values is None:
        raise KelmanError("theta: needed with a Structural; or give the fit")
    data = read_z(z, template.dims.m)
    if np.ndim(values) == 2:
        return _one_by_one(template, np.asarray(values, dtype=np.float64), data)
    model = template.model(values)
    s = smooth(model, z)
    batched = data.batched
    mean, cov = (s.mean, s.cov) if batched else (s.mean[None], s.cov[None])
    seen = np.asarray(data.z, dtype=np.float64)
    if data.lengths is not None:
        for i, length in enumerate(data.lengths):
            seen[i, length:] = np.nan
    found = [signal for part in template.components for signal in _signals(part, template, model, mean, cov)]
    found += _noise(template, model, mean, cov, seen)
    if not batched:
        found = [ComponentSignal(one.name, one.mean[0], one.std[0], one.additive) for one in found]
    return Components(tuple(found), seen if batched else seen[0], s.loglik)


def _one_by_one(template: Structural, theta: Array, data: Series) -> Components:
    """Components of series that have parameters of their own."""
    N, T, _ = data.z.shape
    if len(theta) != N:
        raise KelmanError(f"theta: is for {len(theta)} series, but z holds {N}")
    ends = np.full(N, T) if data.lengths is None else data.lengths
    each = [components(template, data.z[i, : ends[i]], theta=theta[i]) for i in range(N)]
    signals = []
    for first in each[0].signals:
        own = [one[first.name] for one in each]
        mean, std = (_stacked([getattr(signal, name) for signal in own], T) for name in ("mean", "std"))
        signals.append(ComponentSignal(first.name, mean, std, first.additive))
    return Components(tuple(signals), _stacked([one.z for one in each], T), np.array([one.loglik for one in each]))


def _stacked(arrays: list[Array], T: int) -> Array:
    """Arrays (T_i, k) as (N, T, k), NaN behind the end of each."""
    out = np.full((len(arrays), T, arrays[0].shape[1]), np.nan)
    for i, array in enumerate(arrays):
        out[i, : len(array)] = array
    return out


def _signals(
    part: Component, template: Structural, model: StateSpace, mean: Array, cov: Array
) -> list[ComponentSignal]:
    here = template.states[part.name]
    found = []
    offset = any(name == "c" for name, _ in part.targets)
    for signal in part.signals:
        rows = model.H[..., here] if _follows_parameters(part, signal.additive) else signal.rows
        value = (
            np.einsum("...kn,btn->btk", rows, mean[:, :, here]) if rows.ndim == 2 else _timed(rows, mean[:, :, here])
        )
        if offset and signal.additive and model.c is not None:
            value = value + model.c
        found.append(ComponentSignal(signal.name, value, _deviation(rows, cov[:, :, here, here]), signal.additive))
    return found


def _follows_parameters(part: Component, additive: bool) -> bool:
    return additive and any(name == "H" for name, _ in part.targets)


def _timed(rows: Array, mean: Array) -> Array:
    return np.asarray(np.einsum("tkn,btn->btk", rows, mean))


def _deviation(rows: Array, cov: Array) -> Array:
    letters = "kn" if rows.ndim == 2 else "tkn"
    other = letters.replace("n", "j")
    variance = np.einsum(f"{letters},btnj,{other}->btk", rows, cov, rows, optimize=True)
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def _noise(template: Structural, model: StateSpace, mean: Array, cov: Array, z: Array) -> list[ComponentSignal]:
    """The measurement's noise given all data: what is left where something was measured."""
    if not np.any(model.R):
        return []
    H = model.H
    value = np.einsum("kn,btn->btk", H, mean) if H.ndim == 2 else _timed(H, mean)
    if model.c is not None:
        value = value + model.c
    std = _deviation(H, cov)
    prior = np.sqrt(np.diagonal(model.R, axis1=-2, axis2=-1))
    missing = np.isnan(z)
    ended = np.isnan(value)
    name = next((part.name for part in template.components if part.kind == "irregular"), "irregular")
    left = np.where(missing & ~ended, 0.0, z - value)
    return [ComponentSignal(name, left, np.where(missing & ~ended, prior, std), True)]
