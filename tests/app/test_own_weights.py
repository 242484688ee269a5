"""A model whose every weight was trained: it is served, judged and exported as a base of its own."""

from __future__ import annotations

from contextlib import closing

import pytest

from homeroom.app.engine_keeper import EngineKeeper
from homeroom.app.engines import base_of
from homeroom.app.evaluate_job import handle as judge
from homeroom.app.exporting import export_model
from homeroom.app.home import Homeroom
from homeroom.app.own_weights import own_files, served_identity
from homeroom.app.talk import running_directory, talking
from homeroom.chat.directory import resolve_card
from homeroom.errors import NotFoundError
from homeroom.models import tiny
from homeroom.models.engine_info import read_running
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Message
from homeroom.tuning.huggingface.tuner import HuggingFaceTuner
from homeroom.tuning.recipe_file import parse_recipe
from tests.app import material
from tests.tuning.conftest import DATA, Recorder

pytestmark = pytest.mark.slow
RECIPE = parse_recipe(
    {
        **{key: value for key, value in material.QUICK.items() if key != "lora"},
        "name": "whole",
        "weights": "full",
        "optimiser": {"learning_rate": 0.003},
    }
)


@pytest.fixture
def opened(_hermetic, home, tmp_path, tmp_path_factory, monkeypatch):
    """A home with the tiny base and a tutor of its own weights."""
    material.use_tiny(monkeypatch, material.tiny_cache(tmp_path_factory))
    with Homeroom.open() as found:
        tuner = HuggingFaceTuner(found.base_files(), tmp_path / "run", found.artifacts)
        found.registry.register(tuner.run(DATA, RECIPE, Recorder()))
        yield found


def test_it_answers_with_its_own_weights(opened):
    model = opened.registry.get("whole")
    assert model.kind == "full"
    files = own_files(opened, model)
    assert base_of(opened, served_identity(model)) == files
    with pytest.raises(NotFoundError):
        base_of(opened, "f" * 64)
    asked, settings = [Message("user", "Do plants eat?")], GenerationSettings(max_tokens=16)
    answers = {}
    for name in ("whole", tiny.NAME):
        with talking(opened, name, "tutor") as (directory, card):
            answers[name] = directory.chat_model(card.name).complete(asked, settings).text
    assert answers["whole"] != answers[tiny.NAME]


def test_a_server_serves_it_beside_its_base_and_keeps_it_while_a_page_uses_it(opened):
    """What ``homeroom serve`` runs: the engines are asked for by whoever answers a request."""
    asked, settings = [Message("user", "Do plants eat?")], GenerationSettings(max_tokens=16)
    model, said = opened.registry.get("whole"), []
    opened.registry.set_route("tutor", model.name)
    with talking(opened, "whole", "tutor") as (directory, card):
        alone = directory.chat_model(card.name).complete(asked, settings).text
    keeper = EngineKeeper(opened, said.append)
    keeper.start()
    try:
        with closing(running_directory(opened)) as directory:
            assert resolve_card(directory, None, "tutor").name == model.name
            answers = {n: directory.chat_model(n).complete(asked, settings) for n in (model.name, tiny.NAME, model.name)}
        served = {info.base for info in read_running(opened.settings.home).engines}
        with talking(opened, None, "tutor") as (directory, card):  # ``homeroom chat`` beside the server asks the server's
            assert directory.chat_model(card.name).complete(asked, settings).text == alone
    finally:
        keeper.stop()
    assert answers[model.name].text == alone != answers[tiny.NAME].text
    assert answers[model.name].model == model.name and served == {tiny.NAME, model.name} and said == []


def test_it_is_exported_without_an_adapter(opened, tmp_path):
    merged = export_model(opened, "whole", "merged", tmp_path / "merged")
    assert merged.checked.figures["largest"] == 0
    file = export_model(opened, "whole", "gguf", tmp_path / "gguf", number="f16")
    assert file.checked.passed
    assert "base_nats" not in file.checked.figures


def test_its_held_out_loss_and_answers_are_its_own(opened):
    from homeroom.app.evaluate_job import _at_the_engine, _losses

    assert judge  # the job of which these are two parts
    model = opened.registry.get("whole")
    items = [item for example in DATA.train for item in example.items()]
    losses = _losses(Recorder(), opened.base_files(), model, opened, items)
    assert losses["tuned"] < losses["base"]
    with _at_the_engine(opened, opened.base_files(), model) as asked:
        told = [
            who.complete([Message("user", "Do plants eat?")], GenerationSettings(max_tokens=16)).text
            for who in (asked.base, asked.tuned)
        ]
    assert told[0] != told[1]
