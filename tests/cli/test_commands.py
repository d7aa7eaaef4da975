"""The command line on real files: the numbers are those of the library, wrong use is one line and a status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

import kelman
from kelman.cli._model_file import read_model, write_model
from kelman.cli._tables import numbered, read_table, write_table

if TYPE_CHECKING:
    from pathlib import Path


def command(*arguments: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> Any:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "kelman.cli", *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False, cwd=cwd, env={**os.environ, **(env or {})},
    )  # fmt: skip


def run(*arguments: object) -> tuple[int, str, str]:
    """Run the command line in this process; returns status, standard output and standard error."""
    import contextlib
    import io

    from kelman.cli import _app

    out, err = io.StringIO(), io.StringIO()
    status = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            _app.run([str(a) for a in arguments])
        except SystemExit as stop:
            status = int(stop.code or 0)
    return status, out.getvalue(), err.getvalue()


@pytest.fixture
def tracked(tmp_path: Path) -> dict[str, Any]:
    """A model with one input in a file, and a series with a gap in another."""
    model = kelman.StateSpace(
        [[0.9, 0.2], [-0.2, 0.9]], [[1.0, 0.0]], 0.1 * np.eye(2), [[1.0]], B=[[0.5], [1.0]], D=[[0.2]], c=[3.0]
    )
    rng = np.random.default_rng(0)
    u = rng.standard_normal((60, 1))
    z = kelman.simulate(model, 60, u=u, rng=rng).z.copy()
    z[10] = np.nan
    write_model(tmp_path / "model.json", model)
    write_table(tmp_path / "series.csv", numbered("volts", z) | numbered("heat", u))
    return {"model": model, "z": z, "u": u, "folder": tmp_path}


def test_filter_writes_what_the_library_computes(tracked: dict[str, Any]) -> None:
    """Every column that `kelman filter` writes equals the library's array to the bit; a gap gives no innovation."""
    folder = tracked["folder"]
    status, _, err = run(
        "filter", folder / "series.csv", "-m", folder / "model.json", "--outputs", "volts", "--inputs", "heat", "-o", folder / "out.csv"
    )  # fmt: skip
    assert status == 0, err
    table = read_table(folder / "out.csv")
    r = kelman.filter(tracked["model"], tracked["z"], tracked["u"], store="all")
    np.testing.assert_array_equal(table.numbers(["x1", "x2"]), r.mean)
    np.testing.assert_array_equal(table.numbers(["innov_volts"]), r.innovation)
    np.testing.assert_array_equal(table.numbers(["sd_pred_volts"])[:, 0], np.sqrt(r.innovation_cov[:, 0, 0]))
    predicted = table.numbers(["pred_volts"])
    assert np.isfinite(predicted).all()
    np.testing.assert_allclose((tracked["z"] - predicted)[11:], r.innovation[11:], atol=1e-12)
    expected = r.predicted_mean @ tracked["model"].H.T + tracked["u"] @ tracked["model"].D.T + 3.0
    np.testing.assert_allclose(predicted, expected, atol=1e-12)
    assert f"{float(r.loglik):.6f}" in err


def test_smooth_writes_what_the_library_computes(tracked: dict[str, Any]) -> None:
    """`kelman smooth` on standard output gives the smoothed states to the bit."""
    folder = tracked["folder"]
    status, out, err = run(
        "smooth", folder / "series.csv", "-m", folder / "model.json", "--outputs", "volts", "--inputs", "heat"
    )  # fmt: skip
    assert status == 0, err
    (folder / "s.csv").write_text(out, encoding="utf-8")
    s = kelman.smooth(tracked["model"], tracked["z"], tracked["u"])
    table = read_table(folder / "s.csv")
    np.testing.assert_array_equal(table.numbers(["x1", "x2"]), s.mean)
    np.testing.assert_allclose(table.numbers(["sd_x2"])[:, 0] ** 2, s.cov[:, 1, 1], rtol=1e-12)


def test_forecast_takes_the_inputs_to_come_from_a_file(tracked: dict[str, Any]) -> None:
    """`kelman forecast` uses the first rows of --future and numbers its steps after the series."""
    folder = tracked["folder"]
    future = np.arange(8.0).reshape(8, 1)
    write_table(folder / "future.csv", numbered("heat", future))
    status, _, err = run(
        "forecast", folder / "series.csv", "-m", folder / "model.json", "--outputs", "volts", "--inputs", "heat", "-n", 5, "--future",
        folder / "future.csv", "-o", folder / "f.csv", "--level", 0.8,
    )  # fmt: skip
    assert status == 0, err
    table = read_table(folder / "f.csv")
    f = kelman.forecast(tracked["model"], tracked["z"], 5, u=tracked["u"], u_future=future[:5])
    np.testing.assert_array_equal(table.numbers(["volts"]), f.mean)
    low, high = f.interval(0.8)
    np.testing.assert_array_equal(table.numbers(["low_volts", "high_volts"]), np.hstack([low, high]))
    assert table.text("step") == ["61", "62", "63", "64", "65"]


