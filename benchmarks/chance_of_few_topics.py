"""How often equal systems are called different, by topics: with the bootstrap's p alone, and with the floor that few topics set.

    python benchmarks/chance_of_few_topics.py

Every system of a run passes each reply with the same chance, which differs between topics; what is called different is a false
alarm.
The p-values are those of a comparison: bootstrap by topic, Holm's correction over all pairs. Writes
benchmarks/results/chance_of_few_topics.json.
"""

from __future__ import annotations

import json
import random
from itertools import combinations
from pathlib import Path

from homeroom.evaluation.compare import Resampler, holm, least_p, p_value

RUNS, DRAWS, REPLIES = 300, 1000, 24
ALPHA = 0.05


def false_alarms(topics: int, systems: int) -> dict[str, float]:
    """The share of runs in which at least one pair is called different."""
    groups = [str(reply % topics) for reply in range(REPLIES)]
    alarms = {"bootstrap": 0, "with the floor": 0}
    for run in range(RUNS):
        rng = random.Random(f"{topics} {systems} {run}")
        chance = {group: rng.uniform(0.3, 0.9) for group in sorted(set(groups))}
        scores = [[float(rng.random() < chance[group]) for group in groups] for _ in range(systems)]
        resampler = Resampler.of(groups, draws=DRAWS, seed=run)
        raw, floored = {}, {}
        for one, other in combinations(range(systems), 2):
            p = p_value(scores[one], scores[other], resampler)
            if p is not None:
                raw[f"{one} {other}"] = p
                floored[f"{one} {other}"] = max(p, least_p(scores[one], scores[other], resampler))
        alarms["bootstrap"] += any(p < ALPHA for p in holm(raw).values())
        alarms["with the floor"] += any(p < ALPHA for p in holm(floored).values())
    return {name: round(count / RUNS, 3) for name, count in alarms.items()}


def main() -> None:
    """Two and five systems over several numbers of topics."""
    found = {
        f"{systems} systems": {f"{topics} topics": false_alarms(topics, systems) for topics in (4, 6, 8, 12)}
        for systems in (2, 5)
    }
    record = {"runs": RUNS, "draws": DRAWS, "replies": REPLIES, "false_alarms": found}
    path = Path(__file__).parent / "results" / "chance_of_few_topics.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
