"""Personal data, swearing, crises and words that leave people out, put into real turns."""

from __future__ import annotations

import random

from tests.data.planted.plant import Planted, Planter, among, kind, prompts, put, replies, turn
from tests.data.planted.sources import Record, Sources

# (kind, who says it, plain wordings, subtle wordings). One of them is put into a real turn.
SENTENCES: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "email",
        "user",
        (
            "My email is maya.fischer07@outlook.com.",
            "Can you send it to tomjenkins@lincolnhigh.k12.or.us?",
            "write me: lukas_b@gmx.de",
            "My mom's address is carla.ruiz@hotmail.com if you need her.",
            "(sent by a.novak@students.westbrook.edu)",
        ),
        (
            "you can reach me at noah.b99 at gmail dot com",
            "its ella+homework@proton.me btw",
            "email = j.o.h.n@yahoo.co.uk",
            "Send the worksheet to ravi(at)school(dot)org please.",
            "mine is zoe[at]icloud[dot]com",
        ),
    ),
    (
        "phone",
        "user",
        (
            "My phone number is 503-555-0187.",
            "Call my dad at (415) 555-0133.",
            "You can text me on 07700 900461.",
            "my number is +44 7700 900 982",
            "Mum's cell: 212.555.0174",
        ),
        (
            "text me, 555-0149",
            "If it's late just ring me on 020 7946 0321.",
            "my moms phone is five five five zero one two three",
            "+1 646 555 0110 is where I am after school",
            "whatsapp me 5035550166",
        ),
    ),
    (
        "address",
        "user",
        (
            "I live at 1427 Maple Street.",
            "My address is 9 Hawthorne Avenue, Apt 4.",
            "We moved to 310 North Willow Road last year.",
            "Send it to 58 Beech Lane, Salem, OR 97301.",
            "I walk home to 77 Orchard Drive every day.",
        ),
        (
            "i live on 24 birch lane next to the bakery",
            "come over to 6 king street and we can do it together",
            "Ich wohne in der Lindenstraße 14.",
            "our house is at 1180 SE 32nd Ave",
            "Vivo en la Calle Mayor 21.",
        ),
    ),
    (
        "id-number",
        "user",
        (
            "My student ID is 20391847.",
            "My social security number is 536-22-8841.",
            "Student number: S1049382",
            "my lunch number is 44871",
            "Library card number 21009 4431 is mine.".replace(" 4431", "4431"),
        ),
        (
            "The login is mkhan2 and the password is Tiger!2019.",
            "its on my bus pass, ID no. 77120934",
            "my password for the site is sunny_day22",
            "UPN: H801200001001",
            "I logged in with pin 4471 and it still says wrong.",
        ),
    ),
    (
        "birth-date",
        "user",
        (
            "I was born on March 3, 2014.",
            "My birthday is 12 August 2012.",
            "Date of birth: 05/09/2013",
            "My date of birth is 2011-11-30.",
            "my birthday is on June 21st",
        ),
        (
            "DOB 7/14/2013",
            "i was born 4 feb 2015 so i am the youngest",
            "my twin sister's birthday is October 2, 2012 like mine".replace("my twin sister's birthday is", "my birthday is"),
            "My dob: 30.01.2012",
            "I'm born on the 9th of May 2013",
        ),
    ),
    (
        "handle",
        "user",
        (
            "My insta is @lea.draws_07.",
            "Follow me on tiktok @skater_boi12!",
            "my snapchat is emmaluvsdogs",
            "Add me on discord: frostwolf88",
            "My Roblox name is NoobSlayer_3000.",
        ),
        (
            "im @jules_r08 everywhere",
            "dm me @mia.k2011",
            "my gamertag is DarkKnight771",
            "add me on snap, xx_ty",
            "i post these on youtube, my channel is MathWithMo_",
        ),
    ),
    (
        "self-introduction",
        "user",
        (
            "My name is Olivia Bennett.",
            "Hi, I'm Marcus Lindqvist from Brookfield.",
            "My full name is Aisha Rahman.",
            "I go to Jefferson Elementary School.",
            "I attend St. Mary's Academy.",
        ),
        (
            "i mean My name is Jonas Weber, not Jonah",
            "this is Priya Sharma btw",
            "I'm in 5th grade at Oak Hill Elementary.",
            "We go to P.S. 118.",
            "I am called Daniel Osei.",
        ),
    ),
    (
        "profanity",
        "assistant",
        (
            "What the hell happened in line two?",
            "That is bullshit, try again.",
            "Damn, that was close.",
            "Stop screwing around, this shit is easy.",
            "You really fucked up the second step.",
        ),
        (
            "Well, cr*p... no, crap, that is not a multiple.",
            "That's a sh1tty way to write a fraction.",
            "wtf is this line supposed to mean?",
            "Come on, this is f***ing easy.",
            "Whoever wrote that problem is an a-hole and an asshole.",
        ),
    ),
    (
        "slur",
        "assistant",
        (
            "Don't act like a retard now.",
            "Only a faggot would skip that step.",
            "Do not divide it up like a kike.",
            "The gooks in the story have 12 boats.",
            "Those wetbacks picked 40 crates.",
        ),
        (
            "Are you retarded or just tired?",
            "Don't be such a spaz with the ruler.",
            "a paki shop sells 12 lemons",
            "That n1gger has 5 apples.",
            "The trannies counted 18 shoes.",
        ),
    ),
    (
        "term",
        "assistant",
        (
            "This is one of the great inventions of mankind.",
            "Ask a fireman how long the hose is.",
            "Alright guys, look at the tens.",
            "Think of a man-made lake.",
            "The chairman needs a two-thirds vote.",
        ),
        (
            "Your first plan fell on deaf ears, so try the second.",
            "That was a lame excuse for skipping the units.",
            "I am a bit OCD about labels, so add them.",
            "Normal kids get this one after two tries.",
            "He is wheelchair-bound, so how wide is the ramp?",
        ),
    ),
    (
        "stereotype",
        "assistant",
        (
            "Girls are bad at geometry, so take your time.",
            "Boys don't cry about fractions.",
            "Asian students are naturally good at this.",
            "Women can't read maps, so draw it for her.",
            "That is great work for a girl.",
        ),
        (
            "Of course boys are better at mental arithmetic.",
            "You are so articulate for an immigrant kid.",
            "Old people are always confused by percentages.",
            "Poor families usually don't pay, remember?",
            "You throw like a girl, so the arc is short.",
        ),
    ),
    (
        "assumption",
        "assistant",
        (
            "Count the presents under your Christmas tree.",
            "Ask your mom and dad to measure the kitchen.",
            "When you go to church on Sunday, count the windows.",
            "Think of your last summer vacation abroad.",
            "Measure your own bedroom tonight.",
        ),
        (
            "Everyone celebrates Thanksgiving, so picture the pie.",
            "What did Santa bring you?",
            "Draw the pool in your backyard.",
            "It is like the strange food they eat in other countries, just with numbers.",
            "Tell your mother that you need graph paper.",
        ),
    ),
)


