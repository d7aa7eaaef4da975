# SPDX-License-Identifier: BSD-3-Clause
"""The verb `fit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from kelman._arrays import as_count, as_flag, one_of
from kelman.errors import KelmanError
from kelman.identify._em_fit import expectation_maximisation
from kelman.identify._fit import Plan, innovation_fit, require_tolerance
from kelman.identify._mle import maximum_likelihood
from kelman.identify._panel_fit import PanelFit, panel_fit
from kelman.identify._progress import Progress
from kelman.identify._whole import begin_whole, has_gaps

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman.identify._parameter_fit import ParameterFit
    from kelman.identify._posterior import Posterior
    from kelman.identify._result import Fit
    from kelman.identify._stages import Stage
    from kelman.models import Template

_LATER = ("gibbs",)
_OF_TEMPLATES = ("auto", "mle", "em", "hmc")
_METHODS = ("auto", "subspace", "pem", "mle", "em", "hmc")


class _Options(TypedDict, total=False):
    """The options that every way of fitting has."""

    weighting: str
    block_rows: int | None
    offset: bool | str
    direct: bool
    x1: str
    max_iter: int | None
    tol: float
    starts: int
    covariance: str
    draws: int
    tune: int
    chains: int
    seed: int | None
    threads: int | None
    progress: bool | Callable[[int, float], Any] | None


@overload
def fit(
    z: Any,
    u: Any = None,
    *,
    n_states: None = None,
    template: Template,
    method: Literal["hmc"],
    per_series: Literal[False] = False,
    **options: Unpack[_Options],
) -> Posterior: ...
@overload
def fit(
    z: Any,
    u: Any = None,
    *,
    n_states: None = None,
    template: Template,
    method: str = "auto",
    per_series: Literal[True],
    **options: Unpack[_Options],
) -> PanelFit: ...
@overload
def fit(
    z: Any,
    u: Any = None,
    *,
    n_states: int | None = None,
    per_series: Literal[False] = False,
    template: Template,
    method: str = "auto",
    **options: Unpack[_Options],
) -> ParameterFit: ...
@overload
def fit(
    z: Any,
    u: Any = None,
    *,
    n_states: int | None = None,
    template: None = None,
    method: Literal["subspace", "pem"],
    **options: Unpack[_Options],
) -> Fit: ...
@overload
def fit(
    z: Any,
    u: Any = None,
    *,
    n_states: int | None = None,
    template: None = None,
    method: Literal["auto"] = "auto",
    **options: Unpack[_Options],
) -> Fit | Any: ...  # a ParameterFit where there are gaps
@overload
def fit(
    z: Any,
    u: Any = None,
    *,
    n_states: int | None = None,
    template: Template | None = None,
    method: str,
    **options: Unpack[_Options],
) -> Fit | ParameterFit: ...
def fit(
    z: Any,
    u: Any = None,
    *,
    n_states: int | None = None,
    template: Template | None = None,
    method: str = "auto",
    weighting: str = "cca",
    block_rows: int | None = None,
    offset: bool | str = "auto",
    direct: bool = True,
    x1: str = "auto",
    max_iter: int | None = None,
    tol: float = 1e-8,
    starts: int = 1,
    covariance: str = "hessian",
    per_series: bool = False,
    draws: int = 1000,
    tune: int = 500,
    chains: int = 4,
    seed: int | None = 0,
    threads: int | None = None,
    progress: bool | Callable[[int, float], Any] | None = None,
) -> Fit | ParameterFit | PanelFit | Posterior:
    r"""Fit a linear state-space model: one of a given order, or one of which some entries are unknown.

    With an order, a model in innovation form (a `Fit`),

    .. math:: x_{k+1} = A x_k + B u_k + b + K e_k, \qquad z_k = H x_k + D u_k + c + e_k

    or, with ``method="mle"`` (or "em"), the same by its exact likelihood, which takes gaps (a `ParameterFit`). With a `Template`, its
    parameters by maximum likelihood on the exact gradient, or the posterior mode where it has priors (a `ParameterFit`).

    Parameters
    ----------
    z : array_like, shape (T,), (T, m) or (N, T, m), or a list of series
        Measurements. Two dimensions are always (T, m). NaN is a gap: a template, "mle" and "em" use every other value, "subspace"
        leaves out the windows that touch a gap, "pem" refuses it.
    u : array_like, the same shape with p in place of m, optional
        Inputs; one series of inputs serves all series of z of its length.
    n_states : int, optional
        Number of states. When left out it is chosen by BIC over the subspace estimates of all orders whose canonical correlation exceeds
        what noise alone would show (see Notes).
    template : Template, optional
        What is known of the model, and what is free. In place of `n_states`.
    method : {"auto", "subspace", "pem", "mle", "em", "hmc"}
        "subspace": one decomposition, no iteration. "pem": the prediction-error method (maximum likelihood of the steady-state predictor)
        from the subspace estimate. "mle": the exact likelihood of A, H, K, Sigma, B, D and the offsets from the subspace estimate (with gaps EM
        goes on from it first, with inputs or a slow mode "pem"), or of the template's parameters. "em": the same likelihood by EM, accelerated, which never loses any: of A, H, Q, R, B, D and the offsets, or of a template
        whose entries are affine in its parameters, without priors and without S. "hmc": draws from the posterior of a template by the
        no-U-turn sampler (a `Posterior`). "auto" is "mle" with a template; with an order "pem", or of data with gaps "mle".
    weighting : {"cca", "n4sid", "moesp"}
        Weighting of the subspace method: canonical variates (efficient), N4SID, or PO-MOESP. "cca" needs block rows as long as the
        memory of the predictor; where series are too short for that, the others are still consistent.
    block_rows : int, optional
        Block rows s of past and of future; 2.5 log T when left out.
    offset : bool or "auto"
        Whether to estimate a constant level of z. "auto" does if the mean of some component of z exceeds a tenth of its standard deviation.
    direct : bool, default True
        Whether to estimate D, the effect of u_k on z_k in the same step. Models written x_k = A x_{k-1} + B u_k have one.
    x1 : {"auto", "estimate", "zero"}
        The state at the first measurement of each series: "estimate" fits it freely, which invites a slow mode that explains nothing but the
        start; "zero" leaves it at zero (the mean, with an offset); "auto" holds it towards zero by the spread that the model's own states
        have, and is "zero" for many short series (first states more than 1 in 50 of the values measured).
    max_iter : int, optional
        Largest number of iterations of a stage: 100, and 1000 of "em".
    tol : float, default 1e-8
        An iteration stops when about this much log-likelihood is left to gain: one rule for all methods.
    starts : int, default 1
        With a template and "mle": number of climbs, the first from the template's starts or those that the data suggest, the others
        from points drawn around it; the highest end is the result. Likelihoods with several tops, of moving averages above all,
        need some. A parameter that ran into the edge of its range gets a second chance from the middle in any case.
    covariance : {"hessian", "scores", "robust"}
        Of the parameters, with a template, "mle" or "em": from the curvature of the likelihood; from the scores of the series; or
        the sandwich of both. The latter two need more series than parameters.
    per_series : bool, default False
        With a template: estimate its parameters for each series by itself, all in one loop (a `PanelFit`), instead of one set for
        all of them.
    draws, tune, chains : int
        With "hmc": draws of each chain, draws before them that tune the sampler, number of chains.
    seed : int, optional
        With "hmc" or `starts`: where the randomness comes from.
    threads : int, optional
        As in `filter`, with a template, "mle" or "em".
    progress : bool or callable, optional
        Show the likelihood while it climbs: True, False, or a function of (iteration, loglik); None shows it where somebody
        watches, in an interactive session.

    Returns
    -------
    Fit, ParameterFit, PanelFit or Posterior
        ``.model`` (a `StateSpace`), ``.poles`` with ``.pole_covariance``, ``.loglik``, ``.converged``, ``.summary()``, ``.plot()``,
        ``.stages`` (name, iterations, log-likelihood and seconds of each); a `Fit`
        has ``.K``, ``.Sigma``, ``.singular_values``, a `ParameterFit` ``.names``, ``.theta``, ``.std_errors``, ``.covariance``, ...

    Raises
    ------
    KelmanError
        If the data do not fit the template, the likelihood is not finite at the start, or arguments contradict each other.

    Warns
    -----
    NumericalWarning
        If the iteration does not converge; the best point found is returned. After Ctrl-C the same, with ``converged`` false.
    ModelWarning
        If u does not excite the system enough to tell its effects apart.

    Notes
    -----
    The predictor A - K H is always stable: where regression gives an unstable one, K comes from the Riccati equation of the residual
    covariances. Data are centred (with an offset) and scaled for the computation and the result is scaled back; with an offset, singular
    values are those of the centred data. "moesp" and "n4sid" singular values are in the units of z.

    The exact likelihood of an order begins in the stationary distribution. With inputs, of which nobody knows what they were before the first
    measurement, or with a mode no faster than the longest series, it begins diffuse in units of the measurements,
    :math:`P_{1,\infty} = (O'O)^{-1}` with the observability matrix O of n steps: the marginal likelihood of M. K. Francke,
    S. J. Koopman & A. F. de Vos, J. Time Ser. Anal. 31 (2010) 407, which does not depend on the basis of the state. Each series pays
    for it with n values. The parameters are then free but for the offset: ``drift`` moves b at the mean input.

    W. E. Larimore, Proc. CDC 1990; P. Van Overschee & B. De Moor, Automatica 30 (1994) 75; M. Verhaegen, Automatica 30 (1994) 61; L. Ljung,
    System Identification, 2nd ed. 1999. Maximum likelihood: J. Durbin & S. J. Koopman, Time Series Analysis by State Space Methods, 2nd ed.
    2012, chapter 7; EM: R. H. Shumway & D. S. Stoffer, J. Time Ser. Anal. 3 (1982) 253, with constraints E. E. Holmes, arXiv:1302.3919,
    extrapolated by SQUAREM, R. Varadhan & C. Roland, Scand. J. Stat. 35 (2008) 335. Free variances are estimated by their logarithms, and stay above a floor of about the rounding of the data.

    Examples
    --------
    >>> import numpy as np
    >>> import kelman
    >>> data = kelman.datasets.hairdryer()
    >>> found = kelman.fit(data.z, data.u, n_states=4, method="subspace", weighting="moesp", block_rows=15, offset=False)
    >>> print(np.round(found.singular_values[:6], 4))
    [69.8841 14.9963  3.6675  1.9677  0.3     0.2078]
    """
    if method in _LATER:
        raise KelmanError(f"method: {method!r} is not in this version; there are {', '.join(map(repr, _METHODS))}")
    one_of(method, "method", _METHODS)
    one_of(covariance, "covariance", ("hessian", "scores", "robust"))
    if as_flag(per_series, "per_series") and template is None:
        raise KelmanError("per_series: needs a template; an order alone is fitted to all series together")
    if as_count(starts, "starts") > 1 and (template is None or per_series or method not in ("auto", "mle")):
        raise KelmanError(
            'starts: several climbs are for a template fitted by "mle" to all series together; elsewhere a fit has one start'
        )
    limit = (1000 if method == "em" else 100) if max_iter is None else max_iter
    theta: Any = None
    before: tuple[Stage, ...] = ()
    interrupted = False
    if template is None:
        if method == "hmc":
            raise KelmanError(
                "method: 'hmc' needs a template; in a whole free model the basis of the state is arbitrary"
            )
        kind = method if method in ("auto", "pem") else "subspace"
        plan = Plan(kind, weighting, block_rows, offset, direct, x1, n_states, limit, tol)
        if method in ("subspace", "pem") or (method == "auto" and not has_gaps(z, u)):
            return innovation_fit(z, u, plan)
        steps = 1000 if max_iter is None else max_iter
        with Progress(progress, steps, "EM") as bar:
            template, before, interrupted = begin_whole(z, u, plan, method, steps, threads, bar.update)
        theta = template.start
    elif n_states is not None:
        raise KelmanError("n_states: a template has its number of states; give one of them")
    else:
        one_of(method, "method", _OF_TEMPLATES)
        as_count(limit, "max_iter")
        require_tolerance(tol)
    if method == "hmc":
        if per_series:
            raise KelmanError("per_series: 'hmc' samples one set of parameters; loop over the series")
        return _sampled(template, z, u, draws, tune, chains, seed, limit, threads, progress)
    if per_series and covariance != "hessian":
        raise KelmanError(f"covariance: one series alone has no scores to compare, got {covariance!r}; use 'hessian'")
    if method == "em" and not per_series:
        return expectation_maximisation(
            template,
            z,
            u,
            theta=theta,
            covariance=covariance,
            max_iter=limit,
            tol=tol,
            threads=threads,
            progress=progress,
            before=before,
        )
    with Progress(progress, limit * starts, "maximum likelihood") as bar:
        if per_series:
            return panel_fit(
                template, z, u, max_iter=limit, tol=tol, threads=threads, report=bar.update, by_em=method == "em"
            )
        return maximum_likelihood(
            template,
            z,
            u,
            theta=theta,
            covariance=covariance,
            max_iter=limit,
            tol=tol,
            threads=threads,
            report=bar.update,
            before=before,
            interrupted=interrupted,
            starts=starts,
            seed=seed,
        )


def _sampled(
    template: Template,
    z: Any,
    u: Any,
    draws: int,
    tune: int,
    chains: int,
    seed: int | None,
    limit: int,
    threads: int | None,
    progress: bool | Callable[[int, float], Any] | None,
) -> Posterior:
    from kelman.identify._sampling import sample_posterior

    with Progress(progress, limit, "posterior mode") as bar:
        report = bar.update
        return sample_posterior(
            template,
            z,
            u,
            draws=draws,
            tune=tune,
            chains=chains,
            seed=seed,
            threads=threads,
            max_iter=limit,
            progress=progress is True,
            report=report,
        )
