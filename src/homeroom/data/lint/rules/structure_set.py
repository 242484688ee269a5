"""Structure of the whole and its size: metadata that is missing, too few examples, replies that are cut off, tokens."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from homeroom.data.lint.model import About, Hit, Options, Record, Severity
from homeroom.data.lint.words import word_set
from homeroom.errors import HomeroomError

if TYPE_CHECKING:
    from homeroom.models.tokenizer import ChatTokenizer

SHOWN = 10
WANTED = ("subject", "grade", "topic")
DEFAULT_LIMIT = 4096
CHARACTERS_PER_TOKEN = 4
# Fewest examples: below the first nothing comes of it, below the second little. Source of the second column: the guide's ranges.
FEWEST = {"dspy": (5, 5), "openai": (10, 50), "huggingface": (20, 200)}

_FINISHED = re.compile(r"[.!?…:。！？؟।][\"'”’»)\]*_`~]*\s*$|[\"”»)\]}`|>*~=]\s*$|[^\w\s.,;\-–—'’]\s*$")
_LIST_ITEM = re.compile(r"\s*[-*•\d]")
_OPEN_END = re.compile(
    r"(?:[,;(\[{–—-]|\b(?:the|a|an|and|or|but|because|if|which|your|my|its|their|our|than|into|between))\s*$",
    re.IGNORECASE,
)
# Short words that begin longer ones.
_WHOLE = word_set(
    "there us did do on to it in is he be we me my no so go an as at am or of by up if her him them then "
    "that this what who how why you your can not one two all any now here other over more out own each "
    "every thing some good well most much many his has was were will would could should work need want "
    "like see say ask add sum part half whole total number time day way ten hand back "
)
_NUMBER_END = re.compile(r"[\d%°€$£²³½¼¾]\s*$")


@dataclass(frozen=True, slots=True)
class MetadataMissing:
    """Keys without which examples cannot be held out, counted or routed."""

    about: About

    def fact(self, record: Record, options: Options) -> tuple[str, ...] | None:
        """The wanted keys that are missing."""
        missing = tuple(key for key in WANTED if record.metadata.get(key) in (None, ""))
        if "grade" in missing and record.metadata.get("grade_band"):
            missing = tuple(key for key in missing if key != "grade")
        return missing

    def judge(self, facts: Sequence[tuple[int, tuple[str, ...]]], options: Options) -> Iterator[Hit]:
        """One hit for each key."""
        for key in WANTED:
            lines = [line for line, missing in facts if key in missing]
            if lines:
                many = f"{len(lines):,} of {len(facts):,} examples have" if len(lines) > 1 else "The example has"
                yield Hit(f"{many} no {key} in the metadata. {self.about.do}", line=lines[0], lines=tuple(lines[1:SHOWN]))


@dataclass(frozen=True, slots=True)
class TooFewExamples:
    """Too little for the chosen method."""

    about: About

    def fact(self, record: Record, options: Options) -> str | None:
        """The task, where a method is chosen and the record may train."""
        return record.example.task if options.method in FEWEST and record.split in ("", "train") else None

    def judge(self, facts: Sequence[tuple[int, str]], options: Options) -> Iterator[Hit]:
        """At most one hit for each task, about the file as a whole."""
        for task, count in sorted(Counter(task for _, task in facts).items()):
            least, good = FEWEST[options.method]
            if count < good:
                severity: Severity = "error" if count < least else "warning"
                yield Hit(
                    f"{count} {task} example{'s are' if count != 1 else ' is'} few for {options.method}: at least {least} are "
                    f"needed, and from {good} on it becomes useful. {self.about.do}",
                    severity=severity,
                )


@dataclass(frozen=True, slots=True)
class ReplyCutOff:
    """A reply that stops in the middle of a sentence."""

    about: About

    def fact(self, record: Record, options: Options) -> tuple[int, str]:
        """(0 all finished, 1 without a closing mark, 2 stops at a word that cannot end a sentence; the end of the worst one)."""
        worst, end = 0, ""
        for _, message, text in record.turns("assistant"):
            if message.weight == 0 or not message.content or record.example.task == "learner":
                continue
            how = _how_it_ends(message.content, len(text.words))
            if how == 1 and _is_stump(text.words[-1], record):
                how = 2
            if how > worst:
                worst, end = how, message.content.rstrip()[-40:]
        return worst, end

    def judge(self, facts: Sequence[tuple[int, tuple[int, str]]], options: Options) -> Iterator[Hit]:
        """A reply without a closing mark counts only where nearly all others have one."""
        share = float(options.value(self.about.code, "share", 0.9))
        finished = sum(how == 0 for _, (how, _) in facts)
        strict = len(facts) >= 10 and finished >= share * len(facts)
        for line, (how, end) in facts:
            if how == 2 or (how == 1 and strict):
                yield Hit(f"The reply stops in the middle: {end!r}. {self.about.do}", line=line, quote=end)


def _is_stump(last: str, record: Record) -> bool:
    """Whether the last word is the beginning of another word of the conversation, and no word of it itself."""
    words = Counter(word for text in record.texts for word in text.words)
    endings = ("s", "es", "d", "ed", "r", "er", "ing", "ly", "y", "n", "'s", "’s")
    if words[last] != 1 or len(last) < 2 or last in _WHOLE:
        return False
    return any(word.startswith(last) and word.removeprefix(last) not in ("", *endings) for word in words)


def _how_it_ends(content: str, words: int) -> int:
    end = content.rstrip()
    if content.count("```") % 2:
        return 2
    if words < 5 or end[-1] in ".!?…:":
        return 0
    last = end.rsplit("\n", 1)[-1]
    if _FINISHED.search(last[-12:]) or _LIST_ITEM.match(last):
        return 0
    if _OPEN_END.search(last[-12:]):
        return 2
    return 0 if _NUMBER_END.search(last[-3:]) else 1


@lru_cache(maxsize=2)
def _tokenizer(folder: str) -> ChatTokenizer:
    from homeroom.models.tokenizer import ChatTokenizer  # half a second that a check without a base does not need

    return ChatTokenizer(Path(folder))


@dataclass(frozen=True, slots=True)
class OverTokenLimit:
    """More tokens than the base can hold."""

    about: About

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """Counted with the base's own tokenizer, estimated where none is chosen."""
        limit = options.max_tokens or DEFAULT_LIMIT
        messages = record.example.messages
        characters = sum(len(message.content) for message in messages)
        if not options.tokenizer:
            tokens = characters // CHARACTERS_PER_TOKEN
            if tokens > limit:
                yield Hit(f"About {tokens:,} tokens (estimated), more than {limit:,}. {self.about.do}", severity="warning")
            return
        if characters * 2 <= limit:  # even at two tokens a character
            return
        tokenizer = _tokenizer(options.tokenizer)
        try:
            tokens = len(tokenizer.encode(tokenizer.render(messages)))
        except HomeroomError:
            return  # rule template-problem says so
        if tokens > limit:
            yield Hit(f"{tokens:,} tokens for {options.base or 'this base'}, which can hold {limit:,}. {self.about.do}")


