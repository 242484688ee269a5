"""`homeroom tune plan --gpu`, and plans of recipes that ask for a GPU where none is: the same from Python."""

from __future__ import annotations

import pytest

import homeroom as package
from homeroom.app.home import Homeroom
from homeroom.errors import ConfigError
from homeroom.runtime.hardware import hardware
from tests.app import material

without_gpu = pytest.mark.skipif(hardware().gpu is not None, reason="this machine has a GPU")
QUANTISED = {**material.QUICK, "name": "small", "task": "tutor", "dtype": "auto", "quantise": "nf4", "batch_tokens": "auto"}


@pytest.fixture
def small(homeroom, course):
    assert homeroom("data", "split", course, "--name", "small").code == 0
    return "small"


@pytest.fixture
def plan(homeroom, small, tmp_path):
    """Asks for the plan of a recipe."""

    def ask(recipe, *options):
        return homeroom(
            "tune", "plan", "--dataset", small, "--recipe", material.write_recipe(tmp_path / "r.yaml", recipe), *options
        )

    return ask


def test_a_named_gpu_is_answered_with_a_table(plan, homeroom, home):
    told = plan(QUANTISED, "--gpu", "24GB")
    assert told.code == 0, told.err
    assert "measuring this machine" not in told.err
    lines = told.out.splitlines()
    assert "warning: small: The time is not forecast: no such GPU was measured here." in lines
    assert any(line.startswith("small: on a GPU of 24 GB: it fits; batch_tokens: auto would take ") for line in lines)
    head = next(n for n, line in enumerate(lines) if line.startswith("quantise"))
    assert " ".join(lines[head].split()) == "quantise gradient_checkpointing needs 8 GB 12 GB 16 GB 24 GB 40 GB 80 GB"
    rows = [line.split() for line in lines[head + 1 : head + 7]]
    assert [row[:2] for row in rows] == [[form, again] for form in ("none", "8bit", "nf4") for again in ("no", "yes")]
    assert all(row[-6:] == ["yes"] * 6 for row in rows), "two tiny layers"
    assert not (home / "calibration").exists(), "nothing was measured"
    assert homeroom("jobs", "list", "--json").json == []


def test_the_plan_as_json_and_from_python_is_the_same(plan, small):
    (told,) = plan(QUANTISED, "--gpu", "12 GiB", "--json").json
    assert (told["fits"], told["time_s"], told["time_high_s"]) == (True, 0, 0)
    gpu = told["details"]["gpu"]
    assert gpu["memory_bytes"] == 12 * 2**30 and gpu["holds"] == "yes" and gpu["auto_batch_tokens"] > 0
    assert [fit["memory_bytes"] for fit in gpu["options"][0]["fits_on"]] == sorted(
        [12 * 2**30, *(gb * 10**9 for gb in (8, 12, 16, 24, 40, 80))]
    )
    with Homeroom.open() as home:
        planned = package.plan(home, small, QUANTISED, gpu="12 GiB")
        assert planned.details["gpu"] == gpu
        with pytest.raises(ConfigError) as caught:
            package.plan(home, small, QUANTISED, gpu="big")
        assert caught.value.code == "memory-size"


@without_gpu
@pytest.mark.slow  # a job's process
def test_without_a_name_and_without_a_gpu_the_plan_says_what_a_run_meets(plan, homeroom, small, tmp_path):
    told = plan({**QUANTISED, "quantise": "none", "device": "cuda"})
    assert told.code == 1, "it cannot run here"
    assert "a run is refused" in told.out and "homeroom tune plan --recipe FILE --gpu 24GB" in told.out
    assert "which GPU holds it" in told.out
    refused = homeroom("tune", "run", "--dataset", small, "--recipe", tmp_path / "r.yaml")
    assert refused.code != 0
    assert "PyTorch finds no CUDA device here" in refused.error and "homeroom tune plan --recipe FILE --gpu 24GB" in refused.error


@pytest.mark.slow  # measures this machine
def test_a_plan_for_this_machine_has_no_table(plan):
    told = plan({**QUANTISED, "quantise": "none", "device": "cpu"}, "--json")
    assert told.code == 0 and "gpu" not in told.json[0]["details"] and told.json[0]["time_s"] > 0


@pytest.mark.parametrize("size", ["big", "0", "-3GB", "24TB", "nan", "1e3", "500MB", "99999GB", "٢٤GB"])
def test_what_is_no_memory_is_refused(plan, size):
    told = plan(QUANTISED, f"--gpu={size}")
    assert told.code == 2
    assert "#memory-size" in told.error and repr(size) in told.error


def test_what_no_gpu_of_ones_own_tunes_is_not_planned_for_one(plan):
    told = plan(QUANTISED, "--gpu", "24GB", "--method", "dspy")
    assert (told.code, "#recipe-method" in told.error) == (2, True)
