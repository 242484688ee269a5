"""`homeroom pack` as a command; and the whole way, with networking off, as a slow test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from homeroom.models import tiny
from tests.app import material
from tests.cli.commands import PATIENCE_S, SOURCE, environment

# Brings up loopback in a name space of its own, shows that nothing else is there, and becomes the command.
WITHOUT_NETWORK = """
import fcntl, os, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
    fcntl.ioctl(control, 0x8914, struct.pack("16sh14x", b"lo", 0x41))  # SIOCSIFFLAGS: up and running
with socket.socket() as probe:
    probe.settimeout(5)
    try:
        probe.connect(("192.0.2.1", 443))
    except OSError as error:
        print("offline:", error, file=sys.stderr)
    else:
        sys.exit("there is a network")
os.execvp(sys.argv[1], sys.argv[1:])
"""

# Serves, asks for a page and what it loads, and stops the server.
LOOK_AT_PAGES = """
import re, signal, subprocess, sys, time, urllib.error, urllib.request
server = subprocess.Popen([sys.argv[1], "serve", "--port", "8699"], stdout=sys.stderr)
base = "http://127.0.0.1:8699"
for _ in range(600):
    try:
        page = urllib.request.urlopen(base + "/chat").read().decode()
        break
    except (urllib.error.URLError, ConnectionError):
        time.sleep(0.2)
print(200)
for pattern in (r'href="(/static/[^"]+[.]css[^"]*)"', r'src="(/static/[^"]+[.]js[^"]*)"'):
    print(urllib.request.urlopen(base + re.search(pattern, page)[1]).status)
server.send_signal(signal.SIGINT)
sys.exit(server.wait() not in (0, 130))
"""


def test_a_folder_that_holds_something_is_refused_at_once(homeroom, tmp_path):
    (tmp_path / "offline").mkdir()
    (tmp_path / "offline" / "letter.txt").write_text("")
    told = homeroom("pack", tmp_path / "offline")
    assert (told.code, "[help: docs/troubleshooting.md#file-exists]" in told.error) == (2, True)
    told = homeroom("pack", tmp_path / "offline", "--json")
    assert told.json["error"]["code"] == "file-exists"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--models", "none,tiny"), "pack-models"),
        (("--models", "nope"), "unknown-model"),
        (("--models", "tiny,nope"), "unknown-model"),
        (("--platform", "win_amd64"), "platform"),
        (("--platform", "amiga"), "pack-platform"),
        (("--python-version", "3.9"), "pack-platform"),
        (("--extra", "everything"), "usage"),
    ],
)
def test_a_choice_that_cannot_be_packed_is_refused_and_leaves_nothing(homeroom, tmp_path, arguments, code):
    told = homeroom("pack", tmp_path / "packs" / "offline", *arguments)
    assert (told.code, f"#{code}]" in told.error) == (2, True)
    assert "building" not in told.err and not (tmp_path / "packs").exists()


@pytest.fixture(scope="module")
def without_network() -> list[str]:
    """What to put before a command to run it without a network."""
    for flags in (["-n"], ["-r", "-n"]):
        command = ["unshare", *flags, sys.executable, "-I", "-c", WITHOUT_NETWORK]
        if shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    pytest.skip("networking cannot be switched off here: unshare -n is not there or not allowed")


def run(command: list[str | Path], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """To its end; what it said is shown when the test fails."""
    done = subprocess.run(list(map(str, command)), env=env, capture_output=True, text=True, timeout=3 * PATIENCE_S, check=False)
    print(done.stdout, done.stderr)
    return done


@pytest.mark.slow
def test_a_machine_without_a_network_installs_and_runs_the_demo(without_network, tmp_path, cache, course):
    """The real packages, the real installer, and Homeroom from its wheel. Makes the pack from what pip is set up for."""
    packed = run(
        [sys.executable, "-m", "homeroom", "pack", tmp_path / "offline", "--archive", "--json"],
        environment(tmp_path / "packing-home"),
    )
    if packed.returncode != 0 and json.loads(packed.stdout)["error"]["code"] in ("no-network", "index"):
        pytest.skip(f"the pack needs pip's package index: {json.loads(packed.stdout)['error']['message']}")
    assert packed.returncode == 0
    shutil.rmtree(tmp_path / "offline")
    (tmp_path / "there").mkdir()
    newer = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # since Python 3.11.4
    shutil.unpack_archive(tmp_path / "offline.tar", tmp_path / "there", **newer)
    pack, app = tmp_path / "there" / "offline", tmp_path / "there" / "app"

    # Nothing of this machine's set-up: no pip configuration, no model cache, no source on the path.
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "there" / "user"), "OMP_NUM_THREADS": "1"}
    env |= {"PYTHON": sys.executable, "HOMEROOM_DEFAULT_BASE": tiny.NAME, "HOMEROOM_THREADS": "1"}
    installed = run([*without_network, "sh", pack / "install.sh", app], env)
    assert installed.returncode == 0
    assert "offline:" in installed.stderr
    assert json.loads(packed.stdout)["manifest_sha256"] in installed.stdout
    assert "Everything that the demo needs is here." in installed.stdout
    assert f"{app}/bin/homeroom demo" in installed.stdout

    where = run([app / "bin" / "python", "-I", "-c", "import homeroom; print(homeroom.__file__)"], env)
    assert Path(where.stdout.strip()).is_relative_to(app) and not Path(where.stdout.strip()).is_relative_to(SOURCE)
    doctor = run([*without_network, app / "bin" / "homeroom", "doctor", "--json"], env)
    assert (doctor.returncode, json.loads(doctor.stdout)["ok"]) == (0, True)

    recipe = material.write_recipe(
        tmp_path / "quick.yaml", {**material.QUICK, "runs": {"learner": {"task": "learner"}, "tutor": {"task": "tutor"}}}
    )
    (tmp_path / "work").mkdir()
    demo = [app / "bin" / "homeroom", "demo", "--no-serve", "--data", course, "--recipe", recipe]
    played = run([*without_network, "sh", "-c", 'cd "$0" && exec "$@"', tmp_path / "work", *demo], env)
    assert played.returncode == 0
    models = run([*without_network, app / "bin" / "homeroom", "models", "list", "--json"], env)
    assert sorted(model["task"] for model in json.loads(models.stdout) if model["kind"] == "tuned") == ["learner", "tutor"]
    # What the wheel brings along: the course, the recipes, pages with their scripts.
    assert run([*without_network, app / "bin" / "homeroom", "data", "split"], env).returncode == 0
    plan = [app / "bin" / "homeroom", "tune", "plan", "--dataset", "homeroom-course", "--task", "tutor", "--json"]
    assert run([*without_network, *plan], env).returncode == 0
    pages = run([*without_network, app / "bin" / "python", "-I", "-c", LOOK_AT_PAGES, app / "bin" / "homeroom"], env)
    assert pages.returncode == 0
    assert pages.stdout.split() == ["200", "200", "200"]
    again = run([*without_network, "sh", pack / "install.sh", app], env)
    assert again.returncode == 0
