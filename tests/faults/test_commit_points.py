"""Killed at each point where something becomes final, then asked for again: it is there once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.app import material
from tests.faults import oracle
from tests.faults.bed import Bed, did_its_work

INJECT = Path(__file__).parent / "inject"
KEEP = "homeroom.storage.artifacts:ArtifactStore.keep"
TUNING = [
    ("homeroom.jobs.store:JobStore.submit", "after", 1),
    ("homeroom.jobs.store:JobStore.claim", "after", 1),
    ("homeroom.tuning.huggingface.checkpoint:save", "before", 2),
    ("homeroom.tuning.huggingface.checkpoint:_prune", "before", 2),
    pytest.param("homeroom.tuning.huggingface.checkpoint:save", "after", 3, marks=pytest.mark.sample),
    (KEEP, "before", 1),
    (KEEP, "after", 1),
    ("homeroom.registry.models:ModelRegistry.register", "before", 1),
    ("homeroom.registry.models:ModelRegistry.register", "after", 1),
    ("homeroom.jobs.store:JobStore.finish", "before", 1),
    ("homeroom.jobs.store:JobStore.finish", "after", 1),
]
JUDGING = [
    (KEEP, "before", 1),
    (KEEP, "after", 1),
    ("homeroom.registry.models:ModelRegistry.add_scorecard", "before", 1),
    ("homeroom.registry.models:ModelRegistry.add_scorecard", "after", 1),
    ("homeroom.registry.models:ModelRegistry.set_verdict", "after", 1),
    ("homeroom.jobs.store:JobStore.finish", "after", 1),
]
STORING = [
    (KEEP, "before", 1),
    (KEEP, "after", 1),
    ("homeroom.data.datasets:DatasetStore._insert", "before", 1),
    ("homeroom.data.datasets:DatasetStore._insert", "after", 1),
]


def deadly(bed: Bed, where: str, when: str, number: int) -> dict[str, str]:
    """Environment in which the first process that comes there dies."""
    return {
        "PYTHONPATH": f"{INJECT}:{bed.env['PYTHONPATH']}",
        "FAULTS_DEATH": f"{where}:{when}:{number}",
        "FAULTS_DEATH_ONCE": str(bed.folder / "died"),
    }


def until_done(bed: Bed, *arguments: str | Path, env: dict[str, str]) -> Any:
    """Give the command until it ends well; somebody died on the way."""
    for _ in range(4):
        ended = bed.run(*arguments, "--json", env=env)
        if did_its_work(ended):
            break
    assert did_its_work(ended), ended.stdout + ended.stderr
    assert (bed.folder / "died").exists(), "nobody came there"
    return json.loads(ended.stdout)


def check(bed: Bed) -> oracle.Tables:
    """The home is whole and clean."""
    bed.ok("models", "list")
    assert oracle.whole(bed.home) == []
    assert [left for left in oracle.leftovers(bed.home) if "run/workers" not in left] == []
    assert bed.processes() == []
    return oracle.Tables(bed.home)


@pytest.mark.parametrize(("where", "when", "number"), TUNING)
def test_a_run_gives_one_job_and_one_model(bed: Bed, where: str, when: str, number: int) -> None:
    arguments = ("tune", "run", "--dataset", "base-data", "--recipe", bed.folder / "recipe.json")
    done = until_done(bed, *arguments, env=deadly(bed, where, when, number))
    rows = check(bed)
    assert [row["id"] for row in rows["jobs"]] == [done[0]["id"]]
    assert [(row["name"], row["job_id"]) for row in rows["models"]] == [(done[0]["result"]["model"], done[0]["id"])]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_for_two_roles_gives_both_models(bed: Bed, when: str) -> None:
    """Killed between the registration of the one and of the other."""
    recipe = bed.recipe({**material.QUICK, "task": "any", "roles": {"learner": {}, "tutor": {}}}, "roles")
    arguments = ("tune", "run", "--dataset", "base-data", "--recipe", recipe)
    number = 1 if when == "after" else 2
    done = until_done(bed, *arguments, env=deadly(bed, "homeroom.registry.models:ModelRegistry.register", when, number))
    rows = check(bed)
    assert sorted(row["task"] for row in rows["models"]) == ["learner", "tutor"]
    assert {row["job_id"] for row in rows["models"]} == {done[0]["id"]}


@pytest.fixture(scope="module")
def judged_home(tmp_path_factory: pytest.TempPathFactory) -> Bed:
    """A home with a tuned model, to be copied."""
    bed = Bed(tmp_path_factory.mktemp("judged"))
    bed.make()
    bed.ok("data", "split", bed.folder / "base-data.jsonl")
    bed.ok("tune", "run", "--dataset", "base-data", "--recipe", bed.folder / "recipe.json")
    return bed


@pytest.mark.parametrize(("where", "when", "number"), JUDGING)
def test_an_evaluation_gives_one_scorecard(
    judged_home: Bed, make_bed: Callable[..., Bed], where: str, when: str, number: int
) -> None:
    bed = make_bed()
    shutil.copytree(judged_home.home, bed.home)
    (name,) = (row["name"] for row in oracle.Tables(bed.home)["models"])
    done = until_done(bed, "eval", "run", "--model", name, "--items", "2", env=deadly(bed, where, when, number))
    rows = check(bed)
    (card,) = rows["scorecards"]
    assert card["model_name"] == name and done
    (model,) = rows["models"]
    assert model["verdict"] == json.loads(card["summary"])["outcome"]


@pytest.mark.parametrize(("where", "when", "number"), STORING)
def test_a_dataset_gets_one_version(bed: Bed, where: str, when: str, number: int) -> None:
    path = material.write_jsonl(bed.folder / "more.jsonl", material.tutor_records())
    made = until_done(bed, "data", "split", path, env=deadly(bed, where, when, number))
    rows = check(bed)
    assert [(row["id"], row["version"]) for row in rows["datasets"] if row["name"] == "more"] == [(made["id"], 1)]
    assert len(list((bed.home / "artifacts" / "dataset").iterdir())) == 2


@pytest.mark.parametrize(("where", "when"), [(KEEP, "after"), ("homeroom.registry.models:ModelRegistry.register", "after")])
def test_an_import_that_was_killed_is_there_whole_or_not_at_all(bed: Bed, where: str, when: str) -> None:
    ended = bed.run("models", "import", bed.adapter, "--suffix", "mine", env=deadly(bed, where, when, 1))
    assert ended.returncode == -9
    rows = check(bed)
    assert len(rows["models"]) == (1 if "register" in where else 0)
    bed.ok("models", "import", bed.adapter, "--suffix", "other")
    check(bed)
