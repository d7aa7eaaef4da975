# SPDX-License-Identifier: BSD-3-Clause
"""The whole experiment: every study in turn, the verdict, and what the report is made of."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from kelman import datasets
from kelman.experiments._activation import Activation, activation
from kelman.experiments._data import DataStudy, data_study
from kelman.experiments._exact_map import ExactMap, exact_map
from kelman.experiments._learning import LearningCurve, learning_curve, series_count
from kelman.experiments._pairing import LiteralPairing, literal_pairing
from kelman.experiments._record import to_json
from kelman.experiments._verdict import Line, activation_lines, data_lines, learning_line, map_lines, weight_lines
from kelman.experiments._weights import Weights, weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman._types import Array


class Progress(Protocol):
    """What the experiment tells while it works; the command line draws bars of it."""

    def start(self, key: str, title: str, steps: int) -> None:
        """Announce a study of so many steps."""

    def step(self, key: str, note: str = "") -> None:
        """Say that one step of it is done."""

    def done(self, key: str) -> None:
        """Say that the study is done."""


class Silent:
    """Progress that nobody watches."""

    def start(self, key: str, title: str, steps: int) -> None:
        """Say nothing."""

    def step(self, key: str, note: str = "") -> None:
        """Say nothing."""

    def done(self, key: str) -> None:
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class DataSource:
    """A data set for the experiment: measurements, inputs, and their names."""

    name: str
    z: Array
    u: Array | None
    outputs: tuple[str, ...]
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Experiment:
    """The records of the studies that were run (None: not run) and the verdict."""

    seed: int
    quick: bool
    exact_map: ExactMap | None
    pairing: LiteralPairing | None
    weights: Weights | None
    learning: LearningCurve | None
    activation: Activation | None
    data: DataStudy
    verdict: tuple[Line, ...]
    seconds: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values, with the version of the package."""
        import kelman

        values = to_json(self)
        values["verdict"] = [str(line) for line in self.verdict]
        return {"kelman": kelman.__version__, **values}


def builtin_data() -> DataSource:
    """Return the hair dryer: heater setting and air temperature, 1,000 samples.

    Returns
    -------
    DataSource
    """
    data = datasets.hairdryer()
    return DataSource("hair dryer", data.z, data.u, data.z_names, data.u_names)


def run(
    source: DataSource, *, own: bool = False, order: int | None = None, seed: int = 0, quick: bool = False,
    progress: Progress | None = None,
) -> Experiment:  # fmt: skip
    """Run the experiment.

    Parameters
    ----------
    source : DataSource
        The real data.
    own : bool
        The data are the caller's own question: leave out the studies on the simulated system.
    order : int, optional
        Order of the model of the data; None lets the data choose.
    seed : int
        Seed of every series and every random start.
    quick : bool
        Shorter series and fewer seeds: a look, not a result.
    progress : Progress, optional
        Who is told how far it is.

    Returns
    -------
    Experiment
    """
    tell = progress or Silent()
    seconds: dict[str, float] = {}

    def study(key: str, title: str, steps: int, call: Callable[[Callable[[str], None]], Any]) -> Any:
        tell.start(key, title, steps)
        begin = perf_counter()
        result = call(lambda note: tell.step(key, note))
        seconds[key] = perf_counter() - begin
        tell.done(key)
        return result

    mapped = paired = weighed = learnt = activated = None
    lines: list[Line] = []
    if not own:
        steps = 2_000 if quick else 10_000
        mapped = study("map", "Exact map", 1, lambda _: exact_map(steps=steps, seed=seed))
        paired = study("pairing", "Literal pairing", 1, lambda _: literal_pairing(steps=10 * steps, seed=seed))
        activated = study("activation", "Activation", 1, lambda _: activation(steps=10 * steps, seed=seed))
        weighed = study("weights", "Reading weights", 5, lambda note: weights(quick=quick, seed=seed, note=note))
        learnt = study(
            "learning",
            "Learning curve",
            series_count(quick=quick),
            lambda note: learning_curve(quick=quick, seed=seed, note=note),
        )
        lines += [
            *map_lines(mapped, paired),
            *weight_lines(weighed),
            learning_line(learnt),
            *activation_lines(activated),
        ]
    data = study(
        "data",
        source.name,
        3,
        lambda note: data_study(
            source.name, source.z, source.u, output_name=source.outputs[0], order=order, seed=seed, note=note
        ),
    )
    lines += data_lines(data)
    return Experiment(
        seed=seed,
        quick=quick,
        exact_map=mapped,
        pairing=paired,
        weights=weighed,
        learning=learnt,
        activation=activated,
        data=data,
        verdict=tuple(lines),
        seconds=seconds,
    )
