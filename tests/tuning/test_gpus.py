"""Planning for a GPU that is not here: what a run would need on it, which GPUs would do, and nothing about time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from homeroom.errors import ConfigError
from homeroom.schema.models import BaseFiles
from homeroom.schema.tuning import Plan
from homeroom.storage.artifacts import ArtifactStore
from homeroom.tuning.huggingface.device import Compute
from homeroom.tuning.huggingface.forecast import Past
from homeroom.tuning.huggingface.gpus import SIZES_GB, holds
from homeroom.tuning.huggingface.needs import Shape, advice, memory_bytes
from homeroom.tuning.huggingface.tuner import HuggingFaceTuner
from homeroom.tuning.recipe import Recipe
from tests.tuning.conftest import DATA, Recorder, recipe_of

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
Ask = Callable[..., Plan]
CUDA = Compute(torch.device("cuda"), torch.bfloat16, 1, absent_gpu_bytes=8 * 10**9)
LARGE = Shape(8_000_000_000, 1_000_000_000, 32, 4096, 14_336, 1024, 128_256, 32)
MACHINE = Any  # never looked at: the GPU's memory is what counts


@pytest.fixture(scope="module")
def eight_billion(base: BaseFiles, tmp_path_factory: pytest.TempPathFactory) -> BaseFiles:
    """A base of eight billion weights, of which only what a plan reads is there: sizes, headers and the tokenizer."""
    folder = tmp_path_factory.mktemp("large") / "weights"
    shutil.copytree(base.weights, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    config = json.loads((folder / "config.json").read_text())
    sizes = {"num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14_336, "vocab_size": 128_256}
    heads = {"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128}
    (folder / "config.json").write_text(json.dumps({**config, **sizes, **heads}))
    shapes = {"model.embed_tokens.weight": [128_256, 4096], "lm_head.weight": [128_256, 4096]}
    for n in range(32):
        shapes[f"model.layers.{n}.attention"] = [2 * 4096 + 2 * 1024, 4096]
        shapes[f"model.layers.{n}.mlp"] = [3 * 14_336, 4096]
    header = json.dumps(
        {name: {"dtype": "BF16", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    ).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    return replace(base, name="eight-billion", weights=folder)


@pytest.fixture
def ask(eight_billion: BaseFiles, store: ArtifactStore, tmp_path: Path) -> Ask:
    """Plans for the large base; ``settings`` are the tuner's."""

    def plan(recipe: Recipe, gpu_gb: float | None, **settings: Any) -> Plan:
        given = {"calibrations": tmp_path / "calibration", **settings}
        made = HuggingFaceTuner(eight_billion, tmp_path / "run", store, **given)
        return made.plan(DATA, recipe, gpu_bytes=None if gpu_gb is None else round(gpu_gb * 1e9))

    return plan


def wide(**changes: Any) -> Recipe:
    return recipe_of(**{"dtype": "auto", "batch_tokens": 4096, "data": {"max_sequence_tokens": 1024}, **changes})


