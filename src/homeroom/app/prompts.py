"""What a tuned prompt says: the very messages that a model is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from homeroom.app.dspy_job import TABLE
from homeroom.errors import ConflictError
from homeroom.models.prompt_program import PromptProgram
from homeroom.schema.examples import Message

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


MIDDLE = "send each member's messages; of the replies, give the one that shares most words with the others"
"""How an ensemble answers: as `homeroom.models.reply_choice.middle_reply`."""


@dataclass(frozen=True, slots=True)
class ShownPrompt:
    """A model's prompt for one question.

    Attributes:
        model: Its name.
        base: What is asked.
        prompts: The messages; of an ensemble those of each member.
        schema: JSON Schema of the reply; None where it is a text.
        candidates: What was tried, best first; empty where it is not known.
    """

    model: str
    base: str
    prompts: tuple[tuple[Message, ...], ...]
    schema: Mapping[str, Any] | None
    candidates: tuple[Mapping[str, Any], ...]

    def exported(self) -> Any:  # JSON for other programs
        """The messages for any chat API; of an ensemble the list of all members', with how their replies become one."""
        whole = self.to_dict()
        return {"rule": MIDDLE, "members": whole["members"]} if whole["members"] else whole["messages"]

    def to_dict(self) -> dict[str, Any]:
        """Plain data; ``messages`` can be sent to any chat API as they are. Of an ensemble they are the first of ``members``."""
        return {
            "model": self.model,
            "base": self.base,
            "messages": [m.to_dict() for m in self.prompts[0]],
            "members": [[m.to_dict() for m in messages] for messages in self.prompts] if len(self.prompts) > 1 else [],
            "schema": self.schema,
            "candidates": list(self.candidates),
        }


def shown_prompt(home: Homeroom, reference: str, question: str) -> ShownPrompt:
    """The prompt of a tuned model.

    Args:
        home: The open home.
        reference: Name, id8 or suffix of the model.
        question: What somebody writes to it.

    Raises:
        NotFoundError: no such model.
        ConflictError: ``no-prompt``: its weights were tuned, not its prompt.
    """
    model = home.registry.get(home.registry.resolve(reference))
    if model.method != "dspy":
        raise ConflictError(
            f"{model.name!r} is of the kind {model.kind!r}: its prompt was not tuned. See what it is: homeroom models show "
            f"{model.name}",
            code="no-prompt",
        )
    program = PromptProgram.load(home.artifacts.path(model.artifact))
    system = str(model.settings.get("system_prompt") or "")
    asked = [*([Message("system", system)] if system else []), Message("user", question)]
    members = program.members or (program,)
    return ShownPrompt(
        model.name,
        model.base,
        tuple(tuple(member.render(asked)) for member in members),
        members[0].outputs.schema if members[0].outputs else None,
        candidates_of(home, model.name),
    )


def candidates_of(home: Homeroom, name: str) -> tuple[Mapping[str, Any], ...]:
    """What a model with a tuned prompt was chosen from, best first; nothing for other models."""
    model = home.registry.get(name)
    file = home.artifacts.path(model.artifact) / TABLE if model.method == "dspy" else None
    return tuple(json.loads(file.read_text(encoding="utf-8"))) if file is not None and file.is_file() else ()
