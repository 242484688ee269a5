"""Examples that say the same: nearly word for word, or in other words."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

from homeroom.data.lint.model import About, Hit, Options, Record, Rule
from homeroom.data.lint.rules.minhash import earlier_twins, signature

Embedder = Callable[[Sequence[str]], Sequence[Sequence[float]]]  # texts to vectors of one length


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


class SemanticDuplicate:
    """Examples that say the same in other words. Off unless ``DIV004.method`` asks for it, as it costs time or a model.

    ``lexical`` compares the words of two examples, weighted by how rare they are (TF-IDF, cosine), in any order: no model, but
    no synonyms either. ``embedding`` compares vectors of the embedder that this rule was made with.
    """

    about = About(
        code="DIV004",
        name="semantic-duplicate",
        family="diversity",
        severity="info",
        what="Two examples say the same in other words. Runs only when asked for: set DIV004's method to lexical (words alone, "
        "no model) "
        "or embedding (a model).",
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

    def __init__(self, embedder: Embedder | None = None) -> None:
        self._embedder = embedder

    def cost(self, examples: int, options: Options) -> str:
        """What a run over so many examples will cost, in words, to be said before it starts; empty when it is off."""
        method = options.value("DIV004", "method", "off")
        pairs = examples * (examples - 1) // 2
        if method == "embedding":
            return f"Semantic duplicates embed {examples:,} examples with a model and compare {pairs:,} pairs of vectors."
        if method == "lexical":
            return f"Semantic duplicates (lexical) compare examples that share rare words: at worst {pairs:,} pairs."
        return ""

    def fact(self, record: Record, options: Options) -> tuple[bool, str] | None:
        """The conversation itself, when it will be compared."""
        return (record.is_tutor, conversation(record)[:4000]) if options.value("DIV004", "method", "off") != "off" else None

    def judge(self, facts: Sequence[tuple[int, tuple[bool, str]]], options: Options) -> Iterator[Hit]:
        """One hit for each example that says what an earlier one says."""
        method = options.value("DIV004", "method", "off")
        if method == "embedding" and self._embedder is None:
            yield Hit(
                "No embedding model is available here, so nothing was compared. Set DIV004's method to lexical.", severity="info"
            )
            return
        for task in (True, False):
            own = [(line, text) for line, (kind, text) in facts if kind is task]
            if len(own) < 2:
                continue
            texts = [text for _, text in own]
            if method == "embedding" and self._embedder is not None:
                least = options.value("DIV004", "similarity", 0.95)
                pairs = _nearest([_unit(vector) for vector in self._embedder(texts)], least)
                how = "by meaning"
            else:
                least = options.value("DIV004", "similarity", 0.65)
                pairs = _lexical(texts[:_MAX_LEXICAL], least)
                how = "by its words"
            for index, (other, alike) in sorted(pairs.items()):
                yield Hit(
                    f"This example says what line {own[other][0]} says ({100 * alike:.0f}% alike {how}). Keep the better one.",
                    line=own[index][0],
                    lines=(own[other][0],),
                )


def _unit(vector: Sequence[float]) -> list[float]:
    length = math.sqrt(math.fsum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]


def _nearest(vectors: Sequence[Sequence[float]], least: float) -> dict[int, tuple[int, float]]:
    """For each vector the nearest earlier one, where its cosine is at least ``least``."""
    found: dict[int, tuple[int, float]] = {}
    for index, vector in enumerate(vectors):
        for other in range(index):
            alike = sum(a * b for a, b in zip(vector, vectors[other], strict=True))
            if alike >= least and alike > found.get(index, (0, 0.0))[1]:
                found[index] = (other, alike)
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
