"""Text that nobody should learn: broken characters, leftovers of templates and models, dead links, claims that go stale."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from homeroom.data.lint.model import About, Edit, Hit, Options, Record, Rule
from homeroom.data.lint.rules.text_links import link_faults
from homeroom.data.lint.rules.text_phrases import phrases
from homeroom.data.lint.rules.text_turns import in_quotes, replies, shown, tutor_replies
from homeroom.data.lint.words import word_set

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Phrases:
    """A rule that reports phrases in the replies to learn: one hit for each reply.

    Attributes:
        about: As for every rule.
        pattern: What is reported.
        hints: Words of which one occurs wherever ``pattern`` matches: most replies are done with after asking for these.
        advice: What the message says after the quote.
        mend: Content and place to the content without it; None where a person must decide.
        needs_person: Whether no rule can decide it.
        tutors_only: Whether a learner's record is left alone.
    """

    about: About
    pattern: re.Pattern[str]
    hints: frozenset[str]
    advice: str
    mend: Callable[[str], str] | None = None
    needs_person: bool = False
    tutors_only: bool = False

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each reply, with an edit where one is safe."""
        for index, text in tutor_replies(record) if self.tutors_only else replies(record):
            if self.hints.isdisjoint(text.word_set):
                continue
            match = self.pattern.search(text.content)
            if match is None or in_quotes(text.content, match.group()):
                continue
            mended = self.mend(text.content) if self.mend else ""
            edit = Edit(index, mended) if mended and mended != text.content else None
            quote = match.group().strip()
            message = f"Turn {index + 1}: {shown(quote)} {self.advice}"
            yield Hit(message, quote=quote, edit=edit, needs_person=self.needs_person)


# --- leftovers of other models ------------------------------------------------------------------------------------------
_REFUSAL = phrases(
    r"as an? (?:ai|artificial intelligence|large) (?:language )?(?:model|assistant|chatbot|system)",
    r"as an ai,? i",
    r"i(?:['’]m| am) (?:just |only )?an? (?:ai|large) language model",
    r"i(?:['’]m| am) (?:chatgpt|claude|gemini|bard|bing|copilot|llama|mistral|grok)",
    r"(?:trained|developed|created) by (?:openai|google|anthropic|meta|microsoft|mistral|deepmind)",
    r"my (?:training data|knowledge cut-?off|last (?:knowledge )?update)",
    r"i(?:['’]m| am) sorry,? but i (?:can(?:no|['’])t|am (?:unable|not able) to|['’]m (?:unable|not able) to) "
    r"(?:assist|fulfil+|comply|help with (?:that|this|your) request|provide|complete)(?: with)?",
    r"i can(?:no|['’])t (?:fulfil+|comply with|complete) (?:that|this|your) request",
    r"i(?:['’]m| am) (?:unable|not able) to (?:help|assist)(?: you)? with (?:that|this|your)",
    r"sorry,? (?:but )?i can(?:no|['’])t (?:help|assist)(?: you)? with (?:that|this|your)",
    r"i do(?: not|n['’]t) have (?:personal (?:opinions|experiences|feelings)|access to real-?time|the ability to (?:browse"
    r"|access))",
    r"openai['’]?s? (?:use case|usage|content) polic(?:y|ies)",
)
_BOILERPLATE = phrases(
    r"(?:certainly|absolutely|sure(?: thing)?|of course)[!,.] (?:here(?:['’]s| is| are)|i(?:['’]d| would|['’]ll| can)"
    r"|let(?:['’]s| me))",
    r"certainly!",
    r"i(?:['’]d| would) be (?:happy|glad|delighted) to (?:help|assist)",
    r"(?:i )?hope (?:this|that) helps?",
    r"(?:please )?feel free to (?:ask|reach out)",
    r"let me know if you (?:have any|need any|would like|['’]d like) (?:other |more |further |additional )?(?:questions?|help"
    r"|assistance|clarification)",
    r"(?:if you have|do you have) any (?:other|more|further|additional) questions,? (?:please )?(?:feel free|let me know"
    r"|don['’]t hesitate)",
    r"don['’]t hesitate to (?:ask|reach out)",
    r"delv(?:e|es|ing) (?:deeper )?into",
    r"rich tapestry",
    r"(?:it['’]s|it is) (?:important|worth|crucial|essential) (?:to note|noting|to remember) that",
    r"in the (?:realm|world) of (?:mathematics|science|history|literature|education|learning)",
    r"treasure trove of",
    r"embark(?:ing)? on (?:a|this|your|our) (?:journey|adventure|exploration)",
    r"(?:is|stands as) a testament to",
    r"navigat(?:e|ing) the complexities",
    r"here(?:['’]s| is) a (?:step-by-step|comprehensive|detailed) (?:guide|explanation|breakdown|solution|overview)",
    r"in conclusion,",
    r"i(?:['’]m| am) here to (?:help|assist) you (?:with|every)",
    r"happy learning!",
    r"is there anything else (?:i can|you(?:['’]d| would) like|that i can)",
)
_BOILERPLATE_HINTS = word_set(
    """certainly absolutely sure of here here's here’s happy glad delighted hope feel let hesitate don't don’t delve delves
    delving tapestry important worth crucial essential realm world trove embark embarking testament navigate navigating
    conclusion assist questions step-by-step comprehensive detailed"""
)
_OPENER = re.compile(
    r"^\s*(?:certainly|absolutely|sure(?: thing)?|of course)[!.] +(?=[A-Z])|^\s*(?:sure[!,.] )?i(?:['’]d| would) be (?:happy"
    r"|glad|delighted)"
    r" to (?:help|assist)(?: you)?(?: with (?:that|this))?[!.] +(?=[A-Z])",
    re.IGNORECASE,
)
_CLOSER = re.compile(
    r"(?<=[.!?])\s+(?:(?:i )?hope (?:this|that) helps?|(?:please )?feel free to (?:ask|reach out)[^.!?]{0,80}|happy learning"
    r"|let me know if you (?:have any|need any|would like|['’]d like)[^.!?]{0,80}|if you have any[^.!?]{0,100}"
    r"|don['’]t hesitate to (?:ask|reach out)[^.!?]{0,60})[.!]+\s*$",
    re.IGNORECASE,
)


