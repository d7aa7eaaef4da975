# SPDX-License-Identifier: BSD-3-Clause
"""Two dynamics side by side, by what does not depend on the basis of their states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman._arrays import as_count
from kelman.bridge._dynamics import Dynamics
from kelman.bridge._excess import exact_risk
from kelman.bridge._moments import moments_of_model
from kelman.bridge._predictor import LinearPredictor, predictor_of_elman, predictor_of_model
from kelman.bridge._project import metric_of, weighted_hankel
from kelman.errors import KelmanError, NoSteadyStateError
from kelman.models import Elman, StateSpace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kelman.bridge._data import FloatArray

__all__ = ["Comparison", "compare"]

_STEPS = 50


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Comparison:
    """What two systems have in common; a is the yardstick.

    Attributes
    ----------
    poles_a, poles_b : ndarray of complex
        Poles, matched pairwise as far as the smaller order goes; the rest follow unmatched.
    pole_distance : ndarray
        Distances of the matched pairs.
    markov_error : float
        Relative error of the responses of z to [u, e] at lags 1 to ``steps``: ||M_a - M_b|| / ||M_a|| (e in units of a's innovation).
    h2_error : float
        The same over all lags, ||G_a - G_b||_2 / ||G_a||_2 without the direct terms; NaN where a system is not stable.
    nu_gap : float
        Vinnicombe's distance of the systems from [u, e] to z: 0 for equal, 1 for incomparable ones; also for unstable systems, NaN
        where a mode on the unit circle is not reached or not seen.
    hankel_a, hankel_b : ndarray
        Hankel singular values of the predictors, weighted by the covariances under a.
    excess_ab : float
        Excess risk of b's predictor where a is the truth (stationary; over 1,000 steps where A is not stable).
    excess_ba : float
        Excess risk of a's predictor where b is the truth.
    """

    poles_a: NDArray[Any]
    poles_b: NDArray[Any]
    pole_distance: NDArray[Any]
    markov_error: float
    h2_error: float
    nu_gap: float
    hankel_a: NDArray[Any]
    hankel_b: NDArray[Any]
    excess_ab: float
    excess_ba: float

    def summary(self) -> str:
        """Table of poles and distances.

        Returns
        -------
        str
            One line per pole, then one per distance.
        """
        lines = [f"{'pole a':>22} {'pole b':>22} {'distance':>10}"]
        for i in range(max(len(self.poles_a), len(self.poles_b))):
            a, b = (_text(poles[i]) if i < len(poles) else "" for poles in (self.poles_a, self.poles_b))
            gap = f"{self.pole_distance[i]:10.3g}" if i < len(self.pole_distance) else ""
            lines.append(f"{a:>22} {b:>22} {gap:>10}".rstrip())
        values = (
            ("impulse response, relative error", self.markov_error),
            ("H2 norm, relative error", self.h2_error),
            ("nu-gap", self.nu_gap),
            ("excess risk of b under a", self.excess_ab),
            ("excess risk of a under b", self.excess_ba),
        )
        lines += [f"{name:<36}{value:.6g}" for name, value in values]
        for name, hankel in (("a", self.hankel_a), ("b", self.hankel_b)):
            lines.append(f"{f'Hankel singular values of {name}':<36}{', '.join(f'{v:.4g}' for v in hankel)}")
        return "\n".join(lines)

    def plot(self, **options: Any) -> Any:
        """Draw poles and impulse responses side by side (extra ``app``); see ``kelman.plotting``."""
        from kelman import _registry

        return _registry.plot(self, **options)

    def __repr__(self) -> str:
        worst = self.pole_distance.max(initial=0.0)
        return f"Comparison(poles within {worst:.3g}, nu-gap {self.nu_gap:.3g}, excess {self.excess_ab:.3g})"


def compare(a: Any, b: Any, *, steps: int = _STEPS) -> Comparison:
    """Compare two linear dynamics by invariants: poles, impulse responses, nu-gap, H2, Hankel values, excess risk.

    Parameters
    ----------
    a, b : StateSpace, linear Elman, Dynamics, or a fit with a ``model``
        Systems with the same measured values and inputs; a is the yardstick (the truth, if there is one).
    steps : int, default 50
        Lags of the impulse response.

    Returns
    -------
    Comparison
        Numbers, ``summary()`` and ``plot()``.

    Notes
    -----
    A network has no innovation covariance; the other side's is used for it (the identity, if neither has one).

    References
    ----------
    Vinnicombe 1993 (nu-gap). Kuhn 1955 (assignment of the poles).

    Examples
    --------
    >>> import kelman
    >>> model = kelman.StateSpace([[0.9]], [[1.0]], [[1.0]], [[1.0]])
    >>> c = kelman.compare(model, kelman.to_elman(model))
    >>> c.markov_error < 1e-12, c.nu_gap < 1e-7
    (True, True)
    """
    as_count(steps, "steps")
    first, Sigma_a = _system(a, "a")
    second, Sigma_b = _system(b, "b")
    if (first.m, first.p) != (second.m, second.p):
        raise KelmanError(
            f"b: expected {first.m} measured values and {first.p} inputs as in a, got {second.m} and {second.p}"
        )
    Sigma_a, Sigma_b = _both(Sigma_a, Sigma_b, first.m)
    poles_a, poles_b, distance = _matched(np.linalg.eigvals(first.A), np.linalg.eigvals(second.A))
    unit = np.linalg.cholesky((Sigma_a + Sigma_a.T) / 2 + 1e-14 * np.trace(Sigma_a) * np.eye(first.m))
    G_a, G_b = (_channel(system, unit) for system in (first, second))
    error, size = (_responses(G_a, steps) - _responses(G_b, steps)), _responses(G_a, steps)
    metric = metric_of(moments_of_model(first, Sigma_a, steps), Sigma_a, bool(first.p))
    hankel = [weighted_hankel(s.markov(steps), metric)[0][: s.n] for s in (first, second)]
    white = "white" if first.p else None
    return Comparison(
        poles_a=poles_a,
        poles_b=poles_b,
        pole_distance=distance,
        markov_error=_ratio(float(np.linalg.norm(error)), float(np.linalg.norm(size))),
        h2_error=_h2_error(G_a, G_b),
        nu_gap=_nu_gap(G_a, G_b),
        hankel_a=hankel[0],
        hankel_b=hankel[1],
        excess_ab=float(exact_risk(second, first, Sigma_a, None, white)),
        excess_ba=float(exact_risk(first, second, Sigma_b, None, white)),
    )


_System = tuple[Any, Any, Any, Any]


def _system(value: Any, name: str) -> tuple[LinearPredictor, FloatArray | None]:
    """Predictor and innovation covariance of what was given."""
    if isinstance(value, Dynamics):
        return value.predictor, value.Sigma
    if isinstance(value, Elman):
        return predictor_of_elman(value)[0], None
    model = value if isinstance(value, StateSpace) else getattr(value, "model", None)
    if isinstance(model, StateSpace):
        return predictor_of_model(model, name)
    raise KelmanError(
        f"{name}: expected a StateSpace, a linear Elman network, a Dynamics or a fit with a model, got {type(value).__name__}"
    )


def _both(a: FloatArray | None, b: FloatArray | None, m: int) -> tuple[FloatArray, FloatArray]:
    """Innovation covariances, each side's own or else the other's."""
    either = a if a is not None else b
    common = np.eye(m) if either is None else either
    return (common if a is None else a), (common if b is None else b)


def _matched(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Poles in the order of the pairs, those without a partner last."""
    from kelman.lti import match_poles

    a, b = (v[np.lexsort((-v.imag, -np.round(np.abs(v), 12)))] for v in (a, b))
    if len(a) <= len(b):
        index, distance = match_poles(a, b)
        rest = np.setdiff1d(np.arange(len(b)), index)
        return a, b[np.concatenate([index, rest]).astype(int)], distance
    index, distance = match_poles(b, a)
    rest = np.setdiff1d(np.arange(len(a)), index)
    return a[np.concatenate([index, rest]).astype(int)], b, distance


def _channel(p: LinearPredictor, unit: FloatArray) -> _System:
    """From [u, e / sd(e)] to z."""
    return p.A, np.hstack([p.B, p.K @ unit]), p.H, np.hstack([p.D, unit])


def _responses(system: _System, steps: int) -> FloatArray:
    """Impulse response at lags 1 to ``steps``, with the direct terms of u at lag 0."""
    from kelman.lti import markov

    A, B, H, D = system
    known = D.copy()
    known[:, D.shape[1] - D.shape[0] :] = 0.0  # what e adds at once is no response
    return markov(A, B, H, steps, known)


def _h2_error(a: _System, b: _System) -> float:
    """H2 norm of the difference over that of a, without what e adds at once (it is the same in both)."""
    from kelman.lti import h2_norm

    if max(float(np.abs(np.linalg.eigvals(s[0])).max(initial=0.0)) for s in (a, b)) >= 1 - 1e-10:
        return float("nan")
    n, k, m = len(a[0]), len(b[0]), len(a[3])
    A = np.block([[a[0], np.zeros((n, k))], [np.zeros((k, n)), b[0]]])
    known = a[3].copy()
    known[:, known.shape[1] - m :] = 0.0
    gap = h2_norm(A, np.vstack([a[1], b[1]]), np.hstack([a[2], -b[2]]), a[3] - b[3])
    return _ratio(gap, h2_norm(a[0], a[1], a[2], known))


def _nu_gap(a: _System, b: _System) -> float:
    """Gap, or NaN where a mode on the unit circle is not reached or not seen."""
    from kelman.lti import nu_gap

    try:
        return float(nu_gap(a, b))
    except NoSteadyStateError:
        return float("nan")


def _ratio(gap: float, size: float) -> float:
    return gap / size if size > 0 else (0.0 if gap == 0 else float("inf"))


def _text(pole: complex) -> str:
    return f"{pole.real:.5f}{pole.imag:+.5f}j" if abs(pole.imag) > 1e-12 else f"{pole.real:.5f}"
