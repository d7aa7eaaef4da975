"""CSV tables and model files: what goes out comes back, and what is wrong is said in one sentence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("typer")

from kelman.cli._model_file import model_from_json, model_to_json, read_model, write_model
from kelman.cli._tables import numbered, read_table, write_table
from kelman.errors import KelmanError
from kelman.models import StateSpace

if TYPE_CHECKING:
    from pathlib import Path


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_missing_cells_become_nan_whatever_the_delimiter(tmp_path: Path, delimiter: str) -> None:
    """Empty cells and the usual words for missing are NaN, with comma, semicolon and tab."""
    rows = ["a,b,name", "1,,x", "NA,2.5,y", "nan,-1e-3,z"]
    table = read_table(_write(tmp_path / "t.csv", "\n".join(rows).replace(",", delimiter) + "\n"))
    np.testing.assert_array_equal(table.numbers(["a", "b"]), [[1, np.nan], [np.nan, 2.5], [np.nan, -1e-3]])
    assert table.numeric_columns() == ("a", "b")


def test_floats_survive_a_csv_file_to_the_bit(tmp_path: Path) -> None:
    """Writing and reading a table gives the same floats back, NaN included."""
    values = np.random.default_rng(0).standard_normal((50, 3)) * 10.0 ** np.arange(-150, 151, 150)
    values[3, 1] = np.nan
    write_table(tmp_path / "t.csv", numbered("v", values))
    np.testing.assert_array_equal(read_table(tmp_path / "t.csv").numbers(["v1", "v2", "v3"]), values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("1,2\n3,4\n", "header"),
        ("a,b\n1\n", "line 2: expected 2 cells"),
        ("a,a\n1,2\n", "repeat"),
        ("a,b\n", "no row"),
    ],
)
def test_a_malformed_table_is_refused_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    """Every malformed file is refused by name with what is wrong in it."""
    with pytest.raises(KelmanError, match=message) as caught:
        read_table(_write(tmp_path / "bad.csv", text))
    assert "bad.csv" in str(caught.value)


@pytest.mark.parametrize(("cell", "message"), [("x", "line 3.*'a'.*'x' is not a number"), ("inf", "infinite")])
def test_a_bad_cell_is_named_by_line_and_column(tmp_path: Path, cell: str, message: str) -> None:
    """A cell that is no number is reported with file, line and column."""
    table = read_table(_write(tmp_path / "t.csv", f"a,b\n1,2\n{cell},4\n"))
    with pytest.raises(KelmanError, match=message):
        table.numbers(["a"])


def test_an_unknown_column_lists_the_known_ones(tmp_path: Path) -> None:
    """Asking for a column that is not there names those that are."""
    table = read_table(_write(tmp_path / "t.csv", "time,volts\n1,2\n"))
    with pytest.raises(KelmanError, match="no column 'volt'; it has: time, volts"):
        table.numbers(["volt"])


def _models() -> list[StateSpace]:
    rng = np.random.default_rng(1)
    A, H = 0.3 * rng.standard_normal((2, 2)), rng.standard_normal((1, 2))
    Q, R = np.eye(2) / 3, np.eye(1) / 7
    B = rng.standard_normal((2, 1))
    return [
        StateSpace(A, H, Q, R),
        StateSpace(A, H, Q, R, B=B, D=[[0.1]], b=[0.1, 0.2], c=[3.0], S=0.1 * B, m0=[1.0, 2.0], P0=np.eye(2) / 9),
        StateSpace.from_shifted(A, H, Q, R, B=B, m1=[1 / 3, 0.0], P1=np.eye(2)),
        StateSpace(np.stack([A, 2 * A, A / 3]), H, Q, R, m1=[0.0, 0.0], P1=np.eye(2)),
        StateSpace.from_shifted(np.stack([A, 2 * A, A / 3]), H, Q, R, m1=[0.0, 0.0], P1=np.eye(2)),
        StateSpace(A, H, Q, R, initial="diffuse").astype("float32"),
    ]


@pytest.mark.parametrize("number", range(6))
def test_a_model_survives_its_file_to_the_bit(tmp_path: Path, number: int) -> None:
    """Every entry, the start, the dtype and the time convention of a model come back from its file."""
    model = _models()[number]
    write_model(tmp_path / "m.json", model)
    back = read_model(tmp_path / "m.json")
    assert (back.dims, back.dtype, back.input_lag, back.initial) == (
        model.dims, model.dtype, model.input_lag, model.initial,
    )  # fmt: skip
    for name in ("A", "H", "Q", "R", "B", "D", "b", "c", "S", "m0", "P0", "m1", "P1", "P1_inf"):
        a, b = getattr(model, name), getattr(back, name)
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"A": None}, "no entry A"),
        ({"extra": 1}, "unknown entries extra"),
        ({"format": "other"}, "format 'other'"),
        ({"H": [["x"]]}, "entry H is not an array of numbers"),
        ({"input_lag": 2}, "input_lag"),
        ({"dtype": "complex128"}, "dtype"),
        ({"R": [[-1.0]]}, "R"),
    ],
)
def test_a_wrong_model_file_is_refused_by_entry(change: dict[str, object], message: str) -> None:
    """A model file with a wrong entry is refused with the name of the entry."""
    values = {k: v for k, v in (model_to_json(_models()[0]) | change).items() if v is not None}
    with pytest.raises(KelmanError, match=message):
        model_from_json(values)


def test_text_that_is_no_json_is_refused(tmp_path: Path) -> None:
    """A model file that is not JSON says so with the line."""
    with pytest.raises(KelmanError, match="not JSON"):
        read_model(_write(tmp_path / "m.json", "{\n'A': 1}"))
    with pytest.raises(KelmanError, match="JSON object"):
        read_model(_write(tmp_path / "n.json", json.dumps([1, 2])))
