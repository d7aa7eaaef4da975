# SPDX-License-Identifier: BSD-3-Clause
"""Draws from the posterior of a template's parameters, and what follows from them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman import _registry
from kelman._arrays import as_count
from kelman.identify._pole_report import probability
from kelman.lti import markov, poles

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman._types import Array
    from kelman.identify._parameter_fit import ParameterFit
    from kelman.models import StateSpace, Template


@dataclass(frozen=True, eq=False, repr=False)
class Posterior:
    """Draws from the posterior of a template's parameters.

    The density is the likelihood times the priors of the template; where a parameter has none it is flat in its natural value.

    Attributes
    ----------
    fit : ParameterFit
        The posterior mode (maximum likelihood without priors), where the chains began.
    theta : ndarray, shape (chains, draws, K)
        Natural parameters, in the order of ``names``.
    statistics : dict of ndarray
        Of the sampler, (chains, draws): ``diverging``, ``energy``, ``tree depth`` and so on by its names.

    Examples
    --------
    >>> import kelman
    >>> level = kelman.Template([[1.0]], [[1.0]], [[kelman.Free()]], [[kelman.Free()]], initial="diffuse")
    >>> found = kelman.fit(kelman.datasets.nile().z, template=level, method="hmc", draws=200, chains=2)
    >>> found.interval(0.9).shape
    (2, 2)
    """

    fit: ParameterFit
    theta: Array
    statistics: dict[str, Array] = field(repr=False)

    @property
    def template(self) -> Template:
        """What was fitted."""
        return self.fit.template

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return self.fit.names

    @property
    def model(self) -> StateSpace:
        """The model at the posterior mode."""
        return self.fit.model

    @property
    def divergences(self) -> int:
        """How many draws ended in a divergence; more than a few mean that a corner of the posterior was not reached."""
        return int(np.sum(self.statistics.get("diverging", np.zeros(1))))

    @property
    def rhat(self) -> Array:
        """Rank-normalised split R-hat of each parameter, (K,): about 1 when the chains agree (below 1.01)."""
        return self._diagnostic("rhat")

    @property
    def ess(self) -> Array:
        """Effective number of draws of each parameter in the bulk of its posterior, (K,)."""
        return self._diagnostic("ess")

    def _diagnostic(self, name: str) -> Array:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import arviz

            return np.array([float(getattr(arviz, name)(self.theta[:, :, k])) for k in range(self.theta.shape[2])])

    @property
    def mean(self) -> Array:
        """Posterior means of the natural parameters, (K,)."""
        return np.asarray(self.theta.mean((0, 1)))

    @property
    def std(self) -> Array:
        """Posterior standard deviations of the natural parameters, (K,)."""
        return np.asarray(self.theta.std((0, 1), ddof=1))

    def interval(self, level: float = 0.95) -> Array:
        """Central intervals of the natural parameters.

        Parameters
        ----------
        level : float, default 0.95
            Probability inside, in (0, 1).

        Returns
        -------
        ndarray, shape (K, 2)
        """
        return self._quantiles(self.theta, level)

    @staticmethod
    def _quantiles(values: Array, level: float) -> Array:
        level = probability(level)
        ends = np.quantile(values.reshape(-1, *values.shape[2:]), [(1 - level) / 2, (1 + level) / 2], axis=0)
        return np.asarray(np.moveaxis(ends, 0, -1))

    def derived(self, function: Callable[[StateSpace], Any], *, every: int = 1) -> Array:
        """Return any function of the model at the draws.

        Parameters
        ----------
        function : callable
            Takes a `StateSpace` and returns an array, always of the same shape.
        every : int, default 1
            Take every so many-th draw.

        Returns
        -------
        ndarray, shape (chains, draws / every, ...)
        """
        every = as_count(every, "every")
        taken = self.theta[:, ::every]
        return np.array([[np.asarray(function(self.template._model(one))) for one in chain] for chain in taken])

    @property
    def poles(self) -> Array:
        """Eigenvalues of A at every draw, slowest first, (chains, draws, n) of complex."""
        return self.derived(lambda model: poles(model.A.reshape(model.A.shape[-2:])))

    def noise_impulse(self, steps: int, *, every: int = 10) -> Array:
        """Response to the innovations, I, H K, H A K, ..., at the draws.

        Parameters
        ----------
        steps : int
            Last lag.
        every : int, default 10
            Take every so many-th draw.

        Returns
        -------
        ndarray, shape (chains, draws / every, steps + 1, m, m)
        """
        from kelman.linear import steady_state

        one = np.eye(self.model.dims.m)
        return self.derived(lambda s: markov(s.A, steady_state(s).K, s.H, steps, one), every=every)

    def states(self, draws: int = 200, *, rng: Any = None) -> Array:
        """Draw paths of the states given the data, the parameters drawn with them.

        Parameters
        ----------
        draws : int, default 200
            How many paths; each has parameters of its own, spread over the chains.
        rng : numpy.random.Generator or int, optional
            Where the randomness comes from.

        Returns
        -------
        ndarray, shape (draws, T, n) or (draws, N, T, n)
        """
        from kelman.linear import sample_states

        draws = as_count(draws, "draws")
        generator = np.random.default_rng(rng)
        flat = self.theta.reshape(-1, self.theta.shape[2])
        chosen = flat[np.linspace(0, len(flat) - 1, draws).astype(int)]
        data = self.fit._objective
        if data.series == 1:  # one call: a model for each path
            z = np.broadcast_to(data.z, (draws, *data.z.shape[1:]))
            u = None if data.u is None else np.broadcast_to(data.u, (draws, *data.u.shape[1:]))
            paths: Array = sample_states(self.template._model(chosen), z, 1, u=u, rng=generator)[0]
            return paths[:, None] if data.batched else paths
        return np.concatenate(
            [sample_states(self.template._model(one), data.z, 1, u=data.u, rng=generator) for one in chosen]
        )

    def to_arviz(self) -> Any:
        """Return the draws as arviz data: parameters, modulus and angle of the poles, statistics of the sampler.

        Returns
        -------
        arviz.InferenceData
            Or what takes its place in the arviz that is installed.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import arviz

            posterior: dict[str, Any] = {name: self.theta[:, :, k] for k, name in enumerate(self.names)}
            if self.model.dims.T is None and self.model.dims.N is None:
                found = self.poles
                posterior |= {"pole_modulus": np.abs(found), "pole_angle": np.abs(np.angle(found))}
            return arviz.from_dict(posterior=posterior, sample_stats=self.statistics)

    def summary(self) -> str:
        """Return a table of the posterior, as text."""
        chains, draws, _ = self.theta.shape
        rhat, ess, interval = self.rhat, self.ess, self.interval()
        width = max([9, *(len(name) for name in self.names)])
        lines = [
            f"Posterior by the no-U-turn sampler: {chains} chains of {draws} draws, {self.divergences} divergences",
            f"  {'parameter':<{width}} {'mean':>12} {'std':>11} {'2.5 %':>12} {'97.5 %':>12} {'mode':>12} {'R-hat':>7} {'ESS':>7}",
        ]
        for k, name in enumerate(self.names):
            lines.append(
                f"  {name:<{width}} {self.mean[k]:12.6g} {self.std[k]:11.4g} {interval[k, 0]:12.5g} {interval[k, 1]:12.5g} "
                f"{self.fit.theta[k]:12.5g} {rhat[k]:7.3f} {ess[k]:7.0f}"
            )
        if rhat.max() > 1.01:
            lines.append("  R-hat above 1.01: the chains do not agree yet; draw more")
        if ess.min() < 100 * chains:
            lines.append(
                f"  fewer than {100 * chains} effective draws of some parameter: intervals are rough; draw more"
            )
        return "\n".join(lines)

    def plot(self, **options: Any) -> Any:
        """Draw the posterior (needs matplotlib); options go to ``kelman.plotting``."""
        return _registry.plot(self, **options)

    def __repr__(self) -> str:
        return f"Posterior({self.theta.shape[0]} chains of {self.theta.shape[1]} draws, {len(self.names)} parameters)"
