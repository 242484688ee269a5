from __future__ import annotations

import threading

from homeroom.chat.testing import PacedChatModel
from homeroom.errors import ProviderError


def events(stream) -> dict:
    return dict(stream)


def test_the_first_message_makes_a_conversation(site, ana) -> None:
    assert "Your conversations will be listed here" in ana.get("/chat").get_data(as_text=True)
    stream = ana.stream("/chat/turns", {"text": "I got 2/5."})
    assert stream[0][0] == "begin"
    assert stream[-1][0] == "done"
    assert "".join(data["text"] for name, data in stream if name == "delta") == "What did you do first?"
    begin = stream[0][1]
    page = ana.get(begin["url"]).get_data(as_text=True)
    assert "I got 2/5." in page
    assert "What did you do first?" in page
    assert begin["title"] == "I got 2/5."
    assert "I got 2/5." in ana.get("/chat/sidebar").get_data(as_text=True)


def test_a_stored_page_shows_the_same_html_as_the_stream(ana) -> None:
    found = events(ana.stream("/chat/turns", {"text": "Hello"}))
    page = ana.get(found["begin"]["url"]).get_data(as_text=True)
    normal = lambda html: "".join(html.split())  # noqa: E731
    assert normal(found["done"]["html"]) in normal(page)


def test_nothing_is_kept_of_what_cannot_be_sent(ana) -> None:
    for body, status in (
        ({"text": " "}, 422),
        ({"text": "x" * 20_001}, 422),
        ({"text": "hi", "model": "nobody"}, 404),
        ({"text": 5}, 400),
        ({}, 400),
        ({"text": "hi", "model": 5}, 400),
    ):
        response = ana.post("/chat/turns", json=body)
        assert response.status_code == status
        assert response.get_json()["error"]["message"]
    assert "Your conversations will be listed here" in ana.get("/chat").get_data(as_text=True)


def test_stop_keeps_what_came(site, ana) -> None:
    model = site.add_model(PacedChatModel("ft:slow", lambda m: "one two", hold_after=1))
    response = ana.post("/chat/turns", json={"text": "hi", "model": "ft:slow"})
    assert model.holding.wait(5)
    (reply_id,) = site.desk.chat._active
    assert ana.post(f"/replies/{reply_id}/stop").status_code == 204
    text = response.get_data(as_text=True)
    assert "event: done" in text
    assert "Stopped here." in text
    assert ana.post(f"/replies/{reply_id}/stop").status_code == 404
    model.release()


def test_a_browser_that_leaves_before_reading_loses_nothing(site, ana) -> None:
    model = site.add_model(PacedChatModel("ft:slow", lambda m: "one two", hold_after=1))
    response = ana.post("/chat/turns", json={"text": "hi", "model": "ft:slow"})
    assert model.holding.wait(5)
    response.close()
    model.release()
    assert model.closed.wait(5)
    page = ana.get("/chat/sidebar").get_data(as_text=True)
    url = page.split('href="')[1].split('"')[0]
    assert "Stopped here." in ana.get(url).get_data(as_text=True)


def test_answering_again_gives_variants_that_can_be_chosen(ana, site) -> None:
    answers = iter(["first answer", "second answer"])
    site.add_model(PacedChatModel("ft:many", lambda m: next(answers)))
    first = events(ana.stream("/chat/turns", {"text": "Hello", "model": "ft:many"}))
    turn = first["begin"]["reply"]
    second = events(ana.stream(f"/turns/{turn}/again", {"model": "ft:many"}))
    assert "2/2" in second["done"]["html"]
    assert "second answer" in second["done"]["html"]
    chosen = ana.post(f"/turns/{turn}/choose").get_data(as_text=True)
    assert "1/2" in chosen
    assert "first answer" in chosen
    assert "first answer" in ana.get(first["begin"]["url"]).get_data(as_text=True)


def test_an_error_is_shown_inside_the_conversation_with_what_to_do(site, ana) -> None:
    site.add_model(
        PacedChatModel(
            "ft:bad", lambda m: "x", fail_at=0, error=ProviderError("the engine is not running. Start it: homeroom serve")
        )
    )
    found = events(ana.stream("/chat/turns", {"text": "Hello", "model": "ft:bad"}))
    assert found["failed"]["error"]["code"] == "provider"
    html = found["failed"]["html"]
    assert "The engine is not running. Start it: homeroom serve" in html
    assert "Try again" in html
    assert "What you wrote is saved." in html
    assert "This message has no answer yet." in ana.get(found["begin"]["url"]).get_data(as_text=True)


