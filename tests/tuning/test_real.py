"""The bundled recipe on the embedded base model, with the engine's own rendering."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from homeroom.data.course import load_course
from homeroom.data.split import assign
from homeroom.models import pull
from homeroom.models.engine import EngineManager
from homeroom.models.engine_chat import engine_render_ids
from homeroom.runtime import spawn
from homeroom.schema.tuning import TrainingData
from homeroom.storage.artifacts import ArtifactStore
from homeroom.tuning.huggingface.parity import RenderIds
from homeroom.tuning.huggingface.token_loss import TokenLoss, other_prompts
from homeroom.tuning.huggingface.tuner import HuggingFaceTuner
from homeroom.tuning.recipe_file import load_recipes
from tests.tuning.conftest import Recorder


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_part_of_the_demo_lowers_held_out_loss_with_the_engines_tokens(tmp_path: Path) -> None:
    cache = Path(os.environ.get("HOMEROOM_TEST_CACHE") or Path.home() / ".cache" / "homeroom")
    base = pull.require("smollm2-135m-instruct", cache)
    learner = load_recipes(Path("demo.yaml"))[0].for_task("learner").model_copy(update={"max_trained_tokens": 2000, "threads": 1})
    examples = [example for example in load_course() if example.task == "learner"]
    placed = assign(examples)
    train, held_out = ([e for e in examples if placed[e.id] == split] for split in ("train", "validation"))
    engine = EngineManager(base, home=tmp_path / "home", spawn=spawn, slots=1, context=1024, threads=1, adapters=list)
    store, recorder = ArtifactStore(tmp_path / "artifacts"), Recorder()

    @contextmanager
    def renderer() -> Iterator[RenderIds]:
        try:
            info = engine.ensure()
            yield lambda messages: engine_render_ids(info, messages)
        finally:
            engine.stop()

    model = HuggingFaceTuner(base, tmp_path / "run", store, renderer=renderer).run(
        TrainingData("course", train, held_out), learner, recorder
    )
    assert any("prompts give the same tokens in training and in the engine" in message for _, message, _ in recorder.events)
    assert model.metrics["valid_loss"] < model.metrics["base_valid_loss"] - 0.1
    assert model.metrics["peak_memory_bytes"] < 4e9
    items = [item for example in held_out for item in example.items()]
    scorer = TokenLoss(base, store.path(model.artifact), threads=1)
    own, other = scorer.under_prompts(items, [i.prompt for i in items]), scorer.under_prompts(items, other_prompts(items))
    assert sum(loss.nll for loss in own) < sum(loss.nll for loss in other)
