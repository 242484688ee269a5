"""One base in memory for several runs: read once, and each run is the same as with a base of its own."""

from __future__ import annotations

from collections.abc import Callable

import torch

from homeroom.schema.models import BaseFiles
from homeroom.storage.artifacts import ArtifactStore
from homeroom.tuning.huggingface import device
from homeroom.tuning.huggingface.shared import SharedBase
from homeroom.tuning.huggingface.tuner import HuggingFaceTuner
from tests.tuning.conftest import DATA, Recorder, recipe_of

Make = Callable[..., HuggingFaceTuner]
RECIPES = (
    recipe_of(epochs=1),
    recipe_of(epochs=1, lora={"rank": 4, "alpha": 8}, optimiser={"learning_rate": 0.003}),
    recipe_of(epochs=1, lora={"last_layers": 1, "target_modules": ["q_proj", "down_proj"]}),
    recipe_of(epochs=1),
)


def test_runs_that_share_a_base_end_as_if_each_had_its_own(tuner: Make, store: ArtifactStore) -> None:
    shared = SharedBase()
    together = [tuner(f"t{i}", load_base=shared).run(DATA, recipe, Recorder()) for i, recipe in enumerate(RECIPES)]
    alone = [tuner(f"a{i}").run(DATA, recipe, Recorder()) for i, recipe in enumerate(RECIPES)]
    weights = [[(store.path(m.artifact) / "adapter_model.safetensors").read_bytes() for m in ms] for ms in (together, alone)]
    assert weights[0] == weights[1]
    assert weights[0][0] == weights[0][3] != weights[0][1]
    assert shared.loads == 1


def test_a_base_is_read_anew_for_another_number_type_and_keeps_no_lora(base: BaseFiles) -> None:
    shared = SharedBase()
    compute = device.choose(recipe_of())
    first = shared(base, compute)
    assert shared(base, compute) is first
    other = shared(base, device.Compute(compute.device, torch.bfloat16, 1))
    assert (shared.loads, other.dtype) == (2, torch.bfloat16)
    assert not any("lora" in name for name, _ in other.named_parameters())
