"""Notes on a practice session: which teaching moves the visitor's turns show, in the visitor's own words.

Rule-based on purpose: a small model must not judge a person's teaching, and a rule can be read and argued with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from homeroom.chat import moves
from homeroom.chat.practice_notes import Observation, PracticeFeedback, Quote, TaughtTurn, Tone
from homeroom.chat.practice_suggestion import suggest
from homeroom.chat.scenarios import PracticeScenario
from homeroom.schema.examples import Message

LONG_TURN_WORDS = 40
QUOTES_PER_OBSERVATION = 3


def feedback(transcript: Sequence[Message], scenario: PracticeScenario | None = None) -> PracticeFeedback:
    """Look at the visitor's turns (role ``user``) of a session with a simulated learner (role ``assistant``).

    Args:
        transcript: The session in order; a system message is ignored.
        scenario: With it the rules know the problem, the wrong answer and the right one.
    """
    turns = _turns(transcript, scenario)
    learner = [m.content for m in transcript if m.role == "assistant" and m.content.strip()]
    observations = [o for o in (rule(turns, scenario) for rule in _RULES) if o is not None]
    questions = [s for t in turns for s in t.sentences if moves.is_question(s)]
    kinds = [moves.question_kind(s) for s in questions]
    counts = {
        "turns": len(turns),
        "questions": len(questions),
        "open": kinds.count("open"),
        "yes_no": kinds.count("yes-no"),
        "words": sum(len(t.text.split()) for t in turns),
        "learner_words": sum(len(text.split()) for text in learner),
    }
    return PracticeFeedback(
        observations=tuple(sorted(observations, key=lambda o: o.tone != "strength")),
        suggestion=suggest(turns, {o.move: o for o in observations}, scenario),
        counts=counts,
        learner_end=learner[-1] if learner else "",
        learner_got_there=_got_there(learner, scenario),
    )


def _turns(transcript: Sequence[Message], scenario: PracticeScenario | None) -> tuple[TaughtTurn, ...]:
    said = scenario.claim if scenario else ""
    last, own, turns = said, frozenset[str](), list[TaughtTurn]()
    for message in transcript:
        text = " ".join(message.content.split())
        if message.role == "assistant" and text:
            said, last = f"{said}\n{text}", text
        elif message.role == "user" and text:
            turns.append(TaughtTurn(len(turns) + 1, text, moves.sentences(text), said, last, own))
            own |= moves.content_words(text)
    return tuple(turns)


def _forms(scenario: PracticeScenario | None) -> tuple[str, ...]:
    return (scenario.answer, *scenario.accepted) if scenario and scenario.answer else ()


def _got_there(learner: Sequence[str], scenario: PracticeScenario | None) -> bool | None:
    forms = _forms(scenario)
    if not forms or not learner or scenario is None:
        return None
    forms = tuple(form for form in forms if moves.numbers(form) or len(form.split()) > 2)
    if not forms:
        return None  # a word such as "yes" or "equal" says too little by itself
    said = "\n".join(learner)
    right = max(moves.last_mention(said, form) for form in forms)
    return right > moves.last_mention(said, scenario.claim)


def _observe(move: str, title: str, detail: str, tone: Tone, quotes: Sequence[Quote]) -> Observation | None:
    """The observation, or None without a quote: nothing is said that the visitor's words do not show."""
    if not quotes:
        return None
    return Observation(move, title, detail, tone, tuple(quotes[:QUOTES_PER_OBSERVATION]))


def _asked_for_reasoning(turns: Sequence[TaughtTurn], scenario: PracticeScenario | None) -> Observation | None:
    quotes = [t.quote(s) for t in turns for s in t.sentences if moves.asks_for_reasoning(s)]
    return _observe(
        "asked-for-reasoning",
        "You asked for the thinking behind the answer",
        "A learner who explains shows where the idea comes from, and often hears the problem first.",
        "strength",
        quotes,
    )


def _picked_up_words(turns: Sequence[TaughtTurn], scenario: PracticeScenario | None) -> Observation | None:
    problem = scenario.problem if scenario else ""
    problem_numbers, problem_words = moves.numbers(problem), moves.content_words(problem)
    quotes = []
    for turn in turns:
        numbers = (moves.numbers(turn.text) & moves.numbers(turn.said)) - problem_numbers
        words = (moves.content_words(turn.text) & moves.content_words(turn.last)) - problem_words - turn.own
        if numbers or words:
            quotes.append(turn.quote())
    return _observe(
        "picked-up-words",
        "You built on the learner's own words or numbers",
        "Starting from what was just said tells a learner that the idea was heard.",
        "strength",
        quotes,
    )


def _open_questions(turns: Sequence[TaughtTurn], scenario: PracticeScenario | None) -> Observation | None:
    asked = [(t.quote(s), moves.question_kind(s)) for t in turns for s in t.sentences if moves.is_question(s)]
    opened = [quote for quote, kind in asked if kind == "open"]
    if len(opened) < 2 or 2 * len(opened) <= len(asked):
        return None
    return _observe(
        "open-questions",
        "Most of your questions were open",
        f"{len(opened)} of {len(asked)} could not be answered with yes, no or one fact.",
        "strength",
        opened,
    )


