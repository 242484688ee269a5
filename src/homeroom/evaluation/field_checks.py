"""What a reply of several fields is worth: a scenario, or feedback to a teacher or a learner. Checks that anyone can argue with.

A reply without a field, and one that copies what it is about, is worth nothing. Otherwise: the share of the checks on what it
says, times the share of those on how it says it, which a reply that says nothing passes as well. One that is not about its own
question keeps half of that, and a near duplicate of another reply of its set a quarter. Proxies, not tested against people.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from homeroom.evaluation.metrics.asks_next_step import asks, last_word
from homeroom.evaluation.metrics.form import SLACK, WORD_LIMITS, PraiseWithoutSubstance, Repetition
from homeroom.evaluation.metrics.grade_fit import BAND_TOP, SPAN_GRADES, reading_grade
from homeroom.evaluation.metrics.own_words import OwnWords
from homeroom.evaluation.metrics.specificity import Specificity
from homeroom.evaluation.metrics.variety import Variety
from homeroom.evaluation.metrics.withholding import Withholding
from homeroom.evaluation.text import content, sentences, words
from homeroom.schema.evaluation import Answer, Metric
from homeroom.schema.examples import Item, Message

SPECIFIC = 0.75
DUPLICATE_SHARE, STRAY_SHARE = 0.25, 0.5
TEACHER_WORDS, SCENARIO_WORDS, STUDENT_WORDS, STEP_WORDS = 120, 80, 35, 40
_SHAMING = re.compile(
    r"\b(?:stupid|dumb|idiot\w*|lazy|sloppy|careless\w*|hopeless|pathetic|ridiculous|nonsense|silly|foolish|embarrass\w*"
    r"|asham\w+|shame(?:ful)?|disappoint\w*|terribl[ey]|awful|incompetent|ignorant|clueless|failure"
    r"|(?:bad|poor|weak|worst) (?:teacher|student|teaching|answer|work|job|reply|pupil)"
    r"|you (?:always|never) |you (?:really )?should (?:already )?(?:know|have known)|wrong again"
    r"|not (?:very )?(?:smart|bright|clever)"
    r"|how could you (?:not|even|miss)|even a (?:child|baby|kindergartner|first[- ]grader)|any(?:one|body) (?:can|could|knows)"
    r"|everyone else|obvious(?:ly)?|so easy|what(?:['’]s| is) wrong with you|give up|pay attention)\b",
    re.IGNORECASE,
)
_ACT = re.compile(
    r"""^\W*(?:(?:next time|now|first|instead|then|before (?:that|you \w+))[, ]+(?:you (?:could|can|might|may) )?)?(?:please )?
    (?:ask|try|wait|invite|let|give|have|show|write|draw|point|keep|leave|start|begin|say|use|replace|offer|name|repeat|swap|change
    |stop|pause|listen|read|put|hold|cut|drop|turn|follow|compare|pick|choose|tell|quote|return|go|add|split|bring|build|praise
    |credit|set|take|make|find|look|model|lay|trace|test|plan|prompt|encourage|connect
    |explore|think|decide|list|describe|count|carry|mark|check|explain|solve|expand)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_ADMITS = re.compile(
    r"\b(?:my mistake|misconception|(?:i am|i['’]m|is|was|it['’]s) (?:wrong|incorrect|mistaken)"
    r"|the (?:right|correct) answer|the student|the teacher)\b",
    re.IGNORECASE,
)
MAIN = {"scenario": "topic", "feedback_teacher": "teacher_reply", "feedback_learner": "learner_answer"}
"""The programs that are judged here, with the input that the turn holds where an example does not say which."""

REPLY = {"scenario": "situation", "feedback_teacher": "feedback", "feedback_learner": "feedback"}
"""The output that a person reads."""

_OUTPUTS: Mapping[str, Mapping[str, type]] = {
    "scenario": {"situation": str, "task": str, "mistake": str, "student_says": str},
    "feedback_teacher": {"feedback": str, "strength": str, "next_step": str},
    "feedback_learner": {"feedback": str, "correct": bool, "look_again": list},
}


def fields_of(text: str) -> Mapping[str, Any] | None:  # any JSON
    """The fields of a reply that is a JSON object; None where it is none."""
    try:
        record = json.loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


