"""Tuning on one GPU: our loop against TRL's ``SFTTrainer`` on models of 0.1 to 8 billion random weights.

    python benchmarks/gpu_tuning.py                     all shapes, under ten minutes
    python benchmarks/gpu_tuning.py --shapes 0.1B 0.5B  some
    python benchmarks/gpu_tuning.py --variants 1.5B     ours alone, one way to train after another: what each costs and saves
    python benchmarks/gpu_tuning.py --rehearse          a tiny shape on the processor: does the script work? No figures

Tokens/s, memory and loss; random weights do for speed and memory, and equal losses show that both sides compute the same. Needs
the extra `bench`. Ours is what a run on a GPU uses: bfloat16, packed sequences with attention for variable lengths, the head at
label tokens in chunks, fused AdamW. TRL: the fastest of `TRL_SETTINGS` that runs. Each run is a process of its own. Without a
GPU it says so and exits with 2. Writes benchmarks/results/gpu_tuning.json.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from machine import facts

RESULT = Path(__file__).parent / "results" / "gpu_tuning.json"
WHOLE_S = 420
"""Of all shapes: none is begun after it, so that all ends within ten minutes with the tests before."""
Record = dict[str, Any]  # JSON
# hidden, feed-forward, layers, heads, key-value heads, vocabulary; the first as SmolLM2, then as Qwen2.5, the last as Llama 3.1
SHAPES: dict[str, tuple[int, int, int, int, int, int]] = {
    "0.1B": (576, 1536, 30, 9, 3, 49_152),
    "0.5B": (896, 4864, 24, 14, 2, 151_936),
    "1.5B": (1536, 8960, 28, 12, 2, 151_936),
    "8B": (4096, 14_336, 32, 32, 8, 128_256),
}
TINY = (64, 128, 2, 4, 2, 512)
TRL_SETTINGS: tuple[Record, ...] = (
    {"attention": "flash_attention_2", "padding_free": True, "batch": 16},
    {"attention": "sdpa", "padding_free": False, "batch": 8},
    {"attention": "sdpa", "padding_free": False, "batch": 16},
)
VARIANTS: dict[str, Record] = {
    "plain": {},
    "recomputing": {"recompute": True},
    "8bit": {"quantise": "8bit"},
    "nf4": {"quantise": "nf4"},
    "nf4, recomputing": {"quantise": "nf4", "recompute": True},
}
STEP_EXAMPLES, RANK, RATE, SEED = 16, 16, 2e-4, 0


def sequences(count: int, vocabulary: int, longest: int) -> list[tuple[list[int], list[int]]]:
    """Token ids and loss marks shaped as dialogues: half of the tokens carry loss, lengths vary a lot."""
    rng = random.Random(SEED)
    found = []
    for _ in range(count):
        length = min(longest, max(16, int(rng.lognormvariate(5.8, 0.7))))
        ids = [rng.randrange(vocabulary) for _ in range(length)]
        found.append((ids, [0, *(int(t // 24 % 2 == 1) for t in range(1, length - 1)), 1]))
    return found


def random_model(shape: tuple[int, ...], device: torch.device, attention: str) -> Any:
    """A Llama of this shape on the device, bfloat16, frozen."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    hidden, feed_forward, layers, heads, kv_heads, vocabulary = shape
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=feed_forward,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        vocab_size=vocabulary,
        tie_word_embeddings=hidden < 2048,
        max_position_embeddings=8192,
    )
    torch.manual_seed(SEED)
    with device:
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation=attention)
    return model.requires_grad_(False)


def ours(settings: Record, device: torch.device) -> Record:
    """Our batches, loss and optimiser until the time is up."""
    from homeroom.schema.models import BaseFiles
    from homeroom.tuning.huggingface import model as models
    from homeroom.tuning.huggingface.device import Compute
    from homeroom.tuning.huggingface.encode import TokenSequence
    from homeroom.tuning.huggingface.loss import Totals, backward, collate
    from homeroom.tuning.huggingface.schedule import make_optimiser, optimiser_step
    from homeroom.tuning.recipe import Lora, Optimiser

    compute = Compute(device, torch.bfloat16, 0, **settings.get("variant", {}))
    base = BaseFiles("random", Path(), Path(), Path(), "0" * 64, 8192)
    host = torch.device("cpu") if compute.quantise != "none" else device  # layers are quantised on their way to the device
    lora = models.attach_lora(random_model(settings["shape"], host, "sdpa"), Lora(rank=RANK, alpha=2 * RANK), base, compute)
    lora.peft.train()
    recipe = Optimiser(learning_rate=RATE, weight_decay=0.0, clip_norm=1.0)
    optimiser = make_optimiser(lora, recipe)
    data = [TokenSequence(tuple(ids), tuple(mask)) for ids, mask in sequences(*settings["data"])]
    losses: list[float] = []

    def step(examples: list[TokenSequence]) -> int:
        labels, totals = sum(s.labels for s in examples), Totals()
        for part in within(examples, settings["batch_tokens"]):
            totals += backward(lora, collate(part, device, packed=True), labels)
        optimiser_step(optimiser, lora, RATE, recipe.clip_norm)
        losses.append(totals.loss)
        return totals.tokens

    return {**timed_steps(step, data, settings, device), "losses": losses}


