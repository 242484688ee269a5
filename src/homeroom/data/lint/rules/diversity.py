"""Diversity: what a file covers, what it leaves out, and how its replies begin."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from homeroom.data.lint.model import About, Hit, Options, Record, Rule
from homeroom.data.lint.rules.edge_cases import EDGE_CASES, edge_cases
from homeroom.data.lint.rules.text_turns import tutor_replies
from homeroom.data.metadata import GRADE_BANDS, grade_band, parse_grade

Cell = tuple[str, ...]
FIELDS = ("subject", "grade_band", "question_type", "scenario")
QUESTION_TYPES = ("factual", "conceptual", "analytical")
LEAST = 50  # examples: a smaller file cannot cover everything
LEAST_EXPECTED = 5.0  # a hole counts where chance alone would leave it empty less than once in a hundred files (e to the -5)
_NAMES = {"grade_band": "grades {}", "question_type": "{} questions", "scenario": "the scenario {}", "subject": "the subject {}"}


def cell(record: Record) -> Cell:
    """Task, subject, grade band, question type and scenario of a record; empty where the metadata lack it."""
    band = record.metadata.get("grade_band")
    grade = parse_grade(record.metadata.get("grade"))
    if not isinstance(band, str) or band not in GRADE_BANDS:
        band = grade_band(grade) if grade is not None else ""
    values = (str(record.metadata.get(name) or "") for name in ("question_type", "scenario"))
    return (record.example.task, str(record.metadata.get("subject") or ""), band, *values)


def coverage(
    facts: Sequence[tuple[int, Cell]], rows: str = "subject", columns: str = "grade_band"
) -> Mapping[tuple[str, str], int]:
    """How many records have each pair of two of `FIELDS`: a matrix for a report. Records without one of the values are left out.

    Args:
        facts: Of `CoverageHole`: (line, cell).
        rows: Name of a field.
        columns: Name of another.
    """
    first, second = 1 + FIELDS.index(rows), 1 + FIELDS.index(columns)
    pairs = Counter((fact[first], fact[second]) for _, fact in facts)
    return {pair: count for pair, count in sorted(pairs.items()) if all(pair)}


class CoverageHole:
    """A combination of subject, grade band, question type and scenario that is missing though its parts are frequent."""

    about = About(
        code="DIV001",
        name="coverage-hole",
        family="diversity",
        severity="info",
        what="A combination of subject, grade band, question type and scenario has no example, though each of its parts has "
        "many; or one "
        "of the three types of question is missing altogether.",
        why="A tuned model guesses where it has seen nothing, and it does not say so.",
        do="Write examples for the combination, or say in the data card that it is left out on purpose.",
        bad="repeat: 20\nmetadata: subject=science, grade_band=3-5, question_type=factual\nlearner: What is {n}?\ntutor: Look "
        "at {n}.\n---\n"
        "repeat: 20\nmetadata: subject=history, grade_band=6-8, question_type=conceptual\nlearner: Why is {n}?\ntutor: Read "
        "{n}.\n---\n"
        "repeat: 20\nmetadata: subject=history, grade_band=3-5, question_type=analytical\nlearner: How is {n}?\ntutor: Try {n}.",
        good="repeat: 5\nmetadata: subject=science, grade_band=3-5, question_type=factual\nlearner: What is {n}?\ntutor: Look "
        "at {n}.",
        guideline="Diversity: Cover All Topics",
    )

    def fact(self, record: Record, options: Options) -> Cell:
        """The record's cell."""
        return cell(record)

    def judge(self, facts: Sequence[tuple[int, Cell]], options: Options) -> Iterator[Hit]:
        """One hit for each hole, for tutor's and learner's records apart."""
        least = options.value("DIV001", "expected", LEAST_EXPECTED)
        for task in sorted({fact[0] for _, fact in facts}):
            counts = Counter(fact[1:] for _, fact in facts if fact[0] == task)
            yield from _missing_types(task, counts)
            for first in range(len(FIELDS)):
                for second in range(first + 1, len(FIELDS)):
                    yield from _holes(task, counts, first, second, least)


