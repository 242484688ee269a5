"""Which number format the engine's weights should have: how near each is to float32, how fast, how large.

Nearness: greedy answers to held-out prompts of the course, compared with those of torch on the float32 weights; and along
each engine's answer its next-token distribution compared with torch's (top 200 tokens, the rest as one). Twice: for the weights
as they are (the published file is Q4_1, so that Q4_1 loses nothing), and for weights off that grid (each moved at random within
its rounding step), which is what an unquantised source would have.

Speed: all engines side by side, asked in turns.

    python chat_quantisation.py [--part as-is|off-grid|speed] [--kinds q8_0 q4_0]
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import engine_bench as bench
import machine

from homeroom.data.course import load_course
from homeroom.data.split import assign
from homeroom.models.engine_chat import loopback_client
from homeroom.models.engine_info import EngineInfo
from homeroom.models.gguf_write import QUANTISATIONS
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.models import BaseFiles

PROMPTS, TOKENS, SHOWN = 16, 24, 200
ROUNDS = 5
PARTS = ("as-is", "off-grid", "speed")


def prompts(base: BaseFiles) -> list[list[int]]:
    """Held-out prompts of both tasks, none long."""
    tokenizer = ChatTokenizer(base.weights)
    examples = load_course()
    placed = assign(examples)
    found = [tokenizer.prompt_ids(item.prompt) for e in examples if placed[e.id] == "test" for item in e.items()]
    short = sorted((ids for ids in found if len(ids) <= 220), key=lambda ids: hash(tuple(ids)))
    return short[:: max(1, len(short) // PROMPTS)][:PROMPTS]


def off_grid(base: BaseFiles, folder: Path) -> Path:
    """A copy of the weights, each matrix entry moved at random within half a step of its block of 32."""
    import numpy as np
    from safetensors.numpy import save_file

    from homeroom.models.folder import read_tensors

    noise = np.random.default_rng(7)
    shutil.copytree(base.weights, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    tensors = {}
    for tensor in read_tensors(base.weights):
        values = tensor.load()
        if len(tensor.shape) == 2 and tensor.shape[-1] % 32 == 0:
            blocks = values.reshape(-1, 32)
            step = (blocks.max(1, keepdims=True) - blocks.min(1, keepdims=True)) / 15
            values = (blocks + step * noise.uniform(-0.5, 0.5, blocks.shape)).astype(np.float32).reshape(tensor.shape)
        tensors[tensor.name] = np.ascontiguousarray(values)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


class Reference:
    """torch in float32."""

    def __init__(self, weights: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self._torch = torch
        torch.set_num_threads(2)
        self._model = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32).eval()

    def answer(self, prompt: list[int]) -> list[int]:
        """The greedy answer."""
        ids = self._torch.tensor([prompt])
        out = self._model.generate(
            input_ids=ids, attention_mask=self._torch.ones_like(ids), max_new_tokens=TOKENS, do_sample=False, pad_token_id=0
        )
        return [int(token) for token in out[0, len(prompt) :]]

    def rows(self, prompt: list[int], answer: list[int]) -> Any:
        """Log-probabilities before each token of ``answer``: (tokens, vocabulary)."""
        with self._torch.no_grad():
            logits = self._model(input_ids=self._torch.tensor([[*prompt, *answer]])).logits[0]
        return logits[len(prompt) - 1 : len(prompt) + len(answer) - 1].log_softmax(-1).numpy()


def divergence(row: Any, tops: dict[int, float]) -> float:
    """KL of the reference from the engine in nats; what is not among the engine's top tokens counts as one."""
    ids = list(tops)
    ours, theirs = [math.exp(tops[i]) for i in ids], [math.exp(float(row[i])) for i in ids]
    pairs = [*zip(theirs, ours, strict=True), (max(1e-9, 1 - sum(theirs)), max(1e-9, 1 - sum(ours)))]
    return max(0.0, sum(p * math.log(p / q) for p, q in pairs if p > 0 and q > 0))


