"""Teaching: the learner keeps something to find, is praised for something, is not blamed, and is asked one thing at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator

from homeroom.data.lint.model import About, Hit, Options, Record, Rule, Text
from homeroom.data.lint.rules.text_answers import answer_forms, stated_answer
from homeroom.data.lint.rules.text_phrases import phrases
from homeroom.data.lint.rules.text_turns import shown, tutor_replies, unquoted
from homeroom.data.lint.words import word_set

_GUIDES = word_set(
    """diagnose practice guide hint scaffold asks-for-answer frustrated engage multilingual wrong-premise
    tutoring remediate homework"""
)
_GUIDING_WORDS = phrases(
    r"(?:do not|don['’]t|never|without) (?:give|giving|reveal|revealing|tell|telling)(?: away)?(?: the| them the| him the| her "
    r"the)? (?:final )?(?:answers?|solutions?)",
    r"socratic(?:ally)?",
    r"guide (?:the |your )?(?:learners?|students?|pupils?|child(?:ren)?)",
    r"(?:give|offer) (?:a )?hints?",
)


class AnswerGivenAway:
    """The first reply states the key's answer where the learner was to find it."""

    about = About(
        code="QUA006",
        name="answer-given-away",
        family="quality",
        severity="warning",
        what="The tutor's first reply states the answer although the task is to guide.",
        why="A tutor that is tuned on answers gives answers: the learner has nothing left to find.",
        do="Replace the answer by a question or a hint that leads to it.",
        bad='{"messages": [{"role": "user", "content": "A pen costs $3. What do 14 pens cost? I got 32."}, {"role": "assistant", '
        '"content": "Not quite. 14 pens cost $42."}], "metadata": {"scenario": "diagnose"}, "reference": {"answer": "42", '
        '"claim_is_correct": false}}',
        good='{"messages": [{"role": "user", "content": "A pen costs $3. What do 14 pens cost? I got 32."}, {"role": '
        '"assistant", '
        '"content": "Not quite. What do 10 pens cost, and then 4 more?"}], "metadata": {"scenario": "diagnose"}, "reference": '
        '{"answer": "42", "claim_is_correct": false}}',
        guideline="Quality: Pedagogical Value",
    )

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit where the first reply gives the answer."""
        reference = record.example.reference
        if not record.is_tutor or not reference or reference.get("claim_is_correct") is True or not _guides(record):
            return
        first = next(tutor_replies(record), None)
        forms = answer_forms(reference)
        if first is None or not forms:
            return
        index, text = first
        prompt = "\n".join((*(m.content for m in record.example.messages[:index]), *record.example.context))
        sentence = stated_answer(text, forms, prompt)
        if sentence:
            yield Hit(
                f"Turn {index + 1} gives the answer {shown(forms[0])} away: {shown(sentence)}. Ask or hint instead.",
                quote=sentence,
            )


def _guides(record: Record) -> bool:
    """Whether the tutor's task is to guide: the scenario says so, or where none is given the system turn does."""
    scenario = record.metadata.get("scenario")
    if scenario:
        return scenario in _GUIDES
    return any(_GUIDING_WORDS.search(text.content) for _, _, text in record.turns("system"))


# --- praise and blame ---------------------------------------------------------------------------------------------------
_PRAISE = word_set(
    """great good well perfect excellent fantastic amazing awesome brilliant wonderful super superb nice lovely terrific
    outstanding marvellous marvelous incredible fabulous bravo congratulations congrats smart clever genius brilliantly
    superstar"""
)
_EMPTY = _PRAISE | word_set(
    """job work done working try effort that's that’s that thats is it it's it’s this you you're you’re are so very
    really        now the  a an and i'm i’m i am proud of for your keep going up
    on way to go absolutely totally all again there  did have made just such too ok okay there's as always my friend
    star student thinking superstar thank thanks amazingly finally    doing fine today best we here
    what let's let’s continue move next one ahead another how"""
)


_CONFIRMS = word_set("correct right exactly yes yeah yep solution solved solving answer indeed")


