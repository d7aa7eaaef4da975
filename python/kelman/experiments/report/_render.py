# SPDX-License-Identifier: BSD-3-Clause
"""Write the experiment down: one self-contained page, the numbers as JSON, every figure as PNG."""

from __future__ import annotations

import base64
import io
import json
from importlib import resources
from typing import TYPE_CHECKING, Any

from kelman import _registry
from kelman.experiments._record import to_json
from kelman.experiments.report._content import sections

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kelman.experiments._run import Experiment

DPI = 140


def write_report(experiment: Experiment, out: Path, note: Callable[[str], None] | None = None) -> Path:
    """Write ``report.html``, ``results.json`` and the PNGs of an experiment.

    Parameters
    ----------
    experiment : Experiment
        What :func:`kelman.experiments.run` returned.
    out : Path
        Folder, made if it is not there; files of an earlier report are replaced.
    note : callable, optional
        Told the name of every figure when it is drawn.

    Returns
    -------
    Path
        The page.
    """
    from jinja2 import Environment, StrictUndefined

    out.mkdir(parents=True, exist_ok=True)
    results = experiment.to_json()
    text = json.dumps(results, indent=1, allow_nan=False)
    (out / "results.json").write_text(text + "\n", encoding="utf-8")

    parts: list[dict[str, Any]] = []
    count = 0
    for section in sections(experiment):
        figures = []
        for figure in section.figures:
            count += 1
            png = _png(_registry.figure(figure.name, figure.record))
            (out / f"{count:02d}-{figure.name.replace('_', '-')}.png").write_bytes(png)
            figures.append(
                {"image": _data_url("image/png", png), "caption": figure.caption, "alt": figure.alt, "number": count}
            )
            if note is not None:
                note(figure.name)
        parts.append(
            {
                "key": section.key,
                "title": section.title,
                "text": section.text,
                "figures": figures,
                "tables": section.tables,
                "widget": section.widget,
                "grid": _embedded(to_json(section.grid)),
            }
        )
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(
        resources.files(__package__).joinpath("template.html").read_text(encoding="utf-8")
    )
    page = template.render(
        version=results["kelman"],
        seed=experiment.seed,
        quick=experiment.quick,
        verdict=experiment.verdict,
        sections=parts,
        total=sum(experiment.seconds.values()),
        download=_data_url("application/json", text.encode()),
    )
    path = out / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _png(figure: Any) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.1, metadata={"Software": None})
    return stream.getvalue()


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _embedded(values: Any) -> str:
    """JSON that may stand inside a script element."""
    return json.dumps(values, allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")
