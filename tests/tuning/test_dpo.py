"""Preferences: the loss and its gradient against a plain reference implementation, and what training on them does."""

from __future__ import annotations

import pytest
import torch

from homeroom.errors import ConfigError, DataError
from homeroom.schema.examples import Example, Message
from homeroom.schema.jobs import JobCancelled, NullReporter
from homeroom.schema.tuning import TrainingData
from homeroom.tuning.huggingface import device, dpo, loss, model
from homeroom.tuning.huggingface.pairs import conversations, encode_pairs
from tests.tuning.conftest import Recorder, recipe_of

QUESTIONS = (
    "What is half of six?",
    "Do plants eat?",
    "Is the earth flat?",
    "What is 3 and 4?",
    "Why do you think so?",
    "Which is larger?",
)
BETTER, WORSE = "What do you see? Draw both pieces.", "It is two fifths. That is right."


def pair(question: str, better: str = BETTER, worse: str = WORSE, *before: Message) -> Example:
    messages = (*before, Message("user", question), Message("assistant", better))
    return Example(messages, {"task": "tutor"}, extra={"rejected": [{"role": "assistant", "content": worse}]})


PAIRS = [pair(question) for question in QUESTIONS]
HELD_OUT = [pair("Do trees eat?"), pair("What is half of four?")]


def dpo_recipe(**changes):
    return recipe_of(objective="dpo", task="any", **changes)


@pytest.fixture
def lora(base):
    recipe = dpo_recipe()
    compute = device.choose(recipe)
    with device.computing(compute, 1):
        made = model.attach_lora(model.load_base(base, compute), recipe.lora, base, compute)
        with torch.no_grad():  # B is zero at first, and the loss would not depend on A
            for name, weight in made.trainable().items():
                if "lora_B" in name:
                    weight.copy_(torch.randn(weight.shape) * 0.05)
        yield made


def plain_log_p(lora, sequence) -> torch.Tensor:
    """Log-probability of a sequence's reply by transformers and PEFT themselves, one sequence at a time, with autograd."""
    ids = torch.tensor([sequence.ids])
    logits = lora.peft(input_ids=ids).logits[0].double()
    marked = [t for t in range(1, len(sequence.ids)) if sequence.mask[t]]
    log_p = torch.log_softmax(logits, -1)
    return torch.stack([log_p[t - 1, sequence.ids[t]] for t in marked]).sum()


def plain_margins(lora, pairs, beta: float) -> torch.Tensor:
    """Equation 7 of the paper, written out."""
    margins = []
    for better, worse in zip(pairs.chosen.sequences, pairs.rejected, strict=True):
        with lora.peft.disable_adapter(), torch.no_grad():
            base = plain_log_p(lora, better) - plain_log_p(lora, worse)
        margins.append(beta * (plain_log_p(lora, better) - plain_log_p(lora, worse) - base))
    return torch.stack(margins)


def test_loss_and_gradient_are_those_of_a_plain_implementation(lora, tokenizer, tmp_path) -> None:
    recipe = dpo_recipe(beta=0.3)
    pairs = encode_pairs(PAIRS[:4], recipe, tokenizer)
    lora.peft.train()
    margins = plain_margins(lora, pairs, 0.3)
    plain = -torch.nn.functional.logsigmoid(margins).mean()
    plain.backward()
    expected = {name: weight.grad.clone() for name, weight in lora.trainable().items()}
    lora.peft.zero_grad()

    ours = dpo.Preferences(lora, recipe, pairs, encode_pairs([], recipe, tokenizer), tmp_path, NullReporter())
    totals = ours.backward((0, 1), 4) + ours.backward((2, 3), 4)  # two micro-batches of one step
    assert totals.loss == pytest.approx(plain.item(), rel=1e-5)
    assert totals.labels == 4
    assert totals.correct == int((margins > 0).sum())
    assert totals.tokens == sum(pairs.lengths)
    for name, weight in lora.trainable().items():
        torch.testing.assert_close(weight.grad, expected[name], rtol=2e-3, atol=2e-6, msg=name)
    assert max(float(gradient.abs().max()) for gradient in expected.values()) > 1e-3  # there was something to compare


