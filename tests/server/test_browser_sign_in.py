"""Signing in, in headless Chromium: with the keyboard alone, on a desk and on a phone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeroom.server.testing import LiveServer
from homeroom.storage import Database
from tests.server.beyond import Beyond
from tests.server.test_browser import Tab, browser, expect  # noqa: F401 - a fixture

pytestmark = pytest.mark.browser
DESK = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
SHOTS = os.environ.get("HOMEROOM_SCREENSHOTS", "")


@pytest.fixture
def beyond(make_site, database: Database) -> Beyond:
    return Beyond(make_site, database)


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def tab(browser, beyond: Beyond, request) -> Iterator[Tab]:  # noqa: F811
    with LiveServer(beyond.site.app) as server:
        context = browser.new_context(**request.param)
        context.set_default_timeout(10_000)
        made = Tab(context.new_page(), server.url)
        made.page.on("console", lambda m: made.problems.append(m.text) if m.type in {"error", "warning"} else None)
        made.page.on("pageerror", lambda error: made.problems.append(str(error)))
        made.page.on("request", lambda r: None if r.url.startswith((server.url, "data:")) else made.problems.append(r.url))
        yield made
        made.check()
        context.close()


def shot(page: Any, name: str) -> None:
    """A picture to look at, where a folder for them is named."""
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}-{page.viewport_size['width']}.png"))


def type_key(page: Any, key: str) -> None:
    expect(page.get_by_label("Key")).to_be_focused()
    page.keyboard.type(key)
    page.keyboard.press("Enter")


def test_signing_in_and_out_takes_a_keyboard_and_nothing_else(beyond: Beyond, tab: Tab) -> None:
    page = tab.open("/chat")
    expect(page).to_have_title("Sign in · Homeroom")
    expect(page.get_by_label("Key")).to_be_focused()
    shot(page, "sign-in")
    tab.expected.append("401")
    page.keyboard.type("sk-homeroom-wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="key")).to_contain_text("not known, expired or was revoked")
    expect(page.get_by_label("Key")).to_be_focused()
    expect(page.get_by_label("Key")).to_have_value("")
    shot(page, "refused")
    page.keyboard.type(beyond.secrets["chat"])
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Sign in")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{tab.url}/chat")
    expect(page.get_by_role("link", name="Jobs")).to_have_count(0)
    shot(page, "signed-in")
    tab.ask("Hello")
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    leave = page.get_by_role("button", name="Sign out")
    leave.focus()
    box = leave.bounding_box()
    assert box["width"] >= 44 and box["height"] >= 44
    page.keyboard.press("Enter")
    expect(page).to_have_title("Sign in · Homeroom")
    page.go_back()
    page.reload()
    expect(page).to_have_title("Sign in · Homeroom")


def test_what_was_typed_stays_when_the_key_ends(beyond: Beyond, tab: Tab) -> None:
    tab.expected.append("401")
    page = tab.open("/chat")
    type_key(page, beyond.secrets["chat"])
    expect(page.locator("#message")).to_be_visible()
    beyond.keys.revoke("chat")
    tab.send("A long thought")
    expect(page.locator("body")).to_contain_text("Sign in at /sign-in")
    expect(page.locator("#message")).to_have_value("A long thought")


def test_a_link_on_another_page_arrives_signed_in(beyond: Beyond, tab: Tab) -> None:
    page = tab.open("/sign-in")
    type_key(page, beyond.secrets["admin"])
    expect(page).to_have_url(f"{tab.url}/")
    other = tab.url.replace("127.0.0.1", "localhost")  # another site to the browser, where nobody is signed in
    tab.problems.clear()
    tab.expected.append("localhost")
    tab.expected.append("401")
    page.goto(f"{other}/sign-in")
    page.evaluate(
        "url => { const a = document.createElement('a'); a.href = url; a.id = 'away'; a.textContent = 'x'; document.body.append(a) }",
        f"{tab.url}/models",
    )
    page.click("#away")
    expect(page).to_have_title("Models · Homeroom")
    expect(page).to_have_url(f"{tab.url}/models")
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    shot(page, "admin")
