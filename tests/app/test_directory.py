"""What the chat may use, and through what it is reached."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest

from homeroom.app.directory import HomeDirectory
from homeroom.app.engine_keeper import EngineKeeper
from homeroom.app.engines import adapters_of, engine, resolve_running
from homeroom.app.home import Homeroom
from homeroom.app.importing import import_model
from homeroom.app.talk import full_name, practice_scenarios, running_directory, scenario_named, talking
from homeroom.chat.directory import find_card, resolve_card
from homeroom.errors import ConfigError, ConflictError, NotFoundError, ProviderError
from homeroom.models import prepared, tiny
from homeroom.models.engine_info import find_running, info_path, read_running
from homeroom.models.engine_use import last_use, mark_use
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Message
from homeroom.settings import Endpoint
from homeroom.storage import Database
from homeroom.storage.lock import HomeLock
from tests.app import material

pytestmark = pytest.mark.slow  # many processes, or much arithmetic

ASKED = [Message("user", "Half of 14 is 8.")]
SHORT = GenerationSettings(max_tokens=4)
SCHOOL = Endpoint("school", "http://127.0.0.1:9/v1", "SCHOOL_KEY", ("large", "small"))


@pytest.fixture
def adapter(home, tmp_path):
    return material.random_adapter(home.base_files(), tmp_path / "adapter")


@pytest.fixture
def tutor(home, adapter):
    return import_model(home, str(adapter), base=None, task="tutor", suffix="red", system_prompt="You are a tutor.")


@pytest.fixture
def wide(home, tmp_path):
    """The home with a second base, "other", beside the default one, in a cache of this test's own."""
    shutil.copytree(home.settings.cache, tmp_path / "cache")
    prepared.prepare_folder(tiny.build(tmp_path / "other", seed=5), "other", tmp_path / "cache")
    return Homeroom(replace(home.settings, cache=tmp_path / "cache"), home.database)


def with_endpoint(home: Homeroom, endpoint: Endpoint = SCHOOL) -> Homeroom:
    return Homeroom(replace(home.settings, endpoints=(endpoint,)), home.database)


def test_cards_come_in_order_and_say_what_they_are(home, adapter, tutor):
    newer = import_model(home, str(adapter), base=None, task="learner", suffix="blue")
    cards = running_directory(with_endpoint(home)).list()
    assert [card.name for card in cards] == ["tiny", "school/large", "school/small", newer.name, tutor.name]
    assert [card.kind for card in cards] == ["base", "endpoint", "endpoint", "tuned", "tuned"]
    assert (cards[-1].task, cards[-1].system_prompt, cards[-1].verdict) == ("tutor", "You are a tutor.", "unjudged")
    assert all(card.suitability in ("practice", "trainee") for card in cards), "no model here may face children"


def test_what_was_tuned_at_an_endpoint_is_in_the_list_once(home):
    offered = replace(SCHOOL, models=("large", "ft:large:org:mine:1"))
    there = with_endpoint(home, offered)
    base = import_model(there, "school/large", base="school/large", task="tutor", suffix="as-it-is")
    mine = import_model(there, "school/ft:large:org:mine:1", base="school/large", task="tutor", suffix=None)
    models = running_directory(there)
    there.registry.set_route("tutor", "school/ft:large:org:mine:1")  # as it was called before it was imported
    assert [card.name for card in models.list()] == ["tiny", "school/large", mine.name, base.name]
    assert models.card("school/ft:large:org:mine:1").name == mine.name == resolve_card(models, None, "tutor").name


def test_an_endpoint_that_is_this_very_server_offers_nothing_twice_and_is_not_asked(home, tutor):
    for named in ((), ("tiny", tutor.name, "gone")):
        own = Endpoint("me", "http://localhost:8642/v1", "", named)
        models = running_directory(with_endpoint(home, own))
        with HomeLock(home.settings.home, "http://127.0.0.1:8642"):
            assert [card.name for card in models.list()] == ["tiny", *(["me/gone"] if named else []), tutor.name]
            assert models.card(f"me/{tutor.name}").name == tutor.name and models.card("me/tiny").name == "tiny"
        other = running_directory(with_endpoint(home, own))
        with HomeLock(home.settings.home, "http://127.0.0.1:8643"):
            assert [card.name for card in other.list()] == ["tiny", *(f"me/{name}" for name in named), tutor.name]


def test_the_list_is_kept_until_something_changes(wide, adapter, tmp_path):
    models = running_directory(wide)
    first = models.list()
    assert models.list() is first
    made = import_model(wide, str(adapter), base="tiny", task="tutor", suffix=None)
    assert [card.name for card in models.list()] == ["tiny", "other", made.name]
    with closing(Homeroom(wide.settings, Database.for_home(wide.settings.home))) as elsewhere:  # as another process does
        elsewhere.registry.set_verdict(made.name, "reject")
    assert models.list()[-1].verdict == "reject"
    prepared.prepare_folder(tiny.build(tmp_path / "third", seed=6), "third", wide.settings.cache)
    assert [card.name for card in models.list()] == ["tiny", "other", "third", made.name]


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
        with closing(HomeDirectory(home, one)) as models:
            assert models.chat_model("tiny").complete(ASKED, SHORT).text


def test_an_adapter_changes_what_the_base_says(home, base, tutor):
    with engine(home, base) as resolve, closing(HomeDirectory(home, resolve)) as models:
        plain, tuned = (
            models.chat_model(name).complete(ASKED, replace(SHORT, max_tokens=12)).text for name in ("tiny", tutor.name)
        )
    assert plain != tuned


