"""The steps of the pages about OpenAI's API run, in the pages' order, with the tiny generated model in the place of the real one.

Not run: `homeroom models pull`, which fetches the real model. The server's port is one that is free, and not the page's; ids that
the page makes up are those that came before. What the page asks at the terminal is answered with y.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.cli.test_migrate import HELD_OUT, PAIRS
from tests.docs.test_tutorial import BASE, ROOT, Terminal, _models, commands, terminal  # noqa: F401 - a fixture
from tests.doubles.openai_server import KEY, OpenAIDouble
from tests.openai_api.helpers import all_events, ended

FINE_TUNE = ROOT / "docs" / "how-to" / "fine-tune-through-the-api.md"
MOVE = ROOT / "docs" / "how-to" / "move-from-openai.md"
ADDRESS = "http://127.0.0.1:8642"
NAMED = "gpt-4o-mini-2024-07-18"
NOT_RUN = ("homeroom models pull",)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """Language and text of each block, in order."""
    yield from re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


class Reader:
    """Does what the page says: one server, one interpreter, one terminal."""

    def __init__(self, desk: Terminal, stack: ExitStack) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{free.getsockname()[1]}"
        self.desk, self.stack, self.names = desk, stack, dict[str, Any]()
        desk.environment["HOMEROOM_PORT"] = self.address.rpartition(":")[2]
        self.keyed = False
        self.said: dict[str, str] = {}
        self.ids = dict[str, str]()

    def json(self, text: str) -> None:
        """A line of a file: at least ten like it."""
        name = "preferences.jsonl" if "preferred_output" in text else "train.jsonl"
        lines = [text.strip().replace("14", str(2 * n)).replace("is 7", f"is {n}") for n in range(4, 18)]
        assert all(json.loads(line) for line in lines)
        (self.desk.folder / name).write_text("\n".join(lines) + "\n")

    def python(self, text: str) -> None:
        exec(compile(text.replace(ADDRESS, self.address), str(FINE_TUNE), "exec"), self.names)

    def yaml(self, text: str) -> None:
        """What goes into the home's config.yaml; the server is started again."""
        home = Path(self.desk.environment["HOMEROOM_HOME"])
        (home / "config.yaml").write_text(text)
        self.stack.close()
        self.serve()

    def serve(self) -> None:
        line = self.stack.enter_context(self.desk.serving("homeroom serve"))
        assert self.address in line
        assert BASE in _models(self.address)

    def console(self, text: str) -> None:
        for command in commands(f"```console\n{text}```\n"):
            if command in NOT_RUN:
                continue
            if command == "homeroom serve":
                self.serve()
            else:
                self.run(command)

    def with_key(self) -> None:
        """What came of the page's jobs, asked with the key that the page made, before it is revoked."""
        made = next(said for command, said in self.said.items() if command.startswith("homeroom users key create"))
        secret = max(re.findall(r"[\w-]{20,}", made), key=len)
        keyed = openai.OpenAI(base_url=f"{self.address}/v1", api_key=secret, max_retries=20)  # the page allows 60 a minute
        pairs = ended(keyed, self.names["job"].id)
        assert (pairs.status, pairs.method.type if pairs.method else "") == ("succeeded", "dpo")
        assert keyed.fine_tuning.jobs.retrieve(self.names["long"].id).status == "cancelled"
        if "ftjob" in self.ids:
            assert ended(keyed, self.ids["ftjob"]).status == "succeeded"
        hyperparameters = {"n_epochs": 1}
        named = keyed.fine_tuning.jobs.create(
            model=NAMED, training_file=self.names["training"].id, hyperparameters=hyperparameters
        )
        assert ended(keyed, named.id).model == NAMED
        assert any(f"{NAMED!r} stands for {BASE!r} here" in event.message for event in all_events(keyed, named.id))
        self.keyed = True

    def run(self, command: str) -> None:
        if command.startswith("homeroom users key revoke"):
            self.with_key()
        if command.startswith("curl") and shutil.which("curl") is None:
            return
        typed = re.sub(
            r"\b(file|ftjob)-[0-9a-f]{12,24}\b", lambda found: self.ids[found[1]], command.replace(ADDRESS, self.address)
        )
        result = self.desk.run(typed)
        assert result.returncode == 0, f"$ {typed}\n{result.stdout}\n{result.stderr}"
        self.said[command] = result.stdout
        if command.startswith("curl"):
            answer = json.loads(result.stdout)
            assert not answer.get("error"), answer
            if "id" in answer:
                self.ids[answer["id"].partition("-")[0]] = answer["id"]


def test_every_step_of_fine_tuning_through_the_api_runs(
    terminal: Terminal,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(terminal.folder)
    with ExitStack() as stack:
        reader, first = Reader(terminal, stack), None
        for language, text in blocks(FINE_TUNE.read_text("utf-8")):
            getattr(reader, language)(text)
            first = first or reader.names.get("job")
        client = reader.names["client"]
        assert first.status == "succeeded"
        assert re.fullmatch(rf"ft:{BASE}:homeroom:fractions:[0-9a-f]{{8}}", first.fine_tuned_model)
        printed = capsys.readouterr().out
        assert "The job has successfully completed" in printed
        assert "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy" in printed
        with pytest.raises(openai.AuthenticationError):  # from the first key on
            client.models.list()
        assert reader.keyed, "the page's key was tried"
        listed = reader.said["homeroom jobs webhook list"]
        assert "https://example.org/hooks/homeroom" in listed


def test_every_step_of_moving_from_openai_runs(terminal: Terminal) -> None:  # noqa: F811
    page = MOVE.read_text("utf-8")
    home = Path(terminal.environment["HOMEROOM_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    steps = commands(page)
    model = re.search(r"--model (ft:\S+)", page)
    assert model is not None
    (prices,) = [text for language, text in blocks(page) if language == "yaml"]
    with OpenAIDouble() as account:
        account.tuned(model[1], model[1].split(":")[1], PAIRS, HELD_OUT)
        endpoint = f"{{name: openai, base_url: '{account.address}', api_key_env: OPENAI_API_KEY, models: [m]}}"
        (home / "config.yaml").write_text(f"endpoints: [{endpoint}]\n")  # in the place of OpenAI's own address
        assert steps[0] == "export OPENAI_API_KEY=..."
        terminal.environment["OPENAI_API_KEY"] = KEY
        said = {command.split()[3]: _typed(terminal, command) for command in steps[1:]}
        assert len(account.charged) == len(HELD_OUT)
        (home / "prices.yaml").write_text(prices)
        again = _typed(terminal, next(command for command in steps if " record " in command))
    assert list(said) == ["inventory", "download", "record", "retrain", "compare"]
    assert "8 answers kept, 0 left" in again
    assert len(account.charged) == len(HELD_OUT), "nothing is asked twice"
    assert re.search(rf"Registered ft:{BASE}:homeroom:fractions:[0-9a-f]{{8}}, tuned on from-ftjob-1@1", said["retrain"])
    report = re.search(r"Whole report: (.+)", said["compare"])
    assert report is not None
    assert (terminal.folder / report[1].strip()).read_text("utf-8").startswith("<!doctype html>")


def _typed(desk: Terminal, command: str) -> str:
    result = desk.run(f"echo y | {command}")
    expected = 1 if " compare " in command else 0  # two random layers are no match for the old model
    assert result.returncode == expected, f"$ {command}\n{result.stdout}\n{result.stderr}"
    assert "Traceback" not in result.stderr
    return result.stdout
