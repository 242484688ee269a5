from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from homeroom.errors import ConfigError, StorageError
from homeroom.evaluation.evaluate import Replies, assess
from homeroom.evaluation.report import read_report, render_html, write_report
from homeroom.evaluation.results import Evaluation, SystemInfo
from homeroom.schema.evaluation import Answer
from tests.evaluation.helpers import learner, tutor

NASTY = '<script>alert("x")</script><img src=http://evil.example/a.png onerror=1>\'"&'
VOID = {"meta", "br", "img", "line", "link", "input", "hr"}


class Walker(HTMLParser):
    """Collects tags and attributes, and checks that tags nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def walk(page: str) -> Walker:
    walker = Walker()
    walker.feed(page)
    walker.close()
    assert walker.open == []
    return walker


def found(text: str = "Which of them are gone?", title: str = "Tuned") -> Evaluation:
    items = [
        tutor(
            f"I have {n + 4} {thing} and lose {n}. I got {n + 9}. {text}",
            answer="4",
            claim=str(n + 9),
            right=False,
            topic=thing + text,
        )
        for n, thing in enumerate(("pens", "cards", "shells", "beads", "maps"))
    ]
    rows = [
        Replies(
            SystemInfo("base", "base", "Base", "m", system_text=text, held_out_loss=3.104),
            [Answer(i.id, "base", "The answer is 4.") for i in items],
        ),
        Replies(SystemInfo("tuned", "candidate", title, "ft:m", text), [Answer(i.id, "tuned", f"{text} Why?") for i in items]),
    ]
    return assess(items, rows, dataset="d@1", settings={"stop": [text]}, lineage={"Recipe": text}, created_at=1_789_000_000)


def test_the_page_says_what_was_found() -> None:
    evaluation = found()
    page = render_html(evaluation)
    said = " ".join(walk(page).text)
    assert evaluation.verdict is not None and evaluation.verdict.headline in said
    for needle in (
        evaluation.protocol.hash,
        "Keeps the answer back",
        "3.104",
        "not available",
        "no measure of quality",
        "d@1",
        "picked by hash",
        "10 September 2026",
    ):
        assert needle in said, needle
    assert (
        said.index(evaluation.verdict.headline)
        < said.index("What changed")
        < said.index("All figures")
        < said.index("Side by side")
    )


def test_the_page_is_self_contained_and_runs_nothing() -> None:
    page = render_html(found())
    walker = walk(page)
    assert not set(walker.tags) & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    assert not [
        name for name, _ in walker.attributes if name in ("src", "href", "srcset", "action", "data") or name.startswith("on")
    ]
    assert "url(" not in page and "@import" not in page and "http://" not in page and "https://" not in page
    assert "default-src 'none'" in page and "svg" in walker.tags


def test_the_style_is_in_the_page_and_whole() -> None:
    page = render_html(found())
    style = page[page.index("<style>") : page.index("</style>")]
    assert style.count("{") == style.count("}") > 50
    assert "prefers-color-scheme: dark" in style and "max-width: 700px" in style


def test_every_foreign_text_is_escaped() -> None:
    page = render_html(found(NASTY, NASTY))
    walker = walk(page)
    assert "script" not in walker.tags and "img" not in walker.tags
    assert not [name for name, _ in walker.attributes if name.startswith("on")]
    assert "&lt;script&gt;" in page and "<script" not in page


def test_a_learners_persona_and_a_lone_base_can_be_shown() -> None:
    items = [learner("What did you get?", "14.", f"Why {n}?") for n in range(4)]
    one = assess(items, [Replies(SystemInfo("base", "base", "Base", "m"), [Answer(i.id, "base", "") for i in items])])
    page = render_html(one)
    said = " ".join(walk(page).text)
    assert "Not judged" in said and "Persona and instructions" in said and "(no reply)" in said


def test_json_and_page_are_written_and_read_back(tmp_path: Path) -> None:
    evaluation = found()
    files = write_report(evaluation, tmp_path / "report")
    assert sorted(p.name for p in (tmp_path / "report").iterdir()) == ["evaluation.json", "report.html"]
    assert read_report(files.json).to_dict() == evaluation.to_dict()
    record = json.loads(files.json.read_text())
    assert record["protocol_hash"] == evaluation.protocol.hash and len(record["replies"]) == 5
    assert set(record["scorecards"][0]["values"]) == set(record["scorecards"][0]["summaries"])
    assert re.search(r"Infinity|NaN", files.json.read_text()) is None


def test_a_file_that_is_no_report_is_named(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"format": "other"}', '{"format": "homeroom-evaluation/1"}'):
        path = tmp_path / "x.json"
        path.write_text(text)
        with pytest.raises(ConfigError, match="is not an evaluation report") as caught:
            read_report(path)
        assert caught.value.code == "not-a-report" and repr(str(path)) in str(caught.value)
    with pytest.raises(ConfigError):
        read_report(tmp_path / "absent.json")


def test_a_disk_that_refuses_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "report").write_text("a file")
    with pytest.raises(StorageError) as caught:
        write_report(found(), tmp_path / "report")
    assert caught.value.code == "report-not-written"


@pytest.mark.browser
def test_the_page_fits_a_phone_and_asks_for_nothing(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    files = write_report(found(), tmp_path)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for width in (390, 1180):
            page = browser.new_page(viewport={"width": width, "height": 800})
            asked: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto(files.html.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert asked == [files.html.as_uri()]
            assert page.evaluate("getComputedStyle(document.querySelector('.verdict')).borderLeftWidth") == "8px"
            assert page.evaluate("getComputedStyle(document.querySelector('.effect')).display") == "grid"
            assert page.evaluate("document.querySelector('.effect svg').getBoundingClientRect().height") == 30
        browser.close()
