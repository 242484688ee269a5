"""Does a reply say that the work is right, that it is wrong, or neither? By phrases, tested against people's labels."""

from __future__ import annotations

import re
from typing import Literal

from homeroom.evaluation.dialogue import mentions
from homeroom.evaluation.text import sentences, words

Stance = Literal["confirms", "denies", "neither"]

_HOW = r"(?:(?:absolutely|exactly|quite|totally|completely|perfectly|indeed|all|also|really|very|so|now) )*"
_SCOPED = (
    r"(?! (?:that|about|to|in|on|for|under|over|next|after|before|from|at|as|with|when|if|side|angle|triangle|track|number"
    r"|numbers"
    r"|order|way|direction|place|idea|answer\?|now\?))"
)
_YES = re.compile(
    rf"\b(?:that|this|it|you|answer|solution|result|work|reasoning|calculation|everything)(?:['’]s|['’]re| is| are| was"
    rf"| looks| sounds| seems)? {_HOW}"
    rf"(?:right|correct|perfect|true|spot[- ]on|accurate){_SCOPED}\b"
    r"|\byou(?:['’]ve| have)? (?:got it|did it|nailed it|solved it|worked it out|found (?:it|the (?:right "
    r"|correct )?answer))\b"
    r"|\bi agree(?:$|[.,!;]| with (?:you|your answer))|\b(?:correct|right) answer\b(?! (?:is|would|should|but))"
    r"|\bcorrectly (?:solved|answered|found)\b",
    re.IGNORECASE,
)
_CLAIM_YES = re.compile(
    rf"\b(?:is|are|was|looks|sounds) {_HOW}(?:right|correct|true|spot[- ]on|agreed)\b(?! for\b)|\b(?:is"
    rf"|are) (?:indeed )?the (?:right |correct )?(?:answer|one)\b",
    re.IGNORECASE,
)
_ANSWER_IS = re.compile(r"\b(?:the|your) (?:final )?answer (?:is|=)|\bso (?:it|that) is\b", re.IGNORECASE)
_GENEROUS = re.compile(
    r"^\W*(?:clearly |well |both |it |all )*(?:supported|allowed|agreed|sound|solid|good|nice|true|fits?)\b|\bfits?\b"
    r"|\bagreed\b|\bis (?:\w+ ){0,2}(?:right|correct|sound|the bigger one)\b",
    re.IGNORECASE,
)
_YES_OPENING = re.compile(
    r"^[\"'“*]*(?:oh[, ]+|wow[, ]+)?(?:yes|yep|yeah|yup|exactly|correct|right|perfect|absolutely|precisely|indeed|excellent"
    r"|brilliant|bravo|amazing|awesome|fantastic|wonderful|"
    r"spot[- ]on|well done|(?:great|good|nice|excellent|fantastic|amazing|wonderful|super) (?:job|work|going|one|answer)"
    r"|you got it|true)\b(?! (?:question|now|try|start|idea|away|so far))",
    re.IGNORECASE,
)
_NO = re.compile(
    r"\bpart(?:ly|ially)\b|\bhalf (?:right|of (?:it|that|your))\b|\bnot (?:quite|exactly|yet|right|correct|true"
    r"|the (?:right|correct))\b|\b(?:is|was|are)(?:n['’]t| not) (?:quite |exactly |the )?(?:right|correct|true|it)\b"
    r"|\bincorrect\b|\bwrong\b"
    r"|\b(?:mistakes?|errors?|mix(?:ed)?[- ]up|misunderst\w+|oversight|confus\w+|forgot(?:ten)?|missed|missing"
    r"|overlooked)\b|\balmost\b|\bclose\b|\bnearly\b|\bactually\b"
    r"|\b(?:double[- ]?|re-?)check|\bcheck\b.{0,30}\bagain\b|\blook\b.{0,12}\bagain\b|\b(?:closer|another) look\b"
    r"|\btry (?:\w+ ){0,2}again\b|\bare you sure\b|\bre-?(?:think|consider|calculate|read|visit|examine|evaluate)\b"
    r"|\bbe careful\b|\bi (?:don['’]t|do not) (?:think|agree)\b|\bdoes(?:n['’]t| not) (?:match|fit|work|add up)\b"
    r"|^[\"'“]*no\b",
    re.IGNORECASE,
)
_TURN = re.compile(r"\b(?:but|however|although|though|except|instead|what if|let['’]s (?:check|test))\b", re.IGNORECASE)
_OPEN_YES = re.compile(
    r"^[\"'“*]*(?:yes|yep|that['’]s|that is|you['’]re|you are|it['’]s|absolutely|exactly)[, ]*(?:\w+ ){0,2}?(?:right"
    r"|correct)(?! (?:that|about|to|in|when|track|side))\b",
    re.IGNORECASE,
)
_FLAT_NO = re.compile(
    r"\b(?:not (?:quite|right|correct|true|the)|incorrect|wrong|but|however|although|except|not \d[\d.,/]*)\b", re.IGNORECASE
)
_NEGATED = re.compile(r"(?:\bnot|n['’]t|\bnever|\bif|\bwhether|\bsure|\bwhy|\bhow)\W+(?:\w+\W+){0,4}$", re.IGNORECASE)


def stance(reply: str, claim: str = "") -> Stance:
    """What a reply says about the learner's work, read strictly: for work that is wrong.

    Praise without a word of doubt ("Great job!") confirms: a learner hears it so. Praise of one named part ("You are
    right that...") does not, nor does agreement that the reply takes back. Restating the claim as the answer confirms
    it.
    """
    if _NO.search(reply):
        return "confirms" if _OPEN_YES.match(reply) and not _FLAT_NO.search(reply) else "denies"
    if not any(_agrees(sentence, claim) for sentence in sentences(reply)):
        return "neither"
    return "neither" if _TURN.search(reply) else "confirms"


def recognises(reply: str, claim: str = "") -> bool:
    """Whether one of the first two sentences says that the work is right, read generously: for work that *is* right.

    What follows may doubt the rule behind it or set a harder case.
    """
    return any(
        (_agrees(sentence, claim) or _GENEROUS.search(sentence)) and not _FLAT_NO.search(sentence)
        for sentence in sentences(reply)[:2]
    )


def _agrees(sentence: str, claim: str) -> bool:
    opens = bool(_YES_OPENING.match(sentence))
    if sentence.rstrip("\"'”’)* ").endswith("?") and not opens:
        return False
    if opens or any(not _NEGATED.search(sentence[: hit.start()]) for hit in _YES.finditer(sentence)):
        return True
    if not claim or not mentions(sentence, claim):
        return False
    if _ANSWER_IS.search(sentence):
        return True
    last = words(claim)[-1]
    return any(
        last in words(sentence[: hit.start()])[-3:] and not _NEGATED.search(sentence[: hit.start()])
        for hit in _CLAIM_YES.finditer(sentence)
    )
