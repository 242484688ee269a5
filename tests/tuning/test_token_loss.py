"""Held-out loss of each reply, alone and under another prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from homeroom.errors import ConfigError, ConflictError, DataError
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.examples import Example, Message
from homeroom.schema.models import BaseFiles
from homeroom.storage.artifacts import ArtifactStore
from homeroom.tuning.huggingface.token_loss import TokenLoss, held_out_loss, other_prompts
from homeroom.tuning.huggingface.tuner import HuggingFaceTuner
from tests.tuning.conftest import DATA, TRAIN, Recorder, dialogue, recipe_of


def naive(base: BaseFiles, tokenizer: ChatTokenizer, example: Example) -> list[tuple[float, int]]:
    """(nll, tokens) of each reply by running its prompt and the reply through transformers."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base.weights, dtype=torch.float32)
    found = []
    for item in example.items():
        prompt = tokenizer.prompt_ids(item.prompt)
        reply = tokenizer.encode(item.gold + "<|im_end|>")
        with torch.no_grad():
            log = model(torch.tensor([prompt + reply])).logits[0].double().log_softmax(-1)
        picked = [log[len(prompt) - 1 + i, token].item() for i, token in enumerate(reply)]
        found.append((-sum(picked), len(reply)))
    return found


def test_each_reply_has_its_own_loss(base: BaseFiles, tokenizer: ChatTokenizer) -> None:
    scored = TokenLoss(base, threads=1, dtype="float32").held_out(TRAIN)
    items = [item for example in TRAIN for item in example.items()]
    assert [loss.item_id for loss in scored] == [item.id for item in items]
    expected = [pair for example in TRAIN for pair in naive(base, tokenizer, example)]
    assert [loss.tokens for loss in scored] == [tokens for _, tokens in expected]
    assert [loss.nll for loss in scored] == pytest.approx([nll for nll, _ in expected], rel=1e-4)


def test_turns_of_weight_0_are_not_scored(base: BaseFiles) -> None:
    muted = Example((Message("user", "q"), Message("assistant", "a", 0), Message("user", "why?"), Message("assistant", "b")))
    silent = Example((Message("user", "q"), Message("assistant", "a", 0)))
    scored = held_out_loss(base, None, [silent, muted], threads=1)
    assert [loss.item_id for loss in scored] == [f"{muted.id}-1"]


def test_a_memorised_reply_is_likelier_under_its_own_prompt(
    base: BaseFiles, store: ArtifactStore, tuner: Callable[..., HuggingFaceTuner]
) -> None:
    recipe = recipe_of(epochs=30, lora={"alpha": 64}, checkpoint={"every_steps": 1000})
    model = tuner().run(replace(DATA, validation=()), recipe, Recorder())
    items = [item for example in TRAIN for item in example.items()]
    tuned = TokenLoss(base, store.path(model.artifact), threads=1)
    own, other = tuned.under_prompts(items, [item.prompt for item in items]), tuned.under_prompts(items, other_prompts(items))
    assert sum(loss.nll for loss in other) > 2 * sum(loss.nll for loss in own)
    assert [loss.tokens for loss in own] == [loss.tokens for loss in other]
    assert [loss.nll for loss in own] == pytest.approx([loss.nll for loss in tuned.held_out(TRAIN)], rel=0.05, abs=0.2)


def test_other_prompts_are_of_the_same_task_and_turn_and_another_topic() -> None:
    examples = [
        dialogue(f"q{i} {t} {task}", "a", "b", task=task, topic=t)
        for i in range(2)
        for t in "xy"
        for task in ("tutor", "learner")
    ]
    items = [item for example in examples for item in example.items()]
    prompts = other_prompts(items, seed=1)
    by_prompt = {item.prompt: item for item in items}
    for item, prompt in zip(items, prompts, strict=True):
        other = by_prompt[prompt]
        assert (other.example.task, other.turn) == (item.example.task, item.turn)
        assert other.example.metadata["topic"] != item.example.metadata["topic"]
    assert len(set(prompts)) == len(items)
    assert other_prompts(items, seed=1) == prompts != other_prompts(items, seed=2)


def test_one_example_has_no_other_prompt() -> None:
    with pytest.raises(DataError) as caught:
        other_prompts(list(TRAIN[1].items()))
    assert caught.value.code == "too-few-examples"


def test_a_conversation_beyond_the_context_is_refused(base: BaseFiles) -> None:
    with pytest.raises(DataError, match="longer than the model's context of 2048") as caught:
        held_out_loss(base, None, [dialogue("q " * 2100, "a")], threads=1)
    assert caught.value.code == "context-length"


def test_an_adapter_of_another_base_is_refused(
    base: BaseFiles, store: ArtifactStore, tuner: Callable[..., HuggingFaceTuner]
) -> None:
    adapter = store.path(tuner().run(DATA, recipe_of(epochs=1), Recorder()).artifact)
    with pytest.raises(ConflictError) as caught:
        held_out_loss(replace(base, identity="other"), adapter, TRAIN, threads=1)
    assert caught.value.code == "base-mismatch"
    with pytest.raises(ConfigError) as missing:
        held_out_loss(base, store.root, TRAIN, threads=1)
    assert missing.value.code == "adapter-files"
