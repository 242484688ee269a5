"""Asks for a next step: does the reply leave the learner something to do, say, draw or check?"""

from __future__ import annotations

import re
from collections.abc import Sequence

from homeroom.evaluation.text import content, sentences, stem, words
from homeroom.schema.evaluation import Answer, Direction
from homeroom.schema.examples import Item

_DO = """add answer build change check choose circle colou?r compare complete consider convert copy count cover cross
describe divide double-check draw estimate explain factor fill find finish fold focus give go group guess
imagine label line list look make mark match measure move multiply name notice pick picture place plug point"""
_LEAD = (
    r"(?:^|[,;:–—!]|\s-|\band|\bso|\bthen|\bbut)\s*[\"'“”]?"
    r"(?:(?:now|then|next|first|please|just|instead|so|and|but|before that|this time|okay|ok)[, ]+)*"
)
_IMPERATIVE = re.compile(
    rf"{_LEAD}(?:let['’]?s|let us)?\s*(?:both |also |now |first |really |just |quickly )*(?:{'|'.join(_DO.split())})\b",
    re.IGNORECASE,
)
_LETS = re.compile(r"\b(?:let['’]s|let us) \w+", re.IGNORECASE)
_VAGUE_WORDS = """again answer attempt calculation check checked checking closer continue double problem question recalculate
recheck redo rethink review revisit solution solve step task together try work mistake error carefully follow
figure correct"""
_VAGUE = frozenset(stem(word) for word in _VAGUE_WORDS.split())
_YOU = re.compile(
    r"\b(?:can|could|would|will) you\b|\byou (?:need to|should|could|might want to|may want to|have to|can(?: try)?"
    r"|must) \w+|\btry (?:again|to|it|that|this)\b|\b(?:look|check) \w* ?again\b",
    re.IGNORECASE,
)
_EMPTY_QUESTION = re.compile(
    r"^(?:(?:so|and|well|now|okay|ok|hmm)[, ]+)?(?:(?:what|how) (?:do|would|did) you (?:think|feel)(?: (?:about (?:it|that"
    r"|this)|of (?:it|that|this)))?|(?:does|did) "
    r"(?:that|this|it) (?:make sense|help)(?: to you)?|(?:do|did|can) you (?:understand|see|get it|know|follow)|"
    r"(?:do|can) you (?:see|understand|get) (?:how|why|what) (?:that|this|it|i)\b.*|(?:is|are) (?:that"
    r"|you) (?:ok|okay|clear|ready|sure)|"
    r"(?:any|more|other) (?:other |more )?questions?|(?:is there )?any ?thing else.*|(?:right|okay|ok|alright|yes|no|really"
    r"|see|got it|ready|sound good)|"
    r"how (?:can|may) i (?:help|assist).*|(?:shall|should) (?:we|i) (?:continue|go on|start|begin)|(?:would|do) you (?:like"
    r"|want) (?:me )?to (?:continue|know|try another).*)\W*$",
    re.IGNORECASE,
)
_EMPTY_TASK = re.compile(
    r"\bkeep (?:going|practi[cs]ing|it up|up|trying|learning)|\b(?:similar|another|different|new"
    r"|more) (?:\w+ )?(?:problems?|examples?|questions?|exercises?|ones?)\b|\breview (?:it )?together|"
    r"\breinforce|\blet me\b|\b(?:go|move) (?:on|ahead) to\b",
    re.IGNORECASE,
)


def asks(sentence: str) -> bool:
    """Whether one sentence asks the learner for something they can do. Courtesy questions ("Does that make sense?") do not."""
    if _EMPTY_TASK.search(sentence):
        return False
    clauses = [clause.strip() for clause in re.split(r"[,;–—]\s+|\s-\s", sentence)]
    if sentence.rstrip("\"'”’)* ").endswith("?"):
        last = clauses[-1] if len(words(clauses[-1])) > 1 else sentence
        return not _EMPTY_QUESTION.match(sentence.strip("\"'“”*() ")) and not _EMPTY_QUESTION.match(last.strip("\"'“”*() "))
    if not (_IMPERATIVE.search(sentence) or _LETS.search(sentence) or _YOU.search(sentence)):
        return False
    return bool(set(content(sentence)) - _VAGUE)


_CHEER = re.compile(
    r"^(?:keep|you(?:['’]re| are| can| have|['’]ve)|good|great|nice|well|don['’]t worry|no worries|i['’]m|i (?:am|believe"
    r"|know)|we can)\b",
    re.IGNORECASE,
)


def last_word(text: str) -> str:
    """The sentence a reply leaves the learner with: its last, or the one before where the last only cheers."""
    found = sentences(text)
    if len(found) > 1 and not found[-1].rstrip("\"'”’)* ").endswith("?") and (_CHEER.match(found[-1]) or not content(found[-1])):
        return found[-2]
    return found[-1] if found else ""


class AsksNextStep:
    """1 when the sentence a reply ends on asks the learner for something they can do, otherwise 0.

    A courtesy question ("What do you think?"), a vague order ("Try again.") and a change of subject ("Let's try another
    one.") do not count.
    """

    name = "asks_next_step"
    title = "Asks for a next step"
    range = (0.0, 1.0)
    direction: Direction = "higher"
    tasks: tuple[str, ...] = ("tutor",)
    source = (
        "proxy: agrees roughly with people's label 'actionable' (825 replies: AUC 0.66 to 0.69, kappa 0.31 to 0.33; order "
        "of 9 tutors rho 0.65 to 0.78): read it over a set, never for one reply (benchmarks/validate_metrics.py)"
    )

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """1 or 0 for each reply."""
        return [float(asks(last_word(answer.text))) for answer in answers]
