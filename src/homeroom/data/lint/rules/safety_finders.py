"""Where a turn holds personal data: one finder for each kind, each giving (start, end) of every place.

Numbers count only in a form that arithmetic does not have ("555-123-4567", never "555 - 1234 =") or beside a word such as
"phone"; dates only as somebody's birth; addresses only with a street's name; handles only with a network's name or in a form that
no word has. Public help lines, reserved domains (RFC 2606) and well-known addresses are nobody's data.

Every finder asks first, at little cost, whether its words occur at all: most turns hold nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from homeroom.data.lint.model import Options, Text
from homeroom.data.lint.words import word_set

Span = tuple[int, int]
_DIGITS = re.compile(r"\d")


# --- e-mail -------------------------------------------------------------------------------------------------------------
_EMAIL = re.compile(r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@([A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4})")
_EMAIL_SPELT = re.compile(
    r"\b[A-Za-z0-9._-]{2,40} ?[\[(]? ?\bat\b ?[\])]? ?[A-Za-z0-9-]{2,40} ?[\[(]? ?\bdot\b ?[\])]? ?"
    r"(?:com|org|net|edu|gov|co|us|uk|io)\b",
    re.IGNORECASE,
)
_NOT_A_PERSON = re.compile(r"^(?:info|office|support|help|contact|press|admin|hello|no-?reply)@", re.IGNORECASE)
_RESERVED = re.compile(r"(?:^|\.)(?:example(?:\.(?:com|org|net|edu))?|invalid|test|localhost)$", re.IGNORECASE)


def emails(turn: Text, options: Options) -> Iterator[Span]:
    """E-mail addresses of people, also spelt with "at" and "dot"."""
    text = turn.content
    if "@" in text:
        for found in _EMAIL.finditer(text):
            if not _RESERVED.search(found[1]) and not _NOT_A_PERSON.match(found[0]):
                yield found.start(), found.end() - found[0].endswith("-")
    if {"at", "dot"} <= turn.word_set:
        yield from (found.span() for found in _EMAIL_SPELT.finditer(text))


# --- telephone ----------------------------------------------------------------------------------------------------------
_LONG_NUMBER = re.compile(r"\d[\d .()/-]{5}")
_NANP = re.compile(r"(?<![\d$€£.,-])(?:\+?1[ .-]?)?(?:\((\d{3})\) ?|(\d{3})[-.])\d{3}[-.]\d{4}(?!\d|[.,-]\d| ?[=%×x*/+])")
_INTERNATIONAL = re.compile(r"(?<![\d)=])(?<![\d)=] )\+\d{1,3}(?:[ .-]?\(?\d{1,4}\)?){2,5}(?![\d%]| ?=)")
_CUE_WORDS = word_set("phone phones cell mobile whatsapp telephone tel fax call text ring reach dial hotline app")
_CUE = r"(?:phone|cell|mobile|whats ?app|telephone|tel|call(?: me| us| my \w+)?|text(?: me| my \w+)?|ring me|reach me|dial)"
_BY_CUE = re.compile(
    rf"\b{_CUE}\b(?: ?(?:#|no\.?|number))?[^.?!\d\n]{{0,32}}?"
    r"(\(?\b\d{3}\)?[-. ]\d{3}[-. ]\d{4}|\b0\d{2,4}[ -/]?\d{3,4}[ -]?\d{3,4}|\b\d{3}[-. ]\d{4}|\b\d{10,11})\b(?! ?[=%×*/+-])",
    re.IGNORECASE,
)
_DIGIT = r"(?:zero|oh|one|two|three|four|five|six|seven|eight|nine|double \w+)"
_SPELT_WORDS = word_set("zero oh one two three four five six seven eight nine")
_SPELT = re.compile(rf"\b{_CUE}\b[^.?!\n]{{0,24}}?\b({_DIGIT}(?:[ ,-]+{_DIGIT}){{6,}})", re.IGNORECASE)
_FREE = word_set("800 833 844 855 866 877 888")


def phones(turn: Text, options: Options) -> Iterator[Span]:
    """Telephone numbers, also spelt in words, except toll-free ones."""
    text, cued = turn.content, not _CUE_WORDS.isdisjoint(turn.word_set)
    if _LONG_NUMBER.search(text):
        for found in _NANP.finditer(text):
            if (found[1] or found[2]) not in _FREE:
                yield found.span()
        if "+" in text:
            for found in _INTERNATIONAL.finditer(text):
                if 9 <= sum(c.isdigit() for c in found[0]) <= 15:
                    yield found.span()
        if cued:
            for found in _BY_CUE.finditer(text):
                if re.sub(r"\D", "", found[1])[:3] not in _FREE:
                    yield found.span(1)
    if cued and len(_SPELT_WORDS & turn.word_set) > 2:
        yield from (found.span(1) for found in _SPELT.finditer(text))


# --- address ------------------------------------------------------------------------------------------------------------
_STREET_WORDS = word_set(
    "street str st avenue ave road rd lane ln drive dr boulevard blvd court ct way place pl terrace crescent close circle"
    " parkway pkwy highway hwy row gardens trail"
)
_STREET = (
    r"(?:Street|Str\.?|St\.?|Avenue|Ave\.?|Road|Rd\.?|Lane|Ln\.?|Drive|Dr\.?|Boulevard|Blvd\.?|Court|Ct\.?|Way|Place|Pl\.?"
    r"|Terrace|Crescent|Close|Circle|Parkway|Pkwy\.?|Highway|Hwy\.?|Row|Gardens|Trail)"
)
_ADDRESS = re.compile(
    r"(?<![\d$.,/])\b\d{1,5}[A-Za-z]? (?:[NSEW]\.? |North |South |East |West )?(?:[A-Z][a-z'’]+|\d{1,3}(?:st|nd|rd|th))"
    rf"(?: [A-Z][a-z'’]+){{0,2}} {_STREET}(?![\w'’])"
    r"(?:,? (?:Apt|Apartment|Unit|Flat|#)\.? ?\w{1,5})?(?:,? (?:[A-Z][a-z]+ ?){1,3},? [A-Z]{2} \d{5})?"
)
_ADDRESS_BY_CUE = re.compile(
    r"\b(?:live[sd]? (?:at|on|in)|living at|address(?: is|:)?|house is (?:at|on)|come (?:over )?to|moved to|home (?:is"
    r"|at)(?: at)?"
    rf"|pick me up (?:at|from))\b[^.?!\n\d]{{0,16}}?(\d{{1,5}}[a-z]? (?:[a-z0-9'’]+ ){{1,3}}{_STREET})(?![\w'’])",
    re.IGNORECASE,
)
_FOREIGN = re.compile(r"stra(?:ß|ss)e|str\.|weg |gasse|allee|calle |aven?i?da|rue |via |rua ")
_ADDRESS_ELSEWHERE = re.compile(
    r"\b[A-ZÄÖÜ][a-zäöüß-]+(?:straße|strasse|str\.|weg|gasse|allee) \d{1,4}[a-z]?\b"
    r"|\b(?:Calle|Avenida|Avda\.|Rue|Via|Rua) (?:(?:de|del|la|las|los|da|do|des|du|le) ){0,2}[A-ZÁÉÍÓÚ][\w'’]+,? "
    r"(?:n[º°o]\.? ?)?\d{1,4}\b"
)
_KNOWN = re.compile(r"^(?:10 Downing|1600 Pennsylvania|221B? Baker|4 Privet|11 Wall|350 Fifth|42 Wallaby)\b")


def addresses(turn: Text, options: Options) -> Iterator[Span]:
    """Street addresses, except those that everybody knows."""
    text = turn.content
    if not _DIGITS.search(text):
        return
    found = []
    if not _STREET_WORDS.isdisjoint(turn.word_set):
        found = [m.span() for m in _ADDRESS.finditer(text)] + [m.span(1) for m in _ADDRESS_BY_CUE.finditer(text)]
    if _FOREIGN.search(turn.lower):
        found += [m.span() for m in _ADDRESS_ELSEWHERE.finditer(text)]
    yield from (span for span in found if not _KNOWN.match(text[span[0] : span[1]]))


# --- numbers and passwords ----------------------------------------------------------------------------------------------
_NUMBER_WORDS = word_set(
    "student pupil learner school library lunch meal bus exam candidate passport medical patient health insurance state district"
    " enrolment enrollment admission roll social national member membership account badge ssn upn id pin i s"
)
_NUMBER = re.compile(
    r"\b(?:(?:student|pupil|learner|school|library|lunch|meal|bus|exam|candidate|passport|medical|patient|health|insurance|state"
    r"|district|enrol+ment|admission|roll|social security|national insurance|member(?:ship)?|account|badge)"
    r" ?(?:id|i\.d\.|card|account|code|pin)?(?: ?(?:numbers?|no\.?|#|id))?|s\.?s\.?n\.?|upn|id ?(?:numbers?|no\.?|#|card|code)"
    r"|my id|pin)(?: is| was|:| =| -|,)*(?: it's| number)? ?#? ?"
    r"((?=[A-Z0-9-]*\d{2})(?:[A-Z]{1,4}-?)?\d[\d-]{2,14}\d[A-Z]?)(?![\d]|[.,]\d| ?[=×*/+%])",
    re.IGNORECASE,
)
_SSN = re.compile(r"(?<![\d$+*/=.-])(?<![+*/=-] )(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d]|-| ?[=+*/×%])")
_PASSWORD_WORDS = word_set("pass password passcode log login log-in user username code name")
_PASSWORD = re.compile(
    r"\b(?:pass ?word|pass ?code|log-?in|user ?name)(?: for [\w' ]{1,24})?(?: is|:| =)+ ?[\"'“‘]?"
    r"((?=\S*\d|\S*[_!@#$])\S{4,32}?)[\"'”’]?(?=[.,;!?]?(?:\s|$))",
    re.IGNORECASE,
)
_NEEDS_ID = re.compile(r"\b(?:id|i\.d\.|card|code|pin|number|no\.|#|upn|ssn|s\.s\.n)", re.IGNORECASE)
_FOUR_DIGITS = re.compile(r"\d[\d-]{2}\d")


def numbers(turn: Text, options: Options) -> Iterator[Span]:
    """Numbers that stand for a person, and passwords."""
    text = turn.content
    if _FOUR_DIGITS.search(text):
        if not _NUMBER_WORDS.isdisjoint(turn.word_set):
            for found in _NUMBER.finditer(text):
                head = text[found.start() : found.start(1)]
                digits = sum(c.isdigit() for c in found[1])
                if digits >= (4 if _NEEDS_ID.search(head) or "#" in head else 7):
                    yield found.span(1)
        yield from (found.span() for found in _SSN.finditer(text))
    if not _PASSWORD_WORDS.isdisjoint(turn.word_set):
        yield from (found.span(1) for found in _PASSWORD.finditer(text))


# --- date of birth ------------------------------------------------------------------------------------------------------
_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_ORDINAL = r"\d{1,2}(?:st|nd|rd|th)?"
_DATE = (
    rf"(?:{_MONTH} (?:the )?{_ORDINAL}(?:,? (?:19|20)\d\d)?|(?:the )?{_ORDINAL} (?:of )?{_MONTH}(?:,? (?:19|20)\d\d)?"
    r"|(?:19|20)\d\d-\d\d?-\d\d?|\d{1,2}[/.-]\d{1,2}[/.-](?:(?:19|20)\d\d|\d\d))"
)
_BIRTH_WORDS = word_set("born birthday birthdate birth b'day dob d")
_BIRTH = re.compile(
    r"\b(?:I(?:'m| am|’m| was|) ?born(?: on)?|(?:my|our) (?:\w+['’]s |own )?(?:birth ?day|date of birth|birth ?date|d\.?o\.?b\.?)"
    r"(?: is| was|['’]s)?(?: on)?|(?:date of birth|birth ?date|d\.?o\.?b\.?)(?: is|:| =)*)"
    rf"[ :-]*({_DATE})(?!\w|\d)",
    re.IGNORECASE,
)


def births(turn: Text, options: Options) -> Iterator[Span]:
    """Dates of birth in the first person, or in a form's field."""
    if not _BIRTH_WORDS.isdisjoint(turn.word_set) and _DIGITS.search(turn.content):
        yield from (found.span(1) for found in _BIRTH.finditer(turn.content))


