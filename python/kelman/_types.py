# SPDX-License-Identifier: BSD-3-Clause
"""Names of types that the whole package shares."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
"""A float64 or float32 array (or, for indices and flags, an integer or boolean one)."""

ArrayLike: TypeAlias = npt.ArrayLike

Dtype: TypeAlias = np.dtype[Any]

Backend: TypeAlias = Literal["core", "torch"]
DiffuseConstant: TypeAlias = Literal["kfas", "statsmodels"]
Form: TypeAlias = Literal["auto", "covariance", "univariate"]
Initial: TypeAlias = Literal["x0", "x1", "stationary", "diffuse", "auto"]
OnError: TypeAlias = Literal["raise", "warn", "nan"]
Store: TypeAlias = Literal["loglik", "last", "means", "filtered", "all"]
ForwardStore: TypeAlias = Literal["outputs", "all"]
