"""Several bases within a budget of memory: loaded on demand, the longest unused unloaded, refused with numbers; asked across processes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest

from homeroom.errors import ConflictError, NotFoundError, ProviderError
from homeroom.models import prepared, tiny
from homeroom.models.engine import EngineManager
from homeroom.models.engine_chat import EngineChatModel
from homeroom.models.engine_desk import EngineDesk, ask_desk
from homeroom.models.engine_info import EngineInfo, RunFile, info_path, read_info, read_running
from homeroom.models.engine_memory import engine_need
from homeroom.models.engine_pool import EnginePool
from homeroom.models.engine_use import last_use, mark_use
from homeroom.runtime import spawn
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Message

pytestmark = pytest.mark.slow  # many processes, or much arithmetic

ASK = [Message("user", "Why?")]
GREEDY = GenerationSettings(max_tokens=8)
LONG = GenerationSettings(max_tokens=1900)  # greedy, these models never end by themselves
CONTEXT = 2048


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Three tiny models that answer differently."""
    cache = tmp_path_factory.mktemp("bases")
    names = ("one", "two", "three")
    return [
        prepared.prepare_folder(tiny.build(tmp_path_factory.mktemp(name), seed=seed), name, cache)
        for seed, name in enumerate(names)
    ]


@pytest.fixture
def pooled(bases, tmp_path):
    """Makes a pool of the three with room for ``room`` of them, and chat models that ask it."""
    pools, models = [], []
    need = engine_need(bases[0], slots=2, context=CONTEXT).total

    def make(room=3, wanted=None, **options):
        announce = RunFile(tmp_path)

        def find(identity):
            found = [base for base in bases if base.identity == identity]
            if not found:
                raise NotFoundError(f"no {identity!r}", code="base-not-here")
            return found[0]

        def manager(base):
            files = (lambda: [f for f in wanted if f.base_identity == base.identity]) if wanted is not None else tuple
            return EngineManager(
                base, home=tmp_path, spawn=spawn, slots=2, context=CONTEXT, threads=1, adapters=files, announce=announce
            )

        pool = EnginePool(
            find,
            manager,
            lambda base: engine_need(base, slots=2, context=CONTEXT),
            budget_bytes=int(need * (room + 0.5)),
            used=lambda identity: last_use(tmp_path, identity),
            **options,
        )
        pools.append(pool)
        return pool

    def talk(pool, base):
        models.append(EngineChatModel(base.name, lambda failed: pool.ensure(base.identity, None, failed)))
        return models[-1]

    make.talk = talk
    yield make
    for model in models:
        model.close()
    for pool in pools:
        pool.stop()


def names(pool):
    return list(pool.loaded())


def test_each_base_answers_for_itself(pooled, bases, tmp_path):
    pool = pooled()
    texts = [pooled.talk(pool, base).complete(ASK, GREEDY).text for base in bases]
    assert len(set(texts)) == 3
    assert names(pool) == ["one", "two", "three"]
    assert [info.identity for info in read_running(tmp_path).engines] == [base.identity for base in bases]
    assert read_info(tmp_path, bases[1].identity).base == "two"
    with pytest.raises(NotFoundError):
        pool.ensure("0" * 64)
    pool.stop()
    assert not info_path(tmp_path).exists()


def test_what_was_asked_for_longest_ago_makes_room_and_comes_back_when_asked(pooled, bases, tmp_path):
    said = []
    pool = pooled(room=2, say=said.append)
    models = [pooled.talk(pool, base) for base in bases]
    first = [model.complete(ASK, GREEDY).text for model in models[:2]]
    mark_use(tmp_path, bases[0].identity)
    models[2].complete(ASK, GREEDY)
    assert names(pool) == ["one", "three"]
    assert models[1].complete(ASK, GREEDY).text == first[1]
    assert names(pool) == ["three", "two"]
    assert any("loading three, which needs" in line and "weights" in line for line in said)
    assert "engine: unloading two: to make room for three" in said


def test_what_is_pinned_makes_room_last(pooled, bases):
    pinned = {bases[0].identity}
    pool = pooled(room=2, pinned=lambda: pinned)
    for base in bases:
        pool.ensure(base.identity)
    assert names(pool) == ["one", "three"]
    pinned |= {bases[1].identity}
    pool.ensure(bases[1].identity)
    assert names(pool) == ["one", "two"]
    pool.ensure(bases[2].identity)
    assert names(pool) == ["two", "three"]


