"""Talking at an endpoint that charges for it: what a message will cost, and a model that is asked within what was agreed to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from homeroom.app.sizes import CHARACTER_BYTES, TURN_BYTES, json_bytes
from homeroom.app.spending import (
    SPEND,
    Asked,
    Quote,
    Spend,
    agreed,
    answering,
    dollars,
    needs_yes,
    questions_quote,
    replies_quote,
    require_agreed,
    require_amount,
    together,
)
from homeroom.chat.directory import ModelCard
from homeroom.chat.service import MAX_MESSAGE_CHARACTERS
from homeroom.errors import ConfigError
from homeroom.ledger.purse import ROUNDING_USD, Purse, PurseSpent
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
    most = json_bytes(system) + MAX_MESSAGE_CHARACTERS * CHARACTER_BYTES + 2 * TURN_BYTES
    question = (float(len(system) + USUAL_CHARACTERS), float(most))
    quote = replies_quote(home, f"a message to {card.name}", answering_as(home, card), 1, question, card.generation.max_tokens)
    return [quote] if quote.paid else []


def held(home: Homeroom, card: ModelCard, model: ChatModel, purse: Purse, spend: Spend) -> ChatModel:
    """``model``, refusing what could cost more than is left of ``spend``; itself where it costs nothing.

    Args:
        home: The open home.
        card: Of the model.
        model: Whose calls take from the purse.
        purse: Still empty: what is agreed to is put into it.
        spend: US dollars; or who is asked, for one message.

    Raises:
        ConfigError: ``usd-invalid``, ``key-not-set``. And what the one who asks raises.
    """
    quotes = message_quotes(home, card, "")
    if callable(spend):
        purse.allow(agreed(quotes, spend))
    else:
        require_amount(spend)
        purse.allow(spend)
    return HeldModel(home, card.name, answering_as(home, card), model, purse) if quotes else model


@contextmanager
def paid(purse: Purse, quotes: Sequence[Quote], how: str) -> Iterator[None]:
    """Set aside the most that something costs which is begun in the block; nothing where the block fails.

    Raises:
        ConfigError: ``needs-yes``: that is more than is left.
    """
    require_agreed(quotes, max(0.0, purse.left_usd), how)
    whole = together(quotes)
    try:
        purse.take(whole.most_usd)
    except PurseSpent as error:  # replies were paid from it in between
        raise needs_yes(whole, how) from error
    begun = False
    try:
        yield
        begun = True
    finally:
        if not begun:
            purse.give_back(whole.most_usd)


class HeldModel:
    """A chat model that is asked for as long as the money lasts. Implements `homeroom.schema.chat.ChatModel`.

    Args:
        home: The open home.
        name: Of the model.
        systems: Who is asked.
        inner: What answers; each of its calls takes from the purse before it is sent, also one that is made again.
        purse: What its replies are paid from.
        how: What to write to agree to more.
    """

    def __init__(
        self, home: Homeroom, name: str, systems: Sequence[Asked], inner: ChatModel, purse: Purse, how: str = SPEND
    ) -> None:
        self.name = name
        self._home, self._systems, self._inner, self._purse, self._how = home, systems, inner, purse, how

    def complete(self, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
        """The whole reply.

        Raises:
            ConfigError: ``needs-yes``: it could cost more than is left, and was not sent; or what was sent was not answered, and
                to ask again could cost more.
        """
        self._require_all(messages, settings)
        try:
            return self._inner.complete(messages, settings)
        except PurseSpent as error:
            limit, left = dollars(error.limit_usd), dollars(max(0.0, error.limit_usd - error.spent_usd))
            raise ConfigError(
                f"A reply of {self.name!r} would cost up to {dollars(error.next_usd)}, and {left} is left of the {limit} that "
                f"was agreed to. Agree to more: {self._how}",
                code="needs-yes",
            ) from error

    def stream(self, messages: Sequence[Message], settings: GenerationSettings) -> Iterator[Chunk]:
        """The reply in one piece. Raises as `complete`."""
        reply = self.complete(messages, settings)
        yield Chunk(reply.text, reply.finish_reason, reply.usage)

    def _require_all(self, messages: Sequence[Message], settings: GenerationSettings) -> None:
        """Refuse what no purse can hold, as its price is not known, and the first of several replies if not all can be paid."""
        quotes = questions_quote(self._home, self.name, self._systems, [messages], settings.max_tokens)
        if len(self._systems) > 1 or not together(quotes).priced:
            require_agreed(quotes, max(0.0, self._purse.left_usd) + ROUNDING_USD, self._how)
