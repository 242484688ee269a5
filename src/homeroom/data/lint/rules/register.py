"""Register: how a tutor speaks to the learner, measured against the other records of the file."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from homeroom.data.lint.model import About, Hit, Options, Record, Text
from homeroom.data.lint.rules.drift import Choice, DriftRule, Form
from homeroom.data.lint.rules.text_phrases import phrases
from homeroom.data.lint.rules.text_turns import replies, unquoted
from homeroom.data.lint.words import word_set

_SLANG = word_set(
    """gonna wanna gotta kinda sorta dunno lol lmao omg btw pls plz thx ur u r ya yall y'all dude bro bruh ain't cuz coz tho nope
    yup yeah yay gimme lemme whatcha aint"""
)
_STIFF = word_set(
    """hereby herewith henceforth heretofore aforementioned pursuant thereof therein therewith notwithstanding furthermore
    moreover kindly whereby wherein hitherto thusly forthwith endeavour ascertain commence utilize utilise peruse
    cognizant"""
)
_STIFF_PHRASES = phrases(
    r"one (?:must|should|ought to|may then|can then)", r"it is (?:imperative|incumbent|requisite)", r"the (?:learner|student"
                                                                                                    r"|pupil) (?:must|shall|is "
                                                                                                    r"required to|is advised to)",
    r"you are (?:hereby|kindly|required to|requested to|advised to)", r"you shall", r"in accordance with", r"it should be noted",
)  # fmt: skip
_STIFF_HINTS = word_set(
    "one imperative incumbent requisite learner student pupil required requested advised shall accordance noted"
)
_EMOJI = re.compile(r"[\U0001f300-\U0001f64f\U0001f680-\U0001faff☀-➿⭐❤]\ufe0f?|(?<!\w)[:;]-?[)D(P](?!\w)")
_CAPITALS = re.compile(r"[A-Z]{3}")
_SHOUT = re.compile(r"\b[A-Z]{3,}(?:[ ,]+[A-Z]{2,}){2,}\b")
_BANGS = re.compile(r"\w*\s?!!+")
_THIRD = re.compile(
    r"\bthe (?:learner|student|pupil)(?:['’]s)? (?:should|needs to|must|has to|made|has made|did|is|was|got|forgot|answer|work"
    r"|mistake)\b",
    re.IGNORECASE,
)


def _slang(text: Text) -> str:
    found = _SLANG & text.word_set
    if not found:
        return ""
    # "r" and "u" may be a remainder or a unit, in quotes a learner's word.
    outside = Text(unquoted(text.content)).word_set
    strong = sorted(word for word in found & outside if len(word) > 2)
    return (
        strong[0]
        if strong
        else "u"
        if "u" in outside and re.search(r"\bu (?:can|are|have|need|got|should|r|did|do|will)\b", text.lower)
        else ""
    )


def _stiff(text: Text) -> str:
    found = _STIFF & text.word_set
    if found:
        return min(found)
    match = _STIFF_PHRASES.search(text.content) if not _STIFF_HINTS.isdisjoint(text.word_set) else None
    return match.group() if match else ""


def _emoji(text: Text) -> str:
    if text.content.isascii() and ":" not in text.content and ";" not in text.content:
        return ""
    match = _EMOJI.search(text.content)
    return match.group() if match else ""


def _shout(text: Text) -> str:
    match = _SHOUT.search(text.content) if _CAPITALS.search(text.content) else None
    return match.group() if match else ""


def _bangs(text: Text) -> str:
    if text.content.count("!") >= 4:
        return "!" * min(text.content.count("!"), 5)
    match = _BANGS.search(text.content) if "!!" in text.content else None
    return match.group() if match else ""


def _third_person(text: Text) -> str:
    match = _THIRD.search(text.content) if not _THIRD_HINTS.isdisjoint(text.word_set) else None
    return match.group() if match else ""


_THIRD_HINTS = word_set("learner student pupil learner's student's pupil's")

REGISTER = DriftRule(
    About(
        code="CNS004",
        name="register-drift",
        family="consistency",
        severity="warning",
        what="A tutor's record speaks in another register than the rest of its file: slang, emoji, capitals, stiff or official "
        "wording, "
        "rows of exclamation marks, the learner in the third person.",
        why="A tuned model has one voice only if its data has one.",
        do="Say it in the voice of the others.",
        bad="repeat: 24\nlearner: Is {n} even?\ntutor: Share {n} into two rows. What do you see?\n---\n"
        "learner: Is 31 even?\ntutor: Kindly ascertain whether 31 is divisible by two.",
        good="repeat: 24\nlearner: Is {n} even?\ntutor: Share {n} into two rows. What do you see?",
        guideline="Consistency: Style",
    ),
    (
        Choice((Form("slang", _slang),), "none", tutors=True),
        Choice((Form("official wording", _stiff),), "plain words", tutors=True),
        Choice((Form("emoji", _emoji),), "none", tutors=True),
        Choice((Form("words in capitals", _shout),), "none", tutors=True),
        Choice((Form("many exclamation marks", _bangs),), "few", tutors=True),
        Choice((Form("the third person for the learner", _third_person),), "'you'", tutors=True),
    ),
    "Say it in the voice of the others.",
)

# --- contractions -------------------------------------------------------------------------------------------------------
# Pairs that are contracted nearly always or never by habit; "it is" and "you have" are also written in full for other reasons.
_SHORT = word_set(
    """don't doesn't didn't isn't aren't wasn't weren't haven't hasn't couldn't wouldn't shouldn't can't won't i'm you're
    we're they're let's"""
)
_FULL = frozenset(
    {f"{verb} not" for verb in word_set("do does did is are was were have has could would should can will")}
    | {"i am", "you are", "we are", "they are", "let us"}
)
_CERTAIN = 0.1  # false alarms to be expected in a whole file


