"""``homeroom jobs webhook``: who is told how fine-tuning jobs end."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from homeroom.cli.common import emit, json_option, open_home, table, when

if TYPE_CHECKING:
    from homeroom.app.fine_tuning.webhooks import WebhookStore


@click.group(name="webhook")
def command() -> None:
    """Tell other programs how fine-tuning jobs end.

    Events are signed as OpenAI signs them, sent in order, and sent again until they are taken, for up to three days.
    """


@command.command()
@click.argument("url")
@click.option(
    "--event",
    "events",
    multiple=True,
    type=click.Choice(["succeeded", "failed", "cancelled"]),
    help="Only jobs that end so; all three when omitted.",
)
@json_option
@click.pass_context
def add(ctx: click.Context, url: str, events: tuple[str, ...], as_json: bool) -> None:
    """Send the ends of fine-tuning jobs to URL from now on. Its signing secret is shown once."""
    from homeroom.app.fine_tuning.webhooks import EVENTS

    wanted = [f"fine_tuning.job.{event}" for event in events] or EVENTS
    webhook, secret = _store(ctx).add(url, wanted)

    def text() -> None:
        click.echo(secret)
        click.echo(f"Kept as {webhook.id}. The secret is not shown again: give it to the receiver now.", err=True)

    emit({**dataclasses.asdict(webhook), "secret": secret}, as_json, text)


@command.command(name="list")
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List webhooks, with how many events each has not taken yet."""
    webhooks = _store(ctx).list()

    def text() -> None:
        if not webhooks:
            click.echo("No webhooks yet. Add one: homeroom jobs webhook add URL")
            return
        rows = [(w.id, w.url, ", ".join(e.rpartition(".")[2] for e in w.events), w.waiting, when(w.created_at)) for w in webhooks]
        table(("webhook", "address", "events", "waiting", "made"), rows)

    emit([dataclasses.asdict(webhook) for webhook in webhooks], as_json, text)


@command.command()
@click.argument("webhook")
@json_option
@click.pass_context
def remove(ctx: click.Context, webhook: str, as_json: bool) -> None:
    """Send nothing more to WEBHOOK, an id or an address."""
    gone = _store(ctx).remove(webhook)
    emit(dataclasses.asdict(gone), as_json, lambda: click.echo(f"Removed {gone.id} ({gone.url})."))


def _store(ctx: click.Context) -> WebhookStore:
    from homeroom.app.fine_tuning.webhooks import WebhookStore

    home = open_home(ctx)
    return WebhookStore(home.database, private=home.settings.webhook_private)
