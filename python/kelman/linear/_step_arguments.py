# SPDX-License-Identifier: BSD-3-Clause
"""What one step of a `Stepper` is given: a measurement, an input, a mask, perhaps matrices of its own."""

from __future__ import annotations

from dataclasses import dataclass
from math import isinf
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import as_floats, contiguous, require_finite, require_no_infinity
from ..errors import KelmanError
from ..models._meaning import COVARIANCES, SYSTEM, covariance, joint_noise
from ._problem import RANKS

if TYPE_CHECKING:
    from .._types import Array
    from ..models import StateSpace

_SMALL = 32
"""Below this many values a loop in Python is faster than numpy."""

Fields = dict[str, "Array | None"]


@dataclass(frozen=True, slots=True)
class StepArguments:
    """Reads the arguments of a step for N series of a model; without a series axis if it is not `batched`."""

    model: StateSpace
    N: int
    batched: bool

    @property
    def p(self) -> int:
        """Number of inputs that a step needs."""
        return 0 if self.model.B is None and self.model.D is None else self.model.dims.p

    def values(self, z: Any) -> Array:
        """Return the measurement as (N, m), NaN where it is missing."""
        m, dtype = self.model.dims.m, self.model.dtype
        shape = (self.N, m) if self.batched else (m,)
        if type(z) is np.ndarray and z.shape == shape and z.dtype == dtype and z.flags.c_contiguous:
            values = z if self.batched else z[None]
        else:
            values = self._vector(z, "z", m)
        if any(map(isinf, values.ravel().tolist())) if values.size <= _SMALL else np.isinf(values).any():
            require_no_infinity(values if self.batched else values[0], "z")
        return values

    def inputs(self, u: Any) -> Array | None:
        """Return the input as (N, p), or None for a model without inputs."""
        p = self.p
        if p == 0:
            if u is not None:
                raise KelmanError("u: the model has no inputs (neither B nor D is set), so none can be given")
            return None
        if u is None:
            raise KelmanError(f"u: the model has p = {p} (B or D is set), so u is needed")
        if not self.batched or np.ndim(u) == 2 or (np.ndim(u) == 1 and p == 1 and np.size(u) == self.N):
            inputs = self._vector(u, "u", p)
        else:  # the same for all series
            shared = as_floats(u, "u")
            if shared.shape != (p,):
                raise KelmanError(f"u: expected shape {(self.N, p)} or {(p,)}, got {shared.shape}")
            inputs = np.broadcast_to(contiguous(shared, self.model.dtype), (self.N, p))
        require_finite(inputs, "u", "; inputs are known exactly, so none can be missing")
        return np.ascontiguousarray(inputs)

    def mask(self, mask: Any) -> Array | None:
        """Return which series were measured, (N,), or None for all."""
        if mask is None:
            return None
        try:
            array = np.asarray(mask)
        except Exception as error:  # third-party __array__ methods raise anything
            raise KelmanError(f"mask: cannot be read as an array of booleans: {error}") from error
        wanted = (self.N,) if self.batched else ()
        if array.dtype != np.bool_ or array.shape != wanted:
            raise KelmanError(
                f"mask: expected booleans of shape {wanted}, True for each series that was measured, got {array.dtype} "
                f"of shape {array.shape}"
            )
        return np.ascontiguousarray(array.reshape(self.N))

    def _vector(self, value: Any, name: str, length: int) -> Array:
        """Read (length,) or (N, length), also a bare number or (N,) where length is 1; return (N, length)."""
        array = as_floats(value, name, nan_is_missing=name == "z")
        wanted = (self.N, length) if self.batched else (length,)
        if array.shape != wanted and not (length == 1 and array.shape == wanted[:-1]):
            also = f" or {wanted[:-1]}" if length == 1 else ""
            raise KelmanError(f"{name}: expected shape {wanted}{also}, one step at a time, got {array.shape}")
        return contiguous(array, self.model.dtype).reshape(self.N, length)

    def fields(self, k: int, given: dict[str, Any] | None = None) -> Fields:
        """Return the model's matrices at step k, each (N, 1, ...) with stride 0 where it is shared."""
        fields: Fields = {}
        for name, rank in RANKS.items():
            array = getattr(self.model, name)
            if array is None or (name in ("B", "D") and self.p == 0):
                fields[name] = None
                continue
            array = array.reshape((1,) * (2 + rank - array.ndim) + array.shape)
            if array.shape[1] > 1:
                if k >= array.shape[1] and not (given and name in given):
                    raise KelmanError(
                        f"{name}: the model varies over {array.shape[1]} steps, and all have been taken; give the matrices "
                        f"of this step with the call, as in step(z, {name}=...)"
                    )
                k_here = min(k, array.shape[1] - 1)
                array = array[:, k_here : k_here + 1]
            fields[name] = np.broadcast_to(array, (self.N, 1, *array.shape[2:]))
        return fields

    def with_given(self, fields: Fields, given: dict[str, Any]) -> Fields:
        """Return `fields` with the matrices that were given with the call in their places."""
        sizes = {"n": self.model.dims.n, "m": self.model.dims.m, "p": self.p}
        changed = dict(fields)
        for name, value in given.items():
            if name not in SYSTEM:
                raise KelmanError(f"{name}: unknown; a step may be given {', '.join(SYSTEM)}")
            array = as_floats(value, name)
            inner = tuple(sizes[letter] for letter in SYSTEM[name])
            if array.shape not in (inner, (self.N, *inner)):
                raise KelmanError(
                    f"{name}: expected shape {inner} or {(self.N, *inner)}, of one step, got {array.shape}"
                )
            require_finite(array, name)
            if name in COVARIANCES:
                array = covariance(name, array)
            array = contiguous(array, self.model.dtype)
            require_finite(array, name)
            array = array[None, None] if array.shape == inner else array[:, None]
            changed[name] = np.broadcast_to(array, (self.N, 1, *inner))
        S, Q, R = changed["S"], changed["Q"], changed["R"]
        if S is not None and Q is not None and R is not None and {"Q", "R", "S"} & given.keys():
            joint_noise(Q, R, S)
        return changed
