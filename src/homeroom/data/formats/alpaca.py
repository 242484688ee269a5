"""Alpaca: ``{"instruction": ..., "input": ..., "output": ...}``, with LLaMA-Factory's ``system`` and ``history``.

What is under ``input`` follows the instruction in the learner's turn, as Alpaca's own prompt has it; the record remembers it
under ``fields``, so that it can be taken apart again.
"""

from __future__ import annotations

from collections.abc import Iterable

from homeroom.data.formats.base import RecordFormat, Written, alternates, beside, dialogue, parts
from homeroom.schema.examples import Example, Json

_OWN = ("instruction", "input", "output", "system", "history")


def _matches(record: Json) -> bool:
    return "instruction" in record and "output" in record


def _read(record: Json) -> Iterable[Json]:
    asked, extra, rest = record["instruction"], record.get("input"), beside(record, *_OWN)
    if isinstance(asked, str) and isinstance(extra, str) and extra.strip():
        rest["fields"] = {**(rest["fields"] if isinstance(rest.get("fields"), dict) else {}), "input": extra}
        asked = f"{asked}\n\n{extra}" if asked else extra
    elif extra not in (None, "") and not (isinstance(extra, str) and not extra.strip()):
        asked = None  # neither a text nor nothing: reported as content that is missing
    messages: list[Json] = [{"role": "system", "content": record["system"]}] if record.get("system") else []
    history = record.get("history")
    for pair in history if isinstance(history, list) else ():
        question, reply = pair if isinstance(pair, list) and len(pair) == 2 else (None, None)
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]
    messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": record["output"]}]
    return ({"messages": messages, **rest},)


def _write(example: Example) -> Written:
    system, turns, dropped = dialogue(example.messages)
    if not alternates(turns):
        return Written(None, ("examples whose turns do not alternate",))
    rest = parts(example)
    asked, extra = turns[-2].content, ""
    fields = rest.get("fields")
    given = fields.get("input") if isinstance(fields, dict) else None
    if isinstance(given, str) and given and asked.endswith(f"\n\n{given}"):
        asked, extra = asked[: -len(given) - 2], given
        fields = beside(fields, "input") if isinstance(fields, dict) else {}
        rest = {**beside(rest, "fields"), **({"fields": fields} if fields else {})}
    for key in ("tools", "parallel_tool_calls", *_OWN):
        if rest.pop(key, None) is not None:
            dropped.append(key)
    record: Json = {"instruction": asked, "input": extra, "output": turns[-1].content}
    if system:
        record["system"] = system
    if len(turns) > 2:
        record["history"] = [[turns[i].content, turns[i + 1].content] for i in range(0, len(turns) - 2, 2)]
    return Written({**record, **rest}, tuple(dropped))


FORMAT = RecordFormat("alpaca", "Alpaca's instruction, input and output", _matches, _read, _write,
                      "weights, names and tools of turns")  # fmt: skip
