"""Examples that say the same: nearly word for word, or in other words."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from homeroom.data.lint.model import About, Embed, Hit, Options, Record, Rule
from homeroom.data.lint.rules.minhash import earlier_twins, signature


def conversation(record: Record) -> str:
    """What an example says: its turns, without a tutor's instructions."""
    return "\n".join(m.content for m in record.example.messages if m.role != "system" or not record.is_tutor)


class NearDuplicate:
    """Pairs of examples that share most of their word pairs."""

    about = About(
        code="DIV003",
        name="near-duplicate",
        family="diversity",
        severity="warning",
        what="Two examples are the same but for a few words.",
        why="Repeated examples are learnt by heart instead of their idea, and in two splits they make a score worthless.",
        do="Keep one of them, or change the problem and not only its names and numbers.",
        bad="learner: Mia has 12 apples and gives 5 of them to her friend Leo. How many apples has she now? I think 17.\n"
        "tutor: You added. What happens to the pile of apples when she gives some of them away?\n---\n"
        "learner: Mia has 12 apples and gives 5 of them to her friend Ben. How many apples has she now? I think 17.\n"
        "tutor: You added. What happens to the pile of apples when she gives some of them away?",
        good="learner: Mia has 12 apples and gives 5 of them to her friend Leo. How many apples has she now? I think 17.\n"
        "tutor: You added. What happens to the pile of apples when she gives some of them away?\n---\n"
        "learner: A bus leaves at 8:40 and the ride takes 35 minutes. When does it arrive? I got 8:75.\n"
        "tutor: Count on from 8:40 to the full hour first. How many of the 35 minutes are left?",
        guideline="Diversity: Varied Questions",
    )

    def fact(self, record: Record, options: Options) -> bytes | None:
        """The signature of the conversation."""
        return signature(conversation(record), salt=record.is_tutor) or None

    def judge(self, facts: Sequence[tuple[int, bytes]], options: Options) -> Iterator[Hit]:
        """One hit for each example that is like an earlier one."""
        least = options.value("DIV003", "similarity", 0.8)
        twins = earlier_twins([fact for _, fact in facts], least)
        for index in sorted(twins):
            other, alike = twins[index]
            line, earlier = facts[index][0], facts[other][0]
            same = "is the same as" if alike == 1.0 else f"is about {100 * alike:.0f}% the same as"
            yield Hit(
                f"This example {same} line {earlier}. Keep one of them, or change the problem itself.",
                line=line,
                lines=(earlier,),
            )


_WORD = re.compile(r"[^\W\d_]{3,}")
_MAX_LEXICAL = 20_000
_SIDE_CHARACTERS = 2000  # of each side: what an embedding model of a laptop reads
_ROWS = 1024  # vectors that are compared with all earlier ones at a time
ASKED, ANSWERED = 0.75, 0.5
"""With all-MiniLM-L6-v2: paraphrases of a problem were asked at 0.76 and more, different problems of one course at 0.74 and less
(docs/explanation/data-rules-study.md). An answer that is nothing like the other is no repetition."""


class SemanticDuplicate:
    """Examples that say the same in other words. Off unless ``DIV004.method`` asks for it, as it costs time or a model.

    ``embedding`` compares the meaning of what is asked, and that of what is answered, by the vectors of the model that this rule
    was given; both must be alike. ``lexical`` compares the words of two examples, weighted by how rare they are (TF-IDF, cosine),
    in any order: no model, but no synonyms either.
    """

    about = About(
        code="DIV004",
        name="semantic-duplicate",
        family="diversity",
        severity="info",
        what="Two examples say the same in other words. Runs only when asked for: `homeroom data check FILE --semantic` (an "
        "embedding model), or DIV004's method lexical (words alone, no model).",
        why="Paraphrases of one problem give a model less than their number promises.",
        do="Keep the better one, or change the problem.",
        bad="option: DIV004.method=lexical\n"
        "learner: Mia had 12 apples and gave Leo 5 apples. How many apples does Mia have now?\ntutor: Draw the apples and cross "
        "out 5.\n---\n"
        "learner: How many apples does Mia have now? Mia gave Leo 5 apples and had 12 apples.\ntutor: Cross out 5. Draw "
        "the apples.",
        good="option: DIV004.method=lexical\n"
        "learner: Mia had 12 apples and gave Leo 5 apples. How many apples does Mia have now?\ntutor: Draw the apples and cross "
        "out 5.\n---\n"
        "learner: The bus leaves at 8:40 and needs 35 minutes. When does it arrive?\ntutor: Count on to the full hour first.",
        guideline="Diversity: Varied Questions",
    )

    def __init__(self, embed: Embed | None = None) -> None:
        self._embed = embed

    def with_embedder(self, embed: Embed) -> SemanticDuplicate:
        """The same rule with something to compare meanings by."""
        return SemanticDuplicate(embed)

    def wants_embedder(self, options: Options) -> bool:
        """Whether its method is ``embedding``."""
        return _method(options) == "embedding"

    def cost(self, examples: int, options: Options) -> str:
        """What a run over so many examples will cost, in words, to be said before it starts; empty when it is off."""
        method = _method(options)
        pairs = examples * (examples - 1) // 2
        if method == "embedding" and self._embed is not None:
            return f"Semantic duplicates: an embedding model reads {2 * examples:,} texts, and {pairs:,} pairs are compared"
        if method == "lexical":
            return f"Semantic duplicates (lexical): examples that share rare words are compared, at worst {pairs:,} pairs"
        return ""

    def fact(self, record: Record, options: Options) -> tuple[bool, str, str] | None:
        """What is asked and what is answered, when it will be compared."""
        return None if _method(options) == "off" else (record.is_tutor, *_sides(record))

    def judge(self, facts: Sequence[tuple[int, tuple[bool, str, str]]], options: Options) -> Iterator[Hit]:
        """One hit for each example that says what an earlier one says."""
        by_meaning = self.wants_embedder(options)
        if by_meaning and self._embed is None:
            yield Hit(
                "No embedding model is available here, so nothing was compared. Set DIV004's method to lexical.", severity="info"
            )
            return
        for task in (True, False):
            own = [(line, asked, answered) for line, (kind, asked, answered) in facts if kind is task]
            if len(own) < 2:
                continue
            if by_meaning and self._embed is not None:
                pairs, how = _alike(self._embed, own, options), "by meaning"
            else:
                least = options.value("DIV004", "similarity", 0.65)
                texts = [f"{asked}\n{answered}" for _, asked, answered in own[:_MAX_LEXICAL]]
                pairs, how = _lexical(texts, least), "by its words"
            for index, (other, alike) in sorted(pairs.items()):
                yield Hit(
                    f"This example says what line {own[other][0]} says ({100 * alike:.0f}% alike {how}). Keep the better one.",
                    line=own[index][0],
                    lines=(own[other][0],),
                )


