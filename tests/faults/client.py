"""Clients, each a process: ``python -m tests.faults.client KIND NUMBER --folder F --address URL``.

They speak as people and programs do: through the pages of the server and the commands of the terminal. Nothing of the home is
read from behind. A client never gives up; what failed it writes down, and goes on with something new or asks again, as a person
would. They end when ``<folder>/stop`` exists.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.app import material
from tests.faults.journal import Journal
from tests.faults.tether import tethered

PAUSE_S = 0.05


class Client:
    """What all clients share: a journal, a number for each thing they do, and the command line."""

    kind = ""

    def __init__(self, number: str, folder: Path, address: str) -> None:
        self.name = f"{self.kind}-{number}"
        self.folder, self.address = folder, address
        self.journal = Journal(folder / "journals" / f"{self.name}.jsonl", self.name)
        self.count = 0

    def marker(self) -> str:
        """A text that nothing else carries."""
        self.count += 1
        return f"{self.name}-{os.getpid()}-{self.count}"

    def run(self) -> None:
        """Work until told to stop."""
        while not (self.folder / "stop").exists():
            self.work()
            time.sleep(PAUSE_S)

    def work(self) -> None:
        """One round."""
        raise NotImplementedError

    def command(self, *arguments: str | Path) -> Any | None:
        """The JSON that a command printed; None when it did not end well, because it was killed for example."""
        ended = subprocess.run(
            tethered(sys.executable, "-m", "homeroom", *arguments, "--json"),
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )
        if ended.returncode == 0:
            return json.loads(ended.stdout)
        said = (ended.stdout + ended.stderr).decode(errors="replace")[-2000:]
        self.journal.failed("command", command=" ".join(map(str, arguments[:2])), code=ended.returncode, said=said)
        return None

    def until_done(self, *arguments: str | Path) -> Any | None:
        """Give the same command again until it ends well: it must do its work once. None when told to stop."""
        while not (self.folder / "stop").exists():
            done = self.command(*arguments)
            if done is not None:
                return done
            time.sleep(0.2)
        return None


class Chatter(Client):
    """A person at the pages: chats, gives thumbs, writes better answers."""

    kind = "chat"

    def work(self) -> None:
        try:
            with httpx.Client(base_url=self.address, timeout=20, trust_env=False) as web:
                found = re.search(r'name="csrf-token" content="([^"]+)"', web.get("/chat").text)
                if found:
                    web.headers["X-CSRF-Token"] = found[1]
                    conversation = None
                    for _ in range(3):
                        conversation, reply = self.say(web, conversation)
                        if reply:
                            self.judge(web, reply)
        except httpx.HTTPError as error:
            self.journal.failed("chat", said=repr(error)[:200])
            time.sleep(0.2)

    def say(self, web: httpx.Client, conversation: str | None) -> tuple[str | None, str]:
        """A message and its reply: the conversation, and the reply's id if it was told to be stored."""
        marker, reply = self.marker(), ""
        path = f"/chat/{conversation}/turns" if conversation else "/chat/turns"
        self.journal.meant("turn", marker=marker)
        text: list[str] = []
        with web.stream("POST", path, json={"text": f"Half of 14 is 8. {marker}"}) as answer:
            if answer.status_code != 200:
                self.journal.failed("turn", marker=marker, status=answer.status_code, said=answer.read().decode()[:500])
                return None, ""
            for event, data in events(answer):
                if event == "begin":
                    conversation = data["conversation"]
                    self.journal.told("turn", marker=marker, id=data["exchange"], conversation=conversation)
                elif event == "delta":
                    text.append(data["text"])
                elif event == "done":
                    reply = data["reply"]
                    self.journal.told("reply", marker=marker, id=reply, text="".join(text))
                elif event == "failed":
                    self.journal.failed("reply", marker=marker, said=str(data.get("error"))[:500])
        return conversation, reply

    def judge(self, web: httpx.Client, reply: str) -> None:
        """A thumb, then a better answer with consent."""
        self.journal.meant("thumb", turn=reply, thumb="down")
        answer = web.post(f"/turns/{reply}/thumb", data={"thumb": "down"})
        if answer.status_code != 200:
            self.journal.failed("thumb", turn=reply, status=answer.status_code, said=answer.text[:300])
            return
        self.journal.told("thumb", turn=reply, thumb="down")
        better = f"Draw 14 dots in two rows. {self.marker()}"
        given = {"thumb": "down", "reason": "Not correct", "better_answer": better, "consent": "granted"}
        self.journal.meant("feedback", turn=reply, **given)
        answer = web.post(f"/turns/{reply}/feedback", data=given)
        if answer.status_code == 200:
            self.journal.told("feedback", turn=reply, **given)