def _without_stock_phrases(content: str) -> str:
    """Without the stock opening and closing sentences; all of it where nothing else would be left."""
    mended, before = content, ""
    while mended != before:
        before, mended = mended, _CLOSER.sub("", _OPENER.sub("", mended))
    return mended if len(mended.split()) >= 4 else content


# --- claims that go stale -----------------------------------------------------------------------------------------------
_DATED = phrases(
    r"as of (?:(?:19|20)\d\d|today|this writing|now|(?:january|february|march|april|may|june|july|august|september|october"
    r"|november|december))",
    r"(?:current|present|incumbent|reigning) (?:us |u\.s\. |british |french |world )?(?:president|prime minister|king|queen|pope"
    r"|champion"
    r"|monarch|chancellor|governor|mayor|world record|record holder|ceo|population)",
    r"latest (?:version|research|news|edition|estimates?|data|stud(?:y|ies)|figures|discover(?:y|ies)|findings|statistics|census"
    r"|model)",
    r"(?:is|are) currently (?:the (?:largest|tallest|fastest|biggest|oldest|richest|longest|most)|estimated|home to|led by"
    r"|under construction"
    r"|the (?:president|prime minister|king|queen))",
    r"currently (?:stands at|ranks|holds the)",
    r"recently (?:discovered|announced|launched|released|published|elected)",
    r"(?:the )?world(?:['’]s)? population (?:is|of|has reached|stands at) [^.!?]{0,20}(?:billion|million)",
    r"there are (?:now |currently )?(?:about |over |around |more than |nearly )?\d[\d.,]* (?:billion|million) people (?:on|in"
    r"|living)",
    r"in recent years",
    r"(?:this|last|next) year,? (?:in )?(?:19|20)\d\d",
    r"is (?:still |now )?the [^.?!]{0,40}(?:president|prime minister|king|queen|pope|champion|head of state|ceo|record holder"
    r"|leader)"
    r"[^.?!]{0,20} (?:today|now|at the moment|nowadays|these days)",
    r"(?:last|this|next) year['’]s (?:elections?|winner|champions?|olympics?|olympic games|world cup|super bowl|census)",
)
_DATED_HINTS = word_set(
    """as current present incumbent reigning latest currently recently population billion million recent year year's year’s years
    today now nowadays moment days"""
)


