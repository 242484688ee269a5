"""Inclusive language: terms with a better one, and occupations that always have one gender.

A term is reported where the model learns it or is told it: in replies and system turns, never in a learner's own words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from homeroom.data.lint.model import About, Edit, Hit, Options, Record, Rule, Severity, Text
from homeroom.data.lint.words import lines

_QUOTED = re.compile(r"[\"“„«][^\"”“»\n]{0,400}[\"”“»]|(?<!\w)['‘][^'’\n]{0,200}['’](?!\w)")


@dataclass(frozen=True, slots=True)
class Term:
    """One entry of the list: what is said, what is better, ``fix`` | ``warn`` | ``info``, and why."""

    term: str
    better: str
    level: str
    why: str
    pattern: re.Pattern[str]


@cache
def _terms() -> dict[str, list[Term]]:
    """By their longest word, so that a turn is searched for few of them."""
    found: dict[str, list[Term]] = {}
    for line in lines("inclusive"):
        term, better, level, why = (part.strip() for part in line.split("|"))
        words = re.escape(term).replace("'", "['’]").replace(r"\ ", r"\s+")
        pattern = re.compile(rf"(?<![\w-])({words})(?![\w-]|['’]\w)", re.IGNORECASE)
        key = max(re.findall(r"[a-z]+(?:['-][a-z]+)*", term), key=len)
        found.setdefault(key, []).append(Term(term, better, level, why, pattern))
    return found


def _places(text: Text) -> Iterator[tuple[int, int, Term]]:
    """Where terms stand outside quotations and names; the longest wins."""
    terms = _terms()
    keys = text.word_set & terms.keys()
    if not keys:
        return
    plain = text.lower.replace("’", "'")
    present = sorted((term for key in keys for term in terms[key] if term.term in plain), key=lambda t: (-len(t.term), t.term))
    if not present:
        return
    taken = [found.span() for found in _QUOTED.finditer(text.content)]
    for term in present:
        for found in term.pattern.finditer(text.content):
            a, b = found.span(1)
            if any(a < end and start < b for start, end in taken) or _is_name(text.content, a, b):
                continue
            taken.append((a, b))
            yield a, b, term


def _is_name(content: str, start: int, end: int) -> bool:
    """With a capital inside a sentence, or with a name after a title: "Chairman Mao", "Postman Pat"."""
    if not content[start].isupper():
        return False
    opens = not content[:start].strip() or content[:start].rstrip()[-1] in ".!?:\n"
    return not opens or bool(re.match(r" [A-Z]", content[end : end + 2]))


def _better(content: str, places: Sequence[tuple[int, int, Term]]) -> str:
    """The text with every ``fix`` term replaced, its capital kept and the article before it adjusted."""
    for start, end, term in sorted(places, key=lambda p: -p[0]):
        if term.level != "fix":
            continue
        better = term.better[0].upper() + term.better[1:] if content[start].isupper() else term.better
        before = content[:start]
        article = re.search(r"\b([Aa])(n?) $", before)
        if article:
            vowel = better[0].lower() in "aeiou"
            before = before[: article.start()] + article[1] + ("n " if vowel else " ")
        content = before + better + content[end:]
    return content


@dataclass(frozen=True, slots=True)
class NonInclusiveTerm:
    """A term with a better one."""

    about: About

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each turn, with all its terms."""
        for index, (message, text) in enumerate(zip(record.example.messages, record.texts, strict=True)):
            if message.role not in ("assistant", "system") or (message.role == "assistant" and not record.is_tutor):
                continue
            places = sorted(_places(text), key=lambda p: p[0])
            if places:
                shown = "; ".join(dict.fromkeys(f"'{text.content[a:b]}' -> '{t.better}' ({t.why})" for a, b, t in places))
                levels = {term.level for _, _, term in places}
                severity: Severity = "info" if levels == {"info"} else "warning"
                mended = _better(text.content, places)
                edit = Edit(index, mended) if levels == {"fix"} else None
                yield Hit(
                    f"Turn {index + 1}: {shown}.", quote=text.content[places[0][0] : places[0][1]], edit=edit, severity=severity
                )


