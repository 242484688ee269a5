"""Talking at an endpoint that charges for it: what a message will cost, and a model that is asked within what was agreed to."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from homeroom.app.endpoints import endpoint_of
from homeroom.app.metering import price_at
from homeroom.app.spending import SPEND, Asked, Quote, Spend, answering, questions_quote, replies_quote, require_agreed, together
from homeroom.chat.directory import ModelCard
from homeroom.chat.service import MAX_MESSAGE_CHARACTERS
from homeroom.schema.chat import ChatModel, Chunk, Completion, GenerationSettings
from homeroom.schema.examples import Message

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

USUAL_CHARACTERS = 200  # of a message that somebody types


def answering_as(home: Homeroom, card: ModelCard) -> list[Asked]:
    """Who is asked where a model of the list answers."""
    return answering(home, home.registry.get(card.name)) if card.kind == "tuned" else [Asked(card.name)]


def message_quotes(home: Homeroom, card: ModelCard, system: str) -> list[Quote]:
    """What the first message to a model will cost, ``system`` before it; nothing where it costs nothing.

    Raises:
        ConfigError: ``key-not-set``.
    """
    question = (float(len(system) + USUAL_CHARACTERS), float(len(system) + MAX_MESSAGE_CHARACTERS))
    quote = replies_quote(home, f"a message to {card.name}", answering_as(home, card), 1, question, card.generation.max_tokens)
    return [quote] if quote.paid else []


def held(home: Homeroom, card: ModelCard, model: ChatModel, spend: Spend) -> ChatModel:
    """``model``, refusing what could cost more than is left of ``spend``, in US dollars; itself where it costs nothing.

    Where ``spend`` asks somebody, it is asked for one message.
    """
    quotes = message_quotes(home, card, "")
    if callable(spend):
        spend(quotes)
        return model
    return HeldModel(home, card.name, answering_as(home, card), model, Pot(spend)) if quotes else model


class Pot:
    """Money that was agreed to, from which everything that is asked takes the most that it can cost. Thread-safe.

    Args:
        usd: US dollars; infinity is whatever it costs.
        how: What to write to agree to more.
    """

    def __init__(self, usd: float, how: str = SPEND) -> None:
        self._left_usd, self._how = usd, how
        self._lock = threading.Lock()

    def take(self, quotes: Sequence[Quote]) -> float:
        """Set aside the most that it can be, in US dollars, and tell it.

        Raises:
            ConfigError: ``needs-yes``: that is more than is left.
        """
        with self._lock:
            require_agreed(quotes, self._left_usd, self._how)
            most = together(quotes).most_usd if quotes else 0.0
            self._left_usd -= most
            return most

    def give_back(self, usd: float) -> None:
        """What was set aside and not spent."""
        with self._lock:
            self._left_usd += usd


class HeldModel:
    """A chat model that is asked for as long as the money lasts. Implements `homeroom.schema.chat.ChatModel`.

    Args:
        home: The open home.
        name: Of the model.
        systems: Who is asked.
        inner: What answers.
        pot: What its replies are paid from.
    """

    def __init__(self, home: Homeroom, name: str, systems: Sequence[Asked], inner: ChatModel, pot: Pot) -> None:
        self.name = name
        self._home, self._systems, self._inner, self._pot = home, systems, inner, pot

    def complete(self, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
        """The whole reply.

        Raises:
            ConfigError: ``needs-yes``: it could cost more than is left; nothing was sent.
        """
        most = self._pot.take(questions_quote(self._home, self.name, self._systems, [messages], settings.max_tokens))
        reply = self._inner.complete(messages, settings)  # where none comes it stays taken: it may have been charged
        self._pot.give_back(most - self._cost(reply, most))
        return reply

    def stream(self, messages: Sequence[Message], settings: GenerationSettings) -> Iterator[Chunk]:
        """The reply in one piece. Raises as `complete`."""
        reply = self.complete(messages, settings)
        yield Chunk(reply.text, reply.finish_reason, reply.usage)

    def _cost(self, reply: Completion, most: float) -> float:
        """By the tokens that were told; the most that it can be where none were, or nobody knows the price."""
        name = self._systems[0].name
        endpoint = endpoint_of(self._home.settings, name)
        price = price_at(self._home, endpoint, name.partition("/")[2])[0] if endpoint else None
        told = reply.usage.prompt_tokens > 0
        return price.of(reply.usage.prompt_tokens, reply.usage.completion_tokens) if price and told else most
