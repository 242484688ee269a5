"""One training run in a process of its own, by our loop or by TRL's: settings as JSON on standard input, figures on output.

Both get the same token sequences with the same labels, the same LoRA, optimiser and schedule, and as many examples in a step;
each sees every example once, in an order of its own. Held-out loss is measured by one evaluator, in float32, on the saved
adapter. `tuning_speed.py` and `tuning_sweep_trl.py` run this.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # as Homeroom sets it: for both
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from homeroom.data.course import load_course
from homeroom.data.split import assign
from homeroom.models import pull
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.settings import load_settings
from homeroom.tuning.huggingface import device, model
from homeroom.tuning.huggingface.encode import TokenSequence, encode_examples, select
from homeroom.tuning.huggingface.memory import peak_memory_bytes
from homeroom.tuning.huggingface.token_loss import TokenLoss
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.recipe_file import load_recipes

BASE = "smollm2-135m-instruct"
Settings = dict[str, Any]  # JSON


def matmul_gflops() -> dict[str, float]:
    """Speed now at the model's widest frozen layer, in both number types and all threads."""
    import torch

    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        x, w = torch.randn(768, 576).to(dtype), torch.randn(1536, 576).to(dtype)
        best, end = 0.0, time.monotonic() + 0.3
        while time.monotonic() < end:
            start = time.perf_counter()
            for _ in range(4):
                x @ w.T
            best = max(best, 4 * 2 * 768 * 576 * 1536 / (time.perf_counter() - start) / 1e9)
        found[str(dtype).removeprefix("torch.")] = round(best, 1)
    return found


def data(settings: Settings) -> tuple[Any, Recipe, list[TokenSequence], list[Any]]:
    """Base, recipe, the sequences to train on, and the examples held out."""
    base, recipe, chosen, held_out = course(settings)
    sequences = encode_examples(chosen, recipe, ChatTokenizer(base.weights)).sequences
    return base, recipe, list(sequences), held_out


def course(settings: Settings) -> tuple[Any, Recipe, list[Any], list[Any]]:
    """Base, recipe, the examples to train on, and those held out."""
    base = pull.require(BASE, load_settings().cache)
    recipe = next(r for r in load_recipes(Path("recipes/course.yaml")) if r.name == "tutor")
    changes = {
        "lora": recipe.lora.model_copy(update={"dropout": 0.0}),
        "optimiser": recipe.optimiser.model_copy(update={"warmup_ratio": 0.0, "learning_rate": settings["learning_rate"]}),
        "accumulation": recipe.accumulation.model_copy(update={"examples": settings["step_examples"]}),
        "checkpoint": recipe.checkpoint.model_copy(update={"every_steps": 1_000_000}),
        **{key: settings[key] for key in ("seed", "threads")},
        "dtype": settings["dtype"] if settings["dtype"] in ("auto", "float32", "bfloat16") else "auto",
        "epochs": 1,
        "device": "cpu",
    }
    recipe = Recipe.model_validate(
        {**recipe.to_dict(), **{k: getattr(v, "model_dump", lambda v=v: v)() for k, v in changes.items()}}
    )
    examples = load_course()
    placed = assign(examples)
    train = [e for e in examples if placed[e.id] == "train"]
    held_out = [e for e in examples if placed[e.id] == "validation" and e.task == "tutor"][: settings["held_out"]]
    chosen = select(train, recipe)[: settings["examples"]]
    return base, recipe, chosen, [e.with_system(recipe.system_prompt) for e in held_out]


def homeroom(base: Any, recipe: Recipe, examples: list[Any], folder: Path) -> float:
    """Train by our loop, leave the adapter in ``folder``, return the seconds of the training alone."""
    from homeroom.schema.jobs import NullReporter
    from homeroom.schema.tuning import TrainingData
    from homeroom.storage.artifacts import ArtifactStore
    from homeroom.tuning.huggingface.tuner import HuggingFaceTuner

    store = ArtifactStore(folder / "artifacts")
    tuned = HuggingFaceTuner(base, folder / "work", store).run(TrainingData("course", examples), recipe, NullReporter())
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        (folder / name).write_bytes((store.path(tuned.artifact) / name).read_bytes())
    return float(tuned.metrics["train_seconds"])


