from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from homeroom.errors import AuthError, ConfigError, NotFoundError, ProviderError, StorageError
from homeroom.evaluation.answers import ERROR, generate
from homeroom.evaluation.prompts import PlainPrompt
from homeroom.models.testing import ScriptedChatModel
from homeroom.schema.chat import Chunk, Completion, GenerationSettings
from homeroom.schema.examples import Message
from homeroom.schema.jobs import JobCancelled
from tests.evaluation.helpers import tutor

ITEMS = [tutor(f"question {n}") for n in range(12)]
SETTINGS = GenerationSettings(max_tokens=8)


class Counting(ScriptedChatModel):
    """A scripted model that counts its requests."""

    def __init__(self, name: str, reply: Callable[[Sequence[Message]], str]) -> None:
        super().__init__(name, reply)
        self.calls = 0
        self._lock = threading.Lock()

    def complete(self, messages: Sequence[Message], settings: GenerationSettings) -> Completion:
        with self._lock:
            self.calls += 1
        return super().complete(messages, settings)

    def stream(self, messages: Sequence[Message], settings: GenerationSettings) -> Iterator[Chunk]:
        return super().stream(messages, settings)


def echo(messages: Sequence[Message]) -> str:
    return f"re {messages[-1].content}"


def failing_on(names: set[str], error: Exception) -> Callable[[Sequence[Message]], str]:
    def reply(messages: Sequence[Message]) -> str:
        if messages[-1].content in names:
            raise error
        return echo(messages)

    return reply


def test_answers_come_in_the_order_of_the_items_and_are_kept(tmp_path: Path) -> None:
    model, told = Counting("m", echo), []
    answers = generate(
        ITEMS,
        model,
        SETTINGS,
        system="s",
        prompt=PlainPrompt(),
        cache_dir=tmp_path,
        concurrency=5,
        on_progress=lambda *n: told.append(n),
    )
    assert [a.text for a in answers] == [f"re question {n}" for n in range(12)]
    assert [a.item_id for a in answers] == [i.id for i in ITEMS]
    assert told[0] == (0, 12) and told[-1] == (12, 12) and model.calls == 12
    assert generate(ITEMS, model, SETTINGS, system="s", prompt=PlainPrompt(), cache_dir=tmp_path) == answers
    assert model.calls == 12


@pytest.mark.parametrize("change", ["system", "identity", "prompt", "settings"])
def test_a_changed_question_is_asked_anew(tmp_path: Path, change: str) -> None:
    model = Counting("m", echo)
    generate(ITEMS[:3], model, SETTINGS, system="s", prompt=PlainPrompt(), cache_dir=tmp_path, identity="a")
    generate(
        ITEMS[:3],
        model,
        GenerationSettings(max_tokens=9) if change == "settings" else SETTINGS,
        system="other" if change == "system" else "s",
        prompt=PlainPrompt("Be kind.") if change == "prompt" else PlainPrompt(),
        cache_dir=tmp_path,
        identity="b" if change == "identity" else "a",
    )
    assert model.calls == 6


def test_a_stopped_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    model = Counting("m", echo)
    with pytest.raises(JobCancelled):
        generate(
            ITEMS,
            model,
            SETTINGS,
            system="s",
            prompt=PlainPrompt(),
            cache_dir=tmp_path,
            concurrency=1,
            should_stop=lambda: model.calls >= 4,
        )
    before = model.calls
    assert 4 <= before < 12
    generate(ITEMS, model, SETTINGS, system="s", prompt=PlainPrompt(), cache_dir=tmp_path)
    assert model.calls == 12


def test_a_damaged_file_is_answered_again(tmp_path: Path) -> None:
    model = Counting("m", echo)
    generate(ITEMS, model, SETTINGS, system="s", prompt=PlainPrompt(), cache_dir=tmp_path)
    files = sorted(tmp_path.rglob("*.json"))
    files[0].write_text('{"text": "half')
    files[1].write_bytes(b"\xff\xfe\x00")
    files[2].write_text("[]")
    generate(ITEMS, model, SETTINGS, system="s", prompt=PlainPrompt(), cache_dir=tmp_path)
    assert model.calls == 15
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".json"]


def test_a_few_failures_are_empty_answers_that_are_not_kept(tmp_path: Path) -> None:
    model = Counting("m", failing_on({"question 3"}, ProviderError("down")))
    answers = generate(ITEMS, model, SETTINGS, system="s", prompt=PlainPrompt(), cache_dir=tmp_path)
    assert [a.item_id for a in answers if a.finish_reason == ERROR] == [ITEMS[3].id] and answers[3].text == ""
    mended = Counting("m", echo)
    assert generate(ITEMS, mended, SETTINGS, system="s", prompt=PlainPrompt(), cache_dir=tmp_path)[3].text == "re question 3"
    assert mended.calls == 1


def test_many_failures_end_the_run_and_keep_what_was_answered(tmp_path: Path) -> None:
    model = Counting("m", failing_on({f"question {n}" for n in range(4, 12)}, ProviderError("down")))
    with pytest.raises(ProviderError, match="down"):
        generate(ITEMS, model, SETTINGS, system="s", prompt=PlainPrompt(), cache_dir=tmp_path, concurrency=1)
    assert model.calls == 7
    assert len(list(tmp_path.rglob("*.json"))) == 4


@pytest.mark.parametrize("error", [AuthError("refused"), NotFoundError("no such model")])
def test_what_no_retry_can_mend_ends_the_run_at_once(tmp_path: Path, error: Exception) -> None:
    model = Counting("m", failing_on({f"question {n}" for n in range(12)}, error))
    with pytest.raises(type(error)):
        generate(ITEMS, model, SETTINGS, system="s", prompt=PlainPrompt(), cache_dir=tmp_path, concurrency=1)
    assert model.calls == 1


def test_a_disk_that_refuses_is_a_storage_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(StorageError) as caught:
        generate(ITEMS[:1], ScriptedChatModel("m", echo), SETTINGS, system="s", prompt=PlainPrompt(), cache_dir=blocked)
    assert caught.value.code == "answer-cache" and "same command again" in str(caught.value)


def test_concurrency_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not 0"):
        generate(
            ITEMS, ScriptedChatModel("m", echo), SETTINGS, system="s", prompt=PlainPrompt(), cache_dir=tmp_path, concurrency=0
        )
