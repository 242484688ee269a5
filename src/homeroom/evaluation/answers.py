"""Answers: one system's reply to every item, generated concurrently and kept on disk, so that a rerun or a kill continues."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from homeroom.errors import AuthError, ConfigError, ProviderError, StorageError
from homeroom.evaluation.prompts import PromptBuilder
from homeroom.schema.chat import ChatModel, GenerationSettings
from homeroom.schema.evaluation import Answer
from homeroom.schema.examples import Item, Message
from homeroom.schema.jobs import JobCancelled

ERROR = "error"
Progress = Callable[[int, int], None]


def _nothing(_done: int, _total: int) -> None:
    return None


def _never() -> bool:
    return False


def cache_key(system: str, identity: str, messages: Sequence[Message], settings: GenerationSettings) -> str:
    """SHA-256 over everything a reply depends on. ``identity`` must change with the weights, the adapter and the engine."""
    record = {
        "system": system,
        "identity": identity,
        "messages": [[message.role, message.content] for message in messages],
        "settings": settings.to_dict(),
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class AnswerCache:
    """Answers on disk, one file each, named by `cache_key`.

    A file is whole or absent; one that cannot be read is generated anew.
    """

    folder: Path

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"

    def get(self, key: str, item_id: str, system: str) -> Answer | None:
        """The stored answer, for this item and system; None when there is none."""
        try:
            record = json.loads(self._path(key).read_text(encoding="utf-8"))
            return Answer(
                item_id,
                system,
                str(record["text"]),
                str(record["finish_reason"]),
                float(record["latency_s"]),
                int(record["completion_tokens"]),
            )
        except (OSError, KeyError, TypeError, ValueError):
            return None

    def put(self, key: str, answer: Answer) -> None:
        """Store an answer: written beside its place, synced, renamed.

        Raises:
            StorageError: the disk refused.
        """
        path = self._path(key)
        record = {
            "text": answer.text,
            "finish_reason": answer.finish_reason,
            "latency_s": answer.latency_s,
            "completion_tokens": answer.completion_tokens,
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=".answer-")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(record, file, ensure_ascii=False)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(path)
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StorageError(
                f"an answer could not be written to {str(path)!r}: {error.strerror or error}. Free some space and run the "
                f"same command again: it goes on where it stopped",
                code="answer-cache",
            ) from error


@dataclass(slots=True)
class _Failures:
    """Counts items that an endpoint would not answer, and says when that is too many."""

    limit: int
    count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, error: ProviderError) -> None:
        with self.lock:
            self.count += 1
            if self.count > self.limit:
                raise error


@dataclass(frozen=True, slots=True)
class _Question:
    """One item that has no answer yet."""

    index: int
    item_id: str
    messages: list[Message]
    key: str


@dataclass(frozen=True, slots=True)
class _Desk:
    """Where threads take their questions: asks the model, keeps the answer, counts failures."""

    model: ChatModel
    settings: GenerationSettings
    system: str
    cache: AnswerCache
    failures: _Failures

    def answer(self, question: _Question) -> Answer:
        try:
            completion = self.model.complete(question.messages, self.settings)
        except AuthError:
            raise
        except ProviderError as error:
            self.failures.add(error)
            return Answer(question.item_id, self.system, "", ERROR)
        answer = Answer(
            question.item_id,
            self.system,
            completion.text,
            completion.finish_reason,
            round(completion.latency_s, 4),
            completion.usage.completion_tokens,
        )
        self.cache.put(question.key, answer)
        return answer


def generate(
    items: Sequence[Item],
    model: ChatModel,
    settings: GenerationSettings,
    *,
    system: str,
    prompt: PromptBuilder,
    cache_dir: Path,
    identity: str = "",
    concurrency: int = 4,
    max_failures: int | None = None,
    on_progress: Progress = _nothing,
    should_stop: Callable[[], bool] = _never,
) -> list[Answer]:
    """One answer for each item, in the items' order.

    Args:
        items: What is answered.
        model: What answers; shared by the threads.
        settings: How a reply is drawn.
        system: Name of the system (a model with its prompt) in reports and in the cache key.
        prompt: Builds the messages for an item.
        cache_dir: Where answers are kept; may be shared by systems and runs.
        identity: What the model is beyond its name (hash of weights and adapter, engine version). A changed model must
            not find old answers.
        concurrency: Requests at a time.
        max_failures: Items the endpoint may fail on before the run stops; default one in ten, at least two. A failed
            item gets an empty answer with ``finish_reason="error"`` that is not kept, so that the next run tries it
            again.
        on_progress: Called with (done, total) from this thread, cached answers first.
        should_stop: Asked between requests.

    Raises:
        ProviderError: the endpoint refused the credential, the model is unknown there, or too many items failed; what
            was answered is kept.
        JobCancelled: ``should_stop`` said so; what was answered is kept.
    """
    if concurrency < 1:
        raise ConfigError(
            f"concurrency must be at least 1, not {concurrency!r}. Leave it out for the default of 4", code="concurrency"
        )
    limit = max(2, len(items) // 10) if max_failures is None else max_failures
    desk = _Desk(model, settings, system, AnswerCache(cache_dir), _Failures(limit))
    answers, questions = _kept(items, settings, system, prompt, desk.cache, identity or model.name)
    done = len(items) - len(questions)
    on_progress(done, len(items))
    for count, (index, answer) in enumerate(_ask(desk, questions, concurrency, should_stop), start=done + 1):
        answers[index] = answer
        on_progress(count, len(items))
    return [answer for answer in answers if answer is not None]


def unanswered(
    items: Sequence[Item], settings: GenerationSettings, *, system: str, prompt: PromptBuilder, cache_dir: Path, identity: str
) -> list[list[Message]]:
    """What `generate` would ask, given the same: the messages of those items whose answers are not kept."""
    _, questions = _kept(items, settings, system, prompt, AnswerCache(cache_dir), identity)
    return [question.messages for question in questions]


def _kept(
    items: Sequence[Item],
    settings: GenerationSettings,
    system: str,
    prompt: PromptBuilder,
    cache: AnswerCache,
    identity: str,
) -> tuple[list[Answer | None], list[_Question]]:
    """The answer to each item that is kept, None where there is none, and the questions that are left."""
    answers: list[Answer | None] = []
    questions: list[_Question] = []
    for index, item in enumerate(items):
        messages = prompt(item)
        question = _Question(index, item.id, messages, cache_key(system, identity, messages, settings))
        answers.append(cache.get(question.key, item.id, system))
        if answers[-1] is None:
            questions.append(question)
    return answers, questions


def _ask(
    desk: _Desk, questions: Sequence[_Question], concurrency: int, should_stop: Callable[[], bool]
) -> Iterator[tuple[int, Answer]]:
    """Answers as they come, with their place. What is under way when the run ends is waited for, and kept."""
    queue = iter(questions)
    running: dict[Future[Answer], int] = {}
    with ThreadPoolExecutor(concurrency, thread_name_prefix="answers") as pool:
        try:
            while True:
                while len(running) < concurrency and (asked := next(queue, None)) is not None:
                    running[pool.submit(desk.answer, asked)] = asked.index
                if not running:
                    return
                finished, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield running.pop(future), future.result()
                if should_stop():
                    raise JobCancelled
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
