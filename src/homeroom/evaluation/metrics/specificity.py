"""Specificity: a reply fits its own prompt better than others, even without its claim, and its own turn better than others.

All are ranks, so that chance is 0.5 whatever the length of a reply.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from homeroom.evaluation.dialogue import key, own_prompt
from homeroom.evaluation.text import content
from homeroom.schema.evaluation import Answer, Direction
from homeroom.schema.examples import Item


def _weights(prompts: Sequence[frozenset[str]]) -> dict[str, float]:
    """Inverse document frequency over the prompts; a term that all of them hold weighs nothing."""
    seen = Counter(term for prompt in prompts for term in prompt)
    return {term: math.log(len(prompts) / count) for term, count in seen.items()}


def _ranks(
    sources: Sequence[frozenset[str]],
    replies: Sequence[frozenset[str]],
    own: Sequence[int],
    rivals: Sequence[Sequence[int]],
) -> list[float | None]:
    """For each reply the share of its rivals that it fits less well than its own; ties count half; None without rivals.

    Args:
        sources: The terms of each prompt (or turn).
        replies: The terms of each reply.
        own: For each reply the place of its own source.
        rivals: For each reply the places of the sources that it is tried on.
    """
    weight = _weights(sources)
    norms = [math.sqrt(math.fsum(weight[t] ** 2 for t in source)) or 1.0 for source in sources]

    def fit(terms: frozenset[str], place: int) -> float:
        return round(math.fsum(weight[t] ** 2 for t in terms & sources[place]) / norms[place], 9)

    values: list[float | None] = []
    for terms, place, others in zip(replies, own, rivals, strict=True):
        mine, theirs = fit(terms, place), [fit(terms, other) for other in others]
        won = sum(1.0 if other < mine else 0.5 if other == mine else 0.0 for other in theirs)
        values.append(won / len(theirs) if theirs else None)
    return values


class Specificity:
    """The share of other items' prompts that a reply fits less well than its own; ties count one half.

    Fit is the idf weight of the content words and numbers that reply and prompt share, over the prompt's length in the
    same measure. It depends on the reply's text and one prompt only, so the mean over a set of equal replies is exactly
    0.5, whatever they say; so is the value of a reply that shares nothing with any prompt. Prompts of the same example
    are left out; None where no other example is in the set.
    Echoing the prompt scores 1: read it beside `OwnWords`.
    """

    name = "specificity"
    title = "Fits its own question"
    range = (0.0, 1.0)
    direction: Direction = "higher"
    tasks: tuple[str, ...] = ("tutor", "learner")
    source = (
        "proxy: shuffled prompts as control, chance = 0.5; under 0.75 it agrees weakly with people's label 'not coherent' "
        "(825 replies: kappa 0.31, order of 9 tutors rho 0.73)"
    )

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """One rank in [0, 1] for each reply."""
        return _among_prompts(items, _terms(answers))


class BeyondItsClaim:
    """Specificity of what is left of a reply when the words and numbers of the key's claim are taken out of it.

    A bank of phrases with the claim put in fits its own prompt by the claim alone: here it scores about 0.5, which is chance,
    however large the bank is. None where no other example is in the set.
    """

    name = "beyond_its_claim"
    title = "Fits its own question without its claim"
    range = (0.0, 1.0)
    direction: Direction = "higher"
    tasks: tuple[str, ...] = ("learner",)
    source = "proxy: shuffled prompts as control, chance = 0.5; people's replies are scored beside it"

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """One rank in [0, 1] for each reply."""
        claims = [frozenset(content(key(item).claim)) for item in items]
        return _among_prompts(items, [terms - claim for terms, claim in zip(_terms(answers), claims, strict=True)])


def _terms(answers: Sequence[Answer]) -> list[frozenset[str]]:
    return [frozenset(content(answer.text)) for answer in answers]


def _among_prompts(items: Sequence[Item], replies: Sequence[frozenset[str]]) -> list[float | None]:
    """Ranks among the prompts of all other examples."""
    groups = [item.example.id for item in items]
    prompts = [frozenset(content(own_prompt(item))) for item in items]
    rivals = [[place for place, other in enumerate(groups) if other != group] for group in groups]
    return _ranks(prompts, replies, range(len(items)), rivals)


class FollowsTheTurn:
    """The share of the learner's *other* turns in the dialogue that a reply fits less well than its own; ties count half.

    All turns of the written dialogue are tried, whether or not they are judged themselves. A reply that would do at any point of
    the dialogue, such as a template with the learner's number, scores exactly 0.5. None in dialogues of one turn.
    """

    name = "follows_the_turn"
    title = "Follows the learner's last turn"
    range = (0.0, 1.0)
    direction: Direction = "higher"
    tasks: tuple[str, ...] = ("tutor",)
    source = "proxy: other turns of the dialogue as control, chance = 0.5; not tested against people"

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """One rank in [0, 1] for each reply."""
        dialogues = {item.example.id: [m.content for m in item.example.messages if m.role == "user"] for item in items}
        first, turns = {}, list[frozenset[str]]()
        for name, said in dialogues.items():
            first[name] = len(turns)
            turns += [frozenset(content(text)) for text in said]
        own = [first[item.example.id] + sum(m.role == "user" for m in item.prompt) - 1 for item in items]
        rivals = [
            [first[name] + turn for turn in range(len(dialogues[name])) if first[name] + turn != place]
            for place, name in zip(own, (item.example.id for item in items), strict=True)
        ]
        return _ranks(turns, _terms(answers), own, rivals)
