"""One record that writes otherwise than the rest of its file: numbers, marks, units, spelling, short forms."""

from __future__ import annotations

import random
import re

from tests.data.planted.plant import Planted, kind, put, replies
from tests.data.planted.sources import Record, Sources


def _file(sources: Sources, rng: random.Random, usual: str, rare: str) -> tuple[list[Record], int]:
    """Forty records of which a dozen hold the usual form and one the other."""
    records = sources.many(rng, 40, of="mathdial")
    places = rng.sample(range(len(records)), 14)
    for place in places[1:]:
        put(rng, replies(records[place])[-1], usual, "end")
    put(rng, replies(records[places[0]])[-1], rare, "end")
    return records, places[0]


def _drift(sources: Sources, rng: random.Random, pairs: tuple[tuple[str, str], ...], number: int) -> Planted:
    usual, rare = pairs[number % len(pairs)]
    records, place = _file(sources, rng, usual, rare)
    return Planted(records, (place + 1,), f"{usual} / {rare}", subtle=number % 2 == 1)


@kind("number-format")
def number_format(sources: Sources, rng: random.Random, number: int) -> Planted:
    pairs = (
        ("There are 12,500 seats and 3,200 guests.", "There are 12500 seats and 3200 guests."),
        ("It weighs 3.5 kg or 4.25 kg.", "It weighs 3,5 kg or 4,25 kg."),
        ("Work out 6 × 7 and then 4 × 5.", "Work out 6 * 7 and then 4 * 5."),
        ("There are 14,000 of them.", "There are 14 000 of them."),
        ("Is 48 ÷ 6 the same as 24 ÷ 3?", "Is 48 / 6 the same as 24 / 3?"),
    )
    return _drift(sources, rng, pairs, number)


@kind("punctuation")
def punctuation(sources: Sources, rng: random.Random, number: int) -> Planted:
    """All records with one kind of mark, one with the other."""
    records = sources.many(rng, 40, of="mathdial")
    for record in records:
        for message in replies(record):
            text = message["content"].replace("\u2019", "'").replace("\u201c", '"').replace("\u201d", '"').replace("\u2013", "-")
            message["content"] = text + (' Don\'t forget it: "each" means one.' if rng.random() < 0.4 else "")
    place = rng.randrange(len(records))
    rare = (
        "Don\u2019t forget it, it\u2019s the key.",
        "What does \u201ceach\u201d mean? And \u201cin total\u201d?",
        "\u201eJeder\u201c is not the word, \u201eeach\u201c is.",
        "That\u2019s it \u2014 you\u2019ve found \u201cthe whole\u201d.",
        "What\u2019s the unit? Isn\u2019t it dollars?",
    )[number % 5]
    put(rng, replies(records[place])[-1], rare, "end")
    return Planted(records, (place + 1,), rare, subtle=True)


@kind("unit-style")
def unit_style(sources: Sources, rng: random.Random, number: int) -> Planted:
    pairs = (
        ("It is 12 cm long and 5 cm wide.", "It is 12cm long and 5cm wide."),
        ("The bag holds 3 kg and 200 g.", "The bag holds 3kg and 200g."),
        ("It takes 45 min for 6 km.", "It takes 45min for 6km."),
        ("Pour 250 ml into 2 l of water.", "Pour 250ml into 2l of water."),
        ("It drops by 4 m in 10 s.", "It drops by 4m in 10s."),
    )
    return _drift(sources, rng, pairs, number)


@kind("spelling")
def spelling(sources: Sources, rng: random.Random, number: int) -> Planted:
    pairs = (
        ("Color the center of the meter stick.", "Colour the centre of the metre stick."),
        ("Organize your favorite numbers.", "Organise your favourite numbers."),
        ("The theater has a gray wall.", "The theatre has a grey wall."),
        ("Recognize the color first.", "Recognise the colour first."),
        ("How many liters does the neighbor have?", "How many litres does the neighbour have?"),
    )
    return _drift(sources, rng, pairs, number)


@kind("contractions")
def contractions(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A long stiff record in a file that speaks with short forms."""
    records = sources.many(rng, 40, of="mathdial")
    for record in records:
        put(
            rng,
            replies(record)[-1],
            rng.choice(("It's close, isn't it?", "Don't rush, you're nearly there.", "That's it, let's check.")),
            "end",
        )
    place = rng.randrange(len(records))
    message = replies(records[place])[-1]
    short = {"'s ": " is ", "n't": " not", "'re": " are", "'ll": " will", "'ve": " have", "I'm": "I am", "et us": "et us"}
    text = message["content"].replace("\u2019", "'")
    for before, after in short.items():
        text = text.replace(before, after)
    message["content"] = (
        re.sub(r"\s+", " ", text)
        + " You do not have to hurry. It is not hard. We will not skip it. You are close, and it is fine."
    )
    return Planted(records, (place + 1,), message["content"][-80:], subtle=True)
