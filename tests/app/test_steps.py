"""The commands as functions: what they refuse, and that a conversation is one. `tests/examples` tunes with them."""

from __future__ import annotations

import pytest

import homeroom
from homeroom.app.home import Homeroom
from homeroom.app.steps import Conversation
from homeroom.errors import ConfigError, NotFoundError, ProviderError
from homeroom.models import tiny
from homeroom.schema.chat import Completion, GenerationSettings
from homeroom.schema.examples import Message


class Echo:
    """Answers with what it was sent, or fails."""

    def __init__(self) -> None:
        self.sent: list[list[Message]] = []
        self.fails = False

    def complete(self, messages, settings, options=None) -> Completion:
        self.sent.append(list(messages))
        if self.fails:
            raise ProviderError("It does not answer.", code="unreachable")
        return Completion(text=f"{len(messages)} {messages[-1].content}", model="echo")


def test_every_public_name_is_there() -> None:
    assert all(getattr(homeroom, name) is not None for name in homeroom.__all__)


def test_a_base_that_is_there_is_fetched_by_name_or_as_the_default(home: Homeroom) -> None:
    assert homeroom.fetch(home) == homeroom.fetch(home, tiny.NAME) == tiny.NAME
    with pytest.raises(NotFoundError, match="'no-such-base'"):
        homeroom.fetch(home, "no-such-base")


@pytest.mark.parametrize("step", [homeroom.plan, homeroom.tune])
def test_a_mistake_in_a_recipe_is_told_before_anything_starts(home: Homeroom, step) -> None:
    home.datasets.create("course", homeroom.load_course())
    with pytest.raises(ConfigError, match=r"max_trained_token: unknown key.*max_trained_tokens") as caught:
        step(home, "course", {"name": "x", "task": "tutor", "max_trained_token": 9})
    assert caught.value.code == "recipe-invalid"
    with pytest.raises(ConfigError, match="max_cals"):
        step(home, "course", {"method": "dspy", "max_cals": 9})
    assert list(home.jobs.list()) == []


def test_a_conversation_remembers_what_was_said_and_nothing_that_failed() -> None:
    model = Echo()
    talk = Conversation("x", model, GenerationSettings(), "Be kind.")
    assert (talk.ask("one"), talk.ask("two")) == ("2 one", "4 two")
    assert [m.content for m in model.sent[-1]] == ["Be kind.", "one", "2 one", "two"]
    model.fails = True
    before = list(talk.messages)
    with pytest.raises(ProviderError):
        talk.ask("three")
    assert talk.messages == before
    talk.start_over()
    assert talk.messages == [Message("system", "Be kind.")]
    assert Conversation("x", model, GenerationSettings(), "").messages == []
