"""`kelman validate`: everything passes here, and a wrong number does not."""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Any

import numpy as np
import pytest

from kelman.experiments import validate as module
from kelman.experiments._dense import DenseSeries
from kelman.experiments._validation_models import KINDS, draw
from kelman.linear._problem import pose
from tests.oracles import Dense


def _without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "torch" else find(name, *a))


def test_everything_passes_and_every_verb_is_there() -> None:
    """On this machine the differences of all verbs are within their tolerances."""
    seen: list[tuple[str, int, int]] = []
    checks = module.validate(models=1, seed=3, progress=lambda *state: seen.append(state))
    failed = [check for check in checks if not check.passed]
    assert not failed
    verbs = {
        "filter",
        "smooth",
        "loglik",
        "forecast",
        "forward",
        "loss_and_grad",
        "gauss_newton",
        "steady_state",
        "to_elman",
    }
    assert verbs <= {check.what for check in checks}
    assert all(check.cases > 0 for check in checks if not check.skipped)
    assert [state[1] for state in seen] == list(range(1, len(KINDS) + 1))


def test_without_torch_its_rows_say_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyTorch is not installed the dense and published comparisons still run, and one row says what is left out."""
    _without_torch(monkeypatch)
    checks = module.validate(models=1)
    assert [check.against for check in checks if check.skipped] == ["PyTorch"]
    assert all(check.passed for check in checks)
    assert any(check.against == "dense joint Gaussian" for check in checks)


@pytest.mark.parametrize("damage", [1e-6, np.nan])
def test_a_wrong_number_does_not_pass(monkeypatch: pytest.MonkeyPatch, damage: float) -> None:
    """A relative error of 1e-6, or a NaN, in the smoothed means fails the row of `smooth` and no other."""
    _without_torch(monkeypatch)
    right = module.kelman.smooth

    def wrong(*arguments: Any, **options: Any) -> Any:
        s = right(*arguments, **options)
        arrays = dict(s._arrays) | {"mean": s._arrays["mean"] * (1 + damage)}
        return dataclasses.replace(s, _arrays=arrays)

    monkeypatch.setattr(module.kelman, "smooth", wrong)
    failed = {check.what for check in module.validate(models=1) if not check.passed}
    assert "smooth" in failed
    assert "filter" not in failed


@pytest.mark.parametrize("kind", KINDS)
def test_the_two_dense_writings_agree(kind: str) -> None:
    """The package's dense Gaussian (universal kriging) and the tests' (flat prior, extended precision) are the same."""
    rng = np.random.default_rng(11)
    for _ in range(3):
        sample = draw(kind, rng)
        problem = pose(sample.model, sample.z, sample.u).problem
        for i in range(len(sample.z)):
            package = DenseSeries(problem, i)
            if package.condition() > 1e5:
                continue
            oracle = Dense(sample.model, sample.z[i], None if sample.u is None else sample.u[i], series=i)
            assert package.loglik() == pytest.approx(oracle.loglik(), rel=1e-9, abs=1e-9)
            if not package.undetermined():
                (mean, cov), lag = package.smoothed()
                for mine, theirs in zip((mean, cov, lag), oracle.smoothed(), strict=True):
                    np.testing.assert_allclose(
                        mine, theirs, rtol=0, atol=1e-8 * max(1, np.nanmax(np.abs(theirs), initial=0))
                    )


def test_the_command_fails_when_a_check_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit status is 0 when all pass and 1 when one does not."""
    typing_runner = pytest.importorskip("typer.testing")
    from kelman.cli._app import app

    for worst, status in ((1e-15, 0), (1.0, 1)):
        check = module.Check("filter", "dense joint Gaussian", 1, worst, 1e-8, where="plain #0")
        monkeypatch.setattr(module, "validate", lambda check=check, **_: [check])
        result = typing_runner.CliRunner().invoke(app, ["validate", "--models", "1"])
        assert result.exit_code == status
        assert "dense joint Gaussian" in result.output
