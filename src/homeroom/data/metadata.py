"""What the metadata of an example may say: the keys that Homeroom knows, their values, and what reads them.

Unknown keys are kept and never reported. The page docs/reference/data-formats.md is generated from this table.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

GRADE_BANDS: Mapping[str, tuple[int, int]] = {"K-2": (0, 2), "3-5": (3, 5), "6-8": (6, 8), "9-12": (9, 12)}
CONSENTS = ("not-required", "granted", "refused", "withdrawn", "not-asked")
Kind = Literal["text", "choice", "open", "grade", "standards", "language", "names", "any"]


@dataclass(frozen=True, slots=True)
class Field:
    """A key of the metadata.

    Attributes:
        name: The key.
        kind: ``choice`` takes its ``values`` only, ``open`` these and others, ``text`` any short text.
        about: What it says, and who reads it.
        values: Those that are documented.
    """

    name: str
    kind: Kind
    about: str
    values: tuple[str, ...] = ()


FIELDS: Mapping[str, Field] = {
    field.name: field
    for field in (
        Field("task", "choice", "Who the model plays.", ("tutor", "learner")),
        Field("subject", "open", "The school subject; splits keep to it.", (
            "mathematics", "reading", "writing", "science", "history", "geography", "languages", "computing", "arts", "health",
        )),
        Field("grade", "grade", "0 (kindergarten, also `K`) to 12."),
        Field("grade_band", "choice", "Filled in from the grade.", tuple(GRADE_BANDS)),
        Field("topic", "text", "What the example is about, such as `adding-unlike-fractions`: a topic is held out as a whole."),
        Field("difficulty", "choice", "For a learner of the grade.", ("easy", "medium", "hard")),
        Field("question_type", "choice", "What the question asks for.", ("factual", "conceptual", "analytical")),
        Field("scenario", "open", "The situation. With `unsafe` and `off-topic` the judge expects no answer to be kept back.", (
            "explain", "diagnose", "assess", "practice", "engage", "asks-for-answer", "frustrated", "wrong-premise", "off-topic",
            "unsafe", "multilingual",
        )),
        Field("pedagogical_framework", "open", "The way of teaching that the reply follows.", (
            "socratic", "scaffolding", "direct-instruction", "inquiry", "worked-example", "retrieval-practice", "5e", "udl",
        )),
        Field("standards", "standards", "Codes such as `4.NF.B.3`, each a text or `{\"code\": ..., \"case\": GUID}`."),
        Field("language", "language", "BCP 47: `en`, `es-MX`."),
        Field("source", "open", "Whose words these are. `learner` needs consent.", (
            "learner", "teacher", "simulated", "published", "generated",
        )),
        Field("author", "text", "Who wrote the reply."),
        Field("licence", "text", "SPDX where there is one: `CC-BY-4.0`."),
        Field("consent", "choice", "Whether the words may train a model. Of a learner only `granted` will do.", CONSENTS),
        Field("split", "choice", "Part that the example was in before it came here; a leak between parts is reported.", (
            "train", "validation", "test",
        )),
        Field("review", "text", "Who reviewed it, and when."),
        Field("lint_ignore", "names", "Rules that leave this record alone: `[\"CNS003\"]`."),
        Field("id", "text", "A name of your own."),
        Field("origin", "any", "Where a merged example came from; written by `homeroom data merge`."),
    )
}  # fmt: skip

# 4.NF.B.3, K.CC.A.1, HSA-REI.B.3, CCSS.Math.Content.4.NF.B.3a, NGSS 3-PS2-1, TEKS 111.6(b)(3)(A)
_STANDARD = re.compile(r"[A-Za-z0-9]+(?:[.\-:() ]{1,2}[A-Za-z0-9]+){1,12}\)?")
_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")


def parse_grade(value: object) -> int | None:
    """Grade as a number: 0 for kindergarten; None when it is none of the documented forms."""
    if isinstance(value, str) and value.strip().upper() in ("K", "KINDERGARTEN"):
        return 0
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value.strip()) < 4:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # spreadsheets and Parquet keep whole numbers as floats
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 12:
        return value
    return None


def grade_band(grade: int) -> str:
    """The band that contains ``grade`` (0 to 12)."""
    return next(band for band, (low, high) in GRADE_BANDS.items() if low <= grade <= high)


def standard_codes(value: object) -> list[str]:
    """The codes of a ``standards`` value, however it is written."""
    items = value if isinstance(value, list) else [value]
    return [str(item.get("code", "")) if isinstance(item, dict) else str(item) for item in items if item]


def problems(meta: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(rule, what is wrong) of each documented key whose value is not one of its own."""
    grade = parse_grade(meta["grade"]) if meta.get("grade") is not None else None
    if meta.get("grade") is not None and grade is None:
        yield "grade-invalid", f"grade {meta['grade']!r} is not a whole number from 0 (kindergarten) to 12, or 'K'."
    band = meta.get("grade_band")
    if band is not None:
        span = GRADE_BANDS.get(band) if isinstance(band, str) else None
        if span is None:
            yield "grade-band-mismatch", f"grade_band {band!r} is not one of {', '.join(GRADE_BANDS)}."
        elif grade is not None and not span[0] <= grade <= span[1]:
            yield (
                "grade-band-mismatch",
                f"grade_band {band!r} does not contain grade {grade}, which belongs to {grade_band(grade)}.",
            )
    for name, field in FIELDS.items():
        value = meta.get(name)
        if value is None or name == "grade_band":
            continue
        said = _wrong(field, value)
        if said:
            yield "value-unknown", said


def _wrong(field: Field, value: object) -> str:
    """What is wrong with the value of a field; empty when nothing."""
    name = field.name
    if field.kind == "choice" and value not in field.values:
        return f"{name} {value!r} is not one of {', '.join(field.values)}.{_near(value, field.values)}"
    if field.kind in ("text", "open") and not isinstance(value, str | int | float):
        return f"{name} {value!r} is not a text."
    if field.kind == "language" and not (isinstance(value, str) and _LANGUAGE.fullmatch(value)):
        return f"language {value!r} is not a language tag such as 'en' or 'es-MX'."
    if field.kind == "names" and not isinstance(value, str | list):
        return f"{name} {value!r} is not a list of rules."
    if field.kind == "standards":
        return _wrong_standard(value)
    return ""


def _near(value: object, values: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(value.lower(), values, n=1) if isinstance(value, str) else []
    return f" Did you mean {near[0]!r}?" if near else ""


def _wrong_standard(value: object) -> str:
    for item in value if isinstance(value, list) else [value]:
        code = item.get("code") if isinstance(item, dict) else item
        guid = item.get("case") if isinstance(item, dict) else None
        if not isinstance(code, str) or not _STANDARD.fullmatch(code.strip()):
            return f"the standard {item!r} is not a code such as '4.NF.B.3'."
        if guid is not None and not (isinstance(guid, str) and _GUID.fullmatch(guid)):
            return f"the CASE identifier {guid!r} of {code!r} is not a GUID."
    return ""