def within(examples: list[Any], budget: int) -> Iterator[list[Any]]:
    """Parts of at most so many tokens."""
    part: list[Any] = []
    for example in examples:
        if part and sum(s.input_length for s in part) + example.input_length > budget:
            yield part
            part = []
        part.append(example)
    yield part


def timed_steps(step: Any, data: list[Any], settings: Record, device: torch.device) -> Record:
    """Three steps to warm up, then steps until the time is up; always the same examples in the same order."""
    groups = [data[i : i + STEP_EXAMPLES] for i in range(0, len(data), STEP_EXAMPLES)]
    for group in groups[:3]:
        step(group)
    wait(device, reset=True)
    tokens, done, started = 0, 0, time.perf_counter()
    while time.perf_counter() - started < settings["seconds"]:
        tokens += step(groups[done % len(groups)])
        done += 1
    peak = wait(device)
    seconds = time.perf_counter() - started
    return {"tokens_per_s": round(tokens / seconds), "steps": done, "peak_memory_gb": peak}


def wait(device: torch.device, *, reset: bool = False) -> float:
    """Until the device has nothing left to do. Its peak memory in GB, 0 on a processor."""
    if device.type != "cuda":
        return 0.0
    torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated() / 1e9
    if reset:
        torch.cuda.reset_peak_memory_stats()
    return round(peak, 2)


def trl(settings: Record, device: torch.device) -> Record:
    """TRL on the same examples in the same order."""
    from datasets import Dataset
    from datasets.table import InMemoryTable
    from peft import LoraConfig
    from transformers import PreTrainedTokenizerFast, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    marked = sequences(*settings["data"])
    rows = {
        "input_ids": [ids for ids, _ in marked],
        "labels": [[i if m else -100 for i, m in zip(ids, mask, strict=True)] for ids, mask in marked],
    }

    class Watch(TrainerCallback):  # type: ignore[misc]
        """Starts the clock after three steps and stops the run when the time is up."""

        started, losses, steps = 0.0, [], 0

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 3:
                wait(device, reset=True)
                self.started = time.perf_counter()
            self.steps = state.global_step - 3
            if self.started and time.perf_counter() - self.started > settings["seconds"]:
                self.peak, self.seconds = wait(device), time.perf_counter() - self.started
                control.should_training_stop = True

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if "loss" in (logs or {}):
                self.losses = [*self.losses, float(logs["loss"])]

    watch = Watch()
    batch = settings["batch"]
    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder,
            use_cpu=device.type == "cpu",
            bf16=True,
            gradient_checkpointing=False,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=STEP_EXAMPLES // batch,
            train_sampling_strategy="sequential",
            padding_free=settings["padding_free"],
            dataset_kwargs={"skip_prepare_dataset": True},
            max_length=None,
            max_steps=100_000,
            learning_rate=RATE,
            lr_scheduler_type="constant",
            adam_beta2=0.95,
            optim="adamw_torch_fused" if device.type == "cuda" else "adamw_torch",
            save_strategy="no",
            report_to="none",
            logging_steps=1,
            disable_tqdm=True,
        )
        trainer = SFTTrainer(
            model=random_model(settings["shape"], device, settings["attention"]),
            args=config,
            train_dataset=Dataset(InMemoryTable.from_pydict(rows), fingerprint="random"),
            processing_class=PreTrainedTokenizerFast(tokenizer_object=_tokenizer(), pad_token="a", eos_token="a"),
            peft_config=LoraConfig(
                r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM", lora_dropout=0.0
            ),
            callbacks=[watch],
        )
        trainer.train()
    groups = [marked[i : i + STEP_EXAMPLES] for i in range(0, len(marked), STEP_EXAMPLES)]
    tokens = sum(len(ids) - 1 for step in range(3, 3 + watch.steps) for ids, _ in groups[step % len(groups)])
    return {
        "tokens_per_s": round(tokens / watch.seconds),
        "steps": watch.steps,
        "peak_memory_gb": watch.peak,
        "losses": watch.losses,
    }


