"""Leakage: what a model has trained on turns up again where it is judged.

Splits are what `Record.split` says: those of the dataset version that is checked, of ``metadata.split``, or of the file's name.
For a set that is chosen later see `homeroom.data.lint.against`, which shows the same rules two files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from homeroom.data.lint.model import About, Hit, Options, Record, Rule
from homeroom.data.lint.rules.leakage_text import (
    RUN,
    demonstrations,
    fingerprints,
    hashes_of,
    key,
    problem,
    similarity,
    sketch,
    template,
    tokens,
)

JUDGED = ("validation", "test")
SHOWN = 10
LONG = 8  # words beside the numbers that make a template one problem and not a kind of sum


def _where(split: str, lines: Sequence[int]) -> str:
    more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return f"{split} (line {', '.join(map(str, lines[:SHOWN]))}{more})"


def _across(members: Sequence[tuple[int, str]], what: str, do: str, skip: Iterable[int] = ()) -> Iterator[Hit]:
    """A hit for each judged member whose problem another split has too; for two judged splits the later one is told."""
    seen: dict[str, list[int]] = defaultdict(list)
    for line, split in members:
        seen[split].append(line)
    if len(seen) < 2:
        return
    left = set(skip)
    home = next(split for split in ("train", *JUDGED, *seen) if split in seen)
    for split, lines in seen.items():
        if split != home:
            for line in lines:
                if line not in left:
                    yield Hit(
                        f"{what} as in {_where(home, seen[home])}, but this is in {split}. {do}",
                        line=line,
                        lines=tuple(seen[home][:SHOWN]),
                    )


@dataclass(frozen=True, slots=True)
class SameProblem:
    """The same words in two splits."""

    about: About

    def fact(self, record: Record, options: Options) -> tuple[str, int] | None:
        """(split, what stands for the problem)."""
        parts = tokens(problem(record)) if record.split else []
        return (record.split, key(parts)) if len(parts) >= 5 else None

    def judge(self, facts: Sequence[tuple[int, tuple[str, int]]], options: Options) -> Iterator[Hit]:
        """One hit for each judged record."""
        groups: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for line, (split, same) in facts:
            groups[same].append((line, split))
        for members in groups.values():
            yield from _across(members, "The same problem", self.about.do)


NearFact = tuple[str, int, int, bytes]


@dataclass(frozen=True, slots=True)
class NearProblem:
    """Other numbers, names or a few other words."""

    about: About

    def fact(self, record: Record, options: Options) -> NearFact | None:
        """(split, the problem, its template or 0, sketch)."""
        if not record.split:
            return None
        text = problem(record)
        parts = template(text)
        words = [part for part in parts if part[0].isalpha()]
        if len(words) < LONG:
            return None
        return record.split, key(tokens(text)), key(parts), sketch(parts)

    def judge(self, facts: Sequence[tuple[int, NearFact]], options: Options) -> Iterator[Hit]:
        """One hit for each judged record, with the training records that are like it."""
        least = float(options.value(self.about.code, "similarity", 0.55))
        exact: dict[int, set[str]] = defaultdict(set)
        for _, (split, same, _, _) in facts:
            exact[same].add(split)
        homes = [(line, fact) for line, fact in facts if fact[0] not in JUDGED]
        posed = [(line, fact) for line, fact in facts if fact[0] in JUDGED]
        if not homes:  # validation against test
            homes, posed = ([p for p in posed if p[1][0] == split] for split in JUDGED)
        index = _Index(homes)
        for line, (split, same, form, packed) in posed:
            if len(exact[same]) > 1:
                continue
            found = index.like(form, packed, least)
            if found:
                lines = [other for other, _ in found]
                best, share = found[0]
                how = "with other numbers or names" if share >= 1 else f"about {share:.0%} the same words"
                home = homes[0][1][0]
                yield Hit(
                    f"Nearly the problem of {home} line {best} ({how}), but this is in {split}. {self.about.do}",
                    line=line,
                    lines=tuple(lines[:SHOWN]),
                )


class _Index:
    """Training problems by template and by the hashes of their sketches."""

    _COMMON = 200  # a run of words in more problems than this says nothing

    def __init__(self, facts: Sequence[tuple[int, NearFact]]) -> None:
        self._facts = facts
        self._forms: dict[int, list[int]] = defaultdict(list)
        self._hashes: dict[int, list[int]] = defaultdict(list)
        for place, (_, (_, _, form, packed)) in enumerate(facts):
            self._forms[form].append(place)
            for value in hashes_of(packed):
                self._hashes[value].append(place)

    def like(self, form: int, packed: bytes, least: float) -> list[tuple[int, float]]:
        """(line, similarity) of problems at least so similar, the most similar first."""
        same = [(self._facts[place][0], 1.0) for place in self._forms.get(form, ())]
        if same:
            return same
        mine = hashes_of(packed)
        shared: dict[int, int] = defaultdict(int)
        for value in mine:
            places = self._hashes.get(value, ())
            if len(places) <= self._COMMON:
                for place in places:
                    shared[place] += 1
        near = []
        for place, count in shared.items():
            if count * 3 >= least * len(mine):
                share = similarity(mine, hashes_of(self._facts[place][1][3]))
                if share >= least:
                    near.append((self._facts[place][0], share))
        return sorted(near, key=lambda pair: (-pair[1], pair[0]))


DemoFact = tuple[str, tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class QuestionShown:
    """A question that is judged stands in the demonstrations of a prompt."""

    about: About

    def fact(self, record: Record, options: Options) -> DemoFact | None:
        """(split, keys of the question, keys of all demonstrations)."""
        shown = tuple(value for text in demonstrations(record) for value in _keys(text))
        if not shown and record.split not in JUDGED:
            return None
        return record.split, _keys(problem(record)), shown[:64]

    def judge(self, facts: Sequence[tuple[int, DemoFact]], options: Options) -> Iterator[Hit]:
        """One hit for each question that is shown."""
        showing: dict[int, list[int]] = defaultdict(list)
        for line, (_, _, shown) in facts:
            for value in shown:
                showing[value].append(line)
        for line, (split, asked, shown) in facts:
            if set(asked) & set(shown):
                yield Hit(f"The question of this record stands in its own demonstrations. {self.about.do}", line=line)
            elif split in JUDGED:
                others = sorted({other for value in asked for other in showing.get(value, ()) if other != line})
                if others:
                    places = _where("the prompt of", others).replace("(line", "line").rstrip(")")
                    yield Hit(
                        f"This question of {split} stands in the demonstrations in {places}. {self.about.do}",
                        line=line,
                        lines=tuple(others[:SHOWN]),
                    )


def _keys(text: str) -> tuple[int, ...]:
    """Of the words themselves and, where they are many, of their template."""
    parts = tokens(text)
    if len(parts) < 4:
        return ()
    form = template(text)
    long = sum(part[0].isalpha() for part in form) >= LONG
    return (key(parts), key(["#", *form])) if long else (key(parts),)


PassageFact = tuple[str, int, bytes]


@dataclass(frozen=True, slots=True)
class SharedPassage:
    """A long run of the same words in what is learned and in what is judged."""

    about: About

    def fact(self, record: Record, options: Options) -> PassageFact | None:
        """(split, the problem, fingerprints of replies, context and solution)."""
        if not record.split:
            return None
        texts = [text.content for _, _, text in record.turns("assistant")]
        texts += [*record.example.context, str(record.example.reference.get("solution") or "")]
        packed = b"".join(fingerprints(tokens(text)) for text in texts)
        return (record.split, key(tokens(problem(record))), packed) if packed else None

    def judge(self, facts: Sequence[tuple[int, PassageFact]], options: Options) -> Iterator[Hit]:
        """One hit for each judged record; stock sentences of many records do not count."""
        stock = int(options.value(self.about.code, "stock", 5))
        places: dict[int, set[int]] = defaultdict(set)
        problems: dict[int, int] = {}
        for line, (split, same, packed) in facts:
            problems[line] = same
            if split not in JUDGED:
                for value in set(hashes_of(packed)):
                    places[value].add(line)
        for line, (split, same, packed) in facts:
            if split in JUDGED:
                near = (places[value] for value in set(hashes_of(packed)) if 0 < len(places.get(value, ())) <= stock)
                lines = sorted({other for found in near for other in found if problems[other] != same})
                if lines:
                    yield Hit(
                        f"{RUN} words or more in a row stand in {_where('train', lines)} too, but this is"
                        f" in {split}. "
                        f"{self.about.do}",
                        line=line,
                        lines=tuple(lines[:SHOWN]),
                    )


_BOTH = "Put both into one split (`homeroom data split` groups them), or take one out."
_WHY = "The model has seen the answer, so that its score says how well it remembers and not how well it teaches."
_TRAIN = "metadata: subject=mathematics, grade=4, split=train\n"
_TEST = "metadata: subject=mathematics, grade=4, split=test\n"
_BUS = "learner: A bus has 24 seats and 9 people get on at each stop. When is it full?\ntutor: What do you know already?\n"
_CAR = "learner: A jug holds 2 litres, a cup 250 millilitres. How many cups fill the jug?\ntutor: Which unit will you use?\n"


def _about(code: str, name: str, what: str, do: str, bad: str, good: str, *, error: bool = True) -> About:
    return About(
        code=code,
        name=name,
        family="leakage",
        severity="error" if error else "warning",
        what=what,
        why=_WHY,
        do=do,
        bad=bad,
        good=good,
        guideline="Optimizing: Validation Split",
    )


RULES: tuple[Rule, ...] = (
    SameProblem(
        _about(
            "LEA001",
            "same-problem-in-two-splits",
            "The same problem, in the same words, is in two splits. What the learner writes after it may differ.",
            _BOTH,
            f"{_TRAIN}{_BUS}---\n{_TEST}{_BUS}",
            f"{_TRAIN}{_BUS}---\n{_TEST}{_CAR}",
        )
    ),
    NearProblem(
        _about(
            "LEA002",
            "near-problem-in-two-splits",
            "A problem is in one split, and nearly the same in another: with other numbers or names, or with a few other words "
            "(`similarity` of runs of three words).",
            _BOTH,
            f"{_TRAIN}{_BUS}---\n{_TEST}{_BUS.replace('24', '32').replace('9', '4')}",
            f"{_TRAIN}{_BUS}---\n{_TEST}{_CAR}",
            error=False,
        )
    ),
    QuestionShown(
        _about(
            "LEA003",
            "question-in-demonstrations",
            "A question that is judged, or the record's own question, stands with its answer in the demonstrations of a prompt.",
            "Take the demonstration out, or choose it from the training split.",
            "system: Guide the learner.\nQuestion: How many edges does a cube have?\nAnswer: Count the top first.\n"
            "learner: How many edges does a cube have?\ntutor: Count the edges of the top. What is next?",
            "system: Guide the learner.\nQuestion: How many corners does a prism have?\nAnswer: Count the top first.\n"
            "learner: How many edges does a cube have?\ntutor: Count the edges of the top. What is next?",
        )
    ),
    SharedPassage(
        _about(
            "LEA004",
            "shared-passage",
            f"A run of {RUN} words or more of a training reply, context or solution stands in a record that is"
            f" judged. Sentences "
            "that more than `stock` training records share do not count.",
            "Write one of them anew, or put both records into one split.",
            f"{_TRAIN}{_BUS}Try it with a table: write the number of the stop on the left and the people in the bus on the"
            f" right.\n---\n"
            f"{_TEST}{_CAR}Try it with a table: write the number of the stop on the left and the people in the bus on the right.",
            f"{_TRAIN}{_BUS}Try it with a table: write the number of the stop on the left and the people in the bus on the"
            f" right.\n---\n"
            f"{_TEST}{_CAR}Draw the jug and mark a quarter of a litre on its side. How far up is half?",
            error=False,
        )
    ),
)
