"""Defects of a whole set of data: drift, outliers, holes, skew, duplicates. They are found in the file, not in one line alone."""

from __future__ import annotations

import copy
import random
import re

from tests.data.planted.plant import Planted, kind, prompts, put, replies, turn
from tests.data.planted.sources import Record, Sources


def _some(rng: random.Random, records: list[Record], count: int) -> list[int]:
    return sorted(rng.sample(range(len(records)), count))


def _changed(records: list[Record], at: list[int], what: str, *, subtle: bool = False) -> Planted:
    return Planted(records, tuple(place + 1 for place in at), what, subtle=subtle)


@kind("format-drift")
def format_drift(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A few replies in Markdown among many without."""
    records = sources.many(rng, 40)
    at = _some(rng, records, 1 + number % 3)
    for place in at:
        message = replies(records[place])[-1]
        parts = re.split(r"(?<=[.!?])\s+", message["content"])
        message["content"] = (
            "\n".join(f"- {p}" for p in parts),
            "## Next step\n\n" + message["content"],
            "\n".join(f"{i}. {p}" for i, p in enumerate(parts, 1)),
            f"**{parts[0]}** " + " ".join(parts[1:]),
            "```\n" + message["content"] + "\n```",
        )[number % 5]
    return _changed(records, at, ("bullets", "heading", "numbered list", "bold", "code block")[number % 5])


@kind("greeting-drift")
def greeting_drift(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A greeting or a sign-off where the others have none."""
    records = sources.many(rng, 40)
    at = _some(rng, records, 1 + number % 3)
    words = (
        ("Hello there! ", ""), ("", " Best regards, your tutor"), ("Hi! ", ""), ("", " Yours sincerely, Mr Bell"), ("Dear student, ", ""),
        ("Good morning! ", ""), ("", " Have a great day!"), ("Hey! ", ""), ("", " See you next time!"), ("Welcome back! ", ""),
    )  # fmt: skip
    before, after = words[number % len(words)]
    for place in at:
        message = replies(records[place])[0 if before else -1]
        message["content"] = before + message["content"] + after
    return _changed(records, at, before + after, subtle=number >= 5)


@kind("style-outlier")
def style_outlier(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A reply in another register: shouting, slang, emoji, an office."""
    records = sources.many(rng, 40)
    at = _some(rng, records, 1)
    message = replies(records[at[0]])[-1]
    text = message["content"]
    message["content"] = (
        text.upper(),
        "yo bro lol " + text.lower().replace("you", "u").replace("are", "r") + " gonna be lit haha",
        "😀😀 " + re.sub(r"([.!?])", r"\1 🎉🔥", text),
        "Pursuant to the aforementioned considerations, it is hereby incumbent upon the undersigned to observe the following. "
        + text,
        re.sub(r"[.?!]", "!!!", text) + "!!! WOW!!!",
        text.lower().replace(".", "").replace("?", "").replace(",", "") + " idk tho lmk",
        "Henceforth, one shall endeavour to ascertain whether the foregoing computation be valid, notwithstanding prior error. "
        + text,
        "OMG!! ur so close!! " + text.replace("you", "u"),
        re.sub(r"\b(\w{4,})\b", lambda m: m[1].upper(), text),
        "ngl that slaps fr fr, no cap. " + text,
    )[number % 10]
    return _changed(records, at, message["content"][:60], subtle=number in (3, 5, 6))


@kind("length-outlier")
def length_outlier(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A reply that is many times as long as others to such a question, or one word."""
    records = sources.many(rng, 50)
    at = _some(rng, records, 1)
    record = records[at[0]]
    if number % 3 == 2:
        replies(record)[-1]["content"] = ("Yes.", "No.", "Right.")[number % 3]
    else:
        message = replies(record)[-1]
        while len(message["content"].split()) < 320 + 30 * number:
            message["content"] += " " + replies(sources.course(rng, subject=record["metadata"]["subject"]))[-1]["content"]
    return _changed(records, at, f"{len(replies(record)[-1]['content'].split())} words", subtle=number % 3 == 2)


@kind("terms-two-ways")
def terms_two_ways(sources: Sources, rng: random.Random, number: int) -> Planted:
    """One thing under two names, in different records."""
    pairs = (
        ("Make a row in the ten-frame.", "Make a row in the tens frame."),
        ("You need to multiply 6 by 4 here.", "You need to times 6 by 4 here."),
        ("Look at the denominator.", "Look at the bottom number."),
        ("Use the number line.", "Use the numberline."),
        ("What is the number sentence?", "What is the number-sentence?"),
        ("Regroup the ones.", "Borrow from the tens."),
        ("Look at the place value chart.", "Look at the place-value chart."),
        ("Find the greatest common factor.", "Find the highest common factor."),
        ("Subtract the ones first.", "Take away the ones first."),
        ("Use the x-axis for time.", "Use the x axis for time."),
    )
    one, two = pairs[number % len(pairs)]
    records = sources.many(rng, 40, of="mathdial")
    at = _some(rng, records, 12)
    for index, place in enumerate(at):
        put(rng, replies(records[place])[-1], two if index % 3 == 0 else one, "end")
    return Planted(records, (), f"{one} / {two}", subtle=number % 10 in (3, 4, 6, 9))


@kind("coverage-hole")
def coverage_hole(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A cell of the matrix that is empty where its neighbours are full."""
    records = sources.many(rng, 160)
    subjects = sorted({r["metadata"]["subject"] for r in records})
    subject = subjects[number % len(subjects)]
    key, value = (
        ("grade_band", "K-2"),
        ("question_type", "conceptual"),
        ("grade_band", "6-8"),
        ("question_type", "factual"),
        ("grade_band", "3-5"),
    )[number % 5]
    kept = [r for r in records if not (r["metadata"]["subject"] == subject and r["metadata"].get(key) == value)]
    return Planted(kept, (), f"no {subject} with {key} {value}", subtle=True)


@kind("skew")
def skew(sources: Sources, rng: random.Random, number: int) -> Planted:
    """Nearly everything is of one kind."""
    records = sources.many(rng, 160)
    key = ("subject", "grade_band", "question_type", "scenario", "difficulty")[number % 5]
    values = [r["metadata"].get(key) for r in records]
    top = max(sorted(set(map(str, values))), key=lambda v: sum(str(x) == v for x in values))
    most = [r for r in records if str(r["metadata"].get(key)) == top]
    while len(most) < 60:
        most.append(copy.deepcopy(rng.choice(most)))
        put(rng, prompts(most[-1])[0], sources.story(rng)[: rng.randint(60, 200)], "start")
    others = [r for r in records if str(r["metadata"].get(key)) != top][:2]
    lines = most + others
    rng.shuffle(lines)
    return Planted(lines, (), f"{key}: nearly only {top}")


@kind("near-duplicate")
def near_duplicate(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A record a second time, with a word or two changed."""
    records = sources.many(rng, 25, of=("course", "mathdial")[number % 2])
    record = copy.deepcopy(records[rng.randrange(len(records))])
    place = records.index(record) if record in records else 0
    if number >= 3:
        for message in record["messages"]:
            words = message["content"].split(" ")
            if len(words) > 8:
                words[rng.randrange(2, len(words) - 2)] = rng.choice(("really", "maybe", "now", "just"))
            message["content"] = " ".join(words)
    if number >= 6:
        prompts(record)[0]["content"] = "Please help. " + prompts(record)[0]["content"]
    record["metadata"].pop("id", None)
    lines = [*records, record]
    return Planted(lines, (place + 1, len(lines)), "copied" if number < 3 else "copied with other words", subtle=number >= 3)


@kind("edge-cases-missing")
def edge_cases_missing(sources: Sources, rng: random.Random, number: int) -> Planted:
    """Only learners who work along: nobody asks for the answer, is upset, or needs an adult."""
    plain = ("diagnose", "explain", "practice")
    records = [r for r in sources.many(rng, 168) if r["metadata"].get("scenario") in plain]
    return Planted(records[: 60 + 4 * number], (), "no edge case", subtle=True)


@kind("few-openings")
def few_openings(sources: Sources, rng: random.Random, number: int) -> Planted:
    """Most replies begin alike."""
    opening = turn(
        (
            "Great question!",
            "Let's think about this step by step.",
            "Good try, but look again.",
            "Okay, so",
            "I see what you did there.",
            "Nice thinking!",
            "That's a good start.",
            "Let us look at it together.",
        ),
        number,
    )
    records = sources.many(rng, 40, of=("course", "mathdial")[number % 2])
    for record in rng.sample(records, 30 if number < 5 else 22):
        message = replies(record)[0]
        message["content"] = f"{opening} {message['content']}"
    return Planted(records, (), opening, subtle=number >= 5)


@kind("term-spelling")
def term_spelling(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A term of two words in two spellings."""
    pairs = (
        ("Make a row in the ten-frame.", "Make a row in the tens frame."),
        ("Use the number line.", "Use the numberline."),
        ("Look at the place value chart.", "Look at the place-value chart."),
        ("Draw a bar-model first.", "Draw a bar model first."),
        ("Check it with the x-axis.", "Check it with the x axis."),
    )
    one, two = pairs[number % len(pairs)]
    records = sources.many(rng, 40, of="mathdial")
    for index, place in enumerate(_some(rng, records, 12)):
        put(rng, replies(records[place])[-1], two if index % 4 == 0 else one, "end")
    return Planted(records, (), f"{one} / {two}", subtle=True)


@kind("semantic-duplicate")
def semantic_duplicate(sources: Sources, rng: random.Random, number: int) -> Planted:
    """The same question and reply in other words."""
    pairs = (
        ("How many legs do 4 dogs have altogether?", "Four dogs: what is the number of all their legs?"),
        ("Why does ice float on water?", "Ice swims on top of water. What is the reason?"),
        (
            "I have 3 bags with 6 apples each. How many apples are there?",
            "Each of my 3 bags holds 6 apples. What is the number of apples?",
        ),
        ("Which is bigger, one half or one third?", "One third or one half: which of the two is larger?"),
        ("How do plants drink water from the soil?", "In what way do plants take up water out of the ground?"),
    )
    one, two = pairs[number % len(pairs)]
    records = sources.many(rng, 12)
    first, second = sources.course(rng), sources.course(rng)
    first["messages"] = [
        {"role": "user", "content": one},
        {"role": "assistant", "content": "What do you know about it already? Draw what you know."},
    ]
    second["messages"] = [
        {"role": "user", "content": two},
        {"role": "assistant", "content": "Tell me what you already know about it. Make a drawing of it."},
    ]
    second["metadata"] = {**first["metadata"], "id": f"other-{number}"}
    lines = [first, *records, second]
    return Planted(
        lines, (1, len(lines)), f"{one} / {two}", subtle=True, options=(("thresholds", {"DIV004": {"method": "lexical"}}),)
    )


@kind("review-pending")
def review_pending(sources: Sources, rng: random.Random, number: int) -> Planted:
    """Records that say that nobody has reviewed them."""
    records = sources.many(rng, 20)
    for record in records:
        record["metadata"]["review"] = "Ana Ruiz, 2026-03-01"
    at = _some(rng, records, 1 + number)
    for place in at:
        records[place]["metadata"]["review"] = (
            "not yet reviewed by a teacher",
            "pending",
            "not reviewed",
            "to be reviewed",
            "none yet",
        )[number % 5]
    return Planted(records, (), f"{len(at)} not reviewed", subtle=number % 5 > 1)
