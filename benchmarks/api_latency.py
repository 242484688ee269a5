"""What our server adds to an endpoint that answers at once, beside LiteLLM's proxy on the same endpoint, in turns.

Requests a second and added latency at 100 requests a second with keys on; the chat page's own route, which writes each turn to
the database, reported by itself; 500 streams at once. LiteLLM is installed into an environment of its own (pinned below).

    python api_latency.py [--part rate|most|turns|streams] [--rounds 3] [--seconds 8] [--litellm FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import api_load as load
import httpx
import machine

PARTS = ("rate", "most", "turns", "streams")
PER_SECOND, TURNS_PER_SECOND, STREAMS = 100.0, 20.0, 500
LITELLM = "litellm[proxy]==1.106.2"
HERE = Path(__file__).parent
MESSAGES = [
    {"role": "system", "content": "You are a kind tutor."},
    {"role": "user", "content": "I added 1/2 and 1/3 and got 2/5."},
]


@dataclass(frozen=True)
class Target:
    """A server to ask."""

    name: str
    url: str
    key: str
    prefix: str = ""
    pid: int = 0

    def shot(self, model: str, *, stream: bool = False) -> load.Shot:
        body = {"model": self.prefix + model, "messages": MESSAGES, "max_tokens": 64, "stream": stream}
        headers = {"Authorization": f"Bearer {self.key}"}
        return load.Shot.post(f"{self.url}/chat/completions", json.dumps(body).encode(), headers, stream=stream)

    def cpu_s(self) -> float:
        """Processor time so far of the process and of all that it started."""
        ticks: dict[int, tuple[int, int]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            ticks[int(stat.parent.name)] = int(fields[1]), int(fields[11]) + int(fields[12])
        family = {self.pid}
        while more := {pid for pid, (parent, _) in ticks.items() if parent in family} - family:
            family |= more
        return sum(ticks[pid][1] for pid in family if pid in ticks) / os.sysconf("SC_CLK_TCK")


@contextmanager
def process(argv: Sequence[str], env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """A program in a session of its own, whose output's first lines are ours and whose end is."""
    with log.open("w") as errors:
        child = subprocess.Popen(
            argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
        try:
            yield child
        finally:
            child.send_signal(signal.SIGINT)
            try:
                child.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.communicate()


@contextmanager
def stub(folder: Path) -> Iterator[Target]:
    with process([sys.executable, str(HERE / "api_stub.py")], dict(os.environ), folder / "stub.log") as child:
        assert child.stdout
        yield Target("the endpoint itself", child.stdout.readline().strip(), "none", pid=child.pid)


@contextmanager
def ours(folder: Path, upstream: str) -> Iterator[tuple[Target, load.Shot]]:
    """Our server with keys on, and the shot that is a turn of the chat page by somebody who signed in."""
    home = folder / "home"
    home.mkdir()
    endpoint = [{"name": "stub", "base_url": upstream, "models": ["echo", "slow"]}]
    settings = {"HOME": home, "CACHE": folder / "cache", "ENDPOINTS": json.dumps(endpoint), "REQUESTS_PER_MINUTE": 0}
    env = {**os.environ, **{f"HOMEROOM_{name}": str(value) for name, value in settings.items()}}
    make = [sys.executable, "-m", "homeroom", "users", "key", "create", "bench", "--scope", "admin", "--rpm", "100000000"]
    key = subprocess.run(make, env=env, capture_output=True, text=True, check=True).stdout.strip()
    serve = [sys.executable, "-m", "homeroom", "serve", "--port", "0", "--no-worker", "--allow-host", "localhost"]
    with process(serve, env, folder / "ours.log") as child:
        assert child.stdout
        found = re.search(r"http://\S+?:\d+", child.stdout.readline())
        assert found, (folder / "ours.log").read_text()
        yield Target("Homeroom", f"{found[0]}/v1", key, "stub/", child.pid), _turn(found[0], key)


def _turn(address: str, key: str) -> load.Shot:
    with httpx.Client(base_url=address, follow_redirects=True, headers={"Accept": "text/html"}) as page:
        field = re.search(r'name="csrf_token" value="([^"]+)"', page.get("/sign-in").text)
        assert field
        page.post("/sign-in", data={"key": key, "csrf_token": field[1]}).raise_for_status()
        token = re.search(r'name="csrf-token" content="([^"]+)"', page.get("/chat").text)
        assert token
        cookie = "; ".join(f"{name}={value}" for name, value in page.cookies.items())
    headers = {"X-CSRF-Token": token[1], "Cookie": cookie, "Accept": "text/event-stream"}
    body = json.dumps({"text": MESSAGES[1]["content"], "model": "stub/echo"}).encode()
    return load.Shot.post(f"{address}/chat/turns", body, headers, stream=True)


@contextmanager
def litellm(folder: Path, upstream: str, venv: Path) -> Iterator[Target]:
    """LiteLLM's proxy with a key, one worker, without a database, logs or telemetry."""
    if not (venv / "bin" / "litellm").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(venv / "bin" / "pip"), "install", "--quiet", LITELLM], check=True)
    models = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name}", "api_base": upstream, "api_key": "none"}}
        for name in ("echo", "slow")
    ]
    config = folder / "litellm.json"  # YAML is a superset
    config.write_text(
        json.dumps(
            {"model_list": models, "general_settings": {"master_key": "sk-bench"}, "litellm_settings": {"telemetry": False}}
        )
    )
    port = _free_port()
    env = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_TELEMETRY": "False"}
    argv = [
        str(venv / "bin" / "litellm"),
        "--config",
        str(config),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--num_workers",
        "1",
    ]
    with process(argv, env, folder / "litellm.log") as child:
        url = f"http://127.0.0.1:{port}"
        for _ in range(240):
            assert child.poll() is None, (folder / "litellm.log").read_text()[-2000:]
            try:
                if httpx.get(f"{url}/health/liveliness", timeout=2).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.5)
        yield Target("LiteLLM", f"{url}/v1", "sk-bench", pid=child.pid)


