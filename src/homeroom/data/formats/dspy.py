"""DSPy: ``{"input": {...}, "output": {...}}`` with the fields of a signature.

The question and the reply become turns; ``context`` and ``history`` keep their meaning; every other field is remembered under the
record's ``fields``, so that the same signature is written again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from homeroom.data.formats.base import RecordFormat, Written, alternates, beside, dialogue, parts
from homeroom.data.metadata import FIELDS, problems
from homeroom.schema.examples import Example, Json

_QUESTIONS = (
    "learner_answer",  # stands beside a question, and is what the reply is about
    "teacher_reply",
    "question",
    "query",
    "prompt",
    "input",
    "message",
    "student_question",
    "student_message",
    "problem",
    "instruction",
    "text",
)
_ANSWERS = (
    *("answer", "response", "reply", "output", "completion", "tutor_response", "explanation", "result", "feedback"),
    "situation",  # of a scenario
)
_LAST = "topic"  # what is asked about where nothing else is a text: metadata otherwise
_COPIED = tuple(name for name in FIELDS if name not in ("split", "lint_ignore", "id", "origin"))


def _matches(record: Json) -> bool:
    return isinstance(record.get("input"), dict) and isinstance(record.get("output"), dict)


def _read(record: Json) -> Iterable[Json]:
    given = record["input"]
    inputs, outputs = dict(given), dict(record["output"])
    rest = beside(record, "input", "output", "system")
    named = rest.pop("fields", None)
    named = dict(named) if isinstance(named, dict) else {}
    asks = _key(inputs, named.get("question"), _QUESTIONS)
    says = _key(outputs, named.get("answer"), _ANSWERS)
    question, answer = inputs.pop(asks, None), outputs.pop(says, None)
    fields: Json = {key: value for key, value in named.items() if key not in ("question", "answer", "input", "output", "json")}
    fields |= {"question": asks} if asks != "question" else {}
    fields |= {"answer": says} if says != "answer" else {}
    if answer is not None and not isinstance(answer, str):  # a number, a list: the model writes it as JSON
        answer, fields["json"] = json.dumps(answer, ensure_ascii=False), True
    messages: list[Json] = [{"role": "system", "content": record["system"]}] if record.get("system") else []
    history = _history(inputs.get("history"), asks, says)
    if history is not None:
        del inputs["history"]
        messages += history
    messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    read: Json = {"messages": messages, **rest}
    context = inputs.get("context")
    if isinstance(context, list) and context and all(isinstance(passage, str) for passage in context) and "context" not in rest:
        read["context"] = inputs.pop("context")
    fields |= {"input": inputs} if inputs else {}
    fields |= {"output": outputs} if outputs else {}
    copied = {key: given[key] for key in _COPIED if isinstance(given.get(key), str | int)}
    if "language" in copied and any(problems({"language": copied["language"]})):  # a field of that name: "English", no tag
        del copied["language"]
    metadata = rest.get("metadata")
    if copied and (metadata is None or isinstance(metadata, dict)):
        read["metadata"] = {**copied, **(metadata or {})}
    if fields:
        read["fields"] = fields
    return (read,)


def _key(values: Mapping[str, Any], named: object, usual: tuple[str, ...]) -> str:
    """Which field holds the question (or the reply): the one that is named, a usual one, or the first text."""
    if isinstance(named, str) and named in values:
        return named
    found = next((name for name in usual if name in values), None)
    if found is not None:
        return found
    texts = [key for key, value in values.items() if isinstance(value, str) and key not in ("context", *FIELDS)]
    if texts:
        return texts[0]
    return _LAST if _LAST in values else usual[0]


def _history(value: object, asks: str, says: str) -> list[Json] | None:
    """Earlier turns from DSPy's History: a list of ``{question, answer}``, alone or under ``messages``; None when it is not."""
    pairs = value.get("messages") if isinstance(value, dict) and set(value) == {"messages"} else value
    if not isinstance(pairs, list) or not pairs:
        return None
    turns: list[Json] = []
    for pair in pairs:
        if not isinstance(pair, dict) or set(pair) != {asks, says} or not all(isinstance(v, str) for v in pair.values()):
            return None
        turns += [{"role": "user", "content": pair[asks]}, {"role": "assistant", "content": pair[says]}]
    return turns


def _write(example: Example) -> Written:
    system, turns, dropped = dialogue(example.messages)
    if not alternates(turns):
        return Written(None, ("examples whose turns do not alternate",))
    rest = parts(example)
    given = rest.pop("fields", None)
    fields = dict(given) if isinstance(given, dict) else {}
    asks, says = str(fields.pop("question", "question")), str(fields.pop("answer", "answer"))
    inputs, outputs = _mapping(fields.pop("input", None)), _mapping(fields.pop("output", None))
    reply: Any = turns[-1].content
    if fields.pop("json", False):
        with suppress(ValueError):  # it was edited, and is a text now
            reply = json.loads(reply)
    pairs = [{asks: turns[i].content, says: turns[i + 1].content} for i in range(0, len(turns) - 2, 2)]
    context = {"context": rest.pop("context")} if "context" in rest and "context" not in inputs else {}
    for key in ("tools", "parallel_tool_calls", "input", "output", "system"):
        if rest.pop(key, None) is not None:
            dropped.append(key)
    record: Json = {
        "input": {asks: turns[-2].content, **context, **({"history": {"messages": pairs}} if pairs else {}), **inputs},
        "output": {says: reply, **outputs},
        **({"system": system} if system else {}),
        **rest,
        **({"fields": fields} if fields else {}),
    }
    if (asks, says) != (_key(record["input"], None, _QUESTIONS), _key(record["output"], None, _ANSWERS)):
        record["fields"] = {**fields, "question": asks, "answer": says}
    return Written(record, tuple(dropped))


def _mapping(value: object) -> Json:
    return dict(value) if isinstance(value, dict) else {}


FORMAT = RecordFormat("dspy", "DSPy's input and output fields", _matches, _read, _write, "weights, names and tools of turns")
