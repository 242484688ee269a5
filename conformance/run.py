"""Try our server with other people's clients, unmodified, each in an environment of its own.

    python -m conformance.run                    # every client but the large ones, on the tiny model, with training
    python -m conformance.run llm dspy           # some
    HOMEROOM_CACHE=~/.cache/homeroom python -m conformance.run --model smollm2-135m-instruct

Needs the package indexes of Python and Node, whichever pip and npm are set up for. What came of it is kept in
``conformance/results.json``; docs/reference/conformance.md is made from it by `conformance.page`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from conformance import envs, page
from conformance.material import chats
from conformance.server import Server, end_on_sigterm, serving

RESULTS = Path(__file__).with_name("results.json")
LONGEST_S = 400


def ask(client: envs.Client, server: Server, folder: Path, scratch: Path, *, trains: bool) -> list[dict[str, str]]:
    """What one client's script found; a script that died is one failed check.

    Args:
        client: Whose script.
        server: The server to ask.
        folder: The client's environment.
        scratch: A fresh folder for what the client writes.
        trains: Whether fine-tuning is tried.
    """
    scratch.mkdir(parents=True)
    (scratch / "train.jsonl").write_bytes(chats())
    results = scratch / "results.json"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HOMEROOM_")) and not k.endswith("_API_KEY")}
    env = {
        **kept,
        "CLIENT_BASE_URL": server.base_url,
        "CLIENT_KEY": server.key,
        "CLIENT_MODEL": server.model,
        "CLIENT_EMBEDDER": server.embedder,
        "CLIENT_TRAINING": str(scratch / "train.jsonl"),
        "CLIENT_TRAINS": "1" if trains else "0",
        "CLIENT_FOLDER": str(scratch),
        "CLIENT_RESULTS": str(results),
        "HOME": str(scratch),
    }
    try:
        done = subprocess.run(
            envs.command(client, folder), cwd=scratch, env=env, text=True, capture_output=True, check=False, timeout=LONGEST_S
        )
    except subprocess.TimeoutExpired:
        return [{"check": "(all)", "outcome": "fail", "note": f"did not end within {LONGEST_S} s"}]
    if not results.exists():
        return [{"check": "(all)", "outcome": "fail", "note": f"exit {done.returncode}: {done.stderr[-600:]}"}]
    found: list[dict[str, str]] = json.loads(results.read_text("utf-8"))
    return found


def one(client: envs.Client, server: Server, root: Path, scratch: Path, *, trains: bool) -> dict[str, Any]:
    """Everything that is told of one client."""
    began = time.monotonic()
    try:
        folder = envs.prepare(client, root)
    except RuntimeError as error:
        return {
            "name": client.name,
            "versions": {},
            "checks": [{"check": "(install)", "outcome": "fail", "note": str(error)[:600]}],
        }
    installed_s = time.monotonic() - began
    checks = ask(client, server, folder, scratch / client.key, trains=trains)
    return {
        "name": client.name,
        "versions": envs.versions(client, folder),
        "installed_s": round(installed_s, 1),
        "checks": checks,
    }


def main() -> None:
    """Try the clients and write down what came."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clients", nargs="*", help=f"some of: {', '.join(client.key for client in envs.ALL)}")
    parser.add_argument("--envs", type=Path, help="keep the environments here, to be used again; a temporary folder otherwise")
    parser.add_argument(
        "--model", default="", help="a base model of HOMEROOM_CACHE; the tiny one, which is trained too, otherwise"
    )
    parser.add_argument("--embedder", default="", help="a model for embeddings in that cache")
    arguments = parser.parse_args()
    end_on_sigterm()
    chosen = [envs.find(key) for key in arguments.clients] or [client for client in envs.ALL if not client.large]
    cache = Path(os.environ["HOMEROOM_CACHE"]) if arguments.model else None
    kept: dict[str, Any] = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="homeroom-conformance-")))
        server = stack.enter_context(serving(folder, cache=cache, model=arguments.model, embedder=arguments.embedder))
        for client in chosen:
            found = one(client, server, arguments.envs or folder / "envs", folder, trains=cache is None)
            found |= {"date": datetime.now(UTC).date().isoformat(), "model": server.model}
            kept.setdefault(server.model, {})[client.key] = found
            _say(found)
            RESULTS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    page.write()


def _say(found: dict[str, Any]) -> None:
    outcomes = [entry["outcome"] for entry in found["checks"]]
    print(
        f"{found['name']}: {outcomes.count('pass')} passed, {outcomes.count('fail')} failed, {outcomes.count('none')} not there"
    )
    for entry in found["checks"]:
        if entry["outcome"] == "fail":
            print(f"  {entry['check']}: {entry['note']}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