def test_only_the_last_reply_counts_and_the_prompt_is_the_same(tokenizer) -> None:
    earlier = (Message("system", "Teach."), Message("user", "Hello"), Message("assistant", "What did you try?"))
    example = pair("I think 2/5.", BETTER, WORSE, *earlier)
    better, worse = conversations(example)
    assert [m.content for m in better] == ["Teach.", "Hello", "What did you try?", "I think 2/5.", BETTER]
    assert (worse[:-1], worse[-1].content) == (better[:-1], WORSE)
    encoded = encode_pairs([example], dpo_recipe(), tokenizer)
    for sequence, reply in ((encoded.chosen.sequences[0], BETTER), (encoded.rejected[0], WORSE)):
        learnt = tokenizer.decode([i for i, m in zip(sequence.ids, sequence.mask, strict=True) if m])
        assert learnt.removesuffix("<|im_end|>") == reply


def test_a_pair_that_does_not_fit_is_left_out_whole(tokenizer) -> None:
    long = pair("Why?", worse="one and one is two " * 80)
    encoded = encode_pairs([long, PAIRS[0]], dpo_recipe(), tokenizer)
    assert (len(encoded.rejected), encoded.chosen.too_long, encoded.chosen.cut) == (1, 1, 0)
    assert encoded.lengths == [encoded.chosen.sequences[0].input_length + encoded.rejected[0].input_length]


