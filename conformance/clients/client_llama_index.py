"""LlamaIndex's ``OpenAILike`` and ``OpenAILikeEmbedding``."""

from __future__ import annotations

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
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike


def model(**options):
    given = {"model": MODEL, "api_base": BASE_URL, "api_key": KEY, "is_chat_model": True, "max_tokens": LONGEST, "max_retries": 0}
    return OpenAILike(**given | {"temperature": 0.0} | options)


MESSAGES = [ChatMessage(role="user", content=QUESTION)]

lacks("models", "the client has no such operation")


@check("chat")
def chat():
    assert model().chat(MESSAGES).message.content.strip()


@check("stream")
def stream():
    pieces = [chunk.delta or "" for chunk in model().stream_chat(MESSAGES)]
    assert len(pieces) > 2 and "".join(pieces) == model().chat(MESSAGES).message.content, pieces


@check("usage")
def usage():
    found = model().chat(MESSAGES).raw.usage
    assert found.prompt_tokens > 0 and 0 < found.completion_tokens <= LONGEST, found


@check("stop")
def stop():
    text = model().chat(MESSAGES).message.content
    letter = cut_of(text)
    assert model().chat(MESSAGES, stop=[letter]).message.content == text[: text.index(letter)]


@check("schema")
def schema():
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
    assert_answer(model(max_tokens=80).chat(MESSAGES, response_format=wanted).message.content)


@check("completions")
def completions():
    assert model(is_chat_model=False, max_tokens=8).complete("Plants eat").text


@check("responses")
def responses():
    from llama_index.llms.openai_like import OpenAILikeResponses

    asked = OpenAILikeResponses(model=MODEL, api_base=BASE_URL, api_key=KEY, max_output_tokens=LONGEST, max_retries=0)
    assert asked.chat(MESSAGES).message.content.strip()


if EMBEDDER:

    @check("embeddings")
    def embeddings():
        from llama_index.embeddings.openai_like import OpenAILikeEmbedding

        maker = OpenAILikeEmbedding(model_name=EMBEDDER, api_base=BASE_URL, api_key=KEY)
        one, other = maker.get_text_embedding_batch(["Plants eat light.", "Half of six is three."])
        assert len(one) == len(other) > 1 and one != other

else:
    lacks("embeddings", "no embedding model was given to the run")


@check("wrong key")
def wrong_key():
    return raises(openai.AuthenticationError, lambda: model(api_key=WRONG_KEY).chat(MESSAGES), 401)


@check("unknown model")
def unknown_model():
    return raises(openai.NotFoundError, lambda: model(model=MISSING).chat(MESSAGES), 404)


@check("bad request")
def bad_request():
    return raises(openai.BadRequestError, lambda: model().chat(MESSAGES, seed=2**70), 400)


lacks("files", "the client has no such operation")
lacks("fine-tuning", "the client has no such operation")
done()
