"""Lines of JSON, read in bounded pieces: a file of any size, with lines of any length, never asks for more than a few MB."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homeroom.errors import Problem
from homeroom.schema.examples import Json

MAX_LINE_BYTES = 8 * 1024 * 1024
PIECE_BYTES = 1024 * 1024
MAX_DEPTH = 64  # of nested lists and objects; deeper ones break the tools that come later, one by one
UTF8_BOM = b"\xef\xbb\xbf"
SURROGATE = re.compile(r"[\ud800-\udfff]")  # half a character, which UTF-8 cannot write


@dataclass(frozen=True, slots=True)
class Block:
    """Some whole lines of a file: where they lie in it, in bytes, and the number of the first one, from 1.

    ``too_long``: the block is one line of more than `MAX_LINE_BYTES`, which nobody reads.
    """

    offset: int
    size: int
    first_line: int
    too_long: bool = False


def blocks(path: Path, *, block_bytes: int = PIECE_BYTES) -> Iterator[Block]:
    """Cut a file into blocks of whole lines, looking at it once, in small pieces.

    Only a line feed ends a line: JSON text may hold U+2028 and the like, at which ``str.splitlines`` would cut.
    """
    begin, first, lines = 0, 1, 0  # of the block that grows: offset, number of its first line, whole lines in it
    line_begin = position = 0
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            last = piece.rfind(b"\n")
            if last >= 0:
                ended = position + piece.find(b"\n") + 1  # only a line that began in an earlier piece can be too long
                count = piece.count(b"\n")
                if ended - line_begin > MAX_LINE_BYTES:
                    if lines:
                        yield Block(begin, line_begin - begin, first)
                    yield Block(line_begin, ended - line_begin, first + lines, too_long=True)
                    begin, first, lines = ended, first + lines + 1, count - 1
                else:
                    lines += count
                line_begin = position + last + 1
                if line_begin - begin >= block_bytes:
                    yield Block(begin, line_begin - begin, first)
                    begin, first, lines = line_begin, first + lines, 0
            position += len(piece)
    if position - line_begin > MAX_LINE_BYTES:
        if lines:
            yield Block(begin, line_begin - begin, first)
        yield Block(line_begin, position - line_begin, first + lines, too_long=True)
    elif position > begin:
        yield Block(begin, position - begin, first)


def block_lines(path: Path, block: Block) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each line of a block that is not blank, without its line end."""
    with path.open("rb") as file:
        file.seek(block.offset)
        data = file.read(block.size)
    for number, line in enumerate(data.split(b"\n"), start=block.first_line):
        bare = line.removeprefix(UTF8_BOM).strip(b" \t\r")  # a BOM may stand wherever files were joined
        if bare:
            yield number, bare


class Refused(ValueError):
    """Why a value that JSON's grammar allows is not read; ``rule`` names it."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Refused("number-not-finite", f"the number {text!r} is too large to be kept. Write it as a text.")
    return value


def _constant(text: str) -> float:
    raise Refused("number-not-finite", f"{text} is not a number in JSON. Write null, or leave the key out.")


def _pairs(pairs: list[tuple[str, Any]]) -> Json:
    record = dict(pairs)
    if len(record) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Refused("key-duplicate", f"the key {twice!r} stands twice in one object, so one of its values would be lost.")
    return record


DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_float=_finite, parse_constant=_constant)


def parse_line(raw: bytes, file: str, line: int) -> Json | Problem:
    """One line as a JSON object, or the one thing that is wrong with it. Nothing is lost or changed on the way."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return Problem(
            file, line, "encoding-invalid", f"byte {error.start + 1} of the line ({raw[error.start]:#04x}) is not UTF-8. "
            "Save the file as UTF-8; it may be in the encoding of an older editor (Latin-1, Windows-1252).",
        )  # fmt: skip
    return parse_text(text, file, line)


def parse_text(text: str, file: str, line: int) -> Json | Problem:
    """As `parse_line`, of text."""
    try:
        record = DECODER.decode(text)
    except Refused as error:
        return Problem(file, line, error.rule, str(error))
    except RecursionError:
        return _too_deep(file, line)
    except json.JSONDecodeError as error:
        return Problem(file, line, "json-invalid", f"{_why(error)} (column {error.pos + 1}). {_advice(text, error)}")
    except ValueError as error:  # an integer of thousands of digits
        return Problem(file, line, "number-not-finite", f"a number cannot be kept: {error}")
    return checked(record, text, file, line)


def checked(record: object, text: str, file: str, line: int) -> Json | Problem:
    """What was parsed from ``text``, if it is an object that every later tool can hold."""
    if not isinstance(record, dict):
        return Problem(file, line, "record-not-object", f"the line holds a {type(record).__name__}, not an object. "
                       'Wrap it as {"messages": [...]}.')  # fmt: skip
    if text.count("[") + text.count("{") > MAX_DEPTH and _deeper_than(record, MAX_DEPTH):
        return _too_deep(file, line)
    if "\\u" in text:
        if "\\u0000" in text and "\0" in _texts(record):
            return Problem(file, line, "character-invalid", "a text holds the character NUL (\\u0000). Remove it.")
        if SURROGATE.search(_texts(record)):
            return Problem(
                file, line, "character-invalid", "a text holds half a character (a lone \\ud800 to \\udfff). Write it again."
            )
    return record


def _too_deep(file: str, line: int) -> Problem:
    return Problem(file, line, "nesting-too-deep", f"lists and objects are nested more than {MAX_DEPTH} deep.")


def _why(error: json.JSONDecodeError) -> str:
    return f"the line is not JSON: {error.msg.lower()}"


def _advice(text: str, error: json.JSONDecodeError) -> str:
    if text.strip() in ("{", "[") or text.endswith(("{", "[", ",")):
        return "One whole JSON object belongs on each line; this one goes on over several."
    if error.pos >= len(text) - 1 or error.msg.startswith("Unterminated"):
        return "The line ends too early: the file may be cut off. One whole JSON object belongs on each line."
    if error.msg == "Extra data":
        return "A second value begins there. One whole JSON object belongs on each line."
    return "One whole JSON object belongs on each line."


def _deeper_than(value: object, limit: int) -> bool:
    """Whether lists and objects are nested deeper; without recursion."""
    level: list[object] = [value]
    for _ in range(limit):
        level = [child for item in level for child in _children(item)]
        if not level:
            return False
    return any(isinstance(item, dict | list) for item in level)


def _children(item: object) -> Iterator[object]:
    if isinstance(item, dict):
        yield from item.values()
    elif isinstance(item, list):
        yield from item


def _texts(value: object) -> str:
    """All texts of a record, keys included, joined."""
    parts: list[str] = []
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, str):
            parts.append(item)
        elif isinstance(item, dict):
            parts += item
            rest += item.values()
        elif isinstance(item, list):
            rest += item
    return " ".join(parts)
