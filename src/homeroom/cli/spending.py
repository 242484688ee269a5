"""Asking before money is spent: what each thing costs, the sum, and one question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from homeroom.app.spending import Quote


def agree(quotes: Sequence[Quote], *, yes: bool, as_json: bool, note: str = "") -> None:
    """Show what is about to be begun and ask before anything is spent; a script, which cannot be asked, has to have agreed.

    ``note`` is told beside the sum.

    Raises:
        ConfigError: ``needs-yes``.
        click.Abort: the person said no.
    """
    from homeroom.app.spending import needs_yes, together

    if not as_json:
        for quote in quotes:
            click.echo(f"{quote.label}: {quote.told}{f': {quote.money}' if quote.paid else ''}", err=True)
            for warning in quote.warnings:
                click.echo(f"warning: {quote.label}: {warning}", err=True)
    whole = together(quotes)
    if yes or not whole.paid:
        return
    if as_json:
        raise needs_yes(whole, "--yes")
    if sum(quote.paid for quote in quotes) > 1:
        click.echo(f"Together: {whole.money}{note}", err=True)
    click.confirm("Send the examples and pay for it?", abort=True, err=True)
