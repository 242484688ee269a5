from __future__ import annotations

from homeroom.chat.testing import PacedChatModel
from homeroom.errors import ProviderError

TUTOR = "ft:base:homeroom:tutor:1a2b3c4d"


def test_both_answers_stream_and_the_better_one_is_kept(ana) -> None:
    stream = ana.stream("/compare", {"text": "What is 1/2 + 1/3?", "models": [TUTOR, "base"]})
    begin = stream[0][1]
    ends = {data["reply"]: data["html"] for name, data in stream if name == "done"}
    first, second = begin["replies"]
    assert "What did you do first?" in ends[first]
    assert "The answer is" in ends[second]
    answers = ana.post(f"/compare/{second}/choose").get_data(as_text=True)
    assert answers.index("Course tutor") < answers.index("Base model")
    assert answers.count("The better answer") == 1
    page = ana.get(begin["url"]).get_data(as_text=True)
    assert page.count("The better answer") == 1
    assert "What is 1/2 + 1/3?" in ana.get("/compare").get_data(as_text=True)


def test_the_page_opens_with_the_tutor_against_its_base(ana) -> None:
    page = ana.get("/compare").get_data(as_text=True)
    assert f'<option value="{TUTOR}" selected>' in page
    assert '<option value="base" selected>' in page


def test_one_failure_is_shown_beside_the_other_answer(site, ana) -> None:
    site.add_model(PacedChatModel("ft:bad", lambda m: "x", fail_at=0, error=ProviderError("down")))
    stream = ana.stream("/compare", {"text": "Hello", "models": ["ft:bad", "base"]})
    assert sorted(name for name, _ in stream if name in {"done", "failed"}) == ["done", "failed"]


def test_wrong_input(ana) -> None:
    for body, status in (
        ({"text": "x", "models": ["base", "base"]}, 422),
        ({"text": "x", "models": ["base"]}, 422),
        ({"text": "x", "models": "base"}, 400),
        ({"text": "x", "models": [1, 2]}, 400),
        ({"text": "x"}, 400),
        ({"text": "", "models": ["base", TUTOR]}, 422),
        ({"text": "x", "models": ["base", "nobody"]}, 404),
    ):
        assert ana.post("/compare", json=body).status_code == status
    assert "Earlier comparisons" not in ana.get("/compare").get_data(as_text=True)


def test_a_chat_is_no_comparison(ana) -> None:
    begin = dict(ana.stream("/chat/turns", {"text": "Hello"}))["begin"]
    assert ana.get(f"/compare/{begin['conversation']}").status_code == 404
    assert ana.post(f"/compare/{begin['reply']}/choose").status_code == 409
