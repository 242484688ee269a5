"""A server with OpenAI's files and fine-tuning API that can be made to fail in every way. It trains nothing, and counts what it is
asked to: `paid` are the jobs that somebody would pay for.

`faults` is a list of (method, path part, what goes wrong); each is used once, in order, by the first request that it fits:

    401, 403, 404, 429, 500   refuses with that status; "429 2" with a Retry-After of 2 seconds
    silence                   does nothing, closes the connection unanswered
    lost                      does what it was asked, closes the connection unanswered
    cut                       does it, sends half of the answer
    garbage                   does it, sends what is no JSON
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "sk-tuning-canary"
Json = dict[str, Any]
DONE = ("succeeded", "failed", "cancelled")
RESULTS = "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n"


class TuningDouble:
    """Start it with ``with``; ``address`` is its base URL.

    Attributes:
        script: What a job's polls show, one status after the other; the last one stays.
        losses: Its validation loss by step, in the result file and the checkpoints.
        ending: Changes a job when it ends.
        tells_tokens: Whether an ended job says how many tokens were trained.
        keeps_metadata: Whether jobs show the metadata that they were created with.
        before: Called with (number, method, path) when a request arrives; ``after`` when its work is done, before the answer.
    """

    def __init__(self, models: tuple[str, ...] = ("gpt-4.1-mini",)) -> None:
        self.models: list[Json] = [{"id": name, "object": "model"} for name in models]
        self.closed = ""
        self.files: dict[str, Json] = {}
        self.jobs: dict[str, Json] = {}
        self.events: dict[str, list[Json]] = {}
        self.script: tuple[str, ...] = ("validating_files", "running", "succeeded")
        self.losses: tuple[float, ...] = (2.0, 1.5, 1.2)
        self.losses_of: Callable[[Json], tuple[float, ...]] = lambda job: self.losses
        self.ending: Callable[[Json], None] = lambda job: None
        self.tells_tokens = self.keeps_metadata = True
        self.faults: list[tuple[str, str, str]] = []
        self.requests: list[tuple[str, str]] = []
        self.asked: list[Json] = []
        self.page = 2
        self.before: Callable[[int, str, str], None] = lambda number, method, path: None
        self.after: Callable[[int, str, str], None] = lambda number, method, path: None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.lock = threading.RLock()

    def __enter__(self) -> TuningDouble:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def address(self) -> str:
        """Up to and including /v1."""
        return f"http://127.0.0.1:{self.server.server_port}/v1"

    @property
    def paid(self) -> list[Json]:
        """Jobs that were created, the oldest first."""
        return list(self.jobs.values())

    def lines(self, file_id: str) -> list[Json]:
        """What a file holds."""
        return [json.loads(line) for line in self.files[file_id]["content"].decode().splitlines()]

    def take_fault(self, method: str, path: str) -> str:
        """What goes wrong with this request, if anything."""
        with self.lock:
            self.requests.append((method, path))
            found = next((f for f in self.faults if f[0] == method and f[1] in path), None)
            if found is not None:
                self.faults.remove(found)
            return found[2] if found else ""

    def answer(
        self, method: str, path: str, query: dict[str, list[str]], body: bytes, content_type: str
    ) -> tuple[int, Json | bytes]:
        """Do what is asked."""
        parts = path.removeprefix("/v1/").split("/")
        with self.lock:
            if parts == ["models"]:
                return 200, {"object": "list", "data": self.models}
            if parts[0] == "files":
                return self._file(method, parts, query, body, content_type)
            if parts[:2] == ["fine_tuning", "jobs"]:
                return self._jobs(method, parts[2:], query, body)
            if parts == ["chat", "completions"]:
                asked = json.loads(body)
                self.asked.append(asked)
                message = {"role": "assistant", "content": f"{asked['model']} says hello"}
                usage = {"prompt_tokens": 9, "completion_tokens": 5}
                return 200, {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
        return _error(404, f"no {path}")

    def _file(self, method: str, parts: list[str], query: Any, body: bytes, content_type: str) -> tuple[int, Json | bytes]:
        if method == "POST":
            form = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
            fields = {part.get_param("name", header="content-disposition"): part for part in form.get_payload()}  # type: ignore[union-attr]
            number = f"file-{len(self.files) + 1}"
            content = fields["file"].get_payload(decode=True)
            about = {"id": number, "object": "file", "filename": fields["file"].get_filename(), "bytes": len(content)}
            self.files[number] = {**about, "purpose": fields["purpose"].get_payload(), "content": content}
            return 200, about
        if len(parts) == 1:
            return 200, self._page([{k: v for k, v in f.items() if k != "content"} for f in reversed(self.files.values())], query)
        if parts[1] not in self.files:
            return _error(404, f"No such File object: {parts[1]}")
        if method == "DELETE":
            del self.files[parts[1]]
            return 200, {"id": parts[1], "deleted": True}
        if parts[-1] == "content":
            return 200, self.files[parts[1]]["content"]
        return 200, {k: v for k, v in self.files[parts[1]].items() if k != "content"}

    def _jobs(self, method: str, parts: list[str], query: Any, body: bytes) -> tuple[int, Json | bytes]:
        if not parts:
            return self._create(json.loads(body)) if method == "POST" else (200, self._page(self._listed(), query))
        job = self.jobs.get(parts[0])
        if job is None:
            return _error(404, f"no {parts[0]}")
        if parts[1:] == ["cancel"]:
            if job["status"] in DONE:
                return _error(400, "it is over")
            job["status"] = "cancelled"
        elif parts[1:] == ["events"]:
            return 200, self._page(self.events[job["id"]][::-1], query)
        elif parts[1:] == ["checkpoints"]:
            return 200, self._page(self._checkpoints(job), query)
        else:
            self._go_on(job)
        return 200, self._shown(job)

    def _create(self, body: Json) -> tuple[int, Json]:
        if self.closed:
            return _error(403, self.closed)
        if body["model"] not in [model["id"] for model in self.models]:
            return _error(404, f"The model {body['model']} cannot be tuned", "model")
        if body["training_file"] not in self.files:
            return _error(400, f"invalid training_file: {body['training_file']}", "training_file")
        number = f"ftjob-{len(self.jobs) + 1}"
        job = {"id": number, "object": "fine_tuning.job", "created_at": 2_000_000_000 + len(self.jobs), "polls": 0, **body}
        self.jobs[number] = job | {"status": self.script[0], "fine_tuned_model": None, "result_files": []}
        self.events[number] = [
            {"id": f"ftevent-{number}-0", "level": "info", "type": "message", "message": "created", "data": {}}
        ]
        return 200, self._shown(self.jobs[number])

    def _go_on(self, job: Json) -> None:
        if job["status"] in DONE:
            return
        job["polls"] += 1
        job["status"] = self.script[min(job["polls"], len(self.script) - 1)]
        data = {"step": job["polls"], "total_steps": len(self.script)}
        event = {"id": f"ftevent-{job['id']}-{job['polls']}", "level": "info", "type": "metrics", "message": "step", "data": data}
        self.events[job["id"]].append(event)
        if job["status"] == "succeeded":
            self._succeed(job)
        if job["status"] in DONE:
            self.ending(job)

    def _succeed(self, job: Json) -> None:
        job["fine_tuned_model"] = f"ft:{job['model']}:org:{job.get('suffix') or ''}:{job['id'][-1]}"
        rows = "".join(f"{n},{loss},0.5,{loss},0.5\n" for n, loss in enumerate(self.losses_of(job), 1))
        self.files[f"file-results-{job['id']}"] = {"id": f"file-results-{job['id']}", "filename": "r.csv", "bytes": 0,
                                                   "purpose": "fine-tune-results", "content": (RESULTS + rows).encode()}  # fmt: skip
        job["result_files"] = [f"file-results-{job['id']}"]
        if self.tells_tokens:
            job["trained_tokens"] = 1000 * job["method"]["supervised"]["hyperparameters"]["n_epochs"]

    def _checkpoints(self, job: Json) -> list[Json]:
        name = f"ft:{job['model']}:org:{job.get('suffix') or ''}:{job['id'][-1]}"
        return [
            {"id": f"ftckpt-{job['id']}-{n}", "step_number": n, "fine_tuned_model_checkpoint": f"{name}:ckpt-step-{n}",
             "metrics": {"full_valid_loss": loss}}
            for n, loss in enumerate(self.losses_of(job), 1)
        ][::-1]  # fmt: skip

    def _listed(self) -> list[Json]:
        return [self._shown(job) for job in reversed(self.jobs.values())]

    def _shown(self, job: Json) -> Json:
        return {k: v for k, v in job.items() if k != "polls" and (self.keeps_metadata or k != "metadata")}

    def _page(self, rows: list[Json], query: dict[str, list[str]]) -> Json:
        after = query.get("after", [""])[0]
        begin = next((n + 1 for n, row in enumerate(rows) if row["id"] == after), 0)
        size = min(self.page, int(query.get("limit", ["20"])[0]))
        return {"object": "list", "data": rows[begin : begin + size], "has_more": begin + size < len(rows)}


def _error(status: int, message: str, param: str | None = None) -> tuple[int, Json]:
    return status, {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": None}}


def _handler(double: TuningDouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:
            self._serve("POST")

        def do_DELETE(self) -> None:
            self._serve("DELETE")

        def _serve(self, method: str) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) if method != "GET" else b""
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = self._chunks()
            fault = double.take_fault(method, url.path)
            number = len(double.requests)
            double.before(number, method, url.path)
            if self.headers["Authorization"] != f"Bearer {KEY}":
                return self._send(*_error(401, "Incorrect API key provided"))
            if fault == "silence":
                self.close_connection = True
                return None
            if fault[:3].isdigit():
                status, *wait = fault.split()
                return self._send(*_error(int(status), f"refused with {status}"), wait=wait[0] if wait else "")
            status, answer = double.answer(method, url.path, parse_qs(url.query), body, self.headers.get("Content-Type") or "")
            double.after(number, method, url.path)
            if fault == "lost":
                self.close_connection = True
                return None
            return self._send(status, answer, fault=fault)

        def _chunks(self) -> bytes:
            found = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found

        def _send(self, status: int, answer: Json | bytes, fault: str = "", wait: str = "") -> None:
            data = b"<html>" if fault == "garbage" else answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if wait:
                self.send_header("Retry-After", wait)
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if fault == "cut" else data)
            self.close_connection = self.close_connection or fault == "cut"

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

    return Handler
