"""Models without a model and a chat layer over them, for tests and for looking at the pages."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from homeroom.chat.compare import CompareService
from homeroom.chat.conversations import ConversationStore
from homeroom.chat.directory import ModelCard, not_deletable, unknown_model
from homeroom.chat.feedback import FeedbackStore
from homeroom.chat.practice import PracticeService
from homeroom.chat.scenarios import PracticeScenario
from homeroom.chat.service import ChatService
from homeroom.errors import ConflictError, HomeroomError
from homeroom.schema.chat import ChatModel, Chunk, Completion, GenerationSettings, Usage
from homeroom.schema.examples import Message
from homeroom.storage import Database

Reply = Callable[[Sequence[Message]], str]

SCENARIO = PracticeScenario(
    id="learner-005",
    name="Zainab",
    grade=5,
    subject="mathematics",
    topic="adding-unlike-fractions",
    problem="You walk 1/2 km to the shop and then 1/4 km to the park. How far is that altogether?",
    misconception="you add the tops and you add the bottoms",
    claim="2/6 km",
    temperament="impatient",
    answer="3/4 km",
    accepted=("3/4",),
    explanation="The learner adds numerators and denominators separately.",
)


class PacedChatModel:
    """A `ChatModel` whose words come as the test wants them.

    Args:
        name: Its name.
        reply: Messages to the whole reply; one chunk for each word.
        hold_after: Wait before the word with this index (from 0) until `release`; None never waits.
        fail_at: Raise ``error`` before the word with this index.
        error: What to raise there.
        pause_s: Time between two words.
    """

    def __init__(
        self,
        name: str,
        reply: Reply,
        *,
        hold_after: int | None = None,
        fail_at: int | None = None,
        error: HomeroomError | None = None,
        pause_s: float = 0.0,
    ) -> None:
        self.name = name
        self.asked: list[tuple[tuple[Message, ...], GenerationSettings]] = []
        self.holding = threading.Event()
        self.closed = threading.Event()
        self.error = error
        self._reply, self._hold_after, self._fail_at, self._pause_s = reply, hold_after, fail_at, pause_s
        self._go = threading.Event()

    def release(self) -> None:
        """Let the words go on that `hold_after` holds."""
        self._go.set()

    def complete(self, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
        """The whole reply."""
        chunks = list(self.stream(messages, settings))
        text = "".join(c.text for c in chunks)
        return Completion(text, self.name, chunks[-1].finish_reason or "stop", chunks[-1].usage or Usage())

    def stream(self, messages: Sequence[Message], settings: GenerationSettings) -> Iterator[Chunk]:
        """The reply word by word."""
        self.asked.append((tuple(messages), settings))
        words = self._reply(messages).split(" ")
        try:
            for index, word in enumerate(words):
                if index == self._fail_at and self.error is not None:
                    raise self.error
                if index == self._hold_after:
                    self.holding.set()
                    self._go.wait(30)
                if self._pause_s:
                    time.sleep(self._pause_s)
                yield Chunk(word if index == 0 else f" {word}")
            yield Chunk("", "stop", Usage(sum(len(m.content.split()) for m in messages), len(words)))
        finally:
            self.closed.set()


class MemoryDirectory:
    """A `ModelDirectory` in memory. Models can be added while pages are open."""

    def __init__(self, *models: tuple[ModelCard, ChatModel]) -> None:
        self._lock = threading.Lock()
        self._models = {card.name: (card, model) for card, model in models}

    def add(self, card: ModelCard, model: ChatModel) -> None:
        """Register a model, as a tuning run would."""
        with self._lock:
            self._models = {**self._models, card.name: (card, model)}

    def list(self) -> Sequence[ModelCard]:
        """Bases and endpoints as they were added, then tuned models, newest first."""
        cards = [card for card, _ in self._models.values()]
        tuned = sorted((c for c in cards if c.kind == "tuned"), key=lambda c: -c.created_at)
        return [*(c for c in cards if c.kind != "tuned"), *tuned]

    def card(self, name: str) -> ModelCard:
        """The card of one model."""
        if name not in self._models:
            raise unknown_model(name)
        return self._models[name][0]

    def chat_model(self, name: str) -> ChatModel:
        """What answers as ``name``."""
        if name not in self._models:
            raise unknown_model(name)
        return self._models[name][1]

    def save_settings(self, name: str, settings: Mapping[str, Any]) -> None:
        """Keep them."""
        self._replace(name, settings=dict(settings))

    def use_for(self, name: str, task: str) -> None:
        """Make it the default for ``task``, and no other."""
        for card in self.list():
            kept = tuple(t for t in card.default_for if t != task)
            self._replace(card.name, default_for=(*kept, task) if card.name == name else kept)

    def delete(self, name: str) -> None:
        """Forget a tuned model, unless a page uses it."""
        card = self.card(name)
        if card.kind != "tuned":
            raise not_deletable(name)
        if card.default_for:
            raise ConflictError(f"the model {name!r} answers for {card.default_for[0]}", code="model-in-use")
        with self._lock:
            self._models = {kept: entry for kept, entry in self._models.items() if kept != name}

    def version(self) -> str:
        """Another text after each change."""
        return repr(self.list())

    def _replace(self, name: str, **changes: Any) -> None:
        with self._lock:
            card, model = self._models[name]
            self._models = {**self._models, name: (replace(card, **changes), model)}


@dataclass(frozen=True, slots=True)
class Desk:
    """The whole chat layer over one database and a directory of models."""

    database: Database
    models: MemoryDirectory
    conversations: ConversationStore
    chat: ChatService
    feedback: FeedbackStore
    compare: CompareService
    practice: PracticeService


def make_desk(database: Database, models: MemoryDirectory, scenarios: Sequence[PracticeScenario] = (SCENARIO,)) -> Desk:
    """Bind the parts together."""
    conversations = ConversationStore(database)
    chat = ChatService(models, conversations)
    feedback = FeedbackStore(database)
    practice = PracticeService(database, chat, conversations, lambda: scenarios)
    return Desk(database, models, conversations, chat, feedback, CompareService(chat, conversations, feedback), practice)
