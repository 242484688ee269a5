"""The runner: whatever the file's size and the number of processes, each record is shown to each rule once."""

from __future__ import annotations

import json

import pytest

from homeroom.data.convert import write_examples
from homeroom.data.lint.config import LintConfig, load_config, read_roster
from homeroom.data.lint.model import Options
from homeroom.data.lint.registry import all_rules, choose
from homeroom.data.lint.run import lint
from homeroom.errors import ConfigError, NotFoundError
from homeroom.schema.examples import Example

NOTHING = LintConfig()


def record(n, reply=None, **metadata):
    turns = [
        {"role": "user", "content": f"Case {n}: Ana has {n} marbles and finds {n + 2} more. How many are there?"},
        {"role": "assistant", "content": reply or f"Start at {n} and count on. Where do you land?"},
    ]
    return {"messages": turns, "metadata": {"subject": "mathematics", "grade": 2, "topic": f"t{n}", **metadata}}


def write(path, *records):
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records), "utf-8")
    return path


def told(result):
    return [(f.line, f.code) for f in result.findings]


SPACE = "STR034"


def test_findings_are_the_same_for_any_number_of_processes_and_in_line_order(tmp_path):
    records = [record(n, reply=" Look again." if n % 7 == 0 else None) for n in range(4000)]
    records[100] = "{oops"
    records[3999] = {**records[3999], "messages": records[5]["messages"]}
    path = write(tmp_path / "a.jsonl", *records)
    assert path.stat().st_size > 1 << 20  # several blocks
    one = lint(path, select=("STR", "DIV003"), config=NOTHING, jobs=1)
    two = lint(path, select=("STR", "DIV003"), config=NOTHING, jobs=2)
    assert one.findings == two.findings and one.summary == two.summary
    assert [line for line, _ in told(one)] == sorted(line for line, _ in told(one))
    assert sum(code == SPACE for _, code in told(one)) == 572 - (100 % 7 == 0) - (3999 % 7 == 0)
    assert (101, "STR001") in told(one)
    assert one.summary["records"] == 4000 and one.summary["unread"] == 1 and one.summary["examples"] == 3999


def test_a_record_a_file_or_a_run_may_leave_rules_out(tmp_path):
    records = [record(1, " a."), record(2, " b.", lint_ignore=[SPACE]), record(3, " c.", lint_ignore="STR"), record(4, " d.")]
    path = write(tmp_path / "a.jsonl", *records)
    assert told(lint(path, select=(SPACE,), config=NOTHING)) == [(1, SPACE), (4, SPACE)]
    assert lint(path, select=(SPACE,), config=NOTHING).summary["suppressed"] == 2
    assert told(lint(path, select=("white-space-at-ends",), config=NOTHING)) == [(1, SPACE), (4, SPACE)]
    assert told(lint(path, select=("STR",), ignore=(SPACE,), config=NOTHING)) == []
    config = tmp_path / "homeroom-data.yaml"
    config.write_text("select: [STR]\nper-file:\n  'a.*': [STR034]\n")
    assert told(lint(path)) == []
    config.write_text("select: [STR]\nseverity: {STR034: error}\n")
    assert {f.severity for f in lint(path).findings} == {"error"} and not lint(path).ok
    config.write_text("select: [STR]\nseverity: {white-space-at-ends: off}\n")
    assert told(lint(path)) == []


def test_a_broken_record_may_also_ask_to_be_left_alone_but_not_its_neighbours(tmp_path):
    path = write(
        tmp_path / "a.jsonl", record(1, difficulty="brutal", lint_ignore=["value-unknown"]), record(2, difficulty="brutal")
    )
    assert told(lint(path, select=("STR",), config=NOTHING)) == [(2, "STR015")]


def test_several_files_are_judged_together_and_told_apart(tmp_path):
    train = write(tmp_path / "train.jsonl", record(1), record(2))
    test = write(tmp_path / "test.jsonl", record(7), record(2))
    found = lint([train, test], select=("LEA001", "STR040"), config=NOTHING)
    (leak,) = found.findings
    assert (leak.code, leak.file, leak.line, leak.lines, leak.elsewhere) == ("LEA001", str(test), 2, (), ("train.jsonl:2",))
    assert "train.jsonl:2" in leak.message and not any(len(word) > 8 and word.isdigit() for word in leak.message.split())
    assert found.summary["files"] == {
        str(train): {"format": "chat", "examples": 2},
        str(test): {"format": "chat", "examples": 2},
    }
    alone = lint(test, select=("LEA001",), config=NOTHING)
    assert told(alone) == []


