"""Builds the Flask application."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from flask import Flask, Request, url_for

from homeroom.server import (
    auth,
    chat_pages,
    compare,
    errors,
    events,
    feedback,
    health,
    jobs,
    models,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_files,
    openai_fine_tuning,
    openai_models,
    openai_responses,
    practice,
    rendering,
    security,
    sign_in,
)
from homeroom.server.changes import ChangeFeed
from homeroom.server.context import Context, attach
from homeroom.server.hosts import Hosts
from homeroom.server.limits import REQUESTS_PER_MINUTE, RateLimit
from homeroom.server.policy import LARGE, enforce_list
from homeroom.server.services import Services
from homeroom.server.sessions import SteadySessions
from homeroom.server.streams import Admission
from homeroom.storage import Scope

MAX_REQUEST_BYTES = LARGE
BLUEPRINTS = (
    practice.blueprint,
    chat_pages.blueprint,
    compare.blueprint,
    feedback.blueprint,
    models.blueprint,
    jobs.blueprint,
    events.blueprint,
    openai_models.blueprint,
    openai_chat.blueprint,
    openai_completions.blueprint,
    openai_embeddings.blueprint,
    openai_responses.blueprint,
    openai_files.blueprint,
    openai_fine_tuning.blueprint,
    sign_in.blueprint,
    health.blueprint,
)


def create_app(
    services: Services,
    *,
    secret_key: bytes,
    hosts: Iterable[str] = (),
    max_replies: int = 48,
    max_listeners: int = 32,
    requests_per_minute: int = REQUESTS_PER_MINUTE,
    poll_s: float = 1.0,
    identify: Callable[[Request], Scope] = auth.scope_of_caller,
    keys: auth.Keys | None = None,
    sign_ins: auth.SignIns | None = None,
) -> Flask:
    """The web application over ``services``.

    Args:
        services: What the pages show and change.
        secret_key: Signs session cookies; see `homeroom.server.secret`.
        hosts: Host names to answer to besides loopback's: ``NAME``, or ``https://NAME`` behind a proxy that speaks HTTPS.
        max_replies: Replies streamed at once; one more is answered with 429. Keep it below the server's threads.
        max_listeners: Open pages told of changes at once; further ones ask from time to time.
        requests_per_minute: What one address may send to each family of routes; 0 for no limit.
        poll_s: Time between two looks for changes.
        identify: Whose rows a request is about.
        keys: API keys; without them the API asks for none.
        sign_ins: Of a server that other machines reach: every page then asks for a sign-in with one of ``keys``.

    Raises:
        UnlistedRouteError: an address is served that `homeroom.server.policy` does not list.
    """
    app = Flask("homeroom.server", static_folder=None, template_folder=str(_folder("templates")))
    app.config.update(
        PROVIDE_AUTOMATIC_OPTIONS=False,  # a method that is not listed is refused
        SECRET_KEY=secret_key,
        MAX_CONTENT_LENGTH=MAX_REQUEST_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_REQUEST_BYTES,
        SESSION_COOKIE_NAME="homeroom_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        SEND_FILE_MAX_AGE_DEFAULT=3600,
        TEMPLATES_AUTO_RELOAD=False,
    )
    app.session_interface = SteadySessions()
    feed = ChangeFeed(services.changes, interval_s=poll_s)
    with app.app_context():
        attach(Context(services, Admission(max_replies), Admission(max_listeners, "open pages"), feed, identify))
    door = auth.Door(keys, sign_ins)
    known = Hosts(hosts, addresses=sign_ins is not None)
    security.protect(app, hosts=known, rate=RateLimit(requests_per_minute), admit=door.admit)
    auth.install(app, door)
    sign_in.install(app)
    errors.install(app)
    rendering.install(app)
    _version_static_files(app)
    app.static_folder = str(_folder("static"))  # after the options above, which Flask's own address for it would not have
    app.add_url_rule("/static/<path:filename>", "static", app.send_static_file)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    enforce_list(app)
    return app


def _folder(name: str) -> Path:
    return Path(__file__).parent / name


def _version_static_files(app: Flask) -> None:
    """`static_url` adds a file's hash to its address, so that browsers keep it and still see a new one at once."""
    versions: dict[str, str] = {}

    def static_url(filename: str) -> str:
        if filename not in versions:
            versions[filename] = hashlib.sha256((_folder("static") / filename).read_bytes()).hexdigest()[:12]
        return url_for("static", filename=filename, v=versions[filename])

    app.jinja_env.globals["static_url"] = static_url
