"""Examples as hypothesis makes them: everything that a record may hold, with texts that break careless writers."""

from __future__ import annotations

from hypothesis import strategies as st

from homeroom.data.metadata import CONSENTS, grade_band
from homeroom.schema.examples import Example, Message

# Commas, quotes, formulas, line ends, separators that splitlines knows, marks of old line ends, Excel's escapes, emoji.
AWKWARD = ("=1+1", 'say "no", twice', "a\nb", "a\r\nb", "tab\there", "\u2028", "\x85", "_x0041_", "'", "-5", "1e5", "[1]", '{"a": 1}',
           "null", "true", "👩🏽‍🏫", "é", "e\u0301", "ﷺ", "a;b", "#N/A", "human:", "\ufeffbom", "0012", "3.0", "\x1f", "\ufffe")  # fmt: skip
CHARACTERS = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
text = st.one_of(st.sampled_from(AWKWARD), st.text(CHARACTERS, min_size=1, max_size=30)).filter(lambda t: t.strip())
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False),
              st.text(CHARACTERS, max_size=8), st.sampled_from(AWKWARD)),
    lambda children: st.one_of(st.lists(children, max_size=3), st.dictionaries(st.text(CHARACTERS, max_size=5), children, max_size=3)),
    max_leaves=5,
)  # fmt: skip
some_value = anything.filter(lambda value: value is not None)
_KNOWN = ("task", "subject", "grade", "grade_band", "topic", "difficulty", "question_type", "scenario", "pedagogical_framework",
          "standards", "language", "source", "author", "licence", "consent", "split", "review", "lint_ignore", "id", "origin")  # fmt: skip
own_key = st.one_of(
    st.sampled_from(
        ["colour", "Two Words", "question", "metadata.x", "history", "a:json", "claim", "input", "conversations", "key"]
    ),
    st.text(CHARACTERS, min_size=1, max_size=8),
).filter(lambda key: key.strip() and key not in _KNOWN)


@st.composite
def metadata(draw: st.DrawFn) -> dict[str, object]:
    found: dict[str, object] = {}
    if draw(st.booleans()):
        grade = draw(st.integers(0, 12))
        found |= {"grade": grade, "grade_band": grade_band(grade)}
    found |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "subject": text, "topic": text, "task": st.sampled_from(["tutor", "learner"]),
                "difficulty": st.sampled_from(["easy", "hard"]), "language": st.sampled_from(["en", "es-MX"]),
                "standards": st.sampled_from(["4.NF.B.3", ["4.NF.B.3", {"code": "3-PS2-1"}]]),
                "consent": st.sampled_from([c for c in CONSENTS if c not in ("refused", "withdrawn")]),
            },
        )
    )  # fmt: skip
    found |= draw(st.dictionaries(own_key, some_value, max_size=2))
    return found


@st.composite
def messages(draw: st.DrawFn, *, plain: bool = False) -> tuple[Message, ...]:
    turns: list[Message] = []
    if draw(st.booleans()):
        turns.append(Message("system", draw(text)))
    for _ in range(draw(st.integers(1, 3))):
        turns.append(Message("user", draw(text), extra={} if plain else draw(st.sampled_from([{}, {"name": "Ana"}]))))
        if not plain and draw(st.integers(0, 4)) == 0:
            call = {"id": "c1", "type": "function", "function": {"name": "sum", "arguments": '{"a": 1}'}}
            turns.append(Message("assistant", "", None, {"tool_calls": [call], "content": None}))
            turns.append(Message("tool", draw(text), None, {"tool_call_id": "c1"}))
        turns.append(Message("assistant", draw(text), None if plain else draw(st.sampled_from([None, 1]))))
    return tuple(turns)


@st.composite
def examples(draw: st.DrawFn, *, plain: bool = False, rejected: bool | None = None) -> Example:
    """``plain``: no tools, names or weights; ``rejected``: whether there is a reply that is turned down."""
    extra: dict[str, object] = {}
    if not plain and draw(st.booleans()):
        extra["tools"] = [{"type": "function", "function": {"name": "sum", "parameters": {"type": "object"}}}]
    if rejected or (rejected is None and draw(st.booleans())):
        extra["rejected"] = [{"role": "assistant", "content": draw(text)}]
    return Example(
        draw(messages(plain=plain)),
        draw(metadata()),
        tuple(draw(st.lists(text, max_size=2))),
        draw(st.dictionaries(st.one_of(st.sampled_from(["answer", "claim", "solution", "claim_is_correct"]), own_key), st.booleans(),
                             max_size=2)
             if draw(st.booleans()) else st.fixed_dictionaries({}, optional={"answer": text, "claim": text})),
        extra,
    )  # fmt: skip
