from __future__ import annotations

from dataclasses import replace

from homeroom.chat.testing import SCENARIO

HISTORY = replace(SCENARIO, id="learner-060", name="Nia", subject="history", grade=1, topic="dates-and-timelines")


def start(ana, **data) -> str:
    response = ana.post("/practice", data={"scenario": "learner-005", **data})
    assert response.status_code == 303
    return response.headers["Location"]


def test_homeroom_opens_with_the_learners(ana) -> None:
    page = ana.get("/").get_data(as_text=True)
    assert "Zainab" in page
    assert "Adding unlike fractions" in page
    assert "2/6 km" in page
    assert "you add the tops" not in page  # the reason is what the visitor is to find


def test_a_session_from_start_to_notes(ana) -> None:
    url = start(ana)
    page = ana.get(url).get_data(as_text=True)
    assert "Zainab has answered" in page
    assert "you add the tops" not in page
    stream = ana.stream(f"{url}/turns", {"text": "How did you get 2/6?"})
    assert "I added the tops and the bottoms." in dict(stream)["done"]["html"]
    ana.stream(f"{url}/turns", {"text": "Great job! Do you see?"})
    end = ana.post(f"{url}/finish")
    assert (end.status_code, end.headers["Location"]) == (303, f"{url}/notes")
    notes = ana.get(f"{url}/notes").get_data(as_text=True)
    for words in (
        "How did you get 2/6?",
        "Great job!",
        "Do you see?",
        "Try next time",
        "fixed rules",
        "adds numerators and denominators",
    ):
        assert words in notes
    assert ana.get(url).headers["Location"] == f"{url}/notes"
    assert ana.post(f"{url}/turns", json={"text": "One more"}).status_code == 409
    assert "Read the notes" in ana.get("/").get_data(as_text=True)


def test_notes_come_only_after_the_end(ana) -> None:
    url = start(ana)
    assert ana.get(f"{url}/notes").headers["Location"] == url


def test_a_session_can_be_continued_later(ana) -> None:
    url = start(ana)
    ana.stream(f"{url}/turns", {"text": "Why?"})
    assert url in ana.get("/").get_data(as_text=True)
    assert "Why?" in ana.get(url).get_data(as_text=True)


def test_a_session_ended_at_once_has_notes_too(ana) -> None:
    url = start(ana)
    ana.post(f"{url}/finish")
    assert "Say something to the learner" in ana.get(f"{url}/notes").get_data(as_text=True)


def test_a_picked_model_plays_the_learner(ana) -> None:
    url = start(ana, model="base")
    assert "Played by Base model" in ana.get(url).get_data(as_text=True)
    assert "The answer is" in dict(ana.stream(f"{url}/turns", {"text": "Hi"}))["done"]["html"]


def test_the_learner_can_be_asked_again(ana) -> None:
    url = start(ana)
    begin = dict(ana.stream(f"{url}/turns", {"text": "Why?"}))["begin"]
    stream = ana.stream(f"{url}/turns/{begin['exchange']}/again")
    assert dict(stream)["begin"]["exchange"] == begin["exchange"]


def test_filters(make_site) -> None:
    ana = make_site(scenarios=(SCENARIO, HISTORY)).client()
    for query, names in (
        ("", {"Zainab", "Nia"}),
        ("?subject=history", {"Nia"}),
        ("?subject=mathematics&band=3-5", {"Zainab"}),
        ("?band=K-2", {"Nia"}),
        ("?band=nonsense", {"Zainab", "Nia"}),
        ("?subject=art", set()),
    ):
        cards = ana.get(f"/practice/cards{query}").get_data(as_text=True)
        assert {name for name in ("Zainab", "Nia") if name in cards} == names
    assert "No learner fits." in ana.get("/practice/cards?subject=art").get_data(as_text=True)
    assert "Nia" not in ana.get("/?subject=mathematics").get_data(as_text=True).split('id="cards"')[1]


def test_without_scenarios_the_page_says_where_they_come_from(make_site) -> None:
    assert "homeroom data add" in make_site(scenarios=()).client().get("/").get_data(as_text=True)


def test_wrong_input(ana) -> None:
    assert ana.post("/practice", data={"scenario": "nobody"}).status_code == 404
    assert ana.post("/practice", data={}).status_code == 404
    assert ana.post("/practice", data={"scenario": "learner-005", "model": "nobody"}).status_code == 404
    url = start(ana)
    assert ana.post(f"{url}/turns", json={"text": ""}).status_code == 422
    assert ana.post(f"{url}/turns", json={}).status_code == 400


def test_deleting_a_session(ana) -> None:
    url = start(ana)
    ana.stream(f"{url}/turns", {"text": "Why?"})
    assert ana.post(f"{url}/delete").headers["Location"] == "/"
    assert ana.get(url).status_code == 404
    assert url not in ana.get("/").get_data(as_text=True)