def nearness(info: EngineInfo, reference: Reference, asked: list[list[int]], expected: list[list[int]]) -> dict[str, Any]:
    """How near one engine is to the reference."""
    same, until, kl, top1 = [], [], [], []
    with loopback_client() as client:
        client.timeout = 300
        for prompt, theirs in zip(asked, expected, strict=True):
            told = bench.complete(info, client, prompt, TOKENS, n_probs=SHOWN)
            ours = told["tokens"]
            same.append(ours == theirs)
            until.append(next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), len(theirs)))
            rows = iter(zip(ours, reference.rows(prompt, ours), strict=True))
            for step in told["completion_probabilities"]:  # parts of characters are left out by the engine
                row = next((row for token, row in rows if token == step["id"]), None)
                if row is None:
                    break
                tops = {top["id"]: top["logprob"] for top in step["top_logprobs"]}
                kl.append(divergence(row, tops))
                top1.append(int(row.argmax()) == max(tops, key=lambda token: tops[token]))
    kl.sort()
    return {
        "answers": len(same),
        "same_answers": sum(same),
        "tokens_until_they_part": round(sum(until) / len(until), 1),
        "positions": len(kl),
        "top1_agreement": round(sum(top1) / len(top1), 4),
        "kl_mean": round(sum(kl) / len(kl), 6),
        "kl_p95": round(kl[int(0.95 * len(kl))], 6),
    }


def quality(base: BaseFiles, kinds: list[str], source: str, folder: Path) -> dict[str, Any]:
    weights = off_grid(base, folder / "off-grid") if source == "off-grid" else base.weights
    reference, asked = Reference(weights), prompts(base)
    expected = [reference.answer(prompt) for prompt in asked]
    found = {}
    for kind in kinds:
        served = bench.in_format(base, kind, folder / source, weights)
        with bench.engine(served, threads=2) as manager:
            info = manager.ensure()
            found[kind] = {**nearness(info, reference, asked, expected), "file_bytes": served.gguf.stat().st_size}
            found[kind].update({f"memory_{k}_bytes": v for k, v in bench.memory_bytes(info.pid).items()})
        print(source, kind, json.dumps(found[kind]), flush=True)
    return found


def speed(base: BaseFiles, kinds: list[str], folder: Path) -> dict[str, Any]:
    """Prompt and decode speed, in turns; the second number of each pair is the ratio to q8_0 of the same round."""
    text = prompts(base)
    long = (text[0] * 3)[:256]
    raw: dict[str, dict[str, list[float]]] = {
        kind: {"prompt_tokens_s": [], "decode_1_tokens_s": [], "decode_4_tokens_s": []} for kind in kinds
    }
    before = machine.matmul_gflops()
    with ExitStack() as stack:
        client = stack.enter_context(loopback_client())
        client.timeout = 120
        infos = {
            kind: stack.enter_context(bench.engine(bench.in_format(base, kind, folder / "as-is"), context=512)).ensure()
            for kind in kinds
        }
        for round_ in range(ROUNDS + 1):
            for kind in random.Random(round_).sample(kinds, len(kinds)):
                timings = bench.complete(infos[kind], client, long, 48, ignore_eos=True)["timings"]
                four = bench.together(infos[kind], client, [text[1][-16:]] * 4, 32)
                if round_:  # the first warms up
                    raw[kind]["prompt_tokens_s"].append(timings["prompt_per_second"])
                    raw[kind]["decode_1_tokens_s"].append(timings["predicted_per_second"])
                    raw[kind]["decode_4_tokens_s"].append(four)
    control = raw.get("q8_0", raw[kinds[0]])
    found: dict[str, Any] = {
        kind: {
            **{name: bench.spread(values, 1) for name, values in rows.items()},
            **{f"{n}_vs_q8_0": bench.spread([v / c for v, c in zip(vs, control[n], strict=True)], 2) for n, vs in rows.items()},
        }
        for kind, rows in raw.items()
    }
    return {"formats": found, "matmul_gflops": [before, machine.matmul_gflops()], "threads": 1, "rounds": ROUNDS}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--kinds", nargs="+", choices=QUANTISATIONS, default=list(QUANTISATIONS))
    options = parser.parse_args()
    path = bench.RESULTS / "chat_quantisation.json"
    record: dict[str, Any] = json.loads(path.read_text()) if path.exists() and options.part else {}
    record |= {"model": bench.NAME, "machine": machine.facts(), "prompts": PROMPTS, "tokens": TOKENS}
    with tempfile.TemporaryDirectory() as temporary:
        base, folder = bench.real_base(), Path(temporary)
        for part in options.part or PARTS:
            if part == "speed":
                record["speed"] = speed(base, options.kinds, folder)
            else:
                record[part] = {**record.get(part, {}), **quality(base, options.kinds, part, folder)}
            bench.save("chat_quantisation", record)
    print(json.dumps(record.get("speed", {}), indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
