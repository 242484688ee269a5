from __future__ import annotations

import pytest

from homeroom.storage import Scope


@pytest.fixture
def turn(ana) -> str:
    return dict(ana.stream("/chat/turns", {"text": "Hello"}))["begin"]["reply"]


def given(site, turn: str):
    return site.desk.feedback.get(Scope("school", "ana"), turn)


def test_a_thumb_is_stored_at_once_and_asks_for_more(site, ana, turn: str) -> None:
    form = ana.post(f"/turns/{turn}/thumb", data={"thumb": "down"}).get_data(as_text=True)
    assert given(site, turn).thumb == "down"
    assert "May this be used to train models?" in form
    assert "checked" not in form  # no answer is given for the person
    assert 'aria-pressed="true"' in form


@pytest.mark.parametrize(
    ("consent", "said"), [("granted", "You allowed its use"), ("refused", "It will not be used"), (None, "unless you allow it")]
)
def test_reason_better_answer_and_consent(site, ana, turn: str, consent: str | None, said: str) -> None:
    data = {"thumb": "down", "reason": ["Gave the answer away", "and too fast"], "better_answer": "What did you add?"}
    answer = ana.post(f"/turns/{turn}/feedback", data={**data, **({"consent": consent} if consent else {})}).get_data(
        as_text=True
    )
    assert said in answer
    found = given(site, turn)
    assert (found.thumb, found.reason, found.better_answer) == ("down", "Gave the answer away; and too fast", "What did you add?")
    assert found.consent == (consent or "not-asked")
    form = ana.get(f"/turns/{turn}/feedback").get_data(as_text=True)
    assert "What did you add?" in form
    assert 'value="and too fast"' in form


def test_feedback_can_be_removed(site, ana, turn: str) -> None:
    ana.post(f"/turns/{turn}/feedback", data={"thumb": "up", "consent": "granted"})
    ana.post(f"/turns/{turn}/feedback/withdraw")
    assert (given(site, turn).thumb, given(site, turn).consent) == (None, "not-asked")


@pytest.mark.parametrize("data", [{"thumb": "sideways"}, {"consent": "perhaps"}, {"thumb": "up", "consent": ""}])
def test_wrong_input(site, ana, turn: str, data: dict) -> None:
    assert ana.post(f"/turns/{turn}/feedback", data=data).status_code == 400
    assert given(site, turn).thumb is None


def test_the_thumb_is_shown_when_the_page_is_loaded_again(ana, turn: str) -> None:
    ana.post(f"/turns/{turn}/thumb", data={"thumb": "up"})
    page = ana.get("/chat/sidebar").get_data(as_text=True)
    url = page.split('href="')[1].split('"')[0]
    assert ana.get(url).get_data(as_text=True).count('aria-pressed="true"') == 1
