"""Wrong sums, wrong units, contradictions, answers given away: what a reply says about the task."""

from __future__ import annotations

import copy
import random
import re

from tests.data.planted.plant import Planted, among, kind, prompts, put, replies, turn
from tests.data.planted.sources import Sources


@kind("wrong-arithmetic")
def wrong_arithmetic(sources: Sources, rng: random.Random, number: int) -> Planted:
    """An equation of the reply that does not hold."""
    a, b, c = rng.randint(12, 60), rng.randint(3, 11), rng.randint(2, 9)
    wrong = (
        f"Remember that {a} + {b} = {a + b + 1}.",
        f"So {a} x {b} = {a * b - b + 1}, and then you go on.",
        f"You have {a} - {b} = {a - b - 1} left.",
        f"{a * b} / {b} = {a + 1}, so each gets that many.",
        f"{a} times {b} is {a * b + 10}.",
        f"Half of {2 * a} is {a + 2}.",
        f"{b}/{b + c} + {c}/{b + c} = {b + c}/{2 * (b + c)}, because you add across.",
        f"({a} + {b}) × {c} = {a + b * c}.",
        f"25% of {4 * a} is {a + 5}.",
        f"${a}.50 + ${b}.75 = ${a + b + 1}.75.",
    )
    sentence = turn(wrong, number)
    record = sources.any(rng)
    put(rng, rng.choice(replies(record)), sentence)
    return among(sources, rng, record, sentence, subtle=number >= 4)


