"""Ask a real server what schemathesis makes up from OpenAI's description, and judge every answer by it.

    HOMEROOM_SHARED_DATA=... python -m conformance.fuzz --seed 1 --cases 120

Keys are on, jobs wait (no worker runs while it asks), and a share of the requests has ids that exist: `conformance.fuzz_hooks`.
Each run is kept in ``conformance/fuzz.json`` under its seed; the page docs/reference/conformance.md adds them up.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from conformance import description
from conformance.material import Api, chats, preferences
from conformance.server import ALIAS, Server, end_on_sigterm, serving

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("fuzz.json")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
    "events_conformance",
)
PHASES = "examples,coverage,fuzzing,stateful"
WAITING_JOBS, DOOMED_MODELS = 3, 60


def prepare(server: Server) -> dict[str, Any]:
    """What the requests can be about: a job that is done, its model and its newest checkpoint, and files. Needs the worker."""
    with Api(server.base_url, server.key) as api:
        files = [api.upload(chats(), "train.jsonl"), api.upload(preferences(), "preferences.jsonl")]
        done = api.ended(
            api.order(server.model, files[0], suffix="fuzz", method={"type": "supervised", "supervised": _ONE_EPOCH})
        )
        if done["status"] != "succeeded":
            raise RuntimeError(f"the job that prepares the run ended as {done['status']}: {done['error']}")
        checkpoints = api.get(f"/fine_tuning/jobs/{done['id']}/checkpoints")["data"]
        models = [server.model, done["fine_tuned_model"], *[entry["fine_tuned_model_checkpoint"] for entry in checkpoints[:1]]]
        return {
            "model": server.model,
            "alias": ALIAS,
            "embedder": server.embedder,
            "models": models,
            "files": [files[0], *done["result_files"]],
            "preferences": files[1],
            "done": done["id"],
        }


_ONE_EPOCH = {"hyperparameters": {"n_epochs": 1}}


def fuzz(folder: Path, *, seed: int, cases: int, seconds: int = 0, phases: str = PHASES, only: str = "") -> dict[str, Any]:
    """One run; what was counted, with the tool's own words on it.

    Args:
        folder: Everything of the run is in here.
        seed: Of the requests.
        cases: Most requests for each operation and phase.
        seconds: About how long to ask: it begins again until then. 0 ends when all was asked once.
        phases: Of schemathesis.
        only: One path; all of them otherwise.
    """
    whole = description.find()
    if whole is None:
        raise FileNotFoundError(f"HOMEROOM_SHARED_DATA names no folder with {description.FILE}")
    with serving(folder) as server:
        plan = prepare(server)
    plan["doomed"] = _copies(server, plan["models"][1], DOOMED_MODELS)
    with serving(folder, worker=False) as server:
        with Api(server.base_url, server.key) as api:
            plan["jobs"] = [plan["done"], *[api.order(server.model, plan["files"][0]) for _ in range(WAITING_JOBS)]]
        plan |= {"base_url": server.base_url, "key": server.key, "seed": seed, "out": str(folder / "counted.json")}
        began = time.monotonic()
        more = ["--phases", phases, "--max-examples", str(cases)]
        more += ["--max-time", str(seconds)] if seconds else []
        more += ["--include-path", only] if only else []
        done = _ask(folder, server, plan, whole, more)
        took_s = time.monotonic() - began
    counted: dict[str, Any] = json.loads((folder / "counted.json").read_text("utf-8"))
    log = (server.home / "serve.log").read_text("utf-8")
    return {
        **counted,
        "seed": seed,
        "seconds": round(took_s, 1),
        "exit": done.returncode,
        "said": done.stdout[-6000:],
        "log": log[-3000:],
    }


def _copies(server: Server, name: str, count: int) -> list[str]:
    """Names of further models that are the same as one, to be deleted: training each would take long."""
    from homeroom.app.home import Homeroom
    from homeroom.registry import new_model_name
    from homeroom.settings import load_settings

    with Homeroom.open(load_settings(environ=server.env)) as home:
        tuned = home.registry.get(name)
        copies = [replace(tuned, name=new_model_name(tuned.base, tuned.suffix)) for _ in range(count)]
        return [home.registry.register(copy).name for copy in copies]


def _ask(
    folder: Path, server: Server, plan: dict[str, Any], whole: Path, more: Sequence[str]
) -> subprocess.CompletedProcess[str]:
    from homeroom.server.policy import ROUTES

    document = description.judged_apart(description.load(whole, ROUTES))
    document["servers"] = [{"url": server.base_url}]
    (folder / "description.json").write_text(json.dumps(document), encoding="utf-8")
    plan["description"] = str(folder / "description.json")
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    argv = [sys.executable, "-m", "schemathesis.cli", "run", str(folder / "description.json"), "--url", server.base_url, *more]
    argv += ["-H", f"Authorization: Bearer {server.key}", "--seed", str(plan["seed"]), "--checks", ",".join(CHECKS)]
    argv += ["--continue-on-failure", "--no-shrink", "--no-color", "--warnings", "off", "--request-timeout", "30"]
    argv += ["--suppress-health-check", "all", "--generation-database", "none"]
    env = {**os.environ, "SCHEMATHESIS_HOOKS": "conformance.fuzz_hooks", "HOMEROOM_FUZZ_PLAN": str(folder / "plan.json")}
    env["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'src'}"
    return subprocess.run(argv, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


def total(found: dict[str, Any]) -> int:
    """Requests that were counted."""
    return sum(sum(counts.values()) for counts in found["statuses"].values())


def accepted(found: dict[str, Any]) -> int:
    """Those that were answered 2xx."""
    return sum(n for counts in found["statuses"].values() for status, n in counts.items() if status.startswith("2"))


def main() -> None:
    """Run once and keep what was counted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=120, help="most requests for each operation and phase")
    parser.add_argument("--seconds", type=int, default=0, help="about how long to ask; once through otherwise")
    parser.add_argument("--phases", default=PHASES)
    parser.add_argument("--only", default="", help="one path of the description: /completions")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    end_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="homeroom-fuzz-") as folder:
        wanted = {name: getattr(arguments, name) for name in ("seed", "cases", "seconds", "phases", "only")}
        found = fuzz(Path(folder), **wanted)
    said, log = found.pop("said"), found.pop("log")
    runs = json.loads(arguments.out.read_text("utf-8")) if arguments.out.exists() else {}
    found["date"] = datetime.now(UTC).date().isoformat()
    runs[str(arguments.seed)] = found
    arguments.out.write_text(json.dumps(runs, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(said)
    if found["exit"]:
        print(log)
    print(f"{total(found)} requests, {accepted(found)} answered 2xx, {len(found['failures'])} failures, {found['seconds']} s")


if __name__ == "__main__":
    main()
