"""The same problem, question or passage on both sides of a split."""

from __future__ import annotations

import copy
import random
import re

from tests.data.planted.plant import Planted, kind, prompts, replies
from tests.data.planted.sources import Record, Sources


def _corpus(sources: Sources, rng: random.Random) -> tuple[list[Record], Record]:
    """Clean records of both splits, and one of MathDial in training."""
    record = sources.mathdial(rng)
    others = sources.many(rng, 6)
    for other in others:
        other["metadata"]["split"] = rng.choice(("train", "test"))
    record["metadata"]["split"] = "train"
    return others, record


def _both(others: list[Record], record: Record, twin: Record, rng: random.Random, what: str, subtle: bool = False) -> Planted:
    twin["metadata"]["split"] = rng.choice(("test", "validation"))
    lines = [record, *others, twin] if rng.random() < 0.5 else [twin, *others, record]
    return Planted(lines, (1, len(lines)), what, subtle=subtle)


@kind("same-problem")
def same_problem(sources: Sources, rng: random.Random, number: int) -> Planted:
    others, record = _corpus(sources, rng)
    twin = copy.deepcopy(record)
    opening = prompts(twin)[0]
    problem, _, _ = opening["content"].partition("\n\nMy solution:")
    if number % 3 == 1:
        opening["content"] = f"{problem}\n\nMy solution: I added everything and got {rng.randint(3, 90)}."
    elif number % 3 == 2:
        opening["content"] = problem.upper() if number % 2 else re.sub(r"[.,]", "", problem)
    twin["messages"] = twin["messages"][:2]
    replies(twin)[0]["content"] = "Tell me what each number stands for."
    return _both(others, record, twin, rng, problem[:70], subtle=number % 3 > 0)


@kind("near-problem")
def near_problem(sources: Sources, rng: random.Random, number: int) -> Planted:
    """Other numbers, another name, or a sentence said otherwise."""
    others, record = _corpus(sources, rng)
    twin = copy.deepcopy(record)
    opening = prompts(twin)[0]
    problem, _, _ = opening["content"].partition("\n\nMy solution:")
    changed = re.sub(r"\d+", lambda m: str(int(m[0]) + rng.randint(1, 7)), problem)
    if number % 2:
        names = [
            n
            for n in re.findall(r"\b[A-Z][a-z]{2,}\b", problem)
            if n not in ("The", "How", "What", "After", "If", "Each", "Every", "When", "Then", "There")
        ]
        if names:
            changed = changed.replace(names[0], rng.choice(("Kofi", "Ines", "Tariq", "Mei")))
    if number % 5 == 4:
        changed = changed.replace("How many", "Find out how many").replace("How much", "Find out how much")
    opening["content"] = f"{changed}\n\nMy solution: I think it is {rng.randint(3, 90)}."
    twin["messages"] = twin["messages"][:2]
    replies(twin)[0]["content"] = "Which number did you begin with?"
    return _both(others, record, twin, rng, changed[:70], subtle=number % 2 == 1)


@kind("question-shown")
def question_shown(sources: Sources, rng: random.Random, number: int) -> Planted:
    others, record = _corpus(sources, rng)
    question = " ".join(prompts(record)[0]["content"].partition("\n\nMy solution:")[0].split())
    label, answer = (("Q", "A"), ("Question", "Answer"), ("Student", "Tutor"), ("Input", "Output"), ("Learner", "Reply"))[
        number % 5
    ]
    shown = f"You are a tutor.\n\n{label}: {question}\n{answer}: What do you know already?\n"
    record["metadata"]["split"] = "test"
    if number % 2:
        record["messages"].insert(0, {"role": "system", "content": shown})
        return Planted([*others, record], (len(others) + 1,), question[:70])
    other = others[0]
    other["metadata"]["split"] = "train"
    if other["messages"][0]["role"] == "system":
        other["messages"].pop(0)
    other["messages"].insert(0, {"role": "system", "content": shown})
    return Planted([*others, record], (1, len(others) + 1), question[:70], subtle=True)


@kind("shared-passage")
def shared_passage(sources: Sources, rng: random.Random, number: int) -> Planted:
    others, record = _corpus(sources, rng)
    other = others[-1]
    other["metadata"]["split"] = "test"
    passage = " ".join(sources.story(rng).split()[: rng.randint(24, 60)])
    if number % 2:
        record["context"], other["context"] = [passage], [f"Once more. {passage}"]
    else:
        replies(record)[-1]["content"] += f" {passage}."
        replies(other)[-1]["content"] = f"Listen: {passage}. {replies(other)[-1]['content']}"
    return Planted([record, *others], (1, len(others) + 1), passage[:70], subtle=number % 2 == 0)