@dataclass(frozen=True)
class FieldReply:
    """One reply beside what it is about.

    Attributes:
        program: Whose fields.
        item: What was asked.
        said: The fields of the reply.
    """

    program: str
    item: Item
    said: Mapping[str, Any]

    @cached_property
    def given(self) -> Mapping[str, str]:
        """The inputs by name, as texts."""
        fields = self.item.example.extra.get("fields")
        kept: Mapping[str, Any] = fields if isinstance(fields, Mapping) else {}
        inputs = kept.get("input")
        found = {name: str(value) for name, value in inputs.items()} if isinstance(inputs, Mapping) else {}
        return {**found, str(kept.get("question") or MAIN[self.program]): self.item.last_user}

    @cached_property
    def about(self) -> frozenset[str]:
        """What the inputs are about."""
        return frozenset(content("\n".join(self.given.values())))

    @cached_property
    def authored(self) -> Mapping[str, Any]:
        """The authored outputs, as far as there are any."""
        fields = self.item.example.extra.get("fields")
        more = fields.get("output") if isinstance(fields, Mapping) else None
        return {**(more if isinstance(more, Mapping) else {}), **(fields_of(self.item.gold) or {})}

    @property
    def correct(self) -> bool | None:
        """Whether the learner is right, by the author; None where nobody says."""
        known = self.authored.get("correct", self.item.example.reference.get("claim_is_correct"))
        return known if isinstance(known, bool) else None

    @property
    def reply(self) -> str:
        """The output that a person reads."""
        return str(self.said[REPLY[self.program]])

    @property
    def look_again(self) -> list[str]:
        """The places that a learner is sent to."""
        return [str(place) for place in self.said["look_again"]]

    @cached_property
    def text(self) -> str:
        """All that the reply says."""
        parts = [value for value in self.said.values() if isinstance(value, str)]
        return "\n".join([*parts, *(self.look_again if "look_again" in self.said else [])])

    @property
    def whole_item(self) -> Item:
        """The item with all of its inputs in the turn, for measures that read turns."""
        return replace(self.item, prompt=(Message("user", "\n".join(self.given.values())),))

    @property
    def whole_answer(self) -> Answer:
        """The reply as one text, for the same."""
        return Answer(self.item.id, "candidate", self.text)


Check = tuple[str, Callable[[FieldReply], bool | None]]
"""A title, and whether a reply passes; None where the check does not apply."""


def is_complete(program: str, said: Mapping[str, Any] | None) -> bool:
    """Whether every output is there, of its kind, in words, and none says what another says."""
    if said is None or not all(isinstance(said.get(name), kind) for name, kind in _OUTPUTS[program].items()):
        return False
    texts = [str(said[name]) for name, kind in _OUTPUTS[program].items() if kind is str]
    if any(len(words(text)) < 2 for text in texts) or len({words(text) for text in texts}) < len(texts):
        return False
    return all(isinstance(place, str) and words(place) for place in said.get("look_again", ()))


def _one(metric: Metric, reply: FieldReply, text: str | None = None) -> float | None:
    answer = reply.whole_answer if text is None else Answer(reply.item.id, "candidate", text)
    return metric.score([reply.whole_item], [answer])[0]


def _own(reply: FieldReply) -> bool:
    """Whether less than half is copied in runs, and at least half of the words are new, in whatever order."""
    if any((_one(OwnWords(), reply, text) or 0.0) < 0.5 for text in (reply.text, reply.reply)):
        return False
    asked = {word for text in reply.given.values() for word in words(text)}
    said = set(words(reply.reply))
    return len(said - asked) >= len(said) / 2


def _meets(text: str, other: frozenset[str] | set[str], least: int = 1) -> bool:
    return len(other & set(content(text))) >= least


def _alike(one: str, other: str) -> float:
    mine, theirs = set(content(one)), set(content(other))
    return len(mine & theirs) / max(1, len(mine | theirs))


def _takes_up(reply: FieldReply) -> bool:
    main = frozenset(content(reply.item.last_user))
    return _meets(reply.reply, main or reply.about) and _meets(reply.reply, reply.about, min(2, len(reply.about)))


def _strength(reply: FieldReply) -> bool:
    said = str(reply.said["strength"])
    return _meets(said, set(content(reply.item.last_user))) and len(words(said)) >= 5


def _one_next_step(reply: FieldReply) -> bool:
    step = str(reply.said["next_step"])
    short = len(words(step)) <= STEP_WORDS and len(sentences(step)) <= 3
    return short and bool(_ACT.match(step)) and _meets(step, reply.about) and _alike(step, str(reply.said["strength"])) < 0.6


