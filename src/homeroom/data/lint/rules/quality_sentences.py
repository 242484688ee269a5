"""Sentences of a reply: the last one is finished, and none is said twice."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from homeroom.data.lint.model import About, Edit, Hit, Options, Record, Rule, Text
from homeroom.data.lint.rules.text_turns import replies, shown
from homeroom.data.lint.words import word_set

_OPEN_WORDS = word_set("the a an and or because if my your our whose")
_STRANDED = word_set("with of from into than by at his their")  # may end a question, or a clause that asks
_TAIL = re.compile(r"([^\W\d_]+(?:['’][^\W\d_]+)?)\s*$")
_ASKING = re.compile(
    r"^\W*(?:(?:so|and|but|ok|okay|now|then|well)\W+)*(?:what|which|who|whom|where|why|how|when|is|are|do|does|did|can|could"
    r"|would"
    r"|should|will|has|have)\b",
    re.IGNORECASE,
)
_LIST_MARK = re.compile(r"\n\s*(?:[-*•]|\d{1,2}[.)])$")
_ENDS = frozenset(".!?…\"'”’)]}*`:_=|>~。！？")
_FULL, _CUT, _UNMARKED, _UNFINISHED = 0, 1, 2, 3
Ending = tuple[int, int, str]  # kind, turn, last words


class Truncated:
    """A reply that stops in the middle of a sentence.

    Some endings are certain (a comma, "because the", an open bracket). A last sentence without its mark counts only in a file
    whose replies nearly all have one.
    """

    about = About(
        code="QUA018",
        name="reply-truncated",
        family="quality",
        severity="warning",
        what="A reply ends in the middle of a sentence.",
        why="Replies that a token limit cut off teach a model to stop anywhere.",
        do="Finish the sentence or cut it.",
        bad="You shared the 12 counters fairly. Now put them in groups of 4 and",
        good="You shared the 12 counters fairly. Now put them in groups of 4 and count the groups.",
        guideline="Quality: Clarity",
    )

    def fact(self, record: Record, options: Options) -> int | tuple[Ending, ...] | None:
        """How many replies end well, when all do; otherwise the endings of those that do not."""
        endings = [_ending(index, text) for index, text in replies(record)]
        bad = tuple(ending for ending in endings if ending[0] != _FULL)
        return bad or len(endings) or None

    def judge(self, facts: Sequence[tuple[int, int | tuple[Ending, ...]]], options: Options) -> Iterator[Hit]:
        """Certain cuts, and unmarked endings where they are rare; in a small file, where the rest of the reply has its marks."""
        unmarked = sum(any(kind >= _UNMARKED for kind, _, _ in fact) for _, fact in facts if isinstance(fact, tuple))
        small = len(facts) < options.value("QUA018", "least", 20)
        rare = not small and unmarked <= options.value("QUA018", "share", 0.05) * len(facts)
        for line, fact in facts:
            for kind, turn, tail in fact if isinstance(fact, tuple) else ():
                if kind == _CUT or (kind >= _UNMARKED and rare) or (kind == _UNFINISHED and small):
                    yield Hit(
                        f"Turn {turn + 1} ends in the middle of a sentence: '… {tail}'. Finish or cut it.", line=line, quote=tail
                    )


def _ending(index: int, text: Text) -> Ending:
    content = text.content.rstrip()
    tail = content[-60:].split(" ", 1)[-1] if len(content) > 60 else content
    if _LIST_MARK.search(content[-12:]) or content.count("```") % 2:
        return _CUT, index, tail
    if not content or content[-1] in _ENDS or len(text.words) < 4:
        return _FULL, index, ""
    if content[-1] in ",;(" or _opened(content):
        return _CUT, index, tail
    word = _TAIL.search(content[-40:])
    if word is None or "\n" in content[-80:] or len(text.words) < 6:
        return _FULL, index, ""  # a number, a unit, a line of a list or a poem
    last = text.sentences[-1]
    if word[1] in _OPEN_WORDS or (word[1] in _STRANDED and not _ASKING.search(last)):
        return _CUT, index, tail
    finished = [sentence[-1] in ".!?" for sentence in text.sentences[:-1]]
    return (_UNFINISHED if len(finished) >= 2 and all(finished) and len(last.split()) >= 3 else _UNMARKED), index, tail


def _opened(content: str) -> bool:
    """Whether a bracket or bold text was opened in the last sentence and not closed."""
    last = content[-120:]
    return (last.rfind("(") > last.rfind(")") and not re.search(r"[.!?:;][\"'”’]?\s", last[last.rfind("(") :])) or content.count(
        "**"
    ) % 2 == 1


class Repeated:
    """A reply that says a whole sentence twice."""

    about = About(
        code="QUA021",
        name="sentence-repeated",
        family="quality",
        severity="warning",
        what="A reply holds the same sentence twice.",
        why="Repeated text teaches a model to loop, the commonest fault of small models.",
        do="Remove one of the two.",
        bad="Look at the two denominators again. Look at the two denominators again.",
        good="Look at the two denominators again. What do both of them divide?",
        guideline="Quality: Clarity",
        fixable=True,
    )

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each reply; the edit removes a sentence that follows its twin at once."""
        for index, text in replies(record):
            sentences = text.sentences
            if len(sentences) < 2:
                continue
            seen: set[str] = set()
            for place, sentence in enumerate(sentences):
                key = " ".join(sentence.lower().split()).rstrip(".!? ")
                if key in seen and len(key.split()) >= 5:
                    adjacent = text.content.count(sentence) == 2 and place and sentences[place - 1] == sentence
                    mended = "".join(text.content.rsplit(sentence, 1)).rstrip() if adjacent else ""
                    edit = Edit(index, mended) if mended and mended.endswith(sentence) else None
                    yield Hit(f"Turn {index + 1} says {shown(sentence)} twice. Remove one.", quote=sentence, edit=edit)
                    break
                seen.add(key)


RULES: tuple[Rule, ...] = (Truncated(), Repeated())
