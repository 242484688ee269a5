"""Embeddings through the official SDK: a real engine with a tiny model, against OpenAI's description."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import openai
import pytest

from homeroom.models import tiny, tiny_embedder
from homeroom.models.embed_files import prepare_embedder
from tests.openai_api.conftest import Server
from tests.openai_api.oracle import assert_valid

QUESTION, SAME, OTHER = "how many legs dogs", "what number paws hounds", "ice float soil drink"
ALIAS = "text-embedding-3-small"


@pytest.fixture(scope="module")
def embed_cache(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session's cache, with an embedding model beside the tiny base."""
    prepare_embedder(tiny_embedder.build(tmp_path_factory.mktemp("embedder")), tiny_embedder.NAME, cache)
    return cache


@pytest.fixture(scope="module")
def client(server: Server, embed_cache: Path) -> Iterator[openai.OpenAI]:
    with server.client() as made:
        yield made


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def refusal(client: openai.OpenAI, **request: object) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as caught:
        client.embeddings.create(**{"model": tiny_embedder.NAME, "input": "ice", **request})  # type: ignore[call-overload]
    assert_valid(caught.value.response.json(), "/embeddings", "post", caught.value.status_code)
    return caught.value


def test_texts_become_vectors_that_know_synonyms(client: openai.OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(
        model=tiny_embedder.NAME, input=[QUESTION, SAME, OTHER], encoding_format="float"
    )
    assert_valid(raw.http_response.json(), "/embeddings", "post")
    answer = raw.parse()
    assert answer.model == tiny_embedder.NAME
    assert [row.index for row in answer.data] == [0, 1, 2]
    one, same, other = (row.embedding for row in answer.data)
    assert math.isclose(cosine(one, one), 1.0, abs_tol=1e-5)
    assert cosine(one, same) > 0.99 > 0.6 > cosine(one, other)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 3 * (4 + 2)


def test_the_sdk_s_own_base64_holds_the_same_numbers(client: openai.OpenAI, server: Server) -> None:
    packed = client.embeddings.create(model=tiny_embedder.NAME, input=QUESTION).data[0].embedding
    plain = client.embeddings.create(model=tiny_embedder.NAME, input=QUESTION, encoding_format="float").data[0].embedding
    assert len(packed) == tiny_embedder.DIMENSIONS
    assert all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(packed, plain, strict=True))
    body = {"model": tiny_embedder.NAME, "input": QUESTION, "encoding_format": "base64"}
    text = httpx.post(f"{server.base_url}/embeddings", json=body).json()["data"][0]["embedding"]
    numbers = struct.unpack(f"<{tiny_embedder.DIMENSIONS}f", base64.b64decode(text))
    assert all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(numbers, plain, strict=True))


def test_one_text_and_a_list_of_it_are_the_same(client: openai.OpenAI) -> None:
    alone = client.embeddings.create(model=tiny_embedder.NAME, input=QUESTION)
    listed = client.embeddings.create(model=tiny_embedder.NAME, input=[QUESTION])
    assert cosine(alone.data[0].embedding, listed.data[0].embedding) > 0.9999
    assert alone.usage == listed.usage


def test_many_texts_keep_their_order(client: openai.OpenAI) -> None:
    texts = [f"{n} apples" for n in range(150)]
    answer = client.embeddings.create(model=tiny_embedder.NAME, input=texts)
    assert [row.index for row in answer.data] == list(range(150))
    for n in (0, 70, 149):
        alone = client.embeddings.create(model=tiny_embedder.NAME, input=texts[n]).data[0].embedding
        assert cosine(answer.data[n].embedding, alone) > 0.9999


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]])
def test_numbers_of_tokens_are_refused_and_the_message_says_why(client: openai.OpenAI, tokens: list[int]) -> None:
    error = refusal(client, input=tokens)
    assert isinstance(error, openai.BadRequestError)
    assert (error.code, error.param) == ("tokens_refused", "input")
    assert "check_embedding_ctx_length=False" in error.message


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["ice", ""]}, "input[1]"),
        ({"input": ["ice", 3]}, "input[1]"),
        ({"input": ["ice"] * 2049}, "input"),
        ({"dimensions": 32}, "dimensions"),
        ({"dimensions": 0}, "dimensions"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"extra_body": {"colour": "red"}}, "colour"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(client: openai.OpenAI, request_: dict[str, object], param: str) -> None:
    error = refusal(client, **request_)
    assert isinstance(error, openai.BadRequestError)
    assert error.param == param


def test_its_own_length_may_be_asked_for(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model=tiny_embedder.NAME, input="ice", dimensions=tiny_embedder.DIMENSIONS)
    assert len(answer.data[0].embedding) == tiny_embedder.DIMENSIONS


def test_a_text_that_is_too_long_is_openai_s_own_error(client: openai.OpenAI) -> None:
    error = refusal(client, input="apples " * tiny_embedder.CONTEXT_TOKENS)
    assert isinstance(error, openai.BadRequestError)
    assert error.code == "context_length_exceeded"
    assert str(tiny_embedder.CONTEXT_TOKENS + 2) in error.message


def test_models_that_do_not_embed_are_told_apart(client: openai.OpenAI) -> None:
    chats = refusal(client, model=tiny.NAME)
    assert isinstance(chats, openai.BadRequestError)
    assert chats.code == "not_an_embedder"
    assert tiny_embedder.NAME in chats.message
    assert isinstance(refusal(client, model="word2vec"), openai.NotFoundError)
    absent = refusal(client, model="all-minilm-l6-v2")
    assert isinstance(absent, openai.NotFoundError)
    assert "homeroom models pull all-minilm-l6-v2" in absent.message


def test_an_embedding_model_is_no_chat_model(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model=tiny_embedder.NAME, messages=[{"role": "user", "content": "ice"}])


def test_it_is_in_the_list_of_models(client: openai.OpenAI) -> None:
    assert tiny_embedder.NAME in [model.id for model in client.models.list()]
    found = client.models.with_raw_response.retrieve(tiny_embedder.NAME)
    assert_valid(found.http_response.json(), "/models/{model}", "get")
    assert found.parse().id == tiny_embedder.NAME


def test_a_name_of_openai_s_can_stand_for_it(serve: Callable[..., Server], embed_cache: Path) -> None:
    server = serve(HOMEROOM_OPENAI_MODELS=f"{{{ALIAS}: {tiny_embedder.NAME}}}")
    answer = server.client().embeddings.create(model=ALIAS, input="ice")
    assert answer.model == tiny_embedder.NAME
    assert len(answer.data[0].embedding) == tiny_embedder.DIMENSIONS


@pytest.mark.slow
def test_commands_know_it(server: Server, embed_cache: Path) -> None:
    assert tiny_embedder.NAME in server.command("models", "list")
    assert "all-minilm-l6-v2" in server.command("models", "list", "--bases")
    assert f"{tiny_embedder.NAME} is on this machine" in server.command("doctor")
