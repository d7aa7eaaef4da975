"""Checkpoints and parallel starts: an interruption or another number of threads changes nothing."""

from __future__ import annotations

import _thread
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError, KelmanWarning
from kelman.identify import Step, TrainResult
from tests.identify.bed import series

RECIPES: dict[str, dict[str, Any]] = {
    "lm": {"hidden": "identity", "starts": 2},
    "lm with a prior": {"hidden": "tanh", "max_iterations": 8},
    "lbfgs": {"hidden": "identity", "method": "lbfgs", "max_iterations": 40},
    "adam": {"hidden": "identity", "method": "adam", "max_iterations": 8, "window": 50},
    "adam with nothing held out": {"method": "adam", "max_iterations": 12, "window": 50, "validation": 0},
    "adam with carried states": {"method": "adam", "max_iterations": 8, "window": 50, "carry": True, "schedule": "onecycle"},
    "grown": {"hidden": "identity", "start": "grow", "max_iterations": 10},
    "multiple shooting": {"cell": "gru", "segment": 100, "max_iterations": 6, "learn_h0": True},
    "multiple shooting by L-BFGS": {"method": "lbfgs", "segment": 100, "max_iterations": 6},
    "group lasso": {"hidden": "identity", "group_lasso": 3e-3, "starts": 1},
    "two outputs": {"hidden": "identity", "starts": 1, "max_iterations": 10},
}  # fmt: skip


def trained(recipe: str, **options: Any) -> TrainResult:
    """A short training by one of the recipes."""
    z = series(40, 1_500)
    y = z[1:]
    if recipe == "two outputs":
        y = np.stack([y, 0.5 * y + 0.1 * series(41, 1_500)[1:]], axis=1)
    return kelman.train(3, z[:-1], y, **{**RECIPES[recipe], **options})


