"""A server that other machines reach, and those who knock."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from werkzeug.test import TestResponse

from homeroom.accounts import ApiKey, KeyStore, SignInStore
from homeroom.server.auth import scope_of_caller
from homeroom.storage import Database
from tests.server.conftest import Browser, Site

NAME = "tutor.school.example"


class Beyond:
    """The application as other machines reach it, with a key of each scope."""

    def __init__(self, make_site: Callable[..., Site], database: Database, **options: Any) -> None:
        self.keys, self.sign_ins = KeyStore(database), SignInStore(database, lifetime_s=3600)
        options.setdefault("requests_per_minute", 0)
        self.site = make_site(identify=scope_of_caller, keys=self.keys, sign_ins=self.sign_ins, **options)
        self.secrets: dict[str, str] = {}
        for scope in ("chat", "tune", "admin"):
            self.new_key(scope, scope)

    def new_key(self, name: str, scope: str) -> ApiKey:
        key, self.secrets[name] = self.keys.create(name, (scope,), requests_per_minute=1_000_000)
        return key

    def visitor(self, **options: Any) -> Visitor:
        return Visitor(self, **options)

    def signed_in(self, name: str) -> Visitor:
        visitor = self.visitor()
        assert visitor.sign_in(self.secrets[name]).status_code == 303
        return visitor


class Visitor(Browser):
    """A browser that knows nobody yet. To the API it talks as a program, with ``key``."""

    def __init__(self, beyond: Beyond, base_url: str = "http://localhost") -> None:
        self.flask, self.who, self.key, self.base_url = beyond.site.app.test_client(), {}, "", base_url
        self.beyond, self.token = beyond, ""

    def open(self, url: str, method: str, headers: Mapping[str, str] | None = None, **more: Any) -> TestResponse:
        client = self.flask
        sent = {"Accept": "text/html", "X-CSRF-Token": self.token, **(headers or {})}
        if url.startswith("/v1/") and self.key:
            client, sent["Authorization"] = self.beyond.site.app.test_client(), f"Bearer {self.key}"
        return client.open(url, method=method, headers=sent, base_url=self.base_url, **more)

    def get(self, url: str, **more: Any) -> TestResponse:
        return self.open(url, "GET", **more)

    def post(self, url: str, **more: Any) -> TestResponse:
        return self.open(url, "POST", **more)

    def load(self, url: str) -> str:
        """The page, whose token is the visitor's from now on."""
        text = self.get(url).get_data(as_text=True)
        found = re.search(r'name="csrf-token" content="([^"]+)"', text)
        assert found, text
        self.token = found[1]
        return text

    def sign_in(self, key: str) -> TestResponse:
        """Load the form, send it, and read the token of the next page when it was taken."""
        self.load("/sign-in")
        answer = self.post("/sign-in", data={"key": key})
        if answer.status_code == 303:
            self.load(answer.headers["Location"])
        return answer
