"""Who takes part in a comparison: what is there and fits is taken, what is missing is a run, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from homeroom.app.compare_entries import PROBE, default_run, known_methods
from homeroom.app.compare_facts import label_of, text_goes
from homeroom.app.comparing import Wanted, lineup, submit_comparison
from homeroom.app.deleting import delete_model
from homeroom.app.evaluation import held_out_items, left_out, opened, seen_elsewhere, submit_evaluation
from homeroom.app.home import Homeroom
from homeroom.app.probing import Question, submit_probe
from homeroom.data.reading import load_examples
from homeroom.errors import ConfigError, ConflictError, DataError, NotFoundError
from homeroom.models import tiny
from homeroom.schema.models import TunedModel
from homeroom.settings import Endpoint
from homeroom.tuning.openai.recipe import OpenAIRecipe
from homeroom.tuning.recipe_file import METHODS
from tests.app import material


@pytest.fixture
def dataset(home, tmp_path):
    records = [*material.tutor_records(), *material.learner_records()]
    return home.datasets.create("mine", load_examples(material.write_jsonl(tmp_path / "mine.jsonl", records)))


@pytest.fixture
def made(home, dataset):
    """Registers a model that was tuned on the dataset."""

    def make(name: str, **changed) -> TunedModel:
        about = {"method": "huggingface", "kind": "lora", "task": "tutor", "dataset": dataset.info.id, **changed}
        model = TunedModel(f"ft:tiny:homeroom:{name}:{len(home.registry.list()):08d}", tiny.NAME, "x", suffix=name,
                           suitability="practice", **about)  # fmt: skip
        return home.registry.register(model)

    return make


def names(found) -> list[str]:
    return [entry.label for entry in found.entries]


@pytest.mark.slow  # DSPy is looked for
def test_with_nothing_named_every_method_takes_part_with_its_own_recipe(home, dataset):
    pytest.importorskip("dspy")
    found = lineup(home, Wanted("mine"))
    assert (found.task, found.base) == ("tutor", tiny.NAME)
    assert [entry.run.method for entry in found.entries] == list(known_methods())
    assert set(known_methods()) == {type_.model_fields["method"].default for type_ in METHODS.values()}
    assert all(entry.run.base == tiny.NAME and entry.run.task == "tutor" for entry in found.entries)
    assert home.jobs.list() == (), "it starts nothing"
    assert {default_run(method, "learner").tasks for method in known_methods()} == {("learner",)}


def test_the_newest_fitting_model_of_a_method_is_taken_and_no_other(home, dataset, made):
    made("older")
    newest = made("newer")
    made("other-data", dataset="another version")
    made("learner", task="learner")
    made("short", recipe={"name": f"{PROBE}-1"})
    made("step", metrics={"checkpoint_of": "x"})
    found = lineup(home, Wanted("mine", methods=("huggingface",)))
    assert names(found) == [newest.name]
    assert names(lineup(home, Wanted("mine", methods=("local",)))) == [newest.name], "another name of the same"
    learner = lineup(home, Wanted("mine", methods=("huggingface",), task="learner"))
    assert names(learner)[0].startswith("ft:tiny:homeroom:learner:")


def test_the_same_question_is_the_same_job_in_any_order(home, dataset, made):
    one, two = made("one"), made("two")
    wanted = Wanted("mine", models=(one.name, two.name))
    job = submit_comparison(home, lineup(home, wanted), wanted).job
    turned = Wanted("mine@1", models=("two", "one"))
    assert submit_comparison(home, lineup(home, turned), turned).job.id == job.id
    for other in (Wanted("mine", models=("one",)), Wanted("mine", models=("one", "two"), prompt="Be kind."),
                  Wanted("mine", models=("one", "two"), again=True)):  # fmt: skip
        assert submit_comparison(home, lineup(home, other), other).job.id != job.id
    assert job.payload["task"] == "tutor" and home.held_out.openings(dataset.info.id) == (), "queued is not opened"


def test_a_missing_model_is_tuned_before_the_comparison(home, dataset):
    wanted = Wanted("mine", methods=("huggingface",))
    submitted = submit_comparison(home, lineup(home, wanted), wanted)
    ((label, tuning),) = submitted.tunings
    assert label.startswith("huggingface (") and tuning.kind == "tune"
    assert submitted.job.depends_on == (tuning.id,)


def test_the_controls_are_on_the_base_of_the_recipes(home, dataset):
    far = Endpoint("far", "https://far.example/v1", models=("one", "two"))
    away = Homeroom.open(settings=replace(home.settings, endpoints=(far,)))
    runs = {name: OpenAIRecipe(name=name, task="tutor", base=f"far/{name}") for name in ("one", "two")}
    alone = lineup(away, Wanted("mine", recipes=(runs["one"],)))
    assert alone.base == "far/one" and not [note for note in alone.notes if "controls" in note]
    both = lineup(away, Wanted("mine", recipes=tuple(runs.values())))
    assert both.base == tiny.NAME
    (note,) = [note for note in both.notes if "controls" in note]
    assert f"the controls are on {tiny.NAME!r}, and recipes on 'far/one', 'far/two'" in note
    named = lineup(away, Wanted("mine", recipes=(runs["one"],), base="far/two"))
    assert named.base == "far/two" and any("'far/two', and recipes on 'far/one'" in note for note in named.notes)


def test_a_model_that_was_tuned_on_other_examples_is_named(home, dataset, made):
    made("far", dataset="another version")
    (note,) = lineup(home, Wanted("mine", models=("far",))).notes
    assert "was not tuned on mine@1" in note and "may hold test examples" in note


@pytest.fixture
def copied(home, dataset):
    """Makes a dataset whose train part holds examples of the other's test part, and some more."""

    def make(name: str, taken, *, part: str = "train") -> str:
        def again(example):  # other metadata and other blanks: another id, the same question
            messages = tuple(replace(m, content=f" {m.content} ".replace(" ", "  ")) for m in example.messages)
            return replace(example, messages=messages, metadata={**example.metadata, "author": "somebody"})

        copies = [again(e) for e in taken] + dataset.part("train", "tutor")
        assigned = {e.id: part if number < len(taken) else "train" for number, e in enumerate(copies)}
        return home.datasets.create(name, copies, assigned=assigned).info.id

    return make