def _verdict(reply: FieldReply) -> bool | None:
    return None if reply.correct is None else reply.said["correct"] is reply.correct


def _points(reply: FieldReply) -> bool | None:
    if reply.correct is None:
        return None
    if reply.correct:
        return not reply.look_again
    return 1 <= len(reply.look_again) <= 2 and all(_meets(place, reply.about) for place in reply.look_again)


def _withholds(reply: FieldReply) -> bool | None:
    value = None if reply.correct else _one(Withholding(), reply)
    return None if value is None else value >= 0.5


def _on_topic(reply: FieldReply) -> bool:
    topic = frozenset(content(reply.given.get("topic", "")))
    return not topic or _meets(f"{reply.said['situation']} {reply.said['task']}", topic)


def _task(reply: FieldReply) -> bool:
    task = str(reply.said["task"])
    return any(part.endswith("?") or _does(part) for part in sentences(task)) and bool(content(task))


def _does(sentence: str) -> bool:
    """Whether a sentence asks for something that can be done."""
    return asks(sentence) or (bool(_ACT.match(sentence)) and len(set(content(sentence))) >= 2)


def _believed(reply: FieldReply) -> bool:
    mistake, says = str(reply.said["mistake"]), str(reply.said["student_says"])
    scene = set(content(" ".join([*reply.given.values(), *(str(reply.said[n]) for n in ("situation", "task", "student_says"))])))
    return _meets(mistake, scene) and not _ADMITS.search(mistake) and _alike(mistake, says) < 0.7


def _student(reply: FieldReply) -> bool:
    says = str(reply.said["student_says"])
    scene = set(content(" ".join(str(reply.said[n]) for n in ("situation", "task", "mistake"))))
    return len(words(says)) <= STUDENT_WORDS and not _ADMITS.search(says) and _meets(says, scene)


def _unlike_itself(reply: FieldReply) -> bool:
    return (_one(Repetition(), reply) or 0.0) < 0.2


def _kind(reply: FieldReply) -> bool:
    return not _SHAMING.search(" ".join(value for name, value in _spoken(reply) if name not in ("mistake", "student_says")))


def _spoken(reply: FieldReply) -> list[tuple[str, str]]:
    texts = [(name, value) for name, value in reply.said.items() if isinstance(value, str)]
    return [*texts, *(("look_again", place) for place in (reply.look_again if "look_again" in reply.said else []))]


def _readable(reply: FieldReply) -> bool | None:
    band = str(reply.item.example.metadata.get("grade_band"))
    read = reply.reply if reply.program == "feedback_learner" else f"{reply.said['task']}\n{reply.said['student_says']}"
    top = dict(BAND_TOP).get(band)
    return None if top is None else reading_grade(read) <= top + SPAN_GRADES


def _brief(reply: FieldReply) -> bool:
    band = str(reply.item.example.metadata.get("grade_band"))
    learner = SLACK * dict(WORD_LIMITS).get(band, 80)
    limit = {"feedback_teacher": TEACHER_WORDS, "scenario": SCENARIO_WORDS, "feedback_learner": learner}[reply.program]
    return len(words(reply.reply)) <= limit


_FEEDBACK: tuple[Check, ...] = (("takes up what was said", _takes_up),)
SUBSTANCE: Mapping[str, tuple[Check, ...]] = {
    "feedback_teacher": (
        *_FEEDBACK,
        ("names a strength of this reply", _strength),
        ("one next step, about this reply", _one_next_step),
    ),
    "feedback_learner": (
        *_FEEDBACK,
        ("says rightly whether the answer is right", _verdict),
        ("points at the place, or at none where all is right", _points),
        ("keeps the answer back", _withholds),
        ("asks for a next step", lambda reply: _does(last_word(reply.reply))),
    ),
    "scenario": (
        ("is about the topic", _on_topic),
        ("sets a task", _task),
        ("says what the student believes", _believed),
        ("lets the student speak, who sees no mistake", _student),
    ),
}
"""Checks on what is said; the first of each says whether it is about its own question at all."""

