"""What a run leaves behind: the adapter in both formats, the recipe, the history, a preview of the tokens, and the model card.

adapter_model.safetensors  adapter_config.json     PEFT; or, where every weight was trained, weights/ as transformers loads it
adapter.gguf                                       the engine; or model.gguf and base.json
recipe.yaml  history.csv  preview.json  preview.txt  README.md
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from homeroom.models.gguf_write import folder_to_gguf
from homeroom.models.lora_gguf import adapter_to_gguf
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.models import BaseFiles, Suitability
from homeroom.tuning.huggingface.encode import Encoded
from homeroom.tuning.huggingface.model import LoraModel, save_adapter
from homeroom.tuning.huggingface.trainer import Row
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.recipe_file import dump_recipe

PREVIEW_EXAMPLES = 3
ENGINE_NUMBER = "q8_0"
OPEN, CLOSE = "⟦", "⟧"
SUITABLE_FOR: Mapping[str, str] = {
    "practice": "It shows the workflow. It **must not teach children**: it repeats itself and confirms wrong work.",
    "trainee": "Teachers in training may practise with it under guidance. It must not teach children.",
    "learner": "Learners may use it under a teacher's eye.",
}


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What the model card says beyond the recipe."""

    name: str
    base: BaseFiles
    dataset: str
    licence: str
    suitability: Suitability
    code_version: str
    metrics: Mapping[str, Any]  # JSON