def _missing_types(task: str, counts: Counter[Cell]) -> Iterator[Hit]:
    kinds: Counter[str] = Counter()
    for values, count in counts.items():
        kinds[values[2]] += count
    known = sum(count for kind, count in kinds.items() if kind)
    missing = [kind for kind in QUESTION_TYPES if not kinds[kind]]
    if known >= LEAST and missing and len(missing) < len(QUESTION_TYPES):
        held = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common() if kind)
        yield Hit(f"No {task} example asks a {' or a '.join(missing)} question; there are {held}. Write some of each type.")


def _holes(task: str, counts: Counter[Cell], first: int, second: int, least: float) -> Iterator[Hit]:
    """Pairs of two fields' values without an example, where the sums of row and column promise ``least`` or more."""
    rows: Counter[str] = Counter()
    columns: Counter[str] = Counter()
    pairs: set[tuple[str, str]] = set()
    for values, count in counts.items():
        if values[first] and values[second]:
            rows[values[first]] += count
            columns[values[second]] += count
            pairs.add((values[first], values[second]))
    total = sum(rows.values())
    if total < LEAST:
        return
    for row in sorted(rows):
        for column in sorted(columns):
            expected = rows[row] * columns[column] / total
            if (row, column) not in pairs and expected >= least:
                yield Hit(
                    f"No {task} example has {_named(first, row)} together with {_named(second, column)}: there are {rows[row]} "
                    f"and {columns[column]} "
                    f"of them, so about {expected:.0f} could be expected. Write some, or say that it is left out on purpose."
                )


def _named(field: int, value: str) -> str:
    return _NAMES[FIELDS[field]].format(value)


class Skew:
    """One value holds nearly all examples of a file that has several."""

    about = About(
        code="DIV002",
        name="skewed-coverage",
        family="diversity",
        severity="info",
        what="One subject, grade band, question type, scenario or topic holds four examples in five.",
        why="A tuned model treats the frequent case as the only one.",
        do="Add examples of the rare values, or train on a sample that is more even.",
        bad="repeat: 90\nmetadata: subject=science, grade_band=3-5\nlearner: What is {n}?\ntutor: Look at {n}.\n---\n"
        "repeat: 4\nmetadata: subject=history, grade_band=3-5\nlearner: Why is {n}?\ntutor: Read {n}.",
        good="repeat: 50\nmetadata: subject=science, grade_band=3-5\nlearner: What is {n}?\ntutor: Look at {n}.\n---\n"
        "repeat: 40\nmetadata: subject=history, grade_band=3-5\nlearner: Why is {n}?\ntutor: Read {n}.",
        guideline="Diversity: Different Scenarios",
    )

    def fact(self, record: Record, options: Options) -> tuple[str, ...]:
        """The record's cell and topic."""
        return (*cell(record), str(record.metadata.get("topic") or ""))

    def judge(self, facts: Sequence[tuple[int, tuple[str, ...]]], options: Options) -> Iterator[Hit]:
        """One hit for each field in which one value holds too much."""
        most, least = options.value("DIV002", "share", 0.8), options.value("DIV002", "least", LEAST)
        for task in sorted({fact[0] for _, fact in facts}):
            for place, name in enumerate((*FIELDS, "topic"), start=1):
                counts = Counter(fact[place] for _, fact in facts if fact[0] == task and fact[place])
                total = sum(counts.values())
                if total < least or len(counts) < 2:
                    continue
                value, count = counts.most_common(1)[0]
                if count > most * total:
                    yield Hit(
                        f"{count} of {total} {task} examples have {name} {value!r}; {len(counts) - 1} other values share the "
                        f"rest "
                        f"(evenness {_evenness(counts):.2f} of 1). Add examples of the others."
                    )


def _evenness(counts: Counter[str]) -> float:
    """Entropy of the shares over its greatest value: 1 when all are equal, near 0 when one holds all (Pielou 1966)."""
    total = sum(counts.values())
    entropy = -sum(count / total * math.log(count / total) for count in counts.values())
    return entropy / math.log(len(counts)) if len(counts) > 1 else 0.0


