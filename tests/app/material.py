"""What the tests of `app` and `cli` work on: the tiny base model, a small course of both tasks, and recipes of a few steps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from homeroom.chat.scenarios import PracticeScenario
from homeroom.models import prepared, tiny
from homeroom.models.folder import read_tensors
from homeroom.schema.models import BaseFiles

# Topic, subject, grade, question with a wrong answer, the tutor's reply, the right answer.
TUTOR = (
    ("halving", "mathematics", 2, "Half of 14 is 8, right?", "You shared 14. Draw 14 dots in two rows. What do you see?", "7"),
    ("counting-on", "mathematics", 1, "I think 6 + 3 is 8.", "Say 6, then count three more. Where do you stop?", "9"),
    ("area", "mathematics", 4, "A 3 by 5 yard has area 16.", "Draw the yard in squares. How many in one row?", "15"),
    ("angles", "mathematics", 5, "A right angle has 100 degrees.", "Fold the corner of a page twice. What do you know of it?", "90"),
    ("melting", "science", 3, "Ice melts because it is light.", "Put ice in a warm and a cold place. What differs?", "warmth"),
    ("shadows", "science", 3, "My shadow is longest at noon.", "Where does the sun stand at noon? Draw it.", "morning"),
    ("roots", "science", 2, "Roots are there to hold leaves.", "Pull up a weed. What sticks to it, and why?", "water"),
    ("magnets", "science", 4, "A magnet pulls every metal.", "Try a coin and a nail. What happens to each?", "iron"),
    ("verbs", "reading", 3, "In 'Dogs run' the verb is dogs.", "Which word says what they do?", "run"),
    ("pronouns", "reading", 4, "In 'Ana lost her hat', her is the hat.", "Whose hat is it? Read it once more.", "Ana"),
    ("calendars", "history", 4, "1905 is in the 19th century.", "Which years were the first century? Count on from there.", "20th"),
    ("maps", "history", 5, "The legend is a story on a map.", "Look at the small box in the corner. What does it tell?", "signs"),
)  # fmt: skip
# Topic, name, grade, the task, the mistake, the wrong answer, temperament, the right answer.
LEARNER = (
    ("rounding", "Ola", 3, "Round 47 to the nearest ten.", "you always round down", "40", "confident", "50"),
    ("clock", "Pia", 2, "What time is it when the short hand is past 3?", "you read the next hour", "4", "quiet", "3"),
    ("doubling", "Rui", 2, "Double 26.", "you double only the tens", "46", "playful", "52"),
    ("money", "Sam", 3, "How much are 3 coins of 5?", "you count coins, not cents", "3", "chatty", "15"),
    ("mass", "Tia", 4, "Which is heavier, 1 kg of wool or of iron?", "you think iron is always heavier", "iron", "stubborn", "same"),
    ("rain", "Uma", 3, "Where does rain come from?", "you think clouds are smoke", "smoke", "anxious", "water"),
    ("sound", "Vic", 4, "Does a drum sound on the moon?", "you think sound needs no air", "yes", "confident", "no"),
    ("seeds", "Wen", 2, "What does a seed need first?", "you think it needs sun first", "sun", "hesitant", "water"),
    ("capitals", "Xan", 2, "Which words of a title get capitals?", "you give every word one", "every word", "impatient", "most"),
    ("plurals", "Yam", 3, "What is the plural of child?", "you add an s to everything", "childs", "playful", "children"),
    ("decades", "Zoe", 4, "How many years are two decades?", "you take a decade for a century", "200", "quiet", "20"),
    ("letters", "Ben", 4, "Who can tell us of a war long ago?", "you trust one letter alone", "one letter", "stubborn", "many"),
)  # fmt: skip

QUICK = {
    "base": tiny.NAME,
    "threads": 1,
    "dtype": "float32",
    "epochs": 1,
    "max_trained_tokens": 1500,
    "batch_tokens": 512,
    "accumulation": {"examples": 4},
    "data": {"max_sequence_tokens": 384},
    "lora": {"rank": 2},
    "optimiser": {"learning_rate": 0.01},
    "validation": {"every_steps": 1000, "patience": 0, "max_examples": 2},
    "checkpoint": {"every_steps": 1},
    "generation": {"max_tokens": 12},
}
# Long enough that a test meets it in the middle, with a checkpoint at every step: finished runs keep none.
LONG = {**QUICK, "epochs": 6, "max_trained_tokens": None, "accumulation": {"examples": 1}}
TWO_RUNS = {**LONG, "runs": {"learner": {"task": "learner", "epochs": 4}, "tutor": {"task": "tutor", "epochs": 2}}}
BOTH_TASKS = {**LONG, "epochs": 3, "task": "any", "roles": {"learner": {}, "tutor": {}}}


def tutor_records() -> list[dict[str, Any]]:
    """Two examples of each topic."""
    return [
        {
            "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": reply}],
            "metadata": {"task": "tutor", "subject": subject, "grade": grade, "topic": topic, "scenario": "diagnose"},
            "reference": {"answer": answer, "claim_is_correct": False},
        }
        for topic, subject, grade, question, reply, answer in TUTOR
        for text in (question, f"Please help. {question}")
    ]


def learner_records() -> list[dict[str, Any]]:
    """One dialogue of each topic."""
    records = []
    for topic, name, grade, task, mistake, claim, temperament, answer in LEARNER:
        scenario = PracticeScenario(topic, name, grade, "any", topic, task, mistake, claim, temperament)
        turns = ("What did you get?", f"{claim}, I am sure.", "How did you find it?", f"Well, {mistake.replace('you', 'I', 1)}.")
        messages = [{"role": "system", "content": scenario.system_message}]
        messages += [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(turns)]
        about = {"task": "learner", "grade": grade, "topic": topic, "temperament": temperament, "id": f"practice-{topic}"}
        records.append({"messages": messages, "metadata": about, "reference": {"answer": answer, "claim": claim}})
    return records


def write_jsonl(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    """``records`` as lines of ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")
    return path