def test_one_commands_engine_is_not_asked_for_another_base(wide, base):
    with engine(wide, base) as resolve, closing(HomeDirectory(wide, resolve)) as models:
        with pytest.raises(ConflictError, match="serves 'tiny' only, and 'other' was asked for") as refused:
            models.chat_model("other").complete(ASKED, SHORT)
    assert refused.value.code == "base-not-served"


def test_without_an_engine_the_reason_is_told_at_once(home):
    models = running_directory(home.with_base("smollm2-135m-instruct"))
    with pytest.raises(NotFoundError) as refused:
        models.chat_model("smollm2-135m-instruct").complete(ASKED, SHORT)
    assert refused.value.code == "not-pulled"
    with pytest.raises(ProviderError, match="homeroom serve") as down:
        resolve_running(home, home.base_files().identity, timeout_s=0.2)
    assert down.value.code == "engine-down"


def test_a_model_whose_base_was_pulled_in_another_version_is_refused(home, tutor, tmp_path, monkeypatch):
    cache = tmp_path / "newer"
    monkeypatch.setenv("HOMEROOM_CACHE", str(cache))
    prepared.prepare_folder(tiny.build(tmp_path / "tiny", seed=9), "tiny", cache)
    models = running_directory(Homeroom(replace(home.settings, cache=cache), home.database))
    with pytest.raises(ConflictError, match="homeroom tune run --base tiny") as refused:
        models.chat_model(tutor.name)
    assert refused.value.code == "base-mismatch"


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
    home = Homeroom(replace(home.settings, engine_adapters=3), home.database)
    made = [import_model(home, str(adapter), base=None, task="tutor", suffix=f"m{n}").name for n in range(6)]
    home.registry.set_route("tutor", made[0])

    def held(*wanted):
        return [made.index(file.name) for file in adapters_of(home, base, wanted=wanted)]

    assert held() == [0, 5, 4]
    assert held(made[1]) == [1, 0, 5]
    mark_use(home.settings.home, made[2])
    assert last_use(home.settings.home, made[2]) > last_use(home.settings.home, made[3]) == 0
    assert held() == [0, 2, 5]
    with talking(home, made[1], "tutor") as (models, card):
        assert models.chat_model(card.name).complete(ASKED, SHORT).text


@pytest.fixture
def keeper(wide):
    """The engines of a server, with room for two models tuned here at a time."""
    home = Homeroom(replace(wide.settings, engine_adapters=2), wide.database)
    said = []
    kept = EngineKeeper(home, said.append)
    kept.home, kept.said = home, said
    kept.start()
    yield kept
    kept.stop()
    assert not info_path(home.settings.home).exists()


def test_a_server_answers_as_every_base_that_is_here(keeper):
    with closing(running_directory(keeper.home)) as models:
        assert [card.name for card in models.list()] == ["tiny", "other"]
        texts = {name: models.chat_model(name).complete(ASKED, SHORT).text for name in ("tiny", "other")}
        assert texts["tiny"] != texts["other"]
        served = {info.base for info in read_running(keeper.home.settings.home).engines}
    assert served == {"tiny", "other"}
    with talking(keeper.home, "other", "tutor") as (models, card):
        assert models.chat_model(card.name).complete(ASKED, SHORT).text == texts["other"]
    assert keeper.said == []


def test_a_server_takes_in_any_model_that_is_asked_for_however_many_there_are(keeper, adapter):
    made = [import_model(keeper.home, str(adapter), base=None, task="tutor", suffix=f"m{n}").name for n in range(4)]
    with closing(running_directory(keeper.home)) as models:
        texts = [models.chat_model(name).complete(ASKED, SHORT).text for name in made]
        assert len(set(texts)) == 1 and texts[0]  # all hold the same adapter
        with ThreadPoolExecutor(4) as pool:
            again = pool.map(lambda n: models.chat_model(made[n % 4]).complete(ASKED, SHORT).text, range(12))
            assert list(again) == texts * 3
    assert keeper.said == []


def test_a_server_with_room_for_one_base_takes_turns_and_refuses_what_never_fits(wide):
    small = Homeroom(replace(wide.settings, engine_memory_mb=95), wide.database)
    keeper = EngineKeeper(small, print)
    keeper.start()
    try:
        with closing(running_directory(small)) as models:
            for name in ("tiny", "other", "tiny"):  # one at a time fits
                assert models.chat_model(name).complete(ASKED, SHORT).text
                assert [info.base for info in read_running(small.settings.home).engines] == [name]
    finally:
        keeper.stop()
    tight = Homeroom(replace(wide.settings, engine_memory_mb=50), wide.database)
    with pytest.raises(ConflictError, match=r"needs 9\d MB .* may take 50 MB") as refused:
        with engine(tight, tight.base_files()):
            pass
    assert refused.value.code == "engine-memory"


def test_what_never_fits_is_said_once_and_not_at_every_try(wide):
    said: list[str] = []
    keeper = EngineKeeper(Homeroom(replace(wide.settings, engine_memory_mb=10), wide.database), said.append, retry_s=0.005)
    keeper.start()
    try:
        while not keeper.settled():
            time.sleep(0.01)
        time.sleep(0.5)  # a hundred further tries
    finally:
        keeper.stop()
    (line,) = said
    assert "may take 10 MB" in line


def test_learners_to_practise_on_are_those_of_the_newest_dataset(home, tmp_path):
    from homeroom.data.course import load_course
    from homeroom.data.reading import load_examples

    assert len(practice_scenarios(home)) == sum(example.task == "learner" for example in load_course()) > 60
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
