"""Double, extended and mpmath numbers behind the few functions that the dense oracle needs."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np


class Numbers:
    """Double, extended or mpmath arithmetic behind the few functions that NumPy lacks for the latter two."""

    def __init__(self, kind: str = "longdouble", digits: int = 60) -> None:
        self.kind = kind
        if kind == "mpmath":
            mpmath.mp.dps = digits
        self.dtype: Any = object if kind == "mpmath" else np.dtype(kind)

    def array(self, values: Any) -> np.ndarray:
        """The values as an array of these numbers (exactly)."""
        values = np.asarray(values)
        if self.kind != "mpmath" or values.dtype == object:
            return values.astype(self.dtype)
        out = np.empty(values.shape, dtype=object)
        for index, value in np.ndenumerate(values):
            out[index] = mpmath.mpf(float(value))
        return out

    def zeros(self, *shape: int) -> np.ndarray:
        """An array of zeros."""
        return self.array(np.zeros(shape))

    def eye(self, n: int) -> np.ndarray:
        """The identity."""
        return self.array(np.eye(n))

    def log(self, value: Any) -> Any:
        """The logarithm of one number."""
        return mpmath.log(value) if self.kind == "mpmath" else np.log(value)

    def sqrt(self, value: Any) -> Any:
        """The root of one number."""
        return mpmath.sqrt(value) if self.kind == "mpmath" else np.sqrt(value)

    @property
    def pi(self) -> Any:
        """The circle's number."""
        return (
            +mpmath.pi
            if self.kind == "mpmath"
            else self.array(np.pi)
            if self.kind == "float64"
            else 4 * np.arctan(np.longdouble(1))
        )

    def ldl(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """L (unit lower) and d with L diag(d) L' = matrix, for a positive definite matrix."""
        n = len(matrix)
        work, lower, d = matrix.copy(), self.eye(n), self.zeros(n)
        for j in range(n):
            d[j] = work[j, j]
            lower[j + 1 :, j] = work[j + 1 :, j] / d[j]
            work[j + 1 :, j + 1 :] -= np.outer(lower[j + 1 :, j], work[j, j + 1 :])
        return lower, d

    def solve(self, matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
        """matrix^-1 right for a positive definite matrix."""
        lower, d = self.ldl(matrix)
        x = right.copy()
        for i in range(len(matrix)):
            x[i] = x[i] - lower[i, :i] @ x[:i]
        x = (x.T / d).T
        for i in reversed(range(len(matrix))):
            x[i] = x[i] - lower[i + 1 :, i] @ x[i + 1 :]
        return x

    def logdet(self, matrix: np.ndarray) -> Any:
        """log|matrix| for a positive definite matrix."""
        return sum((self.log(d) for d in self.ldl(matrix)[1]), self.array(0.0)[()])

    def range_basis(self, columns: np.ndarray) -> np.ndarray:
        """Orthonormal basis of the span of the columns (Gram-Schmidt, done twice; relative tolerance 1e-9)."""
        basis: list[np.ndarray] = []
        scale = max([float(self.sqrt(c @ c)) for c in columns.T], default=0.0)
        for column in columns.T:
            size = float(self.sqrt(column @ column))
            if size <= 1e-13 * scale:
                continue
            for q in basis + basis:
                column = column - q * (q @ column)
            rest = self.sqrt(column @ column)
            if float(rest) > 1e-9 * size:
                basis.append(column / rest)
        return np.array(basis, dtype=self.dtype).reshape(len(basis), len(columns)).T
