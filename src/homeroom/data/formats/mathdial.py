"""Reader for MathDial's dialogues (Macina et al. 2023): one record becomes one tutor and one learner example.

The published file gives a word problem, a student's wrong solution and a conversation whose teacher turns carry a move label.
As a tutor example the teacher's turns are the replies to learn; as a learner example the student's are, and the system turn
carries the problem and the student's own wrong result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from homeroom.data.formats.base import RecordFormat
from homeroom.schema.examples import Json

_MOVE = re.compile(r"^\((focus|probing|telling|generic)\)\s*", re.IGNORECASE)
_GRADE = re.compile(r"\b(\d{1,2})(?:st|nd|rd|th) grade")
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:/\d+)?")


def records(record: Json) -> Iterator[Json]:
    """A tutor and a learner record; neither where the conversation has no usable turn."""
    turns = _turns(str(record.get("conversation", "")))
    grade = _GRADE.search(str(record.get("student_profile", "")))
    claim, answer = _last_number(record.get("student_incorrect_solution")), _last_number(record.get("ground_truth"))
    metadata = {
        "subject": "mathematics",
        "topic": f"mathdial-{record.get('qid')}",
        "source": "mathdial",
        "licence": "CC BY-SA 4.0",
        "consent": "not-required",
        "language": "en",
        "question_type": "analytical",
        "scenario": "diagnose",
        **({"grade": int(grade[1])} if grade else {}),
    }
    reference = {
        "answer": answer,
        "claim": claim,
        "claim_is_correct": False,
        "solution": record.get("ground_truth", ""),
    }
    tutor = _tutor(record, turns)
    if tutor:
        yield {"messages": tutor, "metadata": {**metadata, "task": "tutor"}, "reference": reference}
    learner = _learner(record, turns, claim)
    if learner:
        yield {
            "messages": learner,
            "metadata": {**metadata, "task": "learner", "scenario": "practice"},
            "reference": reference,
        }


def _turns(conversation: str) -> list[tuple[str, str]]:
    """(``teacher`` | ``student``, text), with neighbouring turns of one speaker joined."""
    turns: list[tuple[str, str]] = []
    for part in conversation.split("|EOM|"):
        speaker, _, text = part.strip().partition(":")
        text = _MOVE.sub("", text.strip())
        if not text:
            continue
        role = "teacher" if speaker.strip().lower() == "teacher" else "student"
        if turns and turns[-1][0] == role:
            turns[-1] = (role, f"{turns[-1][1]} {text}")
        else:
            turns.append((role, text))
    return turns


def _tutor(record: Json, turns: list[tuple[str, str]]) -> list[Json]:
    """The student's own solution opens; the teacher's turns after it are the replies."""
    solution = " ".join(str(record.get("student_incorrect_solution", "")).split())
    opening = f"{str(record.get('question', '')).strip()}\n\nMy solution: {solution}"
    messages: list[Json] = [{"role": "user", "content": opening}]
    # The teacher's greeting and the student's restatement of the solution say nothing new: start after them.
    start = 2 if len(turns) > 2 and turns[0][0] == "teacher" else 0
    for role, text in turns[start:]:
        wire = "assistant" if role == "teacher" else "user"
        if messages[-1]["role"] == wire:
            messages[-1]["content"] += f" {text}"
        else:
            messages.append({"role": wire, "content": text})
    return _closed(messages)


def _learner(record: Json, turns: list[tuple[str, str]], claim: str | None) -> list[Json]:
    """The teacher speaks first; the student's turns are the replies."""
    name = str(record.get("student_profile", "The student")).split(" ", 1)[0]
    system = (
        f"You are {name}, a student talking with your teacher. The task: {str(record.get('question', '')).strip()} "
        f"Your mistake: {str(record.get('teacher_described_confusion', '')).strip()}. Your answer: {claim}. "
        f"Speak only as {name}, in a few short sentences. "
        "Change your mind only when the teacher's question makes you see the problem."
    )
    first = next((i for i, (role, _) in enumerate(turns) if role == "teacher"), len(turns))
    messages: list[Json] = [{"role": "system", "content": system}]
    messages += [{"role": "assistant" if role == "student" else "user", "content": text} for role, text in turns[first:]]
    return _closed(messages) if len(messages) > 2 else []


def _closed(messages: list[Json]) -> list[Json]:
    """Without trailing turns that nobody answers; empty when no reply is left."""
    while messages and messages[-1]["role"] != "assistant":
        messages.pop()
    return messages


def _last_number(text: object) -> str | None:
    found = _NUMBER.findall(str(text or ""))
    return found[-1].replace(",", "") if found else None


def _matches(record: Json) -> bool:
    return "conversation" in record and "student_incorrect_solution" in record


FORMAT = RecordFormat("mathdial", "the published file of MathDial (read only)", _matches, records)
