"""Options of ``homeroom tune compare`` that mean nothing are refused before anything is begun."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from homeroom.app.home import Homeroom

COMPARE = ("tune", "compare", "--dataset", "small", "--methods", "huggingface", "--no-wait")


@pytest.fixture(autouse=True)
def _dataset(homeroom, course) -> None:
    assert homeroom("data", "split", course, "--name", "small").code == 0


def _pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_bytes(b""), "it is empty. Write the prompt into it"),
        (lambda path: path.write_text(" \n\t\n"), "it is empty. Write the prompt into it"),
        (lambda path: path.write_bytes(b"\xff\xfeG\x00"), "it is no UTF-8 text"),
        (lambda path: None, "there is no such file"),
        (lambda path: path.mkdir(), "is a folder"),
        (_pipe, "only plain files are read"),
        (lambda path: path.write_bytes(b"x" * 200_000), "prompt.txt"),
    ],
)
def test_a_prompt_that_is_none_is_not_the_bundled_one(homeroom, tmp_path, make, said):
    make(tmp_path / "prompt.txt")
    told = homeroom(*COMPARE, "--prompt", tmp_path / "prompt.txt")
    assert told.code == 2 and said in told.error
    with Homeroom.open() as home:
        assert home.jobs.list() == ()


def test_a_prompt_of_ones_own_is_part_of_the_question(homeroom, tmp_path):
    (tmp_path / "prompt.txt").write_text("Sei freundlich. Frage: Was weißt du?\n", "utf-8")
    assert homeroom(*COMPARE, "--prompt", tmp_path / "prompt.txt").code == 0
    with Homeroom.open() as home:
        (job,) = home.jobs.list(kind="compare")
        assert job.payload["prompt"] == "Sei freundlich. Frage: Was weißt du?"


@pytest.mark.parametrize("methods", ["", ",", " , "])
def test_an_empty_list_of_methods_is_not_all_of_them(homeroom, methods):
    told = homeroom("tune", "compare", "--methods", methods)
    assert told.code == 2 and "--methods names no method" in told.error
    with Homeroom.open() as home:
        assert home.jobs.list() == ()


def test_a_report_is_copied_only_where_it_is_waited_for(homeroom):
    assert "Leave --no-wait out" in homeroom(*COMPARE, "--to", "report.html").error
