# SPDX-License-Identifier: BSD-3-Clause
"""What can be made of a model: the same in another dtype, with other arrays, one of its series, some of its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self, cast

import numpy as np

from .._arrays import FLOAT32, FLOAT64, as_count, require_finite
from ..errors import KelmanError
from ._meaning import START, SYSTEM, Dims, measure
from ._rearrange import Fields, of_rows, of_series, of_steps

if TYPE_CHECKING:
    from .._types import Array, Dtype, Initial


class Views:
    """Base of `StateSpace`: new models made of its arrays, and pickling."""

    A: Array
    initial: Initial
    input_lag: Literal[0, 1]
    dims: Dims
    _cache: dict[Any, Any]

    def _set(self, fields: Fields, dtype: Dtype, dims: Dims, initial: Initial, input_lag: Literal[0, 1]) -> None:
        raise NotImplementedError

    @classmethod
    def _trusted(cls, fields: Fields, dtype: Dtype, initial: Initial, input_lag: Literal[0, 1]) -> Self:
        """Build from arrays that were checked before."""
        model = object.__new__(cls)
        model._set(fields, dtype, measure(fields), initial, input_lag)
        return model

    def _fields(self) -> Fields:
        return {name: getattr(self, name) for name in SYSTEM | START}

    @property
    def dtype(self) -> Dtype:
        """The dtype of every array: float64 or float32."""
        return self.A.dtype

    @property
    def is_constant(self) -> bool:
        """Whether nothing varies, in time or by series."""
        return self.dims.N is None and self.dims.T is None

    def astype(self, dtype: Any) -> Self:
        """Return the same model in float64 or float32 (itself, if it is in this dtype already).

        Parameters
        ----------
        dtype : dtype_like
            float64 or float32.

        Returns
        -------
        StateSpace
            The model, converted.

        Raises
        ------
        KelmanError
            If `dtype` is another one.

        Examples
        --------
        >>> import kelman
        >>> model = kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]])
        >>> model.astype("float32").dtype
        dtype('float32')
        """
        try:
            wanted = np.dtype(dtype)
        except (TypeError, ValueError):
            raise KelmanError(f"dtype: expected float64 or float32, got {dtype!r:.60}") from None
        if wanted not in (FLOAT64, FLOAT32) or not wanted.isnative:
            raise KelmanError(f"dtype: expected float64 or float32, got {wanted}")
        if wanted == self.dtype:
            return self
        known = self._cache.get(("astype", wanted))
        if known is None:
            known = self._trusted(self._fields(), wanted, self.initial, self.input_lag)
            for name, array in known._fields().items():
                if array is not None:
                    require_finite(array, name, f", which is what {wanted} makes of it")
            self._cache["astype", wanted] = known
        return cast("Self", known)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some arrays changed, checked anew.

        Parameters
        ----------
        **changes
            Arguments of `StateSpace`; None takes one away. A start of another kind takes the place of the present one.

        Returns
        -------
        StateSpace
            The changed model.

        Raises
        ------
        KelmanError
            As `StateSpace`, or if an argument has another name.

        Examples
        --------
        >>> import kelman
        >>> model = kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]], m0=[0.0], P0=[[1.0]])
        >>> model.replace(m1=[2.0], P1=[[0.5]]).initial
        'x1'
        """
        fields: dict[str, Any] = {**self._fields(), "initial": self.initial, "input_lag": self.input_lag}
        unknown = [name for name in changes if name not in fields]
        if unknown:
            raise KelmanError(f"replace: no argument {unknown[0]!r}; there are {', '.join(fields)}")
        start = {name for name in START if changes.get(name) is not None}
        word = changes.get("initial")
        if start or (isinstance(word, str) and word != self.initial):
            kept = {"x0": ("m0", "P0"), "x1": ("m1", "P1", "P1_inf")}.get(self.initial, ())
            if not start or not start <= set(kept):
                fields |= dict.fromkeys(START)
            fields["initial"] = "auto"
        elif any(name in START for name in changes):
            fields["initial"] = "auto"
        make: Any = type(self)
        model: Self = make(**(fields | changes))
        return model

    def series(self, i: int) -> Self:
        """Return the model of series `i` alone (a shared model is that of every series).

        Parameters
        ----------
        i : int
            Which series, from 0 to N - 1.

        Returns
        -------
        StateSpace
            A model without a series axis.

        Raises
        ------
        KelmanError
            If there is no such series.

        Examples
        --------
        >>> import kelman
        >>> model = kelman.StateSpace([[1.0]], [[1.0]], [[[[0.1]]], [[[0.2]]]], [[1.0]])
        >>> model.series(1).Q.tolist()
        [[0.2]]
        """
        if self.dims.N is None:
            return self
        i = as_count(i, "i", least=0)
        if i >= self.dims.N:
            raise KelmanError(f"i: series {i} of {self.dims.N} (counted from 0)")
        return self._trusted(of_series(self._fields(), i), self.dtype, self.initial, self.input_lag)

    def _rows(self, rows: Array) -> Self:
        """Return the model of some series, in the order of `rows`."""
        if self.dims.N is None:
            return self
        return self._trusted(of_rows(self._fields(), rows), self.dtype, self.initial, self.input_lag)

    def window(self, first: int, stop: int) -> Self:
        """Return the model for the steps from `first` up to, not including, `stop` (itself, if nothing varies in time).

        Filter the first part, then go on with ``filter(model.window(t, T), z[t:], start=r.state)``.

        Parameters
        ----------
        first, stop : int
            Steps, counted from 0.

        Returns
        -------
        StateSpace
            A model whose time axes have length ``stop - first``.

        Raises
        ------
        KelmanError
            If the steps are not within the model's.

        Examples
        --------
        >>> import numpy as np
        >>> import kelman
        >>> model = kelman.StateSpace([[1.0]], np.ones((9, 1, 1)), [[1.0]], [[1.0]])
        >>> model.window(4, 9).dims.T
        5
        """
        steps = self.dims.T
        if steps is None:
            return self
        first, stop = as_count(first, "first", least=0), as_count(stop, "stop")
        if not first < stop <= steps:
            raise KelmanError(f"window: expected 0 <= first < stop <= {steps}, got first = {first} and stop = {stop}")
        return self._trusted(of_steps(self._fields(), first, stop), self.dtype, self.initial, self.input_lag)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_cache"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_cache", {})
