"""What must hold of every rule: it says what it is, finds its own bad example, leaves its good one alone, and mends what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from homeroom.data.lint.config import LintConfig
from homeroom.data.lint.guide import GUIDE, rules_of, unknown
from homeroom.data.lint.model import CorpusRule, Finding, ReadRule, RecordRule, Rule
from homeroom.data.lint.registry import all_rules
from homeroom.data.lint.run import lint
from homeroom.data.lint.specimen import specimen

RULES = all_rules()
FAMILIES = {
    "structure": "STR",
    "consistency": "CNS",
    "diversity": "DIV",
    "quality": "QUA",
    "safety": "SAF",
    "leakage": "LEA",
    "consent": "COS",
}
PAGES = Path(__file__).resolve().parents[3] / "docs" / "reference" / "rules"
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.about.code)


def findings(text: str, folder: Path, *, select: tuple[str, ...] = ()) -> tuple[Finding, ...]:
    shown = specimen(text)
    path = folder / "examples.jsonl"
    path.write_text("\n".join(shown.lines) + "\n", "utf-8")
    return lint(path, shown.options, select, config=LintConfig(), jobs=1).findings


def test_codes_and_names_are_unique() -> None:
    codes = [rule.about.code for rule in RULES]
    names = [rule.about.name for rule in RULES]
    assert len(codes) == len(set(codes))
    assert len(names) == len(set(names))
    assert len(RULES) >= 70


@every_rule
def test_a_rule_says_what_it_is(rule: Rule) -> None:
    about = rule.about
    assert re.fullmatch(rf"{FAMILIES[about.family]}\d{{3}}", about.code)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", about.name)
    assert about.severity in ("error", "warning", "info")
    for text in (about.what, about.why, about.do):
        assert text.strip()
        assert text.rstrip().endswith((".", "?", ")", "`")), text
    assert about.bad.strip()
    assert about.good.strip()
    assert about.bad != about.good
    assert isinstance(rule, RecordRule | CorpusRule | ReadRule)


@every_rule
def test_the_bad_example_is_reported_and_the_good_one_is_not(rule: Rule, tmp_path: Path) -> None:
    code = rule.about.code
    if rule.about.bad.startswith("("):
        pytest.skip("no text can show it; see the tests of the reader")
    bad = [f for f in findings(rule.about.bad, tmp_path, select=(code,)) if f.code == code]
    assert bad, "the bad example is not reported"
    assert all(f.message.strip() and f.name == rule.about.name for f in bad)
    assert not [f.message for f in findings(rule.about.good, tmp_path, select=(code,)) if f.code == code]


@every_rule
def test_a_fix_mends_its_finding_and_nothing_else(rule: Rule, tmp_path: Path) -> None:
    code = rule.about.code
    before = () if rule.about.bad.startswith("(") else findings(rule.about.bad, tmp_path)
    mine = [f for f in before if f.code == code and f.edit is not None]
    assert bool(mine) == (rule.about.fixable and bool(mine)), "an edit, but About.fixable is false"
    if not rule.about.fixable:
        assert not mine
        return
    assert mine, "About.fixable, but the bad example has no edit"
    path = tmp_path / "examples.jsonl"
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    changed = set()
    for finding in mine:
        assert finding.edit is not None
        message = records[finding.line - 1]["messages"][finding.edit.message]
        assert message["content"] != finding.edit.content
        message["content"] = finding.edit.content
        changed.add((finding.line, finding.edit.message))
    path.write_text("\n".join(json.dumps(record, ensure_ascii=False) for record in records) + "\n", "utf-8")
    after = lint(path, specimen(rule.about.bad).options, config=LintConfig(), jobs=1).findings
    assert not [f.message for f in after if f.code == code], "still reported after its fix"
    assert {f.code for f in after} <= {f.code for f in before}, "the fix brought another finding"
    assert changed
    assert all(f.needs_person is False for f in mine), "what needs a person must not be changed without one"


def test_every_rule_serves_a_line_of_the_guide_and_every_line_is_served() -> None:
    assert not unknown(RULES)
    assert not [rule.about.code for rule in RULES if not rule.about.guideline]
    for line in GUIDE:
        assert rules_of(line, RULES) or line.shown or line.question, line.name


@every_rule
def test_every_rule_has_its_page(rule: Rule) -> None:
    page = PAGES / f"{rule.about.code}.md"
    assert page.is_file(), "run: python scripts/docs.py"
    text = page.read_text("utf-8")
    assert rule.about.name in text
    assert rule.about.what in " ".join(text.split()) or rule.about.what in text


def test_the_index_links_every_rule_once() -> None:
    text = PAGES.with_name("data-rules.md").read_text("utf-8")
    for rule in RULES:
        assert text.count(f"(rules/{rule.about.code}.md)") == 1
    assert {path.stem for path in PAGES.glob("*.md")} == {rule.about.code for rule in RULES}
