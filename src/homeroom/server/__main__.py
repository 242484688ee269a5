"""The web process of a home: ``python -m homeroom.server --host 127.0.0.1 --port 8642``. The home comes from the environment.

`homeroom serve` starts it beside the engine and the job worker; by itself it serves pages, and models answer once an engine runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from flask import Flask

from homeroom.accounts import KeyStore, SignInStore
from homeroom.app.home import Homeroom
from homeroom.app.logs import log_to_stderr
from homeroom.app.reach import check_reach, is_public
from homeroom.errors import HomeroomError
from homeroom.server.app import create_app
from homeroom.server.compose import services_of
from homeroom.server.gunicorn_app import THREADS, WebApplication, allow_open_files
from homeroom.server.hosts import is_address
from homeroom.server.secret import secret_key
from homeroom.settings import load_settings


def main(argv: list[str] | None = None) -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m homeroom.server", description="The web process of a Homeroom home.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--allow-host", action="append", default=[], help="a name to answer to besides loopback's")
    parser.add_argument("--threads", type=int, default=THREADS)
    options = parser.parse_args(argv)
    try:
        settings = load_settings()
        log_to_stderr(settings.log_level)
        key = secret_key(settings.home)
        public = is_public(options.host, options.allow_host)
        if public:
            with Homeroom.open(settings) as home:  # closed again before the worker is forked
                check_reach(options.host, options.allow_host, has_keys=KeyStore(home.database).any_ever())
        hosts = (*options.allow_host, *(() if is_address(options.host) else (options.host,)))
        web = WebApplication(
            lambda: _make_app(key, options.threads, hosts, public=public),
            host=options.host,
            port=options.port,
            threads=options.threads,
        )
    except HomeroomError as error:
        print(f"homeroom: {error.message}", file=sys.stderr)
        return error.exit_code
    allow_open_files()
    web.run()
    return 0


def _make_app(key: bytes, threads: int, hosts: Sequence[str], *, public: bool) -> Flask:
    home = Homeroom.open()
    return create_app(
        services_of(home),
        secret_key=key,
        hosts=hosts,
        max_replies=threads // 2,
        max_listeners=threads // 3,
        requests_per_minute=home.settings.requests_per_minute,
        keys=KeyStore(home.database),
        sign_ins=SignInStore(home.database) if public else None,
    )


if __name__ == "__main__":
    sys.exit(main())