@dataclass(frozen=True, slots=True)
class TemplateProblem:
    """The base's chat template does not take the conversation, or writes it differently in training than in the chat."""

    about: About

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit, with the template's own words."""
        if not options.tokenizer:
            return
        try:
            _tokenizer(options.tokenizer).encode_chat(record.example.messages)
        except HomeroomError as error:
            yield Hit(f"{error.message.split(': homeroom')[0]} {self.about.do}")


_FULL = "metadata: task=tutor, subject=mathematics, grade=2, topic=halving\n"
RULES = (
    MetadataMissing(
        About(
            "STR040",
            "metadata-missing",
            "structure",
            "info",
            "Examples do not say their subject, grade or topic.",
            "Without a topic nothing can be held out together; without subject and grade nobody sees what is missing.",
            "Add it under metadata.",
            "metadata: task=tutor, subject=mathematics\nlearner: Half of 14?\ntutor: Draw 14 dots in two rows. What do you see?",
            f"{_FULL}learner: Half of 14?\ntutor: Draw 14 dots in two rows. What do you see?",
            "Structure: Metadata",
        )
    ),
    TooFewExamples(
        About(
            "STR041",
            "too-few-examples",
            "structure",
            "warning",
            "There are too few examples for the method that was named (--method).",
            "A handful of examples makes a prompt, not a tuned model.",
            "Add examples, or choose a method for fewer (`--method dspy`).",
            "(three examples, with --method openai)",
            "(two hundred examples, with --method openai)",
            "Diversity: Cover All Topics",
        )
    ),
    ReplyCutOff(
        About(
            "STR042",
            "reply-cut-off",
            "structure",
            "warning",
            "A reply stops in the middle of a sentence. A missing closing mark alone counts only where at least `share` of the "
            "replies have one.",
            "The model learns to stop in the middle.",
            "Finish it, or take the example out.",
            "learner: Why is 3 x 5 not 16?\ntutor: Draw 3 rows of 5 dots and count the",
            "learner: Why is 3 x 5 not 16?\ntutor: Draw 3 rows of 5 dots and count them.",
            "Structure: Input-Output Pairs",
        )
    ),
    OverTokenLimit(
        About(
            "STR043",
            "over-token-limit",
            "structure",
            "error",
            "An example has more tokens than the base can hold (--base), or than --max-tokens says.",
            "It would be cut in training, and the model would learn a conversation without its end.",
            "Shorten it, or split it into several examples.",
            "(a conversation of 5,000 tokens, with a base that holds 4,096)",
            "learner: Half of 14?\ntutor: Draw 14 dots in two rows. What do you see?",
            "Consistency: Length",
        )
    ),
    TemplateProblem(
        About(
            "STR044",
            "template-problem",
            "structure",
            "error",
            "The base's chat template (--base) refuses the conversation, or writes a reply in training unlike in the chat.",
            "The model would be trained on other tokens than it meets in the chat.",
            "Mend roles and their order, and take white space away from the ends of turns.",
            "(a reply that begins with white space, with --base)",
            "learner: Half of 14?\ntutor: Draw 14 dots in two rows. What do you see?",
            "Structure: Input-Output Pairs",
        )
    ),
)
