"""Ways to train: every weight in place of an adapter, weights in fewer bits, activations computed again, batches of the size that fits."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from homeroom.errors import ConfigError, ConflictError
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.runtime.hardware import Hardware
from homeroom.schema.jobs import JobCancelled
from homeroom.schema.models import BaseFiles
from homeroom.storage.artifacts import ArtifactStore
from homeroom.tuning.huggingface import decoder, device, loss, model
from homeroom.tuning.huggingface.arithmetic import frozen_linear
from homeroom.tuning.huggingface.encode import encode_examples
from homeroom.tuning.huggingface.needs import Shape, advice, memory_bytes, require_memory, with_batch_tokens
from homeroom.tuning.huggingface.tuner import HuggingFaceTuner
from homeroom.tuning.recipe import Lora
from homeroom.tuning.recipe_file import dump_recipe, load_recipes
from tests.tuning.conftest import DATA, TRAIN, Recorder, recipe_of

Make = Callable[..., HuggingFaceTuner]
CPU = device.Compute(torch.device("cpu"), torch.float32, 1)
CUDA = device.Compute(torch.device("cuda"), torch.bfloat16, 1)  # only counted with
MACHINE = Hardware(2, 8_000_000_000, 10**12, None, False, False, False, "Linux-x86_64", "3.11")
LARGE = Shape(8_000_000_000, 1_000_000_000, 32, 4096, 14_336, 1024, 128_256, 32)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"weights": "full", "quantise": "nf4"}, "quantise = 'nf4' is for weights = 'lora'"),
        ({"weights": "full", "objective": "dpo"}, "objective = 'dpo' is for weights = 'lora'"),
        ({"weights": "full", "dtype": "bfloat16"}, "must be auto or float32"),
        ({"quantise": "4bit"}, "one of 'none', '8bit', 'nf4'"),
        ({"batch_tokens": 64}, "at least data.max_sequence_tokens"),
        ({"batch_tokens": "much"}, "batch_tokens = 'much'"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        recipe_of(**changes)


def test_auto_is_written_and_read_as_auto(tmp_path) -> None:  # type: ignore[no-untyped-def]
    recipe = recipe_of(batch_tokens="auto", gradient_checkpointing=True, quantise="8bit")
    assert (recipe.batch_tokens, recipe.to_dict()["batch_tokens"]) == (0, "auto")
    (tmp_path / "r.yaml").write_text(dump_recipe(recipe))
    assert "batch_tokens: auto" in (tmp_path / "r.yaml").read_text()
    assert load_recipes(tmp_path / "r.yaml") == [recipe]


# --- gradient checkpointing


def gradients(base: BaseFiles, compute: device.Compute, tokenizer: ChatTokenizer, lora: Lora) -> tuple[float, list[Tensor]]:
    with device.computing(compute, seed=3):
        made = model.attach_lora(model.load_base(base, compute), lora, base, compute)
        torch.manual_seed(4)
        made.set_weights({name: torch.randn(weight.shape) * 0.1 for name, weight in made.trainable().items()})
        made.peft.train()
        batch = loss.collate(encode_examples(TRAIN, recipe_of(), tokenizer).sequences, compute.device)
        torch.manual_seed(5)
        totals = loss.backward(made, batch, 10)
    return totals.nll, [weight.grad for weight in made.trainable().values()]  # type: ignore[misc]


@pytest.mark.parametrize("lora", [Lora(rank=4), Lora(rank=4, last_layers=1), Lora(rank=4, dropout=0.3)], ids=str)
def test_computing_again_gives_the_same_gradients(base: BaseFiles, tokenizer: ChatTokenizer, lora: Lora) -> None:
    kept = gradients(base, CPU, tokenizer, lora)
    again = gradients(base, replace(CPU, recompute=True), tokenizer, lora)
    assert kept[0] == again[0]
    assert all(torch.equal(a, b) for a, b in zip(kept[1], again[1], strict=True))


def test_computing_again_keeps_only_what_goes_into_the_layers(base: BaseFiles) -> None:
    counts = []
    for recompute in (False, True):
        compute = replace(CPU, recompute=recompute)
        made = model.attach_lora(model.load_base(base, compute), Lora(rank=2), base, compute)
        saved: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, s=saved: s.append(x.numel()) or x, lambda x: x):  # type: ignore[misc]
            made.decoder(torch.arange(5, 205)[None])
        counts.append(sum(saved))
    assert counts[1] < counts[0] / 5


# --- weights in another form


@dataclass
class Halves:
    """Stored as the halves of the weight: exact, and counted."""

    half: Tensor
    made: int = 0

    def dense(self) -> Tensor:
        self.made += 1
        return self.half * 2


@pytest.mark.parametrize("lora", [Lora(rank=4), Lora(rank=4, target_modules=("k_proj", "down_proj"))], ids=["all", "some"])
def test_stored_weights_compute_what_they_stand_for(base: BaseFiles, lora: Lora, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = torch.arange(5, 45)[None]
    stores: list[Halves] = []

    def store(weight: Tensor) -> Halves:
        stores.append(Halves(weight / 2))
        return stores[-1]

    found = []
    for used in (None, store):
        torch.manual_seed(0)
        monkeypatch.setattr(model, "make_decoder", lambda m, c, u=used: decoder.Decoder(m.get_decoder(), u))
        made = model.attach_lora(model.load_base(base, CPU), lora, base, CPU)
        torch.manual_seed(1)
        made.set_weights({name: torch.randn(weight.shape) * 0.1 for name, weight in made.trainable().items()})
        states = made.decoder(ids)
        states.square().sum().backward()
        found.append([states, *(weight.grad for weight in made.trainable().values())])
    torch.testing.assert_close(found[0], found[1])
    assert len(stores) == 2 * 4  # two layers of four groups
    assert all(one.made == 2 for one in stores[1:])  # forward and back; the first group needs no gradient at its input
    left = sum(p.numel() for name, p in made.peft.named_parameters() if "proj" in name and "lora" not in name)
    assert left == 0  # nothing else holds the weights


def test_a_stored_layer_without_lora(base: BaseFiles) -> None:
    x, w, b = torch.randn(3, 5, 8, requires_grad=True), torch.randn(4, 8), torch.randn(4)
    found = frozen_linear(x, Halves(w / 2), b)
    torch.testing.assert_close(found, functional.linear(x, w, b))
    found.sum().backward()
    torch.testing.assert_close(x.grad, w.sum(0).expand(3, 5, 8))


def test_quantised_weights_need_a_gpu(tuner: Make) -> None:
    for changes in ({"quantise": "nf4"}, {"quantise": "8bit", "device": "cpu"}):
        with pytest.raises(ConfigError, match="quantise: none") as caught:
            tuner().run(DATA, recipe_of(**changes), Recorder())
        assert caught.value.code == "no-gpu"


def test_what_only_the_library_computes_is_not_quantised(base: BaseFiles) -> None:
    made = model.load_base(base, CPU)
    made.config.hidden_act = "gelu"
    with pytest.raises(ConfigError) as caught:
        model.make_decoder(made, replace(CPU, quantise="nf4"))
    assert caught.value.code == "quantise-unsupported"


def test_the_forecast_knows_what_saves_memory() -> None:
    recipe = recipe_of(batch_tokens=4096, data={"max_sequence_tokens": 1024})
    whole = memory_bytes(LARGE, recipe, CUDA)
    assert whole > 16e9
    assert memory_bytes(LARGE, recipe, replace(CUDA, quantise="8bit")) < whole - 6e9
    assert memory_bytes(LARGE, recipe, replace(CUDA, quantise="nf4")) < whole - 9e9
    again = memory_bytes(LARGE, recipe.model_copy(update={"gradient_checkpointing": True}), CUDA)
    assert 16e9 < again < whole - 5e9
    assert memory_bytes(LARGE, recipe.model_copy(update={"weights": "full"}), replace(CUDA, dtype=torch.float32)) > 8e9 * 20


# --- a batch of the size that fits


def test_auto_takes_what_fits_and_no_more_than_a_step() -> None:
    recipe = recipe_of(batch_tokens="auto", accumulation={"examples": 64}, data={"max_sequence_tokens": 512})
    for free in (40_000_000_000, 60_000_000_000):
        tokens = with_batch_tokens(recipe, LARGE, CUDA, free).batch_tokens
        assert 512 < tokens < 64 * 512
        needed = [memory_bytes(LARGE, recipe.model_copy(update={"batch_tokens": n}), CUDA) for n in (tokens, tokens + 64)]
        assert needed[0] <= free * 0.8 < needed[1]
    assert with_batch_tokens(recipe, LARGE, CUDA, 10**12).batch_tokens == 64 * 512
    assert with_batch_tokens(recipe, LARGE, CUDA, 1).batch_tokens == 512  # the longest example must fit; the run may halve it
    fixed = recipe_of(batch_tokens=1000)
    assert with_batch_tokens(fixed, LARGE, CUDA, 10**12) is fixed


def test_a_run_keeps_the_size_that_it_began_with(tuner: Make, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    from homeroom.tuning.huggingface import needs

    recipe = recipe_of(batch_tokens="auto", accumulation={"examples": 4})
    with pytest.raises(JobCancelled):
        tuner().run(DATA, recipe, Recorder(stop_at=5))
    begun = json.loads((tmp_path / "run" / "run.json").read_text())["batch_tokens"]
    assert begun == 4 * 256
    monkeypatch.setattr(needs, "free_bytes", lambda compute, machine: 1)
    assert (
        tuner(tokens_per_s=1e3).plan(DATA, recipe).steps
        == tuner("other", tokens_per_s=1e3).plan(DATA, recipe_of(batch_tokens=begun, accumulation={"examples": 4})).steps
    )
    resumed = tuner().run(DATA, recipe, Recorder())
    assert json.loads((tmp_path / "run" / "run.json").read_text())["batch_tokens"] == begun
    assert resumed.recipe["batch_tokens"] == "auto"


# --- every weight


def test_gradients_of_every_weight_are_those_of_pytorch(base: BaseFiles, tokenizer: ChatTokenizer) -> None:
    sequences = encode_examples(TRAIN, recipe_of(), tokenizer).sequences
    made = model.train_whole(model.load_base(base, CPU), base, CPU)
    batch = loss.collate(sequences, CPU.device, packed=made.packs)
    totals = loss.backward(made, batch, len(batch.labels))
    found = {name: weight.grad.clone() for name, weight in made.trainable().items()}  # type: ignore[union-attr]
    plain = model.load_base(base, CPU).requires_grad_(True)
    logits = plain(input_ids=batch.inputs).logits.flatten(0, 1)[batch.positions]
    wanted = functional.cross_entropy(logits, batch.labels)
    wanted.backward()
    assert totals.loss == pytest.approx(wanted.item(), rel=1e-5)
    assert found.keys() == dict(plain.named_parameters()).keys()
    for name, weight in plain.named_parameters():
        torch.testing.assert_close(found[name], weight.grad, rtol=1e-3, atol=1e-6)


FULL = recipe_of(weights="full", optimiser={"learning_rate": 1e-3}, epochs=3)


def test_a_run_on_every_weight_learns_and_leaves_a_model_of_its_own(tuner: Make, store: ArtifactStore, base: BaseFiles) -> None:
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    found = tuner().run(DATA, FULL, Recorder())
    assert (found.kind, found.method, found.base) == ("full", "huggingface", "tiny")
    assert found.metrics["valid_loss"] < found.metrics["base_valid_loss"]
    folder = store.path(found.artifact)
    assert {path.name for path in folder.iterdir()} == {
        *("weights", "model.gguf", "base.json", "README.md", "recipe.yaml", "history.csv"),
        *("preview.json", "preview.txt", "manifest.json"),
    }
    before, after = load_file(base.weights / "model.safetensors"), load_file(folder / "weights" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(not torch.equal(before[name], after[name]) for name in before)
    card = (folder / "README.md").read_text()
    assert "every weight" in card
    assert "LoRA" not in card
    compute = device.choose(FULL)
    with torch.no_grad():
        ids = torch.arange(5, 45)[None]
        whole = AutoModelForCausalLM.from_pretrained(folder / "weights", dtype=torch.float32)
        assert not torch.allclose(whole(ids).logits, model.load_base(base, compute)(ids).logits, atol=1e-2)


def test_a_run_on_every_weight_goes_on_bit_for_bit(tuner: Make, store: ArtifactStore) -> None:
    whole = tuner("a").run(DATA, FULL, Recorder())
    with pytest.raises(JobCancelled):
        tuner("b").run(DATA, FULL, Recorder(stop_at=9))
    resumed = tuner("b").run(DATA, FULL.model_copy(update={"gradient_checkpointing": True}), Recorder())
    weights = [(store.path(found.artifact) / "weights" / "model.safetensors").read_bytes() for found in (whole, resumed)]
    assert weights[0] == weights[1]
    with pytest.raises(ConflictError) as caught:
        tuner("b").run(DATA, FULL.model_copy(update={"weights": "lora"}), Recorder())
    assert caught.value.code == "resume-mismatch"


def test_a_run_that_an_older_version_began_goes_on(tuner: Make, tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(JobCancelled):
        tuner().run(DATA, recipe_of(), Recorder(stop_at=9))
    begun = json.loads((tmp_path / "run" / "run.json").read_text())
    assert not {"recipe.weights", "recipe.quantise", "recipe.gradient_checkpointing"} & begun["identity"].keys()


def test_a_model_that_is_too_large_for_it_is_refused_with_what_to_do() -> None:
    recipe = recipe_of(weights="full")
    with pytest.raises(ConfigError, match="weights: lora") as caught:
        require_memory(LARGE, recipe, CPU, MACHINE)
    assert caught.value.code == "full-too-large"
    require_memory(LARGE, recipe_of(), CPU, MACHINE)  # an adapter is tried: it can go on with less
    small = replace(
        LARGE, parameters=100_000_000, embedding=20_000_000, layers=4, hidden=512, intermediate=1536, vocabulary=32_000
    )
    require_memory(small, recipe, CPU, MACHINE)
    told = advice(small, recipe, CPU, replace(MACHINE, memory_bytes=1_500_000_000))
    assert told[0].startswith("weights: lora")


def test_the_plan_counts_every_weight(tuner: Make, base: BaseFiles) -> None:
    plan, adapter = tuner(tokens_per_s=1000.0).plan(DATA, FULL), tuner(tokens_per_s=1000.0).plan(DATA, recipe_of())
    assert plan.disk_bytes > 4 * adapter.disk_bytes - 10_000_000
    assert plan.disk_bytes > 14 * Shape.of(base).parameters * 4