def test_one_stream_more_than_admitted(make_site) -> None:
    site = make_site(max_replies=1)
    ana = site.client("ana")
    model = site.add_model(PacedChatModel("ft:slow", lambda m: "one two", hold_after=1))
    first = ana.post("/chat/turns", json={"text": "hi", "model": "ft:slow"})
    second = ana.post("/chat/turns", json={"text": "me too"})
    assert (second.status_code, second.headers["Retry-After"]) == (429, "5")
    assert second.get_json()["error"]["retry_after_s"] == 5
    assert "me too" not in ana.get("/chat").get_data(as_text=True)
    model.release()
    first.get_data()
    first.close()
    ana.stream("/chat/turns", {"text": "me too"})


def test_a_second_message_while_a_reply_is_on_its_way(site, ana) -> None:
    model = site.add_model(PacedChatModel("ft:slow", lambda m: "one two", hold_after=1))
    response = ana.post("/chat/turns", json={"text": "hi", "model": "ft:slow"})
    assert model.holding.wait(5)
    (conversation,) = site.desk.chat._busy
    again = ana.post(f"/chat/{conversation}/turns", json={"text": "hurry"})
    assert (again.status_code, again.get_json()["error"]["code"]) == (409, "reply-on-its-way")
    model.release()
    assert "event: done" in response.get_data(as_text=True)


def test_renaming_and_deleting(ana) -> None:
    begin = events(ana.stream("/chat/turns", {"text": "Hello"}))["begin"]
    renamed = ana.post(f"{begin['url']}/title", data={"title": "Fractions"})
    assert (renamed.status_code, renamed.headers["HX-Trigger"]) == (204, "conversations-changed")
    assert "Fractions" in ana.get("/chat/sidebar").get_data(as_text=True)
    assert ana.post(f"{begin['url']}/title", data={"title": " "}).status_code == 400
    deleted = ana.post(f"{begin['url']}/delete", data={"current": begin["conversation"]})
    assert deleted.headers["HX-Redirect"] == "/chat"
    assert ana.get(begin["url"]).status_code == 404


def test_other_kinds_of_conversation_are_no_chats(site, ana) -> None:
    compare = events(ana.stream("/compare", {"text": "Hello", "models": ["base", "ft:base:homeroom:tutor:1a2b3c4d"]}))["begin"]
    conversation = compare["url"].rsplit("/", 1)[-1]
    turn = compare["replies"][0]
    assert ana.get(f"/chat/{conversation}").status_code == 404
    assert ana.post(f"/chat/{conversation}/turns", json={"text": "x"}).status_code == 404
    assert ana.post(f"/chat/{conversation}/delete").status_code == 404
    assert ana.post(f"/turns/{turn}/again", json={}).status_code == 404
    assert ana.post(f"/turns/{turn}/choose").status_code == 404


def test_practice_models_carry_their_warning_and_others_a_short_one(site, ana) -> None:
    site.add_model(PacedChatModel("ft:large", lambda m: "ok"), suitability="trainee")
    weak = ana.get("/models/notice?model=base").get_data(as_text=True)
    assert "You are talking to an AI." in weak
    assert "it must not teach children" in weak
    assert "homeroom models pull" in weak
    strong = ana.get("/models/notice?model=ft:large").get_data(as_text=True)
    assert "You are talking to an AI." in strong
    assert "must not teach" not in strong
    both = ana.get("/models/notice?model=ft:large&model=base").get_data(as_text=True)
    assert "must not teach" in both
    assert "must not teach" in ana.get("/chat").get_data(as_text=True)


def test_streams_of_two_people_at_once(site) -> None:
    results: dict[str, str] = {}

    def run(who: str) -> None:
        results[who] = dict(site.client(who).stream("/chat/turns", {"text": f"I am {who}"}))["done"]["html"]

    threads = [threading.Thread(target=run, args=(who,)) for who in ("ana", "ben")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "I am ana" in results["ana"]
    assert "I am ben" in results["ben"]
