"""The one thing to try next after a practice session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from homeroom.chat import moves
from homeroom.chat.practice_notes import Observation, Suggestion, TaughtTurn
from homeroom.chat.scenarios import PracticeScenario

QUOTED_WORDS = 12
# What matters most for the learner comes first. A move preceded by "no" calls for its suggestion by its absence. Each row: the
# move, title, detail, and what could be said.
_SUGGESTIONS = (
    (
        "confirmed-wrong",
        "Before agreeing, ask where the answer came from",
        "You can be warm about the effort and still leave the answer open.",
        "{claim}{how}",
    ),
    (
        "told-answer",
        "Hold the answer back for one more turn",
        "Ask for a check that lets the learner meet the problem.",
        "{claim}How could you check that {check}?",
    ),
    (
        "no asked-for-reasoning",
        "Ask how the learner got there",
        "None of your turns asked for the thinking. One such question early on shows you what to work with.",
        "{claim}{how}",
    ),
    ("yes-no", "Turn a yes-or-no question into an open one", "Start it with what or how.", "{heard}What makes you think so?"),
    (
        "stacked-questions",
        "Keep the first question, and wait",
        "Silence feels long to the teacher and short to the learner.",
        "{first}",
    ),
    (
        "told-steps",
        "Turn a step into a question",
        "Let the learner choose the step, then ask for the reason.",
        "{heard}What could you try next, and why?",
    ),
    (
        "no picked-up-words",
        "Start from the learner's words",
        "Repeat a word or a number of the learner's before you ask.",
        "{heard}Tell me more about that.",
    ),
    (
        "empty-praise",
        "Say what the praise is for",
        "Name one thing the learner did.",
        "{heard}I noticed that you gave a reason. What made you think of it?",
    ),
    ("long-turn", "Say less, then wait", "Half the words usually carry the same question.", "{heard}Say more?"),
)


def suggest(turns: Sequence[TaughtTurn], seen: Mapping[str, Observation], scenario: PracticeScenario | None) -> Suggestion:
    """One suggestion, grown from the visitor's own words.

    Args:
        turns: The visitor's turns.
        seen: Observations by move.
        scenario: What was practised, where it is known.
    """
    words = _words(turns, scenario)
    if not turns:
        detail = "There were no turns to look at. Open with a question about the thinking."
        return Suggestion("Say something to the learner", detail, words["claim"] + words["how"])
    for move, title, detail, say in _SUGGESTIONS:
        absent = move.removeprefix("no ")
        if move in seen:
            return Suggestion(title, detail, say.format_map(words), seen[move].quotes[0])
        if absent != move and absent not in seen:
            return Suggestion(title, detail, say.format_map(words), turns[-1].quote())
    detail = "You asked, listened and held back. Next, let the learner test the idea on another case."
    return Suggestion("Ask for a check", detail, "How could you check that in a different way?", turns[-1].quote())


def _words(turns: Sequence[TaughtTurn], scenario: PracticeScenario | None) -> dict[str, str]:
    """What the sentences to say are made of."""
    claim = f"You said ‘{scenario.claim}’. " if scenario else ""
    heard = f"You said ‘{_short(turns[-1].last)}’. " if turns and turns[-1].last else claim
    return {
        "claim": claim,
        "heard": heard,
        "how": "How did you get that?" if moves.numbers(claim) else "What makes you think so?",
        "check": "with a drawing" if scenario and scenario.subject == "mathematics" else "for yourself",
        "first": next((t.questions[0] for t in turns if len(t.questions) > 1), ""),
    }


def _short(text: str) -> str:
    parts = text.split()
    return " ".join(parts[:QUOTED_WORDS]).rstrip(".!?,;") + ("…" if len(parts) > QUOTED_WORDS else "")