@pytest.mark.parametrize("part", ["train", "validation"])
def test_nothing_is_judged_on_what_a_model_was_tuned_on_elsewhere(home, dataset, made, copied, part):
    held_out = dataset.part("test", "tutor")
    learnt = made("by-heart", dataset=copied("other", held_out[:1], part=part))
    seen = seen_elsewhere(home, dataset, [made("honest"), learnt])
    items = held_out_items(dataset, "tutor", 1000, seen)
    assert {item.example.id for item in items} == {e.id for e in held_out[1:]}
    assert left_out(dataset, "tutor", seen).startswith(f"1 of {len(held_out)} held-out examples are left out")
    notes = lineup(home, Wanted("mine", models=("by-heart",))).notes
    assert any("1 of" in note and "left out" in note for note in notes)


def test_a_model_that_was_tuned_on_the_whole_test_split_is_not_judged_on_it(home, dataset, made, copied):
    learnt = made("by-heart", dataset=copied("other", dataset.part("test", "tutor")))
    for judged in (lambda: lineup(home, Wanted("mine", models=("by-heart",))),
                   lambda: submit_evaluation(home, learnt, dataset="mine")):  # fmt: skip
        with pytest.raises(DataError, match="homeroom data versions") as refused:
            judged()
        assert refused.value.code == "all-seen"
    assert home.jobs.list() == (), "and it waits for nothing"


def test_a_new_version_does_not_make_a_look_the_first_one(home, dataset, made):
    model, number = made("one"), iter(range(100))

    def look(version, task: str = "tutor") -> int:
        return opened(home, f"job-{next(number)}", version, task, [model]).number

    changed = [replace(e, metadata={**e.metadata, "author": "x"}) for e in dataset.examples]  # other ids, the same questions
    assigned = {new.id: dataset.splits[old.id] for old, new in zip(dataset.examples, changed, strict=True)}
    again = home.datasets.create("renamed", changed, assigned=assigned)
    apart = home.datasets.create("apart", dataset.examples, assigned={
        e.id: "train" if dataset.splits[e.id] == "test" else "test" for e in dataset.examples})  # fmt: skip
    assert look(dataset) == 1
    assert look(again) == 2
    assert look(dataset) == 3
    assert look(again, "learner") == 1, "other questions"
    assert look(apart) == 1, "what it holds out nobody has looked at"
    home.held_out.open("job-gone", "a version that is gone", "tutor", [])
    assert look(again) == 4


def test_the_test_split_of_another_version_is_no_training(home, dataset, made):
    other = home.datasets.create("other", dataset.examples, assigned=dict.fromkeys((e.id for e in dataset.examples), "test"))
    assert seen_elsewhere(home, dataset, [made("x", dataset=other.info.id), made("y"), made("z", dataset="gone")]) == frozenset()


