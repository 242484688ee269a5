"""The structural rules a record must pass before anything is trained on it.

Each rule has a stable name that appears in every message. `check_record` returns *all* problems of a record.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from homeroom.data import metadata as schema
from homeroom.errors import Problem
from homeroom.schema.examples import PARTS, ROLES, beyond_text, plain_text

RECORD_KEYS = (*PARTS, "tools", "parallel_tool_calls", "functions", "function_call", "rejected", "fields")

# A rule's name, and what a person does about it. The data page of the documentation is generated from this table.
RULES: dict[str, str] = {
    "json-invalid": "The line is not JSON. One whole JSON object belongs on each line.",
    "encoding-invalid": "The line is not UTF-8. Save the file as UTF-8.",
    "line-too-long": "The line has more than 8 MB and was not read. An example is a conversation, not a book: split it.",
    "nesting-too-deep": "Lists and objects are nested more than 64 deep.",
    "number-not-finite": "NaN, Infinity and numbers that are too large cannot be kept.",
    "key-duplicate": "A key stands twice in one object: one of its values would be lost.",
    "character-invalid": "A text holds NUL or half a character, which tokenizers and files cannot hold.",
    "record-not-object": 'The line is JSON but not an object. Wrap it as {"messages": [...]}.',
    "messages-missing": 'The record has no non-empty list under "messages".',
    "message-not-object": 'A message must be an object with "role" and "content".',
    "role-unknown": "The role must be one of system, user, assistant, tool.",
    "content-missing": 'A message has no text under "content".',
    "content-empty": "A message's text is empty or only white space.",
    "role-order": "A system turn comes first; then user and assistant take turns, the user first.",
    "assistant-missing": "Nothing to learn from: the record has no assistant turn.",
    "last-not-assistant": "The record must end with the reply to learn, an assistant turn.",
    "weight-invalid": '"weight" is allowed on assistant turns only and must be 0 or 1; at least one reply needs weight 1.',
    "metadata-invalid": '"metadata" and "reference" must be objects, "context" a list of texts.',
    "grade-invalid": '"grade" must be a whole number from 0 (kindergarten) to 12, or "K".',
    "grade-band-mismatch": '"grade_band" must be one of K-2, 3-5, 6-8, 9-12 and contain the grade.',
    "value-unknown": "A documented metadata key has a value outside its list.",
    "consent-refused": "Whoever this example came from did not consent to training. Remove it.",
    "consent-missing": 'The example comes from a learner: it needs "consent": "granted" before it may train anything.',
    "beyond-text": "A turn calls a tool, is its answer, holds an image or only refuses; tuning here learns texts and refuses it.",
    "key-unknown": 'The key is not part of a record: it is kept, and nothing reads it. Put it under "metadata".',
}


def check_record(record: object, file: str, line: int) -> list[Problem]:
    """All problems of one parsed record, errors and warnings."""
    if not isinstance(record, dict):
        return [Problem(file, line, "record-not-object", f"{RULES['record-not-object']} Found {type(record).__name__}.")]
    found = [Problem(file, line, rule, text) for rule, text in (*_messages(record), *_metadata(record))]
    found += [Problem(file, line, "beyond-text", text, "warning") for text in _beyond_text(record)]
    for key in record:
        if key not in RECORD_KEYS:
            near = difflib.get_close_matches(str(key), RECORD_KEYS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ' Keep it under "metadata" if it matters.'
            found.append(Problem(file, line, "key-unknown", f"{key!r} is not a key of a record.{hint}", "warning"))
    return found


def _messages(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    messages = record.get("messages")
    if not isinstance(messages, list) or not messages:
        yield "messages-missing", f"{RULES['messages-missing']} Keys found: {', '.join(map(repr, record)) or 'none'}."
        return
    whole = True
    for index, message in enumerate(messages):
        for rule, text in _message(message):
            whole = False
            yield rule, f"message {index}: {text}"
    if whole:
        yield from _order([m["role"] for m in messages])
        replies = [m for m in messages if m["role"] == "assistant"]
        if replies and all(m.get("weight") == 0 for m in replies):
            yield "weight-invalid", "every reply has weight 0, so there is nothing to learn. Give one weight 1."


def _message(message: object) -> Iterator[tuple[str, str]]:
    if not isinstance(message, dict):
        yield "message-not-object", RULES["message-not-object"]
        return
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        yield "role-unknown", f"role {role!r} is unknown. {RULES['role-unknown']}"
    calls = role == "assistant" and any(message.get(key) for key in ("tool_calls", "function_call", "refusal"))
    if content is None and calls:
        pass  # a call of a tool says nothing
    elif isinstance(content, list):
        if not all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in content):
            yield "content-missing", 'a part of the content is no object with a "type".'
        elif not plain_text(content).strip() and not calls and not beyond_text(message):
            yield "content-empty", RULES["content-empty"]
    elif not isinstance(content, str):
        yield "content-missing", RULES["content-missing"]
    elif not content.strip() and not calls:
        yield "content-empty", RULES["content-empty"]
    if "weight" in message and (role != "assistant" or isinstance(message["weight"], bool) or message["weight"] not in (0, 1)):
        yield "weight-invalid", f"weight {message['weight']!r} on a {role} turn. {RULES['weight-invalid']}"


def _beyond_text(record: dict[str, Any]) -> Iterator[str]:
    for key, where in (("messages", "message"), ("rejected", "rejected reply, message")):
        turns = record.get(key)
        for index, message in enumerate(turns if isinstance(turns, list) else ()):
            if isinstance(message, dict) and (what := beyond_text(message)):
                more = ": images, audio and files are not taken" if what.startswith("a part") else ""
                yield f"{where} {index} holds {what}, and tuning here writes texts only{more}."


def _order(roles: list[str]) -> Iterator[tuple[str, str]]:
    if "assistant" not in roles:
        yield "assistant-missing", RULES["assistant-missing"]
        return
    talk = roles[1:] if roles[0] == "system" else roles
    expected = "user"
    for index, role in enumerate(talk, start=len(roles) - len(talk)):
        if role == "tool":
            expected = "assistant"  # which has called it, and goes on
            continue
        if role != expected:
            yield "role-order", f"message {index} is a {role} turn where a {expected} turn is expected."
            return
        expected = "assistant" if role == "user" else "user"
    if roles[-1] != "assistant":
        yield "last-not-assistant", RULES["last-not-assistant"]


def _metadata(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, kind in (("metadata", dict), ("reference", dict), ("context", list)):
        if key in record and record[key] is not None and not isinstance(record[key], kind):
            yield "metadata-invalid", f"{key!r} is a {type(record[key]).__name__}. {RULES['metadata-invalid']}"
    reference = record.get("reference")
    truth = reference.get("claim_is_correct") if isinstance(reference, dict) else None
    if truth is not None and not isinstance(truth, bool):
        yield "value-unknown", f"claim_is_correct {truth!r} is neither true nor false."
    tools = record.get("tools")
    if tools is not None and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        yield "metadata-invalid", f"'tools' is {type(tools).__name__}; it must be a list of objects, as OpenAI's format has it."
    if "rejected" in record:
        yield from _rejected(record["rejected"])
    meta = record.get("metadata")
    if not isinstance(meta, dict):
        return
    yield from schema.problems(meta)
    if meta.get("consent") in ("refused", "withdrawn"):
        yield "consent-refused", f"consent is {meta['consent']!r}. {RULES['consent-refused']}"
    elif meta.get("source") == "learner" and meta.get("consent") != "granted":
        yield "consent-missing", RULES["consent-missing"]


def _rejected(messages: object) -> Iterator[tuple[str, str]]:
    """The reply that a preference turns down: turns of the assistant (and its tools)."""
    if not isinstance(messages, list) or not messages:
        yield "messages-missing", "the rejected reply is not a list of messages."
        return
    for index, message in enumerate(messages):
        for rule, text in _message(message):
            yield rule, f"rejected reply, message {index}: {text}"
        if isinstance(message, dict) and message.get("role") in ("system", "user"):
            yield "role-order", f"rejected reply, message {index} is a {message['role']} turn."
