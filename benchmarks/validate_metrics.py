"""Do the measures agree with people? Scores MRBench's human labels and OneStop's reading levels with this code.

    python benchmarks/validate_metrics.py

Reads `mrbench` and `onestop` from HOMEROOM_SHARED_DATA (default ../shared/data beside the project); says so and exits 0 where
they are absent. Prints a table and writes benchmarks/results/validate_metrics.json. The phrase lists were read against the same
replies, so the figures flatter; "odd/even" (two halves by conversation) shows how much they move. Intervals are drawn by
conversation.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from homeroom.evaluation.confirmation import stance
from homeroom.evaluation.dialogue import claim_is_live, key
from homeroom.evaluation.metrics import metric
from homeroom.evaluation.metrics.grade_fit import reading_grade
from homeroom.schema.evaluation import Answer
from homeroom.schema.examples import Example, Item, Message

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("HOMEROOM_SHARED_DATA") or ROOT.parent / "shared" / "data")
RESULT = ROOT / "benchmarks" / "results" / "validate_metrics.json"
Row = tuple[Item, Answer, dict[str, str], str]  # item, reply, human labels, tutor


def conversation(record: dict[str, object]) -> tuple[tuple[Message, ...], str]:
    """Turns with the problem in the learner's first one, as Homeroom writes them, and the learner's first claim."""
    parts = re.split(r"\n?\s*(?=(?:Tutor|Student):)", str(record["conversation_history"]))
    turns = [(p.startswith("Tutor:"), p.split(":", 1)[1].strip()) for p in parts if ":" in p]
    start = next((i for i, (tutor, _) in enumerate(turns) if not tutor), len(turns) - 1)
    claim = turns[start][1].splitlines()[-1].strip()
    messages = [("user", "\n".join(text for _, text in turns[: start + 1]))]
    for tutor, text in turns[start + 1 :]:
        role = "assistant" if tutor else "user"
        if messages[-1][0] == role:
            messages[-1] = (role, f"{messages[-1][1]}\n{text}")
        else:
            messages.append((role, text))
    return tuple(Message(role, text) for role, text in messages), claim  # type: ignore[arg-type]


def replies(path: Path) -> list[Row]:
    """Every labelled reply. The key is the last line of the solution where one is given (MathDial); Bridge has none."""
    rows: list[Row] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        messages, claim = conversation(record)
        solution = record["Ground_Truth_Solution"]
        answer = solution.strip().splitlines()[-1].strip()
        given = solution != "Not Available"
        reference = {"answer": answer, "claim": claim, "claim_is_correct": False} if given else {}
        for tutor, reply in record["anno_llm_responses"].items():
            turns = (*messages, Message("assistant", reply["response"]))
            example = Example(turns, {"topic": record["conversation_id"]}, (), reference)
            item = list(example.items())[-1]
            rows.append((item, Answer(item.id, tutor, reply["response"]), reply["annotation"], tutor))
    return rows


def agreement(pairs: Sequence[tuple[bool, bool]]) -> dict[str, float]:
    """Precision, recall, F1, Cohen's kappa and AUC of a yes/no measure against yes/no labels (predicted, label)."""
    tp, fp = sum(p and y for p, y in pairs), sum(p and not y for p, y in pairs)
    fn = sum(y and not p for p, y in pairs)
    n = len(pairs)
    tn = n - tp - fp - fn
    by_chance = ((tp + fp) * (tp + fn) + (tn + fn) * (tn + fp)) / n**2
    sensitivity, specificity = tp / max(tp + fn, 1), tn / max(tn + fp, 1)
    return {
        "precision": tp / max(tp + fp, 1),
        "recall": sensitivity,
        "f1": 2 * tp / max(2 * tp + fp + fn, 1),
        "kappa": ((tp + tn) / n - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0,
        "auc": (sensitivity + specificity) / 2,
    }


def spearman(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Rank correlation; ties share their mean rank."""

    def ranks(values: Sequence[float]) -> list[float]:
        return [sum(o < value for o in values) + (sum(o == value for o in values) - 1) / 2 for value in values]

    a, b = ranks(xs), ranks(ys)
    middle = (len(a) - 1) / 2
    top = sum((x - middle) * (y - middle) for x, y in zip(a, b, strict=True))
    size = (sum((x - middle) ** 2 for x in a) * sum((y - middle) ** 2 for y in b)) ** 0.5
    return top / size if size else 0.0


def compare(rows: Sequence[Row], predict: Callable[[Row], bool], label: Callable[[Row], bool]) -> dict[str, object]:
    """All figures of one measure against one label."""
    found = [(row, predict(row), label(row)) for row in rows]
    figures: dict[str, object] = {"n": len(rows), "positives": sum(y for _, _, y in found)}
    figures.update(agreement([(p, y) for _, p, y in found]))
    groups: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    tutors: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for row, p, y in found:
        groups[str(row[0].example.metadata["topic"])].append((p, y))
        tutors[row[3]].append((p, y))
    names, rng = sorted(groups), random.Random(0)
    for figure in ("kappa", "auc"):
        drawn = (rng.choices(names, k=len(names)) for _ in range(500))
        values = sorted(agreement([pair for name in draw for pair in groups[name]])[figure] for draw in drawn)
        figures[f"{figure}_interval"] = [values[12], values[487]]
    for part, name in ((0, "odd"), (1, "even")):
        half = [pair for i, group in enumerate(names) if i % 2 == part for pair in groups[group]]
        figures[f"kappa_{name}"] = agreement(half)["kappa"]
    figures["tutors"] = len(tutors)
    measured = [sum(p for p, _ in pairs) / len(pairs) for pairs in tutors.values()]
    labelled = [sum(y for _, y in pairs) / len(pairs) for pairs in tutors.values()]
    figures["rho"] = spearman(measured, labelled)
    return figures


def value(name: str, row: Row) -> float | None:
    """One measure on one reply."""
    return metric(name).score([row[0]], [row[1]])[0]


def against_people(rows: Sequence[Row]) -> dict[str, dict[str, object]]:
    """Each measure that people labelled something near to."""
    keyed = [row for row in rows if key(row[0]).answer]
    live = [row for row in keyed if claim_is_live(row[0])]
    withheld = [row for row in keyed if value("withholding", row) is not None]

    def says(name: str, score: float) -> Callable[[Row], bool]:
        return lambda row: value(name, row) == score

    def label(name: str, *wanted: str) -> Callable[[Row], bool]:
        return lambda row: row[2][name].startswith(wanted)

    def confirms(row: Row) -> bool:
        return stance(row[1].text, key(row[0]).claim) == "confirms"

    revealed = label("Revealing_of_the_Answer", "Yes")
    unseen = label("Mistake_Identification", "No")
    return {
        "withholding ~ Revealing_of_the_Answer": compare(withheld, says("withholding", 0), revealed),
        "asks_next_step ~ Actionability (Yes)": compare(rows, says("asks_next_step", 1), label("Actionability", "Yes")),
        "asks_next_step ~ Actionability (Yes, some)": compare(
            rows, says("asks_next_step", 1), label("Actionability", "Yes", "To")
        ),
        "false_confirmation ~ Mistake_Identification (No), live": compare(live, says("false_confirmation", 1), unseen),
        "agreement in any turn ~ Mistake_Identification (No)": compare(rows, confirms, unseen),
        "solution_dump ~ Actionability (No)": compare(rows, says("solution_dump", 1), label("Actionability", "No")),
        "praise_without_substance ~ Mistake_Identification (No)": compare(rows, says("praise_without_substance", 1), unseen),
        "staying_in_role ~ humanlikeness (No)": compare(rows, says("staying_in_role", 0), label("humanlikeness", "No")),
        "specificity ~ Coherence (not Yes)": specificity(rows),
    }


def specificity(rows: Sequence[Row]) -> dict[str, object]:
    """Specificity of each tutor's whole set, low (under 0.75) against replies that people found incoherent."""
    ranks: dict[int, float | None] = {}
    for tutor in sorted({row[3] for row in rows}):
        mine = [(i, row) for i, row in enumerate(rows) if row[3] == tutor]
        scores = metric("specificity").score([row[0] for _, row in mine], [row[1] for _, row in mine])
        ranks.update({i: score for (i, _), score in zip(mine, scores, strict=True)})
    place = {id(row): i for i, row in enumerate(rows)}
    return compare(rows, lambda r: (ranks[place[id(r)]] or 0.0) < 0.75, lambda r: r[2]["Coherence"] != "Yes")


def reading_levels(path: Path, chunk_words: int = 150) -> dict[str, object]:
    """Share of articles whose three levels come out in the right order: whole texts, and their first ``chunk_words`` words."""
    order = {"Ele": 0, "Int": 1, "Adv": 2}
    articles: dict[str, dict[int, str]] = defaultdict(dict)
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        articles[re.sub(r"[-_ ]*(?:ele|int|adv)\w*\.txt$", "", record["file"].strip().lower()).strip()][
            order[record["level"][:3]]
        ] = record["text"]
    whole, short = [], []
    for levels in articles.values():
        if len(levels) == 3:
            whole.append(_pairs([reading_grade(levels[i]) for i in range(3)]))
            short.append(_pairs([reading_grade(" ".join(levels[i].split()[:chunk_words])) for i in range(3)]))
    flat = [ok for pairs in whole for ok in pairs]
    flat_short = [ok for pairs in short for ok in pairs]
    return {
        "articles": len(whole),
        "all_three_in_order": sum(all(pairs) for pairs in whole) / max(len(whole), 1),
        "pairs_in_order": sum(flat) / max(len(flat), 1),
        f"pairs_in_order_{chunk_words}_words": sum(flat_short) / max(len(flat_short), 1),
    }


def _pairs(grades: Sequence[float]) -> list[bool]:
    return [grades[0] < grades[1], grades[1] < grades[2], grades[0] < grades[2]]


def main() -> int:
    """Print the table and write the JSON."""
    mrbench, onestop = DATA / "mrbench" / "mrbench_v2.jsonl", DATA / "onestop" / "texts.jsonl"
    if not mrbench.exists() or not onestop.exists():
        print(f"skipped: no data under {str(DATA)!r}. Set HOMEROOM_SHARED_DATA to the folder that holds mrbench/ and onestop/")
        return 0
    people = against_people(replies(mrbench))
    print(f"{'measure ~ label':62} {'n':>4} {'pos':>4}     P     R    F1  kappa   interval  odd/even   AUC   rho")
    for name, f in people.items():
        low, high = cast(list[float], f["kappa_interval"])
        print(
            f"{name:62} {f['n']:4} {f['positives']:4} {f['precision']:5.2f} {f['recall']:5.2f} {f['f1']:5.2f} {f['kappa']:6.2f} "
            f"{low:5.2f}-{high:5.2f} {f['kappa_odd']:5.2f}/{f['kappa_even']:4.2f} {f['auc']:5.2f} {f['rho']:5.2f}"
        )
    levels = reading_levels(onestop)
    print("grade_fit ~ three reading levels:", levels)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({"against_people": people, "reading_levels": levels}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
