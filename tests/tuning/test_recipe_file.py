"""Recipes: every mistake at once, by name and with what is allowed; several runs in one file."""

from __future__ import annotations

from pathlib import Path

import pytest

from homeroom.errors import ConfigError
from homeroom.tuning.recipe import fill_system_prompt
from homeroom.tuning.recipe_file import RECIPES, dump_recipe, load_recipes, load_runs, load_sweep, parse_recipe, run_of
from homeroom.tuning.sweep.space import SweepSpec

WRONG = """
name: My Run
task: tuter
epocs: 3
learning_rate: 1
optimiser: {learning_rate: 3, betas: [0.9, 2]}
lora: {rank: 1.5, target_modules: [q_proj, query]}
accumulation: {examples: 3, tokens: 4}
system_prompt: "Teach {subjct}."
batch_tokens: 64
"""


def test_all_mistakes_are_reported_at_once_with_value_and_range(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(WRONG)
    with pytest.raises(ConfigError) as caught:
        load_recipes(file)
    assert caught.value.code == "recipe-invalid"
    lines = str(caught.value).splitlines()
    assert lines[0] == f"The recipe {str(file)!r} has 10 mistakes:"
    assert set(lines[1:-1]) == {
        "  name = 'My Run': must be lower-case letters, digits and hyphens, at most 40",
        "  task = 'tuter': must be one of 'tutor', 'learner', 'any'",
        "  epocs: unknown key; did you mean 'epochs'?",
        "  learning_rate: unknown key; did you mean 'optimiser.learning_rate'?",
        "  optimiser.learning_rate = 3: must be a number above 0 and at most 0.1",
        "  optimiser.betas[1] = 2: must be a number at least 0 and below 1",
        "  lora.rank = 1.5: must be a whole number at least 1 and at most 256",
        "  lora.target_modules[1] = 'query': must be one of 'q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'",
        "  accumulation: give exactly one of 'examples' and 'tokens'",
        "  system_prompt = 'Teach {subjct}.': unknown placeholder 'subjct'; known are {subject}, {grade}, {grade_band}; "
        "write {{ and }} for braces that are meant",
    }
    assert lines[-1].endswith(f"homeroom tune plan --recipe {file}")


def test_a_batch_must_hold_the_longest_example() -> None:
    with pytest.raises(ConfigError, match=r"batch_tokens = 64 must be at least data.max_sequence_tokens = 320"):
        parse_recipe({"name": "x", "batch_tokens": 64})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "not YAML"),
        ("- a\n- b\n", "must hold keys"),
        ("epochs: 1\nepochs: 2\n", "the key 'epochs' is given twice"),
        ("name: x\nlora:\n  rank: 4\n  rank: 8\n", "the key 'rank' is given twice"),
        ("runs: [a, b]\n", "must map each run's name"),
        ("runs:\n  a: 3\n", "must map each run's name"),
    ],
)
def test_what_is_no_recipe_says_so(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_recipes(file)
    assert caught.value.code == "recipe-invalid"


def test_runs_share_defaults_and_override_them(tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(
        "epochs: 2\noptimiser: {learning_rate: 1e-3, weight_decay: 0.1}\naccumulation: {examples: 4}\n"
        "runs:\n  learner: {task: learner, optimiser: {learning_rate: 2e-3}, accumulation: {tokens: 900}}\n  tutor:\n"
    )
    learner, tutor = load_recipes(file)
    assert (learner.name, learner.task, learner.epochs, learner.model_suffix) == ("learner", "learner", 2, "learner")
    assert (learner.optimiser.learning_rate, learner.optimiser.weight_decay) == (0.002, 0.1)
    assert (learner.accumulation.examples, learner.accumulation.tokens) == (None, 900)
    assert (tutor.name, tutor.task, tutor.optimiser.learning_rate, tutor.accumulation.examples) == ("tutor", "tutor", 0.001, 4)


def test_mistakes_in_runs_name_the_run(tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text("epochs: 0\nruns:\n  a: {task: learner}\n  b: {lora: {rank: 0}}\n")
    with pytest.raises(ConfigError) as caught:
        load_recipes(file)
    text = str(caught.value)
    assert "runs.a.epochs = 0: must be a whole number at least 1" in text
    assert "runs.b.epochs = 0" in text
    assert "runs.b.lora.rank = 0" in text


def test_a_recipe_survives_being_written_and_read(tmp_path: Path) -> None:
    recipe = parse_recipe({"name": "r", "system_prompt": "Grüße {grade}", "lora": {"last_layers": 4}, "max_trained_tokens": 900})
    file = tmp_path / "again.yaml"
    file.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipes(file) == [recipe]


@pytest.mark.parametrize("name", sorted(path.name for path in RECIPES.glob("*.yaml")))
def test_bundled_recipes_are_valid_and_found_by_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_runs(Path(name)) == load_runs(Path("recipes") / name) == load_runs(RECIPES / name)
    assert f"homeroom tune run --recipe recipes/{name}" in (RECIPES / name).read_text(encoding="utf-8")


def test_the_demo_stays_within_its_budget() -> None:
    (recipe,) = load_recipes(Path("demo.yaml"))
    assert (recipe.task, recipe.tasks) == ("any", ("learner", "tutor"))
    assert recipe.max_trained_tokens == 16_000
    assert recipe.data.max_sequence_tokens == 320


def test_a_run_for_both_parts_can_be_made_for_one() -> None:
    (both,) = load_recipes(Path("demo.yaml"))
    learner, tutor = both.for_task("learner"), both.for_task("tutor")
    assert (learner.task, learner.model_suffix, learner.roles) == ("learner", "learner", {})
    assert (learner.generation.temperature, tutor.generation.temperature) == (0.4, 0.0)
    assert learner.for_task("learner") == learner


def test_roles_have_names_of_their_own_that_follow_from_the_models() -> None:
    (both,) = load_recipes(Path("demo.yaml"))
    names = both.role_names("ft:base/x:homeroom:demo:0123abcd")
    assert names == both.role_names("ft:base/x:homeroom:demo:0123abcd")
    assert [name.rsplit(":", 1)[0] for name in names.values()] == ["ft:base/x:homeroom:learner", "ft:base/x:homeroom:tutor"]
    assert len({name.rsplit(":", 1)[1] for name in names.values()} | {"0123abcd"}) == 3


def test_roles_need_a_run_for_both(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("task: tutor\nroles: {learner: {}}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="roles are for task = 'any', and this is 'tutor'"):
        load_recipes(file)
    file.write_text("task: any\nroles: {cook: {}, tutor: {generation: {temperature: 9}}}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_recipes(file)
    assert "2 mistakes" in caught.value.message
    assert "temperature = 9: must be a number at least 0 and at most 2" in caught.value.message


def test_a_missing_recipe_names_the_bundled_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Bundled are: course.yaml, demo.yaml") as caught:
        load_recipes(tmp_path / "demo.yaml")
    assert caught.value.code == "recipe-missing"


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ({"subject": "science", "grade": 4, "grade_band": "3-5"}, "science, grade 4 (3-5)"),
        ({"grade": 0}, "any subject, grade K (any grade band)"),
        ({}, "any subject, grade any grade (any grade band)"),
    ],
)
def test_placeholders_are_filled_from_metadata(metadata: dict[str, object], text: str) -> None:
    assert fill_system_prompt("{subject}, grade {grade} ({grade_band})", metadata) == text


def test_local_is_another_name_of_huggingface(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("method: local\nepochs: 2\n")
    (run,) = load_runs(file)
    assert run.method == "huggingface"
    assert run == parse_recipe({"name": "mine", "method": "huggingface", "epochs": 2})


def test_the_ranges_of_a_sweep_stand_beside_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("epochs: 2\nsweep:\n  learning_rate: [[1e-4, 5e-4]]\n  rank: [4, 8]\n  minutes: 20\n")
    assert load_sweep(file) == SweepSpec(learning_rate=((1e-4, 5e-4),), rank=(4, 8), minutes=20)
    assert load_runs(file) == [parse_recipe({"name": "mine", "epochs": 2})], "a run takes no notice of them"
    file.write_text("epochs: 2\n")
    assert load_sweep(file) == SweepSpec()


def test_mistakes_in_the_ranges_are_reported_with_what_is_allowed(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("sweep: {learning_rate: [[5e-5, 1e-5]], rank: [0], tries: 3}\n")
    with pytest.raises(ConfigError) as caught:
        load_runs(file)
    assert caught.value.code == "recipe-invalid"
    lines = caught.value.message.splitlines()
    assert lines[0].endswith("has 3 mistakes:")
    assert "  sweep.tries: unknown key; did you mean 'trials'?" in lines
    assert "  sweep.rank[0] = 0: must be a whole number at least 1 and at most 256" in lines
    assert any("sweep.learning_rate" in line and "low below high" in line for line in lines)


@pytest.mark.parametrize("given", ["recipes/demo.yaml", Path("recipes/demo.yaml"), None, [1], 3])
def test_what_is_no_recipe_is_told_as_that(given: object) -> None:
    with pytest.raises(ConfigError, match="is no recipe") as caught:
        run_of(given)  # type: ignore[arg-type]
    assert caught.value.code == "recipe-invalid" and repr(given) in caught.value.message


def test_a_mistake_in_keys_names_no_file_to_look_at() -> None:
    with pytest.raises(ConfigError, match="Mend them") as caught:
        run_of({"name": "x", "epochs": -1})
    assert "homeroom tune plan" not in caught.value.message


def test_a_folder_is_told_from_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    for path, told in ((tmp_path, "is a folder"), (tmp_path / "x.yaml", "does not exist")):
        with pytest.raises(ConfigError, match=told) as caught:
            load_runs(path)
        assert caught.value.code == "recipe-missing" and repr(str(path)) in caught.value.message