class EmptyPraise:
    """A reply of praise alone: nothing says what was good. Saying that an answer is right is feedback, and is left alone."""

    about = About(
        code="QUA007",
        name="empty-praise",
        family="quality",
        severity="info",
        what="A reply only praises: it names nothing that the learner did.",
        why="Praise without substance teaches nothing, and a tuned model learns to end on it.",
        do="Say what the learner did well, and what it shows.",
        bad="learner: I added the ones first, so 34.\ntutor: Great job! Well done!",
        good="learner: I added the ones first, so 34.\ntutor: Great: adding the ones first showed you the extra ten.",
        guideline="Educational: Feedback Quality",
    )

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each record, at its first such reply."""
        for index, text in tutor_replies(record):
            if len(text.content) <= 120 and _only_praises(text):
                yield Hit(
                    f"Turn {index + 1} praises without saying what was good: {shown(text.content)}. Name what the learner did.",
                    quote=text.content.strip(),
                )
                return


def _only_praises(text: Text) -> bool:
    words = text.words
    if not words or "?" in text.content or any(character.isdigit() for character in text.content):
        return False
    if _PRAISE.isdisjoint(words) or not _CONFIRMS.isdisjoint(words):
        return False
    rest = [word for word in words if word not in _EMPTY]
    # A name: one more word, with a capital where it stands.
    return not rest or (len(rest) == 1 and rest[0].capitalize() in text.content and rest[0] not in text.content)


_BLAME = phrases(
    r"you (?:should|ought to) (?:already )?(?:have )?know(?:n)?(?: by now| this| that| better| it)",
    r"you(?:['’]re| are)(?: clearly| obviously| just)? (?:not (?:listening|paying attention|trying|concentrating|thinking)"
    r"|(?:so |very |too )?(?:careless|lazy|sloppy|slow|hopeless)|wrong again)",
    r"you(?:['’]re| are) (?:not|n['’]t) (?:quite |really )?(?:grasping|getting|following|understanding) (?:the|this|it|that"
    r"|what)",
    r"you (?:aren['’]t|are not) (?:quite |really |even )?(?:listening|paying attention|trying|grasping|getting|thinking|reading)",
    r"you(?:['’]re| are)n['’]t (?:listening|paying attention|trying)",
    r"you (?:clearly|obviously) (?:did(?: not|n['’]t)|do(?: not|n['’]t)|have(?: not|n['’]t)|are(?: not|n['’]t)|were(?: not"
    r"|n['’]t))",
    r"you (?:did(?: not|n['’]t)|do(?: not|n['’]t)) (?:even )?(?:bother|listen|pay attention|care|try)",
    r"you (?:always|never) (?:get|make|listen|learn|pay|read|think|understand)",
    r"(?:careless|silly|stupid|dumb|foolish|sloppy) (?:mistakes?|errors?|answers?|work|thing|question)",
    r"how (?:could|can) you (?:not|possibly|still)",
    r"any(?:one|body) (?:can|could|knows|would know)",
    r"i(?:['’]ve| have)? (?:already|just) (?:told|explained|said|showed|shown) (?:you|this|that|it)",
    r"(?:how many times (?:do|must|have) i|for the last time|as i(?:['’]ve| have)? (?:already )?said (?:before|already|many "
    r"times))",
    r"what(?:['’]s| is) wrong with you",
    r"(?:this|that|it)(?:['’]s| is) (?:not )?(?:really |so |very |quite )?(?:obvious|trivial|child['’]?s play|basic stuff)",
    r"(?:even|any) (?:a )?(?:baby|toddler|kindergartner|first grader|child|five.year.old) (?:could|can|knows|would)",
    r"you(?:['’]re| are) (?:just )?(?:guessing|making (?:things|it|stuff) up)",
    r"shame on you|pay (?:more )?attention|wrong again|try harder|stop guessing|don['’]t be (?:silly|lazy|stupid|daft)|not good "
    r"enough",
    r"you failed to|i(?:['’]m| am) disappointed",
)
_BLAME_HINTS = word_set(
    """anyone anybody know known listening attention trying careless lazy sloppy slow hopeless wrong grasping getting
    following understanding clearly obviously bother listen care always never silly stupid dumb foolish how already just
    times last said obvious trivial basic baby toddler kindergartner grader child five guessing making shame harder failed
    disappointed good enough play concentrating thinking reading even try"""
)


class LearnerBlamed:
    """A reply that blames the learner or belittles the task."""

    about = About(
        code="QUA008",
        name="learner-blamed",
        family="quality",
        severity="warning",
        what="A reply blames the learner or says that the task is easy: 'you should know this', 'careless mistake', 'that is "
        "obvious'.",
        why="Blame makes learners hide what they do not know, and a tuned model picks up the tone.",
        do="Say what happened in the work, and what to look at next.",
        bad="You should know this by now. Look at the ones again.",
        good="The tens are right. Look at the ones again.",
        guideline="Educational: Feedback Quality",
    )

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each reply."""
        for index, text in tutor_replies(record):
            if _BLAME_HINTS.isdisjoint(text.word_set):
                continue
            match = _BLAME.search(unquoted(text.content))
            if match is not None:
                yield Hit(
                    f"Turn {index + 1}: {shown(match.group())} blames the learner. Say what happened in the work instead.",
                    quote=match.group(),
                )