def test_splits_of_a_version_are_known_by_the_examples_id(tmp_path):
    path = write(tmp_path / "a.jsonl", record(1), record(1, topic="other"))
    first, second = (Example.from_dict(json.loads(line)) for line in path.read_text().splitlines())
    first, second = (Example.from_dict({**e.to_dict(), "metadata": {**e.metadata, "grade_band": "K-2"}}) for e in (first, second))
    leak = lint(path, select=("LEA001",), config=NOTHING, splits={first.id: "train", second.id: "test"})
    assert told(leak) == [(2, "LEA001")]
    assert told(lint(path, select=("LEA001",), config=NOTHING, splits={first.id: "train", second.id: "train"})) == []


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".parquet", ".json"])
def test_other_kinds_of_files_are_checked_row_by_row(tmp_path, suffix):
    examples = [Example.from_dict(record(n, " Look." if n == 2 else None)) for n in range(4)]
    write_examples(lambda: examples, tmp_path / f"a{suffix}")
    found = lint(tmp_path / f"a{suffix}", select=("STR",), config=NOTHING).findings
    assert [f.code for f in found] == [SPACE]
    assert found[0].line == {".csv": 4, ".xlsx": 4, ".parquet": 3, ".json": 4}[suffix]


def test_progress_reaches_the_end_and_never_goes_back(tmp_path):
    path = write(tmp_path / "a.jsonl", *(record(n) for n in range(3000)))
    seen = []
    lint(path, select=("STR001",), config=NOTHING, jobs=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen) and seen[-1] == (path.stat().st_size, path.stat().st_size)


def test_what_is_not_known_is_an_error_that_names_it(tmp_path):
    path = write(tmp_path / "a.jsonl", record(1))
    with pytest.raises(ConfigError, match="'QUX'") as caught:
        lint(path, select=("QUX",))
    assert caught.value.code == "rule-unknown"
    with pytest.raises(NotFoundError):
        lint(tmp_path / "none.jsonl")
    assert {rule.about.code for rule in choose(("STR001", "COS"), ("COS002",))} == {"STR001", "COS001"}
    assert len(choose()) == len(all_rules())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ignre: [STR]", "unknown key 'ignre'"),
        ("ignore: 3", "ignore: 3"),
        ("severity: {STR001: fatal}", "'fatal'"),
        ("method: magic", "'magic'"),
        ("max-tokens: many", "'many'"),
        ("[1, 2]", "list"),
        ("a: [", "cannot be read"),
        ("roster: none.txt", "none.txt"),
        ("thresholds: 3", "thresholds: 3"),
    ],
)
def test_a_configuration_that_is_wrong_is_refused(tmp_path, text, says):
    path = tmp_path / "homeroom-data.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert caught.value.code == "lint-config" and says in caught.value.message


def test_flags_add_to_the_configuration(tmp_path):
    (tmp_path / "class.txt").write_text("Name\nAmara Diallo\n# left\n\nTomas Reyes;8b\n", "utf-8")
    (tmp_path / "homeroom-data.yaml").write_text(
        "roster: class.txt\nthresholds: {CNS003: {factor: 3}}\nbase: small\nmax-tokens: 99\n"
    )
    config = load_config(tmp_path / "homeroom-data.yaml")
    assert config.roster == read_roster(tmp_path / "class.txt") == {"amara diallo", "tomas reyes"}
    options = config.options(Options(base="large", roster=frozenset({"x"})))
    assert (options.base, options.max_tokens, options.roster) == ("large", 99, {"x", "amara diallo", "tomas reyes"})
    assert options.value("CNS003", "factor", 1) == 3 and options.value("CNS003", "other", 1) == 1


def test_the_bundled_course_has_nothing_to_mend_in_its_structure():
    from homeroom.data.course import course_files

    result = lint(course_files(), select=("STR", "COS"), config=NOTHING)
    assert [f.message for f in result.findings] == []
