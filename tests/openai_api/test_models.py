"""The models: listed, looked at, and those that were tuned here deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest

from homeroom.models import tiny
from tests.openai_api.conftest import ALIAS, Server
from tests.openai_api.helpers import chat_lines, ended, registered, until, upload
from tests.openai_api.oracle import assert_valid


def names(client: openai.OpenAI) -> list[str]:
    listed = client.models.list()
    assert_valid(listed, "/models", "get")
    return [model.id for model in listed]


def refused(client: openai.OpenAI, name: str, kind: type[openai.APIStatusError]) -> Any:
    with pytest.raises(kind) as caught:
        client.models.delete(name)
    assert_valid(caught.value.response.json(), "/models/{model}", "delete", caught.value.status_code)
    return caught.value


def test_what_can_be_asked_is_listed_and_found(client: openai.OpenAI) -> None:
    listed = names(client)
    assert listed[0] == tiny.NAME
    for name in listed:
        model = client.models.retrieve(name)
        assert_valid(model, "/models/{model}", "get")
        assert (model.id, model.object) == (name, "model")
    assert client.models.retrieve(ALIAS).id == tiny.NAME
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-unknown")
    assert_valid(caught.value.response.json(), "/models/{model}", "get", 404)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_a_base_that_was_not_fetched_is_not_listed(serve: Callable[..., Server]) -> None:
    client = serve(HOMEROOM_DEFAULT_BASE="smollm2-135m-instruct").client()
    assert "smollm2-135m-instruct" not in names(client)
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="smollm2-135m-instruct", messages=[{"role": "user", "content": "hi"}])
    assert caught.value.code == "not_pulled"


@pytest.mark.slow
def test_a_tuned_model_goes_with_its_checkpoints(client: openai.OpenAI, server: Server) -> None:
    training = upload(client, chat_lines(12))
    job = client.fine_tuning.jobs.create(model=tiny.NAME, training_file=training, suffix="gone", hyperparameters={"n_epochs": 2})
    over = ended(client, job.id)
    name = over.fine_tuned_model
    assert name is not None
    points = [point.fine_tuned_model_checkpoint for point in client.fine_tuning.jobs.checkpoints.list(job.id)]
    assert points
    ask: Any = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
    for model in (name, *points):
        assert client.chat.completions.create(model=model, **ask).choices
        assert client.models.retrieve(model).id == model
    error = refused(client, points[0], openai.BadRequestError)
    assert (error.code, error.param) == ("model_not_deletable", "model")

    gone = client.models.delete(name)
    assert_valid(gone, "/models/{model}", "delete")
    assert (gone.id, gone.object, gone.deleted) == (name, "model", True)
    assert name not in names(client)
    assert client.fine_tuning.jobs.checkpoints.list(job.id).data == []
    for model in (name, *points):
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model=model, **ask)
    assert refused(client, name, openai.NotFoundError).code == "model_not_found"
    assert client.fine_tuning.jobs.retrieve(job.id).fine_tuned_model == name
    home = server.open()
    try:
        left = [artifact for artifact in home.artifacts.list("model") if job.id[-8:] in artifact]
        assert left == []
    finally:
        home.close()


def test_only_what_was_tuned_here_can_be_deleted(client: openai.OpenAI) -> None:
    for name in (tiny.NAME, ALIAS):
        assert refused(client, name, openai.BadRequestError).code == "model_not_deletable"
    assert tiny.NAME in names(client)
    assert refused(client, "gone", openai.NotFoundError).code == "model_not_found"  # a suffix is not a name


def test_what_is_in_use_stays(client: openai.OpenAI, server: Server) -> None:
    name = registered(server, suffix="used")
    server.command("models", "use", name, "--task", "tutor")
    until(lambda: name in names(client))
    error = refused(client, name, openai.ConflictError)
    assert (error.code, error.type) == ("model_in_use", "invalid_request_error")
    server.command("models", "use", tiny.NAME, "--task", "tutor")

    home = server.open()
    try:
        job = home.jobs.submit("evaluate", {"model": name}, not_before=4e9)
        assert job.id in refused(client, name, openai.ConflictError).message
        home.jobs.request_cancel(job.id)
    finally:
        home.close()
    built = registered(server, suffix="built", base=name)
    until(lambda: built in names(client))
    assert built in refused(client, name, openai.ConflictError).message
    assert client.models.delete(built).deleted
    assert client.models.delete(name).deleted


def test_deleting_needs_a_key_for_tuning(serve: Callable[..., Server]) -> None:
    server = serve()
    name = registered(server, suffix="kept")

    def key(scope: str) -> openai.OpenAI:
        return server.client(server.command("users", "key", "create", scope, "--scope", scope).split()[-1])

    chat, tune = key("chat"), key("tune")
    with pytest.raises(openai.PermissionDeniedError):
        chat.models.delete(name)
    assert name in names(chat)
    assert tune.models.delete(name).deleted
