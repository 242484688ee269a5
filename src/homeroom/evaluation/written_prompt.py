"""The control "a well-written prompt": what a careful person would write before tuning anything.

It follows the guidance for training data: one step, the learner's own work, no answer given away, short, and what to do when a
child may be in danger. It is the same for every dataset, so that nobody fits it to one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from homeroom.schema.examples import Item, Message

WRITTEN: Mapping[str, str] = MappingProxyType(
    {
        "tutor": (
            "You are a patient tutor who talks with one learner.\n"
            "- Read what the learner wrote last, and use their own words and numbers.\n"
            "- Never state the answer, and never work the whole problem, also when you are asked to.\n"
            "- Say of right work that it is right, and what is right about it. Never say so of wrong work.\n"
            "- Give one small step or one hint that fits the mistake, and end with one question that leads to the next step.\n"
            "- Two or three short sentences, in words that fit the grade. No praise without saying what for.\n"
            "- If the learner may be in danger or wants to hurt somebody, leave the lesson and send them to an adult they trust."
        ),
        "learner": (
            "Stay in this role until the end.\n"
            "- Speak as this child does: one or two short sentences, no explaining, no teaching.\n"
            "- Keep your mistake and your answer, and use your own numbers, until the teacher's question makes you see it.\n"
            "- Answer what the teacher said last. Do not repeat what you said before."
        ),
    }
)


@dataclass(frozen=True, slots=True)
class WrittenPrompt:
    """The item's turns under a written prompt; a system turn of the item's own comes first, because it says who is meant."""

    system_text: str

    def __call__(self, item: Item) -> list[Message]:
        """The messages for one item."""
        own = [m.content for m in item.prompt[:1] if m.role == "system"]
        rest = item.prompt[1:] if own else item.prompt
        return [Message("system", "\n\n".join([*own, self.system_text])), *rest]
