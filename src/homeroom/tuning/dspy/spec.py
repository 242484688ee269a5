"""A program as plain data: its fields and instructions. Signatures, JSON schemas and prompt programs are made from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from homeroom.errors import ConfigError
from homeroom.models.prompt_fields import OutputFields, Slot, field_text, fill
from homeroom.models.prompt_program import PromptProgram, ShownAs
from homeroom.schema.examples import Item, Message

SYSTEM, HISTORY = "system", "history"
"""Names of the fields that every program has besides its own: the conversation's system text and its earlier turns."""

# Values of fields and JSON Schemas: any JSON.
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class InputField:
    """One field of the message that is answered: its name, what it is, and the label above it where there are several."""

    name: str
    about: str = ""

    @property
    def label(self) -> str:
        """``learner_answer`` reads ``Learner answer``."""
        return self.name.replace("_", " ").capitalize()


@dataclass(frozen=True, slots=True)
class OutputField:
    """One field of the reply, with the JSON Schema of its value."""

    name: str
    about: str = ""
    schema: Mapping[str, Any] | None = None

    @property
    def kind(self) -> Mapping[str, Any]:
        """The schema; a text where none was given."""
        return self.schema or {"type": "string"}


@dataclass(frozen=True, slots=True)
class ProgramSpec:
    """What a program takes and gives.

    Attributes:
        name: Snake case.
        instructions: What the model is told before any optimiser; may be empty.
        inputs: Of the message; the first takes a message without field names.
        outputs: Of the reply; the first is what a person reads. One output is the reply's text, several are a JSON object.
        shown_as: How demonstrations are shown; ``appendix`` for a simulated learner, whom turns of others would contradict.
    """

    name: str
    instructions: str
    inputs: tuple[InputField, ...]
    outputs: tuple[OutputField, ...]
    shown_as: ShownAs = "turns"

    @property
    def main(self) -> str:
        """The field that a message without field names fills."""
        return self.inputs[0].name

    @property
    def reply(self) -> str:
        """The field that a person reads."""
        return self.outputs[0].name

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The fields of the message, the main one last: what is asked stands below what it is about."""
        first, *rest = self.inputs
        return tuple(Slot(field.name, field.label) for field in (*rest, first))

    @property
    def fields(self) -> OutputFields | None:
        """What a reply of several fields is; None where it is a text."""
        if len(self.outputs) == 1 and self.outputs[0].kind == {"type": "string"}:
            return None
        schema: Json = {
            "type": "object",
            "properties": {field.name: dict(field.kind) for field in self.outputs},
            "required": [field.name for field in self.outputs],
            "additionalProperties": False,
        }
        return OutputFields(schema, self.reply)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything above: an optimised program refuses a spec of another."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def to_dict(self) -> Json:
        """Plain data."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]  # tuples become lists

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> ProgramSpec:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: ``program-spec``: it is none.
        """
        try:
            return cls(
                str(record["name"]),
                str(record["instructions"]),
                tuple(InputField(str(f["name"]), str(f["about"])) for f in record["inputs"]),
                tuple(OutputField(str(f["name"]), str(f["about"]), f["schema"]) for f in record["outputs"]),
                "appendix" if record["shown_as"] == "appendix" else "turns",
            )
        except (KeyError, TypeError) as error:
            raise ConfigError(
                f"That is no program's spec ({error!r} in {str(record)[:60]!r}). Tune it again: homeroom tune run --method dspy",
                code="program-spec",
            ) from error

    def given(self, item: Item) -> Json:
        """The values of the inputs in an example: the turn that is answered, its passages, its ``fields`` and its metadata.

        The same for the search, for whoever judges what it found, and for who is asked beside it. What is nowhere is empty.
        """
        fields = item.example.extra.get("fields")
        more = fields.get("input") if isinstance(fields, Mapping) else None
        known = {**item.example.metadata, **(more if isinstance(more, Mapping) else {})}
        values: Json = {f.name: "" if known.get(f.name) is None else known[f.name] for f in self.inputs}
        turns = [m for m in item.prompt if m.role != "system"]
        values[self.main] = turns[-1].content if turns else ""
        if "context" in values and item.example.context:
            values["context"] = list(item.example.context)
        return values

    def told(self, instructions: str) -> str:
        """``instructions`` with what a reply of several fields must hold."""
        if self.fields is None:
            return instructions
        lines = "\n".join(f"- {f.name} ({_kind(f.kind)}): {f.about or f.name.replace('_', ' ')}" for f in self.outputs)
        return f"{instructions}\n\nAnswer with a JSON object of these fields:\n{lines}".strip()

    def message(self, values: Mapping[str, Any]) -> str:
        """The text of the message that holds ``values``."""
        return fill(self.slots, values)

    def replied(self, values: Mapping[str, Any]) -> str:
        """The text of the reply that holds ``values``."""
        if self.fields is None:
            return field_text(values[self.reply])
        return json.dumps({field.name: values[field.name] for field in self.outputs}, ensure_ascii=False)

    def dialogue(self, values: Mapping[str, Any]) -> tuple[Message, ...]:
        """A demonstration: system text, earlier turns, the message and its reply."""
        system = [Message("system", str(values[SYSTEM]))] if values.get(SYSTEM) else []
        return (*system, *self.asked(values)[len(system) :], Message("assistant", self.replied(values)))

    def asked(self, values: Mapping[str, Any]) -> tuple[Message, ...]:
        """The conversation that is answered, its message filled."""
        system = [Message("system", str(values[SYSTEM]))] if values.get(SYSTEM) else []
        turns = [Message(turn["role"], turn["content"]) for turn in values.get(HISTORY) or ()]
        earlier = [Message(m.role, self.message({self.main: m.content})) if m.role == "user" else m for m in turns]
        return (*system, *earlier, Message("user", self.message(values)))

    def program(
        self, instructions: str, demonstrations: Sequence[Mapping[str, Any]], base: str = "", base_identity: str = ""
    ) -> PromptProgram:
        """What an optimised program becomes: instructions and demonstrations in the form that any chat model runs.

        Args:
            instructions: As optimised.
            demonstrations: Values of the fields of each; those without the reply are left out.
            base: The model that it was tuned for.
            base_identity: Of that model.
        """
        whole = [d for d in demonstrations if all(d.get(f.name) is not None for f in self.outputs)]
        return PromptProgram(
            self.told(instructions),
            tuple(self.dialogue(d) for d in whole),
            self.shown_as,
            base,
            base_identity,
            self.slots if len(self.slots) > 1 else (),
            self.main if len(self.slots) > 1 else "",
            self.fields,
        )


_BOUNDS = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "above {}"),
    ("maximum", "at most {}"),
    ("exclusiveMaximum", "below {}"),
    ("minItems", "{} or more"),
    ("maxItems", "{} or fewer"),
)


def _kind(schema: Mapping[str, Any]) -> str:
    """``text``, ``whole number, at least 1, at most 5``, ``list of text``, ``"easy" or "hard"``."""
    if "enum" in schema:
        return " or ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    kind = {"string": "text", "integer": "whole number", "boolean": "true or false"}.get(str(schema.get("type")), "number")
    if schema.get("type") == "array":
        kind = f"list of {_kind(schema.get('items') or {})}"
    return ", ".join([kind, *(text.format(schema[key]) for key, text in _BOUNDS if key in schema)])
