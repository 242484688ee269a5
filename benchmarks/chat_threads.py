"""How many threads the engine should have, and whether they should spin while they wait for each other.

Engines of 1 and of all cores, with llama.cpp's spinning (poll 50) and without (poll 0), side by side and asked in turns: alone on
the machine, beside a trainer of one thread at lower priority (what the rules of Homeroom give it while people chat), and beside a
busy program of one thread at the same priority.

    python chat_threads.py
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import engine_bench as bench
import machine
from chat_quantisation import prompts

from homeroom.models.engine_chat import loopback_client
from homeroom.models.engine_child import parameters
from homeroom.models.engine_info import EngineInfo

ROUNDS, TOKENS = 5, 32
CORES = os.cpu_count() or 1
BURNER = """
import os, torch
os.nice(int({nice})); torch.set_num_threads(1)
a, b = torch.randn(512, 576), torch.randn(576, 1536)
while os.getppid() == {parent}: a @ b
"""
BESIDE = {"alone": None, "beside a niced trainer": 5, "beside a busy program": 0}


def child(gguf: str, threads: int, poll: int, key: str) -> int:
    """Host an engine, say its address, and end when the standard input does."""
    from xllamacpp import Server

    config = {
        "gguf": gguf,
        "alias": "b",
        "adapters": [],
        "slots": 4,
        "context": 512,
        "threads": threads,
        "key": key,
        "embedding": False,
    }
    params = parameters(config)
    params.cpuparams.poll = params.cpuparams_batch.poll = poll
    server = Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    os._exit(0)


@contextmanager
def engine(gguf: str, threads: int, poll: int) -> Iterator[EngineInfo]:
    key = secrets.token_hex(8)
    command = [sys.executable, __file__, gguf, str(threads), str(poll), key]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        url = process.stdout.readline().strip()
        yield EngineInfo("b", "", url, key, process.pid, {}, 512, 4, 0.0)
        process.stdin.close()


def main() -> int:
    if len(sys.argv) == 5:
        return child(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    base = bench.real_base()
    asked = prompts(base)
    settings = sorted({(threads, poll) for threads in (1, CORES) for poll in (50, 0) if threads > 1 or poll == 50})
    record: dict[str, Any] = {"machine": machine.facts(), "model": bench.NAME, "matmul_gflops": [machine.matmul_gflops()]}
    with ExitStack() as stack:
        client = stack.enter_context(loopback_client())
        client.timeout = 300
        infos = {s: stack.enter_context(engine(str(base.gguf), *s)) for s in settings}
        for beside, niceness in BESIDE.items():
            burner = None
            if niceness is not None:
                code = BURNER.format(nice=niceness, parent=os.getpid())
                burner = subprocess.Popen([sys.executable, "-c", code])
            rows: dict[tuple[int, int], list[tuple[float, float, float]]] = {s: [] for s in settings}
            for round_ in range(ROUNDS + 1):
                for s in random.Random(round_).sample(settings, len(settings)):
                    told = bench.complete(infos[s], client, asked[0][:128], TOKENS, ignore_eos=True)["timings"]
                    four = bench.together(infos[s], client, [asked[1][-16:]] * 4, 16)
                    if round_:
                        rows[s].append((told["prompt_per_second"], told["predicted_per_second"], four))
            if burner is not None:
                burner.send_signal(signal.SIGKILL)
                burner.wait()
            control = rows[1, 50]
            record[beside] = {
                f"{threads} threads, poll {poll}": {
                    name: {
                        **bench.spread([row[i] for row in found], 1),
                        "vs_1_thread": bench.spread([row[i] / c[i] for row, c in zip(found, control, strict=True)], 2),
                    }
                    for i, name in enumerate(("prompt_tokens_s", "decode_1_tokens_s", "decode_4_tokens_s"))
                }
                for (threads, poll), found in rows.items()
            }
            for name, row in record[beside].items():
                print(beside, "|", name, {k: (v["median"], v["vs_1_thread"]) for k, v in row.items()}, flush=True)
    record["matmul_gflops"].append(machine.matmul_gflops())
    bench.save("chat_threads", record)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
