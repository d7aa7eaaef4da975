# SPDX-License-Identifier: BSD-3-Clause
"""The data of a fit: one series, many, or a ragged list, as padded float64 arrays; at gaps they are cut."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman._arrays import as_floats, describe
from kelman.errors import KelmanError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from kelman.lti._check import FloatArray


_ADVICE = (
    "the prediction-error method needs every value: with gaps use method='mle' or 'em' (the exact likelihood), 'subspace', or "
    "'auto', which chooses"
)


@dataclass(frozen=True, eq=False)
class Data:
    """Measurements and inputs of N series, zero past their ends.

    Attributes
    ----------
    z : ndarray, shape (N, T, m)
    u : ndarray, shape (N, T, p)
        p = 0 without inputs.
    lengths : ndarray of int, shape (N,)
    missing : int
        Steps left out because a value is missing there; where there are any, the series are the stretches between gaps.
    """

    z: FloatArray
    u: FloatArray
    lengths: NDArray[np.int64]
    missing: int = 0

    @property
    def m(self) -> int:
        """Measured values."""
        return int(self.z.shape[2])

    @property
    def p(self) -> int:
        """Inputs."""
        return int(self.u.shape[2])

    @property
    def total(self) -> int:
        """Measured time steps of all series together."""
        return int(self.lengths.sum())

    def series(self) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Each series alone, without its padding."""
        for z, u, length in zip(self.z, self.u, self.lengths, strict=True):
            yield z[:length], u[:length]

    def mean(self) -> tuple[FloatArray, FloatArray]:
        """Return the means of z and u over all steps."""
        return self.z.sum((0, 1)) / self.total, self.u.sum((0, 1)) / self.total

    def std(self) -> tuple[FloatArray, FloatArray]:
        """Return the standard deviations of z and u over all steps."""
        inside = self.mask()[:, :, None]
        return tuple(_std(x, mean, inside, self.total) for x, mean in zip((self.z, self.u), self.mean(), strict=True))  # type: ignore[return-value]

    def mask(self) -> NDArray[np.bool_]:
        """Which (series, step) are measured, shape (N, T)."""
        return np.arange(self.z.shape[1])[None, :] < self.lengths[:, None]

    def affine(self, mean_z: FloatArray, scale_z: FloatArray, mean_u: FloatArray, scale_u: FloatArray) -> Data:
        """Return (z - mean) / scale, padding kept at zero."""
        inside = self.mask()[:, :, None]
        return replace(self, z=(self.z - mean_z) / scale_z * inside, u=(self.u - mean_u) / scale_u * inside)

    def at_least(self, steps: int) -> Data:
        """Return the series of at least so many steps."""
        long = self.lengths >= steps
        if long.all():
            return self
        last = int(self.lengths[long].max(initial=0))
        return replace(self, z=self.z[long, :last], u=self.u[long, :last], lengths=self.lengths[long])


def _std(x: FloatArray, mean: FloatArray, inside: NDArray[np.bool_], total: int) -> FloatArray:
    away = np.abs(x - mean) * inside
    size = away.max(axis=(0, 1), initial=0.0)
    unit = np.where(size > 0, size, 1.0)  # squares of very small numbers would vanish
    spread: FloatArray = unit * np.sqrt(np.square(away / unit).sum((0, 1)) / total)
    return spread


def read(z: Any, u: Any, *, gaps: bool = False) -> Data:
    """Check the user's z and u and bring them to one layout; with `gaps`, NaN in z cuts a series in two."""
    return assemble(*read_series(z, u, gaps=gaps))


def read_series(z: Any, u: Any, *, gaps: bool = False) -> tuple[list[FloatArray], list[FloatArray]]:
    """Check the user's z and u; return a list of z (T, m) and one of u (T, p), NaN in z where values are missing."""
    z_list = _series("z", z, gaps)
    lengths = np.array([len(one) for one in z_list], dtype=np.int64)
    widths = {one.shape[1] for one in z_list}
    if len(widths) != 1:
        raise KelmanError(f"z: every series must have the same number of measured values, got {sorted(widths)}")
    if u is None:
        return z_list, [np.zeros((length, 0)) for length in lengths]
    u_list = _series("u", u)
    if len(u_list) != len(z_list):
        if len(u_list) != 1 or len(set(lengths.tolist())) != 1:
            raise KelmanError(f"u: expected {len(z_list)} series as in z, got {len(u_list)}")
        u_list = u_list * len(z_list)
    if len({one.shape[1] for one in u_list}) != 1:
        raise KelmanError("u: every series must have the same number of inputs")
    for i, (one, length) in enumerate(zip(u_list, lengths, strict=True)):
        if len(one) != length:
            which = f" of series {i}" if len(z_list) > 1 else ""
            raise KelmanError(f"u{which}: expected {length} steps as in z, got {len(one)}")
    return z_list, u_list


