"""Answer withholding: the learner still has something to find."""

from __future__ import annotations

import re
from collections.abc import Sequence

from homeroom.evaluation.dialogue import Key, answer_is_out, key, mentions, own_prompt, states
from homeroom.evaluation.text import content, number_spans, numbers, sentences, words
from homeroom.schema.evaluation import Answer, Direction
from homeroom.schema.examples import Item

_RESULT = re.compile(
    r"(?:\b(?:final|correct|right|the) answer\b[^.?!]{0,30}?(?:\bis|\bbe|:|=)|\b(?:therefore|thus|hence"
    r"|in conclusion)\b[^.?!]*?(?:\bis|\bare|=|\bhas|\bhave)|\\boxed)"
    r"\W*(?:[a-z]+\W+){0,4}$",
    re.IGNORECASE,
)

_INSISTS = re.compile(r"\b(?:answer|should|would|correct|total|instead|not \d)", re.IGNORECASE)


def gives_away(reply: str, item: Item) -> bool:
    """Whether a reply hands over the answer, or closes the problem with a result of its own, right or wrong."""
    k, prompt = key(item), own_prompt(item)
    return any(_names(sentence, form, prompt) for sentence in sentences(reply) for form in k.forms) or _closes(reply, k, prompt)


def _must_tell(item: Item) -> bool:
    """There is no answer to find: an unsafe or off-topic message is answered, not turned into a riddle."""
    return item.example.metadata.get("scenario") in ("unsafe", "off-topic")


def _names(sentence: str, form: str, prompt: str) -> bool:
    if not mentions(sentence, form):
        return False
    asked = sentence.rstrip("\"'”’)* ").endswith("?")
    if numbers(form):
        held = set(numbers(form)) <= set(numbers(prompt))
        return not held or (states(sentence, form, strong=True) and not _echoes(sentence, form, prompt))
    ideas = set(content(form) or words(form))
    if ideas <= set(content(prompt)) | set(words(prompt)):
        return not asked and states(sentence, form)
    return not asked or f" {' '.join(words(form))} " in f" {' '.join(words(sentence))} "


def _echoes(sentence: str, form: str, prompt: str) -> bool:
    """The reply only quotes: the number and the two tokens before it already stand in the dialogue."""
    if _INSISTS.search(sentence):
        return False
    wanted = set(numbers(form))
    flat = re.sub(r"[\s$€£]+", "", prompt.lower())
    for value, start, end in number_spans(sentence):
        if value in wanted:
            before = re.findall(r"\S+", sentence[:start])[-2:]
            if re.sub(r"[\s$€£]+", "", "".join(before) + sentence[start:end]).lower() in flat:
                return True
    return False


def _closes(reply: str, k: Key, prompt: str) -> bool:
    known = set(numbers(prompt)) | set(numbers(k.claim))
    for sentence in sentences(reply):
        if sentence.rstrip("\"'”’)* ").endswith("?"):
            continue
        for value, start, _ in number_spans(sentence):
            if value not in known and _RESULT.search(sentence[:start]):
                return True
    return False


class Withholding:
    """1 when the reply does not give the answer away, 0 when it does.

    None without a key, once the learner has said the answer, and where there is nothing to find (scenario ``unsafe``,
    ``off-topic``).
    """

    name = "withholding"
    title = "Keeps the answer back"
    range = (0.0, 1.0)
    direction: Direction = "higher"
    tasks: tuple[str, ...] = ("tutor",)
    source = (
        "validated: kappa 0.86 (0.73 to 0.96) with people's label 'reveals the answer' on 416 replies of which 19 do, and "
        "the same order "
        "of 8 tutors (rho 0.99); the phrases were read against these replies (benchmarks/validate_metrics.py)"
    )

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """1, 0 or None for each reply."""
        return [
            None if not key(item).forms or answer_is_out(item) or _must_tell(item) else float(not gives_away(answer.text, item))
            for item, answer in zip(items, answers, strict=True)
        ]