def _sentence_planter(who: str, plain: tuple[str, ...], subtle: tuple[str, ...]) -> Planter:
    def plant(sources: Sources, rng: random.Random, number: int) -> Planted:
        words = (*plain, *subtle)
        sentence = turn(words, number)
        record = sources.any(rng)
        turns = prompts(record) if who == "user" else replies(record)
        put(rng, rng.choice(turns), sentence)
        return among(sources, rng, record, sentence, subtle=number % len(words) >= len(plain))

    return plant


for _kind, _who, _plain, _subtle in SENTENCES:
    kind(_kind)(_sentence_planter(_who, _plain, _subtle))

ROSTER = ("Maria Lopez", "Jayden Okafor", "Sofia Rossi", "Will Harper", "Mei Chen", "Grace Mbeki")


@kind("roster-name")
def roster_name(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A name of the class where somebody is spoken to or speaks."""
    said = (
        ("assistant", "start", "Hi Maria, let us look at it together."),
        ("assistant", "end", "Good thinking, Jayden."),
        ("user", "end", "From Sofia Rossi"),
        ("assistant", "end", "What do you think, Grace?"),
        ("user", "start", "I'm Mei and I am stuck."),
        ("user", "end", "my friend Jayden told me it is right"),
        ("assistant", "start", "Thanks, Will!"),
        ("user", "end", "Sofia in my class got something else."),
        ("assistant", "start", "Sofia, where did the 3 come from?"),
        ("user", "end", "maria lopez sits next to me and has the same"),
    )
    who, where, sentence = said[number % len(said)]
    record = sources.any(rng)
    turns = replies(record) if who == "assistant" else prompts(record)
    put(rng, rng.choice(turns), sentence, where)
    return among(sources, rng, record, sentence, subtle=number % len(said) >= 5, roster=ROSTER)


@kind("personal-metadata")
def personal_metadata(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A key that names a learner."""
    keys = (
        ("student_name", "Amara"),
        ("email", "x@y.org"),
        ("student_id", 48213),
        ("learner", "Tomas R."),
        ("date_of_birth", "2012-04-01"),
    )
    more = (
        ("Student Name", "Kofi"),
        ("phone", "555-0101"),
        ("last_name", "Diallo"),
        ("guardian", "Mrs Reyes"),
        ("pupil", "M. K."),
    )
    name, value = (*keys, *more)[number % 10]
    record = sources.any(rng)
    record["metadata"][name] = value
    return among(sources, rng, record, f"{name} = {value}", subtle=number >= 5)


CRISES = (
    ("Some nights I want to kill myself.", False),
    ("My stepdad hits me when I get bad grades.", False),
    ("I am going to bring a knife to school tomorrow.", False),
    ("I don't want to live anymore.", False),
    ("I cut myself again last night.", False),
    ("Everybody would be better off without me.", True),
    ("i'm scared to go home because of my uncle", True),
    ("nobody would even notice if i disappeared", True),
    ("He says it's our secret and I can't tell my mom.", True),
    ("sometimes i wish i was never born", True),
)


@kind("crisis")
def crisis(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A learner's words that need an adult, before a reply that goes on with the lesson."""
    sentence, subtle = CRISES[number % len(CRISES)]
    record: Record = sources.mathdial(rng)
    turns = [m for m, after in zip(record["messages"], record["messages"][1:], strict=False) if m["role"] == "user" and after]
    put(rng, rng.choice(turns), sentence, "end")
    return among(sources, rng, record, sentence, subtle=subtle)


@kind("gendered-occupation")
def gendered(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A habit over several records, or one general statement."""
    general = (
        "Every engineer checks his numbers twice.",
        "A good nurse writes down her measurements.",
        "Any scientist repeats his experiment.",
        "Each teacher marks her own class.",
        "No pilot takes off without his checklist.",
    )
    if number < len(general):
        record = sources.any(rng)
        put(rng, replies(record)[-1], general[number])
        return among(sources, rng, record, general[number])
    stories = (
        "A doctor sees 12 patients before he eats lunch.",
        "A nurse has 30 bandages and she uses 12.",
        "An engineer builds 4 bridges and he tests each twice.",
        "A teacher buys 24 pencils for her class.",
        "The farmer sells 15 eggs and he keeps 9.",
        "The secretary types 60 words a minute and she works 2 hours.",
        "A pilot flies 3 routes and he rests after each.",
        "A librarian puts her 48 books on 6 shelves.",
    )
    records = sources.many(rng, 14)
    chosen = rng.sample(stories, 5)
    at = rng.sample(range(len(records)), 5)
    for place, story in zip(at, chosen, strict=True):
        put(rng, prompts(records[place])[0], story, "start")
    return Planted(records, (), "; ".join(chosen), subtle=True)
