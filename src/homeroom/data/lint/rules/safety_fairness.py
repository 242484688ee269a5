"""Fairness: general statements about groups of people, and what a reply takes for granted. Both are for a person to judge."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from homeroom.data.lint.model import About, Hit, Options, Record, Rule, Text
from homeroom.data.lint.rules.safety_inclusion import sensitivity
from homeroom.data.lint.words import word_set

_PEOPLES = (
    r"(?:Asians?|Asian|Chinese|Japanese|Korean|Indian|Mexican|Latino|Latina|Hispanic|African|African American|Black|White|Arab"
    r"|Muslim|Jewish|Christian|Hindu|Roma|Polish"
    r"|German|French|Italian|Irish|Russian|American|Native American|gay|poor|rich|old|elderly|young|disabled|autistic|deaf"
    r"|blind|immigrant|foreign|refugee|city|country|fat|blonde)"
)
_GROUP = (
    r"(?:girls|boys|women|men|ladies|females|males|teenagers|foreigners|immigrants|refugees|Muslims|Jews|Christians|Africans"
    r"|Asians|Mexicans|Indians|Arabs|Americans|Germans"
    rf"|grandmothers|old people|{_PEOPLES} (?:people|kids|students|children|families|girls|boys|men|women|learners|folks?))"
)
_TRAIT = (
    r"(?:good|bad|better|worse|best|smart|smarter|clever|lazy|lazier|strong|stronger|weak|weaker|emotional|aggressive|terrible"
    r"|great|dangerous|violent|dirty|greedy|cheap|slow"
    r"|slower|stupid|athletic|bossy|gentle|gentler|naturally|born|made for|wired|supposed to|meant to|more (?:logical"
    r"|emotional|caring|patient|careful|aggressive|rational|violent)|caring|nurturing|rational"
    r"|logical|hysterical|criminals?|thieves|poor|uneducated|brilliant|interested in|into|hopeless|clumsy|forgetful|confused"
    r" by|neater|tidier|tougher|quieter|obedient|hardworking|exotic|primitive)"
)
STEREOTYPE = re.compile(
    rf"(?:^|[.!?;:,—–-]\s+|[\"“(]|\b(?:because|that|since|but|and|know|think|thinks|says?|said|remember|usually|most|all"
    r"|so|as|while|although|of course|like) )"
    rf"{_GROUP} (?:(?:are|aren['’]t|are not|tend to be|can be|will be|have always been)(?: (?:just|usually|always|often"
    rf"|naturally|simply|really|so|very|all|not|generally|too|far|much|more|less))* {_TRAIT}\b"
    r"|(?:can['’]t|cannot|never|always|don['’]t|do not|shouldn['’]t|should not|should|usually|naturally"
    r"|often) (?:\w+ ){0,2}?(?:drive|cry|fight|cook|clean|do maths?|read maps?|play with (?:dolls|trucks|cars)|understand|work"
    r" hard|learn|"
    r"like (?:maths?|science|pink|sports?|dolls|cars|reading)|play (?:football|rough)|be (?:engineers|nurses|doctors|leaders"
    r"|trusted)|speak|stay (?:at )?home|wear (?:dresses|pink)|complain|steal|pay)\b"
    r"|(?:like|love|prefer|enjoy) (?:pink|dolls|shopping|cooking|make-?up|princess\w*|cars|trucks|sports|video games|fighting"
    r"|war|trains|spicy food)\b"
    r"|(?:need|have) (?:to be|more) (?:protected|discipline|help than))"
    r"|\b(?:good|smart|strong|brave|fast|tall|clever|logical|well-spoken|articulate|(?:good|great|nice|excellent|impressive|strong)"
    r" (?:work|job|thinking|effort|result|score)) for an? (?:girl|boy|woman|\w+ (?:girl|boy"
    r"|kid|person|student))\b"
    r"|\bboys don['’]t cry\b|\bboys will be boys\b|\b(?:like|throws?|runs?|fights?|cr(?:y|ies)) like an? (?:little )?girl\b"
    r"|\bact like a (?:lady|man)\b|\bbe a (?:real )?man\b|\bladylike\b"
    r"|\b(?:jobs?|work|toys?|colou?rs?|sports?|subjects?|books?|hobb(?:y|ies)) (?:is |are )?(?:really |only "
    r"|just )?for (?:boys|girls|men|women)\b"
    r"|\b(?:a )?(?:wo)?m[ae]n['’]s (?:job|work)\b|\bbelongs? in the kitchen\b|\bwom[ae]n drivers?\b|\b(?:a )?typical (?:girl"
    r"|boy|woman|man|male|female|Asian|teenager)\b"
    rf"|\byou people\b|\byour (?:kind|sort) of people\b|\bwhere are you really from\b|\b{_PEOPLES} (?:brain|blood) (?:is|makes"
    r"|runs)\b|\bnot really a (?:girl|boy)['’]?s? (?:thing|subject)\b"
    r"|\bin the genes of\b|\bpeople like (?:you|them) (?:usually|never|always|don['’]t|can['’]t)\b|\bfor someone (?:from"
    r"|with) your (?:background|country|accent)\b",
    re.IGNORECASE,
)
# A sentence is searched where one of these words stands; the adjectives only where one of the nouns does too.
_GROUP_WORDS = word_set(
    "girls boys women men ladies females males teenagers foreigners immigrants refugees muslims jews christians africans asians"
    " mexicans indians arabs americans germans grandmothers girl boy girl's girl’s boy's boy’s ladylike lady woman woman's"
    " woman’s man man's man’s men's men’s women's women’s kitchen typical genes background accent kid immigrant"
)
_ADJECTIVES = word_set(
    "asian chinese japanese korean indian mexican latino latina hispanic african black white arab muslim jewish christian hindu"
    " roma polish german french italian irish russian american gay poor rich old elderly young disabled autistic deaf blind"
    " immigrant foreign refugee city country fat blonde you your really"
)
_NOUNS = word_set("people kids students children families learners folk folks student person brain blood from")
_FAMILY = r"(?:mom|mum|mommy|mummy|dad|daddy|mother|father)"
ASSUMPTION = re.compile(
    rf"\b(?P<kin>(?:ask|tell|help|have|get|show|with|let|thank|surprise) (?:your )?{_FAMILY}(?: (?:and"
    rf"|or) (?:your )?{_FAMILY})?\b|your {_FAMILY} and (?:your )?{_FAMILY}\b)"
    r"|\b(?P<faith>merry christmas|happy easter|your (?:family['’]s )?(?:christmas|easter) \w+|(?:did|will|what) santa"
    r"|santa (?:will )?(?:bring|brings|brought) you"
    r"|(?:when|before|after|while) you (?:go to|leave|visit|are (?:at|in)) (?:church|the mosque|the temple|the synagogue"
    r"|sunday school|mass)|as (?:we|you) (?:all )?(?:pray|learn in church)"
    r"|(?:we|you|everyone|everybody|every family|all families|all of us|your family)(?: all| surely| always| must| probably"
    r"| will)* (?:celebrates? (?:christmas|easter|thanksgiving|hanukkah|diwali|eid|halloween)"
    r"|opens? (?:your |our |their )?presents|(?:puts?|set) up (?:a|the|your) (?:christmas )?tree|goes? to church|prays?"
    r"|eats? turkey|knows? the bible|believes? in god)"
    r"|god (?:made|created|gave us|wants)|thank god|god bless|the bible (?:says|tells|teaches)|jesus (?:says|said|teaches"
    r"|loves))\b"
    r"|\b(?P<means>your (?:last |next |summer |winter |family )*(?:vacation|holiday trip|ski"
    r" trip|cruise|trip abroad)|your (?:family['’]s |own |parents['’] )(?:car|bedroom|computer|tablet|pool|boat|laptop|phone)"
    r"|in your (?:back ?yard|garden|swimming pool|garage|own room)|your (?:maid|nanny|private tutor|country house|swimming"
    r" pool)|buy (?:one|it|some) online tonight)\b"
    r"|\b(?P<other>(?:weird|strange|exotic|funny|normal)(?:-| )?(?:sounding )?(?:foreign )?(?:food|names?|clothes|customs?"
    r"|accents?|religion|language|holidays?)\b(?= (?:they|those|from|in|of|that|people|like)|[.,!?])"
    r"|(?:hard|difficult|impossible) to pronounce|normal (?:american|english|german|christian) (?:family|families|names?|food"
    r"|kids?)|real (?:american|english|german)s?)\b",
    re.IGNORECASE,
)
_ASSUMED_WORDS = word_set(
    "mom mum mommy mummy dad daddy mother father christmas easter santa church mosque temple synagogue mass pray thanksgiving"
    " hanukkah diwali eid halloween presents tree turkey bible believe god jesus sunday vacation holiday holidays trip cruise car"
    " bedroom computer tablet pool boat laptop phone backyard yard garden garage room maid nanny tutor house online weird strange"
    " exotic funny normal pronounce real"
)
_SAYS = {
    "kin": "not every learner has a mother and a father at home; say 'an adult at home'",
    "faith": "not every learner shares this faith or feast; name it as one of several, or ask",
    "means": "not every learner has this; choose something that all have",
    "other": "it makes one culture the rule; describe without ranking",
}


def _stereotype(text: Text) -> re.Match[str] | None:
    """The first one; only sentences with a group's word are searched."""
    present = _GROUP_WORDS & text.word_set
    if not _NOUNS.isdisjoint(text.word_set):
        present |= _ADJECTIVES & text.word_set
    if not present:
        return None
    near = (sentence for sentence in text.sentences if any(word in sentence.lower() for word in present))
    return next((found for sentence in near if (found := STEREOTYPE.search(sentence))), None)