class Maker(Client):
    """Makes dataset versions of files."""

    kind = "data"

    def work(self) -> None:
        name = self.marker()
        records = [*material.tutor_records(), *material.learner_records()]
        for record in records:
            record["messages"][0]["content"] += f" ({name})"
        path = material.write_jsonl(self.folder / "inputs" / f"{name}.jsonl", records)
        self.journal.meant("dataset", name=name, examples=len(records))
        made = self.until_done("data", "split", path, "--name", name)
        if made:
            self.journal.told("dataset", name=name, examples=len(records), id=made["id"], version=made["version"])
        time.sleep(0.5)


class Importer(Client):
    """Registers adapters and chooses which model the pages use. An import is given once: a second would be a second model."""

    kind = "import"

    def work(self) -> None:
        suffix = self.marker()
        self.journal.meant("model", suffix=suffix)
        made = self.command("models", "import", self.folder / "adapter", "--suffix", suffix, "--task", "tutor")
        if made:
            self.journal.told("model", suffix=suffix, name=made["name"])
            self.journal.meant("route", task="tutor", name=made["name"])
            if self.until_done("models", "use", made["name"], "--task", "tutor") is not None:
                self.journal.told("route", task="tutor", name=made["name"])
        time.sleep(2)


class Submitter(Client):
    """Submits tuning runs and asks after them; one that failed is asked for again, as the message says."""

    kind = "tune"
    at_once = 2

    def __init__(self, number: str, folder: Path, address: str) -> None:
        super().__init__(number, folder, address)
        self.open: dict[int, str] = {}  # seed to job
        self.seed = 1000 * (1 + int(number))

    def work(self) -> None:
        if len(self.open) < self.at_once:
            self.seed += 1
            self.submit(self.seed)
        for seed, job in list(self.open.items()):
            self.look(seed, job)
        time.sleep(0.3)

    def submit(self, seed: int) -> None:
        """Queue the run of that seed; the same run is the same job, however often it is asked for."""
        recipe = json.loads((self.folder / "recipe.json").read_text())
        path = material.write_recipe(self.folder / "inputs" / f"seed-{seed}.json", {**recipe, "seed": seed})
        self.journal.meant("job", seed=seed)
        queued = self.until_done("tune", "run", "--dataset", "base-data", "--recipe", path, "--no-wait")
        if queued:
            self.open[seed] = queued[0]["id"]
            self.journal.told("job", seed=seed, id=queued[0]["id"])

    def look(self, seed: int, job: str) -> None:
        """What became of it."""
        now = self.command("jobs", "show", job)
        if now is None:
            return
        if now["state"] == "succeeded":
            self.journal.told("tuned", seed=seed, job=job, name=now["result"]["model"])
            del self.open[seed]
        elif now["state"] in ("failed", "cancelled"):
            self.journal.failed("job", seed=seed, id=job, code=now["error_code"], said=now["error"][:500])
            self.submit(seed)


KINDS = {one.kind: one for one in (Chatter, Maker, Importer, Submitter)}


def events(answer: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    """Server-sent events, as the page's script reads them."""
    event = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            event = line[7:]
        elif line.startswith("data: "):
            yield event, json.loads(line[6:])


def start(kind: str, number: int, folder: Path, address: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a client; what it prints goes to ``<folder>/clients.log``."""
    with (folder / "clients.log").open("ab") as log:
        return subprocess.Popen(
            tethered(sys.executable, "-m", "tests.faults.client", kind, str(number), "--folder", folder, "--address", address),
            env={**env, "HOMEROOM_FAULTS_CLIENT": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("number")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--address", required=True)
    given = parser.parse_args()
    KINDS[given.kind](given.number, given.folder, given.address).run()


if __name__ == "__main__":
    main()
