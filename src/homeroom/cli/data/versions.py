"""``homeroom data versions``: what there is, how it grew, and what was trained on it."""

from __future__ import annotations

import click

from homeroom.cli.common import emit, json_option, open_home, table, when
from homeroom.cli.data.sources import info_dict


@click.command(name="versions")
@click.argument("reference", required=False)
@click.option("--models", is_flag=True, help="Also the models that were trained on each version.")
@json_option
@click.pass_context
def command(ctx: click.Context, reference: str | None, models: bool, as_json: bool) -> None:
    """List dataset versions, newest first; of one version (NAME@2) show the data card."""
    home = open_home(ctx)
    if reference is not None:
        info = home.datasets.info(reference)
        card = home.datasets.card(info.id)
        emit({**info_dict(info), "card": card, "models": _models(home, info.id)}, as_json, lambda: click.echo(card))
        return
    infos = home.datasets.list()
    trained = {i.id: _models(home, i.id) for i in infos} if models else {}

    def text() -> None:
        if not infos:
            click.echo("No dataset yet. Make one with: homeroom data split FILE")
            return
        rows = []
        for i in infos:
            counts = (i.counts["splits"][s] for s in ("train", "validation", "test"))
            changed = i.counts.get("changes") or {}
            grown = " ".join(
                f"{sign}{changed[k]}" for sign, k in (("+", "added"), ("-", "removed"), ("~", "changed")) if changed.get(k)
            )
            row = [
                f"{i.name}@{i.version}",
                i.id[:12],
                i.counts.get("examples"),
                *counts,
                when(i.created_at),
                i.parent[:24],
                grown,
            ]
            rows.append((*row, ", ".join(trained[i.id])) if models else tuple(row))
        headings = ("dataset", "id", "examples", "train", "validation", "test", "made", "from", "changes")
        table((*headings, "models") if models else headings, rows)

    emit([{**info_dict(i), **({"models": trained[i.id]} if models else {})} for i in infos], as_json, text)


def _models(home: object, dataset: str) -> list[str]:
    from homeroom.app.chats import models_trained_on
    from homeroom.app.home import Homeroom

    assert isinstance(home, Homeroom)
    return models_trained_on(home, dataset)