def _tokenizer() -> Any:
    """As small as a tokenizer can be: the data are token ids already."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    return Tokenizer(WordLevel({"a": 0}, unk_token="a"))


def child(settings: Record) -> Record:
    """One run in a process of its own; memory that ran out is a result."""
    command = [sys.executable, __file__, "--child", json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        return {"error": lines[-1][:300]}
    found: Record = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def compare(name: str, shape: tuple[int, ...], options: argparse.Namespace, device: str) -> Record:
    """Both sides on one shape."""
    common = {"shape": shape, "device": device, "seconds": options.seconds, "data": (options.examples, shape[-1], 2048)}
    budget = 32_768 if shape[0] < 4096 else 8192
    tries = [{"attention": "sdpa", "padding_free": False, "batch": 4}] if device == "cpu" else TRL_SETTINGS
    own = child({**common, "side": "ours", "batch_tokens": budget})
    theirs = [{**setting, **child({**common, "side": "trl", **setting})} for setting in tries]
    fastest = max((row for row in theirs if "tokens_per_s" in row), key=lambda row: row["tokens_per_s"], default=None)
    row: Record = {"ours": own, "trl": theirs}
    if fastest and "tokens_per_s" in own:
        row["speed_ratio"] = round(own["tokens_per_s"] / fastest["tokens_per_s"], 2)
        row["first_losses"] = {"ours": own["losses"][:3], "trl": fastest["losses"][:3]}
    print(f"{name}: {json.dumps(row)[:600]}", flush=True)
    return row


def variants(name: str, options: argparse.Namespace) -> Record:
    """Our ways to train one shape, with the same examples in the same order."""
    shape = SHAPES[name]
    common = {"shape": shape, "device": "cuda", "seconds": options.seconds, "data": (options.examples, shape[-1], 2048)}
    rows: Record = {}
    for variant, settings in VARIANTS.items():
        found = child({**common, "side": "ours", "batch_tokens": 8192, "variant": settings})
        rows[variant] = {**found, "losses": found.get("losses", [])[:3]}
        print(f"{name}, {variant}: {json.dumps(rows[variant])[:300]}", flush=True)
    return rows


def main() -> int:
    """All shapes; 2 without a GPU."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="+", choices=[*SHAPES], default=[*SHAPES])
    parser.add_argument("--variants", choices=[*SHAPES])
    parser.add_argument("--seconds", type=float, default=12, help="of training in each run")
    parser.add_argument("--examples", type=int, default=512)
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        settings = {**options.child, "shape": tuple(options.child["shape"])}
        run = ours if settings["side"] == "ours" else trl
        print(json.dumps(run(settings, torch.device(settings["device"]))))
        return 0
    if options.rehearse:
        options.seconds, options.examples = 2, 64
        row = compare("tiny", TINY, options, "cpu")
        print(table({"tiny": row}))
        return int("speed_ratio" not in row)
    if not torch.cuda.is_available():
        print("There is no CUDA device here, so nothing was measured. Try the script itself: --rehearse", file=sys.stderr)
        return 2
    record: Record = {"machine": facts(), "gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "shapes": {}}
    if options.variants:
        record["variants"] = {options.variants: variants(options.variants, options)}
        RESULT.with_name("gpu_variants.json").write_text(json.dumps(record, indent=2) + "\n")
        return 0
    begin = time.monotonic()
    for name in options.shapes:
        if time.monotonic() - begin > WHOLE_S:
            print(f"{name}: left out, {WHOLE_S} s are over", file=sys.stderr)
            continue
        record["shapes"][name] = compare(name, SHAPES[name], options, "cuda")
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(record, indent=2) + "\n")
    print(table(record["shapes"]))
    return int(any("speed_ratio" not in record["shapes"].get(name, {}) for name in options.shapes))


def table(shapes: Record) -> str:
    """A line for each side of each shape: tokens a second, memory, the first losses; or why there is none."""
    lines = [f"{'shape':8} {'side':48} {'tokens/s':>9} {'GB':>6}  first losses"]
    for name, row in shapes.items():
        for side, one in (("ours", row["ours"]), *((f"TRL {_setting(one)}", one) for one in row["trl"])):
            if "tokens_per_s" in one:
                losses = ", ".join(f"{loss:.3f}" for loss in one["losses"][:3])
                lines.append(f"{name:8} {side:48} {one['tokens_per_s']:9,} {one['peak_memory_gb']:6.1f}  {losses}")
            else:
                lines.append(f"{name:8} {side:48} {one['error'][:90]}")
        if "speed_ratio" in row:
            lines.append(f"{name:8} ours to TRL's fastest: {row['speed_ratio']:.2f}")
    return "\n".join(lines)


def _setting(one: Record) -> str:
    return ", ".join(f"{key} {one[key]}" for key in ("attention", "padding_free", "batch") if key in one)


if __name__ == "__main__":
    sys.exit(main())
