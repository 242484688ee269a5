"""How many planted defects the data rules find: `python benchmarks/data_rules_study.py [--half tuning|frozen|both]`.

Defects are planted into real text by `tests/data/planted`, which imports nothing of the rules. This file knows which rule
should find which kind, shows every file to all rules, and counts. The tuning half may be looked at (``--misses FILE``); the
frozen half is scored once, at the end; its figures are in results/data_rules_study.json.

    HOMEROOM_SHARED_DATA=/path/to/shared/data python benchmarks/data_rules_study.py --half tuning --misses misses.md

With ``--semantic`` semantic duplicates are looked for with the embedding model of the default home, not by words.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from homeroom.app.checking import SEMANTIC  # noqa: E402
from homeroom.app.embedders import embedding  # noqa: E402
from homeroom.app.home import Homeroom  # noqa: E402
from homeroom.data.lint.config import LintConfig  # noqa: E402
from homeroom.data.lint.model import Embed, Options  # noqa: E402
from homeroom.data.lint.registry import all_rules  # noqa: E402
from homeroom.data.lint.run import lint  # noqa: E402
from homeroom.errors import DataError  # noqa: E402
from homeroom.models.tiny import build  # noqa: E402
from tests.data.planted.plant import KINDS, Case, cases  # noqa: E402
from tests.data.planted.sources import Sources, shared_data  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "data_rules_study.json"
# Kind of defect -> names of the rules of which one must report it, at a planted line.
EXPECTED: dict[str, tuple[str, ...]] = {
    "json-broken": ("json-invalid",),
    "not-object": ("record-not-object",),
    "messages-missing": ("messages-missing",),
    "message-not-object": ("message-not-object",),
    "role-unknown": ("role-unknown",),
    "content-missing": ("content-missing",),
    "content-empty": ("content-empty",),
    "role-order": ("role-order",),
    "assistant-missing": ("assistant-missing",),
    "last-not-assistant": ("last-not-assistant",),
    "weight-invalid": ("weight-invalid",),
    "metadata-invalid": ("metadata-invalid",),
    "grade-invalid": ("grade-invalid",),
    "grade-band-mismatch": ("grade-band-mismatch",),
    "value-unknown": ("value-unknown",),
    "key-unknown": ("key-unknown",),
    "beyond-text": ("beyond-text",),
    "encoding": ("encoding-invalid",),
    "line-too-long": ("line-too-long",),
    "nesting": ("nesting-too-deep",),
    "not-finite": ("number-not-finite",),
    "key-duplicate": ("key-duplicate",),
    "character-invalid": ("character-invalid",),
    "consent-refused": ("consent-refused",),
    "consent-missing": ("consent-missing",),
    "duplicate-turn": ("duplicate-turn",),
    "context-missing": ("context-missing",),
    "metadata-missing": ("metadata-missing",),
    "too-few": ("too-few-examples",),
    "too-long": ("over-token-limit",),
    "cut-off": ("reply-cut-off", "reply-truncated"),
    "template-rest": ("placeholder-left", "template-mark-in-text"),
    "template-mark": ("template-mark-in-text",),
    "template-refuses": ("template-problem",),
    "reply-echoes": ("reply-echoes-prompt",),
    "dialogue-in-turn": ("dialogue-in-turn",),
    "white-space": ("white-space-at-ends",),
    "wrong-arithmetic": ("wrong-arithmetic",),
    "wrong-arithmetic-mutated": ("wrong-arithmetic",),
    "wrong-unit": ("wrong-conversion",),
    "contradiction": ("replies-contradict",),
    "answer-given-away": ("answer-given-away",),
    "reading-level": ("reading-level",),
    "many-steps": ("several-at-once",),
    "undefined-term": ("undefined-term",),
    "empty-praise": ("empty-praise",),
    "blame": ("learner-blamed",),
    "refusal": ("model-refusal",),
    "boilerplate": ("generated-boilerplate",),
    "dated-claim": ("dated-claim",),
    "unsuitable": ("unsuitable-topic",),
    "broken-link": ("broken-link",),
    "mojibake": ("mojibake",),
    "format-drift": ("formatting-drift",),
    "greeting-drift": ("greeting-drift",),
    "style-outlier": ("register-drift", "formatting-drift"),
    "number-format": ("number-format-drift",),
    "punctuation": ("punctuation-drift",),
    "unit-style": ("unit-style-drift",),
    "spelling": ("spelling-drift",),
    "contractions": ("contraction-drift",),
    "length-outlier": ("length-outlier",),
    "terms-two-ways": ("two-names", "term-spelling"),
    "term-spelling": ("term-spelling",),
    "semantic-duplicate": ("semantic-duplicate", "near-duplicate"),
    "impossible-quantity": ("impossible-quantity",),
    "facts": ("facts-to-confirm",),
    "review-pending": ("review-pending",),
    "sentence-repeated": ("sentence-repeated",),
    "coverage-hole": ("coverage-hole",),
    "skew": ("skewed-coverage",),
    "near-duplicate": ("near-duplicate",),
    "edge-cases-missing": ("edge-case-missing",),
    "few-openings": ("few-openings",),
    "email": ("personal-email",),
    "phone": ("personal-phone",),
    "address": ("personal-address",),
    "id-number": ("personal-number",),
    "birth-date": ("birth-date",),
    "handle": ("social-handle",),
    "roster-name": ("roster-name",),
    "self-introduction": ("self-introduction",),
    "personal-metadata": ("personal-metadata",),
    "profanity": ("profanity",),
    "slur": ("slur",),
    "crisis": ("crisis-without-handover",),
    "term": ("non-inclusive-term",),
    "gendered-occupation": ("gendered-occupation",),
    "stereotype": ("stereotype",),
    "assumption": ("cultural-assumption",),
    "same-problem": ("same-problem-in-two-splits",),
    "near-problem": ("near-problem-in-two-splits",),
    "question-shown": ("question-in-demonstrations",),
    "shared-passage": ("shared-passage",),
}


@dataclass(frozen=True)
class Scored:
    """A case and what was said of it."""

    case: Case
    found: bool
    others: tuple[str, ...]


def base_without_system(folder: Path) -> Path:
    """The tiny model with a chat template that takes no system turn."""
    if not folder.exists():
        build(folder)
        path = folder / "tokenizer_config.json"
        config = json.loads(path.read_text("utf-8"))
        refuse = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        path.write_text(json.dumps({**config, "chat_template": refuse + config["chat_template"]}), "utf-8")
    return folder


def score(case: Case, folder: Path, embed: Embed | None = None) -> Scored:
    """Show a case to all rules."""
    planted = case.planted
    path = folder / "data.jsonl"
    path.write_bytes(case.file())
    given = dict(planted.options)
    if "tokenizer" in given:
        given["tokenizer"] = str(base_without_system(folder / "base"))
    if embed is not None and SEMANTIC in given.get("thresholds", {}):
        given["thresholds"] = {**given["thresholds"], SEMANTIC: {"method": "embedding"}}
    options = Options(roster=frozenset(name.lower() for name in planted.roster), **given)  # type: ignore[arg-type]
    wanted = EXPECTED[case.kind]
    try:
        findings = lint(path, options, config=LintConfig(), jobs=1, embed=embed).findings
    except DataError as error:
        return Scored(case, False, (f"refused: {error.code}",))
    at = set(planted.at)
    here = [f for f in findings if not at or f.line in at or at & set(f.lines) or f.line == 0]
    return Scored(case, any(f.name in wanted for f in here), tuple(sorted({f.code for f in here})))


def table(scored: list[Scored]) -> list[dict[str, object]]:
    """Counts by rule, then by kind."""
    codes = {rule.about.name: rule.about.code for rule in all_rules()}
    groups: dict[tuple[str, str], list[Scored]] = defaultdict(list)
    for s in scored:
        name = next((n for n in EXPECTED[s.case.kind] if n in codes), "")
        groups[codes.get(name, "none"), s.case.kind].append(s)
    rows = []
    for (code, kind), members in sorted(groups.items()):
        subtle = [m for m in members if m.case.planted.subtle]
        rows.append(
            {
                "rule": code,
                "kind": kind,
                "planted": len(members),
                "found": sum(m.found for m in members),
                "subtle": len(subtle),
                "subtle_found": sum(m.found for m in subtle),
            }
        )
    return rows


def misses(scored: list[Scored]) -> str:
    """The list for those who work on the rules: tuning half only."""
    lines = [
        "# Planted defects of the tuning half that were missed",
        "",
        "| rule wanted | case | subtle | planted | said instead |",
        "|---|---|---|---|---|",
    ]
    for s in scored:
        if not s.found and s.case.half == "tuning":
            what = " ".join(s.case.planted.what.split()).replace("|", "¦")[:150]
            lines.append(
                f"| {' / '.join(EXPECTED[s.case.kind])} | {s.case.id} | {s.case.planted.subtle} | {what} | {' '.join(s.others)} |"
            )
    return "\n".join(lines) + "\n"


def shown(rows: list[dict[str, object]]) -> str:
    """A table in Markdown."""
    lines = ["| rule | planted as | defects | found | of the subtle ones |", "|---|---|---|---|---|"]
    lines += [
        f"| {r['rule']} | {r['kind']} | {r['planted']} | {r['found']} | {r['subtle_found']} of {r['subtle']} |" for r in rows
    ]
    total, found = sum(int(str(r["planted"])) for r in rows), sum(int(str(r["found"])) for r in rows)
    lines.append(f"| **all** | | **{total}** | **{found} ({found / max(1, total):.1%})** | |")
    return "\n".join(lines)


def main() -> int:
    """Plant, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=("tuning", "frozen", "both"), default="tuning")
    parser.add_argument("--misses", type=Path, help="write the missed defects of the tuning half here")
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--semantic", action="store_true", help="compare meanings with the embedding model of the default home")
    parser.add_argument("--kind", action="append", help="these kinds only")
    args = parser.parse_args()
    shared = shared_data()
    if shared is None:
        print("skipped: the shared data is not here; set HOMEROOM_SHARED_DATA")
        return 0
    scored = []
    with tempfile.TemporaryDirectory() as name, ExitStack() as model:
        embed = None
        if args.semantic:
            embedder = model.enter_context(embedding(model.enter_context(Homeroom.open())))
            embed = lambda texts: embedder.embed(embedder.shortened(texts)).vectors  # noqa: E731
        for case in cases(Sources(shared)):
            if args.half in (case.half, "both") and (args.kind is None or case.kind in args.kind):
                scored.append(score(case, Path(name), embed))
    unplanted = {rule.about.name for rule in all_rules()} - {n for names in EXPECTED.values() for n in names}
    halves = {half: table([s for s in scored if s.case.half == half]) for half in ("tuning", "frozen")}
    for half, rows in halves.items():
        if rows:
            print(f"\n## The {half} half\n\n{shown(rows)}")
    print(f"\nrules that nothing was planted for: {', '.join(sorted(unplanted)) or 'none'}")
    if args.misses:
        parts = [misses(scored), "\n## By rule\n\n", shown(halves["tuning"]), f"\n\nNot planted for: {sorted(unplanted)}\n"]
        args.misses.write_text("".join(parts), "utf-8")
    if args.save:
        RESULTS.write_text(
            json.dumps({"kinds": len(KINDS), "halves": {h: r for h, r in halves.items() if r}}, indent=1) + "\n", "utf-8"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
