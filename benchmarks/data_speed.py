"""How fast training data is checked, and what it costs in memory.

    python benchmarks/data_speed.py [--examples 100000] [--rounds 3] [--only whole families peers]

Makes examples by recombining real tutoring dialogues with a seed (`mathdial` of HOMEROOM_SHARED_DATA, default ../shared/data
beside the project; says so and exits 0 where it is absent), runs every rule that needs no model over them, and each family alone.
Two peers run on the same examples, by turns with ours: `datasketch` used plainly for near-duplicates, and the checks of OpenAI's
cookbook ("Data preparation and analysis for chat model fine-tuning"), written here from their description. Writes
benchmarks/results/data_speed.json. Judge absolute times on a quiet machine only; the ratios hold on a busy one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from machine import facts

from homeroom.data.lint.config import LintConfig
from homeroom.data.lint.model import ReadRule
from homeroom.data.lint.registry import all_rules
from homeroom.data.lint.run import LintResult, lint
from homeroom.data.reading import load_examples

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("HOMEROOM_SHARED_DATA") or ROOT.parent / "shared" / "data")
RESULT = ROOT / "benchmarks" / "results" / "data_speed.json"
FAMILIES = ("STR", "CNS", "DIV", "QUA", "SAF", "LEA", "COS")
NAMES = ("Ana", "Bo", "Chen", "Dara", "Efe", "Fay", "Gus", "Hana", "Ivo", "Juno", "Kofi", "Lena", "Mira", "Nils", "Ola", "Pia")
SENTENCE = re.compile(r"(?<=[.!?])\s+")
DUPLICATES = 0.03
PARTS = ("whole", "families", "peers")


def make(path: Path, count: int, seed: int = 7) -> int:
    """Write ``count`` examples of about 1 KB each to ``path``; 3 in 100 are nearly the same as an earlier one. Bytes written."""
    rng = random.Random(seed)
    pool = load_examples(DATA / "mathdial" / "dialogues.jsonl")
    said: dict[str, list[str]] = {"user": [], "assistant": []}
    for example in pool:
        if example.task == "tutor":
            for message in example.messages:
                said.setdefault(message.role, []).extend(s for s in SENTENCE.split(message.content) if 12 < len(s) < 200)
    subjects = ("mathematics", "science", "reading")
    lines: list[str] = []
    with path.open("w", encoding="utf-8") as file:
        for index in range(count):
            if lines and rng.random() < DUPLICATES:
                record = json.loads(rng.choice(lines))
                record["messages"][-1]["content"] += " Go on."
            else:
                record = _record(rng, said, subjects, index)
            text = json.dumps(record, ensure_ascii=False)
            if len(lines) < 5000:
                lines.append(text)
            file.write(text + "\n")
    return path.stat().st_size


def _record(rng: random.Random, said: dict[str, list[str]], subjects: tuple[str, ...], index: int) -> dict[str, Any]:
    def speak(role: str, sentences: int) -> str:
        text = " ".join(rng.choice(said[role]) for _ in range(sentences))
        text = re.sub(r"\d+", lambda found: str(rng.randint(2, 99)), text)
        return re.sub(r"\b(?:Steven|Luke|Peter|Olivia|Tom|Mary)\b", lambda found: rng.choice(NAMES), text)

    messages = []
    for turn in range(3):
        messages.append({"role": "user", "content": speak("user", 3 if turn == 0 else 1)})
        messages.append({"role": "assistant", "content": speak("assistant", 2)})
    grade = rng.randint(2, 8)
    metadata = {
        "subject": rng.choice(subjects), "grade": grade, "topic": f"topic-{index % 400}", "source": "published",
        "question_type": rng.choice(("factual", "conceptual", "analytical")), "consent": "not-required", "language": "en",
        "scenario": rng.choice(("diagnose", "explain", "practice")), "difficulty": rng.choice(("easy", "medium", "hard")),
    }  # fmt: skip
    return {"messages": messages, "metadata": metadata}


class Peak:
    """The most memory that this process and its children held together, in bytes, while the block ran."""

    def __enter__(self) -> Peak:
        self.bytes, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.05):
            total = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.Error:
                    continue
            self.bytes = max(self.bytes, total)

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()


def _processor_s() -> float:
    """Of this process and of the children that have ended."""
    return sum(getattr(resource.getrusage(who), name) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
               for name in ("ru_utime", "ru_stime"))  # fmt: skip


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and the result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def check(path: Path, *select: str, jobs: int | None = None) -> LintResult:
    """Our own run, without a configuration file."""
    return lint(path, select=select, config=LintConfig(), jobs=jobs)


def cookbook(path: Path) -> dict[str, int]:
    """The format checks of OpenAI's cookbook, from their description."""
    errors: dict[str, int] = defaultdict(int)
    with path.open(encoding="utf-8") as file:
        dataset = [json.loads(line) for line in file]
    for ex in dataset:
        if not isinstance(ex, dict):
            errors["data_type"] += 1
            continue
        messages = ex.get("messages", None)
        if not messages:
            errors["missing_messages_list"] += 1
            continue
        for message in messages:
            if "role" not in message or "content" not in message:
                errors["message_missing_key"] += 1
            if any(k not in ("role", "content", "name", "function_call", "weight") for k in message):
                errors["message_unrecognized_key"] += 1
            if message.get("role", None) not in ("system", "user", "assistant", "function"):
                errors["unrecognized_role"] += 1
            content = message.get("content", None)
            function_call = message.get("function_call", None)
            if (not content and not function_call) or not isinstance(content, str):
                errors["missing_content"] += 1
        if not any(message.get("role", None) == "assistant" for message in messages):
            errors["example_missing_assistant_message"] += 1
    return dict(errors)


