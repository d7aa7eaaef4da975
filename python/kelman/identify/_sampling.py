# SPDX-License-Identifier: BSD-3-Clause
"""The posterior of a template's parameters, by the no-U-turn sampler on the exact gradient."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman._arrays import as_count
from kelman.errors import KelmanError
from kelman.identify._mle import maximum_likelihood
from kelman.identify._posterior import Posterior

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman._types import Array
    from kelman.identify._objective import Objective
    from kelman.identify._parameter_fit import ParameterFit
    from kelman.models import Template

_FLATTEST = 0.05
"""Least curvature, in units of the scales, that the starting metric believes in."""


class Density:
    """Log-density of the posterior and its gradient by x, with eta = centre + factor x.

    The factor is that of the inverse curvature at the mode, so that x is about standard normal.
    """

    def __init__(self, fit: ParameterFit) -> None:
        self.objective: Objective = fit._objective
        self.template: Template = fit.template
        self.centre = np.array(fit._eta)
        self.factor = _metric(fit)

    def eta(self, x: Array) -> Array:
        """Unconstrained parameters of x (..., K)."""
        return np.asarray(self.centre + x @ self.factor.T)

    def __call__(self, x: Array) -> tuple[float, Array]:
        """Value and gradient at x (K,); -inf and zeros where there is no such model."""
        eta = self.eta(x)
        value, gradient = self.objective(eta)
        if not np.isfinite(value):
            return -np.inf, np.zeros_like(x)
        volume, slope = self.template.log_volume(eta)
        return value + volume, (gradient + slope) @ self.factor


def _metric(fit: ParameterFit) -> Array:
    scale = np.array(fit._scale)
    held = fit._information.held
    try:
        bend = -fit._objective.second(np.array(fit._eta), scale) * np.outer(scale, scale)
    except KelmanError:
        return np.diag(scale)
    bend[held] = bend[:, held] = 0.0
    values, vectors = np.linalg.eigh(bend)
    return np.asarray(scale[:, None] * vectors / np.sqrt(np.maximum(values, _FLATTEST)))


def sample_posterior(
    template: Template,
    z: Any,
    u: Any = None,
    *,
    draws: int = 1000,
    tune: int = 500,
    chains: int = 4,
    seed: int | None = 0,
    threads: int | None = None,
    max_iter: int = 200,
    progress: bool = False,
    report: Callable[[int, float], None] | None = None,
) -> Posterior:
    """Draw from the posterior of a template's parameters; see `fit`."""
    draws, tune, chains = as_count(draws, "draws"), as_count(tune, "tune"), as_count(chains, "chains")
    seed = None if seed is None else as_count(seed, "seed", least=0)
    nutpie = _nutpie()
    if template.size == 0:
        raise KelmanError("template: nothing is free, so there is nothing to draw")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where the climb ended does not matter for the draws
        fit = maximum_likelihood(template, z, u, threads=threads, max_iter=max_iter, report=report)
    density = Density(fit)
    K = template.size

    def expand(x: Array, **_: Any) -> dict[str, Array]:
        return {"x": x}

    compiled = nutpie.compiled_pyfunc.from_pyfunc(
        K,
        lambda: density,
        lambda *_: expand,
        [np.dtype(np.float64)],
        [(K,)],
        ["x"],
        dims={"x": ("parameter",)},
        coords={"parameter": list(template.names)},
        make_initial_point_fn=lambda number: np.random.default_rng(number).normal(size=K),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of arviz and nutpie about their own future
        trace = nutpie.sample(
            compiled,
            draws=draws,
            tune=tune,
            chains=chains,
            cores=1,
            seed=seed,
            progress_bar=bool(progress),
            save_warmup=False,
        )
    x = np.asarray(trace.posterior["x"].values, dtype=np.float64)
    theta = template.constrain(density.eta(x.reshape(-1, K))).reshape(x.shape)
    statistics = {name: np.asarray(values.values) for name, values in trace.sample_stats.data_vars.items()}
    return Posterior(fit=fit, theta=theta, statistics=statistics)


def _nutpie() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import arviz  # noqa: F401
            import nutpie
            import nutpie.compiled_pyfunc
    except ModuleNotFoundError as error:
        raise ImportError(
            f"method='hmc' needs {error.name}, which is not installed: pip install \"kelman[sampling]\""
        ) from error
    return nutpie
