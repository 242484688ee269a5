"""The command line as a whole: what it loads, how it refuses, and that `--json` is JSON everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from homeroom.cli.common import table
from homeroom.cli.main import COMMANDS, cli
from tests.cli.commands import environment

HEAVY = (
    "torch",
    "transformers",
    "dspy",
    "openai",
    "flask",
    "sqlalchemy",
    "numpy",
    "peft",
    "gguf",
    "xllamacpp",
    "openpyxl",
    "rich",
)


def python(program: str, *arguments: str, **settings) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *settings.pop("flags", ()), "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        **settings,
    )


def test_help_loads_little_and_names_every_command(tmp_path):
    program = (
        "import sys, runpy\n"
        "sys.argv = ['homeroom', '--help']\n"
        "try:\n    runpy.run_module('homeroom', run_name='__main__')\n"
        "finally:\n    import json; print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    done = python(program, env=environment(tmp_path / "home"))
    assert done.returncode == 0
    modules = json.loads(done.stderr.splitlines()[-1])
    assert len(modules) < 400
    assert not [name for name in HEAVY if name in modules]
    assert all(f"\n  {name}" in done.stdout for name in COMMANDS)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "module",
    ["homeroom", "homeroom.app", "homeroom.cli.main", "homeroom.schema.examples", "homeroom.schema.tuning", "homeroom.errors"],
)
def test_importing_loads_no_heavy_package(module, tmp_path):
    done = python(f"import {module}, sys; print(*sys.modules)", env=environment(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    assert not set(HEAVY) & set(done.stdout.split())


def test_importing_every_module_does_nothing(tmp_path):
    """No file written, no thread started, no socket, no process, no log handler, and no word printed by any module."""
    program = """
import logging, pkgutil, sys, threading
import homeroom
names = [m.name for m in pkgutil.walk_packages(homeroom.__path__, "homeroom.") if not m.name.endswith(("__main__", ".env", "launcher"))]
names = [n for n in names if ".migrations." not in n and ".versions." not in n]
before = logging.root.handlers[:]
done = []
def hook(event, args):
    if event in ("socket.connect", "socket.bind", "subprocess.Popen", "os.mkdir", "os.remove", "os.rename", "os.putenv") and not done:
        sys.stderr.write(f"{event} {args}\\n")
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+") and "__pycache__" not in str(args[0]) and not done:
        sys.stderr.write(f"{event} {args}\\n")
for name in ("torch", "transformers", "peft", "matplotlib"):
    sys.modules.pop(name, None)
quiet = {"homeroom.tuning.huggingface", "homeroom.server"}
quiet |= {f"homeroom.tuning.dspy.{name}" for name in ("library", "reference", "task", "optimisers", "iterative", "provider", "together")}  # dspy's packages try a socket where there is IPv6
sys.addaudithook(hook)
for name in names:
    if not any(name == q or name.startswith(q + ".") for q in quiet):
        __import__(name)
