"""How often the data rules are right on real dialogues: a seeded sample of findings, each judged by reading the dialogue.

Set HOMEROOM_SHARED_DATA, then:

    python benchmarks/data_rules_precision.py --show > sample.md    # to read and judge
    python benchmarks/data_rules_precision.py                       # to check and count

Verdicts are in results/data_rules_precision.json by the finding's key: ``{"right": true, "reason": "..."}``. The half of MathDial
that the rules were not tuned on (odd, see `tests.data.planted.sources.is_odd`) gives all of its findings but those of the class
list, of which, as of the tuned half, as many are drawn as make 200. The names of the students' profiles are the class list.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from homeroom.data.formats.mathdial import records  # noqa: E402
from homeroom.data.lint.config import LintConfig  # noqa: E402
from homeroom.data.lint.model import Finding, Options  # noqa: E402
from homeroom.data.lint.run import lint  # noqa: E402
from tests.data.planted.sources import is_odd, shared_data  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "data_rules_precision.json"
TABLE = RESULTS.with_suffix(".md")
SIZE, SEED, ROSTER = 200, 20261122, "SAF007"
ROSTER_SHARE = 40
QUOTE = 60
Entry = tuple[str, str, Finding]  # half, key, finding


def findings(lines: list[str], folder: Path) -> tuple[Finding, ...]:
    """Everything that is said of these dialogues, the students' names being the class list."""
    path = folder / "dialogues.jsonl"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    names = {json.loads(line)["student_profile"].split()[0].lower() for line in lines}
    return lint(path, Options(roster=frozenset(names)), config=LintConfig(), jobs=1).findings


def sample(shared: Path) -> tuple[list[Entry], dict[str, list[str]]]:
    """The sample, and the dialogues of each half."""
    lines = (shared / "mathdial" / "dialogues.jsonl").read_text("utf-8").splitlines()
    halves = {"odd": [line for line in lines if is_odd(line)], "even": [line for line in lines if not is_odd(line)]}
    found: dict[str, list[Entry]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        for half, mine in halves.items():
            seen: dict[str, int] = defaultdict(int)
            for finding in findings(mine, Path(name)):
                text = f"{half}|{finding.code}|{finding.line}|{finding.quote}"
                seen[text] += 1
                key = hashlib.sha256(f"{text}|{seen[text]}".encode()).hexdigest()[:10]
                found[f"{half} roster" if finding.code == ROSTER else half].append((half, key, finding))
    rng = random.Random(SEED)
    chosen = found["odd"][:SIZE] + _stratified(rng, found["odd roster"], ROSTER_SHARE)
    chosen += _stratified(rng, found["even"], SIZE - len(chosen))
    left = [entry for entry in found["odd roster"] if entry not in chosen]
    chosen += rng.sample(left, min(len(left), max(0, SIZE - len(chosen))))
    return chosen, halves


def _stratified(rng: random.Random, entries: list[Entry], size: int) -> list[Entry]:
    """``size`` entries, one of each rule in turn, so that no rule crowds out the others."""
    by_rule: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_rule[entry[2].code].append(entry)
    for members in by_rule.values():
        rng.shuffle(members)
    chosen: list[Entry] = []
    while len(chosen) < size and any(by_rule.values()):
        for members in by_rule.values():
            if members and len(chosen) < size:
                chosen.append(members.pop())
    return chosen


def show(entries: list[Entry], halves: dict[str, list[str]]) -> None:
    """The sample with the dialogues, for whoever judges; not to be committed."""
    for half, key, finding in entries:
        print(f"\n## {key} {half}:{finding.line} {finding.code} {finding.name}\n{finding.message}")
        print(f"quote: {finding.quote!r} lines: {finding.lines}")
        if finding.line:
            for record in records(json.loads(halves[half][finding.line - 1])):
                print(f"--- {record['metadata']['task']} {record['metadata'].get('grade')} {record['reference'].get('answer')}")
                for at, message in enumerate(record["messages"], 1):
                    print(f"[{at} {message['role']}] {message['content']}")


def main() -> int:
    """Show the sample, or count the verdicts and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    shared = shared_data()
    if shared is None:
        print("skipped: the shared data is not here; set HOMEROOM_SHARED_DATA")
        return 0
    entries, halves = sample(shared)
    if args.show:
        show(entries, halves)
        return 0
    verdicts = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    open_ones = [key for _, key, _ in entries if key not in verdicts]
    if open_ones:
        print(f"{len(open_ones)} of {len(entries)} findings are not judged yet: the rules changed. Judge them: --show")
        return 1
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    rows = ["| id | half, line | rule | words | verdict | reason |", "|---|---|---|---|---|---|"]
    for half, key, finding in entries:
        verdict = verdicts[key]
        group = f"{half}, class list" if finding.code == ROSTER else f"{half}, all other rules"
        for name in (group, f"rule {finding.code} {finding.name}", "all"):
            counts[name][0] += verdict["right"]
            counts[name][1] += 1
        words = " ".join(finding.quote.split()).replace("|", "¦")[:QUOTE]
        word = "right" if verdict["right"] else "wrong"
        rows.append(
            f"| {key} | {half} {finding.line} | {finding.code} | {words} | {word} | {verdict['reason'].replace('|', '¦')} |"
        )
    summary = ["| part | right | of | share |", "|---|---|---|---|"]
    summary += [f"| {name} | {right} | {total} | {right / total:.0%} |" for name, (right, total) in sorted(counts.items())]
    head = (
        "# Findings on MathDial, judged one by one\n\nMade by `python benchmarks/data_rules_precision.py`. Lines count within "
        "the half. The dialogues are\nthose of MathDial (Macina et al. 2023, CC BY-SA 4.0).\n"
    )
    TABLE.write_text("\n".join([head, *summary, "", *rows]) + "\n", "utf-8")
    print("\n".join(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
