"""Files of examples to `Example` values, with every problem reported at once.

A reader is one function per format, registered in `READERS`. The format is detected from the first record and can be named.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homeroom.data import mathdial
from homeroom.data.rules import RULES, check_record, grade_band, parse_grade
from homeroom.errors import ConfigError, DataError, NotFoundError, Problem
from homeroom.schema.examples import Example, Json

MAX_FILE_BYTES = 512 * 1024 * 1024  # as OpenAI's upload limit
SHOWN_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What a file held: examples in file order, all problems, and the format that was read."""

    examples: tuple[Example, ...]
    problems: tuple[Problem, ...]
    format: str

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that stop the file from being used."""
        return tuple(p for p in self.problems if p.severity == "error")


Reader = Callable[[Json], Iterable[Json]]


def _chat(record: Json) -> Iterable[Json]:
    return (record,)


def _prompt_completion(record: Json) -> Iterable[Json]:
    messages = [{"role": "user", "content": record["prompt"]}, {"role": "assistant", "content": record["completion"]}]
    return ({"messages": messages, **{k: v for k, v in record.items() if k not in ("prompt", "completion")}},)


# Format name -> (does a record look like it, record -> Homeroom records). The first match wins.
READERS: dict[str, tuple[Callable[[Json], bool], Reader]] = {
    "chat": (lambda r: "messages" in r, _chat),
    "mathdial": (lambda r: "conversation" in r and "student_incorrect_solution" in r, mathdial.records),
    "prompt-completion": (lambda r: "prompt" in r and "completion" in r, _prompt_completion),
}


def read_examples(path: Path | str, *, format: str | None = None) -> ReadResult:
    """Read a JSONL file; problems are collected, not raised.

    Args:
        path: The file.
        format: A key of `READERS`; detected when None.

    Raises:
        NotFoundError: there is no such file (code ``file-not-found``).
        DataError: it is not a text file of JSON lines at all, or is empty (``wrong-file``, ``empty-file``).
        ConfigError: ``format`` is unknown.
    """
    path = Path(path)
    lines = _lines(path)
    if format is not None and format not in READERS:
        raise ConfigError(f"Unknown format {format!r}. Use one of: {', '.join(READERS)}.", code="format-unknown")
    problems: list[Problem] = []
    examples: list[Example] = []
    detected = format
    for number, text in lines:
        record, problem = _parse(text, path.name, number)
        if problem is not None:
            problems.append(problem)
            continue
        if detected is None:
            detected = _detect(record)
        for converted in _convert(record, detected, path.name, number, problems):
            found = check_record(converted, path.name, number)
            problems += found
            if not any(p.severity == "error" for p in found):
                examples.append(Example.from_dict(_normalised(converted)))
    return ReadResult(tuple(examples), tuple(problems), detected or "chat")


def load_examples(path: Path | str, *, format: str | None = None) -> list[Example]:
    """Read a file that must be free of errors.

    Raises:
        DataError: with every problem, where there is at least one error (code ``data-invalid``).
    """
    result = read_examples(path, format=format)
    if result.errors:
        raise data_error(Path(path), result.errors)
    return list(result.examples)


def data_error(path: Path, errors: Sequence[Problem]) -> DataError:
    """One error for all of a file's problems."""
    shown = "; ".join(str(p) for p in errors[:1])
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return DataError(
        f"{path.name} has {len(errors)} problem{'s' if len(errors) > 1 else ''}: {shown}{more}. "
        f"See them all with: homeroom data check {path}",
        errors,
        code="data-invalid",
    )


def _lines(path: Path) -> list[tuple[int, str]]:
    if not path.exists():
        raise NotFoundError(f"There is no file {str(path)!r}. Check the path, or run: homeroom init", code="file-not-found")
    if path.is_dir():
        raise DataError(f"{str(path)!r} is a folder; name one JSONL file in it.", code="wrong-file")
    if path.suffix.lower() in (".csv", ".tsv", ".xlsx"):
        raise DataError(
            f"{path.name!r} is a table, not JSONL. Convert it first: homeroom init my-project --from {path}",
            code="wrong-file",
        )
    if path.stat().st_size > MAX_FILE_BYTES:
        raise DataError(f"{path.name!r} is larger than {MAX_FILE_BYTES >> 20} MB. Split it.", code="wrong-file")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name!r} is not UTF-8 text (byte {error.start}). Save it as UTF-8 JSONL: one JSON object on each line.",
            code="wrong-file",
        ) from error
    if not text.strip():
        raise DataError(f"{path.name!r} is empty. Each line must hold one example; see: homeroom data show", code="empty-file")
    # Only \n ends a record: JSON text may hold U+2028 and the like, at which str.splitlines would cut.
    return [(n, line) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]


def _parse(text: str, file: str, line: int) -> tuple[Json, Problem | None]:
    try:
        record = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        return {}, Problem(file, line, "json-invalid", f"{RULES['json-invalid']} {error}")
    if not isinstance(record, dict):
        return {}, Problem(file, line, "record-not-object", RULES["record-not-object"])
    return record, None


def _detect(record: Json) -> str:
    return next((name for name, (matches, _) in READERS.items() if matches(record)), "chat")


def _convert(record: Json, format: str, file: str, line: int, problems: list[Problem]) -> Iterable[Json]:
    matches, reader = READERS[format]
    if format != "chat" and not matches(record):
        problems.append(Problem(file, line, "messages-missing", f"the record is not in the format {format!r} of the first one."))
        return ()
    return reader(record)


def _normalised(record: Json) -> Json:
    """Grade as a number and its band beside it, so that every later reader can rely on both."""
    meta: dict[str, Any] = dict(record.get("metadata") or {})
    grade = parse_grade(meta["grade"]) if meta.get("grade") is not None else None
    if grade is not None:
        meta["grade"] = grade
        meta.setdefault("grade_band", grade_band(grade))
    return {**record, "metadata": meta}
