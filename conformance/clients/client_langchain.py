"""LangChain's ``ChatOpenAI`` and ``OpenAIEmbeddings``."""

from __future__ import annotations

import json

import openai
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
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings


def model(**options):
    given = {"model": MODEL, "base_url": BASE_URL, "api_key": KEY, "temperature": 0, "max_tokens": LONGEST, "max_retries": 0}
    return ChatOpenAI(**given | options)


lacks("models", "the client has no such operation")


@check("chat")
def chat():
    assert model().invoke(QUESTION).content.strip()


@check("stream")
def stream():
    pieces = [chunk.content for chunk in model().stream(QUESTION)]
    assert len(pieces) > 2 and "".join(pieces) == model().invoke(QUESTION).content, pieces


@check("usage")
def usage():
    found = model().invoke(QUESTION).usage_metadata
    assert found["input_tokens"] > 0 and 0 < found["output_tokens"] <= LONGEST, found
    whole = None
    for chunk in model(stream_usage=True).stream(QUESTION):
        whole = chunk if whole is None else whole + chunk
    assert whole.usage_metadata["total_tokens"] == found["total_tokens"], whole.usage_metadata


@check("stop")
def stop():
    text = model().invoke(QUESTION).content
    letter = cut_of(text)
    assert model().invoke(QUESTION, stop=[letter]).content == text[: text.index(letter)]


@check("schema")
def schema():
    wanted = {"title": "answer", "description": "An answer.", **SCHEMA}
    found = model(max_tokens=80).with_structured_output(wanted, method="json_schema").invoke(QUESTION)
    assert_answer(json.dumps(found))


@check("completions")
def completions():
    old = OpenAI(model=MODEL, base_url=BASE_URL, api_key=KEY, max_tokens=8, temperature=0, max_retries=0)
    assert old.invoke("Plants eat")


@check("responses")
def responses():
    assert model(use_responses_api=True).invoke(QUESTION).text.strip()


if EMBEDDER:

    @check("embeddings")
    def embeddings():
        maker = OpenAIEmbeddings(model=EMBEDDER, base_url=BASE_URL, api_key=KEY, check_embedding_ctx_length=False)
        one, other = maker.embed_documents(["Plants eat light.", "Half of six is three."])
        assert len(one) == len(other) > 1 and one != other
        return "with check_embedding_ctx_length=False: otherwise it sends numbers of OpenAI's tokens"

else:
    lacks("embeddings", "no embedding model was given to the run")


@check("wrong key")
def wrong_key():
    return raises(openai.AuthenticationError, lambda: model(api_key=WRONG_KEY).invoke(QUESTION), 401)


@check("unknown model")
def unknown_model():
    return raises(openai.NotFoundError, lambda: model(model=MISSING).invoke(QUESTION), 404)


@check("bad request")
def bad_request():
    return raises(openai.BadRequestError, lambda: model(temperature=9).invoke(QUESTION), 400)


lacks("files", "the client has no such operation")
lacks("fine-tuning", "the client has no such operation")
done()
