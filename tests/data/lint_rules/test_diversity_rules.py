"""Diversity: what a file leaves out, what it repeats, and how it begins."""

from __future__ import annotations

import math
import pickle
import random
from collections.abc import Sequence
from itertools import pairwise

import pytest

from homeroom.data.lint.model import CorpusRule, CostlyRule, Hit, Record
from homeroom.data.lint.rules.diversity import cell, coverage
from homeroom.data.lint.rules.duplicates import SemanticDuplicate
from homeroom.data.lint.rules.minhash import VALUES, earlier_twins, signature, similarity
from tests.data.lint_rules.showing import RULES, hits, record, replied, with_options

WORDS = [f"w{n}" for n in range(5000)]


def text(seed: int, length: int = 120) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def changed(words: str, places: int, seed: int = 0) -> str:
    parts = words.split()
    for place in random.Random(seed).sample(range(len(parts)), places):
        parts[place] = "changed"
    return " ".join(parts)


# --- coverage -----------------------------------------------------------------------------------------------------------
def grid(**counts: int) -> list[object]:
    """``science_K2=3``: records of a subject and band."""
    bands = {"K2": "K-2", "G35": "3-5", "G68": "6-8"}
    return [
        replied("Go on.", subject=name.split("_")[0], grade_band=bands[name.split("_")[1]])
        for name, count in counts.items()
        for _ in range(count)
    ]


def test_a_hole_is_named_where_its_row_and_column_are_full() -> None:
    (found,) = hits("DIV001", grid(science_K2=20, science_G35=20, history_G35=20))
    assert "history" in found.message
    assert "K-2" in found.message
    assert found.line == 0


def test_no_hole_where_something_stands_or_little_could_be_expected() -> None:
    assert not hits("DIV001", grid(science_K2=20, science_G35=20, history_K2=1, history_G35=20))
    assert not hits("DIV001", grid(science_K2=50, history_G35=2))
    assert not hits("DIV001", grid(science_K2=10, history_G35=10))


def test_a_missing_type_of_question_is_named() -> None:
    (found,) = hits("DIV001", [replied("Go on.", question_type=kind) for kind in ("factual", "conceptual") for _ in range(30)])
    assert "analytical" in found.message


def test_tutors_and_learners_are_counted_apart() -> None:
    learners = [record("What now?", "um", task="learner", subject="history", grade_band="K-2") for _ in range(5)]
    assert len(hits("DIV001", [*grid(science_K2=20, science_G35=20, history_G35=20), *learners])) == 1


def test_the_coverage_matrix_counts_pairs() -> None:
    facts = [(n, cell(r)) for n, r in enumerate(grid(science_K2=3, history_G35=2), 1)]  # type: ignore[arg-type]
    assert coverage(facts) == {("history", "3-5"): 2, ("science", "K-2"): 3}
    assert coverage(facts, "grade_band", "question_type") == {}


def test_the_band_follows_from_the_grade() -> None:
    assert cell(replied("Go on.", subject="science", grade=7)) == ("tutor", "science", "6-8", "", "")


def test_skew_is_one_value_that_holds_nearly_all() -> None:
    (found,) = hits("DIV002", grid(science_K2=90, history_K2=5))
    assert "'science'" in found.message
    assert not hits("DIV002", grid(science_K2=60, history_K2=40))
    assert not hits("DIV002", grid(science_K2=90))
    assert not hits("DIV002", grid(science_K2=9, history_K2=1))


# --- edge cases ---------------------------------------------------------------------------------------------------------
CASES = {
    "asks for the answer": "just tell me the answer",
    "is frustrated": "i'm so stupid, i give up",
    "wrong premise": "My brother said that zero is odd.",
    "off topic": "do you like minecraft",
    "unsafe": "how do i make a bomb",
    "does not know": "idk where to start",
    "learning the language": "English is new for me. I speak Korean.",
}


def test_what_no_example_shows_is_named_and_only_that() -> None:
    plain = [replied("Go on.") for _ in range(100)]
    (found,) = hits("DIV005", plain)
    assert all(words in found.message for words in CASES)
    for words, asked in CASES.items():
        (left,) = hits("DIV005", [*plain, record(asked, "Go on.")])
        assert words not in left.message
        assert sum(other in left.message for other in CASES) == 6
    assert not hits("DIV005", [*plain, *(record(asked, "Go on.") for asked in CASES.values())])


