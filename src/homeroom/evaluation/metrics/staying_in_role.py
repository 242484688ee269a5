"""Staying in role: a tutor speaks as the tutor, a simulated learner as the learner, and neither plays both sides."""

from __future__ import annotations

import re
from collections.abc import Sequence

from homeroom.evaluation.text import sentences, words
from homeroom.schema.evaluation import Answer, Direction
from homeroom.schema.examples import Item

LEARNER_WORDS = 60
_BOTH_SIDES = re.compile(
    r"(?:^|\n)\W{0,6}(?:student|learner|pupil|teacher|tutor|user|human|assistant|system|child|ai)\b[^\n.?!]{0,20}?:"
    r"|<\|\w+\|>|\[/?INST\]|^#{2,}",
    re.IGNORECASE,
)
_MACHINE = re.compile(
    r"\bas an? (?:ai|artificial|language|large|digital|virtual|helpful)\b|\bi(?:['’]m| am) an? (?:ai|assistant"
    r"|language model|chat ?bot|virtual|digital|computer)\b|\blanguage model\b"
    r"|\bmy training\b|\bhow (?:can|may) i (?:help|assist) you\b|\bi hope this helps\b|\b(?:the|this) (?:prompt|user)\b"
    r"|\bi['’]?d be happy to (?:help|assist)\b",
    re.IGNORECASE,
)
_TUTOR_AS_LEARNER = re.compile(
    r"\bmy (?:answer|homework|teacher|solution|calculation|mistake) (?:is|was|said|says)\b|\bi(?:['’]m| am) (?:a student"
    r"|in (?:grade|year)|confused|stuck)\b|\bas a student\b"
    r"|\bi (?:don['’]t|do not) (?:understand|get it)\b|\bi (?:got|added|subtracted|multiplied|divided|solved"
    r"|calculated) (?:it|the|them|\d)|\bcan you help me\b",
    re.IGNORECASE,
)
_LEARNER_AS_TEACHER = re.compile(
    r"\b(?:great|good|nice|excellent) (?:job|work|thinking|effort|try|question|start)\b|\bwell done\b|\bkeep (?:up"
    r"|practi[cs]ing|trying)\b|\byour (?:answer|solution|mistake|thinking|reasoning|"
    r"approach|calculation|work) (?:is|was|shows|needs|looks)\b|\byou(?:['’]re| are) (?:on the right track|close"
    r"|almost there|doing)\b|\byou (?:made a|need to|should (?:try|check|add|have|think|look|use)|can try|might want)\b"
    r"|\b(?:can|could) you (?:explain|show me how you|tell me how you|walk me|think of|try)\b|\blet['’]?s (?:think|break"
    r"|look|review|start|go|work|solve|consider|say you)\b"
    r"|\bwhat do you (?:think|notice)\b|\bremember(?: that|,| to)\b|(?:^|[.!?]\s)try (?:again|to)\b|\bthe correct (?:answer"
    r"|way|formula)\b|\bas (?:your|a|the) teacher\b|\byou are \w+, a student\b|\bmy students?\b",
    re.IGNORECASE,
)
_ABOUT_ITSELF = re.compile(
    r"(?:^|[.!?]\s+)the (?:learner \w+|(?:student|pupil) (?:\w+ly )?(?:thinks|believes|forgets|confuses|assumes|mixes|ignores"
    r"|treats|fails|struggles|misunderst\w+|misread\w*)\b)",
    re.IGNORECASE,
)
_LECTURE = re.compile(
    r"\bstep \d|\n\s*\d[.)]\s|\btherefore\b|\bin conclusion\b|\bin order to\b|\bto (?:solve|find|calculate"
    r"|determine) (?:this|the)\b.{0,60}\b(?:we|you) (?:need|can|must|should|first)\b"
    r"|\bis (?:defined as|a (?:mathematical|process|concept)|the process)\b|\bthe formula (?:is|for)\b|\*\*|\\\[|\\frac",
    re.IGNORECASE,
)


class StayingInRole:
    """1 when the reply is spoken by whom it should be, 0 when it is not, or is empty.

    Tutor: does not write the learner's turn, speak as a learner or as a machine. Learner: does not praise, instruct or
    correct like a teacher, speak of itself as "the learner", lecture, or talk for more than 60 words.
    """

    name = "staying_in_role"
    title = "Stays in role"
    range = (0.0, 1.0)
    direction: Direction = "higher"
    tasks: tuple[str, ...] = ("tutor", "learner")
    source = (
        "proxy: phrases; for tutors kappa 0.44 with people's label 'not human-like' (825 replies, 47 carry it); learners not "
        "tested"
    )

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """1 or 0 for each reply."""
        return [float(in_role(answer.text, item.example.task == "learner")) for item, answer in zip(items, answers, strict=True)]


def in_role(reply: str, learner: bool) -> bool:
    """Whether one reply is spoken by the tutor (or, with ``learner``, by the child)."""
    if not words(reply) or _BOTH_SIDES.search(reply) or _MACHINE.search(reply):
        return False
    if not learner:
        return not _TUTOR_AS_LEARNER.search(re.sub(r"[\"“][^\"”]*[\"”]", "", reply))
    return not (
        _LEARNER_AS_TEACHER.search(reply)
        or _ABOUT_ITSELF.search(reply)
        or _LECTURE.search(reply)
        or len(words(reply)) > LEARNER_WORDS
        or len(sentences(reply)) > 7
    )
