from __future__ import annotations

import pytest

from homeroom.evaluation.text import content, copied_mask, numbers, sentences, stem, syllables, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("She paid $1,260.00 for 2.5 kg", ["1260", "2.5"]),
        ("1 1/2 cups, 5/6 and 10/12", ["1 1/2", "5/6", "10/12"]),
        ("twenty-five apples, two pears and one day", ["25", "2"]),
        ("five sixths of it, or one half", ["5/6", "1/2"]),
        ("at 7:45 sharp", ["7:45"]),
        ("220+23=243.", ["220", "23", "243"]),
        ("007 and .50", ["7", "0.5"]),
        ("no number here", []),
    ],
)
def test_numbers_have_one_written_form(text: str, expected: list[str]) -> None:
    assert numbers(text) == expected


def test_words_keep_apostrophes_and_drop_case() -> None:
    assert words("Don’t ADD 3/4, please!") == ("don't", "add", "3/4", "please")


def test_sentences_split_after_marks_and_at_lines() -> None:
    assert sentences("One. Two?  Three\nFour") == ["One.", "Two?", "Three", "Four"]


def test_content_holds_what_a_text_is_about() -> None:
    assert set(content("So you added the apples: 3 of them")) == {stem("adding"), stem("apple"), "3"}


def test_copied_runs_are_marked_and_short_overlaps_are_not() -> None:
    source = words("I added the tops and then the bottoms")
    assert copied_mask(words("You said I added the tops and why"), [source]) == [
        False,
        False,
        True,
        True,
        True,
        True,
        True,
        False,
    ]
    assert not any(copied_mask(words("the tops were added"), [source]))


@pytest.mark.parametrize(
    ("word", "count"), [("cat", 1), ("table", 2), ("fraction", 2), ("denominator", 5), ("made", 1), ("added", 2), ("jumped", 1)]
)
def test_syllables(word: str, count: int) -> None:
    assert syllables(word) == count
