"""Teaching moves in one sentence or one turn, found by fixed rules on English wording.

The moves follow those that studies of tutoring dialogues name: focus, probing, telling, generic talk (MathDial, EMNLP 2023), and
questions that ask for a reason as against those that a yes answers (accountable talk). The rules look at words, never at meaning.
"""

from __future__ import annotations

import re
from typing import Literal

from homeroom.chat.words import COMMON_WORDS

QuestionKind = Literal["open", "short", "choice", "yes-no"]

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+")
_LEAD_IN = re.compile(
    r"^(?:(?:so|ok|okay|well|now|and|but|then|hmm+|um+|right|alright|all right|great|good|nice|yes"
    r"|no|thanks|thank you|hey|hi|hello)\b"
    r"[\s,.!:;-]*)+",
    re.IGNORECASE,
)
_VOCATIVE = re.compile(r"^[A-Z][\w'’-]+,\s+(?=\w)")
_WH_WITH_VERB = re.compile(
    r"^(?:how|why|what|which|where|who|when)(?:'s|’s)?\s+"
    r"(?:is|are|was|were|do|does|did|can|could|would|will|should|have|has|many|much|about|if|makes?"
    r"|made|happens?|comes?)\b",
    re.IGNORECASE,
)
_REASONING = re.compile(
    r"\b(?:why|how did you|how do you know|how do you see|how come|how could you|how would you"
    r"|how can you|what made you|what makes you"
    r"|what were you thinking|what are you thinking|what do you mean|what did you do|(?:can|could"
    r"|would|will|please) (?:you )?"
    r"(?:explain|show|tell|describe|draw)|explain|show me|draw|tell me (?:how|why|about|more|what)"
    r"|(?:walk|talk) me through"
    r"|convince me|describe|where did you get|how does that|how is that)\b",
    re.IGNORECASE,
)
_NOT_REASONING = re.compile(
    r"\b(?:that(?:'s|’s| is) why|which is why|this is why|(?:i|i'll|i’ll|i will|let me|i can"
    r"|i am going to|i'm going to) "
    r"(?:just )?(?:explain|show|tell|draw|describe))\b",
    re.IGNORECASE,
)
_AUXILIARY = re.compile(
    r"^(?:is|are|am|was|were|do|does|did|don't|doesn't|didn't|isn't|aren't|wasn't|can|can't|could"
    r"|couldn't|would|wouldn't|will|won't"
    r"|should|shouldn't|have|has|haven't|hasn't|may|might|must|don’t|doesn’t|didn’t|isn’t|aren’t"
    r"|can’t|couldn’t|wouldn’t)\b",
    re.IGNORECASE,
)
_TAG = re.compile(
    r"(?:^|[,;]\s*|\s)(?:right|ok|okay|yes|no|yeah|isn['’]t it|aren['’]t they|doesn['’]t it"
    r"|don['’]t you|don['’]t you think|got it|get it"
    r"|you see|see|understand|agreed?|correct|huh|make sense|makes sense)\s*\?+$",
    re.IGNORECASE,
)
_OPEN = re.compile(
    r"^(?:how(?! (?:many|much|old|long|far|big|tall|often)\b)|why)\b"
    r"|\bwhat (?:do|did|does|would|could|might|can|will) (?:you|we|it|they|that|this|happen)\b"
    r"|\bwhat (?:happens|happened|if|else|about|would happen|changes|stays)\b",
    re.IGNORECASE,
)
_REQUEST = re.compile(r"^(?:can|could|would|will) you (?:please |maybe |just )?(?!see\b|understand\b|agree\b)\w+", re.IGNORECASE)
_PROCEDURE = re.compile(
    r"\b(?:you (?:just |only |first |always |now )?(?:need to|have to|must|should|can just"
    r"|just have to|add|subtract|multiply|divide|carry|borrow)"
    r"|all you (?:have|need) to|just (?:find|make|add|subtract|multiply|divide|count|carry|flip|move|put|take"
    r"|use|change|write|do|remember)"
    r"|the (?:rule|trick|way to do it) is|first,? you|then you|remember (?:that|to))\b",
    re.IGNORECASE,
)
_PRAISE = re.compile(
    r"\b(?:(?:great|good|nice|awesome|excellent|amazing|wonderful|fantastic|brilliant|super|perfect|lovely|fine) "
    r"(?:job|work|thinking|try|effort|question|idea|one|answer|point|start|going|reasoning)"
    r"|well done|way to go|you(?:'re| are|’re) (?:so )?"
    r"(?:smart|clever|great|amazing|brilliant)|i like (?:that|how|your|the way)|i love (?:that|how"
    r"|your|the way)|good|great|awesome|excellent"
    r"|amazing|perfect|fantastic|wonderful|brilliant|super|bravo)\b",
    re.IGNORECASE,
)
_BARE_PRAISE_WORD = re.compile(
    r"\b(?:good|great|perfect|super|amazing|wonderful|fantastic|brilliant|awesome|excellent)\b", re.IGNORECASE
)
_SPECIFIC = re.compile(
    r"\b(?:because|how you|that you|the way you|for (?:explaining|showing|trying|checking|telling"
    r"|noticing|drawing|asking)"
    r"|you (?:used|noticed|drew|counted|checked|explained|tried|found|said|thought|compared|lined"
    r"|showed|saw|read|looked|remembered|kept"
    r"|multiplied|added|split|made|asked))\b",
    re.IGNORECASE,
)
_CONFIRMATION = re.compile(
    r"^(?:(?:yes|yep|yeah|right|correct|exactly|perfect)[!.]*$|(?:(?:yes|yep"
    r"|yeah)[,!.\s]+)?(?:that['’]?s (?:right|correct|it)|that is (?:right|correct)"
    r"|you(?:'re|’re| are) (?:right|correct)|you got it|correct|exactly|well done|(?:great|good|nice"
    r"|excellent|perfect) (?:job|work|answer)))",
    re.IGNORECASE,
)
# Around a form of the answer that the problem names itself: "it's 1/3", "21 is more", "the answer would be 7".
_STATED_BEFORE = re.compile(
    r"(?:\b(?:is|are|was|were|be|equals?|makes?|gives?|get|answer|so|therefore|choose|pick|means)"
    r"|['’]s)\b(?:\W+\w+){0,2}\W*$",
    re.IGNORECASE,
)
_STATED_AFTER = re.compile(r"^\W*(?:\w+\s+){0,1}(?:is|are|was|were)\b", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:[.,:]\d+)*(?:\s*/\s*\d+)?(?:\s*%)?")
_WORD = re.compile(r"[a-zA-Z][a-zA-Z'’-]+")


