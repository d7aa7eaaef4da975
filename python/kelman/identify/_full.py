# SPDX-License-Identifier: BSD-3-Clause
"""Templates in which everything is free, begun at a subspace estimate: for fits that are given only an order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.errors import KelmanError
from kelman.lti import spectral_radius
from kelman.models import Free, Template
from kelman.models._maps import AffineMap, Entries
from kelman.models._template_parse import Place, parse

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.models import StateSpace


class NoStationaryStartError(KelmanError):
    """The exact likelihood of a whole free model is asked for, and it has no stationary start."""


def innovation_template(model: StateSpace, K: Array, Sigma: Array) -> Template:
    """A, H, K, Sigma (and c) free: the innovation form, Q = K Sigma K', S = K Sigma, R = Sigma.

    It is the general linear-Gaussian model, up to the basis of the state: n^2 directions of the parameters are flat.
    """
    given = _system(model) | {
        "Q": np.zeros_like(model.A),
        "R": Free(_definite(Sigma), name="Sigma"),
        "S": Free(K, name="K"),
    }
    initial = given.pop("initial", "auto")
    parsed = parse(given, False)
    n, m = K.shape
    index = np.indices((n, n)).reshape(2, -1)
    count = len(parsed.constants)
    places = [*parsed.places, Place("Q", tuple(index), slice(count, count + n * n))]
    at = {place.field: place.entries for place in parsed.places}
    entry_map = InnovationMap(parsed.map(), at["S"], at["R"], n, m)
    return Template._of(parsed.base, parsed.parameters, parsed.blocks, places, entry_map, initial, model.input_lag)


def full_template(model: StateSpace, Q: Array, R: Array) -> Template:
    """A, H, Q, R (and c) free, S zero, as EM needs it.

    Where Q has more entries than the data determine, these directions are flat too.
    """
    return Template(Q=Free(_definite(Q)), R=Free(_definite(R)), **_system(model), input_lag=model.input_lag)


def _system(model: StateSpace) -> dict[str, Any]:
    """The free arrays of both, with a stationary start.

    Another start would not do: the likelihood of a diffuse one depends on the basis and so has no top, and a free first state
    invites a slow mode that explains nothing but the start.
    """
    if model.B is not None or model.D is not None or not spectral_radius(model.A) < 1:
        why = "there are inputs" if model.B is not None else "the subspace estimate is not stable"
        raise NoStationaryStartError(
            f"method: the exact likelihood of a whole free model needs a stationary start, but {why}; use method='pem', the "
            "likelihood of the steady-state predictor, or give a template with a start"
        )
    free: dict[str, Any] = {
        name: Free(getattr(model, name)) for name in ("A", "H", "c") if getattr(model, name) is not None
    }
    return free | {"initial": "stationary"}


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