# --- templates ----------------------------------------------------------------------------------------------------------
_PLACEHOLDER = re.compile(
    r"\[(?!EMAIL|PHONE)[A-Z]{3,}(?:[ _-][A-Z]{2,})*\]"
    r"|[\[<](?:insert|enter|add|your|put|student['’]?s?|learner['’]?s?|teacher['’]?s?|child['’]?s?) [^\]<>\n]{1,40}[\]>]"
    r"|[\[<](?:name|first name|student name|student_name|grade|subject|topic|date|school|answer|question)[\]>]"
    r"|\{\{[^{}\n]{0,60}\}\}|\$\{\w+\}|%\(\w+\)s"
    r"|(?<![\\\w}])\{(?:name|student|learner|teacher|topic|grade|subject|input|output|question|answer|text|context"
    r"|[a-z]+_[a-z_]+)\}"
    r"|#{2,3} ?(?:Response|Instruction|Input|Assistant|Human|User):"
    r"|^(?:Human|Assistant|User|AI|ASSISTANT|USER): "
    r"|\b(?:TODO|FIXME|TBD|XXX+)\b|\b[Ll]orem [Ii]psum\b|\b(?:INSERT|YOUR)_[A-Z_]+\b",
    re.MULTILINE,
)
_PLACEHOLDER_MARKS = (
    *("[", "{", "<", "%(", "#", "TODO", "FIXME", "TBD", "XXX", "orem ", "YOUR_", "INSERT_"),
    *("Human", "Assistant", "User", "AI:", "ASSISTANT", "USER"),
)


class Placeholder:
    """A place of a template that nobody filled in, in any turn."""

    about = About(
        code="QUA016",
        name="placeholder-left",
        family="quality",
        severity="error",
        what="A turn holds a place of a template that was not filled in: [NAME], {{topic}}, TODO, lorem ipsum.",
        why="The tuned model writes the placeholder to a learner.",
        do="Fill it in or remove it.",
        bad="Well done, [NAME]! You lined up the tens and the ones.",
        good="Well done! You lined up the tens and the ones.",
        guideline="Quality: Clarity",
    )

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each turn."""
        for index, text in enumerate(record.texts):
            if not any(mark in text.content for mark in _PLACEHOLDER_MARKS):
                continue
            found = list(dict.fromkeys(match.group() for match in _PLACEHOLDER.finditer(text.content)))
            if found:
                quotes = ", ".join(shown(quote) for quote in found[:3])
                yield Hit(f"Turn {index + 1} holds {quotes}: a placeholder was left. Fill it in or remove it.", quote=found[0])


# --- characters ---------------------------------------------------------------------------------------------------------
_BROKEN = re.compile(
    r"[ÃÂ][\x80-\xbf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]"
    r"|â[\x80-\x9f€][\x80-\xbf\u0152-\u2122]?|ï»¿|ï¿½|\ufffd"
)
_RUN = re.compile(r"[^\x00-\x7f]+")


class Mojibake:
    """Text that was read in the wrong encoding: ``donâ€™t`` for ``don’t``, in any turn."""

    about = About(
        code="QUA017",
        name="mojibake",
        family="quality",
        severity="error",
        what="A turn holds characters that were read in the wrong encoding.",
        why="The tuned model writes the broken characters as if they were words.",
        do="Read the source again as UTF-8, or let the fix decode it where that gives one certain result.",
        bad="Youâ€™re close. What is half of 12?",
        good="You’re close. What is half of 12?",
        guideline="Quality: Clarity",
        fixable=True,
    )

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each turn, with an edit where decoding it again leaves nothing broken."""
        for index, text in enumerate(record.texts):
            if text.content.isascii():
                continue
            match = _BROKEN.search(text.content)
            if match is not None:
                start = max(match.start() - 12, 0)
                quote = text.content[start : match.end() + 12].strip()
                mended = _RUN.sub(_decoded, text.content)
                edit = Edit(index, mended) if mended != text.content and not _BROKEN.search(mended) else None
                yield Hit(
                    f"Turn {index + 1}: {shown(quote)} was read in the wrong encoding. Read its source as UTF-8.",
                    quote=quote,
                    edit=edit,
                )