def sentences(text: str) -> tuple[str, ...]:
    """``text`` cut at full stops, exclamation and question marks followed by a space."""
    return tuple(part.strip() for part in _SENTENCE_END.split(text.strip()) if part.strip())


def without_lead_in(sentence: str) -> str:
    """``sentence`` without "So," "Okay," or a name in front; the sentence itself when nothing else is left."""
    shorter = _VOCATIVE.sub("", _LEAD_IN.sub("", sentence)).strip()
    return shorter or sentence


def is_question(sentence: str) -> bool:
    """Whether it asks: a question mark, or a question word with its verb in front."""
    return sentence.rstrip("\"'”’)").endswith("?") or bool(_WH_WITH_VERB.match(without_lead_in(sentence)))


def asks_for_reasoning(sentence: str) -> bool:
    """Whether it asks the learner to explain, show or give a reason, as a question or as a request."""
    return bool(_REASONING.search(sentence)) and not _NOT_REASONING.search(sentence)


def question_kind(sentence: str) -> QuestionKind:
    """What can answer this question: anything (``open``), one fact (``short``), one of two (``choice``), or yes and no."""
    core = without_lead_in(sentence)
    if asks_for_reasoning(core):
        return "open"
    if _TAG.search(core):
        return "yes-no"
    if _REQUEST.match(core):
        return "open"
    if _AUXILIARY.match(core):
        return "choice" if re.search(r"\bor\b", core, re.IGNORECASE) else "yes-no"
    return "open" if _OPEN.search(core) else "short"


def tells_procedure(sentence: str) -> bool:
    """Whether it says what to do instead of asking."""
    return not is_question(sentence) and bool(_PROCEDURE.search(sentence))


def states_answer(sentence: str, forms: tuple[str, ...], problem: str) -> bool:
    """Whether it states one of ``forms`` of the right answer; a form that the problem names counts only when asserted."""
    if is_question(sentence) and not _TAG.search(sentence):
        return False
    for form in forms:
        everyday = not re.search(r"\d", form) and " " not in form.strip()
        needs_verb = everyday or mentions(problem, form)
        for found in _find_all(form, sentence):
            before, after = sentence[: found.start()], sentence[found.end() :]
            if not needs_verb or _STATED_BEFORE.search(before) or _STATED_AFTER.match(after):
                return True
    return False


def mentions(text: str, form: str) -> bool:
    """Whether ``form`` stands in ``text`` as a whole: 5 is not in 15, nor in 5/6."""
    return bool(_find_all(form, text))


def last_mention(text: str, form: str) -> int:
    """Where ``form`` stands in ``text`` for the last time, -1 if it does not."""
    return max((found.start() for found in _find_all(form, text)), default=-1)


def _find_all(form: str, text: str) -> list[re.Match[str]]:
    form = form.strip().rstrip(".")
    if not form:
        return []
    body = re.escape(form).replace(r"\ ", r"\s+")
    return list(re.finditer(r"(?<![\w/])(?<!\d[.,])" + body + r"(?![\w/]|[.,]\d)", text, re.IGNORECASE))


def confirms(sentence: str) -> bool:
    """Whether it says that the learner is right."""
    return not is_question(sentence) and bool(_CONFIRMATION.match(sentence.strip()))


def praises(sentence: str) -> bool:
    """Whether it praises. A lone "good" inside a longer sentence is no praise."""
    found = _PRAISE.search(sentence)
    if found is None or is_question(sentence):
        return False
    if _BARE_PRAISE_WORD.fullmatch(found.group()):
        return len(sentence.split()) <= 3 or sentence.lower().startswith(found.group().lower())
    return True


def praise_is_specific(sentence: str, learner_words: frozenset[str]) -> bool:
    """Whether praise says what it is for: a reason, something the learner did, a number, or a word of the learner's."""
    if _SPECIFIC.search(sentence) or _NUMBER.search(sentence):
        return True
    return bool(content_words(sentence) & learner_words)


def numbers(text: str) -> frozenset[str]:
    """The numbers in ``text`` as written, without spaces: ``3``, ``2/6``, ``0.5``, ``50%``."""
    return frozenset(re.sub(r"\s", "", found.group()).rstrip(".,") for found in _NUMBER.finditer(text))


def content_words(text: str) -> frozenset[str]:
    """The telling words in ``text``: four letters or more, lower case, common ones left out."""
    words = (word.lower().strip("'’-") for word in _WORD.findall(text))
    return frozenset(word for word in words if len(word) >= 4 and word not in COMMON_WORDS)
