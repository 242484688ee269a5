"""``homeroom users``: who may call."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from homeroom.cli.common import emit, json_option, open_home, table, when
from homeroom.cli.values import MOST_DAYS, MOST_REQUESTS_PER_MINUTE, FiniteRange

if TYPE_CHECKING:
    from homeroom.accounts.keys import ApiKey

DAY_S = 86_400


@click.group(name="users")
def command() -> None:
    """Manage who may call the API."""


@command.group(name="key")
def key_group() -> None:
    """Make, list and revoke API keys.

    Without any key the API answers this machine alone and asks for none. From the first key on every caller needs one, and the
    server may be bound to other addresses.
    """


@key_group.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["chat", "tune", "admin"]),
    default=("chat",),
    show_default=True,
    help="What it may do; tune includes chat, admin everything.",
)
@click.option("--days", type=FiniteRange(0, MOST_DAYS, min_open=True), help="Days until it expires; never when omitted.")
@click.option(
    "--rpm", default=600, show_default=True, type=click.IntRange(1, MOST_REQUESTS_PER_MINUTE), help="Most requests in any minute."
)
@json_option
@click.pass_context
def create(ctx: click.Context, name: str, scopes: tuple[str, ...], days: float | None, rpm: int, as_json: bool) -> None:
    """Make a key for NAME, the person or program that will use it. It is shown once."""
    from homeroom.accounts.keys import KeyStore

    home = open_home(ctx)
    expires = time.time() + days * DAY_S if days else None
    key, secret = KeyStore(home.database).create(name, scopes, expires_at=expires, requests_per_minute=rpm)

    def text() -> None:
        click.echo(secret)
        click.echo(f"Kept as {key.id} for {key.name!r}. It is not shown again: copy it now.", err=True)

    emit({**_plain(key), "secret": secret}, as_json, text)


@key_group.command(name="list")
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List keys, newest first. Their secrets are not kept."""
    from homeroom.accounts.keys import KeyStore

    keys = KeyStore(open_home(ctx).database).list()

    def text() -> None:
        if not keys:
            click.echo("No key yet: the API answers this machine alone. Make one: homeroom users key create NAME")
            return
        rows = [
            (k.id, k.name, f"{k.shown}...", ", ".join(sorted(k.scopes)), k.requests_per_minute, when(k.created_at), _state(k))
            for k in keys
        ]
        table(("id", "name", "key", "scopes", "requests/min", "made", "state"), rows)

    emit([_plain(key) for key in keys], as_json, text)


@key_group.command()
@click.argument("key")
@json_option
@click.pass_context
def revoke(ctx: click.Context, key: str, as_json: bool) -> None:
    """End KEY (its id, name or shown beginning) at once."""
    from homeroom.accounts.keys import KeyStore

    ended = KeyStore(open_home(ctx).database).revoke(key)
    emit(_plain(ended), as_json, lambda: click.echo(f"{ended.id} ({ended.name}) is revoked."))


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return f"revoked {when(key.revoked_at)}"
    if not key.holds(time.time()):
        return "expired"
    return f"until {when(key.expires_at)}" if key.expires_at else "holds"


def _plain(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "shown": key.shown,
        "scopes": sorted(key.scopes),
        "requests_per_minute": key.requests_per_minute,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }
