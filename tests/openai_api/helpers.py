"""Training material and waiting, for the tests of files and fine-tuning."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any

import openai
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent

from homeroom.models import prepared, tiny
from homeroom.models.prompt_program import PromptProgram
from homeroom.schema.models import TunedModel
from tests.cli.commands import PATIENCE_S
from tests.openai_api.conftest import Server

POLL_S = 0.2  # as a considerate client polls: asking all the time would take the processor from the training
Json = dict[str, Any]
QUESTIONS = (
    "Why do you think so?",
    "What is half of six?",
    "Do plants eat?",
    "Is the earth flat?",
    "Which is larger?",
    "Show me.",
)


def chat_line(question: str, reply: str, **more: Any) -> Json:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": reply}], **more}


def preference_line(question: str, better: str, worse: str) -> Json:
    return {
        "input": {"messages": [{"role": "user", "content": question}]},
        "preferred_output": [{"role": "assistant", "content": better}],
        "non_preferred_output": [{"role": "assistant", "content": worse}],
    }


def chat_lines(count: int = 12, reply: str = "Draw both pieces.") -> list[Json]:
    """Different examples."""
    return [chat_line(f"{QUESTIONS[n % len(QUESTIONS)]} {n}", reply) for n in range(count)]


def jsonl(records: Iterable[Json]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def sound(text: str) -> str:
    """A text up to the first character that the tiny model, which knows no language, wrote only half of."""
    return text.partition("\ufffd")[0]


def upload(client: openai.OpenAI, records: Iterable[Json], name: str = "train.jsonl") -> str:
    """The id of an uploaded training file."""
    return client.files.create(file=(name, jsonl(records)), purpose="fine-tune").id


def until(condition: Callable[[], Any]) -> Any:
    """What ``condition`` gives, once it is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(POLL_S)
    return value


def ended(client: openai.OpenAI, job_id: str) -> FineTuningJob:
    """The job, once it is over."""

    def over() -> FineTuningJob | None:
        job = client.fine_tuning.jobs.retrieve(job_id)
        return job if job.status in ("succeeded", "failed", "cancelled") else None

    found = until(over)
    assert isinstance(found, FineTuningJob)
    return found


def all_events(client: openai.OpenAI, job_id: str) -> list[FineTuningJobEvent]:
    """Every event of a job, newest first, by the SDK's own paging."""
    return list(client.fine_tuning.jobs.list_events(job_id, limit=7))


def registered(server: Server, suffix: str, base: str = tiny.NAME, **more: Any) -> str:
    """The name of a tuned prompt that is put into the server's registry: a model that costs no training."""
    home = server.open()
    try:
        with home.artifacts.write("model") as draft:
            PromptProgram("Be kind.", base=base).save(draft.folder)
        identity = next(files.identity for files in prepared.all_bases(home.settings.cache) if files.name == tiny.NAME)
        name = f"ft:{base.split(':')[1] if ':' in base else base}:homeroom:{suffix}:{secrets.token_hex(4)}"
        values: dict[str, Any] = {"method": "dspy", "kind": "prompt", "task": "tutor", "suitability": "practice", **more}
        home.registry.register(TunedModel(name, base, identity, suffix=suffix, artifact=draft.id, **values))
        return name
    finally:
        home.close()
