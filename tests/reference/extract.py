"""Write `data/`: the published numbers that the tests need, taken from files in statsmodels' wheel.

Run with statsmodels 0.15.0 or another version that carries the same files: `python -m tests.reference.extract`.
The files of KFAS results were made by the authors of statsmodels with KFAS 1.3.1 in R; the data and results of Clark's
model come from Kim and Nelson's GAUSS programs. statsmodels and its files are under the 3-clause BSD licence.
"""

from __future__ import annotations

import csv
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

HERE = Path(__file__).parent / "data"
KFAS = ("local_level", "local_linear_trend", "local_linear_trend_missing", "common_level", "common_level_restricted")


def _write(name: str, source: str, header: list[str], rows: list[list[str]]) -> None:
    with (HERE / name).open("w", newline="", encoding="ascii") as file:
        file.write(f"# {source}; statsmodels {version('statsmodels')} (BSD-3-Clause)\n")
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def main() -> None:
    """Write every file."""
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
    _write("clark1987.csv", "Kim and Nelson 1999, UC_UNI, GAUSS; results_kalman_filter.py", header, rows)


if __name__ == "__main__":
    main()
