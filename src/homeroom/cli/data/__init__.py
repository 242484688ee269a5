"""``homeroom data``: from files of examples to dataset versions. One module for each command, one line here."""

from __future__ import annotations

from importlib import import_module

import click

# Command -> (module here, one line of help). Nothing is imported for `--help`.
COMMANDS: dict[str, tuple[str, str]] = {
    "check": ("check", "Check files of examples; exits 1 when there is an error."),
    "fix": ("fix", "Mend what is safe to mend without a person."),
    "report": ("report", "Write a page about files or a version: coverage, lengths, duplicates, findings."),
    "review": ("review", "Decide what no rule can decide."),
    "show": ("show", "Show examples, or the tokens that carry loss."),
    "stats": ("stats", "Count examples, words and tokens."),
    "convert": ("convert", "Write examples in another format or kind of file."),
    "split": ("split", "Make an immutable dataset version, with whole topics held out."),
    "versions": ("versions", "List dataset versions, and the models trained on them."),
    "diff": ("diff", "Say what differs between two versions or files."),
    "merge": ("merge", "Add files and what people said in chats to a dataset, as its next version."),
    "sample": ("sample", "Draw nested samples to train on more and more examples."),
}


class DataGroup(click.Group):
    """Imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module; each defines ``command``."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = import_module(f"homeroom.cli.data.{COMMANDS[cmd_name][0]}").command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List from the table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(name="data", cls=DataGroup)
def command() -> None:
    """Check, mend, convert, split and version training data."""
