"""Flat records, as the rows of a table: a heading for each part of an example.

    question | answer | system | context | grade | topic | ... | key | claim | solution

Headings that a table cannot hold as they are end in ``:json``; ``metadata.`` and ``reference.`` say where a heading belongs that
would otherwise mean something else. So an example comes back as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from homeroom.data.formats.base import RecordFormat, Unreadable, Written
from homeroom.schema.examples import PARTS, Example, Json

# Field of an example -> the headings it is known by (lower case, letters only).
HEADINGS: Mapping[str, tuple[str, ...]] = {
    "user": ("user", "question", "prompt", "input", "learner", "student", "instruction"),
    "assistant": ("assistant", "answer", "reply", "response", "completion", "output", "tutor", "teacher"),
    "system": ("system", "systemprompt"),
    "context": ("context", "passage"),
}
REFERENCE = {"claim": "claim", "claim_is_correct": "claim_is_correct", "solution": "solution", "key": "answer"}
TRUTH = {"yes": True, "true": True, "1": True, "right": True, "no": False, "false": False, "0": False, "wrong": False}
JSON = ":json"
MESSAGES, HISTORY, RECORD = "messages", "history", "record"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]")  # what spreadsheets drop or change, line ends of old included
_TAKEN = {name for names in HEADINGS.values() for name in names} | {MESSAGES, HISTORY, RECORD, *PARTS}
_TAKEN |= {"conversations", "conversation", "turns"}  # by which records of other formats are known


def places(headings: Iterable[str]) -> dict[str, str]:
    """Field to the heading that holds it, as far as one does."""
    plain = {"".join(c for c in heading.lower() if c.isalpha()): heading for heading in reversed(list(headings))}
    found = {field: next((plain[name] for name in names if name in plain), None) for field, names in HEADINGS.items()}
    return {field: heading for field, heading in found.items() if heading is not None}


def _matches(record: Json) -> bool:
    known = places(name.removesuffix(JSON) for name in record)
    return MESSAGES + JSON in record or {"user", "assistant"} <= known.keys()


def _read(record: Json) -> Iterable[Json]:
    values, exact = _values(record)
    odd = values.pop(RECORD) if RECORD in exact and isinstance(values[RECORD], dict) else {}
    found = places(name for name in values if name not in (MESSAGES, HISTORY))
    messages: Any = values.get(MESSAGES)
    if messages is None:
        history = values.get(HISTORY)
        messages = [{"role": "system", "content": values[found["system"]]}] if "system" in found else []
        messages += history if isinstance(history, list) else []
        messages += [
            {"role": role, "content": values.get(found[role], "") if role in found else ""} for role in ("user", "assistant")
        ]
    read: Json = {"messages": messages}
    metadata: Json = {}
    reference: Json = {}
    for heading, value in values.items():
        if heading in (MESSAGES, HISTORY) or heading in found.values():
            continue
        key = heading if heading.startswith(("metadata.", "reference.", "record.")) else _key(heading)
        if key in REFERENCE:
            reference[REFERENCE[key]] = value if heading in exact else _reference_value(key, value)
        elif key.startswith("reference."):
            reference[heading.removeprefix("reference.")] = value
        elif key.startswith("record."):
            read[heading.removeprefix("record.")] = value
        else:
            metadata[key.removeprefix("metadata.")] = value.strip() if isinstance(value, str) and heading not in exact else value
    if "context" in found:
        context = values[found["context"]]
        read["context"] = context if isinstance(context, list) else [context]
    read |= {key: value for key, value in odd.items() if key not in ("metadata", "reference")}
    for key, plain in (("metadata", metadata), ("reference", reference)):
        more = odd.get(key)
        whole = {**plain, **more} if isinstance(more, dict) else plain
        read |= {key: whole} if whole else {}
    return (read,)


def _values(record: Json) -> tuple[Json, set[str]]:
    """Heading to value, empty cells left out; and which headings were in JSON, so that their values are exact."""
    values: Json = {}
    exact: set[str] = set()
    for heading, value in record.items():
        if heading.endswith(JSON) and isinstance(value, str):
            if not value:
                continue
            try:
                values[heading.removesuffix(JSON)] = json.loads(value)
                exact.add(heading.removesuffix(JSON))
            except (ValueError, RecursionError) as error:
                raise Unreadable("json-invalid", f"the cell under {heading!r} is not JSON: {error}.") from error
        elif not (isinstance(value, str) and not value.strip()) and value is not None:
            values[heading] = value
    return values, exact


def _key(heading: str) -> str:
    return heading.strip().lower().replace(" ", "_").replace("-", "_")


def _reference_value(key: str, value: Any) -> Any:  # whatever the cell holds
    """``claim_is_correct`` as true or false; other keys as they are. A word that is neither stays a text and is reported."""
    return TRUTH.get(value.strip().lower(), value) if key == "claim_is_correct" and isinstance(value, str) else value


def _write(example: Example) -> Written:
    return Written({heading + _suffix(heading, value): _cell(heading, value) for heading, value in _flat(example)})


def _flat(example: Example) -> Iterator[tuple[str, Any]]:
    """Headings with what belongs under them."""
    whole = example.to_dict()
    messages = whole.pop("messages")
    roles = [message["role"] for message in messages]
    bare = all(set(message) == {"role", "content"} and isinstance(message["content"], str) for message in messages)
    start = 1 if roles[0] == "system" else 0
    if bare and len(messages) >= start + 2 and roles[-2:] == ["user", "assistant"]:
        if start:
            yield "system", messages[0]["content"]
        if len(messages) > start + 2:
            yield HISTORY, messages[start:-2]
        yield "question", messages[-2]["content"]
        yield "answer", messages[-1]["content"]
    else:
        yield MESSAGES, messages
    context = whole.pop("context", None)
    if context is not None:
        yield "context", context[0] if len(context) == 1 and isinstance(context[0], str) else context
    odd: Json = {}
    for part in ("metadata", "reference"):
        given = whole.pop(part, {})
        odd |= {part: kept} if (kept := {key: value for key, value in given.items() if not _is_heading(key)}) else {}
        for key, value in given.items():
            if _is_heading(key):
                yield _heading(part, key), value
    for key, value in whole.items():
        if _is_heading(key):
            yield f"record.{key}", value
        else:
            odd[key] = value
    if odd:
        yield RECORD, odd


def _heading(part: str, key: str) -> str:
    if part == "reference":
        return next((heading for heading, field in REFERENCE.items() if field == key), f"reference.{key}")
    return key if _is_safe(key) else f"metadata.{key}"


def _is_heading(key: str) -> bool:
    """Whether a key can stand in the first row of a table and come back from there."""
    return key == key.strip() and 0 < len(key) <= 200 and not _CONTROL.search(key) and "\n" not in key


def _is_safe(key: str) -> bool:
    """Whether a heading of this name would be read as metadata of this name."""
    letters = "".join(c for c in key.lower() if c.isalpha())
    clear = key == _key(key) and letters not in _TAKEN and key not in REFERENCE and not key.endswith(JSON)
    return clear and bool(key) and not key.startswith(("metadata.", "reference.", "record."))


def _is_plain(heading: str, value: Any) -> bool:
    """Whether the value comes back from a cell as it is."""
    if heading == "claim_is_correct" and isinstance(value, bool):
        return True
    if heading in ("grade", "metadata.grade") and isinstance(value, int) and not isinstance(value, bool):
        return True
    return (
        isinstance(value, str)
        and not heading.endswith(JSON)
        and value == value.strip()
        and value != ""
        and not _CONTROL.search(value)
        and not (heading == "claim_is_correct" and value.lower() in TRUTH)
    )


def _suffix(heading: str, value: Any) -> str:
    return "" if _is_plain(heading, value) else JSON


def _cell(heading: str, value: Any) -> str:
    if _is_plain(heading, value):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return json.dumps(value)


FORMAT = RecordFormat("table", "one heading for each part: CSV, TSV, XLSX, and flat JSONL or Parquet", _matches, _read, _write)
