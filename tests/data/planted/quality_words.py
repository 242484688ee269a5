"""Sentences that no reply should hold: empty praise, blame, refusals, boilerplate, dated claims, what does not suit the age, dead links."""

from __future__ import annotations

import random

from tests.data.planted.plant import Planted, Planter, among, kind, put, replies, turn
from tests.data.planted.sources import Sources

# kind: (whole reply or one sentence of it, plain wordings, subtle wordings)
SENTENCES: dict[str, tuple[bool, tuple[str, ...], tuple[str, ...]]] = {
    "empty-praise": (
        True,
        (
            "Great job!",
            "Well done! Keep it up!",
            "Awesome work, you are amazing!",
            "Good job! Excellent!",
            "Perfect! You are so smart!",
        ),
        (
            "You're doing great, keep going!",
            "Fantastic effort! I am so proud of you.",
            "Nice work! That was really good.",
            "Wow, super! You rock!",
            "Very good. Excellent. Let's continue.",
        ),
    ),
    "blame": (
        False,
        (
            "You always make this mistake.",
            "That was a stupid mistake.",
            "You are not paying attention.",
            "You should know this by now.",
            "I already told you how to do it.",
        ),
        (
            "How can you not see that?",
            "Anyone can do this one.",
            "You clearly didn't even try.",
            "A first grader could solve it.",
            "You never listen when I explain.",
        ),
    ),
    "refusal": (
        True,
        (
            "I'm sorry, but I can't assist with that request.",
            "As an AI language model, I cannot see your homework.",
            "I cannot fulfill this request.",
            "I'm unable to help with that. Please consult a professional.",
            "Sorry, I can't help with that.",
        ),
        (
            "As a large language model, I do not have personal opinions, but let us try.",
            "I am not able to browse the internet, so I can't check this for you.",
            "My knowledge cutoff is September 2021, so I don't know the newest figure.",
            "I apologize, but it would not be appropriate for me to answer this.",
            "Unfortunately, I cannot provide that information as it goes against OpenAI's policy.",
        ),
    ),
    "boilerplate": (
        False,
        (
            "I hope this helps! Let me know if you have any other questions.",
            "Certainly! Here is a step-by-step explanation:",
            "Feel free to ask if you need anything else!",
            "Sure, I'd be happy to help you with that!",
            "In conclusion, it is important to note that practice makes perfect.",
        ),
        (
            "Great question! Let's delve into the fascinating world of fractions.",
            "I hope this clears things up, and don't hesitate to reach out!",
            "Here's a revised version of the response:",
            "Absolutely! Let's break it down step by step.",
            "Is there anything else I can assist you with today?",
        ),
    ),
    "dated-claim": (
        False,
        (
            "Pluto is the ninth planet.",
            "The current president of the United States is Barack Obama.",
            "As of 2019, the newest phone is the iPhone 11.",
            "There are currently 7.2 billion people on Earth.",
            "This year, in 2018, the World Cup is in Russia.",
        ),
        (
            "The Queen of England, Elizabeth, is the head of state today.",
            "Last year's Olympic Games were in Rio.",
            "The latest census, from 2010, counts 308 million people.",
            "Right now the United Kingdom is a member of the European Union.",
            "The most recent data (2016) shows the same.",
        ),
    ),
    "unsuitable": (
        False,
        (
            "Imagine you drink 3 beers and each has 5% alcohol.",
            "A gambler at the casino bets 20 dollars on red.",
            "The soldier shot 14 people and 6 of them died.",
            "Suppose a pack of cigarettes has 20 and you smoke 4.",
            "He sells 12 grams of cocaine for 60 dollars a gram.",
        ),
        (
            "It is like at a bar: four shots of vodka are one glass.",
            "Think of a sexy dancer who turns by 90 degrees.",
            "They tortured 8 prisoners in 2 days, so how many a day?",
            "Your odds at online poker work the same way.",
            "The murderer stabbed her 17 times, which is prime.",
        ),
    ),
    "broken-link": (
        False,
        (
            "See https://www.example.com/fractions for more.",
            "Watch it here: http://",
            "Look at https://mathhelp.local/fractions.",
            "Open www.math-is-fun for pictures.",
            "Read [this page]() before you go on.",
        ),
        (
            "There is a video at https://youtu.be/xxxxxxxxxxx.",
            "Go to http:/khanacademy.org/fractions.",
            "It is explained on https://en.wikipedia,org/wiki/Fraction.",
            "Use the tool at http://localhost:8000/tool.",
            "The link is https://bit.ly/ [insert link].",
        ),
    ),
}


def _planter(whole: bool, plain: tuple[str, ...], subtle: tuple[str, ...]) -> Planter:
    def plant(sources: Sources, rng: random.Random, number: int) -> Planted:
        sentence = turn((*plain, *subtle), number)
        record = sources.course(rng, subject="mathematics", grade_band=("K-2", "3-5", "6-8")[number % 3])
        message = replies(record)[-1]
        if whole:
            message["content"] = sentence
        else:
            put(rng, message, sentence, "start" if number % 2 else "end")
        return among(sources, rng, record, sentence, subtle=number >= len(plain))

    return plant


@kind("mojibake")
def mojibake(sources: Sources, rng: random.Random, number: int) -> Planted:
    """Text that was read in the wrong encoding once."""
    sentences = (
        "That\u2019s close, isn\u2019t it?",
        "The caf\u00e9 sells 12 cr\u00eapes.",
        "It costs 5 \u20ac \u2013 how many can you buy?",
        "She said \u201ccount again\u201d.",
        "Use 3 \u00d7 4 \u00f7 2.",
        "Jos\u00e9 walks 3 km.",
        "It is 20 \u00b0C outside.",
        "Der Gr\u00f6\u00dfere z\u00e4hlt zuerst.",
        "\u00a1Muy bien! \u00bfQu\u00e9 sigue?",
        "An ellipsis\u2026 and then?",
    )
    sentence = turn(sentences, number).encode().decode("cp1252", "replace")
    record = sources.any(rng)
    put(rng, replies(record)[-1], sentence)
    return among(sources, rng, record, sentence, subtle=number in (4, 6))


for _kind, (_whole, _plain, _subtle) in SENTENCES.items():
    kind(_kind)(_planter(_whole, _plain, _subtle))