def answers(plan: Plan) -> dict[tuple[str, bool], dict[int, str]]:
    """Way of keeping weights and activations to size in GB to answer."""
    return {
        (row["quantise"], row["gradient_checkpointing"]): {fit["memory_bytes"] // 10**9: fit["holds"] for fit in row["fits_on"]}
        for row in plan.details["gpu"]["options"]
    }


def test_a_gpu_that_is_named_need_not_be_here(ask: Ask, tmp_path: Path) -> None:
    plan = ask(wide(quantise="nf4", gradient_checkpointing=True), 24)
    assert plan.fits is True and plan.advice == ()
    assert 4e9 < plan.gpu_memory_bytes < 24e9, "weights in 4 bits are 4 GB of it"
    assert plan.memory_bytes > 16e9, "the host reads them in 16 bits first"
    assert (plan.time_s, plan.time_low_s, plan.time_high_s) == (0, 0, 0)
    assert any("time is not forecast" in said for said in plan.warnings)
    assert plan.disk_bytes > 0 and plan.steps > 0 and plan.trained_tokens > 0
    assert not (tmp_path / "calibration").exists(), "nothing was measured"


def test_no_run_that_was_made_gives_a_time_for_it(ask: Ask) -> None:
    past = [Past(10.0, 12.0, overhead_s=3.0), Past(20.0, 22.0, overhead_s=3.0), Past(30.0, 31.0, overhead_s=3.0)]
    assert ask(wide(), 80, record=past).time_s == 0


@pytest.mark.parametrize("recipe", [wide(device="cuda"), wide(quantise="8bit")], ids=["cuda", "8bit"])
@without_gpu
def test_a_gpu_that_is_asked_for_and_not_named_is_planned_and_not_run(ask: Ask, recipe: Recipe) -> None:
    with pytest.raises(ConfigError) as caught:
        ask(recipe, None)
    assert caught.value.code == "no-gpu"
    plan = ask(recipe, 0)
    assert plan.gpu_memory_bytes > 8e9
    assert plan.fits is False
    assert plan.details["gpu"]["memory_bytes"] is plan.details["gpu"]["holds"] is None
    assert any("a run is refused" in said and "homeroom tune plan --recipe FILE --gpu 24GB" in said for said in plan.warnings)
    assert set(answers(plan)["none", False]) == set(SIZES_GB)


@without_gpu
def test_a_run_is_refused_and_names_the_plan(tuner: Callable[..., HuggingFaceTuner]) -> None:
    for changes in ({"device": "cuda"}, {"quantise": "nf4"}):
        with pytest.raises(ConfigError, match="homeroom tune plan --recipe FILE --gpu 24GB") as caught:
            tuner().run(DATA, recipe_of(**changes), Recorder())
        assert caught.value.code == "no-gpu"


def test_the_processor_and_bits_that_only_a_gpu_multiplies_contradict_each_other(ask: Ask) -> None:
    with pytest.raises(ConfigError, match="device: cpu") as caught:
        ask(wide(quantise="nf4", device="cpu"), 0)
    assert caught.value.code == "no-gpu"
    assert any("device: auto" in said for said in ask(wide(device="cpu"), 80).warnings)


@without_gpu
def test_a_recipe_that_asks_for_no_gpu_is_planned_for_this_machine(tuner: Callable[..., HuggingFaceTuner]) -> None:
    plan = tuner(tokens_per_s=100.0).plan(DATA, recipe_of(), gpu_bytes=0)
    assert plan.gpu_memory_bytes == 0 and plan.time_s > 0 and "gpu" not in plan.details


def test_the_table_answers_for_each_way_and_size(ask: Ask) -> None:
    plan = ask(wide(), 24)
    found = answers(plan)
    assert list(found) == [(form, again) for form in ("none", "8bit", "nf4") for again in (False, True)]
    assert {gb for row in found.values() for gb in row} == set(SIZES_GB)
    assert found["none", False] == {8: "no", 12: "no", 16: "no", 24: "no", 40: "tight", 80: "yes"}
    assert (found["none", True][16], found["none", True][24]) == ("no", "tight"), "the weights alone are 16 GB"
    assert (found["nf4", True][8], found["nf4", True][12], found["nf4", True][16]) == ("no", "tight", "yes")
    rows = plan.details["gpu"]["options"]
    for row in rows:
        where = replace(CUDA, quantise=row["quantise"])
        changed = wide().model_copy(update={k: row[k] for k in ("quantise", "gradient_checkpointing", "batch_tokens")})
        assert row["batch_tokens"] == 4096
        assert row["gpu_memory_bytes"] == pytest.approx(memory_bytes(LARGE, changed, where), rel=0.05)
    assert plan.gpu_memory_bytes == rows[0]["gpu_memory_bytes"] and plan.fits is False
    assert ask(wide(), 60).details["gpu"]["options"][0]["fits_on"][5] == {"memory_bytes": 60 * 10**9, "holds": "yes"}


def test_tight_leaves_less_than_a_fifth() -> None:
    assert [holds(80, n) for n in (79, 80, 99, 100, 101)] == ["no", "tight", "tight", "yes", "yes"]


def test_a_tight_fit_is_one_and_says_so(ask: Ask) -> None:
    plan = ask(wide(), 40)
    assert plan.fits is True
    assert plan.details["gpu"]["holds"] == "tight"
    assert any("tight fit" in said for said in plan.warnings)
    assert not any("tight fit" in said for said in ask(wide(), 80).warnings)


def test_auto_fills_what_the_named_gpu_has(ask: Ask) -> None:
    recipe = wide(batch_tokens="auto", quantise="nf4", accumulation={"tokens": 100_000})
    small, large = (ask(recipe, gb) for gb in (24, 40))
    for plan, gb in ((small, 24), (large, 40)):
        assert 0.78 * gb * 1e9 < plan.gpu_memory_bytes <= 0.8 * gb * 1e9
        assert plan.details["gpu"]["options"][0]["batch_tokens"] == 1024, "the table is of the smallest"
    assert small.details["gpu"]["auto_batch_tokens"] < large.details["gpu"]["auto_batch_tokens"]
    fixed = ask(recipe.model_copy(update={"batch_tokens": 2048}), 40)
    assert fixed.details["gpu"]["auto_batch_tokens"] == large.details["gpu"]["auto_batch_tokens"]
    assert ask(recipe, 4).details["gpu"]["auto_batch_tokens"] is None


def test_every_weight_is_never_quantised(ask: Ask) -> None:
    plan = ask(wide(weights="full"), 80)
    assert list(answers(plan)) == [("none", False), ("none", True)]
    assert plan.gpu_memory_bytes > 8e9 * 20
    assert any(said.startswith("weights: lora") for said in plan.advice)


def test_what_does_not_fit_is_told_what_would(ask: Ask) -> None:
    plan = ask(wide(), 16)
    assert plan.fits is False
    assert any("GPU memory are needed and the GPU has 16.0 GB" in said for said in plan.warnings)
    recipe = wide(batch_tokens=1024)
    told = [said.partition(": about")[0] for said in advice(LARGE, recipe, replace(CUDA, absent_gpu_bytes=20 * 10**9), MACHINE)]
    assert told[1:3] == ["quantise: 8bit", "quantise: nf4"]
    assert told[-1].startswith("a smaller base")


def test_two_changes_are_told_where_one_is_not_enough() -> None:
    told = advice(LARGE, wide(), replace(CUDA, absent_gpu_bytes=10 * 10**9), MACHINE)
    assert [said.partition(": about")[0] for said in told[:-1]] == ["quantise: nf4, gradient_checkpointing: true"]
    least = wide(data={"max_sequence_tokens": 1024}, batch_tokens=200_000)
    told = advice(LARGE, least, replace(CUDA, absent_gpu_bytes=10 * 10**9), MACHINE)
    assert [said.partition(": about")[0] for said in told[:-1]] == [
        "quantise: nf4, gradient_checkpointing: true, batch_tokens: 1024"
    ]
    for said in told[:-1]:
        assert float(said.rpartition("about ")[2].removesuffix(" GB")) <= 10


def test_what_only_a_processor_keeps_of_attention_is_not_counted_for_a_gpu() -> None:
    short, long = (wide(batch_tokens=2048, data={"max_sequence_tokens": n}) for n in (64, 512))
    assert memory_bytes(LARGE, short, CUDA) == memory_bytes(LARGE, long, CUDA)
    processor = Compute(torch.device("cpu"), torch.bfloat16, 1)
    assert memory_bytes(LARGE, short, processor) < memory_bytes(LARGE, long, processor)
