# SPDX-License-Identifier: BSD-3-Clause
"""Loading of the data sets: one record type, one function for each set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kelman._types import Array


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set; the arrays are read-only.

    Attributes
    ----------
    name : str
        Its name.
    z : ndarray, shape (T, m)
        Measured values.
    u : ndarray, shape (T, p), or None
        Inputs.
    time : ndarray, shape (T,)
        Time of each row.
    z_names, u_names : tuple of str
        What each column is, with its unit.
    time_unit : str
        Unit of time.
    source : str
        Where the numbers come from.
    terms : str
        Terms of use.
    """

    name: str
    z: Array
    u: Array | None
    time: Array
    z_names: tuple[str, ...]
    u_names: tuple[str, ...]
    time_unit: str
    source: str
    terms: str

    def __repr__(self) -> str:
        """Say what it is in one line."""
        inputs = "" if self.u is None else f", u: {', '.join(self.u_names)}"
        return f"Dataset({self.name!r}, {len(self.z)} samples, z: {', '.join(self.z_names)}{inputs})"


def _columns(file: str) -> list[Array]:
    text = files("kelman.datasets").joinpath("data", file).read_text(encoding="ascii")
    rows = [line.split(",") for line in text.splitlines()[1:] if line]
    table = np.array(rows, dtype=np.float64)
    columns = [np.ascontiguousarray(column) for column in table.T]
    for column in columns:
        column.flags.writeable = False
    return columns


def _as_table(column: Array) -> Array:
    table = column.reshape(-1, 1)
    table.flags.writeable = False
    return table


@cache
def nile() -> Dataset:
    """Return the annual flow of the Nile at Aswan, 1871 to 1970.

    Returns
    -------
    Dataset
        z of shape (100, 1), in 10^8 cubic metres a year; time is the year.

    Notes
    -----
    G. W. Cobb, "The problem of the Nile: conditional solution to a changepoint problem", Biometrika 65 (1978) 243-251. The running
    example of Durbin & Koopman, Time Series Analysis by State Space Methods.

    Examples
    --------
    >>> import kelman
    >>> data = kelman.datasets.nile()
    >>> data.z.shape, data.z[:3, 0].tolist()
    ((100, 1), [1120.0, 1160.0, 963.0])
    """
    year, volume = _columns("nile.csv")
    return Dataset(
        "nile",
        _as_table(volume),
        None,
        year,
        ("annual flow of the Nile at Aswan, 10^8 m^3",),
        (),
        "year",
        "G. W. Cobb (1978), Biometrika 65, 243-251; the same numbers as R's datasets::Nile and statsmodels.datasets.nile",
        "public domain",
    )


@cache
def hairdryer() -> Dataset:
    """Return the laboratory hair dryer: setting of the heater and temperature of the air, 1,000 samples.

    Air is fanned through a tube and heated at the inlet; its temperature is measured by a thermocouple at the outlet. The
    input, the setting of the heating wires, is switched at random between 3.41 and 6.41.

    Returns
    -------
    Dataset
        u and z of shape (1000, 1); sampling interval .08 s.

    Notes
    -----
    L. Ljung, System Identification: Theory for the User (1987), sec. 17.3; DaISy data base of SISTA, KU Leuven, number 96-006; also
    the example data of SLICOT's IB01AD.

    Examples
    --------
    >>> import kelman
    >>> data = kelman.datasets.hairdryer()
    >>> data.u.shape, data.u[0, 0].item(), data.z[0, 0].item()
    ((1000, 1), 6.41, 4.766099)
    """
    u, z = _columns("hairdryer.csv")
    time = 0.08 * np.arange(len(z))
    time.flags.writeable = False
    return Dataset(
        "hairdryer",
        _as_table(z),
        _as_table(u),
        time,
        ("air temperature, V of the thermocouple",),
        ("setting of the heater, W",),
        "s",
        "DaISy, the identification data base of SISTA, ESAT, KU Leuven, number 96-006, by way of the SLICOT library's "
        "example data (IB01AD); L. Ljung, System Identification (1987)",
        "SLICOT example data, BSD-3-Clause; DaISy asks that its source be cited",
    )
