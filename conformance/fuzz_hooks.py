"""What schemathesis loads for a run: values that mean something to the server, and a count of what it answered.

schemathesis makes requests from the description alone, which knows no ids and names of a server. So a share of the requests gets
ids that exist, a model that is served, and only fields that the server knows; the others go out as they were made.
"""

from __future__ import annotations

import atexit
import copy
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import schemathesis

from conformance.description import EVENT
from conformance.material import Api, chats, preferences

PLAN = "HOMEROOM_FUZZ_PLAN"
"""Variable that names a JSON file: base_url, key, seed, out, and what `conformance.fuzz.prepare` made."""

MEANT = 0.7
"""The share of requests that get values with a meaning."""
CHAT_FIELDS = ("temperature", "top_p", "seed", "metadata", "store", "user", "service_tier", "stream", "presence_penalty")
ONE_WORD = {
    "type": "object",
    "properties": {"word": {"enum": ["yes", "no"]}},
    "required": ["word"],
    "additionalProperties": False,
}
FORMATS = (
    {"type": "text"},
    {"type": "json_object"},
    {"type": "json_schema", "json_schema": {"name": "answer", "schema": ONE_WORD, "strict": True}},
)
TOOLS = [{"type": "function", "function": {"name": "say", "parameters": ONE_WORD}}]
BEYOND = 0.05
"""The share of JSON bodies in which one value becomes a number of `NUMBERS`: JSON that the description alone never gives."""
NUMBERS = ("1e999", "-1e999", "NaN", "Infinity", "-Infinity", "1" + "0" * 400, "9" * 5000, "1e300", str(2**63), str(-(2**64)))
WORDS = ("Why?", "Do plants eat?", "Half of 6 is 2, right?", "größer 🌱", "a\nb")
KEPT = 200


@dataclass
class Run:
    """The state of one run: what exists on the server, and what was counted."""

    plan: dict[str, Any]
    files: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    statuses: dict[str, Counter[str]] = field(default_factory=dict)
    modes: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    streams: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.plan["seed"])
        self.api = Api(self.plan["base_url"], self.plan["key"])
        self.description = json.loads(Path(self.plan["description"]).read_text("utf-8"))
        self.files += self.plan["files"]
        self.jobs += self.plan["jobs"]

    def validator(self, path: str, method: str) -> Any:
        """What judges the events of an operation."""
        from jsonschema import Draft202012Validator
        from referencing import Registry, Resource
        from referencing.jsonschema import DRAFT202012

        content = self.description["paths"][path][method]["responses"]["200"]["content"]
        assert "text/event-stream" in content, f"{method} {path} streams, and no stream is described"
        pointer = f"/paths/{path.replace('/', '~1')}/{method}/responses/200/content/text~1event-stream/{EVENT}"
        registry: Any = Registry().with_resource(
            "urn:description", Resource.from_contents(self.description, default_specification=DRAFT202012)
        )
        return Draft202012Validator({"$ref": f"urn:description#{pointer}"}, registry=registry)

    def write(self) -> None:
        """Keep what was counted."""
        counted = {
            "statuses": {label: dict(sorted(found.items())) for label, found in sorted(self.statuses.items())},
            "modes": dict(self.modes),
            "phases": dict(self.phases),
            "streams": dict(self.streams),
            "refusals": dict(self.refusals.most_common(200)),
            "failures": self.failures[:100],
        }
        Path(self.plan["out"]).write_text(json.dumps(counted, indent=1) + "\n", encoding="utf-8")


RUN = Run(json.loads(Path(os.environ[PLAN]).read_text("utf-8")))
atexit.register(RUN.write)


def _file_id(case: Any) -> None:
    case.path_parameters["file_id"] = RUN.random.choice(RUN.files)


def _doomed_file(case: Any) -> None:
    case.path_parameters["file_id"] = RUN.api.upload(chats())


def _job_id(case: Any) -> None:
    case.path_parameters["fine_tuning_job_id"] = RUN.random.choice([*RUN.jobs, *[RUN.plan["done"]] * len(RUN.jobs)])
    _page(case)


def _waiting_job(case: Any) -> None:
    case.path_parameters["fine_tuning_job_id"] = RUN.api.order(RUN.plan["model"], RUN.plan["files"][0])


def _paused_job(case: Any) -> None:
    _waiting_job(case)
    RUN.api.pause(case.path_parameters["fine_tuning_job_id"])


