"""Fixes change what they say and nothing else; the original stays, and what was taken out can be put back by its holder alone."""

from __future__ import annotations

import json
import stat

import pytest

from homeroom.data.fix import apply_fixes, plan_fixes, read_redactions, restored
from homeroom.data.lint.config import LintConfig
from homeroom.data.lint.model import Edit, Finding, Options
from homeroom.data.lint.run import lint
from homeroom.data.reading import load_examples
from homeroom.errors import ConfigError, DataError, NotFoundError


def talk(question, reply, **metadata):
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]
    return {"messages": turns, "metadata": {"topic": "t", **metadata}}


def write(path, *records):
    path.write_bytes(b"".join((r if isinstance(r, bytes) else json.dumps(r).encode()) + b"\n" for r in records))
    return path


def edit(path, line, message, before, after, code="X001"):
    return Finding(code, "x", "warning", str(path), line, "m", edit=Edit(message, after))


def test_only_the_lines_with_a_fix_change_and_the_original_stays(tmp_path):
    odd = b'{"messages":[{"role":"user","content":"q"},{"content":"a","role":"assistant"}]}  '
    path = write(tmp_path / "a.jsonl", odd, talk("Help.", " Draw it. "), odd)
    before = path.read_bytes()
    plan = plan_fixes(path, lint(path, select=("STR034",), config=LintConfig()).findings)
    assert [(f.line, f.message, f.before, f.after, f.codes) for f in plan.fixes] == [
        (2, 1, " Draw it. ", "Draw it.", ("STR034",))
    ]
    assert path.read_bytes() == before  # a plan changes nothing
    done = apply_fixes(plan)
    lines = path.read_bytes().split(b"\n")
    assert lines[0] == lines[2] == odd
    assert json.loads(lines[1]) == talk("Help.", "Draw it.")
    assert done.original.read_bytes() == before and done.original.name == "a.jsonl.original"
    assert lint(path, select=("STR034",), config=LintConfig()).findings == ()
    again = plan_fixes(path, [edit(path, 1, 0, "q", "Q")])
    assert apply_fixes(again).original.name == "a.jsonl.original-2"
    assert done.original.read_bytes() == before


def test_two_fixes_of_one_text_are_both_made_where_they_do_not_touch(tmp_path):
    text = "Ana asked Ben at nine. Ben said four."
    path = write(tmp_path / "a.jsonl", talk("q", text))
    one = edit(path, 1, 1, text, text.replace("Ana", "Mia"), "A001")
    two = edit(path, 1, 1, text, text.replace("four", "five"), "B001")
    clash = edit(path, 1, 1, text, text.replace("Ana", "Zoe"), "C001")
    same = edit(path, 1, 1, text, text.replace("Ana", "Mia"), "D001")
    plan = plan_fixes(path, [one, two, clash, same])
    assert plan.fixes[0].after == "Mia asked Ben at nine. Ben said five."
    assert plan.fixes[0].codes == ("A001", "B001", "D001") and plan.waiting == 1


def test_what_is_taken_out_can_be_put_back_by_who_has_the_original(tmp_path):
    mail, roster = "amara.diallo@schule-nord.de", Options(roster=frozenset({"amara diallo"}))
    path = write(
        tmp_path / "a.jsonl",
        talk(f"I am Amara Diallo, write to {mail} please.", f"I cannot write to {mail}. What is 20.25 - 4.50?"),
        talk("2 + 2?", "Count on from 2."),
    )
    before = load_examples(path)
    done = apply_fixes(plan_fixes(path, lint(path, roster, ("SAF",), config=LintConfig()).findings))
    fixed = path.read_text()
    assert mail not in fixed and "20.25 - 4.50" in fixed
    assert done.redactions is not None and done.redacted >= 2
    for private in (done.redactions, done.original):
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
    entries = read_redactions(done.redactions)
    assert {e.text for e in entries} >= {mail}
    assert all(e.placeholder in fixed for e in entries)
    assert list(restored(load_examples(path), entries)) == before
    other = write(tmp_path / "b.jsonl", talk("Write to [EMAIL-1].", "No."))
    assert list(restored(load_examples(other), entries)) == load_examples(other)  # a placeholder alone gives nothing away


def test_a_file_that_changed_in_between_is_not_written(tmp_path):
    path = write(tmp_path / "a.jsonl", talk("Help.", " Draw it."))
    plan = plan_fixes(path, lint(path, select=("STR034",), config=LintConfig()).findings)
    write(path, talk("Help.", "Something else."))
    with pytest.raises(DataError) as caught:
        apply_fixes(plan)
    assert caught.value.code == "file-changed"
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"] and "Something else." in path.read_text()


def test_only_chat_jsonl_is_mended_in_place(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("question,answer\nq,a\n")
    with pytest.raises(ConfigError) as caught:
        plan_fixes(path, [])
    assert caught.value.code == "fix-format" and "data convert" in caught.value.message
    with pytest.raises(NotFoundError):
        read_redactions(tmp_path / "none")
    with pytest.raises(DataError):
        read_redactions(path)
