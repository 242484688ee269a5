"""Personal data of learners: what is found by its form, by the words beside it, and by the class list.

Names cannot be found by form: story problems are full of them. So a name counts only where the class list has it (`SAF007`) or
where somebody introduces themselves with more than a first name (`SAF008`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from homeroom.data.lint.model import About, Edit, Hit, Options, Record, Rule, Severity, Text
from homeroom.data.lint.rules import safety_finders as find
from homeroom.data.lint.rules.safety_names import names_in

Finder = Callable[[Text, Options], Iterable[find.Span]]


@dataclass(frozen=True, slots=True)
class PersonalData:
    """A rule that finds places in every turn and replaces them by numbered placeholders: ``[EMAIL-1]``.

    The same words get the same number within a record, so that a conversation stays readable; nothing in a placeholder is
    computed from what it stands for, so that only the original file can undo it.

    Attributes:
        about: What the rule says of itself.
        label: Of its placeholders.
        kind: What was found, for the message.
        find: Gives the places of a text.
        mild: Whether words that were found are a warning only.
    """

    about: About
    label: str
    kind: str
    find: Finder
    mild: Callable[[str], bool] = lambda quote: False

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each turn, with all its places."""
        found = [(index, text.content, _merged(self.find(text, options))) for index, text in enumerate(record.texts)]
        if not any(spans for _, _, spans in found):
            return
        taken = re.compile(rf"\[{self.label}-(\d+)\]")
        first = 1 + max((int(m[1]) for _, content, _ in found for m in taken.finditer(content)), default=0)
        numbers: dict[str, int] = {}
        for index, content, spans in found:
            if spans:
                quotes = [content[a:b] for a, b in spans]
                for quote in quotes:
                    numbers.setdefault(quote.lower(), first + len(numbers))
                labels = [f"[{self.label}-{numbers[quote.lower()]}]" for quote in quotes]
                shown = ", ".join(dict.fromkeys(f"'{quote}'" for quote in quotes))
                yield Hit(
                    f"Turn {index + 1} holds {self.kind}: {shown}. {self.about.do}",
                    quote=quotes[0],
                    edit=Edit(index, _replaced(content, spans, labels)),
                    severity="warning" if all(map(self.mild, quotes)) else None,
                )


def _merged(spans: Iterable[find.Span]) -> list[find.Span]:
    """In order, without overlaps: the first and longest wins."""
    kept: list[find.Span] = []
    for span in sorted(spans, key=lambda s: (s[0], -s[1])):
        if not kept or span[0] >= kept[-1][1]:
            kept.append(span)
    return kept


def _replaced(content: str, spans: list[find.Span], labels: list[str]) -> str:
    parts, end = [], 0
    for (a, b), label in zip(spans, labels, strict=True):
        parts += [content[end:a], label]
        end = b
    return "".join((*parts, content[end:]))


PERSONAL_KEYS = frozenset(
    [
        "student",
        "student_name",
        "learner",
        "learner_name",
        "pupil",
        "pupil_name",
        "child",
        "child_name",
        "full_name",
        "first_name",
        "last_name",
        "surname",
        "email",
        "e_mail",
        "phone",
        "telephone",
        "address",
        "student_id",
        "learner_id",
        "pupil_id",
        "student_number",
        "date_of_birth",
        "dob",
        "birthday",
        "birthdate",
        "parent",
        "parent_name",
        "guardian",
        "username",
        "user_name",
    ]
)


