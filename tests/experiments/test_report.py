"""The report: one page that needs nothing but itself, with the numbers of the records in it."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

from kelman.experiments import DataSource, run
from kelman.experiments._verdict import number
from kelman.experiments.report import write_report

if TYPE_CHECKING:
    from pathlib import Path

    from kelman.experiments import Experiment


class Page(HTMLParser):
    """Collects what a page refers to and what it embeds."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.images: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.scripts: dict[str, str] = {}
        self.captions = 0
        self._script = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note references, images, ids."""
        values = dict(attrs)
        for name in ("src", "href", "action", "poster", "srcset"):
            if values.get(name):
                self.references.append(str(values[name]))
        if tag == "img":
            self.images.append(str(values["src"]))
            assert values.get("alt")
        if values.get("id"):
            self.ids.append(str(values["id"]))
        self.captions += tag == "figcaption"
        self._script = str(values.get("id") or "code") if tag == "script" else ""
        if tag not in {"meta", "img", "input", "br", "link"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that elements nest."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep scripts."""
        if self._script:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data


@pytest.fixture(scope="module")
def written(quick: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the report of the quick run."""
    out = tmp_path_factory.mktemp("report") / "new" / "folder"
    assert write_report(quick, out) == out / "report.html"
    return out


def read(folder: Path) -> tuple[str, Page]:
    """Text and structure of the page."""
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    return text, page


def test_the_page_needs_nothing_but_itself(written: Path) -> None:
    """Nothing is loaded from elsewhere: every reference is a data URL or an anchor of the page itself."""
    text, page = read(written)
    for reference in page.references:
        assert reference.startswith(("data:", "#")), reference[:80]
        if reference.startswith("#"):
            assert reference[1:] in page.ids
    without_data = re.sub(r"data:[a-z/]+;base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"https?://|@import|url\(", without_data)
    assert len(page.ids) == len(set(page.ids))


def test_figures_are_embedded_and_written(written: Path) -> None:
    """Every figure of the page is the PNG beside it, has a caption with a number, and is not empty."""
    _, page = read(written)
    files = sorted(written.glob("*.png"))
    assert len(files) == len(page.images) == page.captions == 13
    for file, image in zip(files, page.images, strict=True):
        assert base64.b64decode(image.partition("base64,")[2]) == file.read_bytes()
        assert file.stat().st_size > 5_000
    text, _ = read(written)
    captions = re.findall(r"<figcaption><b>Figure \d+\.</b> (.*?)</figcaption>", text, re.DOTALL)
    assert all(re.search(r"\d", caption) for caption in captions)
    assert all(caption.strip().endswith(".") for caption in captions)


def test_the_numbers_can_be_downloaded(written: Path, quick: Experiment) -> None:
    """The embedded download is results.json, strict JSON, and holds the numbers of the records."""
    _, page = read(written)
    embedded = next(r for r in page.references if r.startswith("data:application/json"))
    text = base64.b64decode(embedded.partition("base64,")[2]).decode()
    assert text.strip() == (written / "results.json").read_text(encoding="utf-8").strip()
    values: dict[str, Any] = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert quick.weights is not None
    assert values["weights"]["methods"][2]["predictor_excess"] == quick.weights.methods[2].predictor_excess
    assert values["seed"] == 0
    assert len(values["verdict"]) == len(quick.verdict)


def test_the_verdict_stands_on_the_page(written: Path, quick: Experiment) -> None:
    """Every line of the verdict is on the page, about a dozen of them, and each holds a number."""
    text, _ = read(written)
    assert 11 <= len(quick.verdict) <= 14
    for line in quick.verdict:
        assert re.search(r"\d", line.because)
        assert line.answer in text


def test_sliders_have_their_grids(written: Path, quick: Experiment) -> None:
    """Both sliders find precomputed numbers in the page: as many as there are orders and gains."""
    _, page = read(written)
    orders, gains = (json.loads(page.scripts[f"{name}-grid"]) for name in ("order", "gain"))
    assert len(orders["poles"]) == len(orders["score"]) == 8
    assert [len(p) for p in orders["poles"]] == list(range(1, 9))
    assert quick.activation is not None
    assert len(gains["predictions"]) == len(quick.activation.gains)
    assert all(len(row) == len(gains["z"]) for row in gains["predictions"])


def test_a_report_of_own_data_without_inputs(tmp_path: Path) -> None:
    """A data set without inputs gives a page with its own section only; odd names are escaped."""
    import numpy as np

    from kelman import simulate, systems

    z = simulate(systems.rotation(), 400, rng=np.random.default_rng(0)).z
    result = run(DataSource("<b>&own", z, None, ("z",), ()), own=True)
    write_report(result, tmp_path)
    text, page = read(tmp_path)
    assert len(page.images) == 3
    assert "<b>&own" not in text
    assert "&lt;b&gt;&amp;own" in text
    assert len(result.verdict) == 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (1.40123, "1.4"), (0.0385, "0.0385"), (135.4, "135"), (12345.6, "12,346"), (3.1e-13, "3.1e-13"),
        (4.4e-8, "4.4e-8"), (float("inf"), "infinite"), (float("nan"), "undefined"), (-0.02, "-0.02"),
    ],
)  # fmt: skip
def test_numbers_are_written_as_a_person_would(value: float, text: str) -> None:
    """Three digits, no exponent where none is needed."""
    assert number(value) == text
