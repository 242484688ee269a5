"""What no rule can decide: facts, and whether a teacher has looked. One finding for a file each, for the review queue."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from homeroom.data.lint.model import About, Hit, Options, Record, Rule
from homeroom.data.lint.rules.text_turns import tutor_replies

_FIGURE = re.compile(
    r"\b(?:in|since|until|by|from|around|about|born|died) (?P<year>1[0-9]{3}|20[0-9]{2})\b(?! [a-z]+s\b)"
    r"|\b\d[\d.,]* (?:million|billion|trillion)\b|\b\d{1,3}(?:,\d{3})+ [a-z]{2,}|\b\d[\d.,]* (?:light.years|degrees (?:celsius"
    r"|fahrenheit)|°[CF])",
    re.IGNORECASE,
)
MOST_LINES = 100
_WAITS = ("not ", "no", "pending", "todo", "open", "unreviewed", "draft", "to be reviewed", "awaiting", "waiting", "needs review")


class FactsToConfirm:
    """Years and large figures that a reply brings in itself."""

    about = About(
        code="QUA019",
        name="facts-to-confirm",
        family="quality",
        severity="info",
        what="Replies state years or large figures that neither the learner nor a passage gave. No rule can tell whether they "
        "are true.",
        why="A wrong date in ten examples is a wrong date in the model.",
        do="Have a person who knows the subject confirm them.",
        bad="metadata: subject=history, grade=5\nlearner: When did people land on the Moon?\ntutor: The first landing was in "
        "1969, with two people.",
        good="metadata: subject=history, grade=5\nlearner: When did people land on the Moon?\ntutor: Look at the passage: which "
        "year does it name?",
        guideline="Quality: Accuracy",
    )

    def fact(self, record: Record, options: Options) -> str | None:
        """The first figure that a reply brings in; mathematics, whose figures belong to made-up problems, is left out."""
        if str(record.metadata.get("subject") or "").lower() in ("mathematics", "math", "maths", ""):
            return None
        for index, text in tutor_replies(record):
            for match in _FIGURE.finditer(text.content) if any(c.isdigit() for c in text.content) else ():
                number = re.search(r"\d[\d.,]*", match.group())
                given = (*(m.content for m in record.example.messages[:index]), *record.example.context)
                if number and not any(number.group() in passage for passage in given):
                    return match.group()
        return None

    def judge(self, facts: Sequence[tuple[int, str]], options: Options) -> Iterator[Hit]:
        """One hit for the file, with the lines."""
        if facts:
            line, quote = facts[0]
            yield Hit(
                f"{len(facts)} {'records state' if len(facts) > 1 else 'record states'} a year or figure that nothing before it "
                f"gives (line {line}: "
                f"'{quote}'). Have a person confirm them.",
                lines=tuple(line for line, _ in facts[:MOST_LINES]),
                quote=quote,
                needs_person=True,
            )


class NotReviewed:
    """Records whose metadata say that no teacher has reviewed them yet."""

    about = About(
        code="QUA020",
        name="review-pending",
        family="quality",
        severity="info",
        what="Records say themselves that no teacher has reviewed them yet. Whether a reply is good teaching, and fits its "
        "learners' culture, "
        "no rule can tell.",
        why="What nobody has read trains a model all the same.",
        do="Have a teacher review them, and write name and date under metadata.review.",
        bad="metadata: review=not yet reviewed by a teacher\nlearner: Is 12 even?\ntutor: Share 12 into two rows.",
        good="metadata: review=A. Okafor 2025-03-01\nlearner: Is 12 even?\ntutor: Share 12 into two rows.",
        guideline="Quality: Pedagogical Value",
    )

    def fact(self, record: Record, options: Options) -> bool | None:
        """True for a record that says so."""
        review = record.metadata.get("review", "")
        waits = review is False or str(review or "").strip().lower().startswith(_WAITS)
        return True if waits else None

    def judge(self, facts: Sequence[tuple[int, bool]], options: Options) -> Iterator[Hit]:
        """One hit for the file."""
        if facts:
            yield Hit(
                f"{len(facts)} record{'s say' if len(facts) > 1 else ' says'} that no teacher has reviewed them yet. Have one "
                f"do so, and write "
                "name and date under metadata.review.",
                lines=tuple(line for line, _ in facts[:MOST_LINES]),
                needs_person=True,
            )


RULES: tuple[Rule, ...] = (FactsToConfirm(), NotReviewed())