@dataclass(frozen=True, slots=True)
class PersonalMetadata:
    """A key of the metadata that is there to say who somebody is."""

    about: About

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each such key with a value."""
        for key, value in record.metadata.items():
            if str(key).lower().replace("-", "_").replace(" ", "_") in PERSONAL_KEYS and value not in (None, "", False, [], {}):
                yield Hit(f"The metadata key {key!r} says who a learner is. {self.about.do}", quote=str(key))


_WHY = "A tuned model can repeat it word for word to anybody who asks, and it cannot be taken out again without tuning anew."
_DO = "Replace it by a placeholder (`homeroom data fix` does)."
_GUIDELINE = "Educational: Privacy of Learners"


def _about(code: str, name: str, what: str, bad: str, good: str, *, severity: Severity = "error", do: str = _DO) -> About:
    return About(
        code=code,
        name=name,
        family="safety",
        severity=severity,
        what=what,
        why=_WHY,
        do=do,
        bad=bad,
        good=good,
        guideline=_GUIDELINE,
        fixable=do == _DO,
    )


RULES: tuple[Rule, ...] = (
    PersonalData(
        _about(
            "SAF001",
            "personal-email",
            "An e-mail address, also one spelt with 'at' and 'dot'; addresses of offices and of reserved domains are left alone.",
            "learner: Write to me at jayden.okafor@mailbox.org if I forget.\ntutor: Let us finish it here. What is 6 x 7?",
            "learner: Write to me at [EMAIL-1] if I forget.\ntutor: Let us finish it here. What is 6 x 7?",
        ),
        "EMAIL",
        "an e-mail address",
        find.emails,
    ),
    PersonalData(
        _about(
            "SAF002",
            "personal-phone",
            "A telephone number, by its form or beside a word such as 'phone'; toll-free help lines and arithmetic are left"
            " alone.",
            "learner: Call my mom, her cell is 555-0142.\ntutor: Let us look at your subtraction first.",
            "learner: What is 555 - 142?\ntutor: Take away 100 first. What is left?",
        ),
        "PHONE",
        "a telephone number",
        find.phones,
    ),
    PersonalData(
        _about(
            "SAF003",
            "personal-address",
            "A street address; addresses that everybody knows are left alone.",
            "learner: I live at 48 Alder Street and walk 2 km to school.\ntutor: How many metres is that?",
            "learner: I live on [ADDRESS-1] and walk 2 km to school.\ntutor: How many metres is that?",
        ),
        "ADDRESS",
        "an address",
        find.addresses,
    ),
    PersonalData(
        _about(
            "SAF004",
            "personal-number",
            "A student, card or identity number beside the word that says so, a US social security number, or a password.",
            "learner: My student ID is 20417735. Can you see my grade?\ntutor: I cannot see grades. Which task is it about?",
            "learner: A train has 20417735 bolts. Round that.\ntutor: To which place do you want to round?",
        ),
        "NUMBER",
        "a number or password of a person",
        find.numbers,
    ),
    PersonalData(
        _about(
            "SAF005",
            "birth-date",
            "A learner's date of birth: in the first person, or in a form's field. Dates of history are left alone.",
            "learner: My date of birth is 14 March 2013, how old is that in days?\ntutor: How many days has a year?",
            "learner: Ada Lovelace was born on 10 December 1815. How old was she in 1843?\ntutor: Which years do you compare?",
        ),
        "DATE",
        "a date of birth",
        find.births,
    ),
    PersonalData(
        _about(
            "SAF006",
            "social-handle",
            "A name in a social network or game, beside the network's name or in a form such as '@jay_cool09'.",
            "learner: add me on roblox: jaycool09 and we can do it together\ntutor: Let us do it here. What is 3/4 of 20?",
            "learner: I measured how long we play Roblox each day.\ntutor: What would a bar chart of that show?",
            severity="warning",
        ),
        "HANDLE",
        "a name in a network",
        find.handles,
    ),
    PersonalData(
        _about(
            "SAF007",
            "roster-name",
            "A full name of the class list anywhere, or a first name of it where somebody is spoken to, speaks, or is"
            " introduced. "
            "People of story problems are left alone. A first name alone is a warning.",
            "roster: Amara Diallo, Tomas Reyes\nlearner: Is it 24?\ntutor: Well done, Amara! How did you find it?",
            "roster: Amara Diallo, Tomas Reyes\nlearner: Amara has 5 apples and gets 3. Is it 8?\ntutor: How did you find the 8?",
        ),
        "LEARNER",
        "a name of the class list",
        names_in,
        mild=lambda quote: " " not in quote,
    ),
    PersonalData(
        _about(
            "SAF008",
            "self-introduction",
            "Somebody introduces themselves with a first and a last name, or names their school.",
            "learner: My name is Jayden Okafor and I need help with fractions.\ntutor: Which fraction is giving you trouble?",
            "learner: My name is Jayden and I need help with fractions.\ntutor: Which fraction is giving you trouble?",
            severity="warning",
        ),
        "PERSON",
        "who somebody is",
        find.introductions,
    ),
    PersonalMetadata(
        _about(
            "SAF009",
            "personal-metadata",
            "A metadata key that is there to say who a learner is, such as 'student_name' or 'email'.",
            "metadata: subject=science, grade=4, student_name=Amara\nlearner: Is ice water?\ntutor: What happens to ice in the"
            " sun?",
            "metadata: subject=science, grade=4\nlearner: Is ice water?\ntutor: What happens to ice in the sun?",
            severity="warning",
            do="Take the key out of the metadata; a number that only you can resolve serves as well.",
        )
    ),
)
