"""Lengths of replies, compared with replies to the same type of question."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import median

from homeroom.data.lint.model import About, Hit, Options, Record
from homeroom.data.lint.rules.text_turns import replies

LEAST = 20
_TO_SIGMA = 1.4826  # the median absolute deviation of a normal distribution, times this, is its standard deviation
_FLOOR = 0.2  # in a file whose replies are all of one length, a fifth more or less is no outlier


class LengthOutlier:
    """Robust z-score of the logarithm of the mean words per reply."""

    about = About(
        code="CNS003",
        name="length-outlier",
        family="consistency",
        severity="warning",
        what="A record's replies are far longer or shorter than those to the same type of question.",
        why="A tuned model learns how long to speak; a few essays among short replies make it ramble.",
        do="Cut it, split it over several turns, or say more.",
        bad="repeat: 24\nlearner: Is {n} even?\ntutor: Share {n} into two rows, one by one. What do you see at the end?\n---\n"
        "learner: Is 31 even?\ntutor: "
        + "Think about what it means to share things into two rows and how each thing finds a partner. "
        * 8,
        good="repeat: 24\nlearner: Is {n} even?\ntutor: Share {n} into two rows, one by one. What do you see at the end?",
        guideline="Consistency: Length",
    )

    def fact(self, record: Record, options: Options) -> tuple[str, float] | None:
        """Group (task and type of question) and words per reply."""
        counts = [len(text.content.split()) for _, text in replies(record)]
        if not counts:
            return None
        return (f"{record.example.task}|{record.metadata.get('question_type') or ''}", sum(counts) / len(counts))

    def judge(self, facts: Sequence[tuple[int, tuple[str, float]]], options: Options) -> Iterator[Hit]:
        """Records beyond both the z-score and the factor, within their group or, where that is small, their task."""
        tasks: dict[str, list[tuple[int, float]]] = defaultdict(list)
        groups: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for line, (group, length) in facts:
            tasks[group.partition("|")[0]].append((line, length))
            groups[group].append((line, length))
        limit, factor = options.value("CNS003", "z", 4.0), options.value("CNS003", "factor", 3.0)
        for group, members in groups.items():
            task, _, kind = group.partition("|")
            if len(members) >= LEAST:
                yield from _outliers(members, members, kind, limit, factor)
            elif len(tasks[task]) >= LEAST:
                yield from _outliers(tasks[task], members, "", limit, factor)


def _outliers(
    members: Sequence[tuple[int, float]], judged: Sequence[tuple[int, float]], kind: str, limit: float, factor: float
) -> Iterator[Hit]:
    logs = [math.log(max(length, 0.5)) for _, length in members]
    middle = median(logs)
    spread = max(_TO_SIGMA * median(abs(value - middle) for value in logs), _FLOOR)
    usual = math.exp(middle)
    for line, length in judged:
        z = (math.log(max(length, 0.5)) - middle) / spread
        if abs(z) <= limit or max(length / usual, usual / max(length, 0.5)) < factor:
            continue
        what = f"{kind} questions" if kind else "records"
        advice = "Cut or split it." if z > 0 else "Say more."
        yield Hit(f"{length:.0f} words per reply, where {what} here have about {usual:.0f}. {advice}", line=line)
