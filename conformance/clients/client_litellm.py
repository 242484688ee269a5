"""LiteLLM's SDK with the provider ``openai`` and another address."""

from __future__ import annotations

import os
import time

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it fetches a price list at import

import litellm
from checks import (
    BASE_URL,
    EMBEDDER,
    KEY,
    LONGEST,
    MISSING,
    MODEL,
    PATIENCE_S,
    POLL_S,
    QUESTION,
    SCHEMA,
    TRAINING,
    TRAINS,
    WRONG_KEY,
    assert_answer,
    check,
    cut_of,
    done,
    lacks,
    raises,
)

HERE = {"api_base": BASE_URL, "api_key": KEY}
ASKED = {
    "model": f"openai/{MODEL}",
    "messages": [{"role": "user", "content": QUESTION}],
    "temperature": 0,
    "max_tokens": LONGEST,
    "num_retries": 0,
    **HERE,
}


def reply() -> str:
    return litellm.completion(**ASKED).choices[0].message.content


@check("models")
def models():
    names = litellm.get_valid_models(check_provider_endpoint=True, custom_llm_provider="openai", api_key=KEY, api_base=BASE_URL)
    assert any(name.endswith(MODEL) for name in names), names


@check("chat")
def chat():
    assert reply().strip()


@check("stream")
def stream():
    pieces = [chunk.choices[0].delta.content or "" for chunk in litellm.completion(**ASKED, stream=True)]
    assert len(pieces) > 2 and "".join(pieces) == reply(), pieces


@check("usage")
def usage():
    found = litellm.completion(**ASKED).usage
    assert found.prompt_tokens > 0 and 0 < found.completion_tokens <= LONGEST
    chunks = list(litellm.completion(**ASKED, stream=True, stream_options={"include_usage": True}))
    told = [chunk.usage.total_tokens for chunk in chunks if getattr(chunk, "usage", None)]
    assert told == [found.total_tokens], told


@check("stop")
def stop():
    text = reply()
    letter = cut_of(text)
    choice = litellm.completion(**ASKED, stop=[letter]).choices[0]
    assert choice.message.content == text[: text.index(letter)] and choice.finish_reason == "stop", (text, choice)


@check("schema")
def schema():
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
    assert_answer(litellm.completion(**ASKED | {"max_tokens": 80}, response_format=wanted).choices[0].message.content)


@check("completions")
def completions():
    asked = {"model": f"text-completion-openai/{MODEL}", "prompt": "Plants eat", "max_tokens": 8, **HERE}
    assert litellm.text_completion(**asked).choices[0].text


@check("responses")
def responses():
    found = litellm.responses(model=f"openai/{MODEL}", input=QUESTION, max_output_tokens=LONGEST, **HERE)
    assert found.output[0].content[0].text.strip()


if EMBEDDER:

    @check("embeddings")
    def embeddings():
        found = litellm.embedding(model=f"openai/{EMBEDDER}", input=["Plants eat light.", "Half of six is three."], **HERE)
        assert len(found.data) == 2 and found.data[0]["embedding"] != found.data[1]["embedding"]

else:
    lacks("embeddings", "no embedding model was given to the run")


@check("wrong key")
def wrong_key():
    return raises(litellm.AuthenticationError, lambda: litellm.completion(**ASKED | {"api_key": WRONG_KEY}), 401)


@check("unknown model")
def unknown_model():
    return raises(litellm.NotFoundError, lambda: litellm.completion(**ASKED | {"model": f"openai/{MISSING}"}), 404)


@check("bad request")
def bad_request():
    return raises(litellm.BadRequestError, lambda: litellm.completion(**ASKED | {"temperature": 9}), 400)


PROVIDER = {"custom_llm_provider": "openai", **HERE}


@check("files")
def files():
    content = TRAINING.read_bytes()
    file = litellm.create_file(file=("train.jsonl", content), purpose="fine-tune", **PROVIDER)
    assert file.id in [entry.id for entry in litellm.file_list(**PROVIDER)]
    assert litellm.file_content(file_id=file.id, **PROVIDER).content == content
    assert litellm.file_delete(file_id=file.id, **PROVIDER).deleted


if TRAINS:

    @check("fine-tuning")
    def fine_tuning():
        file = litellm.create_file(file=("train.jsonl", TRAINING.read_bytes()), purpose="fine-tune", **PROVIDER)
        wanted = {"n_epochs": 1}
        job = litellm.create_fine_tuning_job(
            model=MODEL, training_file=file.id, hyperparameters=wanted, suffix="lite", **PROVIDER
        )
        deadline = time.monotonic() + PATIENCE_S
        while job.status not in ("succeeded", "failed", "cancelled"):
            assert time.monotonic() < deadline, job
            time.sleep(POLL_S)
            job = litellm.retrieve_fine_tuning_job(fine_tuning_job_id=job.id, **PROVIDER)
        assert job.status == "succeeded", job
        assert litellm.completion(**ASKED | {"model": f"openai/{job.fine_tuned_model}"}).choices[0].message.content
        return "job, chat with the result"

else:
    lacks("fine-tuning", "this run does not train")

done()
