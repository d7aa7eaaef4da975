# SPDX-License-Identifier: BSD-3-Clause
"""What X may be: one series whose rows are time, several one below the other, an array of them, or a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_array, validate_data

from kelman.errors import KelmanError

if TYPE_CHECKING:
    from kelman._types import Array


@dataclass(frozen=True, eq=False)
class Panel:
    """Series as a list of (T, m) arrays, and how they came.

    Attributes
    ----------
    series : list of ndarray
        Each (T, m), float64, NaN = missing.
    inputs : list of ndarray or None
        Each (T, p).
    kind : {"one", "rows", "array", "list"}
        2-D; 2-D with lengths; 3-D; a list.
    """

    series: list[Array]
    inputs: list[Array] | None
    kind: str

    @property
    def z(self) -> Any:
        """What the verbs of the package take."""
        return self.series[0] if self.kind == "one" else self._together(self.series)

    @property
    def u(self) -> Any:
        """Likewise the inputs."""
        if self.inputs is None:
            return None
        return self.inputs[0] if self.kind == "one" else self._together(self.inputs)

    def _together(self, parts: list[Array]) -> Any:
        return np.stack(parts) if len({len(part) for part in parts}) == 1 else parts

    def back(self, found: Array) -> Any:
        """Bring (T, k) or (N, T, k), padded, to the form in which X came."""
        if self.kind == "one":
            return found
        if self.kind == "array":
            return found
        parts = [one[: len(series)] for one, series in zip(found, self.series, strict=True)]
        return np.concatenate(parts) if self.kind == "rows" else parts


def read(estimator: Any, X: Any, u: Any, lengths: Any, *, reset: bool, gaps: bool = True) -> Panel:
    """Check X (and u), remember or compare the number of measured values, and take it apart.

    A list is several series if its items have two axes each; else it is a table of rows. NaN is refused without `gaps`.
    """
    finite = "allow-nan" if gaps else True
    if isinstance(X, (list, tuple)) and X and all(np.ndim(item) == 2 for item in X):
        return _of_list(estimator, X, u, lengths, reset=reset, finite=finite)
    if getattr(X, "ndim", None) == 3:
        return _of_array(estimator, X, u, lengths, reset=reset, finite=finite)
    table = validate_data(
        estimator,
        X,
        reset=reset,
        dtype=np.float64,
        ensure_all_finite=finite,
        ensure_min_samples=2 if reset else 1,
    )
    inputs = None if u is None else _rows_of_u(u, len(table))
    if lengths is None:
        return Panel([table], None if inputs is None else [inputs], "one")
    cuts = _cuts(lengths, len(table))
    return Panel(np.split(table, cuts), None if inputs is None else np.split(inputs, cuts), "rows")


def read_targets(y: Any, panel: Panel, lengths: Any, name: str = "y") -> tuple[Panel, bool]:
    """Targets in the form of X, NaN = not counted; and whether they came without an axis of columns, as one each row."""
    if y is None:
        raise KelmanError("y: this estimator requires y to be passed, but the target y is None")
    many = panel.kind in ("list", "array")
    if many and len(y) != len(panel.series):
        raise KelmanError(f"{name}: expected those of {len(panel.series)} series as in X, got {len(y)}")
    names = [f"{name}[{i}]" for i in range(len(y))] if many else [name]
    parts = [
        np.asarray(check_array(one, dtype=np.float64, ensure_all_finite="allow-nan", ensure_2d=False, input_name=item))
        for one, item in zip(y if many else [y], names, strict=True)
    ]
    flat = parts[0].ndim == 1
    if any(part.ndim != (1 if flat else 2) for part in parts):
        raise KelmanError(f"{name}: expected shape (T,) or (T, o) for each series, got {parts[0].shape}")
    rows = [len(one) for one in panel.series] if many else [sum(len(one) for one in panel.series)]
    for part, item, count in zip(parts, names, rows, strict=True):
        if len(part) != count:
            raise KelmanError(f"{item}: expected {count} rows as in X, got {len(part)}")
    parts = [part[:, None] if flat else part for part in parts]
    if len({part.shape[1] for part in parts}) != 1:
        raise KelmanError(
            f"{name}: every series must have the same number of columns, got {[p.shape[1] for p in parts]}"
        )
    if panel.kind == "rows":
        parts = np.split(parts[0], _cuts(lengths, rows[0]))
    return Panel(parts, None, panel.kind), flat


def tags_of_series(tags: Any, *, gaps: bool = True) -> Any:
    """The tags that all estimators of this package share."""
    tags.input_tags.allow_nan = gaps
    tags.input_tags.three_d_array = True
    # Rows follow each other in time. scikit-learn has no tag for that: this one leaves out its two checks that a row
    # may be moved, or taken away, without effect on the others.
    tags.non_deterministic = True
    return tags


def _of_list(estimator: Any, X: Any, u: Any, lengths: Any, *, reset: bool, finite: Any) -> Panel:
    if lengths is not None:
        raise KelmanError("lengths: a list of series has its own lengths; leave them out")
    series = [_checked(item, f"X[{i}]", finite=finite) for i, item in enumerate(X)]
    _count_features(estimator, {one.shape[1] for one in series}, reset=reset)
    return Panel(series, _inputs(u, series), "list")


def _of_array(estimator: Any, X: Any, u: Any, lengths: Any, *, reset: bool, finite: Any) -> Panel:
    if lengths is not None:
        pad = "pad a 3-D X with nan, or give a list" if finite is not True else "give a list for a 3-D X"
        raise KelmanError(f"lengths: go with rows of several series (2-D X); {pad}")
    array = _checked(X, "X", allow_nd=True, finite=finite)
    _count_features(estimator, {array.shape[2]}, reset=reset)
    return Panel(list(array), _inputs(u, list(array)), "array")


def _checked(value: Any, name: str, *, allow_nd: bool = False, finite: Any) -> Array:
    array: Array = check_array(value, dtype=np.float64, ensure_all_finite=finite, allow_nd=allow_nd, input_name=name)
    return array


def _count_features(estimator: Any, found: set[int], *, reset: bool) -> None:
    if len(found) != 1:
        raise KelmanError(f"X: every series must have the same number of measured values, got {sorted(found)}")
    (count,) = found
    if reset:
        estimator.n_features_in_ = count
        if hasattr(estimator, "feature_names_in_"):
            del estimator.feature_names_in_
    elif count != estimator.n_features_in_:
        raise KelmanError(
            f"X has {count} features, but {type(estimator).__name__} is expecting {estimator.n_features_in_} features as input"
        )


def _rows_of_u(u: Any, T: int) -> Array:
    inputs: Array = check_array(u, dtype=np.float64, ensure_2d=False, input_name="u")
    inputs = inputs[:, None] if inputs.ndim == 1 else inputs
    if len(inputs) != T:
        raise KelmanError(f"u: expected {T} rows as in X, got {len(inputs)}")
    return inputs


def _inputs(u: Any, series: list[Array]) -> list[Array] | None:
    """Inputs by series; one array of them serves all series of its length."""
    if u is None:
        return None
    if getattr(u, "ndim", None) == 2:
        u = [u] * len(series)
    if len(u) != len(series):
        raise KelmanError(f"u: expected the inputs of {len(series)} series as in X, got {len(u)}")
    return [_rows_of_u(one, len(part)) for one, part in zip(u, series, strict=True)]


def _cuts(lengths: Any, T: int) -> Array:
    steps = np.atleast_1d(np.asarray(lengths))
    if steps.ndim != 1 or steps.dtype.kind not in "iu" or (steps < 1).any():
        raise KelmanError(f"lengths: expected whole numbers of rows, at least 1 each, got {lengths!r:.60}")
    if steps.sum() != T:
        raise KelmanError(f"lengths: add up to {int(steps.sum())}, but X has {T} rows")
    cuts: Array = np.cumsum(steps)[:-1]
    return cuts
