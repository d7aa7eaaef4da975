"""`kelman.fit` by its stages: what "auto" does with and without gaps, and what each stage reports."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import kelman
from kelman import Free, Template, lti, systems
from kelman.errors import KelmanError, NumericalWarning
from kelman.identify import Fit, ParameterFit
from kelman.identify._maximise import FitStep
from kelman.identify._stages import Clock
from tests.identify.test_fit import simulate

ROTATION = systems.rotation()


def missing(T: int, share: float, seed: int) -> np.ndarray:
    """A series of the rotation of which a share is missing at random."""
    z = simulate(ROTATION, T, seed)
    z[np.random.default_rng(seed).random(T) < share] = np.nan
    return z


def test_without_gaps_auto_is_pem() -> None:
    """The same model to the last digit, and two stages that never lose likelihood, the last with the fit's own."""
    z = simulate(ROTATION, 2000, 0)
    one, two = kelman.fit(z, n_states=2), kelman.fit(z, n_states=2, method="pem")
    assert isinstance(one, Fit)
    np.testing.assert_array_equal(one.model.A, two.model.A)
    assert one.loglik == two.loglik
    subspace, pem = one.stages
    assert (subspace.name, subspace.iterations, pem.name) == ("subspace", 0, "pem")
    assert pem.iterations == len(one.history)
    assert pem.loglik == one.loglik >= subspace.loglik - 0.5  # not the same objective: pem holds the first state
    assert min(subspace.seconds, pem.seconds) > 0
    only = kelman.fit(z, n_states=2, method="subspace")
    assert [stage.name for stage in only.stages] == ["subspace"]
    np.testing.assert_allclose(only.stages[0].loglik, only.loglik)
    for stage in one.stages:
        assert f"stage {stage.name}" in one.summary()


@pytest.mark.parametrize(("share", "seed"), [(0.1, 0), (0.6, 1), (0.8, 0), (0.8, 3), (0.9, 1), (0.9, 2)])
def test_with_gaps_auto_is_the_exact_likelihood(share: float, seed: int) -> None:
    """From 10 to 90 % missing: above the true model, at least as high as EM, poles within 4 standard errors, stages rising."""
    z = missing(3000, share, seed)
    found: Any = kelman.fit(z, n_states=2)
    assert isinstance(found, ParameterFit)
    assert found.method == "mle"
    assert found.converged
    assert found.nobs == np.isfinite(z).sum()
    assert found.loglik > float(kelman.loglik(ROTATION, z))
    by_em = kelman.fit(z, n_states=2, method="em")
    assert found.loglik > by_em.loglik - 1e-4  # the innovation form holds all that EM can reach
    modulus, angle = found.pole_std()
    pole = found.poles[np.argmax(found.poles.imag)]
    assert abs(abs(pole) - 0.95) < 4 * modulus[0]
    assert abs(np.angle(pole) - 0.3) < 4 * angle[0]
    names = [stage.name for stage in found.stages]
    assert names[0] in ("subspace", "subspace, gaps bridged")
    assert names[1:3] == ["EM", "L-BFGS"]
    assert (np.diff([stage.loglik for stage in found.stages]) > -1e-6).all()
    np.testing.assert_allclose(found.stages[-1].loglik, found.loglik, rtol=1e-10)
    assert f"stage {names[0]}" in found.summary()
    assert pickle.loads(pickle.dumps(found)).stages == found.stages


def test_with_gaps_the_order_is_chosen_and_series_pooled() -> None:
    """Ragged series with gaps and a level, no order given."""
    z = [missing(T, 0.02, seed) + 50.0 for seed, T in enumerate((1500, 900, 2000))]
    found: Any = kelman.fit(z)
    assert len(found.poles) == 2
    assert abs(found.model.c[0] - 50.0) < 1.5
    assert abs(found.poles[np.argmax(found.poles.imag)] - 0.95 * np.exp(0.3j)) < 0.03