def assemble(z_list: list[FloatArray], u_list: list[FloatArray]) -> Data:
    """Pad series that `read_series` returned, cut into the stretches between gaps."""
    z_cut, u_cut, missing = stretches(z_list, u_list)
    return Data(_pad(z_cut), _pad(u_cut), np.array([len(one) for one in z_cut], dtype=np.int64), missing)


def stretches(z_list: list[FloatArray], u_list: list[FloatArray]) -> tuple[list[FloatArray], list[FloatArray], int]:
    """Cut series (T, m), with inputs (T, p), into the stretches that miss no value; return also how many steps are left out."""
    z_cut, u_cut, missing = [], [], 0
    for z, u in zip(z_list, u_list, strict=True):
        whole = np.isfinite(z).all(axis=1)
        missing += int((~whole).sum())
        edges = np.flatnonzero(np.diff(np.concatenate([[False], whole, [False]]).astype(np.int8)))
        for first, stop in edges.reshape(-1, 2):
            z_cut.append(z[first:stop])
            u_cut.append(u[first:stop])
    if not z_cut:
        raise KelmanError(
            "z: no step has all of its values; the exact likelihood (method='mle' or 'em') takes what there is"
        )
    return z_cut, u_cut, missing


def _series(name: str, value: Any, gaps: bool = False) -> list[FloatArray]:
    if isinstance(value, (list, tuple)) and len(value) and all(np.ndim(one) >= 1 for one in value):
        found = []
        for i, one in enumerate(value):
            array = _finite(f"{name}[{i}]", one, gaps)
            if array.ndim > 2:
                raise KelmanError(f"{name}[{i}]: expected one series (T,) or (T, m), got shape {array.shape}")
            found.append(array[:, None] if array.ndim == 1 else array)
        if len({one.shape for one in found}) == 1 and all(np.ndim(one) == 1 for one in value):
            return _nested(name, value, gaps)
        return _checked(name, found)
    if isinstance(value, (list, tuple)) and not len(value):
        raise KelmanError(f"{name}: the list of series is empty")
    array = _finite(name, value, gaps)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim == 2:
        return _checked(name, [array])
    if array.ndim == 3:
        return _checked(name, list(array))
    raise KelmanError(f"{name}: expected shape (T,), (T, m), (N, T, m) or a list of series, got {describe(value)}")


def _nested(name: str, value: Any, gaps: bool) -> list[FloatArray]:
    """Treat a list of vectors as series if they are arrays, and as the rows of one matrix if they are plain lists."""
    if all(isinstance(one, np.ndarray) for one in value):
        return _checked(name, [_finite(name, one, gaps)[:, None] for one in value])
    return _checked(name, [_finite(name, value, gaps)])


def _checked(name: str, series: list[FloatArray]) -> list[FloatArray]:
    for i, one in enumerate(series):
        if one.shape[0] == 0 or one.shape[1] == 0:
            which = f"{name}[{i}]" if len(series) > 1 else name
            raise KelmanError(f"{which}: the series is empty (shape {one.shape})")
        if one.shape[1] > one.shape[0] and one.shape[1] > 64:
            raise KelmanError(
                f"{name}: shape {one.shape} reads as {one.shape[0]} steps of {one.shape[1]} values; "
                "time comes first: give the transpose, or (T, 1) for one value a step"
            )
    if not series:
        raise KelmanError(f"{name}: there are no series")
    return series


def _finite(name: str, value: Any, gaps: bool = False) -> FloatArray:
    array = as_floats(value, name, nan_is_missing=True).astype(np.float64, copy=False)
    finite = ~np.isinf(array) if gaps else np.isfinite(array)
    if not finite.all():
        place = [int(i) for i in np.argwhere(~finite)[0]]
        count, what = int((~finite).sum()), "infinite" if gaps else "NaN or infinite"
        advice = "mark a missing value by NaN" if gaps else _ADVICE if name.startswith("z") else "every value is needed"
        raise KelmanError(f"{name}: {count} entries are {what}, the first at index {place}; {advice}")
    return array


def _pad(series: list[FloatArray]) -> FloatArray:
    if len(series) == 1:
        return np.ascontiguousarray(series[0])[None]
    out = np.zeros((len(series), max(map(len, series)), series[0].shape[1]))
    for row, one in zip(out, series, strict=True):
        row[: len(one)] = one
    return out
