"""An OpenAI-compatible endpoint that answers at once, so that only what stands before it takes time.

Model ``echo`` answers whole or as a stream at once; ``slow`` streams `SLOW_PIECES` pieces over `SLOW_S` seconds.

    python api_stub.py            prints its address, ends with its standard input
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

SLOW_PIECES, SLOW_S, ECHO_PIECES = 10, 5.0, 3
WORDS = "What did you do to the bottoms of the fractions first?"


def main() -> None:
    asyncio.run(_serve())


async def _serve() -> None:
    server = await asyncio.start_server(_connection, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def _connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
            body = await reader.readexactly(length)
            if head.startswith(b"GET"):
                models = [{"id": name, "object": "model", "created": 1, "owned_by": "stub"} for name in ("echo", "slow")]
                _whole(writer, {"object": "list", "data": models})
                continue
            asked = json.loads(body)
            if asked.get("stream"):
                await _stream(writer, asked["model"])
            else:
                choice = {"index": 0, "message": {"role": "assistant", "content": WORDS}, "finish_reason": "stop"}
                _whole(writer, {**_head("chat.completion", asked["model"]), "choices": [choice], "usage": _usage()})
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def _whole(writer: asyncio.StreamWriter, answer: object) -> None:
    data = json.dumps(answer).encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data))


async def _stream(writer: asyncio.StreamWriter, model: str) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    pieces, pause = (SLOW_PIECES, SLOW_S / SLOW_PIECES) if model == "slow" else (ECHO_PIECES, 0.0)
    for number in range(pieces):
        if pause:
            await asyncio.sleep(pause)
        _event(writer, {**_head("chat.completion.chunk", model), "choices": [_choice({"content": f"word{number} "})]})
    _event(writer, {**_head("chat.completion.chunk", model), "choices": [_choice({}, "stop")]})
    _event(writer, {**_head("chat.completion.chunk", model), "choices": [], "usage": _usage()})
    writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
    await writer.drain()


def _choice(delta: object, finish_reason: str | None = None) -> object:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}


def _event(writer: asyncio.StreamWriter, event: object) -> None:
    data = b"data: %s\n\n" % json.dumps(event).encode()
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))


def _head(kind: str, model: str) -> dict[str, object]:
    return {"id": "chatcmpl-stub", "object": kind, "created": int(time.time()), "model": model}


def _usage() -> object:
    return {"prompt_tokens": 20, "completion_tokens": 12, "total_tokens": 32}


if __name__ == "__main__":
    main()
