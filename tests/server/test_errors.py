from __future__ import annotations

import pytest

from homeroom.chat.testing import PacedChatModel
from homeroom.errors import (
    AuthError,
    ContextLengthError,
    HomeroomError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    StorageError,
)
from homeroom.server.errors import shown


def test_people_get_a_page(site) -> None:
    response = site.app.test_client().get("/nope", headers={"Accept": "text/html"})
    assert response.status_code == 404
    assert "<!doctype html>" in response.get_data(as_text=True)
    assert "There is no such page." in response.get_data(as_text=True)


def test_scripts_get_json(site) -> None:
    response = site.app.test_client().get("/nope", headers={"Accept": "application/json"})
    assert response.get_json() == {"error": {"message": "There is no such page.", "code": "http-404", "retry_after_s": None}}


def test_htmx_gets_a_fragment_for_the_notices(ana) -> None:
    response = ana.get("/models/settings?name=nobody", headers={"HX-Request": "true"})
    assert response.status_code == 404
    assert response.headers["HX-Retarget"] == "#notices"
    text = response.get_data(as_text=True)
    assert text.startswith("<div")
    assert "nobody" in text


def test_programs_get_openais_object(site) -> None:
    response = site.app.test_client().get("/v1/nope")
    assert response.status_code == 404
    assert response.get_json()["error"].keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize(("url", "status"), [("/chat", 405), ("/v1/models", 405)])
def test_wrong_methods(site, url: str, status: int) -> None:
    assert site.app.test_client().delete(url).status_code in {status, 400, 415}


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (RateLimitError("slow down", retry_after_s=7), 429, "rate_limit_error", "provider_rate_limit"),
        (ContextLengthError("5000 tokens, 2048 fit"), 400, "invalid_request_error", "context_length_exceeded"),
        (ProviderTimeoutError("no answer"), 504, "server_error", "provider_timeout"),
        (AuthError("the endpoint refused the key"), 502, "server_error", "provider_auth"),
        (ProviderError("odd", status=418), 502, "server_error", "provider"),
        (StorageError("no space", code="no-space"), 507, "server_error", "no_space"),
        (HomeroomError("x"), 400, "invalid_request_error", "error"),
    ],
)
def test_statuses_and_types(error: HomeroomError, status: int, kind: str, code: str) -> None:
    view = shown(error)
    assert (view.status, view.type, view.to_openai()["error"]["code"]) == (status, kind, code)


def test_retry_after_is_a_header(site) -> None:
    site.add_model(PacedChatModel("ft:bad", lambda m: "x", fail_at=0, error=RateLimitError("slow down", retry_after_s=7)))
    response = site.app.test_client().post(
        "/v1/chat/completions", json={"model": "ft:bad", "messages": [{"role": "user", "content": "x"}]}
    )
    assert (response.status_code, response.headers["Retry-After"]) == (429, "7")


def test_a_locked_database_says_when_to_come_back(site, monkeypatch) -> None:
    error = StorageError("locked", code="database-locked")
    error.status = 503
    client = site.app.test_client()
    monkeypatch.setattr(type(site.desk.models), "list", lambda self: (_ for _ in ()).throw(error))
    response = client.get("/v1/models")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")


def test_a_bug_is_logged_and_shown_without_its_inside(site, monkeypatch, caplog) -> None:
    monkeypatch.setattr(type(site.desk.models), "list", lambda self: (_ for _ in ()).throw(ZeroDivisionError("secret detail")))
    response = site.app.test_client().get("/v1/models")
    assert response.status_code == 500
    assert "secret detail" not in response.get_data(as_text=True)
    assert response.get_json()["error"]["type"] == "server_error"
    assert "secret detail" in caplog.text
