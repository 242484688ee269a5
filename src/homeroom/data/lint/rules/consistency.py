"""Consistency: one file writes in one way. Every rule here measures a record against the majority of its own file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from homeroom.data.lint.model import About, Rule, Text
from homeroom.data.lint.rules.drift import Choice, Detector, DriftRule, Form
from homeroom.data.lint.rules.length import LengthOutlier
from homeroom.data.lint.rules.register import REGISTER, ContractionOutlier
from homeroom.data.lint.words import lines


def _finds(pattern: str, needs: Sequence[str] = (), flags: re.RegexFlag = re.MULTILINE) -> Detector:
    """A detector for a pattern, which is tried only where one of ``needs`` occurs."""
    compiled = re.compile(pattern, flags)

    def find(text: Text) -> str:
        content = text.content
        if needs and not any(mark in content for mark in needs):
            return ""
        match = compiled.search(content)
        return match.group().strip() if match else ""

    return find


def _around(pattern: str, needs: str) -> Detector:
    """A detector for a mark; what it shows is the whole word around it."""
    compiled = re.compile(pattern)

    def find(text: Text) -> str:
        content = text.content
        match = compiled.search(content) if needs in content else None
        if match is None:
            return ""
        start, end = content.rfind(" ", 0, match.start()) + 1, content.find(" ", match.end())
        return content[start : end if end > 0 else len(content)].strip()

    return find


def _begins(pattern: str) -> Detector:
    """A detector for a pattern at the very beginning."""
    compiled = re.compile(pattern, re.IGNORECASE)

    def find(text: Text) -> str:
        match = compiled.match(text.content)
        return match.group().strip() if match else ""

    return find


def _ends(pattern: str, characters: int) -> Detector:
    """A detector for a pattern in the last ``characters``."""
    compiled = re.compile(pattern, re.IGNORECASE)

    def find(text: Text) -> str:
        match = compiled.search(text.content[-characters:])
        return match.group().strip() if match else ""

    return find


def _figure(pattern: str, needs: Sequence[str] = ()) -> Detector:
    """A detector for a pattern of numbers and signs."""
    compiled = re.compile(pattern)

    def find(text: Text) -> str:
        figures = text.figures
        if not figures or (needs and not any(mark in figures for mark in needs)):
            return ""
        match = compiled.search(figures)
        return match.group().strip() if match else ""

    return find


_LIST = r"\n\s*(?:[-*•+]|\d{1,2}[.)]) +\S[^\n]*|(?<!\S)1[.)] \S[^\n]{3,200}?(?<!\S)2[.)] \S"


def _lower_start(text: Text) -> str:
    start = text.content[:40].lstrip()
    return start.split("\n")[0] if start[:2].isalpha() and start[0].islower() else ""


_FORMATTING = DriftRule(
    About(
        code="CNS001",
        name="formatting-drift",
        family="consistency",
        severity="warning",
        what="A record is formatted unlike the rest of its file: Markdown, lists, headings, tables, LaTeX, lower-case "
        "beginnings.",
        why="A tuned model mixes the formats, and a page that expects one shows the marks of the other.",
        do="Format it like the others, or change all of them.",
        bad="repeat: 24\nlearner: What do I do with {n} and 5?\ntutor: Line up the ones of {n} and 5 first.\n---\n"
        "learner: What do I do with 31 and 5?\ntutor: **Line up** the ones of 31 and 5 first.",
        good="repeat: 24\nlearner: What do I do with {n} and 5?\ntutor: Line up the ones of {n} and 5 first.",
        guideline="Consistency: Formatting",
    ),
    (
        Choice((Form("Markdown emphasis", _finds(r"\*\*[^\s*][^*\n]*\*\*|(?<!\w)__[^\s_][^_\n]*__(?!\w)", "*_")),), "none"),
        Choice((Form("Markdown headings", _finds(r"^#{1,6} +\S[^\n]*", "#")),), "none"),
        Choice((Form("tables or code blocks", _finds(r"^\|.+\|.+\|\s*$|^```", "|`")),), "none"),
        Choice(
            (Form("lists", _finds(_LIST, ("\n", "1. ", "1) "))),),
            "running text",
        ),
        Choice(
            (
                Form("lists marked with -", _finds(r"^\s*- +\S[^\n]*", "\n")),
                Form("lists marked with *", _finds(r"^\s*\* +\S[^\n]*", "\n")),
                Form("lists marked with •", _finds(r"^\s*• *\S[^\n]*", "•")),
            ),
            share=0.2,
            mixed=True,
        ),
        Choice(
            (
                Form("lists numbered 1.", _finds(r"^\s*\d{1,2}\. +\S[^\n]*", "\n")),
                Form("lists numbered 1)", _finds(r"^\s*\d{1,2}\) +\S[^\n]*", "\n")),
            ),
            share=0.2,
            mixed=True,
        ),
        Choice(
            (
                Form(
                    "LaTeX", _finds(r"\\(?:frac|times|cdot|div|sqrt|text|left|\(|\[)|\$[^$\n]{0,60}[\\^_{][^$\n]{0,60}\$", "\\$")
                ),
                Form("plain arithmetic", _figure(r"\d\s?[+×÷=/*x−-]\s?\d")),
            ),
            share=0.2,
            mixed=True,
        ),
        Choice((Form("a beginning in lower case", _lower_start),), "a capital at the beginning"),
    ),
    "Format it like the others.",
)

_GREETS = (
    r"\A\W*(?:hi|hello|hey|hiya|dear|greetings|welcome|good (?:morning|afternoon|evening|day))\b(?! there are)[^.!?\n]{0,30}"
)
_SIGNS_OFF = (
    r"(?:(?:best|kind|warm) (?:regards|wishes)|sincerely|yours(?: truly)?,|cheers|your (?:tutor|teacher)|good luck|(?:happy"
    r"|enjoy your) \w+ing"
    r"|see you(?: \w+){0,2}|(?:good)?bye(?: \w+)?|have a (?:\w+ )?(?:day|evening|weekend|one)|take care|talk (?:to you "
    r")?soon)[^.?!\n]{0,25}[.!]*\W*\Z"
)
_GREETING = DriftRule(
    About(
        code="CNS002",
        name="greeting-drift",
        family="consistency",
        severity="warning",
        what="A record greets or signs off where the rest of its file does not, or the other way round.",
        why="A few greetings among many replies make a tuned model greet at random.",
        do="Remove the greeting or sign-off, or give one to every reply.",
        bad="repeat: 24\nlearner: What do I do with {n} and 5?\ntutor: Line up the ones of {n} and 5 first.\n---\n"
        "learner: What do I do with 31 and 5?\ntutor: Hello there! Line up the ones of 31 and 5 first.",
        good="repeat: 24\nlearner: What do I do with {n} and 5?\ntutor: Line up the ones of {n} and 5 first.",
        guideline="Consistency: Formatting",
    ),
    (
        Choice((Form("a greeting", _begins(_GREETS)),), "none", where="first", tutors=True),
        Choice((Form("a sign-off", _ends(_SIGNS_OFF, 80)),), "none", where="last", tutors=True),
    ),
    "Write it like the others.",
)

_NUMBERS = DriftRule(
    About(
        code="CNS007",
        name="number-format-drift",
        family="consistency",
        severity="warning",
        what="A record writes numbers or signs unlike the rest of its file: 1,000 and 1000, 3.5 and 3,5, × and *.",
        why="Two spellings of a number are two things to a model; learners read 1.000 as one.",
        do="Write numbers as the others do.",
        bad="repeat: 24\nlearner: What is half of {n} thousand?\ntutor: Look at half of 12,000 and then at {n}.\n---\n"
        "learner: What is half of 31 thousand?\ntutor: Look at half of 12000 and then at 31.",
        good="repeat: 24\nlearner: What is half of {n} thousand?\ntutor: Look at half of 12,000 and then at {n}.",
        guideline="Consistency: Formatting",
    ),
    (
        Choice(
            (
                Form("12,000 with a comma", _figure(r"(?<![\d.,])\d{2,3}(?:,\d{3})+(?![\d,])", ",")),
                Form("12000 without a comma", _figure(r"(?<![\d.,/#\w-])\d{5,9}(?![\d.,/\w-]*\d|\w)")),
                Form("12 000 with a space", _figure(r"(?<![\d.,] )(?<![\d.,])\d{2,3}(?:[   ]\d{3})+(?![ ]?\d)")),
                Form("12.000 with a point", _figure(r"(?<![\d.,])\d{1,3}(?:\.\d{3}){2,}(?![\d.,])", ".")),
            ),
            share=0.2,
            mixed=True,
        ),
        Choice(
            (
                Form("a decimal point", _figure(r"(?<![\d.,])\d+\.\d{1,2}(?![\d.]*\d)", ".")),
                Form("a decimal comma", _figure(r"(?<![\d.,])(?<!\d, )\d+,\d{1,2}(?![\d,]|,? ?\d)", ",")),
            ),
            share=0.2,
            mixed=True,
        ),
        Choice(
            (
                Form("the sign ×", _figure(r"\d\s?×\s?[\d$(]", "×")),
                Form("the letter x for ×", _figure(r"\d\s?[xX]\s?[\d$(]", "xX")),
                Form("the asterisk * for ×", _figure(r"\d\s?\*\s?[\d$(]", "*")),
                Form("the dot · for ×", _figure(r"\d\s?[·⋅]\s?[\d(]", "·⋅")),
            ),
            share=0.2,
            mixed=True,
        ),
        Choice(
            (
                Form("the sign ÷", _figure(r"\d\s?÷\s?[\d$(]", "÷")),
                Form("a slash for ÷", _figure(r"\d\s/\s[\d$(]", "/")),
            ),
            share=0.2,
        ),
        Choice(
            (Form("50% without a space", _figure(r"\d%", "%")), Form("50 % with a space", _figure(r"\d %(?! of \d)", "%"))),
            share=0.2,
        ),
    ),
    "Write numbers like the others.",
    numeric=True,
)

_QUOTES = DriftRule(
    About(
        code="CNS008",
        name="punctuation-drift",
        family="consistency",
        severity="info",
        what="A record uses other quotation marks, apostrophes, dashes or dots than the rest of its file.",
        why="Straight and curly marks are different tokens; a tuned model mixes them within a reply.",
        do="Use the marks that the others use.",
        bad="repeat: 24\nlearner: Did I do {n} right?\ntutor: You're close: line {n} isn't done yet.\n---\n"
        "learner: Did I do 31 right?\ntutor: You’re close: line 31 isn’t done yet.",
        good="repeat: 24\nlearner: Did I do {n} right?\ntutor: You're close: line {n} isn't done yet.",
        guideline="Consistency: Formatting",
    ),
    (
        Choice(
            (
                Form("straight apostrophes", _around(r"(?<=\w)'\w", "'")),
                Form("curly apostrophes", _around(r"(?<=\w)’\w", "’")),
            ),
            share=0.2,
            mixed=True,
        ),
        Choice(
            (
                Form('straight quotation marks "', _finds(r'"[^"\n]{1,80}"', '"')),
                Form("curly quotation marks “”", _finds(r"“[^”\n]{1,80}”", "“")),
                Form("low quotation marks „“", _finds(r"„[^“”\n]{1,80}[“”]", "„")),
                Form("guillemets «»", _finds(r"«[^»\n]{1,80}»", "«")),
            ),
            share=0.2,
            mixed=True,
        ),
        Choice(
            (Form("three dots ...", _around(r"\.\.\.", "...")), Form("the character …", _around("…", "…"))),
            share=0.2,
        ),
        Choice(
            (
                Form("the dash —", _around(" ?— ?", "—")),
                Form("the dash –", _around(r"(?<=[A-Za-z]) – ", " – ")),
                Form("a hyphen for a dash", _around(r"(?<=[A-Za-z]{2}) - (?=[A-Za-z]{2})", " - ")),
            ),
            share=0.2,
        ),
    ),
    "Use the others' marks.",
)

_SHORT_UNITS = r"(?:cm|mm|km|kg|ml|mL|m|g|lb|lbs|oz|ft|mph|L|min|h|Hz|kJ|kW)"
_UNITS = DriftRule(
    About(
        code="CNS009",
        name="unit-style-drift",
        family="consistency",
        severity="info",
        what="A record writes units unlike the rest of its file: 5cm and 5 cm.",
        why="The tuned model writes both, and learners copy what they see.",
        do="Write units as the others do.",
        bad="repeat: 24\nlearner: How long is line {n}?\ntutor: Compare line {n} with 15 cm.\n---\n"
        "learner: How long is line 31?\ntutor: Compare line 31 with 15cm.",
        good="repeat: 24\nlearner: How long is line {n}?\ntutor: Compare line {n} with 15 cm.",
        guideline="Consistency: Formatting",
    ),
    (
        Choice(
            (
                Form("a space before the unit", _figure(rf"\d {_SHORT_UNITS}\b(?!')")),
                Form("no space before the unit", _figure(rf"(?<![\w.])[\d.,]*\d{_SHORT_UNITS}(?![\w'²³])")),
            ),
            share=0.2,
            mixed=True,
        ),
    ),
    "Write units like the others.",
    numeric=True,
)


@cache
def _spellings(side: int) -> frozenset[str]:
    return frozenset(pair.split("|")[side].strip() for pair in lines("spelling"))


def _spelling(side: int) -> Detector:
    def find(text: Text) -> str:
        return min(_spellings(side) & text.word_set, default="")

    return find


_SPELLING = DriftRule(
    About(
        code="CNS010",
        name="spelling-drift",
        family="consistency",
        severity="warning",
        what="A record spells in the British way in an American file, or the other way round: colour and color, metre and meter.",
        why="Learners are marked down for the spelling that the tuned model mixes in.",
        do="Spell as the others do.",
        bad="repeat: 24\nlearner: Which is longer, {n}?\ntutor: Compare both lengths in meters, then look at {n}.\n---\n"
        "learner: Which is longer, 31?\ntutor: Compare both lengths in metres, then look at 31.",
        good="repeat: 24\nlearner: Which is longer, {n}?\ntutor: Compare both lengths in meters, then look at {n}.",
        guideline="Consistency: Terminology",
    ),
    (Choice((Form("British spelling", _spelling(0)), Form("American spelling", _spelling(1))), share=0.3, mixed=True),),
    "Spell like the others.",
)

RULES: tuple[Rule, ...] = (
    _FORMATTING,
    _GREETING,
    LengthOutlier(),
    REGISTER,
    _NUMBERS,
    _QUOTES,
    _UNITS,
    _SPELLING,
    ContractionOutlier(),
)
