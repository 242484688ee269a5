"""The review queue: what only a person can decide, who decided it, and when.

Decisions are lines of ``FILE.review`` beside the data, only ever added to, and on the disk before a command says so. A decision
is about a finding *and the content of its record*: when the record changes, it is asked again. The last decision about a finding
counts. Broken records and missing consent cannot be decided away.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from homeroom.data.lint.model import Finding, ReadRule
from homeroom.data.lint.registry import all_rules
from homeroom.data.lint.run import LintResult
from homeroom.data.source import open_source
from homeroom.errors import ConfigError, DataError, NotFoundError, StorageError
from homeroom.storage.files import sync_folder

SUFFIX = ".review"
MAX_NOTE = 2_000


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person said of a finding.

    Attributes:
        at: Time in UTC, ISO 8601.
        by: Who decided.
        line: Where the record stood then; 0 for the file as a whole.
        code: Of the rule.
        record: Content hash of the record, 16 hex digits; of the message where the finding is about the whole file.
        quotes: The words concerned.
        fine: True when the record may stay as it is.
        note: Why.
    """

    at: str
    by: str
    line: int
    code: str
    record: str
    quotes: tuple[str, ...]
    fine: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One finding with the last decision about it, if there is one."""

    finding: Finding
    record: str
    decision: Decision | None = None


def review_path(file: Path) -> Path:
    """Where the decisions about ``file`` are kept."""
    return file.with_name(file.name + SUFFIX)


def read_decisions(file: Path) -> tuple[Decision, ...]:
    """All decisions about ``file``, oldest first; a last line that a power cut left unfinished is passed over.

    Raises:
        DataError: a line is none of ours (``review-invalid``).
    """
    path = review_path(file)
    if not path.exists():
        return ()
    found = []
    data = path.read_bytes()
    for number, line in enumerate(data[: len(data) - len(_torn(data))].splitlines(), 1):
        try:
            record = json.loads(line)
            found.append(Decision(**{**record, "quotes": tuple(record["quotes"])}))
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{path.name}:{number} is no decision: {error}. Take the line out, or move the file away.", code="review-invalid"
            ) from error
    return tuple(found)


def items(findings: Iterable[Finding], decisions: Mapping[str, Sequence[Decision]]) -> list[Item]:
    """Every finding that a person can decide, with what was decided.

    Args:
        findings: Of a run.
        decisions: By file, as findings name it.
    """
    findings = list(findings)
    hashes = _hashes({(f.file, f.line) for f in findings if f.line})
    latest: dict[tuple[str, str, str, str], Decision] = {}
    for file, entries in decisions.items():
        for decision in entries:
            for quote in decision.quotes:
                latest[file, decision.code, decision.record, quote] = decision
    found = []
    for finding in findings:
        record = hashes.get((finding.file, finding.line), "") if finding.line else _hash(finding.message)
        found.append(Item(finding, record, latest.get((finding.file, finding.code, record, finding.quote))))
    return found


def settle(result: LintResult) -> tuple[LintResult, tuple[Item, ...]]:
    """``result`` without what a person found fine, and those findings with who said so.

    What a person said must change stays, and its message names them.
    """
    files = sorted({finding.file for finding in result.findings if finding.file})
    decisions = {file: read_decisions(Path(file)) for file in files}
    if not any(decisions.values()):
        return result, ()
    kept: list[Finding] = []
    settled: list[Item] = []
    for item in items(result.findings, decisions):
        decision = item.decision
        if decision is None or not _may_decide(item.finding.code):
            kept.append(item.finding)
        elif decision.fine:
            settled.append(item)
        else:
            note = f": {decision.note}" if decision.note else ""
            said = f" {decision.by} decided on {decision.at[:10]} that it must change{note}."
            kept.append(replace(item.finding, message=item.finding.message + said))
    return replace(result, findings=tuple(kept), summary=_counted(result.summary, kept, len(settled))), tuple(settled)


def _counted(summary: Mapping[str, Any], findings: Sequence[Finding], settled: int) -> dict[str, Any]:
    by_rule: dict[str, int] = {}
    for finding in findings:
        by_rule[finding.code] = by_rule.get(finding.code, 0) + 1
    severities = {name: sum(f.severity == name for f in findings) for name in ("error", "warning", "info")}
    return {
        **summary,
        "errors": severities["error"],
        "warnings": severities["warning"],
        "info": severities["info"],
        "needs_person": sum(f.needs_person for f in findings),
        "fixable": sum(f.edit is not None for f in findings),
        "decided": settled,
        "by_rule": dict(sorted(by_rule.items())),
    }


def decide(
    file: Path, findings: Iterable[Finding], place: str, *, fine: bool, by: str, note: str = "", now: datetime | None = None
) -> Decision:
    """Add a decision about all findings of one rule at one line.

    Args:
        file: The data.
        findings: Of a run over it.
        place: ``LINE:CODE``, for example ``12:SAF015``; line 0 for the file as a whole.
        fine: Whether it may stay as it is.
        by: Who decides.
        note: Why.
        now: The time, for tests.

    Raises:
        ConfigError: the place or the name makes no sense (``review-place``, ``review-by``), or such a finding cannot be decided
            (``review-not-possible``).
        NotFoundError: nothing is reported there (``review-nothing``).
        StorageError: the disk refused (``review-not-written``).
    """
    line, code = _place(place)
    if not by.strip():
        raise ConfigError(f"--by {by!r} names nobody. Say who decides: --by 'Ana Ruiz'", code="review-by")
    if len(note) > MAX_NOTE:
        raise ConfigError(f"The note has {len(note):,} characters; {MAX_NOTE:,} fit: {note[:40]!r}...", code="review-by")
    there = [item for item in items(findings, {}) if (item.finding.line, item.finding.code) == (line, code)]
    if not there:
        raise NotFoundError(
            f"Nothing is reported at {place!r} of {file.name!r}. See what is with: homeroom data review {file}",
            code="review-nothing",
        )
    if not _may_decide(code):
        raise ConfigError(
            f"{code} at {place!r} cannot be decided away: mend the record. Its rule: docs/reference/rules/{code}.md",
            code="review-not-possible",
        )
    decision = Decision(
        at=(now or datetime.now(UTC)).isoformat(timespec="seconds"),
        by=by.strip(),
        line=line,
        code=code,
        record=there[0].record,
        quotes=tuple(dict.fromkeys(item.finding.quote for item in there)),
        fine=fine,
        note=note.strip(),
    )
    _append(review_path(file), decision)
    return decision


def _torn(data: bytes) -> bytes:
    """What follows the last line break and is no whole record: a power cut left it, and nobody was told that it was kept."""
    tail = data[data.rfind(b"\n") + 1 :]
    try:
        json.loads(tail)
    except ValueError:
        return tail
    return b""


def _append(path: Path, decision: Decision) -> None:
    """One line at the end, on the disk before this returns."""
    line = json.dumps(asdict(decision), ensure_ascii=False).encode() + b"\n"
    try:
        with path.open("ab+") as file:
            file.seek(0)
            data = file.read()
            if torn := _torn(data):
                file.truncate(len(data) - len(torn))
            elif data and not data.endswith(b"\n"):
                line = b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except OSError as error:
        raise StorageError(
            f"The decision could not be written to {str(path)!r}: {error.strerror or error}. Free some space, or make the folder "
            "writable, and decide again.",
            code="review-not-written",
        ) from error


def _place(place: str) -> tuple[int, str]:
    line, _, code = place.partition(":")
    codes = {rule.about.name: rule.about.code for rule in all_rules()}
    code = codes.get(code, code.upper())
    if not line.isdigit() or code not in codes.values():
        raise ConfigError(
            f"{place!r} is no LINE:CODE. Name a line and a rule, for example 12:SAF015, as `homeroom data check` prints them.",
            code="review-place",
        )
    return int(line), code


def _may_decide(code: str) -> bool:
    """Structure that the reader itself checks, and consent, are not for opinion."""
    rule = next((rule for rule in all_rules() if rule.about.code == code), None)
    return rule is not None and not isinstance(rule, ReadRule) and rule.about.family != "consent"


def _hashes(places: set[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """Content hashes of records by file and line. Reads each file once, up to its last line that is asked for."""
    found = {}
    for file in {name for name, _ in places}:
        wanted = {line for name, line in places if name == file}
        last = max(wanted)
        for row in open_source(file).rows():
            if row.line in wanted:
                shown = json.dumps(row.record, sort_keys=True, ensure_ascii=False) if row.record is not None else ""
                found[file, row.line] = _hash(shown)
            if row.line >= last:
                break
    return found


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
