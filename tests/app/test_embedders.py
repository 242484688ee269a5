"""Which embedding model a name means: at an endpoint, on this disk, or a name of OpenAI's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from homeroom.app.embedders import HomeEmbedders, embedding
from homeroom.app.home import Homeroom
from homeroom.errors import ConfigError, ConflictError, NotFoundError
from homeroom.ledger.records import Budget, Tokens
from homeroom.models import prepared, tiny, tiny_embedder
from homeroom.models.catalogue import DEFAULT_EMBEDDER
from homeroom.models.embed_files import prepare_embedder
from homeroom.models.engine import EngineManager
from homeroom.runtime import spawn
from homeroom.settings import Endpoint, load_settings
from tests.ledger.test_meter import Provider, provider  # noqa: F401 - the fixture of that name


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Homeroom]:
    environ = {"HOMEROOM_HOME": str(tmp_path / "home"), "HOMEROOM_CACHE": str(tmp_path / "cache"), "HOMEROOM_THREADS": "1"}
    with Homeroom.open(load_settings(environ=environ)) as opened:
        prepare_embedder(tiny_embedder.build(tmp_path / "tiny"), tiny_embedder.NAME, opened.settings.cache)
        yield opened


def test_an_endpoint_s_model_is_asked_there_with_its_key(home: Homeroom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine stands for the endpoint: it speaks OpenAI's API behind a key."""
    files = prepared.find(tiny_embedder.NAME, home.settings.cache, "embedding")
    assert files is not None
    manager = EngineManager(files, home=tmp_path / "there", spawn=spawn, threads=1)
    try:
        info = manager.ensure()
        there = Endpoint("there", f"{info.url}/v1", api_key_env="THERE_KEY")
        embedders = HomeEmbedders(Homeroom(replace(home.settings, endpoints=(there,)), home.database))
        with pytest.raises(ConfigError) as caught:
            embedders.embedder("there/tiny")
        assert caught.value.code == "key-not-set"
        monkeypatch.setenv("THERE_KEY", info.key)
        found = embedders.embedder("there/tiny")
        assert found.name == "there/tiny"
        assert len(found.embed(["ice"]).vectors[0]) == tiny_embedder.DIMENSIONS
        assert embedders.embedder("there/tiny") is found, "its connections are kept"
        embedders.close()
    finally:
        manager.stop()


def test_what_an_endpoint_s_model_costs_is_counted_and_a_budget_stops_it(home: Homeroom, provider: Provider) -> None:  # noqa: F811
    (home.settings.home / "prices.yaml").write_text("endpoints: {there/: {input: 1000, output: 1000}}\n")
    there = Endpoint("there", f"http://127.0.0.1:{provider.server.server_port}/v1")
    with closing(HomeEmbedders(Homeroom(replace(home.settings, endpoints=(there,)), home.database))) as embedders:
        embedder = embedders.embedder("there/words")
        embedder.embed(["ice", "water"])
        (line,) = home.ledger.lines()
        assert (line.about.model, line.about.purpose, line.state) == ("there/words", "chat", "settled")
        assert (line.tokens, line.usd) == (Tokens(12, 0), 0.012)
        home.ledger.set_budget(Budget(0.012))
        with pytest.raises(ConflictError) as refused:
            embedder.embed(["ice"])
        assert refused.value.code == "budget-spent"
        assert provider.asked == 1


def test_without_a_price_a_budget_about_an_embedding_model_refuses_it(home: Homeroom) -> None:
    far = Endpoint("far", "https://far.example/v1")  # never asked: the refusal comes first
    home.ledger.set_budget(Budget(1.0))
    with closing(HomeEmbedders(Homeroom(replace(home.settings, endpoints=(far,)), home.database))) as embedders:
        with pytest.raises(ConfigError) as refused:
            embedders.embedder("far/words").embed(["ice"])
    assert refused.value.code == "price-unknown"


def test_what_is_on_this_disk_is_listed(home: Homeroom) -> None:
    (card,) = HomeEmbedders(home).list()
    assert (card.name, card.dimensions, card.context_tokens) == (
        tiny_embedder.NAME,
        tiny_embedder.DIMENSIONS,
        tiny_embedder.CONTEXT_TOKENS,
    )


def test_names_of_openai_s_lead_to_it(home: Homeroom) -> None:
    settings = replace(home.settings, openai_models={"text-embedding-3-small": tiny_embedder.NAME, "ada": DEFAULT_EMBEDDER})
    embedders = HomeEmbedders(Homeroom(settings, home.database))
    assert embedders.embedder("text-embedding-3-small") is embedders.embedder(tiny_embedder.NAME)
    with pytest.raises(NotFoundError, match=f"'ada' stands for it. Run: homeroom models pull {DEFAULT_EMBEDDER}") as caught:
        embedders.embedder("ada")
    assert caught.value.code == "not-pulled"


def test_models_that_make_none_are_told_apart(home: Homeroom, tmp_path: Path) -> None:
    prepared.prepare_folder(tiny.build(tmp_path / "base"), tiny.NAME, home.settings.cache)
    embedders = HomeEmbedders(home)
    for name in (tiny.NAME, "ft:tiny:homeroom:tutor:12345678"):
        with pytest.raises(ConfigError, match=tiny_embedder.NAME) as refused:
            embedders.embedder(name)
        assert refused.value.code == "not-an-embedder"
    with pytest.raises(NotFoundError) as unknown:
        embedders.embedder("word2vec")
    assert unknown.value.code == "model-not-found"


def test_a_command_has_an_engine_of_its_own_for_as_long_as_it_needs_it(home: Homeroom) -> None:
    with embedding(home, tiny_embedder.NAME) as embedder:
        assert len(embedder.embed(["ice"]).vectors[0]) == tiny_embedder.DIMENSIONS
    with pytest.raises(ConflictError) as caught:
        embedder.embed(["ice"])
    assert caught.value.code == "engine-stopped"
