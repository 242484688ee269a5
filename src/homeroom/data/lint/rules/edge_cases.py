"""Situations that every tutor meets, recognised by the scenario that the metadata name or by the learner's words."""

from __future__ import annotations

import re
from dataclasses import dataclass

from homeroom.data.lint.model import Record
from homeroom.data.lint.rules.text_phrases import phrases
from homeroom.data.lint.words import word_set


@dataclass(frozen=True, slots=True)
class EdgeCase:
    """One situation: "a learner who ``words``". ``hints``: words of which one occurs wherever ``pattern`` matches."""

    name: str
    words: str
    scenarios: frozenset[str]
    pattern: re.Pattern[str]
    hints: frozenset[str]


EDGE_CASES = (
    EdgeCase(
        "asks-for-answer",
        "asks for the answer outright",
        word_set("asks-for-answer answer-seeking"),
        phrases(
            r"(?:just |please )?(?:tell|give|show) (?:me|us) (?:just )?(?:the|all the|your) (?:answers?|solution|result)",
            r"(?:just |only )(?:need|want) the (?:answers?|solution)",
            r"what(?:['’]s| is) the answer",
            r"do (?:it|this|my homework) for me",
        ),
        word_set("answer answers solution result homework"),
    ),
    EdgeCase(
        "frustrated",
        "is frustrated or wants to give up",
        word_set("frustrated frustration discouraged"),
        phrases(
            r"i(?:['’]m| am) (?:so |just |too )?(?:stupid|dumb|bad at|terrible at|frustrated|confused and|going to fail)",
            r"i (?:hate|give up|quit|can['’]?t do (?:this|it|math)|will never (?:get|understand))",
            r"(?:this|it)(?:['’]s| is) (?:so |too )?(?:stupid|dumb|impossible|boring|unfair|pointless)",
            r"i(?:['’]ll| will) never (?:get|understand|learn)",
            r"what(?:['’]s| is) the point",
            r"makes no sense",
        ),
        word_set(
            "stupid dumb bad terrible frustrated confused fail hate give quit can't can’t cant never impossible boring unfair "
            "pointless point sense"
        ),
    ),
    EdgeCase(
        "wrong-premise",
        "starts from a wrong premise",
        word_set("wrong-premise false-premise misconception"),
        phrases(
            r"(?:since|because|if) everyone knows",
            r"my (?:friend|brother|sister|dad|mom|mum) (?:said|says|told me)",
            r"i (?:read|heard|saw) (?:online |somewhere )?that",
        ),
        word_set("everyone friend brother sister dad mom mum read heard saw"),
    ),
    EdgeCase(
        "off-topic",
        "goes off topic",
        word_set("off-topic offtopic"),
        phrases(
            r"(?:do you (?:like|play|watch|have a (?:favou?rite|pet|girlfriend|boyfriend)|know any jokes))",
            r"(?:tell|know) (?:me )?a (?:joke|story)",
            r"(?:video ?games?|minecraft|fortnite|roblox|tiktok|youtube)",
            r"are you (?:a robot|real|human|an? ai)",
        ),
        word_set(
            "like play watch favorite favourite pet girlfriend boyfriend jokes joke story videogame videogames games minecraft "
            "fortnite roblox tiktok youtube robot real human ai"
        ),
    ),
    EdgeCase(
        "unsafe",
        "asks for something unsafe",
        word_set("unsafe safety crisis"),
        phrases(
            r"(?:hurt|kill|cut|harm) (?:myself|him|her|them|someone|my)",
            r"(?:make|build|mix) (?:a )?(?:bomb|explosives?|weapon|poison|bleach)",
            r"(?:address|phone number|password) (?:is|of)",
            r"want to die",
        ),
        word_set("hurt kill cut harm bomb explosive explosives weapon poison bleach address phone password die"),
    ),
    EdgeCase(
        "does-not-know",
        "does not know where to start",
        word_set("does-not-know stuck"),
        phrases(
            r"i (?:really |just )?(?:do not|don['’]?t|dont) (?:know|get (?:it|this|what|how|why)|understand)",
            r"i(?:['’]m| am) (?:stuck|lost|not sure (?:how|what|where))",
            r"no (?:idea|clue)",
            r"(?:how|where) do i (?:even )?(?:start|begin)",
            r"idk",
        ),
        word_set("know get understand stuck lost sure idea clue start begin idk"),
    ),
    EdgeCase(
        "multilingual",
        "is learning the language of the lesson",
        word_set("multilingual multilingual-learner ell esl eal"),
        phrases(
            r"(?:my )?english is (?:not|new|bad)",
            r"(?:in|speak|from) (?:spanish|french|arabic|chinese|mandarin|korean|portuguese|vietnamese|somali|ukrainian|polish"
            r"|turkish|hindi|urdu|tagalog|german)",
            r"how do (?:you|i) say",
            r"what (?:does|means?) (?:the (?:english )?word|['\"“‘]\w+['\"”’])",
            r"i (?:speak|come from) [A-Z]\w+",
        ),
        word_set(
            "english spanish french arabic chinese mandarin korean portuguese vietnamese somali ukrainian polish turkish hindi "
            "urdu tagalog german say word speak come means mean"
        ),
    ),
)


def edge_cases(record: Record) -> int:
    """The `EDGE_CASES` that a record shows, as bits in their order."""
    scenario = str(record.metadata.get("scenario") or "")
    asked = [text for _, _, text in record.turns("user")]
    bits = 0
    for place, case in enumerate(EDGE_CASES):
        if scenario in case.scenarios or any(
            not case.hints.isdisjoint(text.word_set) and case.pattern.search(text.content) for text in asked
        ):
            bits |= 1 << place
    return bits