# --- occupations ----------------------------------------------------------------------------------------------------------
_HE = (
    "doctor|engineer|scientist|pilot|boss|programmer|mechanic|farmer|firefighter|soldier|lawyer|carpenter|plumber|"
    "builder|ceo|manager|president|professor|mathematician|inventor|astronaut|surgeon|captain|judge|electrician|"
    "architect|police officer|truck driver|miner|physicist|chemist|banker|explorer"
)
_SHE = (
    "nurse|teacher|secretary|babysitter|librarian|housekeeper|receptionist|nanny|kindergarten teacher|cleaner|"
    "flight attendant|hairdresser|dancer|cook|tailor|caretaker|cashier|midwife|social worker"
)
HE, SHE = frozenset(_HE.split("|")), frozenset(_SHE.split("|"))
_OCCUPATION = "|".join(sorted(HE | SHE, key=len, reverse=True))
_OCCUPATION_WORDS = frozenset(word for occupation in HE | SHE for word in occupation.split()[-1:])
_PRONOUN = {"he": "he", "him": "he", "his": "he", "himself": "he", "she": "she", "her": "she", "hers": "she", "herself": "she"}
_GENDERED = re.compile(
    rf"\b(every|each|any|no|a good|a great|a|an|the|one) ({_OCCUPATION})\b((?:(?!\b(?:{_OCCUPATION}|he or she|his or her|she"
    r" or he|her or his|mother|father|woman|man|girl"
    r"|boy|sister|brother|aunt|uncle|mom|dad|Mr|Mrs|Ms)\b)[^.!?\n]){0,70}?)\b(he|him|his|himself|she|her|hers|herself)\b(?! or)",
    re.IGNORECASE,
)
_GENERAL = frozenset(["every", "each", "any", "no", "a good", "a great"])


@dataclass(frozen=True, slots=True)
class GenderedOccupations:
    """Occupations that have one gender: in a general statement at once, in stories when the whole data never does otherwise."""

    about: About

    def fact(self, record: Record, options: Options) -> tuple[tuple[str, str, bool, str], ...] | None:
        """(occupation, ``he`` | ``she``, general statement, quote) of the turns a person wrote."""
        found = []
        for message, text in zip(record.example.messages, record.texts, strict=True):
            if _OCCUPATION_WORDS.isdisjoint(text.word_set) or _PRONOUN.keys().isdisjoint(text.word_set):
                continue
            for m in _GENDERED.finditer(text.content):
                named = re.search(r"\b[A-Z][a-z]+\b", m[3])
                if not named:
                    general = m[1].lower() in _GENERAL and message.role != "user"
                    found.append((m[2].lower(), _PRONOUN[m[4].lower()], general, " ".join(m[0].split())[:80]))
        return tuple(found[:6]) or None

    def judge(self, facts: Sequence[tuple[int, tuple[tuple[str, str, bool, str], ...]]], options: Options) -> Iterator[Hit]:
        """A hit for each general statement, and one for a default that the data never breaks."""
        least = int(options.value(self.about.code, "least", 4))
        share = float(options.value(self.about.code, "share", 0.9))
        follows: Counter[bool] = Counter()
        lines_of: list[int] = []
        kinds: Counter[str] = Counter()
        for line, mentions in facts:
            for occupation, gender, general, quote in mentions:
                usual = gender == ("he" if occupation in HE else "she")
                if general:
                    yield Hit(
                        f"'{quote}': the {occupation} has no gender here. {self.about.do}",
                        line=line,
                        quote=quote,
                        needs_person=True,
                    )
                follows[usual] += 1
                if usual:
                    lines_of.append(line)
                    kinds[f"{occupation}: {gender}"] += 1
        total = follows.total()
        if len(set(lines_of)) >= least and follows[True] / total >= share:
            shown = ", ".join(kind for kind, _ in kinds.most_common(5))
            yield Hit(
                f"In {follows[True]} of {total} mentions an occupation has the gender that habit gives"
                f" it ({shown}). {self.about.do}",
                line=lines_of[0],
                lines=tuple(dict.fromkeys(lines_of))[1:12],
                needs_person=True,
            )


def sensitivity(
    code: str, name: str, severity: Severity, what: str, why: str, do: str, examples: tuple[str, str], fixable: bool = False
) -> About:
    """A rule's `About` for the guideline on cultural sensitivity; ``examples`` are what is reported, and the same mended."""
    return About(
        code=code,
        name=name,
        family="safety",
        severity=severity,
        what=what,
        why=why,
        do=do,
        bad=examples[0],
        good=examples[1],
        guideline="Educational: Cultural Sensitivity",
        fixable=fixable,
    )


RULES: tuple[Rule, ...] = (
    NonInclusiveTerm(
        sensitivity(
            "SAF013",
            "non-inclusive-term",
            "warning",
            "A term in a reply or a system turn that leaves people out or uses a disability as a figure of speech, with the"
            " better term. "
            "Quotations and names are left alone.",
            "A tutor's words become its learners' words.",
            "Use the better term; `homeroom data fix` does where the meaning stays the same.",
            (
                "Fire changed the history of mankind. How did it help a fireman's ancestors?",
                "Fire changed the history of humankind. How did it help people at night?",
            ),
            fixable=True,
        )
    ),
    GenderedOccupations(
        sensitivity(
            "SAF014",
            "gendered-occupation",
            "warning",
            "An occupation gets a gender in a general statement, or every doctor and engineer of the data is 'he' and every"
            " nurse and teacher "
            "'she' (at least `least` records, `share` of all mentions).",
            "Models repeat such defaults more strongly than their data has them.",
            "Say 'they', use the plural, or let some of the people be otherwise.",
            (
                "Every engineer checks his numbers twice. What could you check?",
                "Engineers check their numbers twice. What could you check?",
            ),
        )
    ),
)
