"""What people decide about findings: kept beside the data, with name and date, and only as long as the record is the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from homeroom.cli.data.review import command
from homeroom.data.lint.config import LintConfig
from homeroom.data.lint.review import decide, items, read_decisions, review_path, settle
from homeroom.data.lint.run import LintResult, lint
from homeroom.errors import ConfigError, DataError, HomeroomError, NotFoundError, StorageError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
GIRLS = "You got it! And girls are usually not good at geometry."


def entry(reply: str, **metadata: object) -> dict:
    return {"messages": [{"role": "user", "content": "Is it 12?"}, {"role": "assistant", "content": reply}], "metadata": metadata}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "examples.jsonl"
    write(path, entry("How did you find it?"), entry(GIRLS), entry("Count the lights on your Christmas tree."))
    return path


def write(path: Path, *records: dict) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")


def run(path: Path) -> LintResult:
    return lint(path, select=("SAF", "STR003", "COS002"), config=LintConfig(), jobs=1)


def codes(result: LintResult) -> list[tuple[int, str]]:
    return [(finding.line, finding.code) for finding in result.findings]


def test_what_is_fine_is_no_longer_reported_and_says_who_decided(data: Path) -> None:
    before = run(data)
    assert codes(before) == [(2, "SAF015"), (3, "SAF016")]
    decide(data, before.findings, "2:SAF015", fine=True, by="Ana Ruiz", note="quoted to be discussed", now=NOON)
    after, settled = settle(run(data))
    assert codes(after) == [(3, "SAF016")]
    assert after.summary["needs_person"] == 1
    assert after.summary["decided"] == 1
    assert after.summary["by_rule"] == {"SAF016": 1}
    (item,) = settled
    assert item.decision is not None
    assert (item.decision.by, item.decision.at, item.decision.note) == (
        "Ana Ruiz",
        "2026-03-01T12:00:00+00:00",
        "quoted to be discussed",
    )


def test_what_must_change_stays_and_names_who_said_so(data: Path) -> None:
    decide(data, run(data).findings, "2:stereotype", fine=False, by="Ana Ruiz", note="hurts", now=NOON)
    after, settled = settle(run(data))
    assert not settled
    assert codes(after) == [(2, "SAF015"), (3, "SAF016")]
    assert "Ana Ruiz decided on 2026-03-01 that it must change: hurts." in after.findings[0].message


def test_the_last_decision_counts_and_none_is_lost(data: Path) -> None:
    findings = run(data).findings
    decide(data, findings, "2:SAF015", fine=True, by="Ana", now=NOON)
    decide(data, findings, "2:SAF015", fine=False, by="Bo", now=NOON)
    assert [d.by for d in read_decisions(data)] == ["Ana", "Bo"]
    assert codes(settle(run(data))[0]) == [(2, "SAF015"), (3, "SAF016")]
    assert len(review_path(data).read_text("utf-8").splitlines()) == 2


def test_a_decision_moves_with_its_record_and_ends_with_its_words(data: Path) -> None:
    decide(data, run(data).findings, "2:SAF015", fine=True, by="Ana", now=NOON)
    write(data, entry("One more."), entry("How did you find it?"), entry(GIRLS))
    assert codes(settle(run(data))[0]) == []
    write(data, entry("How did you find it?"), entry(GIRLS + " Do you agree?"))
    assert codes(settle(run(data))[0]) == [(2, "SAF015")]


def test_a_decision_is_about_one_rule_only(data: Path) -> None:
    write(data, entry(f"{GIRLS} Count the lights on your Christmas tree."))
    decide(data, run(data).findings, "1:SAF016", fine=True, by="Ana", now=NOON)
    assert codes(settle(run(data))[0]) == [(1, "SAF015")]


def test_a_line_that_a_power_cut_left_unfinished_is_passed_over_and_replaced(data: Path) -> None:
    findings = run(data).findings
    decide(data, findings, "2:SAF015", fine=True, by="Ana", now=NOON)
    path = review_path(data)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    assert [d.by for d in read_decisions(data)] == ["Ana"]
    decide(data, findings, "3:SAF016", fine=True, by="Bo", now=NOON)
    assert [d.by for d in read_decisions(data)] == ["Ana", "Bo"]
    path.write_bytes(whole.rstrip(b"\n"))
    decide(data, findings, "3:SAF016", fine=True, by="Cy", now=NOON)
    assert [d.by for d in read_decisions(data)] == ["Ana", "Cy"]


def test_a_file_of_decisions_that_is_not_ours_is_refused(data: Path) -> None:
    review_path(data).write_text('{"by": "Ana"}\n', "utf-8")
    with pytest.raises(DataError, match=r"examples\.jsonl\.review:1") as caught:
        settle(run(data))
    assert caught.value.code == "review-invalid"


@pytest.mark.parametrize(
    ("place", "by", "error", "code"),
    [
        ("2", "Ana", ConfigError, "review-place"),
        ("x:SAF015", "Ana", ConfigError, "review-place"),
        ("2:SAF999", "Ana", ConfigError, "review-place"),
        ("2:SAF015", "  ", ConfigError, "review-by"),
        ("1:SAF015", "Ana", NotFoundError, "review-nothing"),
    ],
)
def test_mistakes_say_what_to_do(data: Path, place: str, by: str, error: type[HomeroomError], code: str) -> None:
    with pytest.raises(error) as caught:
        decide(data, run(data).findings, place, fine=True, by=by)
    assert caught.value.code == code
    assert not review_path(data).exists()


def test_broken_records_and_missing_consent_cannot_be_decided_away(data: Path) -> None:
    write(data, entry("How?", source="learner"), {"messages": []})
    findings = run(data).findings
    assert codes(run(data)) == [(1, "COS002"), (2, "STR003")]
    for place in ("1:COS002", "2:STR003"):
        with pytest.raises(ConfigError) as caught:
            decide(data, findings, place, fine=True, by="Ana")
        assert caught.value.code == "review-not-possible"


def test_a_decision_that_was_put_there_for_consent_does_not_count(data: Path) -> None:
    write(data, entry("How?", source="learner"))
    (item,) = items(run(data).findings, {})
    line = {"at": "2026", "by": "x", "line": 1, "code": "COS002", "record": item.record, "quotes": [""], "fine": True, "note": ""}
    review_path(data).write_text(json.dumps(line) + "\n", "utf-8")
    assert codes(settle(run(data))[0]) == [(1, "COS002")]


def test_a_folder_that_cannot_be_written_is_told(data: Path) -> None:
    findings = run(data).findings
    review_path(data).mkdir()
    with pytest.raises(StorageError) as caught:
        decide(data, findings, "2:SAF015", fine=True, by="Ana")
    assert caught.value.code == "review-not-written"


def test_the_command_lists_decides_and_lists_again(data: Path) -> None:
    runner = CliRunner()
    shown = runner.invoke(command, [str(data)], standalone_mode=False)
    assert "2:SAF015" in shown.output
    assert "--decide" in shown.output
    made = runner.invoke(command, [str(data), "--decide", "2:SAF015", "yes", "--by", "Ana Ruiz"], standalone_mode=False)
    assert "Line 2, SAF015 is fine, says Ana Ruiz" in made.output
    listed = json.loads(runner.invoke(command, [str(data), "--json"], standalone_mode=False).output)
    assert [(e["line"], e["code"], (e["decision"] or {}).get("by")) for e in listed if e["code"].startswith("SAF")] == [
        (2, "SAF015", "Ana Ruiz"),
        (3, "SAF016", None),
    ]
    nameless = runner.invoke(command, [str(data), "--decide", "3:SAF016", "no"], standalone_mode=False)
    assert isinstance(nameless.exception, ConfigError)