def test_simulate_is_seeded_and_fit_reads_it_back(tmp_path: Path) -> None:
    """A simulated CSV is the same for the same seed; a model fitted to it has poles near the truth and a usable file."""
    first = run("simulate", "--system", "rotation", "-n", 3000, "--seed", 3, "-o", tmp_path / "a.csv")
    again = run("simulate", "--system", "rotation", "-n", 3000, "--seed", 3, "-o", tmp_path / "b.csv")
    assert first[0] == again[0] == 0, first[2]
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
    status, out, err = run("fit", tmp_path / "a.csv", "--outputs", "z", "--order", 2, "-o", tmp_path / "m.json")
    assert status == 0, err
    assert "modulus" in out
    poles = np.linalg.eigvals(read_model(tmp_path / "m.json").A)
    np.testing.assert_allclose(np.abs(poles), 0.95, atol=0.03)
    status, _, err = run(
        "filter", tmp_path / "a.csv", "-m", tmp_path / "m.json", "--outputs", "z", "-o", tmp_path / "o.csv"
    )
    assert status == 0, err


def test_a_diffuse_system_is_simulated_from_zero_and_says_so(tmp_path: Path) -> None:
    """Where the start of a system is diffuse there is no state to draw: the simulation starts at zero, with a note."""
    status, _, err = run("simulate", "--system", "local_level", "-n", 5, "-o", tmp_path / "a.csv")
    assert status == 0
    assert "starting at zero" in err
    model = kelman.systems.local_level().replace(m1=[0.0], P1=[[0.0]])
    expected = kelman.simulate(model, 5, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(read_table(tmp_path / "a.csv").numbers(["z"]), expected.z)
    status, _, err = run("simulate", "--system", "rotation", "-n", 5, "-o", tmp_path / "b.csv")
    assert (status, err) == (0, "")


def test_experiment_on_own_data_writes_its_report(tracked: dict[str, Any]) -> None:
    """`kelman experiment --data` prints three lines and writes page, numbers and figures; the order asked for is kept."""
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    folder = tracked["folder"]
    sim = kelman.simulate(kelman.systems.rotation(), 300, rng=np.random.default_rng(0))
    write_table(folder / "own.csv", numbered("z", sim.z))
    status, out, err = run(
        "experiment", "--data", folder / "own.csv", "--order", 2, "--out", folder / "report", "--no-progress"
    )
    assert status == 0, err
    assert err == ""
    lines = out.strip().splitlines()
    assert "order 2" in lines[0]
    assert str(folder / "report" / "report.html") in out
    assert {p.name for p in (folder / "report").iterdir()} >= {"report.html", "results.json", "01-data-fit.png"}
    assert json.loads((folder / "report" / "results.json").read_text())["weights"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("filter", "none.csv", "--system", "local_level"), "none.csv: no such file"),
        (("filter", "series.csv"), "--model"),
        (("filter", "series.csv", "--system", "teapot"), "no system 'teapot'; there are"),
        (("filter", "series.csv", "-m", "model.json", "--outputs", "volts"), "the model has 1 input"),
        (("filter", "series.csv", "-m", "model.json", "--inputs", "heat", "--outputs", "volts,heat"), "the model measures 1 value"),
        (("filter", "series.csv", "-m", "model.json", "--inputs", "warmth", "--outputs", "volts"), "no column 'warmth'"),
        (("forecast", "series.csv", "-m", "model.json", "--inputs", "heat", "-n", "2"), "--future"),
        (("simulate", "-m", "model.json", "-n", "5"), "--inputs-from"),
        (("fit", "series.csv", "--order", "zero"), "--order: expected a positive whole number or auto"),
        (("fit", "series.csv", "--outputs", "volts"), "missing"),
        (("experiment", "--inputs", "heat"), "--data"),
        (("experiment", "--data", "series.csv", "--inputs", "heat", "--outputs", "volts"), "line 12"),
        (("experiment", "--out", "series.csv"), "not a folder"),
        (("bench", "--repository"), "clone"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_line_without_a_traceback(
    tracked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    """What a person gets wrong is answered by one line that names it, and status 1."""
    monkeypatch.chdir(tracked["folder"])
    status, _, err = run(*arguments)
    assert status == 1
    assert message in err
    assert "Traceback" not in err
    assert err.startswith("kelman: ")
    assert err.count("\n") == 1


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    """With --debug the error comes with its traceback."""
    result = command("--debug", "filter", tmp_path / "none.csv", "--system", "local_level")
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_an_unknown_option_exits_with_status_2() -> None:
    """Wrong options are refused by the parser with status 2."""
    assert command("filter", "--nonsense").returncode == 2


def test_help_names_every_command() -> None:
    """The help page lists all nine commands, and each has a help page of its own."""
    result = command("--help")
    assert result.returncode == 0
    for name in ("experiment", "fit", "filter", "smooth", "forecast", "simulate", "validate", "bench", "info"):
        assert name in result.stdout
        status, out, _ = run(name, "--help")
        assert status == 0
        assert "--" in out


def test_info_says_what_this_installation_is() -> None:
    """`kelman info --json` gives version, the core in use, threads and backends."""
    status, out, err = run("info", "--json")
    assert status == 0, err
    values = json.loads(out)
    assert values["threads"] >= 1
    assert values["backend"] in ("core", "torch")
    assert values["core"]["in use"] is None or values["core"]["in use"] in values["core"]["usable"]
    status, out, _ = run("info")
    assert status == 0
    assert "threads" in out


def test_bench_prints_a_table() -> None:
    """`kelman bench` times every size and prints positive numbers."""
    status, out, err = run("bench", "--series", 20, "--steps", 20, "--repeats", 1)
    assert status == 0, err
    assert "ns per step" in out


def test_without_the_extra_the_command_says_what_to_install() -> None:
    """Where typer is not installed the command names the extra and exits with status 2."""
    code = "import sys; sys.modules['typer'] = None\nfrom kelman.cli import main\nmain()\n"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert 'pip install "kelman[app]"' in result.stderr
    assert "Traceback" not in result.stderr
