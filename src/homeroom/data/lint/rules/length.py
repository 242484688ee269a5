"""Lengths of replies, compared with replies to the same type of question."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import median

from homeroom.data.lint.model import About, Hit, Options, Record
from homeroom.data.lint.rules.text_turns import replies

LEAST = 20
Lengths = tuple[int, tuple[int, ...]]  # line, words of each reply
_TO_SIGMA = 1.4826  # the median absolute deviation of a normal distribution, times this, is its standard deviation
_FLOOR = 0.2  # in a file whose replies are all of one length, a fifth more or less is no outlier


class LengthOutlier:
    """Robust z-score of the logarithm of a reply's words."""

    about = About(
        code="CNS003",
        name="length-outlier",
        family="consistency",
        severity="warning",
        what="A reply is far longer or shorter than those to the same type of question.",
        why="A tuned model learns how long to speak; a few essays among short replies make it ramble.",
        do="Cut it, split it over several turns, or say more.",
        bad="repeat: 24\nlearner: Is {n} even?\ntutor: Share {n} into two rows, one by one. What do you see at the end?\n---\n"
        "learner: Is 31 even?\ntutor: "
        + "Think about what it means to share things into two rows and how each thing finds a partner. "
        * 8,
        good="repeat: 24\nlearner: Is {n} even?\ntutor: Share {n} into two rows, one by one. What do you see at the end?",
        guideline="Consistency: Length",
    )

    def fact(self, record: Record, options: Options) -> tuple[str, tuple[int, ...]] | None:
        """Group (task and type of question) and the words of each reply."""
        counts = tuple(len(text.content.split()) for _, text in replies(record))
        return (f"{record.example.task}|{record.metadata.get('question_type') or ''}", counts) if counts else None

    def judge(self, facts: Sequence[tuple[int, tuple[str, tuple[int, ...]]]], options: Options) -> Iterator[Hit]:
        """Records beyond both the z-score and the factor, within their group or, where that is small, their task."""
        tasks: dict[str, list[Lengths]] = defaultdict(list)
        groups: dict[str, list[Lengths]] = defaultdict(list)
        for line, (group, counts) in facts:
            tasks[group.partition("|")[0]].append((line, counts))
            groups[group].append((line, counts))
        limit, factor = options.value("CNS003", "z", 4.0), options.value("CNS003", "factor", 3.0)
        for group, members in groups.items():
            task, _, kind = group.partition("|")
            if len(members) >= LEAST:
                yield from _outliers(members, members, kind, limit, factor, child=task == "learner")
            elif len(tasks[task]) >= LEAST:
                yield from _outliers(tasks[task], members, "", limit, factor, child=task == "learner")


def _outliers(
    members: Sequence[Lengths], judged: Sequence[Lengths], kind: str, limit: float, factor: float, *, child: bool
) -> Iterator[Hit]:
    logs = [math.log(max(count, 0.5)) for _, counts in members for count in counts]
    middle = median(logs)
    spread = max(_TO_SIGMA * median(abs(value - middle) for value in logs), _FLOOR)
    usual = math.exp(middle)
    for line, counts in judged:
        far = max(counts) if child else max(counts, key=lambda count: abs(math.log(max(count, 0.5)) - middle))
        z = (math.log(max(far, 0.5)) - middle) / spread
        # A child may answer in one word; a tutor who does says too little.
        if abs(z) <= limit or (child and z < 0) or max(far / usual, usual / max(far, 0.5)) < factor:
            continue
        what = f"{kind} questions" if kind else "the others"
        advice = "Cut it, or split it over several turns." if z > 0 else "Say more."
        many = "s" if far != 1 else ""
        yield Hit(f"A reply of {far} word{many}, where replies to {what} here have about {usual:.0f}. {advice}", line=line)
