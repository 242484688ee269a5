from __future__ import annotations

import pytest

from homeroom.chat.testing import MemoryDirectory, PacedChatModel

TUTOR = "ft:base:homeroom:tutor:1a2b3c4d"
GOOD = {
    "name": TUTOR,
    "temperature": "0,9",
    "max_tokens": "120",
    "stop": "END\r\n\r\nStop here",
    "system_prompt": "Be kind.\r\nAsk.",
}


def test_the_list_tells_what_a_school_needs_to_know(ana) -> None:
    page = ana.get("/models").get_data(as_text=True)
    for words in (
        "Course tutor",
        TUTOR,
        "practice: confirms 9 of 16 false claims",
        "Used in chat",
        "Plays learners",
        "course@1",
        "huggingface",
        "Train loss",
        "2.257",
        "0.62 [0.51, 0.72]",
        "Open the report",
        "rank",
    ):
        assert words in page
    assert page.index("Course tutor") < page.index("Base model")


def test_settings_are_saved_with_the_model_version(site, ana) -> None:
    assert "You are a tutor." in ana.get(f"/models/settings?name={TUTOR}").get_data(as_text=True)
    answer = ana.post("/models/settings", data=GOOD).get_data(as_text=True)
    assert "Saved with this model version" in answer
    card = next(c for c in site.desk.models.list() if c.name == TUTOR)
    assert card.settings == {
        "temperature": 0.9,
        "max_tokens": 120,
        "stop": ["END", "Stop here"],
        "system_prompt": "Be kind.\nAsk.",
    }
    ana.stream("/chat/turns", {"text": "Hello"})
    model = site.desk.models.chat_model(TUTOR)
    assert model.asked[-1][0][0].content == "Be kind.\nAsk."
    assert model.asked[-1][1].stop == ("END", "Stop here")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", "hot"),
        ("temperature", "2.1"),
        ("temperature", "nan"),
        ("temperature", ""),
        ("max_tokens", "0"),
        ("max_tokens", "1e9"),
        ("max_tokens", "inf"),
        ("stop", "a\nb\nc\nd\ne"),
        ("system_prompt", "x" * 8001),
    ],
)
def test_a_wrong_value_is_named_and_nothing_is_saved(site, ana, field: str, value: str) -> None:
    before = site.desk.models.version()
    response = ana.post("/models/settings", data={**GOOD, field: value}, headers={"HX-Request": "true"})
    assert response.status_code == 400
    assert f"setting-{field.replace('_', '-')}" in response.get_data(as_text=True)
    assert site.desk.models.version() == before


def test_which_model_the_pages_use(site, ana) -> None:
    response = ana.post("/models/use", data={"name": "base", "task": "tutor"})
    assert response.headers["HX-Trigger"] == "models-changed"
    assert site.desk.models.list()[0].default_for == ("tutor",)
    assert "The answer is" in dict(ana.stream("/chat/turns", {"text": "Hello"}))["done"]["html"]
    assert ana.post("/models/use", data={"name": "base", "task": "cook"}).status_code == 400
    assert ana.post("/models/use", data={"name": "nobody", "task": "tutor"}).status_code == 404


def test_a_new_model_is_in_the_picker_at_once(site, ana) -> None:
    assert "ft:new" not in ana.get("/models/picker?task=tutor").get_data(as_text=True)
    site.add_model(PacedChatModel("ft:new", lambda m: "ok"), title="Newest")
    options = ana.get(f"/models/picker?task=tutor&model={TUTOR}").get_data(as_text=True)
    assert '<option value="ft:new">Newest</option>' in options
    assert f'<option value="{TUTOR}" selected>' in options
    assert "ft:new" not in ana.get("/models/picker?task=learner").get_data(as_text=True)


def test_learners_are_not_offered_as_tutors(ana) -> None:
    assert "Course learner" not in ana.get("/models/picker?task=tutor").get_data(as_text=True)
    assert "Course learner" in ana.get("/models/picker?task=learner").get_data(as_text=True)


def test_a_report_draws_and_does_nothing_else(ana) -> None:
    response = ana.get("/models/report?key=report-1")
    assert "What changed" in response.get_data(as_text=True)
    policy = response.headers["Content-Security-Policy"]
    assert "sandbox" in policy
    assert "script-src" not in policy
    for key in ("nobody", "", "../secret"):
        assert ana.get("/models/report", query_string={"key": key}).status_code == 404


def test_pages_without_any_model(make_site) -> None:
    site = make_site()
    site.desk.models._models = MemoryDirectory()._models
    ana = site.client()
    for url in ("/", "/chat", "/compare", "/models"):
        assert ana.get(url).status_code == 200
    assert "homeroom models pull" in ana.get("/models").get_data(as_text=True)
    response = ana.post("/chat/turns", json={"text": "Hello"})
    assert (response.status_code, response.get_json()["error"]["code"]) == (404, "no-model")
    assert "homeroom models pull" in response.get_json()["error"]["message"]
