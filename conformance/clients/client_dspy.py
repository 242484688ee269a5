"""DSPy's ``dspy.LM``."""

from __future__ import annotations

import contextlib
import io
import json
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it fetches a price list at import

import dspy
from checks import (
    BASE_URL,
    EMBEDDER,
    KEY,
    LONGEST,
    MISSING,
    MODEL,
    PATIENCE_S,
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
from dspy.clients.utils_finetune import TrainDataFormat
from dspy.utils.exceptions import LMInvalidRequestError, LMUnsupportedModelError


def model(name=MODEL, **options):
    given = {"api_base": BASE_URL, "api_key": KEY, "temperature": 0, "max_tokens": LONGEST, "cache": False, "num_retries": 0}
    return dspy.LM(f"openai/{name}", **given | options)


lacks("models", "the client has no such operation")


def reply(**options) -> str:
    return model()(QUESTION, **options)[0]


@check("chat")
def chat():
    assert reply().strip()


@check("stream")
def stream():
    import asyncio

    pieces = []

    async def collect():
        with dspy.context(lm=model(max_tokens=80), adapter=dspy.JSONAdapter()):
            async for piece in dspy.streamify(dspy.Predict("question -> answer"), async_streaming=True)(question=QUESTION):
                pieces.append(piece)

    try:
        asyncio.run(collect())
        note = "through dspy.streamify"
    except dspy.AdapterParseError:  # of the model, not of the stream
        note = "through dspy.streamify; what the model wrote was not the JSON that DSPy asks for in words"
    assert len(pieces) > 2, pieces
    return note


@check("usage")
def usage():
    asked = model()
    asked(QUESTION)
    found = asked.history[-1]["usage"]
    assert found["prompt_tokens"] > 0 and 0 < found["completion_tokens"] <= LONGEST, found


@check("stop")
def stop():
    text = reply()
    letter = cut_of(text)
    assert reply(stop=[letter]) == text[: text.index(letter)]


@check("schema")
def schema():
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
    assert_answer(model(max_tokens=80)(QUESTION, response_format=wanted)[0])


@check("completions")
def completions():
    assert model(max_tokens=8, model_type="text")("Plants eat")[0]


@check("responses")
def responses():
    found = model(model_type="responses")(QUESTION)[0]
    assert (found["text"] if isinstance(found, dict) else found).strip()


if EMBEDDER:

    @check("embeddings")
    def embeddings():
        maker = dspy.Embedder(f"openai/{EMBEDDER}", api_base=BASE_URL, api_key=KEY, caching=False)
        one, other = maker(["Plants eat light.", "Half of six is three."])
        assert len(one) == len(other) > 1 and list(one) != list(other)

else:
    lacks("embeddings", "no embedding model was given to the run")


@check("wrong key")
def wrong_key():
    return raises(dspy.LMAuthError, lambda: model(api_key=WRONG_KEY)(QUESTION), 401)


@check("unknown model")
def unknown_model():
    return raises(LMUnsupportedModelError, lambda: model(MISSING)(QUESTION), 404)


@check("bad request")
def bad_request():
    return raises(LMInvalidRequestError, lambda: model(temperature=9)(QUESTION), 400)


lacks("files", "the client has no such operation")


if TRAINS:

    @check("fine-tuning")
    def fine_tuning():
        os.environ.update(OPENAI_BASE_URL=BASE_URL, OPENAI_API_KEY=KEY)  # its trainer takes no other word for where to train
        data = [json.loads(line) for line in TRAINING.read_text("utf-8").splitlines()]
        with contextlib.redirect_stdout(io.StringIO()):
            job = model().finetune(data, TrainDataFormat.CHAT, train_kwargs={"n_epochs": 1})
            tuned = job.result(timeout=PATIENCE_S)
        assert not isinstance(tuned, Exception), tuned
        name = tuned.model if hasattr(tuned, "model") else str(tuned)
        assert model(name.removeprefix("openai/"))(QUESTION)[0]
        return f"dspy.LM.finetune, then dspy.LM('openai/{name[:24]}...')"

else:
    lacks("fine-tuning", "this run does not train")

done()