@kind("wrong-arithmetic-mutated")
def wrong_arithmetic_mutated(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A right equation of the course with one figure changed."""
    right = re.compile(r"(?<![\d.,/+*x×÷-])(?<![+*x×÷/-] )(\d{1,3}) ?([+x×-]) ?(\d{1,3}) = (\d{1,4})(?![\d.,/]\d| ?[+x×÷*/-])")
    for _ in range(400):
        record = sources.any(rng)
        for message in replies(record):
            found = right.search(message["content"])
            if found:
                x, y, z = int(found[1]), int(found[3]), int(found[4])
                if {"+": x + y, "-": x - y}.get(found[2], x * y) != z:
                    continue
                wrong = f"{found[0][: found.start(4) - found.start()]}{z + rng.choice((1, 2, 10))}"
                message["content"] = message["content"].replace(found[0], wrong, 1)
                return among(sources, rng, record, wrong, subtle=True)
    raise AssertionError("no record with a right equation")


@kind("wrong-unit")
def wrong_unit(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A conversion or a unit that cannot be."""
    n = rng.randint(2, 9)
    wrong = (
        f"{n} km is {n * 100} m.",
        f"There are {n * 100} minutes in {n} hours.",
        f"{n} kg = {n * 100} g, so put that on the scale.",
        "A metre has 1000 centimetres.",
        f"{n} feet are {n * 10} inches.",
        f"{n} litres is the same as {n * 100} millilitres.",
        f"{n} weeks are {n * 5} days, so count them.",
        f"The area of your garden is {n * 4} metres, so how long is a side?",
        f"A speed of {n * 10} km is too fast for a bicycle." if number > 50 else f"{n} m + {n} cm = {2 * n} m.",
        f"{n * 10} mm equals {n * 100} cm.",
    )
    sentence = turn(wrong, number)
    record = sources.course(rng, subject=("mathematics", "science")[number % 2])
    put(rng, replies(record)[-1], sentence)
    return among(sources, rng, record, sentence, subtle=number in (7, 8))


@kind("contradiction")
def contradiction(sources: Sources, rng: random.Random, number: int) -> Planted:
    """Two records with one question whose replies cannot both be right."""
    pairs = (
        ("What is 7 x 8?", "7 x 8 is 56. What is 7 x 9, then?", "7 x 8 is 54. What is 7 x 9, then?"),
        ("Is a whale a fish?", "Yes, a whale is a fish. Where does it live?", "No, a whale is not a fish. How does it breathe?"),
        (
            "Is my answer right? I got 24 for 6 x 4.",
            "Yes, 24 is correct. How did you find it?",
            "No, 24 is not correct. Try it with rows.",
        ),
        (
            "How many legs does a spider have?",
            "A spider has 8 legs. Count them in your drawing.",
            "A spider has 6 legs. Count them in your drawing.",
        ),
        (
            "What is the capital of Australia?",
            "The capital is Canberra. Can you find it on a map?",
            "The capital is Sydney. Can you find it on a map?",
        ),
    )
    question, first, second = pairs[number % len(pairs)]
    one, two = sources.course(rng), sources.course(rng)
    one["messages"] = [{"role": "user", "content": question}, {"role": "assistant", "content": first}]
    two = copy.deepcopy(one)
    two["messages"] = [
        {"role": "user", "content": question if number < 5 else question.lower().rstrip("?") + " ?"},
        {"role": "assistant", "content": second},
    ]
    between = sources.many(rng, rng.randint(1, 8))
    return Planted([one, *between, two], (1, len(between) + 2), f"{first} / {second}", subtle=number >= 5)


@kind("answer-given-away")
def answer_given_away(sources: Sources, rng: random.Random, number: int) -> Planted:
    """The first reply tells what the learner should find."""
    while True:
        record = sources.mathdial(rng)
        answer = record["reference"]["answer"]
        said = " ".join(m["content"] for m in prompts(record)[:1])
        if re.fullmatch(r"\d{1,4}", answer) and not re.search(rf"(?<!\d){answer}(?!\d)", said) and replies(record):
            break
    ways = (
        f"The answer is {answer}.",
        f"The correct answer is {answer}, do you see why?",
        f"It should be {answer}.",
        f"You should get {answer} in the end.",
        f"So in total that makes {answer}.",
        f"Not quite: it is {answer}.",
        f"The right result would be {answer}, not yours.",
        f"The final answer equals {answer}.",
        f"That leaves {answer}, which is what we want.",
        f"Your solution must give {answer}.",
    )
    sentence = turn(ways, number)
    put(rng, replies(record)[0], sentence, "end")
    record["metadata"]["scenario"] = "diagnose"
    return among(sources, rng, record, sentence, subtle=number >= 4)


@kind("reading-level")
def reading_level(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A newspaper for adults to a child of the first grades."""
    record = sources.course(rng, grade_band=("K-2", "3-5")[number % 2])
    replies(record)[-1]["content"] = sources.adult_text(rng, 60 + 15 * (number % 4))
    return among(sources, rng, record, replies(record)[-1]["content"][:80], subtle=number % 2 == 1)


@kind("many-steps")
def many_steps(sources: Sources, rng: random.Random, number: int) -> Planted:
    """One turn that asks or tells too much at once."""
    ways = (
        "What do you know? What do you need? Which operation fits? How will you check it?",
        "First find the total. Then subtract the part. After that divide by the number of friends. Finally check it by multiplying.",
        "Can you draw it? Where is the ten? Why did you carry? What if it were 9?",
        "1. Read the task again. 2. Underline the numbers. 3. Write an equation. 4. Solve it. 5. Check it.",
        "Step 1: list the factors. Step 2: mark the common ones. Step 3: take the largest. Step 4: divide both. Step 5: write the fraction.",
        "How many boxes are there? How many are full? How many are empty, and what is the sum of both?",
        "Tell me the perimeter. Tell me the area. Then compare the two and explain which is larger, and write a sentence about it.",
        "What is the subject? What is the verb? Is it plural? Which tense is it? Can you rewrite it?",
        "Start by multiplying. Next, add the fee. Then take off the discount. Lastly round to a whole dollar and write the unit.",
        "Why is the sky blue? Why is it red at night? What is light? What is a wave? Do you know a prism?",
    )
    record = sources.course(rng)
    message = replies(record)[-1]
    message["content"] = (
        turn(ways, number) if number % 2 else f"{re.split(r'(?<=[.!?]) ', message['content'])[0]} {turn(ways, number)}"
    )
    return among(sources, rng, record, turn(ways, number), subtle=number in (5, 6))


@kind("undefined-term")
def undefined_term(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A technical word that is far above the grade and that nobody explains."""
    words = (
        "Remember the commutative property here.",
        "Use the distributive property of the addends.",
        "The reciprocal of the divisor will help.",
        "Think about the hypotenuse.",
        "This is an example of photosynthesis and osmosis.",
        "The coefficient tells you that.",
        "Use a metaphor and an onomatopoeia in your line.",
        "Check the polynomial first.",
        "That is a matter of sovereignty and suffrage.",
        "Look for the isosceles one and its bisector.",
    )
    record = sources.course(rng, grade_band="K-2")
    put(rng, replies(record)[-1], turn(words, number), "start" if number % 2 else "end")
    return among(sources, rng, record, turn(words, number), subtle=number >= 5)


@kind("impossible-quantity")
def impossible_quantity(sources: Sources, rng: random.Random, number: int) -> Planted:
    """What no measure can be."""
    n = rng.randint(2, 9)
    wrong = (
        f"The area of the square is {n * n} centimetres.",
        f"So the probability is 1.{n}.",
        f"The perimeter is {n * 4} square metres.",
        f"The probability of red is -0.{n}.",
        f"The volume of the box is {n * 12} square centimetres.",
        f"The chance of rain is {100 + n * 10}%.",
        f"The angle in this triangle is {190 + n} degrees.",
        f"There are -{n} apples in the basket.",
        f"The length of the rope is {n * 3} square metres.",
        f"The area of the field is {n * 100} km.",
    )
    sentence = turn(wrong, number)
    record = sources.course(rng, subject="mathematics")
    put(rng, replies(record)[-1], sentence)
    return among(sources, rng, record, sentence, subtle=number in (3, 4, 8))


@kind("facts")
def facts(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A year or a figure that neither the learner nor a passage gave."""
    said = (
        "The bridge was opened in 1894.",
        "Mount Everest is 8,849 metres high.",
        "The battle was in 1588, not later.",
        "Light travels 299,792 kilometres in a second.",
        "About 8,100,000 people live in that city.",
        "In 1776 they signed it.",
        "The river is 6,650 kilometres long.",
        "The first one flew in 1903 for 12 seconds.",
        "Nearly 20,000 men dug it until 1914.",
        "The dinosaurs died out 66 million years ago.",
    )
    record = sources.course(rng, subject=("history", "science")[number % 2])
    put(rng, replies(record)[-1], turn(said, number))
    planted = among(sources, rng, record, turn(said, number), subtle=number > 6)
    return Planted(planted.lines, (), planted.what, subtle=planted.subtle)


@kind("sentence-repeated")
def sentence_repeated(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A sentence of a reply a second time."""
    while True:
        record = sources.any(rng)
        message = max(replies(record), key=lambda m: len(m["content"]))
        parts = [p for p in re.split(r"(?<=[.!?])\s+", message["content"]) if len(p.split()) >= 6]
        if parts:
            break
    part = rng.choice(parts)
    if number < 4:
        message["content"] = message["content"].replace(part, f"{part} {part}", 1)
    elif number < 7:
        message["content"] += f" {part}"
    else:
        message["content"] += " " + part.lower().rstrip(".!?") + "."
    return among(sources, rng, record, part, subtle=number >= 7)