def test_a_base_that_can_never_fit_is_refused_with_the_numbers_and_nothing_is_unloaded(bases, tmp_path):
    started = []

    def counting(argv, **options):
        started.append(argv)
        return spawn(argv, **options)

    need = engine_need(bases[0], slots=2, context=CONTEXT)
    pool = EnginePool(
        lambda identity: next(base for base in bases if base.identity == identity),
        lambda base: EngineManager(base, home=tmp_path, spawn=counting, slots=2, context=CONTEXT, threads=1),
        lambda base: need if base is bases[0] else replace(need, conversations=2_000_000_000),
        budget_bytes=need.total + 1,
    )
    try:
        pid = pool.ensure(bases[0].identity).pid
        with pytest.raises(ConflictError) as caught:
            pool.ensure(bases[1].identity)
        assert caught.value.code == "engine-memory"
        for number in ("needs 2.1 GB", "2 conversations of 2,048 tokens 2.0 GB", "weights 0 MB", "may take 92 MB"):
            assert number in caught.value.message
        assert "engine_memory_mb" in caught.value.message
        assert pool.ensure(bases[0].identity).pid == pid
        assert len(started) == 1
    finally:
        pool.stop()


def test_a_stream_goes_on_to_its_end_although_its_base_makes_room(pooled, bases):
    pool = pooled(room=1)
    model = pooled.talk(pool, bases[0])
    running = model.stream(ASK, LONG)
    pieces = [next(running).text]
    with ThreadPoolExecutor(1) as threads:
        other = threads.submit(pool.ensure, bases[1].identity)
        chunks = list(running)
        other.result()
    assert chunks[-1].finish_reason in ("stop", "length")
    assert len(pieces) + len(chunks) > 100
    assert names(pool) == ["two"]


def test_two_bases_that_do_not_fit_together_still_answer_everybody(pooled, bases):
    pool = pooled(room=1)
    models = [pooled.talk(pool, base) for base in bases[:2]]
    expected = [model.complete(ASK, GREEDY).text for model in models]
    turns = [n % 2 for n in range(8)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda n: models[n].complete(ASK, GREEDY).text, turns)) == [expected[n] for n in turns]


def test_what_nobody_asks_for_is_unloaded_unless_it_is_pinned_or_busy(pooled, bases):
    pool = pooled(idle_s=0.01, pinned=lambda: {bases[0].identity})
    pool.ensure(bases[0].identity)
    stream = pooled.talk(pool, bases[2]).stream(ASK, LONG)
    next(stream)
    time.sleep(0.02)
    pool.keep()
    assert names(pool) == ["one", "three"]
    stream.close()
    deadline = time.monotonic() + 20
    while "three" in names(pool):
        assert time.monotonic() < deadline
        pool.keep()
        time.sleep(0.05)
    assert names(pool) == ["one"]