class MissingEdgeCase:
    """Situations that every tutor meets and no example of the file shows."""

    about = About(
        code="DIV005",
        name="edge-case-missing",
        family="diversity",
        severity="info",
        what="No example of the file shows a situation that every tutor meets: a learner who wants the answer outright, is "
        "frustrated, starts "
        "from a wrong premise, goes off topic, asks for something unsafe, does not know, or is learning the language.",
        why="In a situation that the data leave out, the tuned model falls back on the habits of its base.",
        do="Write a few examples of each.",
        bad="repeat: 100\nlearner: Is {n} even?\ntutor: Share {n} into two rows.",
        good="repeat: 5\nlearner: Is {n} even?\ntutor: Share {n} into two rows.",
        guideline="Diversity: Edge Cases",
    )

    def fact(self, record: Record, options: Options) -> int | None:
        """The situations of a tutor's record, as bits."""
        return edge_cases(record) if record.is_tutor else None

    def judge(self, facts: Sequence[tuple[int, int]], options: Options) -> Iterator[Hit]:
        """One hit that names all that is missing, in a file that is large enough to hold them."""
        held = 0
        for _, bits in facts:
            held |= bits
        missing = [case.words for place, case in enumerate(EDGE_CASES) if not held >> place & 1]
        # One of seven may be missing by chance in a small file; half of them are not.
        if (missing and len(facts) >= options.value("DIV005", "least", 100)) or (len(missing) > 3 and len(facts) >= 40):
            yield Hit(f"None of the {len(facts)} tutor examples shows a learner who {'; '.join(missing)}. Write a few of each.")


_WORDS = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


class FewOpenings:
    """Replies that begin alike."""

    about = About(
        code="DIV006",
        name="few-openings",
        family="diversity",
        severity="warning",
        what="Many of a file's replies begin with the same words: a tenth with the same three, a quarter with two, half with "
        "one.",
        why="The first words of a reply are learnt most surely of all: the tuned model will always begin like that.",
        do="Begin the replies in different ways: with what the learner wrote, with a question, with the next step.",
        bad="repeat: 60\nlearner: Is {n} even?\ntutor: That's a great question about {n}. Share it into two rows.",
        good="repeat: 5\nlearner: Is {n} even?\ntutor: That's a great question about {n}. Share it into two rows.",
        guideline="Diversity: Varied Questions",
    )

    def fact(self, record: Record, options: Options) -> str | None:
        """The first three words of each of a tutor's replies."""
        starts = (" ".join(_WORDS.findall(text.content[:60].lower())[:3]) for _, text in tutor_replies(record))
        return "|".join(start for start in starts if start) or None

    def judge(self, facts: Sequence[tuple[int, str]], options: Options) -> Iterator[Hit]:
        """One hit for each opening that too many replies share, among the first replies of the records and among all."""
        most, least = options.value("DIV006", "share", 0.1), options.value("DIV006", "least", 30)
        told: set[str] = set()
        for which, starts in (
            ("first replies", [(line, fact.partition("|")[0]) for line, fact in facts]),
            ("replies", [(line, start) for line, fact in facts for start in fact.split("|")]),
        ):
            if len(starts) >= least:
                for opening, found in _common(starts, most):
                    if opening not in told:
                        told.add(opening)
                        yield Hit(
                            f"{len(found)} of {len(starts)} {which} begin with '{opening}'. Begin in different ways.",
                            lines=tuple(dict.fromkeys(found))[:20],
                            quote=opening,
                        )


def _common(starts: Sequence[tuple[int, str]], most: float) -> Iterator[tuple[str, list[int]]]:
    """Openings of three words, two or one that more than the share of replies for that length begin with; the longest only."""
    where: dict[str, list[int]] = defaultdict(list)
    for line, start in starts:
        words = start.split()
        for size in range(1, len(words) + 1):
            where[" ".join(words[:size])].append(line)
    told: list[str] = []
    for opening in sorted(where, key=lambda opening: (-opening.count(" "), -len(where[opening]))):
        share = most * (1.0, 2.5, 5.0)[2 - opening.count(" ")]
        if len(where[opening]) > share * len(starts) and not any(longer.startswith(f"{opening} ") for longer in told):
            told.append(opening)
            yield opening, where[opening]


RULES: tuple[Rule, ...] = (CoverageHole(), Skew(), MissingEdgeCase(), FewOpenings())
