"""Structure of a conversation that is well-formed: turns said twice, pasted dialogues, missing passages, marks of templates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from homeroom.data.lint.model import About, Edit, Hit, Options, Record
from homeroom.data.lint.words import word_set

_PAIRS = "Structure: Input-Output Pairs"
_CONTEXT = "Structure: Context Inclusion"
_LEAST_REPEATED = 25  # characters: "Yes, go on." may be said twice


@dataclass(frozen=True, slots=True)
class DuplicateTurn:
    """One speaker says the same twice."""

    about: About

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for the record: the first turn that was said before."""
        seen: dict[tuple[str, str], int] = {}
        again: list[tuple[int, int]] = []
        for index, (message, text) in enumerate(zip(record.example.messages, record.texts, strict=True)):
            if message.role in ("user", "assistant") and len(text.content) >= _LEAST_REPEATED:
                bare = " ".join(text.lower.split())
                first = seen.setdefault((message.role, bare), index)
                again += [(index, first)] if first != index else []
        if again:
            (index, first), more = again[0], f", and {len(again) - 1} more are said again" if len(again) > 1 else ""
            quote = record.example.messages[index].content[:120]
            yield Hit(f"Message {index} says the same as message {first}{more}. {self.about.do}", quote=quote)


@dataclass(frozen=True, slots=True)
class ReplyEchoesPrompt:
    """The reply is what the learner said."""

    about: About

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each reply that is its question."""
        messages = record.example.messages
        for index, (before, message) in enumerate(pairwise(messages), start=1):
            if message.role == "assistant" and before.role == "user":
                asked, said = (" ".join(m.content.lower().split()) for m in (before, message))
                if (
                    len(asked) >= _LEAST_REPEATED
                    and (said == asked or (asked.endswith("?") and asked in said))
                    and len(said) < 1.2 * len(asked) + 20
                ):
                    yield Hit(f"Message {index} repeats the question as its reply. {self.about.do}", quote=message.content[:120])


_SPEAKER = re.compile(
    r"(?mi)^[ \t>*#-]*(?:\*\*)?(user|assistant|human|ai|student|learner|pupil|teacher|tutor|bot|system|chatbot)(?:\*\*)?[ \t]*:"
)
# Anybody: 'Ms Bell: ... Cody: ...', 'T: ... S: ...', at the start of lines or after the end of a sentence.
_ANYBODY = re.compile(r"(?:^|\n|[.!?][\"”’]? )\s*(?:\*\*)?((?:(?:Ms|Mr|Mrs|Miss|Dr)\.? )?[A-Z][a-z]{0,11})(?:\*\*)?: (?=\S)")
_LABELS = word_set(
    "note notes hint hints answer answers question questions step steps example examples given find "
    "solution problem task tip check remember total before after first second third next then finally "
    "left right top bottom area perimeter day week cost price time speed distance length width height "
    "volume mass monday tuesday wednesday thursday friday saturday sunday title claim evidence reason "
    "goal summary part correct wrong think try look yes no so and but also again equation formula method "
    "rule pattern fact "
)


def _voices(content: str) -> list[str]:
    """Names before colons that take turns: two of them, of whom one speaks again or has a title."""
    names = [found[1] for found in _ANYBODY.finditer(content) if found[1].lower() not in _LABELS]
    kinds = dict.fromkeys(names)
    # 'Ana: 3 pens. Ben: 4 pens.' is a table; teachers have titles, and transcripts initials.
    clear = any(len(name) == 1 or " " in name for name in kinds) and _ANYBODY.match(content) is not None
    return list(kinds) if len(kinds) == 2 and (len(names) > 2 or clear) else []


@dataclass(frozen=True, slots=True)
class DialogueInTurn:
    """A whole dialogue stands in one turn."""

    about: About

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each such turn; a system turn may show how to talk."""
        for index, message in enumerate(record.example.messages):
            if message.role not in ("user", "assistant") or ":" not in message.content:
                continue
            speakers = [found[1].lower() for found in _SPEAKER.finditer(message.content)]
            starts = message.role == "assistant" and _SPEAKER.match(message.content)
            if len(set(speakers)) < 2 and not starts:
                speakers = _voices(message.content)
            if speakers and (len(set(speakers)) > 1 or starts):
                names = ", ".join(f"{name!r}" for name in dict.fromkeys(speakers))
                yield Hit(f"Message {index} holds turns of its own ({names}). {self.about.do}", quote=message.content[:120])


