"""One JSON list of objects, as ShareGPT and Alpaca files often are; read as a stream, whatever its size."""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from homeroom.data.files.base import Container, Row
from homeroom.data.lines import DECODER, MAX_LINE_BYTES, PIECE_BYTES, Refused, checked
from homeroom.errors import Problem
from homeroom.schema.examples import Json

_BLANK = re.compile(r"[ \t\r\n\ufeff]*")
_LIMIT = f"{MAX_LINE_BYTES >> 20} MB"
_NEAR_END = 16  # a literal or an escape that is cut off by the end of the window is shorter


class _Window:
    """The text of a file from where we are, as far as it was read."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self.text, self.position, self.line, self.ended = "", 0, 1, False

    def more(self) -> None:
        """Read on, as much again as there is."""
        raw = self._file.read(max(PIECE_BYTES, len(self.text) - self.position))
        self.ended = not raw
        self.text = self.text[self.position :] + self._decoder.decode(raw, final=self.ended)
        self.position = 0

    def skip(self, end: int) -> None:
        """Go on at ``end``."""
        self.line += self.text.count("\n", self.position, end)
        self.position = end

    def next(self) -> str:
        """The next character that is not blank, where we then are; empty at the end of the file."""
        while True:
            found = _BLANK.match(self.text, self.position)
            self.skip(found.end() if found else self.position)
            if self.position < len(self.text):
                return self.text[self.position]
            if self.ended:
                return ""
            self.more()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _rows(path: Path) -> Iterator[Row]:
    window = _Window(path)
    try:
        yield from _elements(window, path.name)
    except UnicodeDecodeError:
        text = "the file is not UTF-8 from about here on; the rest was not read. Save it as UTF-8."
        yield Row(window.line, None, Problem(path.name, window.line, "encoding-invalid", text))
    finally:
        window.close()


def _elements(window: _Window, file: str) -> Iterator[Row]:
    def stop(what: str, rule: str = "json-invalid") -> Row:
        return Row(window.line, None, Problem(file, window.line, rule, f"{what} The rest of the file was not read."))

    if window.next() != "[":
        yield stop("the file is not a list of objects.")
        return
    window.skip(window.position + 1)
    mark = "]" if window.next() == "]" else ","
    while mark == ",":
        row = _element(window, file)
        if not isinstance(row, Row):
            yield stop(*row)
            return
        yield row
        mark = window.next()
        if mark == ",":
            window.skip(window.position + 1)
    if mark != "]":
        yield stop(f"a comma is missing before {mark!r}." if mark else "the list ends too early: the file may be cut off.")
        return
    window.skip(window.position + 1)
    if window.next():
        yield stop("something follows after the end of the list.")


def _element(window: _Window, file: str) -> Row | tuple[str, str]:
    """The next object of the list; or why nothing can be read from here on, and the rule that says so."""
    if not window.next():
        return "the list ends too early: the file may be cut off.", "json-invalid"
    line = window.line
    while True:
        start = window.position
        try:
            record, end = DECODER.raw_decode(window.text, start)
        except Refused as error:
            with suppress(ValueError, RecursionError):  # it may go on beyond the window
                window.skip(json.JSONDecoder().raw_decode(window.text, start)[1])
                return Row(line, None, Problem(file, line, error.rule, str(error)))
        except RecursionError:
            return "lists and objects are nested too deep.", "nesting-too-deep"
        except json.JSONDecodeError as error:
            cut = error.pos >= len(window.text) - _NEAR_END or error.msg.startswith("Unterminated")
            if window.ended or not cut:
                return f"this is not JSON: {error.msg.lower()} (character {error.pos - start + 1} of the object).", "json-invalid"
        except ValueError as error:
            return f"a number cannot be kept: {error}.", "number-not-finite"
        else:
            if end < len(window.text) or window.ended:
                text = window.text[start:end]
                window.skip(end)
                if len(text) > MAX_LINE_BYTES:
                    return Row(line, None, Problem(file, line, "line-too-long", f"an object has more than {_LIMIT}. Split it."))
                found = checked(record, text, file, line)
                return Row(line, None, found) if isinstance(found, Problem) else Row(line, found)
        if len(window.text) - start > MAX_LINE_BYTES:
            return f"an object has more than {_LIMIT}.", "line-too-long"
        if window.ended:
            return "the list ends too early: the file may be cut off.", "json-invalid"
        window.more()


def _write(path: Path, records: Callable[[], Iterable[Json]]) -> Counter[str]:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        begin = "[\n"
        for record in records():
            file.write(begin + json.dumps(record, ensure_ascii=False, allow_nan=False))
            begin = ",\n"
        file.write("[]\n" if begin == "[\n" else "\n]\n")
    return Counter()


CONTAINER = Container("json", "one JSON list of objects", (".json",), _rows, _write)