done.append(True)
assert not set(sys.modules) & {"dspy", "urllib3"}, "one more module imports dspy: name it above"
assert logging.root.handlers == before
assert threading.active_count() == 1, threading.enumerate()
print(len(names))
"""
    done = python(program, env={**environment(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"}, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 100
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tunes"], "Did you mean 'tune'"),
        (["frobnicate"], "See: homeroom --help"),
        (["tune", "rum"], "See: homeroom tune --help"),
        (["models", "list", "--foo"], "'--foo'. See: homeroom models list --help"),
        (["models", "use"], "'NAME'. See: homeroom models use --help"),
        (["jobs", "list", "--limit", "0"], "'--limit'"),
        (["eval", "run", "--items", "many"], "'many' is not a valid integer"),
        (["serve", "--port", "99999"], "99999"),
        (["--homee", "x", "models", "list"], "'--homee'"),
    ],
)
def test_a_wrong_command_or_option_gives_one_line(homeroom, arguments, said):
    told = homeroom(*arguments)
    assert told.code == 2
    assert said in told.error
    assert told.error.endswith("[help: docs/troubleshooting.md#usage]")
    assert told.out == ""


def test_no_command_shows_the_help(homeroom):
    told = homeroom()
    assert told.code == 0
    assert "Start with: homeroom demo" in told.out


def test_every_group_helps_without_a_home(homeroom, home):
    for name in COMMANDS:
        told = homeroom(name, "--help")
        assert (told.code, told.out.startswith(f"Usage: homeroom {name}")) == (0, True)
    assert not home.exists()


def test_errors_are_json_when_json_is_asked_for(homeroom):
    told = homeroom("models", "show", "nobody", "--json")
    assert (told.code, told.err) == (2, "")
    assert told.json["error"]["code"] == "model-not-found"
    assert "homeroom models list" in told.json["error"]["message"]
    assert told.json["error"]["help"] == "docs/troubleshooting.md#model-not-found"


def test_debug_shows_where_an_error_comes_from(start):
    told = start("--debug", "models", "show", "nobody").ended()
    assert told.code == 1
    assert "NotFoundError" in told.err and "Traceback" in told.err


def test_a_reader_that_leaves_is_no_error(start, home):
    command = [sys.executable, "-m", "homeroom", "data", "show", "-n", "200"]
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {' '.join(command)} | head -1"],
        capture_output=True, text=True, env=environment(home), check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_settings_that_are_wrong_are_told_together(homeroom, monkeypatch):
    monkeypatch.setenv("HOMEROOM_PORT", "many")
    monkeypatch.setenv("HOMEROOM_ENGINE_SLOTS", "0")
    told = homeroom("models", "list")
    assert told.code == 2
    assert "HOMEROOM_PORT" in told.err and "HOMEROOM_ENGINE_SLOTS" in told.err and "2 settings are wrong. Mend" in told.error


def test_a_home_that_cannot_be_made_is_one_line(homeroom, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    told = homeroom("--home", tmp_path / "file" / "home", "models", "list")
    assert told.code == 2
    assert str(tmp_path / "file") in told.error
    assert homeroom("models", "list").code == 0


def test_a_folder_that_the_system_refuses_is_one_line(homeroom):
    told = homeroom("--home", "/proc/nobody/home", "models", "list")
    assert told.code == 2
    assert "#not-writable" in told.error


def test_a_file_that_may_not_be_read_is_one_line(homeroom, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may read every file")
    (tmp_path / "mine.jsonl").write_text("{}")
    (tmp_path / "mine.jsonl").chmod(0)
    told = homeroom("data", "check", "mine.jsonl")
    assert (told.code, "mine.jsonl" in told.error) == (2, True)


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with its path."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def test_every_command_that_has_a_result_gives_it_as_json():
    found = {path: {option for p in command.params for option in p.opts} for path, command in commands(cli)}
    assert len(found) > 25
    assert {path for path, options in found.items() if "--json" not in options} == {("worker",)}


def test_every_option_says_what_it_is_for():
    silent = [
        (path, p.name) for path, command in commands(cli) for p in command.params if isinstance(p, click.Option) and not p.help
    ]
    assert silent == []
    assert all(command.help for _, command in commands(cli))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_without_a_letter_ends_nothing(tmp_path, encoding):
    (tmp_path / "mine.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "☃"}, {"role": "assistant", "content": "é"}]}'
    )
    done = subprocess.run(
        [sys.executable, "-m", "homeroom", "data", "show", "mine.jsonl"],
        capture_output=True, cwd=tmp_path, check=False, env={**environment(tmp_path / "home"), "PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"user: " in done.stdout


def test_a_table_shows_names_and_messages_as_they_are(capsys):
    table(("a :book: heading", "b"), [("ft:base:homeroom:two:a5dad668", "see [/b] and [bold]that[/bold]"), (None, 3)])
    out = capsys.readouterr().out
    assert "a :book: heading" in out and "ft:base:homeroom:two:a5dad668" in out and "see [/b] and [bold]that[/bold]" in out