# --- handles ------------------------------------------------------------------------------------------------------------
_HANDLE = re.compile(r"(?<![\w@/.=])(?<!\n)@(?=[\w.]*[A-Za-z])[A-Za-z_][\w.]{2,28}\w(?!@)")
_NETWORK_WORDS = word_set(
    "insta instagram snap snapchat tik tiktok discord roblox twitter face facebook youtube twitch steam xbox fortnite minecraft"
    " kik bereal gamertag gamer handle screenname screen channel username"
)
_NETWORK = (
    r"(?:insta(?:gram)?|snap(?:chat)?|tik ?tok|discord|roblox|twitter|face ?book|youtube|twitch|steam|xbox|fortnite|minecraft"
    r"|kik|bereal)"
)
_BY_NETWORK = re.compile(
    rf"\b(?:(?:my|our|his|her) {_NETWORK}(?: (?:name|user ?name|handle|account|tag|channel|id|user))?(?: is|['’]s|:| =)+"
    rf"|(?:add|follow|find|dm|message|friend|subscribe to) me (?:on|at) {_NETWORK}[,:]?(?: at| as|:)?(?: I(?:'m|’m| am))?"
    r"|my (?:gamer ?tag|handle|screen ?name|channel|user ?name) (?:is|:)) [\"'“‘]?(@?[A-Za-z_][\w.]{2,29})",
    re.IGNORECASE,
)
_NO_HANDLE = word_set("the not called private named about full down gone very just because really")
_SOCIAL = re.compile(rf"\b(?:follow|add|dm|handle|account|posts?|{_NETWORK})\b", re.IGNORECASE)