def test_what_cannot_be_compared_is_refused(home, dataset, made):
    made("learner", task="learner")
    for wanted, code in (
        (Wanted("mine", methods=("magic",)), "unknown-method"),
        (Wanted("mine", models=("learner",), task="tutor"), "compare-task"),
        (Wanted("mine", models=("nobody",)), "model-not-found"),
        (Wanted("nothing"), "dataset-not-found"),
    ):
        with pytest.raises((ConfigError, NotFoundError)) as refused:
            lineup(home, wanted)
        assert refused.value.code == code


def test_where_text_goes_follows_from_the_endpoints(home, made):
    near = Endpoint("near", "http://127.0.0.1:9/v1", (), "")
    far = Endpoint("far", "https://api.example.org/v1", (), "")
    home.settings = type(home.settings)(**{**vars_of(home.settings), "endpoints": (near, far)})
    there = made("there", method="openai", kind="remote", remote_id="far/x")
    here = made("here", method="openai")
    by = made("by", method="openai", kind="remote", remote_id="near/x")
    helped = made("helped", method="dspy", kind="prompt", recipe={"prompt_model": "far/wise"})
    assert text_goes(home, tiny.NAME, there) == ("api.example.org", True)
    assert text_goes(home, tiny.NAME, by) == ("this machine (near)", False)
    assert text_goes(home, tiny.NAME, helped) == ("api.example.org", True), "what writes its instructions sees the examples"
    assert text_goes(home, tiny.NAME, None) == ("this machine", False)
    assert [label_of(home, m) for m in (there, here, by)] == ["openai", "openai (this server)", "openai (this server)"]


def vars_of(settings) -> dict:
    import dataclasses

    return {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}


def test_a_probe_sets_whole_topics_aside_before_anything_is_tuned(home, dataset):
    question = Question("mine", task="tutor", items=4)
    submitted = submit_probe(home, question)
    ((_, tuning),) = submitted.tunings
    aside = home.datasets.get("mine").set_aside
    topics = {e.metadata["topic"] for e in dataset.examples if e.id in aside}
    left = {e.metadata["topic"] for e in home.datasets.get("mine").part("train", "tutor")}
    assert topics and not topics & left and len(topics) <= len(topics | left) / 3
    assert aside <= {e.id for e in dataset.part("train", "tutor")}
    assert tuning.payload["recipe"]["name"].startswith(PROBE) and submitted.job.depends_on == (tuning.id,)
    again = submit_probe(home, question)
    assert again.job.id == submitted.job.id and home.datasets.get("mine").set_aside == aside
    submit_probe(home, Question("mine", task="tutor", items=3))
    assert home.datasets.get("mine").set_aside > aside, "another question is judged on other examples"


def test_a_probe_is_refused_when_no_topic_can_be_spared(home, tmp_path):
    few = material.tutor_records()[:6]
    home.datasets.create("few", load_examples(material.write_jsonl(tmp_path / "few.jsonl", few)))
    with pytest.raises(DataError) as refused:
        submit_probe(home, Question("few"))
    assert refused.value.code == "too-few-examples"
    assert home.datasets.get("few").set_aside == frozenset()


def test_a_model_that_a_comparison_will_ask_is_not_deleted_until_it_is_over(home, dataset, made):
    one, two, other = made("one"), made("two", job_id="job-2"), made("other", job_id="job-3")
    payload = {"dataset": dataset.info.id, "task": "tutor", "base": tiny.NAME, "entries": [{"model": one.name}, {"job": "job-2"}]}
    job = home.jobs.submit("compare", payload)
    for model in (one, two):
        with pytest.raises(ConflictError, match=job.id) as refused:
            delete_model(home, model.name)
        assert refused.value.code == "model-in-use" and f"homeroom jobs cancel {job.id}" in refused.value.message
    delete_model(home, other.name)
    delete_model(home, two.name, by=job.id)  # the job itself, of what it made for itself alone
    claimed = home.jobs.claim("worker", 60)
    assert claimed is not None
    with pytest.raises(ConflictError):
        delete_model(home, one.name)
    home.jobs.finish(job.id, claimed.token, "succeeded", {})
    delete_model(home, one.name)
    assert home.registry.list() == ()


def test_a_model_that_a_queued_run_is_made_on_is_not_deleted(home, made):
    base = made("base")
    home.jobs.submit("tune", {"recipe": {"base": base.name}})
    with pytest.raises(ConflictError):
        delete_model(home, base.name)
