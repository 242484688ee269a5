"""The registry: names, lineage, settings, verdicts, routes, scorecards and deletion."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

import pytest

from homeroom.errors import ConfigError, ConflictError, NotFoundError
from homeroom.registry import ModelRegistry, Route, new_model_name
from homeroom.schema.models import TunedModel
from homeroom.storage import ArtifactStore, Database, Scope
from homeroom.storage.tables import DatasetRow

BASE = "smollm2-135m-instruct"


def tuned(suffix: str = "tutor", id8: str = "0a1b2c3d", **fields: object) -> TunedModel:
    model = TunedModel(
        name=f"ft:{BASE}:homeroom:{suffix}:{id8}",
        base=BASE,
        base_identity="f" * 64,
        method="huggingface",
        kind="lora",
        task="tutor",
        suffix=suffix,
        suitability="practice",
    )
    return replace(model, **fields)  # type: ignore[arg-type]


def artifact(artifacts: ArtifactStore, text: str, kind: str = "model") -> str:
    with artifacts.write(kind) as draft:
        (draft / "file").write_text(text)
    return draft.id


def test_lineage_comes_back_as_it_was_given(registry: ModelRegistry, artifacts: ArtifactStore) -> None:
    model = tuned(
        artifact=artifact(artifacts, "weights"),
        dataset="course@1",
        job_id="job-1",
        code_version="0.1.0",
        recipe={"lora": {"rank": 16}},
        settings={"temperature": 0.2, "stop": ["\n"]},
        metrics={"loss": 2.25},
        verdict="unjudged",
    )
    registered = registry.register(model)
    assert registered.created_at > 0
    assert registry.get(model.name) == registered == replace(model, created_at=registered.created_at)
    assert registry.register(tuned(id8="11111111", created_at=5.0)).created_at == 5.0


def test_a_model_without_its_files_cannot_be_registered(registry: ModelRegistry) -> None:
    with pytest.raises(NotFoundError) as caught:
        registry.register(tuned(artifact="model-0123456789ab"))
    assert caught.value.code == "artifact-not-found"
    assert registry.list() == ()


def test_a_name_is_given_once(registry: ModelRegistry) -> None:
    registry.register(tuned())
    with pytest.raises(ConflictError, match="0a1b2c3d") as caught:
        registry.register(tuned())
    assert caught.value.code == "model-exists"


def test_new_names_have_the_form_of_the_wire_and_differ() -> None:
    first, second = new_model_name(BASE, "fractions-tutor"), new_model_name(BASE, "fractions-tutor")
    assert re.fullmatch(rf"ft:{BASE}:homeroom:fractions-tutor:[0-9a-f]{{8}}", first)
    assert first != second
    assert new_model_name("qwen2.5:0.5b", "a").startswith("ft:qwen2.5-0.5b:homeroom:a:")


@pytest.mark.parametrize("suffix", ["", "Tutor", "my tutor", "-a", "a-", "a:b", "a" * 65, "ü"])
def test_suffixes_that_no_name_can_hold(suffix: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(repr(suffix))) as caught:
        new_model_name(BASE, suffix)
    assert caught.value.code == "bad-suffix"


def test_full_name_id8_and_suffix_find_it(registry: ModelRegistry) -> None:
    registry.register(tuned("tutor", "00000001", created_at=1.0))
    newest = registry.register(tuned("tutor", "00000002", created_at=3.0))
    registry.register(tuned("tutor", "00000003", created_at=2.0))
    for name in (newest.name, "00000002", "tutor"):
        assert registry.resolve(name) == newest.name
    assert registry.get("00000001").created_at == 1.0


def test_id8_goes_before_suffix(registry: ModelRegistry) -> None:
    by_id = registry.register(tuned("tutor", "abcdef01", created_at=1.0))
    registry.register(tuned("abcdef01", "22222222", created_at=2.0))
    assert registry.resolve("abcdef01") == by_id.name


@pytest.mark.parametrize("name", ["", "%", "_", "homeroom", "utor", BASE, "00000001:", "ft:"])
def test_parts_and_patterns_find_nothing(registry: ModelRegistry, name: str) -> None:
    registry.register(tuned("tutor", "00000001"))
    with pytest.raises(NotFoundError, match=re.escape(f"no model {name!r}")):
        registry.get(name)


def test_unknown_name_lists_near_ones(registry: ModelRegistry) -> None:
    model = registry.register(tuned("fractions-tutor"))
    registry.register(tuned("poet", "99999999"))
    with pytest.raises(NotFoundError) as caught:
        registry.get("fraction-tutor")
    assert caught.value.code == "model-not-found"
    assert f"Did you mean {model.name!r}? List them: homeroom models list" in caught.value.message
    with pytest.raises(NotFoundError, match=re.escape("'xyzzy'. List them")):
        registry.get("xyzzy")


def test_list_is_newest_first_and_by_task(registry: ModelRegistry) -> None:
    old = registry.register(tuned("a", "00000001", created_at=1.0))
    new = registry.register(tuned("b", "00000002", created_at=2.0, task="learner"))
    assert registry.list() == (new, old)
    assert registry.list("tutor") == (old,)
    assert registry.list("poet") == ()


def test_settings_are_replaced_and_verdict_recorded(registry: ModelRegistry) -> None:
    model = registry.register(tuned(settings={"temperature": 1.0, "system_prompt": "Ask."}))
    registry.set_settings("tutor", {"temperature": 0.5})
    assert registry.set_verdict(model.id8, "practice").verdict == "practice"
    found = registry.get(model.name)
    assert (found.settings, found.verdict) == ({"temperature": 0.5}, "practice")


def test_settings_of_models_not_tuned_here(registry: ModelRegistry) -> None:
    assert registry.base_settings(BASE) == {}
    registry.set_settings(BASE, {"temperature": 0.5})
    registry.set_settings(BASE, {"max_tokens": 9})
    registry.set_settings("ollama/llama", {"temperature": 0.1})
    assert registry.base_settings(BASE) == {"max_tokens": 9}
    assert registry.base_settings("ollama/llama") == {"temperature": 0.1}
    with pytest.raises(NotFoundError):
        registry.set_settings(tuned().name, {})


def test_the_narrowest_route_wins(registry: ModelRegistry) -> None:
    models = [registry.register(tuned(f"m{n}", f"0000000{n}")).name for n in range(4)]
    assert registry.route("tutor", "science", "3-5") is None
    registry.set_route("tutor", "m0")
    registry.set_route("tutor", "m1", grade_band="3-5")
    registry.set_route("tutor", "m2", subject="science")
    registry.set_route("tutor", "m3", subject="science", grade_band="3-5")
    asked = [("history", "6-8"), ("history", "3-5"), ("science", "6-8"), ("science", "3-5")]
    assert [registry.route("tutor", *key) for key in asked] == models
    assert registry.route("tutor") == models[0]
    assert registry.route("learner") is None
    registry.clear_route("tutor", "science", "3-5")
    assert registry.route("tutor", "science", "3-5") == models[2]


def test_a_route_is_replaced_and_kept_by_full_name(registry: ModelRegistry) -> None:
    registry.register(tuned("a", "00000001"))
    second = registry.register(tuned("b", "00000002"))
    registry.set_route("tutor", "a")
    assert registry.set_route("tutor", "00000002") == Route("tutor", "*", "*", second.name)
    assert registry.routes() == (Route("tutor", "*", "*", second.name),)


def test_a_route_may_name_a_base_but_no_missing_tuned_model(registry: ModelRegistry) -> None:
    registry.set_route("tutor", BASE)
    assert registry.route("tutor") == BASE
    with pytest.raises(NotFoundError):
        registry.set_route("tutor", tuned().name)
    with pytest.raises(NotFoundError) as caught:
        registry.clear_route("learner")
    assert caught.value.code == "route-not-found"


def test_scorecards_are_newest_first(registry: ModelRegistry, artifacts: ArtifactStore) -> None:
    model = registry.register(tuned())
    report = artifact(artifacts, "report", "report")
    first = registry.add_scorecard("tutor", "course@1", report, {"headline": {"variety": 0.5}})
    second = registry.add_scorecard(model.id8, "course@2", "", {})
    assert registry.scorecards(model.name) == (second, first)
    assert (first.model_name, first.dataset, first.report_artifact) == (model.name, "course@1", report)
    assert first.summary == {"headline": {"variety": 0.5}}
    with pytest.raises(NotFoundError, match="report-000000000000"):
        registry.add_scorecard("tutor", "course@1", "report-000000000000", {})


def test_deletion_refuses_while_a_route_names_it(registry: ModelRegistry, artifacts: ArtifactStore) -> None:
    weights = artifact(artifacts, "weights")
    model = registry.register(tuned(artifact=weights))
    registry.set_route("tutor", model.name, subject="science")
    with pytest.raises(ConflictError, match="answers for tutor / science / \\*") as caught:
        registry.delete("tutor")
    assert caught.value.code == "model-in-use"
    assert registry.get(model.name) == model
    registry.clear_route("tutor", "science")
    registry.delete("tutor")
    with pytest.raises(NotFoundError):
        registry.get(model.name)
    assert artifacts.list("model") == ()


def test_deletion_takes_scorecards_and_leaves_shared_files(
    registry: ModelRegistry, artifacts: ArtifactStore, database: Database
) -> None:
    shared, own = artifact(artifacts, "shared"), artifact(artifacts, "own")
    report, common = artifact(artifacts, "report", "report"), artifact(artifacts, "common", "report")
    data = artifact(artifacts, "data", "dataset")
    with database.write() as session:
        session.add(DatasetRow(id="d", name="d", version=1, artifact=data))
    registry.register(tuned("a", "00000001", artifact=own))
    registry.register(tuned("b", "00000002", artifact=shared))
    registry.register(tuned("c", "00000003", artifact=shared))
    for name, artifact_id in (("a", report), ("a", common), ("b", common), ("a", data)):
        registry.add_scorecard(name, "d", artifact_id, {})
    registry.delete("a")
    registry.delete("c")
    assert artifacts.list("model") == (shared,)
    assert artifacts.list("report") == (common,)
    assert artifacts.list("dataset") == (data,)
    assert [card.report_artifact for card in registry.scorecards("b")] == [common]


def test_deletion_goes_through_when_the_files_are_gone(registry: ModelRegistry, artifacts: ArtifactStore) -> None:
    weights = artifact(artifacts, "weights")
    registry.register(tuned(artifact=weights))
    artifacts.delete(weights)
    registry.delete("tutor")
    assert registry.list() == ()


def test_others_neither_see_nor_change_a_model(database: Database, artifacts: ArtifactStore, registry: ModelRegistry) -> None:
    model = registry.register(tuned())
    registry.set_settings(BASE, {"temperature": 0.5})
    registry.set_route("tutor", "tutor")
    for scope in (Scope("other", "local"), Scope("local", "other")):
        other = ModelRegistry(database, artifacts, scope=scope)
        assert (other.list(), other.routes(), other.route("tutor"), other.base_settings(BASE)) == ((), (), None, {})
        for attempt in (other.get, other.delete, other.scorecards, partial(other.set_verdict, verdict="passed")):
            with pytest.raises(NotFoundError) as caught:
                attempt(model.name)
            assert "Did you mean" not in caught.value.message
    assert registry.get(model.name) == model


def test_a_model_made_after_the_clock_was_set_back_is_still_the_newest(registry: ModelRegistry) -> None:
    before = registry.register(tuned("tutor", "00000001", created_at=4e9))
    after = registry.register(tuned("tutor", "00000002"))
    assert after.created_at > before.created_at
    assert [model.name for model in registry.list()] == [after.name, before.name]
    assert registry.resolve("tutor") == after.name


def test_a_scorecard_that_is_recorded_again_is_one(registry: ModelRegistry) -> None:
    model = registry.register(tuned())
    first = registry.add_scorecard(model.name, "course@1", "", {"sound": 0.5}, scorecard_id="score-1")
    assert registry.add_scorecard(model.name, "course@1", "", {"sound": 0.9}, scorecard_id="score-1") == first
    registry.add_scorecard(model.name, "course@1", "", {"sound": 0.9})
    assert len(registry.scorecards(model.name)) == 2


def test_what_is_known_later_takes_the_place_of_what_was_known(registry: ModelRegistry, artifacts: ArtifactStore) -> None:
    first = registry.register(tuned(job_id="job-1", dataset="upload@1"))
    registry.set_verdict(first.name, "passed")
    registry.set_route("tutor", first.name)
    with pytest.raises(NotFoundError):
        registry.update(tuned(id8="11111111"))
    with pytest.raises(NotFoundError):
        registry.update(tuned(artifact="model-0123456789ab"))
    known = registry.update(tuned(job_id="job-2", dataset="course@1", created_at=1.0, verdict="unjudged", metrics={"loss": 1.5}))
    assert registry.list() == (known,) and registry.route("tutor") == first.name
    assert (known.job_id, known.dataset, known.metrics["loss"]) == ("job-2", "course@1", 1.5)
    assert (known.created_at, known.verdict) == (first.created_at, "passed")
