"""The one thing to try next after a practice session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from homeroom.chat import moves
from homeroom.chat.practice_notes import Observation, Suggestion, TaughtTurn
from homeroom.chat.scenarios import PracticeScenario

QUOTED_WORDS = 12


def suggest(turns: Sequence[TaughtTurn], seen: Mapping[str, Observation], scenario: PracticeScenario | None) -> Suggestion:
    """One suggestion, grown from the visitor's own words: the first of what matters most for the learner.

    Args:
        turns: The visitor's turns.
        seen: Observations by move.
        scenario: What was practised, where it is known.
    """
    claim = f"You said “{scenario.claim}”. " if scenario else ""
    how = "How did you get that?" if moves.numbers(claim) else "What makes you think so?"
    if not turns:
        return Suggestion(
            "Say something to the learner",
            "There were no turns to look at. Open with a question about the thinking.",
            claim + how,
        )
    heard = f"You said “{_short(turns[-1].last)}”. " if turns[-1].last else claim
    by_move = _for_moves(turns, scenario, claim=claim, how=how, heard=heard)
    for move, suggestion in by_move:
        if move in seen:
            return Suggestion(suggestion.title, suggestion.detail, suggestion.say, seen[move].quotes[0])
        if move.startswith("no ") and move.removeprefix("no ") not in seen:
            return suggestion
    return Suggestion(
        "Ask for a check",
        "You asked, listened and held back. Next, let the learner test the idea on another case.",
        "How could you check that in a different way?",
        turns[-1].quote(),
    )


def _for_moves(
    turns: Sequence[TaughtTurn], scenario: PracticeScenario | None, *, claim: str, how: str, heard: str
) -> tuple[tuple[str, Suggestion], ...]:
    """Suggestions by the move that calls for them, the most important first; ``no`` before a move means its absence."""
    check = "with a drawing" if scenario and scenario.subject == "mathematics" else "for yourself"
    first = next((t.questions[0] for t in turns if len(t.questions) > 1), "")
    return (
        (
            "confirmed-wrong",
            Suggestion(
                "Before agreeing, ask where the answer came from",
                "You can be warm about the effort and still leave the answer open.",
                claim + how,
            ),
        ),
        (
            "told-answer",
            Suggestion(
                "Hold the answer back for one more turn",
                "Ask for a check that lets the learner meet the problem.",
                f"{claim}How could you check that {check}?",
            ),
        ),
        (
            "no asked-for-reasoning",
            Suggestion(
                "Ask how the learner got there",
                "None of your turns asked for the thinking. One such question early on shows you what to work with.",
                claim + how,
                turns[0].quote(),
            ),
        ),
        (
            "yes-no",
            Suggestion(
                "Turn a yes-or-no question into an open one", "Start it with what or how.", f"{heard}What makes you think so?"
            ),
        ),
        (
            "stacked-questions",
            Suggestion("Keep the first question, and wait", "Silence feels long to the teacher and short to the learner.", first),
        ),
        (
            "told-steps",
            Suggestion(
                "Turn a step into a question",
                "Let the learner choose the step, then ask for the reason.",
                f"{heard}What could you try next, and why?",
            ),
        ),
        (
            "no picked-up-words",
            Suggestion(
                "Start from the learner's words",
                "Repeat a word or a number of the learner's before you ask.",
                f"{heard}Tell me more about that.",
                turns[-1].quote(),
            ),
        ),
        (
            "empty-praise",
            Suggestion(
                "Say what the praise is for",
                "Name one thing the learner did.",
                f"{heard}I noticed that you gave a reason. What made you think of it?",
            ),
        ),
        ("long-turn", Suggestion("Say less, then wait", "Half the words usually carry the same question.", f"{heard}Say more?")),
    )


def _short(text: str) -> str:
    parts = text.split()
    return " ".join(parts[:QUOTED_WORDS]).rstrip(".!?,;") + ("…" if len(parts) > QUOTED_WORDS else "")