def _free_port() -> int:
    from homeroom.runtime import free_port

    return free_port()


def quantile(values: Sequence[float], q: float) -> float:
    """In milliseconds."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, round(q * (len(ordered) - 1)))] * 1000, 2)


def summary(rounds: Sequence[load.Seen]) -> dict[str, Any]:
    values = [value for seen in rounds for value in seen.latencies]
    failures = sum(sum(seen.failures.values()) for seen in rounds)
    if not values:
        return {"answered": 0, "failed": failures, "why": rounds[0].failures}
    return {
        "answered": len(values),
        "failed": failures,
        **({"why": next(s.failures for s in rounds if s.failures)} if failures else {}),
        "p50_ms": quantile(values, 0.5),
        "p99_ms": quantile(values, 0.99),
        "p50_ms_of_rounds": [quantile(seen.latencies, 0.5) for seen in rounds if seen.latencies],
        "p99_ms_of_rounds": [quantile(seen.latencies, 0.99) for seen in rounds if seen.latencies],
    }


def rate(targets: Sequence[Target], rounds: int, seconds: float) -> dict[str, Any]:
    """At a fixed rate, in turns that change order; what is added is the difference to the endpoint asked directly."""
    seen: dict[str, list[load.Seen]] = {t.name: [] for t in targets}
    cpu: dict[str, list[float]] = {t.name: [] for t in targets}
    for target in targets:
        load.run(lambda t=target: load.at_rate(t.shot("echo"), 50, 2))
    for number in range(rounds):
        for target in targets[number % len(targets) :] + list(targets[: number % len(targets)]):
            before = target.cpu_s()
            result = load.run(lambda t=target: load.at_rate(t.shot("echo"), PER_SECOND, seconds))
            cpu[target.name].append((target.cpu_s() - before) * 1000 / (PER_SECOND * seconds))
            seen[target.name].append(result)
    found = {
        name: summary(results) | {"cpu_ms_a_request": round(statistics.median(cpu[name]), 2)} for name, results in seen.items()
    }
    direct = found[targets[0].name]
    for entry in found.values():
        for name in ("p50_ms", "p99_ms"):
            if name in entry:
                entry[f"added_{name}"] = round(entry[name] - direct[name], 2)
    return found


def most(targets: Sequence[Target], rounds: int, seconds: float) -> dict[str, Any]:
    """As many as it answers, on 16 connections."""
    found: dict[str, list[float]] = {t.name: [] for t in targets}
    for _ in range(rounds):
        for target in targets:
            seen = load.run(lambda t=target: load.as_fast_as(t.shot("echo"), 16, seconds / 2))
            found[target.name].append(round(len(seen.latencies) / seen.wall_s, 1))
    return {name: {"requests_a_second": statistics.median(values), "of_rounds": values} for name, values in found.items()}


def turns(shot: load.Shot, direct: Target, rounds: int, seconds: float) -> dict[str, Any]:
    """Turns of the chat page, each written to the database before and after the reply, beside the same stream asked directly."""
    found: dict[str, Any] = {}
    for per_second in (TURNS_PER_SECOND, PER_SECOND):
        committed, plain = [], []
        for _ in range(rounds):
            plain.append(load.run(lambda p=per_second: load.at_rate(direct.shot("echo", stream=True), p, seconds)))
            committed.append(load.run(lambda p=per_second: load.at_rate(shot, p, seconds)))
        found[f"{per_second:.0f} a second"] = {"with turns committed": summary(committed), "the endpoint itself": summary(plain)}
    return found


def streams(targets: Sequence[Target]) -> dict[str, Any]:
    """Many streams open at the same time."""
    found = {}
    for target in targets:
        seen = load.run(lambda t=target: load.at_once(t.shot("slow", stream=True), STREAMS, 2.0, 90.0))
        entry: dict[str, Any] = {"completed": len(seen.latencies), "of": STREAMS, "wall_s": round(seen.wall_s, 1)}
        if seen.firsts:
            entry |= {"first_p50_ms": quantile(seen.firsts, 0.5), "first_p99_ms": quantile(seen.firsts, 0.99)}
        found[target.name] = entry | ({"failures": seen.failures} if seen.failures else {})
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument(
        "--litellm", type=Path, default=Path(tempfile.gettempdir()) / "homeroom-litellm", help="environment with LiteLLM"
    )
    parser.add_argument("--without-litellm", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # so that the servers end with it
    results = HERE / "results" / "api_latency.json"
    record: dict[str, Any] = json.loads(results.read_text()) if options.part and results.exists() else {}
    record |= {
        "machine": machine.facts(),
        "load_average_before": os.getloadavg(),
        "date": date.today().isoformat(),
        "litellm": LITELLM,
        "per_second": PER_SECOND,
    }
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        direct = stack.enter_context(stub(folder))
        server, turn = stack.enter_context(ours(folder, direct.url))
        targets = [direct, server]
        if not options.without_litellm:
            targets.append(stack.enter_context(litellm(folder, direct.url, options.litellm)))
        for part in options.part or PARTS:
            if part == "turns":
                record[part] = turns(turn, direct, options.rounds, options.seconds)
            elif part == "streams":
                record[part] = streams(targets)
            else:
                record[part] = {"rate": rate, "most": most}[part](targets, options.rounds, options.seconds)
            print(json.dumps({part: record[part]}, indent=1), flush=True)
            if not options.without_litellm:
                results.write_text(json.dumps(record, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