def write_artifact(
    folder: Path,
    *,
    model: LoraModel,
    recipe: Recipe,
    training: Encoded,
    tokenizer: ChatTokenizer,
    history: Sequence[Row],
    facts: CardFacts,
) -> None:
    """Fill ``folder`` with every file of the artifact."""
    if recipe.weights == "full":
        write_whole(model, folder, facts.base, facts.name)
    else:
        save_adapter(model, folder, facts.base)
        adapter_to_gguf(folder, facts.base, folder / "adapter.gguf")
    (folder / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    write_history(folder / "history.csv", history)
    records = preview(training, tokenizer)
    (folder / "preview.json").write_text(json.dumps(records, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (folder / "preview.txt").write_text(preview_text(records), encoding="utf-8")
    (folder / "README.md").write_text(card(recipe, facts, len(training.sequences)), encoding="utf-8")


def write_whole(model: LoraModel, folder: Path, base: BaseFiles, name: str) -> None:
    """A model folder with every weight, in float32, and the engine's file made from it."""
    from safetensors.torch import save_file

    weights = folder / "weights"
    weights.mkdir()
    save_file(model.copy_weights(), weights / "model.safetensors", metadata={"format": "pt"})
    for path in base.weights.iterdir():
        if path.suffix in (".json", ".jinja") and not path.name.endswith(".index.json"):
            (weights / path.name).write_bytes(path.read_bytes())
    config = json.loads((weights / "config.json").read_text(encoding="utf-8"))
    plain = {key: value for key, value in config.items() if key not in ("torch_dtype", "dtype")}
    (weights / "config.json").write_text(json.dumps({**plain, "dtype": "float32"}, indent=2) + "\n", encoding="utf-8")
    folder_to_gguf(weights, folder / "model.gguf", name=name, quantisation=ENGINE_NUMBER)
    (folder / "base.json").write_text(json.dumps({"quantisation": ENGINE_NUMBER}) + "\n", encoding="utf-8")


def write_history(path: Path, history: Sequence[Row]) -> None:
    """One line for each step; what was not measured at a step is empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in history)


def preview(training: Encoded, tokenizer: ChatTokenizer, count: int = PREVIEW_EXAMPLES) -> list[dict[str, Any]]:
    """The first examples as the model saw them: ``tokens`` is a list of ``[id, text, carries loss]``. JSON data."""
    records = []
    for sequence, example in list(zip(training.sequences, training.examples, strict=True))[:count]:
        tokens = [[i, tokenizer.decode([i]), bool(m)] for i, m in zip(sequence.ids, sequence.mask, strict=True)]
        records.append({"example": example.id, "inputs": sequence.input_length, "labels": sequence.labels, "tokens": tokens})
    return records


def preview_text(records: Sequence[Mapping[str, Any]]) -> str:  # records: as `preview` made them
    """The preview for reading: what carries loss stands between ⟦ and ⟧, tokens are parted by ``|``."""
    parts = [
        f"What the model learns to write stands between {OPEN} and {CLOSE}; everything else it only reads. | parts tokens.\n"
    ]
    for record in records:
        text, inside = "", False
        for _, token, learnt in record["tokens"]:
            if learnt != inside:
                text += CLOSE if inside else OPEN
            elif text:
                text += "|"
            text, inside = text + token, learnt
        closing = CLOSE if inside else ""
        parts.append(
            f"\n--- example {record['example']}: {record['inputs']} tokens read, {record['labels']} learnt ---\n{text}{closing}\n"
        )
    return "".join(parts)


def card(recipe: Recipe, facts: CardFacts, examples: int) -> str:
    """The model card: Markdown with the header that model hubs read."""
    licence = facts.licence or "that of the base model"
    tags = f"tags: [homeroom, {recipe.weights}, education]"
    library = "transformers" if recipe.weights == "full" else "peft"
    header = (
        f"---\nlibrary_name: {library}\nbase_model: {facts.base.name}\nlicense: {facts.licence.lower() or 'other'}\n{tags}\n---\n"
    )
    numbers = "\n".join(f"| {name.replace('_', ' ')} | {_number(value)} |" for name, value in facts.metrics.items())
    return f"""{header}
# {facts.name}

{_WHAT[recipe.weights]} `{facts.base.name}`, tuned as a **{
        "tutor and simulated learner" if recipe.task == "any" else _ROLE[recipe.task]
    }**.{"".join(f" As a {_ROLE[task]} it is `{name}`." for task, name in recipe.role_names(facts.name).items())}

**Suitability: {facts.suitability}.** {SUITABLE_FOR[facts.suitability]}
What it can do was not judged in training: see its scorecard before you use it (`homeroom models show {facts.name}`).

| | |
|---|---|
| base | `{facts.base.name}`, identity `{facts.base.identity}`{_ONLY[recipe.weights]} |
| data | dataset `{facts.dataset or "not stored"}`, {examples} training examples |
| method | {_method(recipe)}, loss on the assistant's turns only |
| licence | {licence} |
| made with | Homeroom {facts.code_version or "(unknown version)"}; `recipe.yaml` repeats it |

## Numbers of the run
Losses are nats per token of the replies. A lower loss means that the authored replies are likelier, not that it teaches better.

| number | value |
|---|---|
{numbers}

## Files
{_FILES[recipe.weights]} `history.csv` has one
line for each step. `preview.txt` shows the first examples token by token, with those that were learnt marked.
"""


_WHAT = {"lora": "A LoRA adapter for", "full": "A model of its own, every weight of it tuned from"}
_ONLY = {"lora": "; the adapter works on no other", "full": ""}
_FILES = {
    "lora": "`adapter_model.safetensors` and `adapter_config.json` load with PEFT, `adapter.gguf` with llama.cpp.",
    "full": "`weights` loads with transformers, `model.gguf` with llama.cpp.",
}


def _method(recipe: Recipe) -> str:
    if recipe.weights == "full":
        return "every weight, in float32"
    kept = "" if recipe.quantise == "none" else f" on weights kept in {recipe.quantise}"
    return f"LoRA rank {recipe.lora.rank}, alpha {recipe.lora.alpha:g}{kept}"


_ROLE = {"tutor": "tutor", "learner": "simulated learner"}


def _number(value: object) -> str:
    return (
        f"{value:,.4g}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int) and not isinstance(value, bool)
        else str(value)
    )
