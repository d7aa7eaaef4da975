"""The report on what compiling costs: builds are told apart, and one over its budget fails."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "cmake" / "compiler_log.py"
report = runpy.run_path(str(SCRIPT))["report"]


def build(folder: str, begin: float, *, seconds: float, size: float = 1e9) -> list[dict[str, object]]:
    """Notes of one build of two sources, side by side, for two instruction sets."""
    return [
        {
            "folder": folder,
            "target": f"{march}.o",
            "march": march,
            "begin": begin,
            "end": begin + seconds,
            "cpu": seconds,
            "bytes": size,
        }
        for march in ("x86-64-v2", "x86-64-v4")
    ]


@pytest.mark.parametrize(
    ("notes", "lines", "over"),
    [
        (build("a", 0, seconds=150), 1, 0),
        (build("a", 0, seconds=150) + build("a", 400, seconds=150), 2, 0),  # one folder, built twice
        (build("a", 0, seconds=150) + build("b", 10, seconds=150), 2, 0),  # two folders at the same time
        (build("a", 0, seconds=200), 2, 1),
        (build("a", 0, seconds=50, size=3e9), 2, 1),
    ],
)
def test_each_build_is_held_to_the_budget_by_itself(
    notes: list[dict[str, object]], lines: int, over: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is built twice is two builds; time and memory over the budget are each told."""
    log = tmp_path / "log"
    log.write_text("\n".join(json.dumps(n) for n in notes), encoding="utf-8")
    assert report(log) == over
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == lines
    assert ("OVER THE BUDGET" in printed[-1]) == bool(over)
