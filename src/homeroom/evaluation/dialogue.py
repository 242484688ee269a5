"""What an item says about its dialogue: the key, who has said what so far, and whether a text states an answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from homeroom.evaluation.text import content, number_spans, numbers, sentences, words
from homeroom.schema.examples import Item

_STATES = re.compile(
    r"(?:\banswer\b[^.?!]{0,30}?(?:\bis|\bbe|\bwas|:|=)|=|\bequals?\b|\bequal to\b|\bmakes?\b|\bgives?\b(?: (?:us|you|me))?"
    r"|\bgets?\b|\bleaves?\b"
    r"|\bis\b|\bare\b|\bwas\b|\bwould be\b|\bshould be\b|\bmust be\b|\bcalled\b|\btotal of\b|\bmeans\b"
    r"|\brepresents?\b)\W*(?:\w+\W+){0,3}?$",
    re.IGNORECASE,
)
_STRONG = re.compile(
    r"(?:\banswer\b[^.?!]{0,30}?(?:\bis|\bbe|\bwas|:|=)|=|\bequals\b|\b(?:would|should|must) (?:actually )?(?:be|have been)\b"
    r"|\btotal of\b|\bso (?:it'?s|it is|that'?s)\b)\W*(?:[a-z]+\W+){0,2}$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Key:
    """The reference of an example, typed. Empty strings and None mean: not given."""

    answer: str
    accepted: tuple[str, ...]
    claim: str
    claim_is_correct: bool | None

    @property
    def forms(self) -> tuple[str, ...]:
        """Every form that counts as the answer."""
        return tuple(form for form in (self.answer, *self.accepted) if form)


def key(item: Item) -> Key:
    """The item's key; a record may hold any subset of it, and values of any type."""
    reference = item.example.reference
    accepted = reference.get("accepted")
    forms = accepted if isinstance(accepted, list | tuple) else [accepted] if accepted else []
    verdict = reference.get("claim_is_correct")
    return Key(
        answer=_text(reference.get("answer")),
        accepted=tuple(_text(form) for form in forms if _text(form)),
        claim=_text(reference.get("claim")),
        claim_is_correct=verdict if isinstance(verdict, bool) else None,
    )


def _text(value: object) -> str:
    return "" if value is None or isinstance(value, bool) else str(value).strip()


def turns(item: Item, role: str) -> list[str]:
    """What one role has said in the prompt, in order."""
    return [message.content for message in item.prompt if message.role == role]


def own_prompt(item: Item) -> str:
    """Everything before the reply, as one text."""
    return "\n".join(message.content for message in item.prompt)


def learner_said(item: Item) -> list[str]:
    """The learner's turns so far: the user's for a tutor, the assistant's own for a simulated learner."""
    return turns(item, "assistant" if item.example.task == "learner" else "user")


def mentions(text: str, form: str) -> bool:
    """Whether ``text`` contains the answer ``form``: its number as a number of its own, or its words.

    A form of up to three content words must stand there as a phrase (stems); for a longer key idea three quarters of
    its content must stand in one sentence.
    """
    wanted = numbers(form)
    if wanted and len(content(form)) <= len(wanted) + 2:
        return any(set(wanted) <= set(numbers(sentence)) for sentence in sentences(text))
    ideas = content(form) or words(form)
    if not ideas:
        return False
    if len(ideas) <= 3:
        return _phrase(ideas, content(text) if content(form) else words(text))
    need = 0.75 * len(set(ideas))
    return any(len(set(ideas) & set(content(sentence))) >= need for sentence in sentences(text))


def _phrase(wanted: Sequence[str], tokens: Sequence[str]) -> bool:
    return any(list(tokens[i : i + len(wanted)]) == list(wanted) for i in range(len(tokens) - len(wanted) + 1))


def states(sentence: str, form: str, *, strong: bool = False) -> bool:
    """Whether a sentence puts ``form`` forward: a stating verb or sign stands just before it.

    Args:
        sentence: One sentence of a reply.
        form: A form of the answer.
        strong: Only unmistakable statements ("the answer is", "=", "should be"): for numbers that the problem holds as
            well.
    """
    pattern = _STRONG if strong else _STATES
    wanted = set(numbers(form))
    if wanted:
        return any(value in wanted and pattern.search(sentence[:start]) for value, start, _ in number_spans(sentence))
    last = words(form)[-1:] if words(form) else []
    return bool(last) and any(
        match.group().lower() == words(form)[0] and pattern.search(sentence[: match.start()])
        for match in re.finditer(r"[^\W\d_]+", sentence)
    )


def answer_is_out(item: Item) -> bool:
    """Whether the learner has already said the right answer, so that naming it gives nothing away.

    The first user turn holds the problem, whose numbers are not the learner's: it counts only when the key says that
    the claim is right.
    """
    k = key(item)
    if item.example.task == "learner":
        said = learner_said(item)
    else:
        if k.claim_is_correct:
            return True
        said = learner_said(item)[1:]
    return any(mentions(turn, form) for turn in said for form in k.forms)


def claim_is_live(item: Item) -> bool:
    """Whether the turn to be answered puts the claim forward: the first turn does, a later one where it repeats it."""
    k = key(item)
    said = learner_said(item)
    if not k.claim or not said or (answer_is_out(item) and not k.claim_is_correct):
        return False
    return len(said) == 1 or mentions(said[-1], k.claim)
