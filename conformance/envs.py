"""The clients, and an environment of its own for each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CLIENTS = Path(__file__).with_name("clients")


@dataclass(frozen=True)
class Client:
    """Somebody else's program.

    Attributes:
        name: What people call it.
        script: In ``clients/``; asks the server and writes down what worked.
        packages: What is installed, pinned: a result is of a version. Their dependencies are what the index gives that day, and
            are recorded with the result.
        shows: Packages whose version is told.
        constraints: Pins of dependencies, where a newer one is too much for a test.
        large: Why it is only tried when it is named; empty for those that always are.
    """

    name: str
    script: str
    packages: tuple[str, ...]
    shows: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    large: str = ""

    @property
    def node(self) -> bool:
        """Whether it runs on Node."""
        return self.script.endswith(".mjs")

    @property
    def key(self) -> str:
        """Its short name: ``llm``."""
        return Path(self.script).stem.removeprefix("client_")


ALL = (
    Client("openai (Python)", "client_openai.py", ("openai==3.54.0",), ("openai",)),
    Client("openai (Node)", "client_node.mjs", ("openai@7.57.0",), ("openai",)),
    Client("llm", "client_llm.py", ("llm==0.36",), ("llm", "openai")),
    Client("LiteLLM", "client_litellm.py", ("litellm[mcp]==1.106.2",), ("litellm", "openai")),
    Client("LangChain", "client_langchain.py", ("langchain-openai==1.7.3",), ("langchain-openai", "openai")),
    Client(
        "LlamaIndex",
        "client_llama_index.py",
        ("llama-index-llms-openai-like==0.8.1", "llama-index-embeddings-openai-like==0.4.0"),
        ("llama-index-llms-openai-like", "llama-index-llms-openai", "openai"),
    ),
    Client("DSPy", "client_dspy.py", ("dspy==3.4.1", "numpy"), ("dspy", "litellm", "openai")),
    Client(
        "Open WebUI",
        "client_open_webui.py",
        ("open-webui==0.12.4",),
        ("open-webui", "openai"),
        constraints=("torch==2.13.0",),  # the build for processors
        large="It pins some 110 packages and brings PyTorch: `python -m conformance.run open_webui` installs and asks it.",
    ),
)


def find(key: str) -> Client:
    """The client with that short name.

    Raises:
        SystemExit: there is none; the message names all.
    """
    for client in ALL:
        if client.key == key:
            return client
    sys.exit(f"error: there is no client {key!r}; known are {', '.join(client.key for client in ALL)}")


def prepare(client: Client, root: Path) -> Path:
    """Install the client below ``root``, unless that was done before; the folder of its environment."""
    folder = root / client.key
    done = folder / "installed"
    if done.exists() and done.read_text("utf-8") == "\n".join(client.packages):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if client.node:
        (folder / "package.json").write_text('{"private": true}\n', encoding="utf-8")
        _run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *client.packages], folder)
    else:
        _run([sys.executable, "-m", "venv", str(folder)], folder)
        limits = folder / "constraints.txt"
        limits.write_text("".join(f"{pin}\n" for pin in client.constraints), encoding="utf-8")
        python = str(folder / "bin/python")
        uv = shutil.which("uv")  # where it is there: Open WebUI takes it half a minute, and pip more than twenty
        tool = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"]
        _run([*tool, "--quiet", "-c", str(limits), *client.packages], folder)
    done.write_text("\n".join(client.packages), encoding="utf-8")
    return folder


def command(client: Client, folder: Path) -> list[str]:
    """What runs the client's script in its environment."""
    if client.node:  # Node looks for packages beside the script
        shutil.copy(CLIENTS / client.script, folder / client.script)
        return ["node", str(folder / client.script)]
    return [str(folder / "bin/python"), str(CLIENTS / client.script)]


def versions(client: Client, folder: Path) -> dict[str, str]:
    """The versions of what the client is made of, and of what it runs on."""
    if client.node:
        told = _run(["npm", "ls", "--depth=0", "--parseable", "--long"], folder)
        found = dict(
            line.split(":")[1].rsplit("@", 1) for line in told.splitlines() if line.count("@") and "node_modules" in line
        )
        return {"node": _run(["node", "--version"], folder).strip().lstrip("v"), **{name: found[name] for name in client.shows}}
    listed = _run([str(folder / "bin/python"), "-m", "pip", "list", "--format=freeze"], folder)
    found = dict(line.split("==", 1) for line in listed.splitlines() if "==" in line)
    python = ".".join(map(str, sys.version_info[:3]))
    return {"python": python, **{name: found[name] for name in client.shows}}


def _run(argv: list[str], folder: Path) -> str:
    """What a command printed.

    Raises:
        RuntimeError: it failed; the end of what it said.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HOMEROOM_"))}
    done = subprocess.run(argv, cwd=folder, env=env, text=True, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv[:3])} failed: {done.stdout[-500:]}{done.stderr[-1500:]}")
    return done.stdout
