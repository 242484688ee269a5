"""Safe fixes: what rules can mend without a person, shown as a diff, applied to a file whose original is kept.

A fix changes the text of one message and nothing else; lines without a fix stay as they are, byte for byte. Where two rules
change one message, both changes are made if they are in different places; otherwise the second waits for the next run.

What a fix takes out of a text as personal is replaced by a placeholder, and written to a file beside the original that only the
owner can read. Whoever has the fixed file alone cannot get it back: placeholders are numbers.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import secrets
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from homeroom.data.files.jsonl import CONTAINER as JSONL
from homeroom.data.lines import UTF8_BOM, parse_line
from homeroom.data.lint.model import Finding
from homeroom.data.source import open_source
from homeroom.errors import ConfigError, DataError, NotFoundError, Problem
from homeroom.schema.examples import Example, Json

PLACEHOLDER = re.compile(r"\[[A-Z][A-Z-]*-\d+\]")
PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class Redaction:
    """A placeholder and what stood in its place. ``record`` is the id of the example after the fix."""

    record: str
    message: int
    placeholder: str
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """One message of a file, before and after; ``codes`` are the rules that mend it.

    ``taken``: each placeholder with what it stands for.
    """

    line: int
    message: int
    before: str
    after: str
    codes: tuple[str, ...]
    taken: tuple[tuple[str, str], ...] = ()

    def diff(self) -> list[str]:
        """The lines of a unified diff, without its head."""
        lines = difflib.unified_diff(self.before.splitlines(), self.after.splitlines(), lineterm="", n=1)
        return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


@dataclass(frozen=True, slots=True)
class FixPlan:
    """What would be mended in a file. ``waiting`` fixes touch what another one touches: run again for them."""

    file: Path
    fixes: tuple[Fix, ...]
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Fixed:
    """What was done: where the original is kept, and where what was redacted is (None when nothing was)."""

    fixes: int
    original: Path
    redactions: Path | None = None
    redacted: int = field(default=0)


def plan_fixes(file: Path, findings: Iterable[Finding]) -> FixPlan:
    """The fixes that ``findings`` of ``file`` offer.

    Raises:
        ConfigError: the file is not JSONL in the chat format, which can be mended in place (``fix-format``).
    """
    source = open_source(file)
    if source.container != JSONL.name or source.format != "chat":
        raise ConfigError(
            f"{file.name!r} is in the format {source.format!r} ({source.container}), and fixes are made in chat JSONL. "
            f"Convert it first: homeroom data convert {file} {file.with_suffix('.jsonl').name}",
            code="fix-format",
        )
    edits: dict[tuple[int, int], list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.edit is not None and finding.file in (str(file), file.name):
            edits[finding.line, finding.edit.message].append(finding)
    lines = {line for line, _ in edits}
    texts = {row.line: row.record for row in source.rows() if row.line in lines and row.record}
    fixes, waiting = [], 0
    for (line, message), some in sorted(edits.items()):
        before = _content(texts.get(line), message)
        if before is None:
            continue
        after, used, taken = _merged(before, [(finding.code, finding.edit.content) for finding in some if finding.edit])
        waiting += len(some) - len(used)
        if after != before:
            fixes.append(Fix(line, message, before, after, tuple(dict.fromkeys(used)), taken))
    return FixPlan(file, tuple(fixes), waiting)


def _content(record: Json | None, message: int) -> str | None:
    messages = record.get("messages") if record else None
    if not isinstance(messages, list) or message >= len(messages) or not isinstance(messages[message], dict):
        return None
    content = messages[message].get("content")
    return content if isinstance(content, str) else None


def _merged(before: str, edits: Sequence[tuple[str, str]]) -> tuple[str, list[str], tuple[tuple[str, str], ...]]:
    """All edits of one text that do not touch each other, whose they are, and what placeholders stand for."""
    taken: list[tuple[int, int, str]] = []
    used: list[str] = []
    for code, after in edits:
        spans = list(_spans(before, after))
        new = [span for span in spans if span not in taken]
        if any((a < end and start < b) or a == start for a, b, _ in new for start, end, _ in taken):
            continue
        taken += new
        used.append(code)
    text = before
    for start, end, words in sorted(taken, reverse=True):
        text = text[:start] + words + text[end:]
    hidden = {words: before[start:end] for start, end, words in taken if PLACEHOLDER.fullmatch(words)}
    return text, used, tuple(hidden.items())


def _spans(before: str, after: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, new words) of each change: a placeholder stands for one span, other changes are of whole words."""
    new = {found for found in PLACEHOLDER.findall(after) if found not in before}
    pieces = re.split("(" + "|".join(map(re.escape, sorted(new))) + ")", after) if new else []
    # The words between the placeholders are those of the text as it was, unless the rule changed them as well.
    match = re.fullmatch("".join("(.+?)" if piece in new else re.escape(piece) for piece in pieces), before, re.DOTALL)
    if pieces and match:
        yield from ((*match.span(index), words) for index, words in enumerate((p for p in pieces if p in new), start=1))
        return
    old, words = _words(before), _words(after)
    places = [0]
    for word in old:
        places.append(places[-1] + len(word))
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, words, autojunk=False).get_opcodes():
        if kind != "equal":
            yield places[a], places[b], "".join(words[c:d])


def _words(text: str) -> list[str]:
    return re.findall(r"\[[A-Z][A-Z-]*-\d+\]|\w+|\s|[^\w\s]", text)


def apply_fixes(plan: FixPlan) -> Fixed:
    """Write the mended file; the original is kept beside it.

    Raises:
        DataError: the file changed since the plan was made (``file-changed``).
    """
    by_line: dict[int, list[Fix]] = defaultdict(list)
    for fix in plan.fixes:
        by_line[fix.line].append(fix)
    file = plan.file
    draft = file.with_name(f".{file.name}-{secrets.token_hex(4)}")
    redactions: list[Redaction] = []
    try:
        mode = file.stat().st_mode & 0o777
        with file.open("rb") as old, draft.open("xb") as new:
            draft.chmod(mode)
            for number, raw in enumerate(old, start=1):
                new.write(_fixed_line(raw, file, number, by_line.get(number, ()), redactions))
            new.flush()
            os.fsync(new.fileno())
        original = _free_name(file, "original")
        shutil.copy2(file, original)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    if not redactions:
        return Fixed(len(plan.fixes), original)
    original.chmod(PRIVATE)
    return Fixed(len(plan.fixes), original, _write_redactions(original, redactions), len(redactions))


def _fixed_line(raw: bytes, file: Path, number: int, fixes: Sequence[Fix], redactions: list[Redaction]) -> bytes:
    if not fixes:
        return raw
    bare = raw.removeprefix(UTF8_BOM).strip()
    record = parse_line(bare, file.name, number)
    for fix in fixes:
        if isinstance(record, Problem) or _content(record, fix.message) != fix.before:
            raise DataError(
                f"{file.name!r} changed while it was checked (line {number}). Run the same command again.", code="file-changed"
            )
        record["messages"][fix.message]["content"] = fix.after
    assert not isinstance(record, Problem)
    identity = Example.from_dict(record).id
    redactions += [Redaction(identity, fix.message, placeholder, text) for fix in fixes for placeholder, text in fix.taken]
    text = json.dumps(record, ensure_ascii=False).encode()
    start = raw.index(bare)
    return raw[:start] + text + raw[start + len(bare) :]


def _free_name(file: Path, what: str) -> Path:
    names = (file.with_name(f"{file.name}.{what}{'' if n == 1 else f'-{n}'}") for n in range(1, 10_000))
    return next(name for name in names if not name.exists())


def _write_redactions(original: Path, redactions: Sequence[Redaction]) -> Path:
    path = original.with_name(f"{original.name}.redacted")
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        for entry in redactions:
            record = {"record": entry.record, "message": entry.message, "placeholder": entry.placeholder, "text": entry.text}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return path


def read_redactions(path: Path) -> tuple[Redaction, ...]:
    """What was taken out, from the file beside the original.

    Raises:
        NotFoundError: it is not there (``file-not-found``).
        DataError: it is not such a file (``wrong-file``).
    """
    if not path.is_file():
        raise NotFoundError(f"There is no file {str(path)!r}. It lies beside the kept original.", code="file-not-found")
    try:
        return tuple(Redaction(**json.loads(line)) for line in path.read_text("utf-8").splitlines() if line)
    except (ValueError, TypeError) as error:
        raise DataError(f"{path.name!r} does not hold what was taken out of a file: {error}", code="wrong-file") from error


def restored(examples: Iterable[Example], redactions: Sequence[Redaction]) -> Iterator[Example]:
    """The examples with what was taken out of them put back, wherever a record is as the fix left it."""
    by_record: dict[str, list[Redaction]] = defaultdict(list)
    for entry in redactions:
        by_record[entry.record].append(entry)
    for example in examples:
        record = example.to_dict()
        for entry in by_record.get(example.id, ()):
            message = record["messages"][entry.message]
            message["content"] = message["content"].replace(entry.placeholder, entry.text)
        yield Example.from_dict(record)