def _decoded(run: re.Match[str]) -> str:
    """A run of characters decoded again as UTF-8 where that is possible; itself where not."""
    data = bytearray()
    for character in run.group():
        try:
            data += character.encode("cp1252")
        except UnicodeEncodeError:
            if ord(character) > 0xFF:
                return run.group()
            data.append(ord(character))
    try:
        return data.decode("utf-8").lstrip("\ufeff")
    except UnicodeDecodeError:
        return run.group()


# --- links --------------------------------------------------------------------------------------------------------------
class BrokenLink:
    """An address that cannot be right, by its form alone."""

    about = About(
        code="QUA013",
        name="broken-link",
        family="quality",
        severity="warning",
        what="A reply holds a link that cannot work: no scheme, no host, a made-up host, an empty target.",
        why="A model learns to make up addresses; a learner clicks on them.",
        do="Correct the link or remove it. Whether a well-formed link works is not checked: nothing leaves this machine.",
        bad="Read more at http://khanacademy and try again.",
        good="Read more at https://www.khanacademy.org/math and try again.",
        guideline="Quality: Accuracy",
    )

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each reply."""
        for index, text in replies(record):
            faults = link_faults(text.content)
            if faults:
                link, fault = faults[0]
                yield Hit(f"Turn {index + 1}: the link {shown(link)} {fault}. Correct or remove it.", quote=link)


RULES: tuple[Rule, ...] = (
    Phrases(
        About(
            code="QUA011",
            name="dated-claim",
            family="quality",
            severity="info",
            what="A reply says what is true now: the current president, the latest figures, as of a year.",
            why="The model says it for years, whatever has changed.",
            do="Name the date with the fact, or leave it out; a person decides.",
            bad="The current president of France can dissolve parliament.",
            good="The president of France can dissolve parliament.",
            guideline="Quality: Accuracy",
        ),
        _DATED,
        _DATED_HINTS,
        "goes out of date. Have a person check it, and name the date or leave it out.",
        needs_person=True,
        tutors_only=True,
    ),
    BrokenLink(),
    Phrases(
        About(
            code="QUA014",
            name="model-refusal",
            family="quality",
            severity="error",
            what="A reply is the refusal or self-description of another model.",
            why="The tuned model refuses in the same words, and says it is somebody else's.",
            do="Write the reply that a tutor would give, or remove the example.",
            bad="As an AI language model, I cannot see your worksheet.",
            good="I cannot see your worksheet. What does the first line say?",
            guideline="Quality: Accuracy",
        ),
        _REFUSAL,
        word_set("ai artificial large i'm i’m i trained developed created my openai openai's sorry unable"),
        "was left by another model. Write what a tutor would say, or remove the example.",
    ),
    Phrases(
        About(
            code="QUA015",
            name="generated-boilerplate",
            family="quality",
            severity="warning",
            what="A reply holds a stock phrase of generated text: Certainly! Here's ..., I hope this helps, delve into.",
            why="Stock phrases are learnt first and fastest; every reply then begins with one.",
            do="Remove the phrase. The fix removes stock openings and closings.",
            bad="Certainly! Here's how to start: find 10% of 80. I hope this helps!",
            good="Find 10% of 80 first. What do you get?",
            guideline="Consistency: Style",
            fixable=True,
        ),
        _BOILERPLATE,
        _BOILERPLATE_HINTS,
        "is a stock phrase of generated text. Remove it.",
        mend=_without_stock_phrases,
        tutors_only=True,
    ),
    Placeholder(),
    Mojibake(),
)
