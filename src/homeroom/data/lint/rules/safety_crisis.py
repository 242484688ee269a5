"""Crisis language without a hand-over: self-harm, abuse or violence in a learner's words, and a reply that leads to no adult.

Figures of speech ("dying of boredom", "my mum will kill me", "she beats me at chess") and stories ("the wolf will kill her") are
left alone: the words count in the first person only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from homeroom.data.lint.model import About, Hit, Options, Record, Rule, Text
from homeroom.data.lint.words import word_set

_WHO = (
    r"(?:my (?:\w+ )?|our )?(?:step)?(?:dad|daddy|father|mom|mum|mommy|mother|uncle|aunt|brother|sister|cousin|coach"
    r"|babysitter|grandpa|grandma"
    r"|grandfather|neighbou?r|boyfriend|girlfriend|parents?|he|she|they|someone|somebody|a man|an adult|an older \w+)"
)
_FIGURE = r"(?! (?:of (?:boredom|laugh|embarrass|shame|hunger|heat)|laughing|from (?:boredom|laugh)|when i (?:see|hear)))"
_FEEL = r"(?:want(?:ed)?|wanna|wish|going|gonna|plan(?:ned|ning)?|think(?:ing)?|thought|feel like|might|ready|try|decided|keep)"
SELF_HARM = re.compile(
    rf"(?<!n't )(?<!not )(?<!never )\b{_FEEL}(?: of| about| to| that| i| could| just| really)* (?:die{_FIGURE}|dying{_FIGURE}"
    r"|be dead|being dead"
    r"|end(?:ing)? (?:my (?:own )?life|it all)|jump(?:ing)? off (?:a|the) (?:bridge|roof|building)|hurt(?:ing)? myself"
    r"|cut(?:ting)? myself)\b"
    r"|\b(?:kill|killing|killed|harm|harming|hang|hanging) myself\b(?! (?:laughing|with laughter))"
    r"|\bhurt(?:ing)? myself (?:on purpose|again|when|because|so|at night|every)"
    r"|\bcut(?:ting)? (?:myself(?! (?:a|some|another|shaving|slicing|off|the|with (?:the|a) (?:paper|can)|on (?:the|a))\b)"
    r"(?= (?:when|because|again|at night|sometimes|every|on purpose|so|to feel|and)|[.!?,]|$)|my (?:own )?(?:arms?|wrists?"
    r"|legs?|thighs?))\b"
    r"|\b(?:do not|don['’]t|dont) (?:really )?(?:want to|wanna) (?:be alive|live|exist|wake up|(?:be|go"
    r" on) (?:here )?any ?more|be here any ?more)\b"
    r"(?! in| with| near| on| at| there)"
    r"|\bbetter (?:off )?(?:without me|dead|if i (?:was|were|wasn['’]t|weren['’]t) (?:gone|dead|here|alive|around))"
    r"|\bno (?:reason|point)(?: for me)? (?:to|in|of) (?:live|living|be alive|being alive|go(?:ing)? on)\b"
    r"|\b(?:nobody|no one|noone|anyone|anybody|who) would(?:n['’]t)?(?: even| really)? (?:miss|care|notice)(?: me)? if"
    r" i (?:died|disappeared|(?:was|were) (?:gone|dead))"
    r"|\bi(?:['’]m| am| feel) suicidal|\bsuicidal thoughts|\b(?:took|swallow(?:ed)?|taking) (?:all (?:of )?(?:the|my|her|his)"
    r"|a (?:whole )?(?:bunch|bottle) of"
    r"|too many) (?:\w+ ){0,2}pills|\bstarv(?:e|ing) myself|\bmak(?:e|ing) myself (?:throw up|puke|vomit)|\blife is(?:n['’]t"
    r"| not) worth living"
    r"|\bhate being alive|\bwish i (?:was|were) (?:dead|never born|not alive)|\bwish i (?:had never been|wasn['’]t"
    r"|weren['’]t) (?:born|alive)"
    r"|\btired of (?:living|being alive)\b|\bwant it all to (?:stop|end)|\b(?:want to|wanna|could just) (?:disappear|go to"
    r" sleep and (?:not|never) wake up)"
    r"(?: forever|,? for good)?(?! from (?:the|this) (?:class|board|page|picture))",
    re.IGNORECASE,
)
ABUSE = re.compile(
    rf"\b{_WHO} (?:(?:always|sometimes|still|often|just|has|had|who|keeps|would|started|will|even|usually|gets? drunk and"
    r"|gets? mad and) )*"
    r"(?:hit(?:s|ting)?|beat(?:s|ing|en)?|hurt(?:s|ing)?|punch(?:es|ed|ing)?|slap(?:s|ped|ping)?|kick(?:s|ed|ing)?|chok(?:es"
    r"|ed|ing)|burn(?:s|ed|t)|"
    r"whip(?:s|ped)|touch(?:es|ed|ing)|molest(?:s|ed)|rap(?:es|ed)|threaten(?:s|ed))(?: on)? (?:me|us|my (?:mom|mum|mother"
    r"|brother|sister|little \w+))\b"
    r"(?! (?:at|in|by|to|when we (?:play|race)|the|a|with (?:a |the )?(?:question|ball|idea|pillow|snowball)|every time"
    r" we (?:play|race)|on the (?:test|quiz)))"
    r"|\b(?:afraid|scared|terrified) (?:to go|of going|of being) home\b|\b(?:afraid|scared|terrified) of my (?:step)?(?:dad"
    r"|father|mom|mum|mother|uncle|brother)\b"
    r"|\block(?:s|ed)? me (?:in|out of)\b(?! (?:the )?(?:app|account|game))|\b(?:won['’]t|doesn['’]t|don['’]t|never) let"
    r" me (?:eat|have (?:any )?food|sleep inside)\b"
    r"|\btouch(?:es|ed|ing)? me (?:where|in (?:a|my|places)|down|there|and i|when i don)|\b(?:my|his|her) private parts\b"
    r"|\b(?:made|makes|forced|forces|making) me (?:to )?(?:undress|take (?:off )?my clothes|touch|do things i)"
    r"|\b(?:asked|asks|asking|wants|told) me (?:to send|for) (?:\w+ ){0,2}(?:pictures?|photos?|pics|nudes?)\b(?= (?:of (?:me"
    r"|my(?:self| body))|without|in my)|[.,!?]|$)"
    r"|\bsen[dt](?:ing)? (?:him |her |them )?nudes\b|\b(?:says|said|told me) (?:it['’]s|it is|that it is|this"
    r" is) our (?:little )?secret\b"
    r"|\b(?:says|said|told me) (?:\w+ )?(?:not to tell|don['’]t tell) (?:anyone|anybody|my (?:mom|mum|dad|parents))|\bi have"
    r" bruises\b|\bbruises (?:from|where) (?:he|she|my)\b"
    r"|\b(?:nobody|no one) (?:at home )?(?:feeds|takes care of) me\b",
    re.IGNORECASE,
)
_VICTIM = (
    r"(?:everyone|everybody|him|her|them|people|kids|somebody|someone|(?:the |this |my |our )?(?:whole )?school"
    r"|my (?:\w+ )?(?:teacher|mom|mum|dad|brother|sister"
    r"|classmates?|class|family|parents|stepdad|bully)|the (?:kids|boys|girls|people) (?:who|that|in|at))"
)
VIOLENCE = re.compile(
    r"\b(?:bring|brought|bringing|take|taking|carry|carrying|have|has|got) (?:a |an |my (?:\w+['’]s )?|his |the "
    r"|dad['’]s )?(?:\w+ )?(?:gun|knife|weapon|pistol|rifle|bomb|machete)s? "
    r"(?:\w+ )?(?:in(?:to|side)?|to|at) (?:the |my |our |his |her )?(?:school|class(?:room)?|backpack|bag|locker)\b"
    r"|\bi(?:['’]m| am|['’]ll| will| want| wanna)?(?: going| gonna| really| just| planning| so)*(?: to)? (?:shoot(?: up)?"
    rf"|stab|kill|murder|blow up|poison|beat up) {_VICTIM}\b"
    r"|\bsomeone at (?:my )?school (?:has|brought) a (?:gun|knife)|\b(?:going|gonna|threatened) to shoot up\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[\"“„«][^\"”“»\n]{0,600}[\"”“»]")
_FIRST_PERSON = word_set("i me my myself i'm i’m im us we our i'll i’ll life he she someone living")
# A turn without any of a kind's words need not be searched.
_WORDS = {
    "self-harm": "myself die dying died dead alive suicidal born pills life live living exist wake bridge roof building arm arms"
    " wrist wrists leg legs thigh thighs disappear disappeared gone anymore here end around without better",
    "abuse": "hit hits hitting beat beats beating beaten hurt hurts hurting punch punches punched punching slap slaps slapped"
    " slapping kick kicks kicked kicking choke chokes choked choking burn burns burned burnt burning whip whips whipped touch"
    " touches touched touching molest molests molested rape rapes raped threaten threatens threatened afraid scared terrified"
    " lock"
    " locks locked eat food sleep private undress clothes made makes forced forces making pictures picture photos photo pics"
    " nudes"
    " nude secret tell bruises feeds takes",
    "violence": "gun guns knife knives weapon weapons pistol rifle bomb machete shoot stab kill murder blow poison beat",
}
KINDS = tuple(
    (kind, word_set(_WORDS[kind]), pattern)
    for kind, pattern in (("self-harm", SELF_HARM), ("abuse", ABUSE), ("violence", VIOLENCE))
)

_ADULT = (
    r"(?:adults?|grown-?ups?|counsell?ors?|teachers?|parents?|guardians?|mom|mum|dad|mother|father|nurse|principal"
    r"|head ?teacher|psychologist|social worker"
    r"|doctor|police|coach|aunt|grandmother|grandma|grandpa|someone you trust|somebody you trust|person you trust|family"
    r" member|relative)"
)
HAND_OVER = re.compile(
    r"\b(?:tell|telling|told|talk|talking|speak|speaking|reach(?:ing)? out|call|text|go(?:ing)?|run|show|contact|find|trust"
    r"|let|share|turn|inform|involve|get|bring"
    rf"|notify|confide)\b[^.?!]{{0,60}}\b{_ADULT}\b(?! (?:asked|said|gave|assigned|wants|taught|wrote|set))"
    rf"|\bask\b[^.?!]{{0,30}}\b{_ADULT}\b[^.?!]{{0,20}}\b(?:for help|to help|to stay|to call)"
    rf"|\b{_ADULT}\b[^.?!]{{0,40}}\b(?:can help|will help|could help|right (?:now|away)|needs? to know|should know|you (?:can"
    r"|could) (?:go|tell|talk)|today|this minute)\b"
    r"|\bemergency (?:number|services?|line)\b|\bhot ?line\b|\bhelp ?line\b|\blife ?line\b|\bcrisis (?:line|text)|\b(?:call"
    r"|text|dial) (?:or text )?(?:911|988|999|112|116)\b|\bchild ?line\b"
    r"|\bsamaritans\b",
    re.IGNORECASE,
)


def crisis(text: Text) -> tuple[str, re.Match[str]] | None:
    """The kind of crisis that a turn speaks of, and the words."""
    if _FIRST_PERSON.isdisjoint(text.word_set):
        return None
    for kind, words, pattern in KINDS:
        if not words.isdisjoint(text.word_set):
            for found in pattern.finditer(text.content):
                if not _is_quoted(text.content, found.start()):
                    return kind, found
    return None


def _is_quoted(content: str, place: int) -> bool:
    """Within quotation marks: a story's words, not the learner's."""
    return any(found.start() < place < found.end() for found in _QUOTED.finditer(content))


@dataclass(frozen=True, slots=True)
class CrisisWithoutHandOver:
    """A learner's words that need an adult, and a reply that does not lead to one."""

    about: About

    def check(self, record: Record, options: Options) -> Iterator[Hit]:
        """One hit for each learner turn; milder where a later reply hands over."""
        child, grown = ("user", "assistant") if record.is_tutor else ("assistant", "user")
        messages, texts = record.example.messages, record.texts
        for index, message in enumerate(messages):
            if message.role != child:
                continue
            found = crisis(texts[index])
            if found is None:
                continue
            replies = [text.content for m, text in zip(messages[index + 1 :], texts[index + 1 :], strict=True) if m.role == grown]
            if replies and HAND_OVER.search(replies[0]):
                continue
            late = any(HAND_OVER.search(reply) for reply in replies[1:])
            kind, place = found
            yield Hit(
                f"The learner speaks of {kind} ('{place[0].strip()}', turn {index + 1}) and the reply leads to no adult"
                f"{' before a later one' if late else ''}. {self.about.do}",
                quote=place[0].strip(),
                severity="warning" if late else None,
            )


RULES: tuple[Rule, ...] = (
    CrisisWithoutHandOver(
        About(
            code="SAF012",
            name="crisis-without-handover",
            family="safety",
            severity="error",
            what="A learner speaks of self-harm, abuse or violence and the reply leads to no adult or help line.",
            why="The model learns to go on with the lesson. A child may have nobody else to tell.",
            do="Answer warmly, name an adult to tell now and the emergency number, and leave the task for later.",
            bad="learner: I can't do this. Some nights I want to kill myself.\ntutor: Look at the denominators again.",
            good="learner: I can't do this. Some nights I want to kill myself.\ntutor: Thank you for telling me. "
            "Please "
            "tell a parent or your teacher today, and call the emergency number if you might hurt yourself. Who could you go"
            " to now?",
            guideline="Diversity: Edge Cases",
        )
    ),
)