def _method(options: Options) -> str:
    return str(options.value("DIV004", "method", "off"))


def _sides(record: Record) -> tuple[str, str]:
    """What is asked and what is answered; a tutor's instructions, which all examples may share, are no part of it."""
    turns = [m for m in record.example.messages if m.role != "system" or not record.is_tutor]
    asked = "\n".join(m.content for m in turns if m.role != "assistant")
    answered = "\n".join(m.content for m in turns if m.role == "assistant")
    return asked[:_SIDE_CHARACTERS], answered[:_SIDE_CHARACTERS]


def _alike(embed: Embed, own: Sequence[tuple[int, str, str]], options: Options) -> dict[int, tuple[int, float]]:
    """For each example the earlier one that asks and answers most alike, where both are alike enough."""
    import numpy as np

    texts = [[asked or "-" for _, asked, _ in own], [answered or "-" for _, _, answered in own]]
    sides = [np.asarray(embed(side), dtype=np.float32) for side in texts]
    least = (options.value("DIV004", "asked", ASKED), options.value("DIV004", "answered", ANSWERED))
    found: dict[int, tuple[int, float]] = {}
    for start in range(0, len(own), _ROWS):
        stop = min(start + _ROWS, len(own))
        asked, answered = (vectors[start:stop] @ vectors[:stop].T for vectors in sides)  # each (rows, stop)
        fits = (asked >= least[0]) & (answered >= least[1])
        fits &= np.arange(stop)[None, :] < np.arange(start, stop)[:, None]  # earlier ones only
        score = np.where(fits, (asked + answered) / 2, -1.0)
        for row in np.flatnonzero(fits.any(axis=1)):
            other = int(score[row].argmax())
            found[start + int(row)] = (other, float(score[row, other]))
    return found


def _lexical(texts: Sequence[str], least: float) -> dict[int, tuple[int, float]]:
    """For each text the earlier one with the greatest TF-IDF cosine, where it is at least ``least``.

    Only the rare words that hold enough of a text's weight lead to candidates: what shares none of them cannot be so similar
    (prefix filtering, Bayardo et al. 2007, in its simplest form).
    """
    counts = [Counter(_WORD.findall(text.lower())) for text in texts]
    spread = Counter(word for count in counts for word in count)
    index: dict[str, list[int]] = defaultdict(list)
    vectors: list[dict[str, float]] = []
    found: dict[int, tuple[int, float]] = {}
    for place, count in enumerate(counts):
        weights = {word: (1 + math.log(n)) * math.log(1 + len(texts) / spread[word]) for word, n in count.items()}
        length = math.sqrt(math.fsum(weight * weight for weight in weights.values())) or 1.0
        vector = {word: weight / length for word, weight in weights.items()}
        rare, rest = [], 1.0
        for word in sorted(vector, key=lambda w: spread[w]):
            if rest < least * least:
                break
            rare.append(word)
            rest -= vector[word] ** 2
        for other in {other for word in rare for other in index[word]}:
            alike = sum(weight * vectors[other].get(word, 0.0) for word, weight in vector.items())
            if alike >= least and alike > found.get(place, (0, 0.0))[1]:
                found[place] = (other, alike)
        vectors.append(vector)
        for word in rare:
            index[word].append(place)
    return found


RULES: tuple[Rule, ...] = (NearDuplicate(), SemanticDuplicate())
