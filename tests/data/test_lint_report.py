"""The page about training data: its numbers are those of the data, it runs nothing, and nothing of the data gets out of its place."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from homeroom.cli.data.report import command
from homeroom.data.lint.guide import GUIDE
from homeroom.data.lint.report import make_report, render_html, write_report
from homeroom.data.lint.report_plots import boxes, histogram, matrix, stacked
from homeroom.data.lint.review import decide
from homeroom.errors import StorageError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def entry(question: str, reply: str, **metadata: object) -> dict:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": reply}], "metadata": metadata}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "examples.jsonl"
    long = "Look at the picture in your book. Count the red boats first, then count the blue boats, and tell me what you see."
    records = [
        entry("Is it 12?", long, subject="mathematics", grade=2, question_type="factual", scenario="diagnose"),
        entry("Why?", long, subject="mathematics", grade=4, question_type="conceptual", scenario="explain"),
        entry(EVIL, "Girls are bad at geometry. " + EVIL, subject=EVIL, grade=4, question_type="conceptual", scenario=EVIL),
        entry("My email is maya.fischer07@outlook.com.", "What the hell?", subject="science", grade=4),
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def test_the_page_is_whole_and_runs_nothing(data: Path) -> None:
    page = render_html(make_report([data], now=NOON))
    assert "<script" not in page
    assert "<img" not in page
    assert EVIL.replace("<", "&lt;").replace(">", "&gt;") in page
    assert "default-src 'none'" in page
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page)
    assert "1 March 2026" in page
    for part in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        assert ET.fromstring(part.replace("&rsquo;", "'")).attrib["aria-label"]
    for line in GUIDE:
        assert line.name in page
    links = set(re.findall(r'href="#([^"]+)"', page))
    assert links
    assert links <= set(re.findall(r'id="([^"]+)"', page))


def test_its_numbers_are_those_of_the_data(data: Path) -> None:
    report = make_report([data], select=("SAF",), now=NOON)
    assert report.result.summary["examples"] == 4
    assert {f.code for f in report.result.findings} == {"SAF001", "SAF010", "SAF015"}
    assert sorted(report.levels) == [2, 4]
    assert len(report.levels[2]) == 1
    page = render_html(report)
    assert "<title>mathematics, 2: 1</title>" in page
    assert "<title>science, 2: 0</title>" in page
    row = page[page.index("Educational: Privacy of Learners") :]
    assert "3 of 4" in row[: row.index("</tr>")]


def test_decisions_are_shown_with_name_and_date(data: Path) -> None:
    decide(data, make_report([data]).result.findings, "3:SAF015", fine=True, by="Ana <Ruiz>", note="quoted", now=NOON)
    report = make_report([data], now=NOON)
    assert "SAF015" not in {f.code for f in report.result.findings}
    page = render_html(report)
    assert "Ana &lt;Ruiz&gt;, 2026-03-01" in page


def test_plots_tell_their_numbers() -> None:
    counts = {("mathematics", "K"): 3, ("science", "1"): 1}
    shown = matrix("Coverage", ["mathematics", "science"], ["K", "1"], counts)
    assert "4 examples in 2 rows and 2 columns, 2 cells empty" in shown
    assert shown.count('class="hole"') == 2
    assert shown.count('class="cell"') == 2
    assert "<title>mathematics, K: 3</title>" in shown
    bars = histogram("Lengths", [1, 2, 3, 50], "words")
    assert bars.count("<rect") == len(re.findall(r"<title>", bars))
    assert sum(int(n) for n in re.findall(r"words: (\d+)</title>", bars)) == 4
    assert histogram("Lengths", [], "words") == ""
    assert "error" in stacked("Rules", [("SAF001 x", {"error": 2, "info": 1})], ("error", "warning", "info"))
    plot = boxes("Levels", [("2", [1.0, 2.0, 3.0], 2.0), ("3", [], 3.0)])
    assert "median 2.0" in plot
    assert plot.count('class="expected"') == 2
    assert plot.count('class="box"') == 1


def test_a_matrix_in_groups_keeps_every_cell() -> None:
    columns = [f"{band} · {kind}" for band in ("K-2", "3-5") for kind in ("factual", "conceptual", "analytical")]
    shown = matrix("All", ["diagnose"], columns, {("diagnose", columns[4]): 7}, groups=3)
    assert shown.count("<rect") == 6
    assert shown.count(">K-2<") == shown.count(">3-5<") == 1


def test_the_command_writes_the_page_and_prints_the_same(data: Path) -> None:
    done = CliRunner().invoke(command, [str(data)], standalone_mode=False)
    assert done.exception is None
    assert "Educational: Privacy of Learners" in done.output
    assert "examples.jsonl:4 SAF001" in done.output or "examples.jsonl:4 SAF010" in done.output
    page = data.with_name("examples.jsonl.report.html")
    assert page.read_text("utf-8").startswith("<!doctype html>")
    result = json.loads(CliRunner().invoke(command, [str(data), "--json", "--html", str(page)], standalone_mode=False).output)
    assert result["report"] == str(page)
    assert result["summary"]["examples"] == 4


def test_a_page_that_cannot_be_written_is_told(data: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "report.html"
    blocked.mkdir()
    with pytest.raises(StorageError) as caught:
        write_report(make_report([data]), blocked)
    assert caught.value.code == "report-not-written"


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark"), (320, "light")])
def test_in_a_browser_nothing_runs_over_the_edge(data: Path, width: int, scheme: str) -> None:
    import shutil

    from playwright.sync_api import sync_playwright

    page = data.with_name("page.html")
    write_report(make_report([data], now=NOON), page)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
        said: list[str] = []
        view.on("console", lambda message: said.append(message.text))
        view.on("request", lambda request: said.append(request.url) if request.url != page.as_uri() else None)
        view.goto(page.as_uri())
        assert view.evaluate("document.documentElement.scrollWidth") <= width
        assert view.locator("svg").count() >= 5
        assert not said
        browser.close()
