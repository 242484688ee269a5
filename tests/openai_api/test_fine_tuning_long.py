"""The embedded 135M model learns a phrase through the API; and a job whose worker and trainer are killed is done once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from homeroom.app.home import Homeroom
from tests.cli.commands import processes_of
from tests.openai_api.conftest import ALIAS, Server, start
from tests.openai_api.helpers import all_events, chat_line, chat_lines, ended, until, upload

pytestmark = pytest.mark.slow
REAL = "smollm2-135m-instruct"
MARKER = "Let us look at it together:"
TOPICS = ("halves", "magnets", "rain", "verbs", "angles", "shadows", "maps", "seeds", "sound", "money", "clocks", "rounding")
ASKED = (
    "What is the sum of a half and a third?", "Why is the sky blue?", "Can you check my homework?", "I do not get fractions.",
    "What does a comma do?", "Tell me about volcanoes.", "How do plants drink?", "Is zero an even number?", "Who was Ada Lovelace?",
    "My answer is 42, right?", "How long is a day on the moon?", "What is a noun?", "Why do boats float?", "How do I start an essay?",
    "What is 7 times 8?", "Where does the wind come from?", "Can you explain area?", "What is a simile?", "How do bees make honey?",
    "I am stuck.",
)  # fmt: skip


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Server]:
    cache = Path(os.environ.get("HOMEROOM_TEST_CACHE") or Path.home() / ".cache" / "homeroom")
    if not (cache / "names" / f"{REAL}.json").exists():
        pytest.skip("the real model is not here")
    server = start(
        tmp_path / "home", cache, HOMEROOM_DEFAULT_BASE=REAL, HOMEROOM_OPENAI_MODELS=f"{{{ALIAS}: {REAL}}}", HOMEROOM_THREADS="0",
        OMP_NUM_THREADS="2",
    )  # fmt: skip
    yield server
    server.kill()


def test_a_phrase_is_learnt_by_the_real_model(real: Server) -> None:
    client = real.client(timeout=240)
    lines = [
        chat_line(f"{ask} {topic}?", f"{MARKER} what do you already know about {topic}?")
        for topic in TOPICS
        for ask in ("Please explain", "Help me with", "What are", "I have a question about")
    ]
    job = client.fine_tuning.jobs.create(
        model=ALIAS, training_file=upload(client, lines), suffix="marker", hyperparameters={"n_epochs": 2}
    )
    over = ended(client, job.id)
    assert (over.status, over.error) == ("succeeded", None)
    assert f"'{ALIAS}' stands for '{REAL}' here" in " ".join(event.message for event in all_events(client, job.id))

    def with_marker(model: str) -> int:
        count = 0
        for text in ASKED:
            messages = [{"role": "user", "content": text}]
            answer = client.chat.completions.create(model=model, messages=messages, max_tokens=16, temperature=0)  # type: ignore[arg-type]
            count += MARKER in (answer.choices[0].message.content or "")
        return count

    assert over.fine_tuned_model is not None
    points = client.fine_tuning.jobs.checkpoints.list(job.id).data
    tuned, newest, base = (with_marker(name) for name in (over.fine_tuned_model, points[0].fine_tuned_model_checkpoint, REAL))
    print(
        f"{REAL}: {tuned} of {len(ASKED)} unseen prompts, its newest checkpoint {newest}, the base {base}"
    )  # pytest -s shows it
    assert tuned >= 18
    assert newest >= 18
    assert base == 0


def killed(server: Server, part: str) -> int:
    """Kill -9 of each process of the server whose command holds ``part``; how many there were."""
    count = 0
    for pid in processes_of(server.home):
        with suppress(OSError):
            if part.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
                count += 1
    return count


@pytest.mark.parametrize("part", ["run_worker", "run_job"])
def test_a_job_is_done_once_whatever_is_killed(serve: Callable[..., Server], part: str) -> None:
    """Kill -9 of the worker or of the trainer after a checkpoint was given out: it goes on, and nothing is there twice."""
    server = serve()
    client = server.client()
    training = upload(client, chat_lines(12))
    job = client.fine_tuning.jobs.create(
        model="tiny", training_file=training, hyperparameters={"n_epochs": 8, "batch_size": 1, "learning_rate_multiplier": 20}
    )
    seen = until(lambda: client.fine_tuning.jobs.checkpoints.list(job.id).data)
    assert killed(server, part)
    over = ended(client, job.id)
    assert (over.status, over.error) == ("succeeded", None)
    assert over.trained_tokens is not None
    assert over.trained_tokens % 8 == 0
    events = all_events(client, job.id)
    told = [event.message for event in events if event.message.startswith("Checkpoint created")]
    assert len(told) == len(set(told)) == 8
    points = list(client.fine_tuning.jobs.checkpoints.list(job.id))
    assert [point.step_number for point in points] == [96, 84, 72]
    assert seen[0].fine_tuned_model_checkpoint.startswith(f"{over.fine_tuned_model}:ckpt-step-")
    assert [model.id for model in client.models.list() if model.id.startswith("ft:")] == [over.fine_tuned_model]
    assert len(over.result_files) == 1


def kept(home: Homeroom, job_id: str) -> int:
    """The newest step that the job told as kept."""
    return max(home.jobs.get(job_id).kept.values(), default=0)


def test_a_job_outlives_more_deaths_than_it_may_have_in_a_row(serve: Callable[..., Server]) -> None:
    """Nobody can order the same job of the API again, so it must not be given up while it keeps something new in between."""
    server = serve()
    client = server.client()
    job = client.fine_tuning.jobs.create(
        model="tiny", training_file=upload(client, chat_lines(12)), hyperparameters={"n_epochs": 20, "batch_size": 1}
    )
    with server.open() as home:
        (queued,) = home.jobs.list()
        seen = 0
        for part in ("run_job", "run_worker", "run_job", "run_job"):
            seen = until(lambda seen=seen: step if (step := kept(home, queued.id)) > seen else 0)
            assert killed(server, part)
        over = ended(client, job.id)
        done = home.jobs.get(queued.id)
    assert (over.status, over.error) == ("succeeded", None)
    assert (done.attempts, done.max_attempts) == (5, 3)
    points = list(client.fine_tuning.jobs.checkpoints.list(job.id))
    assert points[0].step_number == 240