def test_what_died_is_started_again_by_itself(pooled, bases):
    import os
    import signal

    pool = pooled()
    info = pool.ensure(bases[0].identity)
    os.kill(info.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while [running.pid for running in pool.running()] in ([info.pid], []):
        assert time.monotonic() < deadline
        pool.keep()
        time.sleep(0.02)


def test_an_adapter_is_taken_in_when_it_is_asked_for(tiny_base, adapters, tmp_path):
    asked = []
    pool = EnginePool(
        lambda identity: tiny_base,
        lambda base: EngineManager(
            base,
            home=tmp_path,
            spawn=spawn,
            slots=2,
            context=512,
            threads=1,
            adapters=lambda: [a for a in adapters if a.name in asked],
        ),
        lambda base: engine_need(base, slots=2, context=512, adapters=adapters),
        budget_bytes=10**9,
    )
    try:
        assert pool.ensure(tiny_base.identity).adapters == {}
        asked.append(adapters[0].name)
        assert pool.ensure(tiny_base.identity, adapters[0].name).adapters == {adapters[0].name: 0}
        with pytest.raises(NotFoundError, match=adapters[1].name) as caught:
            pool.ensure(tiny_base.identity, adapters[1].name)
        assert caught.value.code == "adapter-not-loaded"
        asked.append(adapters[1].name)
        pool.refresh()
        assert pool.ensure(tiny_base.identity).adapters.keys() == set(asked)
    finally:
        pool.stop()


def test_stopping_waits_for_no_stream(pooled, bases):
    pool = pooled(room=1)
    stream = pooled.talk(pool, bases[0]).stream(ASK, LONG)
    next(stream)
    refused = []

    def load():
        try:
            pool.ensure(bases[1].identity)
        except ConflictError as error:
            refused.append(error.code)

    loading = threading.Thread(target=load)
    loading.start()
    while names(pool):  # until it drains, to make room
        time.sleep(0.001)
    pool.stop()
    loading.join()
    assert refused == ["engine-stopped"]
    assert names(pool) == []
    with pytest.raises(ProviderError):
        list(stream)


def test_the_estimate_is_what_the_engine_takes_and_no_less(tiny_base, tmp_path):
    need = engine_need(tiny_base, slots=4, context=1_000_000)
    assert need.context == tiny_base.context_tokens == 2048
    # two layers, two heads of 16 for keys and values, 2 bytes each
    assert need.conversations == 4 * 2048 * 2 * 2 * (2 * 16) * 2
    assert need.weights == tiny_base.gguf.stat().st_size
    manager = EngineManager(tiny_base, home=tmp_path, spawn=spawn, slots=4, context=2048, threads=1)
    try:
        assert 0.2 * need.total < memory_bytes(manager.ensure().pid, "Pss") <= need.total
    finally:
        manager.stop()


@pytest.mark.slow
def test_the_estimate_for_the_real_model_is_close(real_base, tmp_path):
    manager = EngineManager(real_base, home=tmp_path, spawn=spawn, slots=4, context=2048, threads=1)
    model = EngineChatModel("real", manager.ensure)
    try:
        need = engine_need(real_base, slots=4, context=2048).total
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: model.complete([Message("user", "word " * 1500)], GREEDY), range(4)))
        # Another process that has the same file open shares its pages, and so halves them in the second figure.
        assert 0.8 * need < memory_bytes(manager.ensure().pid, "Rss")
        assert memory_bytes(manager.ensure().pid, "Pss") <= need
    finally:
        model.close()
        manager.stop()


def memory_bytes(pid, kind):
    from pathlib import Path

    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(f"{kind}:")))


@pytest.fixture
def desk(pooled):
    pool = pooled()
    made = EngineDesk(pool.ensure)
    made.pool = pool
    yield made
    made.close()


def test_another_process_asks_at_the_desk(desk, bases):
    told = ask_desk(desk.info, bases[0].identity, None, None, timeout_s=60)
    assert told == desk.pool.ensure(bases[0].identity)
    assert isinstance(told, EngineInfo)
    for wrong, kind, code in (
        ("0" * 64, NotFoundError, "base-not-here"),
        (bases[0].identity, NotFoundError, "adapter-not-loaded"),
    ):
        with pytest.raises(kind) as caught:
            ask_desk(desk.info, wrong, "ft:none" if wrong == bases[0].identity else None, None, timeout_s=60)
        assert caught.value.code == code


def test_an_error_comes_across_whole(bases):
    def refuse(identity, adapter, failed):
        raise ProviderError("It ended 3 times.", code="engine-down", status=503, retry_after_s=4.0)

    desk = EngineDesk(refuse)
    try:
        with pytest.raises(ProviderError, match="It ended 3 times") as caught:
            ask_desk(desk.info, "x", None, None, timeout_s=10)
        assert (caught.value.code, caught.value.status, caught.value.retry_after_s) == ("engine-down", 503, 4.0)
    finally:
        desk.close()
    assert ask_desk(desk.info, "x", None, None, timeout_s=10) is None


def test_the_desk_is_for_those_who_know_its_key(desk, bases):
    body = {"identity": bases[0].identity, "adapter": None, "failed": None}
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        assert httpx.post(f"{desk.info.url}/engine", json=body, headers=headers, trust_env=False).status_code == 401
    key = {"Authorization": f"Bearer {desk.info.key}"}
    assert httpx.post(f"{desk.info.url}/other", json=body, headers=key, trust_env=False).status_code == 400
    for wrong in (b"{", b"[]", b"{}", b'{"identity": "x", "failed": {"pid": 1}}'):
        assert httpx.post(f"{desk.info.url}/engine", content=wrong, headers=key, trust_env=False).status_code == 400
    assert httpx.post(f"{desk.info.url}/engine", content=b"x" * 70_000, headers=key, trust_env=False).status_code == 400
    assert desk.pool.loaded() == {}
    assert desk.info.key not in repr(desk.info)
