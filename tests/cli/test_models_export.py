"""`homeroom models export` on the command line: what it prints, and its refusals."""

from __future__ import annotations

import pytest


def test_a_base_is_exported_and_the_check_is_told(homeroom, tmp_path):
    told = homeroom("models", "export", "tiny", "--to", "merged", "--out", tmp_path / "out", "--json")
    assert told.code == 0, told.err
    assert told.json["checked"]["passed"] is True
    assert (told.json["to"], told.json["number"]) == ("merged", "f32")
    again = homeroom("models", "export", "tiny", "--to", "merged", "--out", tmp_path / "out")
    assert (again.code, "--force" in again.error) == (2, True)
    told = homeroom("models", "export", "tiny", "--to", "merged", "--out", tmp_path / "out", "--force")
    assert told.code == 0
    assert told.out.startswith(f"tiny as f32: {tmp_path / 'out'} (")
    assert "loaded with transformers and compared with the original" in told.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nobody", "--to", "gguf", "--out", "x"), "nobody"),
        (("tiny", "--to", "merged", "--type", "q4_0", "--out", "x"), "f32, f16, bf16"),
        (("tiny", "--to", "zip", "--out", "x"), "zip"),
        (("tiny", "--to", "gguf"), "--out"),
    ],
)
def test_mistakes_are_one_line(homeroom, tmp_path, arguments, says):
    told = homeroom("models", "export", *arguments)
    assert told.code == 2
    assert says in told.error
    assert not (tmp_path / "x").exists()


def test_it_is_a_job_that_can_be_queued_and_followed(homeroom, tmp_path):
    arguments = ("models", "export", "tiny", "--to", "merged", "--out", tmp_path / "out")
    job = homeroom(*arguments, "--no-wait", "--json").json["job"]
    assert homeroom(*arguments, "--no-wait", "--json").json["job"] == job, "what is not over is not begun twice"
    (listed,) = homeroom("jobs", "list", "--json").json
    assert (listed["kind"], listed["state"], (tmp_path / "out").exists()) == ("export", "queued", False)
    told = homeroom(*arguments, "--json")
    assert (told.code, told.json["folder"]) == (0, str(tmp_path / "out"))
    said = [event["message"] for event in homeroom("jobs", "show", job, "--json").json["events"]]
    assert "writing tiny as f32" in said and "comparing it with the original" in said


def test_one_that_is_cancelled_leaves_nothing(homeroom, tmp_path):
    arguments = ("models", "export", "tiny", "--to", "gguf", "--out", tmp_path / "out")
    job = homeroom(*arguments, "--no-wait", "--json").json["job"]
    assert homeroom("jobs", "cancel", job).code == 0
    assert homeroom("jobs", "list", "--json").json[0]["state"] == "cancelled"
    assert list(tmp_path.glob("*out*")) == []
    assert homeroom(*arguments, "--no-wait", "--json").json["job"] != job
