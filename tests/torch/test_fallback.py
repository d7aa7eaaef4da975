"""The fallback for a process: `KELMAN_BACKEND=torch`, also where the core cannot be imported; never a silent slow path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import kelman
from tests.linear.oracle_checks import close

BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("kelman._core._c"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None
sys.meta_path.insert(0, Block())
"""

VERBS = """
import json, sys
import numpy as np
import kelman
rng = np.random.default_rng(0)
model = kelman.StateSpace([[0.9, 0.2], [0.0, 1.0]], [[1.0, 0.0]], [[0.2, 0.05], [0.05, 0.1]], [[1.0]], B=[[1.0], [0.5]])
u, z = rng.normal(size=(30, 1)), rng.normal(size=(30, 1))
z[4] = np.nan
net = kelman.Elman([[0.5, 0.1], [0.0, 0.3]], [[1.0], [0.2]], None, [[1.0, 1.0]], None)
x = rng.normal(size=(20, 1))
r = kelman.filter(model, z, u, store="all")
s = kelman.smooth(model, z, u, lag=1)
f = kelman.forecast(model, z, 3, u, rng.normal(size=(3, 1)))
step = kelman.Stepper(model)
for k in range(5):
    step(z[k], u[k])
loss, g = kelman.loss_and_grad(net, x[:-1], x[1:])
gru = kelman.GRU(rng.normal(size=(9, 3)), rng.normal(size=(9, 1)))
deep = kelman.Stack([gru, kelman.LSTM(rng.normal(size=(8, 2)), rng.normal(size=(8, 3)), None, [[1.0, 1.0]])])
deep_loss, deep_g = kelman.loss_and_grad(deep, x[:-1], x[1:])
out = {
    "mean": r.mean, "cov": r.cov, "innovation": r.innovation, "loglik": r.loglik, "smoothed": s.mean,
    "smoothed_cov": s.cov, "lag_one_cov": s.lag_one_cov, "forecast": f.mean, "forecast_cov": f.cov,
    "step": step.mean, "loglik_alone": kelman.loglik(model, z, u), "steady": kelman.steady_state(model.replace(B=None)).K,
    "simulated": kelman.simulate(model.replace(m1=[0, 0], P1=np.eye(2)), 10, u=u[:10], rng=3).z, "y": kelman.forward(net, x).y, "loss": loss, "U": g.U,
    "deep": kelman.forward(deep, x).y, "deep_loss": deep_loss, "deep_U": deep_g.layers[0].U,
    "gru_JtJ": kelman.rnn.gauss_newton(gru, x[:-1], np.ones((19, 3))).JtJ,
    "kernel": kelman.read_activations(deep, x, lags=3).kernel.mean,
    "JtJ": kelman.rnn.gauss_newton(net, x[:-1], x[1:]).JtJ,
}
print(json.dumps({name: np.asarray(value).tolist() for name, value in out.items()}))
"""


def _run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KELMAN_")}
    return subprocess.run(
        [sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True, check=False
    )


def _answers(code: str, **environment: str) -> dict[str, Any]:
    done = _run(code, **environment)
    assert done.returncode == 0, done.stderr
    return {name: np.array(value, dtype=float) for name, value in json.loads(done.stdout).items()}


@pytest.mark.torch
def test_every_verb_works_without_the_core() -> None:
    """With the compiled modules out of reach, KELMAN_BACKEND=torch gives what the core gives, verb by verb."""
    core, torch = _answers(VERBS), _answers(BLOCK + VERBS, KELMAN_BACKEND="torch")
    for name, value in core.items():
        close(name, torch[name], value, 0.0, 1e-11)


@pytest.mark.torch
def test_the_variable_also_selects_where_the_core_is_there() -> None:
    """KELMAN_BACKEND=torch is used, not only accepted: no function of the core is called."""
    code = """
import kelman, kelman._core as core
class Refuse:
    def __getattr__(self, name):
        raise AssertionError(f"the core was asked for {name}")
core.core = Refuse()
core.native = lambda: core.core
model = kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]])
print(float(kelman.loglik(model, [1.0, 2.0, 3.0])))
"""
    done = _run(code, KELMAN_BACKEND="torch")
    assert done.returncode == 0, done.stderr
    model = kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]])
    assert float(done.stdout) == pytest.approx(float(kelman.loglik(model, [1.0, 2.0, 3.0])), rel=1e-13)


def test_a_missing_core_says_why_and_what_to_do() -> None:
    """Without the variable, `import kelman` and its first use fail with the reason and the two cures."""
    done = _run(BLOCK + "import kelman; kelman.loglik(kelman.StateSpace([[1.]], [[1.]], [[1.]], [[1.]]), [1.0, 2.0])")
    assert done.returncode != 0
    assert "ImportError" in done.stderr
    for words in ("compiled core", "No module named", "pip install", "KELMAN_BACKEND=torch"):
        assert words in done.stderr


def test_an_impossible_variant_is_not_passed_over() -> None:
    """KELMAN_ISA names a variant that is not there: an ImportError that lists the possible ones, with either backend."""
    for backend in ("core", "torch"):
        done = _run("import kelman._core", KELMAN_ISA="nothing", KELMAN_BACKEND=backend)
        assert done.returncode != 0
        assert "KELMAN_ISA=nothing" in done.stderr


def test_without_torch_the_error_names_the_extra() -> None:
    """backend="torch" and `import kelman.torch` where PyTorch is not installed: an ImportError that says what to install."""
    block = BLOCK.replace('name.startswith("kelman._core._c")', 'name.partition(".")[0] == "torch"')
    for use in (
        "kelman.loglik(kelman.StateSpace([[1.]], [[1.]], [[1.]], [[1.]]), [1.0, 2.0], backend='torch')",
        "import kelman.torch",
    ):
        done = _run(block + "import kelman\n" + use)
        assert done.returncode != 0
        assert "ImportError" in done.stderr
        assert 'pip install "kelman[torch]"' in done.stderr


def test_an_unknown_backend_is_refused() -> None:
    """A misspelt backend is an error that lists the backends, as argument and as variable."""
    model = kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]])
    with pytest.raises(kelman.errors.KelmanError, match=r"backend: expected one of 'core', 'torch', got 'pytorch'"):
        kelman.loglik(model, [1.0], backend="pytorch")
    done = _run(
        "import kelman; kelman.loglik(kelman.StateSpace([[1.]],[[1.]],[[1.]],[[1.]]), [1.])", KELMAN_BACKEND="x"
    )
    assert "KELMAN_BACKEND: expected one of 'core', 'torch', got 'x'" in done.stderr
