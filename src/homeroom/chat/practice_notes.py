"""What the notes on a practice session consist of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from homeroom.chat.moves import is_question

Tone = Literal["strength", "watch"]
METHOD_NOTE = (
    "These notes come from fixed rules that look at English wording. They notice how something was said, not whether it was the "
    "right thing to say to this learner. Nobody is graded and no model took part. Read them with a colleague."
)


@dataclass(frozen=True, slots=True)
class Quote:
    """The visitor's own words: turn number counted from 1."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class Observation:
    """One teaching move that was seen, with the words that show it."""

    move: str
    title: str
    detail: str
    tone: Tone
    quotes: tuple[Quote, ...]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The one thing to try next time; ``say`` is a sentence that could be said, ``about`` the words it grew from."""

    title: str
    detail: str
    say: str
    about: Quote | None = None


@dataclass(frozen=True, slots=True)
class PracticeFeedback:
    """What the session showed.

    Attributes:
        counts: ``turns``, ``questions``, ``open``, ``yes_no``, ``words`` of the visitor and ``learner_words``.
        learner_end: The learner's last words; ``learner_got_there`` says whether they name the right answer (None: not known).
    """

    observations: tuple[Observation, ...]
    suggestion: Suggestion
    counts: dict[str, int]
    learner_end: str = ""
    learner_got_there: bool | None = None
    method: str = METHOD_NOTE

    @property
    def strengths(self) -> tuple[Observation, ...]:
        """Moves worth keeping."""
        return tuple(o for o in self.observations if o.tone == "strength")

    @property
    def to_watch(self) -> tuple[Observation, ...]:
        """Moves worth a second look."""
        return tuple(o for o in self.observations if o.tone == "watch")


@dataclass(frozen=True, slots=True)
class TaughtTurn:
    """One turn of the visitor with what came before it.

    Attributes:
        said: Everything that the learner said before.
        last: The learner's last turn before.
        own: Telling words of the visitor's earlier turns.
    """

    number: int
    text: str
    sentences: tuple[str, ...]
    said: str
    last: str
    own: frozenset[str]

    @property
    def questions(self) -> list[str]:
        """Its questions; a tag of one or two words ("right?") is no question of its own."""
        return [s for s in self.sentences if is_question(s) and len(s.split()) > 2]

    def quote(self, text: str | None = None) -> Quote:
        """The turn's words, or ``text`` out of it."""
        return Quote(self.number, self.text if text is None else text)
