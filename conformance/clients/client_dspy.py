"""DSPy's ``dspy.LM``."""

from __future__ import annotations

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it fetches a price list at import

import dspy
import litellm
from checks import (
    BASE_URL,
    EMBEDDER,
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
    raises,
)


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

    async def pieces():
        with dspy.context(lm=model(max_tokens=80), adapter=dspy.JSONAdapter()):
            program = dspy.streamify(dspy.Predict("question -> answer"), async_streaming=True)
            return [piece async for piece in program(question=QUESTION)]

    found = asyncio.run(pieces())
    assert len(found) > 2, found
    return "through dspy.streamify"


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
    return raises(litellm.AuthenticationError, lambda: model(api_key=WRONG_KEY)(QUESTION), 401)


@check("unknown model")
def unknown_model():
    return raises(litellm.NotFoundError, lambda: model(MISSING)(QUESTION), 404)


@check("bad request")
def bad_request():
    return raises(litellm.BadRequestError, lambda: model(temperature=9)(QUESTION), 400)


lacks("files", "the client has no such operation")
lacks("fine-tuning", "its provider for OpenAI trains the models of OpenAI's names alone")
done()
