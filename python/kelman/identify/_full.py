# SPDX-License-Identifier: BSD-3-Clause
"""Templates in which everything is free, begun at a subspace estimate: for fits that are given only an order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kelman.lti import spectral_radius
from kelman.models import Free, Template
from kelman.models._following import OutputDiffuse, observed
from kelman.models._maps import AffineMap, Entries
from kelman.models._template_parse import Block, Parameter, Place, parse
from kelman.models._transforms import Bounded

if TYPE_CHECKING:
    from kelman._types import Array, Initial
    from kelman.models import StateSpace
    from kelman.models._maps import EntryMap
    from kelman.models._template_parse import Parsed

_ILL = 1e8
"""A state that the next n measurements show as badly as that keeps its basis."""


def innovation_template(model: StateSpace, K: Array, Sigma: Array, z: Any, u: Any = None) -> Template:
    """A, H, K, Sigma (and B, D, b, c) free: the innovation form, Q = K Sigma K', S = K Sigma, R = Sigma.

    It is the general linear-Gaussian model, up to the basis of the state: n^2 directions of the parameters are flat.
    z and u are lists of the series.
    """
    whole = _whole(model, z, u)
    noise = {"R": Free(_definite(Sigma), name="Sigma"), "S": Free(whole.basis @ K, name="K")}
    parsed = _parsed(whole.arrays | noise | {"Q": np.zeros_like(model.A)}, whole)
    n, m = K.shape
    index = np.indices((n, n)).reshape(2, -1)
    count = len(parsed.constants)
    at = {place.field: place.entries for place in parsed.places}
    parsed.places.append(Place("Q", tuple(index), slice(count, count + n * n)))
    return _of(parsed, InnovationMap(parsed.map(), at["S"], at["R"], n, m), whole, model)


def full_template(model: StateSpace, Q: Array, R: Array, z: Any, u: Any = None) -> Template:
    """A, H, Q, R (and B, D, b, c) free, S zero, as EM needs it.

    Where Q has more entries than the data determine, these directions are flat too.
    """
    whole = _whole(model, z, u)
    noise = {"Q": Free(_definite(whole.basis @ Q @ whole.basis.T)), "R": Free(_definite(R))}
    parsed = _parsed(whole.arrays | noise, whole)
    return _of(parsed, parsed.map(), whole, model)


class _Whole(NamedTuple):
    """Free arrays, the basis that they are in, and the kind of start.

    Where the start is diffuse, offsets are b = drift + along g - B centre and c = level - D centre, of which m numbers g are free: the
    level of the state is free already, and at a mode on the unit circle only b can make it drift. Meant at the mean input,
    `centre`, they can be told from B and D, as those at an input of zero, perhaps far from all that was, hardly could.
    """

    arrays: dict[str, Any]
    basis: Array
    stationary: bool
    centre: Array
    drift: Array | None = None
    along: Array | None = None


def _whole(model: StateSpace, z: Any, u: Any) -> _Whole:
    """What both templates share.

    Without inputs the start is stationary, as long as no mode is slower than the longest series. With inputs, which went on before
    the first measurement nobody knows how, or a slow mode, it is diffuse in units of the measurements (`OutputDiffuse`): the
    likelihood of any other diffuse start depends on the basis and so has no top, and a free first state invites a slow
    mode that explains nothing but the start. The basis is then one in which P1_inf is the identity.
    """
    n, m, p = model.dims.n, model.dims.m, model.dims.p
    stationary = is_stationary(model, z)
    basis: Any = np.eye(n) if stationary else np.linalg.qr(observed(model.A, model.H), mode="r")
    basis = basis if np.linalg.cond(basis) < _ILL else np.eye(n)
    back = np.linalg.inv(basis)
    own = {"A": basis @ model.A @ back, "H": model.H @ back}
    own |= {name: basis @ part for name in ("B", "b") if (part := getattr(model, name)) is not None}
    own |= {name: part for name in ("D", "c") if (part := getattr(model, name)) is not None}
    free: dict[str, Any] = {name: Free(part) for name, part in own.items()}
    if stationary or "c" not in own:
        return _Whole(free, basis, stationary, np.zeros(p))
    centre = np.concatenate(u).mean(axis=0) if p else np.zeros(0)
    drift = own.get("b", np.zeros(n)) + (own["B"] @ centre if "B" in own else 0.0)
    level = own["c"] + (own["D"] @ centre if "D" in own else 0.0)
    free["c"] = level if n >= m else Free(level, name="level")
    along = np.linalg.pinv(own["H"]) if n >= m else np.zeros((n, 0))
    free["b"] = np.zeros(n)
    return _Whole(free, basis, stationary, centre, drift, along)


def is_stationary(model: StateSpace, z: Any) -> bool:
    """Whether a whole free model begun here, for a list of series z, starts in its stationary distribution."""
    longest = max(len(one) for one in z)
    return model.dims.p == 0 and bool(spectral_radius(model.A) < 1 - 1 / longest)


def _parsed(arrays: dict[str, Any], whole: _Whole) -> Parsed:
    """Read arrays, with the offsets as `_Whole` says."""
    parsed = parse(arrays, False)
    if whole.drift is None or whole.along is None:
        return parsed
    first = len(parsed.parameters)
    for j in range(whole.along.shape[1]):
        parsed.parameters.append(Parameter(f"drift[{j}]", 0.0, field="b"))
        parsed.blocks.append(Block(Bounded(-np.inf, np.inf), np.array([first + j])))
    place = _place(parsed, "b", whole.drift)
    for (i, j), slope in np.ndenumerate(whole.along):
        parsed.terms.append((place.entries.start + i, first + j, float(slope)))
    _take(parsed, place, "B", whole.centre)
    if "D" in arrays:
        known = next((found for found in parsed.places if found.field == "c"), None)
        _take(parsed, known or _place(parsed, "c", parsed.base["c"]), "D", whole.centre)
    return parsed


def _place(parsed: Parsed, name: str, constant: Array) -> Place:
    """Make room for all entries of a vector."""
    first, size = len(parsed.constants), len(constant)
    parsed.base[name] = np.array(constant)
    parsed.constants += np.asarray(constant).tolist()
    parsed.places.append(Place(name, (np.arange(size),), slice(first, first + size)))
    return parsed.places[-1]


def _take(parsed: Parsed, place: Place, by: str, centre: Array) -> None:
    """Take what the mean input does from an offset."""
    for k, i in enumerate(place.index[0].tolist()):
        for j, mean in enumerate(centre.tolist()):
            if f"{by}[{i},{j}]" in parsed.number:
                parsed.terms.append((place.entries.start + k, parsed.number[f"{by}[{i},{j}]"], -mean))


def _of(parsed: Parsed, entry_map: EntryMap, whole: _Whole, model: StateSpace) -> Template:
    base, following, lag = dict(parsed.base), None, model.input_lag
    initial: Initial = "stationary"
    if not whole.stationary:
        base["P1_inf"], following, initial = np.eye(model.dims.n), OutputDiffuse(), "auto"
    made = Template._of(base, parsed.parameters, parsed.blocks, parsed.places, entry_map, initial, lag, following)
    made._loose = True
    return made


def _definite(cov: Array) -> Array:
    """The covariance with a little of its mean variance added if it has no Cholesky factor of good condition."""
    values = np.linalg.eigvalsh(cov)
    if values[0] > 1e-6 * values[-1]:
        return cov
    size = float(np.trace(cov)) / len(cov)
    return np.asarray(cov + (0.01 * size if size > 0 else 1e-8) * np.eye(len(cov)))


@dataclass(frozen=True, eq=False)
class InnovationMap:
    """Entries of S = K Sigma, R = Sigma and Q = K Sigma K' from K and Sigma, and the others as they are.

    Attributes
    ----------
    inner : AffineMap
        Gives K where S will be, and Sigma where R is.
    gain, noise : slice
        The entries of K (n, m) and Sigma (m, m), in row order.
    n, m : int
        Sizes.
    """

    inner: AffineMap
    gain: slice
    noise: slice
    n: int
    m: int

    def entries(self, theta: Array) -> Entries:
        """Return the entries of theta."""
        n, m, inner = self.n, self.m, self.inner.entries(theta)
        lead = theta.shape[:-1]
        K = inner.values[..., self.gain].reshape(*lead, n, m)
        Sigma = inner.values[..., self.noise].reshape(*lead, m, m)
        S = K @ Sigma
        Q = S @ np.swapaxes(K, -1, -2)
        values = np.concatenate([inner.values, Q.reshape(*lead, n * n)], axis=-1)
        values[..., self.gain] = S.reshape(*lead, n * m)
        rows, cols, slopes = self._derivatives(K, Sigma, S)
        kept = (inner.rows < self.gain.start) | (inner.rows >= self.gain.stop)
        return Entries(
            values,
            np.concatenate([inner.rows[kept], rows]),
            np.concatenate([inner.cols[kept], cols]),
            np.concatenate([inner.slopes[..., kept], slopes], axis=-1),
        )

    def _derivatives(self, K: Array, Sigma: Array, S: Array) -> tuple[Array, Array, Array]:
        """dS = dK Sigma + K dSigma (n, m) and dQ = dK S' + S dK' + K dSigma K' (n, n), entry by entry."""
        n, m = self.n, self.m
        of = np.empty(len(self.inner.constant), dtype=np.intp)
        of[self.inner.rows] = self.inner.cols
        k, r = of[self.gain].reshape(n, m), of[self.noise].reshape(m, m)
        s_row = self.gain.start + np.arange(n * m).reshape(n, m)
        q_row = len(self.inner.constant) + np.arange(n * n).reshape(n, n)
        lead = K.shape[:-2]

        def part(row: Array, col: Array, slope: Array, shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
            flat = np.broadcast_to(slope, (*lead, *shape)).reshape(*lead, -1)
            return np.broadcast_to(row, shape).ravel(), np.broadcast_to(col, shape).ravel(), flat

        parts = [
            # S[i, a] by K[i, b]: Sigma[b, a]; by Sigma[b, a]: K[i, b]; axes (i, a, b)
            part(s_row[:, :, None], k[:, None, :], np.swapaxes(Sigma, -1, -2)[..., None, :, :], (n, m, m)),
            part(s_row[:, :, None], r.T[None], K[..., :, None, :], (n, m, m)),
            # Q[i, j] by K[i, a]: S[j, a], and by K[j, a]: S[i, a]; axes (i, j, a)
            part(q_row[:, :, None], k[:, None, :], S[..., None, :, :], (n, n, m)),
            part(q_row[:, :, None], k[None, :, :], S[..., :, None, :], (n, n, m)),
            # Q[i, j] by Sigma[a, b]: K[i, a] K[j, b]; axes (i, j, a, b)
            part(q_row[:, :, None, None], r, K[..., :, None, :, None] * K[..., None, :, None, :], (n, n, m, m)),
        ]
        rows, cols, slopes = zip(*parts, strict=True)
        return np.concatenate(rows), np.concatenate(cols), np.concatenate(slopes, axis=-1)
