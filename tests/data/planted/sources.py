"""Real records to plant defects in: MathDial's dialogues and the bundled course, converted here and nowhere else.

Nothing of `homeroom.data.lint` is imported by this folder: who plants must not know what is looked for.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import os
import random
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
COURSE = ROOT / "src" / "homeroom" / "data" / "course"
Record = dict  # JSON


def shared_data() -> Path | None:
    """The folder with third-party data, or None where it is absent."""
    named = os.environ.get("HOMEROOM_SHARED_DATA")
    path = Path(named) if named else ROOT.parent / "shared" / "data"
    return path if (path / "mathdial" / "dialogues.jsonl").is_file() else None


def is_odd(line: str) -> bool:
    """Whether a dialogue is of the half that precision is sampled from: by the first 200 characters of its line."""
    return int(hashlib.sha256(line[:200].encode()).hexdigest(), 16) % 2 == 1


class Sources:
    """Records by where they come from; every call gives a copy that may be changed."""

    def __init__(self, shared: Path) -> None:
        lines = (shared / "mathdial" / "dialogues.jsonl").read_text("utf-8").splitlines()
        self._mathdial = [r for r in (_tutor(json.loads(line)) for line in lines if not is_odd(line)) if r]
        self._course = [
            json.loads(line)
            for path in sorted(COURSE.glob("tutor_*.jsonl"))
            for line in path.read_text("utf-8").splitlines()
            if line.strip()
        ]
        self._texts = [json.loads(line) for line in (shared / "onestop" / "texts.jsonl").read_text("utf-8").splitlines()]
        self._stories = [
            json.loads(line)["text"] for line in (shared / "fairytaleqa" / "sections.jsonl").read_text("utf-8").splitlines()
        ]

    def mathdial(self, rng: random.Random) -> Record:
        return copy.deepcopy(rng.choice(self._mathdial))

    def course(self, rng: random.Random, **wanted: object) -> Record:
        fitting = [r for r in self._course if all(r["metadata"].get(k) == v for k, v in wanted.items())]
        return copy.deepcopy(rng.choice(fitting))

    def any(self, rng: random.Random) -> Record:
        return self.mathdial(rng) if rng.random() < 0.5 else self.course(rng)

    def many(self, rng: random.Random, count: int, *, of: str = "course") -> list[Record]:
        pool = self._course if of == "course" else self._mathdial
        return [copy.deepcopy(r) for r in rng.sample(pool, min(count, len(pool)))]

    def adult_text(self, rng: random.Random, words: int) -> str:
        """The beginning of a newspaper text for advanced readers."""
        text = rng.choice([t["text"] for t in self._texts if t["level"].startswith("Adv")])
        found = re.split(r"(?<=[.!?])\s+", " ".join(text.split()))
        shown: list[str] = []
        for sentence in found[1:]:
            shown.append(sentence)
            if sum(len(s.split()) for s in shown) >= words:
                break
        return " ".join(shown)

    def story(self, rng: random.Random) -> str:
        return " ".join(rng.choice(self._stories).split())


def _tutor(dialogue: Record) -> Record | None:
    turns: list[list[str]] = []
    for part in dialogue["conversation"].split("|EOM|"):
        who, _, text = part.strip().partition(":")
        text = re.sub(r"^\((focus|probing|telling|generic)\)\s*", "", text.strip())
        role = "assistant" if who.strip() == "Teacher" else "user"
        if text and turns and turns[-1][0] == role:
            turns[-1][1] += " " + text
        elif text:
            turns.append([role, text])
    solution = " ".join(dialogue["student_incorrect_solution"].split())
    opening = ["user", f"{dialogue['question'].strip()}\n\nMy solution: {solution}"]
    turns = [opening, *turns[2:]] if len(turns) > 3 and turns[0][0] == "assistant" else []
    while turns and turns[-1][0] != "assistant":
        turns.pop()
    if len(turns) < 2 or any(a[0] == b[0] for a, b in itertools.pairwise(turns)):
        return None
    grade = re.search(r"\b(\d{1,2})(?:st|nd|rd|th) grade", dialogue["student_profile"])
    numbers = re.findall(r"-?\d[\d,]*(?:\.\d+)?", dialogue["ground_truth"])
    return {
        "messages": [{"role": role, "content": text} for role, text in turns],
        "metadata": {
            "task": "tutor",
            "subject": "mathematics",
            "topic": f"mathdial-{dialogue['qid']}",
            "source": "mathdial",
            "licence": "CC BY-SA 4.0",
            "consent": "not-required",
            "language": "en",
            "question_type": "analytical",
            "scenario": "diagnose",
            **({"grade": int(grade[1])} if grade else {}),
        },
        "reference": {
            "answer": numbers[-1].replace(",", "") if numbers else "",
            "claim_is_correct": False,
            "solution": dialogue["ground_truth"],
        },
    }
