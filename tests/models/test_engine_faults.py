"""The engine when things go wrong: a child killed in the middle of answers, adapters it cannot load, no room for two at once."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from homeroom.errors import HomeroomError, ProviderError
from homeroom.models.engine import EngineManager
from homeroom.models.engine_chat import EngineChatModel
from homeroom.models.engine_info import AdapterFile
from homeroom.runtime import spawn
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Message

pytestmark = pytest.mark.slow  # many processes, or much arithmetic

ASK = [Message("user", "Why?")]
GREEDY = GenerationSettings(max_tokens=12)
LONG = GenerationSettings(max_tokens=1900)  # greedy, the tiny model never ends by itself


@pytest.fixture
def managed(tiny_base, tmp_path):
    """Makes managers of the tiny model, and models that talk through them; ends and closes them."""
    made = []

    def make(**options):
        options = {"slots": 2, "context": 2048, "threads": 1, **options}
        manager = EngineManager(tiny_base, home=tmp_path, spawn=spawn, **options)
        model = EngineChatModel("tiny", manager.ensure)
        made.append((manager, model))
        return manager, model

    yield make
    for manager, model in made:
        model.close()
        manager.stop()


def test_a_child_killed_in_the_middle_of_answers_is_told_in_each_and_the_next_request_works(managed):
    manager, model = managed()
    expected = model.complete(ASK, GREEDY).text
    pid = manager.ensure().pid
    streams = [model.stream(ASK, LONG) for _ in range(2)]
    begun = [next(stream).text for stream in streams]
    os.kill(pid, signal.SIGKILL)
    for stream in streams:
        with pytest.raises(ProviderError, match="ended in the middle of this answer") as caught:
            for chunk in stream:
                begun.append(chunk.text)
        assert caught.value.code == "engine-ended"
    assert all(begun)
    assert model.complete(ASK, GREEDY).text == expected
    assert manager.ensure().pid != pid


def test_requests_that_had_not_begun_when_the_child_died_are_answered_by_the_next(managed):
    manager, model = managed(slots=1)
    expected = model.complete(ASK, GREEDY).text
    pid = manager.ensure().pid
    running = model.stream(ASK, LONG)
    next(running)
    with ThreadPoolExecutor(6) as pool:
        # They wait behind the long answer for the only slot.
        waiting = [pool.submit(model.complete, ASK, GREEDY) for _ in range(6)]
        threading.Timer(0.05, os.kill, (pid, signal.SIGKILL)).start()
        assert [reply.result().text for reply in waiting] == [expected] * 6
    with pytest.raises(ProviderError):
        list(running)


def test_an_adapter_that_the_engine_cannot_load_stops_nobody_else(managed, tiny_base, adapters, tmp_path):
    path = tmp_path / "spoilt.gguf"
    path.write_bytes(adapters[0].path.read_bytes()[:200] + b"\xff" * 4000)
    spoilt = AdapterFile("spoilt", path, tiny_base.identity)
    wanted = [adapters[1]]
    manager, model = managed(adapters=lambda: list(wanted))
    first = manager.ensure()
    wanted.append(spoilt)
    info = manager.refresh()
    assert info.adapters == {adapters[1].name: 0}
    assert model.complete(ASK, GREEDY).text
    assert "'spoilt'" in (tmp_path / "logs" / "engine.log").read_text(errors="replace")
    assert manager.refresh().pid == info.pid == manager.ensure().pid  # it is not tried again and again
    assert first.adapters == info.adapters


def test_a_base_that_cannot_be_loaded_is_not_blamed_on_its_adapters(tiny_base, adapters, tmp_path):
    from dataclasses import replace

    broken = tmp_path / "broken.gguf"
    broken.write_bytes(tiny_base.gguf.read_bytes()[:5000])
    manager = EngineManager(
        replace(tiny_base, gguf=broken), home=tmp_path, spawn=spawn, context=256, threads=1, adapters=lambda: adapters
    )
    with pytest.raises(ProviderError) as caught:
        manager.ensure()
    assert caught.value.code == "engine-start"
    assert "left out" not in (tmp_path / "logs" / "engine.log").read_text(errors="replace")
    manager.stop()


def test_without_room_for_two_the_old_one_finishes_first_and_new_requests_wait(managed, adapters):
    wanted = []
    manager, model = managed(adapters=lambda: list(wanted), slots=2)
    expected = model.complete(ASK, GREEDY).text
    old = manager.ensure()
    running = model.stream(ASK, LONG)
    pieces = [next(running).text]
    wanted.extend(adapters)
    with ThreadPoolExecutor(4) as pool:
        new = pool.submit(manager.refresh, side_by_side=False)
        reader = pool.submit(lambda: list(running))
        while manager.running() is not None and not new.done():
            pass
        asked = pool.submit(model.complete, ASK, GREEDY)
        assert asked.result().text == expected
        assert new.result().pid != old.pid
        assert new.result().adapters.keys() == {a.name for a in adapters}
        pieces += [chunk.text for chunk in reader.result()]
    assert len(pieces) > 100


def test_a_stopped_engine_says_so(managed):
    manager, model = managed()
    manager.ensure()
    manager.stop()
    with pytest.raises(HomeroomError) as caught:
        model.complete(ASK, GREEDY)
    assert caught.value.code == "engine-stopped"
