# SPDX-License-Identifier: BSD-3-Clause
"""CSV files in and out: a header row, one row per time step, empty cells for missing values."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kelman.errors import KelmanError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kelman._types import Array

MISSING = frozenset({"", "na", "nan", "n/a", "null", "none", "."})
"""Words (in lower case) that stand for a missing value in a CSV cell."""


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file as text cells by column, with numbers made on request."""

    path: Path
    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    first_line: int  # line number of the first row of values, for messages

    def __len__(self) -> int:
        return len(self.cells)

    def text(self, name: str) -> list[str]:
        """Return one column as text.

        Parameters
        ----------
        name : str
            Name of the column.

        Returns
        -------
        list of str
        """
        j = self._index(name)
        return [row[j] for row in self.cells]

    def numbers(self, names: Sequence[str]) -> Array:
        """Return columns as numbers, NaN where a cell is missing.

        Parameters
        ----------
        names : sequence of str
            Names of the columns.

        Returns
        -------
        ndarray, shape (T, len(names))
        """
        out = np.empty((len(self.cells), len(names)))
        for i, name in enumerate(names):
            j = self._index(name)
            for k, row in enumerate(self.cells):
                out[k, i] = self._number(row[j], name, self.first_line + k)
        return out

    def numeric_columns(self) -> tuple[str, ...]:
        """Return the names of the columns whose every cell is a number or missing.

        Returns
        -------
        tuple of str
        """
        return tuple(name for name in self.columns if all(map(_is_number, self.text(name))))

    def _index(self, name: str) -> int:
        try:
            return self.columns.index(name)
        except ValueError:
            have = ", ".join(self.columns)
            raise KelmanError(f"{self.path}: no column {name!r}; it has: {have}") from None

    def _number(self, cell: str, name: str, line: int) -> float:
        text = cell.strip()
        if text.lower() in MISSING:
            return math.nan
        try:
            value = float(text)
        except ValueError:
            raise KelmanError(f"{self.path}, line {line}, column {name!r}: {cell!r} is not a number") from None
        if math.isinf(value):
            raise KelmanError(f"{self.path}, line {line}, column {name!r}: infinite value; leave a missing cell empty")
        return value


def _is_number(cell: str) -> bool:
    text = cell.strip()
    if text.lower() in MISSING:
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_table(path: Path) -> Table:
    """Read a CSV file with a header row; comma, semicolon and tab are recognised.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Table
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise KelmanError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise KelmanError(f"{path}: cannot be read as text ({error})") from None
    lines = text.splitlines()
    if not lines or not lines[0].strip():
        raise KelmanError(f"{path}: empty; expected a header row with column names and one row per time step")
    delimiter = max(",;\t", key=lines[0].count)
    rows = list(csv.reader(lines, delimiter=delimiter))
    columns = tuple(name.strip() for name in rows[0])
    if all(map(_is_number, columns)):
        raise KelmanError(f"{path}: the first row holds numbers; expected a header row with column names")
    if len(set(columns)) != len(columns):
        raise KelmanError(f"{path}: column names repeat: {', '.join(columns)}")
    body = [tuple(row) for row in rows[1:]]
    while body and not any(cell.strip() for cell in body[-1]):
        body.pop()
    for k, row in enumerate(body):
        if len(row) != len(columns) and not (len(columns) == 1 and not row):
            raise KelmanError(f"{path}, line {k + 2}: expected {len(columns)} cells as in the header, got {len(row)}")
    body = [row or ("",) for row in body]
    if not body:
        raise KelmanError(f"{path}: a header and no row of values")
    return Table(path, columns, tuple(body), 2)


def write_table(path: Path | None, columns: Mapping[str, Sequence[str] | Array]) -> None:
    """Write columns of equal length as CSV, NaN as an empty cell, floats with all their digits.

    Parameters
    ----------
    path : Path or None
        The file; None writes to standard output.
    columns : mapping of str to sequence
        Name and values of each column.
    """
    import sys

    names = list(columns)
    rows = zip(*(columns[name] for name in names), strict=True)
    if path is None:
        _write(csv.writer(sys.stdout, lineterminator="\n"), names, rows)
        return
    try:
        with path.open("w", newline="", encoding="utf-8") as stream:
            _write(csv.writer(stream, lineterminator="\n"), names, rows)
    except OSError as error:
        raise KelmanError(f"{path}: cannot be written ({error.strerror})") from None


def _write(writer: object, names: list[str], rows: object) -> None:
    writer.writerow(names)  # type: ignore[attr-defined]
    for row in rows:  # type: ignore[attr-defined]
        writer.writerow([_cell(value) for value in row])  # type: ignore[attr-defined]


def _cell(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    number = float(value)  # type: ignore[arg-type]
    return "" if math.isnan(number) else repr(number)


def numbered(prefix: str, values: Array) -> dict[str, Array]:
    """Name the columns of an array: ``prefix`` alone for one column, prefix1, prefix2, ... for several.

    Parameters
    ----------
    prefix : str
        Stem of the names.
    values : ndarray, shape (T, c)
        The columns.

    Returns
    -------
    dict of str to ndarray
    """
    count = values.shape[1]
    return {prefix if count == 1 else f"{prefix}{j + 1}": values[:, j] for j in range(count)}
