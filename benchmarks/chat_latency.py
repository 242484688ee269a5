"""The chat through our server against the engine asked directly: first token, throughput, many open streams, adapters, training.

Every figure is a ratio of pairs that ran in turns on one machine. A server is started on a home of its own; the direct requests
go to the same engine process with the same body.

    python chat_latency.py [--part streams|open|adapters|training]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import engine_bench as bench
import httpx
import machine

from homeroom.models.engine_chat import loopback_client
from homeroom.models.engine_info import EngineInfo, read_running

PAIRS = {1: 11, 4: 7, 16: 5}
TOKENS = 32
OPEN = 200
HEALTH_LIMIT_MS = 100
PARTS = ("streams", "open", "adapters", "training")
QUESTIONS = (
    "I think half of fourteen is eight. Is that right?",
    "Why does ice melt in my hand and not in the freezer?",
    "My answer to 3/4 minus 1/2 is 2/2. What did I do?",
    "How do I find the main idea of a paragraph?",
)


@dataclass(frozen=True)
class Took:
    """One streamed answer."""

    first_s: float
    whole_s: float
    tokens: int


@dataclass(frozen=True)
class Target:
    """Where a request goes: an address, a key, and what the body says besides the question."""

    url: str
    headers: dict[str, str]
    body: dict[str, Any]

    def ask(self, client: httpx.Client, number: int, tokens: int = TOKENS) -> Took:
        """Stream one answer and take its times."""
        text = f"{QUESTIONS[number % len(QUESTIONS)]} (pupil {number})"
        messages = [{"role": "system", "content": "You are a kind tutor."}, {"role": "user", "content": text}]
        body = {**self.body, "messages": messages, "max_tokens": tokens, "stream": True}
        body["stream_options"] = {"include_usage": True}
        started = time.perf_counter()
        first, written = 0.0, 0
        with client.stream("POST", self.url, json=body, headers=self.headers) as response:
            if response.status_code != httpx.codes.OK:
                raise RuntimeError(response.read().decode())
            for line in response.iter_lines():
                if '"content":"' in line and '"content":""' not in line:
                    first = first or time.perf_counter() - started
                elif found := re.search(r'"completion_tokens": ?(\d+)', line):
                    written = int(found[1])
        return Took(first, time.perf_counter() - started, written)


class Server:
    """`homeroom serve` on a home."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home = home
        command = [sys.executable, "-m", "homeroom", "--home", str(home), "serve", "--port", "0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = re.search(r"http://\S+?:\d+", self.process.stdout.readline())
        assert found
        self.address = found[0]

    def info(self) -> EngineInfo:
        """Its engine."""
        info = read_running(self.home).engine()
        assert info is not None
        return info

    def ours(self, model: str = bench.NAME) -> Target:
        """Through the server."""
        return Target(f"{self.address}/v1/chat/completions", {}, {"model": model, "temperature": 0})

    def direct(self, adapter: str | None = None) -> Target:
        """Past the server, to the same engine with the same settings."""
        info = self.info()
        lora = [{"id": index, "scale": float(name == adapter)} for name, index in info.adapters.items()]
        body = {"model": info.base, "temperature": 0, "top_p": 1.0, "top_k": 0, "min_p": 0.05, "repeat_penalty": 1.0}
        body |= {"cache_prompt": False, "lora": lora}
        return Target(f"{info.url}/v1/chat/completions", {"Authorization": f"Bearer {info.key}"}, body)

    def stop(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)


@contextmanager
def serving(*options: str) -> Iterator[Server]:
    """A server on a fresh home, stopped at the end."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "home", *options)
        try:
            yield server
        finally:
            server.stop()


def at_once(targets: Sequence[Target], client: httpx.Client, tokens: int = TOKENS) -> tuple[float, float]:
    """All targets asked at the same moment: median seconds to the first token, and tokens a second of all."""
    started = time.perf_counter()
    with ThreadPoolExecutor(len(targets)) as pool:
        took = list(pool.map(lambda pair: pair[1].ask(client, pair[0], tokens), enumerate(targets)))
    whole = time.perf_counter() - started
    firsts = sorted(t.first_s for t in took)
    return firsts[len(firsts) // 2], sum(t.tokens for t in took) / whole


def pairs(one: Sequence[Target], other: Sequence[Target], count: int) -> dict[str, Any]:
    """``one`` against ``other``, in turns that change order; ratios of each pair."""
    rows: list[tuple[float, float, float, float]] = []
    with loopback_client() as client:
        client.timeout = 300
        for number in range(count + 1):
            if number % 2:
                a, b = at_once(one, client), at_once(other, client)
            else:
                b, a = at_once(other, client), at_once(one, client)
            if number:  # the first warms up
                rows.append((*a, *b))
    return {
        "first_token_ratio": bench.spread([a / c for a, _, c, _ in rows]),
        "throughput_ratio": bench.spread([b / d for _, b, _, d in rows]),
        "first_token_s": bench.spread([a for a, *_ in rows]),
        "first_token_control_s": bench.spread([c for _, _, c, _ in rows]),
        "tokens_s": bench.spread([b for _, b, *_ in rows], 1),
        "tokens_s_control": bench.spread([d for *_, d in rows], 1),
    }


def streams() -> dict[str, Any]:
    """Server against engine at 1, 4 and 16 streams."""
    with serving("--no-worker") as server:
        found = {str(n): pairs([server.ours()] * n, [server.direct()] * n, count) for n, count in PAIRS.items()}
    for n, row in found.items():
        print(n, "streams: first token", row["first_token_ratio"], "throughput", row["throughput_ratio"], flush=True)
    return found


def open_streams() -> dict[str, Any]:
    """``OPEN`` streams at once, from a process of their own, while /health is asked."""
    with serving("--no-worker") as server:
        quiet = health_ms(server, 3.0)
        load = subprocess.Popen([sys.executable, __file__, "--load", server.address], stdout=subprocess.PIPE, text=True)
        assert load.stdout is not None
        load.stdout.readline()  # all are open
        under = health_ms(server, 20.0)
        load.send_signal(signal.SIGINT)
        told = load.communicate(timeout=120)[0]
    return {
        "streams": OPEN,
        "health_quiet_ms": quiet,
        "health_ms": under,
        "within_limit": under["max"] <= HEALTH_LIMIT_MS,
        **json.loads(told),
    }


def health_ms(server: Server, seconds: float) -> dict[str, Any]:
    """How long /health took, asked every 50 ms."""
    took: list[float] = []
    end = time.monotonic() + seconds
    with loopback_client() as client:
        while time.monotonic() < end:
            started = time.perf_counter()
            client.get(f"{server.address}/health", timeout=30).raise_for_status()
            took.append(1000 * (time.perf_counter() - started))
            time.sleep(0.05)
    took.sort()
    return {**bench.spread(took, 1), "p99": round(took[int(0.99 * (len(took) - 1))], 1)}


def load(address: str) -> int:
    """Holds ``OPEN`` streams open until it is interrupted. Says when all are, and at the end how many there were."""
    statuses: list[int] = []
    stop, all_open = threading.Event(), threading.Semaphore(0)
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    target = Target(f"{address}/v1/chat/completions", {}, {"model": bench.NAME, "temperature": 0})

    def hold(number: int) -> None:
        body = {**target.body, "messages": [{"role": "user", "content": f"Count {number}"}], "max_tokens": 1500, "stream": True}
        with loopback_client() as client, client.stream("POST", target.url, json=body, timeout=600) as response:
            statuses.append(response.status_code)
            all_open.release()
            for _ in response.iter_raw():
                if stop.is_set():
                    return

    threads = [threading.Thread(target=hold, args=(n,), daemon=True) for n in range(OPEN)]
    for thread in threads:
        thread.start()
    for _ in threads:
        all_open.acquire(timeout=60)
    print("open", flush=True)
    stop.wait()
    print(json.dumps({"opened": len(statuses), "refused": sum(status != 200 for status in statuses)}), flush=True)
    os._exit(0)


def adapters() -> dict[str, Any]:
    """What it costs to switch: one adapter against two in turns, alone and four at a time; the base against an adapter."""
    from homeroom.app.home import Homeroom
    from homeroom.app.importing import import_model
    from homeroom.settings import load_settings

    with tempfile.TemporaryDirectory() as folder:
        home, base = Path(folder) / "home", bench.real_base()
        names = []
        for seed in (1, 2):
            bench.random_adapter(base, Path(folder), f"a{seed}", seed)
            with Homeroom.open(load_settings({"home": str(home)})) as opened:
                made = import_model(opened, str(Path(folder) / f"peft-{seed}"), base=None, task="tutor", suffix=f"a{seed}")
            names.append(made.name)
        server = Server(home, "--no-worker")
        try:
            one, two = (server.ours(name) for name in names)
            return {
                "two_in_turns_vs_one": pairs_in_turns(one, two),
                "four_streams_two_adapters_vs_one": pairs([one, two, one, two], [one] * 4, 5),
                "adapter_vs_base": pairs([one], [server.ours()], 7),
                "through_server_vs_direct": pairs([one], [server.direct(names[0])], 7),
            }
        finally:
            server.stop()


def pairs_in_turns(one: Target, two: Target) -> dict[str, Any]:
    """Four questions after each other: one adapter all the time, against two that change at each."""
    same, mixed = [], []
    with loopback_client() as client:
        client.timeout = 300
        for _ in range(6):
            same.append(sum(one.ask(client, n, 16).whole_s for n in range(4)))
            mixed.append(sum((one, two)[n % 2].ask(client, n, 16).whole_s for n in range(4)))
    return {"time_ratio": bench.spread([m / s for m, s in zip(mixed[1:], same[1:], strict=True)])}


def training() -> dict[str, Any]:
    """The chat while a tuning job runs on the same server, against the quiet minutes before."""
    with serving() as server:
        run = [sys.executable, "-m", "homeroom", "--home", str(server.home)]
        subprocess.run([*run, "data", "split"], check=True, stdout=subprocess.DEVNULL)
        quiet, busy = [], []
        with loopback_client() as client:
            client.timeout = 300
            server.ours().ask(client, 0)
            quiet = [at_once([server.ours()] * n, client) for n in (1, 4) for _ in range(5)]
            job = _json(*run, "tune", "run", "--task", "tutor", "--no-wait", "--json")[0]["id"]
            while (state := _json(*run, "jobs", "show", job, "--json"))["progress"] < 0.02:
                assert state["state"] in ("queued", "running"), state
                time.sleep(0.5)
            busy = [at_once([server.ours()] * n, client) for n in (1, 4) for _ in range(5)]
            health = health_ms(server, 5.0)
            subprocess.run([*run, "jobs", "cancel", job], check=True, stdout=subprocess.DEVNULL)
    return {
        str(n): {
            "first_token_s_quiet": bench.spread([a for a, _ in quiet[i : i + 5]]),
            "first_token_s_training": bench.spread([a for a, _ in busy[i : i + 5]]),
            "tokens_s_quiet": bench.spread([b for _, b in quiet[i : i + 5]], 1),
            "tokens_s_training": bench.spread([b for _, b in busy[i : i + 5]], 1),
        }
        for i, n in ((0, 1), (5, 4))
    } | {"health_ms_training": health}


def _json(*command: str) -> Any:
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--load", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        return load(options.load)
    os.environ.setdefault("HOMEROOM_CACHE", str(bench.cache_of(bench.real_base())))
    path = bench.RESULTS / "chat_latency.json"
    record: dict[str, Any] = json.loads(path.read_text()) if path.exists() and options.part else {}
    work = {"streams": streams, "open": open_streams, "adapters": adapters, "training": training}
    for part in options.part or PARTS:
        before = machine.matmul_gflops()
        found = work[part]()
        record[part] = {**found, "matmul_gflops": [before, machine.matmul_gflops()], "machine": machine.facts()}
        bench.save("chat_latency", record)
        print(part, json.dumps(record[part], indent=1), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
