"""Going on with a text: OpenAI's older API."""

from __future__ import annotations

import math
from typing import Any

import openai
import pytest

from homeroom.models import tiny
from tests.openai_api.conftest import Server
from tests.openai_api.helpers import registered, sound
from tests.openai_api.oracle import assert_valid

PATH = "/completions"


def ask(client: openai.OpenAI, prompt: Any = "The plant needs", **more: Any) -> Any:
    answer = client.completions.create(**{"model": tiny.NAME, "prompt": prompt, "max_tokens": 8, **more})
    assert_valid(answer, PATH, "post")
    assert answer.id.startswith("cmpl-")
    return answer


def pieces(client: openai.OpenAI, prompt: Any = "The plant needs", **more: Any) -> list[Any]:
    """The objects of a stream. Where a choice goes on, its reason is null, as OpenAI sends it: their description forgot that."""
    found = list(client.completions.create(**{"model": tiny.NAME, "prompt": prompt, "max_tokens": 8, **more}, stream=True))
    for piece in found:
        whole = piece.model_dump(exclude_unset=True)
        for choice in whole["choices"]:
            choice["finish_reason"] = choice["finish_reason"] or "stop"
        whole["usage"] = whole.get("usage") or {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        assert_valid(whole, PATH, "post")
    return found


def refused(client: openai.OpenAI, **more: Any) -> Any:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(**{"model": tiny.NAME, "prompt": "The", **more})
    assert_valid(caught.value.response.json(), PATH, "post", 400)
    return caught.value


def test_a_text_is_gone_on_with_and_nothing_is_put_around_it(client: openai.OpenAI) -> None:
    answer = ask(client)
    (choice,) = answer.choices
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "length", None)
    assert answer.usage.completion_tokens == 8
    chat = client.chat.completions.create(
        model=tiny.NAME, messages=[{"role": "user", "content": "The plant needs"}], max_tokens=8
    )
    assert answer.usage.prompt_tokens < chat.usage.prompt_tokens - 5  # type: ignore[union-attr]
    shorter = ask(client, max_tokens=4).choices[0].text
    assert shorter
    assert choice.text.startswith(shorter)


def test_sixteen_tokens_unless_it_says_otherwise(client: openai.OpenAI) -> None:
    answer = client.completions.create(model=tiny.NAME, prompt="The plant needs")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 16


def test_every_prompt_has_its_choices(client: openai.OpenAI) -> None:
    prompts = ["The plant needs", "Which of them", "Show me"]
    alone = [ask(client, prompt) for prompt in prompts]
    together = ask(client, prompts)
    assert [choice.text for choice in together.choices] == [answer.choices[0].text for answer in alone]
    assert [choice.index for choice in together.choices] == [0, 1, 2]
    assert together.usage.prompt_tokens == sum(answer.usage.prompt_tokens for answer in alone)
    more: Any = {"n": 2, "temperature": 1.5, "seed": 4}
    several = ask(client, prompts, best_of=2, **more)
    assert len({choice.text for choice in several.choices}) == 6
    assert [choice.text for choice in several.choices[2:4]] == [c.text for c in ask(client, prompts[1], **more).choices]
    assert several.usage.prompt_tokens == together.usage.prompt_tokens
    assert several.usage.completion_tokens == 48


def test_a_stream_says_the_same(client: openai.OpenAI) -> None:
    more: Any = {"n": 2, "temperature": 1, "seed": 4, "echo": True, "stop": ["zzz"]}
    prompts = ["The plant needs", "Show me"]
    whole = ask(client, prompts, **more)
    found = pieces(client, prompts, stream_options={"include_usage": True}, **more)
    texts = ["".join(c.text for piece in found for c in piece.choices if c.index == index) for index in range(4)]
    assert list(map(sound, texts)) == [sound(choice.text) for choice in whole.choices]
    assert texts[0].startswith("The plant needs")
    assert texts[3].startswith("Show me")
    assert (found[-1].choices, found[-1].usage) == ([], whole.usage)
    ends = [(c.index, c.finish_reason) for piece in found for c in piece.choices if c.finish_reason]
    assert sorted(ends) == [(choice.index, choice.finish_reason) for choice in whole.choices]


def test_a_stop_ends_it_and_is_left_out(client: openai.OpenAI) -> None:
    text = ask(client).choices[0].text
    cut = ask(client, stop=text[3:5]).choices[0]
    assert (cut.text, cut.finish_reason) == (text[: text.index(text[3:5])], "stop")


def test_log_probabilities_in_their_old_form(client: openai.OpenAI) -> None:
    for count in (0, 5):
        choice = ask(client, logprobs=count).choices[0]
        told = choice.logprobs
        assert "".join(told.tokens) == choice.text
        assert [choice.text[at : at + len(token)] for at, token in zip(told.text_offset, told.tokens, strict=True)] == told.tokens
        assert len(told.tokens) == len(told.token_logprobs) == len(told.top_logprobs) == len(told.text_offset) > 3
        for token, logprob, tops in zip(told.tokens, told.token_logprobs, told.top_logprobs, strict=True):
            assert tops[token] == logprob == max(tops.values())
            assert max(1, count) <= len(tops) <= count + 1  # the one that was taken is always told
            assert sum(map(math.exp, tops.values())) <= 1.0001
    streamed = [c.logprobs for piece in pieces(client, logprobs=5) for c in piece.choices if c.logprobs]
    assert [offset for part in streamed for offset in part.text_offset] == told.text_offset
    assert [token for part in streamed for token in part.tokens] == told.tokens


def test_no_token_at_all_counts_those_of_the_prompt(client: openai.OpenAI) -> None:
    answer = ask(client, max_tokens=0, echo=True)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("The plant needs", "length")
    assert answer.usage.completion_tokens == 0
    assert answer.usage.prompt_tokens == ask(client).usage.prompt_tokens
    assert "".join(c.text for piece in pieces(client, max_tokens=0) for c in piece.choices) == ""


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"suffix": "the end"}, "unsupported_parameter", "suffix"),
        ({"best_of": 3}, "unsupported_parameter", "best_of"),
        ({"echo": True, "logprobs": 1}, "unsupported_parameter", "logprobs"),
        ({"logprobs": 6}, "bad_request", "logprobs"),
        ({"prompt": [1, 2, 3]}, "unsupported_parameter", "prompt"),
        ({"prompt": [[1], [2]]}, "unsupported_parameter", "prompt"),
        ({"prompt": ""}, "bad_request", "prompt"),
        ({"prompt": []}, "bad_request", "prompt"),
        ({"prompt": ["a"] * 17}, "unsupported_parameter", "n"),
        ({"n": 9, "prompt": ["a", "b"]}, "unsupported_parameter", "n"),
        ({"max_tokens": -1}, "bad_request", "max_tokens"),
        ({"messages": []}, "unknown_parameter", "messages"),
        ({"user": 4}, "bad_request", "user"),
    ],
)
def test_what_is_wrong_is_named(client: openai.OpenAI, change: dict[str, Any], code: str, param: str) -> None:
    error = refused(client, extra_body=change)
    assert (error.code, error.param) == (code, param)


def test_a_model_that_is_not_there(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.completions.create(model="gpt-unknown", prompt="a")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_a_model_that_only_chats(server: Server, client: openai.OpenAI) -> None:
    """A prompt program is made for conversations."""
    name = registered(server, kind="prompt", suffix="program")
    error = refused(client, model=name)
    assert (error.code, error.param) == ("not_for_completions", "model")
    assert client.chat.completions.create(model=name, messages=[{"role": "user", "content": "hi"}], max_tokens=2).choices
    client.models.delete(name)