def test_without_the_adapter_means_the_base(lora, base, tokenizer) -> None:
    sequences = encode_pairs(PAIRS[:2], dpo_recipe(), tokenizer).rejected
    before = lora.copy_weights()
    batch = loss.collate(sequences, lora.compute.device)
    with dpo.adapter_off(lora):
        off = loss.measure(lora, batch)[0]
    plain = model.plain_model(model.load_base(base, lora.compute), base, lora.compute)
    torch.testing.assert_close(off, loss.measure(plain, batch)[0], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(off, loss.measure(lora, batch)[0], rtol=1e-3)
    assert all(torch.equal(before[name], weight) for name, weight in lora.copy_weights().items())


def test_what_the_base_says_is_computed_once_and_kept(lora, tokenizer, tmp_path, monkeypatch) -> None:
    pairs, none = encode_pairs(PAIRS, dpo_recipe(), tokenizer), encode_pairs([], dpo_recipe(), tokenizer)
    first = dpo.Preferences(lora, dpo_recipe(), pairs, none, tmp_path, NullReporter())
    asked = Recorder()
    again = dpo.Preferences(lora, dpo_recipe(), pairs, none, tmp_path, asked)
    assert asked.questions == 0
    assert first.backward((0, 1), 2) == again.backward((0, 1), 2)
    (tmp_path / dpo.FILE).write_bytes(b"torn")
    torn = dpo.Preferences(lora, dpo_recipe(), pairs, none, tmp_path, asked)
    assert asked.questions > 0
    assert torn.backward((0, 1), 2) == first.backward((0, 1), 2)
    others = encode_pairs(HELD_OUT, dpo_recipe(), tokenizer)
    with pytest.raises(JobCancelled):  # other pairs are measured anew, and that can be stopped
        dpo.Preferences(lora, dpo_recipe(), others, none, tmp_path, Recorder(stop_at=1))


def test_the_base_is_measured_in_smaller_batches_where_memory_runs_out(lora, tokenizer, tmp_path, monkeypatch) -> None:
    recipe = dpo_recipe(batch_tokens=1024)
    pairs, none = encode_pairs(PAIRS, recipe, tokenizer), encode_pairs([], recipe, tokenizer)
    sequences = [*pairs.chosen.sequences, *pairs.rejected]
    expected = dpo.reference(lora, sequences, 1024, tmp_path / "whole", NullReporter())
    sizes: list[int] = []
    real = dpo.measure

    def small(model, batch, most=1):
        if len(batch.counts) > most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        sizes.append(len(batch.counts))
        return real(model, batch)

    monkeypatch.setattr(dpo, "measure", small)
    recorder = Recorder()
    found = dpo.reference(lora, sequences, 1024, tmp_path / "halved", recorder)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    assert sizes == [1] * len(sequences)
    told = [message for _, message, _ in recorder.events]
    assert told and all(message.startswith("Memory ran out while the base was measured") for message in told)
    monkeypatch.setattr(dpo, "measure", lambda model, batch: small(model, batch, most=0))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        dpo.Preferences(lora, recipe, pairs, none, tmp_path / "none", NullReporter())


def test_a_base_that_cannot_be_measured_at_all_is_an_error_with_a_next_step(tuner, monkeypatch) -> None:
    def refused(model, batch):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(dpo, "measure", refused)
    with pytest.raises(ConfigError, match="Halve it in the recipe") as caught:
        tuner().run(TrainingData("p", PAIRS, HELD_OUT), dpo_recipe(batch_tokens=1024), Recorder())
    assert caught.value.code == "out-of-memory"


def test_preference_rises_on_pairs_that_were_not_trained(tuner) -> None:
    recorder = Recorder()
    recipe = dpo_recipe(epochs=12, optimiser={"learning_rate": 0.005}, validation={"every_steps": 6})
    tuned = tuner().run(TrainingData("pairs", PAIRS, HELD_OUT), recipe, recorder)
    validated = [row for row in recorder.metrics if row.get("valid_loss") is not None]
    assert validated[0]["step"] == 0
    assert validated[0]["valid_loss"] == pytest.approx(0.6931, abs=1e-3)  # ln 2: at first it prefers neither
    assert validated[-1]["valid_loss"] < 0.1
    assert validated[-1]["valid_accuracy"] == 1.0
    assert (tuned.recipe["objective"], tuned.metrics["valid_loss"] < 0.1) == ("dpo", True)


def test_a_stopped_run_goes_on_to_the_same_weights(tuner, store) -> None:
    data, recipe = TrainingData("pairs", PAIRS, HELD_OUT), dpo_recipe(epochs=2)
    whole = tuner("whole", new_name=lambda base, suffix: "ft:tiny:homeroom:pairs:0000abcd").run(data, recipe, Recorder())
    cut = tuner("cut", new_name=lambda base, suffix: "ft:tiny:homeroom:pairs:0000abcd")
    with pytest.raises(JobCancelled):
        cut.run(data, recipe, Recorder(stop_at=12))
    resumed = cut.run(data, recipe, Recorder())
    names = ("adapter_model.safetensors", "adapter.gguf")
    assert [(store.path(whole.artifact) / n).read_bytes() for n in names] == [
        (store.path(resumed.artifact) / n).read_bytes() for n in names
    ]


def test_data_without_pairs_is_refused(tuner) -> None:
    data = TrainingData("replies", [Example((Message("user", "Why?"), Message("assistant", "Look.")), {"task": "tutor"})])
    with pytest.raises(DataError, match="None of 1 training examples has a rejected reply") as caught:
        tuner().run(data, dpo_recipe(), Recorder())
    assert caught.value.code == "no-preferences"


@pytest.mark.slow
def test_the_plan_counts_both_replies(tuner, tokenizer) -> None:
    plan = tuner().plan(TrainingData("pairs", PAIRS, ()), dpo_recipe(epochs=2))
    assert plan.trained_tokens == 2 * sum(encode_pairs(PAIRS, dpo_recipe(), tokenizer).lengths)
    assert plan.examples == len(PAIRS)
