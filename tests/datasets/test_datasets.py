"""The data sets that come with the package."""

from __future__ import annotations

import numpy as np
import pytest

from kelman import datasets


def test_nile_is_the_classical_series() -> None:
    """100 years from 1871, sum 91935 (mean 919.35), as in R's datasets::Nile."""
    data = datasets.nile()
    assert data.z.shape == (100, 1)
    assert data.u is None
    assert (data.time[0], data.time[-1], data.z.sum()) == (1871, 1970, 91935)
    assert data.z[-1, 0] == 740


def test_hairdryer_is_the_laboratory_record() -> None:
    """1000 samples at .08 s, heater at two settings, temperatures between 3.1 and 6.5 or so."""
    data = datasets.hairdryer()
    assert data.z.shape == data.u.shape == (1000, 1)
    assert set(data.u.ravel()) == {3.41, 6.41}
    assert data.time[1] == 0.08
    assert 2.9 < data.z.min() < data.z.max() < 6.7


def test_uk_drivers_are_those_of_the_seat_belt_study() -> None:
    """192 months from January 1969, 23 of them under the law; the mean of the logarithm is 7.406108 (Commandeur and Koopman 2.1)."""
    data = datasets.uk_drivers()
    assert data.z.shape == (192, 1)
    assert data.u.shape == (192, 2)
    assert (data.time[0], data.time[12]) == (1969, 1970)
    assert (data.u[:, 1] == (np.arange(192) >= 169)).all()
    assert data.z.min() == 1057
    np.testing.assert_allclose(np.log(data.z).mean(), 7.406108, atol=1e-6)


def test_airline_is_series_g() -> None:
    """144 months from January 1949, from 104 to 622 thousand passengers."""
    data = datasets.airline()
    assert data.z.shape == (144, 1)
    assert (data.z.min(), data.z.max(), data.z[-1, 0]) == (104, 622, 432)
    assert data.time[-1] == 1960 + 11 / 12


def test_us_macro_begins_in_1959() -> None:
    """203 quarters; unemployment between 3.4 and 10.7 per cent."""
    data = datasets.us_macro()
    assert data.z.shape == (203, 3)
    assert (data.time[0], data.time[-1]) == (1959, 2009.5)
    assert (data.z[:, 1].min(), data.z[:, 1].max()) == (3.4, 10.7)


@pytest.mark.parametrize("name", datasets.__all__[1:])
def test_every_data_set_states_its_source_and_cannot_be_changed(name: str) -> None:
    """Each record has names, source and terms, is the same object on each call, and its arrays are read-only."""
    load = getattr(datasets, name)
    data = load()
    assert load() is data
    assert data.source
    assert data.terms
    assert len(data.z_names) == data.z.shape[1]
    assert name in repr(data)
    for array in (data.z, data.time) if data.u is None else (data.z, data.u, data.time):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
        assert np.isfinite(array).all()
        assert array.flags.c_contiguous
