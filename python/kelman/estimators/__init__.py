# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn estimators: state-space models behind `fit`, `transform`, `predict` and `score`, and recurrent networks.

Two-dimensional input is one series whose rows are time; three dimensions and lists are several series.
"""

try:
    import sklearn as _sklearn  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "sklearn":
        raise
    raise ImportError(
        'kelman.estimators needs scikit-learn, which is not installed: pip install "kelman[sklearn]"', name="sklearn"
    ) from error

from kelman.estimators._kalman_ssm import KalmanSSM as KalmanSSM
from kelman.estimators._networks import (
    ElmanRNN as ElmanRNN,
    GRURegressor as GRURegressor,
    LSTMRegressor as LSTMRegressor,
)
from kelman.estimators._split import SeriesSplit as SeriesSplit, TimeSplit as TimeSplit
from kelman.estimators._subspace_id import SubspaceID as SubspaceID

__all__ = ["ElmanRNN", "GRURegressor", "KalmanSSM", "LSTMRegressor", "SeriesSplit", "SubspaceID", "TimeSplit"]