def test_with_gaps_and_inputs_every_value_counts() -> None:
    """The exact likelihood where "auto" once fitted the stretches between gaps; with few gaps both agree."""
    model = systems.random_stable(2, 1, 1, rng=5, radius=0.8)
    u = np.random.default_rng(0).normal(size=(3000, 1))
    z = simulate(model, 3000, 0, u)
    z[::200] = np.nan
    stretches = kelman.fit(z, u, n_states=2, method="subspace")
    assert isinstance(stretches, Fit)
    assert stretches.unused >= 15
    found: Any = kelman.fit(z, u, n_states=2)
    assert found.method == "mle"
    for one in (stretches, found):
        value, std = one.impulse(5)
        assert (np.abs(value - lti.impulse(model, 5)) < 4 * std).all()
    z[::3] = np.nan
    found = kelman.fit(z, u, n_states=2)
    value, std = found.impulse(5)
    assert (np.abs(value - lti.impulse(model, 5)) < 4 * std).all()
    with pytest.raises(KelmanError, match=r"0 whole windows .* or use method='mle'"):
        kelman.fit(z, u, n_states=2, method="subspace")


def test_with_gaps_and_a_unit_root_every_value_counts() -> None:
    """A walk that the subspace estimate sees as unstable, with gaps: a pole near one all the same."""
    rng = np.random.default_rng(5)
    z = np.cumsum(rng.normal(size=2000)) + rng.normal(size=2000)
    z[::250] = np.nan
    found: Any = kelman.fit(z, n_states=1)
    assert found.method == "mle"
    assert abs(found.poles[0] - 1) < 0.02


def test_templates_report_their_stages() -> None:
    """Every step of the history belongs to one stage; a plateau of EM is followed by quasi-Newton's stages."""
    template = Template([[1.0]], [[1.0]], [[Free()]], [[Free()]], initial="diffuse")
    z = kelman.datasets.nile().z
    found = kelman.fit(z, template=template)
    steps = [step.stage for step in found.history if step.stage not in ("start", "restart")]
    assert sum(stage.iterations for stage in found.stages) == len(steps)
    assert {stage.name for stage in found.stages} == set(steps)
    by_em = kelman.fit(z, template=template, method="em")
    assert by_em.stages[0].name == "EM"
    assert by_em.stages[0].iterations > 1
    np.testing.assert_allclose(by_em.stages[-1].loglik, by_em.loglik, rtol=1e-12)


def test_steps_become_stages() -> None:
    """Starts belong to what follows them, a second climb is a stage of its own, and the times add up."""
    names = ["start", "L-BFGS", "L-BFGS", "Newton", "restart", "L-BFGS"]
    heard: list[int] = []
    clock = Clock(lambda iteration, _: heard.append(iteration))
    for k in range(len(names)):
        clock(k, 0.0)
    stages = clock.stages(tuple(FitStep(name, float(k), 0.0) for k, name in enumerate(names)))
    assert [(one.name, one.iterations, one.loglik) for one in stages] == [
        ("L-BFGS", 2, 2.0),
        ("Newton", 1, 3.0),
        ("L-BFGS", 1, 5.0),
    ]
    assert heard == list(range(6))
    assert all(one.seconds >= 0 for one in stages)
    assert Clock().stages(()) == ()
    assert [(one.name, one.iterations) for one in Clock().stages((FitStep("start", 0.0, 0.0),))] == [("L-BFGS", 0)]


def test_interrupted_in_em_it_keeps_the_best() -> None:
    """Ctrl-C in the EM stage: no further stage, not converged, a model no worse than the start."""

    def stop(iteration: int, _: float) -> None:
        if iteration >= 4:
            raise KeyboardInterrupt

    z = missing(1000, 0.5, 0)
    with pytest.warns(NumericalWarning, match="interrupted") as caught:
        found: Any = kelman.fit(z, n_states=2, progress=stop)
    assert not found.converged
    assert [stage.name for stage in found.stages][1:] == ["EM"]
    assert found.loglik >= found.stages[0].loglik
    assert caught[0].filename == __file__