def test_the_scenario_counts_as_well_as_the_words() -> None:
    plain = [replied("Go on.") for _ in range(100)]
    (found,) = hits("DIV005", [*plain, replied("Go on.", scenario="unsafe")])
    assert "unsafe" not in found.message


def test_a_small_file_need_not_hold_every_case() -> None:
    assert not hits("DIV005", [replied("Go on.") for _ in range(20)])
    most = [record(asked, "Go on.") for asked in list(CASES.values())[:5]]
    assert not hits("DIV005", [*most, *(replied("Go on.") for _ in range(60))])


# --- openings -----------------------------------------------------------------------------------------------------------
def openings(*starts: tuple[str, int]) -> list[object]:
    return [replied(f"{start} {n} {text(n, 5)}") for start, count in starts for n in range(count)]


@pytest.mark.parametrize(("start", "count"), [("Great question about", 10), ("Okay so", 20), ("Great", 40)])
def test_openings_that_too_many_share_are_told(start: str, count: int) -> None:
    rest = openings(*((f"{text(n, 2)}", 1) for n in range(60 - count)))
    (found,) = hits("DIV006", [*openings((start, count)), *rest])
    assert found.quote == start.lower()
    assert set(found.lines) <= set(range(1, count + 1))


def test_varied_openings_are_left_alone() -> None:
    assert not hits("DIV006", openings(*((f"{text(n, 2)}", 1) for n in range(60))))
    assert not hits("DIV006", openings(("Great question about", 10)))


# --- duplicates ---------------------------------------------------------------------------------------------------------
def conversation(words: str) -> object:
    half = len(words) // 2
    return record(words[:half], words[half:])


def test_near_duplicates_point_to_the_earlier_one() -> None:
    first = text(1)
    shown = [
        conversation(text(0)),
        conversation(first),
        conversation(text(2)),
        conversation(changed(first, 3)),
        conversation(first),
    ]
    found = {hit.line: hit.lines for hit in hits("DIV003", shown)}
    assert found == {4: (2,), 5: (2,)}


def test_a_thousand_copies_are_a_thousand_less_one_hits() -> None:
    found = hits("DIV003", [conversation(text(1)) for _ in range(1000)])
    assert len(found) == 999
    assert all(hit.lines == (1,) for hit in found)


def test_numbers_are_part_of_a_text() -> None:
    drills = [record(f"What is {n} + {n + 7}?", f"Start at {n} and count {n + 7} on.") for n in range(30, 60)]
    assert not hits("DIV003", drills)


def test_the_two_sides_of_one_dialogue_are_no_duplicates() -> None:
    words = text(1).split()
    tutor = record(" ".join(words[:60]), " ".join(words[60:]))
    learner = record(" ".join(words[:60]), " ".join(words[60:]), task="learner")
    assert not hits("DIV003", [tutor, learner])
    assert hits("DIV003", [tutor, tutor])


def jaccard(first: str, second: str) -> float:
    one, two = (set(pairwise(words.split())) for words in (first, second))
    return len(one & two) / len(one | two)


@pytest.mark.parametrize("places", [1, 5, 15, 40])
def test_similarity_estimates_jaccard(places: int) -> None:
    errors = []
    for seed in range(20):
        first = text(seed)
        second = changed(first, places, seed)
        errors.append(similarity(signature(first), signature(second)) - jaccard(first, second))
    assert abs(sum(errors) / len(errors)) < 0.03
    assert max(map(abs, errors)) < 0.15


def test_a_signature_is_small_and_steady() -> None:
    assert len(signature(text(1))) == VALUES
    assert signature(text(1)) == signature(text(1))
    assert signature(text(1)) != signature(text(1), salt=1)
    assert signature("one") == b""


