"""What trained networks say, at quick size: every claim of the verdict is a number that can come out wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from kelman import datasets, excess_risk, simulate, systems
from kelman.errors import KelmanError
from kelman.experiments import data_study, to_json, whiteness, without_seconds
from kelman.experiments._data import worst_output
from kelman.experiments._scoring import train_network
from kelman.experiments._testbed import truth
from kelman.lti import lyapunov, poles

if TYPE_CHECKING:
    from kelman.experiments import Experiment

NETWORKS = ("linear Elman, 2 units", "linear Elman, 8 units", "tanh Elman, 8 units")


def test_the_yardsticks_of_the_test_bed() -> None:
    """Poles, number of parameters, Cramer-Rao bound and the excess of saying zero are those worked out by hand."""
    bed = truth(systems.rotation())
    assert (bed.modulus, bed.angle, bed.n_parameters) == (pytest.approx(0.95), pytest.approx(0.3), 4)
    assert bed.modulus_sd == pytest.approx(0.350, abs=5e-4)
    assert bed.angle_sd == pytest.approx(0.429, abs=5e-4)
    assert bed.trivial_excess == pytest.approx(2.0256410 / 1.4109636 - 1.0, rel=1e-6)


@pytest.mark.parametrize("name", NETWORKS[:2])
def test_u_alone_reads_the_wrong_poles(quick: Experiment, name: str) -> None:
    """The poles of U alone are dozens of Cramer-Rao units off for the linear networks."""
    assert quick.weights is not None
    wrong = quick.weights.method(name).wrong_modulus_error
    assert wrong is not None
    assert wrong < -15.0


@pytest.mark.parametrize("name", ["subspace", "PEM", *NETWORKS])
def test_every_method_reads_the_right_poles(quick: Experiment, name: str) -> None:
    """The poles of U + W V, or of the behavioural reading, lie within 4 Cramer-Rao units; the model read is near efficient."""
    assert quick.weights is not None
    method = quick.weights.method(name)
    assert method.worst_error < 4.0
    assert quick.weights.samples * method.model_excess < 4 * quick.weights.truth.n_parameters
    assert method.order == 2


def test_the_bound_is_the_size_of_the_ellipses(quick: Experiment) -> None:
    """Estimated covariances of the pole agree with the Cramer-Rao bound to a third."""
    assert quick.weights is not None
    for method in quick.weights.methods:
        assert method.pole_cov is not None
        ratio = np.sqrt(np.trace(method.pole_cov) / np.trace(quick.weights.true_pole_cov))
        assert 0.67 < ratio < 1.5, method.name


def test_reduction_undoes_the_surplus_units(quick: Experiment) -> None:
    """The Hankel values show a gap after 2; kept, order 2 has a smaller excess than 1 state and than all 8."""
    assert quick.weights is not None
    reduction = quick.weights.reduction
    assert reduction.chosen_order == 2
    assert reduction.hankel[1] > 5 * reduction.hankel[2]
    excess = reduction.excess_by_order
    assert len(excess) == 8
    assert excess[1] < 0.02 * excess[0]
    assert excess[1] < 0.8 * excess[7]


def test_the_pole_of_a_tanh_network_moves_with_the_amplitude(quick: Experiment) -> None:
    """Larger probes saturate the units and the modulus that is read falls; at the amplitude of the data it is the reading."""
    assert quick.weights is not None
    moduli = {p.amplitude: abs(p.pole) for p in quick.weights.amplitude_poles}
    assert moduli[1.0] > moduli[2.0] > moduli[4.0] > moduli[8.0]
    assert moduli[8.0] < moduli[1.0] - 0.02
    one = next(p for p in quick.weights.amplitude_poles if p.amplitude == 1.0)
    assert abs(one.pole - quick.weights.tanh_readings[0].pole) < 0.01


def test_the_aligned_reading_is_a_up_to_the_error_of_estimation(quick: Experiment) -> None:
    """In the basis of the truth U + W V is A to a few hundredths, in its own basis it is not, and its poles are the same."""
    assert quick.weights is not None
    m = quick.weights.matrices
    assert np.abs(m.aligned - m.A).max() < 0.05
    assert np.abs(m.raw - m.A).max() > 0.05
    np.testing.assert_allclose(poles(m.raw), poles(m.aligned), atol=1e-10)


def test_the_score_is_the_mean_square_distance_from_the_filter() -> None:
    """The excess risk of a trained network is that of one stationary covariance of filter, network and system together."""
    bed = truth(systems.rotation())
    A, H = bed.model.A, bed.model.H
    z = simulate(bed.model, 2000, rng=np.random.default_rng(1)).z
    net = train_network(z, "identity", 2, 0).rnn.replace(b=np.zeros(2), c=np.zeros(1), h0=None)
    none = np.zeros((2, 2))
    joint = np.block([[bed.F, none, bed.K @ H], [none, net.U, net.W @ H], [none, none, A]])
    noise = np.vstack([bed.K, net.W, np.zeros((2, 1))])
    cov = lyapunov(joint, noise @ bed.model.R @ noise.T + np.diag([0.0] * 4 + [0.1] * 2))
    gap = np.hstack([H, -net.V, np.zeros((1, 2))])
    assert float(excess_risk(net, bed.model)) == pytest.approx(float((gap @ cov @ gap.T / bed.Sigma)[0, 0]), rel=1e-8)


def test_the_learning_curve_follows_the_efficient_line(quick: Experiment) -> None:
    """Excess risk falls with about the first power of the sample size and stays within a factor of the floor."""
    assert quick.learning is not None
    for curve in quick.learning.curves:
        assert curve.excess.shape == (len(quick.learning.sizes), quick.learning.seeds)
        assert abs(curve.slope + 1.0) < 3.5 * curve.slope_sd
        assert curve.mean_score < 3 * quick.learning.n_parameters


def test_the_hair_dryer_is_predicted_as_well_as_by_the_classical_method(quick: Experiment) -> None:
    """Order 4; one-step RMSE within 1.02 of the prediction error method and at most .0385; free run above 99 %."""
    data = quick.data
    assert (data.order, data.order_chosen, data.direct) == (4, True, False)
    net, pem = data.method("network"), data.method("PEM")
    assert net.one_step_rmse <= 1.02 * pem.one_step_rmse
    assert net.one_step_rmse <= 0.0385
    assert net.free_run_vaf is not None
    assert net.free_run_vaf >= 99.0
    assert net.one_step_rmse < 0.25 * data.last_value_rmse


def test_the_report_says_which_poles_the_data_leave_open(quick: Experiment) -> None:
    """Poles with a standard deviation below .05 count as determined, the network agrees there; the others are listed."""
    sure = [p for p in quick.data.poles if p.determined]
    unsure = [p for p in quick.data.poles if not p.determined]
    assert sure
    assert unsure
    assert all(p.sd < 0.05 and p.distance < 2.0 for p in sure)
    assert all(p.sd >= 0.05 for p in unsure)
    text = "\n".join(str(line) for line in quick.verdict)
    assert f"{len(sure)} of {len(quick.data.poles)}" in text
    assert "left open" in text


def test_free_run_does_not_look_at_the_second_part() -> None:
    """Changing the measurements of the second part leaves the free run as it is, and changes the one-step predictions."""
    dryer = datasets.hairdryer()
    z = dryer.z.copy()
    z[500:] += np.random.default_rng(0).standard_normal((500, 1))
    before, after = (data_study("dryer", values, dryer.u, order=3) for values in (dryer.z, z))
    assert before.free_run is not None
    assert after.free_run is not None
    np.testing.assert_array_equal(before.free_run, after.free_run)
    assert np.abs(before.one_step - after.one_step).max() > 0.1


def test_data_without_inputs_and_with_several_outputs() -> None:
    """Without inputs there is no free run and no cross-correlation; several outputs are judged together."""
    model = systems.rotation().replace(H=np.eye(2), R=np.eye(2))
    z = simulate(model, 600, rng=np.random.default_rng(0)).z
    record = data_study("two outputs", z)
    assert (record.order, record.outputs, record.inputs) == (2, 2, 0)
    assert record.free_run is None
    assert record.whiteness.cross_p_value is None
    assert record.method("network").free_run_vaf is None
    assert record.method("network").one_step_rmse < record.last_value_rmse


def test_an_input_that_acts_at_once_is_noticed() -> None:
    """Where u_k reaches z_k the criterion says so, and the network that sees u_k predicts as well as the classical fit."""
    rng = np.random.default_rng(0)
    model = systems.rotation().replace(B=[[0.5], [1.0]], D=[[0.7]])
    u = rng.standard_normal((800, 1))
    z = simulate(model, 800, u=u, rng=rng).z
    record = data_study("direct", z, u, order=2)
    assert record.direct
    assert record.method("network").one_step_rmse < 1.03 * record.method("PEM").one_step_rmse


def test_the_least_white_output_is_reported() -> None:
    """Of several outputs the one whose residuals are least white is shown, with its p-value corrected for the choice."""
    rng = np.random.default_rng(0)
    e = rng.standard_normal((400, 3))
    e[1:, 1] += 0.5 * e[:-1, 1]
    test = worst_output(e, None)
    assert test.p_value == pytest.approx(3 * whiteness(e[:, 1]).p_value)
    assert not test.white
    assert worst_output(e[:, :1], None).p_value == whiteness(e[:, 0]).p_value


def test_too_few_samples_are_refused() -> None:
    """A record too short to be halved is refused by name."""
    with pytest.raises(KelmanError, match="tiny: 50 samples are too few"):
        data_study("tiny", np.zeros((50, 1)))


@pytest.mark.slow
def test_two_runs_give_the_same_numbers(quick: Experiment) -> None:
    """A second run of the whole experiment agrees with the first in every number but the seconds, and the verdict."""
    from kelman.experiments import builtin_data, run

    again = run(builtin_data(), quick=True, seed=0)
    assert without_seconds(to_json(again)) == without_seconds(to_json(quick))
    assert [str(line) for line in again.verdict] == [str(line) for line in quick.verdict]
