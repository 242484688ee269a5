"""Asking before money is spent: what each thing costs, the sum, and one question."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.app.spending import Quote
    from homeroom.chat.directory import ModelCard


QUESTION = "Send the examples and pay for it?"

yes_option = click.option("--yes", is_flag=True, help="Do not ask before money is spent.")


def asking(*, yes: bool, as_json: bool) -> Callable[[Sequence[Quote]], None]:
    """`agree`, for a function that knows only on its way what will be asked."""
    return lambda quotes: agree(quotes, yes=yes, as_json=as_json)


def agree_to_talk(home: Homeroom, card: ModelCard, system: str, *, yes: bool, as_json: bool) -> None:
    """Tell what a message will cost and ask once, before the first one is typed.

    Lines from a pipe are messages and no answer to a question: such a command has to have agreed.

    Raises:
        ConfigError: ``needs-yes``, ``key-not-set``.
        click.Abort: the person said no.
    """
    from homeroom.app.holding import message_quotes

    nobody = as_json or not sys.stdin.isatty()
    agree(message_quotes(home, card, system), yes=yes, as_json=nobody, question="Send what you type and pay for it?")


def agree(quotes: Sequence[Quote], *, yes: bool, as_json: bool, note: str = "", question: str = QUESTION) -> None:
    """Show what is about to be begun and ask before anything is spent; a script, which cannot be asked, has to have agreed.

    Args:
        quotes: What is about to be begun.
        yes: It was agreed to already.
        as_json: Nobody is there to be asked, and nothing is shown.
        note: Told beside the sum.
        question: Asked at the end.

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
    if yes or not whole.asked_for:
        return
    if as_json:
        raise needs_yes(whole, "--yes")
    if sum(quote.paid for quote in quotes) > 1:
        click.echo(f"Together: {whole.money}{note}", err=True)
    click.confirm(question, abort=True, err=True)