_NOUNS = (
    r"(?:passage|excerpt|article|paragraph|poem|picture|image|photo(?:graph)?|diagram|figure|graph|chart|table|map|text|story)"
)
_REFERS = re.compile(
    rf"\b(?:(?:according to|based on|refer(?:ring)? to|look(?:ing)? (?:back )?at|read(?:ing)?|from|in|using|use|shown in|see) "
    rf"(?:the|this) (?:following |given |attached )?(?P<a>passage|excerpt|article|picture|image|photo(?:graph)?|diagram|figure)\b"
    rf"|(?:the|this) (?:following|attached) (?P<b>{_NOUNS})\b"
    rf"|(?:the|this) (?P<c>{_NOUNS}) (?:above|below)\b"
    r"|(?:on|in|from|at|use|using|see) (?:the|this|your) (?P<d>worksheet|handout|map|graph|chart)\b"
    r"|(?:the|this) (?P<e>worksheet|handout|map|graph|chart|picture|diagram) (?:shows?|says?|gives?|tells?)\b)",
    re.IGNORECASE,
)
# What is drawn, linked to, or held in the learner's hands needs no copy.
_OWN = re.compile(
    r"\b(?:draw|make|sketch|take|create|paint"
    r"|(?:your|our|my|the) (?:own )?(?:book|screen|board|wall|poster|desk|drawing)|my (?:worksheet|sheet|graph|map))\b|https?://",
    re.IGNORECASE,
)
_HINTS = (
    "passage",
    "excerpt",
    "article",
    "picture",
    "image",
    "photo",
    "diagram",
    "figure",
    "following",
    "attached",
    "above",
    "below",
)
_LONG_WORDS = 45  # a prompt of so many words may hold the passage itself


@dataclass(frozen=True, slots=True)
class ContextMissing:
    """Something is referred to that is not there."""

    about: About

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for the first turn that refers to it."""
        if record.example.context or any(isinstance(m.extra.get("content"), list) for m in record.example.messages):
            return
        words = 0
        for index, (message, text) in enumerate(zip(record.example.messages, record.texts, strict=True)):
            found = _REFERS.search(message.content) if any(hint in text.lower for hint in _HINTS) else None
            if found and words + len(text.words) < _LONG_WORDS and not _OWN.search(message.content):
                noun = next(name for name in found.groups() if name)
                yield Hit(
                    f"Message {index} refers to a {noun.lower()} that the record does not hold. {self.about.do}", quote=found[0]
                )
                return
            if message.role != "assistant":
                words += len(text.words)


@dataclass(frozen=True, slots=True)
class EdgeSpace:
    """White space at the ends of a turn."""

    about: About

    def check(self, record: Record, options: Options) -> Iterable[Hit]:
        """One hit for each turn, with the fix."""
        for index, message in enumerate(record.example.messages):
            bare = message.content.strip()
            if bare != message.content and bare and not message.extra.get("content"):
                where = "begins" if message.content[:1].isspace() else "ends"
                yield Hit(f"Message {index} {where} with white space. {self.about.do}", edit=Edit(index, bare))


# The marks by which chat templates of common bases begin and end turns; none of them is anything else in a text.
_MARKS = re.compile(
    r"<\|(?:im_start|im_end|endoftext|eot_id|start_header_id|end_header_id|begin_of_text|end_of_text|user|assistant|system|end)\|>"
    r"|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>|<｜[^｜\n]{1,30}｜>|</s>|<s>(?!\w)"
)


@dataclass(frozen=True, slots=True)
class TemplateMark:
    """A mark of a chat template inside a text."""

    about: About

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each turn; the fix takes the marks out where text is left."""
        for index, message in enumerate(record.example.messages):
            found = _MARKS.search(message.content) if "<" in message.content or "[" in message.content else None
            if found:
                bare = re.sub(r"[ \t]{2,}", " ", _MARKS.sub("", message.content)).strip()
                whole = not re.search(
                    r"<\|(?:im_start|start_header_id|user|assistant|system)|start_of_turn|INST", message.content
                )
                edit = Edit(index, bare) if bare and whole and not message.extra.get("content") else None
                yield Hit(f"Message {index} holds {found[0]!r}. {self.about.do}", quote=found[0], edit=edit)