def trl(base: Any, recipe: Recipe, sequences: list[TokenSequence], folder: Path, settings: Settings) -> float:
    """The same by TRL's ``SFTTrainer``."""
    import torch
    from datasets import Dataset
    from datasets.table import InMemoryTable
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
    from trl import SFTConfig, SFTTrainer

    if settings["threads"]:
        torch.set_num_threads(settings["threads"])
    set_seed(recipe.seed)
    whole = [s.ids[: s.input_length + 1] for s in sequences]
    labels = [[i if m else -100 for i, m in zip(ids, s.mask, strict=False)] for ids, s in zip(whole, sequences, strict=True)]
    table = InMemoryTable.from_pydict({"input_ids": [list(ids) for ids in whole], "labels": labels})
    rows = Dataset(table, fingerprint="course")  # by itself it would pickle pyarrow to find a name for a cache
    half = settings["dtype"].startswith("bfloat16")
    loaded = AutoModelForCausalLM.from_pretrained(
        base.weights, dtype=torch.bfloat16 if half else torch.float32, attn_implementation=settings.get("attention", "sdpa")
    )
    batch, optimiser = settings["batch"], recipe.optimiser
    config = SFTConfig(
        output_dir=str(folder / "out"),
        use_cpu=True,
        bf16=settings["dtype"].endswith("autocast"),
        gradient_checkpointing=False,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=settings["step_examples"] // batch,
        train_sampling_strategy="group_by_length" if settings["grouped"] else "random",
        padding_free=settings["padding_free"],
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        num_train_epochs=1,
        learning_rate=optimiser.learning_rate,
        lr_scheduler_type=optimiser.schedule,
        warmup_steps=0,
        weight_decay=optimiser.weight_decay,
        adam_beta1=optimiser.betas[0],
        adam_beta2=optimiser.betas[1],
        max_grad_norm=optimiser.clip_norm,
        seed=recipe.seed,
        save_strategy="no",
        report_to="none",
        logging_steps=10,
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    lora = LoraConfig(
        r=recipe.lora.rank,
        lora_alpha=recipe.lora.alpha,
        lora_dropout=0.0,
        target_modules=list(recipe.lora.target_modules),
        task_type="CAUSAL_LM",
    )
    tokenizer = AutoTokenizer.from_pretrained(base.weights)
    trainer = SFTTrainer(model=loaded, args=config, train_dataset=rows, processing_class=tokenizer, peft_config=lora)
    started = time.monotonic()
    trainer.train()
    seconds = time.monotonic() - started
    trainer.model.save_pretrained(str(folder), save_embedding_layers=False)
    return seconds


def main() -> int:
    """Run and print."""
    settings: Settings = json.load(sys.stdin)
    model.quiet_libraries()
    base, recipe, sequences, held_out = data(settings)
    before = matmul_gflops()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if settings["engine"] == "homeroom":
            seconds = homeroom(base, recipe, course(settings)[2], folder)
        else:
            seconds = trl(base, recipe, sequences, folder, settings)
        peak, after = peak_memory_bytes(), matmul_gflops()
        loss = None
        if held_out:
            scores = TokenLoss(base, folder, threads=settings["threads"], dtype="float32").held_out(held_out)
            loss = sum(s.nll for s in scores) / sum(s.tokens for s in scores)
    tokens = sum(s.input_length for s in sequences)
    record = {
        "tokens": tokens,
        "label_tokens": sum(s.labels for s in sequences),
        "seconds": round(seconds, 2),
        "tokens_per_s": round(tokens / seconds, 1),
        "peak_memory_gb": round(peak / 1e9, 3),
        "held_out_loss": loss,
        "compute": device.choose(recipe).name if settings["engine"] == "homeroom" else settings["dtype"],
        "matmul_gflops": {"before": before, "after": after},
    }
    print(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
