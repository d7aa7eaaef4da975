# SPDX-License-Identifier: BSD-3-Clause
"""The verbs on CSV files: ``kelman filter | smooth | forecast | simulate | fit``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kelman.cli._experiment import parse_order, split_names
from kelman.cli._model_file import model_to_json, read_model, write_model
from kelman.cli._tables import Table, numbered, read_table, write_table
from kelman.errors import KelmanError

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.models import StateSpace

Input = Annotated[
    Path, typer.Argument(help="CSV file: a header row, one row per time step, empty cells for missing values.")
]
Model = Annotated[Path | None, typer.Option("--model", "-m", help="Model file (JSON), as written by kelman fit.")]
System = Annotated[
    str, typer.Option("--system", help="A ready-made system instead of --model, for example local_level.")
]
Outputs = Annotated[
    str,
    typer.Option(
        "--outputs", help="Measured columns, separated by commas; default: all numeric columns that are not inputs."
    ),
]
Inputs = Annotated[str, typer.Option("--inputs", help="Known input columns, separated by commas.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="CSV file to write; default: standard output.")]  # fmt: skip


def filter_(
    data: Input, model: Model = None, system: System = "", outputs: Outputs = "", inputs: Inputs = "", out: Out = None
) -> None:
    """Filter a series: states given the past, one-step predictions, innovations.

    Columns written: step, x1.. and sd_x1.. (filtered states and standard deviations), pred_NAME, sd_pred_NAME and
    innov_NAME for every measured column. The log-likelihood goes to standard error.
    """
    from kelman.linear import filter as kalman_filter

    ssm = load_model(model, system)
    table, z, u, names = load_series(data, ssm, outputs, inputs)
    r = kalman_filter(ssm, z, u, store="all")
    predicted = z - r.innovation
    columns: dict[str, Any] = _steps(len(z)) | _states(r.mean, r.cov)
    predicted_all = _predictions(ssm, r.predicted_mean, u)
    predicted = _where_nan(predicted, predicted_all)
    sd = _sd(r.innovation_cov)
    for j, name in enumerate(names):
        columns |= {f"pred_{name}": predicted[:, j], f"sd_pred_{name}": sd[:, j], f"innov_{name}": r.innovation[:, j]}
    write_table(out, columns)
    _say(f"{table.path.name}: {len(z)} steps, log-likelihood {float(r.loglik):.6f}")


def smooth(
    data: Input, model: Model = None, system: System = "", outputs: Outputs = "", inputs: Inputs = "", out: Out = None
) -> None:
    """Smooth a series: states given the whole of it. Columns written: step, x1.., sd_x1.."""
    from kelman.linear import smooth as kalman_smooth

    ssm = load_model(model, system)
    table, z, u, _ = load_series(data, ssm, outputs, inputs)
    s = kalman_smooth(ssm, z, u)
    write_table(out, _steps(len(z)) | _states(s.mean, s.cov))
    _say(f"{table.path.name}: {len(z)} steps, log-likelihood {float(s.loglik):.6f}")


def forecast(
    data: Input,
    steps: Annotated[int, typer.Option("--steps", "-n", min=1, help="How many steps ahead.")],
    model: Model = None,
    system: System = "",
    outputs: Outputs = "",
    inputs: Inputs = "",
    future: Annotated[
        Path | None, typer.Option("--future", help="CSV file with the inputs of the steps to come.")
    ] = None,
    level: Annotated[float, typer.Option("--level", help="Probability of the interval.")] = 0.95,
    out: Out = None,
) -> None:
    """Forecast a series. Columns written: step, and NAME, sd_NAME, low_NAME, high_NAME for every measured column."""
    from kelman.linear import forecast as kalman_forecast

    if not 0.0 < level < 1.0:
        raise KelmanError(f"--level: expected a probability between 0 and 1, got {level}")
    ssm = load_model(model, system)
    table, z, u, names = load_series(data, ssm, outputs, inputs)
    u_future = None
    if ssm.dims.p:
        if future is None:
            raise KelmanError(f"--future: the model has inputs; give a CSV file with {steps} rows of {inputs}")
        u_future = _complete(read_table(future), split_names(inputs))
        if len(u_future) < steps:
            raise KelmanError(f"{future}: {len(u_future)} rows of inputs, --steps asks for {steps}")
        u_future = u_future[:steps]
    f = kalman_forecast(ssm, z, steps, u=u, u_future=u_future)
    low, high = f.interval(level)
    sd = _sd(f.cov)
    columns: dict[str, Any] = _steps(steps, len(z))
    for j, name in enumerate(names):
        columns |= {name: f.mean[:, j], f"sd_{name}": sd[:, j], f"low_{name}": low[:, j], f"high_{name}": high[:, j]}
    write_table(out, columns)
    _say(f"{table.path.name}: {steps} steps after {len(z)}")


def simulate(
    steps: Annotated[int, typer.Option("--steps", "-n", min=1, help="How many steps.")],
    model: Model = None,
    system: System = "",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed.")] = 0,
    inputs_from: Annotated[Path | None, typer.Option("--inputs-from", help="CSV file with the known inputs.")] = None,
    inputs: Inputs = "",
    out: Out = None,
) -> None:
    """Simulate a model. Columns written: step, z (z1..) measured, u (u1..) inputs, x1.. states."""
    import numpy as np

    from kelman.linear import simulate as kalman_simulate

    ssm = load_model(model, system)
    u = None
    if ssm.dims.p:
        if inputs_from is None:
            raise KelmanError("--inputs-from: the model has inputs; give a CSV file that holds them")
        table = read_table(inputs_from)
        u = _complete(table, split_names(inputs) or table.numeric_columns())
        if u.shape[1] != ssm.dims.p or len(u) < steps:
            raise KelmanError(
                f"{inputs_from}: {len(u)} rows of {u.shape[1]} inputs; the model needs {steps} rows of {ssm.dims.p}"
            )
        u = u[:steps]
    elif inputs_from is not None:
        raise KelmanError("--inputs-from: the model has no inputs")
    ssm = _startable(ssm)
    sim = kalman_simulate(ssm, steps, u=u, rng=np.random.default_rng(seed))
    columns: dict[str, Any] = _steps(steps) | numbered("z", sim.z)
    if u is not None:
        columns |= numbered("u", u)
    columns |= {f"x{j + 1}": sim.x[:, j] for j in range(sim.x.shape[1])}
    write_table(out, columns)


def fit(
    data: Input,
    outputs: Outputs = "",
    inputs: Inputs = "",
    order: Annotated[str, typer.Option("--order", help="Number of states, or auto.")] = "auto",
    method: Annotated[str, typer.Option("--method", help="subspace, pem, or auto (subspace, then pem).")] = "auto",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Model file (JSON) to write.")] = None,
) -> None:
    """Fit a linear model to a series, print its poles, and write it as a model file for the other commands."""
    from kelman.identify import fit as identify

    states = parse_order(order)
    table = read_table(data)
    known = split_names(inputs)
    measured = split_names(outputs) or tuple(name for name in table.numeric_columns() if name not in known)
    if not measured:
        raise KelmanError(f"{data}: no numeric column left to be measured; name it with --outputs")
    z = _complete(table, measured)
    u = _complete(table, known) if known else None
    result = identify(z, u, n_states=states, method=method)
    print(result.summary())
    if out is not None:
        write_model(out, result.model)
        _say(f"model of order {result.model.dims.n} written to {out}")


def load_model(path: Path | None, system: str) -> StateSpace:
    """Return the model of a file or the ready-made system of that name."""
    from kelman import systems

    if (path is None) == (not system):
        raise KelmanError("give a model: either --model FILE or --system NAME")
    if path is not None:
        return read_model(path)
    name = system.replace("-", "_")
    known = [word for word in systems.__all__ if not word.startswith("random")]
    if name not in known:
        raise KelmanError(f"--system: no system {system!r}; there are {', '.join(known)}")
    try:
        model: StateSpace = getattr(systems, name)()
    except TypeError as error:
        raise KelmanError(f"--system {system}: needs parameters ({error}); write it to a model file") from None
    return model


def load_series(
    path: Path, model: StateSpace, outputs: str, inputs: str
) -> tuple[Table, Array, Array | None, tuple[str, ...]]:
    """Read measurements and inputs that fit a model.

    Parameters
    ----------
    path : Path
        CSV file.
    model : StateSpace
        The model they are meant for.
    outputs, inputs : str
        Names of columns, separated by commas.

    Returns
    -------
    table, z, u, names
        The file, measurements (T, m), inputs (T, p) or None, names of the measured columns.
    """
    table = read_table(path)
    known = split_names(inputs)
    measured = split_names(outputs) or tuple(name for name in table.numeric_columns() if name not in known)
    m, p = model.dims.m, model.dims.p
    if len(measured) != m:
        raise KelmanError(
            f"--outputs: the model measures {m} value{'s' * (m != 1)}, got {len(measured)} column"
            f"{'s' * (len(measured) != 1)} ({', '.join(measured) or 'none'}); {path} has: {', '.join(table.columns)}"
        )
    if len(known) != p:
        raise KelmanError(
            f"--inputs: the model has {p} input{'s' * (p != 1)}, got {len(known)} column{'s' * (len(known) != 1)}"
        )
    u = _complete(table, known) if p else None
    return table, table.numbers(measured), u, measured


def _complete(table: Table, names: tuple[str, ...]) -> Array:
    import numpy as np

    if not names:
        raise KelmanError(f"{table.path}: no numeric column")
    values = table.numbers(names)
    if np.isnan(values).any():
        k, j = np.argwhere(np.isnan(values))[0]
        raise KelmanError(
            f"{table.path}, line {table.first_line + int(k)}: column {names[j]!r} may not have missing values here"
        )
    return values


def _steps(count: int, after: int = 0) -> dict[str, Any]:
    return {"step": [str(k) for k in range(after + 1, after + count + 1)]}


def _sd(cov: Array) -> Array:
    import numpy as np

    return np.asarray(np.sqrt(np.clip(np.diagonal(cov, axis1=-2, axis2=-1), 0.0, None)))


def _states(mean: Array, cov: Array) -> dict[str, Any]:
    sd = _sd(cov)
    n = mean.shape[1]
    return {f"x{j + 1}": mean[:, j] for j in range(n)} | {f"sd_x{j + 1}": sd[:, j] for j in range(n)}


def _predictions(model: StateSpace, state: Array, u: Array | None) -> Array:
    import numpy as np

    out: Array = np.einsum("...ij,...j->...i", model.H, state)
    if u is not None and model.D is not None:
        out = out + np.einsum("...ij,...j->...i", model.D, u)
    return out if model.c is None else out + model.c


def _where_nan(values: Array, otherwise: Array) -> Array:
    import numpy as np

    return np.asarray(np.where(np.isnan(values), otherwise, values))


def _startable(model: StateSpace) -> StateSpace:
    """Return the model with a state to start from: where its start is diffuse there is none to draw, so zero."""
    import numpy as np

    from kelman.lti import stationary_split

    drawn = model.initial in ("x0", "x1") and model.P1_inf is None
    if drawn or model.A.ndim != 2 or (model.initial != "diffuse" and stationary_split(model.A).Vu.shape[1] == 0):
        return model
    _say("the start of the model is diffuse: starting at zero")
    n = model.dims.n
    return model.replace(m1=np.zeros(n), P1=np.zeros((n, n)))


def _say(text: str) -> None:
    print(text, file=sys.stderr)


__all__ = ["filter_", "fit", "forecast", "model_to_json", "simulate", "smooth"]