def plain_datasketch(path: Path) -> int:
    """Near-duplicates as datasketch's own page shows it: words' 3-grams, 128 permutations, threshold 0.8. Pairs found."""
    from datasketch import MinHash, MinHashLSH

    lsh = MinHashLSH(threshold=0.8, num_perm=128)
    pairs = 0
    for index, text in enumerate(_texts(path)):
        words = text.lower().split()
        sketch = MinHash(num_perm=128)
        for i in range(max(1, len(words) - 2)):
            sketch.update(" ".join(words[i : i + 3]).encode())
        pairs += len(lsh.query(sketch))
        lsh.insert(str(index), sketch)
    return pairs


def _texts(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield " ".join(message["content"] for message in json.loads(line)["messages"])


def compare(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> dict[str, Any]:
    """Both by turns; seconds of each round and the median of their ratios (theirs / ours: above 1 we are faster)."""
    times = [(timed(ours)[0], timed(theirs)[0]) for _ in range(rounds)]
    return {
        "ours_s": [round(a, 2) for a, _ in times],
        "theirs_s": [round(b, 2) for _, b in times],
        "ratio": round(statistics.median(b / a for a, b in times), 2),
    }


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", type=int, default=5_000, help="examples for the families and the peers")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="the others keep their last figures")
    given = parser.parse_args()
    if not (DATA / "mathdial").is_dir():
        print(f"no real dialogues in {DATA}: set HOMEROOM_SHARED_DATA; nothing measured")
        return 0
    result: dict[str, Any] = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
    result |= {"machine": facts(), "date": time.strftime("%Y-%m-%d"), "rules": len(all_rules())}
    with tempfile.TemporaryDirectory() as folder:
        for part in given.only:
            if part == "whole":
                result |= _whole(Path(folder), given.examples)
            else:
                result |= (_families if part == "families" else _peers)(Path(folder), given.small, given.rounds)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(json.dumps(result, indent=2))
    return 0


def _whole(folder: Path, count: int) -> dict[str, Any]:
    """Every rule over all examples and over half of them, on all cores."""
    whole, half = folder / "whole.jsonl", folder / "half.jsonl"
    size = make(whole, count)
    make(half, count // 2)
    with Peak() as first:
        seconds, _ = timed(lambda: check(half).summary)
    print(f"{count // 2:,} examples: {seconds:.1f} s, {first.bytes / 1e6:,.0f} MB", file=sys.stderr, flush=True)
    before = _processor_s()
    with Peak() as peak:
        seconds, result = timed(lambda: check(whole))
    return {
        "all_rules": {
            "examples": count,
            "file_mb": round(size / 1e6, 1),
            "seconds": round(seconds, 1),
            "processor_seconds": round(_processor_s() - before, 1),
            "examples_per_s": round(count / seconds),
            "peak_mb": round(peak.bytes / 1e6),
            "bytes_per_further_example": round((peak.bytes - first.bytes) / (count - count // 2)),
            "findings": len(result.findings),
            "by_rule": result.summary["by_rule"],
        }
    }


def _families(folder: Path, count: int, rounds: int) -> dict[str, Any]:
    """Examples a second for each family alone, in one process."""
    path = folder / "families.jsonl"
    make(path, count)
    check(path, jobs=1)  # imports and compiles
    codes = {rule.about.code[:3] for rule in all_rules()}
    found = {}
    for family in (name for name in FAMILIES if name in codes):
        seconds = statistics.median(timed(lambda family=family: check(path, family, jobs=1))[0] for _ in range(rounds))
        found[family] = round(count / seconds)
    return {"families_examples_per_s_one_process": found}


def _peers(folder: Path, count: int, rounds: int) -> dict[str, Any]:
    """Ours and theirs by turns, in one process."""
    path = folder / "peers.jsonl"
    make(path, count)
    found: dict[str, Any] = {"peers_examples": count}
    near = next((rule.about.code for rule in all_rules() if rule.about.name == "near-duplicate"), None)
    if near:
        check(path, near, jobs=1)
        found["near_duplicates_against_datasketch"] = compare(
            lambda: check(path, near, jobs=1), lambda: plain_datasketch(path), rounds
        )
    structural = [rule.about.code for rule in all_rules() if isinstance(rule, ReadRule)]
    found["validation_against_cookbook"] = compare(lambda: check(path, *structural, jobs=1), lambda: cookbook(path), rounds)
    return found


if __name__ == "__main__":
    sys.exit(main())
