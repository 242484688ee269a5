"""What the benchmarks of the engine share: engines of a base in one number format, raw requests to them, and their memory."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from homeroom.models import pull
from homeroom.models.engine import EngineManager
from homeroom.models.engine_info import AdapterFile, EngineInfo
from homeroom.models.folder import read_tensors
from homeroom.models.gguf_write import folder_to_gguf
from homeroom.models.lora_gguf import adapter_to_gguf
from homeroom.runtime import spawn
from homeroom.schema.models import BaseFiles

RESULTS = Path(__file__).parent / "results"
NAME = "smollm2-135m-instruct"


def real_base() -> BaseFiles:
    """The embedded model, from the cache that the environment names."""
    cache = Path(os.environ.get("HOMEROOM_CACHE") or os.environ.get("HOMEROOM_TEST_CACHE") or Path.home() / ".cache/homeroom")
    return pull.require(NAME, cache)


def in_format(base: BaseFiles, kind: str, folder: Path, weights: Path | None = None) -> BaseFiles:
    """The base, served as ``kind`` from ``weights`` (its own when None); the file goes into ``folder``."""
    path = folder / f"{kind}.gguf"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        folder_to_gguf(weights or base.weights, path, name=base.name, quantisation=kind)
    return replace(base, gguf=path)


@contextmanager
def engine(
    base: BaseFiles, *, slots: int = 4, context: int = 2048, threads: int = 1, adapters: Sequence[AdapterFile] = ()
) -> Iterator[EngineManager]:
    """A running engine of one's own."""
    with tempfile.TemporaryDirectory() as home:
        manager = EngineManager(
            base, home=Path(home), spawn=spawn, slots=slots, context=context, threads=threads, adapters=lambda: adapters
        )
        try:
            manager.ensure()
            yield manager
        finally:
            manager.stop()


def random_adapter(base: BaseFiles, folder: Path, name: str, seed: int) -> AdapterFile:
    """An adapter of rank 16 on all linear layers, random and small, as a tuning run leaves it."""
    import numpy as np
    from safetensors.numpy import save_file

    random = np.random.default_rng(seed)
    tensors = {}
    for tensor in read_tensors(base.weights):
        if tensor.name.endswith("_proj.weight"):
            rows, columns = tensor.shape
            stem = f"base_model.model.{tensor.name.removesuffix('.weight')}"
            tensors[f"{stem}.lora_A.weight"] = random.normal(0, 1 / columns**0.5, (16, columns)).astype(np.float32)
            tensors[f"{stem}.lora_B.weight"] = random.normal(0, 0.02, (rows, 16)).astype(np.float32)
    peft = folder / f"peft-{seed}"
    peft.mkdir(parents=True)
    save_file(tensors, peft / "adapter_model.safetensors", metadata={"format": "pt"})
    record = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": 16,
        "lora_alpha": 16,
        "bias": "none",
        "target_modules": ["q_proj"],
    }
    (peft / "adapter_config.json").write_text(json.dumps(record))
    return AdapterFile(name, adapter_to_gguf(peft, base, folder / f"{seed}.gguf"), base.identity)


# JSON of the engine: Any.
def complete(info: EngineInfo, client: httpx.Client, prompt: Sequence[int], tokens: int, **more: Any) -> dict[str, Any]:
    """The engine's own completion of token ids, greedy."""
    lora = [{"id": index, "scale": 0.0} for index in info.adapters.values()]
    body = {
        "prompt": list(prompt),
        "n_predict": tokens,
        "temperature": 0,
        "cache_prompt": False,
        "lora": lora,
        "return_tokens": True,
    }
    headers = {"Authorization": f"Bearer {info.key}"}
    answer = client.post(f"{info.url}/completion", json={**body, **more}, headers=headers)
    answer.raise_for_status()
    record: dict[str, Any] = answer.json()
    return record


def together(info: EngineInfo, client: httpx.Client, prompts: Sequence[Sequence[int]], tokens: int) -> float:
    """Tokens a second of all prompts at once, each answered by exactly ``tokens``, prompts included in the time."""
    started = time.perf_counter()
    with ThreadPoolExecutor(len(prompts)) as pool:
        list(pool.map(lambda prompt: complete(info, client, prompt, tokens, ignore_eos=True), prompts))
    return len(prompts) * tokens / (time.perf_counter() - started)


def memory_bytes(pid: int) -> dict[str, int]:
    """PSS of a process: all of it, and what no file backs."""
    wanted = {"Pss:": "pss", "Pss_Anon:": "anonymous"}
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return {wanted[line.split()[0]]: 1024 * int(line.split()[1]) for line in lines if line.split()[0] in wanted}


def spread(values: Sequence[float], digits: int = 3) -> dict[str, Any]:
    """Median and range."""
    return {
        "median": round(statistics.median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
        "n": len(values),
    }


def save(name: str, record: dict[str, Any]) -> Path:
    """Write a result."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return path


def cache_of(base: BaseFiles) -> Path:
    """The cache that a base lies in."""
    return base.folder.parents[1]
