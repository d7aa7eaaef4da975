# SPDX-License-Identifier: BSD-3-Clause
"""`diagnose`: does a model describe these data?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman import _registry
from kelman._arrays import as_count, collapsed
from kelman.errors import KelmanError
from kelman.identify import _auxiliary, _diagnosis_text, _innovations, _residual_tests as tests, _structure
from kelman.linear._problem import require_model

if TYPE_CHECKING:
    from kelman._types import Array, ArrayLike
    from kelman.identify._auxiliary import Flag
    from kelman.identify._innovations import NormalisedSquares
    from kelman.identify._residual_tests import ResidualTest
    from kelman.identify._structure import Reach
    from kelman.models import StateSpace


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """What `diagnose` found. ... stands for N when several series were given, and for nothing when one was.

    Attributes
    ----------
    innovations : ndarray, shape (..., T, m)
        Standardised innovations: independent standard normal numbers if the model is right. Component i is standardised
        given the components before it (Cholesky). NaN in gaps, and at steps that see a diffuse direction of the state for the first time.
    mean, serial_correlation, normality, heteroscedasticity : ResidualTest
        z-score of the mean; Ljung-Box; Bowman-Shenton (Jarque-Bera), with ``details["skewness"]`` and ``["kurtosis"]``
        (excess); H(h), the mean square of the last third over that of the first.
    nis : NormalisedSquares
        Normalised innovations squared, with bands.
    nees : NormalisedSquares or None
        Normalised state errors squared, if the true states were given.
    outliers, breaks : ndarray, shapes (..., T, m) and (..., T, n)
        Auxiliary residuals: t-statistics of a shock to one measured value, and of a jump of one state.
    outlier_sizes, break_sizes : ndarray
        Estimated sizes of these shocks, in units of z and of the state.
    flags : tuple of Flag
        Shocks whose t-statistic exceeds `threshold`, the largest first, without their echoes.
    threshold : float
        Size of t from which a shock is flagged.
    observability : Reach
        What the measurements see of the state.
    noise_reach, input_reach : Reach or None
        What the noise and the inputs move (None: no inputs).
    condition : float
        Largest condition number of an innovation covariance, its diagonal scaled to one.
    condition_at : (int, int)
        Series and time where it is.
    loglik : float
        Log-likelihood of all series together.
    level : float
        Probability of the bands; one minus it is the size of the tests.
    """

    innovations: Array
    mean: ResidualTest
    serial_correlation: ResidualTest
    normality: ResidualTest
    heteroscedasticity: ResidualTest
    nis: NormalisedSquares
    nees: NormalisedSquares | None
    outliers: Array
    outlier_sizes: Array
    breaks: Array
    break_sizes: Array
    flags: tuple[Flag, ...]
    threshold: float
    observability: Reach
    noise_reach: Reach
    input_reach: Reach | None
    condition: float
    condition_at: tuple[int, int]
    loglik: float
    level: float
    _batched: bool = field(repr=False)

    @property
    def tests(self) -> tuple[ResidualTest, ...]:
        """The four tests of the innovations."""
        return self.mean, self.serial_correlation, self.normality, self.heteroscedasticity

    @property
    def passed(self) -> bool:
        """Whether no test rejects the model and NIS (and NEES) lie in their bands, at the level of the bands."""
        fine = all(not test.worst < 1 - self.level for test in self.tests)
        return fine and self.nis.consistent and (self.nees is None or self.nees.consistent)

    def summary(self) -> str:
        """Say in plain words what was found.

        Returns
        -------
        str
            A line for each check, with its figures and what a failure usually means.
        """
        return _diagnosis_text.summary(self)

    def plot(self, **options: Any) -> Any:
        """Draw the innovations, their distribution and correlation, NIS and auxiliary residuals (needs matplotlib).

        Parameters
        ----------
        **options
            ``series`` and ``component`` (both 0 unless given) choose what is drawn.

        Returns
        -------
        matplotlib.figure.Figure
        """
        return _registry.plot(self, **options)

    def __repr__(self) -> str:
        word = "no objection" if self.passed else "objections"
        return f"Diagnosis(innovations {self.innovations.shape}, {word}, {len(self.flags)} flags)"


def diagnose(
    model: StateSpace,
    z: ArrayLike,
    u: ArrayLike | None = None,
    *,
    states: ArrayLike | None = None,
    lags: int | None = None,
    fitted: int = 0,
    level: float = 0.95,
    threshold: float = 3.0,
) -> Diagnosis:
    r"""Check whether a model describes measurements: residual tests, consistency, outliers, breaks, structure.

    Parameters
    ----------
    model : StateSpace
        The model, shared by all series or one per series.
    z : array_like, shape (T,), (T, m) or (N, T, m), or a list of series
        Measurements; NaN = missing.
    u : array_like, shape (T, p) or (N, T, p), or a list, optional
        Inputs. Needed if the model has B or D.
    states : array_like, shape (..., T, n), optional
        The true states, as a simulation has them; NEES is computed with them.
    lags : int, optional
        Lags of the serial correlation test. The square root of the number of values of a series when left out.
    fitted : int, default 0
        How many parameters of the dynamics were fitted to these data: taken off the degrees of freedom of Ljung and Box.
    level : float, default 0.95
        Probability of the bands; 1 - level is the size of the tests in `summary`.
    threshold : float, default 3
        Size of a t-statistic from which a shock is flagged; one t-statistic in 370 exceeds 3 by chance.

    Returns
    -------
    Diagnosis
        Figures of every check, ``flags``, ``summary()`` and ``plot()``.

    Raises
    ------
    KelmanError
        If an argument does not fit; the message names it.
    NumericalError
        As `filter`.

    Notes
    -----
    Tests: Durbin and Koopman, 2nd ed. (2012), section 2.12 (Ljung and Box; Bowman and Shenton; H(h)); with gaps, each lag
    of Ljung and Box counts by the number of its pairs. Several series are tested one by one, and together.
    NIS and NEES: Bar-Shalom, Li and Kirubarajan, *Estimation with Applications to Tracking and Navigation* (2001),
    section 5.4; errors of states are correlated in time, and the band of their average is widened for it.
    Outliers and breaks: de Jong and Penzer, JASA 93 (1998) 796; Harvey and Koopman, JBES 10 (1992) 377. A t-statistic asks
    what *one* shock at that place would explain, and a real one also shows at its neighbours: for ``flags`` the largest are
    taken, their effects subtracted, and so on with what is left (25 times at most).
    Innovations that determine a diffuse start are left out of the tests; shocks are looked for at every step.

    Examples
    --------
    The Nile, with the figures of Durbin and Koopman (2012), section 2.12:

    >>> import kelman
    >>> model = kelman.StateSpace([[1.0]], [[1.0]], [[1469.1]], [[15099.0]])
    >>> d = kelman.diagnose(model, kelman.datasets.nile().z)
    >>> print(d.serial_correlation.statistic.round(2), d.heteroscedasticity.statistic.round(2))
    [8.84] [0.61]
    >>> d.passed
    True
    """
    require_model(model, "diagnose")
    if lags is not None:
        as_count(lags, "lags")
    as_count(fitted, "fitted", least=0)
    _require_number(level, "level", 0, 1)
    _require_number(threshold, "threshold", 0, np.inf)
    run = _innovations.run(model, z, u)
    batched, T = run.batched, run.z.shape[1]
    e = _innovations.standardised(run)
    if not np.isfinite(e).any():
        raise KelmanError(
            "z: leaves no innovation to look at: everything is missing, or needed to determine a diffuse start"
        )
    chosen = lags or tests.default_lags(int(np.isfinite(e).sum(1).max()))
    found = _auxiliary.auxiliary(model, run)
    condition, place = _conditioning(run)
    parts = {
        "innovations": e,
        "outliers": found.outlier,
        "outlier_sizes": found.outlier_size,
        "breaks": found.shift,
        "break_sizes": found.shift_size,
    }
    return Diagnosis(
        **{name: _sealed(part if batched else part[0]) for name, part in parts.items()},
        mean=tests.of_mean(e, batched),
        serial_correlation=tests.of_serial_correlation(e, batched, chosen, fitted),
        normality=tests.of_normality(e, batched),
        heteroscedasticity=tests.of_heteroscedasticity(e, batched, run.tells),
        nis=_innovations.nis(e, batched, float(level)),
        nees=None if states is None else _innovations.nees(run, states, float(level)),
        flags=_auxiliary.flags(model, run, found, float(threshold)),
        threshold=float(threshold),
        observability=_structure.observability(model, T),
        noise_reach=_structure.reachability(model, T, inputs=False),
        input_reach=None if model.B is None else _structure.reachability(model, T, inputs=True),
        condition=condition,
        condition_at=place,
        loglik=float(np.sum(run.result.loglik)),
        level=float(level),
        _batched=batched,
    )


def _require_number(value: Any, name: str, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not low < value < high:
        between = f"between {low} and {high}" if np.isfinite(high) else f"above {low}"
        raise KelmanError(f"{name}: expected a number {between}, got {value!r:.60}")


def _conditioning(run: _innovations.Filtered) -> tuple[float, tuple[int, int]]:
    """Largest condition number among the innovation covariances with diagonal scaled to one, and where it is."""
    F = collapsed(run.array("innovation_cov"))
    size = np.sqrt(np.maximum(np.diagonal(F, axis1=-2, axis2=-1), 0.0))
    finite = np.isfinite(size).all(-1) & (size > 0).all(-1)
    scale = np.where(finite[..., None], 1 / np.where(size > 0, size, 1.0), 0.0)
    unit = np.where(finite[..., None, None], scale[..., :, None] * F * scale[..., None, :], np.eye(F.shape[-1]))
    values = np.linalg.eigvalsh(unit)
    with np.errstate(divide="ignore"):
        condition = np.where(
            values[..., 0] > 0, values[..., -1] / np.where(values[..., 0] > 0, values[..., 0], 1.0), np.inf
        )
    i, k = (int(index) for index in np.unravel_index(int(np.argmax(condition)), condition.shape))
    return float(condition[i, k]), (i, k)


def _sealed(array: Array) -> Array:
    array.flags.writeable = False
    return array