class Interrupt:
    """Presses Ctrl-C at the so-manieth step that is told."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, _: Step) -> None:
        """Count one step."""
        self.left -= 1
        if self.left <= 0:
            raise KeyboardInterrupt


def same(one: TrainResult, two: TrainResult) -> None:
    """Two results are equal to the bit, but for the time they took."""
    for name, value in one.rnn.weights.items():
        np.testing.assert_array_equal(getattr(two.rnn, name), value)
    assert (one.loss, one.converged, one.message, one.warmup) == (two.loss, two.converged, two.message, two.warmup)

    def lines(result: TrainResult) -> list[tuple[Any, ...]]:
        return [(s.start, s.phase, s.iteration, s.loss, s.damping) for s in result.history]

    np.testing.assert_equal(lines(one), lines(two))
    assert one.trials == two.trials


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_resumed_training_equals_an_uninterrupted_one(recipe: str, tmp_path: Path) -> None:
    """Interrupted at several places and continued from the file, training ends with the same bits."""
    whole = trained(recipe)
    total = len(whole.history)
    assert total > 5
    file = tmp_path / "training.npz"
    for stop in (2, total // 3, total // 3):
        part = trained(recipe, checkpoint=file, progress=Interrupt(stop))
        assert part.interrupted and np.isfinite(part.loss)
    same(whole, trained(recipe, checkpoint=file))
    calls: list[Step] = []
    same(whole, trained(recipe, checkpoint=file, progress=calls.append))
    assert not calls


def test_resuming_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """The continued run does not repeat the iterations before the interruption."""
    file = tmp_path / "training.npz"
    first = trained("lbfgs", checkpoint=file, progress=lambda step: step.iteration >= 12)
    assert "asked to stop" in first.message
    told: list[Step] = []
    trained("lbfgs", checkpoint=file, progress=told.append)
    assert told[0].iteration == 12


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    """Other data, options or seeds, foreign files and missing folders raise errors that name the checkpoint."""
    file = tmp_path / "training.npz"
    trained("lm", checkpoint=file, max_iterations=2)
    for change in ({"max_iterations": 3}, {"rng": 1}, {"starts": 3}):
        with pytest.raises(KelmanError, match=r"checkpoint: .* belongs to another training"):
            trained("lm", checkpoint=file, **{"max_iterations": 2, **change})
    with pytest.raises(KelmanError, match="belongs to another training"):
        kelman.train(3, np.ones(100), series(1, 100), checkpoint=file)
    file.write_text("not a checkpoint")
    with pytest.raises(KelmanError, match="is no file of a training"):
        trained("lm", checkpoint=file)
    with pytest.raises(KelmanError, match="checkpoint: there is no folder"):
        trained("lm", checkpoint=tmp_path / "nowhere" / "training.npz")
    with pytest.raises(KelmanError, match="checkpoint: expected a path"):
        trained("lm", checkpoint=7)


def test_fresh_random_numbers_are_kept_in_the_file(tmp_path: Path) -> None:
    """With rng=None the file remembers the seeds, so that the same training goes on."""
    fresh: dict[str, Any] = {"rng": None, "start": "random", "checkpoint": tmp_path / "training.npz"}
    trained("lm", **fresh, progress=lambda step: step.phase == "lm" and step.iteration >= 1)
    one = trained("lm", **fresh)
    same(one, trained("lm", **fresh))
    assert (trained("lm", **fresh | {"checkpoint": None}).rnn.U != one.rnn.U).any()


@pytest.mark.parametrize("recipe", ["lm", "lm with a prior"])
def test_starts_side_by_side_give_the_same_result(recipe: str, tmp_path: Path) -> None:
    """Any number of threads gives the same bits, also with a checkpoint."""
    alone = trained(recipe, starts=4, threads=1)
    same(alone, trained(recipe, starts=4, threads=3))
    same(alone, trained(recipe, starts=4, threads=4, checkpoint=tmp_path / "training.npz"))


def test_a_disk_that_refuses_does_not_end_the_training(tmp_path: Path) -> None:
    """Where the file cannot be written there is one warning, and the result is the same."""
    folder = tmp_path / "gone"
    folder.mkdir()
    with pytest.warns(KelmanWarning, match="checkpoint: .*the training goes on without") as caught:
        result = trained(
            "lm", checkpoint=folder / "training.npz", progress=lambda _: folder.exists() and folder.rmdir()
        )
    assert len(caught) == 1
    same(trained("lm"), result)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("method", ["lm", "lbfgs", "adam"])
def test_ctrl_c_at_any_moment_returns_the_best_so_far(method: str, threads: int) -> None:
    """An interrupt from outside, also while starts are raced side by side, ends all of them soon with a usable network."""
    z = series(43, 60_000)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have switched it off
    timer = threading.Timer(0.3, _thread.interrupt_main)
    never = {"max_iterations": 100_000, "tolerance": 1e-15}  # it does not end by itself
    try:
        timer.start()
        result = kelman.train(6, z[:-1], z[1:], method=method, starts=4, start="random", threads=threads, **never)
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)
    assert result.interrupted and not result.converged and result.message == "interrupted"
    assert np.isfinite(result.loss) and result.loss < 1.5 * z.var() and result.seconds < 20


def test_every_start_is_reported() -> None:
    """The result lists kind, loss and end of every start; the summary shows them, failures included."""
    result = trained("lm", starts=4)
    assert [t.number for t in result.trials] == [0, 1, 2, 3]
    assert [t.kind.split(",")[0] for t in result.trials] == ["subspace"] * 3 + ["random"]
    assert sum(t.iterations for t in result.trials) == len(result.history)
    best = min(result.trials, key=lambda t: t.loss)
    assert best.outcome == result.message and f"start {best.number} ({best.kind})" in result.summary()
    unstable = kelman.Elman([[1.2]], [[1.0]], None, [[1.0]], None, "identity")
    z = series(42, 500)
    mixed = kelman.train(unstable, z[:-1], z[1:], starts=2)
    assert [t.kind for t in mixed.trials] == ["given", "random"] and "unstable" in mixed.trials[0].outcome
    assert "start 0 (given)" in mixed.summary() and mixed.converged


def test_an_error_in_the_callback_keeps_the_file(tmp_path: Path) -> None:
    """An exception of the user's function comes through, and what was reached is in the file."""
    file = tmp_path / "training.npz"

    def fail(step: Step) -> None:
        if step.iteration >= 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trained("adam", checkpoint=file, progress=fail)
    assert file.exists()
    same(trained("adam"), trained("adam", checkpoint=file))
