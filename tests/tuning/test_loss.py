"""The loss and its gradient, against the plain computation over all logits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.models import BaseFiles
from homeroom.tuning.huggingface import decoder, device, loss, model
from homeroom.tuning.huggingface.encode import TokenSequence, encode_examples
from homeroom.tuning.recipe import Lora
from tests.tuning.conftest import TRAIN, recipe_of

COMPUTE = device.choose(recipe_of())


@pytest.fixture(scope="module")
def sequences(tokenizer: ChatTokenizer) -> tuple[TokenSequence, ...]:
    return encode_examples(TRAIN, recipe_of(), tokenizer).sequences


@pytest.fixture
def lora(base: BaseFiles) -> Iterator[model.LoraModel]:
    with device.computing(COMPUTE, seed=3):
        made = model.attach_lora(model.load_base(base, COMPUTE), Lora(rank=4, alpha=8), base, COMPUTE)
        with torch.no_grad():
            for name, weight in made.trainable().items():  # B starts at zero, which would hide mistakes
                weight.copy_(torch.randn_like(weight) * (0.05 if "lora_B" in name else 0.2))
        yield made


def batch_of(sequences: Sequence[TokenSequence]) -> loss.Batch:
    return loss.collate(sequences, torch.device("cpu"))


def gradients(lora: model.LoraModel) -> dict[str, torch.Tensor]:
    found = {name: weight.grad.clone() for name, weight in lora.trainable().items()}
    lora.peft.zero_grad(set_to_none=True)
    return found


def naive_loss(lora: model.LoraModel, sequences: Sequence[TokenSequence]) -> torch.Tensor:
    """One sequence at a time, all logits, no tricks."""
    sums = []
    for sequence in sequences:
        ids, mask = torch.tensor([sequence.ids]), torch.tensor(sequence.mask[1:]).bool()
        logits = lora.peft(input_ids=ids).logits[0, :-1]
        sums.append(functional.cross_entropy(logits[mask], ids[0, 1:][mask], reduction="sum"))
    return torch.stack(sums).sum() / sum(s.labels for s in sequences)


def assert_close(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, gradient in left.items():
        torch.testing.assert_close(gradient, right[name], rtol=2e-4, atol=2e-6, msg=lambda text, name=name: f"{name}: {text}")


def test_loss_and_gradient_equal_the_naive_ones_in_a_padded_batch(
    lora: model.LoraModel, sequences: Sequence[TokenSequence]
) -> None:
    assert len({s.input_length for s in sequences}) > 1  # there is padding
    naive = naive_loss(lora, sequences)
    naive.backward()
    expected = gradients(lora)
    totals = loss.backward(lora, batch_of(sequences), sum(s.labels for s in sequences))
    assert totals.loss == pytest.approx(naive.item(), rel=1e-5)
    assert totals.labels == sum(s.labels for s in sequences)
    assert totals.tokens == sum(s.input_length for s in sequences)
    assert_close(gradients(lora), expected)


def test_accumulated_micro_batches_equal_one_big_batch(lora: model.LoraModel, sequences: Sequence[TokenSequence]) -> None:
    labels = sum(s.labels for s in sequences)
    whole = loss.backward(lora, batch_of(sequences), labels)
    expected = gradients(lora)
    parts = [loss.backward(lora, batch_of(part), labels) for part in (sequences[:1], sequences[1:4], sequences[4:])]
    assert sum(part.nll for part in parts) == pytest.approx(whole.nll, rel=1e-6)
    assert_close(gradients(lora), expected)


def test_our_layers_compute_what_the_libraries_layers_compute(lora: model.LoraModel, sequences: Sequence[TokenSequence]) -> None:
    assert isinstance(lora.decoder, decoder.Decoder)
    ours = loss.backward(lora, batch_of(sequences), 10)
    our_gradients = gradients(lora)
    library = replace(lora, decoder=decoder.LibraryDecoder(lora.peft.get_base_model().get_decoder()))
    theirs = loss.backward(library, batch_of(sequences), 10)
    assert ours.nll == pytest.approx(theirs.nll, rel=1e-5)
    assert_close(our_gradients, gradients(lora))


def test_packed_sequences_do_not_see_each_other(lora: model.LoraModel, sequences: Sequence[TokenSequence]) -> None:
    padded, packed = (loss.collate(sequences, torch.device("cpu"), packed=way) for way in (False, True))
    assert packed.inputs.shape == (1, packed.tokens)
    assert padded.inputs.numel() > padded.tokens == packed.tokens
    whole = loss.backward(lora, padded, 10)
    expected = gradients(lora)
    found = loss.backward(lora, packed, 10)
    assert (found.labels, found.correct, found.tokens) == (whole.labels, whole.correct, whole.tokens)
    assert found.nll == pytest.approx(whole.nll, rel=1e-6)
    assert_close(gradients(lora), expected)


def test_chunks_of_the_head_change_nothing(
    lora: model.LoraModel, sequences: Sequence[TokenSequence], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = loss.backward(lora, batch_of(sequences), 10)
    expected = gradients(lora)
    monkeypatch.setattr(loss, "HEAD_CHUNK", 7)
    assert loss.backward(lora, batch_of(sequences), 10).nll == pytest.approx(whole.nll, rel=1e-6)
    assert_close(gradients(lora), expected)


def test_measured_losses_are_per_label_and_in_order(lora: model.LoraModel, sequences: Sequence[TokenSequence]) -> None:
    batch = batch_of(sequences)
    nll, totals = loss.measure(lora, batch)
    at = 0
    for sequence, count in zip(sequences, batch.counts, strict=True):
        alone = loss.measure(lora, batch_of([sequence]))[0]
        torch.testing.assert_close(nll[at : at + count], alone, rtol=1e-5, atol=1e-6)
        at += count
    assert at == totals.labels == len(nll)
    assert 0 <= totals.accuracy <= 1


def test_only_lora_weights_get_gradients_and_they_are_float32(base: BaseFiles, sequences: Sequence[TokenSequence]) -> None:
    compute = device.choose(recipe_of(dtype="bfloat16"))
    with device.computing(compute, seed=0):
        lora = model.attach_lora(model.load_base(base, compute), Lora(rank=2, last_layers=1), base, compute)
        loss.backward(lora, batch_of(sequences), 10)
    assert {p.dtype for p in lora.trainable().values()} == {torch.float32}
    assert {name.split(".layers.")[1][0] for name in lora.trainable()} == {"1"}
    frozen = [p for p in lora.peft.parameters() if not p.requires_grad]
    assert {p.dtype for p in frozen} == {torch.bfloat16}
    assert all(p.grad is None for p in frozen)
    assert any(float(p.grad.abs().sum()) > 0 for p in lora.trainable().values())