@dataclass(frozen=True, slots=True)
class Stereotype:
    """A general statement about a group of people."""

    about: About

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each turn that the author of the data wrote."""
        for index, (message, text) in enumerate(zip(record.example.messages, record.texts, strict=True)):
            found = _stereotype(text)
            if found is None or (message.role == "user" and _answered(record, index)):
                continue
            quote = found[0].strip(' .,;:!?-–—"“(')
            yield Hit(f"Turn {index + 1} may carry a stereotype: '{quote}'. {self.about.do}", quote=quote, needs_person=True)


_OBJECTS = re.compile(
    r"\b(?:anyone|anybody|everyone|everybody|people of|any (?:girl|boy|gender|child|person)|all (?:kinds|children|people"
    r"|genders)|stereotypes?|not true|isn['’]t true|is unfair|not fair"
    r"|who (?:told|says|said)|evidence|counter-?example|nothing to do with|has no gender)\b",
    re.IGNORECASE,
)


def _answered(record: Record, index: int) -> bool:
    """Whether the reply takes a learner's sentence up instead of letting it stand."""
    return any(_OBJECTS.search(text.content) for text in record.texts[index + 1 : index + 2])


@dataclass(frozen=True, slots=True)
class CulturalAssumption:
    """A reply that takes a faith, a family or means for granted."""

    about: About

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each reply; what the learner has said before is no assumption."""
        if not record.is_tutor:
            return
        said = ""
        for index, (message, text) in enumerate(zip(record.example.messages, record.texts, strict=True)):
            if message.role == "user":
                said += text.lower
                continue
            if _ASSUMED_WORDS.isdisjoint(text.word_set):
                continue
            for found in ASSUMPTION.finditer(text.content):
                kind = found.lastgroup or "other"
                words = [word for word in re.findall(r"[a-z]{3,}", found[0].lower()) if word not in _COMMON]
                if not any(word in said for word in words):
                    yield Hit(
                        f"Turn {index + 1} takes something for granted: '{found[0]}': {_SAYS[kind]}.",
                        quote=found[0],
                        needs_person=True,
                    )
                    break


_COMMON = word_set("your you the and ask tell with from have get show let what will did about own family all everyone")


RULES: tuple[Rule, ...] = (
    Stereotype(
        sensitivity(
            "SAF015",
            "stereotype",
            "warning",
            "A general statement about what girls, boys, a people, a faith or another group is or can do.",
            "Some learners read that the subject is not for them, and the model repeats it.",
            "Let a person read it: take it out, or let the reply question it.",
            ("You got it! And girls are usually not good at geometry.", "You got it! How did you see that the angles match?"),
        )
    ),
    CulturalAssumption(
        sensitivity(
            "SAF016",
            "cultural-assumption",
            "info",
            "A reply takes a faith, a family or means for granted that not every learner has, and that this learner has not"
            " spoken of.",
            "A learner who lives otherwise is left out.",
            "Let a person read it: choose what all learners have, or ask.",
            (
                "Count the lights on your Christmas tree, then group them by ten.",
                "Count the windows that you can see, then group them by ten.",
            ),
        )
    ),
)
