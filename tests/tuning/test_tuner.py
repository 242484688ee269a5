"""The tuner from outside: plans, artifacts, the parity check, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from homeroom.errors import ConflictError, DataError
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.examples import Example, Message
from homeroom.schema.models import BaseFiles
from homeroom.schema.tuning import TrainingData, Tuner
from homeroom.storage.artifacts import ArtifactStore
from homeroom.tuning.huggingface.tuner import HuggingFaceTuner
from homeroom.tuning.recipe_file import load_recipes
from tests.tuning.conftest import DATA, TRAIN, Recorder, dialogue, recipe_of

Make = Callable[..., HuggingFaceTuner]


def test_the_plan_is_what_the_run_then_does(tuner: Make) -> None:
    recipe = recipe_of(epochs=3, max_trained_tokens=1200)
    plan = tuner(tokens_per_s=1000.0).plan(DATA, recipe)
    model = tuner().run(DATA, recipe, Recorder())
    assert (plan.steps, plan.trained_tokens) == (model.metrics["steps"], model.metrics["tokens"])
    assert plan.details["label_tokens"] == model.metrics["label_tokens"]
    assert plan.trained_tokens <= 1200
    assert (plan.method, plan.examples, plan.cost_usd) == ("huggingface", 6, 0.0)
    assert plan.details["tokens_per_s_measured"] is True


def test_a_budget_that_ends_before_every_example_was_seen_is_told(tuner: Make) -> None:
    short, whole = (
        tuner(tokens_per_s=1000.0).plan(DATA, recipe_of(epochs=1, max_trained_tokens=budget)) for budget in (300, 100_000)
    )
    (told,) = [warning for warning in short.warnings if warning.startswith("Only ")]
    assert re.match(r"Only [1-5] of 6 examples are trained on: max_trained_tokens = 300 ends the run", told)
    assert not [warning for warning in whole.warnings if warning.startswith("Only ")]


@pytest.mark.slow
def test_a_plan_measures_the_machine_when_no_speed_is_known(tuner: Make, tmp_path) -> None:  # type: ignore[no-untyped-def]
    plan = tuner().plan(DATA, recipe_of())
    assert plan.details["tokens_per_s_measured"] is False
    assert plan.time_s > 0
    assert plan.memory_bytes > 0
    assert not (tmp_path / "run").exists()
    faster = tuner(tokens_per_s=plan.details["tokens_per_s"] * 1000).plan(DATA, recipe_of())
    assert faster.details["tokens_per_s"] > plan.details["tokens_per_s"]


@pytest.mark.slow
def test_a_plan_warns(tuner: Make) -> None:
    plan = tuner().plan(replace(DATA, validation=()), recipe_of(data={"max_sequence_tokens": 90, "too_long": "leave-out"}))
    assert [warning.split(":")[0] for warning in plan.warnings] == [
        "There are no validation examples",
        "5 training examples are few",
        "1 left out",
    ]


@pytest.mark.slow
def test_lora_parameters_are_counted_as_peft_counts_them(tuner: Make, store: ArtifactStore) -> None:
    from safetensors.torch import load_file

    recipe = recipe_of(epochs=1, lora={"rank": 3, "last_layers": 1, "target_modules": ["q_proj", "k_proj", "down_proj"]})
    plan = tuner().plan(DATA, recipe)
    model = tuner().run(DATA, recipe, Recorder())
    weights = load_file(store.path(model.artifact) / "adapter_model.safetensors")
    assert plan.details["lora_parameters"] == sum(tensor.numel() for tensor in weights.values())


def test_the_artifact_is_complete_and_the_model_describes_it(tuner: Make, store: ArtifactStore, base: BaseFiles) -> None:
    recipe = recipe_of(epochs=1, system_prompt="Teach {subject}.", generation={"temperature": 0.7, "stop": ["X"]}, suffix="maths")
    model = tuner(licence="Apache-2.0", job_id="job-1", code_version="0.1.0").run(DATA, recipe, Recorder())
    folder = store.path(model.artifact)
    assert {path.name for path in folder.iterdir()} == {
        *("adapter_model.safetensors", "adapter_config.json", "adapter.gguf", "README.md", "recipe.yaml", "history.csv"),
        *("preview.json", "preview.txt", "manifest.json"),
    }
    assert store.verify(model.artifact)
    assert load_recipes(folder / "recipe.yaml") == [recipe]
    assert (folder / "adapter.gguf").read_bytes()[:4] == b"GGUF"
    assert model.name.startswith("ft:tiny:homeroom:maths:")
    assert len(model.id8) == 8
    assert (model.base, model.base_identity, model.method, model.kind) == ("tiny", base.identity, "huggingface", "lora")
    assert (model.dataset, model.job_id, model.task, model.suitability) == ("course-v1", "job-1", "tutor", "practice")
    assert (model.settings["temperature"], model.settings["stop"], model.settings["system_prompt"]) == (
        0.7,
        ["X"],
        "Teach {subject}.",
    )


def test_peft_itself_loads_the_adapter_and_computes_the_same(tuner: Make, store: ArtifactStore, base: BaseFiles) -> None:
    import warnings

    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from homeroom.tuning.huggingface import device, model

    tuned = tuner().run(DATA, recipe_of(epochs=2), Recorder())
    folder = store.path(tuned.artifact)
    compute = device.choose(recipe_of())
    ours = model.load_adapter(model.load_base(base, compute), folder, base, compute).peft
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT remarks on the identity in the config, transformers on PEFT
        theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base.weights, dtype=torch.float32), folder)
    ids = torch.arange(5, 45)[None]
    with torch.no_grad():
        torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(theirs(ids).logits, theirs.get_base_model()(ids).logits * 0 + 1)


def test_no_path_of_this_machine_is_in_the_artifact(tuner: Make, store: ArtifactStore, base: BaseFiles, tmp_path) -> None:  # type: ignore[no-untyped-def]
    folder = store.path(tuner().run(DATA, recipe_of(epochs=1), Recorder()).artifact)
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    assert str(tmp_path).encode() not in content
    assert str(base.weights).encode() not in content


def test_the_card_says_what_it_must_not_do(tuner: Make, store: ArtifactStore) -> None:
    recipe = recipe_of(epochs=1)
    card = (store.path(tuner(licence="Apache-2.0").run(DATA, recipe, Recorder()).artifact) / "README.md").read_text()
    assert "must not teach children" in card
    assert "dataset `course-v1`, 6 training examples" in card
    assert "license: apache-2.0" in card
    trainee = (store.path(tuner("b", suitability="trainee").run(DATA, recipe, Recorder()).artifact) / "README.md").read_text()
    assert "**Suitability: trainee.**" in trainee


def test_the_preview_marks_what_is_learnt(tuner: Make, store: ArtifactStore) -> None:
    folder = store.path(tuner().run(DATA, recipe_of(epochs=1), Recorder()).artifact)
    text = (folder / "preview.txt").read_text().replace("|", "")
    assert "⟦Draw six and split them. What do you see?<im_end>⟧".replace("<im_end>", "<im_end>") in text
    assert text.count("⟦") == text.count("⟧") == 1 + 1 + 2 + 1
    records = json.loads((folder / "preview.json").read_text())
    assert [record["example"] for record in records] == [example.id for example in TRAIN[:3]]
    assert sum(learnt for _, _, learnt in records[0]["tokens"]) == records[0]["labels"]


def test_parity_with_an_engine_of_the_same_template(tuner: Make, tokenizer: ChatTokenizer) -> None:
    asked: list[Sequence[Message]] = []

    def render(messages: Sequence[Message]) -> list[int]:
        asked.append(messages)
        return tokenizer.prompt_ids(messages)

    recorder = Recorder()
    tuner(renderer=lambda: nullcontext(render)).run(DATA, recipe_of(epochs=1, system_prompt="Be kind."), recorder)
    assert len(asked) == 8  # every prompt of the six examples
    assert all(messages[0] == Message("system", "Be kind.") for messages in asked)
    assert "8 prompts give the same tokens in training and in the engine." in [message for _, message, _ in recorder.events]


@pytest.mark.parametrize("cut", [5, 10_000], ids=["another token", "a token more"])
def test_where_training_and_engine_part_is_shown(tuner: Make, tokenizer: ChatTokenizer, cut: int) -> None:
    marker = tokenizer.encode("Z")

    def render(messages: Sequence[Message]) -> list[int]:
        ids = tokenizer.prompt_ids(messages)
        return [*ids[:cut], *marker, *ids[cut + 1 :]]

    recorder = Recorder()
    with pytest.raises(ConflictError) as caught:
        tuner(renderer=lambda: nullcontext(render)).run(DATA, recipe_of(), recorder)
    assert caught.value.code == "template-parity"
    lines = str(caught.value).splitlines()
    index = min(cut, len(tokenizer.prompt_ids(TRAIN[0].messages[:1])))
    assert lines[0].endswith(f"from token {index} on:")
    assert f"['Z':{marker[0]}]" in lines[2]
    assert "[" in lines[1]
    assert recorder.metrics == []  # nothing was trained


def test_an_engine_that_ends_its_prompt_early_is_noticed(tuner: Make, tokenizer: ChatTokenizer) -> None:
    with pytest.raises(ConflictError) as caught:
        tuner(renderer=lambda: nullcontext(lambda messages: tokenizer.prompt_ids(messages)[:-1])).run(
            DATA, recipe_of(), Recorder()
        )
    assert caught.value.code == "template-parity"
    assert "[ends here]" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "changes", "code", "text"),
    [
        (DATA, {"task": "learner"}, "too-few-examples", "the data has 6 tutor and 0 learner examples"),
        (TrainingData("d", ()), {}, "too-few-examples", "the data has 0 tutor and 0 learner examples"),
        (DATA, {"data": {"max_sequence_tokens": 16}}, "too-few-examples", "fits data.max_sequence_tokens = 16"),
        (
            TrainingData("d", (Example((Message("user", "q"), Message("assistant", "a", 0))),)),
            {},
            "no-labels",
            "None of 1 training examples has an assistant turn to learn from",
        ),
    ],
)
def test_data_that_cannot_be_trained_on_is_refused(
    tuner: Make, data: TrainingData, changes: dict[str, object], code: str, text: str
) -> None:
    for call in (lambda: tuner().plan(data, recipe_of(**changes)), lambda: tuner().run(data, recipe_of(**changes), Recorder())):
        with pytest.raises(DataError) as caught:
            call()
        assert caught.value.code == code
        assert text in str(caught.value)


def test_it_is_a_tuner(tuner: Make) -> None:
    as_tuner: Tuner = tuner()
    assert as_tuner.method == "huggingface"


def test_one_adapter_for_both_tasks(tuner: Make) -> None:
    both = TrainingData("d", (*TRAIN[:2], dialogue("Why?", "Because 2.", task="learner")))
    model = tuner().run(both, recipe_of(task="any", epochs=1), Recorder())
    assert model.task == "any"
    assert model.metrics["label_tokens"] == tuner("p").plan(both, recipe_of(task="any", epochs=1)).details["label_tokens"]