# --- one thing at a time ------------------------------------------------------------------------------------------------
_STEP = re.compile(r"(?<!\S)(?:step\s+)?(\d{1,2})[.):]\s+[A-Z*]|\b[Ss]tep (\d{1,2})\b")
_DO = (
    "(?:add|subtract|multiply|divide|find|write|draw|count|read|underline|circle|look|check|compare|simplify|solve|convert|measure|label|list"
    "|make|put|take|use|choose|calculate|work|figure|round|estimate|tell|explain|think|line|move|fill|turn|set|start|go|try|pick|combine|cross"
    "|share|split|cut|fold|colou?r|plot|describe|name|mark|highlight|sketch|imagine|say|ask|give)"
)
_THEN = rf"[^?]{{2,160}}?\b(?:then|next|second(?:ly)?|third(?:ly)?|after that|finally|lastly),? (?:you )?{_DO}\b"
_CHAIN = re.compile(rf"(?:^|[.!?:]\s+|,\s+)first(?:ly)?,? (?:you )?{_DO}\b{_THEN}{_THEN}", re.IGNORECASE)
_TOLD_STEPS = frozenset({"explain", "explanation", "demonstrate", "worked-example", "unsafe", "off-topic", "lesson"})


class SeveralAtOnce:
    """One turn asks three questions or more, or gives three steps or more."""

    about = About(
        code="QUA009",
        name="several-at-once",
        family="quality",
        severity="warning",
        what="One turn asks more than two questions, or sets more than two steps.",
        why="A learner answers one thing at a time; a tuned model that asks three leaves two unanswered.",
        do="Keep the question that matters most now, and leave the others for later turns.",
        bad="What is the whole? How many parts are there? Are the parts equal?",
        good="How many equal parts does the whole have?",
        guideline="Quality: Clarity",
    )

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each turn."""
        most = options.value("QUA009", "most", 2)
        for index, text in tutor_replies(record):
            asked = text.content.count("?")
            if asked > most and (count := _questions(unquoted(text.content))) > most:
                yield Hit(
                    f"Turn {index + 1} asks {count} questions at once. Keep the one that matters now.",
                    quote=text.content[:160],
                )
            elif record.metadata.get("scenario") not in _TOLD_STEPS and (steps := _steps(text)) > most:
                yield Hit(
                    f"Turn {index + 1} sets {steps} steps at once. Give the first and wait for the learner.",
                    quote=text.content[:160],
                )


def _questions(content: str) -> int:
    """Sentences that ask; "3 + 4 = ?" and "right?" are no questions of their own."""
    asked = {" ".join(part.lower().split()) for part in re.findall(r"[^.?!\n]{3,}\?", content) if "=" not in part[-4:]}
    return sum(len(question.split()) >= 3 for question in asked)


def _steps(text: Text) -> int:
    content = text.content
    if "3" in content and {1, 2, 3} <= (named := {int(a or b) for a, b in _STEP.findall(content)}):
        return len(named)
    return 3 if "first" in text.word_set and len(text.words) > 12 and _CHAIN.search(content) else 0


RULES: tuple[Rule, ...] = (AnswerGivenAway(), EmptyPraise(), LearnerBlamed(), SeveralAtOnce())
