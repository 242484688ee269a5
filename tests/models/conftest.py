"""The tiny model, its engine, and random adapters for it: made once for all tests of this folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from homeroom.models import prepared, pull, tiny
from homeroom.models.engine import EngineManager
from homeroom.models.engine_info import AdapterFile
from homeroom.models.folder import read_tensors
from homeroom.models.lora_gguf import IDENTITY_KEY, adapter_to_gguf
from homeroom.runtime import spawn
from homeroom.schema.models import BaseFiles

REAL = "smollm2-135m-instruct"
LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.fixture(scope="session")
def tiny_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def tiny_base(tiny_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> BaseFiles:
    return prepared.prepare_folder(tiny.build(tmp_path_factory.mktemp("tiny")), tiny.NAME, tiny_cache)


@pytest.fixture(scope="session")
def real_base() -> BaseFiles:
    """The embedded model, for tests marked slow."""
    cache = Path(os.environ.get("HOMEROOM_TEST_CACHE") or Path.home() / ".cache" / "homeroom")
    return pull.require(REAL, cache)


def random_adapter(base: BaseFiles, folder: Path, *, seed: int, rank: int = 4, alpha: float = 8.0, strength: float = 0.3) -> Path:
    """A PEFT folder whose LoRA on all linear layers is random, so that it changes what the base says."""
    random = np.random.default_rng(seed)
    tensors = {}
    for tensor in read_tensors(base.weights):
        if tensor.name.split(".")[-2] in LAYERS:
            rows, columns = tensor.shape
            stem = f"base_model.model.{tensor.name.removesuffix('.weight')}"
            tensors[f"{stem}.lora_A.weight"] = random.normal(0, 1 / columns**0.5, (rank, columns)).astype(np.float32)
            tensors[f"{stem}.lora_B.weight"] = random.normal(0, strength / rank**0.5, (rows, rank)).astype(np.float32)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt", IDENTITY_KEY: base.identity})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(LAYERS),
        "base_model_name_or_path": base.name,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def adapters(tiny_base: BaseFiles, tmp_path_factory: pytest.TempPathFactory) -> list[AdapterFile]:
    """Two random adapters of the tiny model, as GGUF."""
    root = tmp_path_factory.mktemp("adapters")
    made = []
    for seed, name in enumerate(("ft:tiny:homeroom:red:00000001", "ft:tiny:homeroom:blue:00000002"), start=1):
        folder = random_adapter(tiny_base, root / str(seed), seed=seed)
        made.append(AdapterFile(name, adapter_to_gguf(folder, tiny_base, root / f"{seed}.gguf"), tiny_base.identity))
    return made


@pytest.fixture(scope="session")
def engine(
    tiny_base: BaseFiles, adapters: list[AdapterFile], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EngineManager]:
    """A running engine of the tiny model with both adapters."""
    manager = EngineManager(
        tiny_base, home=tmp_path_factory.mktemp("home"), spawn=spawn, slots=4, context=512, threads=1, adapters=lambda: adapters
    )
    yield manager
    manager.stop()