def write_recipe(path: Path, recipe: dict[str, Any]) -> Path:
    """A recipe file; JSON is YAML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(recipe), "utf-8")
    return path


def tiny_cache(factory: pytest.TempPathFactory) -> Path:
    """A model cache that holds the tiny base, made once for all tests."""
    cache = factory.getbasetemp() / "tiny-cache"
    if not cache.exists():
        prepared.prepare_folder(tiny.build(factory.mktemp("tiny")), tiny.NAME, cache)
    return cache


def use_tiny(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Make the tiny model the default base, and give models one thread each: the tests share the machine."""
    monkeypatch.setenv("HOMEROOM_CACHE", str(cache))
    monkeypatch.setenv("HOMEROOM_DEFAULT_BASE", tiny.NAME)
    monkeypatch.setenv("HOMEROOM_THREADS", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def random_adapter(base: BaseFiles, folder: Path, *, layers: Sequence[str] = ("q_proj", "up_proj"), extra_rows: int = 0) -> Path:
    """A PEFT folder with a random LoRA for ``base``; ``extra_rows`` makes one that does not fit it."""
    import numpy as np
    from safetensors.numpy import save_file

    random = np.random.default_rng(1)
    tensors = {}
    for tensor in read_tensors(base.weights):
        if tensor.name.split(".")[-2] in layers:
            rows, columns = tensor.shape
            stem = f"base_model.model.{tensor.name.removesuffix('.weight')}"
            tensors[f"{stem}.lora_A.weight"] = random.normal(0, 0.1, (2, columns)).astype(np.float32)
            tensors[f"{stem}.lora_B.weight"] = random.normal(0, 0.1, (rows + extra_rows, 2)).astype(np.float32)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": 2,
        "lora_alpha": 4,
        "bias": "none",
        "target_modules": list(layers),
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder
