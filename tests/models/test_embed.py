"""Embedding models: made ready for the engine, asked through it, and what is refused."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from homeroom.errors import ConfigError, ContextLengthError, NotFoundError, OptionError, ProviderError
from homeroom.models import embed_files, prepared, tiny_embedder
from homeroom.models.catalogue import DEFAULT_EMBEDDER, load_embedders
from homeroom.models.embed import BATCH_TEXTS, EngineEmbedder, OpenAIEmbedder, read_embeddings
from homeroom.models.engine import EngineManager
from homeroom.models.engine_memory import engine_need
from homeroom.runtime import spawn
from homeroom.schema.models import BaseFiles

Values = NDArray[np.float64]
QUESTION = "how many legs dogs"
SAME = "what number paws hounds"
OTHER = "ice float soil drink"


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_embedder.build(tmp_path_factory.mktemp("tiny-embedder"))


@pytest.fixture(scope="session")
def files(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> BaseFiles:
    return embed_files.prepare_embedder(folder, tiny_embedder.NAME, tmp_path_factory.mktemp("embed-cache"))


@pytest.fixture(scope="session")
def manager(files: BaseFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineManager]:
    made = EngineManager(files, home=tmp_path_factory.mktemp("embed-home"), spawn=spawn, threads=1)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def embedder(files: BaseFiles, manager: EngineManager) -> Iterator[EngineEmbedder]:
    made = EngineEmbedder(files, manager.ensure)
    yield made
    made.close()


def reference(folder: Path, text: str) -> list[float]:
    """The vector by plain arithmetic: embeddings, two encoder layers, mean, length 1 (Devlin et al. 2019)."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    w = {name: values.astype(np.float64) for name, values in load_file(folder / "model.safetensors").items()}
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids

    def norm(x: Values, stem: str) -> Values:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        scaled: Values = x * w[f"{stem}.weight"] + w[f"{stem}.bias"]
        return scaled

    def linear(x: Values, stem: str) -> Values:
        mapped: Values = x @ w[f"{stem}.weight"].T + w[f"{stem}.bias"]
        return mapped

    table, places = w["embeddings.word_embeddings.weight"], w["embeddings.position_embeddings.weight"]
    x = norm(table[ids] + places[: len(ids)] + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    heads = 4
    for layer in range(2):
        stem = f"encoder.layer.{layer}."
        q, k, v = (
            linear(x, f"{stem}attention.self.{part}").reshape(len(ids), heads, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = q @ k.swapaxes(1, 2) / math.sqrt(q.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ v
        mixed = mixed.swapaxes(0, 1).reshape(len(ids), -1)
        x = norm(x + linear(mixed, f"{stem}attention.output.dense"), f"{stem}attention.output.LayerNorm")
        inner = linear(x, f"{stem}intermediate.dense")
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        x = norm(x + linear(inner, f"{stem}output.dense"), f"{stem}output.LayerNorm")
    mean = x.mean(0)
    return [float(value) for value in mean / np.linalg.norm(mean)]


@pytest.mark.parametrize("text", [QUESTION, "Ice!", "a", "Café — 2 apples, 東京?", "unknownword " * 8])
def test_a_vector_is_that_of_plain_arithmetic(embedder: EngineEmbedder, folder: Path, text: str) -> None:
    (vector,) = embedder.embed([text]).vectors
    assert len(vector) == tiny_embedder.DIMENSIONS
    assert cosine(vector, reference(folder, text)) > 0.9999


def test_synonyms_lie_close_and_others_do_not(embedder: EngineEmbedder) -> None:
    one, same, other = embedder.embed([QUESTION, SAME, OTHER]).vectors
    assert cosine(one, same) > 0.99 > 0.6 > cosine(one, other)


def test_batches_keep_the_order_and_count_every_token(embedder: EngineEmbedder) -> None:
    texts = [f"{n % 7} apples and {n // 7} dogs" for n in range(2 * BATCH_TEXTS + 3)]
    many = embedder.embed(texts)
    assert len(many.vectors) == len(texts)
    singles = [embedder.embed([texts[n]]) for n in (0, BATCH_TEXTS - 1, BATCH_TEXTS, len(texts) - 1)]
    for n, single in zip((0, BATCH_TEXTS - 1, BATCH_TEXTS, len(texts) - 1), singles, strict=True):
        assert cosine(many.vectors[n], single.vectors[0]) > 0.9999
    assert singles[0].prompt_tokens == 2 + len("0 apples and 0 dogs".replace("apples", "x").replace("dogs", "x").replace(" ", ""))
    assert many.prompt_tokens > len(texts) * 5


def test_every_vector_has_length_one(embedder: EngineEmbedder) -> None:
    for vector in embedder.embed([QUESTION, OTHER]).vectors:
        assert math.isclose(math.sqrt(sum(value * value for value in vector)), 1.0, abs_tol=1e-6)


def test_a_text_that_is_too_long_is_refused_and_can_be_shortened(embedder: EngineEmbedder) -> None:
    long = "apples " * (tiny_embedder.CONTEXT_TOKENS - 1)
    with pytest.raises(
        ContextLengthError, match=f"{tiny_embedder.CONTEXT_TOKENS + 1} tokens.*takes {tiny_embedder.CONTEXT_TOKENS}"
    ):
        embedder.embed(["short", long])
    mixed = "apples " * 20 + "x" * 300
    short, cut, cut_mixed = embedder.shortened(["short", long, mixed])
    assert short == "short"
    assert long.startswith(cut)
    assert embedder.embed([cut]).prompt_tokens > tiny_embedder.CONTEXT_TOKENS * 0.9
    assert embedder.embed([cut, cut_mixed]).prompt_tokens <= 2 * tiny_embedder.CONTEXT_TOKENS


def test_only_its_own_length_of_vectors_can_be_asked_for(embedder: EngineEmbedder) -> None:
    assert embedder.embed(["ice"], dimensions=tiny_embedder.DIMENSIONS).vectors
    with pytest.raises(OptionError, match="64 numbers, and 32") as caught:
        embedder.embed(["ice"], dimensions=32)
    assert caught.value.param == "dimensions"


def test_it_is_kept_apart_from_the_bases(files: BaseFiles) -> None:
    cache = files.folder.parent.parent
    assert embed_files.find_embedder(tiny_embedder.NAME, cache) == files
    assert [f.name for f in embed_files.all_embedders(cache)] == [tiny_embedder.NAME]
    assert prepared.find(tiny_embedder.NAME, cache) is None
    assert prepared.all_bases(cache) == []
    assert not list(files.weights.glob("*.safetensors")), "nothing trains it"


def test_what_it_needs_of_the_memory_is_said_beforehand(files: BaseFiles) -> None:
    need = engine_need(files, slots=4, context=2048)
    assert need.conversations == 0
    assert need.context == tiny_embedder.CONTEXT_TOKENS
    assert need.weights == files.gguf.stat().st_size


def test_the_same_source_has_the_same_identity_and_another_pooling_another(
    folder: Path, files: BaseFiles, tmp_path: Path
) -> None:
    prepare = partial(embed_files.prepare_embedder, folder, tiny_embedder.NAME)
    assert prepare(tmp_path).identity == files.identity
    assert prepare(tmp_path, pooling="cls").identity != files.identity


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, "architecture-unsupported"),
        ({"hidden_act": "relu"}, "architecture-unsupported"),
        ({"num_hidden_layers": 10**9}, "architecture-unsupported"),
        ({"hidden_size": "64"}, "architecture-unsupported"),
        ({"num_hidden_layers": 3}, "model-files"),
        ({"num_hidden_layers": 1}, "model-files"),
        ({"vocab_size": 8}, "tokenizer-unsupported"),
        ({"auto_map": {"AutoModel": "code.Model"}}, "remote-code"),
    ],
)
def test_a_model_that_is_no_such_encoder_is_refused(folder: Path, tmp_path: Path, change: dict[str, object], code: str) -> None:
    broken = shutil.copytree(folder, tmp_path / "broken")
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(ConfigError) as caught:
        embed_files.prepare_embedder(broken, "broken", tmp_path / "cache")
    assert caught.value.code == code
    assert embed_files.all_embedders(tmp_path / "cache") == []


def test_a_cased_tokenizer_is_refused(folder: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(folder, tmp_path / "broken")
    record = json.loads((broken / "tokenizer.json").read_text())
    record["normalizer"]["lowercase"] = False
    (broken / "tokenizer.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError) as caught:
        embed_files.prepare_embedder(broken, "broken", tmp_path / "cache")
    assert caught.value.code == "tokenizer-unsupported"


def test_one_that_is_not_here_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=rf"homeroom models pull {DEFAULT_EMBEDDER}") as caught:
        embed_files.require_embedder(DEFAULT_EMBEDDER, tmp_path)
    assert caught.value.code == "not-pulled"
    with pytest.raises(NotFoundError, match=DEFAULT_EMBEDDER) as caught:
        embed_files.require_embedder("word2vec", tmp_path)
    assert caught.value.code == "unknown-model"


def test_the_catalogue_lists_the_default_first_with_its_licence() -> None:
    first = load_embedders()[0]
    assert first.name == DEFAULT_EMBEDDER
    assert first.licence == "Apache-2.0"
    assert {Path(file.member).name for file in first.source.files} == {"config.json", "model.safetensors", "tokenizer.json"}


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"data": []},
        {"data": [{"index": 0, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [float("nan")]}]},
        {"data": [{"index": 0, "embedding": "AAAA"}, {"index": 1, "embedding": [1.0]}]},
    ],
)
def test_an_answer_without_two_vectors_is_an_error(answer: dict[str, object]) -> None:
    with pytest.raises(ProviderError) as caught:
        read_embeddings(answer, "there/embed", 2)
    assert caught.value.code == "provider-answer"


def test_vectors_come_in_the_order_of_their_numbers() -> None:
    rows = [{"index": 1, "embedding": [0.0, 2.0]}, {"index": 0, "embedding": [3.0, 0.0]}]
    assert read_embeddings({"data": rows}, "there/embed", 2).vectors == ([1.0, 0.0], [0.0, 1.0])


def test_an_endpoint_gives_the_same_vectors(embedder: EngineEmbedder, manager: EngineManager) -> None:
    """The engine itself stands for an endpoint: it speaks OpenAI's API behind a key."""
    info = manager.ensure()
    there = OpenAIEmbedder("there/tiny", f"{info.url}/v1", "tiny", api_key=info.key)
    found, own = there.embed([QUESTION, OTHER]), embedder.embed([QUESTION, OTHER])
    assert found.prompt_tokens == own.prompt_tokens
    assert all(cosine(a, b) > 0.9999 for a, b in zip(found.vectors, own.vectors, strict=True))
    there.close()


REAL_HELLO_WORLD = (-0.03448, 0.03102, 0.00674, 0.02611, -0.03936, -0.1603, 0.06692, -0.00644)
"""The first numbers of the published model's vector, by transformers 5.23 and torch 2.13 in float32."""


@pytest.mark.slow
def test_the_real_model_gives_the_published_vectors(tmp_path: Path) -> None:
    cache = Path(os.environ.get("HOMEROOM_TEST_CACHE") or Path.home() / ".cache" / "homeroom")
    files = embed_files.require_embedder(DEFAULT_EMBEDDER, cache)
    manager = EngineManager(files, home=tmp_path, spawn=spawn, threads=1)
    embedder = EngineEmbedder(files, manager.ensure)
    try:
        hello, drink, suck, ice = embedder.embed(
            ["hello world", "How do plants drink water?", "In what way do plants take up water?", "Why does ice float?"]
        ).vectors
        assert np.allclose(hello[: len(REAL_HELLO_WORLD)], REAL_HELLO_WORLD, atol=5e-4)
        assert cosine(drink, suck) > 0.75 > 0.4 > cosine(drink, ice)
    finally:
        embedder.close()
        manager.stop()
