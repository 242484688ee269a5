"""What is different on a GPU: packed sequences, attention for variable lengths, the fused optimiser, weights in fewer bits, runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from homeroom.models.tokenizer import ChatTokenizer
from homeroom.runtime.hardware import hardware
from homeroom.schema.models import BaseFiles
from homeroom.schema.tuning import TrainingData
from homeroom.tuning.huggingface import attention, device, loss, model
from homeroom.tuning.huggingface.encode import encode_examples
from homeroom.tuning.huggingface.needs import Shape, free_bytes, with_batch_tokens
from homeroom.tuning.huggingface.quantised import store_for
from homeroom.tuning.huggingface.tuner import HuggingFaceTuner
from homeroom.tuning.recipe import Lora
from tests.tuning.conftest import DATA, TRAIN, Recorder, recipe_of
from tests.tuning.test_dpo import HELD_OUT, PAIRS, dpo_recipe

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("kv_heads", [1, 4])
def test_variable_length_attention_equals_sequence_by_sequence(kv_heads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda")
    packed = attention.Packed.of((5, 1, 17), cuda)
    made = [torch.randn(1, 23, heads, 64, device=cuda, dtype=torch.bfloat16) for heads in (4, kv_heads, kv_heads)]
    found = []
    for varlen in (True, False):
        if not varlen:
            monkeypatch.setattr(attention, "_varlen", lambda: None)
        leaves = [x.clone().requires_grad_() for x in made]
        out = attention.packed_attention(*leaves, packed)
        out.float().square().sum().backward()
        found.append([out, *(x.grad for x in leaves)])
    torch.testing.assert_close(found[0], found[1], rtol=2e-2, atol=2e-2)


def test_loss_and_gradients_are_those_of_the_processor(base: BaseFiles, tokenizer: ChatTokenizer) -> None:
    sequences = encode_examples(TRAIN, recipe_of(), tokenizer).sequences
    found = []
    for where in ("cpu", "cuda"):
        compute = replace(device.choose(recipe_of(device="cpu")), device=torch.device(where))
        with device.computing(replace(compute, device=torch.device("cpu")), seed=3):
            lora = model.attach_lora(model.load_base(base, compute), Lora(rank=4), base, compute)
            torch.manual_seed(4)
            lora.set_weights({name: torch.randn(weight.shape) * 0.1 for name, weight in lora.trainable().items()})
        batch = loss.collate(sequences, compute.device)
        assert (batch.packed is not None) == (where == "cuda")
        totals = loss.backward(lora, batch, 10)
        found.append((totals.nll, [weight.grad.cpu() for weight in lora.trainable().values()]))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-3)
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("last_layers", [None, 1])
def test_a_run_learns_and_resumes(tuner: Callable[..., HuggingFaceTuner], last_layers: int | None) -> None:
    from homeroom.schema.jobs import JobCancelled

    recipe = recipe_of(device="cuda", dtype="auto", epochs=8, lora={"last_layers": last_layers})
    with pytest.raises(JobCancelled):
        tuner().run(DATA, recipe, Recorder(stop_at=9))
    metrics = tuner().run(DATA, recipe, Recorder()).metrics
    assert metrics["valid_loss"] < metrics["base_valid_loss"]


@pytest.mark.parametrize("quantise", ["8bit", "nf4"])
def test_quantised_weights_compute_what_their_dense_form_computes(base: BaseFiles, quantise: str) -> None:
    pytest.importorskip("bitsandbytes")
    cuda = device.Compute(torch.device("cuda"), torch.bfloat16, 1)
    ids, found = torch.arange(5, 45, device="cuda")[None], []
    for kept in (quantise, "none"):
        with device.computing(cuda, seed=3):
            compute = replace(cuda, quantise=kept)
            frozen = model.load_base(base, compute)
            if kept == "none":  # what the quantised weights stand for, in their place
                for group in groups(frozen):
                    rows = dense(torch.cat([layer.weight for layer in group]), quantise)
                    for layer, part in zip(group, rows.split([len(layer.weight) for layer in group]), strict=True):
                        layer.weight.data = part
            lora = model.attach_lora(frozen, Lora(rank=4), base, compute)
            torch.manual_seed(4)
            lora.set_weights({name: torch.randn(weight.shape) * 0.1 for name, weight in lora.trainable().items()})
            states = lora.decoder(ids)
            torch.manual_seed(5)
            states.backward(torch.randn_like(states))
        found.append([states.detach(), *(weight.grad for weight in lora.trainable().values())])
    torch.testing.assert_close(found[0], found[1], rtol=2e-2, atol=2e-2)


def groups(frozen: Any) -> Iterator[list[Any]]:  # transformers' model
    """The layers that are quantised together."""
    for layer in frozen.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        yield [attention.q_proj, attention.k_proj, attention.v_proj]
        yield [attention.o_proj]
        yield [mlp.gate_proj, mlp.up_proj]
        yield [mlp.down_proj]


def dense(weight: torch.Tensor, quantise: str) -> torch.Tensor:
    store = store_for(quantise, torch.device("cuda"))
    assert store is not None
    return store(weight.detach()).dense()


@pytest.mark.parametrize(
    "changes",
    [
        {"quantise": "nf4"},
        {"quantise": "8bit", "gradient_checkpointing": True},
        {"batch_tokens": "auto"},
        {"weights": "full", "optimiser": {"learning_rate": 0.001}},
    ],
    ids=str,
)
def test_every_way_to_train_learns(tuner: Callable[..., HuggingFaceTuner], changes: dict[str, Any]) -> None:
    if "quantise" in changes:
        pytest.importorskip("bitsandbytes")
    recipe = recipe_of(**{"device": "cuda", "dtype": "auto", "epochs": 8, **changes})
    plan = tuner().plan(DATA, recipe)
    assert plan.gpu_memory_bytes > 0
    metrics = tuner().run(DATA, recipe, Recorder()).metrics
    assert metrics["valid_loss"] < metrics["base_valid_loss"]
    assert metrics["compute"].startswith("cuda")


def test_preferences_are_learnt(tuner: Callable[..., HuggingFaceTuner]) -> None:
    recipe = dpo_recipe(device="cuda", dtype="auto", epochs=12, optimiser={"learning_rate": 0.005})
    metrics = tuner().run(TrainingData("pairs", PAIRS, HELD_OUT), recipe, Recorder()).metrics
    assert metrics["valid_loss"] < 0.2 < metrics["base_valid_loss"]
    assert metrics["compute"].startswith("cuda")


def test_the_batch_follows_the_free_memory(base: BaseFiles) -> None:
    recipe = recipe_of(batch_tokens="auto", accumulation={"examples": 100_000}, device="cuda", dtype="auto")
    compute, shape = device.choose(recipe), Shape.of(base)
    free = free_bytes(compute, hardware())
    assert 0 < free <= torch.cuda.mem_get_info()[1]
    held = torch.empty(free // 2, dtype=torch.uint8, device="cuda")
    less = free_bytes(compute, hardware())
    assert less < free * 0.6
    del held
    sizes = [with_batch_tokens(recipe, shape, compute, room).batch_tokens for room in (less, free)]
    assert sizes[0] <= sizes[1]
