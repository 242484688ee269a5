"""What the chat may use, and through what it is reached."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest

from homeroom.app.directory import HomeDirectory
from homeroom.app.engines import MAX_ADAPTERS, adapters_of, engine, resolve_running
from homeroom.app.home import Homeroom
from homeroom.app.importing import import_model
from homeroom.app.talk import full_name, practice_scenarios, running_directory, scenario_named, talking
from homeroom.chat.directory import find_card, resolve_card
from homeroom.errors import ConfigError, ConflictError, NotFoundError
from homeroom.models.engine_info import find_running, info_path
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Message
from homeroom.settings import Endpoint
from tests.app import material

ASKED = [Message("user", "Half of 14 is 8.")]
SHORT = GenerationSettings(max_tokens=4)
SCHOOL = Endpoint("school", "http://127.0.0.1:9/v1", "SCHOOL_KEY", ("large", "small"))


@pytest.fixture
def adapter(home, tmp_path):
    return material.random_adapter(home.base_files(), tmp_path / "adapter")


@pytest.fixture
def tutor(home, adapter):
    return import_model(home, str(adapter), base=None, task="tutor", suffix="red", system_prompt="You are a tutor.")


def with_endpoint(home: Homeroom, endpoint: Endpoint = SCHOOL) -> Homeroom:
    return Homeroom(replace(home.settings, endpoints=(endpoint,)), home.database)


def test_cards_come_in_order_and_say_what_they_are(home, adapter, tutor):
    newer = import_model(home, str(adapter), base=None, task="learner", suffix="blue")
    cards = running_directory(with_endpoint(home)).list()
    assert [card.name for card in cards] == ["tiny", "school/large", "school/small", newer.name, tutor.name]
    assert [card.kind for card in cards] == ["base", "endpoint", "endpoint", "tuned", "tuned"]
    assert (cards[-1].task, cards[-1].system_prompt, cards[-1].verdict) == ("tutor", "You are a tutor.", "unjudged")
    assert all(card.suitability in ("practice", "trainee") for card in cards), "no model here may face children"


def test_a_route_decides_what_a_page_uses_and_settings_are_kept(home, tutor):
    models = running_directory(home)
    models.use_for("tiny", "tutor")
    assert resolve_card(models, None, "tutor").name == "tiny"
    models.use_for(tutor.name, "tutor")
    assert resolve_card(models, None, "tutor").name == tutor.name
    models.save_settings(tutor.name, {**tutor.settings, "temperature": 0.7})
    assert find_card(models, tutor.name).generation.temperature == 0.7


def test_what_was_refused_is_used_only_when_it_is_chosen(home, adapter, tutor):
    models = running_directory(home)
    assert resolve_card(models, None, "tutor").name == tutor.name
    assert resolve_card(models, None, "learner").name == "tiny"
    home.registry.set_verdict(tutor.name, "reject")
    assert resolve_card(models, None, "tutor").name == "tiny"
    newer = import_model(home, str(adapter), base=None, task="tutor", suffix="newer")
    assert resolve_card(models, None, "tutor").name == newer.name
    models.use_for(tutor.name, "tutor")
    assert resolve_card(models, None, "tutor").name == tutor.name


def test_a_page_takes_no_model_by_itself_that_the_engine_does_not_serve(home, tutor):
    elsewhere = running_directory(home.with_base("smollm2-135m-instruct"))
    assert resolve_card(elsewhere, None, "tutor").name == "smollm2-135m-instruct"


def test_names_are_found_by_id8_and_suffix(home, tutor):
    models = running_directory(home)
    assert {full_name(home, models, name) for name in (tutor.name, tutor.id8, "red")} == {tutor.name}
    assert full_name(home, models, None) is None
    with pytest.raises(NotFoundError):
        full_name(home, models, "green")


def test_one_command_has_an_engine_of_its_own_that_nobody_else_finds(home, tutor):
    with talking(home, "red", "tutor") as (models, card):
        assert card.name == tutor.name
        assert models.chat_model(card.name).complete(ASKED, SHORT).text
        assert models.chat_model("tiny").complete(ASKED, SHORT).text
        assert find_running(home.settings.home) is None
    assert not info_path(home.settings.home).exists()


def test_two_engines_at_once_do_not_end_each_other(home, base):
    with engine(home, base) as one:
        with engine(home, base) as other:
            assert one().url != other().url
        with closing(HomeDirectory(home, lambda adapter: one())) as models:
            assert models.chat_model("tiny").complete(ASKED, SHORT).text


def test_an_adapter_changes_what_the_base_says(home, base, tutor):
    with engine(home, base) as resolve, closing(HomeDirectory(home, lambda adapter: resolve())) as models:
        plain, tuned = (
            models.chat_model(name).complete(ASKED, replace(SHORT, max_tokens=12)).text for name in ("tiny", tutor.name)
        )
    assert plain != tuned


def test_an_engine_that_serves_another_base_is_not_asked(home, base, tutor):
    with engine(home, base) as resolve:
        with closing(HomeDirectory(home, lambda adapter: replace(resolve(), identity="0" * 64, base="other"))) as models:
            with pytest.raises(ConflictError) as refused:
                models.chat_model(tutor.name).complete(ASKED, SHORT)
    assert refused.value.code == "base-not-served"
    assert "homeroom serve --base tiny" in refused.value.message


def test_without_an_engine_the_reason_is_told_at_once(home):
    with pytest.raises(NotFoundError) as refused:
        resolve_running(home.with_base("smollm2-135m-instruct"))
    assert refused.value.code == "not-pulled"


def test_an_endpoint_needs_no_engine_but_its_key(home, monkeypatch):
    schooled = with_endpoint(home).with_base("smollm2-135m-instruct")
    with talking(schooled, "school/large", "tutor") as (models, card):
        assert card.kind == "endpoint"
        with pytest.raises(ConfigError) as refused:
            models.chat_model(card.name)
        assert refused.value.code == "key-not-set"
        monkeypatch.setenv("SCHOOL_KEY", "secret")
        assert models.chat_model(card.name).name == "school/large"


def test_a_model_tuned_at_an_endpoint_needs_no_engine_either(home, monkeypatch):
    monkeypatch.setenv("SCHOOL_KEY", "secret")
    schooled = with_endpoint(home).with_base("smollm2-135m-instruct")
    made = import_model(schooled, "school/ft:gpt-4o-mini:org::x1", base=None, task="tutor", suffix=None)
    with talking(schooled, made.id8, "tutor") as (models, card):
        assert models.chat_model(card.name).name == made.name
    with pytest.raises(NotFoundError) as gone:
        running_directory(home).chat_model(made.name)
    assert gone.value.code == "endpoint-unknown"


def test_the_engine_holds_what_is_wanted_and_in_use_before_what_is_new(home, base, adapter):
    made = [import_model(home, str(adapter), base=None, task="tutor", suffix=f"m{n}") for n in range(MAX_ADAPTERS + 3)]
    home.registry.set_route("tutor", made[0].name)
    held = {file.name for file in adapters_of(home, base)}
    assert len(held) == MAX_ADAPTERS
    assert made[0].name in held and made[-1].name in held and made[1].name not in held
    assert made[1].name in {file.name for file in adapters_of(home, base, wanted=(made[1].name,))}
    with talking(home, made[1].name, "tutor") as (models, card):
        assert models.chat_model(card.name).complete(ASKED, SHORT).text


def test_learners_to_practise_on_are_those_of_the_newest_dataset(home, tmp_path):
    from homeroom.data.reading import load_examples

    assert len(practice_scenarios(home)) == 66
    home.datasets.create("mine", load_examples(material.write_jsonl(tmp_path / "l.jsonl", material.learner_records())))
    home.datasets.create("tutors", load_examples(material.write_jsonl(tmp_path / "t.jsonl", material.tutor_records())))
    scenarios = practice_scenarios(home)
    assert sorted(scenario.name for scenario in scenarios) == sorted(name for _, name, *_ in material.LEARNER)
    assert scenario_named(scenarios, None) == scenario_named(scenarios, "1") == scenarios[0]
    assert scenario_named(scenarios, "Zoe").claim == "200"
    assert scenario_named(scenarios, "practice-decades").name == "Zoe"
    for wrong in ("0", "13", "Nobody"):
        with pytest.raises(NotFoundError):
            scenario_named(scenarios, wrong)