class ContractionOutlier:
    """Records that contract against the habit of the file, or never do in a file that always does."""

    about = About(
        code="CNS011",
        name="contraction-drift",
        family="consistency",
        severity="info",
        what="A tutor's record writes don't where its file writes do not, or the other way round, far more than by chance.",
        why="Contractions carry the tone: a mixture of stiff and easy replies gives a model both.",
        do="Write them as the others do.",
        bad="repeat: 24\nlearner: Is {n} done?\ntutor: It's close, but {n} isn't done. Let's look again: what's left? You'll "
        "see it.\n---\n"
        "learner: Is 31 done?\ntutor: It is close, but 31 is not done. Let us look again: what is left? It is there. That is "
        "the last one. "
        "There is one more. You will see it. It is not hard. You are close. We have time. They are there. You do not need more.",
        good="repeat: 24\nlearner: Is {n} done?\ntutor: It's close, but {n} isn't done. Let's look again: what's left? You'll "
        "see it.",
        guideline="Consistency: Style",
    )

    def fact(self, record: Record, options: Options) -> tuple[int, int] | None:
        """Contractions and full forms of a tutor's replies; None where there is neither."""
        if not record.is_tutor:
            return None
        short = full = 0
        for _, text in replies(record):
            words = text.words
            if "'" in text.content or "’" in text.content:
                short += sum(word in _SHORT for word in (text.lower.replace("’", "'").split()))
            full += sum(f"{first} {second}" in _FULL for first, second in pairwise(words)) + words.count("cannot")
        return (short, full) if short or full else None

    def judge(self, facts: Sequence[tuple[int, tuple[int, int]]], options: Options) -> Iterator[Hit]:
        """Records whose counts the file's habit would hardly ever give: fewer than 0.1 of them in a file of this size."""
        shorts, fulls = (sum(fact[side] for _, fact in facts) for side in (0, 1))
        if len(facts) < options.value("CNS011", "least", 10) or shorts + fulls < 40:
            return
        for line, (short, full) in facts:
            rest = (shorts - short) / max(shorts + fulls - short - full, 1)
            for count, likely, words, usual in (
                (short, rest, "contracts", "are written in full"),
                (full, 1 - rest, "does not contract", "are contracted"),
            ):
                if count >= 4 and likely <= 0.25 and _tail(count, short + full, max(likely, 0.005)) * len(facts) < _CERTAIN:
                    share = 100 * (1 - likely)
                    yield Hit(
                        f"This record {words} in {count} of {short + full} places; in the file {share:.0f}% {usual}. Write it "
                        f"like the others.",
                        line=line,
                    )


def _tail(count: int, total: int, likely: float) -> float:
    """Probability of ``count`` or more among ``total`` when each has the chance ``likely``."""
    return sum(math.comb(total, k) * likely**k * (1 - likely) ** (total - k) for k in range(count, total + 1))