def handles(turn: Text, options: Options) -> Iterator[Span]:
    """Names in social networks and games."""
    text = turn.content
    if "@" in text:
        for found in _HANDLE.finditer(text):
            near = text[max(0, found.start() - 40) : found.end() + 20]
            if any(c.isdigit() or c == "_" for c in found[0]) or _SOCIAL.search(near):
                yield found.span()
    if not _NETWORK_WORDS.isdisjoint(turn.word_set):
        for found in _BY_NETWORK.finditer(text):
            if found[1].lower() not in _NO_HANDLE:
                yield found.start(1), found.start(1) + len(found[1].rstrip("."))


# --- introductions ------------------------------------------------------------------------------------------------------
_NAME = r"[A-ZÀ-Þ][\w'’-]+"
_INTRODUCTION = re.compile(
    rf"\b(?:[Mm]y (?:full |real |whole )?name(?: is|['’]s)|I(?: am|['’]m) called|[Tt]his is)"
    rf" ({_NAME}(?: (?:[A-Z]\. )?{_NAME}){{1,3}})"
    rf"|\bI(?: am|['’]m) ({_NAME}(?: {_NAME}){{1,2}})(?=,? (?:and I(?:['’]m| am| go| live)|from|in (?:grade|year|class)))"
)
_SCHOOL_WORDS = word_set("elementary primary middle high secondary grammar junior academy school college prep preparatory p ps")
_SCHOOL = re.compile(
    r"\b(?:I|[Ww]e)(?:['’]m| am|['’]re| are)? "
    r"(?:go to|attend|study at|a student at|in \w+ grade at|students at|at|started at|from) "
    rf"((?:{_NAME} |St\.? |of |the ){{0,4}}(?:P\.?S\.? ?\d+|{_NAME} (?:Elementary|Primary|Middle|High|Secondary"
    r"|Grammar|Junior|Academy|School|College|Prep(?:aratory)?)(?: School| Academy| High)?))\b"
)
_SELF = word_set("i'm i’m am name called this name's name’s")


def introductions(turn: Text, options: Options) -> Iterator[Span]:
    """First with last names of those who introduce themselves, and their schools."""
    if not _SELF.isdisjoint(turn.word_set):
        for found in _INTRODUCTION.finditer(turn.content):
            yield found.span(1 if found[1] else 2)
    if not _SCHOOL_WORDS.isdisjoint(turn.word_set):
        yield from (found.span(1) for found in _SCHOOL.finditer(turn.content))
