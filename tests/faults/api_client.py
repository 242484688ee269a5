"""Programs that fine-tune through the API with the official SDK: ``python -m tests.faults.api_client NUMBER --folder F --address URL``.

What failed is asked again as a careful program does it: an upload anew, under another name; a job with the same idempotency key
until it is acknowledged. Some jobs are cancelled, at any moment. They end when ``<folder>/stop`` exists.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import subprocess
import sys
import time
from pathlib import Path

import openai

from tests.faults.client import Client
from tests.faults.tether import tethered
from tests.openai_api.helpers import chat_lines, jsonl

OVER = ("succeeded", "failed", "cancelled")
AT_ONCE = 1


class Trainer(Client):
    """Uploads, orders, follows, cancels now and then, and asks the finished model."""

    kind = "api"

    def __init__(self, number: str, folder: Path, address: str) -> None:
        super().__init__(number, folder, address)
        self.api = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0, timeout=20)
        self.chance = random.Random(int(number))
        self.open: dict[str, str] = {}  # tag to job
        self.unwanted: set[str] = set()  # tags of jobs that are cancelled at some moment; the others may end by themselves

    def work(self) -> None:
        if len(self.open) < AT_ONCE:
            self.order()
        for tag, job in list(self.open.items()):
            self.look(tag, job)
        time.sleep(0.2)

    def order(self) -> None:
        """A new file and a job that trains on it."""
        file = self.upload()
        if file is None:
            return
        tag = self.marker()
        self.journal.meant("ftjob", tag=tag, file=file)
        while not (self.folder / "stop").exists():
            try:
                job = self.api.fine_tuning.jobs.create(
                    model="tiny",
                    training_file=file,
                    metadata={"tag": tag},
                    hyperparameters={"n_epochs": 2, "batch_size": 4},
                    extra_headers={"Idempotency-Key": tag},
                )
            except openai.APIError as error:
                self.journal.failed("ftjob", tag=tag, said=repr(error)[:300])
                time.sleep(0.2)
                continue
            self.journal.told("ftjob", tag=tag, id=job.id, file=file)
            self.open[tag] = job.id
            if self.chance.random() < 0.5:
                self.unwanted.add(tag)
            return

    def upload(self) -> str | None:
        """The id of a file that is like no other."""
        name = f"{self.marker()}.jsonl"
        data = jsonl(chat_lines(12, f"Draw both pieces. {name}"))
        digest = hashlib.sha256(data).hexdigest()
        self.journal.meant("file", name=name, sha256=digest)
        try:
            made = self.api.files.create(file=(name, data), purpose="fine-tune")
        except openai.APIError as error:
            self.journal.failed("file", name=name, said=repr(error)[:300])
            return None
        self.journal.told("file", name=name, id=made.id, sha256=digest)
        return made.id

    def look(self, tag: str, job: str) -> None:
        """What became of it; once in a while enough of it."""
        try:
            if tag in self.unwanted and self.chance.random() < 0.1:
                self.journal.meant("cancel", id=job)
                said = self.api.fine_tuning.jobs.cancel(job).status
                self.journal.told("cancelled" if said == "cancelled" else "cancel", tag=tag, id=job)
            now = self.api.fine_tuning.jobs.retrieve(job)
            if now.status == "succeeded":
                steps = [point.step_number for point in self.api.fine_tuning.jobs.checkpoints.list(job)]
                results = [hashlib.sha256(self.api.files.content(file).read()).hexdigest() for file in now.result_files]
                self.journal.told("tuned by api", id=job, name=now.fine_tuned_model, steps=steps, results=results)
            elif now.status == "failed":
                self.journal.failed("ftjob", tag=tag, id=job, said=str(now.error)[:300])
            if now.status in OVER:
                del self.open[tag]
        except openai.APIError as error:
            self.journal.failed("look", tag=tag, said=repr(error)[:200])


def start(number: int, folder: Path, address: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start one; what it prints goes to ``<folder>/clients.log``."""
    argv = tethered(sys.executable, "-m", "tests.faults.api_client", str(number), "--folder", folder, "--address", address)
    with (folder / "clients.log").open("ab") as log:
        return subprocess.Popen(
            argv,
            env={**env, "HOMEROOM_FAULTS_CLIENT": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("number")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--address", required=True)
    given = parser.parse_args()
    Trainer(given.number, given.folder, given.address).run()


if __name__ == "__main__":
    main()
