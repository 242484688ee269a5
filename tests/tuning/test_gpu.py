"""What is different on a GPU: packed sequences, attention for variable lengths, the fused optimiser, and a whole run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.models import BaseFiles
from homeroom.tuning.huggingface import attention, device, loss, model
from homeroom.tuning.huggingface.encode import encode_examples
from homeroom.tuning.huggingface.tuner import HuggingFaceTuner
from homeroom.tuning.recipe import Lora
from tests.tuning.conftest import DATA, TRAIN, Recorder, recipe_of

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
