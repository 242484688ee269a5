"""Sentences of a reply: none is said twice."""

from __future__ import annotations

from collections.abc import Iterator

from homeroom.data.lint.model import About, Edit, Hit, Options, Record, Rule
from homeroom.data.lint.rules.text_turns import replies, shown


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


RULES: tuple[Rule, ...] = (Repeated(),)