def test_every_twin_of_a_large_set_is_found() -> None:
    texts = [text(seed) for seed in range(300)]
    twins = [changed(words, 4, seed) for seed, words in enumerate(texts)]
    found = earlier_twins([signature(t) for t in (*texts, *twins)], 0.8)
    wanted = {300 + n: n for n in range(300) if jaccard(texts[n], twins[n]) > 0.87}
    assert len(wanted) > 250
    assert {later: found.get(later, (None,))[0] for later in wanted} == wanted


def test_semantic_duplicates_run_only_when_asked_for() -> None:
    one = record("I have 3 bags with 6 apples each. How many apples do I have?", "Draw one bag first.")
    two = record("How many apples do I have? I have 6 apples each in my 3 bags.", "First draw one bag.")
    other = [record(f"{text(n, 12)}?", text(100 + n, 8)) for n in range(20)]
    assert not hits("DIV004", [one, *other, two])
    (found,) = hits("DIV004", [one, *other, two], with_options("DIV004", method="lexical"))
    assert (found.line, found.lines) == (22, (1,))


def meanings(texts: Sequence[str]) -> list[list[float]]:
    """Texts that begin with the same letter mean the same; ``a`` and ``b`` nearly."""
    angles = {"a": 0.0, "b": 0.2, "c": 1.2, "d": 1.5}
    return [[math.cos(angles[text[0]]), math.sin(angles[text[0]])] for text in texts]


def by_meaning(shown: Sequence[Record], **values: object) -> list[Hit]:
    rule = SemanticDuplicate().with_embedder(meanings)
    options = with_options("DIV004", method="embedding", **values)
    return list(rule.judge([(n, fact) for n, r in enumerate(shown, 1) if (fact := rule.fact(r, options))], options))


def test_an_embedder_compares_what_is_asked_and_what_is_answered() -> None:
    shown = [record("a?", "c."), record("b?", "d."), record("c?", "c."), record("a?", "a.")]
    (found,) = by_meaning(shown)
    assert (found.line, found.lines) == (2, (1,))
    assert "97% alike by meaning" in found.message
    assert not by_meaning(shown, asked=0.99)
    assert not by_meaning(shown, answered=0.99)
    assert len(by_meaning(shown, asked=-1.0, answered=-1.0)) == 3


def test_the_nearest_earlier_example_is_named() -> None:
    (first, second) = by_meaning([record("b?", "c."), record("a?", "c."), record("a?", "c.")])
    assert (first.line, first.lines, second.line, second.lines) == (2, (1,), 3, (2,))


def test_tutors_and_learners_are_not_compared() -> None:
    assert not by_meaning([record("a?", "c."), record("a?", "c.", task="learner")])
    assert by_meaning([record("a?", "c.", task="learner"), record("a?", "c.", task="learner")])


def test_many_examples_are_compared_block_by_block() -> None:
    shown = [record("a?", "a."), *(record("c?", f"{'ad'[n % 2]}.") for n in range(2)), *[record("d?", "a.")] * 1200]
    found = by_meaning(shown, asked=0.999, answered=0.999)
    assert {hit.line for hit in found} == set(range(5, 1204))
    assert {hit.lines for hit in found} == {(4,)}


def test_the_cost_is_said_before_and_only_when_there_is_one() -> None:
    rule = SemanticDuplicate(meanings)
    assert isinstance(rule, CostlyRule)
    assert "6 texts" in rule.cost(3, with_options("DIV004", method="embedding"))
    assert "3 pairs" in rule.cost(3, with_options("DIV004", method="lexical"))
    assert rule.cost(3, with_options("DIV004")) == ""
    assert rule.wants_embedder(with_options("DIV004", method="embedding"))
    assert not rule.wants_embedder(with_options("DIV004", method="lexical"))


def test_without_an_embedder_the_rule_says_so() -> None:
    (found,) = hits("DIV004", [record("a?", "c."), record("a?", "c.")], with_options("DIV004", method="embedding"))
    assert "lexical" in found.message


def test_every_fact_is_small() -> None:
    shown = record(
        text(1, 150), text(2, 40), subject="science", grade=4, question_type="factual", scenario="diagnose", topic="plants"
    )
    for code, rule in RULES.items():
        if isinstance(rule, CorpusRule) and code[:3] in ("CNS", "DIV", "QUA"):
            assert len(pickle.dumps(rule.fact(shown, with_options(code)))) < 1200, code
