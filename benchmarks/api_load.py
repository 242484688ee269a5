"""Requests at a fixed rate, at once or one after the other, with as little work of its own as Python allows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Shot:
    """One request to send again and again: where to, and its bytes."""

    host: str
    port: int
    data: bytes
    stream: bool = False

    @classmethod
    def post(cls, url: str, body: bytes, headers: dict[str, str], *, stream: bool = False) -> Shot:
        parts = urlsplit(url)
        assert parts.hostname and parts.port
        lines = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in headers.items()] + [f"Content-Length: {len(body)}", "", ""]
        return cls(parts.hostname, parts.port, "\r\n".join(lines).encode() + body, stream)


@dataclass
class Seen:
    """What came of the requests. Seconds from when each was due."""

    latencies: list[float] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)
    wall_s: float = 0.0

    def failed(self, why: str) -> None:
        self.failures[why] = self.failures.get(why, 0) + 1


class Client:
    """Connections to one server, used again and again."""

    def __init__(self, shot: Shot) -> None:
        self.shot = shot
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, due: float, seen: Seen, *, timeout_s: float = 60.0) -> None:
        """Send one and note how it went."""
        try:
            async with asyncio.timeout(timeout_s):
                first, whole = await self._send(due)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            seen.failed(f"{type(error).__name__}: {error}"[:80])
            return
        seen.latencies.append(whole)
        seen.firsts.append(first)

    async def _send(self, due: float) -> tuple[float, float]:
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(self.shot.host, self.shot.port)
        writer.write(self.shot.data)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        body, first = await _body(reader, head, due)
        if not head.startswith(b"http/1.1 200"):
            writer.close()
            raise ValueError(f"status {head[9:12].decode()}: {body[:60]!r}")
        if self.shot.stream and not (b"[DONE]" in body or b"event: done" in body):
            raise ValueError("the stream was cut")
        took = time.perf_counter() - due
        if b"connection: close" in head:
            writer.close()
        else:
            self._idle.append((reader, writer))
        return first or took, took

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


async def _body(reader: asyncio.StreamReader, head: bytes, due: float) -> tuple[bytes, float]:
    """The body, and seconds from ``due`` until its first piece of text came (0 without one)."""
    if b"transfer-encoding: chunked" not in head:
        at = head.find(b"content-length:")
        return await reader.readexactly(int(head[at + 15 : head.find(b"\r\n", at)])), 0.0
    whole, first = b"", 0.0
    while size := int(await reader.readline(), 16):
        whole += (await reader.readexactly(size + 2))[:-2]
        if not first and b"word0" in whole:
            first = time.perf_counter() - due
    await reader.readline()
    return whole, first


async def at_rate(shot: Shot, per_second: float, seconds: float) -> Seen:
    """Requests that are due at fixed times, whether or not the ones before were answered."""
    seen, client, tasks = Seen(), Client(shot), set()
    start = time.perf_counter()
    for number in range(round(per_second * seconds)):
        due = start + number / per_second
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(client.send(due, seen))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    seen.wall_s = time.perf_counter() - start
    client.close()
    return seen


async def at_once(shot: Shot, count: int, over_s: float, timeout_s: float) -> Seen:
    """``count`` requests that all are open at the same time, begun over ``over_s`` seconds."""
    seen, client, start = Seen(), Client(shot), time.perf_counter()

    async def one(number: int) -> None:
        due = start + number * over_s / count
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await client.send(due, seen, timeout_s=timeout_s)

    await asyncio.gather(*(one(number) for number in range(count)))
    seen.wall_s = time.perf_counter() - start
    client.close()
    return seen


async def as_fast_as(shot: Shot, connections: int, seconds: float) -> Seen:
    """Each connection sends its next request when it has its answer."""
    seen, client, start = Seen(), Client(shot), time.perf_counter()

    async def one() -> None:
        while time.perf_counter() < start + seconds:
            await client.send(time.perf_counter(), seen)

    await asyncio.gather(*(one() for _ in range(connections)))
    seen.wall_s = time.perf_counter() - start
    client.close()
    return seen


def run(load: Callable[[], Awaitable[Seen]]) -> Seen:
    """Run one load to its end."""

    async def go() -> Seen:
        return await load()

    return asyncio.run(go())
