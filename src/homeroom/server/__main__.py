"""The web process of a home: ``python -m homeroom.server --host 127.0.0.1 --port 8642``. The home comes from the environment.

`homeroom serve` starts it beside the engine and the job worker; by itself it serves pages, and models answer once an engine runs.
"""

from __future__ import annotations

import argparse
import sys

from flask import Flask

from homeroom.accounts import KeyStore
from homeroom.app.home import Homeroom
from homeroom.app.logs import log_to_stderr
from homeroom.errors import HomeroomError
from homeroom.server.app import create_app
from homeroom.server.compose import services_of
from homeroom.server.gunicorn_app import THREADS, WebApplication
from homeroom.server.secret import secret_key
from homeroom.settings import load_settings


def main(argv: list[str] | None = None) -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m homeroom.server", description="The web process of a Homeroom home.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=THREADS)
    options = parser.parse_args(argv)
    try:
        settings = load_settings()
        log_to_stderr(settings.log_level)
        key = secret_key(settings.home)
        web = WebApplication(
            lambda: _make_app(key, options.threads), host=options.host, port=options.port, threads=options.threads
        )
    except HomeroomError as error:
        print(f"homeroom: {error.message}", file=sys.stderr)
        return error.exit_code
    web.run()
    return 0


def _make_app(key: bytes, threads: int) -> Flask:
    home = Homeroom.open()
    return create_app(
        services_of(home),
        secret_key=key,
        max_replies=threads // 2,
        max_listeners=threads // 3,
        requests_per_minute=home.settings.requests_per_minute,
        keys=KeyStore(home.database),
    )


if __name__ == "__main__":
    sys.exit(main())