RULES = (
    DuplicateTurn(
        About(
            "STR030",
            "duplicate-turn",
            "structure",
            "warning",
            "One speaker says the same thing twice in a conversation.",
            "The model learns to repeat itself, which small models do anyway.",
            "Take the second one out, with what belongs to it, or write it anew.",
            "learner: I got 12 pens.\ntutor: How many pens are in one bag, and how many bags are there?\nlearner: 4 pens.\n"
            "tutor: How many pens are in one bag, and how many bags are there?",
            "learner: I got 12 pens.\ntutor: How many pens are in one bag, and how many bags are there?\nlearner: 4 pens.\n"
            "tutor: And how many such bags did she buy?",
            _PAIRS,
        )
    ),
    ReplyEchoesPrompt(
        About(
            "STR031",
            "reply-echoes-prompt",
            "structure",
            "warning",
            "A reply is the question again, with nothing or little added.",
            "Input and output were mixed up, or a column was copied; the model learns to parrot.",
            "Write the reply, or take the example out.",
            "learner: Why do shadows get longer in the evening?\ntutor: Why do shadows get longer in the evening?",
            "learner: Why do shadows get longer in the evening?\ntutor: Where does the sun stand in the evening? Draw it.",
            _PAIRS,
        )
    ),
    DialogueInTurn(
        About(
            "STR032",
            "dialogue-in-turn",
            "structure",
            "warning",
            "One turn holds several speakers: 'Teacher: ... Student: ...'.",
            "The model learns to write the learner's part too, and goes on talking with itself.",
            "Give each speaker a message of their own, without their name in front.",
            "learner: Can we go on?\ntutor: Teacher: What is half of 14?\nStudent: 7.\nTeacher: And half of 7?",
            "learner: Can we go on?\ntutor: What is half of 14?",
            _PAIRS,
        )
    ),
    ContextMissing(
        About(
            "STR033",
            "context-missing",
            "structure",
            "warning",
            "A turn refers to a passage, a picture or a table that is not in the record.",
            "The model learns to talk as if it saw what it cannot see.",
            "Put the text into the question or under context, describe the picture, or take the example out.",
            "learner: According to the passage, why did the fox leave?\ntutor: Which sentence tells you what he was afraid of?",
            "learner: According to the passage, why did the fox leave?\ncontext: The fox heard the dogs and ran.\n"
            "tutor: Which sentence tells you what he was afraid of?",
            _CONTEXT,
        )
    ),
    EdgeSpace(
        About(
            "STR034",
            "white-space-at-ends",
            "structure",
            "warning",
            "A turn begins or ends with white space.",
            "Chat templates treat it differently in training and in the chat, so that the model meets tokens it never learned.",
            "Take it away (`homeroom data fix` does).",
            '{"messages": [{"role": "user", "content": "Half of 14?"}, {"role": "assistant", "content": " Draw 14 dots. "}]}',
            '{"messages": [{"role": "user", "content": "Half of 14?"}, {"role": "assistant", "content": "Draw 14 dots."}]}',
            "Consistency: Formatting",
            fixable=True,
        )
    ),
    TemplateMark(
        About(
            "STR035",
            "template-mark-in-text",
            "structure",
            "error",
            "A text holds a mark of a chat template, such as <|im_end|> or [INST].",
            "A tokenizer may read it as the end of the turn: the rest would be learned as somebody else's words.",
            "Take the mark out; where it stands between speakers, make them messages of their own.",
            "learner: Half of 14?\ntutor: Draw 14 dots in two rows.<|im_end|>",
            "learner: Half of 14?\ntutor: Draw 14 dots in two rows.",
            _PAIRS,
            fixable=True,
        )
    ),
)
