"""Wrong input at every public function of the bridge: an error that names the argument, never a crash, never silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.bridge.systems import bed

import kelman
from kelman.bridge import network_inputs
from kelman.errors import KelmanError

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(200, 1))
NET = kelman.to_elman(bed())
TANH = kelman.to_elman(bed(), hidden="tanh")
DRIVEN = bed().replace(B=[[1.0], [0.5]])
DRIVEN_NET = kelman.to_elman(DRIVEN)
PAIR = kelman.to_elman(kelman.StateSpace(bed().A, np.eye(2), bed().Q, np.eye(2)))
STATES = kelman.to_elman(bed(), "filtered")
VARYING = kelman.StateSpace(np.stack([bed().A] * 3), bed().H, bed().Q, bed().R)
BLANK = kelman.Elman(np.eye(2), np.ones((2, 3)), None, np.ones((1, 2)), None, "identity")
HOLED = np.where(np.arange(200)[:, None] == 7, np.nan, Z)

CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "to_elman: no model": (lambda: kelman.to_elman(3), "to_elman: expected a StateSpace"),
    "to_elman: a network": (lambda: kelman.to_elman(NET), "to_elman: expected a StateSpace"),
    "to_elman: form": (lambda: kelman.to_elman(bed(), "smoothed"), "form: expected one of"),
    "to_elman: hidden": (lambda: kelman.to_elman(bed(), hidden="gelu"), "hidden: expected one of"),
    "to_elman: gain without tanh": (lambda: kelman.to_elman(bed(), gain=0.1), "gain: only"),
    "to_elman: gain zero": (lambda: kelman.to_elman(bed(), hidden="tanh", gain=0.0), "gain: expected a positive"),
    "to_elman: gain array": (
        lambda: kelman.to_elman(bed(), hidden="tanh", gain=[0.1, 0.2]),
        "gain: expected a positive",
    ),
    "to_elman: varies in time": (lambda: kelman.to_elman(VARYING), "A varies in time or between series"),
    "to_elman: u1 shape": (lambda: kelman.to_elman(DRIVEN, u1=[1.0, 2.0]), "u1: expected shape"),
    "to_elman: u1 without inputs": (lambda: kelman.to_elman(bed(), u1=[1.0]), "u1: expected shape"),
    "network_inputs: no network": (lambda: network_inputs(bed(), Z), "rnn: expected an Elman"),
    "network_inputs: no words": (lambda: network_inputs(BLANK, Z), "inputs: the network has 3 input columns"),
    "network_inputs: width": (lambda: network_inputs(NET, RNG.normal(size=(9, 2))), "z: expected 1 columns"),
    "network_inputs: time on the wrong axis": (lambda: network_inputs(NET, Z.T), "time runs along the first axis"),
    "network_inputs: rank": (lambda: network_inputs(NET, np.zeros((2, 3, 4, 1))), "z: expected shape"),
    "network_inputs: NaN": (lambda: network_inputs(NET, HOLED), "z: every entry must be finite"),
    "network_inputs: empty": (lambda: network_inputs(NET, np.zeros((0, 1))), "z: expected at least one time step"),
    "network_inputs: no series": (lambda: network_inputs(NET, np.zeros((0, 5, 1))), "z: expected at least one series"),
    "network_inputs: missing u": (lambda: network_inputs(DRIVEN_NET, Z), "u: expected 1 input columns"),
    "network_inputs: needless u": (lambda: network_inputs(NET, Z, Z), "u: expected None"),
    "network_inputs: u of another length": (lambda: network_inputs(DRIVEN_NET, Z, Z[:50]), "u: expected 200 steps"),
    "network_inputs: text": (lambda: network_inputs(NET, "abc"), "z: expected an array of numbers"),
    "network_inputs: objects": (lambda: network_inputs(NET, np.array([None, 1.0])), "z: expected real numbers"),
    "network_inputs: complex": (lambda: network_inputs(NET, Z + 1j), "z: expected real numbers"),
    "network_inputs: longdouble": (lambda: network_inputs(NET, Z.astype(np.longdouble)), "z: expected real numbers"),
    "to_state_space: no network": (lambda: kelman.to_state_space(bed()), "rnn: expected an Elman"),
    "to_state_space: nonlinear": (lambda: kelman.to_state_space(TANH, Sigma=[[1.0]]), "no linear map"),
    "to_state_space: no Sigma": (lambda: kelman.to_state_space(NET), "Sigma: the weights hold"),
    "to_state_space: Sigma shape": (lambda: kelman.to_state_space(NET, Sigma=np.eye(2)), "Sigma: expected shape"),
    "to_state_space: Sigma indefinite": (
        lambda: kelman.to_state_space(NET, Sigma=[[-1.0]]),
        "Sigma: expected a symmetric",
    ),
    "to_state_space: structure word": (
        lambda: kelman.to_state_space(NET, Sigma=[[1.0]], structure="sparse"),
        "structure: expected",
    ),
    "to_state_space: structure shape": (
        lambda: kelman.to_state_space(NET, Sigma=[[1.0]], structure=np.eye(3)),
        "structure: expected matrices",
    ),
    "to_state_space: structure asymmetric": (
        lambda: kelman.to_state_space(NET, Sigma=[[1.0]], structure=[[1.0, 2.0], [0.0, 1.0]]),
        "structure: expected symmetric",
    ),
    "to_state_space: needless H": (
        lambda: kelman.to_state_space(NET, Sigma=[[1.0]], H=[[1.0, 0.0]]),
        "H: only a network",
    ),
    "to_state_space: states without H": (lambda: kelman.to_state_space(STATES, Sigma=[[1.0]]), "H: the outputs"),
    "to_state_space: states, H shape": (
        lambda: kelman.to_state_space(STATES, Sigma=[[1.0]], H=[[1.0, 0.0, 0.0]]),
        "H: expected shape",
    ),
    "read_dynamics: no network": (lambda: kelman.read_dynamics(3), "rnn: expected an Elman"),
    "read_dynamics: method": (lambda: kelman.read_dynamics(NET, method="magic"), "method: expected one of"),
    "read_dynamics: states": (lambda: kelman.read_dynamics(STATES), "target: the outputs"),
    "read_dynamics: order word": (lambda: kelman.read_dynamics(NET, order="many"), "order: expected"),
    "read_dynamics: order negative": (lambda: kelman.read_dynamics(NET, order=-1), "order: expected"),
    "read_dynamics: order too large": (lambda: kelman.read_dynamics(NET, order=5), "order: expected at most 2"),
    "read_dynamics: order no number": (lambda: kelman.read_dynamics(NET, order=1.5), "order: expected"),
    "read_dynamics: u without z": (lambda: kelman.read_dynamics(NET, u=Z), "z: expected measurements beside u"),
    "read_dynamics: short": (lambda: kelman.read_dynamics(NET, z=Z[:5]), "z: expected at least 16 steps"),
    "read_dynamics: constant": (lambda: kelman.read_dynamics(NET, z=np.ones(100)), "z: component 0 is constant"),
    "read_dynamics: dependent": (
        lambda: kelman.read_dynamics(PAIR, z=np.hstack([Z, 2 * Z])),
        "z: its components are linearly",
    ),
    "read_dynamics: NaN": (lambda: kelman.read_dynamics(NET, z=HOLED), "z: every entry must be finite"),
    "read_dynamics: width of x": (lambda: kelman.read_dynamics(NET, np.zeros((50, 3))), "x: expected 1 columns"),
    "read_dynamics: tanh without data": (lambda: kelman.read_dynamics(TANH), "z: a behavioural read-out needs data"),
    "read_dynamics: nonlinear by weights": (lambda: kelman.read_dynamics(TANH, z=Z, method="weights"), "no linear map"),
    "read_dynamics: refit without data": (lambda: kelman.read_dynamics(NET, refit=True), "refit: needs the data"),
    "read_dynamics: reference": (lambda: kelman.read_dynamics(NET, reference=NET), "reference: expected a StateSpace"),
    "read_dynamics: lags": (lambda: kelman.read_dynamics(NET, lags=0), "lags: expected"),
    "read_dynamics: lags beyond the data": (lambda: kelman.read_dynamics(NET, z=Z, lags=150), "lags: expected at most"),
    "read_dynamics: Sigma": (lambda: kelman.read_dynamics(NET, Sigma=[[0.0]]), "Sigma: expected a symmetric positive"),
    "read_dynamics: amplitudes of weights": (
        lambda: kelman.read_dynamics(NET, z=Z, amplitudes=[1.0]),
        "amplitudes: only",
    ),
    "read_dynamics: amplitudes": (lambda: kelman.read_dynamics(TANH, z=Z, amplitudes=[-1.0]), "amplitudes: expected"),
    "read_dynamics: weights of a function": (
        lambda: kelman.read_dynamics(np.tanh, z=Z, method="weights"),
        "method: a function",
    ),
    "read_dynamics: output of a function": (
        lambda: kelman.read_dynamics(lambda x: x[:5], z=Z),
        "predictor: expected outputs",
    ),
    "read_dynamics: NaN from a function": (lambda: kelman.read_dynamics(lambda x: x * np.nan, z=Z), "not finite"),
    "read_dynamics: probe": (lambda: kelman.read_dynamics(TANH, probe=DRIVEN), "probe: expected a model"),
    "read_dynamics: z as input and target": (
        lambda: kelman.read_dynamics(NET.replace(target="z"), z=Z),
        "target: the output cannot predict z",
    ),
    "read_dynamics: missing u": (lambda: kelman.read_dynamics(DRIVEN_NET, z=Z), "u: expected 1 input columns"),
    "read_dynamics: average Jacobian without data": (
        lambda: kelman.read_dynamics(TANH, method="average_jacobian"),
        "z: method=",
    ),
    "excess_risk: no predictor": (lambda: kelman.excess_risk(3, bed()), "predictor: expected a StateSpace"),
    "excess_risk: no model": (lambda: kelman.excess_risk(NET, NET), "model: expected a StateSpace"),
    "excess_risk: varies": (lambda: kelman.excess_risk(NET, VARYING), "A varies in time"),
    "excess_risk: sizes": (
        lambda: kelman.excess_risk(NET, DRIVEN, u="white"),
        "predictor: expected 1 measured values and 1",
    ),
    "excess_risk: missing u": (lambda: kelman.excess_risk(DRIVEN, DRIVEN), "u: the model has 1 inputs"),
    "excess_risk: needless u": (lambda: kelman.excess_risk(NET, bed(), u=Z), "u: expected None"),
    "excess_risk: u word": (lambda: kelman.excess_risk(DRIVEN, DRIVEN, u="pink"), "u: expected a series"),
    "excess_risk: u shape": (lambda: kelman.excess_risk(DRIVEN, DRIVEN, u=np.ones((5, 2))), "u: expected shape"),
    "excess_risk: u shorter than horizon": (
        lambda: kelman.excess_risk(DRIVEN, DRIVEN, u=np.ones(5), horizon=9),
        "u: expected at least 9",
    ),
    "excess_risk: horizon": (lambda: kelman.excess_risk(NET, bed(), horizon=0), "horizon: expected"),
    "excess_risk: samples": (lambda: kelman.excess_risk(TANH, bed(), samples=0), "samples: expected"),
    "excess_risk: states": (
        lambda: kelman.excess_risk(kelman.to_elman(bed(), "filtered", "tanh"), bed()),
        "predictor: expected predictions",
    ),
    "reduce: no model": (lambda: kelman.reduce(3, 1), "model_or_rnn: expected"),
    "reduce: nonlinear": (lambda: kelman.reduce(TANH, 1), "no linear map"),
    "reduce: order": (lambda: kelman.reduce(bed(), 3), "order: expected at most 2"),
    "reduce: order zero": (lambda: kelman.reduce(bed(), 0), "order: expected"),
    "compare: no system": (lambda: kelman.compare(bed(), 3), "b: expected a StateSpace"),
    "compare: sizes": (lambda: kelman.compare(bed(), DRIVEN), "b: expected 1 measured values and 0 inputs"),
    "compare: steps": (lambda: kelman.compare(bed(), bed(), steps=0), "steps: expected"),
    "ellipse: level": (lambda: kelman.read_dynamics(NET).ellipse(1.0), "level: expected"),
    "aligned: no reference": (lambda: kelman.read_dynamics(NET).aligned, "aligned: needs reference"),
}


@pytest.mark.parametrize("name", CASES)
def test_wrong_input_is_refused_by_name(name: str) -> None:
    """The error is a KelmanError whose message says which argument, and what was expected."""
    call, message = CASES[name]
    with pytest.raises(KelmanError) as caught:
        call()
    assert message in str(caught.value), str(caught.value)


LAYOUTS: dict[str, Callable[[np.ndarray], Any]] = {
    "list": lambda z: z[:, 0].tolist(),
    "vector": lambda z: z[:, 0],
    "float32": lambda z: z.astype(np.float32),
    "Fortran order": np.asfortranarray,
    "negative strides": lambda z: z[::-1].copy()[::-1],
    "every second": lambda z: np.repeat(z, 2, axis=0)[::2],
    "read-only": lambda z: np.broadcast_to(z, z.shape),
    "other byte order": lambda z: z.astype(">f8"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_of_the_data_gives_the_same_answer(layout: str) -> None:
    """Lists, vectors, strides, orders and byte orders are read alike; float32 to its precision."""
    given = LAYOUTS[layout](Z)
    want, got = kelman.read_dynamics(NET, z=Z), kelman.read_dynamics(NET, z=given)
    np.testing.assert_allclose(got.pole_cov, want.pole_cov, rtol=1e-4 if layout == "float32" else 1e-9)


def test_integers_are_numbers() -> None:
    """Integer and boolean data are taken as floats."""
    z = (10 * Z).astype(int)
    assert kelman.read_dynamics(NET, z=z).n_samples > 0
    assert network_inputs(NET, Z > 0).dtype == np.float64
