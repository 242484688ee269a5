"""The command ``llm``, with this server in its ``extra-openai-models.yaml``."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from checks import (
    BASE_URL,
    EMBEDDER,
    FOLDER,
    KEY,
    LONGEST,
    MISSING,
    MODEL,
    QUESTION,
    SCHEMA,
    WRONG_KEY,
    assert_answer,
    check,
    cut_of,
    done,
    lacks,
)

ENV = {**os.environ, "LLM_USER_PATH": str(FOLDER), "OPENAI_API_KEY": KEY}
SHORT = ("-o", "temperature", "0", "-o", "max_tokens", str(LONGEST))


def configure() -> None:
    entries = [
        {"model_id": "homeroom", "model_name": MODEL, "api_base": BASE_URL, "api_key_name": "homeroom", "supports_schema": True},
        {"model_id": "missing", "model_name": MISSING, "api_base": BASE_URL, "api_key_name": "homeroom"},
        {"model_id": "old", "model_name": MODEL, "api_base": BASE_URL, "api_key_name": "homeroom", "completion": True},
        {"model_id": "responses", "model_name": MODEL, "api_base": BASE_URL, "api_key_name": "homeroom", "responses": True},
    ]
    (FOLDER / "extra-openai-models.yaml").write_text(json.dumps(entries), encoding="utf-8")


def llm(*arguments: str, fails: bool = False) -> str:
    argv = [sys.executable, "-m", "llm", *arguments]
    ran = subprocess.run(argv, env=ENV, text=True, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=180)
    assert (ran.returncode != 0) == fails, f"exit {ran.returncode}: {ran.stdout[-200:]} {ran.stderr[-400:]}"
    return ran.stderr if fails else ran.stdout


def ask(*options: str) -> str:
    """A reply as it was kept: the terminal's print adds an end of line."""
    llm("-m", "homeroom", *SHORT, *options, QUESTION)
    return json.loads(llm("logs", "-n", "1", "--json"))[0]["response"]


configure()


@check("models")
def models():
    llm("keys", "set", "homeroom", "--value", KEY)
    assert "homeroom" in llm("models", "list")
    return "lists what its own file names"


@check("chat")
def chat():
    assert ask("--no-stream").strip()


@check("stream")
def stream():
    assert ask() == ask("--no-stream")


@check("usage")
def usage():
    ask("--no-stream")
    kept = json.loads(llm("logs", "-n", "1", "--json", "-u"))[0]
    assert kept["input_tokens"] > 0 and 0 < kept["output_tokens"] <= LONGEST, kept
    ask()
    streamed = json.loads(llm("logs", "-n", "1", "--json", "-u"))[0]
    assert streamed["output_tokens"] == kept["output_tokens"], (streamed, kept)


@check("stop")
def stop():
    text = ask("--no-stream")
    letter = cut_of(text)
    assert ask("--no-stream", "-o", "stop", letter) == text[: text.index(letter)]


@check("schema")
def schema():
    options = ("-o", "temperature", "0", "-o", "max_tokens", "80", "--schema", json.dumps(SCHEMA), "--no-stream")
    assert_answer(llm("-m", "homeroom", *options, QUESTION))


@check("completions")
def completions():
    assert llm("-m", "old", "-o", "max_tokens", "8", "Plants eat").strip()


@check("responses")
def responses():
    assert llm("-m", "responses", QUESTION).strip()


lacks(
    "embeddings",
    "its own OpenAI embedding models take no other address" if EMBEDDER else "no embedding model was given to the run",
)


@check("wrong key")
def wrong_key():
    said = llm("-m", "homeroom", "--key", WRONG_KEY, QUESTION, fails=True)
    assert "401" in said or "key" in said, said
    return said.strip().splitlines()[-1][:80]


@check("unknown model")
def unknown_model():
    said = llm("-m", "missing", QUESTION, fails=True)
    assert MISSING in said, said
    return said.strip().splitlines()[-1][:80]


@check("bad request")
def bad_request():
    said = llm("-m", "homeroom", "-o", "seed", str(2**70), QUESTION, fails=True)
    assert "seed" in said, said
    return said.strip().splitlines()[-1][:80]


lacks("files", "the client has no such operation")
lacks("fine-tuning", "the client has no such operation")
done()
