"""The official Python SDK: the control, which sees everything."""

from __future__ import annotations

import time

import openai
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

client = openai.OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=120)
ASKED = {"model": MODEL, "messages": [{"role": "user", "content": QUESTION}], "temperature": 0, "max_tokens": LONGEST}


def reply() -> str:
    return client.chat.completions.create(**ASKED).choices[0].message.content


@check("models")
def models():
    names = [model.id for model in client.models.list()]
    assert MODEL in names, names
    assert client.models.retrieve(MODEL).id == MODEL


@check("chat")
def chat():
    assert reply().strip()


@check("stream")
def stream():
    pieces = [
        chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**ASKED, stream=True) if chunk.choices
    ]
    assert len(pieces) > 2 and "".join(pieces) == reply(), pieces


@check("usage")
def usage():
    found = client.chat.completions.create(**ASKED).usage
    assert found.prompt_tokens > 0 and 0 < found.completion_tokens <= LONGEST
    assert found.total_tokens == found.prompt_tokens + found.completion_tokens
    chunks = list(client.chat.completions.create(**ASKED, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage.total_tokens == found.total_tokens, chunks[-1]


@check("stop")
def stop():
    text = reply()
    letter = cut_of(text)
    choice = client.chat.completions.create(**ASKED, stop=letter).choices[0]
    assert choice.message.content == text[: text.index(letter)], (text, choice)
    assert choice.finish_reason == "stop"


@check("schema")
def schema():
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
    assert_answer(client.chat.completions.create(**ASKED | {"max_tokens": 80}, response_format=wanted).choices[0].message.content)


@check("completions")
def completions():
    found = client.completions.create(model=MODEL, prompt="Plants eat", max_tokens=8, temperature=0)
    assert found.choices[0].text and found.usage.completion_tokens > 0


@check("responses")
def responses():
    found = client.responses.create(model=MODEL, input=QUESTION, max_output_tokens=LONGEST, temperature=0)
    assert found.output_text.strip()
    events = list(client.responses.create(model=MODEL, input=QUESTION, max_output_tokens=LONGEST, temperature=0, stream=True))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == found.output_text, (text, found.output_text)


if EMBEDDER:

    @check("embeddings")
    def embeddings():
        found = client.embeddings.create(model=EMBEDDER, input=["Plants eat light.", "Half of six is three."])
        assert len(found.data) == 2 and len(found.data[0].embedding) == len(found.data[1].embedding) > 1
        assert found.data[0].embedding != found.data[1].embedding

else:
    lacks("embeddings", "no embedding model was given to the run")


@check("wrong key")
def wrong_key():
    other = openai.OpenAI(base_url=BASE_URL, api_key=WRONG_KEY, max_retries=0)
    return raises(openai.AuthenticationError, lambda: other.chat.completions.create(**ASKED), 401)


@check("unknown model")
def unknown_model():
    return raises(openai.NotFoundError, lambda: client.chat.completions.create(**ASKED | {"model": MISSING}), 404)


@check("bad request")
def bad_request():
    return raises(openai.BadRequestError, lambda: client.chat.completions.create(**ASKED | {"temperature": 9}), 400)


@check("files")
def files():
    content = TRAINING.read_bytes()
    file = client.files.create(file=("train.jsonl", content), purpose="fine-tune")
    assert file.id in [entry.id for entry in client.files.list()]
    assert client.files.content(file.id).read() == content
    assert client.files.retrieve(file.id).bytes == len(content)
    assert client.files.delete(file.id).deleted
    raises(openai.NotFoundError, lambda: client.files.retrieve(file.id), 404)


def tuned() -> str:
    file = client.files.create(file=TRAINING.open("rb"), purpose="fine-tune")
    supervised = {"hyperparameters": {"n_epochs": 1}}
    job = client.fine_tuning.jobs.create(
        model=MODEL, training_file=file.id, suffix="python", method={"type": "supervised", "supervised": supervised}
    )
    deadline = time.monotonic() + PATIENCE_S
    while job.status not in ("succeeded", "failed", "cancelled"):
        assert time.monotonic() < deadline, job
        time.sleep(POLL_S)
        job = client.fine_tuning.jobs.retrieve(job.id)
    assert job.status == "succeeded", job
    assert len(list(client.fine_tuning.jobs.list_events(job.id))) > 2
    assert list(client.fine_tuning.jobs.checkpoints.list(job.id))
    assert client.files.content(job.result_files[0]).read().startswith(b"step,")
    return job.fine_tuned_model


if TRAINS:

    @check("fine-tuning")
    def fine_tuning():
        name = tuned()
        assert client.chat.completions.create(**ASKED | {"model": name}).choices[0].message.content
        return "job, events, checkpoints, result file, chat with the result"

else:
    lacks("fine-tuning", "this run does not train")

done()
