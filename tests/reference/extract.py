"""Write `data/`: the published numbers that the tests need, taken from files in statsmodels' and pykalman's wheels.

Run with statsmodels 0.15.0, pykalman 0.11.2 or other versions that carry the same files: `python -m
tests.reference.extract`. What is not installed is left as it is.
The files of KFAS results were made by the authors of statsmodels with KFAS 1.3.1 in R; the data and results of Clark's
model come from Kim and Nelson's GAUSS programs. The robot's data are P. Abbeel's (CS 287, Berkeley 2011), filtered and
learnt in MATLAB. statsmodels, pykalman and their files are under the 3-clause BSD licence.
"""

from __future__ import annotations

import contextlib
import csv
import math
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

HERE = Path(__file__).parent / "data"
KFAS = ("local_level", "local_linear_trend", "local_linear_trend_missing", "common_level", "common_level_restricted")


def _write(name: str, source: str, header: list[str], rows: list[list[str]], package: str = "statsmodels") -> None:
    with (HERE / name).open("w", newline="", encoding="ascii") as file:
        file.write(f"# {source}; {package} {version(package)} (BSD-3-Clause)\n")
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def _robot() -> None:
    from pykalman.datasets import load_robot

    data = load_robot()
    z = data.observations.filled(float("nan"))
    b = [[0.0] * 5, *data.transition_offsets.tolist()]  # b_k leads into x_k
    ll = [repr(float(x)) for x in data.loglikelihoods.ravel()]
    rows = []
    for k in range(len(z)):
        measured = ["NA" if math.isnan(x) else repr(float(x)) for x in z[k]]
        rows.append([*measured, *(repr(float(x)) for x in b[k]), ll[k] if k < len(ll) else "NA"])
    _write("robot.csv", "robot.mat", ["z1", "z2", *(f"b{i + 1}" for i in range(5)), "loglik"], rows, "pykalman")
    wide = [data.transition_matrix, data.initial_state_covariance, data.observation_matrix]
    header = [f"{name}{i + 1}" for name in "APH" for i in range(5)] + ["m", "c", "filtered"]
    narrow = [data.initial_state_mean, data.observation_offset, data.filtered_state_means[-1]]
    rows = [
        [repr(float(x)) if i < len(M) else "NA" for M in wide for x in (M[i] if i < len(M) else [0] * 5)]
        + [repr(float(v[i])) if i < len(v) else "NA" for v in narrow]
        for i in range(5)
    ]
    _write("robot_model.csv", "robot.mat", header, rows, "pykalman")


def main() -> None:
    """Write every file."""
    for write in (_statsmodels, _robot):
        with contextlib.suppress(ModuleNotFoundError):
            write()


def _statsmodels() -> None:
    results = files("statsmodels.tsa.statespace.tests") / "results"
    for case in KFAS:
        name = f"results_exact_initial_{case}_R.csv"
        table = list(csv.reader((results / name).read_text(encoding="ascii").splitlines()))
        wanted = [c for c in table[0] if c.startswith("alphahat_") or c in ("sumV", "llf")]
        columns = [table[0].index(c) for c in wanted]
        rows = [[row[i] for i in columns] for row in table[1:] if row[columns[0]] != "NA"]
        _write(f"kfas_{case}.csv", f"KFAS 1.3.1, {name}", wanted, rows)

    from statsmodels.tsa.statespace.tests.results.results_kalman_filter import uc_uni

    rows = []
    for k, gdp in enumerate(uc_uni["data"]):
        states = uc_uni["states"][k - uc_uni["start"]] if k >= uc_uni["start"] else ("NA",) * 3
        rows.append([repr(gdp), *(str(s) for s in states)])
    header = ["gdp", "trend", "cycle", "drift"]
    from statsmodels.tsa.statespace.tests.results.results_sarimax import wpi1_data

    _write("wpi1.csv", "Stata's wpi1 (Enders 2004); results_sarimax.py", ["wpi"], [[repr(x)] for x in wpi1_data])
    _write("clark1987.csv", "Kim and Nelson 1999, UC_UNI, GAUSS; results_kalman_filter.py", header, rows)


if __name__ == "__main__":
    main()