def _page(case: Any) -> None:
    query = case.query
    if "limit" in query:
        query["limit"] = RUN.random.choice([1, 2, 7, 20, 100])
    if "after" in query:
        del query["after"]


def _page_of_files(case: Any) -> None:
    _page(case)
    if "purpose" in case.query and RUN.random.random() < 0.7:
        case.query["purpose"] = RUN.random.choice(["fine-tune", "fine-tune-results"])
    if RUN.random.random() < 0.4:
        case.query["after"] = RUN.plan["files"][0]


def _page_of_jobs(case: Any) -> None:
    _page(case)
    if RUN.random.random() < 0.4:
        case.query["after"] = RUN.plan["done"]


def _model(case: Any) -> None:
    case.path_parameters["model"] = RUN.random.choice(RUN.plan["models"])


def _doomed_model(case: Any) -> None:
    if RUN.plan["doomed"]:
        case.path_parameters["model"] = RUN.plan["doomed"].pop()


def _upload(case: Any) -> None:
    content = RUN.random.choice([chats, preferences])(RUN.random.randint(10, 20))
    case.body = {"file": content, "purpose": "fine-tune"}


def _order(case: Any) -> None:
    given = case.body if isinstance(case.body, dict) else {}
    kept = {name: given[name] for name in ("suffix", "seed", "metadata", "integrations") if name in given}
    dpo = RUN.random.random() < 0.3
    kept["model"] = RUN.random.choice([RUN.plan["model"], RUN.plan["alias"]])
    kept["training_file"] = RUN.plan["preferences"] if dpo else RUN.plan["files"][0]
    method = given.get("method")
    if dpo:
        kept["method"] = {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": RUN.random.choice(["auto", 1, 2])}}}
    elif isinstance(method, dict) and method.get("type") == "supervised":
        kept["method"] = {name: part for name, part in method.items() if name in ("type", "supervised")}
    elif "hyperparameters" in given:
        kept["hyperparameters"] = given["hyperparameters"]
    case.body = kept


def _kept(case: Any) -> dict[str, Any]:
    """Some of the fields that were made up."""
    given = case.body if isinstance(case.body, dict) else {}
    return {name: given[name] for name in CHAT_FIELDS if name in given and RUN.random.random() < 0.6}


def _options(*pairs: tuple[str, list[Any]]) -> dict[str, Any]:
    """Some of the options, each with one of its values."""
    return {name: RUN.random.choice(values) for name, values in pairs if RUN.random.random() < 0.2}


def _chat(case: Any) -> None:
    kept = _kept(case) | _options(("stream", [True]), ("n", [1, 2, 3]), ("logit_bias", [{"5": 3}]), ("stop", ["a", ["e", "\n"]]))
    shape = RUN.random.random()
    if shape < 0.15:
        kept["response_format"] = RUN.random.choice(FORMATS)
    elif shape < 0.3:
        kept |= {"tools": TOOLS, "tool_choice": RUN.random.choice(["auto", "none", "required"])}
    elif shape < 0.5:
        kept |= {"logprobs": True, "top_logprobs": RUN.random.randint(0, 5)}
    roles = RUN.random.choice([["user"], ["system", "user"], ["user", "assistant", "user"], ["developer", "user"]])
    messages = [{"role": role, "content": RUN.random.choice(WORDS)} for role in roles]
    limit = RUN.random.choice(["max_tokens", "max_completion_tokens"])
    case.body = {**kept, "model": RUN.random.choice(RUN.plan["models"]), "messages": messages, limit: RUN.random.randint(1, 8)}


def _completion(case: Any) -> None:
    kept = _kept(case) | _options(("n", [1, 2]), ("echo", [True, False]), ("stop", ["a"]), ("stream", [True]))
    if not kept.get("echo") and RUN.random.random() < 0.3:
        kept["logprobs"] = RUN.random.randint(0, 5)
    prompt = RUN.random.choice([RUN.random.choice(WORDS), list(WORDS[:2])])
    case.body = {**kept, "model": RUN.random.choice(RUN.plan["models"]), "prompt": prompt, "max_tokens": RUN.random.randint(1, 8)}


def _embedding(case: Any) -> None:
    given = case.body if isinstance(case.body, dict) else {}
    kept = {name: given[name] for name in ("encoding_format", "user") if name in given}
    if RUN.random.random() < 0.2:
        kept["dimensions"] = RUN.random.choice([1, 4, 8, 10_000])
    case.body = {**kept, "model": RUN.plan["embedder"], "input": RUN.random.choice([RUN.random.choice(WORDS), list(WORDS)])}


def _beyond(case: Any) -> None:
    """Put a number into the place of one value, at any depth."""
    places: list[tuple[Any, Any]] = []
    waiting: list[Any] = [body := copy.deepcopy(case.body)]
    for item in waiting:
        inside = list(item) if isinstance(item, dict) else list(range(len(item))) if isinstance(item, list) else []
        places += [(item, name) for name in inside]
        waiting += [item[name] for name in inside]
    if not places:
        return
    holder, name = RUN.random.choice(places)
    holder[name] = (mark := "a number stands here")
    case.body = json.dumps(body, default=str).replace(json.dumps(mark), RUN.random.choice(NUMBERS)).encode()


def _spare(case: Any) -> None:
    """No request may take away the models that the others ask."""
    if (case.path_parameters or {}).get("model") in RUN.plan["models"]:
        case.path_parameters["model"] = "ft:spared"


MEANING: dict[str, Callable[[Any], None]] = {
    "GET /files": _page_of_files,
    "POST /files": _upload,
    "GET /files/{file_id}": _file_id,
    "GET /files/{file_id}/content": _file_id,
    "DELETE /files/{file_id}": _doomed_file,
    "GET /fine_tuning/jobs": _page_of_jobs,
    "POST /fine_tuning/jobs": _order,
    "GET /fine_tuning/jobs/{fine_tuning_job_id}": _job_id,
    "GET /fine_tuning/jobs/{fine_tuning_job_id}/events": _job_id,
    "GET /fine_tuning/jobs/{fine_tuning_job_id}/checkpoints": _job_id,
    "POST /fine_tuning/jobs/{fine_tuning_job_id}/cancel": _waiting_job,
    "POST /fine_tuning/jobs/{fine_tuning_job_id}/pause": _waiting_job,
    "POST /fine_tuning/jobs/{fine_tuning_job_id}/resume": _paused_job,
    "GET /models/{model}": _model,
    "DELETE /models/{model}": _doomed_model,
    "POST /chat/completions": _chat,
    "POST /completions": _completion,
    "POST /embeddings": _embedding,
}


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Give a share of the requests values with a meaning."""
    if case.operation.label == "DELETE /models/{model}":
        _spare(case)
    meaning = MEANING.get(case.operation.label)
    if meaning is not None and RUN.random.random() < MEANT:
        meaning(case)
    if isinstance(case.body, dict) and case.media_type == "application/json" and RUN.random.random() < BEYOND:
        _beyond(case)


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Count the answer; remember what was made."""
    label = case.operation.label if case.method.upper() == case.operation.method.upper() else "another method"
    RUN.statuses.setdefault(label, Counter())[str(response.status_code)] += 1
    if case.meta is not None:
        RUN.modes[case.meta.generation.mode.value] += 1
        RUN.phases[case.meta.phase.name.value] += 1
    if response.status_code >= 400:
        RUN.refusals[f"{label} {response.status_code} {_code(response)}"] += 1
    elif label == "POST /fine_tuning/jobs" and len(RUN.jobs) < KEPT:
        RUN.jobs.append(response.json()["id"])
    elif label == "POST /files" and len(RUN.files) < KEPT:
        RUN.files.append(response.json()["id"])


@schemathesis.check
def events_conformance(context: Any, response: Any, case: Any) -> None:
    """Every object of a stream is as described: schemathesis judges bodies, and reads no JSON in events."""
    if not response.headers.get("content-type", [""])[0].startswith("text/event-stream"):
        return
    RUN.streams[case.operation.label] += 1
    validator = RUN.validator(case.operation.path, case.operation.method)
    for event in response.content.decode("utf-8", "replace").split("\n\n"):
        data = event.partition("data: ")[2]
        if data and data != "[DONE]":
            found = [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:300]}" for e in validator.iter_errors(json.loads(data))]
            assert not found, f"an event is not as described: {'; '.join(found)} in {data[:500]}"


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Keep what failed, and let it stand as a failure."""
    RUN.failures.append(
        {
            "operation": case.operation.label,
            "status": response.status_code,
            "said": str(failure)[:1500],
            "asked": case.as_curl_command()[:1500],
            "answer": response.content[:1000].decode("utf-8", "replace"),
        }
    )
    return True


def _code(response: Any) -> str:
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        return "(no error object)"
    return f"{error.get('code')} {error.get('param')}"