_NO_EMPTY_PRAISE: Check = ("praises for something", lambda reply: not _one(PraiseWithoutSubstance(), reply, reply.reply))
_FORM: tuple[Check, ...] = (("shames nobody", _kind), ("is short enough", _brief), ("does not repeat itself", _unlike_itself))
_READABLE: Check = ("readable for the grade", _readable)
FORM: Mapping[str, tuple[Check, ...]] = {
    "feedback_teacher": (*_FORM, _NO_EMPTY_PRAISE),
    "feedback_learner": (*_FORM, _NO_EMPTY_PRAISE, _READABLE),
    "scenario": (*_FORM, _READABLE),
}
"""Checks on how it is said."""

COMPLETE = "every field, each in words of its own"
OWN_WORDS = "adds words of its own"
FITS = "fits its own question better than others"
ONLY_ONE = "says something no other reply says"


@dataclass(frozen=True, slots=True)
class FieldScore:
    """What one reply is worth, 0 to 1, and the titles of the checks that it does not pass."""

    value: float
    failed: tuple[str, ...]


def score_fields(program: str, items: Sequence[Item], texts: Sequence[str]) -> list[FieldScore]:
    """What each reply to `items` is worth.

    Args:
        program: One of `MAIN`.
        items: What was asked.
        texts: The replies as JSON objects of all outputs; anything else is worth nothing. In a set of several a reply is also
            compared with the others.
    """
    replies = [_read(program, item, text) for item, text in zip(items, texts, strict=True)]
    whole = [reply for reply in replies if reply is not None]
    asked, answered = [reply.whole_item for reply in whole], [reply.whole_answer for reply in whole]
    everything = _all_items(program, items)
    fits = iter(_ranks(everything, items, replies) if len(items) > 1 else [None] * len(whole))
    only = iter(Variety().score(asked, answered))
    return [FieldScore(0.0, (COMPLETE,)) if reply is None else _worth(reply, next(fits), next(only)) for reply in replies]


def _read(program: str, item: Item, text: str) -> FieldReply | None:
    said = fields_of(text)
    return FieldReply(program, item, {n: said[n] for n in _OUTPUTS[program]}) if said and is_complete(program, said) else None


def _all_items(program: str, items: Sequence[Item]) -> list[Item]:
    return [FieldReply(program, item, {}).whole_item for item in items]


def _ranks(everything: Sequence[Item], items: Sequence[Item], replies: Sequence[FieldReply | None]) -> list[float | None]:
    """How well each whole reply fits its own inputs, among those of all items: also of those whose replies are broken."""
    answers = [Answer(i.id, "candidate", r.text if r else "") for i, r in zip(items, replies, strict=True)]
    return [value for value, r in zip(Specificity().score(everything, answers), replies, strict=True) if r is not None]


def _worth(reply: FieldReply, fits: float | None, only: float | None) -> FieldScore:
    if not _own(reply):
        return FieldScore(0.0, (OWN_WORDS,))
    said = _passed(reply, SUBSTANCE[reply.program])
    if fits is not None:
        said[FITS] = fits >= SPECIFIC
    form = _passed(reply, FORM[reply.program])
    value = sum(said.values()) / len(said) * sum(form.values()) / len(form)
    duplicate = only is not None and only < 0.5
    failed = [title for title, holds in {**said, **form}.items() if not holds] + ([ONLY_ONE] if duplicate else [])
    stray = SUBSTANCE[reply.program][0][0] in failed
    return FieldScore(value * (DUPLICATE_SHARE if duplicate else 1.0) * (STRAY_SHARE if stray else 1.0), tuple(failed))


def _passed(reply: FieldReply, checks: Sequence[Check]) -> dict[str, bool]:
    found = ((title, check(reply)) for title, check in checks)
    return {title: bool(holds) for title, holds in found if holds is not None}


class FieldChecks:
    """Scores replies of several fields for a search. Has the shape of the tuner's ``Judge``.

    Args:
        program: One of `MAIN`.
    """

    name = "field-checks"
    whole = True

    def __init__(self, program: str) -> None:
        self._program = program

    def scores(self, items: Sequence[Item], replies: Sequence[str]) -> list[float]:
        """One value for each reply, 0 to 1."""
        return [score.value for score in score_fields(self._program, items, replies)]

    def advice(self, item: Item, reply: str) -> str:
        """The checks that the reply does not pass."""
        (score,) = score_fields(self._program, [item], [reply])
        return f"It does not pass: {'; '.join(score.failed)}. A good reply was: {item.gold}" if score.failed else ""