def _one_question(turns: Sequence[TaughtTurn], scenario: PracticeScenario | None) -> Observation | None:
    asking = [t for t in turns if t.questions]
    if len(asking) < 3 or any(len(t.questions) > 1 for t in asking):
        return None
    return _observe(
        "one-question",
        "You asked one question at a time",
        "Each question had room for an answer.",
        "strength",
        [t.quote(t.questions[0]) for t in asking],
    )


def _specific_praise(turns: Sequence[TaughtTurn], scenario: PracticeScenario | None) -> Observation | None:
    return _observe(
        "specific-praise",
        "Your praise said what it was for",
        "Naming what was done well lets a learner do it again.",
        "strength",
        [t.quote(s) for t, s in _praise(turns) if moves.praise_is_specific(s, moves.content_words(t.said))],
    )


def _confirmed_wrong(turns: Sequence[TaughtTurn], scenario: PracticeScenario | None) -> Observation | None:
    forms = _forms(scenario)
    quotes = []
    for turn in turns:
        wrong = scenario is not None and moves.mentions(turn.last, scenario.claim)
        if wrong and not any(moves.mentions(turn.last, form) for form in forms):
            quotes += [turn.quote(s) for s in turn.sentences if moves.confirms(s)]
    return _observe(
        "confirmed-wrong",
        "This may have sounded like “you are right”",
        f"The learner had just said the wrong answer, {scenario.claim if scenario else ''}.",
        "watch",
        quotes,
    )


def _told_answer(turns: Sequence[TaughtTurn], scenario: PracticeScenario | None) -> Observation | None:
    problem = scenario.problem if scenario else ""
    quotes = []
    for turn in turns:
        known = any(moves.mentions(turn.said, form) for form in _forms(scenario))
        forms = () if known else _forms(scenario)
        quotes += [turn.quote(s) for s in turn.sentences if moves.states_answer(s, forms, problem)]
    return _observe(
        "told-answer",
        "You said the answer before the learner did",
        "Once it is said, there is little left to find out.",
        "watch",
        quotes,
    )


def _told_steps(turns: Sequence[TaughtTurn], scenario: PracticeScenario | None) -> Observation | None:
    return _observe(
        "told-steps",
        "You said what to do",
        "The learner can follow the step without seeing why it works.",
        "watch",
        [t.quote(s) for t in turns for s in t.sentences if moves.tells_procedure(s)],
    )


def _yes_no_questions(turns: Sequence[TaughtTurn], scenario: PracticeScenario | None) -> Observation | None:
    asked = [(t.quote(s), moves.question_kind(s)) for t in turns for s in t.sentences if moves.is_question(s)]
    closed = [quote for quote, kind in asked if kind == "yes-no"]
    if not closed or (len(closed) < 2 and len(asked) > 2):
        return None
    return _observe(
        "yes-no",
        "Some questions could be answered with yes or no",
        f"{len(closed)} of {len(asked)}. A nod does not show what the learner thinks.",
        "watch",
        closed,
    )


def _stacked_questions(turns: Sequence[TaughtTurn], scenario: PracticeScenario | None) -> Observation | None:
    return _observe(
        "stacked-questions",
        "Several questions came at once",
        "A learner tends to answer the last one, or none. Ask one, then wait.",
        "watch",
        [t.quote() for t in turns if len(t.questions) > 1],
    )


def _empty_praise(turns: Sequence[TaughtTurn], scenario: PracticeScenario | None) -> Observation | None:
    return _observe(
        "empty-praise",
        "Some praise did not say what it was for",
        "It is kind, and it leaves the learner guessing what to do again.",
        "watch",
        [t.quote(s) for t, s in _praise(turns) if not moves.praise_is_specific(s, moves.content_words(t.said))],
    )


def _long_turns(turns: Sequence[TaughtTurn], scenario: PracticeScenario | None) -> Observation | None:
    return _observe(
        "long-turn",
        "Some turns were long",
        f"More than {LONG_TURN_WORDS} words: the learner has much to hold before answering.",
        "watch",
        [t.quote() for t in turns if len(t.text.split()) > LONG_TURN_WORDS],
    )


def _praise(turns: Sequence[TaughtTurn]) -> list[tuple[TaughtTurn, str]]:
    return [(t, s) for t in turns for s in t.sentences if moves.praises(s)]


_Rule = Callable[[Sequence[TaughtTurn], PracticeScenario | None], Observation | None]
_RULES: tuple[_Rule, ...] = (
    _asked_for_reasoning,
    _picked_up_words,
    _open_questions,
    _one_question,
    _specific_praise,
    _confirmed_wrong,
    _told_answer,
    _told_steps,
    _yes_no_questions,
    _stacked_questions,
    _empty_praise,
    _long_turns,
)
